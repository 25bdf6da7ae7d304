//! Writing answers: tagged replies, flags, sets, and the store's errors in the words of RFC 5530.

use std::io::Write;

use message::write_string;
use store::{Flags, Rights, StoreError, Uid};

use crate::parse::{Fault, Flag, encode_name};

/// Local mark in a view's flags: the message is `\Recent` in this session. The store uses bits 0 to 4 and
/// 16 up.
pub(super) const RECENT: Flags = Flags(1 << 15);

const SYSTEM_FLAGS: [(Flags, &str); 5] = [
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
];

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    status: &'static str,
    text: String,
}

impl Reply {
    /// Done. The text may begin with a response code in brackets.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { status: "OK", text: text.into() }
    }

    /// Understood, and not done.
    pub fn no(text: impl Into<String>) -> Self {
        Self { status: "NO", text: text.into() }
    }

    /// Not understood, or not in this state.
    pub fn bad(text: impl Into<String>) -> Self {
        Self { status: "BAD", text: text.into() }
    }

    /// What was wrong with a command that could not be read.
    pub fn fault(fault: &Fault) -> Self {
        match fault {
            Fault::Charset { .. } => Self::no(format!("[BADCHARSET (US-ASCII UTF-8)] {fault}")),
            Fault::UidRequired => Self::bad(format!("[UIDREQUIRED] {fault}")),
            Fault::Syntax(_) | Fault::Unknown(_) => Self::bad(fault.to_string()),
        }
    }

    /// Why the store did not do it.
    pub fn refused(error: &StoreError) -> Self {
        Self::refused_with(error, "NONEXISTENT")
    }

    /// The same, where a missing mailbox is the target of APPEND, COPY or MOVE (RFC 3501 section 7.1).
    pub fn refused_target(error: &StoreError) -> Self {
        Self::refused_with(error, "TRYCREATE")
    }

    fn refused_with(error: &StoreError, missing: &str) -> Self {
        let code = match error {
            StoreError::NoSuchMailbox => missing,
            StoreError::Forbidden => "NOPERM",
            StoreError::NoSuchAccount | StoreError::BadAddress(_) => "NONEXISTENT",
            StoreError::BadSpecialUse(_) => "USEATTR",
            StoreError::MetadataTooBig { max } => {
                return Self::no(format!("[METADATA MAXSIZE {max}] the value is too long"));
            }
            StoreError::TooManyMetadata => "METADATA TOOMANY",
            StoreError::BadMetadataName(_) => "CANNOT",
            StoreError::TooManyAclEntries { .. } => "LIMIT",
            StoreError::Exists(_) => "ALREADYEXISTS",
            StoreError::BadMailboxName(_) | StoreError::MailboxProtected(_) | StoreError::NotSelectable => {
                "CANNOT"
            }
            StoreError::TooManyMailboxes { .. }
            | StoreError::TooManyKeywords { .. }
            | StoreError::NoUidLeft => "LIMIT",
            StoreError::TooLarge { .. } => "TOOBIG",
            StoreError::OverQuota | StoreError::DomainOverQuota => "OVERQUOTA",
            StoreError::Gone => "EXPUNGEISSUED",
            StoreError::DiskFull | StoreError::Busy | StoreError::Closed => "UNAVAILABLE",
            _ => {
                tracing::error!(%error, "the store refused an IMAP command");
                return Self::no(
                    "[SERVERBUG] the mail store has a problem; the administrator finds it in the log",
                );
            }
        };
        let text: String =
            error.to_string().chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
        Self::no(format!("[{code}] {text}"))
    }

    /// The end has been written already.
    pub fn said() -> Self {
        Self { status: "", text: String::new() }
    }

    /// Whether the command was not understood.
    pub fn is_bad(&self) -> bool {
        self.status == "BAD"
    }

    /// Writes it with its tag; without one it is untagged.
    pub fn write(&self, tag: Option<&str>, out: &mut Vec<u8>) {
        if self.status.is_empty() {
            return;
        }
        // Writing into a Vec cannot fail.
        let _ = write!(out, "{} {} {}\r\n", tag.unwrap_or("*"), self.status, self.text);
    }
}

/// Writes `(\Seen keyword ...)`.
pub(super) fn write_flags(out: &mut Vec<u8>, flags: Flags, keywords: &[String]) {
    out.push(b'(');
    let start = out.len();
    let mut put = |name: &str| {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    };
    for (flag, name) in SYSTEM_FLAGS {
        if flags.contains(flag) {
            put(name);
        }
    }
    if flags.contains(RECENT) {
        put("\\Recent");
    }
    for keyword in flags.keywords().filter_map(|index| keywords.get(index)) {
        put(keyword);
    }
    out.push(b')');
}

/// Writes the FLAGS and PERMANENTFLAGS of a mailbox.
pub(super) fn write_flag_lists(out: &mut Vec<u8>, keywords: &[String], read_only: bool, rights: Rights) {
    let named = SYSTEM_FLAGS.map(|(flag, name)| (flag, name));
    let mut all = named.map(|(_, name)| name).join(" ");
    let may_change = |flag: Flags| {
        rights.contains(match flag {
            Flags::SEEN => Rights::SEEN,
            Flags::DELETED => Rights::DELETE_MESSAGES,
            _ => Rights::WRITE,
        })
    };
    let kept = named.iter().filter(|(flag, _)| !read_only && may_change(*flag));
    let mut permanent: Vec<&str> = kept.map(|(_, name)| *name).collect();
    for keyword in keywords {
        all.push(' ');
        all.push_str(keyword);
    }
    if !read_only && rights.contains(Rights::WRITE) {
        permanent.extend(keywords.iter().map(String::as_str));
        permanent.push("\\*");
    }
    let permanent = permanent.join(" ");
    let _ = write!(out, "* FLAGS ({all})\r\n* OK [PERMANENTFLAGS ({permanent})] flags that are kept\r\n");
}

/// The bit of a system flag, or of a keyword the mailbox has; `None` for a keyword it does not have.
pub(crate) fn flag_bit(flag: &Flag, keywords: &[String]) -> Option<Flags> {
    Some(match flag {
        Flag::Answered => Flags::ANSWERED,
        Flag::Flagged => Flags::FLAGGED,
        Flag::Deleted => Flags::DELETED,
        Flag::Seen => Flags::SEEN,
        Flag::Draft => Flags::DRAFT,
        Flag::Recent => RECENT,
        Flag::Keyword(name) => {
            Flags::keyword(keywords.iter().position(|keyword| keyword.eq_ignore_ascii_case(name))?)
        }
    })
}

/// The flags of a command as the store takes them.
pub(super) fn flag_names(flags: Vec<Flag>) -> store::FlagNames {
    let mut names = store::FlagNames::default();
    for flag in flags {
        match flag {
            Flag::Keyword(name) => names.keywords.push(name),
            Flag::Recent => {}
            system => {
                if let Some(bit) = flag_bit(&system, &[]) {
                    names.system = names.system.union(bit);
                }
            }
        }
    }
    names
}

/// Writes a mailbox name as the client reads it: in modified UTF-7, or with `utf8` as it is (RFC 6855).
pub(super) fn write_mailbox(out: &mut Vec<u8>, name: &str, utf8: bool) {
    if !utf8 {
        return write_string(out, encode_name(name).as_bytes());
    }
    // A name holds no control characters, so it can always be quoted.
    out.push(b'"');
    for byte in name.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Numbers as a sequence set: ascending runs become ranges, order is kept (COPYUID depends on it).
pub(super) fn sequence_set(numbers: impl IntoIterator<Item = Uid>) -> String {
    let mut runs = Vec::new();
    let mut run: Option<(Uid, Uid)> = None;
    for number in numbers {
        run = match run {
            Some((first, last)) if last.checked_add(1) == Some(number) => Some((first, number)),
            Some(done) => {
                runs.push(done);
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    runs.extend(run);
    range_set(&runs)
}

/// Ranges as a sequence set.
pub(super) fn range_set(ranges: &[(Uid, Uid)]) -> String {
    let mut text = String::new();
    for (first, last) in ranges {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing into a String cannot fail.
        let _ = if last > first {
            std::fmt::Write::write_fmt(&mut text, format_args!("{first}:{last}"))
        } else {
            std::fmt::Write::write_fmt(&mut text, format_args!("{first}"))
        };
    }
    text
}
