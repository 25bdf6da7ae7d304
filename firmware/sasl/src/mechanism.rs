//! The mechanisms and which of them a server offers.

use std::fmt;

use crate::Context;

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: SCRAM bound to the channel (RFC 7677).
    ScramSha256Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, as draft-murchison-sasl-login describes it.
    Login,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// The name as registered.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whether the password itself goes over the line.
    pub fn reveals_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

/// What a server offers on one connection, the strongest first. Shows as the names with spaces between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    plus: bool,
}

impl Offer {
    /// Everything that works on this connection: -PLUS only where there is something to bind to.
    pub fn all(context: &Context) -> Self {
        Self { plus: !context.binding.is_empty() }
    }

    /// The mechanisms.
    pub fn mechanisms(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |one| self.plus || *one != Mechanism::ScramSha256Plus)
    }

    /// The mechanism of this name, in any case of letters, if it is offered.
    pub fn find(self, name: &str) -> Option<Mechanism> {
        self.mechanisms().find(|one| one.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mechanism) in self.mechanisms().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", mechanism.name())?;
        }
        Ok(())
    }
}
