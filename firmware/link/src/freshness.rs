//! Whether a frame is a sign of life now, or only a recording of one.
//!
//! Neither box may trust its clock or keep a counter over a power cut, so each asks the other to
//! answer. Every frame carries a *challenge* of its sender and, as *answer*, the newest challenge the
//! sender heard. A box takes a frame of a new *session* (a new start of the other box) for live only
//! if its answer is this box's own challenge of now; then it takes that session's frames as long as
//! their sequence rises, each medium for itself, and makes itself a new challenge. So
//!
//! - frames recorded before this box's last start answer a challenge that no longer is,
//! - frames recorded from an earlier session of the other box do so as well,
//! - frames recorded in the present session do not rise, and
//! - frames of one medium do not pass on another: the medium is part of the frame.
//!
//! The cost is one round trip after a start. A slot on the array has no way back (only the owner may
//! write), so there a frame is live if the page has *changed* since an earlier look in this session,
//! to a higher sequence of the same session. Whoever can rewrite the array needs no heartbeat.

use cluster::{Medium, Node};
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::frame::{self, Frame, Header, Kind, Malformed, SealError};

/// What the other box said, and that it said it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard<T> {
    /// What it said.
    pub payload: T,
    /// Its present session.
    pub session: u64,
    /// Number of the frame on its medium.
    pub sequence: u64,
    /// This is the first frame of a session that was not known before.
    pub new_session: bool,
}

/// Why a frame is not taken for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Too short, too long, or its lengths disagree.
    #[error("a frame has the wrong length")]
    Length,
    /// Noise on the line.
    #[error("a frame was damaged on the way; check cable and connectors")]
    Checksum,
    /// Another frame format.
    #[error("a frame has a form this version does not know; give both boxes the same firmware")]
    Version,
    /// A frame of a pairing exchange.
    #[error("the other box is not paired yet")]
    Pairing,
    /// The box hears itself.
    #[error("this box hears itself; the cable is a loop or both ends are plugged into this box")]
    OwnVoice,
    /// The other end belongs to another pair.
    #[error("a box of another pair ({0:08x}) is on this cable; check the cabling")]
    OtherPair(u32),
    /// Made for another medium.
    #[error("a frame made for another medium came in here")]
    WrongMedium,
    /// The MAC is wrong.
    #[error("a frame was not made with this pair's key; pair the second box again")]
    Authenticity,
    /// Not newer than one heard before.
    #[error("a frame came a second time")]
    Replayed,
    /// The slot holds what it held before: nobody wrote it since.
    #[error("the slot on the array has not changed")]
    Unchanged,
    /// Authentic, but it may be a recording; the next ones will tell.
    #[error("the other box has not answered this box's challenge yet")]
    Unproven,
    /// Authentic and live, but not what a beat should be.
    #[error("the other box speaks of things this version does not know; give both the same firmware")]
    Payload,
}

/// What came in on one medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Live frames.
    pub good: u64,
    /// Frames and pieces refused for length, checksum, format or payload.
    pub damaged: u64,
    /// Frames of another pair or with a wrong key.
    pub foreign: u64,
    /// Frames that came a second time, or hear-say of this box itself.
    pub stale: u64,
}

impl Counts {
    /// All that was refused.
    pub fn bad(&self) -> u64 {
        self.damaged + self.foreign + self.stale
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Incoming {
    session: u64,
    highest: u64,
    counts: Counts,
}

/// One box's end of the heartbeat, over all media.
#[derive(Debug)]
pub struct Link {
    pair_id: u32,
    node: Node,
    key: hmac::Key,
    seed: hmac::Key,
    session: u64,
    sent: [u64; 3],
    challenge_number: u64,
    answer: u64,
    peer_session: Option<u64>,
    incoming: [Incoming; 3],
}

impl Link {
    /// The end of box `node`; `seed` is drawn at random at every start and never kept.
    pub fn new(pair_id: u32, pair_key: &[u8; 32], node: Node, seed: &[u8; 32]) -> Self {
        let seed = hmac::Key::new(hmac::HMAC_SHA256, seed);
        Self {
            pair_id,
            node,
            key: hmac::Key::new(hmac::HMAC_SHA256, pair_key),
            session: drawn(&seed, b"session", 0),
            seed,
            sent: [0; 3],
            challenge_number: 0,
            answer: 0,
            peer_session: None,
            incoming: [Incoming::default(); 3],
        }
    }

    /// This box's session, drawn at its start.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// What came in on `medium` so far.
    pub fn counts(&self, medium: Medium) -> Counts {
        self.incoming[index(medium)].counts
    }

    /// Counts bytes on a stream that were no frame at all.
    pub fn note_garbage(&mut self, medium: Medium) {
        self.incoming[index(medium)].counts.damaged += 1;
    }

    /// Makes the next frame for `medium`.
    pub fn seal<T: Serialize>(&mut self, medium: Medium, payload: &T) -> Result<Frame, SealError> {
        let sent = &mut self.sent[index(medium)];
        *sent += 1;
        let header = Header {
            kind: Kind::Beat,
            medium: wire(medium),
            sender: sender(self.node),
            pair_id: self.pair_id,
            session: self.session,
            sequence: *sent,
            challenge: self.challenge(),
            answer: self.answer,
        };
        frame::seal(&header, payload, Some(&self.key))
    }

    /// Reads one frame that came in on `medium` and judges whether it is a sign of life.
    pub fn open<T: DeserializeOwned>(&mut self, medium: Medium, bytes: &[u8]) -> Result<Heard<T>, Refusal> {
        let heard = self.judge(medium, bytes);
        let counts = &mut self.incoming[index(medium)].counts;
        match &heard {
            Ok(_) => counts.good += 1,
            Err(refusal) => counts.add(*refusal),
        }
        heard
    }

    /// Reads what the slot of box `owner` says, without judging whether it is a sign of life: a record
    /// of what that box did last.
    pub fn read_slot<T: DeserializeOwned>(&self, owner: Node, page: &[u8]) -> Option<T> {
        let opened = frame::open(frame_in_page(page)?).ok()?;
        let header = opened.header;
        let of_the_slot = header.kind == Kind::Beat
            && header.pair_id == self.pair_id
            && header.sender == sender(owner)
            && header.medium == wire(Medium::Array);
        (of_the_slot && opened.is_authentic(&self.key)).then(|| opened.payload()).flatten()
    }

    fn judge<T: DeserializeOwned>(&mut self, medium: Medium, bytes: &[u8]) -> Result<Heard<T>, Refusal> {
        let opened = frame::open(bytes)?;
        let header = opened.header;
        if header.kind == Kind::Pairing {
            return Err(Refusal::Pairing);
        }
        if header.pair_id != self.pair_id {
            return Err(Refusal::OtherPair(header.pair_id));
        }
        if !opened.is_authentic(&self.key) {
            return Err(Refusal::Authenticity);
        }
        if header.sender != sender(self.node.peer()) {
            return Err(Refusal::OwnVoice);
        }
        if header.medium != wire(medium) {
            return Err(Refusal::WrongMedium);
        }
        let new_session = match medium {
            Medium::Array => self.judge_slot(&header)?,
            Medium::Serial | Medium::Private => self.judge_cable(medium, &header)?,
        };
        let payload = opened.payload().ok_or(Refusal::Payload)?;
        Ok(Heard { payload, session: header.session, sequence: header.sequence, new_session })
    }

    /// A cable: the session must have answered, and its sequence must rise.
    fn judge_cable(&mut self, medium: Medium, header: &Header) -> Result<bool, Refusal> {
        let known = self.peer_session == Some(header.session);
        if !known && header.answer != self.challenge() {
            self.answer = header.challenge;
            return Err(Refusal::Unproven);
        }
        if !known {
            self.peer_session = Some(header.session);
            self.challenge_number += 1;
        }
        let incoming = &mut self.incoming[index(medium)];
        if incoming.session != header.session {
            incoming.session = header.session;
            incoming.highest = 0;
        }
        if header.sequence <= incoming.highest {
            return Err(Refusal::Replayed);
        }
        incoming.highest = header.sequence;
        self.answer = header.challenge;
        Ok(!known)
    }

    /// A slot: its sequence must have risen since an earlier look.
    fn judge_slot(&mut self, header: &Header) -> Result<bool, Refusal> {
        let incoming = &mut self.incoming[index(Medium::Array)];
        if incoming.session != header.session {
            incoming.session = header.session;
            incoming.highest = header.sequence;
            return Err(Refusal::Unproven);
        }
        if header.sequence == incoming.highest {
            return Err(Refusal::Unchanged);
        }
        if header.sequence < incoming.highest {
            return Err(Refusal::Replayed);
        }
        incoming.highest = header.sequence;
        Ok(false)
    }

    fn challenge(&self) -> u64 {
        drawn(&self.seed, b"challenge", self.challenge_number)
    }
}

impl Counts {
    fn add(&mut self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Length | Refusal::Checksum | Refusal::Version | Refusal::Payload => &mut self.damaged,
            Refusal::OtherPair(_) | Refusal::Authenticity => &mut self.foreign,
            Refusal::OwnVoice | Refusal::WrongMedium | Refusal::Replayed => &mut self.stale,
            // Expected: a page read twice, a box that just started, one that is not paired yet.
            Refusal::Unchanged | Refusal::Unproven | Refusal::Pairing => return,
        };
        *counter += 1;
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Length => Self::Length,
            Malformed::Checksum => Self::Checksum,
            Malformed::Version => Self::Version,
        }
    }
}

/// The frame at the start of a slot's page; `None` if the page was never written.
pub fn frame_in_page(page: &[u8]) -> Option<&[u8]> {
    if page.first() == Some(&0) {
        return None;
    }
    page.get(..frame::length_of(page)?)
}

/// A number that only the holder of `seed` can foretell; never 0, which means "none yet".
fn drawn(seed: &hmac::Key, what: &[u8], number: u64) -> u64 {
    let mut context = hmac::Context::with_key(seed);
    context.update(what);
    context.update(&number.to_be_bytes());
    let tag = context.sign();
    tag.as_ref().first_chunk().map_or(1, |eight| u64::from_be_bytes(*eight)).max(1)
}

fn index(medium: Medium) -> usize {
    match medium {
        Medium::Serial => 0,
        Medium::Private => 1,
        Medium::Array => 2,
    }
}

fn wire(medium: Medium) -> u8 {
    index(medium) as u8 + 1
}

fn sender(node: Node) -> u8 {
    match node {
        Node::A => 1,
        Node::B => 2,
    }
}

#[cfg(test)]
mod tests;
