//! The second box's side: it listens for an offer, and takes the settings once a person agrees.

use super::exchange::{Exchange, Half, Purpose};
use super::{CHUNK_BYTES, Key, Message, PARCEL_MAX_BYTES, PairingError, Retry, TAG_BYTES};

/// Milliseconds without a repetition after which an offer is no longer believed.
const OFFER_LASTS_MS: u64 = 5_000;
const CHUNKS_MAX: usize = (PARCEL_MAX_BYTES + TAG_BYTES).div_ceil(CHUNK_BYTES);

/// The joiner's side of the exchange.
///
/// Call [`Joiner::poll`] often and send what it gives; give every message heard to [`Joiner::hear`].
#[derive(Debug, Default)]
pub struct Joiner {
    offer: Option<Offer>,
    outgoing: Option<Message>,
    stage: Stage,
}

#[derive(Debug)]
struct Offer {
    key: Key,
    about: Vec<u8>,
    heard_ms: u64,
}

#[derive(Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "one exists per box")]
enum Stage {
    #[default]
    Listening,
    /// Asked, or receiving: `received` grows chunk by chunk.
    Joining {
        key: Key,
        exchange: Exchange,
        join: Message,
        received: Vec<u8>,
        next: u16,
        retry: Retry,
    },
    /// All received; the caller saves.
    Saving {
        exchange: Exchange,
        last: u16,
    },
    /// Saved; says so until the host has finished.
    Saved {
        message: Message,
        retry: Retry,
    },
    Finished,
}

/// What the caller must act on.
#[derive(Debug, PartialEq, Eq)]
pub enum JoinerEvent {
    /// The settings are here: save them, then call [`Joiner::saved`].
    Received {
        /// The settings, as the host gave them to [`super::Host::accept`].
        parcel: Vec<u8>,
    },
    /// The host knows; both are paired.
    Finished,
    /// The exchange failed; the joiner listens again.
    Failed(PairingError),
}

impl Joiner {
    /// What the box on the cable says about itself, while it offers.
    pub fn offer(&self, now_ms: u64) -> Option<&[u8]> {
        let offer = self.offer.as_ref()?;
        (now_ms.saturating_sub(offer.heard_ms) <= OFFER_LASTS_MS).then_some(&offer.about)
    }

    /// The administrator agreed: answer the present offer with `about` this box.
    pub fn join(&mut self, about: &[u8], now_ms: u64) -> Result<(), PairingError> {
        self.offer(now_ms).ok_or(PairingError::NoOffer)?;
        let offer = self.offer.as_ref().ok_or(PairingError::NoOffer)?.key;
        let half = Half::draw()?;
        let key = half.public();
        let exchange = half.with_host(&offer)?;
        let sealed = exchange.seal(Purpose::About, about)?;
        let sealed = heapless::Vec::from_slice(&sealed).map_err(|_| PairingError::TooLong)?;
        let join = Message::Join { offer, key, sealed };
        let (received, next, retry) = (Vec::new(), 0, Retry::default());
        self.stage = Stage::Joining { key, exchange, join, received, next, retry };
        Ok(())
    }

    /// What to send now, if anything.
    pub fn poll(&mut self, now_ms: u64) -> Result<Option<Message>, PairingError> {
        if let Some(message) = self.outgoing.take() {
            return Ok(Some(message));
        }
        let (retry, message) = match &mut self.stage {
            Stage::Joining { join, next, retry, .. } => (retry, (*next == 0).then(|| join.clone())),
            Stage::Saved { message, retry } => (retry, Some(message.clone())),
            Stage::Listening | Stage::Saving { .. } | Stage::Finished => return Ok(None),
        };
        match retry.due(now_ms) {
            Ok(true) => Ok(message),
            Ok(false) => Ok(None),
            Err(error) => {
                self.stage = Stage::Listening;
                Err(error)
            }
        }
    }

    /// Takes a message that was heard.
    pub fn hear(&mut self, message: &Message, now_ms: u64) -> Option<JoinerEvent> {
        match message {
            Message::Offer { key, about } => {
                self.offer = Some(Offer { key: *key, about: about.to_vec(), heard_ms: now_ms });
                None
            }
            Message::Chunk { index, count, bytes } => self.received(*index, *count, bytes),
            Message::Refuse { key, reason } => self.refused(key, reason),
            Message::Finish => {
                let saved = matches!(self.stage, Stage::Saved { .. });
                saved.then(|| {
                    self.stage = Stage::Finished;
                    JoinerEvent::Finished
                })
            }
            Message::Join { .. } | Message::Ack { .. } | Message::Saved { .. } => None,
        }
    }

    /// The settings are on the disk: tell the host.
    pub fn saved(&mut self) -> Result<(), PairingError> {
        if let Stage::Saving { exchange, .. } = &self.stage {
            let message = Message::Saved { sealed: exchange.saved()? };
            self.stage = Stage::Saved { message, retry: Retry::default() };
        }
        Ok(())
    }

    fn received(&mut self, index: u16, count: u16, bytes: &[u8]) -> Option<JoinerEvent> {
        if let Stage::Saving { last, .. } = &self.stage
            && *last == index
        {
            self.outgoing = Some(Message::Ack { index });
            return None;
        }
        let Stage::Joining { received, next, retry, exchange, .. } = &mut self.stage else { return None };
        if index >= count || usize::from(count) > CHUNKS_MAX || index > *next {
            return None;
        }
        self.outgoing = Some(Message::Ack { index });
        if index < *next {
            return None;
        }
        received.extend_from_slice(bytes);
        *next += 1;
        *retry = Retry::default();
        if *next < count {
            return None;
        }
        let parcel = exchange.open(Purpose::Parcel, received);
        let stage = std::mem::take(&mut self.stage);
        match (parcel, stage) {
            (Ok(parcel), Stage::Joining { exchange, .. }) => {
                self.stage = Stage::Saving { exchange, last: index };
                Some(JoinerEvent::Received { parcel })
            }
            (Err(error), _) => Some(JoinerEvent::Failed(error)),
            (Ok(_), _) => None,
        }
    }

    fn refused(&mut self, refused: &Key, reason: &str) -> Option<JoinerEvent> {
        let Stage::Joining { key, .. } = &self.stage else { return None };
        if key != refused {
            return None;
        }
        self.stage = Stage::Listening;
        Some(JoinerEvent::Failed(PairingError::Refused(reason.to_owned())))
    }
}
