//! A letter to the administrators, through the group's own store and queue.

use std::path::Path;
use std::time::Duration;

use control::mail::{Reply, Request};
use control::wire;

pub use control::mail::Letter;

/// What storing a letter may take.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// Hands `letter` to the mail service of this box, which serves now.
pub fn deliver_here(letter: &Letter) -> Result<(), String> {
    let request = Request::Letter(letter.clone());
    match wire::call(Path::new(control::MAIL_SOCKET), &request, STORE_WAIT) {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Refused(reason)) => Err(reason),
        Ok(_) => Err("the mail service gave an answer of another kind".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
