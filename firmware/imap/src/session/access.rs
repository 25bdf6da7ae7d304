//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314).

use message::write_string;
use store::{AccountId, AclChange, Mailbox, Rights, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::reply::{Reply, write_mailbox};
use crate::parse::AclCommand;

/// A user may be named by the local part, or with the domain; `-` in front makes the entry negative.
fn identifier(given: &str, owner: &str) -> (String, bool) {
    let (negative, name) = match given.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, given),
    };
    let name = name.to_lowercase();
    if name == store::ANYONE || name.contains('@') {
        return (name, negative);
    }
    let domain = owner.rsplit_once('@').map_or("", |(_, domain)| domain);
    (format!("{name}@{domain}"), negative)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn acl(
        &mut self,
        account: AccountId,
        name: &str,
        command: AclCommand,
    ) -> Result<Reply, StoreError> {
        if command == AclCommand::MyRights {
            let (mailbox, rights) = self.look_up(account, name)?;
            if rights.is_empty() {
                return Err(StoreError::NoSuchMailbox);
            }
            self.write_my_rights(&mailbox, rights);
            return Ok(Reply::ok("these are your rights"));
        }
        let (mailbox, _) = self.find_with(account, name, Rights::ADMIN)?;
        let store = self.context.store.clone();
        let owner = store.account(mailbox.account)?.ok_or(StoreError::NoSuchAccount)?.address;
        match command {
            AclCommand::Set { identifier: given, change, rights } => {
                let Some(rights) = Rights::parse(&rights) else {
                    return Ok(Reply::bad("a right is not one of lrswipkxteacd"));
                };
                let (who, negative) = identifier(&given, &owner);
                store.set_acl(mailbox.id, &who, negative, change, rights).await?;
                Ok(Reply::ok("the list is changed"))
            }
            AclCommand::Delete(given) => {
                let (who, negative) = identifier(&given, &owner);
                let (change, rights) = (AclChange::Replace, Rights::default());
                // Without an entry the owner has everything again.
                let is_owner = who == owner && !negative;
                let rights = if is_owner { Rights::ALL } else { rights };
                store.set_acl(mailbox.id, &who, negative, change, rights).await?;
                Ok(Reply::ok("the entry is removed"))
            }
            AclCommand::Get => {
                self.write_acl(&mailbox, &owner)?;
                Ok(Reply::ok("that is the list"))
            }
            AclCommand::ListRights(given) => {
                let (who, _) = identifier(&given, &owner);
                self.write_list_rights(&mailbox, &given, who == owner);
                Ok(Reply::ok("these rights can be given"))
            }
            AclCommand::MyRights => Ok(Reply::bad("this was answered before")),
        }
    }

    /// `* MYRIGHTS`
    pub(super) fn write_my_rights(&mut self, mailbox: &Mailbox, rights: Rights) {
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* MYRIGHTS ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        out.extend_from_slice(format!(" {rights}\r\n").as_bytes());
    }

    fn write_acl(&mut self, mailbox: &Mailbox, owner: &str) -> Result<(), StoreError> {
        let entries = self.context.store.acl(mailbox.id)?;
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* ACL ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        let mut put = |identifier: &str, rights: Rights| {
            out.push(b' ');
            write_string(out, identifier.as_bytes());
            out.push(b' ');
            write_string(out, rights.to_string().as_bytes());
        };
        if !entries.iter().any(|entry| entry.identifier == owner && !entry.negative) {
            put(owner, Rights::ALL);
        }
        for entry in &entries {
            if entry.negative {
                put(&format!("-{}", entry.identifier), entry.rights);
            } else if entry.identifier == owner {
                put(owner, entry.rights.union(Rights::OWNER_ALWAYS));
            } else {
                put(&entry.identifier, entry.rights);
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// What is always there, then what can be given one by one. `c` and `d` are there with what they stand
    /// for (RFC 4314 section 2.1.1).
    fn write_list_rights(&mut self, mailbox: &Mailbox, given: &str, is_owner: bool) {
        let required = if is_owner { Rights::OWNER_ALWAYS } else { Rights::default() };
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* LISTRIGHTS ");
        write_mailbox(out, &mailbox.name, self.enabled.utf8());
        out.push(b' ');
        write_string(out, given.as_bytes());
        out.push(b' ');
        write_string(out, required.to_string().as_bytes());
        for right in Rights::ALL.without(required).each() {
            let letters = right.to_string();
            out.push(b' ');
            out.extend_from_slice(letters.get(..1).unwrap_or_default().as_bytes());
        }
        out.extend_from_slice(if is_owner { b" d\r\n" } else { b" c d\r\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        assert_eq!(identifier("Bob", "alice@x.test"), ("bob@x.test".to_owned(), false));
        assert_eq!(identifier("-anyone", "alice@x.test"), ("anyone".to_owned(), true));
        assert_eq!(identifier("bob@y.test", "alice@x.test"), ("bob@y.test".to_owned(), false));
    }
}
