//! The one program of the box: it becomes init, cluster, mail, panel or the command line.
//!
//! It decides by its name and its first word who it is, and does nothing itself.
//!
//! A word that names no process of the box belongs to the command line.

use std::path::Path;
use std::process::ExitCode;

/// Process number of the first program of a machine.
const FIRST_PROCESS: u32 = 1;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let named_init = Path::new(&program).file_name().is_some_and(|name| name == "init");
    match words.split_first() {
        _ if named_init => become_init(),
        Some((first, _)) if first == "init" => become_init(),
        Some((first, rest)) if first == "mail" => confined("mail", || mail::main(rest)),
        Some((first, _)) if first == control::SECOND_GROUP.name => mail_of(&control::SECOND_GROUP),
        Some((first, _)) if first == control::REHEARSAL.name => mail_of(&control::REHEARSAL),
        Some((first, rest)) if first == "serve" => mail::serve(rest),
        Some((first, rest)) if first == "cluster" => confined("cluster", || cluster_service::main(rest)),
        Some((first, rest)) if first == "panel" => confined("panel", || panel::main(rest)),
        _ => admin::main(words),
    }
}

/// The mail service of `group`.
fn mail_of(group: &control::GroupPlace) -> ExitCode {
    confined(group.name, || mail::main(&["--assignment".to_owned(), group.assignment.to_owned()]))
}

/// A service gives up what it does not need before anything else.
fn confined(name: &str, service: impl FnOnce() -> ExitCode) -> ExitCode {
    match init::confine(name) {
        Ok(()) => service(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// init owns the machine it runs on: anywhere but as its first process it would take it apart.
fn become_init() -> ExitCode {
    if std::process::id() == FIRST_PROCESS {
        init::main()
    }
    eprintln!("init runs only as the first process of a box");
    ExitCode::FAILURE
}
