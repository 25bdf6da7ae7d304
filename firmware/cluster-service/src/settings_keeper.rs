//! Saves the few settings that change in operation, on a thread of its own: the system disk may hang.
//! What cannot be saved is tried again until it is, and is an alarm meanwhile.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cluster::{Node, Preference};
use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError, bounded};
use settings::{Controllers, FurtherGroup, Language, Secret, Settings, SettingsFile, Telling};
use tracing::{error, info};

/// Most changes that wait to be saved.
const CHANGES_MAX: usize = 8;
/// What could not be saved is tried again so often.
const AGAIN_EVERY: Duration = Duration::from_secs(5);

/// What is to be saved.
#[derive(Debug, Clone)]
pub enum Keep {
    /// The preferred owner of the group with this number.
    Preference(u8, Preference),
    /// One more group.
    Group(Box<FurtherGroup>),
    /// Whether this box is in maintenance.
    Maintenance(bool),
    /// Name of the box that joined.
    Peer(String),
    /// Whom the pair tells what.
    Telling(Box<Telling>),
    /// Language of console and letters.
    Language(Language),
    /// The boxes' management controllers.
    Controllers(Box<Controllers>),
    /// The other box is no member any more: the pair has this key from now on. Whoever asks is told whether
    /// that is saved; what is not saved has not happened.
    Forget(Secret, Sender<Result<(), String>>),
    /// This box forgets all of them; nothing is saved afterwards. Whoever asks is told whether that is done.
    Erase(Sender<Result<(), String>>),
}

/// The thread that saves settings.
#[derive(Debug, Clone)]
pub struct SettingsKeeper {
    changes: Sender<Keep>,
    current: Arc<Mutex<Settings>>,
    trouble: Trouble,
}

/// Why the newest settings are not saved; none while they are.
type Trouble = Arc<Mutex<Option<String>>>;

impl SettingsKeeper {
    /// Starts the thread with the settings as they were loaded.
    pub fn start(file: SettingsFile, mut settings: Settings) -> io::Result<Self> {
        let (changes, wanted) = bounded(CHANGES_MAX);
        let trouble = Trouble::default();
        let shared = Arc::clone(&trouble);
        let current = Arc::new(Mutex::new(settings.clone()));
        let newest = Arc::clone(&current);
        thread::Builder::new().name("settings".to_owned()).spawn(move || {
            let mut unsaved = false;
            loop {
                let change = if unsaved {
                    wanted.recv_timeout(AGAIN_EVERY)
                } else {
                    wanted.recv().map_err(|_| RecvTimeoutError::Disconnected)
                };
                match change {
                    Ok(Keep::Forget(key, answer)) => {
                        let changed = without_peer(&settings, key);
                        let result = file.save(&changed).map_err(|error| error.to_string());
                        if result.is_ok() {
                            (settings, unsaved) = (changed, false);
                            newest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&settings);
                            note(&shared, Ok(()));
                        }
                        let _ = answer.send(result);
                        continue;
                    }
                    Ok(Keep::Erase(answer)) => {
                        let result = file.erase().map_err(|error| error.to_string());
                        let erased = result.is_ok();
                        let _ = answer.send(result);
                        if erased {
                            return;
                        }
                        // Part of it may be gone: what is in force is saved again.
                    }
                    Ok(change) => apply(&mut settings, change),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                newest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&settings);
                let result = file.save(&settings).map_err(|error| error.to_string());
                unsaved = result.is_err();
                note(&shared, result);
            }
        })?;
        Ok(Self { changes, current, trouble })
    }

    /// Looks at the settings as they are now.
    pub fn look<T>(&self, look: impl FnOnce(&Settings) -> T) -> T {
        look(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a change over; never waits.
    pub fn keep(&self, change: Keep) -> Result<(), TrySendError<Keep>> {
        self.changes.try_send(change).inspect_err(|_| {
            note(&self.trouble, Err("the system partition does not answer".to_owned()));
        })
    }

    /// Why the newest settings are not saved, a sentence; none while they are.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notes what became of saving, and logs it where it is news.
fn note(trouble: &Trouble, result: Result<(), String>) {
    let news = result.err().map(|reason| format!("a changed setting was not saved: {reason}"));
    let mut known = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    if *known == news {
        return;
    }
    if let Some(text) = &news {
        error!("{text}");
    } else {
        info!("the settings are saved again");
    }
    *known = news;
}

fn apply(settings: &mut Settings, change: Keep) {
    match change {
        Keep::Preference(0, preference) => {
            settings.preferred = preference.owner.map(node_of);
            settings.fail_back = preference.fail_back;
            settings.preference_revision = preference.revision;
        }
        Keep::Preference(number, preference) => {
            if let Some(group) = settings.further_groups.get_mut(usize::from(number) - 1) {
                group.preferred = preference.owner.map(node_of);
                group.fail_back = preference.fail_back;
                group.preference_revision = preference.revision;
            }
        }
        Keep::Group(group) => settings.further_groups.push(*group),
        Keep::Maintenance(on) => settings.maintenance = on,
        Keep::Telling(telling) => settings.telling = *telling,
        Keep::Language(language) => settings.language = language,
        Keep::Controllers(controllers) => settings.controllers = *controllers,
        Keep::Peer(name) => settings.peer_name = Some(name),
        Keep::Forget(key, _) => *settings = without_peer(settings, key),
        Keep::Erase(_) => {}
    }
}

/// The settings of a pair whose other box is no member any more.
pub fn without_peer(settings: &Settings, key: Secret) -> Settings {
    let (mut controllers, peer) = (settings.controllers.clone(), settings.node.peer());
    if controllers.of(peer).is_some() {
        controllers.set(peer, None);
    }
    Settings {
        peer_name: None,
        former_mark: Some(settings.pair_mark()),
        pair_key: key,
        controllers,
        ..settings.clone()
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < LONG, "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn nothing_is_saved_once_everything_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        let file = SettingsFile::new(&path);
        let keeper = SettingsKeeper::start(file.clone(), crate::pairing::tests::first()).unwrap();
        keeper.keep(Keep::Maintenance(true)).unwrap();
        let (answer, erased) = bounded(1);
        keeper.keep(Keep::Erase(answer)).unwrap();
        assert_eq!(erased.recv_timeout(LONG), Ok(Ok(())));
        wait("the end of the keeper", || keeper.keep(Keep::Maintenance(false)).is_err());
        assert!(file.load().unwrap().is_none());
    }

    #[test]
    fn what_could_not_be_saved_is_an_alarm_until_it_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system");
        let file = SettingsFile::new(&path);
        let keeper = SettingsKeeper::start(file.clone(), crate::pairing::tests::first()).unwrap();
        keeper.keep(Keep::Maintenance(true)).unwrap();
        wait("the alarm", || keeper.trouble().is_some_and(|text| text.contains("was not saved")));
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        wait("the end of the alarm", || keeper.trouble().is_none());
        assert!(file.load().unwrap().is_some_and(|settings| settings.maintenance));
    }
}
