//! The order of faults: every kind once a round, each round shuffled by the seed.

use crate::parts::Kind;

/// An endless, repeatable order of faults.
#[derive(Debug)]
pub struct Plan {
    kinds: Vec<Kind>,
    next: usize,
    random: u64,
}

impl Plan {
    /// A plan of these kinds from this seed.
    pub fn new(kinds: &[Kind], seed: u64) -> Self {
        Self { kinds: kinds.to_vec(), next: 0, random: seed }
    }

    fn shuffle(&mut self) {
        for last in (1..self.kinds.len()).rev() {
            let other = splitmix(&mut self.random) as usize % (last + 1);
            self.kinds.swap(last, other);
        }
    }
}

impl Iterator for Plan {
    type Item = Kind;

    fn next(&mut self) -> Option<Kind> {
        if self.next == 0 {
            self.shuffle();
        }
        let kind = self.kinds.get(self.next).copied();
        self.next = (self.next + 1) % self.kinds.len().max(1);
        kind
    }
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

    #[test]
    fn a_round_has_every_kind_and_a_seed_repeats_itself() {
        let order: Vec<Kind> = Plan::new(&KINDS, 9).take(8).collect();
        assert_eq!(order, Plan::new(&KINDS, 9).take(8).collect::<Vec<_>>());
        assert_eq!(order[..4].iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(order[4..].iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn other_seeds_give_other_orders() {
        let orders: BTreeSet<Vec<Kind>> =
            (0..20).map(|seed| Plan::new(&KINDS, seed).take(8).collect()).collect();
        assert!(orders.len() > 10);
    }
}
