//! Replacing a dead box: the survivor forgets it, and its place is free for a blank one.
//!
//! The survivor draws a new key for the pair. The order of the steps lets it be cut off anywhere: nothing is
//! changed unless every LUN takes a write now; then the new key is saved, with the mark of the one before;
//! then every LUN gets the new mark and loses all other registrations. A LUN that is not reached then is
//! marked when it is, or when the group is taken next.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use array::Membership;
use control::cluster::Reply;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use settings::{Secret, Settings};
use tracing::{info, warn};

use crate::array_paths::ArrayPaths;
use crate::input::Input;
use crate::settings_keeper::{Keep, SettingsKeeper};

/// The alarm while a LUN does not carry the pair's new mark.
pub const ALARM: &str = "peer_forget";
/// The alarm of a box that was replaced.
pub const REPLACED_ALARM: &str = "replaced";
/// Once saving has taken so long the caller is told that it goes on: he waits no longer than 5 s.
const SAVE_SLOW: Duration = Duration::from_secs(2);
/// What he is told.
const SLOW: &str =
    "the system partition is slow; the other box is forgotten once that is saved, and `status` shows it";
/// Between two tries to mark a LUN.
const AGAIN_EVERY: Duration = Duration::from_secs(5);

/// The membership that every group's LUN is taken with; it changes when the other box is forgotten.
#[derive(Debug, Clone)]
pub struct SharedMembership(Arc<Mutex<Membership>>);

impl SharedMembership {
    /// That of a box with `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Mutex::new(membership(settings))))
    }

    /// As it is now.
    pub fn now(&self) -> Membership {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, membership: Membership) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = membership;
    }
}

fn membership(settings: &Settings) -> Membership {
    Membership { mark: settings.pair_mark(), former: settings.former_mark }
}

/// What this box sees when it is asked to forget the other one.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Name of the other box; none while none has joined.
    pub peer: Option<&'a str>,
    /// Whether it is heard on any medium, or was within the dead time.
    pub heard: bool,
    /// Groups that this box does not serve.
    pub not_served: &'a [&'a str],
    /// Whether a larger operation is under way, such as adding a group.
    pub busy: bool,
}

/// Whether the other box may be forgotten.
pub fn check(seen: &Seen<'_>) -> Result<(), String> {
    let Some(peer) = seen.peer else {
        return Err("no second box has joined, so there is none to forget".to_owned());
    };
    if seen.heard {
        return Err(format!(
            "{peer} is still heard; a box is forgotten only once it is off or disconnected, so power it off first"
        ));
    }
    if seen.busy {
        return Err("another operation is under way; wait for its end".to_owned());
    }
    match seen.not_served {
        [] => Ok(()),
        some => Err(format!(
            "this box does not serve {}; only a box that serves everything can forget the other one",
            some.join(", ")
        )),
    }
}

/// Who forgets, and whom it tells.
pub struct Forgetting {
    /// The paths to every group's LUN.
    pub luns: Vec<ArrayPaths>,
    /// The membership they share.
    pub membership: SharedMembership,
    /// Who saves.
    pub keeper: SettingsKeeper,
    /// The way to the decision loop.
    pub inputs: Sender<Input>,
    /// The caller.
    pub answer: Sender<Reply>,
}

impl Forgetting {
    /// Forgets the other box on a thread: system disk and array may hang.
    pub fn begin(self) -> Result<(), String> {
        let begun = thread::Builder::new().name("forget".to_owned()).spawn(move || self.run());
        begun.map(drop).map_err(|error| error.to_string())
    }

    fn run(self) {
        let reply = match self.change_key() {
            Ok(key) => {
                let _ = self.inputs.send(Input::PeerForgotten(Some(key)));
                self.mark_all().map_or_else(|fault| self.keep_marking(fault), |()| Reply::Done)
            }
            Err(reason) => {
                let _ = self.inputs.send(Input::PeerForgotten(None));
                Reply::Refused(reason)
            }
        };
        let _ = self.answer.try_send(reply);
    }

    /// Saves the new key, if every LUN can be marked at all.
    fn change_key(&self) -> Result<Secret, String> {
        self.mark_all().map_err(|fault| format!("nothing was changed: {fault}"))?;
        let key = Secret::random().map_err(|error| error.to_string())?;
        let (answer, saved) = bounded(1);
        let gone = || "nothing was changed: the system partition does not answer".to_owned();
        self.keeper.keep(Keep::Forget(key.clone(), answer)).map_err(|_| gone())?;
        // What is under way may yet be saved, so its end is waited for, however late: only then is it known
        // which key the pair has.
        let saved = loop {
            match saved.recv_timeout(SAVE_SLOW) {
                Ok(saved) => break saved,
                Err(RecvTimeoutError::Timeout) => drop(self.answer.try_send(Reply::Refused(SLOW.to_owned()))),
                Err(RecvTimeoutError::Disconnected) => {
                    break Err("the keeper of the settings is gone".to_owned());
                }
            }
        };
        saved.map_err(|fault| format!("nothing was changed: {fault}"))?;
        self.membership.change(self.keeper.look(membership));
        Ok(key)
    }

    fn mark_all(&self) -> Result<(), String> {
        self.luns.iter().try_for_each(ArrayPaths::shut_others_out)
    }

    /// Goes on until every LUN is marked, with an alarm meanwhile.
    fn keep_marking(&self, fault: String) -> Reply {
        let text = |fault: &str| {
            format!("the box that was replaced is not shut out of the array yet: {fault}; it is tried again")
        };
        let first = text(&fault);
        let _ = self.answer.try_send(Reply::Refused(first.clone()));
        let mut fault = Some(first);
        while let Some(text_now) = fault.take() {
            warn!("{text_now}");
            let alarm = Input::Alarm { code: ALARM, text: Some(text_now) };
            if self.inputs.send(alarm).is_err() {
                break;
            }
            thread::sleep(AGAIN_EVERY);
            fault = self.mark_all().err().map(|fault| text(&fault));
        }
        info!("every LUN carries the pair's new mark");
        let _ = self.inputs.send(Input::Alarm { code: ALARM, text: None });
        Reply::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Seen<'_> = Seen { peer: Some("box-b"), heard: false, not_served: &[], busy: false };

    #[test]
    fn a_dead_box_is_forgotten_by_the_one_that_serves_everything() {
        assert_eq!(check(&DEAD), Ok(()));
    }

    #[test]
    fn each_reason_against_it_has_its_sentence() {
        let refused = |seen: Seen<'_>| check(&seen).unwrap_err();
        assert!(refused(Seen { peer: None, ..DEAD }).contains("no second box"));
        assert!(refused(Seen { heard: true, ..DEAD }).contains("box-b is still heard"));
        assert!(refused(Seen { not_served: &["mail-2"], ..DEAD }).contains("does not serve mail-2"));
        assert!(refused(Seen { busy: true, ..DEAD }).contains("under way"));
        // A box that is heard is named before what else is wrong.
        assert!(refused(Seen { heard: true, not_served: &["mail"], ..DEAD }).contains("still heard"));
    }

    #[test]
    fn the_new_key_knows_the_mark_of_the_one_before_and_nothing_older() {
        let first = crate::pairing::tests::first();
        let second = crate::settings_keeper::without_peer(&first, Secret([4; 32]));
        let third = crate::settings_keeper::without_peer(&second, Secret([5; 32]));
        assert_eq!(second.former_mark, Some(first.pair_mark()));
        assert_eq!(third.former_mark, Some(second.pair_mark()));
        let header = |settings: &Settings| {
            Some(array::Header { pair_id: 7, complete: true, mark: settings.pair_mark() })
        };
        assert_eq!(membership(&first).judge(header(&second)), array::Standing::Replaced);
        assert_eq!(membership(&second).judge(header(&first)), array::Standing::Renew);
        assert_eq!(membership(&third).judge(header(&first)), array::Standing::Replaced);
    }
}
