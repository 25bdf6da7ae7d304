//! A box forgets everything it was told, and restarts as a blank one: to be used elsewhere, or to be set up
//! anew after it was replaced.
//!
//! Only the box's own settings go. Mail, accounts and certificates are on the array, and a box that has or is
//! about to have a group beside another box gives it to that one first.

use std::thread;
use std::time::Duration;

use control::cluster::Reply;
use crossbeam_channel::{Sender, bounded};
use tracing::{info, warn};

use crate::peer_link::{Say, restart_this_box};
use crate::reset;
use crate::settings_keeper::{Keep, SettingsKeeper};

/// Longest wait for the system partition; the caller waits no longer than 5 s.
const ERASE_WAIT: Duration = Duration::from_secs(4);
/// How long the answer has to get out before the box goes down.
const ANSWERED_WAIT: Duration = Duration::from_millis(300);
const LATE: &str =
    "the system partition does not answer; once it does, the settings are gone, so restart the box then";

/// Whether this box may forget its settings: `claimed` are the groups it has or is about to have, `peer` is the
/// other box of its pair.
pub fn check(claimed: &[&str], peer: Option<&str>, busy: bool) -> Result<(), String> {
    if busy {
        return Err("another operation is under way; wait for its end".to_owned());
    }
    match (claimed, peer) {
        ([], _) | (_, None) => Ok(()),
        (some, Some(peer)) => Err(format!(
            "this box serves {}; switch over to {peer} first, then have {peer} forget this box (peer forget)",
            some.join(", ")
        )),
    }
}

/// Forgets everything on a thread, as the system disk may hang, and restarts the box.
pub fn begin(keeper: &SettingsKeeper, answer: Sender<Reply>) -> Result<(), String> {
    let (erase, erased) = bounded(1);
    keeper.keep(Keep::Erase(erase)).map_err(|_| "the system partition does not answer".to_owned())?;
    let begun = thread::Builder::new().name("factory-reset".to_owned()).spawn(move || {
        let reply = match erased.recv_timeout(ERASE_WAIT) {
            Ok(Ok(())) => Reply::Done,
            Ok(Err(reason)) => Reply::Refused(format!("the settings were not forgotten: {reason}")),
            Err(_) => Reply::Refused(LATE.to_owned()),
        };
        let is_blank = reply == Reply::Done;
        let _ = answer.try_send(reply);
        if is_blank {
            info!("the administrator had this box forget its settings; it restarts");
            thread::sleep(ANSWERED_WAIT);
            if let Say::Refused(reason) = restart_this_box() {
                warn!("the box cannot be restarted in order: {reason}");
                reset::now("its settings were forgotten on command");
            }
        }
    });
    begun.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_serves_nothing_or_is_alone_may_forget() {
        assert_eq!(check(&[], Some("box-b"), false), Ok(()));
        assert_eq!(check(&["mail"], None, false), Ok(()));
    }

    #[test]
    fn each_reason_against_it_has_its_sentence() {
        let serves = check(&["mail", "mail-2"], Some("box-b"), false).unwrap_err();
        assert!(
            serves.contains("serves mail, mail-2") && serves.contains("switch over to box-b"),
            "{serves}"
        );
        assert!(check(&[], None, true).unwrap_err().contains("under way"));
    }
}
