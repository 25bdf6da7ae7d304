//! The words about domains, users, groups, aliases and app passwords.

use clap::{Args, Subcommand, ValueEnum};
use control::directory::{
    DomainChange, GroupChange, Limit, LimitName, Limits, Protocol, UserChange, WhoMaySend,
};

use crate::queue::DkimWords;
use crate::words::{PasswordSource, Quota, Switch};

/// Rows shown if not said otherwise.
pub const ROWS_SHOWN: usize = 1_000;

/// Mail domains.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Add a domain
    Add {
        /// Its name, such as example.com
        domain: String,
    },
    /// Remove a domain that has no accounts
    Remove {
        /// Its name
        domain: String,
    },
    /// List the domains
    List {
        /// Piece of the list
        #[command(flatten)]
        piece: Piece,
    },
    /// Show a domain with its settings
    Show {
        /// Its name
        domain: String,
    },
    /// Change a domain's settings
    Set {
        /// Its name
        domain: String,
        /// What changes
        #[command(flatten)]
        settings: Box<DomainSettings>,
    },
    /// Show what belongs into the DNS for a domain, and its keys; makes the first keys
    Dkim(DkimWords),
}

/// Mail users.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user
    Add {
        /// Full address
        address: String,
        /// The password
        #[command(flatten)]
        password: PasswordSource,
        /// Settings
        #[command(flatten)]
        settings: Box<UserSettings>,
    },
    /// Remove a user and the mail
    Remove {
        /// Full address
        address: String,
    },
    /// List the users
    List {
        /// Only this domain
        domain: Option<String>,
        /// Only addresses that begin like this
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prefix: String,
        /// Piece of the list
        #[command(flatten)]
        piece: Piece,
    },
    /// Show a user with settings and limits in force
    Show {
        /// Full address
        address: String,
    },
    /// Change a user's settings
    Set {
        /// Full address
        address: String,
        /// What changes
        #[command(flatten)]
        settings: Box<UserSettings>,
    },
    /// Change a user's password
    Password {
        /// Full address
        address: String,
        /// The new password
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Change the space a user may use
    Quota {
        /// Full address
        address: String,
        /// Such as 500M or 2G, or none
        #[arg(value_name = "SIZE")]
        quota: Quota,
    },
    /// Forward a user's mail; without an address it ends
    Forward {
        /// Full address
        address: String,
        /// Where the mail goes
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// on: keep a copy here, off: only forward
        #[arg(long, value_name = "on|off", hide_possible_values = true)]
        keep: Option<Switch>,
    },
    /// Make users from a CSV file; see the page about users for its columns
    Import {
        /// The file, in UTF-8 or GB18030
        file: std::path::PathBuf,
        /// Change users who are there; else they stay as they are
        #[arg(long)]
        update: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Print users as a CSV file that can be imported, with the records of their passwords
    Export {
        /// Only this domain
        domain: Option<String>,
    },
}

/// Groups.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Add a group
    Add {
        /// Its address
        address: String,
        /// Its members
        #[arg(value_name = "MEMBER")]
        members: Vec<String>,
        /// Settings
        #[command(flatten)]
        settings: GroupSettings,
    },
    /// Remove a group
    Remove {
        /// Its address
        address: String,
    },
    /// List the groups
    List {
        /// Only this domain
        domain: Option<String>,
        /// Piece of the list
        #[command(flatten)]
        piece: Piece,
    },
    /// Show a group with its members
    Show {
        /// Its address
        address: String,
    },
    /// Change a group's settings
    Set {
        /// Its address
        address: String,
        /// What changes
        #[command(flatten)]
        settings: GroupSettings,
    },
    /// Add members: users, groups, addresses elsewhere
    Join {
        /// The group's address
        address: String,
        /// Who joins
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
    },
    /// Remove members
    Leave {
        /// The group's address
        address: String,
        /// Who leaves
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
    },
    /// Add senders who may always write to it: addresses or @domain
    Allow {
        /// The group's address
        address: String,
        /// Who may
        #[arg(value_name = "SENDER", required = true)]
        senders: Vec<String>,
    },
    /// Remove such senders
    Forbid {
        /// The group's address
        address: String,
        /// Who may no longer
        #[arg(value_name = "SENDER", required = true)]
        senders: Vec<String>,
    },
}

/// Aliases.
#[derive(Debug, Subcommand)]
pub enum Alias {
    /// Add a target to an alias
    Add {
        /// The alias's address
        address: String,
        /// Where its mail goes
        target: String,
    },
    /// Remove an alias, or one target of it
    Remove {
        /// The alias's address
        address: String,
        /// Only this target
        target: Option<String>,
    },
    /// List the aliases
    List {
        /// Only this domain
        domain: Option<String>,
        /// Piece of the list
        #[command(flatten)]
        piece: Piece,
    },
}

/// App passwords.
#[derive(Debug, Subcommand)]
pub enum AppPassword {
    /// Make an app password and show it, this once
    Add {
        /// The user's address
        address: String,
        /// Its name, such as phone
        name: String,
    },
    /// Revoke an app password
    Remove {
        /// The user's address
        address: String,
        /// Its name
        name: String,
    },
    /// List a user's app passwords
    List {
        /// The user's address
        address: String,
    },
}

/// The limits that hold where neither user nor domain sets one.
#[derive(Debug, Subcommand)]
pub enum Defaults {
    /// Show them
    Show,
    /// Change them
    Set {
        /// Those that change
        #[command(flatten)]
        limits: LimitWords,
    },
}

/// A piece of a list.
#[derive(Debug, Clone, Args)]
pub struct Piece {
    /// Only what comes after this one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub after: String,
    /// How many at most; 1000 if not said
    #[arg(long, value_name = "COUNT", default_value_t = ROWS_SHOWN, hide_default_value = true)]
    pub limit: usize,
}

/// A limit as it is typed: a size or number, `none`, `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Limit);

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("default") {
            return Ok(Self(Limit::Default));
        }
        let refused = || format!("{text:?} is not a number, a size such as 500M or 2G, none or default");
        text.parse::<Quota>()
            .map(|quota| Self(quota.0.map_or(Limit::None, Limit::AtMost)))
            .map_err(|_| refused())
    }
}

/// Limits of a user.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitWords {
    /// Space, such as 2G, or none, or default
    #[arg(long, value_name = "SIZE", alias = "quota")]
    pub space: Option<Amount>,
    /// Messages kept
    #[arg(long, value_name = "COUNT")]
    pub messages: Option<Amount>,
    /// Largest message that comes in
    #[arg(long, value_name = "SIZE")]
    pub largest_message: Option<Amount>,
    /// Largest attachment that comes in
    #[arg(long, value_name = "SIZE")]
    pub largest_attachment: Option<Amount>,
    /// Messages sent in an hour
    #[arg(long, value_name = "COUNT")]
    pub messages_hour: Option<Amount>,
    /// Messages sent in a day
    #[arg(long, value_name = "COUNT")]
    pub messages_day: Option<Amount>,
    /// Recipients sent to in an hour
    #[arg(long, value_name = "COUNT")]
    pub recipients_hour: Option<Amount>,
    /// Recipients sent to in a day
    #[arg(long, value_name = "COUNT")]
    pub recipients_day: Option<Amount>,
}

impl LimitWords {
    /// Those that were named.
    pub fn limits(&self) -> Limits {
        let named = [
            (LimitName::Space, self.space),
            (LimitName::Messages, self.messages),
            (LimitName::LargestMessage, self.largest_message),
            (LimitName::LargestAttachment, self.largest_attachment),
            (LimitName::MessagesHour, self.messages_hour),
            (LimitName::MessagesDay, self.messages_day),
            (LimitName::RecipientsHour, self.recipients_hour),
            (LimitName::RecipientsDay, self.recipients_day),
        ];
        named.into_iter().filter_map(|(name, amount)| Some((name, amount?.0))).collect()
    }
}

/// Limits of the users of a domain who have none of their own.
#[derive(Debug, Clone, Default, Args)]
pub struct DefaultWords {
    /// Default for its users: space
    #[arg(long, value_name = "SIZE")]
    pub user_space: Option<Amount>,
    /// Default for its users: messages kept
    #[arg(long, value_name = "COUNT")]
    pub user_messages: Option<Amount>,
    /// Default for its users: largest message that comes in
    #[arg(long, value_name = "SIZE")]
    pub user_largest_message: Option<Amount>,
    /// Default for its users: largest attachment that comes in
    #[arg(long, value_name = "SIZE")]
    pub user_largest_attachment: Option<Amount>,
    /// Default for its users: messages sent in an hour
    #[arg(long, value_name = "COUNT")]
    pub user_messages_hour: Option<Amount>,
    /// Default for its users: messages sent in a day
    #[arg(long, value_name = "COUNT")]
    pub user_messages_day: Option<Amount>,
    /// Default for its users: recipients sent to in an hour
    #[arg(long, value_name = "COUNT")]
    pub user_recipients_hour: Option<Amount>,
    /// Default for its users: recipients sent to in a day
    #[arg(long, value_name = "COUNT")]
    pub user_recipients_day: Option<Amount>,
}

impl DefaultWords {
    fn limits(&self) -> Limits {
        LimitWords {
            space: self.user_space,
            messages: self.user_messages,
            largest_message: self.user_largest_message,
            largest_attachment: self.user_largest_attachment,
            messages_hour: self.user_messages_hour,
            messages_day: self.user_messages_day,
            recipients_hour: self.user_recipients_hour,
            recipients_day: self.user_recipients_day,
        }
        .limits()
    }
}

/// What all users of a domain may send together.
#[derive(Debug, Clone, Default, Args)]
pub struct SendingWords {
    /// Messages all its users may send together in an hour, or none
    #[arg(long, value_name = "COUNT")]
    pub messages_hour: Option<Amount>,
    /// Messages all its users may send together in a day, or none
    #[arg(long, value_name = "COUNT")]
    pub messages_day: Option<Amount>,
    /// Recipients all its users may send to together in an hour, or none
    #[arg(long, value_name = "COUNT")]
    pub recipients_hour: Option<Amount>,
    /// Recipients all its users may send to together in a day, or none
    #[arg(long, value_name = "COUNT")]
    pub recipients_day: Option<Amount>,
}

impl SendingWords {
    fn limits(&self) -> Limits {
        LimitWords {
            messages_hour: self.messages_hour,
            messages_day: self.messages_day,
            recipients_hour: self.recipients_hour,
            recipients_day: self.recipients_day,
            ..LimitWords::default()
        }
        .limits()
    }
}

/// Protocols as they are typed: names with commas, `all`, `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(pub Vec<Protocol>);

impl std::str::FromStr for Protocols {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "all" => return Ok(Self(Protocol::ALL.to_vec())),
            "none" => return Ok(Self(Vec::new())),
            _ => {}
        }
        let words = text.split([',', ' ', '+', ';']).filter(|word| !word.is_empty());
        let find = |word: &str| Protocol::ALL.into_iter().find(|protocol| protocol.word() == word);
        let found: Option<Vec<_>> = words.map(find).collect();
        found
            .filter(|list| !list.is_empty())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not all, none, or some of smtp,imap,pop3,webmail"))
    }
}

/// A language of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MailLanguage {
    /// English
    En,
    /// Chinese
    Zh,
    /// That of the domain or the system
    Default,
}

impl MailLanguage {
    fn word(self) -> String {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
            Self::Default => "",
        }
        .to_owned()
    }
}

/// Settings of a domain.
#[derive(Debug, Clone, Args)]
pub struct DomainSettings {
    /// on: in use; off: no mail, no logins
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    pub enabled: Option<Switch>,
    /// Space all its users may use together, such as 500G, or none
    #[arg(long, value_name = "SIZE")]
    pub space: Option<Amount>,
    /// Users it may have, or none for no limit
    #[arg(long, value_name = "COUNT")]
    pub users: Option<Amount>,
    /// Protocols its users may use: all, none, or some of smtp,imap,pop3,webmail
    #[arg(long, value_name = "LIST")]
    pub protocols: Option<Protocols>,
    /// on: user+detail@ leads to user@, into the folder of that name if there is one
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    pub plus: Option<Switch>,
    /// Address that gets mail for unknown users, or none to refuse it
    #[arg(long, value_name = "ADDRESS")]
    pub catch_all: Option<String>,
    /// Language of notices: en, zh or default
    #[arg(long, value_name = "LANGUAGE", hide_possible_values = true)]
    pub mail_language: Option<MailLanguage>,
    /// Limits of users who have none of their own.
    #[command(flatten)]
    pub defaults: DefaultWords,
    /// What they may send together.
    #[command(flatten)]
    pub sending: SendingWords,
}

impl DomainSettings {
    /// What they change.
    pub fn change(self) -> DomainChange {
        let catch_all = |word: String| if word.eq_ignore_ascii_case("none") { String::new() } else { word };
        DomainChange {
            enabled: self.enabled.map(Switch::is_on),
            space: self.space.map(|amount| amount.0),
            users: self.users.map(|amount| amount.0),
            protocols: self.protocols.map(|list| list.0),
            plus_addressing: self.plus.map(Switch::is_on),
            language: self.mail_language.map(MailLanguage::word),
            catch_all: self.catch_all.map(catch_all),
            defaults: self.defaults.limits(),
            sending: self.sending.limits(),
        }
    }
}

/// Settings of a user.
#[derive(Debug, Clone, Args)]
pub struct UserSettings {
    /// The user's name for people
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// on: in use; off: no mail, no logins
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    pub enabled: Option<Switch>,
    /// Protocols the user may use: all, none, or some of smtp,imap,pop3,webmail
    #[arg(long, value_name = "LIST")]
    pub protocols: Option<Protocols>,
    /// Language of notices: en, zh or default
    #[arg(long, value_name = "LANGUAGE", hide_possible_values = true)]
    pub mail_language: Option<MailLanguage>,
    /// Own limits.
    #[command(flatten)]
    pub limits: LimitWords,
}

impl UserSettings {
    /// What they change.
    pub fn change(self) -> UserChange {
        UserChange {
            enabled: self.enabled.map(Switch::is_on),
            protocols: self.protocols.map(|list| list.0),
            name: self.name,
            language: self.mail_language.map(MailLanguage::word),
            limits: self.limits.limits(),
            forward_to: None,
            keep_copy: None,
        }
    }
}

/// Who may send to a group, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Anybody
    Anyone,
    /// Its members
    Members,
    /// Users of its domain
    Domain,
    /// Named senders only
    Named,
}

/// Settings of a group.
#[derive(Debug, Clone, Args)]
pub struct GroupSettings {
    /// Its name for people
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Who may send to it: anyone, members, domain (its users), or named
    #[arg(long, value_name = "WHO", hide_possible_values = true)]
    pub who: Option<Who>,
}

impl GroupSettings {
    /// What they change.
    pub fn change(self) -> GroupChange {
        let who = |who| match who {
            Who::Anyone => WhoMaySend::Anyone,
            Who::Members => WhoMaySend::Members,
            Who::Domain => WhoMaySend::Domain,
            Who::Named => WhoMaySend::Named,
        };
        GroupChange { name: self.name, who: self.who.map(who), ..GroupChange::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_protocols_are_understood_or_explained() {
        assert_eq!("2G".parse(), Ok(Amount(Limit::AtMost(2 << 30))));
        assert_eq!("NONE".parse(), Ok(Amount(Limit::None)));
        assert_eq!("default".parse(), Ok(Amount(Limit::Default)));
        assert!("two".parse::<Amount>().is_err());
        assert_eq!("imap, POP3".parse(), Ok(Protocols(vec![Protocol::Imap, Protocol::Pop3])));
        assert_eq!("none".parse(), Ok(Protocols(Vec::new())));
        assert_eq!("all".parse::<Protocols>().unwrap().0.len(), 4);
        assert!("imap,gopher".parse::<Protocols>().is_err() && "".parse::<Protocols>().is_err());
    }
}
