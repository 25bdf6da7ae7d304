//! Access control lists (RFC 4314) and annotations (RFC 5464).

use bytes::Bytes;
use store::AclChange;

use super::Fault;
use super::command::Command;
use super::cursor::Cursor;

/// Most entries in one GETMETADATA or SETMETADATA.
const ENTRIES_MAX: usize = 128;

/// How far below a named entry GETMETADATA looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MetadataDepth {
    /// `0`: the entry itself.
    #[default]
    Zero,
    /// `1`: also those right below.
    One,
    /// `infinity`
    Infinity,
}

/// A command about an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclCommand {
    /// SETACL
    Set {
        /// Whose entry.
        identifier: String,
        /// How.
        change: AclChange,
        /// Letters, not yet checked.
        rights: String,
    },
    /// DELETEACL
    Delete(String),
    /// GETACL
    Get,
    /// LISTRIGHTS
    ListRights(String),
    /// MYRIGHTS
    MyRights,
}

/// A command about annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataCommand {
    /// GETMETADATA
    Get {
        /// Values longer than this are left out.
        max_bytes: Option<u64>,
        /// How far below the entries.
        depth: MetadataDepth,
        /// Names.
        entries: Vec<String>,
    },
    /// SETMETADATA: names with their values, NIL removes.
    Set(Vec<(String, Option<Bytes>)>),
}

/// Options of GETMETADATA.
#[derive(Default)]
struct GetOptions {
    max_bytes: Option<u64>,
    depth: MetadataDepth,
}

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn access_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if uid {
            return Ok(None);
        }
        Ok(Some(match word {
            "GETMETADATA" => self.get_metadata()?,
            "SETMETADATA" => {
                let mailbox = self.mailbox_argument()?;
                self.space()?;
                Command::Metadata { mailbox, command: MetadataCommand::Set(self.entry_values()?) }
            }
            "SETACL" | "DELETEACL" | "GETACL" | "LISTRIGHTS" | "MYRIGHTS" => {
                let mailbox = self.mailbox_argument()?;
                Command::Acl { mailbox, command: self.acl_command(word)? }
            }
            _ => return Ok(None),
        }))
    }

    fn acl_command(&mut self, word: &str) -> Result<AclCommand, Fault> {
        Ok(match word {
            "GETACL" => AclCommand::Get,
            "MYRIGHTS" => AclCommand::MyRights,
            "DELETEACL" => AclCommand::Delete(self.text_argument()?),
            "LISTRIGHTS" => AclCommand::ListRights(self.text_argument()?),
            _ => {
                let identifier = self.text_argument()?;
                let rights = self.text_argument()?;
                let (change, letters) = match rights.split_at_checked(1) {
                    Some(("+", letters)) => (AclChange::Add, letters),
                    Some(("-", letters)) => (AclChange::Remove, letters),
                    _ => (AclChange::Replace, rights.as_str()),
                };
                AclCommand::Set { identifier, change, rights: letters.to_owned() }
            }
        })
    }

    fn text_argument(&mut self) -> Result<String, Fault> {
        self.space()?;
        let text = self.astring()?;
        std::str::from_utf8(&text).map(str::to_owned).map_err(|_| Fault::Syntax("an argument is not UTF-8"))
    }

    fn get_metadata(&mut self) -> Result<Command, Fault> {
        self.space()?;
        let mut options = GetOptions::default();
        if self.peek() == Some(b'(') {
            self.get_options(&mut options)?;
            self.space()?;
        }
        let mailbox = self.mailbox()?;
        self.space()?;
        // The grammar has the options before the mailbox, the examples of RFC 5464 behind it.
        if self.peek() == Some(b'(') && !self.rest().starts_with(b"(/") && !self.rest().starts_with(b"(\"") {
            self.get_options(&mut options)?;
            self.space()?;
        }
        let entries = self.entry_names()?;
        let GetOptions { max_bytes, depth } = options;
        Ok(Command::Metadata { mailbox, command: MetadataCommand::Get { max_bytes, depth, entries } })
    }

    fn get_options(&mut self, options: &mut GetOptions) -> Result<(), Fault> {
        self.options(|cursor| {
            match cursor.atom()?.to_ascii_uppercase().as_str() {
                "MAXSIZE" => {
                    cursor.space()?;
                    options.max_bytes = Some(cursor.number()?);
                }
                "DEPTH" => {
                    cursor.space()?;
                    options.depth = match cursor.atom()?.to_ascii_uppercase().as_str() {
                        "0" => MetadataDepth::Zero,
                        "1" => MetadataDepth::One,
                        "INFINITY" => MetadataDepth::Infinity,
                        _ => return Err(Fault::Syntax("DEPTH is 0, 1 or infinity")),
                    };
                }
                _ => return Err(Fault::Syntax("no such option of GETMETADATA")),
            }
            Ok(())
        })
    }

    /// One entry name, or several in parentheses.
    pub(super) fn entry_names(&mut self) -> Result<Vec<String>, Fault> {
        if self.peek() != Some(b'(') {
            return Ok(vec![self.asked_name()?]);
        }
        let mut names = Vec::new();
        self.options(|cursor| {
            names.push(cursor.asked_name()?);
            Ok(())
        })?;
        if names.is_empty() { Err(Fault::Syntax("no annotation is named")) } else { Ok(names) }
    }

    /// The name of an entry to read: the roots above all entries, too, which DEPTH makes sense of.
    fn asked_name(&mut self) -> Result<String, Fault> {
        let name = self.astring()?;
        let root =
            ["/private", "/shared"].into_iter().find(|root| name.eq_ignore_ascii_case(root.as_bytes()));
        root.map_or_else(|| entry_name(&name), |root| Ok(root.to_owned()))
    }

    fn entry_values(&mut self) -> Result<Vec<(String, Option<Bytes>)>, Fault> {
        self.expect(b'(', "a list of annotations is missing")?;
        let mut values = Vec::new();
        loop {
            if values.len() == ENTRIES_MAX {
                return Err(Fault::Syntax("too many annotations"));
            }
            let name = entry_name(&self.astring()?)?;
            self.space()?;
            // A value with NUL in it comes as literal8 (RFC 3516).
            let value = if self.take(b'~') { Some(self.literal()?) } else { self.nstring()? };
            values.push((name, value));
            if self.take(b')') {
                return Ok(values);
            }
            self.expect(b' ', "the list of annotations is not closed")?;
        }
    }
}

/// The name of an entry as it is kept.
fn entry_name(name: &[u8]) -> Result<String, Fault> {
    let bad = Fault::Syntax("the name of an annotation begins with /private/ or /shared/");
    std::str::from_utf8(name).ok().and_then(store::metadata_name).ok_or(bad)
}
