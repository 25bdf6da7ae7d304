//! SASL (RFC 4422) as state machines: the mechanisms of SMTP, IMAP and POP3, for servers and clients.
//!
//! Mechanisms: PLAIN (RFC 4616), LOGIN (obsolete and still in use), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS
//! (RFC 5802, RFC 7677) bound to the channel by `tls-exporter` (RFC 9266) or `tls-server-end-point`
//! (RFC 5929). A protocol carries lines, answers what the machine asks, and says the result in its own
//! codes; the machine knows no protocol, reads no clock, and touches neither socket nor file. Random
//! nonces are the only thing it takes from the system.
//!
//! What always holds: an exchange ends after a bounded number of lines of bounded length; nobody acts for
//! somebody else; an unknown user is answered like a known one; proofs are compared in constant time;
//! a client that could have bound its channel and was kept from it is refused; secrets are not in
//! anything's `Debug`.
//!
//! # In a server
//!
//! ```
//! use sasl::{Claim, Context, Exchange, Mechanism, Offer, Step, Stored};
//!
//! let context = Context::default();
//! let offer = Offer::all(&context);
//! assert_eq!(offer.to_string(), "SCRAM-SHA-256 PLAIN LOGIN");
//!
//! // `AUTH PLAIN AHUAcA==`; without an initial response the third argument is `None`.
//! let mechanism = offer.find("plain").expect("it is offered");
//! let (mut exchange, mut step) = Exchange::<u32>::begin(mechanism, context, Some("AHUAcA=="));
//! loop {
//!     step = match step {
//!         // Send it (`334 `, `+ `), read a line, and pass it on as it came.
//!         Step::Challenge(challenge) => {
//!             let _line_to_send = sasl::encode(&challenge);
//!             exchange.line(b"*")
//!         }
//!         // Only SCRAM asks for this; whoever keeps the passwords knows it.
//!         Step::Lookup { user } => exchange.stored(Stored::simulated(b"secret", &user, 4096)),
//!         // Right or wrong? When it is wrong, say so and drop the exchange.
//!         Step::Verify(Claim::Password { user, password }) if (user.as_str(), password.as_str()) == ("u", "p") => exchange.accept(7),
//!         Step::Verify(_) => break,
//!         Step::Done(account) => {
//!             assert_eq!(account, 7);
//!             break;
//!         }
//!         Step::Failed(failure) => panic!("{failure}"),
//!     };
//! }
//! ```

mod binding;
mod client;
mod exchange;
mod keys;
mod mechanism;
mod messages;
mod prepare;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use binding::{BindingType, ChannelBinding};
pub use client::{Client, ClientError};
pub use exchange::{Claim, Context, Denied, Exchange, Failure, Step};
pub use keys::{KeyPair, Stored, StoredFormatError};
pub use mechanism::{Mechanism, Offer};
pub use prepare::prepare_password;

/// Longest user name and longest password, in octets.
pub const CREDENTIAL_MAX_BYTES: usize = 1024;
/// Longest response of a client, in octets before base64.
pub const RESPONSE_MAX_BYTES: usize = 4096;
/// Longest line of a client, in octets of base64.
pub const LINE_MAX_BYTES: usize = RESPONSE_MAX_BYTES.div_ceil(3) * 4;
/// Octets of the final part of a nonce, before base64.
const NONCE_BYTES: usize = 18;

/// A challenge or a response as it goes over the line.
pub fn encode(message: &[u8]) -> String {
    STANDARD.encode(message)
}

/// A fresh nonce in printable characters without a comma (RFC 5802 5.1). None when the system has no
/// randomness.
fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}
