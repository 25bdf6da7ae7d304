//! A box with settings: its threads are started, then the decision loop runs.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use board::Board;
use control::{GROUPS, GroupPlace};
use crossbeam_channel::bounded;
use ring::rand::{SecureRandom, SystemRandom};
use settings::{Settings, SettingsFile};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::decision_loop::DecisionLoop;
use crate::group::{Ground, Group, GroupPlan};
use crate::input::{INPUTS_MAX, Input};
use crate::mail_service::MailService;
use crate::media::Media;
use crate::replace::SharedMembership;
use crate::settings_keeper::{SettingsKeeper, core_node};
use crate::status::Noticeboard;
use crate::teller::Teller;
use crate::watchdog::Watchdog;
use crate::{panel_watch, requests, reset};

/// How long what a crashed cluster service left behind may take to be put away.
const TIDY_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether it has been, each of which feeds the watchdog.
const TIDY_POLL: Duration = Duration::from_millis(100);
/// Why a box with settings cannot operate.
#[derive(Debug, Error)]
pub enum OperateError {
    /// The timings cannot work on this hardware.
    #[error(transparent)]
    Timing(#[from] cluster::ConfigError),
    /// A thread or a socket could not be had.
    #[error("the cluster service cannot start: {0}")]
    System(#[from] io::Error),
    /// The system has no randomness.
    #[error("the system's random source failed")]
    NoRandom,
}

/// Runs the groups until the service is asked to end.
pub fn run(board: &Board, file: SettingsFile, settings: Settings) -> Result<(), OperateError> {
    let mut watchdog = arm(board);
    tidy_up(watchdog.as_mut().ok());
    let timing = settings.timing;
    // A box without a watchdog is still safe, because the array fences it; it only hangs longer.
    let watchdog_ms = watchdog.as_ref().map_or(timing.dead_time_ms, Watchdog::timeout_ms);
    info!(
        "timing rule: lease {} ms < watchdog {watchdog_ms} ms <= dead time {} ms",
        timing.lease_ms, timing.dead_time_ms
    );
    let mut noticeboard = Noticeboard::new(&settings, core_node(settings.node), watchdog_ms);
    let watchdog =
        watchdog.map_err(|reason| noticeboard.set_alarm("watchdog", Some(reason), array::now())).ok();

    let (send, inputs) = bounded(INPUTS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    let teller = Teller::start(&settings, file.path(), &board.network.private.name, &send)?;
    let keeper = SettingsKeeper::start(file, settings.clone())?;
    let mut media = Media::start(board, &settings, keeper.clone(), &send)?;
    let ground = Ground {
        watchdog_ms,
        array_driver: board.array.driver.clone(),
        public_card: board.network.public.name.clone(),
        membership: SharedMembership::new(&settings),
        settings,
    };
    let mut groups = Vec::new();
    let mut channel = Some((send.clone(), inputs));
    for plan in GroupPlan::all(&ground.settings) {
        // The first group's channel takes what concerns the whole box as well.
        let (to_group, from_group) = channel.take().unwrap_or_else(|| bounded(INPUTS_MAX));
        groups.push(Group::start(&ground, &plan, &mut media, (&to_group, from_group))?);
    }
    let mut decision_loop = DecisionLoop {
        groups,
        ground,
        media,
        keeper,
        noticeboard,
        teller,
        watchdog,
        stop,
        pending: BTreeMap::new(),
        next_command: 0,
        adding: false,
        forgetting: false,
        send: send.clone(),
    };
    panel_watch::start()?;
    requests::listen(Path::new(control::CLUSTER_SOCKET), send, Input::Asked)?;
    decision_loop.run();
    Ok(())
}

fn arm(board: &Board) -> Result<Watchdog, String> {
    Watchdog::arm(&board.watchdog.device, board.watchdog.timeout_ms).map_err(|error| {
        error!("{error}");
        error.to_string()
    })
}

/// Puts away what a cluster service that crashed on this box left behind: nobody holds a proof for it
/// any more. What cannot be put away in time ends in a reset, and the other box takes over.
fn tidy_up(mut watchdog: Option<&mut Watchdog>) {
    let is_left = |group: &&GroupPlace| array::is_mounted(Path::new(group.data_dir));
    let left: Vec<&GroupPlace> = GROUPS.iter().filter(is_left).collect();
    if left.is_empty() {
        return;
    }
    warn!("an earlier cluster service left the group behind; it is put away first");
    let (done, tidied) = bounded(1);
    let begun = thread::Builder::new().name("tidy".to_owned()).spawn(move || {
        let put_away = |group: &&GroupPlace| {
            let stopped = MailService::stop_any(group);
            stopped.is_ok() && array::unmount(Path::new(group.data_dir), TIDY_LIMIT).is_ok()
        };
        let _ = done.send(left.iter().all(put_away));
    });
    let end = Instant::now() + TIDY_LIMIT;
    while begun.is_ok() && Instant::now() < end {
        if let Some(watchdog) = &mut watchdog {
            watchdog.feed();
        }
        match tidied.recv_timeout(TIDY_POLL) {
            Ok(true) => return,
            Ok(false) => break,
            Err(_) => {}
        }
    }
    reset::now("the group that a crashed cluster service left behind could not be put away");
}

/// Four bytes of the system's random source.
pub fn random_u32() -> Result<u32, OperateError> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| OperateError::NoRandom)?;
    Ok(u32::from_be_bytes(bytes))
}
