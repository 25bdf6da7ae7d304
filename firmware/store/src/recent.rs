//! Which messages are still `\Recent`, while sessions are open (RFC 3501 section 2.3.2).
//!
//! A message is recent to one session only. Claims are made in memory, at once and without a write; what
//! was claimed is written when the session leaves the mailbox. After a crash a message may be recent once
//! more, which harms nobody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::writer::Ledger;
use crate::{Mailbox, MailboxId, Store, StoreError, Uid};

/// Mailboxes remembered; then all are forgotten, and the database tells.
const CLAIMS_MAX: usize = 100_000;

/// Messages below these UIDs are claimed.
#[derive(Default)]
pub(crate) struct Recents {
    claimed: Mutex<HashMap<MailboxId, Uid>>,
}

impl Recents {
    /// The first unclaimed UID, and with `until` claims everything below it.
    fn first(&self, mailbox: &Mailbox, until: Option<Uid>) -> Uid {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = claimed.get(&mailbox.id).copied().unwrap_or(0).max(mailbox.first_recent);
        if let Some(until) = until.filter(|until| *until > first) {
            if claimed.len() >= CLAIMS_MAX {
                claimed.clear();
            }
            claimed.insert(mailbox.id, until);
        }
        first
    }
}

impl Store {
    /// Messages of this mailbox from this UID on are `\Recent` to the next session that claims them.
    pub fn first_recent(&self, mailbox: &Mailbox) -> Uid {
        self.recents().first(mailbox, None)
    }

    /// Takes the `\Recent` messages for one session: those from the returned UID on, below the mailbox's
    /// UIDNEXT, are its own. Give them to [`Store::record_recent`] in the end.
    pub fn claim_recent(&self, mailbox: &Mailbox) -> Uid {
        self.recents().first(mailbox, Some(mailbox.uid_next))
    }

    /// Records that messages below `until` have been recent to a session.
    pub async fn record_recent(&self, mailbox: MailboxId, until: Uid) -> Result<(), StoreError> {
        self.small(move |ledger| ledger.record_recent(mailbox, until)).await
    }
}

impl Ledger {
    fn record_recent(&mut self, mailbox: MailboxId, until: Uid) -> Result<(), StoreError> {
        let state = self.mailbox_mut(mailbox)?;
        state.first_recent = state.first_recent.max(i64::from(until)).min(state.uid_next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountId;

    #[test]
    fn a_message_is_recent_to_one_session() {
        let recents = Recents::default();
        let mut mailbox = Mailbox {
            id: MailboxId(1),
            account: AccountId(1),
            name: "INBOX".to_owned(),
            uid_validity: 1,
            uid_next: 5,
            highest_modseq: 1,
            first_recent: 3,
            messages: 0,
            unseen: 0,
            deleted: 0,
            bytes: 0,
            special_use: None,
            selectable: true,
            keywords: Vec::new(),
        };
        assert_eq!(recents.first(&mailbox, None), 3);
        assert_eq!(recents.first(&mailbox, Some(5)), 3);
        assert_eq!(recents.first(&mailbox, Some(5)), 5);
        mailbox.uid_next = 9;
        assert_eq!(recents.first(&mailbox, Some(9)), 5);
        // What another process recorded counts as well.
        mailbox.first_recent = 12;
        assert_eq!(recents.first(&mailbox, None), 12);
    }
}
