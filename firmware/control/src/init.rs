//! What init understands: services, their log, the end of the box.

use serde::{Deserialize, Serialize};

/// A request to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// State of every service.
    Services,
    /// Start a service that runs on demand (`mail`); already running is fine.
    Start {
        /// Name from the service table.
        service: String,
    },
    /// Stop a service in its bounded time; not running is fine. Answered when it has ended.
    Stop {
        /// Name from the service table.
        service: String,
    },
    /// End a service at once, without asking it: it does not do what it should, and what it has promised
    /// is on disk. Not running is fine. Answered when it has ended.
    Kill {
        /// Name from the service table.
        service: String,
    },
    /// State of every service, now and again whenever one changes, for as long as the caller stays:
    /// a line [`Reply::Services`] each time.
    Follow,
    /// Lines of the bounded log ring, oldest first.
    Log {
        /// Only lines with a number greater than this.
        after: u64,
        /// At most so many lines, the newest.
        lines_max: usize,
    },
    /// Add one line to the log.
    Note {
        /// Service that speaks.
        service: String,
        /// The line.
        line: String,
    },
    /// A readiness drill: break a service on purpose and see the pair deal with it. Only a
    /// logged-in administrator reaches this; init notes it in the log before it acts.
    /// On the command line: `twinmail drill kill|hang|exhaust SERVICE`.
    Drill {
        /// Name from the service table; it must be running.
        service: String,
        /// What is done to it.
        kind: DrillKind,
    },
    /// Set the clock of the system, and the hardware's, which brings it through a power cut.
    SetClock {
        /// The time, in milliseconds since 1970 in UTC.
        unix_ms: u64,
    },
    /// Ordered stop, then power off.
    PowerOff,
    /// Ordered stop, then restart.
    Restart,
    /// Reset at once, without stopping or flushing anything.
    Reset {
        /// Why; kept for the next boot where the board can keep it.
        reason: String,
    },
}

/// What a readiness drill does to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillKind {
    /// It ends at once, as in a crash (SIGKILL).
    Kill,
    /// It stays and does nothing any more, as in an endless loop (SIGSTOP).
    Hang,
    /// Its memory is used up: the kernel ends it, and it only.
    Exhaust,
}

/// Init's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// It cannot be done; a sentence.
    Refused(String),
    /// State of every service.
    Services(Vec<Service>),
    /// Lines of the log.
    Log(Vec<LogLine>),
}

/// One service as init sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Name from the service table.
    pub name: String,
    /// What it is doing.
    pub state: ServiceState,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// How often it was restarted after a failure since boot.
    pub restarts: u32,
    /// How it last ended, a sentence.
    pub last_end: Option<String>,
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Not wanted.
    Stopped,
    /// Has a process.
    Running,
    /// Was asked to end and has not yet.
    Stopping,
    /// Failed, and waits for its paced restart.
    Waiting,
    /// Failed too often; it is not tried again by itself.
    Failed,
}

/// One line of the log ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Running number since boot, from 1.
    pub number: u64,
    /// Milliseconds since boot.
    pub at_ms: u64,
    /// Which service spoke; `kernel` and `init` among them.
    pub service: String,
    /// The text, without its line feed.
    pub text: String,
}
