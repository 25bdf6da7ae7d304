//! What a full-text index is asked for, to find every message that can hold a text.

use super::fold::{Needle, fold};
use super::tokens::{Class, OVERLAP_CHARS, WIDE, WORD_CHARS_MAX, is_word, pairs, runs};

/// Where in a message a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the body.
    Body,
    /// In the value of a Subject field.
    Subject,
    /// In the value of a From field.
    From,
    /// In the value of a To field.
    To,
    /// In the value of a Cc field.
    Cc,
    /// In another field, or in the name of any.
    Header,
}

impl Place {
    /// Every place.
    pub const ALL: &'static [Self] =
        &[Self::Body, Self::Subject, Self::From, Self::To, Self::Cc, Self::Header];

    /// The letter before a token of this place.
    #[inline]
    pub const fn letter(self) -> u8 {
        match self {
            Self::Body => b'b',
            Self::Subject => b's',
            Self::From => b'f',
            Self::To => b't',
            Self::Cc => b'c',
            Self::Header => b'h',
        }
    }

    /// The place of the value of a field of this name.
    pub(super) fn of_field(name: &str) -> Self {
        let own = [("subject", Self::Subject), ("from", Self::From), ("to", Self::To), ("cc", Self::Cc)];
        let found = own.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Self::Header, |(_, place)| place)
    }
}

/// How a word must hold a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The token is the text: no word needs to be looked for.
    Whole,
    /// The word begins with it.
    Start,
    /// The word ends with it.
    End,
    /// It stands anywhere in the word.
    Inside,
}

impl Fit {
    /// Whether a word holds the text so.
    pub fn holds(self, word: &str, text: &str) -> bool {
        match self {
            Self::Whole => word == text,
            Self::Start => word.starts_with(text),
            Self::End => word.ends_with(text),
            Self::Inside => word.contains(text),
        }
    }
}

/// One thing a message must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPart {
    /// Part of a word, or a pair.
    pub text: String,
    /// How a word holds it.
    pub fit: Fit,
    /// Where; one of these is enough.
    pub places: &'static [Place],
}

impl TextPart {
    fn is_in(&self, tokens: &str) -> bool {
        memchr::memmem::find_iter(tokens.as_bytes(), self.text.as_bytes()).any(|at| {
            let start = memchr::memrchr(b' ', &tokens.as_bytes()[..at]).map_or(0, |blank| blank + 1);
            let rest = &tokens[start..];
            let token = memchr::memchr(b' ', rest.as_bytes()).map_or(rest, |end| &rest[..end]);
            let Some((&letter, _)) = token.as_bytes().split_first() else { return false };
            let is_here = self.places.iter().any(|place| place.letter() == letter);
            is_here && is_word(&token[1..]) == is_word(&self.text) && self.fit.holds(&token[1..], &self.text)
        })
    }
}

/// What a message must have to hold a text: all of the parts. Without any part the index cannot help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPlan {
    /// The parts.
    pub parts: Vec<TextPart>,
    /// A message with the parts does hold the text.
    pub certain: bool,
}

/// What an index says about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does not hold the text.
    No,
    /// It does.
    Yes,
    /// Only a look at the message tells.
    Look,
}

impl TextPlan {
    /// What the [`super::tokens()`] of a message tell of it.
    pub fn judge(&self, tokens: &str) -> Verdict {
        let is_wide = || tokens.rsplit(' ').next() == Some(WIDE);
        if self.parts.iter().all(|part| part.is_in(tokens)) {
            if self.certain { Verdict::Yes } else { Verdict::Look }
        } else if is_wide() {
            Verdict::Look
        } else {
            Verdict::No
        }
    }

    /// For `BODY`.
    pub fn body(needle: &Needle) -> Self {
        Self::of(needle.folded(), &[Place::Body])
    }

    /// For `TEXT`.
    pub fn anywhere(needle: &Needle) -> Self {
        Self::of(needle.folded(), Place::ALL)
    }

    /// For a field of this name.
    pub fn field(name: &str, needle: &Needle) -> Self {
        let places: &[Place] = match Place::of_field(name) {
            Place::Subject => &[Place::Subject],
            Place::From => &[Place::From],
            Place::To => &[Place::To],
            Place::Cc => &[Place::Cc],
            Place::Header | Place::Body => {
                // Several fields share the place: the name must be there too, and which value it is must
                // be looked at.
                let mut plan = Self::of(needle.folded(), &[Place::Header]);
                plan.add_name(name);
                plan.certain = false;
                return plan;
            }
        };
        let mut plan = Self::of(needle.folded(), places);
        if needle.folded().is_empty() {
            plan.add_name(name);
        }
        plan
    }

    fn of(folded: &str, places: &'static [Place]) -> Self {
        let mut parts = Vec::new();
        let mut at = 0;
        for (class, run) in runs(folded) {
            let (open_left, open_right) = (at == 0, at + run.len() == folded.len());
            at += run.len();
            match class {
                Class::Gap => {}
                Class::Word => parts.push(word_part(run, open_left, open_right, places)),
                Class::Dense => {
                    let is_whole = !open_left && !open_right;
                    // A single character may be half of any pair.
                    if is_whole || run.chars().nth(1).is_some() {
                        let fit = Fit::Whole;
                        pairs(run, |pair| parts.push(TextPart { text: pair.to_owned(), fit, places }));
                    }
                }
            }
        }
        // One run of the text's full length is found exactly by what stands in the index.
        let certain = parts.len() == 1 && parts.iter().all(|part| part.text == folded);
        Self { parts, certain }
    }

    fn add_name(&mut self, name: &str) {
        let places = &[Place::Header];
        for (class, run) in runs(&fold(name)) {
            if class == Class::Word {
                self.parts.push(word_part(run, false, false, places));
            }
        }
    }
}

fn word_part(run: &str, open_left: bool, open_right: bool, places: &'static [Place]) -> TextPart {
    let chars = run.chars().count();
    let head = |chars: usize| run.char_indices().nth(chars).map_or(run, |(end, _)| &run[..end]);
    let (text, fit) = match (open_left, open_right) {
        // The first piece of a long word is a token itself.
        (false, false) => (head(WORD_CHARS_MAX), Fit::Whole),
        (false, true) if chars >= WORD_CHARS_MAX => (head(WORD_CHARS_MAX), Fit::Whole),
        (false, true) => (run, Fit::Start),
        // The last piece of a long word has more than the overlap.
        (true, false) if chars <= OVERLAP_CHARS => (run, Fit::End),
        (true, _) => (head(OVERLAP_CHARS), Fit::Inside),
    };
    TextPart { text: text.to_owned(), fit, places }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Vec<(String, Fit)>, bool) {
        let plan = TextPlan::body(&Needle::new(text));
        (plan.parts.into_iter().map(|part| (part.text, part.fit)).collect(), plan.certain)
    }

    #[test]
    fn inner_words_are_whole_and_the_ends_are_open() {
        let part = |text: &str, fit| (text.to_owned(), fit);
        assert_eq!(parts("Needle"), (vec![part("needle", Fit::Inside)], true));
        let expected = vec![part("one", Fit::End), part("two", Fit::Whole), part("th", Fit::Start)];
        assert_eq!(parts("one two th"), (expected, false));
        assert_eq!(parts("(one)"), (vec![part("one", Fit::Whole)], false));
        assert_eq!(parts("你好"), (vec![part("你好", Fit::Whole)], true));
        assert_eq!(parts("你好吗"), (vec![part("你好", Fit::Whole), part("好吗", Fit::Whole)], false));
        assert_eq!(parts("你"), (vec![], false));
        assert_eq!(parts("..."), (vec![], false));
        assert_eq!(parts(&"x".repeat(20)), (vec![part(&"x".repeat(16), Fit::Inside)], false));
    }

    #[test]
    fn a_field_without_a_place_of_its_own_needs_its_name() {
        let plan = TextPlan::field("message-id", &Needle::new("a@b"));
        assert!(plan.parts.iter().any(|part| part.text == "message" && part.fit == Fit::Whole));
        assert!(!plan.certain);
        assert!(TextPlan::field("subject", &Needle::new("word")).certain);
        assert!(!TextPlan::field("subject", &Needle::new("")).certain);
    }
}
