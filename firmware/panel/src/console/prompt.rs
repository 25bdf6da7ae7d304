//! The command prompt: its line, its history, and how a line becomes words.

use crate::keys::Key;
use crate::line::{Line, Typed};

/// Most lines remembered.
const HISTORY_MAX: usize = 50;

/// The line at the prompt.
#[derive(Debug, Default)]
pub struct Prompt {
    line: Line,
    history: Vec<String>,
    /// Which remembered line is shown; past the end is a new one.
    at: usize,
}

impl Prompt {
    /// What stands on the screen of the line.
    pub fn shown(&self) -> &str {
        self.line.shown()
    }

    /// Whether nothing is typed.
    pub fn is_empty(&self) -> bool {
        self.line.text().is_empty()
    }

    /// Forgets what is typed.
    pub fn clear(&mut self) {
        self.line = Line::new();
        self.at = self.history.len();
    }

    /// Takes a key; up and down go through what was typed before.
    pub fn key(&mut self, key: Key) -> Typed {
        match key {
            Key::Up | Key::Down => {
                let at = if key == Key::Up { self.at.saturating_sub(1) } else { self.at + 1 };
                self.at = at.min(self.history.len());
                let text = self.history.get(self.at).map_or("", String::as_str);
                Typed::Echo(self.line.replace(text))
            }
            key => {
                let typed = self.line.key(key);
                if let Typed::Entered(text) = &typed {
                    self.remember(text);
                }
                typed
            }
        }
    }

    /// A password given as a word is not kept.
    fn remember(&mut self, text: &str) {
        let known = self.history.last().is_some_and(|last| last == text);
        if !text.trim().is_empty() && !known && !text.contains("--password") {
            if self.history.len() == HISTORY_MAX {
                self.history.remove(0);
            }
            self.history.push(text.to_owned());
        }
        self.at = self.history.len();
    }
}

/// Splits a line at blanks; quotation marks of either kind hold words together, a backslash takes the
/// next character as it is. `None` where a mark is not closed.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut mark: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, mark) {
            (c, Some(open)) if c == open => mark = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                mark = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    mark.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_hold_words_together() {
        assert_eq!(words(r#"a "b c" d'e f'\ g """#).unwrap(), ["a", "b c", "de f g", ""]);
        assert_eq!(words("  ").unwrap(), Vec::<String>::new());
        assert_eq!(words("say \"it"), None);
        assert_eq!(words(r"'a\b'").unwrap(), [r"a\b"]);
    }

    #[test]
    fn what_was_typed_comes_back_but_no_password() {
        let mut prompt = Prompt::default();
        for line in ["status", "account add a@b.example --password secret"] {
            for c in line.chars() {
                prompt.key(Key::Char(c));
            }
            prompt.key(Key::Enter);
        }
        prompt.key(Key::Up);
        assert_eq!(prompt.shown(), "status");
        prompt.key(Key::Up);
        prompt.key(Key::Down);
        assert_eq!(prompt.shown(), "");
    }
}
