//! The first domain and account of a new store.

use control::mail::FirstAccount;
use store::{PasswordHash, Store, StoreError};

use crate::MailError;

/// Makes domain, account and `postmaster` (RFC 5321 4.5.1) in a store without domains. Can be repeated: a
/// takeover in the middle of it finishes it.
pub(crate) async fn make(store: &Store, first: &FirstAccount) -> Result<(), MailError> {
    let address = format!("{}@{}", first.account, first.domain);
    let domains = store.domains()?;
    let begun = |name: &str| name.eq_ignore_ascii_case(&first.domain);
    let untouched = match domains.as_slice() {
        [] => true,
        [only] => begun(&only.name) && only.accounts <= 1 && store.resolve(&postmaster(first))? == UNKNOWN,
        _ => false,
    };
    if !untouched {
        return Ok(());
    }
    exists_is_fine(store.add_domain(&first.domain).await)?;
    let hash = PasswordHash(first.password_hash.clone());
    exists_is_fine(store.add_account(&address, hash, None).await.map(drop))?;
    if !first.account.eq_ignore_ascii_case("postmaster") {
        exists_is_fine(store.add_alias(&postmaster(first), &address).await)?;
    }
    tracing::info!("made the domain {} and the account {address}", first.domain);
    Ok(())
}

const UNKNOWN: store::Resolution = store::Resolution::UnknownUser;

fn postmaster(first: &FirstAccount) -> String {
    format!("postmaster@{}", first.domain)
}

fn exists_is_fine(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Exists(_)) => Ok(()),
        other => other,
    }
}
