//! Who is served next: which destination gets the next session.
//!
//! Destinations with something due stand in a ring. Each turn gives one session to the next one that
//! may have another; how many one may have grows while it takes mail and halves when it says that it
//! is too much. So a destination with ten thousand recipients, or one that never answers, has a few
//! sessions and no more, and everybody else goes past it.
//!
//! What is due is not known here, only where something may be: a session that finds nothing says so.

use std::collections::{HashMap, VecDeque};

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions with all destinations.
    pub sessions_max: usize,
    /// Sessions with one destination when it is met.
    pub first_window: usize,
    /// Sessions with one destination that takes all it gets.
    pub window_max: usize,
    /// Destinations known at a time.
    pub destinations_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions_max: 200, first_window: 4, window_max: 20, destinations_max: 1_000 }
    }
}

/// How a session, or one message in it, went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// The server took it, or refused it for good: it works.
    Well,
    /// The server said that it is too much now (421, or 4yz to the whole session).
    TooMuch,
    /// No server could be reached.
    Unreachable,
    /// There was nothing to send.
    Idle,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Dispatch {
    limits: Limits,
    known: HashMap<String, Lane>,
    ring: VecDeque<String>,
    sessions: usize,
}

#[derive(Debug)]
struct Lane {
    sessions: usize,
    /// Sessions it may have, in 256ths: it grows by a part of a session with every message.
    window: usize,
    /// Something may be due.
    hungry: bool,
    in_ring: bool,
}

const ONE: usize = 256;

impl Dispatch {
    /// Nobody is served yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many more destinations may be offered.
    pub fn room(&self) -> usize {
        self.limits.destinations_max.saturating_sub(self.known.len())
    }

    /// Whether a destination is in the ring or has a session: then it need not be offered.
    pub fn knows(&self, destination: &str) -> bool {
        self.known.contains_key(destination)
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Whether somebody waits who could have a session if there were more of them.
    pub fn is_crowded(&self) -> bool {
        self.sessions >= self.limits.sessions_max && !self.ring.is_empty()
    }

    /// A destination has something due.
    pub fn offer(&mut self, destination: &str) {
        if let Some(lane) = self.known.get_mut(destination) {
            lane.hungry = true;
        } else {
            let window = self.limits.first_window.max(1) * ONE;
            let lane = Lane { sessions: 0, window, hungry: true, in_ring: false };
            self.known.insert(destination.to_owned(), lane);
        }
        self.stand_in_line(destination);
    }

    /// Everybody with a session may have more to do: new mail has come.
    pub fn offer_known(&mut self) {
        let idle = self.known.iter().filter(|(_, lane)| !lane.hungry);
        let names: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.offer(&name);
        }
    }

    /// Gives the next session away.
    pub fn give_session(&mut self) -> Option<String> {
        if self.sessions >= self.limits.sessions_max {
            return None;
        }
        loop {
            let destination = self.ring.pop_front()?;
            let Some(lane) = self.known.get_mut(&destination) else { continue };
            lane.in_ring = false;
            // Its window may have shrunk, or its work ended, while it stood in line.
            if !lane.hungry || lane.sessions >= lane.window / ONE {
                if lane.sessions == 0 {
                    self.known.remove(&destination);
                }
                continue;
            }
            lane.sessions += 1;
            self.sessions += 1;
            self.stand_in_line(&destination);
            return Some(destination);
        }
    }

    /// A message in a session came to its end.
    pub fn progress(&mut self, destination: &str, went: Went) {
        let Some(lane) = self.known.get_mut(destination) else { return };
        match went {
            Went::Well => {
                lane.window =
                    (lane.window + ONE * ONE / lane.window.max(ONE)).min(self.limits.window_max * ONE);
            }
            Went::TooMuch => lane.window = (lane.window / 2).max(ONE),
            Went::Unreachable | Went::Idle => lane.hungry = false,
        }
        self.stand_in_line(destination);
    }

    /// A session ended.
    pub fn done(&mut self, destination: &str) {
        let Some(lane) = self.known.get_mut(destination) else { return };
        lane.sessions = lane.sessions.saturating_sub(1);
        self.sessions = self.sessions.saturating_sub(1);
        if lane.sessions == 0 && !lane.hungry {
            self.ring.retain(|name| name != destination);
            self.known.remove(destination);
            return;
        }
        self.stand_in_line(destination);
    }

    /// Puts a destination at the end of the ring if it may have another session.
    fn stand_in_line(&mut self, destination: &str) {
        let Some(lane) = self.known.get_mut(destination) else { return };
        if lane.hungry && !lane.in_ring && lane.sessions < lane.window / ONE {
            lane.in_ring = true;
            self.ring.push_back(destination.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
