//! Flags and lists of them.

use super::Fault;
use super::command::Flag;
use super::cursor::Cursor;

/// Most flags in one STORE or APPEND.
const FLAGS_MAX: usize = 256;

impl Cursor<'_> {
    pub(super) fn flag_list(&mut self) -> Result<Vec<Flag>, Fault> {
        self.expect(b'(', "a list of flags is missing")?;
        if self.take(b')') {
            return Ok(Vec::new());
        }
        let flags = self.bare_flags()?;
        self.expect(b')', "the list of flags is not closed")?;
        Ok(flags)
    }

    pub(super) fn bare_flags(&mut self) -> Result<Vec<Flag>, Fault> {
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
