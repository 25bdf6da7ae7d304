//! Address lists, RFC 5322 3.4, with the obsolete forms and with what real mail holds.

use crate::ADDRESSES_MAX;

/// One member of an address list, raw bytes as in the header (encoded words are not decoded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A mailbox: display name, route, local part, domain.
    Mailbox {
        /// Display name, unquoted.
        name: Option<Vec<u8>>,
        /// Source route (RFC 5322 4.4 obs-route), as written.
        route: Option<Vec<u8>>,
        /// Local part, unquoted.
        local: Vec<u8>,
        /// Domain; empty if there is none.
        domain: Vec<u8>,
    },
    /// Begin of a group.
    GroupStart(Vec<u8>),
    /// End of the group.
    GroupEnd,
}

/// Comments may nest this deep; deeper ones end early.
const COMMENT_DEPTH_MAX: usize = 50;

/// Reads an address list; never fails, at most [`crate::ADDRESSES_MAX`] members.
pub fn addresses(value: &[u8]) -> Vec<Address> {
    let mut list = Vec::new();
    let mut scan = Scan { bytes: value, at: 0 };
    let mut in_group = false;
    while list.len() < ADDRESSES_MAX {
        let (member, end) = scan.member();
        match end {
            End::Colon if !in_group => {
                list.push(Address::GroupStart(member.words()));
                in_group = true;
            }
            End::Semicolon if in_group => {
                list.extend(member.mailbox());
                list.push(Address::GroupEnd);
                in_group = false;
            }
            _ => list.extend(member.mailbox()),
        }
        if end == End::Text {
            break;
        }
    }
    if in_group {
        list.push(Address::GroupEnd);
    }
    list
}

/// What ended a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Comma,
    Colon,
    Semicolon,
    Text,
}

/// A piece between specials.
struct Word {
    bytes: Vec<u8>,
    /// Blank before it.
    spaced: bool,
}

/// `<@route:local@domain>`.
struct Angle {
    route: Option<Vec<u8>>,
    local: Vec<u8>,
    domain: Vec<u8>,
}

/// The pieces of one member.
#[derive(Default)]
struct Member {
    /// Words outside angle brackets.
    phrase: Vec<Word>,
    /// What stands in angle brackets.
    angle: Option<Angle>,
    /// Where `@` stands in `phrase`, as a count of words before it.
    at_sign: Option<usize>,
    /// The last comment, a name of old (`user@host (Name)`).
    comment: Option<Vec<u8>>,
}

impl Member {
    fn words(&self) -> Vec<u8> {
        join(&self.phrase, true)
    }

    fn mailbox(self) -> Option<Address> {
        if let Some(Angle { route, local, domain }) = self.angle {
            let words = join(&self.phrase, true);
            let name = if words.is_empty() { self.comment } else { Some(words) };
            if local.is_empty() && domain.is_empty() && name.is_none() {
                return None;
            }
            return Some(Address::Mailbox { name, route, local, domain });
        }
        if let Some(at) = self.at_sign {
            let (local, domain) = self.phrase.split_at(at.min(self.phrase.len()));
            let (local, domain) = (join(local, false), join(&domain[..one_name(domain)], false));
            return Some(Address::Mailbox { name: self.comment, route: None, local, domain });
        }
        let local = join(&self.phrase, true);
        (!local.is_empty()).then(|| Address::Mailbox {
            name: self.comment,
            route: None,
            local,
            domain: Vec::new(),
        })
    }
}

fn join(words: &[Word], spaces: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words {
        if spaces && word.spaced && !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(&word.bytes);
    }
    out
}

/// How many of the words are one domain: blanks stand beside its dots only (RFC 5322 4.4 obs-domain). What
/// follows is another address whose comma is missing, or rubbish.
fn one_name(words: &[Word]) -> usize {
    let dotted = |pair: &[Word]| pair[0].bytes.ends_with(b".") || pair[1].bytes.starts_with(b".");
    let goes_on = |pair: &&[Word]| !pair[1].spaced || dotted(pair);
    (1 + words.windows(2).take_while(goes_on).count()).min(words.len())
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn member(&mut self) -> (Member, End) {
        let mut member = Member::default();
        let mut spaced = false;
        while let Some(byte) = self.peek() {
            match byte {
                b',' | b';' | b':' => {
                    self.at += 1;
                    let end = match byte {
                        b',' => End::Comma,
                        b';' => End::Semicolon,
                        _ => End::Colon,
                    };
                    return (member, end);
                }
                b'(' => {
                    member.comment = Some(self.comment()).filter(|text| !text.is_empty()).or(member.comment);
                }
                b'<' if member.angle.is_none() => member.angle = Some(self.angle()),
                b'@' if member.at_sign.is_none() => {
                    self.at += 1;
                    member.at_sign = Some(member.phrase.len());
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {
                    self.at += 1;
                    spaced = true;
                    continue;
                }
                _ => {
                    let bytes = self.word(false);
                    member.phrase.push(Word { bytes, spaced });
                }
            }
            spaced = false;
        }
        (member, End::Text)
    }

    /// A quoted string, a domain literal, or a run of other bytes; always moves on. Within angle brackets
    /// `>` ends it, too: what lies behind is not looked at, or many of them would each read all the rest.
    fn word(&mut self, in_angle: bool) -> Vec<u8> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'[') => {
                let rest = &self.bytes[self.at..];
                let end = if in_angle {
                    memchr::memchr3(b']', b',', b'>', rest)
                } else {
                    memchr::memchr2(b']', b',', rest)
                };
                let length = end.map_or(rest.len(), |end| end + usize::from(rest[end] == b']'));
                self.at += length.max(1);
                crate::field::unfold(&rest[..length.max(1)])
            }
            _ => {
                let rest = &self.bytes[self.at..];
                let stop = |byte: &u8| {
                    matches!(byte, b',' | b';' | b':' | b'(' | b'<' | b'@' | b'"' | b'[')
                        || byte.is_ascii_whitespace()
                        || *byte == 0
                        || (in_angle && *byte == b'>')
                };
                let length = rest.iter().position(stop).unwrap_or(rest.len()).max(1);
                self.at += length;
                rest[..length].to_vec()
            }
        }
    }

    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ => out.push(byte),
            }
        }
        out
    }

    /// The text of a comment without its outer parentheses.
    fn comment(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut depth = 1;
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                    continue;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\r' | b'\n' => continue,
                _ => {}
            }
            if depth == 0 || depth > COMMENT_DEPTH_MAX {
                break;
            }
            out.push(byte);
        }
        out.trim_ascii().to_vec()
    }

    /// `<@route:local@domain>`.
    fn angle(&mut self) -> Angle {
        self.at += 1;
        let (mut route, mut local, mut domain) = (None, Vec::new(), Vec::new());
        let mut after_at = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'>' => {
                    self.at += 1;
                    break;
                }
                b'@' => {
                    self.at += 1;
                    // A second `@` belongs to the local part of a broken address.
                    if after_at && route.is_none() && !local.is_empty() {
                        local.push(b'@');
                        local.append(&mut domain);
                    } else if domain.ends_with(b",") {
                        // The next host of a route.
                        domain.push(b'@');
                    }
                    after_at = true;
                }
                b':' if local.is_empty() && after_at => {
                    self.at += 1;
                    let mut text = vec![b'@'];
                    text.append(&mut domain);
                    route = Some(text);
                    after_at = false;
                }
                b'(' => {
                    self.comment();
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => self.at += 1,
                _ => {
                    let word = if matches!(byte, b',' | b';' | b':' | b'<') {
                        self.at += 1;
                        vec![byte]
                    } else {
                        self.word(true)
                    };
                    if after_at { domain.extend(word) } else { local.extend(word) }
                }
            }
        }
        Angle { route, local, domain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(name: Option<&str>, local: &str, domain: &str) -> Address {
        let name = name.map(|name| name.as_bytes().to_vec());
        Address::Mailbox { name, route: None, local: local.into(), domain: domain.into() }
    }

    #[test]
    fn usual_forms() {
        assert_eq!(
            addresses(b" Alice A. <alice@example.test>, bob@example.test"),
            [mailbox(Some("Alice A."), "alice", "example.test"), mailbox(None, "bob", "example.test"),]
        );
        assert_eq!(
            addresses(b"\"Doe, J\\\"\"\r\n <\"j d\"@[127.0.0.1]>"),
            [mailbox(Some("Doe, J\""), "j d", "[127.0.0.1]")]
        );
        assert_eq!(addresses(b"u@h.test (The (old) way)"), [mailbox(Some("The (old) way"), "u", "h.test")]);
    }

    #[test]
    fn groups_open_and_close() {
        assert_eq!(
            addresses(b"Friends: a@b.c, d;, e@f.g"),
            [
                Address::GroupStart(b"Friends".to_vec()),
                mailbox(None, "a", "b.c"),
                mailbox(None, "d", ""),
                Address::GroupEnd,
                mailbox(None, "e", "f.g"),
            ]
        );
        assert_eq!(
            addresses(b"undisclosed-recipients:;"),
            [Address::GroupStart(b"undisclosed-recipients".to_vec()), Address::GroupEnd]
        );
        assert_eq!(addresses(b"open: a@b.c").last(), Some(&Address::GroupEnd));
    }

    #[test]
    fn routes_and_broken_addresses() {
        let Address::Mailbox { route, local, domain, .. } = &addresses(b"<@a.b,@c.d:u@e.f>")[0] else {
            panic!("a mailbox");
        };
        assert_eq!(route.as_deref(), Some(&b"@a.b,@c.d"[..]));
        assert_eq!((&local[..], &domain[..]), (&b"u"[..], &b"e.f"[..]));
        assert_eq!(addresses(b"<a@b@c.d>"), [mailbox(None, "a@b", "c.d")]);
        assert_eq!(addresses(b"a@b c@d"), [mailbox(None, "a", "b")]);
        assert_eq!(addresses(b"a . x @ b .c . d"), [mailbox(None, "a.x", "b.c.d")]);
        assert_eq!(addresses(b"<>"), []);
        assert_eq!(addresses(b",,;"), []);
        // What is folded is read once.
        assert_eq!(addresses(b"<[\r\n x>, y"), [mailbox(None, "[ x", ""), mailbox(None, "y", "")]);
        assert_eq!(addresses(b"<a@[b>c]>"), [mailbox(Some("c]>"), "a", "[b")]);
        assert!(addresses(&b"(".repeat(100_000)).is_empty());
        // Each bracket is open to the end of its own address only.
        assert_eq!(addresses(&b"<[>;".repeat(1_000_000)).len(), ADDRESSES_MAX);
        assert_eq!(addresses(&b"a@b,".repeat(100_000)).len(), ADDRESSES_MAX);
    }
}
