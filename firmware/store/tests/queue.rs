//! The outgoing queue.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::collections::HashSet;

use fixture::{Fixture, body, delivery, fixture, message};
use store::{
    DeliverBy, Delivery, DestinationState, DueItem, Outcome, Outgoing, OutgoingRecipient, QueueChange,
    QueueFilter, QueueId, Settled, Settlement,
};

fn outgoing(recipients: &[&str]) -> Outgoing {
    let recipient = |address: &&str| OutgoingRecipient {
        address: (*address).to_owned(),
        notify: 6,
        original: Some("o".to_owned()),
    };
    Outgoing {
        sender: "alice@example.test".to_owned(),
        recipients: recipients.iter().map(recipient).collect(),
        first_try_ms: 100,
        alarm_ms: 5_000,
        expires_ms: 9_000,
        envelope_id: Some("id".to_owned()),
        return_full: Some(true),
        smtp_utf8: true,
        deliver_by: Some(DeliverBy { until_ms: 7_000, return_late: true, trace: false }),
        ..Outgoing::default()
    }
}

async fn enqueue(t: &Fixture, outgoing: Outgoing) -> QueueId {
    let delivery =
        Delivery { body: body("out"), internal_date_s: 0, recipients: Vec::new(), outgoing: Some(outgoing) };
    t.store.deliver(delivery).await.expect("a delivery").queued.expect("a number")
}

fn finished(items: &[DueItem]) -> Settled {
    let outcomes = items.iter().map(|item| Settlement { id: item.id, outcome: Outcome::Finished });
    Settled { outcomes: outcomes.collect(), ..Settled::default() }
}

fn deferred(item: &DueItem, next_ms: u64) -> Settlement {
    let outcome = Outcome::Deferred {
        next_ms,
        error: "451 later".to_owned(),
        delay_noticed: true,
        alarm_ms: 9_000,
        tried: true,
    };
    Settlement { id: item.id, outcome }
}

fn addresses(items: &[DueItem]) -> Vec<&str> {
    items.iter().map(|item| item.recipient.address.as_str()).collect()
}

impl Fixture {
    fn ready(&self, now_ms: u64) -> Vec<String> {
        self.store.queue_destinations(now_ms, 100, |_| false).unwrap()
    }

    fn listed(&self) -> Vec<store::QueueEntry> {
        self.store.queue(&QueueFilter::default(), 0, 100).unwrap().0
    }
}

#[tokio::test]
async fn work_is_found_by_destination_and_claimed_once() {
    let mut t = fixture().await;
    let mut watch = t.store.watch_queue();
    enqueue(&t, outgoing(&["a@far.test", "b@Far.Test", "c@near.test"])).await;
    assert!(watch.has_changed().unwrap());
    watch.mark_unchanged();
    assert!(t.ready(99).is_empty());
    assert_eq!(t.store.queue_next_ms(|_| false).unwrap(), Some(100));
    assert_eq!(t.ready(100), ["far.test", "near.test"]);
    assert_eq!(t.store.queue_destinations(100, 100, |name| name == "far.test").unwrap(), ["near.test"]);
    let first = t.store.queue_claim("far.test", 100, 1).unwrap();
    let (item, envelope) = (&first[0], &first[0].envelope);
    assert_eq!((addresses(&first), item.attempts), (vec!["a@far.test"], 0));
    assert_eq!((envelope.return_full, envelope.smtp_utf8, envelope.eight_bit), (Some(true), true, false));
    assert_eq!(envelope.deliver_by, outgoing(&[]).deliver_by);
    assert_eq!(t.store.read_body(&item.body).unwrap(), message("out", 500));
    assert_eq!(addresses(&t.store.queue_claim("far.test", 100, 10).unwrap()), ["b@Far.Test"]);
    assert!(t.store.queue_claim("far.test", 100, 10).unwrap().is_empty());
    t.store.release_claims(&[item.id]);
    assert_eq!(t.store.queue_claim("far.test", 100, 10).unwrap()[0].id, item.id);
    // After a restart everything unsettled is due again.
    t.reopen().await;
    assert_eq!(t.store.queue_claim("far.test", 100, 10).unwrap().len(), 2);
}

#[tokio::test]
async fn outcomes_are_durable_and_the_body_goes_with_the_last_recipient() {
    let mut t = fixture().await;
    enqueue(&t, outgoing(&["a@far.test", "b@far.test"])).await;
    let items = t.store.queue_claim("far.test", 100, 10).unwrap();
    let mut settled = finished(&items[..1]);
    settled.outcomes.push(deferred(&items[1], 500));
    settled.now_ms = 150;
    t.store.settle(settled).await.unwrap();
    t.reopen().await;
    let queue = t.listed();
    assert_eq!((queue.len(), queue[0].attempts, queue[0].last_error.as_deref()), (1, 1, Some("451 later")));
    assert_eq!(t.store.queue_tries(queue[0].id).unwrap(), [(150, "451 later".to_owned())]);
    assert_eq!((t.ready(499).len(), t.ready(500).len()), (0, 1));
    assert_eq!(t.store.queue_change(vec![queue[0].id], QueueChange::Retry, 200).await.unwrap(), 1);
    let again = t.store.queue_claim("far.test", 200, 10).unwrap();
    assert!(again[0].delay_noticed && again[0].attempts == 1);
    // Giving up tells the sender in the same transaction.
    let notices = vec![delivery("undeliverable", &[t.alice])];
    let told = t.store.settle(Settled { notices, ..finished(&again) }).await.unwrap();
    assert!(told[0].recipients[0].is_ok());
    assert!(t.listed().is_empty() && t.ready(u64::MAX).is_empty());
    assert!(t.store.queue_item(again[0].id).unwrap().is_none());
    let report = t.store.check().unwrap();
    assert_eq!((report.bodies, report.messages), (1, 1));
    // Settling once more is harmless.
    t.store.settle(finished(&again)).await.unwrap();
    assert_eq!(t.store.queue_change(vec![again[0].id], QueueChange::Retry, 1).await.unwrap(), 0);
    t.check();
}

#[tokio::test]
async fn a_dead_destination_is_left_alone_as_a_whole() {
    let t = fixture().await;
    for _ in 0..3 {
        enqueue(&t, outgoing(&["a@dead.test"])).await;
    }
    enqueue(&t, outgoing(&["a@well.test"])).await;
    let tried = t.store.queue_claim("dead.test", 100, 10).unwrap();
    let state = DestinationState {
        name: "dead.test".to_owned(),
        not_before_ms: 4_000,
        failures: 1,
        last_error: Some("no answer".to_owned()),
    };
    let outcomes = vec![deferred(&tried[0], 4_000)];
    let settled = Settled { outcomes, destination: Some(state.clone()), ..Settled::default() };
    t.store.settle(settled).await.unwrap();
    assert_eq!(t.ready(3_999), ["well.test"]);
    assert_eq!(t.ready(4_000), ["well.test", "dead.test"]);
    // Nor does a session get anything that was begun while others still waited for an answer.
    assert!(t.store.queue_claim("dead.test", 3_999, 10).unwrap().is_empty());
    assert_eq!(t.store.queue_destination("dead.test").unwrap(), Some(state));
    // New mail for it waits as well, and the list says why and how long.
    enqueue(&t, outgoing(&["b@dead.test"])).await;
    assert_eq!(t.ready(3_999), ["well.test"]);
    let new = t.listed().pop().unwrap();
    assert_eq!((new.next_ms, new.last_error.as_deref()), (4_000, Some("no answer")));
    // But nobody is forgotten meanwhile: alarms come whatever the destination does.
    assert_eq!(t.store.queue_next_alarm_ms().unwrap(), Some(5_000));
    assert_eq!(t.store.queue_claim_alarms(5_000, 10).unwrap().len(), 4);
    assert!(t.store.queue_claim_alarms(5_000, 10).unwrap().is_empty());
    // An administrator who asks for a retry gets one.
    t.store.queue_change(vec![new.id], QueueChange::Retry, 200).await.unwrap();
    assert_eq!(t.ready(200), ["dead.test", "well.test"]);
}

#[tokio::test]
async fn what_is_held_waits_without_growing_old() {
    let t = fixture().await;
    let id = enqueue(&t, outgoing(&["a@far.test"])).await;
    t.store.queue_change(vec![id], QueueChange::Hold, 100).await.unwrap();
    assert!(t.ready(u64::MAX).is_empty() && t.store.queue_claim_alarms(u64::MAX, 9).unwrap().is_empty());
    let held = QueueFilter { held: Some(true), sender: Some("ALICE".into()), ..QueueFilter::default() };
    assert_eq!(t.store.queue(&held, 0, 9).unwrap().0.len(), 1);
    assert_eq!(t.store.queue_totals().unwrap().held, 1);
    assert!(t.store.queue_item(id).unwrap().unwrap().1);
    t.store.queue_change(vec![id], QueueChange::Release, 300).await.unwrap();
    assert_eq!(t.ready(300), ["far.test"]);
}

#[tokio::test]
async fn higher_priority_goes_first_and_then_who_waited_longest() {
    let t = fixture().await;
    for (address, priority, first_try_ms) in
        [("low@far.test", -3, 10), ("b@far.test", 0, 60), ("a@far.test", 0, 50), ("high@far.test", 9, 90)]
    {
        enqueue(&t, Outgoing { priority, first_try_ms, ..outgoing(&[address]) }).await;
    }
    let mut order = Vec::new();
    loop {
        let items = t.store.queue_claim("far.test", 100, 10).unwrap();
        let Some(item) = items.first() else { break };
        order.push(item.recipient.address.clone());
    }
    assert_eq!(order, ["high@far.test", "a@far.test", "b@far.test", "low@far.test"]);
    assert_eq!(t.ready(10), ["far.test"]);
}

#[tokio::test]
async fn pages_go_through_the_whole_queue() {
    let t = fixture().await;
    let names: Vec<String> = (0..25).map(|number| format!("u{number}@d{}.test", number % 5)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    enqueue(&t, outgoing(&names)).await;
    let filter = QueueFilter { destination: Some("D3.test".into()), ..QueueFilter::default() };
    let (mut seen, mut after) = (HashSet::new(), Some(0));
    while let Some(from) = after {
        let (page, next) = t.store.queue(&filter, from, 2).unwrap();
        assert!(page.len() <= 2 && page.iter().all(|entry| entry.destination == "d3.test"));
        seen.extend(page.into_iter().map(|entry| entry.recipient));
        after = next;
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(t.store.queue_totals().unwrap().destinations, 5);
}
