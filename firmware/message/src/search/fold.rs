//! The form in which texts are compared: i;unicode-casemap (RFC 5051).
//!
//! Letters lose their case and characters are replaced by their full decomposition, so that wide and
//! narrow forms, ligatures and composed letters are found by each other. Two things are done beyond the
//! RFC, so that more is found, never less: what a decomposition brings forth loses its case too, and
//! Hangul that some systems write as single jamo is first composed into syllables.

use memchr::memmem::Finder;
use unicode_normalization::char::decompose_compatible;

/// A text to look for.
#[derive(Debug, Clone)]
pub struct Needle {
    folded: String,
    finder: Finder<'static>,
}

impl Needle {
    /// Takes the text as the client wrote it.
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        let finder = Finder::new(folded.as_bytes()).into_owned();
        Self { folded, finder }
    }

    /// The text in the form in which it is compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether it stands in a folded text.
    pub fn is_in(&self, folded: &str) -> bool {
        self.finder.find(folded.as_bytes()).is_some()
    }
}

/// A text in the form in which it is compared.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(&mut out, text);
    out
}

/// Appends the folded text.
pub(crate) fn fold_into(out: &mut String, text: &str) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let start = out.len();
        out.push_str(&rest[..plain]);
        out[start..].make_ascii_lowercase();
        rest = &rest[plain..];
        let other = rest.bytes().position(|byte| byte.is_ascii()).unwrap_or(rest.len());
        fold_letters(out, &rest[..other]);
        rest = &rest[other..];
    }
}

fn fold_letters(out: &mut String, text: &str) {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // Ideographs and syllables stand for themselves.
            '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' => out.push(letter),
            '\u{1100}'..='\u{1112}' => {
                let vowel = letters.next_if(|next| ('\u{1161}'..='\u{1175}').contains(next));
                let Some(vowel) = vowel else {
                    out.push(letter);
                    continue;
                };
                let tail = letters.next_if(|next| ('\u{11A8}'..='\u{11C2}').contains(next));
                out.push(syllable(letter, vowel, tail));
            }
            _ => decompose_compatible(letter, |part| out.push(without_case(part))),
        }
    }
}

/// Composes jamo (The Unicode Standard, section 3.12).
fn syllable(lead: char, vowel: char, tail: Option<char>) -> char {
    let lead_index = lead as u32 - 0x1100;
    let vowel_index = vowel as u32 - 0x1161;
    let tail_index = tail.map_or(0, |tail| tail as u32 - 0x11A7);
    char::from_u32(0xAC00 + (lead_index * 21 + vowel_index) * 28 + tail_index).unwrap_or(lead)
}

/// The simple mapping to one case; a letter that has only a longer one (ß) stays.
fn without_case(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single.to_ascii_lowercase(),
        _ => letter.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_width_and_composition_do_not_count() {
        for (one, other) in [
            ("Straße", "STRAßE"),
            ("ÉCOLE", "e\u{301}cole"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ｍａｉｌ１", "mail1"),
            ("ﬁn", "FIN"),
            ("ｶﾞ", "ガ"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
            ("ДА", "да"),
            ("Ǆ", "ǆ"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn different_letters_stay_different() {
        for (one, other) in [("你", "妳"), ("하", "한"), ("か", "カ"), ("ß", "ss"), ("o", "ø")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
            assert!(!Needle::new(one).is_in(&fold(other)));
        }
        assert!(Needle::new("CAFE").is_in(&fold("le café")), "a letter without its accent, RFC 5051");
    }
}
