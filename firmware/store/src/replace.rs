//! REPLACE (RFC 8508): a new message for an old one, in one step.

use crate::writer::Ledger;
use crate::{Append, Appended, MailboxId, ModSeq, Store, StoreError, Uid, growing_by};

/// What a replacement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Where the new message is.
    pub appended: Appended,
    /// Mod-sequence of the old message's expunge.
    pub source_modseq: ModSeq,
}

impl Store {
    /// Stores a message in `to` and removes message `uid` of `from`: both or nothing. Only what the new
    /// message needs beyond the old one counts against the quota. [`StoreError::Gone`] without the old one.
    pub async fn replace(
        &self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        message: Append,
    ) -> Result<Replaced, StoreError> {
        let cost = growing_by([&message.body])?;
        self.submit(cost, move |ledger| ledger.replace(from, uid, to, &message)).await
    }
}

impl Ledger {
    fn replace(
        &mut self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        message: &Append,
    ) -> Result<Replaced, StoreError> {
        // First the old one goes, so that its space is there for the new one; an error undoes both.
        let expunged = self.expunge(from, Some(&[uid..=uid]), false)?;
        if expunged.uids.is_empty() {
            return Err(StoreError::Gone);
        }
        let appended = self.append(to, std::slice::from_ref(message))?;
        Ok(Replaced { appended, source_modseq: expunged.modseq })
    }
}
