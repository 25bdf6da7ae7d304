//! Why the box reset itself, kept on its own disk for the next boot.
//!
//! ```text
//! system partition, at 1 MiB, behind the settings; one sector:
//!   8 bytes  magic "TWRESET\x01"
//!   2 bytes  length of the reason, big endian
//!   n bytes  the reason, UTF-8
//! ```

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MAGIC: &[u8; 8] = b"TWRESET\x01";
const AT: u64 = 1 << 20;
const SECTOR_BYTES: usize = 512;
const HEADER_BYTES: usize = 10;
/// A reset does not wait longer than this for the disk: it may be the disk that is broken.
const WRITE_LIMIT: Duration = Duration::from_millis(100);

/// Keeps `reason` on the system partition, if that is done in time.
pub fn keep(system: &Path, reason: &str) {
    let (system, sector) = (system.to_owned(), sector(reason));
    let writer = std::thread::Builder::new().spawn(move || write(&system, &sector));
    let end = Instant::now() + WRITE_LIMIT;
    while writer.as_ref().is_ok_and(|thread| !thread.is_finished()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The reason of the last reset, once: it is forgotten by being read.
pub fn take(system: &PathBuf) -> Option<String> {
    let mut sector = [0; SECTOR_BYTES];
    OpenOptions::new().read(true).open(system).ok()?.read_exact_at(&mut sector, AT).ok()?;
    let reason = reason(&sector)?;
    // A reason that stays is told twice, no more.
    let _ = write(system, &[0; SECTOR_BYTES]);
    Some(reason)
}

fn sector(reason: &str) -> [u8; SECTOR_BYTES] {
    let end = (0..=reason.len().min(SECTOR_BYTES - HEADER_BYTES)).rfind(|end| reason.is_char_boundary(*end));
    let text = reason.as_bytes().get(..end.unwrap_or(0)).unwrap_or_default();
    let mut sector = [0; SECTOR_BYTES];
    let content =
        MAGIC.iter().chain(&(text.len() as u16).to_be_bytes()).chain(text).copied().collect::<Vec<_>>();
    for (to, from) in sector.iter_mut().zip(content) {
        *to = from;
    }
    sector
}

fn reason(sector: &[u8; SECTOR_BYTES]) -> Option<String> {
    let (length, rest) = sector.strip_prefix(MAGIC)?.split_first_chunk()?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn write(system: &Path, sector: &[u8; SECTOR_BYTES]) -> io::Result<()> {
    let synchronous = rustix::fs::OFlags::SYNC.bits() as i32;
    OpenOptions::new().write(true).custom_flags(synchronous).open(system)?.write_all_at(sector, AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let path = file.path().to_owned();
        assert_eq!(take(&path), None);
        write(&path, &sector("its lease lapsed")).unwrap();
        assert_eq!(take(&path).as_deref(), Some("its lease lapsed"));
        assert_eq!(take(&path), None);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let kept = reason(&sector(&"\u{7f6e}".repeat(400))).unwrap();
        assert_eq!(kept.chars().count(), (SECTOR_BYTES - HEADER_BYTES) / 3);
    }

    #[test]
    fn a_damaged_sector_gives_nothing() {
        let mut damaged = sector("x");
        damaged[8] = 0xFF;
        assert_eq!(reason(&damaged), None);
    }

    #[test]
    fn a_reset_does_not_wait_for_a_partition_that_is_not_there() {
        let begun = Instant::now();
        keep(Path::new("/nonexistent/vda3"), "gone");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
