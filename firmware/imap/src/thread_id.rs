//! THREADID (RFC 8474 section 5.2): which conversation a message belongs to, from the message alone.
//!
//! The thread is named by the message it began with: the first of References, else the first of
//! In-Reply-To, else the message itself. So the identifier needs no table, is the same for every copy in
//! every mailbox and after every restart, never changes, and never comes back for another conversation.

use message::SummaryView;
use store::BodyId;

/// FNV-1a, 64 bits: no secret is kept, and whoever wants into a conversation only has to name its first
/// message anyway.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The identifier of a message's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadId {
    /// Of the conversation that began with the message of this Message-ID.
    Root(u64),
    /// Of a message that names neither itself nor another: it is alone with its copies.
    Alone(u64),
}

impl ThreadId {
    /// The thread of a message.
    pub fn of(summary: Option<SummaryView<'_>>, body: BodyId) -> Self {
        let keys = summary.map(|summary| summary.thread_keys()).unwrap_or_default();
        let root = keys.references.first().or(keys.message_id.as_ref());
        root.map_or(Self::Alone(body.0), |root| Self::Root(hash(root.as_bytes())))
    }

    /// Reads what [`Self::write`] wrote; `None` is the identifier of no thread.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let id = match text.strip_prefix("TE") {
            Some(body) => Self::Alone(body.parse().ok()?),
            None => Self::Root(u64::from_str_radix(text.strip_prefix('T')?, 16).ok()?),
        };
        // Identifiers are compared octet by octet: another way to write the number is another identifier.
        (id.write() == text).then_some(id)
    }

    /// As FETCH shows it.
    pub fn write(self) -> String {
        match self {
            Self::Root(root) => format!("T{root:016x}"),
            Self::Alone(body) => format!("TE{body}"),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use message::Summary;

    use super::*;

    fn thread_of(header: &str, body: u64) -> ThreadId {
        let summary = Summary::of(format!("{header}\r\n\r\n").as_bytes()).encode();
        ThreadId::of(SummaryView::parse(&summary), BodyId(body))
    }

    #[test]
    fn replies_and_their_replies_are_in_the_thread_of_the_first() {
        let first = thread_of("Message-ID: <1@x>", 1);
        assert_eq!(first, thread_of("Message-ID: <2@x>\r\nIn-Reply-To: <1@x>", 2));
        assert_eq!(first, thread_of("Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\nIn-Reply-To: <2@x>", 3));
        assert_ne!(first, thread_of("Message-ID: <4@x>", 4));
        assert_eq!(thread_of("Subject: none", 5), ThreadId::Alone(5));
    }

    #[test]
    fn identifiers_do_not_change_with_the_program() {
        // Published values of FNV-1a.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn identifiers_are_read_as_they_were_written() {
        for id in [ThreadId::Root(0xe), ThreadId::Root(u64::MAX), ThreadId::Alone(0), ThreadId::Alone(7)] {
            assert_eq!(ThreadId::parse(id.write().as_bytes()), Some(id));
        }
        for strange in
            ["", "T", "TE", "T1", "TE07", "t000000000000000e", "T+00000000000000e", "T00000000000000\u{e9}"]
        {
            assert_eq!(ThreadId::parse(strange.as_bytes()), None, "{strange}");
        }
        assert_eq!(ThreadId::parse(&[0xff]), None);
    }
}
