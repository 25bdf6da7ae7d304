//! Two cores that will do the same from now on have the same digest.
//!
//! Moments count by their distance from now, epochs by their distance from the highest one, starts and
//! beats of the other box by their distance from its newest. Words for people and counters that are
//! only shown do not count. The exhaustive check recognises by it where it has been before; what is
//! left out here wrongly, it would not explore, so every field is named.

use core::hash::{Hash, Hasher};

use super::{ArraySeen, Core, State};
use crate::evidence::Evidence;
use crate::{Beat, Key, Reading, Time};

/// Epochs so far behind the highest are one and the same.
const EPOCHS_FAR: u32 = 6;
/// Beats so far behind the newest are one and the same.
const BEATS_FAR: u32 = 12;

/// What is being digested, and from where distances are measured.
#[derive(Debug)]
pub struct Digest<H> {
    into: H,
    now: Time,
    far_ms: u64,
    epoch: u32,
    pair_id: u32,
    peer: (u32, u32),
}

impl<H: Hasher> Digest<H> {
    /// Distances from `now`, those beyond `far_ms` all the same, from the highest `epoch` anywhere, and from the newest start and beat of
    /// the `peer`.
    pub fn new(into: H, (now, far_ms): (Time, u64), epoch: u32, pair_id: u32, peer: (u32, u32)) -> Self {
        Self { into, now, far_ms, epoch, pair_id, peer }
    }

    /// The number that comes of it.
    pub fn finish(&self) -> u64 {
        self.into.finish()
    }

    /// Something without time or epoch.
    pub fn plain<T: Hash>(&mut self, what: T) {
        what.hash(&mut self.into);
    }

    /// A moment, before or after now.
    pub fn moment(&mut self, at: Time) {
        let (before, after) =
            (self.now.since_ms(at).min(self.far_ms), at.since_ms(self.now).min(self.far_ms));
        self.plain((before, after));
    }

    /// A moment, if there is one.
    pub fn maybe(&mut self, at: Option<Time>) {
        self.plain(at.is_some());
        at.into_iter().for_each(|at| self.moment(at));
    }

    /// An epoch; 0 is none.
    pub fn epoch(&mut self, epoch: u32) {
        self.plain((epoch == 0, self.epoch.saturating_sub(epoch).min(EPOCHS_FAR)));
    }

    /// A start of the other box and a beat of it.
    pub fn start(&mut self, boot: u32, seq: u32) {
        let starts = self.peer.0.wrapping_sub(boot);
        let beats = if starts == 0 { self.peer.1.wrapping_sub(seq).min(BEATS_FAR) } else { 0 };
        self.plain((starts.min(8), beats));
    }

    /// A key as the array knows it.
    pub fn key(&mut self, raw: u64) {
        match Key::decode(raw, self.pair_id) {
            Some(key) => {
                self.plain(key.node());
                self.epoch(key.epoch());
            }
            None => self.plain(raw),
        }
    }

    /// What a box said, without its place among its other beats.
    pub fn said(&mut self, beat: &Beat) {
        let Beat {
            group,
            node,
            boot: _,
            seq: _,
            epoch,
            claim,
            role,
            ability,
            hand_over,
            public_up,
            preference,
        } = beat;
        self.plain((group, node, role, ability, hand_over, public_up, preference));
        self.epoch(*epoch);
        self.epoch(*claim);
    }

    /// A reading of the reservation.
    pub fn reading(&mut self, reading: &Reading) {
        let Reading { started, keys, holder } = reading;
        self.moment(*started);
        self.plain((keys.len(), holder.map(|holder| holder.kind)));
        keys.iter().for_each(|raw| self.key(*raw));
        holder.iter().for_each(|holder| self.key(holder.key));
    }
}

impl Core {
    /// Highest epoch seen.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Beats sent since the start.
    pub fn beats(&self) -> u32 {
        self.seq
    }

    /// Everything that makes a difference to what this core will do.
    pub fn digest<H: Hasher>(&self, digest: &mut Digest<H>) {
        let Self {
            config,
            now,
            state,
            settled,
            evidence,
            array,
            lease,
            epoch,
            last_owner,
            preference,
            maintenance,
            public_lost_at,
            take_failures,
            retry_at,
            mail_failures,
            mail_hold_until,
            remount_after,
            granted_until,
            asking_until,
            ownerless_since,
            forgotten_since,
            offered_since,
            stood_still_at,
            peer_well_since,
            tidied,
            runs: _,
            seq: _,
            beat_due,
            last_beat,
            last_takeover: _,
            last_fault: _,
            #[cfg(feature = "checking")]
                mutant: _,
        } = self;
        digest.plain((config.node, config.group, settled, last_owner, preference, maintenance));
        digest.plain((take_failures.min(&8), mail_failures.min(&8)));
        for at in [
            public_lost_at,
            retry_at,
            mail_hold_until,
            remount_after,
            granted_until,
            asking_until,
            ownerless_since,
            forgotten_since,
            offered_since,
            stood_still_at,
            peer_well_since,
        ] {
            digest.maybe(*at);
        }
        digest.moment(*now);
        digest.moment(*beat_due);
        digest.epoch(*epoch);
        digest.plain(tidied.is_some());
        tidied.iter().for_each(|key| digest.key(key.encode()));
        digest.plain(last_beat.is_some());
        last_beat.iter().for_each(|beat| digest.said(beat));
        self.digest_state(state, digest);
        lease.digest(digest);
        digest_array(array, digest);
        digest_evidence(evidence, digest);
    }

    fn digest_state<H: Hasher>(&self, state: &State, digest: &mut Digest<H>) {
        digest.plain(std::mem::discriminant(state));
        match state {
            State::Watching => {}
            State::Taking(take) => take.digest(digest),
            State::Active(serving) => serving.digest(digest),
            State::Releasing(release) => release.digest(digest),
            State::Fenced { reason: _, demanded_at } => digest.moment(*demanded_at),
        }
    }
}

fn digest_array<H: Hasher>(array: &ArraySeen, digest: &mut Digest<H>) {
    let ArraySeen { last, failures, pending, asked_at, number, due } = array;
    digest.plain((failures.min(&4), pending.map(|pending| number.wrapping_sub(pending)), last.is_some()));
    digest.moment(*asked_at);
    digest.moment(*due);
    last.iter().for_each(|reading| digest.reading(reading));
}

fn digest_evidence<H: Hasher>(evidence: &Evidence, digest: &mut Digest<H>) {
    let (media, listening_since, slots_read_at, newest, newest_at, earlier_boots) = evidence.parts();
    for heard in media {
        digest.maybe(heard.at);
        digest.plain(heard.last_beat().is_some());
        heard.last_beat().into_iter().for_each(|(boot, seq)| digest.start(boot, seq));
    }
    digest.moment(listening_since);
    digest.maybe(slots_read_at);
    digest.moment(newest_at);
    digest.plain(newest.is_some());
    if let Some(beat) = newest {
        digest.start(beat.boot, beat.seq);
        digest.said(beat);
    }
    earlier_boots.iter().for_each(|boot| digest.start(*boot, 0));
}
