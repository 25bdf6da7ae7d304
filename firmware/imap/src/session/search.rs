//! SEARCH: what the client asked, and how it is answered. The evaluation is [`crate::search`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::append::now_s;
use super::connection::{Stop, stopped};
use super::patience::write_progress;
use super::reply::Reply;
use super::results::Results;
use super::view::View;
use super::{Selected, Session, read_long};
use crate::parse::{SearchKey, SearchReturn};
use crate::search::{Numbered, Progress, Searched, evaluate};

impl View {
    /// What a search of this view looks at: messages that are gone from the store are passed over.
    pub fn searched(&self) -> Searched {
        let numbered =
            self.entries().iter().zip(1..).map(|(entry, number)| Numbered { number, entry: *entry });
        Searched {
            mailbox: self.mailbox,
            keywords: Arc::clone(&self.keywords),
            messages: numbered.filter(|message| !self.is_gone(message.entry.uid)).collect(),
            exists: self.entries().len() as u32,
            last_uid: self.last_uid(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn search(
        &mut self,
        tag: &str,
        uid: bool,
        returns: Option<Vec<SearchReturn>>,
        key: SearchKey,
    ) -> Result<Reply, Stop> {
        let modseq = self.begin_search(uid, &key)?;
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let searched = view.searched();
        let found = match self.find_messages(searched, key).await? {
            Ok(found) => found,
            Err(error) => {
                self.save_nothing(returns.as_deref().unwrap_or_default());
                return Ok(Reply::refused(&error));
            }
        };
        let results = Results { tag, uid, modseq, found: &found, mailbox: None };
        match &returns {
            Some(returns) => results.write_extended(returns, &mut self.connection.out),
            // RFC 9051 section 6.4.4: without RETURN as with RETURN (ALL).
            None if self.enabled.rev2 => {
                results.write_extended(&[SearchReturn::All], &mut self.connection.out);
            }
            None => results.write_plain("SEARCH", &mut self.connection.out),
        }
        self.save_result(returns.as_deref().unwrap_or_default(), &found);
        self.told(uid, Reply::ok("done"))
    }

    /// The messages that meet the keys, by ascending UID. Ends early when the service stops.
    pub(super) async fn find_messages(
        &mut self,
        searched: Searched,
        key: SearchKey,
    ) -> Result<Result<Vec<Numbered>, StoreError>, Stop> {
        let progress = Arc::new(Progress::default());
        let (shared, goal) = (Arc::clone(&progress), searched.messages.len());
        let mut work = pin!(read_long(&self.context.store, move |store| {
            evaluate(store, &searched, &key, now_s(), &shared)
        }));
        // Also set when this session is dropped in between.
        let _stop = StopOnDrop(Arc::clone(&progress));
        let mut shutdown = self.context.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                found = &mut work => return Ok(found),
                () = stopped(&mut shutdown) => {
                    self.connection.check_shutdown()?;
                    return Ok(Err(StoreError::Closed));
                }
                () = tokio::time::sleep(self.context.limits.progress_interval) => {
                    let done = progress.done.load(Ordering::Relaxed);
                    write_progress(&mut self.connection.out, &self.tag, Some((done, goal)));
                    self.connection.flush().await?;
                }
            }
        }
    }
}

/// Ends an evaluation nobody waits for any more.
struct StopOnDrop(Arc<Progress>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
