//! The message text while it comes in.

use crate::dots::Unstuffer;
use crate::reply::Reply;

/// Octets of text a session may hold before it has to ask for room.
pub const ROOM_FREE_BYTES: usize = 64 * 1024;
/// A session asks for room in steps of this many octets.
pub const ROOM_STEP_BYTES: usize = 1024 * 1024;

/// Text received so far, below the fields that are put on top of it.
#[derive(Debug)]
pub(super) struct Body {
    /// Trace fields, then the text.
    pub(super) bytes: Vec<u8>,
    /// How much of `bytes` is trace fields.
    trace_bytes: usize,
    max_bytes: u64,
    room_bytes: usize,
    received_bytes: u64,
    unstuffer: Unstuffer,
    /// Whether the octets are lines; BODY=BINARYMIME says that they are not (RFC 3030 3).
    lines: bool,
    last_was_cr: bool,
    fault: Option<Fault>,
}

/// Why a message will not be taken, whatever still follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    NoRoom,
    BareLineEnd,
    Nul,
}

impl Fault {
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::TooLarge => Reply::new(552, "5.3.4", "The message is larger than allowed here"),
            Self::NoRoom => super::Refusal::Busy.reply(),
            Self::BareLineEnd => {
                Reply::new(554, "5.6.0", "A line must end with CR LF; a CR or LF alone is refused")
            }
            Self::Nul => Reply::new(554, "5.6.0", "A message must not have NUL octets"),
        }
    }
}

/// What a piece of input led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many bytes were used, and more are needed.
    Some(usize),
    /// So many bytes were used, and the text ended with them.
    Ended(usize),
    /// Nothing was used: room for this many octets more is needed first.
    NeedsRoom(usize),
}

impl Body {
    pub(super) fn new(trace: Vec<u8>, max_bytes: u64, lines: bool) -> Self {
        Self {
            trace_bytes: trace.len(),
            room_bytes: ROOM_FREE_BYTES,
            bytes: trace,
            max_bytes,
            received_bytes: 0,
            unstuffer: Unstuffer::default(),
            lines,
            last_was_cr: false,
            fault: None,
        }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub(super) fn trace_bytes(&self) -> usize {
        self.trace_bytes
    }

    pub(super) fn grant(&mut self, bytes: usize) {
        self.room_bytes = self.room_bytes.saturating_add(bytes);
        // To the octet: growing by doubling would take twice what was granted.
        self.bytes.reserve_exact(self.room_bytes.saturating_sub(self.bytes.len()));
    }

    /// Gives up on the message and its memory; what still comes is read and dropped.
    pub(super) fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.bytes = Vec::new();
        }
    }

    /// Takes text of DATA.
    pub(super) fn take_text(&mut self, input: &[u8]) -> Taken {
        if let Some(step) = self.room_needed(input.len()) {
            return Taken::NeedsRoom(step);
        }
        let used = self.unstuffer.decode(input, &mut self.bytes);
        if self.unstuffer.saw_bare() {
            self.fail(Fault::BareLineEnd);
        }
        if self.unstuffer.saw_nul() {
            self.fail(Fault::Nul);
        }
        self.account(used);
        if self.unstuffer.is_done() { Taken::Ended(used) } else { Taken::Some(used) }
    }

    /// Takes octets of a BDAT chunk, which are not stuffed. Unless the message was declared binary its
    /// lines must be whole ones as well: it may leave as lines later.
    pub(super) fn take_chunk(&mut self, input: &[u8]) -> Taken {
        if let Some(step) = self.room_needed(input.len()) {
            return Taken::NeedsRoom(step);
        }
        if self.lines {
            self.check_lines(input);
        }
        if self.fault.is_none() {
            self.bytes.extend_from_slice(input);
        }
        self.account(input.len());
        Taken::Some(input.len())
    }

    fn check_lines(&mut self, input: &[u8]) {
        for at in memchr::memchr2_iter(b'\r', b'\n', input) {
            let before = if at == 0 { self.last_was_cr } else { input.get(at - 1) == Some(&b'\r') };
            let whole = match input.get(at) {
                Some(b'\n') => before,
                _ => input.get(at + 1).is_none_or(|next| *next == b'\n'),
            };
            if !whole {
                self.fail(Fault::BareLineEnd);
                break;
            }
        }
        if self.last_was_cr && input.first().is_some_and(|first| *first != b'\n') {
            self.fail(Fault::BareLineEnd);
        }
        if memchr::memchr(0, input).is_some() {
            self.fail(Fault::Nul);
        }
        self.last_was_cr = input.last().map_or(self.last_was_cr, |last| *last == b'\r');
    }

    /// Ends a text that came in chunks: a lone CR at its end is no line end.
    pub(super) fn finish_chunks(&mut self) {
        if self.last_was_cr {
            self.fail(Fault::BareLineEnd);
        }
    }

    fn room_needed(&self, more_bytes: usize) -> Option<usize> {
        let want = self.bytes.len() + more_bytes;
        (self.fault.is_none() && want > self.room_bytes)
            .then(|| (want - self.room_bytes).next_multiple_of(ROOM_STEP_BYTES))
    }

    fn account(&mut self, used: usize) {
        self.received_bytes += used as u64;
        if (self.bytes.len() - self.trace_bytes.min(self.bytes.len())) as u64 > self.max_bytes {
            self.fail(Fault::TooLarge);
        }
        if self.fault.is_some() {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(parts: &[&[u8]]) -> Option<Fault> {
        let mut body = Body::new(Vec::new(), 100, true);
        for part in parts {
            body.take_chunk(part);
        }
        body.finish_chunks();
        body.fault()
    }

    #[test]
    fn chunks_need_whole_line_ends_across_their_borders() {
        assert_eq!(chunks(&[b"a\r", b"\nb\r\n"]), None);
        assert_eq!(chunks(&[b"", b"a"]), None);
        for bad in
            [&[&b"a\n"[..]][..], &[b"a\rb"], &[b"a\r", b"b"], &[b"a\r"], &[b"a", b"\n"], &[b"\r", b"\r\n"]]
        {
            assert_eq!(chunks(bad), Some(Fault::BareLineEnd), "{bad:?}");
        }
        assert_eq!(chunks(&[b"a\0b\r\n"]), Some(Fault::Nul));
        let mut binary = Body::new(Vec::new(), 100, false);
        binary.take_chunk(b"\n\0\r");
        binary.finish_chunks();
        assert_eq!((binary.fault(), binary.bytes.as_slice()), (None, &b"\n\0\r"[..]));
    }

    #[test]
    fn a_large_text_asks_for_room_and_a_too_large_one_is_dropped() {
        let mut body = Body::new(Vec::new(), 3 * 1024 * 1024, true);
        let piece = vec![b'x'; ROOM_FREE_BYTES + 1];
        assert_eq!(body.take_text(&piece), Taken::NeedsRoom(ROOM_STEP_BYTES));
        body.grant(ROOM_STEP_BYTES);
        assert_eq!(body.take_text(&piece), Taken::Some(piece.len()));
        body.grant(8 * ROOM_STEP_BYTES);
        assert!(body.bytes.capacity() <= ROOM_FREE_BYTES + 9 * ROOM_STEP_BYTES);
        body.take_text(&vec![b'x'; 3 * 1024 * 1024]);
        assert_eq!(body.fault(), Some(Fault::TooLarge));
        assert_eq!(body.bytes.capacity(), 0);
        body.take_text(&vec![b'x'; 1024]);
        assert!(body.bytes.is_empty());
    }
}
