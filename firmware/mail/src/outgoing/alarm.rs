//! Speaks for mail that is not tried just now: delay notices, deadlines, and the end.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{DueItem, StoreError};
use tokio::sync::watch;

use super::Worker;
use super::judge;
use super::settle::Verdicts;
use crate::clock::unix_ms;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Recipients dealt with in one look.
const BATCH: usize = 1_000;

/// Looks until the service stops.
pub(super) async fn run(worker: Worker, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if worker.is_paused() {
            continue;
        }
        if let Err(error) = ring(&worker).await {
            tracing::error!("alarms of the queue wait: {error}");
        }
    }
}

/// Everything whose time has come.
async fn ring(worker: &Worker) -> Result<(), StoreError> {
    loop {
        let items = worker.store.queue_claim_alarms(unix_ms(), BATCH)?;
        if items.is_empty() {
            return Ok(());
        }
        let full = items.len() == BATCH;
        let mut messages: BTreeMap<u64, Vec<DueItem>> = BTreeMap::new();
        for item in items {
            messages.entry(item.message).or_default().push(item);
        }
        for items in messages.into_values() {
            let done = settle(worker, &items).await;
            worker.store.release_claims(&items.iter().map(|item| item.id).collect::<Vec<_>>());
            done?;
        }
        if !full {
            return Ok(());
        }
    }
}

async fn settle(worker: &Worker, items: &[DueItem]) -> Result<(), StoreError> {
    let now_ms = unix_ms();
    let mut judged = Vec::with_capacity(items.len());
    for item in items {
        let state = worker.store.queue_destination(&item.destination)?.unwrap_or_default();
        let waits = state.not_before_ms > now_ms;
        let why = item.last_error.clone().or(state.last_error);
        let why = why.unwrap_or_else(|| "It has not been tried yet".to_owned());
        judged.push((item, judge::after_alarm(item, waits, &why, now_ms)));
    }
    Verdicts { judged, destination: None }.settle(worker, None).await
}
