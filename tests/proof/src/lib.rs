//! The exhaustive check: every state that two real decision cores and an array can come to.
//!
//! A state holds the cores that ship, one a box and group, what is mounted and running, the LUNs with
//! reservations of type 5, the slots, and the cables. Time goes in turns of 400 ms: in each turn every
//! box that runs hears what was sent, reads the array, carries out one command of the order under way,
//! and writes. Before each turn any one of the troubles on the menu may strike, as long as some are
//! left. Ages and epochs count by their distance, so the states are finite in number, and all of them
//! are visited: there is no bound on depth or time, only on how many troubles strike in one history.
//!
//! It never replaces the simulator: turns are coarse, both boxes have one clock, a frame is whole or
//! lost, the array forgets nothing. What it adds is that nothing within its bound is left out.

mod digest;
mod lun;
mod pair;
mod seat;
mod trouble;

use std::fmt::Write;

use cluster::{Mutant, Step};
use stateright::{Checker, HasDiscoveries, Model, Property};

pub use pair::{Broken, Pair};
pub use trouble::Trouble;

/// What is explored.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Service groups: one core of each a box.
    pub groups: usize,
    /// How many troubles may strike in one history.
    pub troubles: u8,
    /// Which ones.
    pub menu: Vec<Trouble>,
    /// Which rule both cores lack on purpose.
    pub mutant: Option<Mutant>,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happens {
    /// A turn; box a's loop comes first.
    Turn,
    /// Something goes wrong.
    Trouble(Trouble),
}

impl Model for Bound {
    type State = Pair;
    type Action = Happens;

    fn init_states(&self) -> Vec<Pair> {
        vec![Pair::cold(self.groups, self.troubles, self.mutant)]
    }

    fn actions(&self, state: &Pair, actions: &mut Vec<Happens>) {
        if state.broken.is_some() {
            return;
        }
        actions.push(Happens::Turn);
        if state.left > 0 {
            actions.extend(self.menu.iter().copied().map(Happens::Trouble));
        }
    }

    fn next_state(&self, last: &Pair, action: Happens) -> Option<Pair> {
        let mut next = last.clone();
        match action {
            Happens::Turn => next.pass(false),
            // It strikes before a turn, in which box b comes first: so both orders are met.
            Happens::Trouble(trouble) if next.suffer(trouble) => next.pass(true),
            Happens::Trouble(_) => return None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn is(state: &Pair, what: fn(&Broken) -> bool) -> bool {
            state.broken.as_ref().is_some_and(what)
        }
        vec![
            Property::always("at most one writer a LUN", |_, s| !is(s, |b| matches!(b, Broken::TwoWriters))),
            Property::always("nothing served without a held proof, no step out of order", |_, s| {
                !is(s, |b| matches!(b, Broken::Unproven(_)))
            }),
            Property::always("no take while the owner is heard", |_, s| {
                !is(s, |b| matches!(b, Broken::TookFromLiving))
            }),
            Property::always("whenever a box could serve, one does within a minute", |_, s| {
                !is(s, |b| matches!(b, Broken::Idle))
            }),
            Property::always("every sequence ends", |_, s| !is(s, |b| matches!(b, Broken::Endless))),
        ]
    }
}

/// What an exploration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps from one to another.
    pub steps: usize,
    /// The longest shortest way to a state, in turns.
    pub depth: usize,
    /// The first property that does not hold, and how it comes about.
    pub counterexample: Option<String>,
}

/// Visits every state within the bound.
pub fn explore(bound: &Bound) -> Explored {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker =
        bound.clone().checker().threads(threads).finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let counterexample =
        checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_vec().len()).map(
            |(property, path)| {
                let mut text = format!("does not hold: {property}\n");
                for (state, action) in path.into_vec() {
                    describe(&mut text, &state, action);
                }
                text
            },
        );
    Explored {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        counterexample,
    }
}

/// One line: the turn, both boxes, the array, and what happens next.
fn describe(text: &mut String, pair: &Pair, next: Option<Happens>) {
    let _ = write!(text, "{:>7} ms", pair.turn * pair::TURN_MS);
    for (node, b) in pair.boxes.iter().enumerate() {
        let name = ['a', 'b'][node];
        if b.off_until.is_some() {
            let _ = write!(text, " | {name} off");
        }
        let still = if b.still_until.is_some() { ", stands still" } else { "" };
        for seat in &b.seats {
            let step = seat.core.step().map_or("", Step::word);
            let mut has = String::new();
            for (there, word) in [
                (seat.mounted, " mounted"),
                (seat.mail, " mail"),
                (seat.address, " address"),
                (seat.suspended, " suspended"),
            ] {
                has.push_str(if there { word } else { "" });
            }
            let _ =
                write!(text, " | {name} {} {step} epoch {}{has}{still}", seat.core.role(), seat.core.epoch());
        }
    }
    for lun in &pair.luns {
        let holder = lun.holder.map_or('-', |node| ['a', 'b'][node]);
        let registered = [lun.keys[0].map_or("", |_| "a"), lun.keys[1].map_or("", |_| "b")].concat();
        let _ = write!(text, " | array: held by {holder}, registered {registered}");
    }
    if let Some(broken) = &pair.broken {
        let _ = write!(text, " | {broken:?}");
    }
    match next {
        Some(Happens::Trouble(trouble)) => {
            let _ = writeln!(text, "\n           {trouble:?}");
        }
        Some(Happens::Turn) | None => text.push('\n'),
    }
}

/// The small bound.
pub fn small() -> Vec<(&'static str, Bound)> {
    let bound = |groups, troubles, menu| Bound { groups, troubles, menu, mutant: None };
    vec![
        ("one group, any one trouble", bound(1, 1, Trouble::all())),
        ("one group, two of the most frequent", bound(1, 2, Trouble::few())),
        ("two groups, one of the most frequent", bound(2, 1, Trouble::few())),
    ]
}

/// The large bound.
pub fn large() -> Vec<(&'static str, Bound)> {
    let bound = |groups, troubles, menu| Bound { groups, troubles, menu, mutant: None };
    vec![
        ("two groups, any one trouble", bound(2, 1, Trouble::all())),
        ("one group, any two troubles", bound(1, 2, Trouble::all())),
        ("two groups, two of the most frequent", bound(2, 2, Trouble::few())),
    ]
}
