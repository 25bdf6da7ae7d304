//! What of a message goes into a full-text index.
//!
//! A folded text falls into runs of one class. A run of letters and digits is a word; a run of a script
//! that is written without blanks gives its pairs of neighbours; the rest separates. A token is a word or a
//! pair behind the letter of the [`Place`] it stands in.
//!
//! A long word gives overlapping pieces, so that every text of [`OVERLAP_CHARS`] characters in it stands in
//! one piece whole:
//!
//! ```text
//! word     |--------------------------------------------------|
//! pieces   |------ 32 ------|       |------ 32 ------|
//!                  |------ 32 ------|       |-- rest --|
//! ```

use super::pieces::{Piece, each_piece};
use super::plan::Place;
use super::token_set::TokenSet;
use crate::Structure;

/// Longest word that is one token, in characters.
pub(super) const WORD_CHARS_MAX: usize = 32;
/// Distance of the pieces of a longer word; any text up to this long in it stands in one of them.
pub(super) const OVERLAP_CHARS: usize = 16;
/// Distinct tokens of one message; with more of them the message is [`WIDE`].
pub(super) const TOKENS_MAX: usize = 32 * 1024;

/// Token of a message that has more words than are indexed: it can hold anything.
pub const WIDE: &str = "w";

/// What characters do in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// They separate.
    Gap,
    /// They form words.
    Word,
    /// They are written without blanks: each pair of neighbours counts.
    Dense,
}

/// The tokens of a message, each once, separated by blanks: ASCII letters and digits and any other
/// characters beyond ASCII, nothing else.
pub fn tokens(raw: &[u8], structure: &Structure) -> String {
    let mut set = TokenSet::new(raw.len());
    each_piece(raw, structure, &mut |piece| {
        match piece {
            Piece::Field { name, value } => {
                set.add_unfolded(Place::Header, name);
                set.add_unfolded(Place::of_field(name), value);
            }
            Piece::Body(text) => set.add_unfolded(Place::Body, text),
        }
        set.count <= TOKENS_MAX
    });
    set.finish()
}

/// Whether a token without its place is a word, which the index looks into, rather than a pair.
#[inline]
pub fn is_word(text: &str) -> bool {
    text.chars().next().is_some_and(|letter| class(letter) == Class::Word)
}

/// The runs of one class that make up a text, in order.
pub(super) fn runs(folded: &str) -> impl Iterator<Item = (Class, &str)> {
    let mut rest = folded;
    std::iter::from_fn(move || {
        let kind = class(rest.chars().next()?);
        let end = run_end(rest, kind);
        let (run, tail) = rest.split_at(end);
        rest = tail;
        Some((kind, run))
    })
}

pub(super) fn run_end(text: &str, kind: Class) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii() {
            if ascii_class(byte) != kind {
                return at;
            }
            at += 1;
            continue;
        }
        let Some(letter) = text.get(at..).and_then(|rest| rest.chars().next()) else { return at };
        if class(letter) != kind {
            return at;
        }
        at += letter.len_utf8();
    }
    at
}

/// A short word whole, a long one in pieces.
pub(super) fn word_pieces(word: &str, mut take: impl FnMut(&str)) {
    if word.len() <= WORD_CHARS_MAX {
        return take(word);
    }
    let mut ends: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
    ends.push(word.len());
    let chars = ends.len() - 1;
    let mut first = 0;
    loop {
        let last = (first + WORD_CHARS_MAX).min(chars);
        if let (Some(&start), Some(&end)) = (ends.get(first), ends.get(last)) {
            take(&word[start..end]);
        }
        if last == chars {
            return;
        }
        first += OVERLAP_CHARS;
    }
}

/// All pairs of neighbours; a single character alone.
pub(super) fn pairs(run: &str, mut take: impl FnMut(&str)) {
    let mut before: Option<usize> = None;
    let mut any = false;
    for (at, letter) in run.char_indices() {
        if let Some(start) = before {
            take(&run[start..at + letter.len_utf8()]);
            any = true;
        }
        before = Some(at);
    }
    if !any {
        take(run);
    }
}

#[inline]
fn ascii_class(byte: u8) -> Class {
    if byte.is_ascii_alphanumeric() { Class::Word } else { Class::Gap }
}

/// The class of a folded character. Any choice is right as long as it is always the same: the index of
/// an existing store was made with it.
#[inline]
pub(super) fn class(letter: char) -> Class {
    match letter {
        '\0'..='\x7f' => ascii_class(letter as u8),
        // Thai, Lao, Tibetan, Myanmar, Khmer; kana, Bopomofo; ideographs with their extensions.
        '\u{E00}'..='\u{FFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' => Class::Dense,
        '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30FA}' => Class::Dense,
        '\u{30FC}'..='\u{312F}' | '\u{31A0}'..='\u{31FF}' | '\u{3400}'..='\u{9FFF}' => Class::Dense,
        '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}' => Class::Dense,
        // C1 controls and Latin-1 signs, general punctuation, CJK punctuation.
        '\u{80}'..='\u{BF}' | '\u{D7}' | '\u{F7}' | '\u{2000}'..='\u{206F}' => Class::Gap,
        '\u{3000}'..='\u{303F}' | '\u{30FB}' | '\u{FE30}'..='\u{FE4F}' | '\u{FEFF}' | '\u{FFFD}' => {
            Class::Gap
        }
        _ => Class::Word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Vec<String> {
        let found = tokens(raw.as_bytes(), &Structure::of(raw.as_bytes()));
        found.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_pairs_and_places() {
        let raw = "Subject: Grüße foo_bar\r\nX-Id: 7\r\n\r\nHello hello 你好吗, iPhone手机 x\r\n";
        let expected = ["hsubject", "sgru\u{308}ße", "sfoo", "sbar", "hx", "hid", "h7"];
        let found = of(raw);
        assert_eq!(found[..7], expected);
        assert_eq!(found[7..], ["bhello", "b你好", "b好吗", "biphone", "b手机", "bx"]);
        assert!(is_word("iphone") && !is_word("你好"));
    }

    #[test]
    fn every_short_text_of_a_long_word_is_in_a_piece() {
        let word: String = (0..100).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect();
        let mut pieces = Vec::new();
        word_pieces(&word, |piece| pieces.push(piece.to_owned()));
        assert!(pieces.iter().all(|piece| piece.len() <= WORD_CHARS_MAX));
        for start in 0..=100 - OVERLAP_CHARS {
            let text = &word[start..start + OVERLAP_CHARS];
            assert!(pieces.iter().any(|piece| piece.contains(text)), "{text}");
        }
    }

    #[test]
    fn a_message_of_too_many_words_is_wide() {
        let many: Vec<String> = (0..TOKENS_MAX + 10).map(|number| number.to_string()).collect();
        let many = many.join(" ");
        let found = of(&format!("Subject: x\r\n\r\n{many}"));
        assert_eq!(found.last().unwrap(), WIDE);
        assert!(found.len() <= TOKENS_MAX + 2);
        assert!(!of("Subject: w\r\n\r\nw").contains(&WIDE.to_owned()));
    }
}
