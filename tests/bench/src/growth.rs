//! What more users and more stored mail cost: ingest and SELECT, each against the same work on a small
//! store, and the start of the service on what a kill leaves.
//!
//! The halves of a comparison are measured in turns where the servers can stand side by side in time;
//! the machine's own drift is then in both.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::client::Connection;
use crate::server::Server;
use crate::text::{Random, message, vocabulary};
use crate::work::{address, login_as, spread, timed};

/// Users, and messages stored, of the small store.
const FEW_USERS: usize = 1_000;
const FEW_MESSAGES: usize = 10_000;
/// Messages of one measurement, one a connection.
const SAMPLE: usize = 10_000;
/// Messages that warm up what was just started.
const WARM_UP: usize = 2_000;
/// Bytes of a measured message, and of one that only fills the store.
const SAMPLE_BYTES: usize = 4 * 1024;
const FILL_BYTES: usize = 1_024;
/// Sessions at once.
const SESSIONS: usize = 10;
/// Messages a connection while the store is filled.
const FILL_EACH: usize = 200;
/// Mailboxes whose SELECT is timed, each in a new session; the median counts.
const SELECTS: usize = 41;

/// One store of a size.
#[derive(Debug, Serialize)]
struct Size {
    users: usize,
    stored_messages: usize,
    ingest_a_second: f64,
    ingest_cpu_s_per_1000: f64,
    select_ms: f64,
    start_after_a_kill_ms: Option<f64>,
}

/// Measures all sizes; gives the report.
pub fn run(binary: &Path, many_users: usize, many_messages: usize) -> Result<String, String> {
    let words = vocabulary();
    let text = |index: usize, bytes| message(&words, bytes, index as u64, None);
    let samples: Vec<Vec<u8>> = (0..SAMPLE).map(|index| text(index, SAMPLE_BYTES)).collect();
    let fillers: Vec<Vec<u8>> = (0..1_000).map(|index| text(index, FILL_BYTES)).collect();
    let mut sizes = Vec::new();
    for (users, stored) in [(FEW_USERS, vec![FEW_MESSAGES, many_messages]), (many_users, vec![FEW_MESSAGES])]
    {
        eprintln!("{users} users");
        let mut server = Server::ours_with(binary, users)?;
        let mut done = deliver(&server, users, &samples, WARM_UP).map(|()| WARM_UP)?;
        for goal in stored {
            fill(&server, users, &fillers, goal.saturating_sub(done))?;
            done = done.max(goal) + SAMPLE;
            let mut size = measure(&server, users, goal, &samples)?;
            if goal == many_messages {
                let (again, took) = server.killed_and_started_again(binary, users)?;
                server = again;
                size.start_after_a_kill_ms = Some(took.as_secs_f64() * 1_000.0);
            }
            print(&size, sizes.first());
            sizes.push(size);
        }
        server.stop();
    }
    serde_json::to_string_pretty(&sizes).map_err(|e| e.to_string())
}

fn measure(server: &Server, users: usize, stored: usize, samples: &[Vec<u8>]) -> Result<Size, String> {
    let cpu = server.cpu_s();
    let took = timed(|| deliver(server, users, samples, SAMPLE))?.as_secs_f64();
    let cpu_s = server.cpu_s() - cpu;
    let mut random = Random(7);
    let mut selects = (0..SELECTS)
        .map(|_| {
            let mut imap = login_as(server, random.below(users))?;
            timed(|| imap.imap("SELECT INBOX").map(drop))
        })
        .collect::<Result<Vec<Duration>, _>>()?;
    selects.sort();
    Ok(Size {
        users,
        stored_messages: stored,
        ingest_a_second: SAMPLE as f64 / took,
        ingest_cpu_s_per_1000: cpu_s / SAMPLE as f64 * 1_000.0,
        select_ms: selects[SELECTS / 2].as_secs_f64() * 1_000.0,
        start_after_a_kill_ms: None,
    })
}

/// One message a connection, to users by chance.
fn deliver(server: &Server, users: usize, texts: &[Vec<u8>], count: usize) -> Result<(), String> {
    spread(count, SESSIONS, |index| {
        let user = Random(index as u64).below(users);
        Connection::deliver(server.smtp, &address(user), &texts[index % texts.len()])
    })
}

/// Many messages a connection, for mail that only has to be there.
fn fill(server: &Server, users: usize, texts: &[Vec<u8>], count: usize) -> Result<(), String> {
    if count > 0 {
        eprintln!("  storing {count} messages");
    }
    spread(count.div_ceil(FILL_EACH), SESSIONS, |part| {
        let mut smtp = Connection::open(server.smtp)?;
        smtp.smtp("EHLO bench.example", "250")?;
        for index in part * FILL_EACH..((part + 1) * FILL_EACH).min(count) {
            let user = Random(index as u64 | 1 << 50).below(users);
            smtp.message(&address(user), &texts[index % texts.len()])?;
        }
        smtp.smtp("QUIT", "221")
    })
}

fn print(size: &Size, small: Option<&Size>) {
    let Size { users, stored_messages, ingest_a_second, ingest_cpu_s_per_1000, select_ms, .. } = size;
    let times = |own: f64, of: fn(&Size) -> f64| small.map_or(1.0, |small| own / of(small));
    println!(
        "{users} users, {stored_messages} messages: SMTP in {ingest_a_second:.0}/s ({:.2}x), \
         {ingest_cpu_s_per_1000:.3} CPU s a 1,000 ({:.2}x), SELECT {select_ms:.3} ms ({:.2}x)",
        times(*ingest_a_second, |small| small.ingest_a_second),
        times(*ingest_cpu_s_per_1000, |small| small.ingest_cpu_s_per_1000),
        times(*select_ms, |small| small.select_ms),
    );
    if let Some(start_ms) = size.start_after_a_kill_ms {
        println!(
            "  killed, and started again on {stored_messages} messages: lets users in after {start_ms:.0} ms"
        );
    }
}
