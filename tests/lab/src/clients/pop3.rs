//! A reader by POP3 (RFC 1939): as much as the judge needs to read.

use std::net::SocketAddr;

use super::stream::{MailStream, Patience, Tls};
use super::{Answer, ClientError};

/// Messages of one list; more are not the judge's.
const LIST_MAX: usize = 1_000_000;

/// One connection of a reader, logged in, over TLS.
pub struct Mailbox {
    stream: MailStream,
}

impl Mailbox {
    /// Connects and logs in.
    pub fn connect(to: SocketAddr, tls: &Tls, login: (&str, &str), patience: Patience) -> Answer<Self> {
        let mut mailbox = Self { stream: MailStream::tls(to, patience, tls)? };
        mailbox.answer()?;
        mailbox.order(&format!("USER {}", login.0))?;
        mailbox.order(&format!("PASS {}", login.1))?;
        Ok(mailbox)
    }

    /// Numbers of all messages with their unique ids.
    pub fn unique_ids(&mut self) -> Answer<Vec<(u32, String)>> {
        self.order("UIDL")?;
        let mut list = Vec::new();
        loop {
            let line = self.stream.line()?;
            if line == "." {
                return Ok(list);
            }
            let entry =
                line.split_once(' ').and_then(|(number, id)| Some((number.parse().ok()?, id.to_owned())));
            list.push(entry.ok_or(ClientError::Nonsense(line))?);
            if list.len() > LIST_MAX {
                return Err(ClientError::Nonsense("an endless list".into()));
            }
        }
    }

    /// One message.
    pub fn retrieve(&mut self, number: u32) -> Answer<Vec<u8>> {
        self.order(&format!("RETR {number}"))?;
        let mut message = Vec::new();
        loop {
            let line = self.stream.line()?;
            if line == "." {
                return Ok(message);
            }
            // A dot at the start of a line was doubled (RFC 1939 section 3).
            message.extend(line.strip_prefix('.').unwrap_or(&line).as_bytes());
            message.extend(b"\r\n");
        }
    }

    /// Says goodbye.
    pub fn quit(mut self) {
        let _ = self.order("QUIT");
    }

    fn order(&mut self, words: &str) -> Answer<()> {
        self.stream.send(format!("{words}\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Answer<()> {
        let line = self.stream.line()?;
        if line.starts_with("+OK") { Ok(()) } else { Err(ClientError::Refused(line)) }
    }
}
