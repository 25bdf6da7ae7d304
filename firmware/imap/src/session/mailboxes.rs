//! Commands about mailboxes as a whole: SELECT, CREATE, LIST, STATUS, APPEND, GETQUOTA and their like.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use message::write_string;
use store::{AccountId, Append, Body, Mailbox, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::listing::{self, PATTERNS_MAX_BYTES};
use super::reply::{Reply, flag_names, write_flag_lists, write_mailbox};
use super::view::View;
use super::{Selected, Session};
use crate::parse::{AppendMessage, Command, ListRequest, ListReturn, SelectParameters, StatusItem};

/// Messages above this size are read through beside the other sessions' work.
const SUMMARY_INLINE_BYTES: usize = 128 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A mailbox by the name a client gave it.
    pub(super) fn find(&self, account: AccountId, name: &str) -> Result<Mailbox, StoreError> {
        let name = canonical_name(name).map_err(|_| StoreError::NoSuchMailbox)?;
        self.context.store.mailbox(account, &name)?.ok_or(StoreError::NoSuchMailbox)
    }

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
        self.condstore |= parameters.condstore;
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

    pub(super) async fn mailbox_command(
        &mut self,
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
            Command::Append { mailbox, message } => return self.append(account, &mailbox, message).await,
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
            line.write("LIST", &mut self.connection.out);
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
                    line.write("LSUB", &mut self.connection.out);
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
                    self.condstore = true;
                    format!("HIGHESTMODSEQ {}", mailbox.highest_modseq)
                }
                StatusItem::Size => format!("SIZE {}", mailbox.bytes),
                StatusItem::AppendLimit => format!("APPENDLIMIT {}", self.context.limits.message_max_bytes),
            });
        }
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* STATUS ");
        write_mailbox(out, &mailbox.name);
        let _ = write!(out, " ({})\r\n", told.join(" "));
        Ok(())
    }

    fn count_recent(&self, mailbox: &Mailbox) -> Result<usize, StoreError> {
        if mailbox.first_recent >= mailbox.uid_next {
            return Ok(0);
        }
        let uids = vec![mailbox.first_recent..=u32::MAX];
        Ok(self.context.store.rows(mailbox.id, &uids, false)?.len())
    }

    fn quota(&mut self, account: AccountId) -> Result<(), StoreError> {
        let quota = self.context.store.quota(account)?.ok_or(StoreError::NoSuchAccount)?;
        let mut resources = Vec::new();
        if let Some(limit) = quota.limit_bytes {
            // In units of 1024 bytes (RFC 9208 section 5.1).
            resources.push(format!("STORAGE {} {}", quota.used_bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.limit_messages {
            resources.push(format!("MESSAGE {} {limit}", quota.used_messages));
        }
        self.connection.line(&format!("* QUOTA \"\" ({})", resources.join(" ")));
        Ok(())
    }

    fn quota_root(&mut self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let mailbox = self.find(account, name)?;
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_mailbox(out, &mailbox.name);
        out.push(b' ');
        write_string(out, b"");
        out.extend_from_slice(b"\r\n");
        self.quota(account)
    }

    async fn append(
        &mut self,
        account: AccountId,
        name: &str,
        message: AppendMessage,
    ) -> Result<Reply, Stop> {
        let AppendMessage { flags, date, message } = message;
        if message.is_empty() {
            return Ok(Reply::no("[CANNOT] a message cannot be empty"));
        }
        let most = self.context.limits.message_max_bytes;
        if message.len() as u64 > most {
            return Ok(Reply::no(format!("[TOOBIG] a message can have at most {most} bytes")));
        }
        let mailbox = match self.find(account, name) {
            Ok(mailbox) => mailbox,
            Err(error) => return Ok(Reply::refused_target(&error)),
        };
        let body = if message.len() > SUMMARY_INLINE_BYTES {
            match tokio::task::spawn_blocking(move || Body::new(message)).await {
                Ok(body) => body,
                Err(_) => return Ok(Reply::no("[SERVERBUG] the message could not be read through")),
            }
        } else {
            Body::new(message)
        };
        let internal_date_s = date.map_or_else(now_s, |date| date.unix_s);
        let append = Append { body, flags: flag_names(flags), internal_date_s };
        Ok(match self.context.store.append(mailbox.id, vec![append]).await {
            Ok(appended) => {
                let uids = super::reply::sequence_set(appended.uids);
                Reply::ok(format!("[APPENDUID {} {uids}] stored", appended.uid_validity))
            }
            Err(error) => Reply::refused_target(&error),
        })
    }
}

/// Seconds since 1970.
pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
