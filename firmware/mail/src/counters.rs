//! Numbers since start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters and their names once.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since start; each only grows.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            /// All of them, by name.
            pub(crate) fn read(&self) -> BTreeMap<String, u64> {
                BTreeMap::from([$((stringify!($name).to_owned(), self.$name.load(Ordering::Relaxed)),)*])
            }
        }
    };
}

counters! {
    /// SMTP and submission connections.
    connections_smtp,
    /// IMAP connections.
    connections_imap,
    /// POP3 connections.
    connections_pop3,
    /// SMTP and submission connections that are over.
    ended_smtp,
    /// IMAP connections that are over.
    ended_imap,
    /// POP3 connections that are over.
    ended_pop3,
    /// Senders, recipients and messages refused with a 4yz code.
    refused_for_now,
    /// Senders, recipients and messages refused with a 5yz code.
    refused_for_good,
    /// Connections refused at a bound or for their rate.
    connections_refused,
    /// Clients that spoke before they were greeted.
    early_talkers,
    /// Connections of load balancers without a PROXY header that can be used.
    proxy_faults,
    /// Messages refused because their domain asks for it.
    not_authentic,
    /// Messages put into Junk because their domain asks for it.
    junked,
    /// Connections that were silent or slow for too long.
    timeouts,
    /// TLS handshakes that failed.
    tls_failures,
    /// TLS handshakes not begun because too many were under way.
    tls_refused,
    /// Commands that were not understood or came out of order.
    bad_commands,
    /// Successful logins.
    logins,
    /// Refused logins.
    login_failures,
    /// Logins that were right but may not use the protocol, or are switched off.
    logins_not_allowed,
    /// Logins that had to wait because somebody was guessing.
    logins_paused,
    /// Logins that were not checked because too many waited.
    logins_turned_away,
    /// Messages confirmed.
    messages_received,
    /// Octets of them.
    bytes_received,
    /// Messages refused after their text.
    messages_refused,
    /// Senders and recipients refused.
    recipients_refused,
    /// Recipients the other side took.
    sent,
    /// Tries that must be repeated.
    deferred,
    /// Recipients given up.
    failed,
    /// Delivery notices made.
    notices,
    /// Notices that could not be delivered themselves, and were dropped.
    double_bounces,
    /// Connections to other servers.
    sessions_out,
    /// Messages sent over a connection that was there already.
    sessions_reused,
    /// Letters of the box to its administrators.
    letters,
    /// Warnings that a mailbox or domain is nearly full.
    warnings,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    /// Counts a refusal by the first digit of its code (RFC 5321 4.2.1).
    pub(crate) fn refused(&self, refusal: smtp::server::Refusal) {
        let for_now = refusal.reply().code < 500;
        count(if for_now { &self.refused_for_now } else { &self.refused_for_good }, 1);
    }
}
