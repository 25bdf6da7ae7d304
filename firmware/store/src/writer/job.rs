//! One request on its way through the writer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Ledger;
use crate::StoreError;

/// What a request needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Bytes it holds in memory while it waits.
    pub bytes: u64,
    /// It needs space on the disk, so it is refused when the disk is full.
    pub grows: bool,
}

impl Cost {
    /// A change that frees space or needs next to none.
    pub const SMALL: Self = Self { bytes: 0, grows: false };
    /// A change that adds rows.
    pub const GROWING: Self = Self { bytes: 0, grows: true };
}

/// A request: may run more than once, is answered once.
pub(crate) trait Job: Send {
    fn cost(&self) -> Cost;
    /// Runs in the open transaction. An error here is the whole transaction's; what concerns only this
    /// request is kept for its answer.
    fn run(&mut self, ledger: &mut Ledger) -> Result<(), StoreError>;
    /// Answers: with the result of the last run, or with why nothing was done.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
}

/// A request made of a closure.
pub(crate) struct Task<T, F> {
    cost: Cost,
    run: F,
    result: Option<Result<T, StoreError>>,
    ticket: oneshot::Sender<Result<T, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

impl<T, F> Task<T, F> {
    pub fn new(
        cost: Cost,
        run: F,
        ticket: oneshot::Sender<Result<T, StoreError>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { cost, run, result: None, ticket, _permit: permit }
    }
}

impl<T: Send, F: FnMut(&mut Ledger) -> Result<T, StoreError> + Send> Job for Task<T, F> {
    fn cost(&self) -> Cost {
        self.cost
    }

    fn run(&mut self, ledger: &mut Ledger) -> Result<(), StoreError> {
        match ledger.request(&mut self.run) {
            Err(error) if error.is_of_the_disk() => Err(error),
            result => {
                self.result = Some(result);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        let result = match (fate, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // Who does not wait any more has no use for the answer.
        let _ = self.ticket.send(result);
    }
}
