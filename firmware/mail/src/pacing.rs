//! How long a login has to wait after failures, so that guessing is slow and nobody is locked out.
//!
//! Every failure counts against the address it came from and against the account it was for. Both make
//! later checks wait, up to a bound of some seconds; neither ever refuses one. A login that is right
//! clears its own marks.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures without a wait: people mistype.
const FREE_FAILURES: u32 = 3;
/// First wait; it doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait for an address.
const ADDRESS_WAIT_MAX: Duration = Duration::from_secs(8);
/// Longest wait for an account: the real user must bear it from an address of good standing.
const ACCOUNT_WAIT_MAX: Duration = Duration::from_secs(2);
/// A failure is forgotten after so long without another.
const FORGET_AFTER: Duration = Duration::from_mins(15);
/// Addresses and accounts remembered.
const ENTRIES_MAX: usize = 20_000;

/// Remembers failures.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    addresses: Mutex<HashMap<IpAddr, Strikes>>,
    accounts: Mutex<HashMap<String, Strikes>>,
}

#[derive(Debug, Clone, Copy)]
struct Strikes {
    count: u32,
    last: Instant,
}

impl Pacing {
    /// How long this check has to wait.
    pub(crate) fn wait(&self, address: IpAddr, account: &str, now: Instant) -> Duration {
        let of_address = wait(&self.addresses, &address, ADDRESS_WAIT_MAX, now);
        let of_account = wait(&self.accounts, account, ACCOUNT_WAIT_MAX, now);
        of_address.max(of_account)
    }

    /// A login failed.
    pub(crate) fn failed(&self, address: IpAddr, account: &str, now: Instant) {
        strike(&self.addresses, address, now);
        strike(&self.accounts, account.to_owned(), now);
    }

    /// A login was right: the address is in good standing again. The account's marks stay, because
    /// somebody else may be guessing at it.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

fn wait<K: Hash + Eq + std::borrow::Borrow<Q>, Q: Hash + Eq + ?Sized>(
    marks: &Mutex<HashMap<K, Strikes>>,
    key: &Q,
    longest: Duration,
    now: Instant,
) -> Duration {
    let marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(strikes) = marks.get(key) else { return Duration::ZERO };
    if now.saturating_duration_since(strikes.last) > FORGET_AFTER || strikes.count <= FREE_FAILURES {
        return Duration::ZERO;
    }
    let doublings = (strikes.count - FREE_FAILURES - 1).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(longest)
}

fn strike<K: Hash + Eq>(marks: &Mutex<HashMap<K, Strikes>>, key: K, now: Instant) {
    let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
    if marks.len() >= ENTRIES_MAX {
        marks.retain(|_, strikes| now.saturating_duration_since(strikes.last) < FORGET_AFTER);
        // A flood from everywhere: better to forget all than to grow.
        if marks.len() >= ENTRIES_MAX {
            marks.clear();
        }
    }
    let strikes = marks.entry(key).or_insert(Strikes { count: 0, last: now });
    if now.saturating_duration_since(strikes.last) > FORGET_AFTER {
        strikes.count = 0;
    }
    strikes.count = strikes.count.saturating_add(1);
    strikes.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    #[test]
    fn guessing_slows_down_and_the_user_gets_in() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        for _ in 0..FREE_FAILURES {
            pacing.failed(ELSEWHERE, "u@x", now);
        }
        assert_eq!(pacing.wait(ELSEWHERE, "u@x", now), Duration::ZERO);
        for _ in 0..100 {
            pacing.failed(ELSEWHERE, "u@x", now);
        }
        assert_eq!(pacing.wait(ELSEWHERE, "other@x", now), ADDRESS_WAIT_MAX);
        assert_eq!(pacing.wait(HERE, "u@x", now), ACCOUNT_WAIT_MAX);
        assert_eq!(pacing.wait(HERE, "other@x", now), Duration::ZERO);
        assert_eq!(pacing.wait(ELSEWHERE, "u@x", now + FORGET_AFTER * 2), Duration::ZERO);
        pacing.succeeded(ELSEWHERE);
        assert_eq!(pacing.wait(ELSEWHERE, "other@x", now), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        for number in 0..ENTRIES_MAX * 2 {
            pacing.failed(HERE, &number.to_string(), now);
        }
        assert!(pacing.accounts.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
