//! Where mail goes: who may send, who may be sent to, and the durable step that takes it.
//!
//! `expansion` decides about each recipient before the text comes, `outcome` about what is only known with
//! the text, and tells those who have to know.

mod outcome;
mod parting;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use smtp::Mailbox;
use smtp::server::{Incoming, Refusal};
use store::{Addressee, Body, Delivery, Recipient, Resolution, Route, Store, StoreError, Target};

use crate::clock::unix_ms;
use crate::counters::{Counters, count};
use crate::expansion::{self, Asked, COPIES_MAX, Destination};
use crate::rewriting::Rewriting;
use crate::sending_rate::{Sender, SendingRates};

use outcome::Refused;
pub(crate) use parting::outgoing;

/// Texts of this many octets are read in a thread of their own.
const SUMMARIZE_ASIDE_BYTES: usize = 256 * 1024;

/// Decides about senders and recipients, and stores messages.
#[derive(Clone)]
pub(crate) struct DeliveryDesk {
    pub(crate) store: Store,
    pub(crate) counters: Arc<Counters>,
    pub(crate) host_name: Arc<str>,
    pub(crate) addresses: Arc<[IpAddr]>,
    pub(crate) rewriting: Rewriting,
    pub(crate) rates: Arc<SendingRates>,
}

/// What is thought of a message and its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// It goes to Junk.
    pub(crate) junk: bool,
    /// Whether the sender is who it says, so that a notice goes to nobody else.
    pub(crate) sender: SenderIs,
}

/// Whether the envelope sender is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderIs {
    /// It logged in, SPF vouches for it, or it comes from the own network.
    Known,
    /// Nobody says.
    Unknown,
    /// SPF says that it is not.
    Forged,
}

impl Opinion {
    /// Of mail whose bringer is trusted.
    pub(crate) const TRUSTED: Self = Self { junk: false, sender: SenderIs::Known };
}

impl DeliveryDesk {
    /// On submission the sender must be the account's own address or an alias of it (RFC 6409 6.1), and
    /// the account must not send faster than it may.
    pub(crate) fn may_send(&self, account: Option<&str>, sender: Option<&Mailbox>) -> Result<(), Refusal> {
        let Some(account) = account else { return Ok(()) };
        if let Some(sender) = sender
            && !self.owns(account, &sender.to_string())?
        {
            count(&self.counters.recipients_refused, 1);
            self.counters.refused(Refusal::SenderNotYours);
            tracing::info!("{account} may not send as <{sender}>");
            return Err(Refusal::SenderNotYours);
        }
        self.check_rate(account, 1)
    }

    fn check_rate(&self, account: &str, recipients: u64) -> Result<(), Refusal> {
        let Some(own) = self.store.account_by_name(account).map_err(|e| temporary(&e))? else {
            return Ok(());
        };
        let limits = self.store.sending_rate(own.id).map_err(|e| temporary(&e))?;
        let (domain, together) = self.store.domain_sending_rate(own.id).map_err(|e| temporary(&e))?;
        let now_s = unix_ms() / 1000;
        self.rates.check(Sender::Account(own.id), &limits, recipients, now_s)?;
        self.rates.check(Sender::Domain(domain), &together, recipients, now_s)
    }

    fn note_sent(&self, account: &str, recipients: u64) {
        if let Ok(Some(own)) = self.store.account_by_name(account) {
            let now_s = unix_ms() / 1000;
            self.rates.note(Sender::Account(own.id), recipients, now_s);
            if let Ok((domain, _)) = self.store.domain_sending_rate(own.id) {
                self.rates.note(Sender::Domain(domain), recipients, now_s);
            }
        }
    }

    fn owns(&self, account: &str, address: &str) -> Result<bool, Refusal> {
        if account.eq_ignore_ascii_case(address) {
            return Ok(true);
        }
        Ok(match self.store.recipient(address).map_err(|e| temporary(&e))? {
            Route::Account(found) => found.address.eq_ignore_ascii_case(account),
            Route::Alias { .. } => {
                let own = self.store.account_by_name(account).map_err(|e| temporary(&e))?;
                let own = own.map(|account| Target::Account(account.id));
                match self.store.resolve(address).map_err(|e| temporary(&e))? {
                    Resolution::Alias(targets) => own.is_some_and(|own| targets.contains(&own)),
                    _ => false,
                }
            }
            Route::Group(_) | Route::DomainDisabled | Route::UnknownUser | Route::UnknownDomain => false,
        })
    }

    /// Decides about a recipient where it can be known before the text comes.
    pub(crate) fn destination(
        &self,
        account: Option<&str>,
        sender: Option<&Mailbox>,
        recipient: &Mailbox,
        size_bytes: Option<u64>,
    ) -> Result<Destination, Refusal> {
        let sender = sender.map(ToString::to_string).unwrap_or_default();
        let address = self.local_form(recipient)?;
        let asked =
            Asked { address: &address, sender: &sender, account, size_bytes: size_bytes.unwrap_or(0) };
        expansion::expand(&self.store, &self.rewriting, &asked)
    }

    /// `Postmaster` alone, and anybody at our own address literal, are at our first domain
    /// (RFC 5321 4.5.1).
    fn local_form(&self, recipient: &Mailbox) -> Result<String, Refusal> {
        let own_literal = |address: &IpAddr| match address {
            IpAddr::V4(v4) => recipient.domain == format!("[{v4}]"),
            IpAddr::V6(v6) => recipient.domain == format!("[IPv6:{v6}]"),
        };
        let elsewhere = !(recipient.domain.is_empty()
            || recipient.is_literal() && self.addresses.iter().any(own_literal));
        if elsewhere {
            return Ok(recipient.to_string());
        }
        let domain = self.store.first_domain().map_err(|e| temporary(&e))?.ok_or(Refusal::UnknownUser)?;
        Ok(Mailbox { local: recipient.local.clone(), domain }.to_string())
    }

    /// Takes a message: when this returns `Ok` it is durable.
    pub(crate) async fn deliver(
        &self,
        incoming: Incoming<Destination>,
        peer: IpAddr,
        opinion: Opinion,
    ) -> Result<(), Refusal> {
        let id = incoming.id.clone();
        let bytes = incoming.message.len() as u64;
        let sender = incoming.mail.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let recipients = incoming.recipients.len();
        let by = incoming.account.clone().unwrap_or_default();
        let taken = self.take(incoming, &sender, opinion).await;
        match taken {
            Ok(()) => {
                count(&self.counters.messages_received, 1);
                count(&self.counters.bytes_received, bytes);
                if !by.is_empty() {
                    self.note_sent(&by, recipients as u64);
                }
                tracing::info!(
                    "smtp {id} from {peer} {by} sender <{sender}> {recipients} recipients {bytes} bytes: stored"
                );
            }
            Err(refusal) => {
                count(&self.counters.messages_refused, 1);
                self.counters.refused(refusal);
                tracing::info!(
                    "smtp {id} from {peer} {by} sender <{sender}> {bytes} bytes: {}",
                    refusal.reply()
                );
            }
        }
        taken
    }

    /// Takes a message of the box's own prober: it is no traffic, and nothing is told of it.
    pub(crate) async fn deliver_probe(&self, incoming: Incoming<Destination>) -> Result<(), Refusal> {
        self.take(incoming, "", Opinion::TRUSTED).await
    }

    async fn take(
        &self,
        mut incoming: Incoming<Destination>,
        sender: &str,
        opinion: Opinion,
    ) -> Result<(), Refusal> {
        if let Some(account) = &incoming.account {
            self.check_from(account, &incoming.message)?;
            self.check_rate(account, incoming.recipients.len() as u64)?;
        }
        if incoming.was_delivered {
            stop_loops(&mut incoming)?;
        }
        let mut refused = Refused::default();
        let locals = Self::who_takes(&incoming, &mut refused)?;
        let now_ms = unix_ms();
        let message = Bytes::from(std::mem::take(&mut incoming.message));
        let leaving = parting::direct(&incoming, sender, &message, &locals, now_ms);
        let forwards = parting::forwards(&incoming, sender, &message, &self.rewriting, &self.store, now_ms);
        let held = incoming.release_unix_s.is_some();
        if locals.len() + leaving.as_ref().map_or(0, |one| one.recipients.len()) > COPIES_MAX {
            return Err(Refusal::TooManyCopies);
        }
        if locals.is_empty() && leaving.is_none() && forwards.is_empty() {
            return Err(refused.refusal());
        }
        // What is sent on goes first: if the rest fails the client tries again, and nothing is lost.
        for (outgoing, text) in forwards {
            let delivery = Delivery {
                body: prepare(text).await?,
                internal_date_s: (now_ms / 1000) as i64,
                recipients: Vec::new(),
                outgoing: Some(outgoing),
            };
            self.store.deliver(delivery).await.map_err(|e| temporary(&e))?;
        }
        let here: Vec<&Addressee> = if held { Vec::new() } else { locals.values().collect() };
        let mut stored_here = Vec::new();
        if leaving.is_some() || !here.is_empty() {
            let delivery = Delivery {
                body: prepare(message.clone()).await?,
                internal_date_s: (now_ms / 1000) as i64,
                recipients: here.iter().map(|addressee| place(addressee, opinion.junk)).collect(),
                outgoing: leaving,
            };
            let delivered = self.store.deliver(delivery).await.map_err(|e| temporary(&e))?;
            for (outcome, addressee) in delivered.recipients.iter().zip(&here) {
                match outcome {
                    Ok(_) => stored_here.push(addressee.account),
                    Err(error) => refused.add(addressee, refusal_of(error)),
                }
            }
            // A mailbox filled up in between: if nobody has it the client still hears it.
            if stored_here.is_empty()
                && delivered.queued.is_none()
                && incoming.recipients.iter().all(|one| one.mark.remote.is_empty())
            {
                return Err(refused.refusal());
            }
        }
        self.tell(&incoming, sender, &message, &refused, &stored_here, opinion).await;
        Ok(())
    }

    /// The accounts that get a copy, each once; those that the size or an attachment keeps out are noted.
    fn who_takes(
        incoming: &Incoming<Destination>,
        refused: &mut Refused,
    ) -> Result<BTreeMap<i64, Addressee>, Refusal> {
        let size_bytes = incoming.message.len() as u64;
        let mut largest = None;
        let mut takes = BTreeMap::new();
        for accepted in &incoming.recipients {
            for (address, refusal) in &accepted.mark.refused {
                refused.add_address(address, *refusal);
            }
            for addressee in &accepted.mark.local {
                if takes.contains_key(&addressee.account.0) {
                    continue;
                }
                let mut fits = addressee.takes(size_bytes);
                if fits.is_ok() && addressee.limits.attachment_bytes.value().is_some() {
                    let largest =
                        *largest.get_or_insert_with(|| message::largest_attachment(&incoming.message));
                    fits = addressee.takes_attachment(largest);
                }
                match fits {
                    Ok(()) => {
                        takes.insert(addressee.account.0, addressee.clone());
                    }
                    Err(why) => refused.add(addressee, expansion::refusal(why)),
                }
            }
        }
        if takes.len() > COPIES_MAX { Err(Refusal::TooManyCopies) } else { Ok(takes) }
    }

    /// The address people see must be the sender's as well (RFC 6409 6.1 and 8.1).
    fn check_from(&self, account: &str, message: &[u8]) -> Result<(), Refusal> {
        let header = message.get(..::message::header_end(message)).unwrap_or(message);
        for field in ::message::fields(header).filter(|field| field.name.eq_ignore_ascii_case(b"from")) {
            for address in ::message::addresses(field.value) {
                let ::message::Address::Mailbox { local, domain, .. } = address else { continue };
                let local = String::from_utf8_lossy(&local).into_owned();
                let domain = String::from_utf8_lossy(&domain).to_lowercase();
                // Both spellings of an international domain are the same.
                let domain = smtp::address::parse_domain(&domain).unwrap_or(domain);
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

/// Mail that one of our addresses has sent on before is not sent on again. What is left of it still goes
/// where it belongs.
fn stop_loops(incoming: &mut Incoming<Destination>) -> Result<(), Refusal> {
    let text = incoming.message.get(incoming.trace_bytes..).unwrap_or(&[]);
    let been: Vec<String> = smtp::header::values(text, b"delivered-to")
        .map(|value| String::from_utf8_lossy(value).trim_matches(['<', '>']).to_lowercase())
        .collect();
    let mut left = false;
    for accepted in &mut incoming.recipients {
        let mark = &mut accepted.mark;
        mark.remote.retain(|copy| copy.via.as_ref().is_none_or(|via| !been.contains(&via.to_lowercase())));
        left |= !mark.remote.is_empty() || !mark.local.is_empty();
    }
    if left { Ok(()) } else { Err(Refusal::Loop) }
}

/// Where a copy goes: the mailbox that the address names, else INBOX.
fn place(addressee: &Addressee, junk: bool) -> Recipient {
    let mailbox = match &addressee.folder {
        _ if junk => "Junk".to_owned(),
        Some(folder) => folder.clone(),
        None => "INBOX".to_owned(),
    };
    Recipient { mailbox, ..Recipient::inbox(addressee.account) }
}

/// Reads the message and takes its checksum, outside of the store's writer.
async fn prepare(message: Bytes) -> Result<Body, Refusal> {
    if message.len() < SUMMARIZE_ASIDE_BYTES {
        return Ok(Body::new(message));
    }
    tokio::task::spawn_blocking(move || Body::new(message)).await.map_err(|_| Refusal::StoreUnavailable)
}

fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::OverQuota => Refusal::MailboxFull,
        StoreError::DomainOverQuota => Refusal::DomainFull,
        StoreError::NoSuchAccount => Refusal::UnknownUser,
        StoreError::DiskFull => Refusal::DiskFull,
        _ => Refusal::StoreUnavailable,
    }
}

pub(crate) fn temporary(error: &StoreError) -> Refusal {
    // That the disk is full is said once by the store, and each refusal has a line of its own.
    if !matches!(error, StoreError::DiskFull) {
        tracing::error!("mail cannot be taken: {error}");
    }
    match error {
        StoreError::Busy => Refusal::Busy,
        StoreError::DiskFull => Refusal::DiskFull,
        _ => Refusal::StoreUnavailable,
    }
}
