//! The box's own probes: a message over SMTP into a mailbox that nobody sees, read back over IMAP.
//!
//! The prober is another process of the box. It comes from an address that this service itself listens on,
//! which nobody else can have, and shows a token that was drawn for this start. It meets everything a
//! client meets, except what is there to hold strangers up; it is in no count, no log and no list.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sasl::Claim;
use store::{
    AccountChange, HIDDEN_ADDRESS, HIDDEN_DOMAIN, Limit, LimitName, PasswordHash, Store, StoreError,
};
use subtle::ConstantTimeEq;

use crate::first::exists_is_fine;

/// Who probes, if anybody does.
#[derive(Clone, Default)]
pub(crate) struct Probing(Option<Arc<Prober>>);

impl fmt::Debug for Probing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Probing(..)" } else { "Probing(nobody)" })
    }
}

struct Prober {
    token: String,
    addresses: Vec<IpAddr>,
}

impl Probing {
    /// Probes with this token, from `addresses`; nobody's without a token.
    pub(crate) fn new(token: Option<&str>, addresses: &[IpAddr]) -> Self {
        let prober = |token: &str| Prober { token: token.to_owned(), addresses: addresses.to_vec() };
        Self(token.filter(|token| !token.is_empty()).map(|token| Arc::new(prober(token))))
    }

    /// Whether anybody probes.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether somebody on this very box is at the other end.
    pub(crate) fn is_own(&self, peer: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|prober| prober.addresses.contains(&peer.to_canonical()))
    }

    /// Whether this is the probes' mailbox.
    pub(crate) fn is_mailbox(address: &str) -> bool {
        address.eq_ignore_ascii_case(HIDDEN_ADDRESS)
    }

    /// Whether an address is in the hidden domain, with whatever in front: what follows a plus sign, or
    /// postmaster, leads into the same mailbox or out of it.
    pub(crate) fn is_hidden(address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        domain.trim_end_matches('.').eq_ignore_ascii_case(HIDDEN_DOMAIN)
    }

    /// Whether the prober logs in.
    pub(crate) fn admits(&self, claim: &Claim, peer: IpAddr) -> bool {
        let (Some(prober), Claim::Password { user, password, .. }) = (&self.0, claim) else { return false };
        let right: bool = prober.token.as_bytes().ct_eq(password.as_bytes()).into();
        right && Self::is_mailbox(user) && self.is_own(peer)
    }

    /// Makes the mailbox in a store that has none yet. No password fits it, and whatever is usual for users,
    /// it takes a message. Can be repeated; asked for by the first probe, so that no start waits for it and
    /// none fails for want of room.
    pub(crate) async fn make_mailbox(&self, store: &Store) -> Result<(), StoreError> {
        let made = store.account_by_name(HIDDEN_ADDRESS)?;
        if self.0.is_none() || made.is_some_and(|account| account.limits.space_bytes == Limit::Unlimited) {
            return Ok(());
        }
        exists_is_fine(store.add_domain(HIDDEN_DOMAIN).await)?;
        let nobodys = PasswordHash("!".to_owned());
        exists_is_fine(store.add_account(HIDDEN_ADDRESS, nobodys, None).await.map(drop))?;
        let names = [LimitName::Messages, LimitName::MessageBytes, LimitName::SpaceBytes];
        let limits = names.map(|name| (name, Limit::Unlimited)).to_vec();
        store.set_account(HIDDEN_ADDRESS, AccountChange { limits, ..AccountChange::default() }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probers_mailbox_is_the_one_that_the_store_hides() {
        assert_eq!(control::mail::PROBE_MAILBOX, HIDDEN_ADDRESS);
        assert!(HIDDEN_ADDRESS.ends_with(&format!("@{HIDDEN_DOMAIN}")));
        assert!(Probing::is_mailbox("Probe@PROBE.invalid") && Probing::is_hidden("x@probe.invalid."));
        assert!(!Probing::is_hidden("probe@probe.invalid.example"));
    }
}
