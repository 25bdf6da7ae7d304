//! Commands about mailboxes by name: CREATE, DELETE, RENAME, LIST, STATUS and their like.

use std::collections::HashMap;
use std::io::Write;

use store::{AccountId, Mailbox, MailboxId, OTHER_USERS, Rights, SpecialUse, StoreError, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::connection::Stop;
use super::listing::{self, PATTERNS_MAX_BYTES};
use super::place::{Owned, owned, shared_name};
use super::reply::{Reply, write_mailbox};
use crate::parse::{Command, ListRequest, ListReturn, StatusItem};

/// What one user can list.
pub(super) struct Visible {
    /// Own mailboxes, then others', with the names this user sees.
    pub mailboxes: Vec<Mailbox>,
    pub subscriptions: Vec<Subscription>,
    /// Rights where they are not all: in others' mailboxes, and in own ones that were narrowed.
    pub rights: HashMap<MailboxId, Rights>,
}

/// The owner's name of a mailbox as this user sees it.
fn owners_name(name: &str) -> &str {
    match owned(name) {
        Owned::Other(_, name) => name,
        Owned::Own | Owned::Level => name,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn mailbox_command(
        &mut self,
        tag: &str,
        account: AccountId,
        command: Command,
    ) -> Result<Reply, Stop> {
        let store = self.context.store.clone();
        let done = match command {
            Command::Create { mailbox, uses } => self.create(account, &mailbox, &uses).await,
            Command::Delete(name) => self.delete(account, &name).await,
            Command::Rename { from, to } => self.rename(account, &from, &to).await,
            // A name that is nobody's mailbox is most likely a mistake (RFC 9051 section 6.3.7 allows to say so).
            Command::Subscribe(name) => match self.find_with(account, &name, Rights::LOOKUP) {
                Ok(_) => store.subscribe(account, &name, true).await.map(|()| Reply::ok("subscribed")),
                Err(error) => Err(error),
            },
            Command::Unsubscribe(name) => {
                store.subscribe(account, &name, false).await.map(|()| Reply::ok("unsubscribed"))
            }
            Command::List(request) => self.list(account, &request),
            Command::Lsub { reference, pattern } => self.lsub(account, &reference, &pattern),
            Command::Namespace => {
                self.connection.line(&format!("* NAMESPACE ((\"\" \"/\")) ((\"{OTHER_USERS}/\" \"/\")) NIL"));
                Ok(Reply::ok("done"))
            }
            Command::Status { mailbox, items } => self
                .find_with(account, &mailbox, Rights::READ)
                .and_then(|(found, _)| self.status(&found, &items))
                .map(|()| Reply::ok("that is all")),
            Command::GetQuota(root) if root.is_empty() => self.quota(account),
            Command::GetQuota(_) => Ok(Reply::no("[NONEXISTENT] there is no such quota root")),
            Command::GetQuotaRoot(mailbox) => self.quota_root(account, &mailbox),
            Command::SetQuota => Ok(Reply::no("[NOPERM] only the administrator changes quotas")),
            Command::Notify(request) => self.set_notify(account, request),
            Command::Acl { mailbox, command } => self.acl(account, &mailbox, command).await,
            Command::Metadata { mailbox, command } => self.metadata(account, &mailbox, command).await,
            Command::MultiSearch { sources, returns, key } => {
                return self.multi_search(tag, account, &sources, returns, key).await;
            }
            // Every other command has been carried out by the caller.
            _ => return Ok(Reply::bad("this command cannot be used here")),
        };
        Ok(done.unwrap_or_else(|error| Reply::refused(&error)))
    }

    async fn create(&mut self, account: AccountId, name: &str, uses: &[String]) -> Result<Reply, StoreError> {
        let used = match uses {
            [] => None,
            [one] => Some(SpecialUse::from_attribute(one).ok_or(StoreError::BadSpecialUse("asked for"))?),
            // A mailbox has one use here (RFC 6154 section 3).
            _ => return Err(StoreError::BadSpecialUse("asked for")),
        };
        let (owner, name) = self.find_new(account, name)?;
        let id = self.context.store.create_mailbox(owner, &name, used).await?;
        Ok(Reply::ok(format!("[MAILBOXID (M{})] made", id.0)))
    }

    async fn delete(&mut self, account: AccountId, name: &str) -> Result<Reply, StoreError> {
        let (mailbox, _) = self.find_with(account, name, Rights::DELETE_MAILBOX)?;
        self.leave_if_selected(&mailbox).await;
        let name = owners_name(&mailbox.name).to_owned();
        self.context.store.delete_mailbox(mailbox.account, &name).await?;
        Ok(Reply::ok("deleted"))
    }

    /// Within one owner's mailboxes: mail does not change hands by a new name.
    async fn rename(&mut self, account: AccountId, from: &str, to: &str) -> Result<Reply, StoreError> {
        let (mailbox, _) = self.find_with(account, from, Rights::DELETE_MAILBOX)?;
        let (owner, to) = self.find_new(account, to)?;
        if owner != mailbox.account {
            return Err(StoreError::Forbidden);
        }
        let from = owners_name(&mailbox.name).to_owned();
        self.context.store.rename_mailbox(owner, &from, &to).await?;
        Ok(Reply::ok("renamed"))
    }

    /// A client may delete the mailbox it has selected; it is then in none.
    async fn leave_if_selected(&mut self, mailbox: &Mailbox) {
        let Some(selected) = &self.selected else { return };
        if mailbox.id == selected.view.mailbox && mailbox.name != "INBOX" {
            self.leave_mailbox().await;
            self.connection.line("* OK [CLOSED] the mailbox is being deleted");
        }
    }

    /// Everything this user can list: own mailboxes, others' with the right to look them up, subscriptions.
    pub(super) fn visible(&self, account: AccountId) -> Result<Visible, StoreError> {
        let store = &self.context.store;
        let mut visible = Visible {
            mailboxes: store.mailboxes(account)?,
            subscriptions: store.subscriptions(account)?,
            rights: store.narrowed_mailboxes(account)?.into_iter().collect(),
        };
        for shared in store.shared_mailboxes(account)? {
            if shared.rights.contains(Rights::LOOKUP) {
                visible.rights.insert(shared.mailbox.id, shared.rights);
                let name = shared_name(&shared.owner, &shared.mailbox.name);
                visible.mailboxes.push(Mailbox { name, special_use: None, ..shared.mailbox });
            }
        }
        Ok(visible)
    }

    pub(super) fn list(&mut self, account: AccountId, request: &ListRequest) -> Result<Reply, StoreError> {
        if request.patterns.iter().map(String::len).sum::<usize>() + request.reference.len()
            > PATTERNS_MAX_BYTES
        {
            return Ok(Reply::no("[LIMIT] the mailbox pattern is too long"));
        }
        // Asks for the delimiter only (RFC 3501 section 6.3.8).
        if !request.extended && request.patterns.iter().all(String::is_empty) {
            self.connection.line("* LIST (\\Noselect) \"/\" \"\"");
            return Ok(Reply::ok("that is all"));
        }
        let visible = self.visible(account)?;
        let lines = listing::list(&visible.mailboxes, &visible.subscriptions, request);
        let by_name: HashMap<&str, &Mailbox> =
            visible.mailboxes.iter().map(|mailbox| (mailbox.name.as_str(), mailbox)).collect();
        for line in lines {
            line.write("LIST", self.enabled.utf8(), &mut self.connection.out);
            let asks_more = line.is_wanted && !request.returns.is_empty();
            let Some(mailbox) = by_name.get(line.name.as_str()).filter(|_| asks_more) else {
                continue;
            };
            let rights = visible.rights_of(mailbox.id);
            for option in &request.returns {
                match option {
                    ListReturn::Status(items) if mailbox.selectable && rights.contains(Rights::READ) => {
                        self.status(mailbox, items)?;
                    }
                    ListReturn::Metadata(names) if rights.contains(Rights::READ) => {
                        self.list_metadata(account, mailbox, names)?;
                    }
                    ListReturn::MyRights => self.write_my_rights(mailbox, rights),
                    _ => {}
                }
            }
        }
        Ok(Reply::ok("that is all"))
    }

    pub(super) fn lsub(
        &mut self,
        account: AccountId,
        reference: &str,
        pattern: &str,
    ) -> Result<Reply, StoreError> {
        if pattern.len() + reference.len() > PATTERNS_MAX_BYTES {
            return Ok(Reply::no("[LIMIT] the mailbox pattern is too long"));
        }
        if pattern.is_empty() {
            self.connection.line("* LSUB (\\Noselect) \"/\" \"\"");
            return Ok(Reply::ok("that is all"));
        }
        let visible = self.visible(account)?;
        for line in listing::lsub(&visible.mailboxes, &visible.subscriptions, reference, pattern) {
            line.write("LSUB", self.enabled.utf8(), &mut self.connection.out);
        }
        Ok(Reply::ok("that is all"))
    }

    pub(super) fn status(&mut self, mailbox: &Mailbox, items: &[StatusItem]) -> Result<(), StoreError> {
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
                    self.enable_condstore();
                    format!("HIGHESTMODSEQ {}", mailbox.highest_modseq)
                }
                StatusItem::Size => format!("SIZE {}", mailbox.bytes),
                StatusItem::Deleted => format!("DELETED {}", mailbox.deleted),
                StatusItem::DeletedStorage => {
                    format!("DELETED-STORAGE {}", self.context.store.deleted_bytes(mailbox)?)
                }
                StatusItem::MailboxId => format!("MAILBOXID (M{})", mailbox.id.0),
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
