//! A Crystalfontz CFA635 on the other end of a box's LCD port.
//!
//! Packets as in its data sheet: type, length (0 to 22), data, CRC low byte first. A command is
//! answered with its type and 0x40, a refused one with 0xC0; keys are reported as 0x80.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use crc::{CRC_16_IBM_SDLC, Crc};
use serde::{Deserialize, Serialize};

use crate::chardev::Chardev;
use crate::error::Result;

/// Columns of the glass.
pub const COLUMNS: usize = 20;
/// Rows of the glass.
pub const ROWS: usize = 4;

const DATA_MAX: usize = 22;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);
const VERSION: &[u8; 16] = b"CFA635:h1.1,s1.5";
/// A display that hears nothing for so long shows an old picture.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// What the display shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glass {
    /// Character codes of the display's own set, row by row.
    pub cells: [[u8; COLUMNS]; ROWS],
    /// The eight characters the box may draw itself, row by row, five bits each.
    pub own_characters: [[u8; 8]; 8],
    /// Backlight in percent.
    pub backlight: u8,
    /// The four lamps from the top, green and red in percent each.
    pub lamps: [[u8; 2]; 4],
    /// Whether the box has said anything lately.
    pub fresh: bool,
}

impl Default for Glass {
    fn default() -> Self {
        Self {
            cells: [[b' '; COLUMNS]; ROWS],
            own_characters: [[0; 8]; 8],
            backlight: 0,
            lamps: [[0; 2]; 4],
            fresh: false,
        }
    }
}

/// The six keys under the glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// The tick.
    Enter,
    /// The cross.
    Escape,
}

impl Key {
    fn press_code(self) -> u8 {
        self as u8 + 1
    }

    fn release_code(self) -> u8 {
        self as u8 + 7
    }
}

/// The display of one box.
#[derive(Debug)]
pub struct Lcd {
    line: Arc<Chardev>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    glass: Glass,
    input: Vec<u8>,
    cursor: (usize, usize),
    heard: Option<Instant>,
}

impl Lcd {
    /// Plugs a display into the port that QEMU connects to `path`.
    pub fn plug(path: &Path) -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let own = Arc::clone(&state);
        let line = Chardev::listen(path, move |line, bytes| {
            let answers = lock(&own).take(bytes);
            line.send(&answers);
        })?;
        Ok(Self { line, state })
    }

    /// What it shows.
    pub fn glass(&self) -> Glass {
        let state = lock(&self.state);
        let fresh = state.heard.is_some_and(|heard| heard.elapsed() < SILENT_AFTER);
        Glass { fresh, ..state.glass.clone() }
    }

    /// The box lost its power, and the display with it.
    pub fn power_lost(&self) {
        *lock(&self.state) = State::default();
    }

    /// Presses a key and lets it go.
    pub fn press(&self, key: Key) {
        self.line.send(&packet(0x80, &[key.press_code()]));
        std::thread::sleep(Duration::from_millis(80));
        self.line.send(&packet(0x80, &[key.release_code()]));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, data.len() as u8];
    bytes.extend(data);
    bytes.extend(CRC.checksum(&bytes).to_le_bytes());
    bytes
}

impl State {
    /// Takes bytes from the line; gives what goes back.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend(bytes);
        let mut answers = Vec::new();
        loop {
            let [kind, length, rest @ ..] = &self.input[..] else { return answers };
            let length = usize::from(*length);
            // What cannot be the start of a command is noise; the next byte may be one.
            if *kind > 0x3F || length > DATA_MAX {
                self.input.remove(0);
                continue;
            }
            if rest.len() < length + 2 {
                return answers;
            }
            let sum = u16::from_le_bytes([rest[length], rest[length + 1]]);
            if sum != CRC.checksum(&self.input[..length + 2]) {
                self.input.remove(0);
                continue;
            }
            let (kind, data) = (*kind, rest[..length].to_vec());
            self.input.drain(..length + 4);
            self.heard = Some(Instant::now());
            answers.extend(match self.obey(kind, &data) {
                Some(answer) => packet(0x40 | kind, &answer),
                None => packet(0xC0 | kind, &[]),
            });
        }
    }

    fn obey(&mut self, kind: u8, data: &[u8]) -> Option<Vec<u8>> {
        match (kind, data) {
            // 0: ping, gives back what it got.
            (0, _) => return Some(data.to_vec()),
            // 1: hardware and firmware version.
            (1, []) => return Some(VERSION.to_vec()),
            // 4: keep the state for the next start; 5: restart the display.
            (4, []) | (5, [8, 18, 99]) => {}
            // 6: clear the glass.
            (6, []) => self.glass.cells = [[b' '; COLUMNS]; ROWS],
            // 9: draw one of the display's own eight characters.
            (9, [index @ 0..=7, rows @ ..]) if rows.len() == 8 => {
                self.glass.own_characters[usize::from(*index)].copy_from_slice(rows);
            }
            // 11: cursor position, 12: cursor style, 13: contrast.
            (11, [column, row]) if in_glass(*column, *row) => {
                self.cursor = (usize::from(*column), usize::from(*row));
            }
            (12, [0..=4]) | (13, [_]) => {}
            // 14: backlight of display, and of the keys.
            (14, [percent @ 0..=100] | [percent @ 0..=100, 0..=100]) => self.glass.backlight = *percent,
            // 23: which keys are reported; 24: which keys are down now.
            (23, [_, _]) => {}
            (24, []) => return Some(vec![0, 0, 0]),
            // 31: text at column and row.
            (31, [column, row, text @ ..]) if in_glass(*column, *row) && !text.is_empty() => {
                let cells = &mut self.glass.cells[usize::from(*row)][usize::from(*column)..];
                for (cell, code) in cells.iter_mut().zip(text) {
                    *cell = *code;
                }
            }
            // 34: outputs; 5 and 6 are green and red of the lowest lamp, 11 and 12 of the highest.
            (34, [index @ 5..=12, percent @ 0..=100]) => {
                let number = usize::from(*index - 5);
                self.glass.lamps[3 - number / 2][number % 2] = *percent;
            }
            (34, [0..=4, _, ..]) => {}
            _ => return None,
        }
        Some(Vec::new())
    }
}

fn in_glass(column: u8, row: u8) -> bool {
    usize::from(column) < COLUMNS && usize::from(row) < ROWS
}

/// The display's character set, as far as it differs from ASCII (data sheet, character generator).
const DIFFERENT: [(u8, char); 24] = [
    (0x10, '\u{25b6}'),
    (0x11, '\u{25c0}'),
    (0x1D, '^'),
    (0x1F, '\u{2588}'),
    (0x24, '\u{a4}'),
    (0x40, '\u{a1}'),
    (0x5B, '\u{c4}'),
    (0x5C, '\u{d6}'),
    (0x5D, '\u{d1}'),
    (0x5E, '\u{dc}'),
    (0x5F, '\u{a7}'),
    (0x60, '\u{bf}'),
    (0x7B, '\u{e4}'),
    (0x7C, '\u{f6}'),
    (0x7D, '\u{f1}'),
    (0x7E, '\u{fc}'),
    (0x7F, '\u{e0}'),
    (0xA0, '@'),
    (0xA2, '$'),
    (0xC4, '_'),
    (0xDE, '\u{2191}'),
    (0xDF, '\u{2192}'),
    (0xE0, '\u{2193}'),
    (0xE1, '\u{2190}'),
];
/// The same for the last six codes: brackets and braces.
const LAST: [char; 6] = ['[', '\\', ']', '{', '|', '}'];

/// The character behind a code of the display's set.
pub fn character(code: u8) -> char {
    if let Some((_, character)) = DIFFERENT.iter().find(|(different, _)| *different == code) {
        return *character;
    }
    match code {
        0xFA..=0xFF => LAST[usize::from(code - 0xFA)],
        0xCE => '~',
        0x20..=0x7E => char::from(code),
        0x00..=0x0F => '\u{25a1}',
        _ => '?',
    }
}

impl Glass {
    /// The glass as text, one string a row.
    pub fn rows(&self) -> [String; ROWS] {
        self.cells.map(|row| row.iter().map(|code| character(*code)).collect())
    }

    /// The glass in a frame, with its lamps, for a terminal.
    pub fn framed(&self, title: &str) -> String {
        let edge = "\u{2500}".repeat(COLUMNS + 2);
        let mut text = format!("\u{250c}{edge}\u{2510} {title}\n");
        for (row, lamp) in self.rows().iter().zip(self.lamps) {
            let name = match (lamp[0] > 0, lamp[1] > 0) {
                (true, true) => "\u{25cf} amber",
                (true, false) => "\u{25cf} green",
                (false, true) => "\u{25cf} red",
                (false, false) => "\u{25cb}",
            };
            let _ = writeln!(text, "\u{2502} {row} \u{2502} {name}");
        }
        let state = match (self.fresh, self.backlight) {
            (false, _) => "the box says nothing to it",
            (true, 0) => "backlight off",
            (true, _) => "",
        };
        let _ = write!(text, "\u{2514}{edge}\u{2518} {state}");
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_data_sheet() {
        assert_eq!(packet(0, &[]), [0x00, 0x00, 0x47, 0x0F]);
        assert_eq!(packet(0x80, &[1]), [0x80, 0x01, 0x01, 0x71, 0xC2]);
        assert_eq!(State::default().take(&[0x00, 0x00, 0x47, 0x0F]), [0x40, 0x00, 0x21, 0x49]);
    }

    #[test]
    fn text_arrives_whatever_noise_came_before() {
        let mut state = State::default();
        let mut bytes = vec![0xFF, 0x03, 0x10];
        bytes.extend(packet(31, b"\x02\x01mail ok"));
        let mut answers = Vec::new();
        for byte in bytes {
            answers.extend(state.take(&[byte]));
        }
        // The noise can look like the start of a packet; a ping later it is over.
        for _ in 0..8 {
            answers.extend(state.take(&packet(0, &[])));
        }
        assert_eq!(state.glass.rows()[1].trim(), "mail ok");
        assert!(answers.windows(2).any(|two| two == [0x40 | 31, 0]));
    }

    #[test]
    fn text_beyond_the_edge_is_cut_and_a_wrong_place_refused() {
        let mut state = State::default();
        state.take(&packet(31, b"\x12\x00abcdef"));
        assert_eq!(state.glass.rows()[0], format!("{:18}ab", ""));
        let refused = state.take(&packet(31, b"\x00\x04x"));
        assert_eq!(refused[0], 0xC0 | 31);
    }

    #[test]
    fn lamps_are_counted_from_the_top() {
        let mut state = State::default();
        state.take(&packet(34, &[12, 100]));
        state.take(&packet(34, &[5, 50]));
        assert_eq!(state.glass.lamps, [[0, 100], [0, 0], [0, 0], [50, 0]]);
    }
}
