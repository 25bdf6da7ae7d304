//! Saves the few settings that change in operation, on a thread of its own: the system disk may hang.

use std::io;
use std::thread;

use cluster::{Node, Preference};
use crossbeam_channel::{Sender, TrySendError, bounded};
use settings::{Language, Settings, SettingsFile, Telling};
use tracing::error;

/// Most changes that wait to be saved.
const CHANGES_MAX: usize = 8;

/// What is to be saved.
#[derive(Debug, Clone)]
pub enum Keep {
    /// The preferred owner.
    Preference(Preference),
    /// Whether this box is in maintenance.
    Maintenance(bool),
    /// Name of the box that joined.
    Peer(String),
    /// Whom the pair tells what.
    Telling(Box<Telling>),
    /// Language of console and letters.
    Language(Language),
}

/// The thread that saves settings.
#[derive(Debug, Clone)]
pub struct SettingsKeeper {
    changes: Sender<Keep>,
}

impl SettingsKeeper {
    /// Starts the thread with the settings as they were loaded.
    pub fn start(file: SettingsFile, mut settings: Settings) -> io::Result<Self> {
        let (changes, wanted) = bounded(CHANGES_MAX);
        thread::Builder::new().name("settings".to_owned()).spawn(move || {
            for change in wanted {
                apply(&mut settings, change);
                if let Err(reason) = file.save(&settings) {
                    error!("{reason}");
                }
            }
        })?;
        Ok(Self { changes })
    }

    /// Hands a change over; never waits.
    pub fn keep(&self, change: Keep) -> Result<(), TrySendError<Keep>> {
        self.changes.try_send(change)
    }
}

fn apply(settings: &mut Settings, change: Keep) {
    match change {
        Keep::Preference(preference) => {
            settings.preferred = preference.owner.map(node_of);
            settings.fail_back = preference.fail_back;
            settings.preference_revision = preference.revision;
        }
        Keep::Maintenance(on) => settings.maintenance = on,
        Keep::Telling(telling) => settings.telling = *telling,
        Keep::Language(language) => settings.language = language,
        Keep::Peer(name) => settings.peer_name = Some(name),
    }
}

/// The settings' word for a box.
pub fn node_of(node: Node) -> settings::Node {
    match node {
        Node::A => settings::Node::A,
        Node::B => settings::Node::B,
    }
}

/// The core's word for a box.
pub fn core_node(node: settings::Node) -> Node {
    match node {
        settings::Node::A => Node::A,
        settings::Node::B => Node::B,
    }
}
