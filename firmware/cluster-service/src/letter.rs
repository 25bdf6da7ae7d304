//! A letter to the administrators, through the group's own store and queue.

use std::path::Path;
use std::time::Duration;

use control::GroupPlace;
use control::mail::{Reply, Request};
use control::wire;

pub use control::mail::Letter;

/// What storing a letter may take.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// Hands `letter` to the first group's mail service, which serves on this box now.
pub fn deliver_here(letter: &Letter) -> Result<(), String> {
    deliver_by(&control::FIRST_GROUP, letter)
}

/// Hands `letter` to the mail service of any further group that runs on this box, where the first group's
/// is not to be had.
pub fn deliver_by_another(letter: &Letter) -> Result<(), String> {
    let none = Err("no other mail service runs on this box".to_owned());
    control::GROUPS.iter().skip(1).map(|group| deliver_by(group, letter)).find(Result::is_ok).unwrap_or(none)
}

fn deliver_by(group: &GroupPlace, letter: &Letter) -> Result<(), String> {
    match wire::call(Path::new(group.socket), &Request::Letter(letter.clone()), STORE_WAIT) {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Refused(reason)) => Err(reason),
        Ok(_) => Err("the mail service gave an answer of another kind".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
