//! How one address is claimed and kept. No I/O, no clock.
//!
//! probe → nobody answers → assign → announce in a burst → announce again now and then. A station
//! that uses the address while it is probed stops the claim; one that appears later is answered
//! (RFC 5227 2.4) and reported. The question may be asked ahead, while the service still starts: if
//! nobody answered it, the claim that follows soon assigns at once.

use std::net::IpAddr;

use crate::packet::{Mac, Neighbour};

/// Between two probes of one claim, in milliseconds.
pub const PROBE_INTERVAL_MS: u64 = 60;
/// When the announcements of the burst go out, in milliseconds after the address was assigned. The
/// first updates every neighbour; the others are for what was lost or was not listening yet.
pub const ANNOUNCE_BURST_MS: [u64; 7] = [0, 100, 300, 700, 1_500, 3_000, 6_000];
/// Between two later announcements, in milliseconds; switches forget after about five minutes.
pub const REFRESH_MS: u64 = 60_000;
/// How long the answer "nobody" to a question that was asked ahead is good for, in milliseconds.
pub const CLEAR_MS: u64 = 5_000;
/// Between two defences against a stranger, in milliseconds (RFC 5227 DEFEND_INTERVAL).
pub const DEFEND_INTERVAL_MS: u64 = 10_000;

/// One address on its way to this box, or here.
#[derive(Debug, Clone)]
pub struct Claim {
    address: IpAddr,
    own: Mac,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Away,
    Probing {
        until_ms: u64,
        next_ms: u64,
        ahead: bool,
    },
    /// Asked ahead, and nobody answered.
    Clear {
        since_ms: u64,
    },
    Here {
        since_ms: u64,
        announced: usize,
        next_ms: u64,
        defended_ms: Option<u64>,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask whether anybody uses it.
    Probe,
    /// Nobody answered: give it to the interface, then call [`Claim::assigned`].
    Assign,
    /// Tell all neighbours.
    Announce,
}

/// What a neighbour's frame means for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Somebody uses or wants the address that is being claimed: the claim is over.
    Conflict(Mac),
    /// Somebody uses the address that is here; it was answered.
    Stranger(Mac),
}

impl Claim {
    /// A claim for `address` by the station `own`; nothing happens yet.
    pub fn new(address: IpAddr, own: Mac) -> Self {
        Self { address, own, state: State::Away }
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the address is assigned to this box.
    pub fn is_here(&self) -> bool {
        matches!(self.state, State::Here { .. })
    }

    /// Whether somebody is being asked.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// Asks for `wait_ms` without claiming; what is here already is not asked for.
    pub fn ask(&mut self, now_ms: u64, wait_ms: u64) {
        if !self.is_here() {
            self.state = State::Probing { until_ms: now_ms + wait_ms, next_ms: now_ms, ahead: true };
        }
    }

    /// Begins to claim it, asking for `wait_ms` unless nobody answered just now; one that is here already
    /// stays.
    pub fn begin(&mut self, now_ms: u64, wait_ms: u64) {
        let wait_ms = match self.state {
            State::Here { .. } => return,
            State::Clear { since_ms } if now_ms <= since_ms + CLEAR_MS => 0,
            _ => wait_ms,
        };
        self.state = State::Probing { until_ms: now_ms + wait_ms, next_ms: now_ms, ahead: false };
    }

    /// The address is assigned.
    pub fn assigned(&mut self, now_ms: u64) {
        if !self.is_here() {
            let (announced, defended_ms) = (0, None);
            self.state = State::Here { since_ms: now_ms, announced, next_ms: now_ms, defended_ms };
        }
    }

    /// The address is given up.
    pub fn released(&mut self) {
        self.state = State::Away;
    }

    /// What is to be done now; call it until it gives none.
    pub fn poll(&mut self, now_ms: u64) -> Option<Step> {
        match &mut self.state {
            State::Away | State::Clear { .. } => None,
            State::Probing { until_ms, ahead: true, .. } if now_ms >= *until_ms => {
                self.state = State::Clear { since_ms: now_ms };
                None
            }
            State::Probing { until_ms, .. } if now_ms >= *until_ms => Some(Step::Assign),
            State::Probing { next_ms, .. } => {
                if now_ms < *next_ms {
                    return None;
                }
                *next_ms = now_ms + PROBE_INTERVAL_MS;
                Some(Step::Probe)
            }
            State::Here { since_ms, announced, next_ms, .. } => {
                if now_ms < *next_ms {
                    return None;
                }
                *announced += 1;
                // A box that was slow skips what it missed: one announcement is as good as three.
                let burst = ANNOUNCE_BURST_MS.iter().map(|after_ms| *since_ms + after_ms);
                *next_ms = burst.skip(*announced).find(|at| *at > now_ms).unwrap_or(now_ms + REFRESH_MS);
                Some(Step::Announce)
            }
        }
    }

    /// When [`Claim::poll`] has something to do next.
    pub fn next_ms(&self) -> Option<u64> {
        match self.state {
            State::Away | State::Clear { .. } => None,
            State::Probing { until_ms, next_ms, .. } => Some(until_ms.min(next_ms)),
            State::Here { next_ms, .. } => Some(next_ms),
        }
    }

    /// What a neighbour's frame means.
    pub fn hear(&mut self, neighbour: Neighbour, now_ms: u64) -> Option<Heard> {
        let (address, mac, uses) = match neighbour {
            Neighbour::Uses { address, mac } => (address, mac, true),
            Neighbour::Probes { address, mac } => (address, mac, false),
        };
        if address != self.address || mac == self.own {
            return None;
        }
        match &mut self.state {
            State::Away => None,
            State::Probing { .. } | State::Clear { .. } => {
                self.state = State::Away;
                Some(Heard::Conflict(mac))
            }
            // The kernel answers a probe for an address that is here; only use of it is reported.
            State::Here { .. } if !uses => None,
            State::Here { next_ms, defended_ms, .. } => {
                if defended_ms.is_none_or(|at| now_ms >= at + DEFEND_INTERVAL_MS) {
                    *defended_ms = Some(now_ms);
                    *next_ms = now_ms;
                }
                Some(Heard::Stranger(mac))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn address() -> IpAddr {
        "192.0.2.10".parse().unwrap()
    }

    fn steps(claim: &mut Claim, from_ms: u64, to_ms: u64) -> Vec<(u64, Step)> {
        let mut steps = Vec::new();
        for now_ms in from_ms..to_ms {
            while let Some(step) = claim.poll(now_ms) {
                steps.push((now_ms, step));
                if step == Step::Assign {
                    claim.assigned(now_ms);
                }
            }
        }
        steps
    }

    #[test]
    fn nobody_answers_so_it_is_assigned_and_announced() {
        let mut claim = Claim::new(address(), OWN);
        assert!(steps(&mut claim, 0, 100).is_empty());
        claim.begin(1_000, 150);
        let seen = steps(&mut claim, 1_000, 9_000);
        let probes: Vec<_> =
            seen.iter().filter(|(_, step)| *step == Step::Probe).map(|(at, _)| *at).collect();
        assert_eq!(probes, [1_000, 1_060, 1_120]);
        assert!(seen.contains(&(1_150, Step::Assign)));
        let announced: Vec<_> =
            seen.iter().filter(|(_, step)| *step == Step::Announce).map(|(at, _)| at - 1_150).collect();
        assert_eq!(announced, ANNOUNCE_BURST_MS);
        let later = steps(&mut claim, 9_000, 130_000);
        assert_eq!(later.len(), 2, "{later:?}");
    }

    #[test]
    fn a_box_that_was_held_up_announces_once_and_goes_on() {
        let mut claim = Claim::new(address(), OWN);
        claim.begin(0, 100);
        steps(&mut claim, 0, 110);
        assert_eq!(steps(&mut claim, 2_000, 2_010).len(), 1);
        assert_eq!(claim.next_ms(), Some(100 + 3_000));
    }

    #[test]
    fn somebody_who_uses_or_wants_it_ends_the_claim() {
        let (address, mac) = (address(), OTHER);
        for heard in [Neighbour::Uses { address, mac }, Neighbour::Probes { address, mac }] {
            let mut claim = Claim::new(address, OWN);
            claim.begin(0, 100);
            assert_eq!(claim.hear(heard, 10), Some(Heard::Conflict(OTHER)));
            assert!(steps(&mut claim, 10, 500).is_empty());
        }
    }

    #[test]
    fn what_was_asked_ahead_need_not_be_waited_for() {
        let mut claim = Claim::new(address(), OWN);
        claim.ask(0, 100);
        let asked = steps(&mut claim, 0, 700);
        assert_eq!(asked, [(0, Step::Probe), (60, Step::Probe)]);
        assert!(!claim.is_asking() && !claim.is_here());
        claim.begin(700, 100);
        assert_eq!(steps(&mut claim, 700, 701), [(700, Step::Assign), (700, Step::Announce)]);
    }

    #[test]
    fn an_answer_of_long_ago_or_a_station_heard_since_is_asked_again() {
        let (address, mac) = (address(), OTHER);
        let begun = |heard_ms: Option<u64>, begin_ms: u64| {
            let mut claim = Claim::new(address, OWN);
            claim.ask(0, 100);
            steps(&mut claim, 0, 101);
            if let Some(heard_ms) = heard_ms {
                let heard = claim.hear(Neighbour::Uses { address, mac }, heard_ms);
                assert_eq!(heard, Some(Heard::Conflict(OTHER)));
            }
            claim.begin(begin_ms, 100);
            steps(&mut claim, begin_ms, begin_ms + 1)
        };
        let asks = |at_ms| vec![(at_ms, Step::Probe)];
        assert_eq!(begun(None, 100 + CLEAR_MS + 1), asks(100 + CLEAR_MS + 1));
        assert_eq!(begun(Some(50), 300), asks(300));
        assert_eq!(begun(Some(200), 300), asks(300));
        let mut claim = Claim::new(address, OWN);
        claim.ask(0, 100);
        claim.begin(50, 100);
        assert!(
            steps(&mut claim, 50, 60).iter().all(|(_, step)| *step == Step::Probe),
            "its time is not over"
        );
    }

    #[test]
    fn own_frames_and_other_addresses_mean_nothing() {
        let mut claim = Claim::new(address(), OWN);
        claim.begin(0, 100);
        assert_eq!(claim.hear(Neighbour::Uses { address: address(), mac: OWN }, 1), None);
        let other = "192.0.2.11".parse().unwrap();
        assert_eq!(claim.hear(Neighbour::Uses { address: other, mac: OTHER }, 1), None);
    }

    #[test]
    fn a_stranger_is_reported_each_time_and_answered_now_and_then() {
        let mut claim = Claim::new(address(), OWN);
        claim.begin(0, 100);
        steps(&mut claim, 0, 20_000);
        let stranger = Neighbour::Uses { address: address(), mac: OTHER };
        let mut answers = 0;
        for now_ms in (20_000..40_000).step_by(500) {
            assert_eq!(claim.hear(stranger, now_ms), Some(Heard::Stranger(OTHER)));
            answers += steps(&mut claim, now_ms, now_ms + 1).len();
        }
        assert_eq!(answers, 2);
    }
}
