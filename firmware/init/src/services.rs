//! The service table: everything init starts, with its bounds, in one place.

use std::time::Duration;

use rustix::thread::CapabilitySet;

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
    /// What of root's power it keeps; see [`crate::confine`].
    pub capabilities: CapabilitySet,
    /// Most files and connections it may have open.
    pub open_files_max: u64,
    /// Most memory it and its children may use; more ends it, not the box.
    pub memory_max: Memory,
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

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of what the box has.
    Percent(u64),
}

impl Memory {
    /// In bytes, in a box with `total_bytes`.
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total_bytes / 100 * percent,
        }
    }
}

const MIB: u64 = 1 << 20;

/// Reservations and mounts, addresses and raw packets, locked memory and real time, growing the file
/// system, handing files to the mail service and holding it still, and the last resort.
const CLUSTER_CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SYS_BOOT);

/// Every service, in the order it is started. [`crate::shutdown`] stops them in an order of its own.
pub const TABLE: [Service; 5] = [
    // Locked in memory and before everyone: a late beat looks like a dead box.
    Service {
        name: "cluster",
        wanted: Wanted::AtBoot,
        uid: 0,
        capabilities: CLUSTER_CAPABILITIES,
        open_files_max: 1_024,
        // All of it is locked, stacks of every thread included.
        memory_max: Memory::Bytes(160 * MIB),
        priority: Priority::RealTime(20),
        // The last to go when the box has no memory left. Not exempt, which is one less: a service that has
        // used up its own could not be ended then, and would neither work nor be restarted.
        oom_score_adj: -999,
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
        // Ports and settings belong to root as it does; the mail service's socket does not.
        capabilities: CapabilitySet::DAC_OVERRIDE,
        open_files_max: 1_024,
        memory_max: Memory::Bytes(64 * MIB),
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
    mail_of(&control::FIRST_GROUP),
    mail_of(&control::SECOND_GROUP),
    REHEARSAL,
];

/// The mail service on data in memory, on a box that does not serve: less of everything than the real one,
/// and the first to go.
const REHEARSAL: Service = Service {
    name: control::REHEARSAL.name,
    uid: control::REHEARSAL.uid,
    open_files_max: 1_024,
    memory_max: Memory::Bytes(96 * MIB),
    priority: Priority::Nice(15),
    oom_score_adj: 1_000,
    pacing: Pacing { first: Duration::from_secs(1), longest: Duration::from_secs(1), failures_max: 1 },
    ..mail_of(&control::REHEARSAL)
};

/// The mail service of one group. What both may use together is more than the box has: most of what is
/// counted is the kernel's cache of the store, which it takes back when somebody needs the memory.
const fn mail_of(group: &'static control::GroupPlace) -> Service {
    Service {
        name: group.name,
        wanted: Wanted::OnDemand,
        uid: group.uid,
        capabilities: CapabilitySet::empty(),
        // A connection each for very many clients, and the store's files.
        open_files_max: 65_536,
        // The kernel's cache of the store counts as well, and is what most of it is for.
        memory_max: Memory::Percent(60),
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
    }
}

/// The service that has those on demand started and stopped. Only it holds the proof they work under, so that
/// they end with it.
pub const ORDERS_OTHERS: &str = "cluster";

/// The order of an orderly end. The cluster service goes first, because it releases what the others
/// stand on, and asks init to stop `mail` while it does.
pub const STOP_ORDER: [&str; 5] = ["cluster", "mail", "mail-2", "rehearsal", "panel"];

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
    fn together_they_leave_memory_for_kernel_and_init_in_the_smallest_box() {
        let total = 768 * MIB;
        // Who serves does not rehearse.
        let beside = [control::SECOND_GROUP.name, control::REHEARSAL.name];
        let with_one_group = TABLE.iter().filter(|service| !beside.contains(&service.name));
        let used: u64 = with_one_group.map(|service| service.memory_max.bytes(total)).sum();
        assert!(used <= total - 64 * MIB, "{used}");
    }

    #[test]
    fn only_what_must_be_root_is() {
        let roots: Vec<_> = TABLE.iter().filter(|service| service.uid == 0).map(|s| s.name).collect();
        assert_eq!(roots, ["cluster", "panel"]);
    }
}
