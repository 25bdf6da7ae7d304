//! The reservation that lets one box write: taking, reading and giving it up.
//!
//! Type 5, Write Exclusive Registrants Only: everybody may read, every registrant may write. So only
//! the owner is registered. A box registers in the act of taking, just before it preempts, and
//! withdraws if it does not win. Every operation may be repeated after a crash in its middle.
//!
//! Over several paths each is an I_T nexus of its own with a registration of its own, all with the same
//! key (SPC-4 5.13.7). The reservation is taken over one; under type 5 every registered path may write,
//! so it does not matter which of them holds it, or whether that one is still there. A path is
//! registered only when the reservation is held and for nothing else.
//!
//! Two forms that the standard has and weak targets refuse are tried first and replaced: APTPL (the
//! registration outlives a power loss of the array) by none, PREEMPT AND ABORT by PREEMPT.

use std::path::PathBuf;

use cluster::{Key, Reading, Time};
use thiserror::Error;

use crate::device::{Device, ScsiError};
use crate::layout::Header;
use crate::membership::{self, Membership, REPLACED, Standing};
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
    /// This box is no member of the pair any more.
    #[error("{REPLACED}")]
    Replaced,
    /// There is no header that a mark could be written into.
    #[error("the LUN's header is damaged, so no box can be shut out by it; mend the array first")]
    NoHeader,
    /// The header page could not be written.
    #[error("the LUN's header could not be written: {0}")]
    Header(std::io::Error),
}

/// A reservation that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The reading that proves it.
    pub reading: Reading,
    /// Device nodes of the paths on which this box is registered now.
    pub paths: Vec<PathBuf>,
}

/// The reservation of one LUN, over all its paths.
#[derive(Debug)]
pub struct Reservation {
    /// The path that carries what concerns the LUN as a whole.
    device: Device,
    /// Further paths.
    others: Vec<Device>,
    pair_id: u32,
    /// What lets this box take it; none while the LUN is being made.
    membership: Option<Membership>,
    /// The target takes registrations that outlive its power loss.
    persists: bool,
    /// The target knows PREEMPT AND ABORT.
    aborts: bool,
}

impl Reservation {
    /// The reservation of the LUN behind `device`, for pair `pair_id`.
    pub fn new(device: Device, pair_id: u32) -> Self {
        Self::over(device, Vec::new(), pair_id)
    }

    /// The same over several paths.
    pub fn over(device: Device, others: Vec<Device>, pair_id: u32) -> Self {
        Self { device, others, pair_id, membership: None, persists: true, aborts: true }
    }

    /// The same for a box that takes it only while the LUN's header knows its pair's key.
    pub fn of_member(self, membership: Membership) -> Self {
        Self { membership: Some(membership), ..self }
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
    /// A path that fails is left for the next. Once it is held every other path is registered that can
    /// be; [`Taken::paths`] says which.
    pub fn take(&mut self, own: Key, over: Option<u64>) -> Result<Taken, ReservationError> {
        let mut result = self.take_over_one(own, over);
        while matches!(&result, Err(ReservationError::Scsi(error)) if error.is_path_fault())
            && self.next_path()
        {
            result = self.take_over_one(own, over);
        }
        let reading = result?;
        let mut paths = vec![self.device.path().to_owned()];
        for index in 0..self.others.len() {
            match self.register_other(index, own) {
                Ok(path) => paths.push(path),
                Err(error) => tracing::warn!("a path to the array is not registered: {error}"),
            }
        }
        Ok(Taken { reading, paths })
    }

    /// Puts the registrations of the box that has the group in order: its key on every path that answers,
    /// the reservation if nobody holds it. Whoever else holds it has won ([`ReservationError::Lost`]).
    ///
    /// Unlike a taker, which registers its paths when it has won, it may be writing over all of them: with
    /// the reservation there again, a path that is not registered yet would have its writes refused.
    pub fn repair(&mut self, own: Key) -> Result<Taken, ReservationError> {
        let reading = self.read()?;
        self.refuse_strangers(&reading)?;
        // Before any path is registered: under type 5 each could write.
        self.standing()?;
        if reading.holder.is_none() {
            for index in 0..self.others.len() {
                if let Err(error) = self.register_other(index, own) {
                    tracing::warn!("a path to the array is not registered: {error}");
                }
            }
        }
        self.take(own, None)
    }

    /// Registers `own` on this one path of a LUN that the box holds through another one, and makes sure
    /// that it still does afterwards: if it has lost it meanwhile the registration is withdrawn.
    pub fn join(&mut self, own: Key) -> Result<(), ReservationError> {
        self.device.probe()?;
        let held = |reading: &Reading| reading.holder.is_some_and(|holder| holder.key == own.encode());
        if !held(&self.read()?) {
            return Err(ReservationError::Unsettled);
        }
        self.register(own)?;
        let reading = self.read();
        if matches!(&reading, Ok(reading) if held(reading) && reading.keys.contains(&own.encode())) {
            return Ok(());
        }
        self.device.reserve_out(ReserveOut::RegisterAndIgnoreExistingKey, 0, 0, false)?;
        Err(ReservationError::Unsettled)
    }

    fn register_other(&mut self, index: usize, own: Key) -> Result<PathBuf, ScsiError> {
        let (persists, none) = (self.persists, ScsiError::BadReply("a path that is gone"));
        let other = self.others.get(index).ok_or(none)?;
        other.probe()?;
        other.reserve_out(ReserveOut::RegisterAndIgnoreExistingKey, 0, own.encode(), persists)?;
        Ok(other.path().to_owned())
    }

    /// Puts the first further path in the place of the one that failed.
    fn next_path(&mut self) -> bool {
        if self.others.is_empty() {
            return false;
        }
        let failed = std::mem::replace(&mut self.device, self.others.remove(0));
        tracing::warn!("{} fails; {} is tried", failed.path().display(), self.device.path().display());
        true
    }

    fn take_over_one(&mut self, own: Key, over: Option<u64>) -> Result<Reading, ReservationError> {
        self.device.probe()?;
        self.refuse_strangers(&self.read()?)?;
        self.standing()?;
        self.register(own)?;
        let taken = self.take_registered(own, over);
        if matches!(taken, Err(ReservationError::Lost(_) | ReservationError::Stranger(_))) {
            self.unregister(own, false)?;
        }
        let reading = taken?;
        // Looked at again now that it is registered: who was forgotten in between, and registered after the
        // survivor had swept the registrations away, finds the survivor's mark, which was written before.
        match self.standing() {
            Ok(Standing::Renew) => {
                if let Err(error) = self.mark(own) {
                    tracing::warn!("the LUN's header does not carry this pair's mark yet: {error}");
                }
            }
            Ok(Standing::Member | Standing::Replaced) => {}
            Err(ReservationError::Replaced) => {
                self.unregister(own, true)?;
                return Err(ReservationError::Replaced);
            }
            Err(error) => return Err(error),
        }
        Ok(reading)
    }

    /// What the header page makes of this box.
    fn standing(&self) -> Result<Standing, ReservationError> {
        let Some(membership) = self.membership else { return Ok(Standing::Member) };
        match membership.judge(self.device.read_header()?) {
            Standing::Replaced => Err(ReservationError::Replaced),
            standing => Ok(standing),
        }
    }

    /// Writes the pair's mark into the header page, of a LUN that is held with `own`.
    fn mark(&self, own: Key) -> Result<(), ReservationError> {
        let Some(membership) = self.membership else { return Ok(()) };
        let header = self.device.read_header()?.ok_or(ReservationError::NoHeader)?;
        if self.read()?.holder.is_none_or(|holder| holder.key != own.encode()) {
            return Err(ReservationError::Unsettled);
        }
        membership::write(self.device.path(), Header { mark: membership.mark, ..header })
            .map_err(ReservationError::Header)
    }

    /// Shuts every other box out of a LUN that is held with `own`: its header carries the pair's mark, then
    /// nobody else is registered any more. May be repeated.
    pub fn shut_others_out(&mut self, own: Key) -> Result<(), ReservationError> {
        self.mark(own)?;
        let held = |reading: &Reading| reading.holder.is_some_and(|holder| holder.key == own.encode());
        let reading = self.read()?;
        for raw in reading.keys.iter().copied().filter(|raw| *raw != own.encode()) {
            match self.preempt(own, raw) {
                Ok(()) | Err(ScsiError::ReservationConflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reading = self.read()?;
        if held(&reading) && reading.keys.iter().all(|raw| *raw == own.encode()) {
            Ok(())
        } else {
            Err(ReservationError::Unsettled)
        }
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
            // Held already, by this path or by another one of this box, which may be gone: no change,
            // because this path is registered. (A PREEMPT of the own key would end the registrations
            // of the box's other paths, over which it may be writing.)
            return Ok(());
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
    ///
    /// Every path that answers is withdrawn; the registrations of those that do not are ended by a
    /// PREEMPT of the own key, so that a path that returns later cannot write.
    pub fn unregister(&mut self, own: Key, release: bool) -> Result<(), ScsiError> {
        let mut result = self.device.probe();
        while matches!(&result, Err(error) if error.is_path_fault()) && self.next_path() {
            result = self.device.probe();
        }
        result?;
        let holder = self.read()?.holder.and_then(|holder| Key::decode(holder.key, self.pair_id));
        let holds = holder.is_some_and(|key| key.node() == own.node());
        if holds && !release {
            return Ok(());
        }
        if holds {
            self.release(own)?;
        }
        for other in &self.others {
            let withdrawn = other
                .probe()
                .and_then(|()| other.reserve_out(ReserveOut::RegisterAndIgnoreExistingKey, 0, 0, false));
            if let Err(error) = withdrawn {
                tracing::warn!("a path to the array is not withdrawn: {error}");
            }
        }
        // Whatever this path is registered with, an earlier epoch's key for example.
        self.device.reserve_out(ReserveOut::RegisterAndIgnoreExistingKey, 0, 0, false)
    }

    /// Gives the reservation up, whichever path of this box holds it. A RELEASE over a path that does not
    /// hold it is no fault and changes nothing (SPC-4 5.13.11.2), so the holder's place is taken first,
    /// which also ends the registrations of all other paths.
    fn release(&mut self, own: Key) -> Result<(), ScsiError> {
        let steps = [ReserveOut::Release, ReserveOut::Preempt, ReserveOut::Release];
        for step in steps {
            let from = if step == ReserveOut::Preempt { own.encode() } else { 0 };
            match self.device.reserve_out(step, own.encode(), from, false) {
                // Preempted since the look, or not registered: there is nothing to release over this path.
                Ok(()) | Err(ScsiError::ReservationConflict) => {}
                Err(error) => return Err(error),
            }
            let holder = self.read()?.holder;
            if holder.is_none_or(|holder| holder.key != own.encode()) {
                break;
            }
        }
        Ok(())
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
