//! Alarms on their way out: the dispatcher decides what is sent, this thread sends it, a bounded number
//! of times, and writes down what was told so that a restart tells nothing again.

use std::io;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use alarm::{Dispatcher, Notice};
use control::mail::Letter;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};
use settings::{AlarmTargets, Language, Settings, SettingsFile};
use tracing::{info, warn};

use crate::letter;
use crate::peer_link::{Ask, PeerLink, Say};
use crate::records::unix_ms;
use crate::sending::{Sending, Voice};
use crate::teller::SharedTelling;

/// Most observations that wait; each replaces the earlier ones anyway.
const WAITING_MAX: usize = 32;
/// Longest sleep between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most notices that wait to be sent; the oldest is given up for a new one.
const OUTBOX_MAX: usize = 128;
/// Waits between the tries of one notice to one place, in milliseconds; after the last it is given up.
const RETRY_MS: [u64; 9] = [5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 3_600_000];

/// What the decision loop tells this thread.
#[derive(Debug)]
pub enum Word {
    /// The alarms there are now.
    Alarms {
        /// Code and sentence of each.
        alarms: Vec<(String, String)>,
        /// Whether the mail service is served by this box now.
        serving: bool,
    },
    /// Something that happened.
    Event {
        /// Stable word.
        code: String,
        /// The sentence.
        text: String,
    },
    /// Show that notices arrive.
    Test,
}

/// One notice to one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parcel {
    notice: Notice,
    place: Place,
    tries: u32,
    due_unix_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Mail(Vec<String>),
    Syslog(String),
    Webhook(String),
}

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    dispatcher: Dispatcher,
    outbox: Vec<Parcel>,
}

/// The thread's end in the decision loop.
#[derive(Debug, Clone)]
pub struct AlarmSender {
    words: Sender<Word>,
}

impl AlarmSender {
    /// Starts the thread.
    pub fn start(
        settings: &Settings,
        file: SettingsFile,
        link: PeerLink,
        telling: SharedTelling,
    ) -> io::Result<Self> {
        let (words, heard) = bounded(WAITING_MAX);
        let mut desk = Desk {
            box_name: settings.box_name.clone(),
            language: settings.language,
            sending: Sending::new(settings.name_servers.clone()),
            link,
            telling,
            serving: false,
            kept: load(&file),
            file,
        };
        desk.kept.dispatcher.resume(unix_ms());
        thread::Builder::new().name("alarms".to_owned()).spawn(move || desk.run(&heard))?;
        Ok(Self { words })
    }

    /// Hands a word over; never waits. What finds no room comes again with the next observation.
    pub fn say(&self, word: Word) -> Result<(), TrySendError<Word>> {
        self.words.try_send(word)
    }
}

fn load(file: &SettingsFile) -> Kept {
    let text = file.load_told().ok().flatten();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

struct Desk {
    box_name: String,
    language: Language,
    sending: Sending,
    link: PeerLink,
    telling: SharedTelling,
    serving: bool,
    kept: Kept,
    file: SettingsFile,
}

impl Desk {
    fn run(&mut self, words: &Receiver<Word>) {
        loop {
            match words.recv_timeout(LOOK_EVERY) {
                Ok(word) => self.take(word),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.send_one(words.len());
        }
    }

    fn take(&mut self, word: Word) {
        let now = unix_ms();
        let dispatcher = &mut self.kept.dispatcher;
        let notices = match word {
            Word::Alarms { alarms, serving } => {
                self.serving = serving;
                dispatcher.observe(now, alarms.iter().map(|(code, text)| (code.as_str(), text.as_str())))
            }
            Word::Event { code, text } => dispatcher.event(now, &code, &text).into_iter().collect(),
            Word::Test => vec![dispatcher.test(now, "this is a test of where alarms go")],
        };
        if notices.is_empty() {
            return;
        }
        let targets = self.telling.lock().unwrap_or_else(PoisonError::into_inner).alarms.clone();
        for notice in notices {
            info!("alarm notice {} {}: {}", notice.kind.word(), notice.code, notice.text);
            self.kept.outbox.extend(parcels(&notice, &targets));
        }
        let over = self.kept.outbox.len().saturating_sub(OUTBOX_MAX);
        self.kept.outbox.drain(..over);
        self.save();
    }

    /// Sends one notice that is due, so that words are never kept waiting for long.
    fn send_one(&mut self, waiting: usize) {
        let now = unix_ms();
        // A clock that was set back must not hold anything for long.
        let longest = RETRY_MS[RETRY_MS.len() - 1];
        let due = |parcel: &Parcel| parcel.due_unix_ms <= now || parcel.due_unix_ms > now + longest;
        let Some(at) = self.kept.outbox.iter().position(due).filter(|_| waiting < WAITING_MAX / 2) else {
            return;
        };
        let mut parcel = self.kept.outbox.remove(at);
        if let Err(reason) = self.send(&parcel) {
            let wait = RETRY_MS.get(parcel.tries as usize);
            if parcel.tries == 0 || wait.is_none() {
                let end = if wait.is_none() { "given up" } else { "tried again" };
                warn!("a notice to {:?} did not arrive, {end}: {reason}", parcel.place);
            }
            if let Some(wait_ms) = wait {
                parcel.tries += 1;
                parcel.due_unix_ms = now + wait_ms;
                self.kept.outbox.push(parcel);
            }
        }
        self.save();
    }

    fn send(&self, parcel: &Parcel) -> Result<(), String> {
        let language = self.telling.lock().unwrap_or_else(PoisonError::into_inner).alarms.language;
        let chinese = language.unwrap_or(self.language) == Language::Zh;
        let voice = Voice { box_name: &self.box_name, chinese };
        match &parcel.place {
            Place::Mail(to) => {
                let (subject, text) = alarm::letter(&parcel.notice, &self.box_name, chinese);
                let id = format!("{}.{}", self.box_name, parcel.notice.number);
                let letter = Letter { id, to: to.clone(), subject, text };
                if self.serving {
                    return letter::deliver_here(&letter);
                }
                let there = match self.link.ask(&Ask::Letter(letter.clone())) {
                    Ok(Say::Done) => Ok(()),
                    Ok(Say::Refused(reason)) | Err(reason) => Err(reason),
                    Ok(Say::Report(_)) => Err("the other box gave an answer of another kind".to_owned()),
                };
                there.or_else(|reason| letter::deliver_by_another(&letter).map_err(|_| reason))
            }
            Place::Syslog(place) => {
                let place = place.parse().map_err(|error: settings::TellingError| error.to_string())?;
                self.sending.syslog(&place, &parcel.notice, voice).map_err(|error| error.to_string())
            }
            Place::Webhook(place) => {
                let place = place.parse().map_err(|error: settings::TellingError| error.to_string())?;
                self.sending.webhook(&place, &parcel.notice, voice).map_err(|error| error.to_string())
            }
        }
    }

    fn save(&self) {
        let kept = serde_json::to_vec(&self.kept).unwrap_or_default();
        if let Err(error) = self.file.save_told(&kept) {
            warn!("what was told of alarms is not kept: {error}");
        }
    }
}

fn parcels(notice: &Notice, targets: &AlarmTargets) -> Vec<Parcel> {
    let mail = (!targets.mail.is_empty()).then(|| Place::Mail(targets.mail.clone()));
    let syslog = targets.syslog.iter().cloned().map(Place::Syslog);
    let webhook = targets.webhook.iter().cloned().map(Place::Webhook);
    let places = mail.into_iter().chain(syslog).chain(webhook);
    let parcel = |place| Parcel { notice: notice.clone(), place, tries: 0, due_unix_ms: notice.at_unix_ms };
    places.map(parcel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::tests::first;
    use settings::Telling;
    use std::net::UdpSocket;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_notice_goes_to_its_place_once_and_is_not_sent_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut telling = Telling::default();
        telling.alarms.syslog = vec![format!("udp://{}", socket.local_addr().unwrap())];
        let shared = Arc::new(Mutex::new(telling));
        let desk = || {
            let file = SettingsFile::new(&path);
            let mut desk = Desk {
                box_name: "box-a".to_owned(),
                language: Language::Zh,
                sending: Sending::new(vec![]),
                link: PeerLink::new(&first()),
                telling: shared.clone(),
                serving: false,
                kept: load(&file),
                file,
            };
            desk.kept.dispatcher.resume(unix_ms());
            desk
        };
        let mut one = desk();
        one.take(Word::Event { code: "takeover".to_owned(), text: "x".to_owned() });
        // The power goes before it is sent.
        let mut two = desk();
        assert_eq!(two.kept.outbox.len(), 1);
        two.send_one(0);
        let mut room = [0; 2048];
        let length = socket.recv(&mut room).unwrap();
        assert!(String::from_utf8_lossy(&room[..length]).contains("code=\"takeover\""));
        assert!(desk().kept.outbox.is_empty());
    }

    #[test]
    fn a_place_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        let mut telling = Telling::default();
        telling.alarms.webhook = vec!["http://127.0.0.1:1/".to_owned()];
        let mut desk = Desk {
            box_name: "box-a".to_owned(),
            language: Language::En,
            sending: Sending::new(vec![]),
            link: PeerLink::new(&first()),
            telling: Arc::new(Mutex::new(telling)),
            serving: true,
            kept: Kept::default(),
            file: SettingsFile::new(&path),
        };
        desk.take(Word::Test);
        let mut tries = 0;
        while let Some(parcel) = desk.kept.outbox.first_mut() {
            parcel.due_unix_ms = 0;
            desk.send_one(0);
            tries += 1;
        }
        assert_eq!(tries, RETRY_MS.len() + 1);
    }
}
