//! Commands about mailboxes by name: CREATE, DELETE, RENAME, LIST, STATUS and their like.

use std::io::Write;

use store::{AccountId, Mailbox, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::connection::Stop;
use super::listing::{self, PATTERNS_MAX_BYTES};
use super::reply::{Reply, write_mailbox};
use crate::parse::{Command, ListRequest, ListReturn, StatusItem};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A mailbox by the name a client gave it.
    pub(super) fn find(&self, account: AccountId, name: &str) -> Result<Mailbox, StoreError> {
        let name = canonical_name(name).map_err(|_| StoreError::NoSuchMailbox)?;
        self.context.store.mailbox(account, &name)?.ok_or(StoreError::NoSuchMailbox)
    }

    pub(super) async fn mailbox_command(
        &mut self,
        _tag: &str,
        account: AccountId,
        command: Command,
    ) -> Result<Reply, Stop> {
        let store = self.context.store.clone();
        let done = match command {
            Command::Create(name) => store.create_mailbox(account, &name, None).await.map(|_| "made"),
            Command::Delete(name) => {
                self.leave_if_selected(account, &name).await;
                store.delete_mailbox(account, &name).await.map(|()| "deleted")
            }
            Command::Rename { from, to } => {
                store.rename_mailbox(account, &from, &to).await.map(|()| "renamed")
            }
            Command::Subscribe(name) => store.subscribe(account, &name, true).await.map(|()| "subscribed"),
            Command::Unsubscribe(name) => {
                store.subscribe(account, &name, false).await.map(|()| "unsubscribed")
            }
            Command::List(request) => return Ok(self.list(account, &request)),
            Command::Lsub { reference, pattern } => return Ok(self.lsub(account, &reference, &pattern)),
            Command::Namespace => {
                self.connection.line("* NAMESPACE ((\"\" \"/\")) NIL NIL");
                return Ok(Reply::ok("done"));
            }
            Command::Status { mailbox, items } => {
                let found = self.find(account, &mailbox);
                found.and_then(|found| self.status(&found, &items)).map(|()| "that is all")
            }
            Command::GetQuota(root) => {
                if !root.is_empty() {
                    return Ok(Reply::no("[NONEXISTENT] there is one quota root, and its name is empty"));
                }
                self.quota(account).map(|()| "that is all")
            }
            Command::GetQuotaRoot(mailbox) => self.quota_root(account, &mailbox).map(|()| "that is all"),
            // Every other command has been carried out by the caller.
            _ => return Ok(Reply::bad("this command cannot be used here")),
        };
        Ok(done.map_or_else(|error| Reply::refused(&error), Reply::ok))
    }

    /// A client may delete the mailbox it has selected; it is then in none.
    async fn leave_if_selected(&mut self, account: AccountId, name: &str) {
        let Some(selected) = &self.selected else { return };
        if self.find(account, name).is_ok_and(|mailbox| mailbox.id == selected.view.mailbox)
            && name != "INBOX"
        {
            self.leave_mailbox().await;
            self.connection.line("* OK [CLOSED] the mailbox is being deleted");
        }
    }

    pub(super) fn list(&mut self, account: AccountId, request: &ListRequest) -> Reply {
        if request.patterns.iter().map(String::len).sum::<usize>() + request.reference.len()
            > PATTERNS_MAX_BYTES
        {
            return Reply::no("[LIMIT] the mailbox pattern is too long");
        }
        // Asks for the delimiter only (RFC 3501 section 6.3.8).
        if !request.extended && request.patterns.iter().all(String::is_empty) {
            self.connection.line("* LIST (\\Noselect) \"/\" \"\"");
            return Reply::ok("that is all");
        }
        let store = &self.context.store;
        let (mailboxes, subscriptions) = match (store.mailboxes(account), store.subscriptions(account)) {
            (Ok(mailboxes), Ok(subscriptions)) => (mailboxes, subscriptions),
            (Err(error), _) | (_, Err(error)) => return Reply::refused(&error),
        };
        let status = request.returns.iter().find_map(|option| match option {
            ListReturn::Status(items) => Some(items.as_slice()),
            _ => None,
        });
        for line in listing::list(&mailboxes, &subscriptions, request) {
            line.write("LIST", self.enabled.utf8(), &mut self.connection.out);
            let found = mailboxes.iter().find(|mailbox| mailbox.name == line.name && mailbox.selectable);
            if let (Some(items), Some(mailbox)) = (status, found)
                && let Err(error) = self.status(mailbox, items)
            {
                return Reply::refused(&error);
            }
        }
        Reply::ok("that is all")
    }

    pub(super) fn lsub(&mut self, account: AccountId, reference: &str, pattern: &str) -> Reply {
        if pattern.len() + reference.len() > PATTERNS_MAX_BYTES {
            return Reply::no("[LIMIT] the mailbox pattern is too long");
        }
        if pattern.is_empty() {
            self.connection.line("* LSUB (\\Noselect) \"/\" \"\"");
            return Reply::ok("that is all");
        }
        let store = &self.context.store;
        match (store.mailboxes(account), store.subscriptions(account)) {
            (Ok(mailboxes), Ok(subscriptions)) => {
                for line in listing::lsub(&mailboxes, &subscriptions, reference, pattern) {
                    line.write("LSUB", self.enabled.utf8(), &mut self.connection.out);
                }
                Reply::ok("that is all")
            }
            (Err(error), _) | (_, Err(error)) => Reply::refused(&error),
        }
    }

    fn status(&mut self, mailbox: &Mailbox, items: &[StatusItem]) -> Result<(), StoreError> {
        if !mailbox.selectable {
            return Err(StoreError::NotSelectable);
        }
        let mut told = Vec::with_capacity(items.len());
        for item in items {
            told.push(match item {
                StatusItem::Messages => format!("MESSAGES {}", mailbox.messages),
                StatusItem::Recent => format!("RECENT {}", self.count_recent(mailbox)?),
                StatusItem::UidNext => format!("UIDNEXT {}", mailbox.uid_next),
                StatusItem::UidValidity => format!("UIDVALIDITY {}", mailbox.uid_validity),
                StatusItem::Unseen => format!("UNSEEN {}", mailbox.unseen),
                StatusItem::HighestModSeq => {
                    self.enabled.condstore = true;
                    format!("HIGHESTMODSEQ {}", mailbox.highest_modseq)
                }
                StatusItem::Size => format!("SIZE {}", mailbox.bytes),
                StatusItem::AppendLimit => format!("APPENDLIMIT {}", self.context.limits.message_max_bytes),
            });
        }
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* STATUS ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        let _ = write!(out, " ({})\r\n", told.join(" "));
        Ok(())
    }

    fn count_recent(&self, mailbox: &Mailbox) -> Result<usize, StoreError> {
        let first = self.context.store.first_recent(mailbox);
        if first >= mailbox.uid_next {
            return Ok(0);
        }
        let uids = vec![first..=u32::MAX];
        Ok(self.context.store.rows(mailbox.id, &uids, false)?.len())
    }
}
