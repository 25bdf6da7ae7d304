//! Works off what is due for one destination, over one connection after the other if need be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smtp::client::{Offers, RECIPIENTS_MAX, Verdict};
use smtp::dispatch::Went;
use smtp::{Reply, header, schedule};
use store::{DestinationState, DueItem, QueueId, StoreError};
use tokio::sync::watch;

use super::Worker;
use super::connect::{Connection, Demand, Key};
use super::judge;
use super::letter;
use super::route::{Route, random};
use super::settle::Verdicts;
use crate::clock::unix_ms;
use crate::counters::count;

/// Messages in one connection.
const MESSAGES_MAX: usize = 100;
/// Messages in a row while others wait for a session.
const TURN_MESSAGES: usize = 20;
/// Servers of a destination that one message is offered to in a row, when sessions break in the middle.
const SERVERS_MAX: usize = 4;
/// Times in a row that one message's recipients are split because the server takes fewer at once.
const SPLITS_MAX: usize = 100;
/// After the store could not be read, and before a destination without work is looked at again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a way that was found is used.
const ROUTE_TIME: Duration = Duration::from_mins(1);
/// Texts of this many octets are read in a thread of their own.
const READ_ASIDE_BYTES: u32 = 256 * 1024;

/// One turn at one destination.
pub(super) struct Session {
    pub(super) worker: Worker,
    destination: String,
    connection: Option<Connection>,
    route: Option<(Arc<Route>, Instant)>,
}

/// Claims that end with it, whatever becomes of them.
struct Claims<'a> {
    worker: &'a Worker,
    ids: Vec<QueueId>,
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        self.worker.store.release_claims(&self.ids);
    }
}

/// A session in the dispatcher's books, however it ends.
pub(super) struct Place {
    worker: Worker,
    destination: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.dispatch().done(&self.destination);
        self.worker.wake.notify_one();
    }
}

/// What a try came to.
struct Tried {
    verdicts: Vec<Verdict>,
    dsn_passed: bool,
    /// The destination answered.
    reached: bool,
}

impl Session {
    pub(super) fn new(worker: Worker, destination: String) -> Self {
        Self { worker, destination, connection: None, route: None }
    }

    /// Until nothing is due, it is somebody else's turn, or the destination does not want any more.
    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        let _place = Place { worker: self.worker.clone(), destination: self.destination.clone() };
        let mut messages = 0;
        while !*stop.borrow() && !self.worker.is_paused() {
            let went = match self.step(stop.clone()).await {
                Ok(went) => went,
                Err(error) => {
                    tracing::error!("mail to {} waits: {error}", self.destination);
                    tokio::time::sleep(PAUSE).await;
                    Went::Idle
                }
            };
            self.worker.dispatch().progress(&self.destination, went);
            if went != Went::Well {
                if went == Went::Idle && messages == 0 && !*stop.borrow() {
                    // Somebody else has it, or the books are wrong; no reason to ask in a circle.
                    let _ = self.worker.store.queue_refresh(&self.destination).await;
                    tokio::time::sleep(PAUSE).await;
                }
                break;
            }
            messages += 1;
            if messages >= TURN_MESSAGES && self.worker.dispatch().is_crowded() {
                break;
            }
        }
        if let Some(connection) = self.connection.take() {
            self.worker.put_back(connection);
        }
    }

    /// One message.
    async fn step(&mut self, mut stop: watch::Receiver<bool>) -> Result<Went, StoreError> {
        let worker = self.worker.clone();
        let began_ms = unix_ms();
        let items = worker.store.queue_claim(&self.destination, began_ms, RECIPIENTS_MAX)?;
        let Some(first) = items.first() else { return Ok(Went::Idle) };
        let claims = Claims { worker: &worker, ids: items.iter().map(|item| item.id).collect() };
        if worker.store.domain(&self.destination).is_ok_and(|domain| domain.is_some()) {
            let went = self.at_home(&items).await?;
            drop(claims);
            return Ok(went);
        }
        let demand = if first.envelope.require_tls { Demand::Verified } else { Demand::Nothing };
        // Nothing has begun before there is a connection: it can wait for the service that comes next.
        let prepared = tokio::select! {
            prepared = self.prepare(demand) => prepared,
            _ = stop.wait_for(|stop| *stop) => return Ok(Went::Idle),
        };
        let went = match prepared {
            Ok(()) => self.send(&items, demand, began_ms).await?,
            Err(reply) => self.unreachable(&items, &reply, began_ms).await?,
        };
        drop(claims);
        Ok(went)
    }

    /// Nobody there: for these recipients, and if it may pass, for the destination. Sessions that
    /// knocked at the same time met one failure, not several in a row.
    async fn unreachable(
        &mut self,
        items: &[DueItem],
        reply: &Reply,
        began_ms: u64,
    ) -> Result<Went, StoreError> {
        let now_ms = unix_ms();
        let (verdict, state) = if reply.is_permanent() {
            (Verdict::Refused(reply.clone()), None)
        } else {
            let known = self.worker.store.queue_destination(&self.destination)?.unwrap_or_default();
            let counted = known.failures > 0 && known.not_before_ms > began_ms;
            let failures = if counted { known.failures } else { known.failures.saturating_add(1) };
            let until_ms = now_ms + schedule::host_wait_s(failures, random()) * 1000;
            let state = DestinationState {
                name: self.destination.clone(),
                not_before_ms: if counted { known.not_before_ms } else { until_ms },
                failures,
                last_error: Some(reply.to_string()),
            };
            (Verdict::Deferred(reply.clone()), Some(state))
        };
        let not_before_ms = state.as_ref().map_or(0, |state| state.not_before_ms);
        let judge = |item| (item, judge::after_try(item, &verdict, false, not_before_ms, now_ms, random()));
        let judged = items.iter().map(judge).collect();
        let went = if state.is_some() { Went::Unreachable } else { Went::Well };
        Verdicts { judged, destination: state }.settle(&self.worker, None).await?;
        Ok(went)
    }

    /// Sends one message to its recipients, in as many pieces as the server wants, and settles each
    /// piece as soon as it has been answered.
    async fn send(&mut self, items: &[DueItem], demand: Demand, began_ms: u64) -> Result<Went, StoreError> {
        let Some(first) = items.first() else { return Ok(Went::Idle) };
        let _room = self.worker.room(first.body.length).await;
        let body = self.worker.read(first).await?;
        let text = body.slice(body.len() - header::without_return_path(&body).len()..);
        let mut open: Vec<&DueItem> = items.iter().collect();
        let mut went = Went::Well;
        for _ in 0..SPLITS_MAX {
            let tried = match self.try_once(&open, &text, demand).await {
                Ok(tried) => tried,
                Err(reply) => {
                    let rest: Vec<DueItem> = open.into_iter().cloned().collect();
                    return self.unreachable(&rest, &reply, began_ms).await;
                }
            };
            if !tried.reached {
                went = Went::TooMuch;
            }
            let again = self.settle(&open, &tried, &body).await?;
            if again.is_empty() {
                break;
            }
            open = again;
        }
        Ok(went)
    }

    /// Writes down what was answered; returns those that the server only wants in a message of their own.
    async fn settle<'a>(
        &self,
        open: &[&'a DueItem],
        tried: &Tried,
        body: &bytes::Bytes,
    ) -> Result<Vec<&'a DueItem>, StoreError> {
        let now_ms = unix_ms();
        let taken = tried.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Delivered(_)));
        let mut again = Vec::new();
        let mut judged = Vec::new();
        for (item, verdict) in open.iter().copied().zip(&tried.verdicts) {
            // RFC 5321 4.5.3.1.10: the rest at once, in another message.
            if taken && matches!(verdict, Verdict::Deferred(reply) if reply.status == "4.5.3") {
                again.push(item);
                continue;
            }
            judged.push((item, judge::after_try(item, verdict, tried.dsn_passed, 0, now_ms, random())));
        }
        // Who was asked no more because of the server's own bound.
        again.extend(open.iter().copied().skip(tried.verdicts.len()));
        let known = self.worker.store.queue_destination(&self.destination)?;
        let well = DestinationState { name: self.destination.clone(), ..DestinationState::default() };
        let destination = known.filter(|known| tried.reached && known.failures > 0).map(|_| well);
        Verdicts { judged, destination }.settle(&self.worker, Some(body)).await?;
        Ok(again)
    }

    /// One transaction; over a fresh connection if the one at hand has died while nobody used it, and with
    /// another server of the destination if the session breaks in the middle.
    async fn try_once(
        &mut self,
        open: &[&DueItem],
        text: &bytes::Bytes,
        demand: Demand,
    ) -> Result<Tried, Reply> {
        let mut broken: Option<Tried> = None;
        for _ in 0..SERVERS_MAX {
            if self.connection.is_none() {
                match (self.prepare(demand).await, broken.take()) {
                    (Ok(()), _) => {}
                    // What the server before said tells more than that no other can be reached.
                    (Err(_), Some(tried)) => return Ok(tried),
                    (Err(reply), None) => return Err(reply),
                }
            }
            let Some(mut connection) = self.connection.take() else { break };
            let reused = connection.messages > 0;
            let offers = connection.client.offers().clone();
            let (bound, offers): (usize, &Offers) =
                (offers.recipients_max.unwrap_or(RECIPIENTS_MAX), &offers);
            let asked = open.get(..bound.min(open.len())).unwrap_or(open);
            let letter = letter::write(asked, text, offers, unix_ms());
            let text = self.worker.sign(asked, letter.text).await;
            let envelope = smtp::client::Envelope { size_bytes: text.len() as u64, ..letter.envelope };
            connection.client.begin(envelope);
            connection.send(&text).await;
            let answered = connection.client.was_answered();
            let verdicts = connection.client.take_verdicts().unwrap_or_default();
            let over = connection.client.poll() == smtp::client::Step::Done;
            let lost = over
                && verdicts
                    .iter()
                    .all(|v| matches!(v, Verdict::Deferred(reply) if reply.code == 451 || reply.code == 421));
            if lost && reused && !answered {
                continue;
            }
            let (name, target) = (connection.name(), connection.key.target);
            let dsn_passed = offers.dsn;
            let has_room =
                connection.messages < offers.messages_max.unwrap_or(MESSAGES_MAX).min(MESSAGES_MAX);
            if over || !has_room {
                tokio::spawn(connection.close());
            } else {
                self.connection = Some(connection);
            }
            let verdicts = verdicts.into_iter().map(|verdict| named(verdict, &name)).collect();
            let tried = Tried { verdicts, dsn_passed, reached: !lost };
            if lost && self.is_another_left(target, &name) {
                broken = Some(tried);
                continue;
            }
            return Ok(tried);
        }
        broken.ok_or(Reply::new(451, "4.4.2", "The connection broke twice before the message could begin"))
    }

    /// Whether the route has another server than the one that has just broken off.
    fn is_another_left(&self, target: SocketAddr, name: &str) -> bool {
        let Some((route, _)) = &self.route else { return false };
        self.worker.connector.give_up_on(route, target, &format!("{name} broke off in the middle"))
    }

    /// Sees to it that there is a connection that fulfils what is demanded.
    async fn prepare(&mut self, demand: Demand) -> Result<(), Reply> {
        let fits =
            |connection: &Connection| demand == Demand::Nothing || connection.key.demand == Demand::Verified;
        match self.connection.take() {
            Some(connection) if fits(&connection) => {
                self.connection = Some(connection);
                return Ok(());
            }
            Some(other) => self.worker.put_back(other),
            None => {}
        }
        let route = self.way().await?;
        let demand = demand.on(&route);
        self.connection = Some(if let Some(connection) = self.idle(&route, demand).await {
            count(&self.worker.counters.sessions_reused, 1);
            connection
        } else {
            let opened = self.worker.connector.open(&route, demand).await;
            // The next try asks the name servers anew.
            let connection = opened.inspect_err(|_| self.route = None)?;
            count(&self.worker.counters.sessions_out, 1);
            connection
        });
        Ok(())
    }

    async fn way(&mut self) -> Result<Arc<Route>, Reply> {
        if let Some((route, found)) = &self.route
            && found.elapsed() < ROUTE_TIME
        {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(match self.worker.smarthost() {
            Some(smarthost) => self.worker.router.by_smarthost(&smarthost).await?,
            None => self.worker.router.to_domain(&self.destination).await?,
        });
        self.route = Some((Arc::clone(&route), Instant::now()));
        Ok(route)
    }

    /// An idle session with one of the servers, the preferred first.
    async fn idle(&self, route: &Route, demand: Demand) -> Option<Connection> {
        let credentials = route.smarthost.as_ref().and_then(|smarthost| smarthost.credentials.as_ref());
        let user = credentials.map(|credentials| credentials.user.clone());
        let demand = if user.is_some() { Demand::Verified } else { demand };
        for host in &route.hosts {
            for address in &host.addresses {
                let key = Key { target: (*address, route.port).into(), demand, user: user.clone() };
                while let Some(mut connection) = self.worker.pool.take(&key) {
                    // A certificate proves one name only.
                    let same = demand == Demand::Nothing
                        || connection.host.eq_ignore_ascii_case(host.name.trim_end_matches('.'));
                    if same && connection.is_alive().await {
                        return Some(connection);
                    }
                    tokio::spawn(connection.close());
                }
            }
        }
        None
    }
}

/// What was said, and who said it.
fn named(verdict: Verdict, server: &str) -> Verdict {
    let name = |reply: Reply| Reply { text: format!("{} ({server})", reply.text).into(), ..reply };
    match verdict {
        Verdict::Delivered(reply) => Verdict::Delivered(name(reply)),
        Verdict::Deferred(reply) => Verdict::Deferred(name(reply)),
        Verdict::Refused(reply) => Verdict::Refused(name(reply)),
    }
}

impl Worker {
    /// Reads a message.
    pub(super) async fn read(&self, item: &DueItem) -> Result<bytes::Bytes, StoreError> {
        if item.body.length < READ_ASIDE_BYTES {
            return self.store.read_body(&item.body);
        }
        let (store, body) = (self.store.clone(), item.body);
        tokio::task::spawn_blocking(move || store.read_body(&body)).await.map_err(|_| StoreError::Busy)?
    }

    /// Keeps a session for the next message, or closes it.
    fn put_back(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        if let Some(connection) = self.pool.keep(connection) {
            tokio::spawn(connection.close());
        }
    }
}
