//! What was read and not yet understood, taken as lines or as raw octets.

use memchr::memchr;

/// Bytes from the client, taken as lines or as raw text.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    at: usize,
    /// A line grew past its limit; the rest of it is thrown away.
    overlong: bool,
}

/// One line, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its CRLF.
    Whole(Vec<u8>),
    /// It ended with LF only. RFC 5321 2.3.8 forbids to take that for a line end.
    BareLf(Vec<u8>),
    /// It was longer than the limit.
    TooLong,
}

/// How a line ended; see [`Line`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// With CRLF.
    Whole,
    /// With LF only.
    BareLf,
    /// Beyond the limit.
    TooLong,
}

impl Input {
    /// Adds what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets everything that was read (RFC 3207 4.2).
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is there and not yet taken.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// Takes octets off the front.
    pub fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.bytes.len());
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
    }

    /// Takes one line of at most `limit_bytes`, CRLF included, into `line`, whose memory is used again.
    pub fn take_line_into(&mut self, limit_bytes: usize, line: &mut Vec<u8>) -> Option<LineEnd> {
        line.clear();
        let Some(end) = memchr(b'\n', self.rest()) else {
            if self.rest().len() >= limit_bytes {
                self.overlong = true;
                self.consume(self.rest().len());
            }
            return None;
        };
        let raw = self.rest().get(..end).unwrap_or(&[]);
        let kind = if self.overlong || end >= limit_bytes {
            LineEnd::TooLong
        } else if let Some(whole) = raw.strip_suffix(b"\r") {
            line.extend_from_slice(whole);
            LineEnd::Whole
        } else {
            line.extend_from_slice(raw);
            LineEnd::BareLf
        };
        self.overlong = false;
        self.consume(end + 1);
        Some(kind)
    }

    /// Takes one line of at most `limit_bytes`, CRLF included.
    pub fn take_line(&mut self, limit_bytes: usize) -> Option<Line> {
        let mut line = Vec::new();
        Some(match self.take_line_into(limit_bytes, &mut line)? {
            LineEnd::Whole => Line::Whole(line),
            LineEnd::BareLf => Line::BareLf(line),
            LineEnd::TooLong => Line::TooLong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_and_bounded() {
        let mut input = Input::default();
        input.feed(b"EHLO a\r\nbad\n");
        assert_eq!(input.take_line(100), Some(Line::Whole(b"EHLO a".to_vec())));
        assert_eq!(input.take_line(100), Some(Line::BareLf(b"bad".to_vec())));
        assert_eq!(input.take_line(100), None);
        for _ in 0..1000 {
            input.feed(&[b'x'; 64]);
            assert_eq!(input.take_line(100), None);
            assert!(input.rest().len() < 200);
        }
        input.feed(b"\r\nQUIT\r\n");
        assert_eq!(input.take_line(100), Some(Line::TooLong));
        assert_eq!(input.take_line(100), Some(Line::Whole(b"QUIT".to_vec())));
    }
}
