//! APPEND.

use std::time::{SystemTime, UNIX_EPOCH};

use store::{AccountId, Append, Body};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::connection::Stop;
use super::reply::{Reply, flag_names};
use crate::parse::AppendMessage;

/// Messages above this size are read through beside the other sessions' work.
const SUMMARY_INLINE_BYTES: usize = 128 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn append(
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
