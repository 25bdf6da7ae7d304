//! Replacing a password's record by a stronger one of the same password.

use rusqlite::params;

use crate::{AccountId, PasswordHash, Store, StoreError};

impl Store {
    /// Replaces an account's password record if it is still `old`; otherwise somebody has set another
    /// password meanwhile, and nothing changes. Tells whether it was replaced.
    pub async fn replace_password(
        &self,
        account: AccountId,
        old: PasswordHash,
        new: PasswordHash,
    ) -> Result<bool, StoreError> {
        self.small(move |ledger| {
            let changed = ledger.run(
                "UPDATE accounts SET password = ?3 WHERE id = ?1 AND password = ?2",
                params![account.0, old.0, new.0],
            )?;
            Ok(changed > 0)
        })
        .await
    }
}
