//! GETMETADATA and SETMETADATA (RFC 5464), and annotations in the answers to LIST (RFC 9590).

use bytes::Bytes;
use store::{AccountId, Mailbox, MailboxId, MetadataEntry, Rights, SpecialUse, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use message::write_string;

use super::Session;
use super::reply::{Reply, write_mailbox};
use crate::parse::{MetadataCommand, MetadataDepth};

/// The special use of a mailbox as an annotation (RFC 6154 section 4).
const SPECIAL_USE: &str = "/private/specialuse";

/// Whether an entry is one of those asked for.
fn is_asked(name: &str, asked: &str, depth: MetadataDepth) -> bool {
    let Some(rest) = name.strip_prefix(asked) else { return false };
    match depth {
        MetadataDepth::Zero => rest.is_empty(),
        MetadataDepth::One => {
            rest.is_empty() || rest.strip_prefix('/').is_some_and(|below| !below.contains('/'))
        }
        MetadataDepth::Infinity => rest.is_empty() || rest.starts_with('/'),
    }
}

/// Writes a value; one with NUL in it needs a literal8.
fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    if value.contains(&0) {
        out.push(b'~');
        out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
        out.extend_from_slice(value);
    } else {
        write_string(out, value);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn metadata(
        &mut self,
        account: AccountId,
        name: &str,
        command: MetadataCommand,
    ) -> Result<Reply, StoreError> {
        match command {
            MetadataCommand::Get { max_bytes, depth, entries } => {
                let mailbox = self.metadata_of(account, name, Rights::READ)?;
                self.get_metadata(account, mailbox.as_ref(), max_bytes, depth, &entries)
            }
            MetadataCommand::Set(values) => {
                let shared = values.iter().any(|(name, _)| name.starts_with("/shared/"));
                if name.is_empty() && shared {
                    return Ok(Reply::no("[NOPERM] only the administrator annotates the server"));
                }
                let needed = if shared { Rights::READ.union(Rights::WRITE) } else { Rights::READ };
                let mailbox = self.metadata_of(account, name, needed)?;
                self.set_metadata(account, mailbox.as_ref(), values).await
            }
        }
    }

    /// The mailbox; none for the empty name, which is the server.
    fn metadata_of(
        &self,
        account: AccountId,
        name: &str,
        needed: Rights,
    ) -> Result<Option<Mailbox>, StoreError> {
        if name.is_empty() {
            return Ok(None);
        }
        self.find_with(account, name, needed.union(Rights::LOOKUP)).map(|(mailbox, _)| Some(mailbox))
    }

    /// All entries a user sees, by name.
    fn seen_metadata(
        &self,
        account: AccountId,
        mailbox: Option<&Mailbox>,
    ) -> Result<Vec<MetadataEntry>, StoreError> {
        let mut entries = self.context.store.metadata(mailbox.map(|mailbox| mailbox.id), account)?;
        let special_use = mailbox.filter(|mailbox| mailbox.account == account);
        if let Some(used) = special_use.and_then(|mailbox| mailbox.special_use) {
            entries.retain(|entry| entry.name != SPECIAL_USE);
            entries.push(MetadataEntry {
                name: SPECIAL_USE.to_owned(),
                value: used.attribute().as_bytes().to_vec(),
            });
            entries.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(entries)
    }

    fn get_metadata(
        &mut self,
        account: AccountId,
        mailbox: Option<&Mailbox>,
        max_bytes: Option<u64>,
        depth: MetadataDepth,
        asked: &[String],
    ) -> Result<Reply, StoreError> {
        let entries = self.seen_metadata(account, mailbox)?;
        let mut longest = 0;
        let mut told: Vec<(&str, Option<&[u8]>)> = Vec::new();
        for name in asked {
            let mut found = false;
            for entry in entries.iter().filter(|entry| is_asked(&entry.name, name, depth)) {
                found = true;
                let bytes = entry.value.len() as u64;
                if max_bytes.is_some_and(|most| bytes > most) {
                    longest = longest.max(bytes);
                } else if !told.iter().any(|(told, _)| *told == entry.name) {
                    told.push((&entry.name, Some(&entry.value)));
                }
            }
            if !found && depth == MetadataDepth::Zero {
                told.push((name, None));
            }
        }
        self.write_metadata(mailbox.map_or("", |mailbox| &mailbox.name), &told);
        Ok(if longest > 0 {
            Reply::ok(format!("[METADATA LONGENTRIES {longest}] longer values are left out"))
        } else {
            Reply::ok("that is all")
        })
    }

    fn write_metadata(&mut self, name: &str, entries: &[(&str, Option<&[u8]>)]) {
        if entries.is_empty() {
            return;
        }
        let out = &mut self.connection.out;
        out.extend_from_slice(b"* METADATA ");
        write_mailbox(out, name, self.enabled.utf8());
        out.extend_from_slice(b" (");
        for (at, (name, value)) in entries.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b' ');
            match value {
                Some(value) => write_value(out, value),
                None => out.extend_from_slice(b"NIL"),
            }
        }
        out.extend_from_slice(b")\r\n");
    }

    /// The METADATA response for one line of LIST.
    pub(super) fn list_metadata(
        &mut self,
        account: AccountId,
        mailbox: &Mailbox,
        asked: &[String],
    ) -> Result<(), StoreError> {
        let entries = self.seen_metadata(account, Some(mailbox))?;
        let value = |name: &String| {
            entries.iter().find(|entry| entry.name == *name).map(|entry| entry.value.as_slice())
        };
        let told: Vec<(&str, Option<&[u8]>)> =
            asked.iter().map(|name| (name.as_str(), value(name))).collect();
        self.write_metadata(&mailbox.name, &told);
        Ok(())
    }

    async fn set_metadata(
        &mut self,
        account: AccountId,
        mailbox: Option<&Mailbox>,
        values: Vec<(String, Option<Bytes>)>,
    ) -> Result<Reply, StoreError> {
        let store = self.context.store.clone();
        let mut entries = Vec::with_capacity(values.len());
        let mut special_use: Option<(MailboxId, Option<SpecialUse>)> = None;
        for (name, value) in values {
            match mailbox.filter(|_| name == SPECIAL_USE) {
                Some(mailbox) if mailbox.account != account => return Err(StoreError::Forbidden),
                Some(mailbox) => {
                    let attribute = value.as_deref().map(String::from_utf8_lossy);
                    let used = attribute.map(|attribute| {
                        SpecialUse::from_attribute(attribute.trim())
                            .ok_or(StoreError::BadSpecialUse("asked for"))
                    });
                    special_use = Some((mailbox.id, used.transpose()?));
                }
                None => entries.push((name, value.map(|value| value.to_vec()))),
            }
        }
        if let Some((mailbox, used)) = special_use {
            store.set_special_use(mailbox, used).await?;
        }
        if !entries.is_empty() {
            store.set_metadata(mailbox.map(|mailbox| mailbox.id), account, entries).await?;
        }
        Ok(Reply::ok("annotated"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth() {
        use MetadataDepth::{Infinity, One, Zero};
        for (name, depth, expected) in [
            ("/private/a", Zero, true),
            ("/private/a/b", Zero, false),
            ("/private/a/b", One, true),
            ("/private/a/b/c", One, false),
            ("/private/a/b/c", Infinity, true),
            ("/private/ab", Infinity, false),
        ] {
            assert_eq!(is_asked(name, "/private/a", depth), expected, "{name} {depth:?}");
        }
    }
}
