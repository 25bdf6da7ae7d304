//! Messages in: delivery and APPEND.

use std::sync::Arc;

use rusqlite::params;

use super::Ledger;
use crate::snapshots::Touch;
use crate::{
    AccountId, Append, Appended, Body, BodyId, Delivered, Delivery, Entry, FlagNames, Flags, MailboxId,
    Placed, Recipient, StoreError, Warning,
};

/// A message row about to be made.
pub(super) struct NewMessage {
    pub body: BodyId,
    pub size_bytes: u32,
    pub flags: Flags,
    pub internal_date_s: i64,
    pub zone_min: i16,
}

impl Ledger {
    /// Stores a message once and places it with every recipient that may have it.
    pub fn deliver(&mut self, delivery: &Delivery) -> Result<Delivered, StoreError> {
        let size = delivery.body.bytes.len() as u64;
        let mut stored: Option<BodyId> = None;
        let mut references = 0;
        let mut outcomes = Vec::with_capacity(delivery.recipients.len());
        for recipient in &delivery.recipients {
            let outcome = match self.admit(recipient, size) {
                Ok((mailbox, flags)) => {
                    let body = self.store_once(&mut stored, &delivery.body)?;
                    references += 1;
                    let internal_date_s = delivery.internal_date_s;
                    let message =
                        NewMessage { body, size_bytes: size as u32, flags, internal_date_s, zone_min: 0 };
                    Ok(self.insert_message(mailbox, &message)?)
                }
                Err(error) if error.is_of_the_disk() => return Err(error),
                Err(error) => Err(error),
            };
            outcomes.push(outcome);
        }
        let queued = match &delivery.outgoing {
            Some(outgoing) => {
                let body = self.store_once(&mut stored, &delivery.body)?;
                references += 1;
                Some(self.enqueue(outgoing, body)?)
            }
            None => None,
        };
        if let Some(body) = stored.filter(|_| references > 1) {
            self.run("INSERT INTO shares (body, refs) VALUES (?1, ?2)", params![body.0 as i64, references])?;
        }
        Ok(Delivered { recipients: outcomes, queued })
    }

    /// APPEND: all or none.
    pub fn append(&mut self, mailbox: MailboxId, messages: &[Append]) -> Result<Appended, StoreError> {
        let state = self.selectable(mailbox)?;
        let uid_validity = state.uid_validity;
        let bytes = messages.iter().map(|message| message.body.bytes.len() as u64).sum();
        self.check_room_to_append(mailbox, bytes, messages.len() as u64)?;
        let mut uids = Vec::with_capacity(messages.len());
        for message in messages {
            let flags = self.flag_bits(mailbox, &message.flags)?;
            let body = self.store_once(&mut None, &message.body)?;
            let size_bytes = message.body.bytes.len() as u32;
            let (internal_date_s, zone_min) = (message.internal_date_s, message.zone_min);
            let row = NewMessage { body, size_bytes, flags, internal_date_s, zone_min };
            uids.push(self.insert_message(mailbox, &row)?.uid);
        }
        Ok(Appended { uid_validity, uids })
    }

    /// Adds a message row and counts it; the quota has been checked.
    pub(super) fn insert_message(
        &mut self,
        mailbox: MailboxId,
        message: &NewMessage,
    ) -> Result<Placed, StoreError> {
        let now_s = self.now_s();
        let state = self.mailbox_mut(mailbox)?;
        let uid = state.take_uid()?;
        let modseq = state.advance();
        state.messages += 1;
        state.bytes += i64::from(message.size_bytes);
        state.unseen += i64::from(!message.flags.contains(Flags::SEEN));
        state.deleted += i64::from(message.flags.contains(Flags::DELETED));
        let (account, uid_validity) = (state.account, state.uid_validity);
        self.count(account, i64::from(message.size_bytes), 1)?;
        self.run(
            "INSERT INTO messages (mailbox, uid, body, size, flags, modseq, arrived, internal_date, save_date, zone_min)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)",
            params![
                mailbox.0,
                uid,
                message.body.0 as i64,
                message.size_bytes,
                message.flags.0 as i64,
                modseq,
                message.internal_date_s,
                now_s,
                message.zone_min
            ],
        )?;
        let (size_bytes, flags) = (message.size_bytes, message.flags);
        self.note_touch(mailbox, Touch::Arrived(Entry { uid, size_bytes, modseq: modseq as u64, flags }));
        Ok(Placed { mailbox, uid_validity, uid, modseq: modseq as u64 })
    }

    /// Places a warning that is still due in INBOXes, however full they are, and ends it.
    pub fn deliver_warning(
        &mut self,
        warning: Warning,
        accounts: &[AccountId],
        body: &Body,
    ) -> Result<bool, StoreError> {
        let (kind, number) = warning.subject.key();
        let ended = self.run(
            "DELETE FROM warnings WHERE kind = ?1 AND subject = ?2 AND percent = ?3",
            params![kind, number, warning.percent],
        )?;
        if ended == 0 {
            return Ok(false);
        }
        let (mut stored, mut references) = (None, 0);
        for account in accounts {
            // The INBOX has the account's number; who is gone meanwhile needs no warning.
            let inbox = MailboxId(account.0);
            if self.selectable(inbox).is_err() {
                continue;
            }
            let id = self.store_once(&mut stored, body)?;
            references += 1;
            let (size_bytes, internal_date_s) = (body.bytes.len() as u32, self.now_s());
            self.insert_message(
                inbox,
                &NewMessage { body: id, size_bytes, flags: Flags::default(), internal_date_s, zone_min: 0 },
            )?;
        }
        if let Some(body) = stored.filter(|_| references > 1) {
            self.run("INSERT INTO shares (body, refs) VALUES (?1, ?2)", params![body.0 as i64, references])?;
        }
        Ok(true)
    }

    /// The bits of named flags in a mailbox; keywords it does not have yet are added.
    pub(super) fn flag_bits(&mut self, mailbox: MailboxId, names: &FlagNames) -> Result<Flags, StoreError> {
        let mut flags = names.system.system();
        for name in &names.keywords {
            let known = &self.mailbox(mailbox)?.keywords;
            if let Some(index) = known.iter().position(|known| known.eq_ignore_ascii_case(name)) {
                flags = flags.union(Flags::keyword(index));
                continue;
            }
            if known.len() >= Flags::KEYWORDS_MAX || !crate::flags::is_keyword(name) {
                return Err(StoreError::TooManyKeywords { max: Flags::KEYWORDS_MAX });
            }
            let mut keywords = known.to_vec();
            flags = flags.union(Flags::keyword(keywords.len()));
            keywords.push(name.clone());
            let text = keywords.join(" ");
            self.run("UPDATE mailboxes SET keywords = ?2 WHERE id = ?1", params![mailbox.0, text])?;
            self.mailbox_mut(mailbox)?.keywords = Arc::new(keywords);
        }
        Ok(flags)
    }

    /// Where a recipient's copy goes, if it may come in. Changes nothing but the mailbox's keywords.
    fn admit(&mut self, recipient: &Recipient, size: u64) -> Result<(MailboxId, Flags), StoreError> {
        self.check_room(recipient.account, size, 1)?;
        let inbox = MailboxId(recipient.account.0);
        let mut mailbox = inbox;
        if recipient.mailbox != "INBOX" {
            let found = self.mailbox_named(recipient.account, &recipient.mailbox)?;
            mailbox = found.filter(|id| self.selectable(*id).is_ok()).unwrap_or(inbox);
        }
        let state = self.selectable(mailbox)?;
        if state.uid_next >= i64::from(u32::MAX) {
            return Err(StoreError::NoUidLeft);
        }
        Ok((mailbox, self.flag_bits(mailbox, &recipient.flags)?))
    }

    /// The body's number; stores it at the first call.
    fn store_once(&mut self, stored: &mut Option<BodyId>, body: &Body) -> Result<BodyId, StoreError> {
        if let Some(id) = *stored {
            return Ok(id);
        }
        let id = self.new_body();
        let place = self.appender.place(id, body);
        self.run(
            "INSERT INTO bodies (id, segment, offset, length, summary) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id.0 as i64, place.segment, place.offset as i64, place.length, &body.summary[..]],
        )?;
        self.texts.offer(id, &body.tokens);
        *stored = Some(id);
        Ok(id)
    }
}
