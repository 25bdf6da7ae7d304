//! Clients that cost little: they count bytes instead of parsing them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_mins(2);

/// A line-oriented connection on loopback.
pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    tag: u32,
}

impl Connection {
    /// Connects and reads the greeting.
    pub fn open(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("port {port}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
        let writer = stream.try_clone().map_err(|e| e.to_string())?;
        let mut connection = Self { reader: BufReader::with_capacity(1 << 18, stream), writer, tag: 0 };
        connection.line()?;
        Ok(connection)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if line.is_empty() {
            return Err("the server closed the connection".to_owned());
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.writer.write_all(bytes).map_err(|e| e.to_string())
    }

    /// One SMTP command and its reply, which must start with `expected`.
    pub fn smtp(&mut self, command: &str, expected: &str) -> Result<(), String> {
        self.send(format!("{command}\r\n").as_bytes())?;
        loop {
            let line = self.line()?;
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return if line.starts_with(expected) { Ok(()) } else { Err(format!("{command}: {line}")) };
        }
    }

    /// One whole message over SMTP in a connection of its own, as mail exchangers mostly do.
    pub fn deliver(port: u16, recipient: &str, message: &[u8]) -> Result<(), String> {
        let mut smtp = Self::open(port)?;
        smtp.smtp("EHLO bench.example", "250")?;
        smtp.message(recipient, message)?;
        smtp.smtp("QUIT", "221")
    }

    /// One whole message in a session that has said EHLO.
    pub fn message(&mut self, recipient: &str, message: &[u8]) -> Result<(), String> {
        self.smtp("MAIL FROM:<sender@sender.example>", "250")?;
        self.smtp(&format!("RCPT TO:<{recipient}>"), "250")?;
        self.smtp("DATA", "354")?;
        self.send(message)?;
        self.smtp(".", "250")
    }

    /// One IMAP command, up to its tagged OK.
    pub fn imap(&mut self, command: &str) -> Result<Vec<u8>, String> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.send(format!("{tag}{command}\r\n").as_bytes())?;
        self.imap_answer(&tag, command)
    }

    /// Waits for the tagged reply. A literal is skipped by its length, so that no body is taken for it.
    fn imap_answer(&mut self, tag: &str, command: &str) -> Result<Vec<u8>, String> {
        let mut kept = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(rest) = line.strip_prefix(tag) {
                return if rest.starts_with("OK") { Ok(kept) } else { Err(format!("{command}: {line}")) };
            }
            if let Some(length) = literal_bytes(&line) {
                let copied = std::io::copy(&mut self.reader.by_ref().take(length), &mut std::io::sink());
                copied.map_err(|e| e.to_string())?;
            } else if kept.len() < 4096 {
                kept.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// APPEND with a non-synchronising literal (RFC 7888).
    pub fn append(&mut self, mailbox: &str, message: &[u8]) -> Result<(), String> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.send(format!("{tag}APPEND {mailbox} {{{}+}}\r\n", message.len()).as_bytes())?;
        self.send(message)?;
        self.send(b"\r\n")?;
        self.imap_answer(&tag, "APPEND").map(drop)
    }

    /// One POP3 command with a one-line answer.
    pub fn pop3(&mut self, command: &str) -> Result<(), String> {
        self.send(format!("{command}\r\n").as_bytes())?;
        let line = self.line()?;
        if line.starts_with("+OK") { Ok(()) } else { Err(format!("{command}: {line}")) }
    }

    /// One POP3 command with a multi-line answer.
    pub fn pop3_lines(&mut self, command: &str) -> Result<(), String> {
        self.pop3(command)?;
        let mut line = Vec::new();
        while line != b".\r\n" {
            line.clear();
            if self.reader.read_until(b'\n', &mut line).map_err(|e| e.to_string())? == 0 {
                return Err(format!("{command}: the answer ended early"));
            }
        }
        Ok(())
    }
}

/// The length in `{n}` at the end of a line.
fn literal_bytes(line: &str) -> Option<u64> {
    line.trim_end().strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
