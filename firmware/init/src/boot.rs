//! From power-on to supervision: named phases, each of which may fail and is reported.

use std::path::{Path, PathBuf};
use std::time::Instant;

use board::{BOARD_PATH, Board};

use crate::{console, devices, last_reset, mounts};

/// What booting found out.
#[derive(Debug)]
pub struct Boot {
    /// When init began.
    pub begun: Instant,
    /// The board file, if it can be used.
    pub board: Option<Board>,
    /// The system partition, if there is one.
    pub system: Option<PathBuf>,
    /// What went wrong, a sentence each.
    pub faults: Vec<String>,
    /// How long each phase took, in milliseconds.
    pub phases: Vec<(&'static str, u128)>,
    /// Why the box reset itself, if that is why it boots.
    pub last_reset: Option<String>,
}

type Phase = fn(&mut Boot);

/// The phases, in order. A failed one leaves its sentence and the next one runs: a box that can
/// still show what is wrong is better than one that cannot.
const PHASES: [(&str, Phase); 6] = [
    ("early mounts", early_mounts),
    ("board", board_file),
    ("modules", modules),
    ("devices", network_cards),
    ("settings", settings),
    ("watchdog", watchdog),
];

/// Runs every phase.
pub fn run() -> Boot {
    let (faults, phases) = (Vec::new(), Vec::new());
    let mut boot =
        Boot { begun: Instant::now(), board: None, system: None, faults, phases, last_reset: None };
    for (name, phase) in PHASES {
        let (before, since) = (boot.faults.len(), Instant::now());
        phase(&mut boot);
        boot.phases.push((name, since.elapsed().as_millis()));
        for fault in &boot.faults[before..] {
            console::say(&format!("init: {name}: {fault}"));
        }
    }
    boot
}

fn early_mounts(boot: &mut Boot) {
    boot.faults.extend(mounts::mount_all());
}

fn board_file(boot: &mut Boot) {
    match Board::load(Path::new(BOARD_PATH)) {
        Ok(board) => boot.board = Some(board),
        Err(error) => {
            boot.faults
                .push(format!("{error}; this image does not fit this hardware, install the right one"));
        }
    }
}

fn modules(boot: &mut Boot) {
    boot.faults.extend(devices::load_modules());
}

fn network_cards(boot: &mut Boot) {
    if let Some(board) = &boot.board {
        boot.faults.extend(devices::name_network_cards(board));
    }
}

fn settings(boot: &mut Boot) {
    boot.system = devices::system_partition();
    if let Some(system) = &boot.system {
        boot.last_reset = last_reset::take(system);
    } else {
        let name = devices::SYSTEM_PARTITION;
        boot.faults
            .push(format!("no disk of this box has a partition {name}; its settings cannot be read or kept"));
    }
}

/// The cluster service arms and feeds it; here it is only made sure that it is there.
fn watchdog(boot: &mut Boot) {
    if let Some(board) = &boot.board
        && !devices::appears(&board.watchdog.device)
    {
        let device = board.watchdog.device.display();
        boot.faults.push(format!(
            "there is no watchdog at {device}; a hang of this box would go unnoticed by itself"
        ));
    }
}
