//! What goes wrong in one run, and when: a page of JSON that the simulator and the lab both play.
//!
//! ```json
//! { "seed": 7, "power_on_ms": [0, 2400], "heal_at_ms": 60000, "faults": [
//!   { "at_ms": 9000, "on": "a", "kind": "power-cut", "for_ms": 5000 },
//!   { "at_ms": 9000, "on": "b", "kind": "freeze", "for_ms": 800, "when": { "of": "b", "step": "mount" } } ] }
//! ```

use std::fmt;

use cluster::{Node, Step};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How long faults begin in a plan of the simulator, in milliseconds.
const FAULTS_MS: u64 = 60_000;

/// What goes wrong in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Draws everything that is chance and no fault: delays, lengths of steps, single losses.
    pub seed: u64,
    /// When each box gets power, in milliseconds from the beginning.
    pub power_on_ms: [u64; 2],
    /// When everything that is still broken heals, in milliseconds from the beginning.
    pub heal_at_ms: u64,
    /// The faults, in the order of their times.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When, in milliseconds from the beginning; with `when`, the earliest moment.
    pub at_ms: u64,
    /// At which box.
    pub on: Place,
    /// What.
    pub kind: Kind,
    /// How long it lasts, in milliseconds; 0 for what is over at once.
    #[serde(default)]
    pub for_ms: u64,
    /// If set, it waits until this happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Moment>,
}

/// A box is about to do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which box.
    pub of: Place,
    /// Which step it begins: the words of `cluster::Step`, or `boot`.
    pub step: String,
}

/// One of the two boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The first.
    A,
    /// The second.
    B,
}

/// What can go wrong. The first part has the names, and the meaning, of the lab's faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The plug is pulled, and put back in the end.
    PowerCut,
    /// The box stands still with all it has in flight, its clock and its watchdog too.
    Freeze,
    /// The reset button.
    Reset,
    /// The power button: an ordered stop; power comes back in the end.
    PowerButton,
    /// The null-modem cable is pulled.
    CutSerial,
    /// The cross-over Ethernet cable is pulled.
    CutPrivate,
    /// The public Ethernet cable is pulled.
    CutPublic,
    /// The host adapter loses its LUN: commands fail.
    CutArray,
    /// The host adapter's commands never come back.
    HangArray,
    /// The null-modem cable carries noise.
    GarbageSerial,
    /// The mail service crashes.
    KillMail,
    /// The mail service stands still.
    HangMail,
    /// The cluster service crashes.
    KillCluster,
    /// An ordered switch-over to the other box.
    SwitchOver,

    /// The processor does not come to the cluster service; clock and watchdog go on.
    Starve,
    /// As before, and the watchdog does not work.
    StarveWithoutWatchdog,
    /// The cluster service comes to its turn late.
    SlowBox,
    /// The box's clock leaps ahead by `for_ms`.
    ClockJump,
    /// The box's clock runs a tenth too fast.
    FastClock,
    /// The box's clock runs a tenth too slow.
    SlowClock,
    /// Bytes on the null-modem cable are lost, doubled and changed.
    NoisySerial,
    /// Datagrams are lost, doubled and overtake each other.
    LossyPrivate,
    /// What this box sends on the null-modem cable is lost; the way back works.
    OneWaySerial,
    /// What this box sends on the private network is lost; the way back works.
    OneWayPrivate,
    /// Commands to the array take up to a second.
    SlowArray,
    /// Commands reach the array and take effect, but no answer comes back.
    HalfOpenPath,
    /// The next write of this box's slot is torn in the middle.
    TornSlot,
    /// The array has a unit attention for everybody.
    UnitAttention,
    /// The LUN is reset: commands in flight are aborted, reservations stay.
    LunReset,
    /// The array restarts and remembers its reservations (APTPL).
    ArrayRestart,
    /// The array restarts and has forgotten its reservations.
    ArrayForgets,
    /// A third initiator clears all registrations.
    StrangerClears,
    /// A third initiator takes the reservation, and gives it up in the end.
    StrangerSteals,
    /// Mounting takes long.
    SlowMount,
    /// The mail service cannot be stopped.
    StuckStop,
    /// The mail service does not work, however often it is started.
    SickMail,
    /// A stranger uses the virtual address.
    AddressTaken,
    /// The operator takes the box out of service, and puts it back in the end.
    Maintenance,
    /// The operator prefers this box, and the group goes back to it by itself.
    Prefer,
}

impl Kind {
    /// What the lab can do as well.
    pub const LAB: [Self; 14] = [
        Self::PowerCut,
        Self::Freeze,
        Self::Reset,
        Self::PowerButton,
        Self::CutSerial,
        Self::CutPrivate,
        Self::CutPublic,
        Self::CutArray,
        Self::HangArray,
        Self::GarbageSerial,
        Self::KillMail,
        Self::HangMail,
        Self::KillCluster,
        Self::SwitchOver,
    ];

    /// All of them.
    pub const ALL: [Self; 39] = [
        Self::PowerCut,
        Self::Freeze,
        Self::Reset,
        Self::PowerButton,
        Self::CutSerial,
        Self::CutPrivate,
        Self::CutPublic,
        Self::CutArray,
        Self::HangArray,
        Self::GarbageSerial,
        Self::KillMail,
        Self::HangMail,
        Self::KillCluster,
        Self::SwitchOver,
        Self::Starve,
        Self::StarveWithoutWatchdog,
        Self::SlowBox,
        Self::ClockJump,
        Self::FastClock,
        Self::SlowClock,
        Self::NoisySerial,
        Self::LossyPrivate,
        Self::OneWaySerial,
        Self::OneWayPrivate,
        Self::SlowArray,
        Self::HalfOpenPath,
        Self::TornSlot,
        Self::UnitAttention,
        Self::LunReset,
        Self::ArrayRestart,
        Self::ArrayForgets,
        Self::StrangerClears,
        Self::StrangerSteals,
        Self::SlowMount,
        Self::StuckStop,
        Self::SickMail,
        Self::AddressTaken,
        Self::Maintenance,
        Self::Prefer,
    ];

    /// Shortest and longest time it lasts in a drawn plan, in milliseconds; 0 for what does not last.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::PowerCut | Self::PowerButton => (500, 20_000),
            Self::Freeze => (300, 25_000),
            Self::Starve | Self::StarveWithoutWatchdog => (300, 10_000),
            Self::CutSerial | Self::CutPrivate | Self::GarbageSerial => (500, 30_000),
            Self::CutPublic => (500, 20_000),
            Self::CutArray | Self::HangArray | Self::HalfOpenPath => (200, 30_000),
            Self::ClockJump => (100, 90_000),
            Self::NoisySerial
            | Self::LossyPrivate
            | Self::OneWaySerial
            | Self::OneWayPrivate
            | Self::SlowArray
            | Self::SlowBox
            | Self::FastClock
            | Self::SlowClock => (1_000, 30_000),
            Self::ArrayRestart | Self::ArrayForgets => (2_000, 15_000),
            Self::StrangerSteals | Self::AddressTaken => (500, 15_000),
            Self::SlowMount | Self::StuckStop | Self::SickMail | Self::Maintenance => (2_000, 30_000),
            Self::Reset
            | Self::KillMail
            | Self::HangMail
            | Self::KillCluster
            | Self::SwitchOver
            | Self::TornSlot
            | Self::UnitAttention
            | Self::LunReset
            | Self::StrangerClears
            | Self::Prefer => (0, 0),
        }
    }

    /// The word in plans.
    pub fn word(self) -> String {
        serde_json::to_string(&self).map(|json| json.trim_matches('"').to_owned()).unwrap_or_default()
    }
}

/// The moments at which a drawn fault may strike.
const STEPS: [&str; 11] = [
    "boot",
    Step::word(Step::Fence),
    Step::word(Step::Mount),
    Step::word(Step::Recover),
    Step::word(Step::Serve),
    Step::word(Step::Announce),
    Step::word(Step::RestartMail),
    Step::word(Step::Withdraw),
    Step::word(Step::Halt),
    Step::word(Step::Unmount),
    Step::word(Step::Unreserve),
];

impl Plan {
    /// A plan of all faults, several at once, drawn from `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x504C_414E);
        let mut plan = Self {
            seed,
            power_on_ms: [rng.range(0, 6_000), rng.range(0, 6_000)],
            heal_at_ms: FAULTS_MS,
            faults: Vec::new(),
        };
        let mut at_ms = rng.range(1_000, 15_000);
        while at_ms < FAULTS_MS {
            plan.draw_faults(at_ms, &mut rng);
            at_ms += rng.range(300, 9_000);
        }
        plan
    }

    /// One fault, or two that go together.
    fn draw_faults(&mut self, at_ms: u64, rng: &mut Rng) {
        let kind = if rng.chance(400) { pick(&Kind::LAB, rng) } else { pick(&Kind::ALL, rng) };
        let on = pick(&[Place::A, Place::B], rng);
        let first = Fault::draw(kind, at_ms, on, rng);
        // Both boxes, or both cables, at the same moment.
        let twin = match kind {
            Kind::PowerCut => Some((Kind::PowerCut, on.other())),
            Kind::CutSerial => Some((Kind::CutPrivate, on)),
            Kind::OneWaySerial => Some((Kind::OneWayPrivate, on)),
            Kind::CutArray => Some((Kind::CutArray, on.other())),
            Kind::CutPublic => Some((Kind::CutPublic, on.other())),
            _ => None,
        };
        if let Some((kind, on)) = twin
            && rng.chance(350)
        {
            let fault = Fault::draw(kind, at_ms, on, rng);
            self.faults.push(Fault { when: None, ..fault });
        }
        self.faults.push(first);
    }
}

impl Fault {
    pub(crate) fn draw(kind: Kind, at_ms: u64, on: Place, rng: &mut Rng) -> Self {
        let (shortest, longest) = kind.lasts_ms();
        let for_ms = rng.range(shortest, longest);
        let of = if rng.chance(700) { on } else { on.other() };
        let when = rng.chance(250).then(|| Moment { of, step: pick(&STEPS, rng).to_owned() });
        Self { at_ms, on, kind, for_ms, when }
    }
}

impl Place {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The same in the core's terms.
    pub fn node(self) -> Node {
        match self {
            Self::A => Node::A,
            Self::B => Node::B,
        }
    }

    pub(crate) fn of(index: usize) -> Self {
        if index == 0 { Self::A } else { Self::B }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node().fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at box {}", self.kind.word(), self.on)?;
        if self.for_ms > 0 {
            write!(f, " for {} ms", self.for_ms)?;
        }
        if let Some(moment) = &self.when {
            write!(f, " when box {} comes to {}", moment.of, moment.step)?;
        }
        Ok(())
    }
}

pub(crate) fn pick<T: Copy>(among: &[T], rng: &mut Rng) -> T {
    among[rng.range(0, among.len() as u64 - 1) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_way_through_json() {
        for seed in 0..50 {
            let plan = Plan::draw(seed);
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        }
    }
}
