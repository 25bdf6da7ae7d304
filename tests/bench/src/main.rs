//! Load and timing, side by side with peers.
//!
//! Starts our own mail service and Debian's Postfix with Dovecot, one after the other, on loopback,
//! runs the same work against each, and prints one table: the figure, CPU seconds for 1,000 operations,
//! and the ratios. Every server syncs every message; that is what is compared. `--profile users` runs
//! the load of a day's busiest hour instead, on our service alone; `--profile growth` shows what more
//! users and more stored mail cost, and how long a start takes after a kill.
//!
//! It asserts nothing about time: figures are for people, and for the JSON file.
//!
//! The client shares the processors with the server, so CPU seconds count before rates.

mod client;
mod growth;
mod idle;
mod server;
mod store_alone;
mod table;
mod text;
mod users;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::server::{Hash, Server};
use crate::table::Figure;
use crate::work::Load;

/// Measures the mail service beside Postfix and Dovecot.
#[derive(Parser)]
struct Options {
    /// The firmware's binary
    #[arg(long)]
    binary: PathBuf,
    /// What to run
    #[arg(long, value_enum, default_value_t = Profile::Works)]
    profile: Profile,
    /// Messages in the mailbox of the IMAP work, and for SMTP
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Sessions at once for SMTP, APPEND and LOGIN
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Idle TLS connections to hold on our service
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    /// Only works whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Leave the peers out
    #[arg(long)]
    alone: bool,
    /// Messages a minute of the users' profile
    #[arg(long, default_value_t = 35_000)]
    messages_a_minute: u32,
    /// Seconds of the users' profile, after a warm-up of a quarter of them
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The many users of the growth profile
    #[arg(long, default_value_t = 100_000)]
    many_users: usize,
    /// The many messages of the growth profile
    #[arg(long, default_value_t = 1_000_000)]
    many_messages: usize,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// One kind of work after the other, as fast as it goes
    Works,
    /// Users and other servers at their own pace, SPECmail2001-like
    Users,
    /// The same work with few and many users, with little and much mail stored
    Growth,
}

#[derive(Serialize)]
struct Report {
    messages: usize,
    sessions: usize,
    ours: Vec<Figure>,
    peers: Vec<Figure>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("bench: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    raise_open_files()?;
    let text = match options.profile {
        Profile::Works => works(options)?,
        Profile::Growth => growth::run(&options.binary, options.many_users, options.many_messages)?,
        Profile::Users => users::run(&options.binary, options.messages_a_minute, options.seconds)?,
    };
    if let Some(folder) = options.json.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    std::fs::write(&options.json, text).map_err(|e| format!("{}: {e}", options.json.display()))?;
    println!("\nThe same as JSON: {}", options.json.display());
    Ok(())
}

fn works(options: &Options) -> Result<String, String> {
    let load = Load {
        messages: options.messages.max(100),
        sessions: options.sessions.max(1),
        idle: options.idle,
        only: options.only.clone(),
    };
    eprintln!("Making {} messages", load.messages);
    let texts = text::Texts::new(load.messages);
    let mut ours = Vec::new();
    if load.wants(store_alone::NAME) {
        eprintln!("The store alone");
        ours.push(store_alone::measure(&texts)?);
    }
    ours.extend(measure(Server::ours(&options.binary, Hash::Cheap, &[])?, &load, &texts)?);
    if load.wants(work::ARGON) {
        let server = Server::ours(&options.binary, Hash::Argon2id, &[])?;
        ours.push(work::logins_with_argon(&server)?);
        server.stop();
    }
    let peers = if options.alone { Vec::new() } else { measure(Server::peers()?, &load, &texts)? };
    table::print(&ours, &peers);
    let report = Report { messages: load.messages, sessions: load.sessions, ours, peers };
    serde_json::to_string_pretty(&report).map_err(|e| e.to_string())
}

fn measure(server: Server, load: &Load, texts: &text::Texts) -> Result<Vec<Figure>, String> {
    eprintln!("{}:", server.name);
    let figures = work::all(&server, load, texts);
    server.stop();
    figures
}

/// Ten thousand connections need as many open files, here and in the server, which inherits the bound.
fn raise_open_files() -> Result<(), String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|e| format!("the bound of open files: {e}"))
}
