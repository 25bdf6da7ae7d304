//! Following an envelope recipient to where its mail goes: through aliases, groups and forwarding, and at
//! each account the decision whether the message may come in.
//!
//! What is known at RCPT is refused at RCPT, so that the sender's server keeps the mail. Behind an alias
//! or a group one that cannot take the message never blocks the others.

use std::collections::HashSet;

use smtp::server::Refusal;
use store::{Addressee, NotTaken, Route, Store};

use crate::probing::Probing;
use crate::rewriting::Rewriting;

/// Steps from one address to the next that are followed.
const DEPTH_MAX: usize = 8;
/// Addresses looked at for one recipient, and copies that it can come to.
pub(crate) const COPIES_MAX: usize = 10_000;

/// Where one envelope recipient's mail goes; at least one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Accounts here.
    pub(crate) local: Vec<Addressee>,
    /// Addresses elsewhere.
    pub(crate) remote: Vec<RemoteCopy>,
    /// Who behind an alias or a group does not get it, and why.
    pub(crate) refused: Vec<(String, Refusal)>,
}

/// A copy that leaves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RemoteCopy {
    /// To whom.
    pub(crate) address: String,
    /// The address of ours that sends it on; none if the sender wrote to `address` itself.
    pub(crate) via: Option<String>,
}

/// What a recipient is asked for with.
pub(crate) struct Asked<'a> {
    /// The recipient.
    pub(crate) address: &'a str,
    /// Envelope sender; empty for a notice.
    pub(crate) sender: &'a str,
    /// The account that logged in, on submission; it may send elsewhere.
    pub(crate) account: Option<&'a str>,
    /// Size of the message as far as it is known; else 0.
    pub(crate) size_bytes: u64,
}

/// One address on the way.
struct Stop {
    address: String,
    via: Option<String>,
    depth: usize,
}

/// Follows a recipient to its end.
pub(crate) fn expand(
    store: &Store,
    rewriting: &Rewriting,
    asked: &Asked<'_>,
) -> Result<Destination, Refusal> {
    let mut found = Destination::default();
    let mut seen = HashSet::new();
    let mut open = vec![Stop { address: asked.address.to_owned(), via: None, depth: 0 }];
    while let Some(stop) = open.pop() {
        let too_far = stop.depth > DEPTH_MAX || seen.len() >= COPIES_MAX;
        if too_far || !seen.insert(stop.address.to_lowercase()) {
            continue;
        }
        match follow(store, rewriting, asked, &stop, &mut found, &mut open) {
            Ok(()) => {}
            Err(refusal) if stop.depth == 0 => return Err(refusal),
            Err(refusal) => found.refused.push((stop.address, refusal)),
        }
    }
    match found.refused.first() {
        _ if !found.local.is_empty() || !found.remote.is_empty() => Ok(found),
        Some((_, refusal)) => Err(*refusal),
        // An alias of itself, or of nobody.
        None => Err(Refusal::UnknownUser),
    }
}

fn follow(
    store: &Store,
    rewriting: &Rewriting,
    asked: &Asked<'_>,
    stop: &Stop,
    found: &mut Destination,
    open: &mut Vec<Stop>,
) -> Result<(), Refusal> {
    let mut next = |targets: Vec<String>, via: &str| {
        let stops = targets.into_iter().map(|address| Stop {
            address,
            via: Some(via.to_owned()),
            depth: stop.depth + 1,
        });
        // The first target is looked at first.
        open.extend(stops.rev());
    };
    // Nobody's alias, group or forwarding leads to the mailbox of the box's own probes.
    if stop.depth > 0 && Probing::is_hidden(&stop.address) {
        return Err(Refusal::UnknownUser);
    }
    match store.recipient(&stop.address).map_err(|error| unavailable(&error))? {
        Route::Account(addressee) => {
            let takes = addressee.takes(asked.size_bytes).map_err(refusal);
            if matches!(takes, Err(Refusal::AccountDisabled)) {
                return takes;
            }
            if addressee.keep_copy {
                takes?;
            }
            next(addressee.forward_to.clone(), &addressee.address);
            if addressee.keep_copy {
                found.local.push(*addressee);
            }
        }
        Route::Alias { targets, .. } => next(targets, &stop.address),
        Route::Group(group) => {
            // Who may write to a group writes to the groups in it.
            let may = stop.depth > 0
                || store
                    .may_send_to(&group, asked.sender, asked.account)
                    .map_err(|error| unavailable(&error))?;
            if !may {
                return Err(Refusal::NotForYou);
            }
            next(group.members, &group.address);
        }
        Route::DomainDisabled => return Err(Refusal::DomainDisabled),
        Route::UnknownUser => return unknown(store, rewriting, stop, found, open),
        Route::UnknownDomain => {
            let domain = stop.address.rsplit_once('@').map_or("", |(_, domain)| domain);
            if stop.depth == 0 && asked.account.is_none() {
                return Err(Refusal::RelayDenied);
            }
            if !domain.starts_with('[') && !domain.contains('.') {
                return Err(Refusal::BadDestination);
            }
            found.remote.push(RemoteCopy { address: stop.address.clone(), via: stop.via.clone() });
        }
    }
    Ok(())
}

/// An address that nobody has: the way back of forwarded mail, or a postmaster nobody was named for
/// (RFC 5321 4.5.1 wants one in every domain).
fn unknown(
    store: &Store,
    rewriting: &Rewriting,
    stop: &Stop,
    found: &mut Destination,
    open: &mut Vec<Stop>,
) -> Result<(), Refusal> {
    let (local, domain) = stop.address.rsplit_once('@').unwrap_or((&stop.address, ""));
    if let Some(sender) = rewriting.way_back(local) {
        open.push(Stop { address: sender.clone(), via: None, depth: stop.depth + 1 });
        if matches!(store.recipient(&sender), Ok(Route::UnknownDomain)) {
            open.pop();
            found.remote.push(RemoteCopy { address: sender, via: None });
        }
        return Ok(());
    }
    if !local.eq_ignore_ascii_case("postmaster") {
        return Err(Refusal::UnknownUser);
    }
    let first = store.first_domain().map_err(|error| unavailable(&error))?.unwrap_or_default();
    let address = if domain.eq_ignore_ascii_case(&first) {
        // The first account is the administrator's.
        let accounts = store.accounts(Some(&first)).map_err(|error| unavailable(&error))?;
        let oldest = accounts.into_iter().min_by_key(|account| account.id);
        oldest.ok_or(Refusal::UnknownUser)?.address
    } else {
        format!("postmaster@{first}")
    };
    open.push(Stop { address, via: None, depth: stop.depth + 1 });
    Ok(())
}

/// What the client is told.
pub(crate) fn refusal(why: NotTaken) -> Refusal {
    match why {
        NotTaken::AccountDisabled => Refusal::AccountDisabled,
        NotTaken::MessageTooLarge { .. } => Refusal::TooLargeForMailbox,
        NotTaken::AttachmentTooLarge { .. } => Refusal::AttachmentTooLarge,
        NotTaken::MailboxFull { never_fits: true } | NotTaken::DomainFull { never_fits: true } => {
            Refusal::NeverFits
        }
        NotTaken::MailboxFull { never_fits: false } => Refusal::MailboxFull,
        NotTaken::DomainFull { never_fits: false } => Refusal::DomainFull,
    }
}

fn unavailable(error: &store::StoreError) -> Refusal {
    tracing::error!("a recipient cannot be looked up: {error}");
    Refusal::StoreUnavailable
}
