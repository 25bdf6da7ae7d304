//! SELECT, EXAMINE, and the ends of a selection.

use super::Fault;
use super::command::{Command, SelectParameters};
use super::cursor::Cursor;

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn selection_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if uid {
            return Ok(None);
        }
        Ok(Some(match word {
            "SELECT" | "EXAMINE" => {
                let mailbox = self.mailbox_argument()?;
                Command::Select {
                    mailbox,
                    read_only: word == "EXAMINE",
                    parameters: self.select_parameters()?,
                }
            }
            "CHECK" => Command::Check,
            "CLOSE" => Command::Close,
            "UNSELECT" => Command::Unselect,
            _ => return Ok(None),
        }))
    }

    fn select_parameters(&mut self) -> Result<SelectParameters, Fault> {
        let mut parameters = SelectParameters::default();
        if self.is_at_end() {
            return Ok(parameters);
        }
        self.space()?;
        self.options(|cursor| match cursor.atom()?.to_ascii_uppercase().as_str() {
            "CONDSTORE" => {
                parameters.condstore = true;
                Ok(())
            }
            _ => Err(Fault::Syntax("no such parameter of SELECT")),
        })?;
        Ok(parameters)
    }
}
