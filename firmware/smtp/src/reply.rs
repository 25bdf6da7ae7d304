//! Replies: what the server says, and how the client reads it (RFC 5321 4.2, RFC 2034, RFC 3463).

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// Longest reply line accepted from a server, in octets; RFC 5321 4.5.3.1.5 asks for 512.
pub const REPLY_LINE_MAX_BYTES: usize = 4096;
/// Most lines of one reply accepted from a server.
pub const REPLY_LINES_MAX: usize = 128;

/// One reply, of one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Reply code, 200 to 599.
    pub code: u16,
    /// Enhanced status code, such as `5.1.1`; empty where RFC 2034 forbids one.
    pub status: Cow<'static, str>,
    /// The text, lines separated by LF.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status code.
    pub const fn new(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, status: Cow::Borrowed(status), text: Cow::Borrowed(text) }
    }

    /// A reply whose text is made at run time.
    pub fn with_text(code: u16, status: &'static str, text: impl Into<String>) -> Self {
        Self { code, status: Cow::Borrowed(status), text: Cow::Owned(text.into()) }
    }

    /// Whether the command was carried out, or may go on (2yz and 3yz).
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// Whether trying again may help (4yz).
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether trying again is useless (5yz).
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The enhanced status, or the general one of the code's class (RFC 3463 3.1).
    pub fn status_or_class(&self) -> String {
        if self.status.is_empty() { format!("{}.0.0", self.code / 100) } else { self.status.to_string() }
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let digit = |ten: u16| b'0' + (self.code / ten % 10) as u8;
            let separator = if lines.peek().is_some() { b'-' } else { b' ' };
            out.extend_from_slice(&[digit(100), digit(10), digit(1), separator]);
            if !self.status.is_empty() {
                out.extend_from_slice(self.status.as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.status.is_empty() {
            write!(f, " {}", self.status)?;
        }
        write!(f, " {}", self.text.replace('\n', " "))
    }
}

/// Why what a server sent is not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// No three digits and a separator, or lines with different codes.
    #[error("the other server's answer is not SMTP")]
    Malformed,
    /// More lines, or longer ones, than any server sends.
    #[error("the other server's answer is too long")]
    TooLong,
}

/// Takes one complete reply off the front of `input`; `None` until it is complete.
///
/// A bare LF also ends a line here: being lenient with a reply cannot smuggle a message.
pub fn take_reply(input: &mut Vec<u8>) -> Result<Option<Reply>, ReplyError> {
    let mut texts: Vec<String> = Vec::new();
    let mut code = None;
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or(&[]);
        let Some(end) = memchr::memchr(b'\n', rest) else {
            let long = rest.len() > REPLY_LINE_MAX_BYTES;
            return if long { Err(ReplyError::TooLong) } else { Ok(None) };
        };
        if end > REPLY_LINE_MAX_BYTES || texts.len() >= REPLY_LINES_MAX {
            return Err(ReplyError::TooLong);
        }
        let line = String::from_utf8_lossy(rest.get(..end).unwrap_or(&[]));
        let (this, last, text) = split_line(line.trim_end_matches('\r'))?;
        if *code.get_or_insert(this) != this {
            return Err(ReplyError::Malformed);
        }
        texts.push(text.to_owned());
        at += end + 1;
        if last {
            input.drain(..at);
            return Ok(Some(assemble(this, &texts)));
        }
    }
}

fn split_line(line: &str) -> Result<(u16, bool, &str), ReplyError> {
    let digits = line.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let code: u16 = digits.and_then(|d| d.parse().ok()).ok_or(ReplyError::Malformed)?;
    if !(200..600).contains(&code) {
        return Err(ReplyError::Malformed);
    }
    let rest = line.get(3..).unwrap_or("");
    match rest.as_bytes().first() {
        None => Ok((code, true, "")),
        Some(b' ') => Ok((code, true, &rest[1..])),
        Some(b'-') => Ok((code, false, &rest[1..])),
        Some(_) => Err(ReplyError::Malformed),
    }
}

/// Joins the lines of a reply and lifts the enhanced status out of them.
fn assemble(code: u16, texts: &[String]) -> Reply {
    let status = texts.first().and_then(|text| text.split(' ').next()).filter(|s| is_status(code, s));
    let status = status.map(str::to_owned);
    let strip = |text: &String| -> String {
        let bare = status.as_ref().and_then(|s| text.strip_prefix(s.as_str()));
        let text = bare.map_or(text.as_str(), str::trim_start);
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let text: Vec<String> = texts.iter().map(strip).collect();
    Reply { code, status: status.unwrap_or_default().into(), text: text.join("\n").into() }
}

fn is_status(code: u16, text: &str) -> bool {
    let mut parts = text.split('.');
    let class = parts.next().and_then(|c| c.parse().ok());
    let number = |part: Option<&str>| {
        part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    class == Some(code / 100) && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_many_lines_is_read_as_one() {
        let mut input = b"550-5.1.1 no\r\n550 5.1.1 such user\r\n250 ok\r\n".to_vec();
        let reply = take_reply(&mut input).unwrap().unwrap();
        assert_eq!((reply.code, &*reply.status, &*reply.text), (550, "5.1.1", "no\nsuch user"));
        assert_eq!(take_reply(&mut input).unwrap().unwrap().code, 250);
        assert_eq!(take_reply(&mut input), Ok(None));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bad in [&b"hello\r\n"[..], b"250x\r\n", b"99 x\r\n", b"250-a\r\n550 b\r\n", b"\r\n", b"600 a\r\n"]
        {
            assert_eq!(take_reply(&mut bad.to_vec()), Err(ReplyError::Malformed));
        }
        assert_eq!(take_reply(&mut vec![b'2'; 5000]), Err(ReplyError::TooLong));
        assert_eq!(take_reply(&mut b"250-a\r\n".repeat(200)), Err(ReplyError::TooLong));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let reply = Reply::new(452, "4.2.2", "full\nof mail");
        let mut wire = Vec::new();
        reply.write(&mut wire);
        assert_eq!(wire, b"452-4.2.2 full\r\n452 4.2.2 of mail\r\n");
        assert_eq!(take_reply(&mut wire), Ok(Some(reply)));
    }
}
