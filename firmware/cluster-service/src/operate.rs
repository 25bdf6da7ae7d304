//! A box with settings: its threads are started, then the decision loop runs.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use board::Board;
use cluster::{Config, Core, Preference};
use control::DATA_DIR;
use crossbeam_channel::bounded;
use ring::rand::{SecureRandom, SystemRandom};
use settings::{Settings, SettingsFile};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::array_orders::LunPlace;
use crate::array_paths::ArrayPaths;
use crate::decision_loop::DecisionLoop;
use crate::input::{INPUTS_MAX, Input};
use crate::mail_service::MailService;
use crate::media::Media;
use crate::orders::Hands;
use crate::settings_keeper::{SettingsKeeper, core_node};
use crate::status::Noticeboard;
use crate::teller::Teller;
use crate::watchdog::Watchdog;
use crate::{mail_watch, panel_watch, public_network, requests, reset};

/// How long what a crashed cluster service left behind may take to be put away.
const TIDY_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether it has been, each of which feeds the watchdog.
const TIDY_POLL: Duration = Duration::from_millis(100);
/// The one group there is.
const GROUP: u8 = 0;

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

/// Runs the group until the service is asked to end.
pub fn run(board: &Board, file: SettingsFile, settings: Settings) -> Result<(), OperateError> {
    let mut watchdog = arm(board);
    tidy_up(watchdog.as_mut().ok());
    let timing = settings.timing;
    // A box without a watchdog is still safe, because the array fences it; it only hangs longer.
    let watchdog_ms = watchdog.as_ref().map_or(timing.dead_time_ms, Watchdog::timeout_ms);
    let node = core_node(settings.node);
    let config = Config {
        node,
        pair_id: settings.pair_id,
        group: GROUP,
        boot: random_u32()?,
        beat_ms: u64::from(timing.beat_ms),
        lease_ms: u64::from(timing.lease_ms),
        watchdog_ms: u64::from(watchdog_ms),
        dead_time_ms: u64::from(timing.dead_time_ms),
        preference: Preference {
            revision: settings.preference_revision,
            owner: settings.preferred.map(core_node),
            fail_back: settings.fail_back,
        },
        maintenance: settings.maintenance,
    };
    let core = Core::new(config, array::now())?;
    info!(
        "timing rule: lease {} ms < watchdog {watchdog_ms} ms <= dead time {} ms",
        timing.lease_ms, timing.dead_time_ms
    );
    let mut noticeboard = Noticeboard::new(&settings, node, watchdog_ms);
    let watchdog =
        watchdog.map_err(|reason| noticeboard.set_alarm("watchdog", Some(reason), array::now())).ok();

    let (send, inputs) = bounded(INPUTS_MAX);
    let lun =
        LunPlace { id: settings.lun.clone(), driver: board.array.driver.clone(), pair_id: settings.pair_id };
    let array_paths = ArrayPaths::start(&lun, &send)?;
    let serving = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    let teller = Teller::start(&settings, file.path(), &board.network.private.name, &send)?;
    let keeper = SettingsKeeper::start(file, settings.clone())?;
    let public_network = public_network::start(&board.network.public.name, &settings, &send)?;
    let mut decision_loop = DecisionLoop {
        core,
        inputs,
        hands: Hands::start(array_paths.clone(), MailService::new(&settings), public_network, &send)?,
        media: Media::start(board, &settings, &array_paths, keeper.clone(), &send)?,
        array_paths,
        keeper,
        noticeboard,
        teller,
        watchdog,
        serving: serving.clone(),
        stop,
        pending: BTreeMap::new(),
        next_command: 0,
        let_go: None,
        held: None,
    };
    mail_watch::start(serving, &send)?;
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
    let data = Path::new(DATA_DIR);
    if !array::is_mounted(data) {
        return;
    }
    warn!("an earlier cluster service left the group behind; it is put away first");
    let (done, tidied) = bounded(1);
    let begun = thread::Builder::new().name("tidy".to_owned()).spawn(move || {
        let stopped = MailService::stop_any();
        let unmounted = array::unmount(Path::new(DATA_DIR), TIDY_LIMIT);
        let _ = done.send(stopped.is_ok() && unmounted.is_ok());
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

fn random_u32() -> Result<u32, OperateError> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| OperateError::NoRandom)?;
    Ok(u32::from_be_bytes(bytes))
}
