//! What the status shows of a core.

use std::fmt::Write;

use super::{Core, State};
use crate::evidence::Heard;
use crate::situation::Reserved;
use crate::{Ability, Beat, Config, Medium, Preference, Role, Sight, Step, Takeover};

/// One service group as the core sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// What this box does.
    pub role: Role,
    /// The step under way.
    pub step: Option<Step>,
    /// Highest epoch seen.
    pub epoch: u32,
    /// Whether this box could serve.
    pub ability: Ability,
    /// Who holds the reservation.
    pub reserved: Reserved,
    /// Age of that reading, in milliseconds.
    pub read_age_ms: Option<u64>,
    /// How long the proof still lasts, in milliseconds.
    pub lease_left_ms: Option<u64>,
    /// For how long everything has been held still, in milliseconds.
    pub lapsed_ms: Option<u64>,
    /// Preferred owner and fail-back.
    pub preference: Preference,
    /// Whether this box is in maintenance.
    pub maintenance: bool,
    /// The last take by this box.
    pub last_takeover: Option<Takeover>,
    /// What went wrong last, until a take succeeds.
    pub last_fault: Option<String>,
}

impl Core {
    /// What the status shows of this core.
    pub fn view(&self) -> GroupView {
        GroupView {
            role: self.role(),
            step: self.step(),
            epoch: self.epoch,
            ability: self.ability(),
            reserved: self.reserved(),
            read_age_ms: self.array.last.as_ref().map(|reading| self.now.since_ms(reading.started)),
            lease_left_ms: self.valid_proof().map(|proof| proof.expires_at().since_ms(self.now)),
            lapsed_ms: self.lease.lapsed_at.map(|at| self.now.since_ms(at)),
            preference: self.preference,
            maintenance: self.maintenance,
            last_takeover: self.last_takeover.clone(),
            last_fault: self.last_fault.clone(),
        }
    }

    /// The step under way while taking or releasing.
    pub fn step(&self) -> Option<Step> {
        match &self.state {
            State::Taking(take) => Some(take.step),
            State::Releasing(release) => Some(release.step),
            State::Watching | State::Active(_) | State::Fenced { .. } => None,
        }
    }

    /// What one medium brought, and whether that is within the dead time.
    pub fn medium(&self, medium: Medium) -> (Heard, bool) {
        let fresh = self.evidence.is_fresh(medium, self.now, self.config.dead_time_ms);
        (self.evidence.medium(medium), fresh)
    }

    /// Whether this box has listened for long enough that silence means something.
    pub fn has_listened(&self) -> bool {
        self.evidence.has_listened(self.now, self.config.dead_time_ms)
    }

    /// What the other box said last, and whether it is alive.
    pub fn peer(&self) -> (Option<&Beat>, bool) {
        (self.evidence.newest(), self.evidence.alive(self.now, self.config.dead_time_ms).is_some())
    }

    /// What it was told at the start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How long ago the other box gave its last sign, in milliseconds; 0 if it never did.
    pub(super) fn unheard_ms(&self) -> u64 {
        self.evidence.last_sign().map_or(0, |sign| self.now.since_ms(sign))
    }

    /// The evidence, for a record.
    pub(super) fn sight(&self) -> Sight {
        Sight {
            media_ms: Medium::ALL
                .map(|medium| self.evidence.medium(medium).at.map(|at| self.now.since_ms(at))),
            reserved: self.reserved(),
            read_age_ms: self.array.last.as_ref().map(|reading| self.now.since_ms(reading.started)),
        }
    }

    /// The evidence in words, for a record.
    pub(super) fn describe_evidence(&self) -> String {
        let mut words = String::new();
        for medium in Medium::ALL {
            let name = medium.name();
            let age = self.evidence.medium(medium).at.map(|at| self.now.since_ms(at));
            match age {
                Some(ms) => drop(write!(words, "{name} {ms} ms ago, ")),
                None => drop(write!(words, "{name} never, ")),
            }
        }
        let holder = match self.reserved() {
            Reserved::Unread => "unread",
            Reserved::Nobody => "free",
            Reserved::Mine => "this box's",
            Reserved::Peers => "the other box's",
            Reserved::Strangers => "a stranger's",
        };
        format!("last heard: {words}reservation {holder}")
    }
}
