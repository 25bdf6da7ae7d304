//! The mail store: SQLite for what is indexed, segments for bodies, one group-committing writer.
//!
//! What a call has answered is on the disk array: a batch's bodies have left for the disk before its
//! transaction is written to the log, the log is synced before any ticket is answered or any reader sees
//! a row, and after the first failed write, sync or commit nothing is ever acknowledged again
//! ([`Store::failed`]).
//!
//! It never speaks a protocol, never parses a message (`message` does, in the caller's thread), and
//! knows of clusters only the epoch: a store that has served a higher one refuses to open.
//!
//! What always holds here, on disk:
//!
//! ```text
//! DIR/mail.db            SQLite, WAL, synchronous=FULL: directory, mailboxes, messages, queue
//! DIR/mail.db-wal, -shm  its log and the log's index
//! DIR/lock               held with flock(2) while a store is open
//! DIR/text.db            the full-text index, which can be made anew from the bodies
//! DIR/reserve            space set free when the disk is full, so that deleting always works
//! DIR/reserve-opening    space set free when the store is opened on a full disk, and kept back again
//! DIR/segments/00000001.seg
//!                        bodies, append only; a record is a 32-byte head, then the message
//! ```
//!
//! A body is stored once, however many recipients and mailboxes name it: `bodies.refs` counts them.
//! One sync makes a batch durable, bodies and rows. The bodies overwrite blocks that were written with
//! zeros and synced before, in a file system that overwrites in place, so nothing but their bytes has to
//! reach the disk; they are written out and awaited before the log is; and the sync of the log, on the
//! same disk, flushes the disk's cache with both in it. Where one of these does not hold (another file
//! system, a new segment, a batch in two segments, no zeros yet, a body that is moved) the segment is
//! synced first. Nor is the disk's word taken for the flush: a segment's row says where the last batch
//! began (`settled_bytes`), its records carry checksums, and what is not whole at the next start was
//! never acknowledged, for the next batch is not begun before the sync has returned; it is removed with
//! its rows. Cut the log anywhere in its last transaction, and SQLite ends at the one before; bytes
//! without a row lie behind the segment's committed end and are overwritten.
//!
//! Every queue, pool, batch and log is bounded by a constant of its module. No memory map is used on
//! mail.db, because a lost array must be an error, not a SIGBUS.

mod acl;
mod app_password;
mod changes;
mod check;
mod delivery;
mod directory;
mod directory_calls;
mod directory_change;
mod domain;
mod error;
mod feed;
mod flags;
mod group;
mod import;
mod kept;
mod limits;
mod listing;
mod mailbox;
mod metadata;
mod password;
mod places;
mod queue;
mod reader;
mod recent;
mod replace;
mod reserve;
mod route;
mod schema;
mod segment;
mod sharing;
mod signing;
mod snapshots;
mod sorting;
mod store;
mod text_index;
mod warning;
mod watchers;
mod writeback;
mod writer;

pub use acl::{ACL_ENTRIES_MAX, ANYONE, AclChange, AclEntry, Rights, SharedMailbox};
pub use app_password::{APP_PASSWORD_NAME_CHARS_MAX, APP_PASSWORDS_MAX, AppPassword, AppPasswordId};
pub use changes::{Changes, Entry, Row, Snapshot};
pub use check::CheckReport;
pub use delivery::{
    Append, Appended, Body, BodyId, BodyRef, Copied, Delivered, Delivery, Expunged, Placed, Recipient,
    RecipientOutcome,
};
pub use directory::{Account, AccountId, Alias, Domain, DomainId, PasswordHash, Quota, Resolution, Target};
pub use directory_change::{AccountChange, DomainChange, GroupChange};
pub use domain::{DomainRecord, HIDDEN_ADDRESS, HIDDEN_DOMAIN};
pub use error::StoreError;
pub use feed::{FEED_EVENTS_MAX, Feed, Heard, MailboxEvent};
pub use flags::{FlagAction, FlagNames, Flags, StoreFlags, Stored};
pub use group::{Group, WhoMaySend};
pub use import::{ImportMode, Imported, NewUser};
pub use limits::{Access, Limit, LimitName, LimitSet, Protocol, Protocols, SendingRate};
pub use listing::{DomainInUse, PAGE_MAX, Page, User};
pub use mailbox::{
    DELIMITER, MAILBOXES_MAX, Mailbox, MailboxId, OTHER_USERS, SpecialUse, Subscription, canonical_name,
};
pub use metadata::{
    METADATA_ENTRIES_MAX, METADATA_NAME_BYTES_MAX, METADATA_VALUE_BYTES_MAX, MetadataEntry, metadata_name,
};
pub use places::Place;
pub use queue::{
    DeliverBy, DestinationState, DueItem, Outcome, Outgoing, OutgoingRecipient, PRIORITY_MAX, QueueChange,
    QueueEntry, QueueFilter, QueueId, QueueTotals, Settled, Settlement, destination_of,
};
pub use replace::Replaced;
pub use route::{Addressee, NotTaken, Route};
pub use signing::{SIGNING_KEYS_MAX, SigningAlgorithm, SigningKey, SigningState};
pub use sorting::Visited;
pub use store::Store;
pub use text_index::TextProgress;
pub use warning::{Subject, WARNING_PERCENTS, Warning};
pub use writer::CommitCounts;

pub(crate) use store::growing_by;

/// One UID, from 1.
pub type Uid = u32;
/// UIDs as inclusive ranges, ascending, as a sequence set names them.
pub type UidRanges = Vec<std::ops::RangeInclusive<Uid>>;
/// Mod-sequence, RFC 7162; from 1, 63 bits.
pub type ModSeq = u64;
