//! Two languages, and the form every message catalogue has.

use std::fmt::Display;

pub use settings::Language;

/// Declares a catalogue: an enum of messages, each with its English and its Chinese text. A message
/// without a translation does not compile. `{0}`, `{1}` stand for what [`fill`] puts in.
#[macro_export]
macro_rules! catalogue {
    ($(#[$outer:meta])* $name:ident { $($text:ident = $en:literal, $zh:literal;)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $en] $text,)*
        }

        impl $name {
            /// Every message of this catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$text,)*];

            /// The text in `language`.
            pub fn get(self, language: $crate::Language) -> &'static str {
                match (self, language) {
                    $(
                        (Self::$text, $crate::Language::En) => $en,
                        (Self::$text, $crate::Language::Zh) => $zh,
                    )*
                }
            }

            /// The text in `language` with `{0}`, `{1}` replaced by `values`.
            pub fn fill(self, language: $crate::Language, values: &[&dyn std::fmt::Display]) -> String {
                $crate::fill(self.get(language), values)
            }
        }
    };
}

/// Replaces `{0}`, `{1}` in `text` by `values`. What was put in is not looked at again, so a value
/// with braces stays as it is.
pub fn fill(text: &str, values: &[&dyn Display]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let place = after.split_once('}');
        let value = place.and_then(|(index, tail)| Some((values.get(index.parse::<usize>().ok()?)?, tail)));
        rest = if let Some((value, tail)) = value {
            filled.push_str(&value.to_string());
            tail
        } else {
            filled.push('{');
            after
        };
    }
    filled.push_str(rest);
    filled
}

/// What is wrong with a pair of texts of one message: empty, Chinese without Chinese letters where
/// the English has words, or different places to fill. Every catalogue's test calls this.
pub fn translation_fault(en: &str, zh: &str) -> Option<String> {
    let places = |text: &str| {
        let mut found: Vec<_> = text.match_indices('{').filter_map(|(at, _)| text.get(at..at + 3)).collect();
        found.sort_unstable();
        found.join("")
    };
    if en.trim().is_empty() || zh.trim().is_empty() {
        return Some(format!("{en:?} / {zh:?}: empty"));
    }
    if !zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
        return Some(format!("{en:?} / {zh:?}: not Chinese"));
    }
    (places(en) != places(zh)).then(|| format!("{en:?} / {zh:?}: different places to fill"))
}

/// The language a shell asks for in `LC_ALL`, `LC_MESSAGES` or `LANG` (POSIX order).
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Language> {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().filter_map(|name| variable(name));
    let locale = set.into_iter().find(|value| !value.is_empty())?;
    if locale.starts_with("zh") { Some(Language::Zh) } else { Some(Language::En) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_braces_is_not_filled_again() {
        assert_eq!(fill("{1} of {0}", &[&"{1}", &2]), "2 of {1}");
        assert_eq!(fill("a { b {9} {", &[&1]), "a { b {9} {");
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        let of = |pairs: &'static [(&str, &str)]| {
            from_environment(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_owned()))
        };
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8")]), Some(Language::Zh));
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")]), Some(Language::En));
        assert_eq!(of(&[("LC_ALL", ""), ("LANG", "zh")]), Some(Language::Zh));
        assert_eq!(of(&[]), None);
    }
}
