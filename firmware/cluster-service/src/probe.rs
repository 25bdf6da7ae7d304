//! One question to the mail service.

use std::path::Path;
use std::time::Duration;

use control::GroupPlace;
use control::mail::{Reply, Request};
use control::wire::WireError;
use crossbeam_channel::{Receiver, Sender};

/// Longest wait for an answer; the sentry has judged the service before.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a question had no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens where it should.
    NobodyListens,
    /// It answered, and not as it should.
    Wrong(String),
}

/// Puts a question to the mail service of `group` whenever one is `asked`, and hands on what came of it under its number.
pub fn run(group: &GroupPlace, asked: &Receiver<u32>, answer: &Sender<(u32, Result<(), Fault>)>) {
    for number in asked {
        if answer.send((number, put(group))).is_err() {
            return;
        }
    }
}

fn put(group: &GroupPlace) -> Result<(), Fault> {
    match control::wire::call(Path::new(group.socket), &Request::Health, ANSWER_MAX) {
        Ok(Reply::Healthy { .. }) => Ok(()),
        Ok(Reply::Refused(reason)) => Err(Fault::Wrong(reason)),
        Ok(_) => Err(Fault::Wrong("it gave an answer to another question".to_owned())),
        Err(WireError::NotRunning { .. }) => Err(Fault::NobodyListens),
        Err(error) => Err(Fault::Wrong(error.to_string())),
    }
}
