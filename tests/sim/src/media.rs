//! The three media: bytes on a line, datagrams on a wire, pages on the array, through the real codec.

use cluster::{Beat, Event, HeldProof, Medium, Time};
use link::{StreamEvent, encode_stream, frame_in_page};

use crate::Flaw;
use crate::host::Path;
use crate::rng::Rng;
use crate::world::{Due, World};

/// How long a frame needs at most on a good cable, in milliseconds.
const DELAY_MAX_MS: u64 = 20;
/// How long a datagram needs at most where datagrams overtake each other, in milliseconds.
const LATE_MAX_MS: u64 = 900;

/// State of one cable; each ill lasts until a moment of the world.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cable {
    pub cut: u64,
    /// The way out of each box.
    pub cut_from: [u64; 2],
    /// Bytes or datagrams get lost, doubled, changed.
    pub bad: u64,
    /// Garbage between the frames, and in them.
    pub garbage: u64,
    /// When the last byte of each box arrives: a line keeps its order.
    last_at: [u64; 2],
}

impl World {
    pub fn send(&mut self, node: usize, beat: Beat, slot: Option<HeldProof>) {
        self.send_serial(node, &beat);
        self.send_private(node, &beat);
        if let Some(proof) = slot {
            let ms = self.command_ms(node);
            self.after(ms, node, Due::SlotWrite { beat, proof });
        }
    }

    fn seal(&mut self, node: usize, medium: Medium, beat: &Beat) -> Vec<u8> {
        let Some(link) = self.hosts[node].link.as_mut() else { return Vec::new() };
        let Ok(frame) = link.seal(medium, beat) else {
            self.checks.violate("a beat does not fit into a frame".to_owned());
            return Vec::new();
        };
        if medium == Medium::Serial { encode_stream(&frame).to_vec() } else { frame.to_vec() }
    }

    fn send_serial(&mut self, node: usize, beat: &Beat) {
        let mut bytes = self.seal(node, Medium::Serial, beat);
        let cable = self.cables[0];
        let way = cable.cut.max(cable.cut_from[node]);
        if self.now < way {
            return;
        }
        if self.now < cable.bad {
            spoil(&mut bytes, 8, &mut self.rng);
        }
        if self.now < cable.garbage {
            spoil(&mut bytes, 200, &mut self.rng);
        }
        let soon = self.now + self.rng.range(10, DELAY_MAX_MS);
        let at = soon.max(self.cables[0].last_at[node]);
        self.cables[0].last_at[node] = at;
        // A byte finds whatever life its receiver has by then.
        self.at(at, 1 - node, None, Due::Heard { medium: Medium::Serial, bytes });
    }

    fn send_private(&mut self, node: usize, beat: &Beat) {
        let bytes = self.seal(node, Medium::Private, beat);
        let cable = self.cables[1];
        if self.now < cable.cut.max(cable.cut_from[node]) {
            return;
        }
        let bad = self.now < cable.bad;
        if bad && self.rng.chance(300) {
            return;
        }
        let copies = if bad && self.rng.chance(100) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.rng.range(1, if bad { LATE_MAX_MS } else { DELAY_MAX_MS });
            let mut bytes = bytes.clone();
            if bad && self.rng.chance(20) {
                spoil(&mut bytes, 20, &mut self.rng);
            }
            self.at(self.now + delay, 1 - node, None, Due::Heard { medium: Medium::Private, bytes });
        }
    }

    pub fn hear(&mut self, node: usize, medium: Medium, bytes: &[u8]) {
        if self.hosts[node].core.is_none() {
            return;
        }
        if medium == Medium::Private {
            return self.open(node, medium, bytes);
        }
        for byte in bytes {
            match self.hosts[node].decoder.push(*byte) {
                Some(StreamEvent::Frame(frame)) => self.open(node, medium, &frame),
                Some(StreamEvent::Garbage) => self.coverage.count("heartbeat", "garbage on the line"),
                None => {}
            }
        }
    }

    fn open(&mut self, node: usize, medium: Medium, frame: &[u8]) {
        let Some(link) = self.hosts[node].link.as_mut() else { return };
        match link.open::<Beat>(medium, frame) {
            Ok(heard) => {
                let clock = self.hosts[node].clock(self.now);
                self.checks.heard(node, clock, medium, &heard.payload);
                if self.setting.flaw != Flaw::BeatsDropped {
                    self.feed(node, Event::Heard { medium, beat: heard.payload });
                }
            }
            Err(refusal) => self.coverage.count("heartbeat", format!("{refusal:?}")),
        }
    }

    pub fn write_slot(&mut self, node: usize, beat: Beat, proof: HeldProof) {
        let now = self.now;
        let host = &self.hosts[node];
        let path = host.path(now);
        // One thread writes the slot, and only what the newest ownership says.
        let newest = host.proof.is_some_and(|newest| newest.epoch() == proof.epoch());
        if !matches!(path, Path::Up | Path::HalfOpen) || !newest || !proof.is_valid(host.clock(now)) {
            return;
        }
        let ownership = host.ownership;
        let frame = self.seal(node, Medium::Array, &beat);
        if self.write_passes(node, ownership, "slot") {
            let tear = std::mem::take(&mut self.hosts[node].tear_slot);
            let torn = tear.then(|| self.rng.range(1, frame.len() as u64) as usize);
            self.array.put_slot(self.hosts[node].node, &frame, torn);
        } else {
            self.feed(node, Event::WriteFenced);
        }
    }

    pub fn read_slots(&mut self, node: usize) {
        let every = self.rng.range(180, 320);
        self.after(every, node, Due::SlotsStart);
        if self.hosts[node].path(self.now) != Path::Up {
            self.hosts[node].looked_in_vain = true;
            return;
        }
        let (started, pages) = (self.hosts[node].clock(self.now), self.array.slots());
        let ms = self.command_ms(node);
        self.after(ms, node, Due::SlotsEnd { started, pages });
    }

    pub fn deliver_slots(&mut self, node: usize, started: Time, pages: &[Vec<u8>; 2]) {
        let host = &mut self.hosts[node];
        let (me, peer) = (host.node, host.node.peer());
        let returned = std::mem::take(&mut host.looked_in_vain);
        let Some(link) = host.link.as_mut() else { return };
        if let Some(frame) = frame_in_page(&pages[peer as usize])
            && let Err(refusal) = link.open::<Beat>(Medium::Array, frame)
        {
            self.coverage.count("heartbeat", format!("slot {refusal:?}"));
        }
        let own = link.read_slot::<Beat>(me, &pages[me as usize]);
        let theirs = link.read_slot::<Beat>(peer, &pages[peer as usize]);
        if returned {
            self.feed(node, Event::PathReturned);
        }
        self.checks.saw_slot(node, started, theirs.as_ref());
        let peer = if self.setting.flaw == Flaw::BeatsDropped { None } else { theirs };
        self.feed(node, Event::SlotsRead { started, own, peer });
    }
}

/// Each byte is lost, doubled or changed with this chance of a thousand.
fn spoil(bytes: &mut Vec<u8>, per_mille: u64, rng: &mut Rng) {
    let mut arrives = Vec::with_capacity(bytes.len() + 4);
    for byte in bytes.iter() {
        if !rng.chance(per_mille) {
            arrives.push(*byte);
            continue;
        }
        match rng.range(0, 2) {
            0 => {}
            1 => arrives.extend([*byte, *byte]),
            _ => arrives.push(*byte ^ (1 << rng.range(0, 7))),
        }
    }
    *bytes = arrives;
}
