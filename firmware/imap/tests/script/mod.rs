//! Examples as files: what a client says, and what it is told.
//!
//! A line is a session, what it is, and a text; which letter is which session is the player's affair.
//!
//! | line      | means                                                                    |
//! |-----------|--------------------------------------------------------------------------|
//! | `== text` | the next scene: new service, new sessions                                |
//! | `A> text` | a command; the lines `A< text` after it are its answer                   |
//! | `A! text` | something that belongs to the last command, such as DONE                 |
//! | `A? `     | what nobody asked for comes: the lines `A< text` after it                |
//! | `# text`  | says something to the reader                                             |
//!
//! `«text»` is a literal of IMAP, `⏎` a line end, `␍` and `␊` half a one, `␀` a zero byte. `‹name›` stands for
//! one word that the server chooses, the same wherever the name stands; `‹any›` stands for any.
//!
//! With `EXAMPLES_WRITE=1` in the environment of the test the answers are written into the files: read them,
//! all of them, with the RFC beside, before they are committed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

/// Who has the sessions.
pub trait Player {
    /// New service, new sessions.
    async fn begin(&mut self);

    /// Does one step and returns what was told. `expected` is how many lines are, `None` where they are to
    /// be written.
    async fn step(&mut self, name: char, kind: char, text: &str, expected: Option<usize>) -> Vec<String>;
}

/// What is replaced in texts that come from the server, to be one line and to be read.
pub fn shown(response: &str) -> String {
    let mut text = String::new();
    let mut rest = response;
    while let Some(at) = rest.find("}\r\n") {
        let Some(open) = rest[..at].rfind('{') else { break };
        let Ok(length) = rest[open + 1..at].parse::<usize>() else { break };
        let start = at + 3;
        let Some(literal) = rest.get(start..start + length) else { break };
        let _ = write!(text, "{}«{literal}»", &rest[..open]);
        rest = &rest[start + length..];
    }
    text.push_str(rest);
    text.replace("\r\n", "⏎").replace('\r', "␍").replace('\n', "␊").replace('\0', "␀")
}

/// A text of a file as it is sent.
fn wire(text: &str, names: &HashMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, (name, after))) = cut(rest, '‹', '›') {
        let value = names.get(name).unwrap_or_else(|| panic!("‹{name}› is not known yet: {text}"));
        let _ = write!(filled, "{before}{value}");
        rest = after;
    }
    filled.push_str(rest);
    let filled = filled.replace('⏎', "\r\n").replace('␍', "\r").replace('␊', "\n").replace('␀', "\0");
    let mut sent = String::new();
    let mut rest = filled.as_str();
    while let Some((before, (literal, after))) = cut(rest, '«', '»') {
        let _ = write!(sent, "{before}{{{}+}}\r\n{literal}", literal.len());
        rest = after;
    }
    sent.push_str(rest);
    sent
}

/// What is before `open`, between it and `close`, and after that.
fn cut(text: &str, open: char, close: char) -> Option<(&str, (&str, &str))> {
    let (before, rest) = text.split_once(open)?;
    Some((before, rest.split_once(close)?))
}

/// Whether an answer is what is expected; learns the names in it.
fn fits(expected: &str, told: &str, names: &mut HashMap<String, String>) -> bool {
    let Some((before, (name, after))) = cut(expected, '‹', '›') else { return expected == told };
    let Some(rest) = told.strip_prefix(before) else { return false };
    let stop = after.chars().next();
    let end = stop.map_or(Some(rest.len()), |stop| rest.find(stop));
    let Some(end) = end.filter(|end| *end > 0) else { return false };
    let word = &rest[..end];
    if name != "any" && names.get(name).is_some_and(|known| known != word) {
        return false;
    }
    names.insert(name.to_owned(), word.to_owned());
    fits(after, &rest[end..], names)
}

/// Replaces what differs from run to run by names, for `EXAMPLES_WRITE`.
fn with_names(told: &str, names: &mut HashMap<String, String>) -> String {
    let mut text = told.to_owned();
    for (name, value) in names.iter() {
        text = text.replace(value.as_str(), &format!("‹{name}›"));
    }
    for (before, letter) in
        [("UIDVALIDITY ", 'v'), ("APPENDUID ", 'v'), ("COPYUID ", 'v'), ("MAILBOXID (", 'm')]
    {
        if let Some((_, rest)) = text.split_once(before)
            && !rest.starts_with('‹')
        {
            let word: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            let name = format!("{letter}{}", names.len() + 1);
            text = text.replace(&word, &format!("‹{name}›"));
            names.insert(name, word);
        }
    }
    text
}

/// Replays a file of `tests/rfc`.
pub async fn replay(player: &mut impl Player, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc").join(file);
    let text = std::fs::read_to_string(&path).expect("the examples can be read");
    let write = std::env::var_os("EXAMPLES_WRITE").is_some();
    let (mut names, mut written, mut wrong) = (HashMap::new(), String::new(), Vec::new());
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let _ = writeln!(written, "{line}");
        let mut letters = line.chars();
        let (Some(name), Some(kind)) = (letters.next(), letters.next()) else { continue };
        match kind {
            '=' => {
                names.clear();
                player.begin().await;
            }
            '>' | '!' | '?' => {
                let mut expected = Vec::new();
                while let Some((_, answer)) = lines.next_if(|(_, line)| line.starts_with(&format!("{name}<")))
                {
                    expected.push(answer[2..].trim_start_matches(' '));
                }
                let count = (!write).then_some(expected.len());
                let told = player.step(name, kind, &wire(letters.as_str().trim_start(), &names), count).await;
                let right = told.len() == expected.len()
                    && expected.iter().zip(&told).all(|(line, told)| fits(line, told, &mut names));
                for (at, told) in told.iter().enumerate() {
                    let kept = expected.get(at).filter(|line| fits(line, told, &mut names));
                    let told = kept.map_or_else(|| with_names(told, &mut names), |line| (*line).to_owned());
                    let _ = writeln!(written, "{name}<   {told}");
                }
                if !right {
                    wrong.push(format!("{file}:{}: {line}\n  {}", number + 1, told.join("\n  ")));
                }
            }
            _ => assert!(name == '#', "{file}:{}: what is this line? {line}", number + 1),
        }
    }
    if write {
        std::fs::write(&path, written).expect("the examples can be written");
    } else {
        assert!(wrong.is_empty(), "{} answers are others:\n{}", wrong.len(), wrong.join("\n"));
    }
}
