//! The heartbeat slots on the array: the owner writes its own, everybody reads both.
//!
//! A slot that has not changed is no sign of life, but it is a record of what its owner did last; so
//! both are handed to the core after every look, and the core judges. A read or write that hangs in
//! the kernel keeps only this thread: the core then sees that nobody looked.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use array::{SlotError, Slots};
use cluster::{Beat, Event, HeldProof, Medium, Node};
use crossbeam_channel::RecvTimeoutError;
use link::frame_in_page;
use tracing::{info, warn};

use crate::array_paths::ArrayPaths;
use crate::media::{Ear, Outgoing, Waiting};

/// Between two attempts to reach a LUN that failed.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// The owner cannot read its slot, or not write it, for so long: then it cannot read or write mail
/// either, but what is in its memory, and the other box may do better.
const BROKEN_AFTER: Duration = Duration::from_secs(5);
/// A beat for the slot comes to a box that holds the group, and to no other; it counts for so long.
const HOLDS_FOR: Duration = Duration::from_secs(1);
/// Failed attempts after which the host adapters are told to look for LUNs, which takes long.
const RESCAN_AFTER: u32 = 30;

/// Starts the thread of the slots.
pub fn start(
    paths: ArrayPaths,
    node: Node,
    ear: Ear,
    beat_ms: u32,
    outgoing: Outgoing<(Waiting, HeldProof)>,
) -> io::Result<()> {
    let look_every = Duration::from_millis(u64::from(beat_ms));
    let mut place = Place {
        paths,
        node,
        ear,
        slots: None,
        device: None,
        tried: None,
        answers: false,
        next_open: Instant::now(),
        failures: 0,
        fault: None,
        unread_since: None,
        unwritten_since: None,
        held_at: None,
    };
    thread::Builder::new().name("slots".to_owned()).spawn(move || {
        // The paths are being looked for meanwhile.
        let mut next_look = Instant::now() + look_every;
        loop {
            match outgoing.recv_timeout(next_look.saturating_duration_since(Instant::now())) {
                Ok((_, (waiting, proof))) => place.write(waiting, &proof),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + look_every;
                place.look();
            }
            place.complain();
            place.ear.report(place.fault.as_deref());
        }
    })?;
    Ok(())
}

/// The way to the slots, opened again after it failed.
struct Place {
    paths: ArrayPaths,
    node: Node,
    ear: Ear,
    slots: Option<Slots>,
    /// The path in use.
    device: Option<PathBuf>,
    /// What was last tried to be opened, and when the same may be tried again.
    tried: Option<PathBuf>,
    next_open: Instant,
    /// Whether the last look succeeded.
    answers: bool,
    failures: u32,
    fault: Option<String>,
    /// Since when no look at the slots succeeded.
    unread_since: Option<Instant>,
    /// Since when no write of its own slot succeeded, of those that were tried.
    unwritten_since: Option<Instant>,
    /// When a beat and a valid proof last came.
    held_at: Option<Instant>,
}

impl Place {
    fn write(&mut self, waiting: Waiting, proof: &HeldProof) {
        let Some(frame) = waiting.fresh().and_then(|beat| self.ear.speak(&beat)) else { return };
        let node = self.node;
        if proof.is_valid(array::now()) {
            self.held_at = Some(Instant::now());
        }
        let Some(slots) = self.open() else { return };
        // Opening may have taken its time.
        if !proof.is_valid(array::now()) {
            return;
        }
        match slots.write(node, &frame) {
            Ok(()) => self.unwritten_since = None,
            Err(SlotError::Fenced) => {
                warn!("{}", SlotError::Fenced);
                self.ear.tell(Event::WriteFenced);
            }
            Err(error) => {
                self.unwritten_since.get_or_insert_with(Instant::now);
                self.failed(error.to_string());
            }
        }
    }

    fn look(&mut self) {
        let (node, started) = (self.node, array::now());
        let Some(slots) = self.open() else { return };
        let pages = slots.read(node).and_then(|own| Ok((own, slots.read(node.peer())?)));
        let (own, peer) = match pages {
            Ok(pages) => pages,
            Err(error) => {
                self.unread_since.get_or_insert_with(Instant::now);
                return self.failed(error.to_string());
            }
        };
        if std::mem::take(&mut self.failures) > 0 {
            info!("the array answers again");
        }
        if !std::mem::replace(&mut self.answers, true) {
            self.ear.tell(Event::PathReturned);
        }
        self.fault = None;
        self.unread_since = None;
        // One count a medium: it is the first group's, whose LUN every pair has.
        if self.paths.group().number == 0
            && let Some(frame) = frame_in_page(&peer.0)
        {
            let judged = self.ear.link().open::<Beat>(Medium::Array, frame);
            if let Err(refusal) = judged {
                self.ear.note(refusal);
            }
        }
        let (own, peer) = {
            let link = self.ear.link();
            (link.read_slot(node, &own.0), link.read_slot(node.peer(), &peer.0))
        };
        self.ear.tell(Event::SlotsRead { started, own, peer });
    }

    fn open(&mut self) -> Option<&mut Slots> {
        if self.device.as_deref().is_some_and(|device| !self.paths.may_try(device)) {
            // Another path is taken before this one costs a look.
            (self.slots, self.device) = (None, None);
        }
        if self.slots.is_none() {
            let best = self.paths.to_try().into_iter().next().map(|lun| lun.device);
            // A path that was not there at the last try is tried at once, the same one after a while.
            if best != self.tried || Instant::now() >= self.next_open {
                self.open_over(best);
            }
        }
        self.slots.as_mut()
    }

    fn open_over(&mut self, best: Option<PathBuf>) {
        self.tried.clone_from(&best);
        let opened = match &best {
            Some(device) => Slots::open(device).map_err(|error| error.to_string()),
            None => Err("no path to the array works; check host card, cable and array".to_owned()),
        };
        match opened {
            Ok(slots) => (self.slots, self.device) = (Some(slots), best),
            Err(fault) => self.failed(fault),
        }
    }

    /// A box whose reservation is fine, but that cannot read or write the array, should not have the
    /// group; if neither box can, the core leaves it where it is.
    fn complain(&mut self) {
        let now = Instant::now();
        let lasts = |since: Option<Instant>| since.is_some_and(|it| now.duration_since(it) >= BROKEN_AFTER);
        let what = match (lasts(self.unread_since), lasts(self.unwritten_since)) {
            (true, _) => "read",
            (_, true) => "write to",
            _ => return,
        };
        if self.held_at.is_some_and(|at| now.duration_since(at) < HOLDS_FOR) {
            // Once in a while, not at every look.
            (self.unread_since, self.unwritten_since) = (None, None);
            let fault = self.fault.as_deref().unwrap_or("no try succeeds");
            let why = format!("this box cannot {what} the array: {fault}");
            warn!("{why}");
            self.ear.tell(Event::MailIll { why, given_up: true });
        }
    }

    fn failed(&mut self, fault: String) {
        self.fault = Some(fault);
        (self.slots, self.device) = (None, None);
        self.answers = false;
        self.next_open = Instant::now() + RETRY_EVERY;
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_multiple_of(RESCAN_AFTER) {
            array::rescan_hosts();
        }
    }
}
