//! The mail service, rehearsed: a box that does not serve starts it on an empty store in memory, sends a
//! message through it and reads it back, as the probes of a serving box do, and ends it.
//!
//! It touches nothing of any group: no array, no virtual address, a user of its own. What it shows is that
//! the program, its cryptography, its database and its protocols work on this box today; and whatever the
//! system keeps of a program that ran lately is there when a takeover needs it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use control::init::{self, ServiceState};
use control::mail::{self, Assignment, Ports};
use control::{GROUPS, REHEARSAL};

use crate::mail_service::{ask_init, services, write_assignment};
use crate::probe::{Fault, Found, ProbeWay, Prober, Progress};

/// What the start may take, on a box that is busy with other things.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for init to start or to stop it.
const INIT_WAIT: Duration = Duration::from_secs(10);
/// Between two questions while it starts.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Where it listens: an address of the box itself that nobody else uses, and ports that need no privilege.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1));
const PORTS: Ports =
    Ports { smtp: 2025, submission: 0, submissions: 0, imap: 0, imaps: 2993, pop3: 0, pop3s: 0, lmtp: 0 };

/// Whether this box serves mail now; then nothing needs to be rehearsed.
pub fn is_serving() -> bool {
    let serves = |service: &init::Service| {
        GROUPS.iter().any(|group| group.name == service.name) && service.state != ServiceState::Stopped
    };
    services().iter().any(serves)
}

/// Starts the mail service, carries one message through it, and ends it. The sentence says what did not work.
pub fn rehearse() -> Result<(), String> {
    let result = start().and_then(|way| carry_message(&way));
    let stopped = ask_init(&init::Request::Stop { service: REHEARSAL.name.to_owned() }, INIT_WAIT);
    if let Err(error) = remove_store() {
        tracing::warn!("the store of the rehearsal cannot be removed: {error}");
    }
    result.and(stopped.map_err(|fault| format!("the rehearsed mail service cannot be stopped: {fault}")))
}

fn start() -> Result<ProbeWay, String> {
    let failed = |error: io::Error| format!("the mail service cannot be rehearsed: {error}");
    remove_store().map_err(failed)?;
    let way = ProbeWay::default();
    let assignment = Assignment {
        data_dir: REHEARSAL.data_dir.to_owned(),
        epoch: 1,
        addresses: vec![ADDRESS],
        host_name: "rehearsal.invalid".to_owned(),
        name_servers: vec![],
        first: None,
        ports: PORTS,
        socket: REHEARSAL.socket.to_owned(),
        probe_token: way.draw(&[ADDRESS], PORTS),
    };
    write_assignment(&REHEARSAL, &assignment).map_err(failed)?;
    ask_init(&init::Request::Start { service: REHEARSAL.name.to_owned() }, INIT_WAIT)
        .map_err(|fault| format!("the mail service cannot be rehearsed: {fault}"))?;
    let end = Instant::now() + START_LIMIT;
    loop {
        let health = control::wire::call(Path::new(REHEARSAL.socket), &mail::Request::Health, ANSWER_WAIT);
        if matches!(health, Ok(mail::Reply::Healthy { .. })) {
            return Ok(way);
        }
        if let Some(service) = services().into_iter().find(|service| service.name == REHEARSAL.name)
            && service.state == ServiceState::Failed
        {
            let why = service.last_end.unwrap_or_else(|| "it ended without a word".to_owned());
            return Err(format!("the mail service does not start: {why}"));
        }
        if Instant::now() >= end {
            return Err(format!("the mail service did not start within {} s", START_LIMIT.as_secs()));
        }
        sleep(POLL);
    }
}

fn carry_message(way: &ProbeWay) -> Result<(), String> {
    let mut prober = Prober::new(&REHEARSAL, way.clone(), Progress::default());
    match prober.once() {
        Ok(Found { disk_full: Some(None) }) => Ok(()),
        Ok(Found { disk_full: Some(Some(words)) }) => Err(format!("the mail service works wrongly: {words}")),
        Ok(Found { disk_full: None }) => Err("the rehearsed mail service does not listen".to_owned()),
        // A box that is busy with other things says nothing about a takeover.
        Err(Fault::Busy(_)) => Ok(()),
        Err(Fault::NobodyListens) => Err("the rehearsed mail service does not listen".to_owned()),
        Err(Fault::Wrong(words)) => Err(format!("the mail service works wrongly: {words}")),
    }
}

/// It takes memory.
fn remove_store() -> io::Result<()> {
    match fs::remove_dir_all(REHEARSAL.data_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
