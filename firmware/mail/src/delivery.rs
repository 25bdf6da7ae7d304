//! Where mail goes: who may send, who may be sent to, and the one durable step that takes it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use smtp::Mailbox;
use smtp::parameter::BodyKind;
use smtp::server::{Incoming, Refusal};
use store::{
    AccountId, Body, Delivered, Delivery, Outgoing, OutgoingRecipient, Recipient, Resolution, Store,
    StoreError, Target,
};

use crate::clock::unix_ms;
use crate::counters::{Counters, count};
use crate::outgoing::{first_alarm_ms, notice};

/// NOTIFY of a recipient that asked for nothing: failure and delay (RFC 3461 4.1).
const NOTIFY_DEFAULT: u8 = 0b110;
/// Texts of this many octets are read in a thread of their own.
const SUMMARIZE_ASIDE_BYTES: usize = 256 * 1024;
/// Recipients of one message after its aliases are expanded, here and elsewhere.
const COPIES_MAX: usize = 10_000;

/// Decides about senders and recipients, and stores messages.
#[derive(Clone)]
pub(crate) struct DeliveryDesk {
    store: Store,
    counters: Arc<Counters>,
    host_name: Arc<str>,
    addresses: Arc<[IpAddr]>,
}

/// Where one envelope recipient's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination(Vec<Target>);

impl DeliveryDesk {
    pub(crate) fn new(
        store: Store,
        counters: Arc<Counters>,
        host_name: Arc<str>,
        addresses: Arc<[IpAddr]>,
    ) -> Self {
        Self { store, counters, host_name, addresses }
    }

    /// On submission the sender must be the account's own address or an alias of it (RFC 6409 6.1).
    pub(crate) fn may_send(&self, account: Option<&str>, sender: Option<&Mailbox>) -> Result<(), Refusal> {
        match (account, sender) {
            (Some(account), Some(sender)) if !self.owns(account, &sender.to_string())? => {
                count(&self.counters.recipients_refused, 1);
                tracing::info!("{account} may not send as <{sender}>");
                Err(Refusal::SenderNotYours)
            }
            _ => Ok(()),
        }
    }

    fn owns(&self, account: &str, address: &str) -> Result<bool, Refusal> {
        if account.eq_ignore_ascii_case(address) {
            return Ok(true);
        }
        let own = self.store.account_by_name(account).map_err(|e| temporary(&e))?.map(|account| account.id);
        let Some(own) = own else { return Ok(false) };
        Ok(match self.store.resolve(address).map_err(|e| temporary(&e))? {
            Resolution::Account(id) => id == own,
            Resolution::Alias(targets) => targets.contains(&Target::Account(own)),
            Resolution::UnknownUser | Resolution::UnknownDomain => false,
        })
    }

    /// Decides about a recipient where it can be known before the text comes.
    pub(crate) fn destination(
        &self,
        may_relay: bool,
        recipient: &Mailbox,
        size_bytes: Option<u64>,
    ) -> Result<Destination, Refusal> {
        let address = self.local_form(recipient)?;
        let targets = match self.store.resolve(&address).map_err(|e| temporary(&e))? {
            Resolution::Account(account) => vec![Target::Account(account)],
            Resolution::Alias(targets) => targets,
            Resolution::UnknownUser => return Err(Refusal::UnknownUser),
            Resolution::UnknownDomain if !may_relay => return Err(Refusal::RelayDenied),
            Resolution::UnknownDomain if !recipient.is_literal() && !recipient.domain.contains('.') => {
                return Err(Refusal::BadDestination);
            }
            Resolution::UnknownDomain => vec![Target::Remote(recipient.to_string())],
        };
        self.check_room(&targets, size_bytes.unwrap_or(1))?;
        Ok(Destination(targets))
    }

    /// `Postmaster` alone, and anybody at our own address literal, are at our first domain
    /// (RFC 5321 4.5.1).
    fn local_form(&self, recipient: &Mailbox) -> Result<String, Refusal> {
        let own_literal = |address: &IpAddr| match address {
            IpAddr::V4(v4) => recipient.domain == format!("[{v4}]"),
            IpAddr::V6(v6) => recipient.domain == format!("[IPv6:{v6}]"),
        };
        if !recipient.domain.is_empty() && !self.addresses.iter().any(own_literal) {
            return Ok(recipient.to_string());
        }
        let domains = self.store.domains().map_err(|e| temporary(&e))?;
        let first = domains.iter().min_by_key(|domain| domain.id).ok_or(Refusal::UnknownUser)?;
        Ok(Mailbox { local: recipient.local.clone(), domain: first.name.clone() }.to_string())
    }

    /// A full mailbox refuses here, so that the sender's server keeps the mail; one full member does
    /// not block a list.
    fn check_room(&self, targets: &[Target], size_bytes: u64) -> Result<(), Refusal> {
        let mut refusal = None;
        for target in targets {
            let Target::Account(account) = target else { return Ok(()) };
            let quota = self.store.quota(*account).map_err(|e| temporary(&e))?.unwrap_or_default();
            if quota.has_room(size_bytes, 1) {
                return Ok(());
            }
            let never = quota.limit_bytes.is_some_and(|limit| size_bytes > limit);
            refusal = Some(if never { Refusal::NeverFits } else { Refusal::MailboxFull });
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Takes a message: when this returns `Ok` it is durable. `junk`: not into INBOX.
    pub(crate) async fn deliver(
        &self,
        incoming: Incoming<Destination>,
        peer: IpAddr,
        junk: bool,
    ) -> Result<(), Refusal> {
        let id = incoming.id.clone();
        let bytes = incoming.message.len() as u64;
        let sender = incoming.mail.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let recipients = incoming.recipients.len();
        let by = incoming.account.clone().unwrap_or_default();
        let taken = self.take(incoming, &sender, junk).await;
        match taken {
            Ok(()) => {
                count(&self.counters.messages_received, 1);
                count(&self.counters.bytes_received, bytes);
                tracing::info!(
                    "smtp {id} from {peer} {by} sender <{sender}> {recipients} recipients {bytes} bytes: stored"
                );
            }
            Err(refusal) => {
                count(&self.counters.messages_refused, 1);
                tracing::info!(
                    "smtp {id} from {peer} {by} sender <{sender}> {bytes} bytes: {}",
                    refusal.reply()
                );
            }
        }
        taken
    }

    async fn take(&self, incoming: Incoming<Destination>, sender: &str, junk: bool) -> Result<(), Refusal> {
        if let Some(account) = &incoming.account {
            self.check_from(account, &incoming.message)?;
        }
        let targets: BTreeSet<Copy> =
            incoming.recipients.iter().flat_map(|accepted| &accepted.mark.0).map(Copy::of).collect();
        if targets.len() > COPIES_MAX {
            return Err(Refusal::TooManyCopies);
        }
        let (mut accounts, mut remote) = (Vec::new(), Vec::new());
        for target in targets {
            match target {
                Copy::Account(account) => accounts.push(account),
                Copy::Remote(address) => remote.push(address),
            }
        }
        let now_ms = unix_ms();
        let body = prepare(incoming.message).await?;
        let delivery = Delivery {
            body: body.clone(),
            internal_date_s: (now_ms / 1000) as i64,
            recipients: accounts
                .iter()
                .map(|account| {
                    let mailbox = if junk { "Junk" } else { "INBOX" };
                    Recipient { mailbox: mailbox.to_owned(), ..Recipient::inbox(*account) }
                })
                .collect(),
            outgoing: outgoing(sender, remote, incoming.mail.body != BodyKind::SevenBit, now_ms),
        };
        let delivered = self.store.deliver(delivery).await.map_err(|e| temporary(&e))?;
        self.settle_refused(&delivered, &accounts, &body, sender, &incoming.id).await
    }

    /// Copies that the store refused although RCPT was accepted: a mailbox filled up in between, or a
    /// member of a list is full. If nothing was stored the client still hears it; else the sender gets a
    /// notice.
    async fn settle_refused(
        &self,
        delivered: &Delivered,
        accounts: &[AccountId],
        body: &Body,
        sender: &str,
        id: &str,
    ) -> Result<(), Refusal> {
        let refused: Vec<_> = delivered
            .recipients
            .iter()
            .zip(accounts)
            .filter_map(|(outcome, account)| outcome.as_ref().err().map(|error| (*account, error)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        if refused.len() == accounts.len() && delivered.queued.is_none() {
            let full = refused
                .iter()
                .all(|(_, error)| matches!(error, StoreError::OverQuota | StoreError::DomainOverQuota));
            return Err(if full { Refusal::MailboxFull } else { Refusal::StoreUnavailable });
        }
        let mut recipients = Vec::new();
        for (account, error) in refused {
            let address = self.store.account(account).ok().flatten().map(|account| account.address);
            recipients.push(smtp::notice::Recipient {
                address: address.unwrap_or_else(|| "unknown".into()),
                original: None,
                status: if matches!(error, StoreError::OverQuota | StoreError::DomainOverQuota) {
                    "5.2.2".into()
                } else {
                    "5.2.0".into()
                },
                diagnostic: error.to_string(),
                from_remote: false,
            });
        }
        let about = notice::About { sender, id, recipients: &recipients, original: body.bytes() };
        if let Some(notice) = self.failure_notice(&about).await
            && let Err(error) = self.store.deliver(notice).await
        {
            tracing::error!("notice about {id} to <{sender}> was not stored: {error}");
        }
        Ok(())
    }

    async fn failure_notice(&self, about: &notice::About<'_>) -> Option<Delivery> {
        let notice = notice::compose(smtp::notice::Kind::Failed, about, &self.host_name, None);
        notice::address(&self.store, about.sender, notice?)
            .await
            .inspect(|_| count(&self.counters.notices, 1))
    }

    /// The address people see must be the sender's as well (RFC 6409 6.1 and 8.1).
    fn check_from(&self, account: &str, message: &[u8]) -> Result<(), Refusal> {
        let header = message.get(..::message::header_end(message)).unwrap_or(message);
        for field in ::message::fields(header).filter(|field| field.name.eq_ignore_ascii_case(b"from")) {
            for address in ::message::addresses(field.value) {
                let ::message::Address::Mailbox { local, domain, .. } = address else { continue };
                let local = String::from_utf8_lossy(&local).into_owned();
                let domain = String::from_utf8_lossy(&domain).to_ascii_lowercase();
                let address = Mailbox { local, domain }.to_string();
                if !self.owns(account, &address)? {
                    tracing::info!("{account} may not write From <{}>", address.escape_default());
                    return Err(Refusal::FromNotYours);
                }
            }
        }
        Ok(())
    }
}

/// A target in an order, so that nobody gets two copies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Copy {
    Account(AccountId),
    Remote(String),
}

impl Copy {
    fn of(target: &Target) -> Self {
        match target {
            Target::Account(account) => Self::Account(*account),
            Target::Remote(address) => Self::Remote(address.clone()),
        }
    }
}

/// Reads the message and takes its checksum, outside of the store's writer.
async fn prepare(message: Vec<u8>) -> Result<Body, Refusal> {
    let bytes = Bytes::from(message);
    if bytes.len() < SUMMARIZE_ASIDE_BYTES {
        return Ok(Body::new(bytes));
    }
    tokio::task::spawn_blocking(move || Body::new(bytes)).await.map_err(|_| Refusal::StoreUnavailable)
}

/// The queue entry for recipients elsewhere.
pub(crate) fn outgoing(
    sender: &str,
    recipients: Vec<String>,
    eight_bit: bool,
    now_ms: u64,
) -> Option<Outgoing> {
    let recipient = |address| OutgoingRecipient { address, notify: NOTIFY_DEFAULT, original: None };
    let expires_ms = now_ms + smtp::schedule::EXPIRE_S * 1000;
    (!recipients.is_empty()).then(|| Outgoing {
        sender: sender.to_owned(),
        recipients: recipients.into_iter().map(recipient).collect(),
        first_try_ms: now_ms,
        alarm_ms: first_alarm_ms(now_ms, expires_ms, None),
        expires_ms,
        eight_bit,
        ..Outgoing::default()
    })
}

fn temporary(error: &StoreError) -> Refusal {
    tracing::error!("mail cannot be taken: {error}");
    match error {
        StoreError::Busy => Refusal::Busy,
        _ => Refusal::StoreUnavailable,
    }
}
