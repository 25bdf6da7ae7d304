//! Two cables between each box and the array: one dead cable is the box's own business, two are the
//! pair's. `make test-paths`; they need the box image and run one after another.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;

use std::time::{Duration, Instant};

use lab::parts::{BoxName, Which};
use lab::protocol::Request;
use lab::second_path::Cable;
use serde_json::Value;

use crate::operator::{Operator, active, alarms, count, epoch, greeting, pair_with, send};

const SOON: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_mins(1);
/// Longer than every bound of a path.
const LONG_ENOUGH: Duration = Duration::from_secs(12);

fn pair() -> &'static Operator {
    let pair = pair_with("test-paths", 2, 1);
    for name in BoxName::ALL {
        for number in 1..=2 {
            cable(pair, Which::from(name), number, Cable::Plug);
        }
    }
    pair.wait("both paths of both boxes", MINUTE, |status| {
        BoxName::ALL.iter().all(|name| !alarms(status, *name).contains(&"array_path")).then_some(())
    });
    pair
}

fn cable(pair: &Operator, which: Which, number: u8, what: Cable) {
    pair.ask(&Request::Cable { which, number, what });
}

fn told(status: &Value, name: BoxName) -> Option<()> {
    alarms(status, name).contains(&"array_path").then_some(())
}

#[test]
fn one_dead_array_cable_does_not_move_the_group() {
    let pair = pair();
    let what = Cable::Cut;
    for number in 1..=2 {
        let before = pair.status();
        let owner = active(&before).unwrap();
        let subject = format!("{what:?} {number} of {owner} in epoch {}", epoch(&before));
        cable(pair, Which::from(owner), number, what);
        let began = Instant::now();
        send(&subject);
        println!("{what:?} cable {number}: a message is accepted after {:?}", began.elapsed());
        pair.wait("the alarm", SOON, |status| told(status, owner));
        pair.watch("service on the same box", LONG_ENOUGH, |status| {
            active(status) == Some(owner) && epoch(status) == epoch(&before)
        });
        assert_eq!(count(&subject), 1);
        cable(pair, Which::from(owner), number, Cable::Plug);
        pair.wait("the end of the alarm", MINUTE, |status| told(status, owner).is_none().then_some(()));
        let after = pair.status();
        assert_eq!((active(&after), epoch(&after)), (Some(owner), epoch(&before)));
    }
}

#[test]
fn one_stalled_array_cable_of_the_box_that_stands_by_is_an_alarm_and_no_more() {
    let pair = pair();
    let before = pair.status();
    let owner = active(&before).unwrap();
    let other = owner.other();
    cable(pair, Which::from(other), 1, Cable::Hang);
    pair.wait("the alarm", SOON, |status| told(status, other));
    pair.watch("service on the same box", LONG_ENOUGH, |status| {
        active(status) == Some(owner) && epoch(status) == epoch(&before)
    });
    assert!(alarms(&pair.status(), other).iter().all(|code| *code != "not_ready"), "it could still take");
    cable(pair, Which::from(other), 1, Cable::Plug);
    pair.wait("the end of the alarm", MINUTE, |status| told(status, other).is_none().then_some(()));
}

#[test]
fn both_cables_dead_moves_it() {
    let pair = pair();
    let before = pair.status();
    let owner = active(&before).unwrap();
    send("before both cables");
    cable(pair, Which::from(owner), 1, Cable::Cut);
    pair.wait("the alarm", SOON, |status| told(status, owner));
    cable(pair, Which::from(owner), 2, Cable::Cut);
    let began = Instant::now();
    pair.wait("a takeover", MINUTE, |status| (active(status) == Some(owner.other())).then_some(()));
    println!("both cables dead: the other box is active after {:?}", began.elapsed());
    greeting(SOON);
    assert_eq!(count("before both cables"), 1);
    for number in 1..=2 {
        cable(pair, Which::from(owner), number, Cable::Plug);
    }
    pair.wait_until_whole();
}
