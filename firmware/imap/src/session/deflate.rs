//! COMPRESS=DEFLATE (RFC 4978): the layer between the stream and the commands.
//!
//! Every flush ends at a byte boundary, so the compressor holds nothing that the client waits for, and a
//! connection that waits needs none at all: it goes back to a small pool. What is left then is the window
//! that the client's next bytes may refer to, some 50 KiB.

use std::sync::{Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Compressors kept for later, some 300 KiB each.
const POOLED_MAX: usize = 16;
/// Answers are compressed in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024;

static POOL: Mutex<Vec<Compress>> = Mutex::new(Vec::new());

/// The bytes do not belong to a compressed stream, or the stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDeflate;

/// Both directions of one connection.
pub(super) struct Deflate {
    compress: Option<Compress>,
    decompress: Decompress,
    /// What came from the client and is not yet undone.
    pub incoming: BytesMut,
    /// Undone bytes may still be inside, although nothing is in `incoming`.
    is_full: bool,
}

impl Deflate {
    /// A layer whose first bytes from the client have come already.
    pub fn new(incoming: BytesMut) -> Self {
        let is_full = !incoming.is_empty();
        Self { compress: None, decompress: Decompress::new(false), incoming, is_full }
    }

    /// Whether there is something to undo without reading more.
    pub fn has_more(&self) -> bool {
        self.is_full || !self.incoming.is_empty()
    }

    /// Undoes what has come, at most `room` bytes of it.
    pub fn undo(&mut self, out: &mut BytesMut, room: usize) -> Result<(), NotDeflate> {
        let start = out.len();
        out.resize(start + room, 0);
        let (taken, given) = (self.decompress.total_in(), self.decompress.total_out());
        let target = out.get_mut(start..).unwrap_or_default();
        let status = self.decompress.decompress(&self.incoming, target, FlushDecompress::None);
        let given = (self.decompress.total_out() - given) as usize;
        out.truncate(start + given);
        self.incoming.advance((self.decompress.total_in() - taken) as usize);
        if self.incoming.is_empty() {
            self.incoming = BytesMut::new();
        }
        self.is_full = given == room;
        match status {
            Ok(Status::Ok | Status::BufError) => Ok(()),
            Ok(Status::StreamEnd) | Err(_) => Err(NotDeflate),
        }
    }

    /// Appends `plain` compressed, ending with a flush.
    pub fn press(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), NotDeflate> {
        let compress = self.compress.get_or_insert_with(|| {
            let pooled = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
            pooled.unwrap_or_else(|| Compress::new(Compression::fast(), false))
        });
        let mut rest = plain;
        loop {
            let taken = compress.total_in();
            out.reserve(PIECE_BYTES);
            let room = out.capacity() - out.len();
            compress.compress_vec(rest, out, FlushCompress::Sync).map_err(|_| NotDeflate)?;
            rest = rest.get((compress.total_in() - taken) as usize..).unwrap_or_default();
            // Only a flush that did not fill the room is complete.
            if rest.is_empty() && out.capacity() - out.len() > 0 && room > 0 {
                return Ok(());
            }
        }
    }

    /// Gives back what a waiting connection does not need. The next answer then refers to nothing before.
    pub fn rest(&mut self) {
        let Some(mut compress) = self.compress.take() else { return };
        compress.reset();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED_MAX {
            pool.push(compress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pressed_in_pieces_comes_out_whole() {
        let mut server = Deflate::new(BytesMut::new());
        let mut client = Deflate::new(BytesMut::new());
        let mut dice = 1_u64;
        let mut expected = Vec::new();
        let mut found = BytesMut::new();
        for round in 0..200_usize {
            let plain: Vec<u8> = (0..round * 97)
                .map(|_| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (dice >> 60) as u8 + b'a'
                })
                .collect();
            expected.extend_from_slice(&plain);
            let mut wire = Vec::new();
            server.press(&plain, &mut wire).unwrap();
            if round % 3 == 0 {
                server.rest();
            }
            // Everything is out after the flush, however little room there is at once.
            client.incoming.extend_from_slice(&wire);
            while client.has_more() {
                client.undo(&mut found, 100 + round).unwrap();
            }
            assert_eq!(found.len(), expected.len(), "round {round}");
        }
        assert!(found == expected);
    }

    #[test]
    fn a_bomb_comes_out_in_pieces_and_garbage_not_at_all() {
        let mut bomb = Vec::new();
        Deflate::new(BytesMut::new()).press(&vec![b'x'; 10_000_000], &mut bomb).unwrap();
        assert!(bomb.len() < 100_000);
        let mut victim = Deflate::new(BytesMut::from(&bomb[..]));
        let mut out = BytesMut::new();
        victim.undo(&mut out, 4096).unwrap();
        assert_eq!(out.len(), 4096);
        assert!(victim.has_more());
        let mut garbage = Deflate::new(BytesMut::from(&[0xff; 100][..]));
        assert_eq!(garbage.undo(&mut out, 4096), Err(NotDeflate));
    }
}
