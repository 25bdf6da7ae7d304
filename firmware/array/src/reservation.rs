//! The reservation that lets one box write: taking, reading and giving it up.
//!
//! Type 5, Write Exclusive Registrants Only: everybody may read, every registrant may write. So only
//! the owner is registered. A box registers in the act of taking, just before it preempts, and
//! withdraws if it does not win. Every operation may be repeated after a crash in its middle.
//!
//! Two forms that the standard has and weak targets refuse are tried first and replaced: APTPL (the
//! registration outlives a power loss of the array) by none, PREEMPT AND ABORT by PREEMPT.

use cluster::{Key, Reading, Time};
use thiserror::Error;

use crate::device::{Device, ScsiError};
use crate::scsi::cdb::ReserveOut;

/// Rounds of "look, then act" of one take; more than one is needed only when both boxes act at once.
pub const ROUNDS_MAX: u32 = 4;

/// Why the reservation could not be taken or given up.
#[derive(Debug, Error)]
pub enum ReservationError {
    /// The array or the path to it fails.
    #[error(transparent)]
    Scsi(#[from] ScsiError),
    /// A system that is not of this pair uses the LUN.
    #[error(
        "the LUN is in use by another system (key {0:#018x}); choose another LUN, or have the array's \
         administrator clear its reservations"
    )]
    Stranger(u64),
    /// The other box was faster, or holds a later epoch.
    #[error("the other box holds the reservation with key {0}")]
    Lost(Key),
    /// Look and act did not come together.
    #[error("the reservation kept changing while it was taken; it is tried again")]
    Unsettled,
}

/// The reservation of one LUN over one path.
#[derive(Debug)]
pub struct Reservation {
    device: Device,
    pair_id: u32,
    /// The target takes registrations that outlive its power loss.
    persists: bool,
    /// The target knows PREEMPT AND ABORT.
    aborts: bool,
}

impl Reservation {
    /// The reservation of the LUN behind `device`, for pair `pair_id`.
    pub fn new(device: Device, pair_id: u32) -> Self {
        Self { device, pair_id, persists: true, aborts: true }
    }

    /// The path it works over.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// READ KEYS and READ RESERVATION, with the time the first was started.
    pub fn read(&self) -> Result<Reading, ScsiError> {
        let started = now();
        let keys = self.device.read_keys()?;
        let holder = self.device.read_reservation()?;
        Ok(Reading { started, keys, holder })
    }

    /// Takes the reservation with key `own`: from nobody, from the holder with key `over`, or once more
    /// from itself after its path has changed. Gives the reading that proves it.
    ///
    /// Any other holder wins ([`ReservationError::Lost`]), and so does one of the same or a later epoch.
    pub fn take(&mut self, own: Key, over: Option<u64>) -> Result<Reading, ReservationError> {
        self.device.probe()?;
        self.refuse_strangers(&self.read()?)?;
        self.register(own)?;
        let taken = self.take_registered(own, over);
        if matches!(taken, Err(ReservationError::Lost(_) | ReservationError::Stranger(_))) {
            self.unregister(own, false)?;
        }
        taken
    }

    fn take_registered(&mut self, own: Key, over: Option<u64>) -> Result<Reading, ReservationError> {
        for _ in 0..ROUNDS_MAX {
            let reading = self.read()?;
            self.refuse_strangers(&reading)?;
            match self.act_on(&reading, own, over) {
                // Somebody changed it between look and act: look again.
                Err(ReservationError::Scsi(ScsiError::ReservationConflict)) => continue,
                other => other?,
            }
            self.remove_earlier(own)?;
            let reading = self.read()?;
            let held = reading.holder.is_some_and(|holder| holder.key == own.encode());
            if held && reading.keys.contains(&own.encode()) {
                return Ok(reading);
            }
        }
        Err(ReservationError::Unsettled)
    }

    /// One step from what `reading` shows towards holding it.
    fn act_on(&mut self, reading: &Reading, own: Key, over: Option<u64>) -> Result<(), ReservationError> {
        let Some(holder) = reading.holder else {
            return Ok(self.device.reserve_out(ReserveOut::Reserve, own.encode(), 0, false)?);
        };
        let key = Key::decode(holder.key, self.pair_id).ok_or(ReservationError::Stranger(holder.key))?;
        if key == own {
            // Held already by this path: no change. Held by a path that is gone: take it from that.
            return match self.device.reserve_out(ReserveOut::Reserve, own.encode(), 0, false) {
                Err(ScsiError::ReservationConflict) => Ok(self.preempt(own, own.encode())?),
                other => Ok(other?),
            };
        }
        if over != Some(holder.key) || key.epoch() >= own.epoch() {
            return Err(ReservationError::Lost(key));
        }
        Ok(self.preempt(own, holder.key)?)
    }

    /// Removes registrations of earlier epochs that hold nothing: under type 5 they could still write.
    fn remove_earlier(&mut self, own: Key) -> Result<(), ReservationError> {
        let reading = self.read()?;
        let held = reading.holder.is_some_and(|holder| holder.key == own.encode());
        for raw in reading.keys {
            let earlier = Key::decode(raw, self.pair_id).is_some_and(|key| key.epoch() < own.epoch());
            if held && earlier {
                match self.preempt(own, raw) {
                    // It is gone already.
                    Ok(()) | Err(ScsiError::ReservationConflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Withdraws this path's registration. With `release` a reservation it holds is given up as well;
    /// without, a holder stays registered, whichever of this box's keys it holds with: the end of its
    /// registration would end its reservation, and leave the LUN open to everybody. Not holding or not
    /// being registered is fine.
    pub fn unregister(&mut self, own: Key, release: bool) -> Result<(), ScsiError> {
        self.device.probe()?;
        let holder = self.read()?.holder.and_then(|holder| Key::decode(holder.key, self.pair_id));
        let holds = holder.is_some_and(|key| key.node() == own.node());
        if holds && !release {
            return Ok(());
        }
        if holds {
            match self.device.reserve_out(ReserveOut::Release, own.encode(), 0, false) {
                // Preempted since the look: there is nothing to release any more.
                Ok(()) | Err(ScsiError::ReservationConflict) => {}
                Err(error) => return Err(error),
            }
        }
        // Whatever this path is registered with, an earlier epoch's key for example.
        self.device.reserve_out(ReserveOut::RegisterAndIgnoreExistingKey, 0, 0, false)
    }

    fn register(&mut self, own: Key) -> Result<(), ScsiError> {
        let action = ReserveOut::RegisterAndIgnoreExistingKey;
        match self.device.reserve_out(action, 0, own.encode(), self.persists) {
            Err(ScsiError::IllegalRequest(sense)) if self.persists => {
                tracing::info!("the array does not keep registrations over its own power loss: {sense}");
                self.persists = false;
                self.device.reserve_out(action, 0, own.encode(), false)
            }
            other => other,
        }
    }

    fn preempt(&mut self, own: Key, from: u64) -> Result<(), ScsiError> {
        if self.aborts {
            match self.device.reserve_out(ReserveOut::PreemptAndAbort, own.encode(), from, false) {
                Err(ScsiError::IllegalRequest(sense)) => {
                    tracing::info!("the array does not know PREEMPT AND ABORT, PREEMPT is used: {sense}");
                    self.aborts = false;
                }
                other => return other,
            }
        }
        self.device.reserve_out(ReserveOut::Preempt, own.encode(), from, false)
    }

    /// Refuses a LUN that a system outside this pair has registered at or reserved.
    fn refuse_strangers(&self, reading: &Reading) -> Result<(), ReservationError> {
        let holder = reading.holder.map(|holder| holder.key);
        let stranger = |key: &u64| Key::decode(*key, self.pair_id).is_none();
        match reading.keys.iter().copied().chain(holder).find(stranger) {
            Some(key) => Err(ReservationError::Stranger(key)),
            None => Ok(()),
        }
    }
}

/// Milliseconds since this box booted, the time it slept included.
pub fn now() -> Time {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time(time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000)
}
