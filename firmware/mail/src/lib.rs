//! The mail service: listeners, TLS, logins, delivery, the outgoing queue, and its administration.
//!
//! It is the shell around the protocol machines of `smtp`, `pop3` and `imap`, and the only process that
//! has the store open. [`main`] runs it in a box as the cluster service assigned it, [`serve`] runs the
//! same on a developer's machine.
//!
//! It never knows of boxes, reservations or takeovers, only the epoch it was given; it never runs as
//! root, keeps a password in clear, or logs a secret or a message's content.
//!
//! What always holds: a message is confirmed only after the store has it on disk; after a failed store
//! nothing is confirmed any more and the process ends with an error; every connection, queue, buffer and
//! wait has a bound in [`Limits`] or in a constant of its module.

mod admin;
mod admission;
mod authentication;
mod clock;
mod config;
mod counters;
mod delivery;
mod directory;
mod end_point;
mod error;
mod expansion;
mod figures;
mod first;
mod guard;
mod letters;
mod listen;
mod maildrops;
mod outgoing;
mod password;
mod probing;
mod proxy;
mod receiving;
mod rewriting;
mod sending_rate;
mod service;
mod session;
mod signing_keys;
mod tls;
mod try_out;
mod warnings;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use control::mail::Assignment;
use tokio::signal::unix::{SignalKind, signal};

pub use config::{Config, Limits, RelayTimes, TryOut};
pub use error::MailError;
pub use service::{Service, Stopped};
pub use try_out::Options;

/// Threads that carry sessions; the box has two to four cores, and blocking work has its own threads.
const WORKER_THREADS: usize = 2;
/// Threads for hashing, large messages and long readings.
const BLOCKING_THREADS_MAX: usize = 8;

/// The service of a box. The arguments are those behind `mail`: `--assignment PATH` or none.
pub fn main(args: &[String]) -> ExitCode {
    start_log();
    let path = match args {
        [] => PathBuf::from(control::MAIL_ASSIGNMENT),
        [flag, path] if flag == "--assignment" => PathBuf::from(path),
        _ => {
            eprintln!("usage: twinmail mail [--assignment PATH]");
            return ExitCode::from(2);
        }
    };
    finish(read_assignment(&path).and_then(|config| block_on(run_assigned(config))))
}

/// The service alone on this machine. The arguments are those behind `serve`.
pub fn serve(args: &[String]) -> ExitCode {
    let words = std::iter::once("twinmail serve").chain(args.iter().map(String::as_str));
    let options = match Options::try_parse_from(words) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    start_log();
    finish(block_on(run_try_out(options)))
}

/// One line an event, without colours or time: init adds both where they are wanted.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TWINMAIL_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("info,hickory_net=error,hickory_resolver=error")
    });
    let format = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
    // Already set in tests that start the service twice.
    let _ = format.with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn finish(result: Result<(), MailError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(service: impl Future<Output = Result<(), MailError>>) -> Result<(), MailError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(MailError::Runtime)?;
    let result = runtime.block_on(service);
    // Sessions that still run have nothing more to confirm.
    runtime.shutdown_background();
    result
}

/// A connection is a descriptor; the system's usual 1,024 are fewer than [`Limits`] allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

fn read_assignment(path: &Path) -> Result<Config, MailError> {
    let text =
        std::fs::read(path).map_err(|source| MailError::Assignment { path: path.to_owned(), source })?;
    let assignment: Assignment = serde_json::from_slice(&text)
        .map_err(|source| MailError::AssignmentFormat { path: path.to_owned(), source })?;
    Ok(Config {
        data_dir: assignment.data_dir.into(),
        epoch: assignment.epoch,
        addresses: assignment.addresses,
        host_name: assignment.host_name,
        name_servers: assignment.name_servers.into_iter().map(|server| (server, 53).into()).collect(),
        first: assignment.first,
        ports: assignment.ports,
        socket: Some(assignment.socket.into()),
        probe_token: assignment.probe_token,
        relay_port: 25,
        policy_port: 443,
        try_out: TryOut::default(),
        limits: Limits::default(),
    })
}

async fn run_assigned(config: Config) -> Result<(), MailError> {
    let _stopped = run(Service::start(config).await?).await?;
    // The other box waits: what is only to be put away in memory goes with the process.
    std::process::exit(0)
}

async fn run_try_out(options: Options) -> Result<(), MailError> {
    let service = Service::start(options.config()).await?;
    let accounts = options.make_accounts(service.store()).await?;
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "{}", options.welcome(&accounts));
    run(service).await.map(drop)
}

/// Serves until a signal or until the store fails.
async fn run(mut service: Service) -> Result<Stopped, MailError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(MailError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(MailError::Runtime)?;
    tokio::select! {
        reason = service.store_failed() => return Err(MailError::StoreFailed(reason)),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    service.stop().await
}
