//! ESEARCH over several mailboxes (RFC 7377), and which mailboxes a filter names (RFC 5465 section 6).

use std::collections::HashSet;

use store::{AccountId, Mailbox, MailboxId, Rights, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::connection::Stop;
use super::mailboxes::Visible;
use super::place::{Owned, owned};
use super::reply::Reply;
use super::results::Results;
use super::view::View;
use crate::parse::{MailboxFilter, SearchKey, SearchReturn, SearchSource};

impl Visible {
    /// The mailboxes a filter names, as far as they can hold messages.
    pub fn filtered(&self, filter: &MailboxFilter) -> Vec<&Mailbox> {
        let canonical = |names: &[String]| -> Vec<String> {
            names.iter().filter_map(|name| canonical_name(name).ok()).collect()
        };
        let all = self.mailboxes.iter().filter(|mailbox| mailbox.selectable);
        match filter {
            // New mail can come into any of them, so the two are the same (RFC 5465 section 6.3).
            MailboxFilter::Inboxes | MailboxFilter::Personal => {
                all.filter(|mailbox| owned(&mailbox.name) == Owned::Own).collect()
            }
            MailboxFilter::Subscribed => {
                let names: HashSet<&str> =
                    self.subscriptions.iter().map(|subscription| subscription.name.as_str()).collect();
                all.filter(|mailbox| names.contains(mailbox.name.as_str())).collect()
            }
            MailboxFilter::Mailboxes(names) => {
                let names: HashSet<String> = canonical(names).into_iter().collect();
                all.filter(|mailbox| names.contains(&mailbox.name)).collect()
            }
            MailboxFilter::Subtree(names) => {
                let names = canonical(names);
                all.filter(|mailbox| names.iter().any(|name| below(&mailbox.name, name).is_some())).collect()
            }
            MailboxFilter::SubtreeOne(names) => {
                let names = canonical(names);
                let near = |mailbox: &Mailbox, name: &String| {
                    below(&mailbox.name, name).is_some_and(|rest| !rest.contains('/'))
                };
                all.filter(|mailbox| names.iter().any(|name| near(mailbox, name))).collect()
            }
        }
    }

    /// What the user may do in one of them.
    pub fn rights_of(&self, mailbox: MailboxId) -> Rights {
        self.rights.get(&mailbox).copied().unwrap_or(Rights::ALL)
    }
}

/// What follows `above/` in a name; empty for the same name.
pub(super) fn below<'a>(name: &'a str, above: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(above)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn multi_search(
        &mut self,
        tag: &str,
        account: AccountId,
        sources: &[SearchSource],
        mut returns: Vec<SearchReturn>,
        mut key: SearchKey,
    ) -> Result<Reply, Stop> {
        let elsewhere = sources.iter().any(|source| *source != SearchSource::Selected);
        if !elsewhere && self.selected.is_none() {
            return Ok(Reply::bad("select a mailbox first, or name where to search"));
        }
        // Numbers and saved results belong to the selected mailbox (RFC 7377 section 2.1).
        if elsewhere && (key.names_numbers() || returns.contains(&SearchReturn::Save)) {
            return Ok(Reply::bad("sequence numbers and SAVE go with the selected mailbox only"));
        }
        if returns.is_empty() {
            returns.push(SearchReturn::All);
        }
        key.put_saved(&self.saved_uids());
        let modseq = self.begin_search(true, &key)?;
        let mailboxes = match self.searched_mailboxes(account, sources) {
            Ok(mailboxes) => mailboxes,
            Err(error) => return Ok(Reply::refused(&error)),
        };
        for (id, name) in mailboxes {
            let view = match &self.selected {
                Some(selected) if selected.view.mailbox == id => None,
                _ => match self.context.store.snapshot(id) {
                    Ok(snapshot) => {
                        let uid_validity = snapshot.mailbox.uid_validity;
                        Some((View::new(snapshot, true, None), uid_validity))
                    }
                    // It was deleted meanwhile.
                    Err(StoreError::NoSuchMailbox) => continue,
                    Err(error) => return Ok(Reply::refused(&error)),
                },
            };
            let (searched, uid_validity) = match (&view, &self.selected) {
                (Some((view, uid_validity)), _) => (view.searched(), *uid_validity),
                (None, Some(selected)) => match self.context.store.mailbox_by_id(id) {
                    Ok(Some(mailbox)) => (selected.view.searched(), mailbox.uid_validity),
                    _ => continue,
                },
                (None, None) => continue,
            };
            let found = match self.find_messages(searched, key.clone()).await? {
                Ok(found) => found,
                Err(error) => return Ok(Reply::refused(&error)),
            };
            if returns.contains(&SearchReturn::Save) {
                self.save_result(&returns, &found);
            }
            // A mailbox where nothing was found is not named (RFC 7377 section 2.1).
            if !found.is_empty() {
                let mailbox = Some((name.as_str(), uid_validity, self.enabled.utf8()));
                let results = Results { tag, uid: true, modseq, found: &found, mailbox };
                results.write_extended(&returns, &mut self.connection.out);
            }
            self.connection.flush_when_large().await?;
        }
        Ok(Reply::ok("searched"))
    }

    /// Each mailbox once, with the name this user sees.
    fn searched_mailboxes(
        &self,
        account: AccountId,
        sources: &[SearchSource],
    ) -> Result<Vec<(MailboxId, String)>, StoreError> {
        let visible = self.visible(account)?;
        let mut named: Vec<(MailboxId, String)> = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |mailbox: &Mailbox| {
            if seen.insert(mailbox.id) {
                named.push((mailbox.id, mailbox.name.clone()));
            }
        };
        let selected = self.selected.as_ref().map(|selected| selected.view.mailbox);
        let is_selected = |mailbox: &&Mailbox| Some(mailbox.id) == selected;
        if sources.is_empty() {
            visible.mailboxes.iter().filter(is_selected).for_each(&mut add);
        }
        for source in sources {
            match source {
                SearchSource::Selected => visible.mailboxes.iter().filter(is_selected).for_each(&mut add),
                SearchSource::Mailboxes(filter) => {
                    let found = visible.filtered(filter);
                    let may_read = |mailbox: &&Mailbox| visible.rights_of(mailbox.id).contains(Rights::READ);
                    found.into_iter().filter(may_read).for_each(&mut add);
                }
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below() {
        assert_eq!(below("a/b/c", "a"), Some("b/c"));
        assert_eq!(below("a", "a"), Some(""));
        assert_eq!(below("ab", "a"), None);
    }
}
