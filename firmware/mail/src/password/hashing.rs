//! The threads that hash passwords.
//!
//! A hash is 19 MiB of memory and some hundredths of a second of one core, and after a takeover everybody
//! logs in at once. These threads yield to all others (nice(2)), so that mail goes on coming in and those
//! who are logged in are served; and they keep their memory while there is work, so that the system need not
//! find and clear it for every login.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use argon2::{Block, Params};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

/// Hashes computed at the same time; each takes 19 MiB and a core.
const THREADS: usize = 2;
/// How much more they yield than the service: on a busy core a hash gets about a quarter of it, so no login
/// waits for ever.
const NICER: i32 = 5;
/// Hashes that wait; who asks for them is bounded more narrowly.
const WAITING_MAX: usize = 1_024;
/// Time without work after which a thread gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

/// What a hash is computed in; kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Block>);

impl Memory {
    /// Room for `count` blocks. More than a hash of our own takes is not kept.
    pub(super) fn with_blocks<T>(&mut self, count: usize, run: impl FnOnce(&mut [Block]) -> T) -> T {
        if count > Params::DEFAULT.block_count() {
            return run(&mut vec![Block::new(); count]);
        }
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        run(self.0.get_mut(..count).unwrap_or_default())
    }
}

/// The threads; they end when this is dropped.
#[derive(Debug, Clone)]
pub(super) struct Hashing {
    give: Sender<Work>,
}

impl Hashing {
    pub(super) fn start() -> io::Result<Self> {
        let (give, take) = bounded(WAITING_MAX);
        for _ in 0..THREADS {
            let take = take.clone();
            thread::Builder::new().name("password".to_owned()).spawn(move || work(&take))?;
        }
        Ok(Self { give })
    }

    /// What `run` gives, computed by one of the threads in its turn; none if too much waits already.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |memory| {
            // Nobody waits for a login that was broken off.
            if !answer.is_closed() {
                let _ = answer.send(run(memory));
            }
        });
        self.give.try_send(work).ok()?;
        answered.await.ok()
    }
}

fn work(take: &Receiver<Work>) {
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::warn!("passwords are hashed with ordinary priority: {error}");
    }
    let mut memory = Memory::default();
    loop {
        let work = match take.recv_timeout(IDLE) {
            Ok(work) => work,
            Err(RecvTimeoutError::Timeout) => {
                memory = Memory::default();
                let Ok(work) = take.recv() else { return };
                work
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // One login that cannot be computed must not take all later ones with it.
        if panic::catch_unwind(AssertUnwindSafe(|| work(&mut memory))).is_err() {
            tracing::error!("a password could not be checked: its hash cannot be computed");
            memory = Memory::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_is_kept_and_bounded() {
        let hashing = Hashing::start().unwrap();
        let usual = Params::DEFAULT.block_count();
        for (count, kept) in [(8, 8), (usual, usual), (8, usual), (usual + 1, usual)] {
            let mut memory = Memory(vec![Block::new(); kept.min(8)]);
            memory.with_blocks(count, |blocks| assert_eq!(blocks.len(), count));
            assert!(memory.0.len() <= usual);
        }
        let own = rustix::process::getpriority_process(None).unwrap();
        let theirs = |_: &mut Memory| rustix::process::getpriority_process(None).unwrap();
        assert_eq!(hashing.run(theirs).await, Some((own + NICER).min(19)));
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_computed_leaves_the_threads_whole() {
        let hashing = Hashing::start().unwrap();
        for _ in 0..2 * THREADS {
            assert_eq!(hashing.run(|_| -> u32 { panic!("it was asked to") }).await, None);
        }
        assert_eq!(hashing.run(|_| 5).await, Some(5));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_waits_for_any_more_is_not_computed() {
        let hashing = Hashing::start().unwrap();
        let (hold, held) = bounded::<()>(0);
        let (started, starts) = bounded(THREADS);
        let busy: Vec<_> = (0..THREADS)
            .map(|_| {
                let (hashing, held, started) = (hashing.clone(), held.clone(), started.clone());
                tokio::spawn(async move {
                    hashing.run(move |_| started.send(()).is_ok() && held.recv().is_err()).await
                })
            })
            .collect();
        for _ in 0..THREADS {
            starts.recv().unwrap();
        }
        let (ran, runs) = bounded(1);
        {
            let given_up = hashing.run(move |_| ran.send(()));
            tokio::select! {
                biased;
                _ = given_up => panic!("both threads are busy"),
                () = std::future::ready(()) => {}
            }
        }
        drop(hold);
        for one in busy {
            assert_eq!(one.await.unwrap(), Some(true));
        }
        assert_eq!(hashing.run(|_| 5).await, Some(5));
        assert!(runs.recv().is_err(), "it was dropped without having run");
    }
}
