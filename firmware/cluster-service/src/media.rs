//! The three media of the heartbeat behind one door.
//!
//! One thread a medium; a thread that hangs holds up neither the decision loop nor the other media.
//! What comes in is judged by the link the three share, and handed to the loop only if it is a sign of
//! life. What goes out waits in a place for one: a newer beat replaces the one that waits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use board::Board;
use cluster::{Beat, Event, HeldProof, Medium, Node, Time};
use crossbeam_channel::{Receiver, Sender, bounded};
use link::{Frame, Link, Refusal};
use ring::rand::{SecureRandom, SystemRandom};
use settings::Settings;
use tracing::{info, warn};

use crate::array_paths::ArrayPaths;
use crate::input::{Input, MediumReport};
use crate::pairing::HostSide;
use crate::settings_keeper::{SettingsKeeper, core_node};
use crate::{private, serial, slot};

/// Between two reports of how a medium does, in milliseconds.
const REPORT_EVERY_MS: u64 = 1_000;
/// A beat that waited longer than this for a thread that hung says nothing about now.
const BEAT_STALE_MS: u64 = 1_000;
/// How long a wrong sender on a medium is shown after it was last heard, in milliseconds.
const FAULT_STAYS_MS: u64 = 5_000;

/// The three media of the heartbeat.
#[derive(Debug)]
pub struct Media {
    link: SharedLink,
    node: Node,
    beat_ms: u32,
    serial: Newest<Waiting>,
    private: Newest<Waiting>,
    /// The slots of each group's LUN, by the group's number.
    arrays: BTreeMap<u8, Newest<(Waiting, HeldProof)>>,
}

/// What waits for a thread, with the number of its group.
pub type Outgoing<T> = Receiver<(u8, T)>;

/// A beat on its way to a thread.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    beat: Beat,
    made: Time,
}

impl Media {
    /// Starts the threads of the two cables.
    pub fn start(
        board: &Board,
        settings: &Settings,
        keeper: SettingsKeeper,
        inputs: &Sender<Input>,
    ) -> io::Result<Self> {
        let link = SharedLink::new(settings)?;
        let node = core_node(settings.node);
        let ear = |medium| Ear::new(medium, link.clone(), inputs.clone());
        let host = HostSide::new(keeper, inputs.clone());
        let (serial, serial_out) = Newest::new();
        let (private, private_out) = Newest::new();
        serial::start(&board.serial, ear(Medium::Serial), serial_out, host)?;
        private::start(&board.network.private.name, node, ear(Medium::Private), private_out)?;
        let beat_ms = settings.timing.beat_ms;
        Ok(Self { link, node, beat_ms, serial, private, arrays: BTreeMap::new() })
    }

    /// Speaks and listens with the key of these settings from now on: a frame made with the key before says
    /// nothing any more, wherever it comes from or lies.
    pub fn change_key(&self, settings: &Settings) -> io::Result<()> {
        let SharedLink(fresh) = SharedLink::new(settings)?;
        std::mem::swap(&mut *self.link.lock(), &mut *fresh.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Starts the thread of the slots on a group's LUN; what it finds goes into that group's `inputs`.
    pub fn add_array(&mut self, paths: ArrayPaths, inputs: &Sender<Input>) -> io::Result<()> {
        let group = paths.group().number;
        let (place, outgoing) = Newest::new();
        let ear = Ear::new(Medium::Array, self.link.clone(), inputs.clone());
        slot::start(paths, self.node, ear, self.beat_ms, outgoing)?;
        self.arrays.insert(group, place);
        Ok(())
    }

    /// Sends a beat on both cables, and with a proof to this box's slot on the array; never waits.
    pub fn send(&mut self, beat: Beat, slot: Option<HeldProof>) {
        let waiting = Waiting::now(beat);
        self.serial.put(beat.group, waiting);
        self.private.put(beat.group, waiting);
        if let (Some(proof), Some(array)) = (slot, self.arrays.get(&beat.group)) {
            array.put(beat.group, (waiting, proof));
        }
    }
}

impl Waiting {
    /// A beat made now.
    pub fn now(beat: Beat) -> Self {
        Self { beat, made: array::now() }
    }

    /// The beat, unless it has waited too long.
    pub fn fresh(self) -> Option<Beat> {
        (array::now().since_ms(self.made) <= BEAT_STALE_MS).then_some(self.beat)
    }
}

/// A place for one value of each group; a newer one replaces it.
#[derive(Debug)]
struct Newest<T> {
    give: Sender<(u8, T)>,
    take: Receiver<(u8, T)>,
}

impl<T> Newest<T> {
    fn new() -> (Self, Outgoing<T>) {
        let (give, take) = bounded(control::GROUPS.len());
        (Self { give, take: take.clone() }, take)
    }

    fn put(&self, group: u8, value: T) {
        let others: Vec<_> = self.take.try_iter().filter(|(waits, _)| *waits != group).collect();
        for one in others.into_iter().chain([(group, value)]) {
            // Only this end puts, so there is room.
            let _ = self.give.try_send(one);
        }
    }
}

/// The link that the three threads share; held only while a frame is made or read.
#[derive(Debug, Clone)]
pub struct SharedLink(Arc<Mutex<Link>>);

impl SharedLink {
    /// This box's end of the pair's link, in a new session.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| io::Error::other("the system's random source failed"))?;
        let node = core_node(settings.node);
        Ok(Self(Arc::new(Mutex::new(Link::new(settings.pair_id, &settings.pair_key.0, node, &seed)))))
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// A live beat of the other box; the loop has it.
    Beat,
    /// A frame of a pairing exchange.
    Pairing,
    /// Nothing that counts.
    Noise,
}

/// One medium's end of the link: it judges what comes in, makes what goes out, and reports.
#[derive(Debug)]
pub struct Ear {
    medium: Medium,
    link: SharedLink,
    inputs: Sender<Input>,
    wrong_sender: Option<(Refusal, Time)>,
    reported: Option<(Time, Option<String>)>,
}

impl Ear {
    /// The end of `medium`.
    pub fn new(medium: Medium, link: SharedLink, inputs: Sender<Input>) -> Self {
        Self { medium, link, inputs, wrong_sender: None, reported: None }
    }

    /// The link itself.
    pub fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock()
    }

    /// Takes a frame that came in over a cable.
    pub fn hear(&mut self, frame: &[u8]) -> Sound {
        let heard = self.link.lock().open::<Beat>(self.medium, frame);
        match heard {
            Ok(heard) => {
                if heard.new_session {
                    info!("the other box has begun a new session on the {} medium", self.medium.name());
                }
                self.tell(Event::Heard { medium: self.medium, beat: heard.payload });
                Sound::Beat
            }
            Err(Refusal::Pairing) => Sound::Pairing,
            Err(refusal) => {
                self.note(refusal);
                Sound::Noise
            }
        }
    }

    /// Remembers a refusal that an administrator must act on.
    pub fn note(&mut self, refusal: Refusal) {
        let wrong = match refusal {
            Refusal::Version
            | Refusal::OwnVoice
            | Refusal::OtherPair(_)
            | Refusal::Authenticity
            | Refusal::Payload => true,
            Refusal::Length
            | Refusal::Checksum
            | Refusal::Pairing
            | Refusal::WrongMedium
            | Refusal::Replayed
            | Refusal::Unchanged
            | Refusal::Unproven => false,
        };
        if wrong {
            self.wrong_sender = Some((refusal, array::now()));
        }
    }

    /// Makes a frame of a beat.
    pub fn speak(&self, beat: &Beat) -> Option<Frame> {
        match self.link.lock().seal(self.medium, beat) {
            Ok(frame) => Some(frame),
            Err(error) => {
                warn!("{error}");
                None
            }
        }
    }

    /// Hands an event to the decision loop; never waits. The media repeat what is lost here.
    pub fn tell(&self, event: Event) {
        let _ = self.inputs.try_send(Input::Core(event));
    }

    /// Reports counters, and what keeps the medium from working, once a second and when that changes.
    pub fn report(&mut self, fault: Option<&str>) {
        let now = array::now();
        let wrong = self.wrong_sender.filter(|(_, at)| now.since_ms(*at) <= FAULT_STAYS_MS);
        let fault = fault.map(ToOwned::to_owned).or_else(|| wrong.map(|(refusal, _)| refusal.to_string()));
        let changed = self.reported.as_ref().is_none_or(|(_, known)| *known != fault);
        let due = self.reported.as_ref().is_none_or(|(at, _)| now.since_ms(*at) >= REPORT_EVERY_MS);
        if !changed && !due {
            return;
        }
        if changed && let Some(fault) = &fault {
            warn!("the {} medium: {fault}", self.medium.name());
        }
        self.reported = Some((now, fault.clone()));
        let counts = self.link.lock().counts(self.medium);
        let report = MediumReport { medium: self.medium, good: counts.good, bad: counts.bad(), fault };
        let _ = self.inputs.try_send(Input::Medium(report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_value_replaces_the_one_that_waits() {
        let (place, waiting) = Newest::new();
        for value in 1..=5 {
            place.put(0, value);
            place.put(1, value + 10);
        }
        assert_eq!(waiting.try_iter().collect::<Vec<_>>(), [(0, 5), (1, 15)]);
    }
}
