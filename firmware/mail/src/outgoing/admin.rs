//! The administrator's hand on the queue.

use std::sync::Arc;

use control::queue::{Filter, Item, Page, Queued, Reply, Request, Try, Which};
use store::{DueItem, QueueChange, QueueEntry, QueueFilter, QueueId, StoreError};

use super::Worker;
use super::settle::give_up;
use super::worker::PAUSED_SETTING;
use crate::clock::unix_ms;

/// Recipients on one page.
const PAGE_MAX: usize = 10_000;
/// Recipients changed in one transaction.
const CHANGE_MAX: usize = 1_000;
/// Octets of a header that are shown.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Answers one request; a refusal is a sentence.
pub(crate) async fn answer(worker: &Worker, request: Request) -> Result<Reply, String> {
    match request {
        Request::List { filter, after, limit } => {
            let worker = worker.clone();
            let read = move || page(&worker, &filter, after, limit.clamp(1, PAGE_MAX));
            aside(read).await.map(Reply::Page)
        }
        Request::Show { id } => {
            let worker = worker.clone();
            aside(move || show(&worker, QueueId(id))).await.map(|item| Reply::Item(Box::new(item)))
        }
        Request::Hold(which) => change(worker, which, QueueChange::Hold).await,
        Request::Release(which) => change(worker, which, QueueChange::Release).await,
        Request::Retry(which) => {
            worker.hurry();
            let changed = change(worker, which, QueueChange::Retry).await;
            worker.hurry();
            changed
        }
        Request::Drop { which, tell } => drop_all(worker, which, tell).await,
        Request::Pause => pause(worker, Some("yes")).await,
        Request::Resume => pause(worker, None).await,
    }
}

async fn pause(worker: &Worker, setting: Option<&str>) -> Result<Reply, String> {
    worker.store.set_setting(PAUSED_SETTING, setting).await.map_err(|error| error.to_string())?;
    worker.hurry();
    let totals = worker.store.queue_totals().map_err(|error| error.to_string())?;
    Ok(Reply::Changed { recipients: totals.recipients })
}

async fn change(worker: &Worker, which: Which, change: QueueChange) -> Result<Reply, String> {
    let mut recipients = 0;
    let mut pages = Pages::of(worker, which);
    while let Some(ids) = pages.next().await? {
        let changed = worker.store.queue_change(ids, change, unix_ms()).await;
        recipients += changed.map_err(|error| error.to_string())? as u64;
    }
    pages.found(recipients)
}

async fn drop_all(worker: &Worker, which: Which, tell: bool) -> Result<Reply, String> {
    let mut recipients = 0;
    let mut pages = Pages::of(worker, which);
    while let Some(ids) = pages.next().await? {
        for id in ids {
            // What is under way at this moment is not taken out of the hands of who sends it.
            let Some(item) = worker.store.queue_claim_one(id).map_err(|error| error.to_string())? else {
                continue;
            };
            give_up(worker, &item, tell).await.map_err(|error| error.to_string())?;
            recipients += 1;
        }
    }
    pages.found(recipients)
}

/// Goes through what an order is about, a bounded piece at a time.
struct Pages {
    worker: Worker,
    named: bool,
    numbers: Vec<QueueId>,
    filter: Arc<Filter>,
    after: Option<u64>,
}

impl Pages {
    fn of(worker: &Worker, which: Which) -> Self {
        let (named, numbers, filter, after) = match which {
            Which::Numbers(ids) => (true, ids.into_iter().map(QueueId).collect(), Filter::default(), None),
            Which::Fitting(filter) => (false, Vec::new(), filter, Some(0)),
        };
        Self { worker: worker.clone(), named, numbers, filter: Arc::new(filter), after }
    }

    async fn next(&mut self) -> Result<Option<Vec<QueueId>>, String> {
        if !self.numbers.is_empty() {
            let rest = self.numbers.split_off(self.numbers.len().min(CHANGE_MAX));
            return Ok(Some(std::mem::replace(&mut self.numbers, rest)));
        }
        let Some(after) = self.after else { return Ok(None) };
        let (worker, filter) = (self.worker.clone(), Arc::clone(&self.filter));
        let read = move || worker.store.queue(&store_filter(&filter), after, CHANGE_MAX);
        let (entries, next) = aside(read).await?;
        self.after = next;
        Ok(Some(entries.into_iter().map(|entry| entry.id).collect()))
    }

    /// Who names a message that is not there made a mistake; who describes some did not.
    fn found(&self, recipients: u64) -> Result<Reply, String> {
        if self.named && recipients == 0 {
            return Err(StoreError::NoSuchQueued.to_string());
        }
        Ok(Reply::Changed { recipients })
    }
}

fn page(worker: &Worker, filter: &Filter, after: u64, limit: usize) -> Result<Page, StoreError> {
    let (entries, next) = worker.store.queue(&store_filter(filter), after, limit)?;
    let totals = worker.store.queue_totals()?;
    let now_ms = unix_ms();
    Ok(Page {
        entries: entries.into_iter().map(|entry| queued(entry, now_ms)).collect(),
        next,
        paused: worker.is_paused(),
        recipients: totals.recipients,
        messages: totals.messages,
        held: totals.held,
    })
}

fn store_filter(filter: &Filter) -> QueueFilter {
    QueueFilter {
        sender: filter.sender.clone(),
        recipient: filter.recipient.clone(),
        destination: filter.destination.clone(),
        held: filter.held.then_some(true),
    }
}

fn queued(entry: QueueEntry, now_ms: u64) -> Queued {
    Queued {
        id: entry.id.0,
        message: entry.message,
        sender: entry.sender,
        recipient: entry.recipient,
        size_bytes: entry.size_bytes,
        age_s: now_ms.saturating_sub(entry.accepted_ms) / 1000,
        attempts: entry.attempts,
        next_s: entry.next_ms.saturating_sub(now_ms) / 1000,
        held: entry.held,
        last_error: entry.last_error,
    }
}

fn show(worker: &Worker, id: QueueId) -> Result<Item, StoreError> {
    let store = &worker.store;
    let (item, held) = store.queue_item(id)?.ok_or(StoreError::NoSuchQueued)?;
    let state = store.queue_destination(&item.destination)?.unwrap_or_default();
    let body = store.read_body(&item.body)?;
    let header_bytes = smtp::header::summarize(&body).bytes.min(HEADER_BYTES_MAX);
    let header = String::from_utf8_lossy(body.get(..header_bytes).unwrap_or(&[])).into_owned();
    let now_ms = unix_ms();
    let tries = store.queue_tries(id)?.into_iter();
    let entry = QueueEntry {
        id,
        message: item.message,
        sender: item.envelope.sender.clone(),
        recipient: item.recipient.address.clone(),
        destination: item.destination.clone(),
        size_bytes: u64::from(item.body.length),
        accepted_ms: item.accepted_ms,
        next_ms: item.envelope.first_try_ms.max(state.not_before_ms),
        attempts: item.attempts,
        held,
        last_error: item.last_error.clone().or(state.last_error),
    };
    Ok(Item {
        queued: queued(entry, now_ms),
        expires_s: item.envelope.expires_ms.saturating_sub(now_ms) / 1000,
        notify: notify(&item),
        account: item.envelope.account,
        envelope_id: item.envelope.envelope_id,
        original: item.recipient.original,
        priority: item.envelope.priority,
        require_tls: item.envelope.require_tls,
        delay_noticed: item.delay_noticed,
        tries: tries.map(|(at_ms, said)| Try { age_s: now_ms.saturating_sub(at_ms) / 1000, said }).collect(),
        header,
    })
}

fn notify(item: &DueItem) -> Vec<String> {
    let names = [(1, "SUCCESS"), (2, "FAILURE"), (4, "DELAY")];
    let asked = names.iter().filter(|(bit, _)| item.recipient.notify & bit != 0);
    asked.map(|(_, name)| (*name).to_owned()).collect()
}

/// Long readings run beside the service's own threads.
async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, String> {
    let result = tokio::task::spawn_blocking(read).await;
    result.map_err(|error| format!("the request failed: {error}"))?.map_err(|error| error.to_string())
}
