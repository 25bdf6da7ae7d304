//! Groups: changes.

use rusqlite::params;

use super::Ledger;
use super::directory_settings::{display_name, full_address};
use crate::directory::normal_address;
use crate::group::MEMBERS_MAX;
use crate::{DomainId, GroupChange, StoreError};

impl Ledger {
    pub fn add_group(&mut self, address: &str, change: &GroupChange) -> Result<(), StoreError> {
        let address = full_address(address)?;
        let domain = self.domain_of(&address)?;
        self.check_free(&address)?;
        self.run(
            "INSERT INTO groups (domain, address, name, who) VALUES (?1, ?2, '', 0)",
            params![domain.0, address],
        )?;
        self.set_group(&address, change)
    }

    pub fn set_group(&mut self, address: &str, change: &GroupChange) -> Result<(), StoreError> {
        let address = normal_address(address)?;
        let id = self.group_number(&address)?.ok_or(StoreError::NoSuchGroup)?;
        if let Some(name) = &change.name {
            self.run("UPDATE groups SET name = ?2 WHERE id = ?1", params![id, display_name(name)])?;
        }
        if let Some(who) = change.who {
            self.run("UPDATE groups SET who = ?2 WHERE id = ?1", params![id, who as i64])?;
        }
        for member in &change.remove_members {
            let member = normal_address(member)?;
            let sql = "DELETE FROM group_members WHERE group_id = ?1 AND member = ?2";
            if self.run(sql, params![id, member])? == 0 {
                return Err(StoreError::NoSuchGroup);
            }
        }
        for sender in &change.remove_senders {
            let sender = normal_address(sender)?;
            let sql = "DELETE FROM group_senders WHERE group_id = ?1 AND sender = ?2";
            if self.run(sql, params![id, sender])? == 0 {
                return Err(StoreError::NoSuchGroup);
            }
        }
        for member in &change.add_members {
            let member = full_address(member)?;
            if member == address {
                return Err(StoreError::BadAddress(member));
            }
            self.run(
                "INSERT OR IGNORE INTO group_members (group_id, member) VALUES (?1, ?2)",
                params![id, member],
            )?;
        }
        for sender in &change.add_senders {
            let sender = normal_address(sender)?;
            self.run(
                "INSERT OR IGNORE INTO group_senders (group_id, sender) VALUES (?1, ?2)",
                params![id, sender],
            )?;
        }
        self.check_count("SELECT count(*) FROM group_members WHERE group_id = ?1", id, "members")?;
        self.check_count("SELECT count(*) FROM group_senders WHERE group_id = ?1", id, "senders")
    }

    pub fn remove_group(&mut self, address: &str) -> Result<(), StoreError> {
        let id = self.group_number(&normal_address(address)?)?.ok_or(StoreError::NoSuchGroup)?;
        self.run("DELETE FROM group_members WHERE group_id = ?1", [id])?;
        self.run("DELETE FROM group_senders WHERE group_id = ?1", [id])?;
        self.run("DELETE FROM groups WHERE id = ?1", [id])?;
        Ok(())
    }

    pub(super) fn remove_groups_of(&mut self, domain: DomainId) -> Result<(), StoreError> {
        let of_domain = "IN (SELECT id FROM groups WHERE domain = ?1)";
        self.run(&format!("DELETE FROM group_members WHERE group_id {of_domain}"), [domain.0])?;
        self.run(&format!("DELETE FROM group_senders WHERE group_id {of_domain}"), [domain.0])?;
        self.run("DELETE FROM groups WHERE domain = ?1", [domain.0])?;
        Ok(())
    }

    pub(super) fn group_number(&self, address: &str) -> Result<Option<i64>, StoreError> {
        self.find("SELECT id FROM groups WHERE address = ?1", [address], |row| row.get(0))
    }

    fn check_count(&self, sql: &str, id: i64, what: &'static str) -> Result<(), StoreError> {
        let count: Option<i64> = self.find(sql, [id], |row| row.get(0))?;
        let too_many = count.unwrap_or(0) as usize > MEMBERS_MAX;
        if too_many { Err(StoreError::TooMany { what, max: MEMBERS_MAX }) } else { Ok(()) }
    }
}
