//! What the front of the box shows, on every size of glass, and the real panel driving one.

#![allow(clippy::unwrap_used)]

mod scene;

use std::time::{Duration, Instant};

use control::cluster::{Alarm, MediumState, Phase, Request, Role, SetupState, Takeover};
use panel::deed::Deed;
use panel::known::{Known, News};
use panel::lcd::packet::Packet;
use panel::lcd::pages::Glass;
use panel::lcd::{Lamp, LcdKey};
use scene::{Far, Scene, status};

fn known() -> Known {
    let mut known = Known::default();
    known.learn(&News::Status(Box::new(status())));
    known
}

fn troubled() -> Known {
    let mut status = status();
    status.groups[0].role = Role::Standby;
    status.groups[0].addresses_here = false;
    status.peer.alive = false;
    status.media[0].state = MediumState::Lost;
    status.media[0].age_ms = Some(95_000);
    let text = "no beat on the serial line; check the null-modem cable".to_owned();
    status.alarms = vec![Alarm { code: "serial_lost".into(), text, since_ms: 95_000 }];
    status.groups[0].last_takeover = Some(Takeover {
        cause: "the owner is silent".into(),
        epoch: 7,
        at_ms: 1,
        detect_ms: 2_400,
        phases: vec![Phase { step: "fence".into(), ms: 20 }, Phase { step: "mount".into(), ms: 300 }],
        total_ms: 1_100,
    });
    let mut known = Known::default();
    known.learn(&News::Status(Box::new(status)));
    known
}

fn rows(glass: &Glass, known: &Known, now_ms: u64) -> Vec<String> {
    glass.face(known, now_ms).rows
}

#[test]
fn the_home_page_fits_every_glass() {
    let known = known();
    let home = rows(&Glass::new(20, 4), &known, 0);
    assert_eq!(home, ["mail-a        ACTIVE", "10.77.0.10", "mail-b ok       ep 7", "All is well"]);
    // On two rows the first stands and the second takes turns.
    let small = Glass::new(16, 2);
    let turns: Vec<_> = [0, 3_000, 6_000].iter().map(|now_ms| rows(&small, &known, *now_ms)).collect();
    assert_eq!(turns[0], ["mail-a    ACTIVE", "10.77.0.10"]);
    assert_eq!(turns[1], ["mail-a    ACTIVE", "mail-b ok   ep 7"]);
    assert_eq!(turns[2], ["mail-a    ACTIVE", "All is well"]);
    assert_eq!(rows(&Glass::new(20, 2), &known, 0), ["mail-a        ACTIVE", "10.77.0.10"]);
}

#[test]
fn two_groups_take_turns_and_each_is_named() {
    let mut status = status();
    let mut second = status.groups[0].clone();
    second.name = "mail-2".into();
    second.role = Role::Standby;
    second.epoch = 3;
    second.addresses = vec!["10.77.0.20/24".into()];
    second.addresses_here = false;
    status.groups.push(second);
    let mut known = Known::default();
    known.learn(&News::Status(Box::new(status)));
    let mut glass = Glass::new(20, 4);
    assert_eq!(rows(&glass, &known, 0)[..2], ["mail-a      1 ACTIVE", "10.77.0.10"]);
    assert_eq!(
        rows(&glass, &known, 3_000)[..3],
        ["mail-a     2 STANDBY", "10.77.0.20", "mail-b ok       ep 3"]
    );
    // One group's windows are shown before the next group's.
    let small = Glass::new(16, 2);
    assert_eq!(rows(&small, &known, 6_000), ["mail-a  1 ACTIVE", "All is well"]);
    assert_eq!(rows(&small, &known, 9_000), ["mail-a 2 STANDBY", "10.77.0.20"]);
    assert_eq!(glass.face(&known, 0).lamps[0], Lamp::GREEN, "one of them is served here");
    glass.key(LcdKey::Down, &known, 0);
    let pages: Vec<_> = [0, 3_000].iter().flat_map(|now_ms| rows(&glass, &known, *now_ms)).collect();
    let expected = [
        "[mail]",
        "Answered here:",
        "10.77.0.10/24",
        "fd77::10/64",
        "[mail-2]",
        "Not answered here:",
        "10.77.0.20/24",
    ];
    assert_eq!(pages, expected);
}

#[test]
fn pages_turn_with_the_keys() {
    let known = troubled();
    let mut glass = Glass::new(20, 4);
    let mut turn = |key| {
        assert_eq!(glass.key(key, &known, 0), None);
        rows(&glass, &known, 0)
    };
    assert_eq!(turn(LcdKey::Down), ["Not answered here:", "10.77.0.10/24", "fd77::10/64"]);
    assert_eq!(turn(LcdKey::Down), ["serial  LOST 95 s", "private ok   0.1 s", "array   ok   0.1 s"]);
    let takeover = turn(LcdKey::Right);
    assert_eq!(
        takeover,
        ["Last take       ep 7", "1100 ms     +2400 ms", "the owner is silent", "fence          20 ms"]
    );
    let alarms = turn(LcdKey::Down);
    assert_eq!(alarms, ["! no beat on the", "serial line; check", "the null-modem cable"]);
    assert_eq!(
        turn(LcdKey::Down),
        ["mail-a       STANDBY", "10.77.0.10", "mail-b silent   ep 7", "! no beat on the ser"]
    );
    assert_eq!(turn(LcdKey::Up)[0], "! no beat on the");
}

#[test]
fn lamps_tell_role_alarm_peer_and_service() {
    assert_eq!(Glass::new(20, 4).face(&known(), 0).lamps, [Lamp::GREEN, Lamp::OFF, Lamp::GREEN, Lamp::GREEN]);
    let lamps = Glass::new(20, 4).face(&troubled(), 0).lamps;
    assert_eq!(lamps, [Lamp::AMBER, Lamp::AMBER, Lamp::RED, Lamp::OFF]);
    let mut silent = known();
    silent.learn(&News::ClusterSilent);
    assert_eq!(Glass::new(20, 4).face(&silent, 0).lamps[0], Lamp::RED);
}

#[test]
fn a_deed_is_asked_back_and_only_the_tick_confirms_it() {
    let known = known();
    let mut glass = Glass::new(20, 4);
    for key in [LcdKey::Enter, LcdKey::Down, LcdKey::Enter] {
        assert_eq!(glass.key(key, &known, 0), None);
    }
    assert_eq!(rows(&glass, &known, 0)[1], "Power off?");
    for key in [LcdKey::Up, LcdKey::Left, LcdKey::Escape] {
        assert_eq!(glass.key(key, &known, 0), None);
    }
    assert_eq!(rows(&glass, &known, 0)[0], "> Switch over");
    glass.key(LcdKey::Enter, &known, 0);
    assert_eq!(rows(&glass, &known, 0), ["Switch over", "To mail-b?", "", "ENTER yes   ESC no"]);
    assert_eq!(glass.key(LcdKey::Enter, &known, 0), Some(Deed::SwitchOver));
    glass.note(&Err("the other box is not ready".into()), 0);
    assert_eq!(rows(&glass, &known, 0), ["Refused: the other", "box is not ready"]);
    glass.tick(60_000);
    assert_eq!(rows(&glass, &known, 0)[0], "mail-a        ACTIVE");
}

#[test]
fn before_set_up_no_key_does_anything() {
    let mut known = Known::default();
    known.learn(&News::Setup(SetupState::Blank));
    let mut glass = Glass::new(16, 2);
    for key in [LcdKey::Enter, LcdKey::Enter, LcdKey::Enter] {
        assert_eq!(glass.key(key, &known, 0), None);
    }
    assert_eq!(rows(&glass, &known, 0), ["Twinmail: not", "set up. Use the"]);
    assert_eq!(rows(&glass, &known, 3_000), ["serial console,", "115200 8N1"]);
    known.learn(&News::Setup(SetupState::Damaged { reason: "no copy is whole".into() }));
    assert_eq!(rows(&Glass::new(16, 2), &known, 0), ["Twinmail:", "settings lost."]);
}

/// A display that obeys until `done` holds of what it shows.
fn obey_until(display: &mut Far, glass: &mut [String; 4], done: impl Fn(&[String; 4]) -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    let mut taken = display.seen.len();
    let mut input: Vec<u8> = Vec::new();
    while !done(glass) {
        assert!(Instant::now() < until, "{glass:?}");
        display.read(Duration::from_millis(20));
        input.extend(&display.seen[taken..]);
        taken = display.seen.len();
        while input.len() >= 4 && input.len() >= usize::from(input[1]) + 4 {
            let length = usize::from(input[1]);
            let command = Packet::new(input[0], &input[2..2 + length]);
            assert_eq!(command.encode(), input[..length + 4], "a broken packet");
            if let (31, [_, row, text @ ..]) = (command.kind, command.data.as_slice()) {
                String::from_utf8_lossy(text).trim_end().clone_into(&mut glass[usize::from(*row)]);
            }
            rustix::io::write(display.fd, &Packet::new(0x40 | command.kind, &[]).encode()).unwrap();
            input.drain(..length + 4);
        }
    }
}

#[test]
fn the_panel_drives_a_display_through_garbage_and_does_what_its_keys_say() {
    let scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    let mut display = Far::new();
    let path = display.path.clone();
    scene.start(&["--lcd", path.to_str().unwrap(), "--lcd-model", "cfa635"]);
    let mut glass: [String; 4] = Default::default();
    obey_until(&mut display, &mut glass, |glass| {
        glass[0] == "mail-a        ACTIVE" && glass[3] == "All is well"
    });
    rustix::io::write(display.fd, &[0x80, 0x01, 0xFF, 0x31, 0x40, 0x16]).unwrap();
    for (code, row, shown) in [(5, 0, "> Switch over"), (5, 1, "To mail-b?"), (5, 0, "Done")] {
        rustix::io::write(display.fd, &Packet::new(0x80, &[code]).encode()).unwrap();
        rustix::io::write(display.fd, &Packet::new(0x80, &[code + 6]).encode()).unwrap();
        obey_until(&mut display, &mut glass, |glass| glass[row] == shown);
    }
    assert_eq!(scene.world.lock().unwrap().requests, [Request::SwitchOver { to: None, group: None }]);
}

#[test]
fn a_display_that_is_silent_is_an_alarm_on_the_console_and_nothing_more() {
    let mut scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    let mut display = Far::new();
    let path = display.path.clone();
    scene.start(&["--lcd", path.to_str().unwrap()]);
    scene.console.expect("the LCD on the front does not answer; check its cable");
    let mut glass: [String; 4] = Default::default();
    obey_until(&mut display, &mut glass, |glass| glass[0] == "mail-a        ACTIVE");
    scene.console.expect("none, all is well");
}
