//! Watching: who has the group, and whether this box is to take it.

use super::{Core, State};
use crate::mutant::Mutant;
use crate::situation::{Choice, PeerSeen, Reserved, Situation, Stay};
use crate::{Action, Decided, Key, Order, Role, Step, Time};

impl Core {
    pub(super) fn watch(&mut self, out: &mut Vec<Action>) {
        match self.situation().choose_as_standby() {
            Choice::Take(reason) => self.start_take(reason, out),
            Choice::Stay(stay) => {
                self.settle(stay, out);
                self.tidy(out);
            }
            // Only an owner hands over.
            Choice::HandOver(_) => {}
        }
    }

    /// Once after boot, says what became clear.
    fn settle(&mut self, stay: Stay, out: &mut Vec<Action>) {
        if self.settled || matches!(stay, Stay::Listening | Stay::ArrayUnread) {
            return;
        }
        self.settled = true;
        let decision = if self.role() == Role::Undecided { Decided::Undecided } else { Decided::Watch };
        let cause = format!("{stay}; {}", self.describe_evidence());
        self.record(decision, cause, Vec::new(), out);
    }

    /// Takes a registration of this box back that is left from an earlier start: under type 5 every
    /// registrant can write, and this box is not to. What a port left that is gone for good stays
    /// until the next take removes it.
    fn tidy(&mut self, out: &mut Vec<Action>) {
        let (me, pair_id) = (self.config.node, self.config.pair_id);
        let Some(reading) = &self.array.last else { return };
        // Beside a reservation of its own, unregistering could end the reservation.
        if self.reserved() == Reserved::Mine {
            return;
        }
        let mut mine =
            reading.keys.iter().filter_map(|raw| Key::decode(*raw, pair_id)).filter(|key| key.node() == me);
        let Some(key) = mine.find(|key| self.tidied != Some(*key)) else { return };
        self.tidied = Some(key);
        let run = self.next_run();
        out.push(Action::Run {
            run,
            order: Order::Unreserve { key, release: false },
            deadline_ms: Step::Unreserve.deadline_ms(),
        });
        let cause = format!("this box's key {key} is left at the array from an earlier start");
        self.record(Decided::Repair, cause, Vec::new(), out);
    }

    /// Everything a decision rests on, now.
    pub(super) fn situation(&self) -> Situation {
        let ms = |since: Option<Time>| since.map_or(0, |at| self.now.since_ms(at));
        Situation {
            me: self.config.node,
            ability: self.ability(),
            peer: self.peer_seen(),
            reservation: if self.array_is_unread() { Reserved::Unread } else { self.reserved() },
            last_owner: self.last_owner,
            preferred: self.preference.owner,
            fail_back: self.preference.fail_back,
            granted: self.granted_until.is_some(),
            ownerless_ms: ms(self.ownerless_since),
            forgotten_ms: ms(self.forgotten_since),
            public_lost_ms: ms(self.public_lost_at),
            active_ms: if let State::Active(serving) = &self.state {
                self.now.since_ms(serving.since)
            } else {
                0
            },
            peer_well_ms: ms(self.peer_well_since),
        }
    }

    /// Whether what was read of the array is too old to act on. Since the other box began to offer the group
    /// the reservation must have been read: its array may be gone for this box just as well. Since this box
    /// stood still the slots as well, which know an epoch that nothing else tells of any more.
    pub(super) fn array_is_unread(&self) -> bool {
        let read_at = self.array.last.as_ref().map(|reading| reading.started);
        let slots_read_at = self.evidence.slots_read_at();
        let is_before = |read_at: Option<Time>, since| read_at.is_none_or(|at| at < since);
        self.offered_since.is_some_and(|since| is_before(read_at, since))
            || self
                .stood_still_at
                .is_some_and(|since| is_before(read_at, since) || is_before(slots_read_at, since))
    }

    /// The other box as seen from here.
    pub fn peer_seen(&self) -> PeerSeen {
        let dead_time_ms = self.config.dead_time_ms;
        if let Some(seen) = self.seen_wrongly(self.now) {
            return seen;
        }
        match self.evidence.alive(self.now, dead_time_ms) {
            Some(beat) => {
                PeerSeen::Alive { role: beat.role, ability: beat.ability, hand_over: beat.hand_over }
            }
            None if self.lacks(Mutant::SilenceIgnored) => PeerSeen::Unclear,
            None if self.evidence.is_silent(self.now, dead_time_ms) => PeerSeen::Silent,
            None => PeerSeen::Unclear,
        }
    }

    /// Who holds the reservation, as last read.
    pub fn reserved(&self) -> Reserved {
        let Some(reading) = &self.array.last else { return Reserved::Unread };
        let Some(holder) = reading.holder else { return Reserved::Nobody };
        match Key::decode(holder.key, self.config.pair_id) {
            Some(key) if key.node() == self.config.node => Reserved::Mine,
            Some(_) => Reserved::Peers,
            None => Reserved::Strangers,
        }
    }
}
