//! APPEND.

use super::Fault;
use super::command::{AppendMessage, Command};
use super::cursor::Cursor;

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn append_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if word == "APPEND" && !uid { self.append().map(Some) } else { Ok(None) }
    }

    fn append(&mut self) -> Result<Command, Fault> {
        let mailbox = self.mailbox_argument()?;
        self.space()?;
        let mut flags = Vec::new();
        if self.peek() == Some(b'(') {
            flags = self.flag_list()?;
            self.space()?;
        }
        let mut date = None;
        if self.peek() == Some(b'"') {
            date = Some(self.date_time()?);
            self.space()?;
        }
        let message = self.literal()?;
        Ok(Command::Append { mailbox, message: AppendMessage { flags, date, message } })
    }
}
