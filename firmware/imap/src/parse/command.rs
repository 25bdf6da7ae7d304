//! The commands, as types.

use bytes::Bytes;

use super::{
    AclCommand, FetchItem, FetchModifiers, ListRequest, MetadataCommand, NotifyRequest, SearchKey,
    SearchReturn, SearchSource, SequenceSet, SortCriterion, StatusItem, ThreadAlgorithm, ZonedTime,
};

/// A command with the tag that its answer carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged {
    /// The client's tag.
    pub tag: String,
    /// What it asks for.
    pub command: Command,
}

/// The field-value pairs of an ID command (RFC 2971).
pub type IdPairs = Vec<(Bytes, Option<Bytes>)>;

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// `\Recent`, which a client cannot set: it is read and has no effect.
    Recent,
    /// Any keyword.
    Keyword(String),
}

/// How STORE changes flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Parameters of SELECT and EXAMINE (RFC 4466).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectParameters {
    /// CONDSTORE (RFC 7162 section 3.1.8).
    pub condstore: bool,
    /// QRESYNC (RFC 7162 section 3.2.5).
    pub qresync: Option<Resync>,
}

/// What a client that comes back knows of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// UIDVALIDITY it saw.
    pub uid_validity: u32,
    /// Modification sequence up to which it knows everything.
    pub modseq: u64,
    /// UIDs it knows; all when it does not say.
    pub known: Option<SequenceSet>,
    /// Sequence numbers and the UIDs they had, as many of these as of those.
    pub numbers: Option<(SequenceSet, SequenceSet)>,
}

/// What a message of an APPEND is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendContent {
    /// Its bytes, not copied from the command.
    Whole(Bytes),
    /// Pieces that are put together (CATENATE, RFC 4469).
    Pieces(Vec<AppendPiece>),
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendPiece {
    /// Bytes, not copied from the command.
    Text(Bytes),
    /// An IMAP URL (RFC 5092) of something that is here.
    Url(Bytes),
}

/// One message of an APPEND.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its INTERNALDATE, if the client gave one.
    pub date: Option<ZonedTime>,
    /// What it is made of.
    pub content: AppendContent,
}

/// What a client can ask for. Mailbox names are UTF-8 and INBOX has its one spelling.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE, with the initial response of SASL-IR (RFC 4959) still in base64.
    Authenticate {
        /// Mechanism, in upper case.
        mechanism: String,
        /// Initial response; `=` stands for an empty one.
        initial: Option<String>,
    },
    /// LOGIN
    Login {
        /// User name.
        user: Bytes,
        /// Password.
        password: Bytes,
    },
    /// COMPRESS (RFC 4978): the algorithm, in upper case.
    Compress(String),
    /// UNAUTHENTICATE (RFC 8437)
    Unauthenticate,
    /// ENABLE (RFC 5161), in upper case.
    Enable(Vec<String>),
    /// ID (RFC 2971)
    Id(Option<IdPairs>),
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// IDLE (RFC 2177)
    Idle,
    /// SELECT or EXAMINE
    Select {
        /// Which.
        mailbox: String,
        /// EXAMINE.
        read_only: bool,
        /// What else the client wants.
        parameters: SelectParameters,
    },
    /// CREATE
    Create {
        /// Which.
        mailbox: String,
        /// USE (RFC 6154 section 3).
        uses: Vec<String>,
    },
    /// DELETE
    Delete(String),
    /// RENAME
    Rename {
        /// Name it has.
        from: String,
        /// Name it gets.
        to: String,
    },
    /// SUBSCRIBE
    Subscribe(String),
    /// UNSUBSCRIBE
    Unsubscribe(String),
    /// LIST, plain or extended (RFC 5258).
    List(ListRequest),
    /// LSUB
    Lsub {
        /// Reference name.
        reference: String,
        /// Name with wildcards.
        pattern: String,
    },
    /// STATUS
    Status {
        /// Which.
        mailbox: String,
        /// What is asked.
        items: Vec<StatusItem>,
    },
    /// APPEND, of several messages too (RFC 3502).
    Append {
        /// Where to.
        mailbox: String,
        /// What; at least one.
        messages: Vec<AppendMessage>,
    },
    /// REPLACE (RFC 8508)
    Replace {
        /// The number is a UID.
        uid: bool,
        /// Which message goes: one number, or `*`.
        set: SequenceSet,
        /// Where to.
        mailbox: String,
        /// What comes instead.
        message: AppendMessage,
    },
    /// GETQUOTA (RFC 9208)
    GetQuota(String),
    /// GETQUOTAROOT (RFC 9208)
    GetQuotaRoot(String),
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE, or UID EXPUNGE (RFC 4315) with its set.
    Expunge {
        /// Only these.
        uids: Option<SequenceSet>,
    },
    /// SEARCH and UID SEARCH
    Search {
        /// Answer in UIDs.
        uid: bool,
        /// RETURN options of ESEARCH (RFC 4731); none without RETURN.
        returns: Option<Vec<SearchReturn>>,
        /// What to look for.
        key: SearchKey,
    },
    /// FETCH and UID FETCH
    Fetch {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// What of them, macros expanded.
        items: Vec<FetchItem>,
        /// How they are chosen and told.
        modifiers: FetchModifiers,
    },
    /// STORE and UID STORE
    Store {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// UNCHANGEDSINCE (RFC 7162 section 3.1.3).
        unchanged_since: Option<u64>,
        /// How.
        mode: StoreMode,
        /// `.SILENT`
        silent: bool,
        /// Which flags.
        flags: Vec<Flag>,
    },
    /// COPY, MOVE (RFC 6851) and their UID forms
    Copy {
        /// The set is of UIDs.
        uid: bool,
        /// Remove them here.
        remove: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: String,
    },
    /// SORT and UID SORT (RFC 5256, RFC 5267)
    Sort {
        /// Answer in UIDs.
        uid: bool,
        /// RETURN options; none without RETURN.
        returns: Option<Vec<SearchReturn>>,
        /// The order.
        criteria: Vec<SortCriterion>,
        /// What to look for.
        key: SearchKey,
    },
    /// THREAD and UID THREAD (RFC 5256)
    Thread {
        /// Answer in UIDs.
        uid: bool,
        /// How.
        algorithm: ThreadAlgorithm,
        /// What to look for.
        key: SearchKey,
    },
    /// ESEARCH (RFC 7377)
    MultiSearch {
        /// Where; none for the selected mailbox.
        sources: Vec<SearchSource>,
        /// RETURN options.
        returns: Vec<SearchReturn>,
        /// What to look for.
        key: SearchKey,
    },
    /// SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314)
    Acl {
        /// Of which mailbox.
        mailbox: String,
        /// What.
        command: AclCommand,
    },
    /// GETMETADATA and SETMETADATA (RFC 5464)
    Metadata {
        /// Of which mailbox; empty for the server.
        mailbox: String,
        /// What.
        command: MetadataCommand,
    },
    /// SETQUOTA (RFC 9208)
    SetQuota,
    /// NOTIFY (RFC 5465); none for NOTIFY NONE.
    Notify(Option<NotifyRequest>),
}
