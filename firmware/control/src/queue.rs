//! What the mail service understands of its outgoing queue, and of the keys that sign what leaves it.

use serde::{Deserialize, Serialize};

/// A question or an order about the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A page of the queue.
    List {
        /// Which recipients.
        filter: Filter,
        /// Behind this number; 0 from the beginning.
        after: u64,
        /// At most so many.
        limit: usize,
    },
    /// Everything about one recipient.
    Show {
        /// Its number.
        id: u64,
    },
    /// They are not tried until released, and do not grow old.
    Hold(Which),
    /// What was held is tried.
    Release(Which),
    /// They are tried now.
    Retry(Which),
    /// They are given up.
    Drop {
        /// Which.
        which: Which,
        /// Whether their senders are told.
        tell: bool,
    },
    /// Nothing leaves until [`Request::Resume`].
    Pause,
    /// Mail leaves again.
    Resume,
}

/// Which recipients; everything given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Part of the envelope sender; empty means notices.
    pub sender: Option<String>,
    /// Part of the recipient.
    pub recipient: Option<String>,
    /// Domain it goes to, whole.
    pub destination: Option<String>,
    /// Only what is held.
    pub held: bool,
}

/// Which recipients an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// These.
    Numbers(Vec<u64>),
    /// All that fit; all there are with an empty filter.
    Fitting(Filter),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A page.
    Page(Page),
    /// Everything about one recipient.
    Item(Box<Item>),
    /// It is done, to so many recipients.
    Changed {
        /// How many.
        recipients: u64,
    },
}

/// A page of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Recipients.
    pub entries: Vec<Queued>,
    /// There may be more behind this number.
    pub next: Option<u64>,
    /// Nothing leaves at present.
    pub paused: bool,
    /// Recipients in the whole queue.
    pub recipients: u64,
    /// Messages in the whole queue.
    pub messages: u64,
    /// Recipients that are held.
    pub held: u64,
}

/// One outgoing message and recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its number.
    pub id: u64,
    /// Number shared by the recipients of one message.
    pub message: u64,
    /// Envelope sender; empty for a notice.
    pub sender: String,
    /// Envelope recipient.
    pub recipient: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Seconds since it was accepted.
    pub age_s: u64,
    /// Tries so far.
    pub attempts: u32,
    /// Seconds until the next try.
    pub next_s: u64,
    /// It waits for an administrator.
    pub held: bool,
    /// What the other side said last.
    pub last_error: Option<String>,
}

/// Everything about one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// As in the list.
    pub queued: Queued,
    /// Seconds until it is given up.
    pub expires_s: u64,
    /// The account that submitted it.
    pub account: Option<String>,
    /// ENVID.
    pub envelope_id: Option<String>,
    /// ORCPT.
    pub original: Option<String>,
    /// NOTIFY: SUCCESS, FAILURE, DELAY.
    pub notify: Vec<String>,
    /// MT-PRIORITY.
    pub priority: i8,
    /// REQUIRETLS was demanded.
    pub require_tls: bool,
    /// Its sender has been told that it is late.
    pub delay_noticed: bool,
    /// When it was tried, seconds ago, and what was said.
    pub tries: Vec<Try>,
    /// The message's header.
    pub header: String,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Seconds since then.
    pub age_s: u64,
    /// What was said.
    pub said: String,
}

/// An order about the keys of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimRequest {
    /// The domain.
    pub domain: String,
    /// What is to be done before the records are shown.
    pub action: DkimAction,
}

/// What is done with the keys of a domain (RFC 6376).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DkimAction {
    /// Nothing but making the first keys where there are none.
    Show,
    /// New keys are made; they sign once they are activated.
    Rotate,
    /// The newest keys sign from now on; the old ones are kept until they are removed.
    Activate,
    /// A key is removed.
    Remove {
        /// Its selector.
        selector: String,
    },
}

/// What belongs into the DNS for a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecords {
    /// Its keys.
    pub keys: Vec<DkimKey>,
    /// Lines of a zone file.
    pub records: Vec<String>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimKey {
    /// Selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub algorithm: String,
    /// `new`, `active` or `old`.
    pub state: String,
}
