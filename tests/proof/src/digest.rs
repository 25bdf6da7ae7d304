//! Two pairs that will do the same from now on are one state.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use cluster::{Digest, Key};

use crate::pair::{BoxState, FOR_EVER, PAIR_ID, Pair, TURN_MS};
use crate::seat::{OrderKind, Seat};

/// Ages beyond this are one and the same: longer than every bound of a rule that can matter here, the
/// wait after a grant being the longest.
const FAR_MS: u64 = 13_000;

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}

impl Pair {
    /// One number for all that makes a difference.
    fn number(&self) -> u64 {
        let mut into = DefaultHasher::new();
        (self.left, self.broken, &self.idle).hash(&mut into);
        self.cut.map(|until| self.turns_left(until)).hash(&mut into);
        for group in 0..self.luns.len() {
            self.group_number(group).hash(&mut into);
        }
        for b in &self.boxes {
            let BoxState {
                life: _,
                off_until,
                still_until,
                clock_stops,
                clock_stood: _,
                path,
                maintenance,
                stopping,
                seats,
            } = b;
            let until = |turn: &Option<u64>| turn.map(|turn| self.turns_left(turn));
            (until(off_until), until(still_until), clock_stops, self.turns_left(path.0), path.1)
                .hash(&mut into);
            (maintenance, stopping, seats.len()).hash(&mut into);
        }
        into.finish()
    }

    fn turns_left(&self, until: u64) -> u64 {
        if until == FOR_EVER { FOR_EVER } else { (until + 1).saturating_sub(self.turn) }
    }

    /// The highest epoch anybody knows of this group.
    fn epoch(&self, group: usize) -> u32 {
        let lun = &self.luns[group];
        let keys = lun.keys.iter().flatten().filter_map(|raw| Key::decode(*raw, PAIR_ID)).map(Key::epoch);
        let slots = lun.slots.iter().flatten().map(|beat| beat.epoch.max(beat.claim));
        let cores = self.boxes.iter().filter_map(|b| b.seats.get(group)).map(|seat| seat.core.epoch());
        keys.chain(slots).chain(cores).chain([lun.store_epoch]).max().unwrap_or(0)
    }

    fn group_number(&self, group: usize) -> u64 {
        let lun = &self.luns[group];
        let epoch = self.epoch(group);
        let mut into = DefaultHasher::new();
        for node in 0..2 {
            let now = self.clock(node);
            let peer = &self.boxes[1 - node];
            let newest = peer.seats.get(group).map_or(0, |seat| seat.core.beats());
            let mut digest =
                Digest::new(DefaultHasher::new(), (now, FAR_MS), epoch, PAIR_ID, (peer.life, newest));
            digest.plain((lun.holder, lun.keys[node].is_some(), lun.slots[1 - node].is_some()));
            lun.keys[node].into_iter().for_each(|raw| digest.key(raw));
            if let Some(beat) = &lun.slots[1 - node] {
                digest.start(beat.boot, beat.seq);
                digest.said(beat);
            }
            digest.epoch(lun.store_epoch);
            if let Some(seat) = self.boxes[node].seats.get(group) {
                digest_seat(seat, &mut digest);
            }
            digest.finish().hash(&mut into);
        }
        into.finish()
    }
}

fn digest_seat<H: Hasher>(seat: &Seat, digest: &mut Digest<H>) {
    let Seat {
        core,
        mounted,
        mail,
        address,
        suspended,
        proof,
        jobs,
        inbox,
        heard,
        slot_known,
        refused: _,
        step,
    } = seat;
    core.digest(digest);
    digest.plain((mounted, mail, address, suspended, slot_known, jobs.len()));
    // Only for how long a step lasts beyond all bounds matters to the judge.
    let bound = |(step, turns): &(_, u32)| {
        let step: &cluster::Step = step;
        u64::from(*turns) * TURN_MS > step.deadline_ms()
    };
    digest.plain(step.as_ref().is_some_and(bound).then_some(step));
    digest.maybe(proof.map(|proof| proof.expires_at()));
    for job in jobs {
        digest.plain((std::mem::discriminant(&job.order), job.stage.min(3)));
        match job.order {
            OrderKind::Fence(key, over) => {
                digest.key(key.encode());
                digest.plain(over.is_some());
                over.into_iter().for_each(|raw| digest.key(raw));
            }
            OrderKind::Plain(step, epoch) => {
                digest.plain(step);
                digest.epoch(epoch);
            }
            OrderKind::Unreserve(release) => digest.plain(release),
        }
    }
    for beat in inbox {
        digest.plain(beat.is_some());
        if let Some(beat) = beat {
            digest.start(beat.boot, beat.seq);
            digest.said(beat);
        }
    }
    for heard in heard {
        digest.plain(heard.is_some());
        if let Some((at, beat)) = heard {
            digest.moment(*at);
            digest.start(beat.boot, beat.seq);
            digest.said(beat);
        }
    }
}
