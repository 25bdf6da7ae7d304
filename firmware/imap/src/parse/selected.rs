//! Commands about messages of the selected mailbox.

use super::Fault;
use super::command::{Command, StoreMode};
use super::cursor::Cursor;

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn selected_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        let by_number = matches!(word, "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE") && !uid;
        if by_number && self.dialect.uid_only {
            return Err(Fault::UidRequired);
        }
        Ok(Some(match word {
            "SEARCH" => {
                self.space()?;
                let (returns, key) = self.search()?;
                Command::Search { uid, returns, key }
            }
            "FETCH" => {
                let set = self.set_argument()?;
                self.space()?;
                let items = self.fetch_items()?;
                Command::Fetch { uid, set, items, modifiers: self.fetch_modifiers()? }
            }
            "STORE" => self.store(uid)?,
            "COPY" | "MOVE" => {
                let set = self.set_argument()?;
                Command::Copy { uid, remove: word == "MOVE", set, mailbox: self.mailbox_argument()? }
            }
            "EXPUNGE" if uid => Command::Expunge { uids: Some(self.set_argument()?) },
            "EXPUNGE" => Command::Expunge { uids: None },
            _ => return Ok(None),
        }))
    }

    fn store(&mut self, uid: bool) -> Result<Command, Fault> {
        let set = self.set_argument()?;
        self.space()?;
        let mut unchanged_since = None;
        if self.peek() == Some(b'(') {
            self.options(|cursor| {
                if !cursor.take_word("UNCHANGEDSINCE") {
                    return Err(Fault::Syntax("no such modifier of STORE"));
                }
                cursor.space()?;
                unchanged_since = Some(cursor.number()?);
                Ok(())
            })?;
            self.space()?;
        }
        let mode = if self.take(b'+') {
            StoreMode::Add
        } else if self.take(b'-') {
            StoreMode::Remove
        } else {
            StoreMode::Replace
        };
        let silent = match self.atom()?.to_ascii_uppercase().as_str() {
            "FLAGS" => false,
            "FLAGS.SILENT" => true,
            _ => return Err(Fault::Syntax("STORE changes FLAGS or FLAGS.SILENT only")),
        };
        self.space()?;
        let flags = if self.peek() == Some(b'(') { self.flag_list()? } else { self.bare_flags()? };
        Ok(Command::Store { uid, set, unchanged_since, mode, silent, flags })
    }
}
