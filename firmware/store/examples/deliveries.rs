//! How many messages a second the store makes durable.
//!
//! `cargo run --release -p store --example deliveries -- DIR [SESSIONS [MESSAGES [BYTES [ACCOUNTS]]]]`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use store::{Body, Delivery, PasswordHash, Recipient, Store, StoreError};

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(usual);
    let dir = words.first().map_or("/var/tmp/deliveries", String::as_str);
    let (sessions, messages, bytes, accounts) =
        (number(1, 64), number(2, 100_000), number(3, 4096), number(4, 1_000));

    let store = Store::open(Path::new(dir), 1)?;
    let ids = make_accounts(&store, accounts).await?;
    let begin = Instant::now();
    let cpu_begin = cpu_seconds();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..sessions {
        let (store, next, ids) = (store.clone(), next.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= messages {
                    return Ok::<(), StoreError>(());
                }
                // A fixed scatter over the accounts.
                let account = ids[(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % ids.len()];
                let body = Body::new(message(number, bytes as usize));
                let recipients = vec![Recipient::inbox(account)];
                let delivery = Delivery { body, internal_date_s: 0, recipients, outgoing: None };
                for outcome in store.deliver(delivery).await?.recipients {
                    outcome?;
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|_| StoreError::Closed)??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu_begin;
    println!(
        "{messages} messages of {bytes} bytes, {sessions} sessions, {accounts} accounts: {:.0} messages/s, {:.3} CPU s a 1,000",
        messages as f64 / seconds,
        cpu * 1_000.0 / messages as f64
    );
    let begin = Instant::now();
    store.close().await?;
    drop(store);
    println!("close: {:.0} ms", begin.elapsed().as_secs_f64() * 1_000.0);
    let begin = Instant::now();
    let store = Store::open(Path::new(dir), 1)?;
    println!("open: {:.1} ms", begin.elapsed().as_secs_f64() * 1_000.0);
    let begin = Instant::now();
    let snapshot = store.snapshot(store.mailbox(ids[0], "INBOX")?.ok_or(StoreError::NoSuchMailbox)?.id)?;
    println!("select of {}: {:.2} ms", snapshot.entries.len(), begin.elapsed().as_secs_f64() * 1_000.0);
    let begin = Instant::now();
    let rows = store.rows(snapshot.mailbox.id, &vec![1..=u32::MAX], true)?;
    println!("rows of {}: {:.2} ms", rows.len(), begin.elapsed().as_secs_f64() * 1_000.0);
    store.close().await
}

async fn make_accounts(store: &Store, accounts: u64) -> Result<Vec<store::AccountId>, StoreError> {
    match store.add_domain("example.test").await {
        Ok(()) | Err(StoreError::Exists(_)) => {}
        Err(error) => return Err(error),
    }
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..accounts {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let address = format!("user{number}@example.test");
            match store.add_account(&address, PasswordHash("x".to_owned()), None).await {
                Err(StoreError::Exists(_)) => store
                    .account_by_name(&address)?
                    .map(|account| account.id)
                    .ok_or(StoreError::NoSuchAccount),
                other => other,
            }
        }));
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.map_err(|_| StoreError::Closed)??);
    }
    println!("{accounts} accounts: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(ids)
}

fn message(number: u64, bytes: usize) -> Bytes {
    let mut text = format!(
        "Received: from client.example.test (client.example.test [192.0.2.1])\r\n\tby mail.example.test with ESMTP id \
         {number}\r\n\tfor <user@example.test>; Sun, 22 Nov 2026 15:20:00 +0000\r\nDate: Sun, 22 Nov 2026 15:20:00 +0000\r\n\
         From: Alice Example <alice@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: message {number}\r\n\
         Message-ID: <{number}@client.example.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    while text.len() < bytes {
        text.push_str("The quick brown fox jumps over the lazy dog, again and again and again.\r\n");
    }
    text.truncate(bytes);
    Bytes::from(text)
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
