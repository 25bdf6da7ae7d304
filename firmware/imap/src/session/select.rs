//! SELECT and EXAMINE, with what a client that comes back has missed, and leaving a mailbox.

use std::io::Write;

use store::{AccountId, Mailbox, Rights, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::place::may_write;
use super::reply::{Reply, write_flag_lists, write_mailbox};
use super::resync;
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
        if parameters.qresync.is_some() && !self.enabled.qresync {
            return Ok(Reply::bad("enable QRESYNC first"));
        }
        if self.selected.is_some() {
            self.leave_mailbox().await;
            self.connection.line("* OK [CLOSED] the mailbox before this one is closed");
        }
        self.enabled.condstore |= parameters.condstore;
        match self.open(account, name, read_only, &parameters) {
            Ok(selected) => {
                self.selected = Some(selected);
                let read_only = self.selected.as_ref().is_some_and(|selected| selected.view.read_only);
                let (code, verb) =
                    if read_only { ("READ-ONLY", "examined") } else { ("READ-WRITE", "selected") };
                Ok(Reply::ok(format!("[{code}] {verb}")))
            }
            Err(error) => Ok(Reply::refused(&error)),
        }
    }

    /// Opens a mailbox and tells the client what is in it.
    fn open(
        &mut self,
        account: AccountId,
        name: &str,
        read_only: bool,
        parameters: &SelectParameters,
    ) -> Result<Selected, StoreError> {
        let store = &self.context.store;
        let (found, rights) = self.find_with(account, name, Rights::READ)?;
        let read_only = read_only || !may_write(rights);
        let mailbox = &found;
        if !mailbox.selectable {
            return Err(StoreError::NotSelectable);
        }
        // Listening begins before the snapshot, so that nothing falls between the two.
        let changes = store.watch(mailbox.id);
        let snapshot = store.snapshot(mailbox.id)?;
        let mailbox = Mailbox { name: found.name, ..snapshot.mailbox.clone() };
        let mut view = if self.enabled.rev2 {
            View::new(snapshot, read_only, None)
        } else if read_only {
            View::new(snapshot, read_only, Some(store.first_recent(&mailbox)))
        } else {
            let first = store.claim_recent(&mailbox);
            let mut view = View::new(snapshot, read_only, Some(first));
            // What was claimed before and never recorded is recorded by whoever claimed it.
            if first < mailbox.uid_next {
                view.recent_until = mailbox.uid_next;
            }
            view
        };
        view.rights = rights;
        let missed = match &parameters.qresync {
            // Under another UIDVALIDITY the client knows nothing (RFC 7162 section 3.2.5.1).
            Some(known) if known.uid_validity == mailbox.uid_validity => {
                Some(resync::missed(store, &view, known)?)
            }
            _ => None,
        };
        self.tell_selected(&mailbox, &view, name);
        if let Some(missed) = missed {
            let telling = self.telling(false, true);
            missed.write(&view, telling, &mut self.connection.out);
        }
        Ok(Selected { view, owner: mailbox.account, rights, changes })
    }

    fn tell_selected(&mut self, mailbox: &Mailbox, view: &View, asked_for: &str) {
        let out = &mut self.connection.out;
        write_flag_lists(out, &mailbox.keywords, view.read_only, view.rights);
        let _ = write!(out, "* {} EXISTS\r\n", view.entries().len());
        if !self.enabled.rev2 {
            let _ = write!(out, "* {} RECENT\r\n", view.recent());
            if let Some(number) = view.first_unseen().filter(|_| !self.enabled.uid_only) {
                let _ = write!(out, "* OK [UNSEEN {number}] first unseen message\r\n");
            }
        }
        let _ = write!(out, "* OK [UIDVALIDITY {}] UIDs are valid\r\n", mailbox.uid_validity);
        let _ = write!(out, "* OK [UIDNEXT {}] next UID\r\n", mailbox.uid_next);
        let _ = write!(out, "* OK [HIGHESTMODSEQ {}] modification sequence\r\n", mailbox.highest_modseq);
        let _ = write!(out, "* OK [MAILBOXID (M{})] mailbox identifier\r\n", mailbox.id.0);
        if self.enabled.rev2 {
            // RFC 9051 section 6.3.2; OLDNAME where the client wrote the name in another way.
            out.extend_from_slice(b"* LIST () \"/\" ");
            write_mailbox(out, &mailbox.name, true);
            if canonical_name(asked_for).is_ok_and(|name| name == mailbox.name) && asked_for != mailbox.name {
                out.extend_from_slice(b" (\"OLDNAME\" (");
                write_mailbox(out, asked_for, true);
                out.extend_from_slice(b"))");
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Closes the selected mailbox without a word to the client.
    pub(super) async fn leave_mailbox(&mut self) {
        let Some(selected) = self.selected.take() else { return };
        self.saved = Vec::new();
        // What this client was told of as recent is recent to no other (RFC 3501 section 2.3.2). If that
        // cannot be recorded, another client sees it once more.
        let until = selected.view.recent_until;
        if until > 0
            && let Err(error) = self.context.store.record_recent(selected.view.mailbox, until).await
        {
            tracing::debug!(%error, "recent messages could not be recorded");
        }
    }
}
