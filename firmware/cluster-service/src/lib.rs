//! The cluster service: threads that carry out what the decision core decides.
//!
//! A box without settings runs set-up and pairing; a box with settings runs its group. The decision
//! loop owns the core and waits for nobody: every command to the array, every mount, every question
//! to another process is the work of a thread beside it, and a thread that hangs is a step that ran
//! out of time.
//!
//! It never decides anything itself, never speaks a mail protocol, and never feeds the watchdog from
//! anywhere but the end of a completed decision loop.
//!
//! What always holds: mount, start of a group's mail service and announcement are asked for with a
//! [`cluster::HeldProof`] in hand, and a box that must stop and cannot is reset. A rehearsal has nothing of
//! any group.

mod alarm_sender;
mod array_orders;
mod array_paths;
mod decision_loop;
mod exposition;
mod factory_reset;
mod first_box;
mod group;
mod group_orders;
mod input;
mod letter;
mod mail_metrics;
mod mail_service;
mod mail_watch;
mod media;
mod metrics;
mod metrics_server;
mod operate;
mod operation;
mod orders;
mod outage;
mod pairing;
mod panel_watch;
mod peer_link;
mod power_fence;
mod private;
mod probe;
mod probe_talk;
mod public_network;
mod readiness;
mod records;
mod rehearsal;
mod replace;
mod requests;
mod reset;
mod second_box;
mod sending;
mod sentry;
mod serial;
mod settings_keeper;
mod setup;
mod slot;
mod status;
mod teller;
mod watchdog;

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use board::{BOARD_PATH, Board};
use control::GROUPS;
use settings::{RecordError, SettingsFile};
use tracing::{error, warn};

/// Variable in which init names the system partition.
pub const SYSTEM_VARIABLE: &str = "TWINMAIL_SYSTEM";
/// Wait before the end after a fault that a restart may cure, so that init is not kept busy.
const FAULT_WAIT: Duration = Duration::from_secs(1);

/// Runs the cluster service until it is asked to end.
pub fn main(_args: &[String]) -> ExitCode {
    tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false).init();
    // A beat must not wait for a page to come back from disk; there is no disk to come back from, but
    // the program's own pages could be dropped and read again.
    if let Err(error) =
        rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT | rustix::mm::MlockAllFlags::FUTURE)
    {
        warn!("memory cannot be locked: {error}");
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("{reason}");
            std::thread::sleep(FAULT_WAIT);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let board = Board::load(Path::new(BOARD_PATH)).map_err(|e| e.to_string())?;
    let system = env::var_os(SYSTEM_VARIABLE)
        .ok_or("this box has no system partition; its settings cannot be read")?;
    let file = SettingsFile::new(system);
    let damage = match file.load() {
        Ok(Some(settings)) => return operate::run(&board, file, settings).map_err(|e| e.to_string()),
        Ok(None) => None,
        Err(lost @ (RecordError::Damaged | RecordError::NotUnderstood(_))) => {
            // A service before this one served with them: what it left would never be put away.
            if GROUPS.iter().any(|group| array::is_mounted(Path::new(group.data_dir))) {
                reset::now(&format!("a group is served here, and {lost}"));
            }
            Some(lost)
        }
        Err(error) => return Err(error.to_string()),
    };
    setup::run(&board, &file, damage.as_ref()).map_err(|e| e.to_string())
}
