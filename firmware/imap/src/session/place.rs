//! Names as this user sees them, and what the user may do there (RFC 4314, RFC 2342).
//!
//! Own mailboxes have their own names. A mailbox of another user of the same domain is
//! `Other Users/ADDRESS/NAME`. Who has neither the right to look it up nor the one a command needs is told
//! that there is no such mailbox.

use store::{AccountId, Mailbox, MailboxId, OTHER_USERS, Rights, SharedMailbox, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::messages::FlagChange;
use super::reply::Reply;
use crate::parse::{Command, FetchItem, Flag, StoreMode};

const NO_RIGHT: &str = "[NOPERM] you have no right to do this here";

/// Whose mailbox a name is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owned<'a> {
    /// The user's own.
    Own,
    /// Of the owner with this address, under this name.
    Other(&'a str, &'a str),
    /// A level above other users' mailboxes.
    Level,
}

/// Reads a name; the levels of other users' place are compared without case like addresses are.
pub(super) fn owned(name: &str) -> Owned<'_> {
    let (first, rest) = name.split_once('/').unwrap_or((name, ""));
    if !first.eq_ignore_ascii_case(OTHER_USERS) {
        return Owned::Own;
    }
    match rest.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() => Owned::Other(owner, name),
        _ => Owned::Level,
    }
}

/// The name under which others see a mailbox.
pub(super) fn shared_name(owner: &str, name: &str) -> String {
    format!("{OTHER_USERS}/{owner}/{name}")
}

/// Whether the right allows to set or remove the flag (RFC 4314 section 4).
pub(super) fn may_change(rights: Rights, flag: &Flag) -> bool {
    rights.contains(match flag {
        Flag::Seen => Rights::SEEN,
        Flag::Deleted => Rights::DELETE_MESSAGES,
        _ => Rights::WRITE,
    })
}

/// Whether a mailbox can be selected for more than reading.
pub(super) fn may_write(rights: Rights) -> bool {
    let changes = [Rights::SEEN, Rights::WRITE, Rights::INSERT, Rights::DELETE_MESSAGES, Rights::EXPUNGE];
    changes.into_iter().any(|right| rights.contains(right))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A mailbox by the name a client gave it, with the name as this user sees it, and the user's rights.
    pub(super) fn look_up(&self, account: AccountId, name: &str) -> Result<(Mailbox, Rights), StoreError> {
        let name = canonical_name(name).map_err(|_| StoreError::NoSuchMailbox)?;
        let store = &self.context.store;
        let found = match owned(&name) {
            Owned::Own => {
                let mailbox = store.mailbox(account, &name)?.ok_or(StoreError::NoSuchMailbox)?;
                let rights = store.rights(account, &mailbox)?;
                return Ok((mailbox, rights));
            }
            Owned::Other(owner, name) => store.shared_mailbox(account, &owner.to_lowercase(), name)?,
            Owned::Level => None,
        };
        let SharedMailbox { mut mailbox, owner, rights } = found.ok_or(StoreError::NoSuchMailbox)?;
        if mailbox.account != account {
            mailbox.name = shared_name(&owner, &mailbox.name);
        }
        Ok((mailbox, rights))
    }

    /// A mailbox in which the user has these rights.
    pub(super) fn find_with(
        &self,
        account: AccountId,
        name: &str,
        needed: Rights,
    ) -> Result<(Mailbox, Rights), StoreError> {
        let (mailbox, rights) = self.look_up(account, name)?;
        if rights.contains(needed) && !rights.is_empty() {
            Ok((mailbox, rights))
        } else if rights.contains(Rights::LOOKUP) {
            Err(StoreError::Forbidden)
        } else {
            Err(StoreError::NoSuchMailbox)
        }
    }

    /// The owner and the owner's name of a mailbox that can be made under this name.
    pub(super) fn find_new(&self, account: AccountId, name: &str) -> Result<(AccountId, String), StoreError> {
        let name = canonical_name(name)?;
        let (owner, below) = match owned(&name) {
            Owned::Own => return Ok((account, name)),
            Owned::Level => return Err(StoreError::Forbidden),
            Owned::Other(owner, below) => (owner, below),
        };
        // What counts is the right to make mailboxes in the nearest one above that exists.
        let mut above = below;
        while let Some((parent, _)) = above.rsplit_once('/') {
            above = parent;
            match self.find_with(account, &shared_name(owner, parent), Rights::CREATE) {
                Ok((mailbox, _)) => return Ok((mailbox.account, below.to_owned())),
                Err(StoreError::NoSuchMailbox) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Forbidden)
    }

    /// What the user may do in the selected mailbox now: the owner of another one may have changed that.
    fn selected_rights(&self) -> Result<Rights, StoreError> {
        let (Some(selected), Some(account)) = (&self.selected, self.account) else {
            return Ok(Rights::default());
        };
        if selected.owner == account {
            return Ok(selected.rights);
        }
        let mailbox = self.context.store.mailbox_by_id(selected.view.mailbox)?;
        self.context.store.rights(account, &mailbox.ok_or(StoreError::NoSuchMailbox)?)
    }

    /// Takes a command about messages of the selected mailbox as far as the user's rights go.
    pub(super) fn admit(&mut self, mut command: Command) -> Result<Command, Reply> {
        if self.selected.is_none() {
            return Ok(command);
        }
        let rights = self.selected_rights().map_err(|error| Reply::refused(&error))?;
        if let Some(selected) = &mut self.selected {
            selected.rights = rights;
        }
        if rights == Rights::ALL {
            return Ok(command);
        }
        let needed = match &mut command {
            Command::Unselect | Command::Check => return Ok(command),
            Command::Close if !rights.contains(Rights::EXPUNGE) => return Ok(Command::Unselect),
            Command::Expunge { .. } => Rights::EXPUNGE,
            Command::Copy { remove: true, .. } | Command::Replace { .. } => {
                Rights::READ.union(Rights::DELETE_MESSAGES).union(Rights::EXPUNGE)
            }
            Command::Fetch { items, .. } if !rights.contains(Rights::SEEN) => {
                for item in items {
                    if let FetchItem::Section { peek, .. } | FetchItem::Binary { peek, .. } = item {
                        *peek = true;
                    }
                }
                Rights::READ
            }
            Command::Store { mode, unchanged_since, flags, .. } => {
                let named = flags.len();
                let all = [Rights::SEEN, Rights::WRITE, Rights::DELETE_MESSAGES];
                let partial = !all.into_iter().all(|right| rights.contains(right));
                flags.retain(|flag| may_change(rights, flag));
                // One flag that can be changed is enough for an OK (RFC 4314 section 4).
                let none = (flags.is_empty() && named > 0) || !may_write(rights);
                let both = partial && *mode == StoreMode::Replace && unchanged_since.is_some();
                if none || both {
                    return Err(Reply::no(NO_RIGHT));
                }
                Rights::READ
            }
            _ => Rights::READ,
        };
        if rights.contains(needed) { Ok(command) } else { Err(Reply::no(NO_RIGHT)) }
    }

    /// STORE FLAGS by a user who may not change all of them: what the user may change and did not name is
    /// removed first. `None` where the command can be carried out as it stands.
    pub(super) fn narrowed_replace(&self, change: &FlagChange) -> Option<(FlagChange, FlagChange)> {
        let selected = self.selected.as_ref()?;
        let all = [Flag::Seen, Flag::Deleted, Flag::Answered, Flag::Flagged, Flag::Draft];
        let partial = all.iter().any(|flag| !may_change(selected.rights, flag));
        if change.mode != StoreMode::Replace || !partial {
            return None;
        }
        let keywords = selected.view.keywords.iter().map(|name| Flag::Keyword(name.clone()));
        let is_named = |flag: &Flag| {
            change.flags.iter().any(|named| match (named, flag) {
                (Flag::Keyword(one), Flag::Keyword(other)) => one.eq_ignore_ascii_case(other),
                (one, other) => one == other,
            })
        };
        let flags = all.into_iter().chain(keywords);
        let removed: Vec<Flag> =
            flags.filter(|flag| may_change(selected.rights, flag) && !is_named(flag)).collect();
        let remove =
            FlagChange { unchanged_since: None, mode: StoreMode::Remove, silent: true, flags: removed };
        let add = FlagChange {
            unchanged_since: None,
            mode: StoreMode::Add,
            silent: change.silent,
            flags: change.flags.clone(),
        };
        Some((remove, add))
    }

    /// Takes flags away that came along with copies and that the user may not set in the target.
    pub(super) async fn strip_copied_flags(
        &self,
        target: MailboxId,
        rights: Rights,
        copied: &store::Copied,
    ) -> Result<(), StoreError> {
        let mut flags = store::FlagNames::default();
        for (right, bits) in [
            (Rights::SEEN, store::Flags::SEEN),
            (Rights::DELETE_MESSAGES, store::Flags::DELETED),
            (Rights::WRITE, store::Flags::ANSWERED.union(store::Flags::FLAGGED).union(store::Flags::DRAFT)),
        ] {
            if !rights.contains(right) {
                flags.system = flags.system.union(bits);
            }
        }
        let store = &self.context.store;
        if !rights.contains(Rights::WRITE) {
            flags.keywords = store.mailbox_by_id(target)?.map(|mailbox| mailbox.keywords).unwrap_or_default();
        }
        if flags == store::FlagNames::default() {
            return Ok(());
        }
        let uids = copied.uids.iter().map(|(_, uid)| *uid..=*uid).collect();
        let remove = store::StoreFlags { action: store::FlagAction::Remove, flags, unchanged_since: None };
        store.store_flags(target, uids, remove).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        assert_eq!(owned("work/x"), Owned::Own);
        assert_eq!(owned("Other Users/bob@x.test/work/y"), Owned::Other("bob@x.test", "work/y"));
        assert_eq!(owned("other users/bob@x.test"), Owned::Level);
        assert_eq!(owned("Other Users"), Owned::Level);
        assert_eq!(owned("Other Usersx/a/b"), Owned::Own);
    }
}
