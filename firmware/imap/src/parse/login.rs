//! Commands of every state, and those that begin or end one.

use super::Fault;
use super::command::{Command, IdPairs};
use super::cursor::Cursor;

/// Most pairs in one ID (RFC 2971 section 3.3).
const ID_PAIRS_MAX: usize = 30;
/// Most names in one ENABLE.
const ENABLE_MAX: usize = 64;

impl Cursor<'_> {
    /// The family of this module; `None` for another word.
    pub(super) fn session_command(&mut self, word: &str, uid: bool) -> Result<Option<Command>, Fault> {
        if uid {
            return Ok(None);
        }
        Ok(Some(match word {
            "CAPABILITY" => Command::Capability,
            "NOOP" => Command::Noop,
            "LOGOUT" => Command::Logout,
            "STARTTLS" => Command::StartTls,
            "IDLE" => Command::Idle,
            "AUTHENTICATE" => self.authenticate()?,
            "LOGIN" => {
                self.space()?;
                let user = self.astring()?;
                self.space()?;
                Command::Login { user, password: self.astring()? }
            }
            "COMPRESS" => {
                self.space()?;
                Command::Compress(self.atom()?.to_ascii_uppercase())
            }
            "UNAUTHENTICATE" => Command::Unauthenticate,
            "ENABLE" => self.enable()?,
            "ID" => {
                self.space()?;
                Command::Id(self.id_pairs()?)
            }
            _ => return Ok(None),
        }))
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
}
