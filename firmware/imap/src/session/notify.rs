//! NOTIFY (RFC 5465): telling of other mailboxes, and of the selected one between commands.
//!
//! The store's feed tells which mailboxes changed; this works out what the client asked to hear of that.
//! What a feed keeps is bounded; when it has overflowed, or the client asked for none, nothing is told.

use std::collections::HashMap;
use std::io::Write;

use store::{AccountId, Feed, Mailbox, MailboxEvent, MailboxId, Rights, StoreError, canonical_name};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connection::Stop;
use super::listing;
use super::mailboxes::Visible;
use super::place::{Owned, owned};
use super::reply::{Reply, write_mailbox};
use super::{Session, multisearch};
use crate::parse::{
    Command, FetchModifiers, ListRequest, ListReturn, MailboxFilter, NotifyEvents, NotifyRequest,
    SequenceSet, SetRange, StatusItem,
};

/// What the client was told of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    uid_next: u32,
    messages: u32,
    modseq: u64,
}

impl Told {
    fn of(mailbox: &Mailbox) -> Self {
        Self { uid_next: mailbox.uid_next, messages: mailbox.messages, modseq: mailbox.highest_modseq }
    }
}

/// A NOTIFY SET in force.
pub(super) struct Notify {
    request: NotifyRequest,
    feed: Feed,
    told: HashMap<MailboxId, Told>,
    /// Names of what the client could see when it last heard.
    names: HashMap<MailboxId, String>,
    /// The highest UID of the selected mailbox whose message was told.
    last_uid: (MailboxId, u32),
    /// Names this session itself has just changed: it knows.
    own: Vec<String>,
}

/// Whether a filter names a mailbox, which may be gone.
fn names(filter: &MailboxFilter, name: &str, visible: &Visible) -> bool {
    let any = |given: &[String], test: &dyn Fn(&str) -> bool| {
        given.iter().filter_map(|given| canonical_name(given).ok()).any(|given| test(&given))
    };
    match filter {
        MailboxFilter::Inboxes | MailboxFilter::Personal => owned(name) == Owned::Own,
        MailboxFilter::Subscribed => visible.subscriptions.iter().any(|one| one.name == name),
        MailboxFilter::Mailboxes(given) => any(given, &|given| given == name),
        MailboxFilter::Subtree(given) => any(given, &|given| multisearch::below(name, given).is_some()),
        MailboxFilter::SubtreeOne(given) => {
            any(given, &|given| multisearch::below(name, given).is_some_and(|rest| !rest.contains('/')))
        }
    }
}

impl Notify {
    /// Waits until there may be something to tell.
    pub async fn arrived(&self) {
        self.feed.arrived().await;
    }

    fn wants(&self, name: &str, visible: &Visible, event: impl Fn(&NotifyEvents) -> bool) -> bool {
        self.request.groups.iter().any(|(filter, events)| event(events) && names(filter, name, visible))
    }

    fn wants_subscription(&self, name: &str, visible: &Visible) -> bool {
        self.request.groups.iter().any(|(filter, events)| {
            // What has just been unsubscribed was of this filter until now.
            events.subscriptions && (*filter == MailboxFilter::Subscribed || names(filter, name, visible))
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn set_notify(
        &mut self,
        account: AccountId,
        request: Option<NotifyRequest>,
    ) -> Result<Reply, StoreError> {
        let Some(request) = request else {
            self.notify = None;
            return Ok(Reply::ok("nothing will be told"));
        };
        let mut every = request.groups.iter().map(|(_, events)| events);
        if every.any(|events| events.unknown)
            || request.selected.as_ref().is_some_and(|(_, events)| events.unknown)
        {
            return Ok(Reply::no(
                "[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
                 MailboxMetadataChange ServerMetadataChange)] this event is not known",
            ));
        }
        // Following begins before looking, so that nothing falls between the two.
        let mut feed = self.context.store.feed();
        let visible = self.visible(account)?;
        feed.follow(visible.mailboxes.iter().map(|mailbox| mailbox.account).chain([account]));
        let visible = self.visible(account)?;
        let selected = self.selected.as_ref().map(|selected| selected.view.mailbox);
        let last = self.selected.as_ref().map_or(0, |selected| selected.view.last_uid());
        let mut notify = Notify {
            request,
            feed,
            told: HashMap::new(),
            names: HashMap::new(),
            last_uid: (selected.unwrap_or(MailboxId(0)), last),
            own: Vec::new(),
        };
        for mailbox in &visible.mailboxes {
            notify.names.insert(mailbox.id, mailbox.name.clone());
            let messages = notify.wants(&mailbox.name, &visible, |events| events.messages);
            if !messages || !mailbox.selectable {
                continue;
            }
            if !visible.rights_of(mailbox.id).contains(Rights::READ) {
                self.write_no_access(&mailbox.name);
                continue;
            }
            notify.told.insert(mailbox.id, Told::of(mailbox));
            if notify.request.status && selected != Some(mailbox.id) {
                let mut items = vec![StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity];
                if notify.wants(&mailbox.name, &visible, |events| events.flags) {
                    items.push(StatusItem::HighestModSeq);
                }
                self.write_status(mailbox, &items)?;
            }
        }
        self.notify = Some(notify);
        Ok(Reply::ok("changes will be told"))
    }

    fn write_no_access(&mut self, name: &str) {
        self.connection.out.extend_from_slice(b"* LIST (\\NoAccess) \"/\" ");
        write_mailbox(&mut self.connection.out, name, self.enabled.utf8());
        self.connection.out.extend_from_slice(b"\r\n");
    }

    /// Remembers which names a command of this session changes, so that it is not told of them.
    pub(super) fn note_own_names(&mut self, command: &Command) {
        let Some(notify) = &mut self.notify else { return };
        let mut note = |name: &String| notify.own.extend(canonical_name(name).ok());
        match command {
            Command::Create { mailbox, .. } | Command::Metadata { mailbox, .. } => note(mailbox),
            Command::Delete(name) | Command::Subscribe(name) | Command::Unsubscribe(name) => note(name),
            Command::Rename { from, to } => {
                note(from);
                note(to);
            }
            _ => {}
        }
    }

    /// Waits for the client, and tells it meanwhile what it asked to hear.
    pub(super) async fn wait_for_client(&mut self, deadline: Instant) -> Result<(), Stop> {
        loop {
            self.tell_notified().await?;
            self.connection.flush().await?;
            let Self { connection, selected, notify, .. } = self;
            let Some(notify) = notify else { return connection.fill(deadline).await };
            let changed = async {
                match selected {
                    Some(selected)
                        if notify.request.selected.as_ref().is_some_and(|(_, events)| events.messages) =>
                    {
                        selected.changes.changed().await.is_ok()
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                filled = connection.fill(deadline) => return filled,
                () = notify.feed.arrived() => {}
                alive = changed => {
                    if !alive {
                        return Err(Stop::Bye("the mail store is closing"));
                    }
                    let expunge = notify.request.selected.as_ref().is_some_and(|(delayed, _)| !delayed);
                    let telling = self.telling(expunge, true);
                    self.sync(telling)?;
                }
            }
        }
    }

    /// Tells what has been heard since.
    pub(super) async fn tell_notified(&mut self) -> Result<(), Stop> {
        let Some(mut notify) = self.notify.take() else { return Ok(()) };
        self.fetch_new(&mut notify).await?;
        let heard = notify.feed.take();
        if heard.overflow {
            self.connection.line("* OK [NOTIFICATIONOVERFLOW] too much happened; nothing more will be told");
            return Ok(());
        }
        let own = std::mem::take(&mut notify.own);
        if !heard.messages.is_empty() || !heard.events.is_empty() {
            let told = self.tell_events(&mut notify, &own, heard.events);
            if let Err(error) = told.and_then(|()| self.tell_messages(&mut notify, heard.messages)) {
                tracing::debug!(%error, "changes of mailboxes cannot be told");
                self.connection
                    .line("* OK [NOTIFICATIONOVERFLOW] the store is busy; nothing more will be told");
                return Ok(());
            }
        }
        self.notify = Some(notify);
        Ok(())
    }

    /// Fetches what the client wants to know of messages that are new in the selected mailbox.
    async fn fetch_new(&mut self, notify: &mut Notify) -> Result<(), Stop> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let (mailbox, last) = (selected.view.mailbox, selected.view.last_uid());
        let before = std::mem::replace(&mut notify.last_uid, (mailbox, last));
        let Some((_, events)) = &notify.request.selected else { return Ok(()) };
        if before.0 != mailbox || before.1 >= last || events.fetch.is_empty() {
            return Ok(());
        }
        let new = SetRange { from: Some(before.1 + 1), to: Some(last) };
        let set = SequenceSet { ranges: vec![new] };
        self.fetch(true, &set, events.fetch.clone(), FetchModifiers::default()).await.map(drop)
    }

    fn tell_messages(
        &mut self,
        notify: &mut Notify,
        changed: impl IntoIterator<Item = MailboxId>,
    ) -> Result<(), StoreError> {
        let Some(account) = self.account else { return Ok(()) };
        let selected = self.selected.as_ref().map(|selected| selected.view.mailbox);
        let mut visible = None;
        for id in changed {
            if selected == Some(id) || !notify.names.contains_key(&id) {
                continue;
            }
            let visible = match &visible {
                Some(visible) => visible,
                None => visible.insert(self.visible(account)?),
            };
            let Some(mailbox) = visible.mailboxes.iter().find(|mailbox| mailbox.id == id).cloned() else {
                continue;
            };
            if !visible.rights_of(id).contains(Rights::READ) {
                continue;
            }
            let messages = notify.wants(&mailbox.name, visible, |events| events.messages);
            let flags = notify.wants(&mailbox.name, visible, |events| events.flags);
            let now = Told::of(&mailbox);
            let before = notify.told.insert(id, now);
            let counted =
                before.is_none_or(|told| (told.uid_next, told.messages) != (now.uid_next, now.messages));
            let mut items = vec![StatusItem::UidValidity];
            if messages && counted {
                items.extend([StatusItem::UidNext, StatusItem::Messages]);
            }
            let touched = before.is_none_or(|told| told.modseq != now.modseq);
            if flags && touched {
                items.push(StatusItem::Unseen);
            }
            if items.len() > 1 {
                if self.enabled.condstore {
                    items.push(StatusItem::HighestModSeq);
                }
                self.write_status(&mailbox, &items)?;
            }
        }
        Ok(())
    }

    /// STATUS of another's initiative: it turns nothing on.
    fn write_status(&mut self, mailbox: &Mailbox, items: &[StatusItem]) -> Result<(), StoreError> {
        let condstore = self.enabled.condstore;
        self.enabled.condstore = true;
        let told = self.status(mailbox, items);
        self.enabled.condstore = condstore;
        told
    }

    fn tell_events(
        &mut self,
        notify: &mut Notify,
        own: &[String],
        events: Vec<(AccountId, MailboxEvent)>,
    ) -> Result<(), StoreError> {
        let Some(account) = self.account.filter(|_| !events.is_empty()) else { return Ok(()) };
        let visible = self.visible(account)?;
        let before = std::mem::take(&mut notify.names);
        for mailbox in &visible.mailboxes {
            notify.names.insert(mailbox.id, mailbox.name.clone());
        }
        notify.feed.follow(visible.mailboxes.iter().map(|mailbox| mailbox.account).chain([account]));
        let (mut listed, mut rights_changed): (Vec<String>, bool) = (Vec::new(), false);
        for (_, event) in events {
            match event {
                MailboxEvent::Created { mailbox, .. } | MailboxEvent::Deleted { mailbox, .. } => {
                    let name = notify.names.get(&mailbox).or_else(|| before.get(&mailbox));
                    listed.extend(name.cloned());
                }
                MailboxEvent::Renamed { mailbox, .. } => {
                    let (Some(old), Some(new)) = (before.get(&mailbox), notify.names.get(&mailbox)) else {
                        listed.extend(notify.names.get(&mailbox).cloned());
                        continue;
                    };
                    let wanted = |name| notify.wants(name, &visible, |events| events.names);
                    if !own.contains(new) && (wanted(old) || wanted(new)) {
                        self.write_listed(&visible, new, Some(old));
                    }
                }
                MailboxEvent::Subscription { name } => {
                    if !own.contains(&name) && notify.wants_subscription(&name, &visible) {
                        self.write_listed(&visible, &name, None);
                    }
                }
                MailboxEvent::Metadata { mailbox, only, names } => {
                    if only.is_none_or(|only| only == account) {
                        self.tell_metadata(notify, &visible, own, mailbox, &names);
                    }
                }
                MailboxEvent::Rights { .. } => rights_changed = true,
            }
        }
        if rights_changed {
            let lost = before.iter().filter(|(id, _)| !notify.names.contains_key(id));
            let gained = notify.names.iter().filter(|(id, _)| !before.contains_key(id));
            listed.extend(lost.chain(gained).map(|(_, name)| name.clone()));
        }
        // A mailbox that comes or goes touches the one right above it too (RFC 5465 section 5.4).
        let parents: Vec<String> = listed
            .iter()
            .filter(|name| !own.contains(name))
            .filter_map(|name| name.rsplit_once('/').map(|(parent, _)| parent.to_owned()))
            .collect();
        listed.extend(parents);
        listed.sort_unstable();
        listed.dedup();
        for name in listed {
            if !own.contains(&name) && notify.wants(&name, &visible, |events| events.names) {
                self.write_listed(&visible, &name, None);
            }
        }
        Ok(())
    }

    fn tell_metadata(
        &mut self,
        notify: &Notify,
        visible: &Visible,
        own: &[String],
        mailbox: Option<MailboxId>,
        entries: &[String],
    ) {
        let name = match mailbox {
            Some(mailbox) => {
                let Some(name) = notify.names.get(&mailbox) else { return };
                if own.contains(name)
                    || !visible.rights_of(mailbox).contains(Rights::READ)
                    || !notify.wants(name, visible, |events| events.metadata)
                {
                    return;
                }
                name.as_str()
            }
            None if notify.request.groups.iter().any(|(_, events)| events.server_metadata) => "",
            None => return,
        };
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* METADATA ");
        write_mailbox(out, name, self.enabled.utf8());
        for entry in entries {
            let _ = write!(out, " {entry}");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// `* LIST` for one name as it is now.
    fn write_listed(&mut self, visible: &Visible, name: &str, old: Option<&str>) {
        let request = ListRequest {
            patterns: vec![name.to_owned()],
            returns: vec![ListReturn::Subscribed, ListReturn::Children],
            extended: true,
            ..ListRequest::default()
        };
        let utf8 = self.enabled.utf8();
        let mut line = Vec::new();
        if let Some(listed) = listing::list(&visible.mailboxes, &visible.subscriptions, &request).first() {
            listed.write("LIST", utf8, &mut line);
        } else {
            let subscribed = visible.subscriptions.iter().any(|one| one.name == name);
            let attribute = if subscribed { " \\Subscribed" } else { "" };
            let _ = write!(line, "* LIST (\\NonExistent{attribute}) \"/\" ");
            write_mailbox(&mut line, name, utf8);
            line.extend_from_slice(b"\r\n");
        }
        if let Some(old) = old {
            line.truncate(line.len().saturating_sub(2));
            line.extend_from_slice(b" (\"OLDNAME\" (");
            write_mailbox(&mut line, old, utf8);
            line.extend_from_slice(b"))\r\n");
        }
        self.connection.out.extend_from_slice(&line);
    }
}
