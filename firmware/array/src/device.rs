//! One path to one LUN: SCSI commands with bounded time and bounded retries.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cluster::ReservationType;
use thiserror::Error;

use crate::kernel::{self, Data};
use crate::layout::{HEADER_OFFSET, Header, PAGE_BYTES};
use crate::scsi::cdb::{self, ReserveIn, ReserveOut};
use crate::scsi::reply;
use crate::scsi::sense::{Sense, SenseKey};

/// Longest that the kernel lets one command run before it aborts it.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries of one command while the target has attentions to report; a path can queue several.
pub const ATTENTIONS_MAX: u32 = 8;
/// Tries of one command while the target is busy.
pub const BUSY_TRIES_MAX: u32 = 5;
const BUSY_WAIT: Duration = Duration::from_millis(50);

const STATUS_GOOD: u8 = 0x00;
const STATUS_CHECK_CONDITION: u8 = 0x02;
const STATUS_BUSY: u8 = 0x08;
const STATUS_RESERVATION_CONFLICT: u8 = 0x18;
const STATUS_TASK_SET_FULL: u8 = 0x28;

/// Why a command to the array failed.
#[derive(Debug, Error)]
pub enum ScsiError {
    /// The device is gone or refuses to be opened.
    #[error("{path} cannot be used: {source}; check the host card and the cable to the array")]
    Device {
        /// Device node.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command did not come through to the array, or not back.
    #[error("{path} does not reach the array (adapter status {host_status}); check card, cable and array")]
    Path {
        /// Device node.
        path: PathBuf,
        /// `DID_*` of the kernel.
        host_status: u16,
    },
    /// Somebody else's reservation forbids it.
    #[error("the array refuses the command: another system holds the reservation")]
    ReservationConflict,
    /// The target does not know the command, or this form of it.
    #[error("the array refuses the command: {0}")]
    IllegalRequest(Sense),
    /// The target is not ready.
    #[error("the array is not ready: {0}")]
    NotReady(Sense),
    /// It stays busy.
    #[error("the array stays busy (status {0:#04x}); it may be overloaded or rebuilding")]
    Busy(u8),
    /// Anything else that the target reports.
    #[error("the array reports a fault: {0}")]
    Fault(Sense),
    /// A status without sense data.
    #[error("the array answered with status {0:#04x} and nothing more")]
    Status(u8),
    /// The data makes no sense.
    #[error("the array's answer to {0} is not understood; its firmware may be too old")]
    BadReply(&'static str),
}

impl ScsiError {
    /// Whether the path to the array is at fault, and not what was asked.
    pub fn is_path_fault(&self) -> bool {
        matches!(self, Self::Device { .. } | Self::Path { .. })
    }
}

/// One path to one LUN.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
}

impl Device {
    /// Opens the device node at `path` for commands; this writes nothing.
    ///
    /// For reading only: the kernel refuses to open a write protected disk in any other way, and commands of
    /// a caller with CAP_SYS_RAWIO pass all the same.
    pub fn open(path: &Path) -> Result<Self, ScsiError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| ScsiError::Device { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The device node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// TEST UNIT READY: does this path lead to a LUN that works? Clears pending attentions.
    pub fn probe(&self) -> Result<(), ScsiError> {
        self.run(&cdb::test_unit_ready(), &mut Buffer::None).map(|_| ())
    }

    /// The LUN's own name.
    pub fn identification(&self) -> Result<String, ScsiError> {
        let mut page = [0; reply::IDENTIFICATION_REPLY_BYTES];
        let command = cdb::inquiry_page(reply::IDENTIFICATION_PAGE, page.len() as u16);
        let length = self.run(&command, &mut Buffer::In(&mut page))?;
        let name = page.get(..length).and_then(reply::identification);
        name.ok_or(ScsiError::BadReply("INQUIRY for its identification"))
    }

    /// The header page, from the array itself; none where there is no header.
    pub fn read_header(&self) -> Result<Option<Header>, ScsiError> {
        let bytes = kernel::logical_block_bytes(&self.file)
            .map_err(|source| ScsiError::Device { path: self.path.clone(), source })?;
        let bytes = u64::from(bytes.max(512));
        let (block, blocks) = (HEADER_OFFSET / bytes, PAGE_BYTES as u64 / bytes);
        let mut page = [0; PAGE_BYTES];
        self.run(&cdb::read(block as u32, blocks as u16), &mut Buffer::In(&mut page))?;
        Ok(Header::decode(&page))
    }

    /// READ KEYS.
    pub fn read_keys(&self) -> Result<Vec<u64>, ScsiError> {
        let mut data = [0; reply::KEYS_REPLY_BYTES];
        let length = self.reserve_in(ReserveIn::ReadKeys, &mut data)?;
        data.get(..length).and_then(reply::keys).ok_or(ScsiError::BadReply("READ KEYS"))
    }

    /// READ RESERVATION.
    pub fn read_reservation(&self) -> Result<Option<cluster::Holder>, ScsiError> {
        let mut data = [0; reply::RESERVATION_REPLY_BYTES];
        let length = self.reserve_in(ReserveIn::ReadReservation, &mut data)?;
        data.get(..length).and_then(reply::reservation).ok_or(ScsiError::BadReply("READ RESERVATION"))
    }

    /// PERSISTENT RESERVE OUT with scope LUN and type 5.
    pub fn reserve_out(
        &self,
        action: ReserveOut,
        own: u64,
        action_key: u64,
        persist: bool,
    ) -> Result<(), ScsiError> {
        let command = cdb::reserve_out(action, ReservationType::WriteExclusiveRegistrantsOnly);
        let list = cdb::reserve_out_parameters(own, action_key, persist);
        self.run(&command, &mut Buffer::Out(&list)).map(|_| ())
    }

    fn reserve_in(&self, action: ReserveIn, data: &mut [u8]) -> Result<usize, ScsiError> {
        let command = cdb::reserve_in(action, data.len() as u16);
        self.run(&command, &mut Buffer::In(data))
    }

    /// Runs a command until it is neither busy nor interrupted by an attention, within the bounds.
    fn run(&self, command: &[u8], data: &mut Buffer<'_>) -> Result<usize, ScsiError> {
        let (mut attentions, mut busy) = (0, 0);
        loop {
            match self.run_once(command, data) {
                Err(ScsiError::Fault(sense))
                    if sense.key == SenseKey::UnitAttention && attentions < ATTENTIONS_MAX =>
                {
                    tracing::info!(device = %self.path.display(), "{sense}");
                    attentions += 1;
                }
                Err(ScsiError::Busy(_)) if busy < BUSY_TRIES_MAX => {
                    busy += 1;
                    thread::sleep(BUSY_WAIT);
                }
                other => return other,
            }
        }
    }

    fn run_once(&self, command: &[u8], data: &mut Buffer<'_>) -> Result<usize, ScsiError> {
        let data = match data {
            Buffer::None => Data::None,
            Buffer::Out(bytes) => Data::Out(bytes),
            Buffer::In(bytes) => Data::In(bytes),
        };
        let completion = kernel::sg_io(&self.file, command, data, COMMAND_TIMEOUT)
            .map_err(|source| ScsiError::Device { path: self.path.clone(), source })?;
        if completion.host_status != 0 {
            let host_status = completion.host_status;
            return Err(ScsiError::Path { path: self.path.clone(), host_status });
        }
        let sense = Sense::parse(&completion.sense);
        match (completion.status, sense) {
            (STATUS_GOOD, _) => Ok(completion.transferred),
            (STATUS_RESERVATION_CONFLICT, _) => Err(ScsiError::ReservationConflict),
            (status @ (STATUS_BUSY | STATUS_TASK_SET_FULL), _) => Err(ScsiError::Busy(status)),
            (STATUS_CHECK_CONDITION, Some(sense)) => match sense.key {
                SenseKey::NoneOrRecovered => Ok(completion.transferred),
                SenseKey::IllegalRequest => Err(ScsiError::IllegalRequest(sense)),
                SenseKey::NotReady => Err(ScsiError::NotReady(sense)),
                SenseKey::UnitAttention
                | SenseKey::MediumError
                | SenseKey::HardwareError
                | SenseKey::DataProtect
                | SenseKey::AbortedCommand
                | SenseKey::Other(_) => Err(ScsiError::Fault(sense)),
            },
            (status, _) => Err(ScsiError::Status(status)),
        }
    }
}

/// Data of a command that may have to be sent again.
enum Buffer<'a> {
    None,
    Out(&'a [u8]),
    In(&'a mut [u8]),
}
