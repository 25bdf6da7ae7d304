//! What a session sees of the mailbox, and the texts that are on their way to the client.

use std::fmt::Write;
use std::ops::ControlFlow;

use bytes::Bytes;
use smtp::dots::Stuffer;

/// A message or a listing is sent in pieces of about so many octets.
pub const SEND_STEP_BYTES: usize = 64 * 1024;
/// Lines of a listing made at once; each has at most some thirty octets.
const LIST_STEP_LINES: usize = 2_000;

/// One message of a maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its UID in the mailbox.
    pub uid: u32,
    /// Size in octets.
    pub size_bytes: u32,
}

/// What a session sees from its login to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop {
    /// UIDVALIDITY of the mailbox; with the UID it makes the unique-id of UIDL.
    pub uid_validity: u32,
    /// Messages by ascending UID.
    pub messages: Vec<Message>,
}

/// The maildrop of the TRANSACTION state.
#[derive(Debug)]
pub(crate) struct Open {
    maildrop: Maildrop,
    deleted: Vec<bool>,
    left: usize,
    left_bytes: u64,
}

/// What a listing shows behind each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    Sizes,
    UniqueIds,
}

impl Open {
    pub fn new(maildrop: Maildrop) -> Self {
        let deleted = vec![false; maildrop.messages.len()];
        let mut open = Self { maildrop, deleted, left: 0, left_bytes: 0 };
        open.undelete();
        open
    }

    /// Messages that are not deleted, and their octets.
    pub fn left(&self) -> (usize, u64) {
        (self.left, self.left_bytes)
    }

    /// A message that exists and is not deleted.
    pub fn message(&self, number: usize) -> Option<Message> {
        let index = number.checked_sub(1).filter(|index| self.deleted.get(*index) == Some(&false))?;
        self.maildrop.messages.get(index).copied()
    }

    /// Marks a message; whether there is one.
    pub fn delete(&mut self, number: usize) -> bool {
        let Some(message) = self.message(number) else { return false };
        if let Some(deleted) = self.deleted.get_mut(number - 1) {
            *deleted = true;
        }
        self.left -= 1;
        self.left_bytes -= u64::from(message.size_bytes);
        true
    }

    /// Takes all marks back.
    pub fn undelete(&mut self) {
        self.deleted.fill(false);
        self.left = self.maildrop.messages.len();
        self.left_bytes = self.maildrop.messages.iter().map(|message| u64::from(message.size_bytes)).sum();
    }

    /// UIDs of the marked messages, ascending.
    pub fn deleted(&self) -> Vec<u32> {
        let marked = self.maildrop.messages.iter().zip(&self.deleted);
        marked.filter_map(|(message, deleted)| deleted.then_some(message.uid)).collect()
    }

    /// What a listing shows of a message.
    pub fn show(&self, message: Message, what: Listing) -> String {
        match what {
            Listing::Sizes => message.size_bytes.to_string(),
            Listing::UniqueIds => format!("{}.{}", self.maildrop.uid_validity, message.uid),
        }
    }

    /// Appends the next lines of a listing; breaks with where to go on.
    pub fn list(&self, what: Listing, from: usize, out: &mut Vec<u8>) -> ControlFlow<(), usize> {
        let mut text = String::with_capacity(LIST_STEP_LINES * 16);
        let mut next = from;
        for number in from + 1..=(from + LIST_STEP_LINES).min(self.deleted.len()) {
            next = number;
            if let Some(message) = self.message(number) {
                let _ = match what {
                    Listing::Sizes => write!(text, "{number} {}\r\n", message.size_bytes),
                    Listing::UniqueIds => {
                        write!(text, "{number} {}.{}\r\n", self.maildrop.uid_validity, message.uid)
                    }
                };
            }
        }
        out.extend_from_slice(text.as_bytes());
        if next >= self.deleted.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(next) }
    }
}

/// Something longer on its way to the client.
#[derive(Debug)]
pub(crate) enum Sending {
    Text { text: Bytes, stuffer: Stuffer },
    List { what: Listing, from: usize },
}

impl Sending {
    pub fn text(text: Bytes) -> Self {
        Self::Text { text, stuffer: Stuffer::default() }
    }

    /// Appends the next piece; gives back what is left.
    pub fn piece(self, open: &Open, out: &mut Vec<u8>) -> Option<Self> {
        match self {
            Self::Text { mut text, mut stuffer } => {
                let piece = text.split_to(text.len().min(SEND_STEP_BYTES));
                stuffer.encode(&piece, out);
                if text.is_empty() {
                    stuffer.finish(out);
                    return None;
                }
                Some(Self::Text { text, stuffer })
            }
            Self::List { what, from } => match open.list(what, from, out) {
                ControlFlow::Continue(from) => Some(Self::List { what, from }),
                ControlFlow::Break(()) => {
                    out.extend_from_slice(b".\r\n");
                    None
                }
            },
        }
    }
}

/// Length of the header, the empty line and `lines` lines of the body (RFC 1939 7, TOP).
pub(crate) fn top_bytes(text: &[u8], lines: usize) -> usize {
    let header = header_bytes(text);
    let body = text.get(header..).unwrap_or(&[]);
    let Some(last) = lines.checked_sub(1) else { return header };
    header + memchr::memchr_iter(b'\n', body).nth(last).map_or(body.len(), |at| at + 1)
}

/// Length of the header with its empty line.
fn header_bytes(text: &[u8]) -> usize {
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        if matches!(text.get(begin..end), Some(b"" | b"\r")) {
            return end + 1;
        }
        begin = end + 1;
    }
    text.len()
}

/// Whether a client must be able to read UTF-8 in the header of this message: it came over SMTP as such
/// (RFC 6531 3.7.3), which our own trace field, the first one, says. A stray octet in the header of an
/// ordinary message does not keep anybody from it.
pub(crate) fn needs_utf8(text: &[u8]) -> bool {
    let header = text.get(..header_bytes(text)).unwrap_or(text);
    if header.is_ascii() {
        return false;
    }
    let Some(at) = received(header) else { return false };
    let trace = header.get(at..).unwrap_or_default();
    let end = (1..trace.len())
        .find(|end| trace.get(end - 1) == Some(&b'\n') && !matches!(trace.get(*end), Some(b' ' | b'\t')))
        .unwrap_or(trace.len());
    let trace = trace.get(..end).unwrap_or(trace);
    [&b"with UTF8SMTP"[..], b"with UTF8LMTP"].iter().any(|with| memchr::memmem::find(trace, with).is_some())
}

/// Where the first Received field begins.
fn received(header: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"received:";
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', header).map(|at| at + 1));
    starts
        .into_iter()
        .find(|at| header.get(*at..at + NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_strange_messages() {
        for (text, lines, want) in [
            (&b"A: b\r\n\r\nx\r\ny\r\n"[..], 0, 8),
            (b"A: b\r\n\r\nx\r\ny\r\n", 1, 11),
            (b"A: b\r\n\r\nx\r\ny\r\n", 9, 14),
            (b"\r\nbody\r\n\r\nmore\r\n", 0, 2),
            (b"A: b\n\nx\n", 0, 6),
            (b"A: b\r\n", 5, 6),
            (b"", 5, 0),
        ] {
            assert_eq!(top_bytes(text, lines), want, "{:?} {lines}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn only_mail_sent_as_utf8_needs_it() {
        let message = |with: &str, subject: &str| {
            format!(
                "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y with {with} id z\r\nSubject: {subject}\r\n\r\nä"
            )
        };
        assert!(needs_utf8(message("UTF8SMTPS", "ä").as_bytes()));
        assert!(!needs_utf8(message("UTF8SMTPS", "a").as_bytes()));
        assert!(!needs_utf8(message("ESMTP", "ä").as_bytes()));
        assert!(!needs_utf8("Subject: ä with UTF8SMTP\r\n\r\n".as_bytes()));
    }
}
