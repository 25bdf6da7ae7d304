//! Base subject, RFC 5256 2.1.

/// A subject without reply and forward marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// The base subject.
    pub text: String,
    /// A reply or forward mark was taken off.
    pub is_reply: bool,
}

/// The base subject of a decoded Subject value.
pub fn base_subject(subject: &str) -> BaseSubject {
    let collapsed = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = collapsed.as_str();
    let mut is_reply = false;
    loop {
        // Step 2: trailing "(fwd)" and blanks.
        text = text.trim();
        while let Some(rest) = strip_suffix(text, "(fwd)") {
            text = rest.trim_end();
            is_reply = true;
        }
        // Steps 3 to 5: leaders and blobs, until nothing changes.
        loop {
            if let Some(rest) = leader(text) {
                text = rest;
                is_reply = true;
            } else if let Some(rest) = blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            } else {
                break;
            }
        }
        // Step 6: "[fwd: … ]".
        match strip_prefix(text, "[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => {
                text = inner;
                is_reply = true;
            }
            None => return BaseSubject { text: text.to_owned(), is_reply },
        }
    }
}

/// `subj-leader`: blobs, then re/fw/fwd with an optional blob, then a colon.
fn leader(text: &str) -> Option<&str> {
    let mut at = text.trim_start();
    while let Some(rest) = blob(at) {
        at = rest;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|mark| strip_prefix(at, mark))?;
    let rest = rest.trim_start();
    let rest = blob(rest).unwrap_or(rest);
    rest.strip_prefix(':').map(str::trim_start)
}

/// `subj-blob`: `[…]` without brackets inside, and the blanks after it.
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    inner[end..].strip_prefix(']').map(str::trim_start)
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_off() {
        for (subject, base, is_reply) in [
            ("Re: hello", "hello", true),
            ("RE : Fwd: [list] Re[2]: hello  world (fwd)", "hello world", true),
            ("[list] hello", "hello", false),
            ("[list]", "[list]", false),
            ("[Fwd: hello]", "hello", true),
            ("Regards", "Regards", false),
            ("Re:", "", true),
            ("", "", false),
            ("你好", "你好", false),
        ] {
            assert_eq!(base_subject(subject), BaseSubject { text: base.to_owned(), is_reply }, "{subject}");
        }
    }
}
