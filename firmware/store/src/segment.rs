//! Segment files: the record format, and reading records.
//!
//! ```text
//! offset  0  4  magic "TMb1"
//!         4  4  length of the message, little endian like all numbers here
//!         8  8  number of the body
//!        16  4  CRC-32C of the message
//!        20  4  zero
//!        24  4  zero
//!        28  4  CRC-32C of bytes 0..28
//!        32     the message
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{BodyId, BodyRef, StoreError};

/// A segment is closed when it would grow beyond this; a larger message has one of its own.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Length of a record's head.
pub(crate) const HEAD_BYTES: usize = 32;
/// Largest message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 120 * 1024 * 1024;
/// Segment files that readers keep open.
const OPEN_FILES_MAX: usize = 64;

const MAGIC: [u8; 4] = *b"TMb1";

/// CRC-32C (Castagnoli), RFC 3720 12.1; with the processor's own instruction where it has one.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub length: u32,
    pub body: BodyId,
    pub crc32c: u32,
}

impl Head {
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.body.0.to_le_bytes());
        out[16..20].copy_from_slice(&self.crc32c.to_le_bytes());
        let crc = crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if it is damaged.
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes[..4] != MAGIC || number(28)? != crc32c(&bytes[..28]) {
            return None;
        }
        let body = u64::from_le_bytes(bytes[8..16].try_into().ok()?);
        Some(Self { length: number(4)?, body: BodyId(body), crc32c: number(16)? })
    }
}

/// Bytes a message of this length takes in a segment.
pub(crate) fn record_bytes(length: u32) -> u64 {
    HEAD_BYTES as u64 + u64::from(length)
}

/// The segment directory: paths, and files open for reading.
pub(crate) struct SegmentFiles {
    dir: PathBuf,
    open: Mutex<HashMap<u32, Arc<File>>>,
}

impl SegmentFiles {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::new(HashMap::new()) }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(format!("{segment:08}.seg"))
    }

    /// The segment, open for reading; `NotFound` once it has been reclaimed.
    pub fn file(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(self.path(segment))?);
        if open.len() >= OPEN_FILES_MAX {
            // Any of them: a file in use stays open through its own handle.
            let victim = open.keys().next().copied();
            victim.map(|victim| open.remove(&victim));
        }
        open.insert(segment, file.clone());
        Ok(file)
    }

    /// Removes a segment's file; who reads it right now goes on reading.
    pub fn remove(&self, segment: u32) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment);
        match std::fs::remove_file(self.path(segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The message of a record, verified. `Ok(None)`: the segment has been reclaimed.
    pub fn read(&self, body: &BodyRef) -> Result<Option<Bytes>, StoreError> {
        let file = match self.file(body.segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let damaged = || StoreError::Damaged { body: body.id.0, segment: body.segment, offset: body.offset };
        let mut record = vec![0; HEAD_BYTES + body.length as usize];
        match file.read_exact_at(&mut record, body.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged()),
            other => other?,
        }
        let (head, message) = record.split_first_chunk::<HEAD_BYTES>().ok_or_else(damaged)?;
        let head = Head::decode(head).ok_or_else(damaged)?;
        let expected = Head { length: body.length, body: body.id, crc32c: crc32c(message) };
        if head != expected {
            return Err(damaged());
        }
        Ok(Some(Bytes::from(record).slice(HEAD_BYTES..)))
    }

    /// A piece of a record's message, not verified. `Ok(None)`: the segment has been reclaimed.
    pub fn read_range(&self, body: &BodyRef, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let file = match self.file(body.segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let length = u64::from(body.length);
        let (start, end) = (range.start.min(length), range.end.min(length));
        let mut head = [0; HEAD_BYTES];
        let mut piece = vec![0; end.saturating_sub(start) as usize];
        // The piece first: if the record was moved in between, the head shows it.
        file.read_exact_at(&mut piece, body.offset + HEAD_BYTES as u64 + start)?;
        file.read_exact_at(&mut head, body.offset)?;
        if Head::decode(&head).is_none_or(|head| head.body != body.id || head.length != body.length) {
            return Err(StoreError::Damaged { body: body.id.0, segment: body.segment, offset: body.offset });
        }
        Ok(Some(Bytes::from(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_and_no_flipped_bit_passes() {
        let head = Head { length: 4096, body: BodyId(77), crc32c: crc32c(b"123456789") };
        assert_eq!(head.crc32c, 0xe306_9283, "check value of RFC 3720");
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes), None, "bit {bit}");
        }
    }
}
