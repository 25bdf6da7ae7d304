//! What the operator wants.

use super::release::ReleaseWhy;
use super::{Core, State};
use crate::config::ASK_MS;
use crate::situation::{HandOverReason, PeerSeen};
use crate::{Ability, Action, Command, Decided, Node, Preference, Refusal, Role};

impl Core {
    pub(super) fn take_command(&mut self, id: u32, command: Command, out: &mut Vec<Action>) {
        let result = match command {
            Command::SwitchOver { to } if to == self.config.node => self.fetch(out),
            Command::SwitchOver { .. } => self.give(HandOverReason::Operator, out),
            Command::Maintenance { on } => self.set_maintenance(on, out),
            Command::Prefer { owner, fail_back } => {
                self.prefer(owner, fail_back, out);
                Ok(())
            }
            Command::Stop => return self.stop(id, out),
        };
        out.push(Action::Answer { id, result });
    }

    /// Gives the group to the other box.
    fn give(&mut self, reason: HandOverReason, out: &mut Vec<Action>) -> Result<(), Refusal> {
        match (&self.state, self.peer_seen()) {
            (State::Taking(_) | State::Releasing(_) | State::Fenced { .. }, _) => Err(Refusal::Busy),
            (_, PeerSeen::Unclear | PeerSeen::Silent) => Err(Refusal::PeerNotHeard),
            (State::Watching, PeerSeen::Alive { role: Role::Active, .. }) => Ok(()),
            (State::Watching, PeerSeen::Alive { role, .. }) => Err(unowned(role)),
            (State::Active(_), PeerSeen::Alive { role: Role::Standby, ability: Ability::Ready, .. }) => {
                self.start_release(ReleaseWhy::HandOver(reason), reason.to_string(), out);
                Ok(())
            }
            (State::Active(_), PeerSeen::Alive { role: Role::Standby, ability, .. }) => {
                Err(Refusal::PeerNotReady(ability))
            }
            (State::Active(_), PeerSeen::Alive { .. }) => Err(Refusal::PeerNotReady(Ability::Unknown)),
        }
    }

    /// Asks the other box for the group.
    fn fetch(&mut self, out: &mut Vec<Action>) -> Result<(), Refusal> {
        // What failed here may have been mended; the operator knows.
        let begun_again = self.forget_failures(out);
        match (&self.state, self.peer_seen()) {
            (State::Active(_), _) => Ok(()),
            (State::Taking(_) | State::Releasing(_) | State::Fenced { .. }, _) => Err(Refusal::Busy),
            (State::Watching, PeerSeen::Alive { role: Role::Active, .. }) => {
                let ability = self.ability();
                if ability != Ability::Ready {
                    return Err(Refusal::NotReady(ability));
                }
                self.asking_until = Some(self.now + ASK_MS);
                self.record(Decided::Ask, "the operator wants the group here".to_owned(), Vec::new(), out);
                Ok(())
            }
            (State::Watching, _) if begun_again => Ok(()),
            (State::Watching, PeerSeen::Alive { role, .. }) => Err(unowned(role)),
            (State::Watching, PeerSeen::Unclear | PeerSeen::Silent) => Err(Refusal::PeerNotHeard),
        }
    }

    fn set_maintenance(&mut self, on: bool, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if on == self.maintenance {
            return Ok(());
        }
        if on && !matches!(self.state, State::Watching) {
            self.give(HandOverReason::Maintenance, out)?;
        }
        self.maintenance = on;
        if !on {
            self.forget_failures(out);
        }
        out.push(Action::SaveMaintenance(on));
        let cause = if on { "this box goes into maintenance" } else { "this box is back from maintenance" };
        self.record(Decided::Operator, cause.to_owned(), Vec::new(), out);
        Ok(())
    }

    fn prefer(&mut self, owner: Option<Node>, fail_back: bool, out: &mut Vec<Action>) {
        let revision = self.preference.revision.saturating_add(1);
        self.preference = Preference { revision, owner, fail_back };
        out.push(Action::SavePreference(self.preference));
        let owner = owner.map_or_else(|| "nobody".to_owned(), |node| format!("box {node}"));
        let back = if fail_back { "by itself" } else { "only on command" };
        self.record(
            Decided::Operator,
            format!("{owner} is preferred; the group goes back {back}"),
            Vec::new(),
            out,
        );
    }

    /// The box goes down: whatever the other box does, this one ends cleanly.
    fn stop(&mut self, id: u32, out: &mut Vec<Action>) {
        self.maintenance = true;
        let why = ReleaseWhy::Stop { id };
        match &mut self.state {
            State::Watching | State::Fenced { .. } => out.push(Action::Answer { id, result: Ok(()) }),
            State::Taking(_) => self.undo_take(why, why.to_string(), out),
            State::Active(_) => self.start_release(why, why.to_string(), out),
            State::Releasing(release) => release.why = why,
        }
    }
}

/// Why a group that the other box, in this role, does not serve cannot change hands.
fn unowned(role: Role) -> Refusal {
    if role.claims() { Refusal::Busy } else { Refusal::NoOwner }
}
