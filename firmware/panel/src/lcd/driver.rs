//! Brings rows and lamps to the glass, one acknowledged packet at a time.
//!
//! Pure: bytes and the time go in, bytes and key presses come out. A display that does not answer is
//! given up after [`TRIES_MAX`] tries and looked for again every [`RETRY_MS`].

use std::collections::VecDeque;

use board::LcdModel;

use super::packet::{self, Decoder, Packet};
use super::{Face, LcdKey};

/// How long an answer may take; the data sheet promises 250 ms.
const ANSWER_MS: u64 = 300;
/// How often one packet is sent before the display counts as absent.
pub const TRIES_MAX: u32 = 3;
/// How long an absent display is left alone.
pub const RETRY_MS: u64 = 5_000;
/// With nothing to change, a ping goes out this often; it notices a display that was unplugged.
const PING_MS: u64 = 3_000;
/// Everything is drawn again this often, for a display that was restarted without our noticing.
const REDRAW_MS: u64 = 60_000;
/// Most key presses kept until they are fetched.
const KEYS_MAX: usize = 16;
/// Backlight in percent.
const BACKLIGHT_PERCENT: u8 = 70;

/// How the display is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not heard from yet.
    Unknown,
    /// It answers.
    Present,
    /// It does not answer.
    Absent,
}

/// The packet in flight.
#[derive(Debug)]
struct InFlight {
    packet: Packet,
    done: Done,
    sent_ms: u64,
    tries: u32,
}

/// What holds once a packet was obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Nothing,
    Cleared,
    Lit,
    Row(usize, Vec<u8>),
    Output(u8, u8),
}

/// The driver of one display.
#[derive(Debug)]
pub struct Driver {
    model: LcdModel,
    decoder: Decoder,
    health: Health,
    wanted: Face,
    /// What the glass shows, row by row; `None` is unknown.
    shown: Vec<Option<Vec<u8>>>,
    /// What the outputs 5 to 12 are, as far as known.
    outputs: [Option<u8>; 8],
    cleared: bool,
    lit: bool,
    in_flight: Option<InFlight>,
    output: Vec<u8>,
    keys: VecDeque<LcdKey>,
    quiet_until_ms: u64,
    drawn_ms: u64,
}

impl Driver {
    /// A driver for a display of this model.
    pub fn new(model: LcdModel) -> Self {
        let rows = usize::from(model.size().1);
        Self {
            model,
            decoder: Decoder::default(),
            health: Health::Unknown,
            wanted: Face::default(),
            shown: vec![None; rows],
            outputs: [None; 8],
            cleared: false,
            lit: false,
            in_flight: None,
            output: Vec::new(),
            keys: VecDeque::new(),
            quiet_until_ms: 0,
            drawn_ms: 0,
        }
    }

    /// What the glass shall show.
    pub fn show(&mut self, face: Face) {
        self.wanted = face;
    }

    /// How the display is doing.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The oldest key press not yet fetched.
    pub fn take_key(&mut self) -> Option<LcdKey> {
        self.keys.pop_front()
    }

    /// What is to be written to the line.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes what came over the line.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        for byte in bytes {
            if let Some(packet) = self.decoder.take(*byte) {
                self.heard(&packet, now_ms);
            }
        }
        self.tick(now_ms);
    }

    /// Lets the time go on: sends the next packet, or again one that was not answered.
    pub fn tick(&mut self, now_ms: u64) {
        match &mut self.in_flight {
            Some(flight) if now_ms < flight.sent_ms + ANSWER_MS => {}
            Some(flight) if flight.tries < TRIES_MAX => {
                flight.tries += 1;
                flight.sent_ms = now_ms;
                self.output = flight.packet.encode();
            }
            Some(_) => self.lose(now_ms),
            None => self.send_next(now_ms),
        }
    }

    /// The line itself is gone.
    pub fn lose(&mut self, now_ms: u64) {
        self.in_flight = None;
        self.health = Health::Absent;
        self.forget();
        self.quiet_until_ms = now_ms + RETRY_MS;
    }

    fn forget(&mut self) {
        self.shown.fill(None);
        self.outputs.fill(None);
        self.cleared = false;
        self.lit = false;
    }

    fn heard(&mut self, packet: &Packet, now_ms: u64) {
        if packet.kind == packet::KEY_REPORT {
            let key = packet.data.first().and_then(|code| LcdKey::pressed(*code));
            if let Some(key) = key.filter(|_| self.keys.len() < KEYS_MAX) {
                self.keys.push_back(key);
            }
            return;
        }
        let answered = self.in_flight.as_ref().and_then(|flight| packet.answers(flight.packet.kind));
        if answered.is_none() {
            return;
        }
        // A refused command is taken as done: asking again would be refused again.
        let Some(flight) = self.in_flight.take() else { return };
        if self.health != Health::Present {
            self.health = Health::Present;
            self.drawn_ms = now_ms;
        }
        self.quiet_until_ms = now_ms + PING_MS;
        match flight.done {
            Done::Nothing => {}
            Done::Cleared => self.cleared = true,
            Done::Lit => self.lit = true,
            Done::Row(row, text) => {
                if let Some(shown) = self.shown.get_mut(row) {
                    *shown = Some(text);
                }
            }
            Done::Output(index, percent) => {
                if let Some(output) = self.outputs.get_mut(usize::from(index)) {
                    *output = Some(percent);
                }
            }
        }
    }

    fn send_next(&mut self, now_ms: u64) {
        if self.health == Health::Present && now_ms >= self.drawn_ms + REDRAW_MS {
            self.drawn_ms = now_ms;
            self.shown.fill(None);
            self.outputs.fill(None);
        }
        let next = if self.health == Health::Present { self.difference() } else { None };
        let (packet, done) = match next {
            Some(next) => next,
            None if now_ms >= self.quiet_until_ms => (Packet::new(packet::PING, &[]), Done::Nothing),
            None => return,
        };
        self.output = packet.encode();
        self.in_flight = Some(InFlight { packet, done, sent_ms: now_ms, tries: 1 });
    }

    /// The first thing that is not on the glass as it should be.
    fn difference(&self) -> Option<(Packet, Done)> {
        if !self.cleared {
            return Some((Packet::new(packet::CLEAR, &[]), Done::Cleared));
        }
        if !self.lit {
            return Some((Packet::new(packet::BACKLIGHT, &[BACKLIGHT_PERCENT]), Done::Lit));
        }
        for (row, shown) in self.shown.iter().enumerate() {
            let text = self.row_codes(row);
            if shown.as_ref() != Some(&text) {
                return Some((self.row_packet(row, &text), Done::Row(row, text)));
            }
        }
        if self.model != LcdModel::Cfa635 {
            return None;
        }
        let wanted = self.wanted.lamps.iter().rev().flat_map(|lamp| [lamp.green, lamp.red]);
        let outputs = wanted.zip(self.outputs).zip(0_u8..);
        for ((on, is), index) in outputs {
            let percent = if on { 100 } else { 0 };
            if is != Some(percent) {
                // Outputs 5 and 6 are green and red of the lowest lamp, 11 and 12 of the highest.
                let packet = Packet::new(packet::OUTPUT, &[index + 5, percent]);
                return Some((packet, Done::Output(index, percent)));
            }
        }
        None
    }

    fn row_packet(&self, row: usize, text: &[u8]) -> Packet {
        match self.model {
            LcdModel::Cfa633 => Packet::new(packet::LINE_1 + row as u8, text),
            LcdModel::Cfa631 | LcdModel::Cfa635 | LcdModel::None => {
                Packet::new(packet::TEXT, &[&[0, row as u8], text].concat())
            }
        }
    }

    /// One row in the display's own codes, filled up with blanks.
    fn row_codes(&self, row: usize) -> Vec<u8> {
        let columns = usize::from(self.model.size().0);
        let text = self.wanted.rows.get(row).map_or("", String::as_str);
        text.chars().map(glass_code).chain(std::iter::repeat(b' ')).take(columns).collect()
    }
}

/// The display's code of a character. Its character generator has ASCII with gaps and no Chinese
/// (CFA635 data sheet, character generator ROM); what it has not becomes a question mark.
fn glass_code(c: char) -> u8 {
    match c {
        '@' => 0xA0,
        '$' => 0xA2,
        '_' => 0xC4,
        '[' => b'(',
        ']' => b')',
        '{' | '}' | '\\' | '^' | '`' | '|' | '~' => b'\'',
        ' '..='~' => c as u8,
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lcd::Lamp;

    /// A display that obeys, seen from its end of the line.
    fn obey(driver: &mut Driver, now_ms: u64) -> Vec<Packet> {
        let mut seen = Vec::new();
        for _ in 0..64 {
            driver.tick(now_ms);
            let bytes = driver.take_output();
            let [kind, length, rest @ ..] = bytes.as_slice() else { break };
            let data = &rest[..usize::from(*length)];
            seen.push(Packet::new(*kind, data));
            driver.receive(&Packet::new(0x40 | kind, &[]).encode(), now_ms);
        }
        seen
    }

    fn face(text: &str) -> Face {
        Face { rows: vec![text.to_owned()], lamps: [Lamp::GREEN, Lamp::OFF, Lamp::OFF, Lamp::RED] }
    }

    #[test]
    fn a_present_display_is_cleared_lit_and_written_once() {
        let mut driver = Driver::new(LcdModel::Cfa635);
        driver.show(face("hello @ [x] \u{4e2d}"));
        let seen = obey(&mut driver, 0);
        assert_eq!(driver.health(), Health::Present);
        let kinds: Vec<_> = seen.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds, [&[0, 6, 14][..], &[31; 4], &[34; 8]].concat());
        assert_eq!(seen[3].data, b"\x00\x00hello \xa0 (x) ?       ".to_vec());
        assert!(seen.contains(&Packet::new(34, &[11, 100])) && seen.contains(&Packet::new(34, &[12, 0])));
        assert!(seen.contains(&Packet::new(34, &[5, 0])) && seen.contains(&Packet::new(34, &[6, 100])));
        driver.show(face("hello"));
        let kinds: Vec<_> = obey(&mut driver, 100).iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds, [31]);
    }

    #[test]
    fn the_633_gets_whole_lines_and_no_lamps() {
        let mut driver = Driver::new(LcdModel::Cfa633);
        driver.show(face("one"));
        let kinds: Vec<_> = obey(&mut driver, 0).iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds, [0, 6, 14, 7, 8]);
    }

    #[test]
    fn a_silent_display_is_given_up_in_bounded_time_and_looked_for_again() {
        let mut driver = Driver::new(LcdModel::Cfa635);
        let mut sent = 0;
        for now_ms in (0..2_000).step_by(50) {
            driver.tick(now_ms);
            sent += u32::from(!driver.take_output().is_empty());
        }
        assert_eq!((driver.health(), sent), (Health::Absent, TRIES_MAX));
        driver.show(face("back"));
        let seen = obey(&mut driver, 10_000);
        assert_eq!(driver.health(), Health::Present);
        assert_eq!(seen.first().map(|packet| packet.kind), Some(packet::PING));
    }

    #[test]
    fn garbage_and_refusals_do_not_stop_it() {
        let mut driver = Driver::new(LcdModel::Cfa635);
        driver.tick(0);
        driver.receive(&[0xFF; 500], 1);
        driver.receive(&Packet::new(0xC0, &[]).encode(), 2);
        assert_eq!(driver.health(), Health::Present);
        for _ in 0..100 {
            driver.receive(&Packet::new(packet::KEY_REPORT, &[1]).encode(), 3);
        }
        let keys = std::iter::from_fn(|| driver.take_key()).count();
        assert_eq!(keys, KEYS_MAX);
    }
}
