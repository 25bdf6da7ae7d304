//! What must hold at all times, judged from what really happened, not from what the cores believe.

use cluster::{Beat, HandOver, HeldProof, Key, Medium, Reading, ReservationType, Role, Step, Time};

use crate::host::{Host, PAIR_ID};
use crate::world::TIMING;

/// A lapse is noticed at the next turn of the loop; in a starved box that takes this long at most.
const TURN_MAX_MS: u64 = 500;

/// Releasing after a failed take can come to the step that was under way.
const STEP_ROUNDS_MAX: u64 = 2;

/// The checks and what they remember.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// What was violated.
    pub violated: Option<String>,
    /// Takes decided.
    pub takes: u64,
    /// Resets demanded by a core.
    pub resets: u64,
    heard: [[Option<(Time, Beat)>; Medium::ALL.len()]; 2],
    slot_known: [bool; 2],
    both_since: Option<u64>,
    step_since: [Option<(Step, Time)>; 2],
}

impl Checks {
    pub fn violate(&mut self, what: String) {
        self.violated.get_or_insert(what);
    }

    /// A box starts anew and has heard nothing.
    pub fn forget(&mut self, node: usize) {
        self.heard[node] = [None; Medium::ALL.len()];
        self.slot_known[node] = false;
        self.step_since[node] = None;
    }

    /// A box is in `step`: each has its bound, and ends within it by the box's own clock.
    pub fn step(&mut self, node: usize, clock: Time, step: Option<Step>, undisturbed: bool) {
        let since = &mut self.step_since[node];
        match (step, *since) {
            (Some(step), Some((known, at))) if step == known => {
                let took = clock.since_ms(at);
                if undisturbed && took > step.deadline_ms() * STEP_ROUNDS_MAX + TURN_MAX_MS {
                    self.violate(format!("box {node} has been in the step {step} for {took} ms"));
                }
            }
            (step, _) => *since = step.map(|step| (step, clock)),
        }
    }

    pub fn heard(&mut self, node: usize, clock: Time, medium: Medium, beat: &Beat) {
        let last = &mut self.heard[node][medium as usize];
        // What a cable delivers late, or twice, is not news.
        if last.is_none_or(|(_, known)| known.boot != beat.boot || known.seq < beat.seq) {
            *last = Some((clock, *beat));
        }
    }

    pub fn saw_slot(&mut self, node: usize, started: Time, beat: Option<&Beat>) {
        let first = !std::mem::replace(&mut self.slot_known[node], true);
        let Some(beat) = beat else { return };
        let last = &mut self.heard[node][Medium::Array as usize];
        if first {
            *last = Some((Time(0), *beat));
        } else if last.is_none_or(|(_, known)| known != *beat) {
            *last = Some((started, *beat));
        }
    }

    /// A box decided to take: its owner must be silent everywhere, or have let go. `peer_boot` is the
    /// other box's present start; what an earlier one wrote is history.
    pub fn take(&mut self, node: usize, clock: Time, peer_boot: Option<u32>) {
        self.takes += 1;
        let said = || self.heard[node].iter().flatten().filter(|(_, beat)| Some(beat.boot) == peer_boot);
        let Some((at, beat)) = said().max_by_key(|(_, beat)| beat.seq) else { return };
        let fresh = said().any(|(at, _)| clock.since_ms(*at) < TIMING.3 - 1);
        if !fresh {
            return;
        }
        let has_it = matches!(beat.role, Role::Active | Role::Taking | Role::Releasing);
        if has_it && beat.hand_over != HandOver::Offer {
            let age = clock.since_ms(*at);
            self.violate(format!("box {node} takes though the other one said {} {age} ms ago", beat.role));
        }
    }

    /// A core says that it holds a proof: what it read last must say so.
    pub fn proof(&mut self, node: usize, proof: &HeldProof, reading: Option<&Reading>) {
        let own = proof.key().encode();
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        let earlier = |raw: &u64| Key::decode(*raw, PAIR_ID).is_some_and(|key| key.epoch() < proof.epoch());
        let proves = |reading: &Reading| {
            reading.holder.is_some_and(|holder| holder.key == own && holder.kind == kind)
                && reading.keys.contains(&own)
                && !reading.keys.iter().any(earlier)
        };
        if !reading.is_some_and(proves) {
            self.violate(format!("box {node} has a proof that the array did not give"));
        }
    }

    /// A mail write passed: the box must hold a proof.
    pub fn wrote(&mut self, node: usize, now: u64, host: &Host) {
        if let Some(late) = proof_late_ms(host, now) {
            self.violate(format!("box {node} wrote {late} ms after its proof had lapsed"));
        }
    }

    /// After every event: who serves holds a proof, and two serve at once never for longer than the
    /// lease a box may still believe in after a standstill of its clock.
    pub fn serving(&mut self, now: u64, hosts: &[Host; 2]) {
        for (node, host) in hosts.iter().enumerate() {
            if host.is_serving()
                && let Some(late) = proof_late_ms(host, now)
            {
                self.violate(format!("box {node} serves {late} ms after its proof had lapsed"));
            }
        }
        if !hosts.iter().all(Host::is_serving) {
            self.both_since = None;
            return;
        }
        let since = *self.both_since.get_or_insert(now);
        if now - since > TIMING.1 + TURN_MAX_MS {
            self.violate(format!("both boxes have been serving for {} ms", now - since));
        }
    }
}

/// By how much the last proof has lapsed, beyond what a starved loop may need to notice.
fn proof_late_ms(host: &Host, now: u64) -> Option<u64> {
    let clock = host.clock(now);
    let expired = host.proof.map_or(Time(0), |proof| proof.expires_at());
    let late = clock.since_ms(expired).min(now.saturating_sub(host.awake_since));
    (late > TURN_MAX_MS).then_some(late)
}
