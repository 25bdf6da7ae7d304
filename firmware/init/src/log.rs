//! The bounded log ring: what kernel and services said, oldest lines lost first. Pure.

use std::collections::VecDeque;

use control::init::LogLine;

/// Most lines kept.
pub const LINES_MAX: usize = 4_000;
/// Most bytes of text kept.
pub const BYTES_MAX: usize = 1 << 20;
/// Longest line kept; the rest of it is cut.
pub const LINE_MAX_BYTES: usize = 1_000;

/// What kernel and services said.
#[derive(Debug, Default)]
pub struct Log {
    lines: VecDeque<LogLine>,
    bytes: usize,
    last: u64,
}

impl Log {
    /// Adds one line and gives it back as it was kept.
    pub fn add(&mut self, at_ms: u64, service: &str, text: &str) -> &LogLine {
        let mut end = text.len().min(LINE_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // Nothing a service says may steer the terminal of the administrator.
        let text: String =
            text[..end].chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect();
        self.last += 1;
        self.bytes += text.len();
        self.lines.push_back(LogLine { number: self.last, at_ms, service: service.to_owned(), text });
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.text.len();
        }
        // The line just added is shorter than BYTES_MAX, so it is still there.
        &self.lines[self.lines.len() - 1]
    }

    /// The newest `lines_max` lines after number `after`, oldest first.
    pub fn after(&self, after: u64, lines_max: usize) -> Vec<LogLine> {
        let newer = self.lines.iter().rev().take_while(|line| line.number > after).take(lines_max);
        let mut lines: Vec<_> = newer.cloned().collect();
        lines.reverse();
        lines
    }
}

/// Cuts a stream of bytes into lines; a line without end is cut at [`LINE_MAX_BYTES`].
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes and hands out every line that they complete.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' {
                line(String::from_utf8_lossy(&self.begun).trim_end_matches('\r'));
                self.begun.clear();
            } else if self.begun.len() < LINE_MAX_BYTES {
                self.begun.push(*byte);
            }
        }
    }

    /// Hands out what was begun and will never be completed.
    pub fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            line(&String::from_utf8_lossy(&self.begun));
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_in_lines_and_bytes_and_counts_on() {
        let mut log = Log::default();
        let long = "x".repeat(LINE_MAX_BYTES * 2);
        for _ in 0..LINES_MAX + 10 {
            log.add(1, "mail", &long);
        }
        assert!(log.lines.len() <= LINES_MAX && log.bytes <= BYTES_MAX);
        let newest = log.after(0, 1);
        assert_eq!(newest[0].number, LINES_MAX as u64 + 10);
        assert_eq!(newest[0].text.len(), LINE_MAX_BYTES);
    }

    #[test]
    fn only_newer_lines_come_oldest_first() {
        let mut log = Log::default();
        for text in ["a", "b", "c", "d"] {
            log.add(0, "init", text);
        }
        let texts: Vec<_> = log.after(1, 2).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["c", "d"]);
    }

    #[test]
    fn a_service_cannot_steer_the_terminal() {
        let mut log = Log::default();
        assert_eq!(log.add(0, "mail", "\u{1b}[2Jhello\u{7}").text, "?[2Jhello?");
    }

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for piece in [&b"one\ntw"[..], b"o\r\n", b"three"] {
            lines.feed(piece, |line| got.push(line.to_owned()));
        }
        lines.finish(|line| got.push(line.to_owned()));
        assert_eq!(got, ["one", "two", "three"]);
    }
}
