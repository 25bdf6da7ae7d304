//! Takes what is due from the queue, sends it, and writes back what became of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use smtp::client::{RECIPIENTS_MAX, Verdict};
use smtp::notice::Kind;
use smtp::{Reply, schedule};
use store::{Delivery, DueItem, Outcome, Settlement, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::attempt::{self, Letter};
use super::notice::{self, About, Terms};
use super::route::Router;
use super::{SMARTHOST_SETTING, Smarthost};
use crate::clock::unix_ms;
use crate::counters::{Counters, count};

/// Sessions with other servers at the same time.
const SESSIONS_MAX: usize = 20;
/// Sessions with one destination at the same time.
const SESSIONS_PER_DESTINATION_MAX: usize = 4;
/// Recipients held in memory, claimed and not yet settled.
const CLAIMED_MAX: usize = 1_000;
/// Longest sleep: a look at the queue costs little.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// After the store could not be read.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Sends outgoing mail until the service stops.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) counters: Arc<Counters>,
    pub(crate) host_name: Arc<str>,
    pub(crate) router: Router,
}

/// Recipients of one message at one destination.
struct Job {
    destination: String,
    items: Vec<DueItem>,
}

/// What is under way and what waits for its destination.
#[derive(Default)]
struct Board {
    running: HashMap<String, usize>,
    waiting: VecDeque<Job>,
    claimed: usize,
}

impl Board {
    /// The next job whose destination has a free session.
    fn next(&mut self) -> Option<Job> {
        let free = |job: &Job| {
            self.running.get(&job.destination).is_none_or(|running| *running < SESSIONS_PER_DESTINATION_MAX)
        };
        let at = self.waiting.iter().position(free)?;
        let job = self.waiting.remove(at)?;
        *self.running.entry(job.destination.clone()).or_default() += 1;
        Some(job)
    }

    fn done(&mut self, destination: &str, recipients: usize) {
        self.claimed = self.claimed.saturating_sub(recipients);
        if let Some(running) = self.running.get_mut(destination) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(destination);
            }
        }
    }
}

impl Worker {
    /// Works until `stop`, and then until the sessions under way have ended or the process does; their
    /// recipients are tried again by whoever serves next. `running` is held as long as it works.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>, running: mpsc::Sender<()>) {
        let mut changed = self.store.watch_queue();
        let mut board = Board::default();
        let mut sessions: JoinSet<(String, usize)> = JoinSet::new();
        loop {
            changed.mark_unchanged();
            let wait = self.fill(&mut board, &mut sessions);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait) => {}
                Some(done) = sessions.join_next(), if !sessions.is_empty() => {
                    // A session that panicked leaves its claims to the next start.
                    if let Ok((destination, recipients)) = done {
                        board.done(&destination, recipients);
                    }
                }
            }
        }
        while sessions.join_next().await.is_some() {}
        drop(running);
    }

    /// Claims what is due, starts what may run, and says how long to sleep.
    fn fill(&self, board: &mut Board, sessions: &mut JoinSet<(String, usize)>) -> Duration {
        let now_ms = unix_ms();
        let room = CLAIMED_MAX.saturating_sub(board.claimed);
        let due = if room > 0 { self.store.claim_due(now_ms, room) } else { Ok(Vec::new()) };
        let due = match due {
            Ok(due) => due,
            Err(error) => {
                tracing::error!("the queue cannot be read: {error}");
                return STORE_RETRY;
            }
        };
        board.claimed += due.len();
        board.waiting.extend(self.group(due));
        while sessions.len() < SESSIONS_MAX {
            let Some(job) = board.next() else { break };
            let worker = self.clone();
            sessions.spawn(async move { worker.work(job).await });
        }
        if room == 0 {
            return SLEEP_MAX;
        }
        match self.store.next_due_ms() {
            Ok(Some(next_ms)) => {
                Duration::from_millis(next_ms.saturating_sub(unix_ms()).max(50)).min(SLEEP_MAX)
            }
            Ok(None) => SLEEP_MAX,
            Err(_) => STORE_RETRY,
        }
    }

    /// One job for each message and destination, in the order in which they were due.
    fn group(&self, due: Vec<DueItem>) -> Vec<Job> {
        let smarthost = self.smarthost().map(|smarthost| smarthost.host);
        let mut order: Vec<(u64, String)> = Vec::new();
        let mut groups: BTreeMap<(u64, String), Vec<DueItem>> = BTreeMap::new();
        for item in due {
            let domain = item.recipient.address.rsplit('@').next().unwrap_or_default();
            let destination = smarthost.clone().unwrap_or_else(|| domain.to_ascii_lowercase());
            let key = (item.message, destination);
            if !groups.contains_key(&key) {
                order.push(key.clone());
            }
            groups.entry(key).or_default().push(item);
        }
        let mut jobs = Vec::new();
        for key in order {
            let mut items = groups.remove(&key).unwrap_or_default();
            while !items.is_empty() {
                let rest = items.split_off(items.len().min(RECIPIENTS_MAX));
                jobs.push(Job { destination: key.1.clone(), items });
                items = rest;
            }
        }
        jobs
    }

    fn smarthost(&self) -> Option<Smarthost> {
        let setting = self.store.setting(SMARTHOST_SETTING).ok().flatten()?;
        serde_json::from_str(&setting)
            .inspect_err(|error| tracing::error!("the smarthost setting is not understood: {error}"))
            .ok()
    }

    async fn work(&self, job: Job) -> (String, usize) {
        let count = job.items.len();
        let ids: Vec<_> = job.items.iter().map(|item| item.id).collect();
        if let Err(error) = self.send(&job).await {
            tracing::error!("mail to {} waits: {error}", job.destination);
            self.store.release_claims(&ids);
            tokio::time::sleep(STORE_RETRY).await;
        }
        (job.destination, count)
    }

    async fn send(&self, job: &Job) -> Result<(), StoreError> {
        let Some(first) = job.items.first() else { return Ok(()) };
        let body = self.store.read_body(&first.body)?;
        let stripped = smtp::header::without_return_path(&body).len();
        let text = body.slice(body.len() - stripped..);
        let letter = Letter {
            host_name: Arc::clone(&self.host_name),
            sender: first.sender.clone(),
            recipients: job.items.iter().map(|item| item.recipient.address.clone()).collect(),
            text,
        };
        let route = match self.smarthost() {
            Some(smarthost) => Ok(Router::by_smarthost(&smarthost)),
            None => self.router.to_domain(&job.destination).await,
        };
        let verdicts = match route {
            Ok(route) => attempt::send(&self.router, &route, &letter).await,
            Err(reply) => {
                let verdict = if reply.is_permanent() { Verdict::Refused } else { Verdict::Deferred };
                job.items.iter().map(|_| verdict(reply.clone())).collect()
            }
        };
        self.settle(&job.items, &verdicts, &body).await
    }

    /// Writes back what became of each recipient, with the notices in the same transaction.
    async fn settle(&self, items: &[DueItem], verdicts: &[Verdict], body: &Bytes) -> Result<(), StoreError> {
        let now_ms = unix_ms();
        let (mut done, mut failed, mut delayed) = (Vec::new(), Vec::new(), Vec::new());
        for (item, verdict) in items.iter().zip(verdicts) {
            let judged = judge(item, verdict, now_ms);
            self.log(item, verdict, &judged);
            let list = match judged {
                Judged::Settled(_) => &mut done,
                Judged::Failed => &mut failed,
                Judged::Delayed(_) => &mut delayed,
            };
            let outcome = match judged {
                Judged::Settled(outcome) | Judged::Delayed(outcome) => outcome,
                Judged::Failed => Outcome::Finished,
            };
            list.push((Settlement { id: item.id, outcome }, item, reply_of(verdict)));
        }
        for (list, kind) in [(done, None), (failed, Some(Kind::Failed)), (delayed, Some(Kind::Delayed))] {
            let Some((_, first, _)) = list.first() else { continue };
            let notice = match kind {
                Some(kind) => self.notice(kind, first, &list, body).await,
                None => None,
            };
            let settlements = list.into_iter().map(|(settlement, ..)| settlement).collect();
            self.store.settle(settlements, notice).await?;
        }
        Ok(())
    }

    async fn notice(
        &self,
        kind: Kind,
        first: &DueItem,
        list: &[(Settlement, &DueItem, &Reply)],
        body: &Bytes,
    ) -> Option<Delivery> {
        let wanted = if kind == Kind::Failed { NOTIFY_FAILURE } else { NOTIFY_DELAY };
        let recipients: Vec<_> = list
            .iter()
            .filter(|(_, item, _)| item.recipient.notify & wanted != 0)
            .map(|(_, item, reply)| smtp::notice::Recipient {
                address: item.recipient.address.clone(),
                original: item.recipient.original.clone(),
                status: notice_status(kind, reply),
                diagnostic: reply.to_string(),
                from_remote: true,
            })
            .collect();
        let id = format!("q{}", first.id.0);
        let about = About { sender: &first.sender, id: &id, recipients: &recipients, original: body };
        let terms = Terms {
            accepted_ms: first.accepted_ms,
            expires_ms: first.expires_ms,
            envelope_id: first.envelope_id.as_deref(),
            return_full: first.return_full,
        };
        let text = notice::compose(kind, &about, &self.host_name, Some(terms))?;
        let delivery = notice::address(&self.store, &first.sender, text).await?;
        count(&self.counters.notices, 1);
        Some(delivery)
    }

    fn log(&self, item: &DueItem, verdict: &Verdict, judged: &Judged) {
        let (word, counter) = match judged {
            Judged::Failed => ("failed", &self.counters.failed),
            Judged::Settled(Outcome::Finished) => ("sent", &self.counters.sent),
            Judged::Settled(Outcome::Deferred { .. }) | Judged::Delayed(_) => {
                ("deferred", &self.counters.deferred)
            }
        };
        count(counter, 1);
        let (number, sender, recipient) = (item.id.0, &item.sender, &item.recipient.address);
        tracing::info!(
            "queue {number} sender <{sender}> recipient <{recipient}> {word}: {}",
            reply_of(verdict)
        );
    }
}

/// Bits of NOTIFY as the store keeps them.
const NOTIFY_FAILURE: u8 = 0b010;
const NOTIFY_DELAY: u8 = 0b100;

/// What one try means for its recipient.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// Nothing is said about it.
    Settled(Outcome),
    /// Given up.
    Failed,
    /// Tried again, and the sender hears of the delay.
    Delayed(Outcome),
}

fn judge(item: &DueItem, verdict: &Verdict, now_ms: u64) -> Judged {
    let reply = match verdict {
        Verdict::Delivered(_) => return Judged::Settled(Outcome::Finished),
        Verdict::Refused(_) => return Judged::Failed,
        Verdict::Deferred(_) if now_ms >= item.expires_ms => return Judged::Failed,
        Verdict::Deferred(reply) => reply,
    };
    let mut random = [0; 4];
    // Without randomness the tries are only less spread.
    let _ = SystemRandom::new().fill(&mut random);
    let wait_s = schedule::wait_s(item.attempts + 1, u32::from_ne_bytes(random));
    let late = now_ms >= item.accepted_ms + schedule::DELAY_NOTICE_S * 1000;
    let outcome = Outcome::Deferred {
        next_ms: (now_ms + wait_s * 1000).min(item.expires_ms.max(now_ms)),
        error: reply.to_string(),
        delay_noticed: item.delay_noticed || late,
    };
    if late && !item.delay_noticed { Judged::Delayed(outcome) } else { Judged::Settled(outcome) }
}

fn reply_of(verdict: &Verdict) -> &Reply {
    match verdict {
        Verdict::Delivered(reply) | Verdict::Deferred(reply) | Verdict::Refused(reply) => reply,
    }
}

/// A try that may be repeated becomes final by time (RFC 3463 3.5, X.4.7).
fn notice_status(kind: Kind, reply: &Reply) -> String {
    if kind == Kind::Failed && !reply.is_permanent() { "5.4.7".to_owned() } else { reply.status_or_class() }
}

/// The administrator gives a recipient up: its sender hears of it.
pub(crate) async fn give_up(worker: &Worker, item: &DueItem) -> Result<(), StoreError> {
    let body = worker.store.read_body(&item.body)?;
    let verdict = Verdict::Refused(Reply::new(
        554,
        "5.7.0",
        "The administrator of this server took it out of the queue",
    ));
    worker.settle(std::slice::from_ref(item), &[verdict], &body).await
}

#[cfg(test)]
mod tests {
    use store::{BodyId, BodyRef, OutgoingRecipient, QueueId};

    use super::*;

    fn item() -> DueItem {
        DueItem {
            id: QueueId(1),
            message: 1,
            sender: "a@b".into(),
            recipient: OutgoingRecipient { address: "x@far.test".into(), notify: 6, original: None },
            attempts: 0,
            delay_noticed: false,
            accepted_ms: 1_000_000,
            expires_ms: 1_000_000 + schedule::EXPIRE_S * 1000,
            envelope_id: None,
            return_full: false,
            eight_bit: false,
            smtp_utf8: false,
            body: BodyRef { id: BodyId(1), segment: 1, length: 1, offset: 0 },
        }
    }

    #[test]
    fn a_message_is_tried_then_late_then_given_up() {
        let later = Verdict::Deferred(Reply::new(451, "4.3.0", "later"));
        let judged = judge(&item(), &later, 1_000_000);
        let Judged::Settled(Outcome::Deferred { next_ms, delay_noticed: false, .. }) = judged else {
            panic!("{judged:?}")
        };
        assert!((1_060_000..1_080_000).contains(&next_ms));
        let hours = 1_000_000 + 5 * 3_600_000;
        assert!(matches!(judge(&item(), &later, hours), Judged::Delayed(_)));
        let told = DueItem { delay_noticed: true, ..item() };
        assert!(matches!(judge(&told, &later, hours), Judged::Settled(_)));
        assert_eq!(judge(&told, &later, told.expires_ms), Judged::Failed);
        let last = DueItem { attempts: 40, ..told.clone() };
        let Judged::Settled(Outcome::Deferred { next_ms, .. }) = judge(&last, &later, told.expires_ms - 5)
        else {
            panic!()
        };
        assert_eq!(next_ms, told.expires_ms);
        assert_eq!(notice_status(Kind::Failed, &Reply::new(451, "4.4.1", "x")), "5.4.7");
    }

    #[test]
    fn one_busy_destination_does_not_hold_up_the_others() {
        let job = |destination: &str| Job { destination: destination.into(), items: vec![item()] };
        let mut board = Board { claimed: 9, ..Board::default() };
        board.waiting.extend((0..8).map(|_| job("slow")));
        board.waiting.push_back(job("quick"));
        let started: Vec<_> = std::iter::from_fn(|| board.next()).map(|job| job.destination).collect();
        assert_eq!(started, ["slow", "slow", "slow", "slow", "quick"]);
        board.done("slow", 1);
        assert_eq!((board.next().unwrap().destination.as_str(), board.claimed), ("slow", 8));
    }
}
