//! The words of the command line.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::builder::styling::Styles;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::directory_words::{Alias, AppPassword, Defaults, Domain, Group, User};
use crate::failure::Failure;
use crate::fence::Fence;
use crate::help;
use crate::language::Language;
use crate::queue::Queue;
use crate::telling_words::{Alarm, Metrics};

/// Columns that help is wrapped to: a VT100's.
const HELP_COLUMNS: usize = 80;
/// Most words one command line may have.
pub const WORDS_MAX: usize = 64;

/// Sees, steers and administers this box and its mail
#[derive(Debug, Parser)]
#[command(name = "twinmail", version, disable_help_subcommand = true)]
pub struct Line {
    /// Print one line of JSON for machines
    #[arg(long, global = true)]
    pub json: bool,
    /// Language of the answer: en or zh
    #[arg(long, global = true, value_name = "LANGUAGE", hide_possible_values = true)]
    pub language: Option<LanguageWord>,
    /// In a pair with two service groups: the one that is meant, mail or mail-2
    #[arg(long = "service-group", global = true, value_name = "NAME")]
    pub service_group: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the services are; only a shell may say that, never the console of a box.
#[derive(Debug, Default, Args)]
pub struct Place {
    /// Administration socket of the mail service
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<std::path::PathBuf>,
    /// Data directory of a `twinmail serve`; the socket is mail.sock in it
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "socket")]
    pub data: Option<std::path::PathBuf>,
}

/// A language, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LanguageWord {
    /// English
    En,
    /// Chinese
    Zh,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show both boxes, who is active, the three heartbeat media, alarms
    Status,
    /// Hand the mail service to the other box, or fetch it here
    SwitchOver {
        /// Box that shall be active afterwards [default: the one that is not now]
        #[arg(long = "to", value_name = "BOX")]
        to: Option<String>,
    },
    /// Take this box out of service, or put it back
    Maintenance {
        /// on: hand over and take nothing; off: back into service
        #[arg(value_name = "on|off", hide_possible_values = true)]
        state: Switch,
    },
    /// Set which box shall own the mail service
    Prefer {
        /// Box name, or none
        owner: String,
        /// Go back to it by itself once it is well again
        #[arg(long)]
        fail_back: bool,
    },
    /// Show what was decided, why, and what it cost
    Records {
        /// How many, the newest; 50 if not said
        #[arg(long = "last", value_name = "COUNT", default_value_t = 50, hide_default_value = true)]
        records_max: usize,
    },
    /// Show the log of all services
    Log {
        /// How many lines, the newest; 100 if not said
        #[arg(long = "last", value_name = "COUNT", default_value_t = 100, hide_default_value = true)]
        lines_max: usize,
        /// Only lines after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        after: u64,
    },
    /// Show the services of this box
    Services,
    /// Mail domains
    #[command(subcommand)]
    Domain(Domain),
    /// Mail users
    #[command(subcommand, visible_alias = "account")]
    User(User),
    /// Groups: one address for many
    #[command(subcommand)]
    Group(Group),
    /// Aliases: addresses that lead to others
    #[command(subcommand)]
    Alias(Alias),
    /// App passwords: one for each device or program
    #[command(subcommand)]
    AppPassword(AppPassword),
    /// Limits of users who have none from their domain
    #[command(subcommand)]
    Defaults(Defaults),
    /// Outgoing mail
    #[command(subcommand)]
    Queue(Queue),
    /// The server that takes all outgoing mail
    #[command(subcommand)]
    Smarthost(Smarthost),
    /// Who may bring mail, and what is done with what is not authentic
    #[command(subcommand)]
    Receiving(Receiving),
    /// Ask the mail service whether it is serving
    Health,
    /// Show the mail service's numbers since its start
    Counters,
    /// The mail store
    #[command(subcommand)]
    Store(Store),
    /// Who is told of alarms
    #[command(subcommand)]
    Alarm(Alarm),
    /// Numbers for Prometheus
    #[command(subcommand)]
    Metrics(Metrics),
    /// Management controllers (BMC, IPMI 2.0) that reset a box which stands still
    #[command(subcommand)]
    Fence(Fence),
    /// The other box: forget it when it is dead and is to be replaced
    #[command(subcommand)]
    Peer(Peer),
    /// Practise: switch over and back and measure, or break a service on purpose
    #[command(subcommand)]
    Drill(Drill),
    /// Service groups: what moves between the boxes as one
    #[command(subcommand)]
    ServiceGroup(ServiceGroup),
    /// The clock of this box, which dates mail and records
    #[command(subcommand)]
    Clock(Clock),
    /// Power off or restart this box
    #[command(subcommand)]
    Power(Power),
    /// Forget all settings of this box and restart it as a blank one; mail and accounts stay on the array
    FactoryReset {
        /// It is meant: the box is to be set up anew
        #[arg(long)]
        yes: bool,
    },
}

/// The other box.
#[derive(Debug, Clone, Subcommand)]
pub enum Peer {
    /// Forget the other box for good, so that a blank one can join in its place
    Forget {
        /// It is meant: the old box is shut out from then on
        #[arg(long)]
        yes: bool,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// The server that takes all outgoing mail.
#[derive(Debug, Subcommand)]
pub enum Smarthost {
    /// Send all outgoing mail through this server
    Set {
        /// host or host:port
        host: String,
        /// User name at that server
        #[arg(long)]
        user: Option<String>,
        /// Password at that server
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Send outgoing mail straight to its destination again
    Clear,
}

/// Who may bring mail, and what is done with what is not authentic.
#[derive(Debug, Subcommand)]
pub enum Receiving {
    /// Show what is decided
    Show,
    /// Change what is decided
    Set {
        /// Load balancers that speak the PROXY protocol: addresses and networks with commas, or none
        #[arg(long)]
        proxy_from: Option<String>,
        /// Servers that may deliver over LMTP: addresses and networks with commas, or none
        #[arg(long)]
        lmtp_from: Option<String>,
        /// What is done with mail that fails DMARC: honour, junk or record
        #[arg(long)]
        dmarc: Option<String>,
    },
}

/// Service groups.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ServiceGroup {
    /// Show the groups, and what this box does for each
    List,
    /// Show the LUNs that this box sees
    Luns,
    /// Add the second group, so that each box can serve one and either can carry both
    Add {
        /// LUN of the group, as `service-group luns` names it
        #[arg(long)]
        lun: String,
        /// Virtual addresses with prefix length, with commas
        #[arg(long, value_delimiter = ',', required = true)]
        addresses: Vec<String>,
        /// First mail domain
        #[arg(long)]
        first_domain: String,
        /// Box that shall own the group
        #[arg(long, value_name = "BOX")]
        preferred: Option<String>,
        /// Go back to it by itself once it is well again
        #[arg(long, requires = "preferred")]
        fail_back: bool,
        /// Everything on the LUN may be lost: it is emptied and formatted
        #[arg(long)]
        format: bool,
    },
}

/// The mail store.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Check every index against every body; takes long
    Check,
    /// How far the full-text index is
    Index {
        /// Make it anew, beside everything else; until it is done searches read the messages
        #[arg(long)]
        rebuild: bool,
    },
}

/// Readiness drills.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Drill {
    /// Switch over and back now, and measure how long clients wait
    Now,
    /// Do that by itself at a time in UTC: `sun 03:30`, `daily 03:30`, or `off`
    Schedule {
        /// Weekday and time, or off
        #[arg(required = true, num_args = 1..=2, value_name = "TIME")]
        time: Vec<String>,
    },
    /// Show what is under way, or what the last drill or rolling restart found
    Report,
    /// End a service at once, as a crash would
    Kill {
        /// Its name, as `services` shows it
        service: String,
    },
    /// Have a service stand still, as an endless loop would
    Hang {
        /// Its name, as `services` shows it
        service: String,
    },
    /// Have a service run out of memory
    Exhaust {
        /// Its name, as `services` shows it
        service: String,
    },
    /// Have a mail service refuse every message, as one with a fault inside would
    Refuse {
        /// Its name, as `services` shows it
        service: String,
    },
}

/// The clock of this box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Clock {
    /// Show what it says
    Show,
    /// Set it, and the hardware's with it; each box has its own
    Set {
        /// Time in UTC: 2026-03-01T12:00:00Z
        time: Moment,
    },
}

/// A moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self { unix_ms: time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64) }
    }
}

impl std::str::FromStr for Moment {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339_weak(text).map(Self::from)
    }
}

/// The end of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Power {
    /// Stop in order, then power off
    Off,
    /// Stop in order, then restart
    Restart,
    /// Restart both boxes, one after the other, without leaving mail unserved
    Rolling,
}

/// Where a password comes from; typed without echo where neither is given.
#[derive(Debug, Clone, Args)]
pub struct PasswordSource {
    /// The password itself (others may see it in the process list)
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from standard input, one line
    #[arg(long)]
    pub password_stdin: bool,
}

/// Space an account may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota(pub Option<u64>);

impl std::str::FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        let refused = || format!("{text:?} is not a size such as 500M or 2G, or none");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_bytes: u64 = match unit.to_ascii_uppercase().as_str() {
            "" => 1,
            "K" | "KIB" => 1 << 10,
            "M" | "MIB" => 1 << 20,
            "G" | "GIB" => 1 << 30,
            "T" | "TIB" => 1 << 40,
            _ => return Err(refused()),
        };
        let number: u64 = number.parse().map_err(|_| refused())?;
        number.checked_mul(unit_bytes).map(|bytes| Self(Some(bytes))).ok_or_else(refused)
    }
}

impl Line {
    /// Understands `words`, the command line without the program's name.
    pub fn parse(words: &[String], language: Language) -> Result<Self, Failure> {
        let matches = matches_of(Line::command(), words, language)?;
        Self::from_arg_matches(&matches).map_err(|error| usage(&error, language))
    }

    /// Understands `words` of a shell, where the services' place may be given too.
    pub fn parse_with_place(words: &[String], language: Language) -> Result<(Self, Place), Failure> {
        let matches = matches_of(Place::augment_args(Line::command()), words, language)?;
        let line = Self::from_arg_matches(&matches).map_err(|error| usage(&error, language))?;
        let place = Place::from_arg_matches(&matches).map_err(|error| usage(&error, language))?;
        Ok((line, place))
    }

    /// Where this command's password comes from, if it needs one.
    pub fn password_source(&self) -> Option<&PasswordSource> {
        match &self.command {
            Command::User(User::Add { password, .. } | User::Password { password, .. }) => Some(password),
            Command::Smarthost(Smarthost::Set { user: Some(_), password, .. })
            | Command::Fence(Fence::Set { password, .. }) => Some(password),
            _ => None,
        }
    }
}

fn matches_of(
    command: clap::Command,
    words: &[String],
    language: Language,
) -> Result<clap::ArgMatches, Failure> {
    if words.len() > WORDS_MAX {
        return Err(Failure::TooManyWords);
    }
    let command = command
        .styles(Styles::plain())
        .color(clap::ColorChoice::Never)
        .term_width(HELP_COLUMNS)
        .no_binary_name(true);
    let mut command = help::translate(command, language);
    let words = help::asked(words);
    command.try_get_matches_from_mut(words.iter()).map_err(|error| usage(&error, language))
}

/// Help and version are answers; everything else is a wrong word.
fn usage(error: &clap::Error, language: Language) -> Failure {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Failure::Help(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Failure::Incomplete(text),
        _ => Failure::Usage(help::usage_sentence(error, language)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_words_are_consistent() {
        Place::augment_args(Line::command()).debug_assert();
    }

    #[test]
    fn quotas_are_sizes_or_none() {
        assert_eq!("none".parse(), Ok(Quota(None)));
        assert_eq!("500M".parse(), Ok(Quota(Some(500 << 20))));
        assert_eq!("12".parse(), Ok(Quota(Some(12))));
        for bad in ["", "M", "-1", "1.5G", "99999999999T", "5 G"] {
            assert!(bad.parse::<Quota>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_shell_may_say_where_the_services_are() {
        let line = words("status --socket /tmp/x");
        assert!(matches!(Line::parse(&line, Language::En), Err(Failure::Usage(_))));
        let (_, place) = Line::parse_with_place(&line, Language::En).unwrap();
        assert_eq!(place.socket.unwrap(), std::path::Path::new("/tmp/x"));
    }

    #[test]
    fn the_commands_that_need_a_password_say_so() {
        let needs = |text| Line::parse(&words(text), Language::En).unwrap().password_source().is_some();
        assert!(needs("user add a@b.example"));
        assert!(needs("account add a@b.example"));
        assert!(needs("account password a@b.example --json"));
        assert!(needs("smarthost set relay:587 --user me"));
        assert!(!needs("smarthost set relay:587"));
        assert!(needs("fence set box-b --address 192.0.2.21 --user fence"));
        assert!(!needs("fence test"));
        assert!(!needs("account list"));
    }
}
