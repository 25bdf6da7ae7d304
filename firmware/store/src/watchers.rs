//! Who wants to know when a mailbox changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::{MailboxId, ModSeq};

/// Senders by mailbox; one exists while somebody listens.
#[derive(Default)]
pub(crate) struct Watchers {
    mailboxes: Mutex<HashMap<MailboxId, watch::Sender<ModSeq>>>,
}

impl Watchers {
    /// Begins with 1, the mod-sequence of an empty mailbox: 0 says that it was deleted.
    pub fn subscribe(&self, mailbox: MailboxId) -> watch::Receiver<ModSeq> {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.entry(mailbox).or_insert_with(|| watch::Sender::new(1)).subscribe()
    }

    /// Tells the listeners, and forgets senders nobody listens to.
    pub fn publish(&self, changes: impl Iterator<Item = (MailboxId, ModSeq)>) {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if mailboxes.is_empty() {
            return;
        }
        for (mailbox, modseq) in changes {
            let Some(sender) = mailboxes.get(&mailbox) else { continue };
            if sender.receiver_count() == 0 {
                mailboxes.remove(&mailbox);
            } else {
                sender.send_replace(modseq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_hear_of_their_mailbox_only() {
        let watchers = Watchers::default();
        let mut one = watchers.subscribe(MailboxId(1));
        let two = watchers.subscribe(MailboxId(2));
        watchers.publish([(MailboxId(1), 6)].into_iter());
        assert!(one.has_changed().unwrap() && !two.has_changed().unwrap());
        assert_eq!(*one.borrow_and_update(), 6);
        drop(one);
        watchers.publish([(MailboxId(1), 7)].into_iter());
        assert_eq!(watchers.mailboxes.lock().unwrap().len(), 1);
    }
}
