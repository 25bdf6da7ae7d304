//! SORT and THREAD (RFC 5256, RFC 5267): what the client asked, and how it is answered.

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::reply::Reply;
use super::results::Results;
use super::{Selected, Session, read_long};
use crate::parse::{SearchKey, SearchReturn, SortCriterion, ThreadAlgorithm};
use crate::sorting;
use crate::threading::{Algorithm, threads};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn sort(
        &mut self,
        tag: &str,
        uid: bool,
        returns: Option<Vec<SearchReturn>>,
        criteria: Vec<SortCriterion>,
        key: SearchKey,
    ) -> Result<Reply, Stop> {
        let modseq = self.begin_search(uid, &key)?;
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let (searched, mailbox) = (view.searched(), view.mailbox);
        let mut sorted = self.find_messages(searched, key).await?;
        if let Ok(found) = sorted {
            let sort = move |store: &store::Store| sorting::sort(store, mailbox, found, &criteria);
            sorted = read_long(&self.context.store, sort).await;
        }
        let found = match sorted {
            Ok(found) => found,
            Err(error) => {
                self.save_nothing(returns.as_deref().unwrap_or_default());
                return Ok(Reply::refused(&error));
            }
        };
        let results = Results { tag, uid, modseq, found: &found, mailbox: None };
        match &returns {
            Some(returns) => results.write_extended(returns, &mut self.connection.out),
            None => results.write_plain("SORT", &mut self.connection.out),
        }
        self.save_result(returns.as_deref().unwrap_or_default(), &found);
        self.told(uid, Reply::ok("sorted"))
    }

    pub(super) async fn thread(
        &mut self,
        uid: bool,
        algorithm: ThreadAlgorithm,
        key: SearchKey,
    ) -> Result<Reply, Stop> {
        self.begin_search(uid, &key)?;
        let Some(Selected { view, .. }) = &self.selected else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let (searched, mailbox) = (view.searched(), view.mailbox);
        let found = match self.find_messages(searched, key).await? {
            Ok(found) => found,
            Err(error) => return Ok(Reply::refused(&error)),
        };
        let algorithm = match algorithm {
            ThreadAlgorithm::OrderedSubject => Algorithm::OrderedSubject,
            ThreadAlgorithm::References => Algorithm::References,
        };
        let thread = move |store: &store::Store| {
            let messages = sorting::read_threaded(store, mailbox, &found, uid)?;
            Ok(threads(algorithm, &messages))
        };
        match read_long(&self.context.store, thread).await {
            Ok(threads) => self.connection.line(&format!("* THREAD{threads}")),
            Err(error) => return Ok(Reply::refused(&error)),
        }
        self.told(uid, Reply::ok("threaded"))
    }

    /// What comes before every search: the client hears what is new, and CONDSTORE is on if the keys ask
    /// for modification sequences, which this returns.
    pub(super) fn begin_search(&mut self, uid: bool, key: &SearchKey) -> Result<bool, Stop> {
        let modseq = key.asks_modseq();
        if modseq {
            self.enable_condstore();
        }
        let telling = self.telling(uid, uid);
        self.sync(telling)?;
        Ok(modseq)
    }
}
