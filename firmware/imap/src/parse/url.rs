//! IMAP URLs of messages and their parts, relative to this server (RFC 5092, RFC 5550 section 3.6).

use bytes::Bytes;
use message::{SectionSpec, SectionText};

use super::Partial;
use super::cursor::{Cursor, Dialect};

/// A message or a piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// Its mailbox; `None` is the selected one.
    pub mailbox: Option<String>,
    /// UIDVALIDITY the mailbox must have.
    pub uid_validity: Option<u32>,
    /// Its UID.
    pub uid: u32,
    /// Which part; the whole message without it.
    pub section: SectionSpec,
    /// Only these bytes of it.
    pub partial: Option<Partial>,
}

impl MessageUrl {
    /// Reads `/mailbox;UIDVALIDITY=1/;UID=20/;SECTION=1.2/;PARTIAL=0.1024`, or from `;UID=` on for the
    /// selected mailbox. URLs of other servers are none.
    pub fn parse(url: &[u8]) -> Option<Self> {
        let url = std::str::from_utf8(url).ok()?;
        let (before, rest) = split_without_case(url, ";UID=")?;
        let mut found = Self {
            mailbox: None,
            uid_validity: None,
            uid: 0,
            section: SectionSpec { part: Vec::new(), text: SectionText::All },
            partial: None,
        };
        let path = before.strip_suffix('/').unwrap_or(before);
        if !path.is_empty() {
            found.read_mailbox(path.strip_prefix('/')?)?;
        } else if !before.is_empty() && before != "/" {
            return None;
        }
        let mut pieces = rest.split("/;");
        found.uid = decimal(pieces.next()?)?;
        for piece in pieces {
            if let Some(section) = strip_without_case(piece, "SECTION=") {
                let written = Bytes::from([b"[", &percent_decoded(section)?[..], b"]"].concat());
                let mut cursor = Cursor::new(&written, Dialect::default());
                found.section = cursor.section().ok()?;
                cursor.end().ok()?;
            } else {
                let range = strip_without_case(piece, "PARTIAL=")?;
                let (start, count) = match range.split_once('.') {
                    Some((start, count)) => (start, u64::from(decimal(count)?)),
                    None => (range, u64::MAX),
                };
                found.partial = Some(Partial { start: start.parse().ok()?, count });
            }
        }
        Some(found)
    }

    fn read_mailbox(&mut self, path: &str) -> Option<()> {
        let mut name = path;
        if let Some((before, validity)) = split_without_case(path, ";UIDVALIDITY=") {
            self.uid_validity = Some(decimal(validity)?);
            name = before;
        }
        let name = String::from_utf8(percent_decoded(name)?).ok()?;
        // `//host/mailbox` would be another server.
        if name.is_empty() || name.starts_with('/') {
            return None;
        }
        self.mailbox = Some(if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name });
        Some(())
    }
}

/// A number that is not 0.
fn decimal(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What stands before and after the last `mark`, which is in capitals.
fn split_without_case<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = text.to_ascii_uppercase().rfind(mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

fn strip_without_case<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.get(..mark.len()).filter(|head| head.eq_ignore_ascii_case(mark))?;
    text.get(mark.len()..)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low] = digits else { return None };
        out.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = tail;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_messages_and_parts() {
        let plain = MessageUrl::parse(b"/Sent%20Items;UIDVALIDITY=7/;uid=20/;section=1.2.MIME").unwrap();
        assert_eq!(plain.mailbox.as_deref(), Some("Sent Items"));
        assert_eq!((plain.uid_validity, plain.uid), (Some(7), 20));
        assert_eq!(plain.section, SectionSpec { part: vec![1, 2], text: SectionText::Mime });
        let nested = MessageUrl::parse(b"/a/b/;UID=1/;PARTIAL=10.5").unwrap();
        assert_eq!(nested.mailbox.as_deref(), Some("a/b"));
        assert_eq!(nested.partial, Some(Partial { start: 10, count: 5 }));
        let fields = MessageUrl::parse(b";UID=3/;SECTION=HEADER.FIELDS%20(Subject%20To)").unwrap();
        assert_eq!(fields.mailbox, None);
        let names = vec![b"Subject".to_vec(), b"To".to_vec()];
        assert_eq!(fields.section.text, SectionText::HeaderFields(names));
        assert_eq!(MessageUrl::parse(b"/inbox/;UID=3").unwrap().mailbox.as_deref(), Some("INBOX"));
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            &b""[..],
            b"/INBOX",
            b"INBOX/;UID=1",
            b"imap://host/INBOX/;UID=1",
            b"//host/INBOX/;UID=1",
            b"/INBOX/;UID=0",
            b"/INBOX/;UID=+1",
            b"/INBOX/;UID=1/;SECTION=NONE",
            b"/INBOX/;UID=1/;SECTION=1]",
            b"/INBOX/;UID=1;URLAUTH=anonymous",
            b"/%4/;UID=1",
            b"/\xff/;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(url), None, "{}", String::from_utf8_lossy(url));
        }
    }
}
