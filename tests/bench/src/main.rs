//! Load and timing, side by side with peers.
//!
//! Starts our own mail service and Debian's Postfix with Dovecot, one after the other, on loopback,
//! runs the same work against each, and prints one table: rate, CPU seconds for 1,000 operations,
//! and the ratio. Every server syncs every message; that is what is compared.
//!
//! It asserts nothing about time: figures are for people, and for the JSON file.
//!
//! The client shares the processors with the server, so CPU seconds count before rates.

mod client;
mod server;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::server::Server;
use crate::work::{Figure, Load};

/// Measures the mail service beside Postfix and Dovecot.
#[derive(Parser)]
struct Options {
    /// The firmware's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Messages for the SMTP and IMAP work.
    #[arg(long, default_value_t = 5_000)]
    messages: usize,
    /// Size of one message in bytes.
    #[arg(long, default_value_t = 4_096)]
    size_bytes: usize,
    /// Sessions at once for SMTP and APPEND.
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Leave the peers out.
    #[arg(long)]
    alone: bool,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

#[derive(Serialize)]
struct Report {
    messages: usize,
    size_bytes: usize,
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
    let load = Load {
        messages: options.messages,
        size_bytes: options.size_bytes,
        sessions: options.sessions.max(1),
    };
    let ours = measure(Server::ours(&options.binary)?, &load)?;
    let peers = if options.alone { Vec::new() } else { measure(Server::peers()?, &load)? };
    print_table(&ours, &peers);
    let report =
        Report { messages: load.messages, size_bytes: load.size_bytes, sessions: load.sessions, ours, peers };
    let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
    std::fs::write(&options.json, text).map_err(|e| format!("{}: {e}", options.json.display()))?;
    println!("\nThe same as JSON: {}", options.json.display());
    Ok(())
}

fn measure(server: Server, load: &Load) -> Result<Vec<Figure>, String> {
    eprintln!("{}:", server.name);
    let mut figures = Vec::new();
    for (name, work) in work::ALL {
        eprintln!("  {name}");
        figures.push(work::time(name, &server, load, work)?);
    }
    server.stop();
    Ok(figures)
}

fn print_table(ours: &[Figure], peers: &[Figure]) {
    println!("\n{:<26}{:>24}{:>28}{:>16}", "", "Twinmail", "Postfix + Dovecot", "ratio");
    println!(
        "{:<26}{:>12}{:>12}{:>14}{:>14}{:>8}{:>8}",
        "work", "rate/s", "cpu s/1000", "rate/s", "cpu s/1000", "rate", "cpu"
    );
    for (index, own) in ours.iter().enumerate() {
        print!("{:<26}{:>12.0}{:>12.3}", own.work, own.rate_per_s, own.cpu_s_per_1000);
        if let Some(peer) = peers.get(index) {
            let rate = own.rate_per_s / peer.rate_per_s;
            print!("{:>14.0}{:>14.3}{rate:>7.1}x", peer.rate_per_s, peer.cpu_s_per_1000);
            // Less than one tick of the kernel's clock is no figure to divide by.
            if own.cpu_s_per_1000 > 0.0 {
                print!("{:>7.1}x", peer.cpu_s_per_1000 / own.cpu_s_per_1000);
            } else {
                print!("{:>8}", "-");
            }
        }
        println!();
    }
}
