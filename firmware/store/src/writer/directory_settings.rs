//! Settings of domains and accounts, the system's defaults, app passwords: changes.

use rusqlite::params;

use super::Ledger;
use crate::app_password::{APP_PASSWORD_NAME_CHARS_MAX, APP_PASSWORDS_MAX};
use crate::directory::{TARGETS_MAX, normal_address, normal_domain};
use crate::directory_change::changed;
use crate::limits::{SYSTEM_LIMITS, system_limits};
use crate::{
    AccountChange, AccountId, AppPasswordId, DomainChange, DomainId, Limit, LimitName, LimitSet,
    PasswordHash, StoreError, Subject,
};

/// Longest name of a user or group for people, in characters.
const DISPLAY_NAME_CHARS_MAX: usize = 200;

impl Ledger {
    pub fn set_domain(&mut self, domain: &str, change: &DomainChange) -> Result<(), StoreError> {
        let name = normal_domain(domain)?;
        let record = crate::domain::by_name(&self.database, &name)?
            .ok_or_else(|| StoreError::NoSuchDomain(name.clone()))?;
        let defaults = changed(record.defaults, &change.defaults);
        let (space, users) =
            (change.space_bytes.unwrap_or(record.space_bytes), change.users.unwrap_or(record.users));
        self.run(
            "UPDATE domains SET enabled = ?2, limit_bytes = ?3, limit_accounts = ?4, protocols = ?5,
                    plus_addressing = ?6, language = ?7 WHERE id = ?1",
            params![
                record.id.0,
                change.enabled.unwrap_or(record.enabled),
                space,
                users,
                change.protocols.unwrap_or(record.protocols).0,
                change.plus_addressing.unwrap_or(record.plus_addressing),
                language(change.language.clone().unwrap_or(record.language))?,
            ],
        )?;
        let [bytes, messages, message, attachment, hour, day, to_hour, to_day] = defaults.all();
        self.run(
            "UPDATE domains SET default_bytes = ?2, default_messages = ?3, default_message_bytes = ?4,
                    default_attachment_bytes = ?5, default_messages_hour = ?6, default_messages_day = ?7,
                    default_recipients_hour = ?8, default_recipients_day = ?9 WHERE id = ?1",
            params![record.id.0, bytes, messages, message, attachment, hour, day, to_hour, to_day],
        )?;
        let sending = changed(record.sending, &change.sending);
        self.run(
            "UPDATE domains SET sends_messages_hour = ?2, sends_messages_day = ?3,
                    sends_recipients_hour = ?4, sends_recipients_day = ?5 WHERE id = ?1",
            params![
                record.id.0,
                sending.messages_hour,
                sending.messages_day,
                sending.recipients_hour,
                sending.recipients_day
            ],
        )?;
        let state = self.domain_mut(record.id)?;
        (state.space_bytes, state.users) = (space, users);
        (state.user_space_bytes, state.user_messages) = (defaults.space_bytes, defaults.messages);
        if let Some(target) = &change.catch_all {
            let catch_all = format!("@{name}");
            self.run("DELETE FROM aliases WHERE address = ?1", [&catch_all])?;
            if let Some(target) = target {
                self.add_alias(&catch_all, target)?;
            }
        }
        self.directory_changed = true;
        Ok(())
    }

    pub fn set_account(&mut self, address: &str, change: &AccountChange) -> Result<(), StoreError> {
        let id = self.account_named(address)?;
        self.change_account(id, change)
    }

    /// Applies a change to an account that is there.
    pub(super) fn change_account(&mut self, id: AccountId, change: &AccountChange) -> Result<(), StoreError> {
        check_change(change)?;
        if let Some(enabled) = change.enabled {
            self.run("UPDATE accounts SET enabled = ?2 WHERE id = ?1", params![id.0, enabled])?;
        }
        if let Some(protocols) = change.protocols {
            self.run("UPDATE accounts SET protocols = ?2 WHERE id = ?1", params![id.0, protocols.0])?;
        }
        if let Some(name) = &change.display_name {
            let name = display_name(name);
            self.run("UPDATE accounts SET display_name = ?2 WHERE id = ?1", params![id.0, name])?;
        }
        if let Some(language) = &change.language {
            let language = self::language(language.clone())?;
            self.run("UPDATE accounts SET language = ?2 WHERE id = ?1", params![id.0, language])?;
        }
        if let Some(keep) = change.forward_keep {
            self.run("UPDATE accounts SET forward_keep = ?2 WHERE id = ?1", params![id.0, keep])?;
        }
        if let Some(targets) = &change.forward_to {
            self.set_forwards(id, targets)?;
        }
        for (name, limit) in &change.limits {
            self.set_limit(id, *name, *limit)?;
        }
        Ok(())
    }

    fn set_limit(&mut self, id: AccountId, name: LimitName, limit: Limit) -> Result<(), StoreError> {
        let sql = match name {
            LimitName::SpaceBytes => "UPDATE accounts SET limit_bytes = ?2 WHERE id = ?1",
            LimitName::Messages => "UPDATE accounts SET limit_messages = ?2 WHERE id = ?1",
            LimitName::MessageBytes => "UPDATE accounts SET limit_message_bytes = ?2 WHERE id = ?1",
            LimitName::AttachmentBytes => "UPDATE accounts SET limit_attachment_bytes = ?2 WHERE id = ?1",
            LimitName::MessagesHour => "UPDATE accounts SET limit_messages_hour = ?2 WHERE id = ?1",
            LimitName::MessagesDay => "UPDATE accounts SET limit_messages_day = ?2 WHERE id = ?1",
            LimitName::RecipientsHour => "UPDATE accounts SET limit_recipients_hour = ?2 WHERE id = ?1",
            LimitName::RecipientsDay => "UPDATE accounts SET limit_recipients_day = ?2 WHERE id = ?1",
        };
        self.run(sql, params![id.0, limit])?;
        match name {
            LimitName::SpaceBytes => self.account_mut(id)?.space_bytes = limit,
            LimitName::Messages => self.account_mut(id)?.messages = limit,
            _ => {}
        }
        Ok(())
    }

    fn set_forwards(&mut self, id: AccountId, targets: &[String]) -> Result<(), StoreError> {
        self.run("DELETE FROM forwards WHERE account = ?1", [id.0])?;
        for target in targets {
            let target = full_address(target)?;
            self.run(
                "INSERT OR IGNORE INTO forwards (account, address) VALUES (?1, ?2)",
                params![id.0, target],
            )?;
        }
        Ok(())
    }

    pub fn set_system_limits(&mut self, changes: &[(LimitName, Limit)]) -> Result<LimitSet, StoreError> {
        let limits = changed(system_limits(&self.database)?, changes);
        self.set_setting(SYSTEM_LIMITS, Some(&limits.to_setting()))?;
        Ok(limits)
    }

    /// A domain may have one user more.
    pub(super) fn check_room_for_user(&mut self, domain: DomainId, address: &str) -> Result<(), StoreError> {
        let state = self.domain(domain)?;
        match state.users.value() {
            Some(limit) if state.accounts >= limit => {
                let (_, name) = crate::directory::split_address(address).unwrap_or_default();
                Err(StoreError::TooManyUsers { domain: name.to_owned(), limit })
            }
            _ => Ok(()),
        }
    }

    pub fn add_app_password(
        &mut self,
        address: &str,
        name: &str,
        hash: &PasswordHash,
    ) -> Result<AppPasswordId, StoreError> {
        let id = self.account_named(address)?;
        let name = name.trim();
        let is_usable = !name.is_empty()
            && name.chars().count() <= APP_PASSWORD_NAME_CHARS_MAX
            && !name.chars().any(char::is_control);
        if !is_usable {
            let max = APP_PASSWORD_NAME_CHARS_MAX;
            return Err(StoreError::TooMany { what: "characters, and at least one,", max });
        }
        let count: Option<i64> =
            self.find("SELECT count(*) FROM app_passwords WHERE account = ?1", [id.0], |row| row.get(0))?;
        if count.unwrap_or(0) as usize >= APP_PASSWORDS_MAX {
            return Err(StoreError::TooMany { what: "app passwords", max: APP_PASSWORDS_MAX });
        }
        let added = self.run(
            "INSERT OR IGNORE INTO app_passwords (account, name, hash, created_s) VALUES (?1, ?2, ?3, ?4)",
            params![id.0, name, hash.0, self.now_s()],
        )?;
        if added == 0 {
            return Err(StoreError::Exists(format!("an app password {name}")));
        }
        Ok(AppPasswordId(self.database.last_insert_rowid()))
    }

    pub fn remove_app_password(&mut self, address: &str, name: &str) -> Result<(), StoreError> {
        let id = self.account_named(address)?;
        let removed = self
            .run("DELETE FROM app_passwords WHERE account = ?1 AND name = ?2", params![id.0, name.trim()])?;
        if removed == 0 { Err(StoreError::NoSuchAppPassword) } else { Ok(()) }
    }

    /// One that has been revoked meanwhile is no error.
    pub fn note_app_password_use(&mut self, id: AppPasswordId, now_s: i64) -> Result<(), StoreError> {
        self.run("UPDATE app_passwords SET last_used_s = ?2 WHERE id = ?1", params![id.0, now_s])?;
        Ok(())
    }

    /// Nobody is left to be warned.
    pub(super) fn forget_warnings(&mut self, subject: Subject) -> Result<(), StoreError> {
        let (kind, number) = subject.key();
        self.run("DELETE FROM warnings WHERE kind = ?1 AND subject = ?2", [kind, number])?;
        Ok(())
    }
}

/// What can be wrong with a change, before anything of it is written.
pub(super) fn check_change(change: &AccountChange) -> Result<(), StoreError> {
    language(change.language.clone().flatten())?;
    let targets = change.forward_to.as_deref().unwrap_or_default();
    if targets.len() > TARGETS_MAX {
        return Err(StoreError::TooManyTargets { max: TARGETS_MAX });
    }
    targets.iter().try_for_each(|target| full_address(target).map(drop))
}

/// An address with a local part.
pub(super) fn full_address(address: &str) -> Result<String, StoreError> {
    let address = normal_address(address)?;
    if address.starts_with('@') { Err(StoreError::BadAddress(address)) } else { Ok(address) }
}

/// A name for people on one line.
pub(super) fn display_name(name: &str) -> String {
    let is_shown = |letter: &char| !letter.is_control();
    name.trim().chars().filter(is_shown).take(DISPLAY_NAME_CHARS_MAX).collect()
}

/// A language that notices are written in.
fn language(language: Option<String>) -> Result<Option<String>, StoreError> {
    match language.as_deref() {
        None | Some("en" | "zh") => Ok(language),
        Some(other) => Err(StoreError::NoSuchLanguage(other.chars().take(20).collect())),
    }
}
