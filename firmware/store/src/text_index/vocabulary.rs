//! The distinct words of the index, and finding those that hold a text.
//!
//! A word is written when it is not known to be there. What is known is a bounded set in memory, so that
//! a rare word may be written more than once, which costs space and nothing else.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use message::{Fit, eight_at, is_word};
use rusqlite::{Connection, params};

use crate::StoreError;

/// Words of one block.
const BLOCK_WORDS: usize = 256;
/// Hashes of words in one generation; there are two.
const KNOWN_MAX: usize = 128 * 1024;
/// Places for hashes of words seen just now; a power of two.
const RECENT: usize = 8 * 1024;
/// Blocks read at the start: the words in use.
const BLOCKS_LOADED: i64 = 400;
/// Most grams of a text that are asked for; more of them find the same blocks.
const GRAMS_MAX: usize = 6;
/// Most blocks looked through for one text.
const BLOCKS_MAX: usize = 8_192;

/// What is known to be written, and what is about to be.
pub(super) struct Vocabulary {
    /// Hashes at their own place: most words of a message stand in the one before as well, and this table
    /// stays in the processor's cache, which the known words do not.
    recent: Box<[u64]>,
    young: Known,
    old: Known,
    fresh: Vec<Box<str>>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let recent = vec![0; RECENT].into_boxed_slice();
        Self { recent, young: Known::default(), old: Known::default(), fresh: Vec::new() }
    }
}

type Known = HashSet<u64, BuildHasherDefault<AsItIs>>;

impl Vocabulary {
    /// Learns the words in use.
    pub fn load(&mut self, database: &Connection) -> Result<(), StoreError> {
        let mut statement = database.prepare("SELECT words FROM words ORDER BY id DESC LIMIT ?1")?;
        let mut rows = statement.query([BLOCKS_LOADED])?;
        while let Some(row) = rows.next()? {
            for word in row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?.split('\n') {
                self.learn(hash(word));
            }
        }
        Ok(())
    }

    /// Looks through the tokens of a message for new words.
    pub fn note(&mut self, tokens: &str) {
        let bytes = tokens.as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            // Nearly every word has at most eight letters, and is one number then.
            let eight = eight_at(bytes, start + 1);
            let (end, hash) = match blank_in(eight) {
                Some(length) => (start + 1 + length, hash_short(eight, length)),
                None if bytes.get(start + 9).is_none_or(|next| *next == b' ') => {
                    (start + 9, hash_short(eight, 8))
                }
                None => {
                    let rest = tokens.get(start + 1..).unwrap_or_default();
                    let length = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
                    (start + 1 + length, hash(rest.get(..length).unwrap_or_default()))
                }
            };
            let recent = &mut self.recent[hash as usize % RECENT];
            if std::mem::replace(recent, hash) != hash
                && let Some(word) = tokens.get(start + 1..end).filter(|word| is_word(word))
                && self.learn(hash)
            {
                self.fresh.push(word.into());
            }
            start = end + 1;
        }
    }

    /// Writes the new words.
    pub fn write(&mut self, database: &Connection) -> Result<(), StoreError> {
        let mut fresh = std::mem::take(&mut self.fresh);
        // Neighbours share grams.
        fresh.sort_unstable();
        let mut add_words = database.prepare_cached("INSERT INTO words (words) VALUES (?1)")?;
        let mut add_grams = database.prepare_cached("INSERT INTO grams (rowid, pieces) VALUES (?1, ?2)")?;
        for block in fresh.chunks(BLOCK_WORDS) {
            add_words.execute([block.join("\n")])?;
            let id = database.last_insert_rowid();
            let mut found = BTreeSet::new();
            for word in block {
                grams(word, |gram| {
                    found.insert(gram);
                });
            }
            let found: Vec<&str> = found.into_iter().collect();
            add_grams.execute(params![id, found.join(" ")])?;
        }
        Ok(())
    }

    /// Forgets what it knows: it may not have been written.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether the word was not known.
    #[inline]
    fn learn(&mut self, hash: u64) -> bool {
        if self.young.contains(&hash) {
            return false;
        }
        let is_new = !self.old.contains(&hash);
        if self.young.len() >= KNOWN_MAX {
            // Words in use come over from the old ones, the others are forgotten.
            self.old = std::mem::take(&mut self.young);
            self.recent.fill(0);
        }
        self.young.insert(hash);
        is_new
    }
}

/// The words that hold a text so, at most `words_max`; `None` if there are more, or it cannot be told
/// without reading too many.
pub(super) fn find(
    database: &Connection,
    text: &str,
    fit: Fit,
    words_max: usize,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let mut asked = Vec::new();
    grams(text, |gram| asked.push(format!("\"{gram}\"")));
    if asked.is_empty() {
        return Ok(None);
    }
    // Those of the middle say as much as all of them, and the ends are often common.
    asked.dedup();
    if asked.len() > GRAMS_MAX {
        let step = asked.len().div_ceil(GRAMS_MAX);
        asked = asked.into_iter().step_by(step).collect();
    }
    let mut statement = database.prepare_cached("SELECT rowid FROM grams WHERE grams MATCH ?1 LIMIT ?2")?;
    let blocks: Vec<i64> = statement
        .query_map(params![asked.join(" AND "), BLOCKS_MAX as i64 + 1], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if blocks.len() > BLOCKS_MAX {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    let mut read = database.prepare_cached("SELECT words FROM words WHERE id = ?1")?;
    for block in blocks {
        let mut rows = read.query([block])?;
        let Some(row) = rows.next()? else { continue };
        let words = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        // Most blocks hold the grams and not the text.
        if memchr::memmem::find(words.as_bytes(), text.as_bytes()).is_none() {
            continue;
        }
        for word in words.split('\n').filter(|word| fit.holds(word, text)) {
            if !found.contains(word) {
                found.insert(word.to_owned());
            }
        }
        if found.len() > words_max {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Three ASCII letters in a row, or two letters of which one is beyond ASCII.
fn grams<'a>(word: &'a str, mut take: impl FnMut(&'a str)) {
    let mut letters = word.char_indices().map(|(at, letter)| (at, at + letter.len_utf8()));
    let (mut one, mut two) = (letters.next(), letters.next());
    while let (Some(first), Some(second)) = (one, two) {
        let third = letters.next();
        if !word[first.0..second.1].is_ascii() {
            take(&word[first.0..second.1]);
        } else if let Some(third) = third.filter(|third| word[second.1..third.1].is_ascii()) {
            take(&word[first.0..third.1]);
        }
        (one, two) = (two, third);
    }
}

/// Eight bytes at a time, multiplied and mixed.
#[inline]
fn hash(word: &str) -> u64 {
    let (bytes, mut state, mut at) = (word.as_bytes(), word.len() as u64, 0);
    loop {
        state = mix(state, eight_at(bytes, at));
        at += 8;
        if at >= bytes.len() {
            return mix(state, LAST);
        }
    }
}

/// The same for a word of at most eight bytes, of which `eight` begins with the first `length`.
#[inline]
fn hash_short(eight: u64, length: usize) -> u64 {
    let word = eight & u64::MAX.checked_shr(64 - 8 * length as u32).unwrap_or(0);
    mix(mix(length as u64, word), LAST)
}

const LAST: u64 = 0x5851_f42d_4c95_7f2d;

#[inline]
fn mix(state: u64, bits: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let state = (state ^ bits).wrapping_mul(FACTOR);
    state ^ state >> 29
}

/// How many bytes stand before the first blank or zero of eight, if there is one.
#[inline]
fn blank_in(eight: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // Tokens have no byte below a blank but the zeros behind the end, and the lowest find is exact.
    let blanks = eight ^ (ONES * 0x20);
    let found = blanks.wrapping_sub(ONES) & !blanks | eight.wrapping_sub(ONES) & !eight;
    let found = found & (ONES << 7);
    (found != 0).then_some(found.trailing_zeros() as usize / 8)
}

/// The keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str) -> Vec<&str> {
        let mut found = Vec::new();
        grams(word, |gram| found.push(gram));
        found
    }

    #[test]
    fn the_grams_of_a_text_are_grams_of_every_word_that_holds_it() {
        assert_eq!(of("abcd"), ["abc", "bcd"]);
        assert_eq!(of("ab"), Vec::<&str>::new());
        assert_eq!(of("한글"), ["한글"]);
        assert_eq!(of("abü"), ["bü"]);
        let word = "xgru\u{308}ßenab한글y";
        let all = of(word);
        let ends: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
        for (at, start) in ends.iter().enumerate() {
            for end in &ends[at..] {
                assert!(of(&word[*start..*end]).iter().all(|gram| all.contains(gram)));
            }
        }
    }

    #[test]
    fn words_of_every_length_are_noted_once() {
        let words: Vec<String> = (1..=40).map(|n| "x".repeat(n)).chain(["한글".into(), "é".into()]).collect();
        for gap in 0..9 {
            // Pairs are not words; they shift what follows by their length.
            let tokens: Vec<String> = words.iter().map(|word| format!("b{word}")).collect();
            let tokens = format!("b{} {} h{}", "你好".repeat(gap + 1), tokens.join(" "), words.join(" b"));
            let mut vocabulary = Vocabulary::default();
            vocabulary.note(&tokens);
            assert_eq!(vocabulary.fresh.iter().map(ToString::to_string).collect::<Vec<_>>(), words);
        }
    }

    #[test]
    fn a_short_word_has_the_hash_of_any_word() {
        for length in 1..=8 {
            let word = &"abcdefgh"[..length];
            for behind in [" bnext", ""] {
                let text = format!("{word}{behind}");
                let eight = eight_at(text.as_bytes(), 0);
                assert_eq!(blank_in(eight), Some(length).filter(|length| *length < 8), "{text}");
                assert_eq!(hash_short(eight, length), hash(word));
            }
        }
        assert_eq!(blank_in(eight_at(b"!!!!!!!!", 0)), None);
        assert_eq!(blank_in(eight_at(b"abcdefgh ", 0)), None);
    }

    #[test]
    fn words_in_use_are_known_for_long_and_others_are_forgotten() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.note("bused");
        for number in 0..5 * KNOWN_MAX {
            vocabulary.note(&format!("b{number}x hused"));
        }
        assert_eq!(vocabulary.fresh.iter().filter(|word| &***word == "used").count(), 1);
        assert!(vocabulary.young.len() + vocabulary.old.len() <= 2 * KNOWN_MAX);
    }
}
