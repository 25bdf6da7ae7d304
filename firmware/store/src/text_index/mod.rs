//! The full-text index: which bodies can hold a text, without reading them.
//!
//! It is a database of its own beside mail.db, an FTS5 table of tokens by body number with a thread that
//! feeds it. It only ever narrows down: what it cannot say is looked up in the message itself, so losing
//! it loses time and nothing else. It never answers wrongly, because
//!
//! - a body is in the index, or in the [`Intake`], or it is not known at all and has to be read. The index
//!   says up to which body number it is complete, in the transaction that made it so;
//! - only bodies of durable transactions enter it, in the order of their numbers, and a number is never
//!   used twice. So after a power cut it lacks at most the last moments, and these are read again;
//! - a body that is gone stays out of every answer at once, because answers are about messages that are
//!   there. Its tokens leave the index soon after: the transaction that removes a body notes its number
//!   in `unwanted_texts`, and the note goes when the index without it is durable.
//!
//! ```text
//! text.db   postings  FTS5, contentless, detail=none: place letter + word (or pair) -> body numbers
//!           words     every distinct word once or a few times, in blocks of 256
//!           grams     FTS5, contentless: three letters in a row (two, beyond ASCII) -> blocks
//!           meta      indexed_below, and the number that ties it to its mail.db
//! ```
//!
//! A text inside words is found in two steps: grams lead to the blocks, these are searched for the words
//! that hold it, and the words lead to the bodies. FTS5 writes a segment per transaction, so many
//! messages go in at once, while they are few they wait in the intake; segments are merged in bounded
//! steps by the same thread, never by who stores mail.

mod audit;
mod database;
mod indexer;
mod intake;
mod lookup;
mod vocabulary;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use message::{TextPlan, Verdict};
use rusqlite::Connection;

pub(crate) use audit::audit;
pub(crate) use database::TABLES;
pub(crate) use intake::Intake;

use database::Expected;
use indexer::Opening;

use crate::reader::Readers;
use crate::segment::SegmentFiles;
use crate::{BodyId, Store, StoreError};

/// With fewer bodies than this the bodies themselves are read.
const BODIES_MIN: usize = 16;

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextProgress {
    /// Bodies up to this number are in the index.
    pub indexed: u64,
    /// The highest body number there is.
    pub of: u64,
    /// Whether it is being kept; if not, searches read the messages, and the next start begins anew.
    pub kept: bool,
}

/// The index as the store holds it.
pub(crate) struct TextIndex {
    intake: Arc<Intake>,
    /// Set once the index is open.
    readers: Arc<OnceLock<Readers>>,
    thread: Option<JoinHandle<()>>,
}

impl TextIndex {
    /// Starts the thread, which opens the index when those have been served who wait for the store; one that
    /// is missing is made now. `mail` is a connection that writes, before anybody else does; `intake` is what
    /// the writer has been given. Without a usable index everything else goes on.
    pub fn start(dir: &Path, mail: &Connection, files: &Arc<SegmentFiles>, intake: &Arc<Intake>) -> Self {
        let readers = Arc::default();
        let thread = Self::try_start(dir, mail, files, intake, &readers).inspect_err(|error| {
            tracing::error!("there is no full-text index, searches read every message: {error}");
            intake.close();
        });
        Self { intake: Arc::clone(intake), readers, thread: thread.ok() }
    }

    fn try_start(
        dir: &Path,
        mail: &Connection,
        files: &Arc<SegmentFiles>,
        intake: &Arc<Intake>,
        readers: &Arc<OnceLock<Readers>>,
    ) -> Result<JoinHandle<()>, StoreError> {
        let expected = Expected::read(mail)?;
        intake.committed(expected.next_body);
        let made = if database::path(dir).exists() { None } else { Some(database::make(dir, mail)?) };
        Opening {
            dir: dir.to_owned(),
            expected,
            made,
            files: Arc::clone(files),
            intake: Arc::clone(intake),
            readers: Arc::clone(readers),
        }
        .start()
    }

    fn judge(&self, plans: &[TextPlan], bodies: &[BodyId]) -> Result<Vec<Vec<Verdict>>, StoreError> {
        let all_unknown = || plans.iter().map(|_| vec![Verdict::Look; bodies.len()]).collect();
        if bodies.len() < BODIES_MIN {
            return Ok(all_unknown());
        }
        let Some(readers) = self.readers.get() else {
            self.intake.ask_to_open();
            return Ok(all_unknown());
        };
        match readers.read_moment(|database| lookup::judge(database, &self.intake, plans, bodies)) {
            Err(error @ StoreError::Busy) => Err(error),
            Err(error) => {
                tracing::error!("the full-text index cannot be read: {error}");
                Ok(all_unknown())
            }
            found => found,
        }
    }
}

impl Drop for TextIndex {
    fn drop(&mut self) {
        self.intake.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Store {
    /// What the full-text index says of bodies: for each plan a verdict on each body, in order.
    pub fn judge_texts(
        &self,
        plans: &[TextPlan],
        bodies: &[BodyId],
    ) -> Result<Vec<Vec<Verdict>>, StoreError> {
        self.text_index().judge(plans, bodies)
    }

    /// How far the full-text index is.
    pub fn text_progress(&self) -> Result<TextProgress, StoreError> {
        let of = self.text_index().intake.horizon().saturating_sub(1);
        let kept = !self.text_index().intake.is_closed();
        let Some(readers) = self.text_index().readers.get() else {
            return Ok(TextProgress { indexed: 0, of, kept });
        };
        let below = readers.read(database::indexed_below)?;
        Ok(TextProgress { indexed: below.saturating_sub(1), of, kept })
    }

    /// Makes the full-text index anew, in the background. Searches read the messages until it is done.
    pub fn reindex_texts(&self) {
        self.text_index().intake.ask_to_rebuild();
    }
}
