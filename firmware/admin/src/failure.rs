//! Why a command failed, each cause with its sentence.

use control::wire::WireError;
use serde_json::json;
use thiserror::Error;

use crate::language::Language;
use crate::text::Text;

/// Exit code of a command that was refused or failed.
pub const EXIT_REFUSED: i32 = 1;
/// Exit code of words that are not understood.
pub const EXIT_USAGE: i32 = 2;
/// Exit code where the service asked is not there.
pub const EXIT_NOT_RUNNING: i32 = 3;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// Not a failure: help or version was asked for.
    #[error("{0}")]
    Help(String),
    /// A command that needs another word; carries the help that lists them.
    #[error("{0}")]
    Incomplete(String),
    /// Wrong words; the sentence is already in the right language.
    #[error("{0}")]
    Usage(String),
    /// More words than any command has.
    #[error("too many words")]
    TooManyWords,
    /// The service understood and says no.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers for the cluster service.
    #[error("the cluster service is not running; init restarts it, try again in a few seconds")]
    ClusterNotRunning,
    /// No group of this name is possible.
    #[error("no service group is called {0}; `service-group list` names them")]
    NoSuchGroup(String),
    /// A pair with two groups, and a word that could mean either.
    #[error(
        "this pair has two service groups and it is not clear which is meant, or it is served by the other \
         box; add --service-group mail or --service-group mail-2"
    )]
    WhichGroup,
    /// Nobody answers for init.
    #[error("init does not answer; this works only in a Twinmail box")]
    InitNotRunning,
    /// The mail service is not here, and this box is not why.
    #[error("the mail service runs on {0}; give the command there")]
    MailElsewhere(String),
    /// The mail service is nowhere now.
    #[error("no box serves mail now; `status` says why")]
    MailNowhere,
    /// This box should serve mail, but the service is down.
    #[error("the mail service is not running; init restarts it, `services` and `log` say why")]
    MailNotRunning,
    /// The service is there but slow, or speaks another version.
    #[error("{service} did not answer as it should: {source}; try again, then see `log`")]
    NoAnswer {
        /// Which service.
        service: &'static str,
        /// What happened on the socket.
        source: WireError,
    },
    /// The service answered something else than was asked.
    #[error("{0} gave an answer of another kind; are all services of the same version?")]
    WrongKind(&'static str),
    /// A password is needed and there is nobody to ask.
    #[error("a password is needed: give --password or --password-stdin")]
    NoPassword,
    /// A word that cannot be taken back, and nobody said that it is meant.
    #[error(
        "the other box could then never return without being installed and set up anew; if that is meant, add --yes"
    )]
    NotConfirmed,
    /// The same for the box itself.
    #[error(
        "this box would forget its settings and its pair, and ask to be set up; if that is meant, add --yes"
    )]
    ResetNotConfirmed,
    /// The two passwords typed are not the same.
    #[error("the two passwords differ; nothing was changed")]
    PasswordsDiffer,
    /// Standard input gave no usable password.
    #[error("no password could be read: {0}")]
    PasswordUnreadable(String),
    /// An import or export where there is no place for it.
    #[error(
        "users are imported and exported from a shell on the machine where the file is, with --socket or --data"
    )]
    NeedsFile,
    /// The file cannot be read.
    #[error("{file} cannot be read: {reason}")]
    FileUnreadable {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Unwritable(std::io::Error),
    /// Some rows of an import are bad.
    #[error("{0} rows were not imported")]
    BadRows(u64),
    /// It was not said what the command is about.
    #[error("which messages? give their numbers, --sender, --recipient, --destination or --all")]
    NothingNamed,
    /// The check found something.
    #[error("the store check found {0} faults")]
    Faults(usize),
}

impl Failure {
    /// The sentence in `language`.
    pub fn sentence(&self, language: Language) -> String {
        match self {
            Self::Help(text) | Self::Incomplete(text) | Self::Usage(text) => text.clone(),
            Self::Refused(text) => crate::text::sentence(text, language),
            Self::TooManyWords => Text::TooManyWords.get(language).to_owned(),
            Self::ClusterNotRunning => Text::ClusterNotRunning.get(language).to_owned(),
            Self::NoSuchGroup(name) => Text::NoSuchGroup.fill(language, &[name]),
            Self::WhichGroup => Text::WhichGroup.get(language).to_owned(),
            Self::InitNotRunning => Text::InitNotRunning.get(language).to_owned(),
            Self::MailElsewhere(name) => Text::MailElsewhere.fill(language, &[name]),
            Self::MailNowhere => Text::MailNowhere.get(language).to_owned(),
            Self::MailNotRunning => Text::MailNotRunning.get(language).to_owned(),
            Self::NoAnswer { service, source } => Text::NoAnswer.fill(language, &[service, source]),
            Self::WrongKind(service) => Text::WrongKind.fill(language, &[service]),
            Self::NoPassword => Text::NoPassword.get(language).to_owned(),
            Self::NotConfirmed => Text::NotConfirmed.get(language).to_owned(),
            Self::ResetNotConfirmed => Text::ResetNotConfirmed.get(language).to_owned(),
            Self::PasswordsDiffer => Text::PasswordsDiffer.get(language).to_owned(),
            Self::PasswordUnreadable(reason) => Text::PasswordUnreadable.fill(language, &[reason]),
            Self::NeedsFile => Text::NeedsFile.get(language).to_owned(),
            Self::FileUnreadable { file, reason } => Text::FileUnreadable.fill(language, &[file, reason]),
            Self::Unwritable(error) => Text::Unwritable.fill(language, &[error]),
            Self::BadRows(count) => Text::BadRows.fill(language, &[count]),
            Self::NothingNamed => Text::NothingNamed.get(language).to_owned(),
            Self::Faults(count) => Text::Faults.fill(language, &[count]),
        }
    }

    /// The exit code.
    pub fn code(&self) -> i32 {
        match self {
            Self::Help(_) => 0,
            Self::Incomplete(_)
            | Self::Usage(_)
            | Self::TooManyWords
            | Self::NoPassword
            | Self::NotConfirmed
            | Self::ResetNotConfirmed
            | Self::NoSuchGroup(_)
            | Self::WhichGroup
            | Self::NeedsFile
            | Self::FileUnreadable { .. }
            | Self::NothingNamed
            | Self::PasswordUnreadable(_) => EXIT_USAGE,
            Self::ClusterNotRunning
            | Self::InitNotRunning
            | Self::MailElsewhere(_)
            | Self::MailNowhere
            | Self::MailNotRunning => EXIT_NOT_RUNNING,
            Self::Refused(_)
            | Self::NoAnswer { .. }
            | Self::WrongKind(_)
            | Self::PasswordsDiffer
            | Self::Unwritable(_)
            | Self::BadRows(_)
            | Self::Faults(_) => EXIT_REFUSED,
        }
    }

    /// One line of JSON for machines.
    pub fn json(&self, language: Language) -> String {
        json!({ "error": self.sentence(language).trim() }).to_string()
    }
}
