//! Why the shell refuses, and the reply that says so (RFC 5321 4.2, RFC 3463, RFC 4954 6).

use crate::reply::Reply;

/// Why the shell says no; each has its own reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// User or password is wrong.
    BadCredentials,
    /// Too many passwords were being checked, or the store could not be asked.
    AuthenticationUnavailable,
    /// The account may not send under this address.
    SenderNotYours,
    /// The account may not write this address into `From`.
    FromNotYours,
    /// The domain is ours, the user does not exist.
    UnknownUser,
    /// The domain is not ours and the client may not send elsewhere.
    RelayDenied,
    /// An address literal or a domain that cannot be sent to.
    BadDestination,
    /// The account is switched off.
    AccountDisabled,
    /// The domain is switched off.
    DomainDisabled,
    /// No room in the mailbox now.
    MailboxFull,
    /// The message is larger than the mailbox may ever become.
    NeverFits,
    /// The domain's space is used up.
    DomainFull,
    /// The message is larger than this mailbox takes.
    TooLargeForMailbox,
    /// An attachment is larger than this mailbox takes.
    AttachmentTooLarge,
    /// The sender may not write to this group.
    NotForYou,
    /// The domain in `From` asks to refuse what it did not send (RFC 7489 6.3).
    NotAuthentic,
    /// The message has been here before.
    Loop,
    /// The message has more local copies than one transaction may make.
    TooManyCopies,
    /// Sender or address sends faster than allowed.
    TooFast,
    /// More recipients than this account may ever send to, or no message at all.
    NeverSo,
    /// The disk that the mail is on is full.
    DiskFull,
    /// Bodies in memory are at their bound.
    Busy,
    /// The store did not take the message.
    StoreUnavailable,
    /// The service is about to stop.
    ShuttingDown,
}

impl Refusal {
    /// Whether the whole session ends with it.
    pub fn ends_session(self) -> bool {
        self == Self::ShuttingDown
    }

    /// What the client is told.
    pub fn reply(self) -> Reply {
        match self {
            Self::BadCredentials => Reply::new(535, "5.7.8", "User name or password is wrong"),
            Self::AuthenticationUnavailable => {
                Reply::new(454, "4.7.0", "Authentication is not possible now, try again later")
            }
            Self::SenderNotYours => Reply::new(553, "5.7.1", "This sender address is not yours"),
            Self::FromNotYours => Reply::new(553, "5.7.1", "The address in From is not yours"),
            Self::UnknownUser => Reply::new(550, "5.1.1", "No such user here"),
            Self::RelayDenied => Reply::new(550, "5.7.1", "Relaying denied"),
            Self::BadDestination => Reply::new(550, "5.1.2", "Mail cannot be sent to that domain"),
            Self::AccountDisabled => Reply::new(550, "5.2.1", "The mailbox is switched off"),
            Self::DomainDisabled => Reply::new(550, "5.1.2", "Mail for that domain is switched off"),
            Self::DomainFull => Reply::new(452, "4.2.2", "The domain has no room left"),
            Self::TooLargeForMailbox => {
                Reply::new(552, "5.2.3", "The message is larger than this mailbox takes")
            }
            Self::AttachmentTooLarge => {
                Reply::new(552, "5.3.4", "An attachment is larger than this mailbox takes")
            }
            Self::NotForYou => Reply::new(550, "5.7.2", "You may not write to this group"),
            Self::NotAuthentic => {
                Reply::new(550, "5.7.26", "The domain in From asks to refuse mail that is not authentic")
            }
            Self::Loop => {
                Reply::new(554, "5.4.6", "The message went through too many servers, it is in a loop")
            }
            Self::MailboxFull => Reply::new(452, "4.2.2", "The mailbox is full"),
            Self::NeverFits => {
                Reply::new(552, "5.2.2", "The message is larger than the mailbox may ever become")
            }
            Self::TooManyCopies => Reply::new(452, "4.5.3", "Too many recipients behind these aliases"),
            Self::TooFast => Reply::new(450, "4.7.1", "Too much mail in a short time, try again later"),
            Self::NeverSo => Reply::new(550, "5.7.1", "You may not send to so many recipients"),
            Self::DiskFull => Reply::new(452, "4.3.1", "The server has no room left, try again later"),
            Self::Busy => Reply::new(452, "4.4.5", "Too many large messages at once, try again later"),
            Self::StoreUnavailable => Reply::new(451, "4.3.0", "The message was not stored, try again later"),
            Self::ShuttingDown => Reply::new(421, "4.3.2", "The service is stopping, try again at once"),
        }
    }
}
