//! Recipients in this house whose message had to wait (RFC 4865): their time has come.

use smtp::Reply;
use smtp::client::Verdict;
use smtp::dispatch::Went;
use smtp::notice::Kind;
use store::{Addressee, Body, Delivery, DueItem, Recipient, Route, StoreError};

use super::judge;
use super::route::random;
use super::session::Session;
use super::settle::Verdicts;
use crate::clock::unix_ms;

impl Session {
    /// Puts one message into the mailboxes of its recipients. What is stored and then not written down is
    /// stored once more after the next start, rather than lost.
    pub(super) async fn at_home(&self, items: &[DueItem]) -> Result<Went, StoreError> {
        let Some(first) = items.first() else { return Ok(Went::Idle) };
        let _room = self.worker.room(first.body.length).await;
        let bytes = self.worker.read(first).await?;
        let text = bytes.clone();
        let Ok(body) = tokio::task::spawn_blocking(move || Body::new(text)).await else {
            return Ok(Went::Idle);
        };
        let now_ms = unix_ms();
        let mut judged = Vec::with_capacity(items.len());
        for item in items {
            let verdict = self.put(item, &body, now_ms).await?;
            let mut judgement = judge::after_try(item, &verdict, true, 0, now_ms, random());
            if matches!(verdict, Verdict::Delivered(_)) {
                judgement.notice = Some(Kind::Delivered);
            }
            judged.push((item, judgement));
        }
        Verdicts { judged, destination: None }.settle(&self.worker, Some(&bytes)).await?;
        Ok(Went::Well)
    }

    async fn put(&self, item: &DueItem, body: &Body, now_ms: u64) -> Result<Verdict, StoreError> {
        let store = &self.worker.store;
        let refused = |code, status, text| Ok(Verdict::Refused(Reply::new(code, status, text)));
        let addressee: Box<Addressee> = match store.recipient(&item.recipient.address)? {
            Route::Account(addressee) if addressee.enabled => addressee,
            Route::Account(_) | Route::DomainDisabled => {
                return refused(550, "5.2.1", "The mailbox is switched off");
            }
            _ => return refused(550, "5.1.1", "There is no such user any more"),
        };
        let delivery = Delivery {
            body: body.clone(),
            internal_date_s: (now_ms / 1000) as i64,
            recipients: vec![Recipient::inbox(addressee.account)],
            outgoing: None,
        };
        match store.deliver(delivery).await?.recipients.first() {
            Some(Err(_)) => Ok(Verdict::Deferred(Reply::new(452, "4.2.2", "The mailbox is full"))),
            Some(Ok(_)) | None => Ok(Verdict::Delivered(Reply::new(250, "2.0.0", "It is in the mailbox"))),
        }
    }
}
