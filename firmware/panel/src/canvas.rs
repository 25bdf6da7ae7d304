//! A page of 80 by 24 cells, and the VT100 sequences from one page to the next.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// Columns of a VT100.
pub const COLUMNS: usize = 80;
/// Rows of a VT100.
pub const ROWS: usize = 24;

/// How a cell looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// Brighter.
    Bold,
    /// Dark on light.
    Inverse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    /// The character; `None` is the right half of a wide one.
    c: Option<char>,
    style: Style,
}

const BLANK: Cell = Cell { c: Some(' '), style: Style::Plain };

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    rows: Vec<[Cell; COLUMNS]>,
}

impl Default for Canvas {
    fn default() -> Self {
        Self { rows: vec![[BLANK; COLUMNS]; ROWS] }
    }
}

impl Canvas {
    /// Writes `text` from `column` on; what does not fit is left out. Returns the column after it.
    pub fn put(&mut self, row: usize, column: usize, text: &str, style: Style) -> usize {
        let mut at = column;
        let Some(cells) = self.rows.get_mut(row) else { return at };
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let width = c.width().unwrap_or(0);
            if width == 0 {
                continue;
            }
            let Some(target) = cells.get_mut(at..at + width) else { break };
            target.fill(Cell { c: None, style });
            if let Some(first) = target.first_mut() {
                first.c = Some(c);
            }
            at += width;
        }
        at
    }

    /// Fills a whole row with `style` and puts `text` at its beginning.
    pub fn bar(&mut self, row: usize, text: &str) {
        if let Some(cells) = self.rows.get_mut(row) {
            cells.fill(Cell { c: Some(' '), style: Style::Inverse });
        }
        self.put(row, 1, text, Style::Inverse);
    }

    /// The page as plain text, without blanks at line ends.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let line: String = row.iter().filter_map(|cell| cell.c).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The sequences that draw this page on a cleared screen.
    pub fn draw(&self) -> String {
        // Autowrap off, so that the last column can be written; cursor hidden.
        let mut out = String::from("\x1b[0m\x1b[?7l\x1b[?25l\x1b[2J");
        self.changes(&Self::default(), &mut out);
        out
    }

    /// The sequences that turn `before`, as it stands on the screen, into this page.
    pub fn draw_over(&self, before: &Self) -> String {
        let mut out = String::new();
        self.changes(before, &mut out);
        out
    }

    fn changes(&self, before: &Self, out: &mut String) {
        for (number, (row, old)) in self.rows.iter().zip(&before.rows).enumerate() {
            let differs = |at: &usize| row.get(*at) != old.get(*at);
            let Some(mut first) = (0..COLUMNS).find(differs) else { continue };
            let last = (0..COLUMNS).rev().find(differs).unwrap_or(first);
            // Never begin in the right half of a wide letter, of the old page or of the new.
            let half =
                |at: usize| [row, old].iter().any(|cells| cells.get(at).is_some_and(|cell| cell.c.is_none()));
            while first > 0 && half(first) {
                first -= 1;
            }
            // Writing into a String cannot fail.
            let _written = write!(out, "\x1b[{};{}H", number + 1, first + 1);
            let mut style = Style::Plain;
            for cell in row.get(first..=last).unwrap_or_default() {
                if cell.style != style {
                    style = cell.style;
                    out.push_str(style_sequence(style));
                }
                out.extend(cell.c);
            }
            if style != Style::Plain {
                out.push_str(style_sequence(Style::Plain));
            }
        }
    }
}

fn style_sequence(style: Style) -> &'static str {
    match style {
        Style::Plain => "\x1b[0m",
        Style::Bold => "\x1b[0;1m",
        Style::Inverse => "\x1b[0;7m",
    }
}

/// What brings a VT100 back from pages to running text.
pub const LEAVE_PAGES: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[2J\x1b[H";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let mut before = Canvas::default();
        before.put(2, 0, "age 100 ms", Style::Plain);
        let mut after = Canvas::default();
        after.put(2, 0, "age 200 ms", Style::Plain);
        assert_eq!(after.draw_over(&before), "\x1b[3;5H2");
        assert_eq!(after.draw_over(&after), "");
    }

    #[test]
    fn a_change_never_begins_in_the_middle_of_a_wide_letter() {
        let mut before = Canvas::default();
        before.put(0, 0, "中文", Style::Plain);
        let mut after = Canvas::default();
        after.put(0, 0, "中x", Style::Bold);
        assert_eq!(after.draw_over(&before), "\x1b[1;1H\x1b[0;1m中x\x1b[0m ");
        let mut narrow = Canvas::default();
        narrow.put(0, 0, " 文", Style::Plain);
        assert!(narrow.draw_over(&before).starts_with("\x1b[1;1H"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_never_wraps() {
        let mut canvas = Canvas::default();
        assert_eq!(canvas.put(0, 78, "ab中", Style::Plain), 80);
        assert_eq!(canvas.put(0, 79, "中", Style::Plain), 79);
        canvas.put(99, 0, "nowhere", Style::Plain);
        assert_eq!(canvas.text().lines().next().unwrap().len(), 80);
    }
}
