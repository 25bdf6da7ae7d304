//! The order of faults: every episode once a round, each round shuffled by the seed.

use clap::ValueEnum as _;

use crate::kind::{Kind, Outcome};

/// Whom a blow strikes, as the roles are when the episode begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The box that serves.
    Serving,
    /// The other one.
    Other,
}

/// Something that is done to a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It is broken.
    Break(Kind),
    /// It is put right.
    Heal(Kind),
}

/// One deed of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blow {
    /// When, in milliseconds from the episode's beginning.
    pub at_ms: u64,
    /// To whom.
    pub target: Target,
    /// What.
    pub deed: Deed,
}

/// One fault, or several that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// What it is called in the report.
    pub name: String,
    /// In the order of their times.
    pub blows: Vec<Blow>,
    /// What the pair must make of it.
    pub outcome: Outcome,
}

use Deed::{Break, Heal};
use Target::{Other, Serving};

/// What may strike while the pair is at work on something else.
const SECOND_FAULTS: [Kind; 9] = [
    Kind::Reset,
    Kind::Panic,
    Kind::PowerCut,
    Kind::Freeze,
    Kind::CutPublic,
    Kind::CutArray,
    Kind::HangArray,
    Kind::KillMail,
    Kind::KillCluster,
];

/// An endless, repeatable order of episodes.
#[derive(Debug)]
pub struct Plan {
    named: Option<Vec<Episode>>,
    round: Vec<Episode>,
    random: u64,
}

impl Plan {
    /// A plan from this seed: of these kinds, done to the box that serves or to the other one; or, where
    /// none are named, of everything.
    pub fn new(kinds: &[Kind], at_standby: bool, seed: u64) -> Self {
        let episode = |kind: &Kind| {
            if at_standby && !kind.hits_both() { Episode::at_other(*kind) } else { Episode::alone(*kind) }
        };
        let named = (!kinds.is_empty()).then(|| kinds.iter().map(episode).collect());
        Self { named, round: Vec::new(), random: seed }
    }

    /// Episodes in one round.
    pub fn round_length(&mut self) -> usize {
        let random = self.random;
        let length = self.draw_round().len();
        self.random = random;
        length
    }

    fn draw_round(&mut self) -> Vec<Episode> {
        self.named.clone().unwrap_or_else(|| self.everything())
    }

    fn everything(&mut self) -> Vec<Episode> {
        let kinds = Kind::value_variants();
        let alone = kinds.iter().map(|kind| Episode::alone(*kind));
        // The mail service of the other box does not run, so it cannot be broken.
        let at_active =
            [Kind::SwitchOver, Kind::KillMail, Kind::HangMail, Kind::ExhaustMail, Kind::WrongMail];
        let at_other = kinds.iter().filter(|kind| !kind.hits_both() && !at_active.contains(kind));
        let mut list: Vec<Episode> = alone.chain(at_other.map(|kind| Episode::at_other(*kind))).collect();
        list.extend(together());
        list.extend(second_faults(&mut self.random));
        list
    }

    fn shuffle(&mut self, list: &mut [Episode]) {
        for last in (1..list.len()).rev() {
            let other = splitmix(&mut self.random) as usize % (last + 1);
            list.swap(last, other);
        }
    }
}

impl Iterator for Plan {
    type Item = Episode;

    fn next(&mut self) -> Option<Episode> {
        if self.round.is_empty() {
            let mut round = self.draw_round();
            self.shuffle(&mut round);
            self.round = round;
        }
        self.round.pop()
    }
}

impl Episode {
    /// One fault of the box that serves.
    pub fn alone(kind: Kind) -> Self {
        let blows = vec![Blow { at_ms: 0, target: Serving, deed: Break(kind) }];
        Self { name: kind.to_string(), blows, outcome: kind.outcome() }
    }

    /// One fault of the other box, which must not move or stop anything.
    pub fn at_other(kind: Kind) -> Self {
        let blows = vec![Blow { at_ms: 0, target: Other, deed: Break(kind) }];
        Self { name: format!("{kind} at standby"), blows, outcome: Outcome::Stays }
    }

    fn of(name: &str, outcome: Outcome, blows: &[(u64, Target, Deed)]) -> Self {
        let blows =
            blows.iter().map(|(at_ms, target, deed)| Blow { at_ms: *at_ms, target: *target, deed: *deed });
        Self { name: name.into(), blows: blows.collect(), outcome }
    }

    /// Everything it breaks.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.blows.iter().filter_map(|blow| match blow.deed {
            Break(kind) => Some(kind),
            Heal(_) => None,
        })
    }

    /// What it does, for a person who wants to do it by hand.
    pub fn story(&self) -> String {
        let tell = |blow: &Blow| {
            let whom = if blow.target == Serving { "active" } else { "standby" };
            let what = match blow.deed {
                Break(kind) => kind.to_string(),
                Heal(kind) => format!("heal {kind}"),
            };
            format!("{whom} {what} at {} ms", blow.at_ms)
        };
        self.blows.iter().map(tell).collect::<Vec<_>>().join(", ")
    }
}

/// A second fault while the pair is at work on the first: in a takeover, in a release, in a boot.
pub fn second_faults(random: &mut u64) -> [Episode; 3] {
    let mut draw = |target, from_ms: u64, to_ms: u64| {
        let at_ms = from_ms + splitmix(random) % (to_ms - from_ms);
        (at_ms, target, Break(SECOND_FAULTS[splitmix(random) as usize % SECOND_FAULTS.len()]))
    };
    let taking = [(0, Serving, Break(Kind::PowerCut)), draw(Other, 2_000, 5_000)];
    let releasing = [Serving, Other].map(|of| [(0, Serving, Break(Kind::SwitchOver)), draw(of, 100, 1_600)]);
    let (reset_ms, ..) = draw(Serving, 8_000, 16_000);
    let booting = [
        (0, Serving, Break(Kind::PowerCut)),
        (6_000, Serving, Heal(Kind::PowerCut)),
        (reset_ms, Serving, Break(Kind::Reset)),
    ];
    let releasing = releasing[(splitmix(random) % 2) as usize];
    [
        Episode::of("then in takeover", Outcome::NeedsHealing, &taking),
        Episode::of("then in release", Outcome::NeedsHealing, &releasing),
        Episode::of("then in boot", Outcome::Moves, &booting),
    ]
}

/// What goes wrong together.
pub fn together() -> Vec<Episode> {
    let cables = [(0, Serving, Break(Kind::CutSerial)), (0, Serving, Break(Kind::CutPrivate))];
    let public = [(0, Serving, Break(Kind::CutPublic)), (0, Other, Break(Kind::CutPublic))];
    let dark = [(0, Serving, Break(Kind::PowerCut)), (0, Other, Break(Kind::PowerCut))];
    let back = |first, second| {
        let mut blows = dark.to_vec();
        blows.extend([(1_000, first, Heal(Kind::PowerCut)), (4_000, second, Heal(Kind::PowerCut))]);
        blows
    };
    let degraded = |kind| [(0, Other, Break(kind)), (4_000, Serving, Break(Kind::PowerCut))];
    vec![
        Episode::of("both heartbeats cut", Outcome::Stays, &cables),
        Episode::of("public cut at both", Outcome::NeedsHealing, &public),
        Episode::of("dark, server first", Outcome::NeedsHealing, &back(Serving, Other)),
        Episode::of("dark, standby first", Outcome::NeedsHealing, &back(Other, Serving)),
        Episode::of("standby without array", Outcome::NeedsHealing, &degraded(Kind::CutArray)),
        Episode::of("standby without public", Outcome::NeedsHealing, &degraded(Kind::CutPublic)),
        Episode::of("standby deaf", Outcome::NeedsHealing, &degraded(Kind::HangArray)),
    ]
}

/// Steele, Lea and Flood's splitmix64.
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KINDS: [Kind; 4] = [Kind::PowerCut, Kind::Freeze, Kind::CutArray, Kind::KillMail];

    fn names(kinds: &[Kind], seed: u64, count: usize) -> Vec<String> {
        Plan::new(kinds, false, seed)
            .take(count)
            .map(|episode| format!("{}: {}", episode.name, episode.story()))
            .collect()
    }

    #[test]
    fn a_round_has_every_kind_and_a_seed_repeats_itself() {
        let order = names(&KINDS, 9, 8);
        assert_eq!(order, names(&KINDS, 9, 8));
        assert_eq!(order[..4].iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(order[4..].iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn other_seeds_give_other_orders() {
        let orders: BTreeSet<_> = (0..20).map(|seed| names(&KINDS, seed, 8)).collect();
        assert!(orders.len() > 10);
    }

    #[test]
    fn a_round_of_everything_has_every_fault_there_is() {
        let mut plan = Plan::new(&[], false, 3);
        let length = plan.round_length();
        let round: Vec<Episode> = plan.take(length).collect();
        let alone: BTreeSet<_> =
            round.iter().filter(|it| it.blows.len() == 1).flat_map(Episode::kinds).collect();
        assert_eq!(alone.len(), Kind::value_variants().len());
        let names: BTreeSet<_> = round.iter().map(|episode| &episode.name).collect();
        assert_eq!(names.len(), length);
        assert_eq!(round, Plan::new(&[], false, 3).take(length).collect::<Vec<_>>());
    }

    #[test]
    fn named_faults_strike_the_standby_where_that_is_asked() {
        let list = [Kind::PowerCut, Kind::TornSlot];
        for episode in Plan::new(&list, true, 1).take(2) {
            let alone = episode.name == "torn-slot";
            assert_eq!(episode.blows[0].target, if alone { Serving } else { Other }, "{}", episode.name);
            assert_eq!(episode.outcome, Outcome::Stays, "{}", episode.name);
        }
    }

    #[test]
    fn the_blows_of_an_episode_are_in_order() {
        for episode in Plan::new(&[], false, 5).take(300) {
            assert!(episode.blows.is_sorted_by_key(|blow| blow.at_ms), "{}", episode.story());
        }
    }
}
