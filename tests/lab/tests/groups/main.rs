//! Two service groups: each box serves one, and either carries both. `make test-groups`; they need the box
//! image and run one after another.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::clients::imap::{self, Reader};
use lab::clients::smtp::{Door, Fate, Sender};
use lab::clients::stream::{Patience, Tls};
use lab::parts::{
    ACCOUNT_PASSWORD, BoxName, DOMAIN, Kind, SECOND_ACCOUNT, SECOND_DOMAIN, SECOND_FORWARDS, Which,
};
use lab::protocol::Request;
use lab::second_group::SECOND_GROUP;
use serde_json::Value;

use crate::operator::{Operator, count, of, pair_with, ports_base, send};

/// After whatever was done, both groups are served again within this time.
const SERVED_MAX: Duration = Duration::from_mins(4);
const PATIENCE: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(30) };

/// Both boxes whole, the first group on box a, the second on box b.
fn pair() -> &'static Operator {
    let pair = pair_with("test-groups", 1, 2);
    pair.ask(&Request::PowerOn { boxes: BoxName::ALL.to_vec() });
    whole(pair);
    for (name, group, number) in [(BoxName::A, "mail", 0), (BoxName::B, SECOND_GROUP, 1)] {
        if owner(&pair.status(), number) != Some(name) {
            pair.command(name, &format!("switch-over --to box-{name} --service-group {group}"));
            pair.wait("the group at home", SERVED_MAX, |status| {
                (owner(status, number) == Some(name)).then_some(())
            });
            whole(pair);
        }
    }
    pair
}

/// Waits until each group is served by one box and the other box could carry it.
fn whole(pair: &Operator) {
    pair.wait("both groups served and both boxes ready", SERVED_MAX, |status| {
        let ready = BoxName::ALL.iter().all(|name| of(status, *name)["peer"]["ready"] == true);
        let served = (0..2).all(|number| {
            owner(status, number).is_some_and(|owner| role(status, owner.other(), number) == "standby")
        });
        (ready && served).then_some(())
    });
}

fn role(status: &Value, name: BoxName, number: usize) -> &str {
    of(status, name)["groups"][number]["role"].as_str().unwrap_or("unknown")
}

/// The box that serves a group; never do two.
fn owner(status: &Value, number: usize) -> Option<BoxName> {
    let serving: Vec<BoxName> =
        BoxName::ALL.into_iter().filter(|name| role(status, *name, number) == "active").collect();
    assert!(serving.len() < 2, "two boxes serve group {number}: {status}");
    serving.first().copied()
}

fn second_port(inside: u16) -> SocketAddr {
    let forward = SECOND_FORWARDS.iter().find(|forward| forward.inside == inside).unwrap();
    SocketAddr::from(([127, 0, 0, 1], forward.outside(ports_base())))
}

/// Sends a message to the account of the second group; it must be accepted.
fn send_to_second(subject: &str) {
    let to = format!("{SECOND_ACCOUNT}@{SECOND_DOMAIN}");
    let from = format!("alice@{DOMAIN}");
    let message = format!("From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nhello\r\n");
    let tls = Tls::new().unwrap();
    let began = Instant::now();
    loop {
        let sent = Sender::connect(second_port(25), Door::Server, &tls, ("", ""), PATIENCE)
            .and_then(|mut sender| sender.send(&from, &to, &message));
        match sent {
            Ok(Fate::Accepted) => return,
            Ok(Fate::Refused(said)) if !said.starts_with('4') => panic!("{subject}: refused: {said}"),
            Ok(Fate::Unknown(reason)) => panic!("{subject}: no answer to a whole message: {reason}"),
            again => assert!(began.elapsed() < SERVED_MAX, "{subject}: {again:?}", again = again.map(drop)),
        }
        sleep(Duration::from_millis(200));
    }
}

/// How many messages with this subject the account of the second group has.
fn count_in_second(subject: &str) -> usize {
    let tls = Tls::new().unwrap();
    let name = format!("{SECOND_ACCOUNT}@{SECOND_DOMAIN}");
    let login = (name.as_str(), ACCOUNT_PASSWORD);
    let mut reader = Reader::connect(second_port(993), imap::Door::Imaps, &tls, login, PATIENCE).unwrap();
    reader.select("INBOX").unwrap();
    reader.search(&format!("SUBJECT \"{subject}\"")).unwrap().len()
}

/// Mail for both groups is taken, stored and read.
fn both_serve(subject: &str) {
    send(subject);
    send_to_second(subject);
    assert_eq!((count(subject), count_in_second(subject)), (1, 1));
}

#[test]
fn each_box_serves_a_group_and_knows_the_other() {
    let pair = pair();
    both_serve("each at home");
    let status = pair.status();
    assert_eq!((owner(&status, 0), owner(&status, 1)), (Some(BoxName::A), Some(BoxName::B)));
    // A word about a domain finds the mail service that has it.
    assert!(pair.command(BoxName::B, &format!("domain show {SECOND_DOMAIN}")).contains(SECOND_DOMAIN));
    assert!(pair.command(BoxName::A, "service-group list").contains(SECOND_GROUP));
}

#[test]
fn a_power_cut_of_either_box_leaves_both_groups_on_the_other() {
    for lost in BoxName::ALL {
        let pair = pair();
        let left = lost.other();
        let subject = format!("while box {lost} has no power");
        pair.fault(Which::from(lost), Kind::PowerCut);
        let began = Instant::now();
        both_serve(&subject);
        println!("power cut of box {lost}: both groups take mail after {:?}", began.elapsed());
        pair.wait("both groups on the other box", SERVED_MAX, |status| {
            (0..2).all(|number| role(status, left, number) == "active").then_some(())
        });
        pair.heal();
        pair.ask(&Request::PowerOn { boxes: vec![lost] });
        whole(pair);
        // Without fail-back both stay where they are until somebody says otherwise.
        let status = pair.status();
        assert_eq!((owner(&status, 0), owner(&status, 1)), (Some(left), Some(left)));
        assert_eq!((count(&subject), count_in_second(&subject)), (1, 1));
    }
}

#[test]
fn a_switch_over_moves_the_group_that_is_named_and_no_other() {
    let pair = pair();
    pair.command(BoxName::A, &format!("switch-over --to box-a --service-group {SECOND_GROUP}"));
    pair.wait("the second group on box a", SERVED_MAX, |status| {
        (owner(status, 1) == Some(BoxName::A)).then_some(())
    });
    assert_eq!(owner(&pair.status(), 0), Some(BoxName::A));
    whole(pair);
    both_serve("both on one box");
    // Maintenance hands over all that the box serves.
    pair.command(BoxName::A, "maintenance on");
    pair.wait("both groups on box b", SERVED_MAX, |status| {
        (0..2).all(|number| role(status, BoxName::B, number) == "active").then_some(())
    });
    both_serve("both on the other box");
    pair.command(BoxName::A, "maintenance off");
    whole(pair);
}

#[test]
fn a_mail_service_that_crashes_leaves_the_other_group_alone() {
    let pair = pair();
    let epoch = |status: &Value| of(status, BoxName::A)["groups"][0]["epoch"].as_u64();
    let before = epoch(&pair.status());
    pair.command(BoxName::B, &format!("drill kill {SECOND_GROUP}"));
    both_serve("after the crash of one mail service");
    let after = pair.status();
    assert_eq!((owner(&after, 0), epoch(&after)), (Some(BoxName::A), before));
}
