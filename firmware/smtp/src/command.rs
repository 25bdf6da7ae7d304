//! Commands of a client (RFC 5321 4.1.1) and their parameters.

use crate::address::{self, AddressError, Mailbox};
use crate::reply::Reply;

/// Longest command line in octets, CRLF included. RFC 5321 4.5.3.1.4 asks for 512, and extensions add to it.
pub const COMMAND_LINE_MAX_BYTES: usize = 2048;
/// Longest line of an AUTH exchange, in octets (RFC 4954 4).
pub const AUTH_LINE_MAX_BYTES: usize = 12_288;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Greeting with extensions.
    Ehlo(String),
    /// Greeting without.
    Helo(String),
    /// Begins a transaction.
    Mail(MailFrom),
    /// Names a recipient.
    Rcpt(Mailbox),
    /// The message follows.
    Data,
    /// A chunk of the message follows (RFC 3030).
    Bdat {
        /// Octets in this chunk.
        size_bytes: u64,
        /// Whether it is the last.
        last: bool,
    },
    /// Ends the transaction without a message.
    Rset,
    /// Nothing.
    Noop,
    /// Asks whether an address exists.
    Vrfy,
    /// Asks who is on a list.
    Expn,
    /// Asks for help.
    Help,
    /// Ends the session.
    Quit,
    /// Begins TLS (RFC 3207).
    StartTls,
    /// Begins authentication (RFC 4954).
    Auth {
        /// Mechanism, upper case.
        mechanism: String,
        /// Initial response, still in base64; `=` is the empty one.
        initial: Option<String>,
    },
}

/// `MAIL FROM` with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFrom {
    /// Sender; none is the null sender of a notice.
    pub sender: Option<Mailbox>,
    /// Declared size (RFC 1870).
    pub size_bytes: Option<u64>,
    /// Whether the body was declared 8 bit (RFC 6152).
    pub eight_bit: bool,
}

/// Parses one line, its CRLF already gone; what cannot be parsed has its reply.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| UNKNOWN)?.trim_end_matches([' ', '\t']);
    let (verb, rest) = line.split_at(line.find([' ', '\t']).unwrap_or(line.len()));
    let argument = rest.trim_start_matches([' ', '\t']);
    if argument.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err(SYNTAX);
    }
    let alone = |command| if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT) };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Ok(Command::Ehlo(parse_client_name(argument)?)),
        "HELO" => Ok(Command::Helo(parse_client_name(argument)?)),
        "MAIL" => parse_mail(argument),
        "RCPT" => parse_rcpt(argument),
        "DATA" => alone(Command::Data),
        "BDAT" => parse_bdat(argument),
        "RSET" => alone(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" if argument.is_empty() => Err(SYNTAX),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" if argument.is_empty() => Err(SYNTAX),
        "EXPN" => Ok(Command::Expn),
        "HELP" => Ok(Command::Help),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::StartTls),
        "AUTH" => parse_auth(argument),
        _ => Err(UNKNOWN),
    }
}

/// The command is not known.
pub const UNKNOWN: Reply = Reply::new(500, "5.5.2", "That command is not known here");
/// The argument is not what it should be.
pub const SYNTAX: Reply = Reply::new(501, "5.5.4", "The argument is not understood");
const NO_ARGUMENT: Reply = Reply::new(501, "5.5.4", "That command takes no argument");
const PARAMETER: Reply = Reply::new(555, "5.5.4", "That parameter is not supported");

/// The name goes into the `Received` field, so it must be a name or a literal and nothing else.
fn parse_client_name(argument: &str) -> Result<String, Reply> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let usable = (1..=address::DOMAIN_MAX_BYTES).contains(&argument.len()) && argument.bytes().all(plain);
    if usable { Ok(argument.to_owned()) } else { Err(SYNTAX) }
}

/// What follows `FROM:` or `TO:`; a space after the colon is common and harmless.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, Reply> {
    let start = argument.get(..keyword.len()).filter(|start| start.eq_ignore_ascii_case(keyword));
    let rest = start.and_then(|_| argument[keyword.len()..].trim_start().strip_prefix(':'));
    rest.map(str::trim_start).ok_or(SYNTAX)
}

fn parse_mail(argument: &str) -> Result<Command, Reply> {
    let text = after_keyword(argument, "FROM")?;
    let (sender, rest) = address::parse_reverse_path(text).map_err(|e| address_reply(e, true))?;
    let mut mail = MailFrom { sender, ..MailFrom::default() };
    for parameter in parameters(rest)? {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (key.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
            ("SIZE", value) => {
                let digits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
                let size = if digits { value.parse().ok() } else { None };
                mail.size_bytes = Some(size.ok_or(SYNTAX)?);
            }
            ("BODY", "7BIT") => mail.eight_bit = false,
            ("BODY", "8BITMIME") => mail.eight_bit = true,
            // RFC 4954 5: taken and, from a client that is not trusted to vouch for others, ignored.
            ("AUTH", value) if !value.is_empty() => {}
            _ => return Err(PARAMETER),
        }
    }
    Ok(Command::Mail(mail))
}

fn parse_rcpt(argument: &str) -> Result<Command, Reply> {
    let text = after_keyword(argument, "TO")?;
    let (recipient, rest) = address::parse_forward_path(text).map_err(|e| address_reply(e, false))?;
    if parameters(rest)?.next().is_some() { Err(PARAMETER) } else { Ok(Command::Rcpt(recipient)) }
}

/// Parameters behind a path stand after a space each.
fn parameters(rest: &str) -> Result<impl Iterator<Item = &str>, Reply> {
    if rest.is_empty() || rest.starts_with([' ', '\t']) {
        Ok(rest.split([' ', '\t']).filter(|part| !part.is_empty()))
    } else {
        Err(SYNTAX)
    }
}

fn address_reply(error: AddressError, sender: bool) -> Reply {
    match error {
        AddressError::Brackets => Reply::with_text(501, "5.5.4", error.to_string()),
        AddressError::NotAscii => Reply::with_text(553, "5.6.7", error.to_string()),
        AddressError::Local | AddressError::Domain | AddressError::TooLong if sender => {
            Reply::with_text(501, "5.1.7", error.to_string())
        }
        AddressError::Local | AddressError::Domain | AddressError::TooLong => {
            Reply::with_text(501, "5.1.3", error.to_string())
        }
    }
}

fn parse_bdat(argument: &str) -> Result<Command, Reply> {
    let mut words = argument.split_ascii_whitespace();
    let digits = words.next().filter(|w| w.len() <= 19 && w.bytes().all(|b| b.is_ascii_digit()));
    let size_bytes = digits.and_then(|w| w.parse().ok()).ok_or(SYNTAX)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(SYNTAX),
    };
    if words.next().is_some() { Err(SYNTAX) } else { Ok(Command::Bdat { size_bytes, last }) }
}

fn parse_auth(argument: &str) -> Result<Command, Reply> {
    let mut words = argument.split_ascii_whitespace();
    let mechanism = words.next().ok_or(SYNTAX)?.to_ascii_uppercase();
    let initial = words.next().map(str::to_owned);
    if words.next().is_some() { Err(SYNTAX) } else { Ok(Command::Auth { mechanism, initial }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> u16 {
        parse(line.as_bytes()).map_or_else(|reply| reply.code, |_| 0)
    }

    #[test]
    fn lines_and_what_they_are() {
        for (line, want) in [
            ("ehlo client.example", 0),
            ("EHLO [IPv6:2001:db8::1]", 0),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("HELO a\u{1}b", 501),
            ("MAIL FROM:<>", 0),
            ("mail from: <a@b> SIZE=12 body=8bitmime", 0),
            ("MAIL FROM:<a@b>SIZE=1", 501),
            ("MAIL FROM:<a@b> SIZE=x", 501),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999", 501),
            ("MAIL FROM:<a@b> SMTPUTF8", 555),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 555),
            ("MAIL FROM:a@b", 501),
            ("MAIL <a@b>", 501),
            ("MAIL FROM:<ü@b>", 553),
            ("RCPT TO:<a@b>", 0),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b> NOTIFY=NEVER", 555),
            ("DATA", 0),
            ("DATA x", 501),
            ("DATA ", 0),
            ("BDAT 12 last", 0),
            ("BDAT -1", 501),
            ("BDAT 1 FIRST", 501),
            ("BDAT", 501),
            ("NOOP whatever", 0),
            ("VRFY", 501),
            ("AUTH", 501),
            ("AUTH PLAIN x y", 501),
            ("", 500),
            ("GET / HTTP/1.1", 500),
            ("XYZZY", 500),
        ] {
            assert_eq!(code(line), want, "{line}");
        }
        assert_eq!(parse(b"\xff\xfe").unwrap_err().code, 500);
    }
}
