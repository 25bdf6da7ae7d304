//! Making a Twinmail LUN: header page, partitions, and the file system from its template.
//!
//! The header page is written first, as "being made", and again at the end, as "complete". So a LUN
//! whose making was cut short is known as ours and can be made again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use cluster::HeldProof;
use thiserror::Error;

use crate::content::Content;
use crate::kernel;
use crate::layout::{self, HEADER_OFFSET, Header, LayoutError, PAGE_BYTES, SLOTS_BYTES, SLOTS_OFFSET};
use crate::lun::{Lun, LunError};
use crate::reservation::now;
use crate::template::Template;

/// Zeroed in pieces of this size, so that one slow array command never takes long.
const ZERO_STEP_BYTES: u64 = 8 * 1024 * 1024;
const PARTITION_WAIT: Duration = Duration::from_secs(5);

/// Why a LUN could not be made.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The right to write has run out.
    #[error("the reservation is no longer proven; the LUN is not written")]
    NotHeld,
    /// It holds somebody's data.
    #[error("the LUN holds {0} and is not written; choose another LUN or empty it with its own tools")]
    Foreign(&'static str),
    /// It cannot be read.
    #[error("the LUN cannot be read: {0}; check the array")]
    Unreadable(String),
    /// Partitions could not be made.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Partitions do not show.
    #[error(transparent)]
    Lun(#[from] LunError),
    /// A write failed.
    #[error("the LUN could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Makes `lun` a Twinmail LUN of pair `pair_id`, empty. `prove` proves the reservation anew; it is
/// asked before every piece that is written.
///
/// A LUN with anybody else's data is refused, whatever was agreed before.
pub fn format(
    lun: &Lun,
    pair_id: u32,
    template: &Template,
    prove: &mut dyn FnMut() -> Option<HeldProof>,
) -> Result<(), FormatError> {
    match lun.content() {
        Content::Blank | Content::Twinmail(_) => {}
        Content::Foreign { what } => return Err(FormatError::Foreign(what)),
        Content::Unreadable { reason } => return Err(FormatError::Unreadable(reason)),
    }
    layout::data_bytes(lun.size_bytes)?;
    let disk = OpenOptions::new().read(true).write(true).open(&lun.device)?;
    let mut held = || held(prove);
    held()?;
    write_durably(&disk, &Header { pair_id, complete: false, mark: 0 }.encode(), HEADER_OFFSET)?;
    zero(&disk, SLOTS_OFFSET, 2 * PAGE_BYTES as u64, &mut held)?;
    zero(&disk, HEADER_OFFSET + PAGE_BYTES as u64, SLOTS_BYTES - 3 * PAGE_BYTES as u64, &mut held)?;
    held()?;
    layout::write_partitions(&disk, lun.size_bytes, kernel::logical_block_bytes(&disk)?)?;
    let partition = lun.data_partition(PARTITION_WAIT)?;
    make_filesystem(&partition, template, &mut held)?;
    held()?;
    write_durably(&disk, &Header { pair_id, complete: true, mark: 0 }.encode(), HEADER_OFFSET)?;
    Ok(())
}

/// Writes the template to the partition or file at `path`; what was there before is zeroed.
pub fn make_filesystem(
    path: &Path,
    template: &Template,
    held: &mut dyn FnMut() -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let device = OpenOptions::new().read(true).write(true).open(path)?;
    zero(&device, 0, template.filesystem_bytes(), held)?;
    for extent in template.extents() {
        held()?;
        device.write_all_at(&extent.bytes, extent.offset)?;
    }
    device.sync_all()?;
    Ok(())
}

/// Zeroes a range: by the array itself where it can, else with writes.
fn zero(
    device: &File,
    offset: u64,
    length: u64,
    held: &mut dyn FnMut() -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut done = 0;
    while done < length {
        held()?;
        let step = ZERO_STEP_BYTES.min(length - done);
        match kernel::zero_range(device, offset + done, step) {
            Ok(()) => {}
            // A file, or a device without this call.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EOPNOTSUPP)) => {
                device.write_all_at(&vec![0; step as usize], offset + done)?;
            }
            Err(error) => return Err(error.into()),
        }
        done += step;
    }
    Ok(())
}

fn held(prove: &mut dyn FnMut() -> Option<HeldProof>) -> Result<(), FormatError> {
    let valid = prove().is_some_and(|proof| proof.is_valid(now()));
    if valid { Ok(()) } else { Err(FormatError::NotHeld) }
}

fn write_durably(device: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    device.write_all_at(bytes, offset)?;
    device.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{FAKE_TIME_VARIABLE, mke2fs_arguments};
    use std::process::Command;

    #[test]
    fn the_file_system_made_from_the_template_is_clean_whatever_lay_there() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let arguments = mke2fs_arguments(made.to_str().unwrap());
        let run = Command::new("mke2fs").args(arguments).env(FAKE_TIME_VARIABLE, "1").output().unwrap();
        assert!(run.status.success());
        let template = Template::capture(&std::fs::read(&made).unwrap()).unwrap().with_uuid([7; 16]).unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, vec![0x5A; template.filesystem_bytes() as usize]).unwrap();
        make_filesystem(&target, &template, &mut || Ok(())).unwrap();
        let check = Command::new("e2fsck").args(["-f", "-n"]).arg(&target).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }

    #[test]
    fn without_a_proof_not_one_byte_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let run = Command::new("mke2fs").args(mke2fs_arguments(made.to_str().unwrap())).output().unwrap();
        assert!(run.status.success());
        let template = Template::capture(&std::fs::read(&made).unwrap()).unwrap();
        let target = dir.path().join("target");
        let before = vec![0x5A; 1 << 20];
        std::fs::write(&target, &before).unwrap();
        let refused = make_filesystem(&target, &template, &mut || held(&mut || None));
        assert!(matches!(refused, Err(FormatError::NotHeld)));
        assert_eq!(std::fs::read(&target).unwrap(), before);
    }
}
