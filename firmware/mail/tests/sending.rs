//! Mail goes out: by MX, by smarthost, and back as a notice.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;
mod name_server;

use std::net::SocketAddr;
use std::time::Duration;

use control::mail::{Reply, Request};
use control::queue::{self, Filter, Queued, Which};
use house::*;
use name_server::NameServer;

fn order(house: &House, request: queue::Request) -> queue::Reply {
    match house.ask(&Request::Queue(request)) {
        Reply::Queue(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn page(house: &House) -> queue::Page {
    let all = queue::Request::List { filter: Filter::default(), after: 0, limit: 1_000 };
    match order(house, all) {
        queue::Reply::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn queue(house: &House) -> Vec<Queued> {
    page(house).entries
}

fn drop_one(id: u64) -> queue::Request {
    queue::Request::Drop { which: Which::Numbers(vec![id]), tell: true }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}

fn by_smarthost(house: &House, to: SocketAddr) {
    let request = Request::SmarthostSet { host: Some(to.to_string()), user: None, password: None };
    assert_eq!(house.ask(&request), Reply::Done);
}

#[test]
fn mail_leaves_by_mx_over_tls_and_comes_back_refused_as_a_notice() {
    let far = House::new("far.test");
    let servers = NameServer::start(vec![("far.test".into(), far.address)]);
    let house = House::with("near.test", |config| config.name_servers = vec![servers.address]);
    let mut client = submission(&house, "alice");
    let to = ["alice@far.test", "nobody@far.test", "x@none.test"];
    assert!(send(&mut client, "alice@near.test", &to, "Subject: out\n\n.dot\n").starts_with("250"));

    let arrived = far.wait_for("alice", "Subject: out");
    assert!(arrived.starts_with("Return-Path: <alice@near.test>\r\nReceived: from mx.near.test"));
    assert_eq!(arrived.matches("Return-Path").count(), 1);
    assert!(arrived.contains("with ESMTPS") && arrived.contains("version=TLS1.3"), "{arrived}");
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; nobody@far.test");
    assert!(notice.starts_with("Return-Path: <>\r\n"), "{notice}");
    assert!(notice.contains("Status: 5.1.1\r\n") && notice.contains("Diagnostic-Code: smtp; 550 5.1.1"));
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; x@none.test");
    assert!(notice.contains("Status: 5.1.2\r\n"), "{notice}");
    wait_until("the queue is empty", || queue(&house).is_empty());
    house.counts(&[("sent", 1), ("failed", 2)]);
}

#[test]
fn mail_waits_for_a_smarthost_that_is_down_and_can_be_retried_and_dropped() {
    let house = House::new("wait.test");
    let far = own_address();
    by_smarthost(&house, SocketAddr::new(far, SMTP));
    let mut client = submission(&house, "alice");
    for name in ["one", "two"] {
        let to = format!("{name}@elsewhere.test");
        assert!(send(&mut client, "alice@wait.test", &[&to], "Subject: out\n\nx\n").starts_with("250"));
    }
    // One try says it for both: a dead server is not asked for each message.
    wait_until("it was tried", || queue(&house).iter().all(|entry| entry.last_error.is_some()));
    assert!(queue(&house).iter().any(|entry| entry.attempts == 1));
    let waiting = queue(&house);
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0].last_error.as_deref().is_some_and(|error| error.contains("refused")), "{waiting:?}");
    // The first wait, 60 s and up to a quarter more, less what has passed since: not the second one.
    assert!((1..=75).contains(&waiting[0].next_s), "{waiting:?}");

    assert_eq!(order(&house, drop_one(waiting[0].id)), queue::Reply::Changed { recipients: 1 });
    house.wait_for("alice", &format!("Final-Recipient: rfc822; {}", waiting[0].recipient));

    let up = House::new("elsewhere.test");
    up.add("one");
    up.add("two");
    by_smarthost(&house, up.at(SMTP));
    order(&house, queue::Request::Retry(Which::Fitting(Filter::default())));
    let name = waiting[1].recipient.split('@').next().unwrap();
    up.wait_for(name, "Subject: out");
    wait_until("the queue is empty", || queue(&house).is_empty());
    assert!(matches!(house.ask(&Request::Queue(drop_one(12345))), Reply::Refused(_)));
}

#[test]
fn an_alias_leads_elsewhere_and_here_in_one_step() {
    let far = House::new("third.test");
    let house = House::new("lists.test");
    house.add("carol");
    by_smarthost(&house, far.at(SMTP));
    for target in ["alice@lists.test", "carol@lists.test", "alice@third.test"] {
        let request = Request::AliasAdd { address: "all@lists.test".into(), target: target.into() };
        assert_eq!(house.ask(&request), Reply::Done);
    }
    let mut client = smtp(&house);
    let to = ["all@lists.test", "alice@lists.test"];
    assert!(send(&mut client, "x@outside.test", &to, "Subject: once\n\nx\n").starts_with("250"));
    far.wait_for("alice", "Subject: once");
    assert_eq!((house.inbox("alice").len(), house.inbox("carol").len(), far.inbox("alice").len()), (1, 1, 1));
}

#[test]
fn a_full_member_of_a_list_is_reported_and_the_others_get_their_mail() {
    let house = House::new("members.test");
    house.add("carol");
    for target in ["alice@members.test", "carol@members.test"] {
        let request = Request::AliasAdd { address: "all@members.test".into(), target: target.into() };
        assert_eq!(house.ask(&request), Reply::Done);
    }
    let limit = Request::AccountQuota { address: "carol@members.test".into(), quota_bytes: Some(10) };
    assert_eq!(house.ask(&limit), Reply::Done);
    let mut client = smtp(&house);
    let done = send(&mut client, "alice@members.test", &["all@members.test"], "Subject: all\n\nx\n");
    assert!(done.starts_with("250"), "{done}");
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; carol@members.test");
    assert!(notice.contains("Status: 5.2.2"));
    house.wait_for("alice", "Subject: all\r\n");
}

#[test]
fn a_notice_is_never_answered_with_a_notice() {
    let house = House::new("null.test");
    by_smarthost(&house, SocketAddr::new(own_address(), SMTP));
    let request = Request::AliasAdd { address: "away@null.test".into(), target: "x@gone.test".into() };
    assert_eq!(house.ask(&request), Reply::Done);
    let mut client = smtp(&house);
    assert!(send(&mut client, "", &["away@null.test"], "Subject: notice\n\nx\n").starts_with("250"));
    wait_until("it was tried", || queue(&house).iter().any(|entry| entry.attempts == 1));
    let id = queue(&house)[0].id;
    order(&house, drop_one(id));
    assert!(queue(&house).is_empty());
    house.counts(&[("notices", 0)]);
}
