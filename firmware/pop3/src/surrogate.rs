//! A message with UTF-8 in its header, for a client that did not ask for such: the same with a header in
//! ASCII (RFC 6856 section 1.2, RFC 6858). Such a copy says less than the message, but nobody is kept from
//! his mail.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use message::Address;

/// Octets of text in one encoded word, so that it stays within 75 characters (RFC 2047 section 2).
const WORD_BYTES: usize = 45;
/// Fields that hold addresses.
const ADDRESSES: [&[u8]; 11] = [
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"bcc",
    b"resent-from",
    b"resent-sender",
    b"resent-to",
    b"resent-cc",
    b"resent-bcc",
];
/// Fields of plain text; all others have a form that encoded words would break.
const TEXTS: [&[u8]; 5] = [b"subject", b"comments", b"content-description", b"thread-topic", b"organization"];

/// The message with its header in ASCII; the body is as it was.
pub(crate) fn in_ascii(text: &[u8]) -> Vec<u8> {
    let (header, body) = text.split_at_checked(message::header_end(text)).unwrap_or((text, &[]));
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for field in message::fields(header) {
        if field.raw.is_ascii() {
            out.extend_from_slice(field.raw);
            continue;
        }
        let is_one_of = |names: &[&[u8]]| names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        let value = if is_one_of(&ADDRESSES) {
            address_list(field.value)
        } else if is_one_of(&TEXTS) || field.name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"x-")) {
            words(&unfolded(field.value))
        } else {
            without_utf8(&unfolded(field.value))
        };
        out.extend_from_slice(without_utf8(&String::from_utf8_lossy(field.name)).as_bytes());
        out.extend_from_slice(format!(": {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

fn unfolded(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(['\r', '\n'], "").trim().to_owned()
}

/// Every character outside ASCII as a question mark.
fn without_utf8(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect()
}

/// Encoded words, folded; none of them ends within a character (RFC 2047 section 5).
fn words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (word, left) = rest.split_at(end);
        let fold = if out.is_empty() { "" } else { "\r\n " };
        // Writing into a String cannot fail.
        let _ = write!(out, "{fold}=?utf-8?B?{}?=", STANDARD.encode(word));
        rest = left;
    }
    out
}

/// A phrase: encoded words, or a quoted string.
fn phrase(text: &[u8]) -> String {
    let text = unfolded(text);
    if text.is_ascii() { quoted(&text) } else { words(&text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn address_list(value: &[u8]) -> String {
    let mut out = String::new();
    let mut begins = true;
    for address in message::addresses(value) {
        let (written, is_end) = match address {
            Address::GroupStart(name) => (format!("{}: ", phrase(&name)), false),
            Address::GroupEnd => (";".to_owned(), true),
            Address::Mailbox { name, local, domain, .. } => {
                (mailbox(name.as_deref(), &local, &domain), false)
            }
        };
        if !begins && !is_end {
            out.push_str(",\r\n ");
        }
        begins = written.ends_with(": ");
        out.push_str(&written);
    }
    out
}

/// An address outside ASCII becomes the name of an empty group, which can be read and not answered
/// (RFC 6858 section 2.1).
fn mailbox(name: Option<&[u8]>, local: &[u8], domain: &[u8]) -> String {
    let (local, domain) = (unfolded(local), unfolded(domain));
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(letter);
    if !local.is_ascii() || !domain.is_ascii() {
        let name = name.map(|name| format!("{} ", unfolded(name))).unwrap_or_default();
        return format!("{}:;", words(&format!("{name}{local}@{domain}")));
    }
    let local = if !local.is_empty() && local.chars().all(plain) { local } else { quoted(&local) };
    match name {
        Some(name) => format!("{} <{local}@{domain}>", phrase(name)),
        None => format!("{local}@{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_header_is_outside_ascii_and_the_rest_is_as_it_was() {
        let text = "Received: from x\r\n by y with UTF8SMTP for <ü@例子.test>\r\n\
            From: Jürgen <j@a.test>, \"A, B\" <ü@例子.test>\r\nTo: Gruppe ä: a@b.test, \"x y\"@c.test;\r\n\
            Subject: ein sehr langer Betreff mit vielen Umlauten äöü äöü äöü äöü\r\n ÄÖÜ und Schluß\r\n\
            Message-ID: <1@x>\r\nContent-Type: text/plain; name=\"ä.txt\"; charset=utf-8\r\n\r\nKörper\r\n";
        let surrogate = String::from_utf8(in_ascii(text.as_bytes())).unwrap();
        let (header, body) = surrogate.split_once("\r\n\r\n").unwrap();
        assert!(header.is_ascii(), "{header}");
        assert_eq!(body, "Körper\r\n");
        assert!(header.lines().all(|line| line.len() <= 100), "{header}");
        let envelope = message::Summary::of(surrogate.as_bytes()).envelope;
        let envelope = String::from_utf8_lossy(&envelope);
        assert!(
            envelope.contains("\"j\" \"a.test\"") && envelope.contains("\"x y\" \"c.test\""),
            "{envelope}"
        );
        assert!(header.contains("Message-ID: <1@x>") && header.contains("for <?@??.test>"), "{header}");
        assert!(header.contains("name=\"?.txt\"; charset=utf-8"), "{header}");
        assert!(header.contains(&format!("{}:;", words("A, B ü@例子.test"))), "{header}");
        let subject = "ein sehr langer Betreff mit vielen Umlauten äöü äöü äöü äöü ÄÖÜ und Schluß";
        let pieces = header
            .split("=?utf-8?B?")
            .skip(1)
            .filter_map(|word| String::from_utf8(STANDARD.decode(word.split("?=").next()?).ok()?).ok());
        assert!(pieces.collect::<String>().contains(subject), "{header}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_has_an_ascii_header(text in "(.*[\r\n:;<>@\"(), ä你]*){0,20}") {
            let surrogate = in_ascii(text.as_bytes());
            let end = message::header_end(&surrogate);
            assert!(surrogate[..end].is_ascii(), "{:?}", String::from_utf8_lossy(&surrogate));
        }
    }
}
