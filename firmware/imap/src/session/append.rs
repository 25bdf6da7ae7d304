//! APPEND, of one message or several (RFC 3502), whole or put together (RFC 4469), and REPLACE (RFC 8508).

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use store::{AccountId, Append, Body, MailboxId, Rights, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::place::may_change;
use super::reply::{Reply, flag_names, sequence_set};
use super::text::{Source, Text};
use super::{Selected, Session, read_long};
use crate::parse::{AppendContent, AppendMessage, AppendPiece, MessageUrl, SequenceSet, ZonedTime};

/// Messages above this size are read through beside the other sessions' work.
const SUMMARY_INLINE_BYTES: usize = 128 * 1024;

/// Why a message cannot be made.
enum Refused {
    Store(StoreError),
    Reply(Reply),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refused {
    fn reply(self) -> Reply {
        match self {
            Self::Store(error) => Reply::refused_target(&error),
            Self::Reply(reply) => reply,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// All messages or none.
    pub(super) async fn append(
        &mut self,
        account: AccountId,
        name: &str,
        messages: Vec<AppendMessage>,
    ) -> Result<Reply, Stop> {
        Ok(match self.append_to(account, name, messages).await {
            Ok(reply) => reply,
            Err(refused) => refused.reply(),
        })
    }

    async fn append_to(
        &mut self,
        account: AccountId,
        name: &str,
        messages: Vec<AppendMessage>,
    ) -> Result<Reply, Refused> {
        let (mailbox, rights) = self.append_target(account, name)?;
        let mut appends = Vec::with_capacity(messages.len());
        for mut message in messages {
            message.flags.retain(|flag| may_change(rights, flag));
            appends.push(self.make(account, message).await?);
        }
        let appended = self.context.store.append(mailbox, appends).await?;
        let uids = sequence_set(appended.uids);
        Ok(Reply::ok(format!("[APPENDUID {} {uids}] stored", appended.uid_validity)))
    }

    fn append_target(&self, account: AccountId, name: &str) -> Result<(MailboxId, Rights), StoreError> {
        let (mailbox, rights) = self.find_with(account, name, Rights::INSERT)?;
        if mailbox.selectable { Ok((mailbox.id, rights)) } else { Err(StoreError::NotSelectable) }
    }

    pub(super) async fn replace(
        &mut self,
        account: AccountId,
        uid: bool,
        set: &SequenceSet,
        name: &str,
        message: AppendMessage,
    ) -> Result<Reply, Stop> {
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let star_of_nothing = view.entries().is_empty() && set.has_star();
        let Some(places) = view.places(set, uid).ok().filter(|_| !star_of_nothing) else {
            return Ok(Reply::bad("there is no message with such a number"));
        };
        if view.read_only {
            return Ok(Reply::no("[NOPERM] the mailbox is selected read-only"));
        }
        let (from, old) = (view.mailbox, view.uids(&places).first().map(|range| *range.start()));
        let reply = match self.replace_with(account, from, old, name, message).await {
            Ok(reply) => reply,
            Err(refused) => refused.reply(),
        };
        self.told(true, reply)
    }

    async fn replace_with(
        &mut self,
        account: AccountId,
        from: MailboxId,
        old: Option<u32>,
        name: &str,
        mut message: AppendMessage,
    ) -> Result<Reply, Refused> {
        let (target, rights) = self.append_target(account, name)?;
        message.flags.retain(|flag| may_change(rights, flag));
        let old = old.ok_or(StoreError::Gone)?;
        let append = self.make(account, message).await?;
        let replaced = self.context.store.replace(from, old, target, append).await?;
        let uids = sequence_set(replaced.appended.uids);
        // Before the EXPUNGE response, as with MOVE (RFC 8508 section 3.4).
        let line = format!("* OK [APPENDUID {} {uids}] stored", replaced.appended.uid_validity);
        self.connection.line(&line);
        Ok(self.ok_with_modseq(replaced.source_modseq, "replaced"))
    }

    /// Makes a message of what a command gives.
    async fn make(&mut self, account: AccountId, message: AppendMessage) -> Result<Append, Refused> {
        let AppendMessage { flags, date, content } = message;
        let bytes = match content {
            AppendContent::Whole(bytes) => bytes,
            AppendContent::Pieces(pieces) => self.put_together(account, pieces).await?,
        };
        if bytes.is_empty() {
            return Err(Refused::Reply(Reply::no("[CANNOT] a message cannot be empty")));
        }
        let most = self.context.limits.message_max_bytes;
        if bytes.len() as u64 > most {
            return Err(too_big(most));
        }
        let body = if bytes.len() > SUMMARY_INLINE_BYTES {
            tokio::task::spawn_blocking(move || Body::new(bytes))
                .await
                .map_err(|_| Refused::Reply(Reply::no("[SERVERBUG] the message could not be read through")))?
        } else {
            Body::new(bytes)
        };
        let date = date.unwrap_or_else(|| ZonedTime { unix_s: now_s(), offset_s: 0 });
        let (internal_date_s, zone_min) = (date.unix_s, (date.offset_s / 60) as i16);
        Ok(Append { body, flags: flag_names(flags), internal_date_s, zone_min })
    }

    async fn put_together(&mut self, account: AccountId, pieces: Vec<AppendPiece>) -> Result<Bytes, Refused> {
        let most = self.context.limits.message_max_bytes;
        let mut whole = BytesMut::new();
        for piece in pieces {
            let bytes = match piece {
                AppendPiece::Text(bytes) => bytes,
                AppendPiece::Url(url) => self.read_url(account, &url).await?,
            };
            if (whole.len() + bytes.len()) as u64 > most {
                return Err(too_big(most));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// What a URL stands for.
    async fn read_url(&self, account: AccountId, url: &[u8]) -> Result<Bytes, Refused> {
        let bad = || {
            let shown: String = String::from_utf8_lossy(url)
                .chars()
                .filter(|letter| letter.is_ascii() && !letter.is_control() && !matches!(letter, '"' | '\\'))
                .collect();
            Refused::Reply(Reply::no(format!("[BADURL \"{shown}\"] there is no such thing here")))
        };
        let found = MessageUrl::parse(url).ok_or_else(bad)?;
        let mailbox = match (&found.mailbox, &self.selected) {
            (Some(name), _) => self.find_with(account, name, Rights::READ).map_err(|_| bad())?.0,
            (None, Some(selected)) => {
                let store = &self.context.store;
                store.mailbox_by_id(selected.view.mailbox)?.ok_or_else(bad)?
            }
            (None, None) => return Err(bad()),
        };
        if found.uid_validity.is_some_and(|validity| validity != mailbox.uid_validity) {
            return Err(bad());
        }
        let read = read_long(&self.context.store, move |store| {
            let rows = store.rows(mailbox.id, &vec![found.uid..=found.uid], true)?;
            let row = rows.first().ok_or(StoreError::Gone)?;
            let summary = message::SummaryView::parse(&row.summary);
            let mut source = Source::new(store, row.body, summary, true);
            match source.find(&found.section, found.partial, 0)? {
                Text::Here(bytes) => Ok(bytes),
                Text::Long(range) => store.read_range(&row.body, range),
                Text::Missing | Text::UnknownEncoding => Err(StoreError::Gone),
            }
        });
        match read.await {
            Err(StoreError::Gone) => Err(bad()),
            other => Ok(other?),
        }
    }
}

fn too_big(most: u64) -> Refused {
    Refused::Reply(Reply::no(format!("[TOOBIG] a message can have at most {most} bytes")))
}

/// Seconds since 1970.
pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
