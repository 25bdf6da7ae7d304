//! The first box's side: it offers, and hands its settings to the box that a person joins.

use super::exchange::{Exchange, Half, Purpose};
use super::{
    ABOUT_MAX_BYTES, CHUNK_BYTES, Key, Message, OFFER_INTERVAL_MS, PARCEL_MAX_BYTES, PairingError, Retry,
};

/// The host's side of the exchange.
///
/// Call [`Host::poll`] often and send what it gives; give every message heard to [`Host::hear`].
#[derive(Debug)]
pub struct Host {
    about: heapless::Vec<u8, ABOUT_MAX_BYTES>,
    offer: Option<Half>,
    next_offer_ms: u64,
    guest: Option<Guest>,
}

/// The joiner the host is busy with.
#[derive(Debug)]
struct Guest {
    key: Key,
    offer: Key,
    exchange: Exchange,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The caller has been told and shall answer.
    Asked,
    Sending {
        chunks: Vec<heapless::Vec<u8, CHUNK_BYTES>>,
        next: usize,
        retry: Retry,
    },
    /// The joiner has saved; the caller shall write down its peer.
    Saved,
    Finished {
        owed: bool,
    },
}

/// What the caller must act on.
#[derive(Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// A box wants to join: answer with [`Host::accept`] or [`Host::refuse`].
    Asked {
        /// What it says about itself.
        about: Vec<u8>,
    },
    /// The joiner has the settings: write down the peer, then call [`Host::finish`].
    Saved,
    /// The exchange failed; the host offers again by itself.
    Failed(PairingError),
}

impl Host {
    /// A host that describes itself with `about`.
    pub fn new(about: &[u8]) -> Result<Self, PairingError> {
        let about = heapless::Vec::from_slice(about).map_err(|_| PairingError::TooLong)?;
        Ok(Self { about, offer: Some(Half::draw()?), next_offer_ms: 0, guest: None })
    }

    /// What to send now, if anything.
    pub fn poll(&mut self, now_ms: u64) -> Result<Option<Message>, PairingError> {
        match self.poll_guest(now_ms) {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) => {}
            Err(error) => {
                self.guest = None;
                return Err(error);
            }
        }
        if self.guest.is_some() || now_ms < self.next_offer_ms {
            return Ok(None);
        }
        self.next_offer_ms = now_ms + OFFER_INTERVAL_MS;
        if self.offer.is_none() {
            self.offer = Some(Half::draw()?);
        }
        let key = self.offer.as_ref().map(Half::public);
        Ok(key.map(|key| Message::Offer { key, about: self.about.clone() }))
    }

    fn poll_guest(&mut self, now_ms: u64) -> Result<Option<Message>, PairingError> {
        let Some(guest) = &mut self.guest else { return Ok(None) };
        match &mut guest.stage {
            Stage::Sending { chunks, next, retry } => {
                let (index, count) = (*next as u16, chunks.len() as u16);
                let due = retry.due(now_ms)?;
                // All chunks acknowledged: the joiner is saving, and only its silence is counted.
                let chunk = chunks.get(*next).filter(|_| due);
                Ok(chunk.map(|bytes| Message::Chunk { index, count, bytes: bytes.clone() }))
            }
            Stage::Finished { owed } => Ok(std::mem::take(owed).then_some(Message::Finish)),
            Stage::Asked | Stage::Saved => Ok(None),
        }
    }

    /// Takes a message that was heard.
    pub fn hear(&mut self, message: &Message) -> Option<HostEvent> {
        match message {
            Message::Join { offer, key, sealed } => self.joined(offer, key, sealed),
            Message::Ack { index } => {
                self.acknowledged(*index);
                None
            }
            Message::Saved { sealed } => self.saved(sealed),
            Message::Offer { .. } | Message::Refuse { .. } | Message::Chunk { .. } | Message::Finish => None,
        }
    }

    /// Hands `parcel`, the joiner's settings, to the box that asked.
    pub fn accept(&mut self, parcel: &[u8]) -> Result<(), PairingError> {
        if parcel.len() > PARCEL_MAX_BYTES {
            return Err(PairingError::TooLong);
        }
        let Some(guest) = &mut self.guest else { return Ok(()) };
        if matches!(guest.stage, Stage::Asked) {
            let sealed = guest.exchange.seal(Purpose::Parcel, parcel)?;
            let chunks = sealed.chunks(CHUNK_BYTES).filter_map(|chunk| heapless::Vec::from_slice(chunk).ok());
            guest.stage = Stage::Sending { chunks: chunks.collect(), next: 0, retry: Retry::default() };
        }
        Ok(())
    }

    /// Turns away the box that asked, with a sentence for people; send what is given back.
    pub fn refuse(&mut self, reason: &str) -> Option<Message> {
        let key = self.guest.take()?.key;
        let mut text = heapless::String::new();
        for character in reason.chars() {
            if text.push(character).is_err() {
                break;
            }
        }
        Some(Message::Refuse { key, reason: text })
    }

    /// The peer is written down: say so to the joiner, as often as it asks.
    pub fn finish(&mut self) {
        if let Some(guest) = &mut self.guest {
            guest.stage = Stage::Finished { owed: true };
        }
    }

    /// A beat of the other box came in: it has the settings, whatever became of its last message.
    pub fn heard_beat(&mut self) -> Option<HostEvent> {
        let guest = self.guest.as_mut().filter(|guest| matches!(guest.stage, Stage::Sending { .. }))?;
        guest.stage = Stage::Saved;
        Some(HostEvent::Saved)
    }

    fn joined(&mut self, offer: &Key, key: &Key, sealed: &[u8]) -> Option<HostEvent> {
        // A repeated question of the guest we have: what answers it is under way.
        if self.guest.as_ref().is_some_and(|guest| guest.key == *key && guest.offer == *offer) {
            return None;
        }
        // A key pair serves one joiner; whoever asks next gets a fresh offer.
        let half = self.offer.take_if(|half| half.public() == *offer)?;
        let exchange = match half.with_joiner(key) {
            Ok(exchange) => exchange,
            Err(error) => return Some(HostEvent::Failed(error)),
        };
        match exchange.open(Purpose::About, sealed) {
            Ok(about) => {
                self.guest = Some(Guest { key: *key, offer: *offer, exchange, stage: Stage::Asked });
                Some(HostEvent::Asked { about })
            }
            Err(error) => Some(HostEvent::Failed(error)),
        }
    }

    fn acknowledged(&mut self, index: u16) {
        if let Some(Guest { stage: Stage::Sending { next, retry, .. }, .. }) = &mut self.guest
            && *next == usize::from(index)
        {
            *next += 1;
            *retry = Retry::default();
        }
    }

    fn saved(&mut self, sealed: &[u8]) -> Option<HostEvent> {
        let guest = self.guest.as_mut()?;
        guest.exchange.open(Purpose::Saved, sealed).ok()?;
        match &mut guest.stage {
            Stage::Sending { .. } => {
                guest.stage = Stage::Saved;
                Some(HostEvent::Saved)
            }
            Stage::Finished { owed } => {
                *owed = true;
                None
            }
            Stage::Asked | Stage::Saved => None,
        }
    }
}
