//! Finds destinations with something due, and gives them sessions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use smtp::dispatch::{Dispatch, Limits};
use store::{DueItem, Store, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::connect::Connector;
use super::pool::Pool;
use super::route::Router;
use super::session::Session;
use super::sign::Signer;
use super::{SMARTHOST_SETTING, Smarthost, alarm};
use crate::clock::unix_ms;
use crate::counters::Counters;

/// Name of the store's setting that stops all outgoing mail.
pub(super) const PAUSED_SETTING: &str = "queue_paused";

/// Sessions with a smarthost; with many servers the dispatcher's own bound holds.
const SMARTHOST_SESSIONS_MAX: usize = 20;
/// Destinations looked for at once.
const OFFERS: usize = 100;
/// Longest sleep: a look at the queue costs little.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// After the store could not be read.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Memory for messages on their way out, in KiB.
const BODIES_KIB: usize = 96 * 1024;

/// Sends outgoing mail until the service stops.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) counters: Arc<Counters>,
    pub(crate) host_name: Arc<str>,
    pub(super) router: Router,
    pub(super) connector: Connector,
    pub(super) pool: Arc<Pool>,
    pub(super) wake: Arc<Notify>,
    signer: Signer,
    dispatch: Arc<Mutex<Dispatch>>,
    bodies: Arc<Semaphore>,
}

impl Worker {
    pub(crate) fn new(
        store: Store,
        counters: Arc<Counters>,
        host_name: Arc<str>,
        router: Router,
        connector: Connector,
    ) -> Self {
        Self {
            signer: Signer::new(store.clone()),
            store,
            counters,
            host_name,
            router,
            connector,
            pool: Arc::default(),
            wake: Arc::default(),
            dispatch: Arc::new(Mutex::new(Dispatch::new(Limits::default()))),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
        }
    }

    /// Works until `stop`, and then until the sessions under way have ended or the process does; their
    /// recipients are tried again by whoever serves next. `running` is held as long as it works.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>, running: mpsc::Sender<()>) {
        let mut changed = self.store.watch_queue();
        let mut sessions = JoinSet::new();
        let alarms = tokio::spawn(alarm::run(self.clone(), stop.clone()));
        let mut is_new = true;
        loop {
            changed.mark_unchanged();
            let wait = self.fill(&mut sessions, &stop, is_new);
            while sessions.try_join_next().is_some() {}
            is_new = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = changed.changed() => true,
                () = self.wake.notified() => false,
                () = tokio::time::sleep(wait) => false,
            };
            for connection in self.pool.take_old(false) {
                tokio::spawn(connection.close());
            }
            tokio::time::sleep(PAUSE).await;
        }
        alarms.abort();
        for connection in self.pool.take_old(true) {
            tokio::spawn(connection.close());
        }
        while sessions.join_next().await.is_some() {}
        drop(running);
    }

    /// Starts what may run, and says how long to sleep. `is_new`: the queue has changed.
    fn fill(&self, sessions: &mut JoinSet<()>, stop: &watch::Receiver<bool>, is_new: bool) -> Duration {
        if self.is_paused() {
            return SLEEP_MAX;
        }
        if let Err(error) = self.offer(is_new) {
            tracing::error!("the queue cannot be read: {error}");
            return STORE_RETRY;
        }
        let max = if self.smarthost().is_some() { SMARTHOST_SESSIONS_MAX } else { usize::MAX };
        while self.dispatch().sessions() < max {
            let Some(destination) = self.dispatch().give_session() else { break };
            sessions.spawn(Session::new(self.clone(), destination).run(stop.clone()));
        }
        let dispatch = self.dispatch();
        if dispatch.room() == 0 {
            return SLEEP_MAX;
        }
        match self.store.queue_next_ms(|name| dispatch.knows(name)) {
            Ok(Some(next_ms)) => Duration::from_millis(next_ms.saturating_sub(unix_ms())).min(SLEEP_MAX),
            Ok(None) => SLEEP_MAX,
            Err(_) => STORE_RETRY,
        }
    }

    fn offer(&self, is_new: bool) -> Result<(), StoreError> {
        let mut dispatch = self.dispatch();
        if is_new {
            dispatch.offer_known();
        }
        loop {
            let limit = dispatch.room().min(OFFERS);
            if limit == 0 {
                return Ok(());
            }
            let ready = self.store.queue_destinations(unix_ms(), limit, |name| dispatch.knows(name))?;
            for destination in &ready {
                dispatch.offer(destination);
            }
            if ready.len() < limit {
                return Ok(());
            }
        }
    }

    pub(super) fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn smarthost(&self) -> Option<Smarthost> {
        let setting = self.store.setting(SMARTHOST_SETTING).ok().flatten()?;
        serde_json::from_str(&setting)
            .inspect_err(|error| tracing::error!("the smarthost setting is not understood: {error}"))
            .ok()
    }

    /// Whether the administrator has stopped all outgoing mail.
    pub(crate) fn is_paused(&self) -> bool {
        self.store.setting(PAUSED_SETTING).is_ok_and(|setting| setting.is_some())
    }

    /// Something was mended: what was found dead may live.
    pub(crate) fn hurry(&self) {
        self.connector.forget_dead();
        self.router.forget_failures();
        self.wake.notify_one();
    }

    /// Memory for one message.
    pub(super) async fn room(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        let kib = (bytes / 1024 + 1).min(BODIES_KIB as u32);
        Arc::clone(&self.bodies).acquire_many_owned(kib).await.ok()
    }

    /// The text as it leaves.
    pub(super) async fn sign(&self, items: &[&DueItem], text: Bytes) -> Bytes {
        let ours = items.first().is_some_and(|item| item.envelope.sign);
        if ours { self.signer.sign(text).await } else { self.signer.seal(text, &self.host_name).await }
    }
}
