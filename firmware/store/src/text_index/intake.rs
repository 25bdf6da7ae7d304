//! Bodies on their way into the index: between the writer, the indexer and who searches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::BodyId;

/// Tokens kept for bodies that are not indexed yet, in bytes. What is beyond is read from the bodies.
const BYTES_MAX: usize = 12 * 1024 * 1024;
/// Messages that go into the index at once.
pub(super) const FOLD_MESSAGES: u64 = 512;
/// Tokens that go into the index at once, in bytes.
pub(super) const FOLD_BYTES: usize = 4 * 1024 * 1024;
/// How long few messages wait for more.
const FOLD_AFTER: Duration = Duration::from_millis(700);

/// See the module's page.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tokens: BTreeMap<u64, Arc<str>>,
    bytes: usize,
    /// Bodies below this number are durable, if they are there at all.
    horizon: u64,
    /// Bodies below this number are in the index.
    indexed_below: u64,
    /// Since when something is waiting.
    since: Option<Instant>,
    /// Some bodies have been removed.
    removed: bool,
    rebuild: bool,
    /// Somebody searches.
    wanted: bool,
    closed: bool,
    /// Notes of removed bodies that have done their work.
    settled: Vec<i64>,
}

/// What the indexer is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Bodies below `horizon` wait.
    Fold { horizon: u64 },
    /// Bodies have been removed.
    Forget,
    /// All anew.
    Rebuild,
    /// Nothing for a while.
    Rest,
    /// The store closes.
    Close,
}

impl Intake {
    /// Takes the tokens of a body whose transaction is under way.
    pub fn offer(&self, body: BodyId, tokens: &Arc<str>) {
        let mut state = self.state();
        if state.closed || state.bytes + tokens.len() > BYTES_MAX {
            return;
        }
        state.bytes += tokens.len();
        state.tokens.insert(body.0, Arc::clone(tokens));
    }

    /// Bodies with lower numbers are durable now.
    pub fn committed(&self, next_body: u64) {
        let mut state = self.state();
        if next_body <= state.horizon {
            return;
        }
        state.horizon = next_body;
        state.since.get_or_insert_with(Instant::now);
        if state.is_worth_while() {
            self.changed.notify_all();
        }
    }

    /// Bodies have been removed, and it is durable.
    pub fn removed(&self) {
        self.state().removed = true;
    }

    /// Numbers whose notes can go, some of them.
    pub fn take_settled(&self, most: usize) -> Vec<i64> {
        let mut state = self.state();
        let keep = state.settled.len().saturating_sub(most);
        state.settled.split_off(keep)
    }

    /// Takes nothing more, and ends the indexer.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn horizon(&self) -> u64 {
        self.state().horizon
    }

    pub(super) fn ask_to_rebuild(&self) {
        self.state().rebuild = true;
        self.changed.notify_all();
    }

    /// The tokens that wait, as they are now.
    pub(super) fn waiting(&self) -> BTreeMap<u64, Arc<str>> {
        self.state().tokens.clone()
    }

    pub(super) fn tokens_of(&self, body: u64) -> Option<Arc<str>> {
        self.state().tokens.get(&body).cloned()
    }

    /// What lies below is in the index, durable or not.
    pub(super) fn indexed(&self, below: u64) {
        let mut state = self.state();
        state.indexed_below = below;
        let rest = state.tokens.split_off(&below);
        let done = std::mem::replace(&mut state.tokens, rest);
        state.bytes -= done.values().map(|tokens| tokens.len()).sum::<usize>();
        state.since = (state.horizon > below).then(Instant::now);
    }

    pub(super) fn settle(&self, bodies: BTreeSet<i64>) {
        self.state().settled.extend(bodies);
    }

    /// Whether the indexer shall end.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Somebody would use the index, were it open.
    pub(super) fn ask_to_open(&self) {
        self.state().wanted = true;
        self.changed.notify_all();
    }

    /// Waits until somebody searches, or so much has been offered that it should not wait any longer, at most
    /// `patience`.
    pub(super) fn wait_until_wanted(&self, patience: Duration) {
        let idle = |state: &mut State| {
            let is_much = state.bytes >= FOLD_BYTES || state.tokens.len() as u64 >= FOLD_MESSAGES;
            !(is_much || state.wanted || state.rebuild || state.closed)
        };
        drop(self.changed.wait_timeout_while(self.state(), patience, idle));
    }

    /// Sleeps, unless the store closes.
    pub(super) fn sleep(&self, time: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), time, |state| !state.closed));
    }

    /// Waits for work, at most `patience`.
    pub(super) fn wait(&self, patience: Duration) -> Call {
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if state.closed {
                return Call::Close;
            }
            if std::mem::take(&mut state.rebuild) {
                return Call::Rebuild;
            }
            if state.is_worth_while() {
                return Call::Fold { horizon: state.horizon };
            }
            let now = Instant::now();
            if now >= until {
                return if std::mem::take(&mut state.removed) { Call::Forget } else { Call::Rest };
            }
            let ripe = state.since.map_or(until, |since| since + FOLD_AFTER).min(until);
            let wait = ripe.saturating_duration_since(now).max(Duration::from_millis(1));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_worth_while(&self) -> bool {
        let waiting = self.horizon.saturating_sub(self.indexed_below.max(1));
        waiting >= FOLD_MESSAGES
            || (waiting > 0
                && (self.bytes >= FOLD_BYTES
                    || self.since.is_some_and(|since| since.elapsed() >= FOLD_AFTER)))
    }
}
