//! Many users at once: each row is looked at before anything of it is written, so that a bad one leaves
//! nothing behind and needs no savepoint.

use std::collections::HashMap;

use super::Ledger;
use super::directory_settings::check_change;
use crate::directory::{normal_address, split_address};
use crate::import::{ImportMode, Imported, NewUser};
use crate::{DomainId, StoreError};

impl Ledger {
    pub fn import_users(&mut self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, StoreError> {
        // A dry run counts what it would have added.
        let mut added: HashMap<DomainId, u64> = HashMap::new();
        let mut outcomes = Vec::with_capacity(users.len());
        for user in users {
            outcomes.push(match self.import_user(user, mode, &mut added) {
                Err(error) if error.is_of_the_disk() => return Err(error),
                Err(error) => Imported::Refused(error),
                Ok(outcome) => outcome,
            });
        }
        Ok(outcomes)
    }

    fn import_user(
        &mut self,
        user: &NewUser,
        mode: ImportMode,
        added: &mut HashMap<DomainId, u64>,
    ) -> Result<Imported, StoreError> {
        let address = normal_address(&user.address)?;
        let domain = self.domain_of(&address)?;
        check_change(&user.settings)?;
        if let Some(id) = self.account_by_address(&address)? {
            if !mode.update {
                return Ok(Imported::Skipped);
            }
            if !mode.dry_run {
                if let Some(password) = &user.password {
                    self.set_password(&address, password)?;
                }
                self.change_account(id, &user.settings)?;
            }
            return Ok(Imported::Updated);
        }
        let Some(password) = &user.password else { return Err(StoreError::NoPassword) };
        self.check_free(&address)?;
        let would_be = added.entry(domain).or_default();
        let state = self.domain(domain)?;
        if let Some(limit) = state.users.value().filter(|limit| state.accounts + *would_be >= *limit) {
            let (_, name) = split_address(&address).unwrap_or_default();
            return Err(StoreError::TooManyUsers { domain: name.to_owned(), limit });
        }
        if mode.dry_run {
            *would_be += 1;
            return Ok(Imported::Added);
        }
        let id = self.insert_account(domain, &address, password)?;
        self.change_account(id, &user.settings)?;
        Ok(Imported::Added)
    }
}
