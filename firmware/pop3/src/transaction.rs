//! The TRANSACTION state: reading and deleting (RFC 1939 5, 7).

use bytes::Bytes;

use crate::command::Command;
use crate::language::Text;
use crate::maildrop::{Listing, Sending, needs_utf8, top_bytes};
use crate::session::{Asked, Code, Question, Session, Step};
use crate::surrogate;

impl Session {
    pub(crate) fn transaction(&mut self, command: Command) -> Option<Step> {
        let Some(open) = &mut self.open else { return None };
        match command {
            Command::Stat => {
                let (count, bytes) = open.left();
                self.output.extend_from_slice(format!("+OK {count} {bytes}\r\n").as_bytes());
            }
            Command::List(None) => self.list(Listing::Sizes),
            Command::Uidl(None) => self.list(Listing::UniqueIds),
            Command::List(Some(number)) => self.list_one(number, Listing::Sizes),
            Command::Uidl(Some(number)) => self.list_one(number, Listing::UniqueIds),
            Command::Retr(number) => return self.read(number, None),
            Command::Top { number, lines } => return self.read(number, Some(lines)),
            Command::Dele(number) if open.delete(number) => self.ok(Text::Deleted),
            Command::Dele(_) => self.err(Code::None, Text::NoMessage),
            Command::Noop => self.ok(Text::Here),
            Command::Rset => {
                open.undelete();
                self.ok(Text::NothingDeleted);
            }
            Command::Quit => {
                let uids = open.deleted();
                if !uids.is_empty() {
                    return Some(self.ask(Asked::Remove, Question::Remove { uids }));
                }
                self.bye();
            }
            Command::Utf8 => self.fault(Code::None, Text::Utf8NotNow),
            _ => self.fault(Code::None, Text::AlreadyIn),
        }
        None
    }

    fn list(&mut self, what: Listing) {
        self.output.extend_from_slice(b"+OK\r\n");
        self.sending = Some(Sending::List { what, from: 0 });
    }

    fn list_one(&mut self, number: usize, what: Listing) {
        let found = self.open.as_ref().and_then(|open| Some(open.show(open.message(number)?, what)));
        match found {
            Some(shown) => self.output.extend_from_slice(format!("+OK {number} {shown}\r\n").as_bytes()),
            None => self.err(Code::None, Text::NoMessage),
        }
    }

    fn read(&mut self, number: usize, lines: Option<usize>) -> Option<Step> {
        let Some(message) = self.open.as_ref().and_then(|open| open.message(number)) else {
            self.err(Code::None, Text::NoMessage);
            return None;
        };
        Some(self.ask(Asked::Text { lines }, Question::Text { uid: message.uid }))
    }

    pub(crate) fn send_text(&mut self, text: Bytes, lines: Option<usize>) {
        let text = if !self.utf8 && needs_utf8(&text) { surrogate::in_ascii(&text).into() } else { text };
        let octets = Text::Octets.say(self.language);
        self.output.extend_from_slice(format!("+OK {} {octets}\r\n", text.len()).as_bytes());
        let end = lines.map_or(text.len(), |lines| top_bytes(&text, lines));
        self.sending = Some(Sending::text(text.slice(..end)));
    }
}
