//! What the mail service understands: health, accounts, domains, aliases, the queue.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use settings::Hidden;

use crate::directory;

/// The mailbox of the box's own probes: the prober writes to it, the mail service keeps it for nobody else.
pub const PROBE_MAILBOX: &str = "probe@probe.invalid";

/// What the cluster service tells the mail service at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Where the group's data is mounted.
    pub data_dir: String,
    /// Epoch of this ownership; a store that has seen a higher one refuses.
    pub epoch: u32,
    /// Addresses to listen on; empty means every address.
    pub addresses: Vec<IpAddr>,
    /// Name the service greets with.
    pub host_name: String,
    /// Name servers for outgoing mail.
    pub name_servers: Vec<IpAddr>,
    /// First domain and administrator, made when the store is new.
    pub first: Option<FirstAccount>,
    /// Ports to listen on.
    pub ports: Ports,
    /// Where the administration socket is.
    pub socket: String,
    /// Opens the mailbox of the box's own probes, from the box's own addresses only; new at every start.
    #[serde(default)]
    pub probe_token: Option<Hidden>,
}

/// First domain and administrator of a new store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAccount {
    /// Mail domain.
    pub domain: String,
    /// Local part of the administrator's account; `postmaster` becomes its alias (RFC 5321 4.5.1).
    pub account: String,
    /// Password as a PHC string.
    pub password_hash: String,
}

/// Ports to listen on; 0 turns a listener off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// SMTP from other servers.
    pub smtp: u16,
    /// Submission with STARTTLS.
    pub submission: u16,
    /// Submission with TLS from the first byte (RFC 8314).
    pub submissions: u16,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP with TLS from the first byte.
    pub imaps: u16,
    /// POP3 with STLS.
    pub pop3: u16,
    /// POP3 with TLS from the first byte.
    pub pop3s: u16,
    /// LMTP, for servers that were named; usually off.
    #[serde(default)]
    pub lmtp: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            smtp: 25,
            submission: 587,
            submissions: 465,
            imap: 143,
            imaps: 993,
            pop3: 110,
            pop3s: 995,
            lmtp: 0,
        }
    }
}

/// A request to the mail service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Is it serving? Answered only when store and listeners really work.
    Health,
    /// Numbers since start.
    Counters,
    /// Add a domain.
    DomainAdd {
        /// Its name, as a person writes it (U-labels are fine).
        domain: String,
    },
    /// Remove a domain that has no accounts.
    DomainRemove {
        /// Its name.
        domain: String,
    },
    /// Add an account.
    AccountAdd {
        /// Full address.
        address: String,
        /// Password in clear, only here.
        password: String,
        /// Space it may use; none is no limit.
        quota_bytes: Option<u64>,
    },
    /// Remove an account and its mail.
    AccountRemove {
        /// Full address.
        address: String,
    },
    /// Change a password.
    AccountPassword {
        /// Full address.
        address: String,
        /// New password in clear, only here.
        password: String,
    },
    /// Change the space an account may use.
    AccountQuota {
        /// Full address.
        address: String,
        /// Space it may use; none is no limit.
        quota_bytes: Option<u64>,
    },
    /// Add a target to an alias.
    AliasAdd {
        /// The alias's address.
        address: String,
        /// Where its mail goes.
        target: String,
    },
    /// Remove an alias, or one target of it.
    AliasRemove {
        /// The alias's address.
        address: String,
        /// Only this target.
        target: Option<String>,
    },
    /// The outgoing queue.
    Queue(crate::queue::Request),
    /// Keys that sign the mail of a domain, and its records for the DNS.
    Dkim(crate::queue::DkimRequest),
    /// Send all outgoing mail through this server; none goes back to MX.
    SmarthostSet {
        /// `host` or `host:port`.
        host: Option<String>,
        /// User name for AUTH.
        user: Option<String>,
        /// Password for AUTH.
        password: Option<String>,
    },
    /// Domains, users, groups: their settings and lists.
    Directory(directory::Request),
    /// Check every index against every body; long.
    StoreCheck,
    /// How far the full-text index is; with `rebuild` it is made anew first, beside everything else.
    TextIndex {
        /// Begin anew.
        rebuild: bool,
    },
    /// What was decided about those who bring mail.
    ReceivingShow,
    /// Decide about those who bring mail.
    ReceivingSet(ReceivingChange),
    /// Store or queue a letter of the box itself.
    Letter(Letter),
    /// Everything the metrics show of the mail service.
    Figures,
    /// A readiness drill: refuse every recipient from now on, until the service is started anew. Taken only
    /// where the cluster service probes the mail service, because nobody else would end it.
    DrillRefuse,
}

/// The mail service's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done, and durable.
    Done,
    /// It cannot be done; a sentence.
    Refused(String),
    /// It is serving.
    Healthy {
        /// Epoch it serves with.
        epoch: u32,
        /// Milliseconds since its start.
        uptime_ms: u64,
        /// Milliseconds a store transaction took just now.
        commit_ms: u64,
    },
    /// Numbers since start, by name.
    Counters(std::collections::BTreeMap<String, u64>),
    /// Domains, users, groups.
    Directory(directory::Reply),
    /// The outgoing queue.
    Queue(crate::queue::Reply),
    /// What belongs into the DNS.
    Dns(crate::queue::DnsRecords),
    /// What a check found.
    Check(CheckReport),
    /// How far the full-text index is.
    TextIndex(TextIndex),
    /// What is decided about those who bring mail.
    Receiving(Receiving),
    /// What the metrics show.
    Figures(Figures),
}

/// A letter of the box to its administrators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Names it for good: the same letter handed in twice has the same Message-ID.
    pub id: String,
    /// Who gets it; nobody named means the postmaster of the first domain.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its text, with CRLF at the end of each line.
    pub text: String,
}

/// What the metrics show of the mail service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Milliseconds since the service's start.
    pub uptime_ms: u64,
    /// Numbers since start, by name; each only grows.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Sessions under way, by protocol.
    pub sessions: std::collections::BTreeMap<String, u64>,
    /// Recipients that wait in the queue.
    pub queue_recipients: u64,
    /// Those of them that are held.
    pub queue_held: u64,
    /// Replies of SMTP by their first digit.
    pub smtp_replies: std::collections::BTreeMap<String, u64>,
    /// How long commits of the store took, synced.
    pub commits: Histogram,
    /// Whether the store's disk is too full to grow.
    pub disk_full: bool,
    /// Free and whole size of the store's file system, in bytes.
    pub disk_bytes: Option<(u64, u64)>,
}

/// Durations, counted by bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bound in microseconds and how many were not above it, rising.
    pub buckets: Vec<(u64, u64)>,
    /// How many in all.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_us: u64,
}

/// What is decided about those who bring mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiving {
    /// Addresses and networks that must begin with the PROXY protocol, and are believed.
    pub proxy_from: Vec<String>,
    /// Addresses and networks that may deliver over LMTP.
    pub lmtp_from: Vec<String>,
    /// `honour`, `junk` or `record`: what is done with mail that fails DMARC.
    pub dmarc: String,
}

/// What of it changes; none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivingChange {
    /// Addresses and networks that must begin with the PROXY protocol, and are believed.
    pub proxy_from: Option<Vec<String>>,
    /// Addresses and networks that may deliver over LMTP.
    pub lmtp_from: Option<Vec<String>>,
    /// `honour`, `junk` or `record`.
    pub dmarc: Option<String>,
}

/// How far the full-text index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextIndex {
    /// Bodies up to this number are in it.
    pub indexed: u64,
    /// The highest body number there is.
    pub of: u64,
    /// Whether it is being kept; if not, searches read the messages, and the next start begins it anew.
    pub kept: bool,
}

/// What a check of the store found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Messages looked at.
    pub messages: u64,
    /// Bodies looked at.
    pub bodies: u64,
    /// What is wrong, a sentence each; empty is clean.
    pub faults: Vec<String>,
}
