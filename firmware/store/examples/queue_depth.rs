//! How the outgoing queue behaves with much in it: `queue_depth DIR RECIPIENTS`.
//!
//! Half of them wait at one destination, the rest at ten thousand others. Printed is what finding,
//! claiming and settling one message costs, empty and full.

use std::time::Instant;

use bytes::Bytes;
use store::{Body, Delivery, Outcome, Outgoing, OutgoingRecipient, Settled, Settlement, Store, StoreError};

const PER_MESSAGE: usize = 5_000;
const ROUNDS: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: queue_depth DIR RECIPIENTS")?;
    let recipients: usize = args.next().ok_or("usage: queue_depth DIR RECIPIENTS")?.parse()?;
    let store = Store::open(dir.as_ref(), 1)?;
    enqueue(&store, 0, 1_000).await?;
    println!("with 1000: {}", measure(&store).await?);
    let begun = Instant::now();
    for at in (0..recipients).step_by(PER_MESSAGE) {
        enqueue(&store, at, PER_MESSAGE).await?;
    }
    println!("{recipients} queued in {} ms", begun.elapsed().as_millis());
    println!("with {recipients}: {}", measure(&store).await?);
    store.close().await?;
    Ok(())
}

async fn enqueue(store: &Store, at: usize, count: usize) -> Result<(), StoreError> {
    let address = |number: usize| match number % 2 {
        0 => format!("u{number}@busy.test"),
        _ => format!("u{number}@d{}.test", number / 2 % 10_000),
    };
    let recipient = |number| OutgoingRecipient { address: address(number), notify: 6, original: None };
    let outgoing = Outgoing {
        sender: "a@b.test".into(),
        recipients: (at..at + count).map(recipient).collect(),
        first_try_ms: at as u64,
        alarm_ms: 1 << 40,
        expires_ms: 1 << 41,
        ..Outgoing::default()
    };
    let body = Body::new(Bytes::from_static(b"Subject: x\r\n\r\nx\r\n"));
    let delivery = Delivery { body, internal_date_s: 0, recipients: Vec::new(), outgoing: Some(outgoing) };
    store.deliver(delivery).await.map(drop)
}

async fn measure(store: &Store) -> Result<String, StoreError> {
    let (mut find, mut claim, mut settle) = (0, 0, 0);
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let ready = store.queue_destinations(u64::MAX >> 2, 100, |_| false)?;
        store.queue_next_ms(|_| false)?;
        store.queue_next_alarm_ms()?;
        find += begun.elapsed().as_micros();
        let Some(name) = ready.get(round as usize % ready.len().max(1)) else { break };
        let begun = Instant::now();
        let items = store.queue_claim(name, u64::MAX >> 2, 1)?;
        claim += begun.elapsed().as_micros();
        let outcomes = items.iter().map(|item| Settlement { id: item.id, outcome: Outcome::Finished });
        let begun = Instant::now();
        store.settle(Settled { outcomes: outcomes.collect(), ..Settled::default() }).await?;
        settle += begun.elapsed().as_micros();
    }
    let mean = |sum: u128| sum / u128::from(ROUNDS);
    Ok(format!("find {} us, claim {} us, settle {} us", mean(find), mean(claim), mean(settle)))
}
