//! NOTIFY (RFC 5465).

use super::cursor::Cursor;
use super::{Command, Fault, FetchItem, MailboxFilter};

/// Most groups of events in one NOTIFY.
const GROUPS_MAX: usize = 64;

/// Which events a client wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifyEvents {
    /// `MessageNew` and `MessageExpunge`, which come together.
    pub messages: bool,
    /// What to fetch of new messages in the selected mailbox.
    pub fetch: Vec<FetchItem>,
    /// `FlagChange`
    pub flags: bool,
    /// `MailboxName`
    pub names: bool,
    /// `SubscriptionChange`
    pub subscriptions: bool,
    /// `MailboxMetadataChange`
    pub metadata: bool,
    /// `ServerMetadataChange`
    pub server_metadata: bool,
    /// An event that is not known here; the command is answered NO.
    pub unknown: bool,
}

/// What NOTIFY SET asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifyRequest {
    /// Tell the STATUS of the mailboxes first.
    pub status: bool,
    /// Events of the selected mailbox, and whether EXPUNGE waits for a command.
    pub selected: Option<(bool, NotifyEvents)>,
    /// Events of others.
    pub groups: Vec<(MailboxFilter, NotifyEvents)>,
}

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn notify_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if uid || word != "NOTIFY" {
            return Ok(None);
        }
        self.space()?;
        if self.take_word("NONE") {
            return Ok(Some(Command::Notify(None)));
        }
        if !self.take_word("SET") {
            return Err(Fault::Syntax("NOTIFY takes SET or NONE"));
        }
        let mut request = NotifyRequest::default();
        self.space()?;
        request.status = self.take_word("STATUS");
        if request.status {
            self.space()?;
        }
        loop {
            if request.groups.len() == GROUPS_MAX {
                return Err(Fault::Syntax("too many groups of events"));
            }
            self.event_group(&mut request)?;
            if self.is_at_end() {
                return Ok(Some(Command::Notify(Some(request))));
            }
            self.space()?;
        }
    }

    fn event_group(&mut self, request: &mut NotifyRequest) -> Result<(), Fault> {
        self.expect(b'(', "a group of events is missing")?;
        let immediate = self.take_word("SELECTED");
        if immediate || self.take_word("SELECTED-DELAYED") {
            self.space()?;
            let events = self.events()?;
            let others = events.names || events.subscriptions || events.metadata || events.server_metadata;
            if others || request.selected.is_some() {
                return Err(Fault::Syntax("SELECTED stands once, with events of messages only"));
            }
            request.selected = Some((!immediate, events));
        } else {
            let filter = self.mailbox_filter(false)?;
            self.space()?;
            let events = self.events()?;
            if !events.fetch.is_empty() {
                return Err(Fault::Syntax("items to fetch go with SELECTED only"));
            }
            request.groups.push((filter, events));
        }
        self.expect(b')', "a group of events is not closed")
    }

    fn events(&mut self) -> Result<NotifyEvents, Fault> {
        let mut events = NotifyEvents::default();
        if self.take_word("NONE") {
            return Ok(events);
        }
        let (mut new, mut expunge) = (false, false);
        self.options(|cursor| {
            match cursor.atom()?.to_ascii_uppercase().as_str() {
                "MESSAGENEW" => {
                    new = true;
                    if cursor.rest().starts_with(b" (") {
                        cursor.space()?;
                        events.fetch = cursor.fetch_items()?;
                    }
                }
                "MESSAGEEXPUNGE" => expunge = true,
                "FLAGCHANGE" => events.flags = true,
                "MAILBOXNAME" => events.names = true,
                "SUBSCRIPTIONCHANGE" => events.subscriptions = true,
                "MAILBOXMETADATACHANGE" => events.metadata = true,
                "SERVERMETADATACHANGE" => events.server_metadata = true,
                _ => events.unknown = true,
            }
            Ok(())
        })?;
        if new != expunge || (events.flags && !new) {
            return Err(Fault::Syntax(
                "MessageNew and MessageExpunge go together, FlagChange only with both",
            ));
        }
        events.messages = new;
        Ok(events)
    }
}
