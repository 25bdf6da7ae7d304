//! PID 1: mounts, modules, devices, watchdog, services, supervision, orderly end.
//!
//! It never serves mail, never decides who owns the group, never runs a shell, never waits without a
//! limit, and never panics or exits: what cannot be put right in a bounded time ends in a reset.
//!
//! What always holds: every child is reaped; every service of [`services::TABLE`] is running, waiting
//! for its paced restart, or stopped on purpose; and a box on its way down gets there in a bounded
//! time, because each step of [`shutdown`] has a deadline and the last one is a reset.
//!
//! ```text
//! boot:      mounts -> modules -> devices -> settings -> watchdog -> services -> supervise
//! shutdown:  cluster (it releases the group) -> mail -> panel -> unmount -> sync -> power
//! ```

mod boot;
mod child;
mod clock;
mod confine;
mod console;
mod devices;
mod kernel;
mod last_reset;
mod log;
mod mounts;
mod pacing;
mod power;
pub mod services;
mod shutdown;
mod signals;
mod socket;
mod supervise;
mod supervised;

pub use confine::{ConfineError, confine};

/// Runs as PID 1 and never comes back.
pub fn main() -> ! {
    // Nothing in here panics. Were that wrong, the box resets by itself instead of by the kernel's
    // panic, and the sentence is on the console.
    let _ = std::panic::catch_unwind(|| supervise::run(boot::run()));
    power::reset()
}
