//! The held proof while this box has the group, and what happens when it lapses.

use super::{Core, State};
use crate::config::LAPSE_MAX_MS;
use crate::mutant::Mutant;
use crate::{Action, Beat, Decided, HeldProof, Key, NotHeld, Reading, Role, Step, Time};

/// The key this box claims with, and the proof that it holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    /// This box's key, from the decision to take until it is unregistered.
    pub key: Option<Key>,
    /// The key was registered; only readings started from here on tell whether it still holds.
    pub in_force: Option<Time>,
    pub proof: Option<HeldProof>,
    /// The proof lapsed while there was something to lose; everything is held still since.
    pub lapsed_at: Option<Time>,
    /// The reservation is ours but not in order.
    pub wants_repair: bool,
    /// By the last reading nobody holds it, and nobody else can have held it meanwhile.
    pub forgotten: bool,
    /// Start and claim of the last challenger, so that each challenges once.
    contested: Option<(u32, u32)>,
}

impl Core {
    /// The proof, while it is valid.
    pub fn valid_proof(&self) -> Option<HeldProof> {
        let never_expires = self.lacks(Mutant::ProofNeverExpires);
        self.lease.proof.filter(|proof| never_expires || proof.is_valid(self.now))
    }

    /// For how long everything has been held still, in milliseconds.
    pub fn lapsed_ms(&self) -> u64 {
        self.lease.lapsed_at.map_or(0, |at| self.now.since_ms(at))
    }

    /// Whether the group's data is, or may be, mounted here.
    fn is_mounted(&self) -> bool {
        match &self.state {
            State::Watching | State::Fenced { .. } => false,
            State::Taking(take) => take.step >= Step::Mount,
            State::Active(_) => true,
            State::Releasing(release) => release.step < Step::Unreserve,
        }
    }

    /// First thing with every event: nothing goes on without a valid proof.
    pub(super) fn check_lease(&mut self, out: &mut Vec<Action>) {
        if !self.is_mounted() || self.valid_proof().is_some() || self.lacks(Mutant::LapseIgnored) {
            return;
        }
        match self.lease.lapsed_at {
            None => {
                self.lease.lapsed_at = Some(self.now);
                out.push(Action::Suspend);
                let age = self.array.last.as_ref().map_or(0, |reading| self.now.since_ms(reading.started));
                let cause =
                    format!("the last proof of the reservation is {age} ms old; everything is held still");
                self.record(Decided::Suspend, cause, Vec::new(), out);
            }
            Some(at) if self.now.since_ms(at) >= LAPSE_MAX_MS => {
                self.fence(format!("the array has not confirmed the reservation for {LAPSE_MAX_MS} ms"), out);
            }
            Some(_) => {}
        }
    }

    /// The array has this box's key from now on.
    pub(super) fn put_in_force(&mut self) {
        self.lease.in_force = Some(self.now);
        self.lease.wants_repair = false;
        self.lease.forgotten = false;
        self.array.due = self.now;
    }

    /// The other box claims a later epoch: only a reading from after that tells who is right.
    pub(super) fn contest(&mut self, beat: &Beat, out: &mut Vec<Action>) {
        let Some(key) = self.lease.key else { return };
        let challenge = Some((beat.boot, beat.claim));
        if self.lease.in_force.is_none() || beat.claim <= key.epoch() {
            return;
        }
        // This box has offered the group already: the sooner it is gone, the better.
        if self.is_mounted() && self.lapsed_ms() > self.config.lease_ms / 3 {
            let claim = beat.claim;
            return self
                .fence(format!("the other box takes with epoch {claim}, and this one has no proof"), out);
        }
        if self.lease.contested == challenge {
            return;
        }
        self.lease.contested = challenge;
        self.lease.in_force = Some(self.now);
        self.lease.proof = None;
        self.array.due = self.now;
        self.check_lease(out);
    }

    /// What a reading means for this box's own claim.
    pub(super) fn judge(&mut self, reading: &Reading, out: &mut Vec<Action>) {
        let (Some(key), Some(from)) = (self.lease.key, self.lease.in_force) else { return };
        if reading.started < from {
            return;
        }
        self.lease.forgotten = false;
        let verified = HeldProof::verify(reading, key, self.config.pair_id, self.now, self.config.lease_ms);
        match verified {
            #[cfg(feature = "checking")]
            Err(wrong) if self.accepts(wrong) => {
                self.renew(HeldProof::unchecked(reading, key, self.config.lease_ms), out);
            }
            #[cfg(feature = "checking")]
            Err(NotHeld::Nobody | NotHeld::Other(_)) if self.takes_back() => {
                self.lease.forgotten = true;
                self.lease.wants_repair = true;
            }
            Ok(proof) => self.renew(proof, out),
            Err(NotHeld::TooOld { .. }) => {}
            Err(NotHeld::EarlierOwner(_)) => self.lease.wants_repair = true,
            Err(NotHeld::Nobody) if self.may_repair(reading, key) => {
                self.lease.forgotten = true;
                self.lease.wants_repair = true;
            }
            Err(
                lost @ (NotHeld::Nobody | NotHeld::Other(_) | NotHeld::WrongType(_) | NotHeld::NotRegistered),
            ) => self.lose(lost, out),
        }
    }

    /// Whether a reservation that is gone may be made again on the spot: the array has forgotten it, or
    /// somebody cleared it, and the group was with this box all the time.
    ///
    /// It was if the last proof is still good. If that has lapsed meanwhile, as while an array starts anew,
    /// the other box has to say itself that it stands by and knows of no later epoch.
    fn may_repair(&self, reading: &Reading, own: Key) -> bool {
        if !matches!(self.state, State::Active(_)) {
            return false;
        }
        let alone = reading.keys.iter().all(|raw| *raw == own.encode());
        let peer = self.evidence.alive(self.now, self.config.dead_time_ms);
        let with_this_box = match peer {
            Some(beat) if self.valid_proof().is_none() => {
                beat.role == Role::Standby && beat.epoch <= own.epoch()
            }
            Some(beat) => !beat.role.claims(),
            None => self.valid_proof().is_some(),
        };
        alone && with_this_box
    }

    fn renew(&mut self, proof: HeldProof, out: &mut Vec<Action>) {
        self.lease.proof = Some(proof);
        out.push(Action::Prove(proof));
        if let Some(at) = self.lease.lapsed_at.take() {
            out.push(Action::Resume);
            let cause =
                format!("the array confirms the reservation again after {} ms", self.now.since_ms(at));
            self.record(Decided::Resume, cause, Vec::new(), out);
        }
    }

    fn lose(&mut self, lost: NotHeld, out: &mut Vec<Action>) {
        if self.lacks(Mutant::PreemptIgnored) {
            return;
        }
        if self.is_mounted() {
            self.fence(lost.to_string(), out);
        } else if matches!(self.state, State::Taking(_)) {
            self.lose_race(lost.to_string(), out);
        }
    }

    /// The array refused a write of this box.
    pub(super) fn take_write_fenced(&mut self, out: &mut Vec<Action>) {
        if self.is_mounted() && !self.lacks(Mutant::PreemptIgnored) {
            self.fence("the array refused a write of this box".to_owned(), out);
        }
    }

    /// This box lost the group, or cannot stop what must stop: the reset is the only clean end.
    pub(super) fn fence(&mut self, reason: String, out: &mut Vec<Action>) {
        self.lease.proof = None;
        self.last_fault = Some(reason.clone());
        out.push(Action::Suspend);
        self.record(Decided::Fenced, reason.clone(), Vec::new(), out);
        self.state = State::Fenced { reason: reason.clone(), demanded_at: self.now };
        self.beat_if_due(out);
        out.push(Action::Reset { reason });
    }
}

#[cfg(feature = "checking")]
impl Core {
    /// Whether a rule is out of force that would refuse this.
    fn accepts(&self, wrong: NotHeld) -> bool {
        let earlier = matches!(wrong, NotHeld::EarlierOwner(_)) && self.lacks(Mutant::EarlierOwnersIgnored);
        self.lacks(Mutant::ProofUnchecked) || earlier
    }

    fn takes_back(&self) -> bool {
        self.lacks(Mutant::TakenBack) && matches!(self.state, State::Active(_))
    }
}

#[cfg(any(test, feature = "checking"))]
impl Lease {
    pub fn digest<H: core::hash::Hasher>(&self, digest: &mut super::digest::Digest<H>) {
        let Self { key, in_force, proof, lapsed_at, wants_repair, forgotten, contested } = self;
        digest.plain((key.is_some(), proof.is_some(), wants_repair, forgotten, contested.is_some()));
        key.iter().for_each(|key| digest.key(key.encode()));
        digest.maybe(*in_force);
        digest.maybe(*lapsed_at);
        if let Some(proof) = proof {
            digest.key(proof.key().encode());
            digest.moment(proof.expires_at());
        }
        if let Some((boot, claim)) = contested {
            digest.start(*boot, 0);
            digest.epoch(*claim);
        }
    }
}
