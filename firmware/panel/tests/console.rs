//! The panel as an administrator meets it: a terminal on one end of a line, the real panel on the other.

#![allow(clippy::unwrap_used)]

mod scene;

use std::time::Duration;

use control::cluster::{FirstBox, Interface, LunContent, Request, SecondBox, Setup, SetupState};
use control::{directory, init, mail};
use scene::{Far, Scene, interface, lun};

const CTRL_C: &str = "\x03";

#[test]
fn six_questions_set_the_first_box_up() {
    let mut scene = Scene::new(SetupState::Blank);
    let blank = lun("naa.2", LunContent::Blank);
    let foreign = lun("naa.1", LunContent::Foreign { what: "ext4".into() });
    scene.world.lock().unwrap().luns.extend([vec![], vec![foreign, blank]]);
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("Language / 语言 (1 English, 2 中文): ");
    terminal.send("1");
    terminal.expect("[1/6] Box name [twinmail-a]: ");
    terminal.send("1mail\r");
    terminal.expect("error: 1mail cannot be a box name");
    terminal.expect("[1/6] Box name [twinmail-a]: ");
    terminal.send("mail-x\x7fa\r");
    terminal.expect("[2/6] Public address: ");
    terminal.send("10.77.0.11\r");
    terminal.expect("error: 10.77.0.11 is not an address with prefix length");
    terminal.expect("[2/6] Public address: ");
    terminal.send("10.77.0.11/24\r");
    terminal.expect("[2/6] Gateway [10.77.0.1]: ");
    terminal.send("\r");
    terminal.expect("[2/6] Name server [10.77.0.1]: ");
    terminal.send("back\r");
    terminal.expect("[2/6] Gateway [10.77.0.1]: ");
    terminal.send("\r");
    terminal.expect("[2/6] Name server [10.77.0.1]: ");
    terminal.send("10.77.0.2\r");
    terminal.expect("[3/6] Virtual address: ");
    terminal.send("10.77.0.10 fd77::10/64\r");
    terminal.expect("error: no LUN was found");
    terminal.expect("[4/6] LUN (none usable, Enter looks again): ");
    terminal.send("\r");
    terminal.expect("other data: ext4; never touched");
    terminal.expect("[4/6] LUN [2]: ");
    terminal.send("1\r");
    terminal.expect("error: LUN 1 holds other data (ext4) and is never written");
    terminal.expect("[4/6] LUN [2]: ");
    terminal.send("\r");
    terminal.expect("[4/6] Type FORMAT to format it: ");
    terminal.send("format\r");
    terminal.expect("error: not formatted");
    terminal.expect("[4/6] LUN [2]: ");
    terminal.send("2\r");
    terminal.expect("[4/6] Type FORMAT to format it: ");
    terminal.send("FORMAT\r");
    terminal.expect("[5/6] Mail domain: ");
    terminal.send("example.test\r");
    terminal.expect("[6/6] Administrator's password: ");
    terminal.send("short\r");
    terminal.expect("error: the password needs at least 8 characters");
    terminal.expect("[6/6] Administrator's password: ");
    terminal.send("twinmail-admin\r");
    terminal.expect("[6/6] Password again: ");
    terminal.send("twinmail-admiN\r");
    terminal.expect("error: the two passwords differ");
    terminal.expect("[6/6] Administrator's password: ");
    terminal.send("twinmail-admin\r");
    terminal.expect("[6/6] Password again: ");
    terminal.send("twinmail-admin\r");
    let summary = terminal.expect("Apply these settings, or 1 to 6 to change an answer [yes]: ");
    assert!(summary.contains("will be formatted") && !summary.contains("twinmail-admin"), "{summary}");
    terminal.send("5\r");
    terminal.expect("[5/6] Mail domain [example.test]: ");
    terminal.send("mail.example.test\r");
    terminal.expect("Apply these settings, or 1 to 6 to change an answer [yes]: ");
    terminal.send("\r");
    terminal.expect("Working: formatting the LUN\r\n");
    let asked = scene.world.lock().unwrap().asked.clone();
    let expected = FirstBox {
        box_name: "mail-a".into(),
        public: Interface {
            addresses: vec!["10.77.0.11/24".into()],
            gateways: vec!["10.77.0.1".parse().unwrap()],
            name_servers: vec!["10.77.0.2".parse().unwrap()],
        },
        virtual_addresses: vec!["10.77.0.10/24".into(), "fd77::10/64".into()],
        lun: "naa.2".into(),
        format: true,
        domain: "mail.example.test".into(),
        password: "twinmail-admin".into(),
        language: "en".into(),
    };
    assert_eq!(asked, [Setup::First(expected)]);
    scene.world.lock().unwrap().setup = SetupState::Failed { reason: "the LUN went away".into() };
    terminal.expect("error: the LUN went away");
    terminal.expect("Apply these settings, or 1 to 6 to change an answer [yes]: ");
    terminal.send("yes\r");
    terminal.expect("Working: formatting the LUN\r\n");
    scene.world.lock().unwrap().setup = SetupState::Complete { paired: false };
    terminal.expect("Set-up is complete.\r\n");
    terminal.expect("Heartbeat");
    let all = String::from_utf8_lossy(&terminal.seen);
    assert!(!all.contains("twinmail-admi"), "the password was echoed");
}

#[test]
fn the_second_box_is_asked_only_for_name_and_address() {
    let suggested_public = interface("10.77.0.12/24");
    let offered = SetupState::Offered {
        by: "mail-a".into(),
        suggested_name: "mail-b".into(),
        suggested_public: suggested_public.clone(),
    };
    let mut scene = Scene::new(SetupState::Blank);
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("Language / 语言 (1 English, 2 中文): ");
    terminal.send("1");
    terminal.expect("[1/6] Box name [twinmail-a]: ");
    // The cable is plugged in while the first question waits.
    scene.world.lock().unwrap().setup = offered;
    let intro = terminal.expect("[1/2] Box name [mail-b]: ");
    assert!(intro.contains("The box \"mail-a\" was found on the serial cable"), "{intro}");
    terminal.send("mail-a\r");
    terminal.expect("error: mail-a is the other box's name");
    terminal.expect("[1/2] Box name [mail-b]: ");
    terminal.send("\r");
    terminal.expect("[2/2] Public address [10.77.0.12/24]: ");
    terminal.send("\r");
    terminal.expect("Join the pair, or 1 to 2 to change an answer [yes]: ");
    terminal.send("\r");
    terminal.expect("Working: ");
    let answers = SecondBox { box_name: "mail-b".into(), public: suggested_public };
    while scene.world.lock().unwrap().asked.is_empty() {
        terminal.read(Duration::from_millis(20));
    }
    assert_eq!(scene.world.lock().unwrap().asked, [Setup::Join(answers)]);
    scene.world.lock().unwrap().setup = SetupState::Complete { paired: true };
    terminal.expect("Set-up is complete.\r\n");
}

fn log_in(terminal: &mut Far) {
    terminal.expect("Heartbeat");
    terminal.send(":");
    terminal.expect("Password: ");
    terminal.send("twinmail-admin\r");
    terminal.expect("\r\nmail-a> ");
}

#[test]
fn the_prompt_runs_commands_for_programs_and_people() {
    let mut scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("Heartbeat");
    terminal.send(":");
    terminal.expect("Password: ");
    terminal.send("wrong-password\r");
    terminal.expect("error: the password is wrong\r\n");
    terminal.expect("Password: ");
    terminal.send("twinmail-admin\r");
    terminal.expect("\r\nmail-a> ");
    terminal.send("status --json\r");
    let said = terminal.expect("\r\n\r\nmail-a> ");
    let json = said.strip_prefix("status --json\r\n").unwrap();
    let read: control::cluster::Status = serde_json::from_str(json).unwrap();
    assert_eq!(read, scene::status());
    // A long answer comes whole, and what is typed meanwhile waits.
    terminal.send("twinmail account list --json\rdomain remove example.test\r");
    let said = terminal.expect("\r\n\r\nmail-a> ");
    let json = said.strip_prefix("twinmail account list --json\r\n").unwrap();
    let read: Vec<directory::User> = serde_json::from_str(json).unwrap();
    assert_eq!(read.len(), 8_000);
    let said = terminal.expect("\r\nmail-a> ");
    assert_eq!(said, "domain remove example.test\r\nerror: it has accounts\r\n");
    terminal.send("account add alice@example.test\r");
    terminal.expect("New password: ");
    terminal.send("twinmail-demo\r");
    terminal.expect("Password again: ");
    terminal.send("twinmail-demo\r");
    terminal.expect("done\r\n\r\nmail-a> ");
    let added = mail::Request::Directory(directory::Request::UserAdd {
        address: "alice@example.test".into(),
        password: "twinmail-demo".into(),
        settings: directory::UserChange::default(),
    });
    assert!(scene.world.lock().unwrap().mail_requests.contains(&added));
    assert!(!String::from_utf8_lossy(&terminal.seen).contains("twinmail-demo"));
    terminal.send("no-such-word\r");
    terminal.expect("error: there is no command no-such-word; `help` lists the commands\r\n");
    terminal.send("exit\r");
    terminal.expect("Heartbeat");
    terminal.send(":");
    terminal.expect("Password: ");
}

#[test]
fn garbage_on_the_line_breaks_nothing() {
    let mut scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("Heartbeat");
    let mut noise: u32 = 1;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Without the digits and letters that choose from the menu.
                (noise >> 24) as u8 | 0x80
            })
            .collect();
        rustix::io::write(terminal.fd, &bytes).unwrap();
        terminal.read(Duration::from_millis(1));
    }
    terminal.send(CTRL_C);
    terminal.send("\x0c");
    log_in(terminal);
}

#[test]
fn a_switch_over_needs_the_password_and_a_yes() {
    let mut scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("Heartbeat");
    terminal.send("\r");
    terminal.expect("Switch over to mail-b");
    terminal.send("1");
    terminal.expect("Password: ");
    terminal.send("twinmail-admin\r");
    terminal.expect("Switch over to mail-b? Mail pauses");
    assert!(scene.world.lock().unwrap().requests.is_empty());
    terminal.send("y");
    terminal.expect("Done.");
    assert_eq!(scene.world.lock().unwrap().requests, [Request::SwitchOver { to: None, group: None }]);
    terminal.send(" ");
    terminal.expect("Heartbeat");
    terminal.send("l8");
    terminal.expect("Restart this box?");
    terminal.send("n");
    terminal.expect("Heartbeat");
    terminal.send("l3");
    terminal.expect("listening  [2J");
    assert!(!scene.world.lock().unwrap().init_requests.contains(&init::Request::Restart));
}

#[test]
fn a_cluster_service_that_is_away_is_said_and_comes_back() {
    let mut scene = Scene::new(SetupState::Complete { paired: true }).with_password("twinmail-admin");
    let socket = scene.dir.path().join("cluster.sock");
    let away = scene.dir.path().join("away.sock");
    std::fs::rename(&socket, &away).unwrap();
    scene.start(&[]);
    let terminal = &mut scene.console;
    terminal.expect("The cluster service is not running; init restarts it");
    std::fs::rename(&away, &socket).unwrap();
    terminal.expect("Heartbeat");
}
