//! Stories of an operator with a pair: what breaks, and what the pair makes of it.
//!
//! They run one after another on one pair, in any order.

use std::time::{Duration, Instant};

use crate::operator::{
    Operator, active, alarms, count, epoch, glass, greeting, of, role, send, sender, service, whole_pair,
};
use crate::pulse::Pulse;
use lab::array::record;
use lab::clients::smtp::Fate;
use lab::lcd::Key;
use lab::parts::{BoxName, DOMAIN, Kind, Which};
use lab::protocol::Request;
use lab::verify::writers;

/// Longer than the dead time, with room for a slow machine.
const LONG_ENOUGH_TO_MISTAKE: Duration = Duration::from_secs(6);
/// No measure of the pair, only an end to waiting in vain: what a takeover takes is measured by `verify`,
/// and a machine that is busy with something else must not make a right pair wrong.
const SOON: Duration = Duration::from_mins(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Does something to the active box that must move the service, without losing what was accepted.
fn must_move(pair: &Operator, kind: Kind) -> BoxName {
    let subject = format!("before {kind}");
    send(&subject);
    let before = pair.status();
    let pulse = Pulse::start();
    let broken = pair.fault(Which::from(active(&before).unwrap()), kind);
    pair.wait(&format!("a takeover after {kind}"), MINUTE, |status| {
        (active(status) == Some(broken.other())).then_some(())
    });
    greeting(SOON);
    println!("{kind}: the longest wait of a client {:?}", pulse.stop());
    assert_eq!(count(&subject), 1, "the message accepted before {kind}");
    assert!(epoch(&pair.status()) > epoch(&before));
    never_two_writers(pair);
    broken
}

/// What the array itself has seen, whatever the boxes say.
fn never_two_writers(pair: &Operator) {
    let report = writers::judge(&record::read(&pair.place().array_record()).unwrap(), 0);
    assert!(report.takes > 0, "the array has a record: {report:?}");
    assert_eq!(report.two_writers, 0, "{:#?}", report.told);
}

/// Does something that must not move the service.
fn must_stay(pair: &Operator, kinds: &[Kind], codes: &[&str]) {
    let before = pair.status();
    for kind in kinds {
        pair.fault(Which::Active, *kind);
    }
    pair.watch("service on the same box", LONG_ENOUGH_TO_MISTAKE, |status| {
        active(status) == active(&before) && epoch(status) == epoch(&before)
    });
    pair.wait("the alarm on both consoles", SOON, |status| {
        let told = |name| codes.iter().all(|code| alarms(status, name).contains(code));
        BoxName::ALL.into_iter().all(told).then_some(())
    });
    pair.wait("the alarm on both displays", SOON, |status| {
        let shown = |name| glass(status, name).contains("! ");
        BoxName::ALL.into_iter().all(shown).then_some(())
    });
    greeting(SOON);
    pair.heal();
    pair.wait("the end of the alarm", SOON, |status| {
        let quiet = |name| codes.iter().all(|code| !alarms(status, name).contains(code));
        BoxName::ALL.into_iter().all(quiet).then_some(())
    });
}

#[test]
fn cut_power_of_the_active_box() {
    let pair = whole_pair();
    let broken = must_move(pair, Kind::PowerCut);
    pair.heal();
    assert_eq!(pair.wait_until_whole(), broken.other(), "the box that came back stands by");
}

#[test]
fn cut_power_of_the_box_that_stands_by() {
    let pair = whole_pair();
    let before = pair.status();
    pair.fault(Which::Standby, Kind::PowerCut);
    pair.watch("service on the same box", LONG_ENOUGH_TO_MISTAKE, |status| {
        active(status) == active(&before) && epoch(status) == epoch(&before)
    });
    send("while alone");
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn pull_the_serial_cable() {
    must_stay(whole_pair(), &[Kind::CutSerial], &["serial_lost"]);
}

#[test]
fn pull_the_private_ethernet_cable() {
    must_stay(whole_pair(), &[Kind::CutPrivate], &["private_lost"]);
}

#[test]
fn pull_both_heartbeat_cables() {
    // The owner's slot on the array still ticks: it lives.
    must_stay(whole_pair(), &[Kind::CutSerial, Kind::CutPrivate], &["serial_lost", "private_lost"]);
}

#[test]
fn noise_on_the_serial_cable() {
    let pair = whole_pair();
    let before = pair.status();
    let bad = |status: &serde_json::Value, name| {
        let media = of(status, name)["media"].as_array().unwrap();
        media
            .iter()
            .find(|medium| medium["name"] == "serial")
            .and_then(|medium| medium["bad"].as_u64())
            .unwrap()
    };
    pair.fault(Which::Active, Kind::GarbageSerial);
    pair.watch("service on the same box", LONG_ENOUGH_TO_MISTAKE, |status| epoch(status) == epoch(&before));
    let noisy = pair.status();
    for name in BoxName::ALL {
        assert!(bad(&noisy, name) > bad(&before, name), "box {name} counts what it refused");
    }
    pair.heal();
    pair.wait("good beats on the serial line", SOON, |status| {
        BoxName::ALL.into_iter().all(|name| !alarms(status, name).contains(&"serial_lost")).then_some(())
    });
}

#[test]
fn the_active_box_loses_the_array() {
    let pair = whole_pair();
    must_move(pair, Kind::CutArray);
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn the_array_no_longer_answers_the_active_box() {
    let pair = whole_pair();
    must_move(pair, Kind::HangArray);
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn a_path_that_stalls_delivers_late_and_nothing_of_it_is_written() {
    let pair = whole_pair();
    must_move(pair, Kind::StallArray);
    // What the box had sent to the array before it lost the group arrives now.
    pair.heal();
    pair.wait_until_whole();
    never_two_writers(pair);
}

#[test]
fn freeze_the_active_box_and_thaw_it() {
    let pair = whole_pair();
    let broken = must_move(pair, Kind::Freeze);
    let taken = epoch(&pair.status());
    std::thread::sleep(Duration::from_secs(25));
    send("while the other box is frozen");
    let thawed = Instant::now();
    pair.heal();
    // `status` asserts all the while that the two never serve at once.
    let serving = pair.wait_until_whole();
    let status = pair.status();
    assert_eq!(serving, broken.other());
    assert_eq!(epoch(&status), taken, "the thawed box took nothing");
    let uptime_ms = of(&status, broken)["uptime_ms"].as_u64().unwrap();
    let since = thawed.elapsed();
    assert!(
        u128::from(uptime_ms) < since.as_millis(),
        "the thawed box has not reset itself: it is up for {uptime_ms} ms, and was thawed {since:?} ago"
    );
    assert_eq!(count("while the other box is frozen"), 1);
}

#[test]
fn press_the_reset_button_of_the_active_box() {
    let pair = whole_pair();
    send("before reset");
    let before = pair.status();
    pair.fault(Which::Active, Kind::Reset);
    pair.wait("service by either box", MINUTE, |status| (epoch(status) > epoch(&before)).then_some(()));
    greeting(SOON);
    assert_eq!(count("before reset"), 1);
    pair.wait_until_whole();
}

#[test]
fn press_the_power_button_of_the_active_box() {
    let pair = whole_pair();
    let broken = must_move(pair, Kind::PowerButton);
    pair.wait("the ordered power-off", SOON, |status| {
        (status["boxes"][broken.to_string()]["power"] == "off").then_some(())
    });
    pair.heal();
    assert_eq!(pair.wait_until_whole(), broken.other());
}

#[test]
fn pull_the_public_cable_of_the_active_box() {
    let pair = whole_pair();
    must_move(pair, Kind::CutPublic);
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn the_mail_service_crashes() {
    let pair = whole_pair();
    let before = pair.status();
    let serving = active(&before).unwrap();
    let restarts =
        |status: &serde_json::Value| service(status, serving, "mail")["restarts"].as_u64().unwrap_or(0);
    pair.fault(Which::Active, Kind::KillMail);
    pair.wait("the restart on the spot", SOON, |status| {
        (service(status, serving, "mail")["state"] == "running" && restarts(status) > restarts(&before))
            .then_some(())
    });
    greeting(SOON);
    assert_eq!(active(&pair.status()), Some(serving), "one crash is no reason to move");
}

#[test]
fn the_mail_service_hangs() {
    let pair = whole_pair();
    send("before the hang");
    pair.fault(Which::Active, Kind::HangMail);
    greeting(MINUTE);
    assert_eq!(count("before the hang"), 1);
    pair.wait_until_whole();
}

#[test]
fn the_cluster_service_crashes() {
    let pair = whole_pair();
    send("before the crash");
    pair.fault(Which::Active, Kind::KillCluster);
    pair.wait_until_whole();
    greeting(SOON);
    assert_eq!(count("before the crash"), 1);
}

#[test]
fn switch_over_on_request() {
    let pair = whole_pair();
    must_move(pair, Kind::SwitchOver);
    pair.wait_until_whole();
}

#[test]
fn power_both_on_after_a_power_cut_of_both() {
    let pair = whole_pair();
    send("before the dark");
    for name in BoxName::ALL {
        pair.fault(Which::from(name), Kind::PowerCut);
    }
    pair.heal();
    let took = greeting(MINUTE);
    println!("power-on of both to the SMTP greeting: {took:?}");
    assert_eq!(count("before the dark"), 1);
    pair.wait_until_whole();
}

#[test]
fn power_one_on_after_a_power_cut_of_both() {
    let pair = whole_pair();
    send("before the dark of one");
    let alone = active(&pair.status()).unwrap().other();
    for name in BoxName::ALL {
        pair.fault(Which::from(name), Kind::PowerCut);
    }
    pair.ask(&Request::Heal { name: Some(alone), kind: None });
    greeting(MINUTE);
    assert_eq!(active(&pair.status()), Some(alone), "the box that did not serve last serves alone");
    assert_eq!(count("before the dark of one"), 1);
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn a_client_hears_of_a_takeover_as_a_short_pause() {
    let pair = whole_pair();
    let broken = active(&pair.status()).unwrap();
    send("the last before");
    let cut = Instant::now();
    pair.fault(Which::from(broken), Kind::PowerCut);
    greeting(SOON);
    println!("power cut to the next greeting: {:?}", cut.elapsed());
    pair.heal();
    pair.wait_until_whole();
}

#[test]
fn the_front_panel_shows_who_serves_and_obeys_its_keys() {
    let pair = whole_pair();
    let status = pair.status();
    let serving = active(&status).unwrap();
    let front = |name| glass(&pair.status(), name).to_lowercase();
    assert!(front(serving).contains("active"), "{}", front(serving));
    assert!(front(serving.other()).contains("standby"), "{}", front(serving.other()));
    let before = front(serving);
    pair.ask(&Request::Press { name: serving, key: Key::Down });
    pair.wait("another page", SOON, |status| (glass(status, serving).to_lowercase() != before).then_some(()));
    pair.ask(&Request::Press { name: serving, key: Key::Escape });
}

#[test]
fn the_command_line_of_the_console_administers_the_mail() {
    let pair = whole_pair();
    let serving = active(&pair.status()).unwrap();
    let added = pair.command(serving, &format!("account add carol@{DOMAIN} --password carols-secret --json"));
    assert!(added.contains("true"), "{added}");
    let list = pair.command(serving, "account list --json");
    assert!(list.contains(&format!("carol@{DOMAIN}")), "{list}");
    let removed = pair.command(serving, &format!("account remove carol@{DOMAIN} --json"));
    assert!(removed.contains("true"), "{removed}");
}

#[test]
fn a_message_of_a_hundred_megabytes_is_refused_and_nothing_hangs() {
    let pair = whole_pair();
    let line = "All work and no play makes a long message, line after line after line after line.\r\n";
    let message = format!("Subject: huge\r\n\r\n{}", line.repeat(100 * 1024 * 1024 / line.len()));
    let to = format!("alice@{DOMAIN}");
    let fate = sender().send(&format!("bob@{DOMAIN}"), &to, &message);
    assert!(!matches!(fate, Ok(Fate::Accepted)), "{fate:?}");
    send("after the huge one");
    assert_eq!(count("huge"), 1, "only the small one is there: {fate:?}");
    assert_eq!(role(&pair.status(), active(&pair.status()).unwrap()), "active");
}
