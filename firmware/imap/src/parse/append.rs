//! APPEND with its extensions (RFC 3502, RFC 4469, RFC 6855), and REPLACE (RFC 8508).

use bytes::Bytes;

use super::Fault;
use super::command::{AppendContent, AppendMessage, AppendPiece, Command};
use super::cursor::{Cursor, Dialect};

/// Most messages in one APPEND, and most pieces of one message.
const MESSAGES_MAX: usize = 4096;

/// What is known when a client announces a literal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// The command's tag.
    pub tag: Option<String>,
    /// For an APPEND or REPLACE whose message is announced: the mailbox it goes to.
    pub mailbox: Option<String>,
}

/// Reads what a command tells before its literal comes.
pub fn announced(so_far: &Bytes, dialect: Dialect) -> Announced {
    let mut cursor = Cursor::new(so_far, dialect);
    let Ok(tag) = cursor.tag() else { return Announced::default() };
    // When the name itself is the announced literal, its bytes are not there and it does not parse.
    let mailbox = cursor.announced_mailbox().ok();
    Announced { tag: Some(tag), mailbox }
}

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn append_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        match word {
            "APPEND" if !uid => self.append().map(Some),
            "REPLACE" => self.replace(uid).map(Some),
            _ => Ok(None),
        }
    }

    fn announced_mailbox(&mut self) -> Result<String, Fault> {
        const OTHER: Fault = Fault::Syntax("this is another command");
        self.space()?;
        if self.take_word("UID") {
            self.space()?;
        }
        if self.take_word("REPLACE") {
            self.set_argument()?;
        } else if !self.take_word("APPEND") {
            return Err(OTHER);
        }
        self.mailbox_argument()
    }

    fn append(&mut self) -> Result<Command, Fault> {
        let mailbox = self.mailbox_argument()?;
        let mut messages = Vec::new();
        loop {
            messages.push(self.append_message()?);
            if self.is_at_end() {
                return Ok(Command::Append { mailbox, messages });
            }
            if messages.len() == MESSAGES_MAX {
                return Err(Fault::Syntax("too many messages in one APPEND"));
            }
        }
    }

    fn replace(&mut self, uid: bool) -> Result<Command, Fault> {
        if self.dialect.uid_only && !uid {
            return Err(Fault::UidRequired);
        }
        let set = self.set_argument()?;
        let is_one = matches!(set.ranges.as_slice(), [only] if only.from == only.to);
        if !is_one {
            return Err(Fault::Syntax("REPLACE takes one message"));
        }
        let mailbox = self.mailbox_argument()?;
        Ok(Command::Replace { uid, set, mailbox, message: self.append_message()? })
    }

    fn append_message(&mut self) -> Result<AppendMessage, Fault> {
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
        Ok(AppendMessage { flags, date, content: self.append_content()? })
    }

    fn append_content(&mut self) -> Result<AppendContent, Fault> {
        if self.take_word("UTF8") {
            self.space()?;
            self.expect(b'(', "UTF8 takes a literal in parentheses")?;
            let message = self.literal8()?;
            self.expect(b')', "the list of UTF8 is not closed")?;
            return Ok(AppendContent::Whole(message));
        }
        if !self.take_word("CATENATE") {
            return self.literal8().map(AppendContent::Whole);
        }
        self.space()?;
        self.expect(b'(', "CATENATE takes a list")?;
        let mut pieces = Vec::new();
        loop {
            if pieces.len() == MESSAGES_MAX {
                return Err(Fault::Syntax("too many pieces in one CATENATE"));
            }
            if self.take_word("TEXT") {
                self.space()?;
                pieces.push(AppendPiece::Text(self.literal8()?));
            } else if self.take_word("URL") {
                self.space()?;
                pieces.push(AppendPiece::Url(self.astring()?));
            } else {
                return Err(Fault::Syntax("TEXT or URL is expected in CATENATE"));
            }
            if self.take(b')') {
                return Ok(AppendContent::Pieces(pieces));
            }
            self.expect(b' ', "the list of CATENATE is not closed")?;
        }
    }

    /// `literal` or `literal8` (RFC 3516 section 4.4).
    fn literal8(&mut self) -> Result<Bytes, Fault> {
        self.take(b'~');
        self.literal()
    }
}
