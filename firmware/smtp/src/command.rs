//! Commands of a client (RFC 5321 4.1.1).

use crate::address::{self, AddressError};
use crate::parameter::{MailFrom, NoticeWish, RcptTo, SYNTAX};
use crate::reply::Reply;

/// Longest command line in octets, CRLF included. RFC 5321 4.5.3.1.4 asks for 512, and the extensions add
/// some 1,600 to it.
pub const COMMAND_LINE_MAX_BYTES: usize = 4096;
/// Longest line of an AUTH exchange, in octets (RFC 4954 4).
pub const AUTH_LINE_MAX_BYTES: usize = 12_288;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Greeting with extensions.
    Ehlo(String),
    /// Greeting without.
    Helo(String),
    /// Greeting of LMTP (RFC 2033 4.1).
    Lhlo(String),
    /// Begins a transaction.
    Mail(MailFrom),
    /// Names a recipient.
    Rcpt(RcptTo),
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

/// Parses one line, its CRLF already gone; what cannot be parsed has its reply.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = line.trim_ascii_end();
    let (verb, rest) = line.split_at(line.iter().position(|b| b" \t".contains(b)).unwrap_or(line.len()));
    let mut upper = [0; VERB_MAX_BYTES];
    let upper = upper.get_mut(..verb.len()).ok_or(UNKNOWN)?;
    upper.copy_from_slice(verb);
    upper.make_ascii_uppercase();
    let argument = std::str::from_utf8(rest.trim_ascii_start());
    // What is no text is no argument of any command, but an unknown command is told first.
    let argument = match (argument, &*upper) {
        (Ok(argument), _) if !argument.bytes().any(|b| b.is_ascii_control() && b != b'\t') => argument,
        (_, verb) => return Err(if is_known(verb) { SYNTAX } else { UNKNOWN }),
    };
    let alone = |command| if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT) };
    match &*upper {
        b"EHLO" => Ok(Command::Ehlo(parse_client_name(argument)?)),
        b"HELO" => Ok(Command::Helo(parse_client_name(argument)?)),
        b"LHLO" => Ok(Command::Lhlo(parse_client_name(argument)?)),
        b"MAIL" => parse_mail(argument),
        b"RCPT" => parse_rcpt(argument),
        b"DATA" => alone(Command::Data),
        b"BDAT" => parse_bdat(argument),
        b"RSET" => alone(Command::Rset),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" if argument.is_empty() => Err(SYNTAX),
        b"VRFY" => Ok(Command::Vrfy),
        b"EXPN" if argument.is_empty() => Err(SYNTAX),
        b"EXPN" => Ok(Command::Expn),
        b"HELP" => Ok(Command::Help),
        b"QUIT" => alone(Command::Quit),
        b"STARTTLS" => alone(Command::StartTls),
        b"AUTH" => parse_auth(argument),
        _ => Err(UNKNOWN),
    }
}

/// Longest verb.
const VERB_MAX_BYTES: usize = 8;

fn is_known(verb: &[u8]) -> bool {
    const KNOWN: [&[u8]; 15] = [
        b"EHLO",
        b"HELO",
        b"LHLO",
        b"MAIL",
        b"RCPT",
        b"DATA",
        b"BDAT",
        b"RSET",
        b"NOOP",
        b"VRFY",
        b"EXPN",
        b"HELP",
        b"QUIT",
        b"STARTTLS",
        b"AUTH",
    ];
    KNOWN.contains(&verb)
}

/// The command is not known.
pub const UNKNOWN: Reply = Reply::new(500, "5.5.2", "That command is not known here");
const NO_ARGUMENT: Reply = Reply::new(501, "5.5.4", "That command takes no argument");
/// A path outside ASCII in a transaction that is not SMTPUTF8 (RFC 6531 3.5).
pub const NOT_ASCII: Reply = Reply::new(553, "5.6.7", "An address outside ASCII needs SMTPUTF8");

/// The name goes into the `Received` field, so it must be a name or a literal and nothing else.
fn parse_client_name(argument: &str) -> Result<String, Reply> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let usable = (1..=address::DOMAIN_MAX_BYTES).contains(&argument.len()) && argument.bytes().all(plain);
    if usable { Ok(argument.to_owned()) } else { Err(SYNTAX) }
}

/// What follows `FROM:` or `TO:`; a space after the colon is common and harmless.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, Reply> {
    let start = argument.get(..keyword.len()).filter(|start| start.eq_ignore_ascii_case(keyword));
    let rest = start.and_then(|_| argument.get(keyword.len()..)?.trim_start().strip_prefix(':'));
    rest.map(str::trim_start).ok_or(SYNTAX)
}

fn parse_mail(argument: &str) -> Result<Command, Reply> {
    let text = after_keyword(argument, "FROM")?;
    let (sender, rest) = address::parse_reverse_path(text).map_err(|e| address_reply(e, true))?;
    let path = text.get(..text.len() - rest.len()).unwrap_or(text);
    let mut mail = MailFrom { sender, ..MailFrom::default() };
    mail.read_parameters(rest)?;
    if !path.is_ascii() && !mail.smtp_utf8 { Err(NOT_ASCII) } else { Ok(Command::Mail(mail)) }
}

fn parse_rcpt(argument: &str) -> Result<Command, Reply> {
    let text = after_keyword(argument, "TO")?;
    let (recipient, rest) = address::parse_forward_path(text).map_err(|e| address_reply(e, false))?;
    let path = text.get(..text.len() - rest.len()).unwrap_or(text);
    let mut rcpt = RcptTo { recipient, utf8: !path.is_ascii(), notice: NoticeWish::default() };
    rcpt.read_parameters(rest)?;
    Ok(Command::Rcpt(rcpt))
}

fn address_reply(error: AddressError, sender: bool) -> Reply {
    match error {
        AddressError::Brackets => Reply::with_text(501, "5.5.4", error.to_string()),
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
            ("MAIL FROM:<a@b> SMTPUTF8", 0),
            ("MAIL FROM:<a@b> SMTPUTF8=yes", 501),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 0),
            ("MAIL FROM:<a@b> BODY=9BIT", 501),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=2", 501),
            ("MAIL FROM:<a@b> SIZE=", 501),
            ("MAIL FROM:<a@b> SIZE", 501),
            ("MAIL FROM:<a@b> FOO=bar", 555),
            ("MAIL FROM:<a@b> FOO", 555),
            ("MAIL FROM:<a@b> =x", 501),
            ("MAIL FROM:<a@b> RET=FULL ENVID=QQ+2B1 AUTH=<> REQUIRETLS", 0),
            ("MAIL FROM:<a@b> RET=HALF", 501),
            ("MAIL FROM:<a@b> ENVID=a+b", 501),
            ("MAIL FROM:<a@b> AUTH=a@b", 0),
            ("MAIL FROM:<a@b> BY=120;R", 0),
            ("MAIL FROM:<a@b> BY=-5;nt", 0),
            ("MAIL FROM:<a@b> BY=0;R", 501),
            ("MAIL FROM:<a@b> BY=120", 501),
            ("MAIL FROM:<a@b> BY=1234567890;N", 501),
            ("MAIL FROM:<a@b> HOLDFOR=60", 0),
            ("MAIL FROM:<a@b> HOLDFOR=0", 501),
            ("MAIL FROM:<a@b> HOLDUNTIL=2026-11-22T16:20:00Z", 0),
            ("MAIL FROM:<a@b> HOLDUNTIL=tomorrow", 501),
            ("MAIL FROM:<a@b> HOLDFOR=60 HOLDUNTIL=2026-11-22T16:20:00Z", 501),
            ("MAIL FROM:<a@b> MT-PRIORITY=-9", 0),
            ("MAIL FROM:<a@b> MT-PRIORITY=10", 501),
            ("MAIL FROM:<a@b> MT-PRIORITY=+1", 501),
            ("MAIL FROM:a@b", 501),
            ("MAIL <a@b>", 501),
            ("MAIL FROM:<ü@b>", 553),
            ("MAIL FROM:<ü@b> SMTPUTF8", 0),
            ("MAIL FROM:<a@bü.test>", 553),
            ("RCPT TO:<a@b>", 0),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b> NOTIFY=NEVER", 0),
            ("RCPT TO:<a@b> NOTIFY=success,FAILURE,delay ORCPT=rfc822;a+2Bb@c", 0),
            ("RCPT TO:<a@b> NOTIFY=NEVER,DELAY", 501),
            ("RCPT TO:<a@b> NOTIFY=DELAY,DELAY", 501),
            ("RCPT TO:<a@b> ORCPT=a@b", 501),
            ("RCPT TO:<a@b> ORCPT=rfc822;", 501),
            ("RCPT TO:<a@b> ORCPT=utf-8;\\x{FC}@b", 0),
            ("RCPT TO:<ü@b> ORCPT=utf-8;ü@b", 0),
            ("RCPT TO:<a@b> SIZE=1", 555),
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
        assert_eq!(parse(b"MAIL FROM:<\xff@b>").unwrap_err().code, 501);
        assert_eq!(parse(b"SEND FROM:<a@b>").unwrap_err().code, 500);
    }
}
