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
            "CREATE" => Command::Create(self.mailbox_argument()?),
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
            "GETQUOTAROOT" => Command::GetQuotaRoot(self.mailbox_argument()?),
            _ => return Ok(None),
        }))
    }
}
