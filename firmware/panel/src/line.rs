//! One line being typed at the console, with its echo.

use unicode_width::UnicodeWidthChar;

use crate::keys::Key;

/// Longest line that can be typed, in bytes.
pub const LINE_MAX_BYTES: usize = 1024;

/// A line being typed.
#[derive(Debug, Clone, Default)]
pub struct Line {
    text: String,
    secret: bool,
}

/// What a key did to the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// It changed, or nothing happened; this is the echo.
    Echo(String),
    /// It is complete.
    Entered(String),
}

impl Line {
    /// A line that is echoed.
    pub fn new() -> Self {
        Self::default()
    }

    /// A line that is not echoed.
    pub fn secret() -> Self {
        Self { text: String::new(), secret: true }
    }

    /// What was typed so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands on the screen of it.
    pub fn shown(&self) -> &str {
        if self.secret { "" } else { &self.text }
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Typed {
        match key {
            Key::Enter => Typed::Entered(std::mem::take(&mut self.text)),
            Key::Char(c) if self.text.len() + c.len_utf8() <= LINE_MAX_BYTES => {
                self.text.push(c);
                Typed::Echo(if self.secret { String::new() } else { c.to_string() })
            }
            Key::Backspace => {
                let gone = self.text.pop();
                Typed::Echo(gone.filter(|_| !self.secret).map(rub_out).unwrap_or_default())
            }
            Key::Control('u') => Typed::Echo(self.replace("")),
            _ => Typed::Echo(String::new()),
        }
    }

    /// Puts another text in its place; returns the echo.
    pub fn replace(&mut self, text: &str) -> String {
        let old = std::mem::replace(&mut self.text, text.to_owned());
        if self.secret {
            return String::new();
        }
        let mut echo: String = old.chars().rev().map(rub_out).collect();
        echo.push_str(text);
        echo
    }
}

fn rub_out(c: char) -> String {
    "\x08 \x08".repeat(c.width().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_letter_is_rubbed_out_whole() {
        let mut line = Line::new();
        assert_eq!(line.key(Key::Char('中')), Typed::Echo("中".to_owned()));
        assert_eq!(line.key(Key::Backspace), Typed::Echo("\x08 \x08\x08 \x08".to_owned()));
        assert_eq!(line.key(Key::Backspace), Typed::Echo(String::new()));
    }

    #[test]
    fn a_secret_line_shows_nothing_and_every_line_is_bounded() {
        let mut line = Line::secret();
        for _ in 0..LINE_MAX_BYTES + 10 {
            assert_eq!(line.key(Key::Char('x')), Typed::Echo(String::new()));
        }
        assert_eq!(line.shown(), "");
        assert!(matches!(line.key(Key::Enter), Typed::Entered(text) if text.len() == LINE_MAX_BYTES));
    }
}
