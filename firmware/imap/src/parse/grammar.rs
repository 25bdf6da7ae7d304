//! One command, from its tag to its end.

use bytes::Bytes;

use super::command::{AppendMessage, Command, Flag, IdPairs, SelectParameters, StoreMode, Tagged};
use super::cursor::{Cursor, is_astring_char};
use super::{Fault, Rejected, SequenceSet};

/// Most flags in one STORE or APPEND.
const FLAGS_MAX: usize = 256;
/// Most pairs in one ID (RFC 2971 section 3.3).
const ID_PAIRS_MAX: usize = 30;
/// Most names in one ENABLE.
const ENABLE_MAX: usize = 64;

/// Reads one command in wire form: its line or lines with all literals in between, as
/// [`super::CommandReader`] cuts them.
pub fn parse(input: &Bytes) -> Result<Tagged, Rejected> {
    let line = input.strip_suffix(b"\n").unwrap_or(input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let input = input.slice(..line.len());
    let mut cursor = Cursor::new(&input);
    let tag = cursor.tag().map_err(|fault| Rejected { tag: None, fault })?;
    match cursor.command() {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(fault) => Err(Rejected { tag: Some(tag), fault }),
    }
}

/// What is known when a client announces a literal: the tag, and for an APPEND whose message is
/// announced the mailbox it goes to.
pub fn announced_append(so_far: &Bytes) -> (Option<String>, Option<String>) {
    let mut cursor = Cursor::new(so_far);
    let Ok(tag) = cursor.tag() else { return (None, None) };
    let is_append = cursor.space().is_ok() && cursor.take_word("APPEND") && cursor.space().is_ok();
    // When the name itself is the announced literal, its bytes are not there and it does not parse.
    let mailbox = if is_append { cursor.mailbox().ok() } else { None };
    (Some(tag), mailbox)
}

impl Cursor<'_> {
    fn tag(&mut self) -> Result<String, Fault> {
        let tag = self.take_while(|byte| is_astring_char(byte) && byte < 0x80 && byte != b'+');
        if tag.is_empty() {
            return Err(Fault::Syntax("a command must start with a tag"));
        }
        Ok(String::from_utf8_lossy(tag).into_owned())
    }

    fn command(&mut self) -> Result<Command, Fault> {
        self.expect(b' ', "a command is missing after the tag")?;
        let word = self.atom()?.to_ascii_uppercase();
        let command = if word == "UID" {
            self.space()?;
            let word = self.atom()?.to_ascii_uppercase();
            self.message_command(&word, true)?
        } else {
            match self.plain_command(&word)? {
                Some(command) => command,
                None => self.mailbox_command(&word)?,
            }
        };
        self.end()?;
        Ok(command)
    }

    /// Commands of every state and those that end or begin one.
    fn plain_command(&mut self, word: &str) -> Result<Option<Command>, Fault> {
        Ok(Some(match word {
            "CAPABILITY" => Command::Capability,
            "NOOP" => Command::Noop,
            "LOGOUT" => Command::Logout,
            "STARTTLS" => Command::StartTls,
            "NAMESPACE" => Command::Namespace,
            "IDLE" => Command::Idle,
            "CHECK" => Command::Check,
            "CLOSE" => Command::Close,
            "UNSELECT" => Command::Unselect,
            "EXPUNGE" => Command::Expunge { uids: None },
            "AUTHENTICATE" => self.authenticate()?,
            "LOGIN" => {
                self.space()?;
                let user = self.astring()?;
                self.space()?;
                Command::Login { user, password: self.astring()? }
            }
            "ENABLE" => self.enable()?,
            "ID" => {
                self.space()?;
                Command::Id(self.id_pairs()?)
            }
            _ => return Ok(None),
        }))
    }

    /// Commands about mailboxes; what is left are commands about messages.
    fn mailbox_command(&mut self, word: &str) -> Result<Command, Fault> {
        match word {
            "SELECT" | "EXAMINE" => {
                let mailbox = self.mailbox_argument()?;
                Ok(Command::Select {
                    mailbox,
                    read_only: word == "EXAMINE",
                    parameters: self.select_parameters()?,
                })
            }
            "CREATE" => self.mailbox_argument().map(Command::Create),
            "DELETE" => self.mailbox_argument().map(Command::Delete),
            "RENAME" => Ok(Command::Rename { from: self.mailbox_argument()?, to: self.mailbox_argument()? }),
            "SUBSCRIBE" => self.mailbox_argument().map(Command::Subscribe),
            "UNSUBSCRIBE" => self.mailbox_argument().map(Command::Unsubscribe),
            "LIST" => {
                self.space()?;
                self.list_request().map(Command::List)
            }
            "LSUB" => {
                self.space()?;
                let reference = self.list_mailbox()?;
                self.space()?;
                Ok(Command::Lsub { reference, pattern: self.list_mailbox()? })
            }
            "STATUS" => {
                let mailbox = self.mailbox_argument()?;
                self.space()?;
                Ok(Command::Status { mailbox, items: self.status_items()? })
            }
            "APPEND" => self.append(),
            "GETQUOTA" => {
                self.space()?;
                let root = self.astring()?;
                Ok(Command::GetQuota(String::from_utf8_lossy(&root).into_owned()))
            }
            "GETQUOTAROOT" => self.mailbox_argument().map(Command::GetQuotaRoot),
            _ => self.message_command(word, false),
        }
    }

    /// Commands about messages of the selected mailbox.
    fn message_command(&mut self, word: &str, uid: bool) -> Result<Command, Fault> {
        match word {
            "SEARCH" => {
                self.space()?;
                let (returns, key) = self.search()?;
                Ok(Command::Search { uid, returns, key })
            }
            "FETCH" => {
                let set = self.set_argument()?;
                self.space()?;
                let items = self.fetch_items()?;
                Ok(Command::Fetch { uid, set, items, changed_since: self.fetch_modifiers()? })
            }
            "STORE" => self.store(uid),
            "COPY" | "MOVE" => {
                let set = self.set_argument()?;
                Ok(Command::Copy { uid, remove: word == "MOVE", set, mailbox: self.mailbox_argument()? })
            }
            "EXPUNGE" if uid => Ok(Command::Expunge { uids: Some(self.set_argument()?) }),
            _ => {
                let shown: String = word.chars().take(32).collect();
                Err(Fault::Unknown(if uid { format!("UID {shown}") } else { shown }))
            }
        }
    }

    fn mailbox_argument(&mut self) -> Result<String, Fault> {
        self.space()?;
        self.mailbox()
    }

    fn set_argument(&mut self) -> Result<SequenceSet, Fault> {
        self.space()?;
        SequenceSet::parse(self)
    }

    fn authenticate(&mut self) -> Result<Command, Fault> {
        self.space()?;
        let mechanism = self.atom()?.to_ascii_uppercase();
        let initial = if self.is_at_end() {
            None
        } else {
            self.space()?;
            let base64 =
                self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
            if base64.is_empty() {
                return Err(Fault::Syntax("the initial response is not base64"));
            }
            Some(String::from_utf8_lossy(base64).into_owned())
        };
        Ok(Command::Authenticate { mechanism, initial })
    }

    fn enable(&mut self) -> Result<Command, Fault> {
        let mut names = Vec::new();
        loop {
            self.space()?;
            if names.len() == ENABLE_MAX {
                return Err(Fault::Syntax("too many extensions to enable"));
            }
            names.push(self.atom()?.to_ascii_uppercase());
            if self.is_at_end() {
                return Ok(Command::Enable(names));
            }
        }
    }

    fn id_pairs(&mut self) -> Result<Option<IdPairs>, Fault> {
        if self.take_word("NIL") {
            return Ok(None);
        }
        let mut pairs = Vec::new();
        self.expect(b'(', "ID takes a list or NIL")?;
        if self.take(b')') {
            return Ok(Some(pairs));
        }
        loop {
            if pairs.len() == ID_PAIRS_MAX {
                return Err(Fault::Syntax("too many fields in ID"));
            }
            let name = self.string()?;
            self.space()?;
            pairs.push((name, self.nstring()?));
            if self.take(b')') {
                return Ok(Some(pairs));
            }
            self.expect(b' ', "the list of ID is not closed")?;
        }
    }

    fn select_parameters(&mut self) -> Result<SelectParameters, Fault> {
        let mut parameters = SelectParameters::default();
        if self.is_at_end() {
            return Ok(parameters);
        }
        self.space()?;
        self.options(|cursor| match cursor.atom()?.to_ascii_uppercase().as_str() {
            "CONDSTORE" => {
                parameters.condstore = true;
                Ok(())
            }
            _ => Err(Fault::Syntax("no such parameter of SELECT")),
        })?;
        Ok(parameters)
    }

    fn append(&mut self) -> Result<Command, Fault> {
        let mailbox = self.mailbox_argument()?;
        self.space()?;
        let mut flags = Vec::new();
        if self.peek() == Some(b'(') {
            flags = self.flag_list()?;
            self.space()?;
        }
        let mut date = None;
        if self.peek() == Some(b'"') {
            date = Some(self.date_time()?);
            self.space()?;
        }
        let message = self.literal()?;
        Ok(Command::Append { mailbox, message: AppendMessage { flags, date, message } })
    }

    fn fetch_modifiers(&mut self) -> Result<Option<u64>, Fault> {
        let mut changed_since = None;
        if self.is_at_end() {
            return Ok(None);
        }
        self.space()?;
        self.options(|cursor| {
            if !cursor.take_word("CHANGEDSINCE") {
                return Err(Fault::Syntax("no such modifier of FETCH"));
            }
            cursor.space()?;
            changed_since = Some(cursor.number()?);
            Ok(())
        })?;
        Ok(changed_since)
    }

    fn store(&mut self, uid: bool) -> Result<Command, Fault> {
        let set = self.set_argument()?;
        self.space()?;
        let mut unchanged_since = None;
        if self.peek() == Some(b'(') {
            self.options(|cursor| {
                if !cursor.take_word("UNCHANGEDSINCE") {
                    return Err(Fault::Syntax("no such modifier of STORE"));
                }
                cursor.space()?;
                unchanged_since = Some(cursor.number()?);
                Ok(())
            })?;
            self.space()?;
        }
        let mode = if self.take(b'+') {
            StoreMode::Add
        } else if self.take(b'-') {
            StoreMode::Remove
        } else {
            StoreMode::Replace
        };
        let silent = match self.atom()?.to_ascii_uppercase().as_str() {
            "FLAGS" => false,
            "FLAGS.SILENT" => true,
            _ => return Err(Fault::Syntax("STORE changes FLAGS or FLAGS.SILENT only")),
        };
        self.space()?;
        let flags = if self.peek() == Some(b'(') { self.flag_list()? } else { self.bare_flags()? };
        Ok(Command::Store { uid, set, unchanged_since, mode, silent, flags })
    }

    fn flag_list(&mut self) -> Result<Vec<Flag>, Fault> {
        self.expect(b'(', "a list of flags is missing")?;
        if self.take(b')') {
            return Ok(Vec::new());
        }
        let flags = self.bare_flags()?;
        self.expect(b')', "the list of flags is not closed")?;
        Ok(flags)
    }

    fn bare_flags(&mut self) -> Result<Vec<Flag>, Fault> {
        let mut flags = vec![self.flag()?];
        while self.peek() == Some(b' ') && !self.is_at_end() {
            self.space()?;
            if flags.len() == FLAGS_MAX {
                return Err(Fault::Syntax("too many flags"));
            }
            flags.push(self.flag()?);
        }
        Ok(flags)
    }

    fn flag(&mut self) -> Result<Flag, Fault> {
        if !self.take(b'\\') {
            return self.atom().map(|keyword| Flag::Keyword(keyword.to_owned()));
        }
        match self.atom()?.to_ascii_uppercase().as_str() {
            "ANSWERED" => Ok(Flag::Answered),
            "FLAGGED" => Ok(Flag::Flagged),
            "DELETED" => Ok(Flag::Deleted),
            "SEEN" => Ok(Flag::Seen),
            "DRAFT" => Ok(Flag::Draft),
            "RECENT" => Ok(Flag::Recent),
            _ => Err(Fault::Syntax("no such system flag")),
        }
    }
}
