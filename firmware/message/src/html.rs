//! HTML as text.

/// Tags that dress a piece of a word without ending it.
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "mark", "q", "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
];

/// Names of U+00A0 to U+00FF, in order (HTML 4.01 section 24.2).
const LATIN: &[&str] = &[
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo",
    "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot",
    "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",
    "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute",
    "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde",
    "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc",
    "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave",
    "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// Other names mail uses.
const OTHERS: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("euro", '€'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("hellip", '…'),
    ("bull", '•'),
    ("trade", '™'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("dagger", '†'),
    ("permil", '‰'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("larr", '←'),
    ("rarr", '→'),
    ("minus", '−'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("zwnj", '\u{200C}'),
    ("zwj", '\u{200D}'),
];

/// What a reader sees of an HTML text: without its head, where the title is.
pub(crate) fn shown(html: &str) -> String {
    let body = ["</head", "<body", "</title"].iter().map(|mark| after_ignoring_case(html, mark));
    without_marks(body.into_iter().find(|body| !body.is_empty()).unwrap_or(html))
}

/// HTML as text: tags, comments, scripts and styles go; entities become letters. A tag that only dresses
/// the text leaves nothing behind, any other one a blank.
pub(crate) fn without_marks(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('&') {
            rest = entity(&mut out, rest);
            continue;
        }
        // What opens no tag is text (HTML, tag open state).
        if !rest[1..].starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?'))
        {
            out.push('<');
            rest = &rest[1..];
            continue;
        }
        if !is_inline(rest) {
            out.push(' ');
        }
        rest = if rest.starts_with("<!--") {
            after(rest, "-->")
        } else if starts_with(rest, "<style") {
            after_ignoring_case(rest, "</style")
        } else if starts_with(rest, "<script") {
            after_ignoring_case(rest, "</script")
        } else {
            after(rest, ">")
        };
    }
    out.push_str(rest);
    out
}

/// Writes the entity at the start of `text`; returns what follows it.
fn entity<'a>(out: &mut String, text: &'a str) -> &'a str {
    let end = text.bytes().take(12).position(|byte| byte == b';');
    let letter = end.and_then(|end| match &text[1..end] {
        name if !name.starts_with('#') => named(name),
        number => {
            let digits = number.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    });
    if let (Some(letter), Some(end)) = (letter, end) {
        out.push(letter);
        &text[end + 1..]
    } else {
        out.push('&');
        &text[1..]
    }
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.find(mark).map_or("", |at| &text[at + mark.len()..])
}

fn after_ignoring_case<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = memchr::memchr_iter(b'<', text.as_bytes()).find(|&at| starts_with(&text[at..], mark));
    at.map_or("", |at| after(&text[at..], ">"))
}

fn starts_with(text: &str, mark: &str) -> bool {
    text.as_bytes().get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark.as_bytes()))
}

fn named(name: &str) -> Option<char> {
    if let Some(at) = LATIN.iter().position(|known| *known == name) {
        // A blank that does not break is still a blank to who searches.
        return char::from_u32(0xA0 + at as u32).map(|letter| if letter == '\u{A0}' { ' ' } else { letter });
    }
    OTHERS.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter)
}

/// Whether the tag at the start only dresses the text.
fn is_inline(tag: &str) -> bool {
    let name = tag.trim_start_matches('<').trim_start_matches('/');
    let end = name.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(name.len());
    INLINE.iter().any(|known| known.eq_ignore_ascii_case(&name[..end]))
}

#[cfg(test)]
mod tests {
    use super::without_marks;

    #[test]
    fn marks_go_and_entities_become_letters() {
        for (html, text) in [
            ("<p>A&amp;B</p>", " A&B "),
            ("w<b>or</b>d<br>next", "word next"),
            ("caf&eacute;&nbsp;&#x4F60;&#22909;", "café 你好"),
            ("&szlig;&yuml;&unknown; & x", "ßÿ&unknown; & x"),
            ("<style>p{}</style>a<script>x<y</script>b<!-- <b> -->c", " a b c"),
            ("1 < 2 <i", "1 < 2 "),
        ] {
            assert_eq!(without_marks(html), text, "{html}");
        }
    }
}
