//! Power fencing, the optional second key: a box that stands still is reset by its management controller;
//! a dead controller changes nothing. `make test-fence`; they need the box image and run one after another.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;

use std::time::{Duration, Instant};

use lab::array::record;
use lab::controller::{Controlling, PASSWORD, USER, lan};
use lab::parts::{BoxName, Kind, Which};
use lab::protocol::Request;
use lab::verify::writers;
use serde_json::Value;

use crate::operator::{Operator, active, alarms, count, greeting, of, pair_of, role, send};

const MINUTE: Duration = Duration::from_mins(1);
/// A controller is looked at every minute.
const LOOKED_AT: Duration = Duration::from_mins(3);
/// Longer than the dead time, with room for a slow machine.
const LONG_ENOUGH: Duration = Duration::from_secs(6);
const ALARM: &str = "power_fence";

/// A whole pair whose boxes know each other's controllers, which answer.
fn pair() -> &'static Operator {
    let pair = pair_of("test-fence", |plan| plan.controllers = true);
    for name in BoxName::ALL {
        control(pair, name, Controlling::On);
    }
    pair.wait_until_whole();
    if set(pair, BoxName::A) < 2 {
        // At one box for both.
        for name in BoxName::ALL {
            let (address, port) = lan(name);
            let login = format!("--user {USER} --password {PASSWORD}");
            pair.command(
                BoxName::A,
                &format!("fence set box-{name} --address {address} --port {port} {login}"),
            );
        }
    }
    until("both boxes know both controllers", || BoxName::ALL.iter().all(|name| set(pair, *name) == 2));
    until("both controllers answer", || BoxName::ALL.iter().all(|name| answers(pair, *name) == 2));
    pair.wait("no alarm", LOOKED_AT, |status| {
        BoxName::ALL.iter().all(|name| !alarms(status, *name).contains(&ALARM)).then_some(())
    });
    pair
}

fn control(pair: &Operator, name: BoxName, what: Controlling) {
    pair.ask(&Request::Controller { name, what });
}

/// What a command of a box prints with `--json`.
fn query(pair: &Operator, name: BoxName, words: &str) -> Vec<Value> {
    let printed = pair.command(name, &format!("{words} --json"));
    let start = printed.find('[').unwrap_or_else(|| panic!("{words}: {printed}"));
    let mut values = serde_json::Deserializer::from_str(&printed[start..]).into_iter();
    values.next().unwrap_or_else(|| panic!("{words}: {printed}")).unwrap()
}

/// How many controllers a box knows.
fn set(pair: &Operator, name: BoxName) -> usize {
    let rows = query(pair, name, "fence show");
    assert!(!format!("{rows:?}").contains(PASSWORD), "the password is shown");
    rows.iter().filter(|row| row["place"].is_string()).count()
}

/// How many controllers answer a box.
fn answers(pair: &Operator, name: BoxName) -> usize {
    let rows = query(pair, name, "fence test");
    rows.iter().filter(|row| row["look"]["has_power"] == true).count()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LOOKED_AT, "{what}: not within {LOOKED_AT:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What a box has told of resets, oldest first.
fn told(pair: &Operator, name: BoxName) -> Vec<String> {
    let records = query(pair, name, "records");
    let mut told: Vec<_> = records.iter().filter(|record| record["decision"] == ALARM).collect();
    told.sort_by_key(|record| record["unix_ms"].as_u64());
    told.iter().map(|record| record["cause"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the box tells of one reset more than `before`; gives what it says.
fn next_told(pair: &Operator, name: BoxName, before: usize) -> String {
    let mut all = Vec::new();
    until("the record of the reset", || {
        all = told(pair, name);
        all.len() > before
    });
    assert_eq!(all.len(), before + 1, "once: {all:?}");
    all.pop().unwrap()
}

fn never_two_writers(pair: &Operator) {
    let report = writers::judge(&record::read(&pair.place().array_record()).unwrap(), 0);
    assert_eq!(report.two_writers, 0, "{:#?}", report.told);
}

/// The box that serves stands still; gives it once the other one serves.
fn freeze(pair: &Operator, subject: &str) -> BoxName {
    send(subject);
    let frozen = pair.fault(Which::Active, Kind::Freeze);
    let began = Instant::now();
    pair.wait("a takeover", MINUTE, |status| (active(status) == Some(frozen.other())).then_some(()));
    greeting(MINUTE);
    println!("{subject}: the other box serves after {:?}", began.elapsed());
    assert_eq!(count(subject), 1);
    frozen
}

#[test]
fn a_frozen_box_is_reset_by_its_controller_and_stands_by() {
    let pair = pair();
    let before = BoxName::ALL.map(|name| told(pair, name).len());
    let frozen = freeze(pair, "frozen, and reset");
    let taker = frozen.other();
    let said = next_told(pair, taker, before[taker.index()]);
    assert_eq!(said, "the silent box was reset by its management controller");
    // Nobody thaws it: it is whole because it started anew.
    assert_eq!(pair.wait_until_whole(), taker);
    never_two_writers(pair);
}

#[test]
fn a_dead_controller_is_an_alarm_and_does_not_hold_a_takeover_up() {
    let pair = pair();
    let owner = active(&pair.status()).unwrap();
    let taker = owner.other();
    let before = told(pair, taker).len();
    control(pair, owner, Controlling::Off);
    pair.wait("the alarm", LOOKED_AT, |status| alarms(status, taker).contains(&ALARM).then_some(()));
    let status = pair.status();
    let readiness = &of(&status, taker)["readiness"];
    assert_eq!(readiness["would_succeed"], true, "a takeover is as good without: {readiness}");
    let checks = readiness["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == ALARM && check["good"] == false), "{readiness}");
    let frozen = freeze(pair, "frozen, with a dead controller");
    assert_eq!(frozen, owner);
    let said = next_told(pair, taker, before);
    assert!(said.starts_with("the silent box was not reset: "), "{said}");
    pair.watch("service", LONG_ENOUGH, |status| active(status) == Some(taker));
    pair.heal();
    assert_eq!(pair.wait_until_whole(), taker);
    control(pair, owner, Controlling::On);
    pair.wait("the end of the alarm", LOOKED_AT, |status| {
        (!alarms(status, taker).contains(&ALARM)).then_some(())
    });
    never_two_writers(pair);
}

#[test]
fn a_switch_over_and_a_lost_array_reset_nobody() {
    let pair = pair();
    let before = BoxName::ALL.map(|name| told(pair, name).len());
    let owner = active(&pair.status()).unwrap();
    pair.command(owner, &format!("switch-over --to box-{}", owner.other()));
    pair.wait("the switch-over", MINUTE, |status| (active(status) == Some(owner.other())).then_some(()));
    pair.wait_until_whole();
    // The owner is heard, though it has lost the array: it stops by itself.
    pair.fault(Which::Active, Kind::CutArray);
    pair.wait("a takeover", MINUTE, |status| (active(status) == Some(owner)).then_some(()));
    pair.watch("service", LONG_ENOUGH, |status| role(status, owner) == "active");
    pair.heal();
    pair.wait_until_whole();
    assert_eq!(BoxName::ALL.map(|name| told(pair, name).len()), before);
    never_two_writers(pair);
}
