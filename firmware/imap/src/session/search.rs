//! SEARCH: what the client asked, and how it is answered. The evaluation is [`crate::search`].

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::append::now_s;
use super::connection::Stop;
use super::reply::{Reply, sequence_set};
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
        let modseq = key.asks_modseq();
        if modseq {
            self.enable_condstore();
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let searched = view.searched();
        let found = match self.find_messages(searched, key).await? {
            Ok(found) => found,
            Err(error) => return Ok(Reply::refused(&error)),
        };
        let line = answer(tag, uid, returns.as_deref(), modseq, &found);
        self.connection.line(&line);
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        Ok(Reply::ok("done"))
    }

    /// The messages that meet the keys, by ascending UID. Ends early when the service stops.
    pub(super) async fn find_messages(
        &mut self,
        searched: Searched,
        key: SearchKey,
    ) -> Result<Result<Vec<Numbered>, StoreError>, Stop> {
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let work =
            read_long(&self.context.store, move |store| evaluate(store, &searched, &key, now_s(), &shared));
        // Also set when this session is dropped in between.
        let _stop = StopOnDrop(Arc::clone(&progress));
        let mut shutdown = self.context.shutdown.clone();
        tokio::select! {
            found = work => Ok(found),
            _ = shutdown.wait_for(|stopping| *stopping) => {
                self.connection.check_shutdown()?;
                Ok(Err(StoreError::Closed))
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

/// The untagged answer: SEARCH, or ESEARCH where RETURN was used (RFC 4731).
fn answer(
    tag: &str,
    uid: bool,
    returns: Option<&[SearchReturn]>,
    modseq: bool,
    found: &[Numbered],
) -> String {
    let number = |message: &Numbered| if uid { message.entry.uid } else { message.number };
    let highest = |found: &[Numbered]| found.iter().map(|message| message.entry.modseq).max();
    let Some(returns) = returns else {
        let mut line = "* SEARCH".to_owned();
        for message in found {
            line.push(' ');
            line.push_str(&number(message).to_string());
        }
        if modseq && let Some(highest) = highest(found) {
            let _ = write!(line, " (MODSEQ {highest})");
        }
        return line;
    };
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if uid {
        line.push_str(" UID");
    }
    let has = |option| returns.contains(&option);
    let (first, last) = (found.first(), found.last());
    if let Some(first) = first.filter(|_| has(SearchReturn::Min)) {
        let _ = write!(line, " MIN {}", number(first));
    }
    if let Some(last) = last.filter(|_| has(SearchReturn::Max)) {
        let _ = write!(line, " MAX {}", number(last));
    }
    if has(SearchReturn::All) && !found.is_empty() {
        let _ = write!(line, " ALL {}", sequence_set(found.iter().map(number)));
    }
    if has(SearchReturn::Count) {
        let _ = write!(line, " COUNT {}", found.len());
    }
    if modseq {
        // Of MIN and MAX alone, it is that of the messages named (RFC 7162 section 3.1.10).
        let named: Vec<Numbered> = if has(SearchReturn::All) || has(SearchReturn::Count) {
            found.to_vec()
        } else {
            let min = first.filter(|_| has(SearchReturn::Min));
            min.into_iter().chain(last.filter(|_| has(SearchReturn::Max))).copied().collect()
        };
        if let Some(highest) = highest(&named) {
            let _ = write!(line, " MODSEQ {highest}");
        }
    }
    line
}
