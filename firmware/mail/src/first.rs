//! The first domain and account of a new store.

use control::mail::FirstAccount;
use store::{PasswordHash, Store, StoreError};

use crate::MailError;

/// Store setting that says it was done; what an administrator changes later stays changed.
const DONE: &str = "first_account_made";

/// Makes domain, account and `postmaster` (RFC 5321 4.5.1). Can be repeated: a takeover in the middle of
/// it finishes it.
pub(crate) async fn make(store: &Store, first: &FirstAccount) -> Result<(), MailError> {
    if store.setting(DONE)?.is_some() {
        return Ok(());
    }
    let address = format!("{}@{}", first.account, first.domain);
    exists_is_fine(store.add_domain(&first.domain).await)?;
    let hash = PasswordHash(first.password_hash.clone());
    exists_is_fine(store.add_account(&address, hash, None).await.map(drop))?;
    if !first.account.eq_ignore_ascii_case("postmaster") {
        let postmaster = format!("postmaster@{}", first.domain);
        exists_is_fine(store.add_alias(&postmaster, &address).await)?;
    }
    store.set_setting(DONE, Some("yes")).await?;
    tracing::info!("made the domain {} and the account {address}", first.domain);
    Ok(())
}

/// What an earlier try has made already.
pub(crate) fn exists_is_fine(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Exists(_)) => Ok(()),
        other => other,
    }
}
