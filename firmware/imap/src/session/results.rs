//! How the result of SEARCH, SORT and ESEARCH is written: plain, or as ESEARCH (RFC 4731, RFC 9394).

use std::io::Write;

use message::write_string;

use super::reply::{sequence_set, write_mailbox};
use crate::parse::SearchReturn;
use crate::search::Numbered;

/// A result about to be written.
pub(super) struct Results<'a> {
    pub tag: &'a str,
    /// In UIDs.
    pub uid: bool,
    /// Tell the highest modification sequence of what is named (RFC 7162 section 3.1.10).
    pub modseq: bool,
    /// The messages in the order of the answer.
    pub found: &'a [Numbered],
    /// Where they are, for a search over several mailboxes (RFC 7377): name, UIDVALIDITY, whether names
    /// are UTF-8.
    pub mailbox: Option<(&'a str, u32, bool)>,
}

impl Results<'_> {
    fn number(&self, message: &Numbered) -> u32 {
        if self.uid { message.entry.uid } else { message.number }
    }

    /// `* SEARCH` or `* SORT` with all numbers.
    pub fn write_plain(&self, word: &str, out: &mut Vec<u8>) {
        let _ = write!(out, "* {word}");
        for message in self.found {
            let _ = write!(out, " {}", self.number(message));
        }
        if self.modseq
            && let Some(highest) = highest(self.found)
        {
            let _ = write!(out, " (MODSEQ {highest})");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// `* ESEARCH` with what was asked for. SAVE alone asks for no answer (RFC 5182 section 2.1).
    pub fn write_extended(&self, returns: &[SearchReturn], out: &mut Vec<u8>) {
        if returns.iter().all(|option| *option == SearchReturn::Save) {
            return;
        }
        let found = self.found;
        out.extend_from_slice(b"* ESEARCH (TAG ");
        write_string(out, self.tag.as_bytes());
        if let Some((name, uid_validity, utf8)) = self.mailbox {
            out.extend_from_slice(b" MAILBOX ");
            write_mailbox(out, name, utf8);
            let _ = write!(out, " UIDVALIDITY {uid_validity}");
        }
        out.push(b')');
        if self.uid {
            out.extend_from_slice(b" UID");
        }
        let mut named: Vec<Numbered> = Vec::new();
        let mut options = returns.to_vec();
        options.sort_by_key(|option| match option {
            SearchReturn::Min => 0,
            SearchReturn::Max => 1,
            SearchReturn::All | SearchReturn::Partial(_) => 2,
            SearchReturn::Count | SearchReturn::Save => 3,
        });
        options.dedup();
        for option in &options {
            match option {
                SearchReturn::Min => named.extend(self.write_one("MIN", found.first(), out)),
                SearchReturn::Max => named.extend(self.write_one("MAX", found.last(), out)),
                SearchReturn::All => {
                    if !found.is_empty() {
                        let all = sequence_set(found.iter().map(|message| self.number(message)));
                        let _ = write!(out, " ALL {all}");
                    }
                    named.extend_from_slice(found);
                }
                SearchReturn::Count => {
                    let _ = write!(out, " COUNT {}", found.len());
                    named.extend_from_slice(found);
                }
                SearchReturn::Partial(page) => {
                    let on_page = found.get(page.of(found.len())).unwrap_or_default();
                    let _ = write!(out, " PARTIAL ({page} ");
                    if on_page.is_empty() {
                        out.extend_from_slice(b"NIL)");
                    } else {
                        let set = sequence_set(on_page.iter().map(|message| self.number(message)));
                        let _ = write!(out, "{set})");
                    }
                    named.extend_from_slice(on_page);
                }
                SearchReturn::Save => {}
            }
        }
        if self.modseq
            && let Some(highest) = highest(&named)
        {
            let _ = write!(out, " MODSEQ {highest}");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_one(&self, word: &str, message: Option<&Numbered>, out: &mut Vec<u8>) -> Option<Numbered> {
        let message = message?;
        let _ = write!(out, " {word} {}", self.number(message));
        Some(*message)
    }
}

fn highest(found: &[Numbered]) -> Option<u64> {
    found.iter().map(|message| message.entry.modseq).max()
}
