//! IPMI over LAN, version 2.0: one order to the management controller of a box, from the presence ping
//! to the closed session. Section numbers are those of the IPMI Specification, Second Generation, v2.0,
//! revision 1.1.
//!
//! The exchange itself has no socket, no clock and no randomness of its own. [`Client::packet`] says what to send,
//! [`Client::hear`] takes what came, [`Client::late`] is called when nothing came in time, and
//! [`Client::outcome`] says how it ended; [`carry_out`] is the thin shell over UDP. Nothing here decides
//! whether a box may be reset.
//!
//! What always holds here: no order is sent outside a session that was authenticated in both directions
//! (RAKP-HMAC-SHA256 or -SHA1), signed and encrypted (AES-CBC-128); every attempt is counted, so a
//! controller that stays silent, or talks nonsense, ends the exchange; codes are compared in constant
//! time; a password is never printed.

mod client;
mod crypt;
mod message;
mod packet;
mod udp;

pub use client::{Client, Heard, Login, Order, Outcome, PORT, Step, TRIES_MAX};
pub use crypt::{Keys, Suite};
pub use message::{Answer, Power, answer, request};
pub use packet::{
    Packet, PacketError, Payload, encode_plain, encode_plus, encode_sealed, ping, read, unseal,
};

pub use udp::{ANSWER_WAIT, EXCHANGE_LIMIT, carry_out};

use thiserror::Error;

/// Longest user name (22.28, Get User Name).
pub const USER_MAX_BYTES: usize = 16;
/// Longest password (22.30, Set User Password).
pub const PASSWORD_MAX_BYTES: usize = 20;

/// Why an order was not carried out; each is a sentence to the administrator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BmcError {
    /// User name or password do not fit.
    #[error("a management controller takes at most 16 bytes of user name and 20 bytes of password")]
    Login,
    /// Nothing came back.
    #[error("the management controller does not answer ({0}); see to its cable, address and power")]
    Silent(Step),
    /// It does not speak IPMI 2.0.
    #[error("the management controller does not speak IPMI 2.0")]
    Version,
    /// It does not offer a cipher suite that is good enough.
    #[error("the management controller offers neither cipher suite 17 nor 3")]
    Suites,
    /// It refuses the session.
    #[error("the management controller refuses the session: {0}")]
    Refused(&'static str),
    /// The password is wrong, here or there.
    #[error("the management controller knows another password for this user")]
    Password,
    /// The user may not do this.
    #[error("this user may not control the power; the management controller must give it Operator rights")]
    Privilege,
    /// An order failed.
    #[error("the management controller refused an order: completion code {0:#04x}")]
    Completion(u8),
    /// No packet leaves this box.
    #[error("nothing can be sent to the management controller: {0}")]
    Unreachable(String),
    /// The exchange went on and on.
    #[error("the management controller answers too slowly")]
    Late,
    /// Packets could not be made.
    #[error("a packet to the management controller could not be made")]
    Packet,
}
