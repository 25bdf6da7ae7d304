//! Mailboxes and paths of the envelope (RFC 5321 4.1.2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Longest local part. RFC 5321 section 4.5.3.1.1 promises 64 octets; rewritten senders (SRS) come back longer.
pub const LOCAL_MAX_BYTES: usize = 128;
/// Longest domain in octets (RFC 5321 4.5.3.1.2).
pub const DOMAIN_MAX_BYTES: usize = 255;
/// Longest path in octets, source route included; RFC 5321 4.5.3.1.3 asks for 256.
pub const PATH_MAX_BYTES: usize = 512;

/// One mailbox. The domain is lower case and in A-labels, so that both spellings of an international
/// domain are equal (RFC 5890 2.3.2.4); it is empty only for the bare `Postmaster` of RFC 5321 4.1.1.3.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    /// Local part, without its quotes.
    pub local: String,
    /// Domain in lower case, or an address literal with its brackets.
    pub domain: String,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// No `<` or no `>`.
    #[error("an address must stand in angle brackets, such as <user@example.com>")]
    Brackets,
    /// The local part is empty, or has characters that need quotes.
    #[error("the part before the @ is not valid")]
    Local,
    /// The domain is missing or is not a host name or an address literal.
    #[error("the part after the @ is not a host name or an address literal")]
    Domain,
    /// A part is longer than RFC 5321 4.5.3.1 allows.
    #[error("the address is too long")]
    TooLong,
}

impl Mailbox {
    /// Parses `local@domain` as it stands inside the brackets, in UTF-8 as well (RFC 6531 3.3).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, rest) = parse_local(text)?;
        let domain = rest.strip_prefix('@').ok_or(AddressError::Domain)?;
        Ok(Self { local, domain: parse_domain(domain)? })
    }

    /// Whether the domain is an address literal.
    pub fn is_literal(&self) -> bool {
        self.domain.starts_with('[')
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

/// Parses a reverse path: `<>` is the null sender. Returns what follows the closing bracket.
pub fn parse_reverse_path(text: &str) -> Result<(Option<Mailbox>, &str), AddressError> {
    let (inside, rest) = split_path(text)?;
    if inside.is_empty() {
        return Ok((None, rest));
    }
    Ok((Some(Mailbox::parse(strip_route(inside)?)?), rest))
}

/// Parses a forward path: `<Postmaster>` needs no domain. Returns what follows the closing bracket.
pub fn parse_forward_path(text: &str) -> Result<(Mailbox, &str), AddressError> {
    let (inside, rest) = split_path(text)?;
    if inside.eq_ignore_ascii_case("postmaster") {
        return Ok((Mailbox { local: "postmaster".into(), domain: String::new() }, rest));
    }
    Ok((Mailbox::parse(strip_route(inside)?)?, rest))
}

/// Splits `<path>` from what follows, heeding quotes.
fn split_path(text: &str) -> Result<(&str, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Brackets)?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        if at > PATH_MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let inside = inner.get(..at).ok_or(AddressError::Brackets)?;
                return Ok((inside, inner.get(at + 1..).unwrap_or("")));
            }
            _ => {}
        }
    }
    Err(AddressError::Brackets)
}

/// Source routes are accepted and ignored (RFC 5321 appendix C).
fn strip_route(inside: &str) -> Result<&str, AddressError> {
    if !inside.starts_with('@') {
        return Ok(inside);
    }
    let (route, mailbox) = inside.split_once(':').ok_or(AddressError::Domain)?;
    for hop in route.split(',') {
        parse_domain(hop.strip_prefix('@').ok_or(AddressError::Domain)?)?;
    }
    Ok(mailbox)
}

fn parse_local(text: &str) -> Result<(String, &str), AddressError> {
    let (local, rest) = if let Some(quoted) = text.strip_prefix('"') {
        parse_quoted(quoted)?
    } else {
        let end = text.find('@').ok_or(AddressError::Domain)?;
        let (local, rest) = text.split_at(end);
        if !is_dot_string(local) {
            return Err(AddressError::Local);
        }
        (local.to_owned(), rest)
    };
    if local.len() > LOCAL_MAX_BYTES { Err(AddressError::TooLong) } else { Ok((local, rest)) }
}

/// The rest of a quoted string after its opening quote.
fn parse_quoted(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let c = match c {
            '"' => return Ok((local, text.get(at + 1..).unwrap_or(""))),
            '\\' => chars.next().ok_or(AddressError::Local)?.1,
            other => other,
        };
        if c.is_control() {
            return Err(AddressError::Local);
        }
        local.push(c);
    }
    Err(AddressError::Local)
}

/// Dot-string of atoms (RFC 5321 4.1.2, RFC 5322 3.2.3, RFC 6532 3.2).
fn is_dot_string(local: &str) -> bool {
    let atom = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| match c {
                '\0'..='\x7f' => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
                _ => !c.is_control() && !c.is_whitespace(),
            })
    };
    local.split('.').all(atom)
}

/// A host name, or an address literal (RFC 5321 4.1.3), in lower case; U-labels become A-labels.
pub fn parse_domain(text: &str) -> Result<String, AddressError> {
    if !text.is_ascii() {
        let ascii = idna::domain_to_ascii(text).map_err(|_| AddressError::Domain)?;
        return if ascii.is_ascii() { parse_domain(&ascii) } else { Err(AddressError::Domain) };
    }
    if text.len() > DOMAIN_MAX_BYTES {
        return Err(AddressError::TooLong);
    }
    if let Some(literal) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return parse_literal(literal);
    }
    // Underscores are no host name, but senders with them exist.
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.split('.').all(label) { Ok(text.to_ascii_lowercase()) } else { Err(AddressError::Domain) }
}

fn parse_literal(text: &str) -> Result<String, AddressError> {
    let tag = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    if let Some(tag) = tag {
        let address: Ipv6Addr = text[tag.len()..].parse().map_err(|_| AddressError::Domain)?;
        return Ok(format!("[IPv6:{address}]"));
    }
    let address: Ipv4Addr = text.parse().map_err(|_| AddressError::Domain)?;
    Ok(format!("[{address}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(text: &str) -> Result<String, AddressError> {
        parse_forward_path(text).map(|(mailbox, _)| mailbox.to_string())
    }

    #[test]
    fn addresses_of_every_shape() {
        for (text, want) in [
            ("<a@B.Example>", "a@b.example"),
            ("<\"a b\"@example.com>", "\"a b\"@example.com"),
            ("<\"a\\\"b\"@example.com>", "\"a\\\"b\"@example.com"),
            ("<\"plain\"@example.com>", "plain@example.com"),
            ("<\"<>\"@example.com>", "\"<>\"@example.com"),
            ("<@one,@two:a@example.com>", "a@example.com"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<a@[IPv6:2001:DB8::1]>", "a@[IPv6:2001:db8::1]"),
            ("<postMASTER>", "postmaster"),
            ("<a+b/c=d@x>", "a+b/c=d@x"),
            ("<Jörg@Bücher.example>", "Jörg@xn--bcher-kva.example"),
            ("<用户@例子.test>", "用户@xn--fsqu00a.test"),
            ("<\"ü ü\"@x>", "\"ü ü\"@x"),
        ] {
            assert_eq!(forward(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use AddressError::{Brackets, Domain, Local, TooLong};
        for (text, want) in [
            ("a@b", Brackets),
            ("<a@b", Brackets),
            ("<a>", Domain),
            ("<>", Domain),
            ("<a@>", Domain),
            ("<@b>", Domain),
            ("<.a@b>", Local),
            ("<a..b@c>", Local),
            ("<a b@c>", Local),
            ("<\"a@c>", Brackets),
            ("<a@-b>", Domain),
            ("<a@b..c>", Domain),
            ("<a@[1.2.3]>", Domain),
            ("<a@[IPv6:1.2.3.4]>", Domain),
            ("<@x:@y:a@b>", Local),
            ("<a\u{a0}b@c>", Local),
            ("<a@\u{fffd}.test>", Domain),
        ] {
            assert_eq!(forward(text), Err(want), "{text}");
        }
        assert_eq!(forward(&format!("<{}@b>", "a".repeat(129))), Err(TooLong));
        assert_eq!(forward(&format!("<a@{}>", "b".repeat(600))), Err(TooLong));
    }

    #[test]
    fn the_null_sender_and_parameters_behind_it() {
        assert_eq!(parse_reverse_path("<> SIZE=1"), Ok((None, " SIZE=1")));
    }
}
