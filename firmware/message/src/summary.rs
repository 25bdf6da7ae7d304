//! What is kept of a message beside its bytes: made once, stored, and read in place.

use crate::address::Address;
use crate::body_structure::write_body_structure;
use crate::envelope::{EnvelopeFields, list};
use crate::structure::{read_number, write_number};
use crate::{
    REFERENCES_MAX, Structure, VALUE_BYTES_MAX, base_subject, decode_words, field, preview, sent_date,
    without_extension_data,
};

/// Format of the encoded summary.
const FORMAT: u8 = 1;
/// Longest message id kept, in bytes.
const MESSAGE_ID_BYTES_MAX: usize = 998;

/// Keys for SORT (RFC 5256) and what RFC 5957 shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKeys {
    /// Base subject, decoded (RFC 5256 2.1).
    pub base_subject: String,
    /// The subject had a reply or forward mark.
    pub is_reply: bool,
    /// Sent date in UTC, seconds since 1970; `None` if absent or unreadable.
    pub sent_date_s: Option<i64>,
    /// Mailbox (local part) of the first From address.
    pub from: String,
    /// Mailbox of the first To address.
    pub to: String,
    /// Mailbox of the first Cc address.
    pub cc: String,
    /// Display name of the first From address, or its address.
    pub display_from: String,
    /// Display name of the first To address, or its address.
    pub display_to: String,
}

/// What THREAD=REFERENCES needs: message ids without angle brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadKeys {
    /// Message-ID.
    pub message_id: Option<String>,
    /// References, else the first of In-Reply-To.
    pub references: Vec<String>,
}

/// All that is kept of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// RFC822.SIZE.
    pub size_bytes: u64,
    /// ENVELOPE as IMAP syntax, from `(` to `)`.
    pub envelope: Vec<u8>,
    /// BODYSTRUCTURE as IMAP syntax, from `(` to `)`.
    pub body_structure: Vec<u8>,
    /// Where header, body and parts are.
    pub structure: Structure,
    /// Keys to sort by.
    pub sort: SortKeys,
    /// Keys to thread by.
    pub thread: ThreadKeys,
    /// The first words of the text (RFC 8970).
    pub preview: String,
}

impl Summary {
    /// Reads a message. Any bytes have a summary.
    pub fn of(raw: &[u8]) -> Self {
        let structure = Structure::of(raw);
        let header = raw.get(structure.root().header.clone()).unwrap_or_default();
        let fields = EnvelopeFields::of(header);
        let mut envelope = Vec::with_capacity(512);
        fields.write(&mut envelope);
        let mut body_structure = Vec::with_capacity(256);
        write_body_structure(&mut body_structure, raw, &structure);
        Self {
            size_bytes: raw.len() as u64,
            envelope,
            body_structure,
            sort: SortKeys::of(&fields),
            thread: ThreadKeys::of(&fields),
            preview: preview(raw, &structure),
            structure,
        }
    }

    /// BODY as IMAP syntax: BODYSTRUCTURE without extension data.
    pub fn body(&self) -> Vec<u8> {
        without_extension_data(&self.body_structure)
    }

    /// The bytes the store keeps; [`SummaryView`] reads them in place.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.envelope.len() + self.body_structure.len() + 512);
        out.push(FORMAT);
        write_number(&mut out, self.size_bytes);
        write_number(&mut out, self.structure.root().header.len() as u64);
        write_bytes(&mut out, &self.envelope);
        write_bytes(&mut out, &self.body_structure);
        let mut structure = Vec::new();
        self.structure.encode(&mut structure);
        write_bytes(&mut out, &structure);
        write_bytes(&mut out, self.preview.as_bytes());
        self.sort.encode(&mut out);
        self.thread.encode(&mut out);
        out
    }
}

impl SortKeys {
    fn of(fields: &EnvelopeFields<'_>) -> Self {
        let subject = base_subject(&decode_words(bounded(fields.subject.unwrap_or_default())));
        let (from, display_from) = first_mailbox(fields.from);
        let (to, display_to) = first_mailbox(fields.to);
        let (cc, _) = first_mailbox(fields.cc);
        Self {
            base_subject: subject.text,
            is_reply: subject.is_reply,
            sent_date_s: fields.date.and_then(|value| sent_date(bounded(value))),
            from,
            to,
            cc,
            display_from,
            display_to,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.base_subject.as_bytes());
        out.push(u8::from(self.is_reply));
        match self.sent_date_s {
            Some(seconds) => {
                out.push(1);
                out.extend_from_slice(&seconds.to_le_bytes());
            }
            None => out.push(0),
        }
        for text in [&self.from, &self.to, &self.cc, &self.display_from, &self.display_to] {
            write_bytes(out, text.as_bytes());
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let base_subject = read_text(bytes)?.to_owned();
        let is_reply = read_byte(bytes)? != 0;
        let mut sent_date_s = None;
        if read_byte(bytes)? != 0 {
            let (seconds, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            sent_date_s = Some(i64::from_le_bytes(*seconds));
        }
        let mut text = || read_text(bytes).map(str::to_owned);
        let (from, to, cc) = (text()?, text()?, text()?);
        let (display_from, display_to) = (text()?, text()?);
        Some(Self { base_subject, is_reply, sent_date_s, from, to, cc, display_from, display_to })
    }
}

impl ThreadKeys {
    fn of(fields: &EnvelopeFields<'_>) -> Self {
        let ids = |value: Option<&[u8]>| value.map(message_ids).unwrap_or_default();
        let mut references = ids(fields.references);
        if references.is_empty() {
            references = ids(fields.in_reply_to);
            references.truncate(1);
        }
        if references.len() > REFERENCES_MAX {
            // The first is the thread's root, the last ones are the nearest ancestors.
            references.drain(1..=references.len() - REFERENCES_MAX);
        }
        Self { message_id: ids(fields.message_id).into_iter().next(), references }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.message_id.as_deref().unwrap_or_default().as_bytes());
        write_number(out, self.references.len() as u64);
        for id in &self.references {
            write_bytes(out, id.as_bytes());
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let message_id = Some(read_text(bytes)?.to_owned()).filter(|id| !id.is_empty());
        let count = usize::try_from(read_number(bytes)?).ok().filter(|count| *count <= REFERENCES_MAX)?;
        let references = (0..count).map(|_| read_text(bytes).map(str::to_owned)).collect::<Option<_>>()?;
        Some(Self { message_id, references })
    }
}

/// A stored summary, read in place.
#[derive(Debug, Clone, Copy)]
pub struct SummaryView<'a> {
    size_bytes: u64,
    header_bytes: u64,
    envelope: &'a [u8],
    body_structure: &'a [u8],
    structure: &'a [u8],
    preview: &'a str,
    keys: &'a [u8],
}

impl<'a> SummaryView<'a> {
    /// Reads what [`Summary::encode`] wrote; `None` if it is damaged or of a later format.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&FORMAT, mut rest) = bytes.split_first()? else { return None };
        Some(Self {
            size_bytes: read_number(&mut rest)?,
            header_bytes: read_number(&mut rest)?,
            envelope: read_bytes(&mut rest)?,
            body_structure: read_bytes(&mut rest)?,
            structure: read_bytes(&mut rest)?,
            preview: read_text(&mut rest)?,
            keys: rest,
        })
    }

    /// ENVELOPE as IMAP syntax.
    pub fn envelope(&self) -> &'a [u8] {
        self.envelope
    }

    /// BODYSTRUCTURE as IMAP syntax.
    pub fn body_structure(&self) -> &'a [u8] {
        self.body_structure
    }

    /// BODY as IMAP syntax.
    pub fn body(&self) -> Vec<u8> {
        without_extension_data(self.body_structure)
    }

    /// RFC822.SIZE.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Length of the message's header with the empty line, without decoding the whole tree.
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// Where header, body and parts are.
    pub fn structure(&self) -> Option<Structure> {
        Structure::decode(self.structure)
    }

    /// Keys to sort by; empty ones if they are damaged.
    pub fn sort_keys(&self) -> SortKeys {
        SortKeys::decode(&mut { self.keys }).unwrap_or_default()
    }

    /// Keys to thread by; empty ones if they are damaged.
    pub fn thread_keys(&self) -> ThreadKeys {
        let mut rest = self.keys;
        SortKeys::decode(&mut rest).and_then(|_| ThreadKeys::decode(&mut rest)).unwrap_or_default()
    }

    /// The first words of the text.
    pub fn preview(&self) -> &'a str {
        self.preview
    }
}

/// Local part and display name of the first address of a field.
fn first_mailbox(value: Option<&[u8]>) -> (String, String) {
    let first = list(value).into_iter().find_map(|member| match member {
        Address::Mailbox { name, local, domain, .. } => Some((name, local, domain)),
        Address::GroupStart(_) | Address::GroupEnd => None,
    });
    let Some((name, local, domain)) = first else { return Default::default() };
    let local = String::from_utf8_lossy(bounded(&local)).into_owned();
    let display = match name {
        Some(name) => decode_words(bounded(&name)),
        None => format!("{local}@{}", String::from_utf8_lossy(bounded(&domain))),
    };
    (local, display)
}

/// The message ids in a value: what stands in angle brackets, else its words (RFC 5256 3).
fn message_ids(value: &[u8]) -> Vec<String> {
    let value = field::unfold(bounded(value));
    let mut ids = Vec::new();
    let mut rest = value.as_slice();
    while let Some(start) = memchr::memchr(b'<', rest) {
        rest = &rest[start + 1..];
        let Some(end) = memchr::memchr(b'>', rest) else { break };
        let id: Vec<u8> = rest[..end].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if !id.is_empty() && id.len() <= MESSAGE_ID_BYTES_MAX {
            ids.push(String::from_utf8_lossy(&id).into_owned());
        }
        rest = &rest[end + 1..];
    }
    if ids.is_empty() && !value.contains(&b'<') {
        let words = value.split(u8::is_ascii_whitespace).filter(|word| word.contains(&b'@'));
        let short = words.filter(|word| word.len() <= MESSAGE_ID_BYTES_MAX);
        ids.extend(short.map(|word| String::from_utf8_lossy(word).into_owned()));
    }
    ids
}

fn bounded(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_BYTES_MAX)]
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn read_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (found, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(found)
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(read_bytes(bytes)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] =
        "Date: Sun, 22 Nov 2026 15:20:00 +0000\r\nFrom: =?utf-8?B?5L2g?= <li@example.test>\r\n\
        To: bob@example.test\r\nSubject: Re: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <3@x>\r\n\
        References: <1@x>\r\n\t<2@x>\r\n\r\nHello   there,\r\nworld\r\n"
            .as_bytes();

    #[test]
    fn keys_to_sort_and_thread_by() {
        let summary = Summary::of(MAIL);
        assert_eq!(summary.sort.base_subject, "grüße");
        assert!(summary.sort.is_reply);
        assert_eq!(summary.sort.sent_date_s, Some(1_795_360_800));
        assert_eq!((summary.sort.from.as_str(), summary.sort.display_from.as_str()), ("li", "你"));
        assert_eq!(summary.sort.display_to, "bob@example.test");
        assert_eq!(summary.thread.message_id.as_deref(), Some("3@x"));
        assert_eq!(summary.thread.references, ["1@x", "2@x"]);
        assert_eq!(summary.preview, "Hello there, world");
    }

    #[test]
    fn a_stored_summary_reads_the_same() {
        let summary = Summary::of(MAIL);
        let bytes = summary.encode();
        let view = SummaryView::parse(&bytes).unwrap();
        assert_eq!(view.envelope(), summary.envelope);
        assert_eq!(view.body_structure(), summary.body_structure);
        assert_eq!(view.structure().as_ref(), Some(&summary.structure));
        assert_eq!(view.sort_keys(), summary.sort);
        assert_eq!(view.thread_keys(), summary.thread);
        assert_eq!(view.preview(), summary.preview);
        assert_eq!((view.size_bytes(), view.header_bytes()), (MAIL.len() as u64, MAIL.len() as u64 - 23));
        assert!(SummaryView::parse(b"").is_none());
        assert!(SummaryView::parse(&[FORMAT + 1]).is_none());
    }

    #[test]
    fn a_flood_of_references_keeps_root_and_nearest() {
        let many: Vec<String> = (0..1_000).map(|number| format!("<{number}@x>")).collect();
        let many = many.join(" ");
        let summary = Summary::of(format!("References: {many}\r\n\r\n").as_bytes());
        assert_eq!(summary.thread.references.len(), REFERENCES_MAX);
        assert_eq!(summary.thread.references[0], "0@x");
        assert_eq!(summary.thread.references.last().unwrap(), "999@x");
    }
}
