//! How long a login has to wait after failures, so that guessing is slow and nobody is locked out.
//!
//! A failure counts against the host it came from (an IPv4 address, an IPv6 /64), the network around it
//! (/24, /48) and the account it was for. A host's checks are made one after the other, each after a pause
//! that doubles; a host with too many of them waiting is told to come back. Checks that have not come to
//! an end yet count as failures once there was a first one, so guessing in parallel gains nothing. An account's failures make
//! strangers pause for at most two seconds and never keep anybody out, however many guess from however
//! many places. A host from which the account has logged in lately is no stranger: it is not paused for
//! what others do, only for a long row of failures of its own on this account.
//!
//! All of it is in memory. A restart forgets the failures together with the acquaintances, so nobody is
//! worse off for it; writing each failure to disk would give those who guess a way to keep the disk busy.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admission::{network, wide_network};

/// First pause; it doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A failure is forgotten after so long without another.
const FORGET_AFTER: Duration = Duration::from_mins(15);
/// A host is an acquaintance of an account for so long after a login.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
/// Longest time a check waits for its turn; a host that would have to wait longer is told to come back.
const TURN_MAX: Duration = Duration::from_secs(20);
/// Entries of each table.
const ENTRIES_MAX: usize = 20_000;
/// Checks under way of a host in good standing; further ones follow one after the other.
const PENDING_FREE: u32 = 32;
/// The pause between those.
const PENDING_PAUSE: Duration = Duration::from_millis(50);
/// Acquaintances.
const KNOWN_MAX: usize = 100_000;
/// Entries looked at to find one that can go.
const SAMPLE: usize = 16;

/// Failures without a pause, and the longest pause, for each thing that is counted.
const HOST: Pace = Pace { free: 3, longest: Duration::from_secs(8) };
const WIDE: Pace = Pace { free: 30, longest: Duration::from_secs(4) };
const ACCOUNT: Pace = Pace { free: 5, longest: Duration::from_secs(2) };
const KNOWN: Pace = Pace { free: 10, longest: Duration::from_secs(4) };

#[derive(Debug, Clone, Copy)]
struct Pace {
    free: u32,
    longest: Duration,
}

impl Pace {
    fn pause(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(self.longest),
        }
    }
}

/// Remembers failures.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Account names are kept as hashes: they can be long, and strangers choose them.
    hasher: RandomState,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    hosts: HashMap<IpAddr, Strikes>,
    wide: HashMap<IpAddr, Strikes>,
    accounts: HashMap<u64, Strikes>,
    /// Host and account.
    known: HashMap<(IpAddr, u64), Strikes>,
}

#[derive(Debug, Clone, Copy)]
struct Strikes {
    count: u32,
    /// Last failure, or for acquaintances last login or failure.
    last: Instant,
    /// When the next check of this host may be made.
    next: Instant,
    /// Checks under way.
    pending: u32,
}

/// A check under way; dropping it says that it has come to its end.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    guard: &'a Guard,
    host: IpAddr,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut tables = self.guard.tables();
        if let Some(strikes) = tables.hosts.get_mut(&self.host) {
            strikes.pending = strikes.pending.saturating_sub(1);
            if strikes.pending == 0 && strikes.count == 0 {
                tables.hosts.remove(&self.host);
            }
        }
    }
}

/// What the guard says of a check that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// After this pause.
    After(Duration),
    /// Too many of this host wait already.
    ComeBack,
}

impl Guard {
    /// When a check may be made.
    pub(crate) fn admit(&self, peer: IpAddr, user: &str, now: Instant) -> Verdict {
        let (host, account) = (network(peer), self.account(user));
        let mut tables = self.tables();
        if let Some(known) = tables.known.get_mut(&(host, account))
            && now.saturating_duration_since(known.last) < KNOWN_FOR
        {
            return known.take_turn(KNOWN.pause(known.count), now);
        }
        let of_others = pause(&tables.wide, &wide_network(peer), WIDE, now).max(pause(
            &tables.accounts,
            &account,
            ACCOUNT,
            now,
        ));
        if !tables.hosts.contains_key(&host) {
            make_room(&mut tables.hosts, ENTRIES_MAX);
        }
        let strikes = tables.hosts.entry(host).or_insert_with(|| Strikes::new(now));
        let failures = strikes.count_at(now);
        let pause = match failures {
            0 if strikes.pending < PENDING_FREE => Duration::ZERO,
            0 => PENDING_PAUSE,
            _ => HOST.pause(failures.saturating_add(strikes.pending)),
        };
        match pause {
            Duration::ZERO => Verdict::After(of_others),
            pause => strikes.take_turn(pause.max(of_others), now),
        }
    }

    /// Begins a check that was admitted.
    pub(crate) fn begin(&self, peer: IpAddr, now: Instant) -> Pending<'_> {
        let host = network(peer);
        let mut tables = self.tables();
        tables.hosts.entry(host).or_insert_with(|| Strikes::new(now)).pending += 1;
        drop(tables);
        Pending { guard: self, host }
    }

    /// A check failed. Tells how often this host has failed in a row.
    pub(crate) fn failed(&self, peer: IpAddr, user: &str, now: Instant) -> u32 {
        let (host, account) = (network(peer), self.account(user));
        let mut tables = self.tables();
        if let Some(known) = tables.known.get_mut(&(host, account)) {
            known.count = known.count.saturating_add(1);
            known.next = known.next.max(now);
        }
        strike(&mut tables.wide, wide_network(peer), now);
        strike(&mut tables.accounts, account, now);
        strike(&mut tables.hosts, host, now)
    }

    /// A login was right: its host is an acquaintance of the account, and in good standing. The account's
    /// strikes stay, because somebody else may be guessing at it.
    pub(crate) fn succeeded(&self, peer: IpAddr, user: &str, now: Instant) {
        let (host, account) = (network(peer), self.account(user));
        let mut tables = self.tables();
        if let Some(strikes) = tables.hosts.get_mut(&host) {
            strikes.count = 0;
        }
        if !tables.known.contains_key(&(host, account)) {
            make_room(&mut tables.known, KNOWN_MAX);
        }
        tables.known.insert((host, account), Strikes::new(now));
    }

    /// Whether this account has logged in from this host lately.
    pub(crate) fn is_known(&self, peer: IpAddr, user: &str) -> bool {
        let key = (network(peer), self.account(user));
        self.tables().known.contains_key(&key)
    }

    fn account(&self, user: &str) -> u64 {
        self.hasher.hash_one(user)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strikes {
    fn new(now: Instant) -> Self {
        Self { count: 0, last: now, next: now, pending: 0 }
    }

    fn count_at(&self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.last) > FORGET_AFTER { 0 } else { self.count }
    }

    /// One after the other, each after its pause: opening more connections makes guessing no faster.
    fn take_turn(&mut self, pause: Duration, now: Instant) -> Verdict {
        if pause.is_zero() {
            return Verdict::After(Duration::ZERO);
        }
        let turn = self.next.max(now) + pause;
        let wait = turn.saturating_duration_since(now);
        if wait > TURN_MAX {
            return Verdict::ComeBack;
        }
        self.next = turn;
        Verdict::After(wait)
    }
}

fn pause<K: Hash + Eq>(table: &HashMap<K, Strikes>, key: &K, pace: Pace, now: Instant) -> Duration {
    table.get(key).map_or(Duration::ZERO, |strikes| pace.pause(strikes.count_at(now)))
}

fn strike<K: Hash + Eq + Copy>(table: &mut HashMap<K, Strikes>, key: K, now: Instant) -> u32 {
    if !table.contains_key(&key) {
        make_room(table, ENTRIES_MAX);
    }
    let strikes = table.entry(key).or_insert_with(|| Strikes::new(now));
    strikes.count = strikes.count_at(now).saturating_add(1);
    strikes.last = now;
    strikes.count
}

/// In a full table the mildest and oldest of a sample goes: who floods it with new entries drives out his
/// own, not those that were struck often.
fn make_room<K: Hash + Eq + Copy>(table: &mut HashMap<K, Strikes>, most: usize) {
    if table.len() < most {
        return;
    }
    let least =
        table.iter().take(SAMPLE).min_by_key(|(_, strikes)| (strikes.pending, strikes.count, strikes.last));
    if let Some(key) = least.map(|(key, _)| *key) {
        table.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const NEXT_DOOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    const AT_ONCE: Verdict = Verdict::After(Duration::ZERO);

    fn guess(guard: &Guard, from: IpAddr, user: &str, times: usize, now: Instant) {
        for _ in 0..times {
            guard.failed(from, user, now);
        }
    }

    #[test]
    fn guessing_from_one_host_becomes_slow() {
        let (guard, now) = (Guard::default(), Instant::now());
        guess(&guard, ELSEWHERE, "u@x", 3, now);
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), AT_ONCE);
        guess(&guard, ELSEWHERE, "u@x", 40, now);
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), Verdict::After(HOST.longest));
        // Its other connections wait for their turn, and it has few of them.
        assert_eq!(guard.admit(ELSEWHERE, "v@x", now), Verdict::After(HOST.longest * 2));
        assert_eq!(guard.admit(ELSEWHERE, "w@x", now), Verdict::ComeBack);
        assert_eq!(guard.admit(HERE, "other@x", now), AT_ONCE);
        assert_eq!(guard.admit(ELSEWHERE, "w@x", now + FORGET_AFTER * 2), AT_ONCE);
    }

    #[test]
    fn guessing_from_everywhere_does_not_lock_the_user_out() {
        let (guard, now) = (Guard::default(), Instant::now());
        guard.succeeded(HERE, "u@x", now);
        for number in 0..5_000_u32 {
            guard.failed(IpAddr::V4(std::net::Ipv4Addr::from(0x0b00_0000 + number * 256)), "u@x", now);
        }
        assert_eq!(guard.admit(HERE, "u@x", now), AT_ONCE);
        // The user on a new network waits a little, whatever happens.
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), Verdict::After(ACCOUNT.longest));
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), Verdict::After(ACCOUNT.longest));
        guard.succeeded(ELSEWHERE, "u@x", now);
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), AT_ONCE);
    }

    #[test]
    fn an_acquaintance_may_mistype_but_not_guess() {
        let (guard, now) = (Guard::default(), Instant::now());
        guard.succeeded(HERE, "u@x", now);
        guess(&guard, HERE, "u@x", 10, now);
        assert_eq!(guard.admit(HERE, "u@x", now), AT_ONCE);
        guess(&guard, HERE, "u@x", 30, now);
        assert_eq!(guard.admit(HERE, "u@x", now), Verdict::After(KNOWN.longest));
        // Nor does it get through with other accounts.
        assert!(matches!(guard.admit(HERE, "v@x", now), Verdict::After(wait) if !wait.is_zero()));
        guard.succeeded(HERE, "u@x", now);
        assert_eq!(guard.admit(HERE, "u@x", now), AT_ONCE);
    }

    #[test]
    fn guessing_in_parallel_gains_nothing() {
        let (guard, now) = (Guard::default(), Instant::now());
        guess(&guard, ELSEWHERE, "u@x", 1, now);
        let mut pending = Vec::new();
        let mut verdicts = Vec::new();
        for _ in 0..20 {
            verdicts.push(guard.admit(ELSEWHERE, "u@x", now));
            pending.push(guard.begin(ELSEWHERE, now));
        }
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == AT_ONCE).count(), 3);
        assert!(verdicts.iter().filter(|verdict| **verdict == Verdict::ComeBack).count() > 8);
        drop(pending);
        assert_eq!(guard.admit(ELSEWHERE, "u@x", now), AT_ONCE);
        // An office whose box has just come back logs in all at once.
        let mut pending = Vec::new();
        for number in 0..200 {
            let verdict = guard.admit(HERE, &format!("{number}@x"), now);
            assert!(matches!(verdict, Verdict::After(wait) if wait <= TURN_MAX), "{number}: {verdict:?}");
            pending.push(guard.begin(HERE, now));
        }
        drop(pending);
        assert!(!guard.tables().hosts.contains_key(&HERE));
    }

    #[test]
    fn a_network_is_slowed_as_a_whole() {
        let (guard, now) = (Guard::default(), Instant::now());
        for number in 0..100 {
            guess(&guard, HERE, &format!("{number}@x"), 1, now);
        }
        assert_eq!(guard.admit(NEXT_DOOR, "new@x", now), Verdict::After(WIDE.longest));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_stay() {
        let (guard, now) = (Guard::default(), Instant::now());
        guess(&guard, ELSEWHERE, "u@x", 100, now);
        for number in 0..ENTRIES_MAX as u32 * 2 {
            let host = IpAddr::V4(std::net::Ipv4Addr::from(0x0b00_0000 + number));
            guard.failed(host, &number.to_string(), now);
            guard.succeeded(host, &number.to_string(), now);
        }
        let tables = guard.tables();
        assert!(tables.accounts.len() <= ENTRIES_MAX && tables.known.len() <= KNOWN_MAX);
        drop(tables);
        assert_eq!(guard.admit(ELSEWHERE, "new@x", now), Verdict::After(HOST.longest));
    }
}
