//! Domains, users, groups, aliases: what the administrator asks of the mail service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rows of one page, and of one piece of an import.
pub const ROWS_MAX: usize = 1_000;

/// Which piece of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Only this domain.
    pub domain: Option<String>,
    /// Only addresses that begin like this.
    pub prefix: String,
    /// Only what comes after this address or name.
    pub after: String,
    /// How many, at most [`ROWS_MAX`].
    pub limit: usize,
}

/// The name of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Space in bytes.
    Space,
    /// Messages kept.
    Messages,
    /// Largest message that comes in, in bytes.
    LargestMessage,
    /// Largest attachment that comes in, in bytes.
    LargestAttachment,
    /// Messages sent in an hour.
    MessagesHour,
    /// Messages sent in a day.
    MessagesDay,
    /// Recipients sent to in an hour.
    RecipientsHour,
    /// Recipients sent to in a day.
    RecipientsDay,
}

impl LimitName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Space,
        Self::Messages,
        Self::LargestMessage,
        Self::LargestAttachment,
        Self::MessagesHour,
        Self::MessagesDay,
        Self::RecipientsHour,
        Self::RecipientsDay,
    ];

    /// As it is written in columns and options.
    pub fn word(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Messages => "messages",
            Self::LargestMessage => "largest_message",
            Self::LargestAttachment => "largest_attachment",
            Self::MessagesHour => "messages_hour",
            Self::MessagesDay => "messages_day",
            Self::RecipientsHour => "recipients_hour",
            Self::RecipientsDay => "recipients_day",
        }
    }

    /// Whether it counts bytes.
    pub fn is_size(self) -> bool {
        matches!(self, Self::Space | Self::LargestMessage | Self::LargestAttachment)
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Not set: the default of the domain or of the system holds.
    Default,
    /// No limit.
    None,
    /// At most so much.
    AtMost(u64),
}

/// Limits that are set, by name.
pub type Limits = BTreeMap<LimitName, Limit>;

/// A way to use an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Sending over SMTP.
    Smtp,
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// Webmail and JMAP.
    Webmail,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Smtp, Self::Imap, Self::Pop3, Self::Webmail];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Webmail => "webmail",
        }
    }
}

/// Who may send to a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoMaySend {
    /// Anybody.
    #[default]
    Anyone,
    /// Its members.
    Members,
    /// Users of its domain.
    Domain,
    /// Named senders only.
    Named,
}

/// A change of a domain; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainChange {
    /// Whether it accepts mail and logins.
    pub enabled: Option<bool>,
    /// Space all its users may use together.
    pub space: Option<Limit>,
    /// Users it may have.
    pub users: Option<Limit>,
    /// Protocols its users may use.
    pub protocols: Option<Vec<Protocol>>,
    /// Whether `user+detail@` leads to `user@`.
    pub plus_addressing: Option<bool>,
    /// Language of its notices: `en`, `zh`, or empty for the system's.
    pub language: Option<String>,
    /// Where mail for unknown users goes; empty refuses it.
    pub catch_all: Option<String>,
    /// Limits of users who have none of their own.
    pub defaults: Limits,
    /// What all its users may send together: messages and recipients, an hour and a day.
    pub sending: Limits,
}

/// A change of a user; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserChange {
    /// Whether the account is in use.
    pub enabled: Option<bool>,
    /// Protocols it may use.
    pub protocols: Option<Vec<Protocol>>,
    /// The user's name for people.
    pub name: Option<String>,
    /// `en`, `zh`, or empty for its domain's.
    pub language: Option<String>,
    /// Its own limits.
    pub limits: Limits,
    /// Addresses its mail is forwarded to; empty ends forwarding.
    pub forward_to: Option<Vec<String>>,
    /// Whether forwarded mail is kept here too.
    pub keep_copy: Option<bool>,
}

/// A change of a group; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupChange {
    /// Its name for people.
    pub name: Option<String>,
    /// Who may send to it.
    pub who: Option<WhoMaySend>,
    /// Members to add.
    pub add_members: Vec<String>,
    /// Members to remove.
    pub remove_members: Vec<String>,
    /// Senders to add: addresses, or `@domain`.
    pub add_senders: Vec<String>,
    /// Senders to remove.
    pub remove_senders: Vec<String>,
}

/// One row of an import or export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Full address.
    pub address: String,
    /// Password in clear, or a record as an export writes it.
    pub password: Option<String>,
    /// Everything else.
    pub settings: UserChange,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// A new user.
    Added,
    /// A user that was there has been changed.
    Updated,
    /// A user that was there stays as it is.
    Skipped,
    /// Nothing was done, for this reason.
    Refused(String),
}

/// A request about the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Domains by name.
    Domains(Page),
    /// One domain.
    Domain {
        /// Its name.
        domain: String,
    },
    /// Change a domain's settings.
    DomainSet {
        /// Its name.
        domain: String,
        /// What changes.
        change: DomainChange,
    },
    /// The limits that hold where neither user nor domain sets one.
    Defaults,
    /// Change them.
    DefaultsSet {
        /// Those that change.
        limits: Limits,
    },
    /// Users by address.
    Users(Page),
    /// One user.
    User {
        /// Full address.
        address: String,
    },
    /// Add a user.
    UserAdd {
        /// Full address.
        address: String,
        /// Password in clear, only here.
        password: String,
        /// Everything else.
        settings: UserChange,
    },
    /// Change a user's settings.
    UserSet {
        /// Full address.
        address: String,
        /// What changes.
        change: UserChange,
    },
    /// Aliases by address.
    Aliases(Page),
    /// Groups by address.
    Groups(Page),
    /// One group.
    Group {
        /// Its address.
        address: String,
    },
    /// Add a group.
    GroupAdd {
        /// Its address.
        address: String,
        /// What it is.
        change: GroupChange,
    },
    /// Change a group.
    GroupSet {
        /// Its address.
        address: String,
        /// What changes.
        change: GroupChange,
    },
    /// Remove a group.
    GroupRemove {
        /// Its address.
        address: String,
    },
    /// A user's app passwords.
    AppPasswords {
        /// Full address.
        address: String,
    },
    /// Make an app password; it is shown this once.
    AppPasswordAdd {
        /// Full address.
        address: String,
        /// Its name.
        name: String,
    },
    /// Revoke an app password.
    AppPasswordRemove {
        /// Full address.
        address: String,
        /// Its name.
        name: String,
    },
    /// Make or change users, at most [`ROWS_MAX`].
    Import {
        /// One row a user.
        rows: Vec<UserRow>,
        /// Change those that are there; else they stay as they are.
        update: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Users as an import takes them, with the records of their passwords.
    Export(Page),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Domains.
    Domains(Vec<Domain>),
    /// One domain.
    Domain(Box<Domain>),
    /// The system's defaults.
    Limits(Limits),
    /// Users.
    Users(Vec<User>),
    /// One user.
    User(Box<User>),
    /// Aliases.
    Aliases(Vec<Alias>),
    /// Groups.
    Groups(Vec<Group>),
    /// One group.
    Group(Box<Group>),
    /// App passwords.
    AppPasswords(Vec<AppPassword>),
    /// A new app password, in clear, this once.
    AppPassword(String),
    /// One outcome for each row of an import, in order.
    Imported(Vec<RowOutcome>),
    /// Rows of an export.
    Exported(Vec<UserRow>),
}

/// One mail domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name, lower case, A-labels.
    pub domain: String,
    /// Whether it accepts mail and logins.
    pub enabled: bool,
    /// How many accounts it has.
    pub accounts: u64,
    /// How many it may have.
    pub accounts_max: Option<u64>,
    /// How many aliases it has.
    pub aliases: u64,
    /// How many groups it has.
    pub groups: u64,
    /// Space all its users may use together.
    pub quota_bytes: Option<u64>,
    /// Space they use.
    pub used_bytes: u64,
    /// Messages they have.
    pub messages: u64,
    /// Protocols its users may use.
    pub protocols: Vec<Protocol>,
    /// Whether `user+detail@` leads to `user@`.
    pub plus_addressing: bool,
    /// Language of its notices, if it is set.
    pub language: Option<String>,
    /// Where mail for unknown users goes.
    pub catch_all: Vec<String>,
    /// Limits of users who have none of their own, as far as they are set.
    pub defaults: Limits,
    /// What all its users may send together, as far as it is set.
    #[serde(default)]
    pub sending: Limits,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Full address.
    pub address: String,
    /// Name for people.
    pub name: String,
    /// Whether the account is in use.
    pub enabled: bool,
    /// Space it may use, with the defaults that hold; none is no limit.
    pub quota_bytes: Option<u64>,
    /// Space it uses.
    pub used_bytes: u64,
    /// How many messages it has.
    pub messages: u64,
    /// Protocols it may use, its domain aside.
    pub protocols: Vec<Protocol>,
    /// Its language, if it is set.
    pub language: Option<String>,
    /// Its own limits, as far as they are set.
    pub limits: Limits,
    /// The limits that hold for it; what is not named has none.
    pub in_force: BTreeMap<LimitName, u64>,
    /// Addresses its mail is forwarded to.
    pub forward_to: Vec<String>,
    /// Whether forwarded mail is kept here too.
    pub keep_copy: bool,
}

/// One alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its address.
    pub address: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its address.
    pub address: String,
    /// Its name for people.
    pub name: String,
    /// Who may send to it.
    pub who: WhoMaySend,
    /// Senders who always may.
    pub senders: Vec<String>,
    /// Members: users, groups, addresses elsewhere.
    pub members: Vec<String>,
}

/// One app password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    /// Its name.
    pub name: String,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// When it was used last, seconds since 1970, to the hour.
    pub last_used_s: Option<i64>,
}
