//! The service table: everything init starts, with its bounds, in one place.

use std::time::Duration;

use crate::pacing::Pacing;

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name; also the first argument of its command.
    pub name: &'static str,
    /// When it runs.
    pub wanted: Wanted,
    /// User and group it runs as. Anything but 0 has no capability: setuid drops them all.
    pub uid: u32,
    /// Most memory it and its children may use, in bytes; more ends it, not the box.
    pub memory_max_bytes: u64,
    /// How its processor time is shared out.
    pub priority: Priority,
    /// How soon the kernel picks it when memory runs out, -1000 (never) to 1000 (first).
    pub oom_score_adj: i16,
    /// When it is started again after it failed.
    pub pacing: Pacing,
    /// From SIGTERM to SIGKILL.
    pub stop_limit: Duration,
}

/// When a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// From boot on.
    AtBoot,
    /// From a request to start until a request to stop.
    OnDemand,
}

/// How a service's processor time is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Before everything else, SCHED_RR at this level, 1 to 99.
    RealTime(i32),
    /// In its turn, -20 (much) to 19 (little).
    Nice(i32),
}

const MIB: u64 = 1 << 20;

/// Every service, in the order it is started. [`crate::shutdown`] stops them in an order of its own.
pub const TABLE: [Service; 3] = [
    // Locked in memory and before everyone: a late beat looks like a dead box.
    Service {
        name: "cluster",
        wanted: Wanted::AtBoot,
        uid: 0,
        memory_max_bytes: 96 * MIB,
        priority: Priority::RealTime(20),
        oom_score_adj: -1000,
        // It feeds the watchdog, which resets the box after about two seconds without it: the first
        // restart is at once, and soon it is better that the box resets and the peer takes over.
        pacing: Pacing {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(1),
            failures_max: 1_000,
        },
        // It releases the group first: announcements, mail, unmount, reservation.
        stop_limit: Duration::from_secs(15),
    },
    Service {
        name: "panel",
        wanted: Wanted::AtBoot,
        uid: 0,
        memory_max_bytes: 96 * MIB,
        priority: Priority::Nice(0),
        oom_score_adj: -500,
        // Nobody waits for it in seconds, and the administrator needs it most when things go wrong.
        pacing: Pacing {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(10),
            failures_max: 1_000_000,
        },
        stop_limit: Duration::from_millis(500),
    },
    Service {
        name: "mail",
        wanted: Wanted::OnDemand,
        uid: control::MAIL_UID,
        memory_max_bytes: 512 * MIB,
        priority: Priority::Nice(5),
        oom_score_adj: 500,
        // Two restarts on the spot; then the cluster service decides whether the group moves.
        pacing: Pacing {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            failures_max: 3,
        },
        // It ends running transactions in less, and a planned switch-over waits for it.
        stop_limit: Duration::from_secs(3),
    },
];

/// The order of an orderly end. The cluster service goes first, because it releases what the others
/// stand on, and asks init to stop `mail` while it does.
pub const STOP_ORDER: [&str; 3] = ["cluster", "mail", "panel"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_stopped_once() {
        let mut started: Vec<_> = TABLE.iter().map(|service| service.name).collect();
        let mut stopped = STOP_ORDER.to_vec();
        started.sort_unstable();
        stopped.sort_unstable();
        assert_eq!(started, stopped);
    }

    #[test]
    fn only_what_must_be_root_is() {
        let roots: Vec<_> = TABLE.iter().filter(|service| service.uid == 0).map(|s| s.name).collect();
        assert_eq!(roots, ["cluster", "panel"]);
    }
}
