//! The one writer: requests in, one transaction per batch, answers after the commit is durable.
//!
//! While one batch is being synced the next one gathers in the channel, so a batch grows with the
//! load by itself and nobody waits for a timer.

mod ahead;
mod appender;
mod checkpoint;
mod commit_times;
mod deliver;
mod directory;
mod directory_settings;
mod groups;
mod import;
mod job;
mod ledger;
mod mailboxes;
mod memory;
mod messages;
mod queue;
mod reclaim;
mod room;
mod sharing;
mod tail;
mod unwanted;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch};

pub use commit_times::CommitCounts;
pub(crate) use job::Cost;
pub(crate) use ledger::Ledger;

use crate::StoreError;
use crate::feed::Feeds;
use crate::reserve::Reserve;
use crate::segment::{MESSAGE_BYTES_MAX, SegmentFiles};
use crate::snapshots::{Snapshots, Told};
use crate::text_index::Intake;
use crate::watchers::Watchers;
use ahead::Ahead;
use appender::Appender;
use checkpoint::Checkpoints;
use commit_times::CommitTimes;
use job::{Job, Task};
use ledger::Notices;
use reclaim::Reclaim;

/// Memory that waiting requests may hold, in KiB: one largest message and some room.
const BUDGET_KIB: usize = MESSAGE_BYTES_MAX / 1024 + 16 * 1024;
/// What a request costs beside its bytes, in KiB; it bounds their number.
const REQUEST_KIB: usize = 32;
/// Requests in one transaction.
const BATCH_REQUESTS_MAX: usize = 512;
/// Bytes of bodies in one transaction.
const BATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Busy batches between two steps of reclaiming.
const BATCHES_PER_RECLAIM: u32 = 32;
/// How often an idle writer looks after the store.
const IDLE: Duration = Duration::from_secs(1);

enum Message {
    Request(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

/// The writer as others see it.
pub(crate) struct Writer {
    requests: Mutex<Option<Sender<Message>>>,
    budget: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer shares with the store's readers.
#[derive(Clone)]
pub(crate) struct Shared {
    pub files: Arc<SegmentFiles>,
    pub watchers: Arc<Watchers>,
    pub feeds: Arc<Feeds>,
    pub snapshots: Arc<Snapshots>,
    pub queue: watch::Sender<u64>,
    /// Counts changes of domains and their settings.
    pub directory: Arc<AtomicU64>,
    /// Counts commits after which somebody is to be warned.
    pub warnings: watch::Sender<u64>,
    pub failed: watch::Sender<Option<String>>,
    /// Held by a check: no segment goes while one runs.
    pub reclaiming: Arc<Mutex<()>>,
    /// Bodies on their way into the full-text index.
    pub texts: Arc<Intake>,
    /// How long commits took.
    pub commits: Arc<CommitTimes>,
}

impl Writer {
    /// Starts the thread. `database` is the writer's connection.
    pub fn start(dir: &Path, mut database: Connection, shared: Shared) -> Result<Self, StoreError> {
        let (sender, requests) = channel();
        let checkpoints = Checkpoints::start(dir, &mut database, shared.failed.clone())?;
        let ahead = Ahead::start(dir, shared.failed.clone())?;
        let appender = Appender::load(shared.files.clone(), ahead, &database)?;
        let mut ledger = Ledger::load(database, appender, shared.texts.clone())?;
        ledger.verify_tail()?;
        let thread = Thread {
            requests,
            reserve: Reserve::open(dir),
            ledger,
            reclaim: Reclaim::new(),
            checkpoints,
            shared,
            dir: dir.to_owned(),
            log_is_extended: false,
            stop: None,
            batches: 0,
        };
        let handle =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || thread.run())?;
        Ok(Self {
            requests: Mutex::new(Some(sender)),
            budget: Arc::new(Semaphore::new(BUDGET_KIB)),
            thread: Mutex::new(Some(handle)),
        })
    }

    /// Hands a request to the writer and waits until it is durable or refused.
    pub async fn submit<T: Send + 'static>(
        &self,
        cost: Cost,
        run: impl FnMut(&mut Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let kib = (cost.bytes / 1024) as usize + REQUEST_KIB;
        if kib > BUDGET_KIB {
            return Err(StoreError::TooLarge { bytes: cost.bytes });
        }
        let permit =
            self.budget.clone().acquire_many_owned(kib as u32).await.map_err(|_| StoreError::Closed)?;
        let (ticket, answer) = oneshot::channel();
        self.send(Message::Request(Box::new(Task::new(cost, run, ticket, permit))))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Lets everything accepted so far become durable, and ends the thread.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let (done, stopped) = oneshot::channel();
        self.send(Message::Stop(done))?;
        stopped.await.map_err(|_| StoreError::Closed)?;
        self.join();
        Ok(())
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.as_ref().ok_or(StoreError::Closed)?.send(message).map_err(|_| StoreError::Closed)
    }

    /// Closes the channel and waits for the thread.
    fn join(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic there has been printed; its callers get `Closed`.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.join();
    }
}

struct Thread {
    requests: Receiver<Message>,
    ledger: Ledger,
    reclaim: Reclaim,
    reserve: Reserve,
    checkpoints: Checkpoints,
    shared: Shared,
    dir: PathBuf,
    log_is_extended: bool,
    stop: Option<oneshot::Sender<()>>,
    batches: u32,
}

type Batch = Vec<Box<dyn Job>>;

impl Thread {
    fn run(mut self) {
        while self.stop.is_none() {
            let has_work = self.reclaim.has_work() && !self.has_failed();
            let wait = if has_work { Duration::ZERO } else { IDLE };
            match self.gather(wait) {
                Ok(batch) => {
                    self.run_batch(batch);
                    self.batches = self.batches.wrapping_add(1);
                    if self.batches.is_multiple_of(BATCHES_PER_RECLAIM) {
                        self.reclaim_step();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.rest(!has_work),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let stop = self.stop.take();
        if !self.has_failed() {
            // The next start then has no log to read.
            checkpoint::fold_log(&self.ledger.database);
        }
        drop(self);
        if let Some(stop) = stop {
            let _ = stop.send(());
        }
    }

    /// The requests that wait, up to the bounds of a batch.
    fn gather(&mut self, wait: Duration) -> Result<Batch, RecvTimeoutError> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        let mut next = Some(self.requests.recv_timeout(wait)?);
        while let Some(message) = next {
            match message {
                Message::Request(job) => {
                    bytes += job.cost().bytes;
                    batch.push(job);
                }
                Message::Stop(done) => {
                    self.stop = Some(done);
                    break;
                }
            }
            let full = batch.len() >= BATCH_REQUESTS_MAX || bytes >= BATCH_BYTES_MAX;
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        Ok(batch)
    }

    /// What is done when nobody asks for anything; `idle`: for a while, not just between two pieces of work.
    fn rest(&mut self, idle: bool) {
        if self.has_failed() {
            return;
        }
        self.shared.commits.note_full(self.reserve.is_short());
        // Not while the service starts: the first commit, for which a takeover waits, would wait for it.
        if idle && !self.log_is_extended {
            self.log_is_extended = true;
            if let Err(error) = checkpoint::extend_log(&self.dir) {
                // Only a help.
                tracing::debug!("the log could not be made longer: {error}");
            }
        }
        if let Err(error) = self.ledger.remember_tail() {
            return self.fail(&error);
        }
        self.checkpoints.wake();
        self.reclaim_step();
    }

    fn run_batch(&mut self, mut batch: Batch) {
        if self.refuse_if_failed(&mut batch) {
            return;
        }
        let short = self.reserve.is_short();
        self.shared.commits.note_full(short);
        if short {
            refuse_growing(&mut batch);
        }
        let mut error = match self.attempt(&mut batch) {
            Ok(()) => return answer(batch),
            Err(error) => error,
        };
        // First without what grows, then with the space kept for this.
        for attempt in 0..2 {
            if !error.is_disk_full() {
                break;
            }
            if let Err(worse) = self.ledger.roll_back() {
                error = worse;
                break;
            }
            refuse_growing(&mut batch);
            if attempt == 1 {
                self.reserve.release();
            }
            match self.attempt(&mut batch) {
                Ok(()) => return answer(batch),
                Err(next) => error = next,
            }
        }
        if error.is_disk_full() && self.ledger.roll_back().is_ok() {
            for job in batch {
                job.answer(Err(StoreError::DiskFull));
            }
            return;
        }
        self.fail(&error);
        self.refuse_if_failed(&mut batch);
    }

    /// One transaction with all requests of the batch.
    fn attempt(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.run_requests(batch, false)? {
            self.ledger.roll_back()?;
            self.run_requests(batch, true)?;
        }
        let begun = Instant::now();
        let notices = self.ledger.commit()?;
        self.shared.commits.note(begun.elapsed());
        self.publish(notices);
        // The batch is durable whatever becomes of the checkpoint.
        if let Err(error) = self.checkpoints.after_commit(&self.ledger.database) {
            self.fail(&error);
        }
        Ok(())
    }

    /// Runs the requests in a new transaction; false if one of them has spoiled it.
    fn run_requests(&mut self, batch: &mut Batch, careful: bool) -> Result<bool, StoreError> {
        self.ledger.begin(careful)?;
        for job in batch.iter_mut() {
            job.run(&mut self.ledger)?;
            if self.ledger.is_spoiled() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn publish(&self, notices: Notices) {
        let Notices { numbers, touches, gone, rearranged, .. } = &notices;
        // Memory first: who is woken reads it.
        self.shared.snapshots.publish(&Told { touches, numbers, gone, rearranged });
        let changed = numbers.iter().map(|numbers| (numbers.mailbox, numbers.highest_modseq));
        let deleted = gone.iter().map(|mailbox| (*mailbox, 0));
        self.shared.watchers.publish(changed.chain(deleted));
        let changed: Vec<_> = numbers.iter().map(|numbers| (numbers.account, numbers.mailbox)).collect();
        self.shared.feeds.publish(&changed, &notices.events);
        if notices.queue {
            self.shared.queue.send_modify(|count| *count = count.wrapping_add(1));
        }
        if notices.directory {
            self.shared.directory.fetch_add(1, Ordering::Release);
        }
        if notices.warnings {
            self.shared.warnings.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// A bounded piece of reclaiming, in its own transaction.
    fn reclaim_step(&mut self) {
        if self.has_failed() {
            return;
        }
        let reclaiming = self.shared.reclaiming.clone();
        let Ok(_guard) = reclaiming.try_lock() else { return };
        let short = self.reserve.is_short() || self.reserve.is_tight();
        match self.reclaim.step(&mut self.ledger, short) {
            Ok(()) => {}
            Err(error) if error.is_disk_full() => match self.ledger.roll_back() {
                Ok(()) => {
                    // It is kept for this as well.
                    self.reserve.release();
                    self.reclaim.put_off();
                }
                Err(error) => self.fail(&error),
            },
            Err(error) => self.fail(&error),
        }
    }

    fn has_failed(&self) -> bool {
        self.shared.failed.borrow().is_some()
    }

    /// From here on nothing is acknowledged: what the disk holds is not known any more.
    fn fail(&mut self, error: &StoreError) {
        tracing::error!("the mail store has failed: {error}");
        self.shared.failed.send_replace(Some(error.to_string()));
    }

    fn refuse_if_failed(&self, batch: &mut Batch) -> bool {
        let Some(reason) = self.shared.failed.borrow().clone() else { return false };
        for job in batch.drain(..) {
            job.answer(Err(StoreError::Failed(reason.clone())));
        }
        true
    }
}

/// Answers the requests of a committed batch.
fn answer(batch: Batch) {
    for job in batch {
        job.answer(Ok(()));
    }
}

/// Takes the requests that need space out of the batch and refuses them.
fn refuse_growing(batch: &mut Batch) {
    for job in batch.extract_if(.., |job| job.cost().grows) {
        job.answer(Err(StoreError::DiskFull));
    }
}
