//! The distinct tokens of a message, collected eight bytes at a time.
//!
//! Nearly all text is ASCII words of at most eight letters. Such a word is one number: it is cut out,
//! loses its case, is hashed and compared without a loop over its letters, and without a folded copy of
//! the text. Everything else takes the way of single characters, to the same tokens.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::fold::fold_into;
use super::plan::Place;
use super::tokens::{Class, TOKENS_MAX, WIDE, WORD_CHARS_MAX, class, pairs, run_end, word_pieces};

/// Slots of a new table, at least and at most; between them there is one for three bytes of the message,
/// so that the table of usual mail need not grow.
const SLOTS: (usize, usize) = (256, 8 * 1024);
/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;
/// What takes the case from an ASCII letter, eight times; digits have it already.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Tokens seen so far: their text, and a table to find them by.
pub(super) struct TokenSet {
    out: Vec<u8>,
    /// A power of two of them, at most half of them taken.
    slots: Vec<Slot>,
    folded: String,
    seed: u64,
    /// How many there are.
    pub count: usize,
}

/// A token in the table.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Its first eight bytes without the place, zeros behind it.
    head: u64,
    /// Where it is in the text.
    start: u32,
    /// Bytes without the place.
    length: u16,
    /// Letter of the place; 0 in a free slot.
    letter: u8,
}

impl TokenSet {
    /// A set for a message of so many bytes.
    pub fn new(bytes: usize) -> Self {
        // Nobody can write a message whose words all fall into one place of the table.
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = *SEED.get_or_init(|| RandomState::new().hash_one(0));
        let slots = vec![Slot::default(); (bytes / 3).next_power_of_two().clamp(SLOTS.0, SLOTS.1)];
        Self { out: Vec::with_capacity(slots.len() * 4), slots, folded: String::new(), seed, count: 0 }
    }

    /// Adds what stands in a text as it was written.
    pub fn add_unfolded(&mut self, place: Place, text: &str) {
        if text.is_ascii() {
            return self.add_text(place, text);
        }
        let mut folded = std::mem::take(&mut self.folded);
        folded.clear();
        fold_into(&mut folded, text);
        self.add_text(place, &folded);
        self.folded = folded;
    }

    /// The tokens, separated by blanks.
    pub fn finish(mut self) -> String {
        if self.count > TOKENS_MAX {
            self.out.extend_from_slice(WIDE.as_bytes());
        }
        let mut text = String::from_utf8(self.out).unwrap_or_else(|_| WIDE.to_owned());
        text.truncate(text.trim_ascii_end().len());
        text
    }

    /// Adds what stands in a text that is folded, or ASCII.
    fn add_text(&mut self, place: Place, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&first) = bytes.get(at) {
            let eight = eight_at(bytes, at);
            let letters = word_bits(eight);
            let length = ((!letters & HIGH).trailing_zeros() / 8) as usize;
            if length == 0 && first.is_ascii() {
                let gap = (letters | (eight & HIGH)).trailing_zeros() / 8;
                at += gap as usize;
                continue;
            }
            let end = if length < 8 { at + length } else { ascii_word_end(bytes, at + 8) };
            if length == 0 || bytes.get(end).is_some_and(|next| !next.is_ascii()) {
                at += self.add_run(place, &text[at..]);
            } else {
                self.add_ascii_word(place, eight | SMALL, &bytes[at..end]);
                at = end;
            }
            if self.count > TOKENS_MAX {
                return;
            }
        }
    }

    /// Adds a word of ASCII letters and digits of either case.
    fn add_ascii_word(&mut self, place: Place, small: u64, word: &[u8]) {
        if word.len() <= 8 {
            let head = small & (u64::MAX >> (64 - 8 * word.len()));
            return self.add(place, head, &head.to_le_bytes()[..word.len()]);
        }
        let mut space = [0; WORD_CHARS_MAX];
        if let Some(copy) = space.get_mut(..word.len()) {
            copy.copy_from_slice(word);
            copy.make_ascii_lowercase();
            return self.add(place, small, copy);
        }
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        word_pieces(&word, |piece| self.add_any(place, piece));
    }

    /// Adds the run that folded text begins with; its length.
    fn add_run(&mut self, place: Place, text: &str) -> usize {
        let Some(first) = text.chars().next() else { return 0 };
        let kind = class(first);
        let run = &text[..run_end(text, kind)];
        match kind {
            Class::Gap => {}
            Class::Word => word_pieces(run, |piece| self.add_any(place, piece)),
            Class::Dense => pairs(run, |pair| self.add_any(place, pair)),
        }
        run.len()
    }

    fn add_any(&mut self, place: Place, text: &str) {
        self.add(place, eight_at(text.as_bytes(), 0), text.as_bytes());
    }

    /// Adds a token: its first eight bytes as a number, and all of them.
    #[inline]
    fn add(&mut self, place: Place, head: u64, text: &[u8]) {
        if self.count * 2 >= self.slots.len() {
            self.grow();
        }
        let (letter, length, mask) = (place.letter(), text.len() as u16, self.slots.len() - 1);
        let mut at = hash(self.seed, letter, head, text) as usize & mask;
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.letter != 0) {
            if slot.head == head
                && (slot.letter, slot.length) == (letter, length)
                && (text.len() <= 8 || self.text_of(slot) == text)
            {
                return;
            }
            at = (at + 1) & mask;
        }
        if let Some(free) = self.slots.get_mut(at) {
            *free = Slot { head, start: self.out.len() as u32, length, letter };
        }
        self.out.push(letter);
        self.out.extend_from_slice(text);
        self.out.push(b' ');
        self.count += 1;
    }

    fn text_of(&self, slot: &Slot) -> &[u8] {
        let start = slot.start as usize + 1;
        self.out.get(start..start + usize::from(slot.length)).unwrap_or_default()
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.letter != 0) {
            let hash = hash(self.seed, slot.letter, slot.head, self.text_of(&slot));
            let mut at = hash as usize & (size - 1);
            while self.slots.get(at).is_some_and(|taken| taken.letter != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }
}

/// The eight bytes from `at` on, the first one lowest, zeros behind the end.
#[inline]
pub fn eight_at(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk::<8>() {
        return u64::from_le_bytes(*eight);
    }
    rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The highest bit of each byte that is an ASCII letter or digit.
#[inline]
fn word_bits(eight: u64) -> u64 {
    const fn eight_times(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    // Seven bits each, so that no sum runs over into the next byte.
    let seven = eight & !HIGH;
    let small = seven | SMALL;
    let digits = (seven + eight_times(0x80 - b'0')) & !(seven + eight_times(0x7f - b'9'));
    let letters = (small + eight_times(0x80 - b'a')) & !(small + eight_times(0x7f - b'z'));
    (digits | letters) & !eight & HIGH
}

fn ascii_word_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        let length = ((!word_bits(eight_at(bytes, at)) & HIGH).trailing_zeros() / 8) as usize;
        at += length;
        if length < 8 {
            return at;
        }
    }
}

/// Eight bytes at a time, multiplied and mixed.
#[inline]
fn hash(seed: u64, letter: u8, head: u64, text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = seed ^ (u64::from(letter) << 8 | text.len() as u64).wrapping_mul(FACTOR);
    let mut mix = |bits: u64| {
        state = (state ^ bits).wrapping_mul(FACTOR);
        state ^= state >> 32;
    };
    mix(head);
    let mut at = 8;
    while at < text.len() {
        mix(eight_at(text, at));
        at += 8;
    }
    state
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fold::fold;
    use super::super::tokens::runs;
    use super::*;

    /// Character by character, as the head of `tokens` tells it.
    fn slowly(text: &str) -> Vec<String> {
        let folded = fold(text);
        let mut found: Vec<String> = Vec::new();
        let mut take = |token: &str| {
            if !found.iter().any(|known| known[1..] == *token) {
                found.push(format!("b{token}"));
            }
        };
        for (kind, run) in runs(&folded) {
            match kind {
                Class::Gap => {}
                Class::Word => word_pieces(run, &mut take),
                Class::Dense => pairs(run, &mut take),
            }
        }
        found
    }

    fn quickly(text: &str) -> Vec<String> {
        let mut set = TokenSet::new(0);
        set.add_unfolded(Place::Body, text);
        set.finish().split(' ').filter(|token| !token.is_empty()).map(str::to_owned).collect()
    }

    proptest! {
        #[test]
        fn the_quick_way_finds_what_the_slow_one_does(
            text in "([a-cA-C0-9]{0,20}[ .\u{10}-\u{1f}@\\[`{/:\u{7f}]{0,9}|[ü你好가äﬁa-bZ0-1]{1,6}|.{0,4}){0,24}"
        ) {
            prop_assert_eq!(quickly(&text), slowly(&text));
        }
    }

    #[test]
    fn every_byte_is_what_it_is() {
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let number = u64::from(byte) << (8 * at);
                let bit = word_bits(number) >> (8 * at + 7) & 1;
                assert_eq!(bit == 1, byte.is_ascii_alphanumeric(), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn words_of_every_length_are_kept_apart() {
        let text: Vec<String> = (1..60).flat_map(|n| ["x".repeat(n), "X".repeat(n) + "y"]).collect();
        let text = text.join("-");
        assert_eq!(quickly(&text), slowly(&text));
        let many: Vec<String> = (0..9_000).map(|n| format!("word{n}")).collect();
        assert_eq!(quickly(&many.join(" ")).len(), many.len());
    }
}
