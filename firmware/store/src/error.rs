//! What can go wrong, one variant per cause.

use rusqlite::ErrorCode;

/// Why a store operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the mail store is in use by another process; wait until it has stopped")]
    InUse,
    /// The other box has served this store since.
    #[error("the mail store has served epoch {seen}, this box has epoch {mine}; it must take the group anew")]
    OldEpoch {
        /// Epoch in the store.
        seen: u32,
        /// Epoch of this box.
        mine: u32,
    },
    /// Written by a later version.
    #[error("the mail store has format {found}, this version knows up to {known}; install the newer version")]
    NewerFormat {
        /// Format found.
        found: u32,
        /// Highest format known here.
        known: u32,
    },
    /// A write, sync or commit failed earlier; nothing is acknowledged any more.
    #[error("the mail store has failed and must be restarted: {0}")]
    Failed(String),
    /// The disk is full; nothing was changed.
    #[error("the mail disk is full; delete mail or enlarge the LUN")]
    DiskFull,
    /// The store is shutting down.
    #[error("the mail store is closed")]
    Closed,
    /// Request is larger than a batch may be.
    #[error("the request has {bytes} bytes, more than the store takes at once")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// No such domain.
    #[error("there is no domain {0}; add it first")]
    NoSuchDomain(String),
    /// No such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// No such alias or target.
    #[error("there is no such alias")]
    NoSuchAlias,
    /// No such mailbox.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// No such key.
    #[error("there is no key {0} for this domain")]
    NoSuchKey(String),
    /// The domain has enough keys.
    #[error("a domain has at most {max} keys; remove old ones first")]
    TooManyKeys {
        /// The bound.
        max: usize,
    },
    /// No such outgoing message.
    #[error("there is no such message in the queue")]
    NoSuchQueued,
    /// The name is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// The domain is not empty.
    #[error("the domain {0} still has accounts; remove them first")]
    DomainInUse(String),
    /// An address that is none.
    #[error("{0} is not a mail address")]
    BadAddress(String),
    /// An alias has too many targets.
    #[error("an alias has at most {max} targets")]
    TooManyTargets {
        /// The bound.
        max: usize,
    },
    /// Not a mailbox name.
    #[error("{0:?} cannot be the name of a mailbox")]
    BadMailboxName(String),
    /// Too many mailboxes.
    #[error("an account has at most {max} mailboxes")]
    TooManyMailboxes {
        /// The bound.
        max: usize,
    },
    /// What IMAP forbids for this mailbox (deleting INBOX, a name with children twice).
    #[error("this cannot be done with mailbox {0}")]
    MailboxProtected(String),
    /// The mailbox holds no messages, only other mailboxes.
    #[error("the mailbox cannot hold messages")]
    NotSelectable,
    /// The user has no right to do this.
    #[error("you have no right to do this")]
    Forbidden,
    /// The access control list is full.
    #[error("a mailbox has at most {max} entries in its access control list")]
    TooManyAclEntries {
        /// The bound.
        max: usize,
    },
    /// An annotation cannot have this name.
    #[error("an annotation cannot have the name {0}")]
    BadMetadataName(String),
    /// An annotation is too long.
    #[error("an annotation has at most {max} bytes")]
    MetadataTooBig {
        /// The bound.
        max: usize,
    },
    /// No room for another annotation.
    #[error("there are too many annotations")]
    TooManyMetadata,
    /// The special use cannot be given to this mailbox.
    #[error("the special use {0} cannot be given to this mailbox")]
    BadSpecialUse(&'static str),
    /// No room for another keyword.
    #[error("a mailbox has at most {max} different keywords")]
    TooManyKeywords {
        /// The bound.
        max: usize,
    },
    /// Account over its space or message limit.
    #[error("the account is over its quota")]
    OverQuota,
    /// The account's domain is over its space.
    #[error("the domain is over its quota")]
    DomainOverQuota,
    /// The domain has all the users it may have.
    #[error("the domain {domain} may have {limit} users and has them; raise its number of users first")]
    TooManyUsers {
        /// Its name.
        domain: String,
        /// How many it may have.
        limit: u64,
    },
    /// No such group, or no such member or sender of it.
    #[error("there is no such group, or it has no such member or sender")]
    NoSuchGroup,
    /// Not a language of the notices.
    #[error("{0:?} is no language; there are en and zh")]
    NoSuchLanguage(String),
    /// A new user without a password.
    #[error("a new user needs a password")]
    NoPassword,
    /// No such app password.
    #[error("the account has no app password of this name")]
    NoSuchAppPassword,
    /// Too many of something that one entry of the directory may have.
    #[error("at most {max} {what} are possible here")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The mailbox has used all its UIDs.
    #[error("the mailbox has no UID left; make a new one")]
    NoUidLeft,
    /// A body that does not carry its checksum.
    #[error("the body of message {body} is damaged in segment {segment} at {offset}")]
    Damaged {
        /// Body number.
        body: u64,
        /// Segment number.
        segment: u32,
        /// Offset of its record.
        offset: u64,
    },
    /// The body is gone, because its last message was expunged.
    #[error("the message is gone")]
    Gone,
    /// All readers stayed busy too long.
    #[error("the mail store is too busy to read; try again")]
    Busy,
    /// SQLite said no.
    #[error("database error: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system said no.
    #[error("input or output error: {0}")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// The disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull => true,
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Io(error) => {
                matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// It concerns the disk or the database as a whole, not the one request that met it.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::DiskFull | Self::Io(_) | Self::Failed(_) => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::OutOfMemory
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::FileLockingProtocolFailed
                )
            ),
            _ => false,
        }
    }
}
