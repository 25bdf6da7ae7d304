//! Parameters of MAIL and RCPT, and what each extension lets them say.
//!
//! A parameter stands once; a value that does not fit its grammar is 501, a parameter that is not known
//! is 555 (RFC 5321 4.1.1.11).

use crate::address::Mailbox;
use crate::reply::Reply;
use crate::{date, xtext};

/// Longest ENVID in octets (RFC 3461 4.4).
pub const ENVELOPE_ID_MAX_BYTES: usize = 100;
/// Longest ORCPT in octets (RFC 3461 4.2).
pub const ORIGINAL_MAX_BYTES: usize = 500;
/// Longest AUTH parameter in octets (RFC 4954 5).
const AUTH_MAX_BYTES: usize = 500;

/// The argument is not what it should be.
pub const SYNTAX: Reply = Reply::new(501, "5.5.4", "The argument is not understood");
/// The parameter is not known, or not offered here.
pub const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "That parameter is not supported");
const TWICE: Reply = Reply::new(501, "5.5.4", "A parameter may stand only once");

/// What the body may hold (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyKind {
    /// Lines of ASCII.
    #[default]
    SevenBit,
    /// Lines of any octets.
    EightBit,
    /// Any octets; only with BDAT.
    Binary,
}

/// What a notice returns of the message (RFC 3461 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    Header,
}

/// When the message must have arrived (RFC 2852 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// Seconds from MAIL on; with [`ByMode::Notify`] they may have passed.
    pub seconds: i64,
    /// What happens then.
    pub mode: ByMode,
    /// Whether each relay is to report.
    pub trace: bool,
}

/// What happens to a message that is late (RFC 2852 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByMode {
    /// It is given up and returned.
    Return,
    /// Its sender is told, and it goes on.
    Notify,
}

/// Until when the message waits (RFC 4865).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// For so many seconds.
    For(u64),
    /// Until then, in seconds since 1970.
    Until(u64),
}

/// `MAIL FROM` with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFrom {
    /// Sender; none is the null sender of a notice.
    pub sender: Option<Mailbox>,
    /// Declared size (RFC 1870).
    pub size_bytes: Option<u64>,
    /// What the body was declared to be.
    pub body: BodyKind,
    /// Whether envelope and header may be UTF-8 (RFC 6531).
    pub smtp_utf8: bool,
    /// RET of DSN.
    pub returns: Option<Return>,
    /// ENVID of DSN, in xtext as it came.
    pub envelope_id: Option<String>,
    /// Whether the message may travel over verified TLS only (RFC 8689).
    pub require_tls: bool,
    /// BY.
    pub deliver_by: Option<DeliverBy>,
    /// HOLDFOR or HOLDUNTIL.
    pub hold: Option<Hold>,
    /// MT-PRIORITY, -9 to 9 (RFC 6710).
    pub priority: Option<i8>,
}

/// `RCPT TO` with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptTo {
    /// Recipient.
    pub recipient: Mailbox,
    /// Whether the path or ORCPT has characters outside ASCII, which needs SMTPUTF8.
    pub utf8: bool,
    /// What its sender wants to hear of it.
    pub notice: NoticeWish,
}

/// NOTIFY and ORCPT of one recipient (RFC 3461 4.1, 4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoticeWish {
    /// NOTIFY, if it was there.
    pub notify: Option<Notify>,
    /// ORCPT as it came: type, `;`, address in xtext or in a form of RFC 6533.
    pub original: Option<String>,
}

/// What NOTIFY asked for; nothing of it is NEVER.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notify {
    /// Tell of the delivery.
    pub success: bool,
    /// Tell of the failure.
    pub failure: bool,
    /// Tell of a delay.
    pub delay: bool,
}

impl Notify {
    /// As bits: 1 success, 2 failure, 4 delay.
    pub fn bits(self) -> u8 {
        u8::from(self.success) | u8::from(self.failure) << 1 | u8::from(self.delay) << 2
    }
}

impl MailFrom {
    /// Whether it uses what only submission offers.
    pub fn needs_submission(&self) -> bool {
        self.deliver_by.is_some() || self.hold.is_some() || self.priority.is_some()
    }

    /// Reads the parameters behind the path.
    pub(crate) fn read_parameters(&mut self, rest: &str) -> Result<(), Reply> {
        let mut seen = Seen::default();
        for parameter in split(rest)? {
            let (key, value) = parse_parameter(parameter)?;
            let key = key.to_ascii_uppercase();
            // HOLDFOR and HOLDUNTIL exclude each other (RFC 4865 4).
            seen.once(if key == "HOLDUNTIL" { "HOLDFOR" } else { &key })?;
            match (key.as_str(), value) {
                ("SIZE", Some(value)) => self.size_bytes = Some(number(value, 20).ok_or(SYNTAX)?),
                ("BODY", Some(value)) => self.body = parse_body(value)?,
                ("SMTPUTF8", None) => self.smtp_utf8 = true,
                ("REQUIRETLS", None) => self.require_tls = true,
                ("RET", Some(value)) => self.returns = Some(parse_return(value)?),
                ("ENVID", Some(value)) => {
                    let fits = (1..=ENVELOPE_ID_MAX_BYTES).contains(&value.len()) && xtext::is_xtext(value);
                    self.envelope_id = Some(fits.then(|| value.to_owned()).ok_or(SYNTAX)?);
                }
                ("BY", Some(value)) => self.deliver_by = Some(parse_by(value).ok_or(SYNTAX)?),
                ("HOLDFOR", Some(value)) => {
                    let seconds = number(value, 9).filter(|seconds| *seconds > 0).ok_or(SYNTAX)?;
                    self.hold = Some(Hold::For(seconds));
                }
                ("HOLDUNTIL", Some(value)) => {
                    self.hold = Some(Hold::Until(date::parse_internet(value).ok_or(SYNTAX)?));
                }
                ("MT-PRIORITY", Some(value)) => self.priority = Some(parse_priority(value).ok_or(SYNTAX)?),
                // RFC 4954 5: taken and, from a client that is not trusted to vouch for others, ignored.
                ("AUTH", Some(value)) => {
                    let usable = value == "<>" || xtext::is_xtext(value);
                    if !usable || value.is_empty() || value.len() > AUTH_MAX_BYTES {
                        return Err(SYNTAX);
                    }
                }
                (
                    "SIZE" | "BODY" | "SMTPUTF8" | "REQUIRETLS" | "RET" | "ENVID" | "BY" | "HOLDFOR"
                    | "HOLDUNTIL" | "MT-PRIORITY" | "AUTH",
                    _,
                ) => return Err(SYNTAX),
                _ => return Err(UNKNOWN_PARAMETER),
            }
        }
        Ok(())
    }
}

impl RcptTo {
    /// Reads the parameters behind the path.
    pub(crate) fn read_parameters(&mut self, rest: &str) -> Result<(), Reply> {
        let mut seen = Seen::default();
        for parameter in split(rest)? {
            let (key, value) = parse_parameter(parameter)?;
            let key = key.to_ascii_uppercase();
            seen.once(&key)?;
            match (key.as_str(), value) {
                ("NOTIFY", Some(value)) => self.notice.notify = Some(parse_notify(value).ok_or(SYNTAX)?),
                ("ORCPT", Some(value)) => {
                    self.utf8 |= !value.is_ascii();
                    if value.len() > ORIGINAL_MAX_BYTES || !is_original(value) {
                        return Err(SYNTAX);
                    }
                    self.notice.original = Some(value.to_owned());
                }
                ("NOTIFY" | "ORCPT", None) => return Err(SYNTAX),
                _ => return Err(UNKNOWN_PARAMETER),
            }
        }
        Ok(())
    }
}

/// Parameters behind a path stand after a space each.
fn split(rest: &str) -> Result<impl Iterator<Item = &str>, Reply> {
    if rest.is_empty() || rest.starts_with([' ', '\t']) {
        Ok(rest.split([' ', '\t']).filter(|part| !part.is_empty()))
    } else {
        Err(SYNTAX)
    }
}

/// `esmtp-param` of RFC 5321 4.1.2.
fn parse_parameter(text: &str) -> Result<(&str, Option<&str>), Reply> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    let letters = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if key.is_empty() || !letters || value == Some("") { Err(SYNTAX) } else { Ok((key, value)) }
}

/// Keywords so far; there are no more than there are parameters.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn once(&mut self, key: &str) -> Result<(), Reply> {
        if self.0.iter().any(|seen| seen == key) {
            return Err(TWICE);
        }
        self.0.push(key.to_owned());
        Ok(())
    }
}

fn number(text: &str, digits_max: usize) -> Option<u64> {
    let digits = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn parse_body(value: &str) -> Result<BodyKind, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyKind::SevenBit),
        "8BITMIME" => Ok(BodyKind::EightBit),
        "BINARYMIME" => Ok(BodyKind::Binary),
        _ => Err(SYNTAX),
    }
}

fn parse_return(value: &str) -> Result<Return, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Return::Full),
        "HDRS" => Ok(Return::Header),
        _ => Err(SYNTAX),
    }
}

/// `by-time ";" by-mode [by-trace]`; to return a message at once makes no sense (RFC 2852 4).
fn parse_by(value: &str) -> Option<DeliverBy> {
    let (time, mode) = value.split_once(';')?;
    let digits = time.strip_prefix(['-', '+']).unwrap_or(time);
    let magnitude = number(digits, 9)? as i64;
    let seconds = if time.starts_with('-') { -magnitude } else { magnitude };
    let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        _ => return None,
    };
    (mode == ByMode::Notify || seconds > 0).then_some(DeliverBy { seconds, mode, trace })
}

fn parse_priority(value: &str) -> Option<i8> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    number(digits, 1)?;
    value.parse().ok()
}

fn parse_notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::default());
    }
    let mut notify = Notify::default();
    for word in value.split(',') {
        let wish = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return None,
        };
        if std::mem::replace(wish, true) {
            return None;
        }
    }
    Some(notify)
}

/// `original-recipient-address` of RFC 3461 4.2, with the type `utf-8` of RFC 6533 3.
fn is_original(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else { return false };
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if kind.is_empty() || !kind.bytes().all(atom) || address.is_empty() {
        return false;
    }
    if kind.eq_ignore_ascii_case("utf-8") {
        xtext::decode_utf8_address(address, true).is_some() || xtext::is_xtext(address)
    } else {
        xtext::is_xtext(address)
    }
}
