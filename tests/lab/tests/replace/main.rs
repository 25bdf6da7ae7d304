//! A dead box is replaced by a blank one, be it a or b, and the old one stays out. `make test-replace`; it
//! needs the box image.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;

use std::time::Duration;

use lab::client;
use lab::kind::Kind;
use lab::parts::{BoxName, Which};
use lab::protocol::Request;

use crate::operator::{Operator, active, alarms, count, epoch, image, of, pair_with, role, send};

const TAKEN_MAX: Duration = Duration::from_mins(2);
const BOOT_MAX: Duration = Duration::from_mins(3);
/// Longer than any takeover.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

fn power(pair: &Operator, name: BoxName, on: bool) {
    if on {
        pair.ask(&Request::Heal { name: Some(name), kind: Some(Kind::PowerCut) });
        pair.ask(&Request::PowerOn { boxes: vec![name] });
    } else {
        pair.fault(Which::from(name), Kind::PowerCut);
    }
}

fn serves(pair: &Operator, name: BoxName) {
    pair.wait(&format!("service by box {name}"), TAKEN_MAX, |status| {
        (active(status) == Some(name)).then_some(())
    });
}

/// `dead` dies, and a blank box takes its place beside `survivor`, which serves.
fn replace(pair: &Operator, survivor: BoxName, dead: BoxName) {
    let before = format!("before box {dead} died");
    send(&before);
    // Nobody forgets a box that lives, or by a slip of the finger.
    let said = pair.command(survivor, "peer forget --yes");
    assert!(said.contains("still heard"), "{said}");
    power(pair, dead, false);
    serves(pair, survivor);
    pair.wait("silence", TAKEN_MAX, |status| (of(status, survivor)["peer"]["alive"] == false).then_some(()));
    let said = pair.command(survivor, "peer forget");
    assert!(said.contains("--yes"), "{said}");

    let served = epoch(&pair.status());
    let said = pair.command(survivor, "peer forget --yes --json");
    assert!(said.contains(r#""done":true"#), "{said}");
    pair.wait("a box without another one", TAKEN_MAX, |status| {
        let alone = of(status, survivor)["peer"]["box_name"] == "";
        (alone && alarms(status, survivor).contains(&"not_paired")).then_some(())
    });
    send(&format!("without box {dead}"));

    // The old box comes back as it was: it says what it is, and touches nothing.
    power(pair, dead, true);
    pair.wait("the old box knows that it was replaced", BOOT_MAX, |status| {
        alarms(status, dead).contains(&"replaced").then_some(())
    });
    pair.watch("the survivor serves, the old box does not", LONG_ENOUGH, |status| {
        role(status, survivor) == "active"
            && epoch(status) == served
            && role(status, dead) != "active"
            && of(status, survivor)["peer"]["alive"] == false
    });
    // Not even when it is alone.
    power(pair, survivor, false);
    pair.watch("the old box takes nothing", LONG_ENOUGH, |status| role(status, dead) != "active");
    power(pair, survivor, true);
    serves(pair, survivor);

    if dead == BoxName::A {
        // The old box itself is made blank, and joins like any other.
        let said = pair.command(dead, "factory-reset");
        assert!(said.contains("--yes"), "{said}");
        let said = pair.command(dead, "factory-reset --yes --json");
        assert!(said.contains(r#""done":true"#), "{said}");
    } else {
        power(pair, dead, false);
        // A new disk, as written from the image: damaged settings would be no blank box.
        std::fs::copy(image().join("disk.img"), pair.place().disk(dead)).unwrap();
    }
    client::ask_aloud(pair.place(), &Request::Up { boxes: BoxName::ALL.to_vec() }).unwrap();
    assert_eq!(pair.wait_until_whole(), survivor);

    // It has learned everything: it serves alone.
    power(pair, survivor, false);
    serves(pair, dead);
    assert_eq!(count(&before), 1);
    assert_eq!(count(&format!("without box {dead}")), 1);
    send(&format!("by the new box {dead}"));
    power(pair, survivor, true);
    assert_eq!(pair.wait_until_whole(), dead);
}

#[test]
fn replace_a_dead_box() {
    let pair = pair_with("test-replace", 1, 1);
    if active(&pair.status()) != Some(BoxName::A) {
        pair.command(BoxName::A, "switch-over --to box-a");
        assert_eq!(pair.wait_until_whole(), BoxName::A);
    }
    replace(pair, BoxName::A, BoxName::B);
    // Box b serves now and box a, which began the pair, dies.
    replace(pair, BoxName::B, BoxName::A);
}
