//! Many users at once.

use crate::writer::Cost;
use crate::{AccountChange, PasswordHash, Store, StoreError};

/// Users made in one transaction: mail that waits meanwhile waits for some tens of milliseconds.
const USERS_PER_STEP: usize = 200;

/// A user to be made, or changed.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Address.
    pub address: String,
    /// Password; without one only a user that is there already can be changed.
    pub password: Option<PasswordHash>,
    /// Everything else.
    pub settings: AccountChange,
}

/// What to do with users of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportMode {
    /// Change those that are there already; else they stay as they are.
    pub update: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What became of one user of an import.
#[derive(Debug)]
pub enum Imported {
    /// It is new.
    Added,
    /// It was there and has been changed.
    Updated,
    /// It was there and stays as it is.
    Skipped,
    /// It cannot be, and nothing of it was done.
    Refused(StoreError),
}

impl Store {
    /// Makes or changes users; each for itself, durable when answered.
    pub async fn import_users(
        &self,
        users: Vec<NewUser>,
        mode: ImportMode,
    ) -> Result<Vec<Imported>, StoreError> {
        let mut outcomes = Vec::with_capacity(users.len());
        for step in users.chunks(USERS_PER_STEP) {
            let step = step.to_vec();
            let cost = if mode.dry_run { Cost::SMALL } else { Cost::GROWING };
            outcomes.extend(self.submit(cost, move |ledger| ledger.import_users(&step, mode)).await?);
        }
        Ok(outcomes)
    }
}
