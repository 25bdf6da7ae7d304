//! SELECT, EXAMINE, and the ends of a selection.

use super::Fault;
use super::SequenceSet;
use super::command::{Command, Resync, SelectParameters};
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
            "QRESYNC" => {
                cursor.space()?;
                parameters.qresync = Some(cursor.resync()?);
                Ok(())
            }
            _ => Err(Fault::Syntax("no such parameter of SELECT")),
        })?;
        Ok(parameters)
    }

    /// `(uidvalidity modseq [known-uids] [(numbers uids)])`.
    fn resync(&mut self) -> Result<Resync, Fault> {
        self.expect(b'(', "QRESYNC takes a list")?;
        let uid_validity = self.number32()?;
        self.space()?;
        let modseq = self.number()?;
        if uid_validity == 0 || modseq == 0 {
            return Err(Fault::Syntax("UIDVALIDITY and modification sequence of QRESYNC cannot be 0"));
        }
        let mut resync = Resync { uid_validity, modseq, known: None, numbers: None };
        if self.take(b' ') {
            if self.peek() != Some(b'(') {
                resync.known = Some(self.known_set()?);
            }
            let more = resync.known.is_none() || self.take(b' ');
            if more {
                self.expect(b'(', "the sequence match data of QRESYNC is missing")?;
                if self.dialect.uid_only {
                    return Err(Fault::UidRequired);
                }
                let numbers = self.known_set()?;
                self.space()?;
                let uids = self.known_set()?;
                self.expect(b')', "the sequence match data of QRESYNC is not closed")?;
                if numbers.count() != uids.count() {
                    return Err(Fault::Syntax("QRESYNC names more numbers than UIDs, or fewer"));
                }
                resync.numbers = Some((numbers, uids));
            }
        }
        self.expect(b')', "the list of QRESYNC is not closed")?;
        Ok(resync)
    }

    /// A set without `*`.
    fn known_set(&mut self) -> Result<SequenceSet, Fault> {
        let set = SequenceSet::parse(self)?;
        if set.has_star() || set.is_saved() {
            Err(Fault::Syntax("* is not allowed in this set"))
        } else {
            Ok(set)
        }
    }
}
