//! The load of a day's busiest hour: users and other servers at their own pace.
//!
//! Rates, sizes, recipients and limits are those that SPEC published for SPECmail2001 (Architecture
//! White Paper 1.00, sections 3 to 7). SPEC has retired that benchmark: what is measured here is like
//! it, and is no result of SPEC's.
//!
//! ```text
//! session   one SMTP or POP3 session of a user or a server
//! profile   the published numbers
//! sink      where mail for elsewhere goes
//! ```

mod profile;
mod session;
mod sink;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::server::{ACCOUNTS, Hash, Server};
use crate::text::{Random, vocabulary};
use profile::Rates;
use session::{Kind, Measured, Target};

/// Sessions that may be open at the same time; more are errors, as a full server's would be.
const SESSIONS_MAX: usize = 16_000;
/// How long sessions under way are given at the end.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Port of the sink.
const SINK_PORT: u16 = 3925;

/// What came out.
#[derive(Serialize)]
struct Report {
    messages_a_minute: u32,
    seconds: u64,
    sessions: u64,
    errors: u64,
    sent: u64,
    at_sink: u64,
    for_sink: u64,
    server_cpu_s: f64,
    server_memory_mib: f64,
    answers: Vec<Answers>,
    passed: bool,
}

/// How quickly one kind of request was answered.
#[derive(Serialize)]
struct Answers {
    request: &'static str,
    count: usize,
    median_ms: f64,
    p95_ms: f64,
    worst_ms: f64,
    in_time_percent: f64,
}

/// Runs the profile on our service; the report as JSON, and a table for people.
pub fn run(binary: &Path, messages_a_minute: u32, seconds: u64) -> Result<String, String> {
    let port = SINK_PORT.to_string();
    let server = Server::ours(binary, Hash::Cheap, &["--relay-port", &port])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let report = runtime.map_err(|e| e.to_string())?.block_on(load(&server, messages_a_minute, seconds));
    server.stop();
    let report = report?;
    print(&report);
    serde_json::to_string_pretty(&report).map_err(|e| e.to_string())
}

async fn load(server: &Server, messages_a_minute: u32, seconds: u64) -> Result<Report, String> {
    let rates = Rates::of(messages_a_minute);
    let at_sink = sink::start(SINK_PORT).await?;
    let target = Arc::new(Target::new(server, vocabulary()));
    let (results, mut measured) = mpsc::unbounded_channel::<Measured>();
    let places = Arc::new(Semaphore::new(SESSIONS_MAX));
    let refused = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let warm = begin + Duration::from_secs(seconds / 4);
    let end = warm + Duration::from_secs(seconds);
    eprintln!("{messages_a_minute} messages a minute for {seconds} s, after {} s of warm-up", seconds / 4);
    let sources: Vec<_> = rates
        .all()
        .into_iter()
        .enumerate()
        .map(|(seed, (kind, rate))| {
            let (target, results, places, refused) =
                (Arc::clone(&target), results.clone(), Arc::clone(&places), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut random = Random(seed as u64 + 1);
                let mut next = Instant::now();
                while next < end {
                    next += profile::gap(rate, &mut random);
                    tokio::time::sleep_until(next).await;
                    let seed = random.next();
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let (target, results, counts) = (Arc::clone(&target), results.clone(), next >= warm);
                    tokio::spawn(async move {
                        let mut measured = session::run(kind, &target, seed).await;
                        measured.counts = counts;
                        let _ = results.send(measured);
                        drop(place);
                    });
                }
            })
        })
        .collect();
    drop(results);
    let sampler = async {
        tokio::time::sleep_until(warm).await;
        let mut memory_kib = 0;
        let at_start = server.cpu_s();
        while Instant::now() < end {
            memory_kib = memory_kib.max(server.memory_kib());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let cpu_s = server.cpu_s() - at_start;
        for source in sources {
            let _ = source.await;
        }
        tokio::time::sleep(COOL_DOWN).await;
        (cpu_s, memory_kib)
    };
    let mut all = Vec::new();
    tokio::pin!(sampler);
    let (cpu_s, memory_kib) = loop {
        tokio::select! {
            usage = &mut sampler => break usage,
            Some(one) = measured.recv() => all.push(one),
        }
    };
    // Sessions of slow lines that still go on are neither right nor wrong.
    let refused = refused.load(Ordering::Relaxed);
    Ok(summarize(
        &all,
        refused,
        at_sink.load(Ordering::Relaxed),
        (messages_a_minute, seconds),
        cpu_s,
        memory_kib,
    ))
}

fn summarize(
    all: &[Measured],
    refused: u64,
    at_sink: u64,
    (messages_a_minute, seconds): (u32, u64),
    server_cpu_s: f64,
    memory_kib: u64,
) -> Report {
    let counted: Vec<&Measured> = all.iter().filter(|one| one.counts).collect();
    for error in counted.iter().filter_map(|one| one.error.as_ref()).take(5) {
        eprintln!("  an error: {error}");
    }
    let errors = counted.iter().filter(|one| one.error.is_some()).count() as u64 + refused;
    let answers: Vec<Answers> = session::REQUESTS
        .iter()
        .map(|request| {
            let of = counted.iter().flat_map(|one| &one.answers).filter(|answer| answer.request == *request);
            let mut times: Vec<f64> = of.clone().map(|answer| answer.took.as_secs_f64() * 1000.0).collect();
            let in_time = of.filter(|answer| answer.took <= answer.allowed).count();
            times.sort_by(f64::total_cmp);
            let at = |part: f64| times.get((times.len() as f64 * part) as usize).or(times.last()).copied();
            Answers {
                request,
                count: times.len(),
                median_ms: at(0.5).unwrap_or(0.0),
                p95_ms: at(0.95).unwrap_or(0.0),
                worst_ms: times.last().copied().unwrap_or(0.0),
                in_time_percent: in_time as f64 / times.len().max(1) as f64 * 100.0,
            }
        })
        .collect();
    let sessions = counted.len() as u64 + refused;
    let (sent, for_sink) = (
        counted.iter().filter(|one| one.sent && one.error.is_none()).count() as u64,
        all.iter().map(|one| one.for_sink).sum::<u64>(),
    );
    let passed = errors * 100 <= sessions
        && answers.iter().all(|one| one.in_time_percent >= 95.0)
        && at_sink * 100 >= for_sink * 95;
    Report {
        messages_a_minute,
        seconds,
        sessions,
        errors,
        sent,
        at_sink,
        for_sink,
        server_cpu_s,
        server_memory_mib: memory_kib as f64 / 1024.0,
        answers,
        passed,
    }
}

fn print(report: &Report) {
    println!(
        "\n{:<12}{:>10}{:>12}{:>12}{:>12}{:>12}",
        "request", "count", "median ms", "95 % ms", "worst ms", "in time %"
    );
    for one in &report.answers {
        println!(
            "{:<12}{:>10}{:>12.1}{:>12.1}{:>12.1}{:>12.2}",
            one.request, one.count, one.median_ms, one.p95_ms, one.worst_ms, one.in_time_percent
        );
    }
    let minutes = report.seconds as f64 / 60.0;
    println!(
        "\n{} sessions, {} errors, {:.0} messages a minute taken of {} asked; {} of {} at the sink",
        report.sessions,
        report.errors,
        report.sent as f64 / minutes,
        report.messages_a_minute * 19 / 10,
        report.at_sink,
        report.for_sink
    );
    println!(
        "server: {:.1} CPU s in {} s, {:.0} MiB",
        report.server_cpu_s, report.seconds, report.server_memory_mib
    );
    println!("{} accounts; quality of service {}", ACCOUNTS, if report.passed { "kept" } else { "NOT kept" });
}

/// Names of the kinds of session, for the sources.
pub(crate) const KINDS: [Kind; 4] = [Kind::UserSends, Kind::ServerSends, Kind::UserReads, Kind::UserRetries];
