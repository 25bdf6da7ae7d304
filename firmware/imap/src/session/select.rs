//! SELECT and EXAMINE, and leaving a mailbox.

use std::io::Write;

use store::{AccountId, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::reply::{Reply, write_flag_lists};
use super::view::View;
use super::{Selected, Session};
use crate::parse::SelectParameters;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn select(
        &mut self,
        account: AccountId,
        name: &str,
        read_only: bool,
        parameters: SelectParameters,
    ) -> Result<Reply, Stop> {
        if self.selected.is_some() {
            self.leave_mailbox().await;
            self.connection.line("* OK [CLOSED] the mailbox before this one is closed");
        }
        self.enabled.condstore |= parameters.condstore;
        match self.open(account, name, read_only).await {
            Ok(selected) => {
                self.selected = Some(selected);
                let (code, verb) =
                    if read_only { ("READ-ONLY", "examined") } else { ("READ-WRITE", "selected") };
                Ok(Reply::ok(format!("[{code}] {verb}")))
            }
            Err(error) => Ok(Reply::refused(&error)),
        }
    }

    /// Opens a mailbox and tells the client what is in it.
    async fn open(
        &mut self,
        account: AccountId,
        name: &str,
        read_only: bool,
    ) -> Result<Selected, StoreError> {
        let store = &self.context.store;
        let mailbox = self.find(account, name)?;
        if !mailbox.selectable {
            return Err(StoreError::NotSelectable);
        }
        // Listening begins before the snapshot, so that nothing falls between the two.
        let changes = store.watch(mailbox.id);
        let mut first_recent = mailbox.first_recent;
        if !read_only && first_recent < mailbox.uid_next {
            first_recent = store.claim_recent(mailbox.id).await?;
        }
        let snapshot = store.snapshot(mailbox.id)?;
        let mailbox = snapshot.mailbox.clone();
        let mut view = View::new(snapshot, read_only, first_recent);
        view.took_recent = !read_only && mailbox.first_recent < mailbox.uid_next;

        let out = &mut self.connection.out;
        write_flag_lists(out, &mailbox.keywords, read_only);
        let _ = write!(out, "* {} EXISTS\r\n* {} RECENT\r\n", view.entries().len(), view.recent());
        if let Some(number) = view.first_unseen() {
            let _ = write!(out, "* OK [UNSEEN {number}] first unseen message\r\n");
        }
        let _ = write!(out, "* OK [UIDVALIDITY {}] UIDs are valid\r\n", mailbox.uid_validity);
        let _ = write!(out, "* OK [UIDNEXT {}] next UID\r\n", mailbox.uid_next);
        let _ = write!(out, "* OK [HIGHESTMODSEQ {}] modification sequence\r\n", mailbox.highest_modseq);
        Ok(Selected { view, changes })
    }

    /// Closes the selected mailbox without a word to the client.
    pub(super) async fn leave_mailbox(&mut self) {
        let Some(selected) = self.selected.take() else { return };
        // What this client was told of as recent is recent to no other (RFC 3501 section 2.3.2). If that
        // cannot be recorded, another client sees it once more.
        if selected.view.took_recent
            && let Err(error) = self.context.store.claim_recent(selected.view.mailbox).await
        {
            tracing::debug!(%error, "recent messages could not be claimed");
        }
    }
}
