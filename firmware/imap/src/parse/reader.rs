//! Cuts the byte stream into commands.
//!
//! A command is a line; a line that ends in `{n}` or `{n+}` goes on after n bytes of literal
//! (RFC 3501 section 7.5, RFC 7888). The reader holds one command at most and never more than its
//! limits; what it was told to refuse is thrown away without being held.

use bytes::{Bytes, BytesMut};

use super::cursor::decimal;

/// What a reader takes. The session changes it when the user has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Longest line of a command, without its literals.
    pub line_max_bytes: usize,
    /// Most literals in one command.
    pub literals_max: usize,
    /// Most bytes that are thrown away for one command before the connection is given up.
    pub skip_max_bytes: u64,
}

/// What the bytes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// More bytes are needed.
    More,
    /// A literal is announced: call [`CommandReader::accept`] or [`CommandReader::refuse`].
    Literal {
        /// Its length in bytes.
        length: u64,
        /// Whether the client waits for an answer before it sends it.
        waits: bool,
    },
    /// A whole command, for [`super::parse`].
    Command(Bytes),
    /// A line is longer, or holds more literals, than is allowed; it is being thrown away.
    TooLong {
        /// What was read of it.
        start: Bytes,
    },
    /// The client sends without end what nobody reads. Nothing more can come of this connection.
    Flood,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a line that began at this place of the buffer.
    Line { start: usize },
    /// A literal is announced and neither accepted nor refused.
    Announced { length: u64, waits: bool },
    /// Within an accepted literal that ends at this place of the buffer.
    Literal { end: usize },
    /// Throwing away: so many bytes of literal, then the rest of the command.
    Skip { literal: u64, skipped: u64 },
}

/// See the module's page.
#[derive(Debug)]
pub struct CommandReader {
    limits: ReaderLimits,
    buffer: BytesMut,
    /// How far lines are already searched for their end.
    searched: usize,
    /// Bytes of the command that are lines, before the current one.
    line_bytes: usize,
    literals: usize,
    state: State,
}

impl CommandReader {
    /// A reader at the start of a connection.
    pub fn new(limits: ReaderLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            searched: 0,
            line_bytes: 0,
            literals: 0,
            state: State::Line { start: 0 },
        }
    }

    /// Changes the limits from now on.
    pub fn set_limits(&mut self, limits: ReaderLimits) {
        self.limits = limits;
    }

    /// Takes bytes from the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where a shell can read bytes into, which saves copying them; they count as fed.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether no byte of a further command is held.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many more bytes the literal that is being read needs; a hint for the size of reads.
    pub fn literal_missing(&self) -> usize {
        match self.state {
            State::Literal { end } => end.saturating_sub(self.buffer.len()),
            _ => 0,
        }
    }

    /// Takes everything out that is held, between commands.
    pub fn take_all(&mut self) -> BytesMut {
        self.searched = 0;
        std::mem::take(&mut self.buffer)
    }

    /// Gives the memory of past commands back. For connections that now wait.
    pub fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Looks at the bytes so far.
    pub fn next_command(&mut self) -> Incoming {
        loop {
            match self.state {
                State::Line { start } => {
                    if let Some(incoming) = self.next_line(start) {
                        return incoming;
                    }
                }
                State::Announced { length, waits } => return Incoming::Literal { length, waits },
                State::Literal { end } => {
                    if self.buffer.len() < end {
                        return Incoming::More;
                    }
                    self.searched = end;
                    self.state = State::Line { start: end };
                }
                State::Skip { literal, skipped } => {
                    if let Some(incoming) = self.skip(literal, skipped) {
                        return incoming;
                    }
                }
            }
        }
    }

    /// Takes the announced literal.
    pub fn accept(&mut self) {
        if let State::Announced { length, .. } = self.state {
            let end = usize::try_from(length).ok().and_then(|length| self.searched.checked_add(length));
            match end {
                Some(end) => self.state = State::Literal { end },
                None => self.refuse(),
            }
        }
    }

    /// Throws the announced literal and its command away. A client that waits will not send it.
    pub fn refuse(&mut self) {
        if let State::Announced { length, waits } = self.state {
            let _ = self.buffer.split_to(self.searched.min(self.buffer.len()));
            self.begin_command();
            if !waits {
                self.state = State::Skip { literal: length, skipped: 0 };
            }
        }
    }

    /// The beginning of the command whose literal is announced, long enough for a tag and a mailbox name.
    pub fn so_far(&self) -> Bytes {
        let length = self.searched.min(SO_FAR_MAX_BYTES);
        Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default())
    }

    /// How many bytes of the command whose literal is announced are held.
    pub fn held_bytes(&self) -> usize {
        self.searched
    }

    /// Takes one line that is not a command: an answer to a challenge, or DONE. Call it only between
    /// commands. `Err` when the line is too long; the connection is then best closed.
    pub fn take_line(&mut self, line_max_bytes: usize) -> Result<Option<Bytes>, LineTooLong> {
        match memchr::memchr(b'\n', &self.buffer) {
            Some(end) if end <= line_max_bytes => {
                let line = self.buffer.split_to(end + 1).freeze();
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                Ok(Some(line.slice(..text.len())))
            }
            None if self.buffer.len() <= line_max_bytes => Ok(None),
            _ => Err(LineTooLong),
        }
    }

    fn next_line(&mut self, start: usize) -> Option<Incoming> {
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let found = memchr::memchr(b'\n', fresh);
        let end = found.map_or(self.buffer.len(), |at| self.searched + at + 1);
        let line = self.buffer.get(start..end).unwrap_or_default();
        if self.line_bytes + line.len() > self.limits.line_max_bytes {
            return Some(self.give_up_command(end, found.is_some()));
        }
        self.searched = end;
        if found.is_none() {
            return Some(Incoming::More);
        }
        let Some((length, waits)) = announced_literal(line) else {
            let command = self.buffer.split_to(end).freeze();
            self.begin_command();
            return Some(Incoming::Command(command));
        };
        self.line_bytes += line.len();
        self.literals += 1;
        self.state = State::Announced { length, waits };
        if self.literals > self.limits.literals_max {
            let start = self.so_far();
            self.refuse();
            return Some(Incoming::TooLong { start });
        }
        None
    }

    fn give_up_command(&mut self, end: usize, complete: bool) -> Incoming {
        // Of an unended line the tail stays: it may be the start of a literal's announcement.
        let end = if complete { end } else { end.saturating_sub(ANNOUNCEMENT_MAX_BYTES) };
        let taken = self.buffer.split_to(end.min(self.buffer.len()));
        let announced = if complete { announced_literal(&taken) } else { None };
        let start =
            Bytes::copy_from_slice(taken.get(..taken.len().min(TAG_SEARCH_BYTES)).unwrap_or_default());
        self.begin_command();
        match (complete, announced) {
            (false, _) => self.state = State::Skip { literal: 0, skipped: 0 },
            (true, Some((length, false))) => self.state = State::Skip { literal: length, skipped: 0 },
            (true, _) => {}
        }
        Incoming::TooLong { start }
    }

    /// Throws away what is there; `None` when the command has ended.
    fn skip(&mut self, literal: u64, skipped: u64) -> Option<Incoming> {
        if literal.saturating_add(skipped) > self.limits.skip_max_bytes {
            return Some(Incoming::Flood);
        }
        if literal > 0 {
            let here = self.buffer.len().min(usize::try_from(literal).unwrap_or(usize::MAX));
            let _ = self.buffer.split_to(here);
            self.state = State::Skip { literal: literal - here as u64, skipped: skipped + here as u64 };
            return if literal > here as u64 { Some(Incoming::More) } else { None };
        }
        let Some(at) = memchr::memchr(b'\n', &self.buffer) else {
            // Keep the tail: the announcement of a literal may be cut by the end of the bytes so far.
            let gone = self.buffer.len().saturating_sub(ANNOUNCEMENT_MAX_BYTES);
            let _ = self.buffer.split_to(gone);
            self.state = State::Skip { literal: 0, skipped: skipped + gone as u64 };
            if skipped + gone as u64 > self.limits.skip_max_bytes {
                return Some(Incoming::Flood);
            }
            return Some(Incoming::More);
        };
        let line = self.buffer.split_to(at + 1);
        match announced_literal(&line) {
            Some((length, false)) => {
                self.state = State::Skip { literal: length, skipped: skipped + line.len() as u64 };
            }
            _ => self.begin_command(),
        }
        None
    }

    fn begin_command(&mut self) {
        self.searched = 0;
        self.line_bytes = 0;
        self.literals = 0;
        self.state = State::Line { start: 0 };
    }
}

/// A line is longer than was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong;

/// How much of a command is looked at to decide about a literal.
const SO_FAR_MAX_BYTES: usize = 128 * 1024;
/// How much of a refused command is kept to find its tag in.
const TAG_SEARCH_BYTES: usize = 256;
/// Longest end of a line that can announce a literal: `{` 19 digits `+}` CR LF.
const ANNOUNCEMENT_MAX_BYTES: usize = 24;

/// The literal that a line announces at its end: length, and whether the client waits.
fn announced_literal(line: &[u8]) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = line.strip_suffix(b"}")?;
    let (inner, waits) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let open = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(open + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A length beyond 63 bits is refused as any other that is too long.
    Some((decimal(digits).unwrap_or(u64::MAX), waits))
}
