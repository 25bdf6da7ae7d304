//! One command, from its tag to its end.

use bytes::Bytes;

use super::command::{Command, Tagged};
use super::cursor::{Cursor, Dialect, is_astring_char};
use super::{Fault, Rejected, SequenceSet};

/// A family of commands: reads what follows `word` if the word is one of its own; the flag says that UID
/// stood before it.
type Family = fn(&mut Cursor<'_>, word: &str, uid: bool) -> Result<Option<Command>, Fault>;

/// All families, each in the module of its name.
const FAMILIES: &[Family] = &[
    |cursor, word, uid| cursor.session_command(word, uid),
    |cursor, word, uid| cursor.selection_command(word, uid),
    |cursor, word, uid| cursor.mailbox_command(word, uid),
    |cursor, word, uid| cursor.append_command(word, uid),
    |cursor, word, uid| cursor.selected_command(word, uid),
    |cursor, word, uid| cursor.sort_command(word, uid),
    |cursor, word, uid| cursor.access_command(word, uid),
    |cursor, word, uid| cursor.notify_command(word, uid),
];

/// Reads one command in wire form: its line or lines with all literals in between, as
/// [`super::CommandReader`] cuts them.
pub fn parse(input: &Bytes, dialect: Dialect) -> Result<Tagged, Rejected> {
    let line = input.strip_suffix(b"\n").unwrap_or(input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let input = input.slice(..line.len());
    let mut cursor = Cursor::new(&input, dialect);
    let tag = cursor.tag().map_err(|fault| Rejected { tag: None, fault })?;
    match cursor.command() {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(fault) => Err(Rejected { tag: Some(tag), fault }),
    }
}

impl Cursor<'_> {
    pub(super) fn tag(&mut self) -> Result<String, Fault> {
        let tag = self.take_while(|byte| is_astring_char(byte) && byte < 0x80 && byte != b'+');
        if tag.is_empty() {
            return Err(Fault::Syntax("a command must start with a tag"));
        }
        Ok(String::from_utf8_lossy(tag).into_owned())
    }

    fn command(&mut self) -> Result<Command, Fault> {
        self.expect(b' ', "a command is missing after the tag")?;
        let mut word = self.atom()?.to_ascii_uppercase();
        let uid = word == "UID";
        if uid {
            self.space()?;
            word = self.atom()?.to_ascii_uppercase();
        }
        for family in FAMILIES {
            if let Some(command) = family(self, &word, uid)? {
                self.end()?;
                return Ok(command);
            }
        }
        let shown: String = word.chars().take(32).collect();
        Err(Fault::Unknown(if uid { format!("UID {shown}") } else { shown }))
    }

    pub(super) fn mailbox_argument(&mut self) -> Result<String, Fault> {
        self.space()?;
        self.mailbox()
    }

    pub(super) fn set_argument(&mut self) -> Result<SequenceSet, Fault> {
        self.space()?;
        SequenceSet::parse(self)
    }
}
