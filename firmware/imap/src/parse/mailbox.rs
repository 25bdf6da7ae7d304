//! Commands about mailboxes by name.

use super::Fault;
use super::command::Command;
use super::cursor::Cursor;

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn mailbox_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if uid {
            return Ok(None);
        }
        Ok(Some(match word {
            "CREATE" => {
                Command::Create { mailbox: self.mailbox_argument()?, uses: self.create_parameters()? }
            }
            "DELETE" => Command::Delete(self.mailbox_argument()?),
            "RENAME" => Command::Rename { from: self.mailbox_argument()?, to: self.mailbox_argument()? },
            "SUBSCRIBE" => Command::Subscribe(self.mailbox_argument()?),
            "UNSUBSCRIBE" => Command::Unsubscribe(self.mailbox_argument()?),
            "LIST" => {
                self.space()?;
                Command::List(self.list_request()?)
            }
            "LSUB" => {
                self.space()?;
                let reference = self.list_mailbox()?;
                self.space()?;
                Command::Lsub { reference, pattern: self.list_mailbox()? }
            }
            "STATUS" => {
                let mailbox = self.mailbox_argument()?;
                self.space()?;
                Command::Status { mailbox, items: self.status_items()? }
            }
            "NAMESPACE" => Command::Namespace,
            "GETQUOTA" => {
                self.space()?;
                let root = self.astring()?;
                Command::GetQuota(String::from_utf8_lossy(&root).into_owned())
            }
            "SETQUOTA" => {
                self.space()?;
                self.astring()?;
                self.space()?;
                self.options(|cursor| {
                    cursor.atom()?;
                    cursor.space()?;
                    cursor.number().map(drop)
                })?;
                Command::SetQuota
            }
            "GETQUOTAROOT" => Command::GetQuotaRoot(self.mailbox_argument()?),
            _ => return Ok(None),
        }))
    }

    /// `(USE (\\Drafts ...))` after the name of CREATE, if it is there.
    fn create_parameters(&mut self) -> Result<Vec<String>, Fault> {
        let mut uses = Vec::new();
        if self.is_at_end() {
            return Ok(uses);
        }
        self.space()?;
        self.options(|cursor| {
            if !cursor.take_word("USE") {
                return Err(Fault::Syntax("no such parameter of CREATE"));
            }
            cursor.space()?;
            cursor.options(|cursor| {
                cursor.expect(b'\\', "a special use begins with \\")?;
                uses.push(format!("\\{}", cursor.atom()?));
                Ok(())
            })
        })?;
        Ok(uses)
    }
}
