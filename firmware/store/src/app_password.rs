//! App passwords: named, for mail protocols only, revoked one by one.

use rusqlite::{Connection, Row};

use crate::{AccountId, PasswordHash, StoreError};

/// App passwords one account can have.
pub const APP_PASSWORDS_MAX: usize = 50;
/// Longest name of one, in characters.
pub const APP_PASSWORD_NAME_CHARS_MAX: usize = 64;
/// The last use is recorded when it lies at least so many seconds after the one recorded before.
pub const LAST_USE_STEP_S: i64 = 3_600;

/// Number of an app password, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppPasswordId(pub i64);

/// An app password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    /// Its number.
    pub id: AppPasswordId,
    /// Its name, unique in the account.
    pub name: String,
    /// What it is checked against.
    pub hash: PasswordHash,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// When it was used last, seconds since 1970, to the hour.
    pub last_used_s: Option<i64>,
}

/// Those of an account, by name.
pub(crate) fn of_account(database: &Connection, account: AccountId) -> Result<Vec<AppPassword>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT id, name, hash, created_s, last_used_s FROM app_passwords WHERE account = ?1 ORDER BY name",
    )?;
    let read = |row: &Row<'_>| {
        Ok(AppPassword {
            id: AppPasswordId(row.get(0)?),
            name: row.get(1)?,
            hash: PasswordHash(row.get(2)?),
            created_s: row.get(3)?,
            last_used_s: row.get(4)?,
        })
    };
    let rows = statement.query_map([account.0], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
