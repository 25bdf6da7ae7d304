use control::cluster::{Alarm, Group, Medium, MediumState, Peer, Phase, Status, Takeover, Timing};
use control::cluster::{LunContent, Role};
use control::init::{Service, ServiceState};
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::keys::Decoder;
use crate::lcd::driver::Health;

fn status() -> Status {
    let medium = |name: &str, state, age_ms| Medium {
        name: name.into(),
        state,
        age_ms,
        good: 4_321,
        bad: 2,
        fault: None,
    };
    let service = |name: &str, restarts| Service {
        name: name.into(),
        state: ServiceState::Running,
        pid: Some(70),
        restarts,
        last_end: None,
    };
    Status {
        box_name: "mail-a".into(),
        node: "a".into(),
        version: "0.1.0".into(),
        uptime_ms: 65_000,
        maintenance: false,
        peer: Peer { box_name: "mail-b".into(), alive: true, ready: true, not_ready_reason: None },
        groups: vec![Group {
            name: "mail".into(),
            role: Role::Active,
            step: None,
            epoch: 7,
            holder: "mail-a".into(),
            holder_age_ms: Some(300),
            lease_left_ms: Some(1_200),
            addresses: vec!["10.77.0.10/24".into(), "fd77::10/64".into()],
            addresses_here: true,
            preferred: Some("mail-a".into()),
            fail_back: false,
            last_takeover: Some(Takeover {
                cause: "the owner is silent on all media".into(),
                epoch: 7,
                at_ms: 30_000,
                detect_ms: 2_400,
                phases: vec![Phase { step: "fence".into(), ms: 21 }, Phase { step: "mount".into(), ms: 310 }],
                total_ms: 1_140,
            }),
        }],
        media: vec![
            medium("serial", MediumState::Lost, None),
            medium("private", MediumState::Fresh, Some(140)),
            medium("array", MediumState::Idle, Some(900)),
        ],
        services: vec![service("cluster", 0), service("mail", 2)],
        alarms: vec![Alarm {
            code: "serial_lost".into(),
            text: "no beat on the serial line".into(),
            since_ms: 9_500,
        }],
        timing: Timing { beat_ms: 200, lease_ms: 1_500, watchdog_ms: 2_000, dead_time_ms: 2_400 },
        readiness: control::telling::Readiness::default(),
        peer_readiness: None,
    }
}

fn console(language: Language) -> Console {
    let mut console = Console::new(language);
    console.news(&News::Status(Box::new(status())), 0);
    console
}

fn type_text(console: &mut Console, text: &str, now_ms: u64) -> String {
    let (mut decoder, mut keys) = (Decoder::default(), Vec::new());
    for byte in text.bytes() {
        decoder.take(byte, now_ms, &mut keys);
    }
    decoder.tick(now_ms + 1_000, &mut keys);
    for key in keys {
        console.key(key, now_ms);
    }
    String::from_utf8(console.take_output(true)).unwrap()
}

const ENGLISH: &str = " Twinmail 0.1.0   mail-a   active   up 65 s

 This box    mail-a (a), active
 Other box   mail-b: alive, ready to serve
 Group       mail: active, epoch 7, preferred owner mail-a
 Holder      mail-a, read 0.3 s ago, proof lasts 1.2 s more
 Addresses   10.77.0.10/24 fd77::10/64 (answered here)

 Heartbeat   serial line lost   never heard
             private net fresh  0.1 s ago, 4321 good, 2 bad
             array slot  idle   0.9 s ago, 4321 good, 2 bad
 Services    cluster running, mail running (2 restarts)

 Last take   epoch 7: detected in 2400 ms, taken in 1140 ms
             the owner is silent on all media
             fence 21 ms, mount 310 ms

 Alarms      no beat on the serial line (9.5 s)





 Enter menu   : commands   Ctrl-L redraw
";

const CHINESE: &str = " Twinmail 0.1.0   mail-a   主用   已运行 65 s

 本机        mail-a (a), 主用
 对方机器    mail-b: 在线，可以接管
 服务组      mail: 主用, 纪元 7, 首选 mail-a
 持有者      mail-a，读取于 0.3 s 前, 凭证剩余 1.2 s
 地址        10.77.0.10/24 fd77::10/64 (由本机应答)

 心跳        串行线      中断   从未收到
             专用网      正常   0.1 s 前，正常 4321，错误 2
             阵列槽      空闲   0.9 s 前，正常 4321，错误 2
 服务        cluster 运行中, mail 运行中 (重启 2 次)

 上次接管    纪元 7：检测 2400 毫秒，接管 1140 毫秒
             the owner is silent on all media
             fence 21 ms, mount 310 ms

 告警        no beat on the serial line (9.5 s)





 回车 菜单   : 命令   Ctrl-L 重画
";

#[test]
fn the_status_page_in_both_languages() {
    for (language, page) in [(Language::En, ENGLISH), (Language::Zh, CHINESE)] {
        let drawn = console(language).page().unwrap().text();
        assert_eq!(drawn, page);
        assert!(drawn.lines().all(|line| line.width() <= 80));
    }
}

#[test]
fn more_alarms_than_rows_are_counted_and_the_lcd_is_one() {
    let mut status = status();
    let alarm = |number| Alarm { code: "x".into(), text: format!("alarm {number}"), since_ms: 0 };
    status.alarms = (0..9).map(alarm).collect();
    let mut console = Console::new(Language::En);
    console.news(&News::Status(Box::new(status)), 0);
    console.news(&News::Lcd(Health::Absent), 0);
    let page = console.page().unwrap().text();
    assert!(page.contains("the LCD on the front does not answer") && page.contains("and 7 more"), "{page}");
}

#[test]
fn nothing_is_redrawn_where_nothing_changed_and_control_l_draws_all() {
    let mut console = console(Language::En);
    assert!(!console.take_output(true).is_empty());
    assert_eq!(console.take_output(true), b"");
    let mut changed = status();
    changed.uptime_ms = 66_000;
    console.news(&News::Status(Box::new(changed)), 1_000);
    let change = String::from_utf8(console.take_output(true)).unwrap();
    assert!(change.len() < 30 && change.contains('6'), "{change:?}");
    assert!(type_text(&mut console, "\x0c", 2_000).contains("mail-b: alive"));
    // A line that is still busy gets no page.
    console.key(Key::Control('l'), 3_000);
    assert_eq!(console.take_output(false), b"");
}

#[test]
fn guessing_passwords_is_paced() {
    let mut console = console(Language::En);
    type_text(&mut console, ":", 0);
    for _ in 0..3 {
        type_text(&mut console, "guess-guess\r", 0);
        assert!(matches!(console.take_action(), Some(Action::Verify(_))));
        console.news(&News::Verified(Ok(false)), 0);
    }
    let said = type_text(&mut console, "guess-guess\r", 500);
    assert!(said.contains("error: too many wrong tries; wait 2 s\r\nPassword: "), "{said:?}");
    assert_eq!(console.take_action(), None);
    type_text(&mut console, "guess-guess\r", 3_000);
    assert!(matches!(console.take_action(), Some(Action::Verify(_))));
}

fn logged_in(now_ms: u64) -> Console {
    let mut console = console(Language::En);
    type_text(&mut console, ":secret-word\r", now_ms);
    assert_eq!(console.take_action(), Some(Action::Verify("secret-word".into())));
    console.news(&News::Verified(Ok(true)), now_ms);
    assert!(String::from_utf8(console.take_output(true)).unwrap().ends_with("\r\nmail-a> "));
    console
}

#[test]
fn idleness_ends_the_log_in_but_not_a_running_command() {
    let mut console = logged_in(0);
    type_text(&mut console, "store check\r", 1_000);
    assert!(matches!(console.take_action(), Some(Action::Run { .. })));
    console.tick(2 * login::IDLE_MS);
    console.news(&News::Printed(b"the store is clean\n".to_vec()), 2 * login::IDLE_MS);
    let said = String::from_utf8(console.take_output(true)).unwrap();
    assert_eq!(said, "the store is clean\r\n\r\nmail-a> ");
    console.tick(4 * login::IDLE_MS);
    assert!(console.page().unwrap().text().contains("Logged out after 5 min"));
    assert!(type_text(&mut console, ":", 4 * login::IDLE_MS).ends_with("Password: "));
}

#[test]
fn an_interrupted_command_prints_nothing_later() {
    let mut console = logged_in(0);
    type_text(&mut console, "log\r", 0);
    type_text(&mut console, "\x03", 0);
    assert!(console.page().unwrap().text().contains("Heartbeat"));
    console.news(&News::Printed(b"late\n".to_vec()), 10);
    assert!(!String::from_utf8(console.take_output(true)).unwrap().contains("late"));
}

#[test]
fn output_of_commands_cannot_steer_the_terminal() {
    let mut console = logged_in(0);
    type_text(&mut console, "log\r", 0);
    console.news(&News::Printed(b"a\x1b[2Jb\x07\xff\r\tc\n".to_vec()), 10);
    let said = String::from_utf8(console.take_output(true)).unwrap();
    assert_eq!(said, "a[2Jb\u{fffd}    c\r\n\r\nmail-a> ");
}

fn any_news() -> impl Strategy<Value = News> {
    prop_oneof![
        Just(News::Status(Box::new(status()))),
        Just(News::Setup(SetupState::Blank)),
        Just(News::Setup(SetupState::Damaged { reason: "d".into() })),
        Just(News::Setup(SetupState::Working { step: "s".into() })),
        Just(News::Setup(SetupState::Failed { reason: "r".into() })),
        Just(News::Setup(SetupState::Complete { paired: true })),
        Just(News::Setup(SetupState::Offered {
            by: "x".into(),
            suggested_name: "y".into(),
            suggested_public: control::cluster::Interface::default(),
        })),
        Just(News::ClusterSilent),
        Just(News::Luns(Ok(vec![control::cluster::Lun {
            id: "i".into(),
            device: "d".into(),
            model: "m".into(),
            size_bytes: 1,
            content: LunContent::Blank,
        }]))),
        Just(News::SetupTaken(Ok(()))),
        Just(News::Verified(Ok(true))),
        Just(News::Printed(b"x\n".to_vec())),
        Just(News::DeedDone(Ok(()))),
        Just(News::Log(Ok(vec![]))),
    ]
}

proptest! {
    #[test]
    fn no_keys_and_no_news_in_any_order_break_it(
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any_news(), 0_u64..400_000), 0..60),
    ) {
        let mut console = Console::new(Language::En);
        let (mut decoder, mut now_ms) = (Decoder::default(), 0);
        for (bytes, news, pause_ms) in steps {
            now_ms += pause_ms;
            let mut keys = Vec::new();
            for byte in bytes {
                decoder.take(byte, now_ms, &mut keys);
            }
            for key in keys {
                console.key(key, now_ms);
            }
            console.news(&news, now_ms);
            console.tick(now_ms);
            let _page = console.take_output(true);
            while console.take_action().is_some() {}
            prop_assert!(console.typed_ahead.len() <= TYPED_AHEAD_MAX);
        }
    }
}

#[test]
fn an_unattended_console_shows_the_status() {
    for keys in [":", "\r", "\r3", "\r1"] {
        let mut console = console(Language::En);
        type_text(&mut console, keys, 1_000);
        console.tick(login::IDLE_MS);
        let kept = console.page().is_some_and(|page| page.text().contains("Heartbeat"));
        assert!(!kept, "{keys:?}");
        console.tick(login::IDLE_MS + 1_000);
        assert!(console.page().unwrap().text().contains("Heartbeat"), "{keys:?}");
    }
}
