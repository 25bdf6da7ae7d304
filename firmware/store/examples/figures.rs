//! What the store does in a second, and how that grows with what it holds.
//!
//! `cargo run --release -p store --example figures -- DIR WORK...` with WORK one of
//!
//! ```text
//! deliver SESSIONS MESSAGES BYTES ACCOUNTS   group commit: messages a second, CPU a message
//! append SESSIONS MESSAGES BYTES             the same for APPEND, a mailbox each
//! mailbox MESSAGES                           SELECT, STORE and COPY of one large mailbox
//! grow ACCOUNTS MESSAGES                     ingest and SELECT as the store fills; start after a kill
//! ```
//!
//! DIR is made if it is not there, and what it holds is added to. CPU is that of the whole process,
//! which also makes the messages.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{
    AccountId, Append, Body, Delivery, FlagAction, FlagNames, Flags, PasswordHash, Recipient, Store,
    StoreError, StoreFlags,
};

/// Bytes of a message while a store is only filled.
const SMALL_BYTES: usize = 600;
/// Sessions that fill it.
const FILLERS: u64 = 256;
/// Deliveries of one measurement while it grows.
const SAMPLE: u64 = 20_000;

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (Some(dir), Some(work)) = (words.first().map(Path::new), words.get(1)) else {
        eprintln!("give a directory and a work; the head of this program's source lists them");
        return Ok(());
    };
    let number =
        |at: usize, usual: u64| words.get(at + 2).and_then(|word| word.parse().ok()).unwrap_or(usual);
    match work.as_str() {
        "deliver" => {
            let (store, ids) = open_with(dir, number(3, 1_000)).await?;
            let bytes = number(2, 4096) as usize;
            let figure = deliver(&store, &ids, number(0, 64), number(1, 100_000), bytes).await?;
            println!("{} sessions, {} accounts: {figure}", number(0, 64), ids.len());
            store.close().await
        }
        "append" => append(dir, number(0, 1), number(1, 2_000), number(2, 4096) as usize).await,
        "mailbox" => mailbox(dir, number(0, 10_000) as usize).await,
        "grow" => grow(dir, number(0, 100_000), number(1, 1_000_000)).await,
        "hold" => hold(dir).await,
        other => {
            eprintln!("there is no work {other}");
            Ok(())
        }
    }
}

/// Messages, seconds and CPU seconds of a run.
struct Figure {
    messages: f64,
    seconds: f64,
    cpu_s: f64,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpu = self.cpu_s * 1_000.0 / self.messages;
        write!(out, "{:.0} messages/s, {cpu:.4} CPU s a 1,000", self.messages / self.seconds)
    }
}

/// Measures `count` runs of `run`, spread over `sessions` tasks.
async fn measure<F, R>(sessions: u64, count: u64, run: F) -> Result<Figure, StoreError>
where
    F: Fn(u64, u64) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), StoreError>> + Send,
{
    let (begin, cpu_begin) = (Instant::now(), cpu_seconds());
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for session in 0..sessions {
        let (run, next) = (run.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<(), StoreError>(());
                }
                run(session, number).await?;
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|_| StoreError::Closed)??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Figure { messages: count as f64, seconds, cpu_s: cpu_seconds() - cpu_begin })
}

async fn deliver(
    store: &Store,
    ids: &Arc<Vec<AccountId>>,
    sessions: u64,
    messages: u64,
    bytes: usize,
) -> Result<Figure, StoreError> {
    let (store, ids) = (store.clone(), ids.clone());
    measure(sessions, messages, move |_, number| {
        let (store, ids) = (store.clone(), ids.clone());
        async move {
            // A fixed scatter over the accounts.
            let account = ids[(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % ids.len()];
            let recipients = vec![Recipient::inbox(account)];
            let body = Body::new(message(number, bytes));
            let delivery = Delivery { body, internal_date_s: 0, recipients, outgoing: None };
            for outcome in store.deliver(delivery).await?.recipients {
                outcome?;
            }
            Ok(())
        }
    })
    .await
}

async fn append(dir: &Path, sessions: u64, messages: u64, bytes: usize) -> Result<(), StoreError> {
    let (store, ids) = open_with(dir, sessions).await?;
    let inner = store.clone();
    let figure = measure(sessions, messages, move |session, number| {
        let (store, account) = (inner.clone(), ids[session as usize]);
        async move {
            let inbox = store.mailbox(account, "INBOX")?.ok_or(StoreError::NoSuchMailbox)?.id;
            store.append(inbox, vec![new_append(number, bytes)]).await.map(drop)
        }
    })
    .await?;
    println!("APPEND, {sessions} connections: {figure}");
    store.close().await
}

/// One large mailbox: reading, flags, copies.
async fn mailbox(dir: &Path, messages: usize) -> Result<(), StoreError> {
    let (store, ids) = open_with(dir, 1).await?;
    let inbox = store.mailbox(ids[0], "INBOX")?.ok_or(StoreError::NoSuchMailbox)?;
    let mut missing = messages.saturating_sub(inbox.messages as usize) as u64;
    while missing > 0 {
        let count = missing.min(500);
        store.append(inbox.id, (0..count).map(|number| new_append(number, SMALL_BYTES)).collect()).await?;
        missing -= count;
    }
    store.close().await?;
    drop(store);
    let store = Store::open(dir, 1)?;
    for time in ["first", "again"] {
        let begin = Instant::now();
        let found = store.mailbox(ids[0], "INBOX")?.ok_or(StoreError::NoSuchMailbox)?;
        let snapshot = store.snapshot(found.id)?;
        println!("SELECT of {}, {time}: {:.3} ms", snapshot.entries.len(), ms(begin));
    }
    let everything = vec![1..=u32::MAX];
    for action in [FlagAction::Add, FlagAction::Remove, FlagAction::Add, FlagAction::Remove] {
        let (begin, cpu) = (Instant::now(), cpu_seconds());
        let change = StoreFlags { action, flags: FlagNames::system(Flags::FLAGGED), unchanged_since: None };
        let stored = store.store_flags(inbox.id, everything.clone(), change).await?;
        let cpu = (cpu_seconds() - cpu) * 1_000.0;
        println!("STORE {action:?} on {}: {:.1} ms, {cpu:.0} ms CPU", stored.changed.len(), ms(begin));
    }
    let begin = Instant::now();
    let snapshot = store.snapshot(inbox.id)?;
    println!("SELECT of {} after it: {:.3} ms", snapshot.entries.len(), ms(begin));
    let archive = store.mailbox(ids[0], "Archive")?.ok_or(StoreError::NoSuchMailbox)?.id;
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let copied = store.copy(inbox.id, everything.clone(), archive).await?;
    let cpu = (cpu_seconds() - cpu) * 1_000.0;
    println!("COPY of {}: {:.1} ms, {cpu:.0} ms CPU", copied.uids.len(), ms(begin));
    let begin = Instant::now();
    let removed = store.remove(archive, everything).await?;
    println!("EXPUNGE of {}: {:.1} ms", removed.uids.len(), ms(begin));
    store.close().await
}

async fn grow(dir: &Path, accounts: u64, messages: u64) -> Result<(), StoreError> {
    let (store, ids) = open_with(dir, accounts).await?;
    let mut held: u64 = store.accounts(None)?.iter().map(|account| account.quota.used_messages).sum();
    let mut step = 10_000;
    loop {
        let fill = step.min(messages).saturating_sub(held);
        deliver(&store, &ids, FILLERS, fill, SMALL_BYTES).await?;
        held += fill;
        let ingest = deliver(&store, &ids, 64, SAMPLE, 4096).await?;
        let mut select = Vec::new();
        for number in 0..200_u64 {
            let account = ids[((held + number).wrapping_mul(0x9E37_79B9) % ids.len() as u64) as usize];
            let begin = Instant::now();
            let inbox = store.mailbox(account, "INBOX")?.ok_or(StoreError::NoSuchMailbox)?;
            store.snapshot(inbox.id)?;
            select.push(ms(begin));
        }
        select.sort_by(f64::total_cmp);
        println!(
            "{held} messages, {accounts} accounts: {ingest}; SELECT nobody did before {:.3} ms; {} MiB resident",
            select[select.len() / 2],
            resident_mib()
        );
        held += SAMPLE;
        if step >= messages {
            break;
        }
        step *= 10;
    }
    store.close().await?;
    drop(store);
    start_after_a_kill(dir)
}

/// Kills a process that writes to the store, and opens what it leaves.
fn start_after_a_kill(dir: &Path) -> Result<(), StoreError> {
    let mut child = std::process::Command::new(std::env::current_exe()?).arg(dir).arg("hold").spawn()?;
    std::thread::sleep(Duration::from_secs(4));
    child.kill()?;
    child.wait()?;
    let log = dir.join("mail.db-wal").metadata()?.len() / 1024 / 1024;
    // Nothing of the store is in memory any more, as on the other box.
    let dropped = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    let begin = Instant::now();
    let store = Store::open(dir, 1)?;
    let opened = ms(begin);
    store.account_by_name("user0@example.test")?;
    println!("start after a kill: {opened:.0} ms with {log} MiB of log (caches dropped: {dropped})");
    Ok(())
}

/// Delivers until it is killed.
async fn hold(dir: &Path) -> Result<(), StoreError> {
    let store = Store::open(dir, 1)?;
    let ids: Vec<AccountId> = store.accounts(None)?.iter().map(|account| account.id).collect();
    deliver(&store, &Arc::new(ids), 64, u64::MAX, 4096).await.map(drop)
}

async fn open_with(dir: &Path, accounts: u64) -> Result<(Store, Arc<Vec<AccountId>>), StoreError> {
    let store = Store::open(dir, 1)?;
    match store.add_domain("example.test").await {
        Ok(()) | Err(StoreError::Exists(_)) => {}
        Err(error) => return Err(error),
    }
    let mut tasks = Vec::new();
    for number in 0..accounts {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let address = format!("user{number}@example.test");
            if let Some(account) = store.account_by_name(&address)? {
                return Ok(account.id);
            }
            store.add_account(&address, PasswordHash("x".to_owned()), None).await
        }));
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.map_err(|_| StoreError::Closed)??);
    }
    Ok((store, Arc::new(ids)))
}

fn new_append(number: u64, bytes: usize) -> Append {
    let flags = FlagNames::default();
    Append { body: Body::new(message(number, bytes)), flags, internal_date_s: 0, zone_min: 0 }
}

fn message(number: u64, bytes: usize) -> Bytes {
    let mut text = format!(
        "Received: from client.example.test (client.example.test [192.0.2.1])\r\n\tby mail.example.test with ESMTP \
         id {number}\r\n\tfor <user@example.test>; Sun, 22 Nov 2026 15:20:00 +0000\r\n\
         Date: Sun, 22 Nov 2026 15:20:00 +0000\r\nFrom: Alice Example <alice@example.test>\r\n\
         To: Bob <bob@example.test>\r\nSubject: message {number}\r\n\
         Message-ID: <{number}@client.example.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    while text.len() < bytes {
        text.push_str("The quick brown fox jumps over the lazy dog, again and again and again.\r\n");
    }
    text.truncate(bytes.max(420));
    text.into()
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1_000.0
}

/// Seconds of processor time of this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
