//! The outgoing queue.

mod fixture;

use fixture::{Fixture, body, delivery, fixture, message};
use store::{Delivery, Outcome, Outgoing, OutgoingRecipient, QueueId, Settlement};

async fn enqueue(t: &Fixture, recipients: &[&str]) -> QueueId {
    let recipients = recipients
        .iter()
        .map(|&address| OutgoingRecipient {
            address: address.to_owned(),
            notify: 6,
            original: Some("o".to_owned()),
        })
        .collect();
    let outgoing = Outgoing {
        sender: "alice@example.test".to_owned(),
        recipients,
        first_try_ms: 100,
        expires_ms: 9_000,
        envelope_id: Some("id".to_owned()),
        return_full: true,
        eight_bit: false,
        smtp_utf8: true,
    };
    let delivery =
        Delivery { body: body("out"), internal_date_s: 0, recipients: Vec::new(), outgoing: Some(outgoing) };
    t.store.deliver(delivery).await.expect("a delivery").queued.expect("a number")
}

fn finished(id: QueueId) -> Settlement {
    Settlement { id, outcome: Outcome::Finished }
}

#[tokio::test]
async fn what_is_claimed_is_not_given_out_twice() {
    let mut t = fixture().await;
    let mut watch = t.store.watch_queue();
    enqueue(&t, &["a@far.test", "b@far.test"]).await;
    assert!(watch.has_changed().unwrap());
    watch.mark_unchanged();
    assert!(t.store.claim_due(99, 10).unwrap().is_empty());
    assert_eq!(t.store.next_due_ms().unwrap(), Some(100));
    let first = t.store.claim_due(100, 1).unwrap();
    let item = &first[0];
    assert_eq!((item.recipient.address.as_str(), item.attempts), ("a@far.test", 0));
    assert!(item.return_full && item.smtp_utf8 && !item.eight_bit);
    assert_eq!(t.store.read_body(&item.body).unwrap(), message("out", 500));
    let second = t.store.claim_due(100, 10).unwrap();
    assert_eq!((second.len(), second[0].recipient.address.as_str()), (1, "b@far.test"));
    assert_eq!(t.store.next_due_ms().unwrap(), None);
    t.store.release_claims(&[item.id]);
    assert_eq!(t.store.claim_due(100, 10).unwrap()[0].id, item.id);
    // After a restart everything unsettled is due again.
    t.reopen().await;
    assert_eq!(t.store.claim_due(100, 10).unwrap().len(), 2);
}

#[tokio::test]
async fn outcomes_are_durable_and_the_body_goes_with_the_last_recipient() {
    let mut t = fixture().await;
    let id = enqueue(&t, &["a@far.test", "b@far.test"]).await;
    let items = t.store.claim_due(100, 10).unwrap();
    assert_eq!(items[0].id, id);
    let deferred = Outcome::Deferred { next_ms: 500, error: "451 later".to_owned(), delay_noticed: true };
    let settlements = vec![finished(items[0].id), Settlement { id: items[1].id, outcome: deferred }];
    t.store.settle(settlements, None).await.unwrap();
    t.reopen().await;
    let queue = t.store.queue(100).unwrap();
    assert_eq!((queue.len(), queue[0].attempts, queue[0].last_error.as_deref()), (1, 1, Some("451 later")));
    assert_eq!(t.store.next_due_ms().unwrap(), Some(500));
    t.store.queue_retry(Some(queue[0].id), 200).await.unwrap();
    let again = t.store.claim_due(200, 10).unwrap();
    assert!(again[0].delay_noticed && again[0].attempts == 1);
    // Giving up tells the sender in the same transaction.
    let notice = delivery("undeliverable", &[t.alice]);
    let told = t.store.settle(vec![finished(again[0].id)], Some(notice)).await.unwrap().unwrap();
    assert!(told.recipients[0].is_ok());
    assert!(t.store.queue(100).unwrap().is_empty());
    assert_eq!(t.store.queue_item(again[0].id).unwrap(), None);
    let report = t.store.check().unwrap();
    assert_eq!((report.bodies, report.messages), (1, 1));
    // Settling once more is harmless.
    t.store.settle(vec![finished(again[0].id)], None).await.unwrap();
    assert!(t.store.queue_retry(Some(again[0].id), 1).await.is_err());
    t.store.queue_retry(None, 1).await.unwrap();
    t.check();
}
