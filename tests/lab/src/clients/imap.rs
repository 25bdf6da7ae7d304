//! A reader by IMAP (RFC 9051, RFC 3501): as much as the judge needs to read and flag.

use std::net::SocketAddr;

use super::stream::{MailStream, Patience, Tls};
use super::{Answer, ClientError};

/// How a reader's connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Port 143 with STARTTLS.
    Imap,
    /// Port 993 with TLS from the first byte.
    Imaps,
}

impl Door {
    /// The port behind it.
    pub fn port(self) -> u16 {
        match self {
            Self::Imap => 143,
            Self::Imaps => 993,
        }
    }
}

/// One message as fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its UID.
    pub uid: u32,
    /// Its flags, as the server writes them.
    pub flags: Vec<String>,
    /// Header or whole message, whatever was asked for.
    pub content: Vec<u8>,
}

/// One connection of a reader, logged in.
pub struct Reader {
    stream: MailStream,
    tag: u32,
}

impl Reader {
    /// Connects and logs in.
    pub fn connect(
        to: SocketAddr,
        door: Door,
        tls: &Tls,
        login: (&str, &str),
        patience: Patience,
    ) -> Answer<Self> {
        let mut stream = if door == Door::Imaps {
            let mut stream = MailStream::tls(to, patience, tls)?;
            greeting(&mut stream)?;
            stream
        } else {
            MailStream::upgraded(to, patience, tls, |stream| {
                greeting(stream)?;
                stream.send(b"s STARTTLS\r\n")?;
                tagged(stream, "s").map(drop)
            })?
        };
        stream.send(format!("l LOGIN \"{}\" \"{}\"\r\n", login.0, login.1).as_bytes())?;
        tagged(&mut stream, "l")?;
        Ok(Self { stream, tag: 0 })
    }

    /// Opens a mailbox; gives how many messages it has.
    pub fn select(&mut self, mailbox: &str) -> Answer<u32> {
        let lines = self.order(&format!("SELECT \"{mailbox}\""))?;
        let exists =
            lines.iter().find_map(|(line, _)| line.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok());
        exists.ok_or_else(|| ClientError::Nonsense("SELECT without EXISTS".into()))
    }

    /// UIDs of the messages that match.
    pub fn search(&mut self, key: &str) -> Answer<Vec<u32>> {
        let lines = self.order(&format!("UID SEARCH {key}"))?;
        let numbers = lines.iter().filter_map(|(line, _)| line.strip_prefix("* SEARCH"));
        Ok(numbers.flat_map(str::split_whitespace).filter_map(|number| number.parse().ok()).collect())
    }

    /// Fetches flags and one part of each message: `BODY.PEEK[]`, `BODY.PEEK[HEADER]` and the like.
    pub fn fetch(&mut self, uids: &str, part: &str) -> Answer<Vec<Fetched>> {
        let lines = self.order(&format!("UID FETCH {uids} (UID FLAGS {part})"))?;
        Ok(lines.into_iter().filter_map(|(line, literal)| fetched(&line, literal)).collect())
    }

    /// Sets a flag; answered only when it is durable.
    pub fn set_flag(&mut self, uids: &str, flag: &str) -> Answer<()> {
        self.order(&format!("UID STORE {uids} +FLAGS.SILENT ({flag})")).map(drop)
    }

    /// Removes what is marked as deleted; answered only when that is durable.
    pub fn expunge(&mut self) -> Answer<()> {
        self.order("EXPUNGE").map(drop)
    }

    /// Moves messages to another mailbox.
    pub fn move_to(&mut self, uids: &str, mailbox: &str) -> Answer<()> {
        self.order(&format!("UID MOVE {uids} \"{mailbox}\"")).map(drop)
    }

    /// Says goodbye.
    pub fn logout(mut self) {
        let _ = self.order("LOGOUT");
    }

    fn order(&mut self, words: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.stream.send(format!("{tag} {words}\r\n").as_bytes())?;
        tagged(&mut self.stream, &tag)
    }
}

fn greeting(stream: &mut MailStream) -> Answer<()> {
    let line = stream.line()?;
    if line.starts_with("* OK") { Ok(()) } else { Err(ClientError::Refused(line)) }
}

/// Receives untagged answers, each with its last literal, up to the tagged one.
fn tagged(stream: &mut MailStream, tag: &str) -> Answer<Vec<(String, Vec<u8>)>> {
    let mut answers = Vec::new();
    loop {
        let mut line = stream.line()?;
        let mut literal = Vec::new();
        while let Some(length) = literal_length(&line) {
            literal = stream.literal(length)?;
            line.push(' ');
            line.push_str(&stream.line()?);
        }
        match line.strip_prefix(tag).map(str::trim_start) {
            Some(rest) if rest.starts_with("OK") => return Ok(answers),
            Some(_) => return Err(ClientError::Refused(line)),
            None if line.starts_with("* BYE") => return Err(ClientError::Refused(line)),
            None => answers.push((line, literal)),
        }
    }
}

fn literal_length(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}

fn fetched(line: &str, content: Vec<u8>) -> Option<Fetched> {
    let (_, items) = line.strip_prefix("* ")?.split_once(" FETCH ")?;
    let uid = items.split_once("UID ")?.1.split([' ', ')']).next()?.parse().ok()?;
    let flags = items.split_once("FLAGS (")?.1.split_once(')')?.0;
    Some(Fetched { uid, flags: flags.split_whitespace().map(str::to_owned).collect(), content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whatever_the_order_of_its_items() {
        let one = fetched("* 3 FETCH (FLAGS (\\Seen $Work) UID 17 BODY[] {4} )", b"text".to_vec()).unwrap();
        assert_eq!((one.uid, one.flags.len(), one.content.len()), (17, 2, 4));
        let other = fetched("* 3 FETCH (UID 18 BODY[] {0}  FLAGS ())", Vec::new()).unwrap();
        assert_eq!((other.uid, other.flags.len()), (18, 0));
        assert_eq!(fetched("* 4 EXISTS", Vec::new()), None);
    }

    #[test]
    fn a_literal_is_known_by_its_length() {
        assert_eq!(literal_length("* 1 FETCH (BODY[] {123}"), Some(123));
        assert_eq!(literal_length("* OK done"), None);
    }
}
