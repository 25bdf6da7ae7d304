//! A sender (RFC 5321, RFC 4954): connects, says who it is, gives messages.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::stream::{MailStream, Patience, Tls};
use super::{Answer, ClientError};

/// How a sender reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Port 25, as another server does, without TLS.
    Server,
    /// Port 587 with STARTTLS and AUTH.
    Submission,
    /// Port 465 with TLS from the first byte and AUTH.
    Submissions,
}

impl Door {
    /// The port behind it.
    pub fn port(self) -> u16 {
        match self {
            Self::Server => 25,
            Self::Submission => 587,
            Self::Submissions => 465,
        }
    }
}

/// What became of a message that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server answered 250: it must never be lost.
    Accepted,
    /// The server answered that it does not take it.
    Refused(String),
    /// The last byte was sent and no answer came: it may be there or not.
    Unknown(String),
}

/// One connection of a sender.
pub struct Sender {
    stream: MailStream,
}

impl Sender {
    /// Connects, and logs in where the door asks for it.
    pub fn connect(
        to: SocketAddr,
        door: Door,
        tls: &Tls,
        login: (&str, &str),
        patience: Patience,
    ) -> Answer<Self> {
        let stream = match door {
            Door::Server => {
                let mut stream = MailStream::plain(to, patience)?;
                expect(&mut stream, "220")?;
                stream
            }
            Door::Submissions => {
                let mut stream = MailStream::tls(to, patience, tls)?;
                expect(&mut stream, "220")?;
                stream
            }
            Door::Submission => MailStream::upgraded(to, patience, tls, |stream| {
                expect(stream, "220")?;
                order(stream, "EHLO lab.example.test", "250")?;
                order(stream, "STARTTLS", "220")
            })?,
        };
        let mut sender = Self { stream };
        order(&mut sender.stream, "EHLO lab.example.test", "250")?;
        if door != Door::Server {
            let plain = STANDARD.encode(format!("\0{}\0{}", login.0, login.1));
            order(&mut sender.stream, &format!("AUTH PLAIN {plain}"), "235")?;
        }
        Ok(sender)
    }

    /// Hands one message over. An error means that it was not: the server cannot have it.
    pub fn send(&mut self, from: &str, to: &str, message: &str) -> Answer<Fate> {
        let stream = &mut self.stream;
        order(stream, &format!("MAIL FROM:<{from}>"), "250")?;
        order(stream, &format!("RCPT TO:<{to}>"), "250")?;
        order(stream, "DATA", "354")?;
        // Without the final dot the server must not keep it (RFC 5321 section 4.1.1.4).
        stream.send(message.as_bytes())?;
        if let Err(error) = stream.send(b".\r\n") {
            return Ok(Fate::Unknown(error.to_string()));
        }
        match expect(stream, "250") {
            Ok(()) => Ok(Fate::Accepted),
            Err(ClientError::Refused(line)) => Ok(Fate::Refused(line)),
            Err(error) => Ok(Fate::Unknown(error.to_string())),
        }
    }

    /// Says goodbye.
    pub fn quit(mut self) {
        let _ = order(&mut self.stream, "QUIT", "221");
    }
}

fn order(stream: &mut MailStream, line: &str, code: &str) -> Answer<()> {
    stream.send(format!("{line}\r\n").as_bytes())?;
    expect(stream, code)
}

fn expect(stream: &mut MailStream, code: &str) -> Answer<()> {
    loop {
        let line = stream.line()?;
        match line.as_bytes() {
            [_, _, _, b'-', ..] => {}
            _ if line.starts_with(code) => return Ok(()),
            [b'2'..=b'5', _, _, ..] => return Err(ClientError::Refused(line)),
            _ => return Err(ClientError::Nonsense(line)),
        }
    }
}
