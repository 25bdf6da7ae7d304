//! A page of text to scroll through: the log, the decisions.

use admin::Language;

use crate::canvas::{Canvas, ROWS, Style};
use crate::keys::Key;
use crate::known::Known;
use crate::text::Text;

/// Rows of text on one page.
const PAGE_ROWS: usize = ROWS - 2;
/// Most lines kept.
pub const LINES_MAX: usize = 2_000;

/// Lines, and which of them are on the screen.
#[derive(Debug, Default)]
pub struct View {
    lines: Vec<String>,
    top: usize,
    loaded: bool,
    /// The newest lines stay in sight.
    following: bool,
}

impl View {
    /// An empty page that shows the end of what will come.
    pub fn new() -> Self {
        Self { following: true, ..Self::default() }
    }

    /// The lines, newest last; beyond [`LINES_MAX`] the oldest are left out.
    pub fn fill(&mut self, text: &str) {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        self.lines = lines.into_iter().rev().take(LINES_MAX).collect();
        self.lines.reverse();
        self.loaded = true;
        self.top = if self.following { self.last_top() } else { self.top.min(self.last_top()) };
    }

    fn last_top(&self) -> usize {
        self.lines.len().saturating_sub(PAGE_ROWS)
    }

    /// Scrolls.
    pub fn key(&mut self, key: Key) {
        let top = match key {
            Key::Up => self.top.saturating_sub(1),
            Key::Down | Key::Enter => self.top + 1,
            Key::PageUp => self.top.saturating_sub(PAGE_ROWS),
            Key::PageDown | Key::Char(' ') => self.top + PAGE_ROWS,
            Key::Home => 0,
            Key::End => usize::MAX,
            _ => self.top,
        };
        self.top = top.min(self.last_top());
        self.following = self.top == self.last_top();
    }

    /// Draws the page.
    pub fn draw(&self, title: Text, known: &Known, language: Language) -> Canvas {
        let mut canvas = Canvas::default();
        canvas.bar(0, &format!("Twinmail   {}   {}", known.box_name(), title.get(language)));
        for (row, line) in self.lines.iter().skip(self.top).take(PAGE_ROWS).enumerate() {
            canvas.put(row + 1, 0, line, Style::Plain);
        }
        if self.lines.is_empty() {
            let text = if self.loaded { Text::ViewEmpty } else { Text::Working };
            canvas.put(2, 1, text.get(language), Style::Plain);
        }
        let last = (self.top + PAGE_ROWS).min(self.lines.len());
        let first = (self.top + 1).min(last);
        canvas.bar(ROWS - 1, &Text::ViewBar.fill(language, &[&first, &last, &self.lines.len()]));
        canvas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_in_sight_until_somebody_scrolls_back() {
        let text = |count: usize| {
            let lines: Vec<_> = (0..count).map(|n| format!("line {n}")).collect();
            lines.join("\n")
        };
        let mut view = View::new();
        view.fill(&text(100));
        let known = Known::default();
        assert!(view.draw(Text::MenuLog, &known, Language::En).text().contains("line 99"));
        view.key(Key::Home);
        view.fill(&text(5_000));
        assert!(view.draw(Text::MenuLog, &known, Language::En).text().contains("line 3000"));
        view.key(Key::End);
        view.key(Key::PageDown);
        assert!(view.draw(Text::MenuLog, &known, Language::En).text().contains("1979 to 2000 of 2000"));
    }
}
