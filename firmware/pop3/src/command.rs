//! Commands of a client (RFC 1939 5 to 7, RFC 2449, RFC 2595, RFC 5034, RFC 6856).

use crate::language::Text;

/// Longest command line in octets, CRLF included; RFC 2449 4 asks for 255, and AUTH may bring more.
pub(crate) const LINE_MAX_BYTES: usize = sasl::LINE_MAX_BYTES + 64;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Capa,
    Stls,
    User(String),
    Pass(String),
    Auth { mechanism: Option<String>, initial: Option<String> },
    Lang(Option<String>),
    Utf8,
    Quit,
    Stat,
    List(Option<usize>),
    Uidl(Option<usize>),
    Retr(usize),
    Top { number: usize, lines: usize },
    Dele(usize),
    Noop,
    Rset,
}

/// Parses one line without its CRLF; the error is what the client is told.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Text> {
    let line = std::str::from_utf8(line).map_err(|_| Text::Unknown)?;
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words = rest.split_ascii_whitespace();
    let verb = verb.trim().to_ascii_uppercase();
    let command = match verb.as_str() {
        // RFC 1939 7: a password may hold spaces.
        "PASS" if rest.is_empty() => return Err(Text::Argument),
        "PASS" => return Ok(Command::Pass(rest.to_owned())),
        "USER" => Command::User(words.next().ok_or(Text::Argument)?.to_owned()),
        "AUTH" => Command::Auth {
            mechanism: words.next().map(str::to_owned),
            initial: words.next().map(str::to_owned),
        },
        "CAPA" => Command::Capa,
        "STLS" => Command::Stls,
        "LANG" => Command::Lang(words.next().map(str::to_owned)),
        "UTF8" => Command::Utf8,
        "QUIT" => Command::Quit,
        "STAT" => Command::Stat,
        "NOOP" => Command::Noop,
        "RSET" => Command::Rset,
        "LIST" => Command::List(words.next().map(number).transpose()?),
        "UIDL" => Command::Uidl(words.next().map(number).transpose()?),
        "RETR" => Command::Retr(number(words.next().ok_or(Text::Argument)?)?),
        "DELE" => Command::Dele(number(words.next().ok_or(Text::Argument)?)?),
        "TOP" => Command::Top {
            number: number(words.next().ok_or(Text::Argument)?)?,
            lines: number(words.next().ok_or(Text::Argument)?)?,
        },
        _ => return Err(Text::Unknown),
    };
    if words.next().is_some() { Err(Text::Argument) } else { Ok(command) }
}

fn number(word: &str) -> Result<usize, Text> {
    let digits = word.len() <= 10 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|_| digits).ok_or(Text::Argument)
}
