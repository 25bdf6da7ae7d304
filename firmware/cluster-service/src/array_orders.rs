//! Orders that go to the array, and the readings of its reservation: two threads, because an array that
//! does not answer must not keep the other from being asked.

use std::path::Path;
use std::time::Duration;

use array::{Device, Reservation, ReservationError, ScsiError};
use cluster::{Order, Reading, StepFault};
use control::DATA_DIR;
use rustix::fs::{Gid, Uid, chown};

/// How long the data partition's node may take to appear after a fresh look.
const PARTITION_WAIT: Duration = Duration::from_secs(5);
/// How long the last user of the file system may take to let it go.
const UNMOUNT_WAIT: Duration = Duration::from_secs(8);

/// Where the group's LUN is found.
#[derive(Debug, Clone)]
pub struct LunPlace {
    /// Its device identification.
    pub id: String,
    /// Kernel driver of the host adapter.
    pub driver: String,
    /// Identifies the pair in reservation keys.
    pub pair_id: u32,
}

impl LunPlace {
    fn open(&self) -> Result<Reservation, String> {
        let lun = array::find(&self.id, Some(&self.driver)).map_err(|e| e.to_string())?;
        lun.bound_waiting();
        let device = Device::open(&lun.device).map_err(|e| e.to_string())?;
        Ok(Reservation::new(device, self.pair_id))
    }
}

/// One thread's path to the LUN, opened when it is needed and again after it failed.
#[derive(Debug)]
pub struct ArrayPath {
    place: LunPlace,
    reservation: Option<Reservation>,
}

impl ArrayPath {
    /// A path to the LUN at `place`, not opened yet.
    pub fn new(place: LunPlace) -> Self {
        Self { place, reservation: None }
    }

    /// The reservation as the array has it now.
    pub fn read(&mut self) -> Result<Reading, String> {
        let result = self.open()?.read();
        self.forget_after_fault(result.as_ref().err());
        result.map_err(|e| e.to_string())
    }

    /// Carries out one of the orders that concern the array.
    pub fn carry_out(&mut self, order: &Order) -> Result<(), StepFault> {
        let failed = |error: &dyn std::fmt::Display| StepFault::Failed(error.to_string());
        match order {
            Order::Fence { key, over } => {
                let result = self.open().map_err(StepFault::Failed)?.take(*key, *over);
                if let Err(ReservationError::Scsi(error)) = &result {
                    self.forget_after_fault(Some(error));
                }
                match result {
                    Ok(_) => Ok(()),
                    Err(ReservationError::Lost(_)) => Err(StepFault::RaceLost),
                    Err(error) => Err(failed(&error)),
                }
            }
            Order::Mount { proof } => {
                let lun = array::find(&self.place.id, Some(&self.place.driver)).map_err(|e| failed(&e))?;
                let partition = lun.data_partition(PARTITION_WAIT).map_err(|e| failed(&e))?;
                array::mount(proof, &partition, Path::new(DATA_DIR)).map_err(|e| failed(&e))?;
                let mail = control::MAIL_UID;
                chown(DATA_DIR, Some(Uid::from_raw(mail)), Some(Gid::from_raw(mail))).map_err(|e| failed(&e))
            }
            Order::Unmount { .. } => {
                array::unmount(Path::new(DATA_DIR), UNMOUNT_WAIT).map_err(|e| failed(&e))
            }
            Order::Unreserve { key, release } => {
                let path = self.open().map_err(StepFault::Failed)?;
                path.unregister(*key, *release).map_err(|e| failed(&e))
            }
            Order::Recover { .. }
            | Order::Serve { .. }
            | Order::Announce { .. }
            | Order::RestartMail { .. }
            | Order::Withdraw
            | Order::Halt => Err(StepFault::Failed("this order does not concern the array".to_owned())),
        }
    }

    fn open(&mut self) -> Result<&mut Reservation, String> {
        if self.reservation.is_none() {
            self.reservation = Some(self.place.open()?);
        }
        self.reservation.as_mut().ok_or_else(|| "the LUN cannot be opened".to_owned())
    }

    /// A LUN that went away comes back as another device: look for it again.
    fn forget_after_fault(&mut self, error: Option<&ScsiError>) {
        if error.is_some_and(ScsiError::is_path_fault) {
            self.reservation = None;
        }
    }
}
