//! The server's side of one exchange.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::messages::{BindingFlag, ClientFinal, ClientFirst};
use crate::{BindingType, CREDENTIAL_MAX_BYTES, ChannelBinding, LINE_MAX_BYTES, Mechanism, Stored, encode};
use crate::{keys, nonce};

/// What the exchange is told about its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// What the connection can be bound to.
    pub binding: ChannelBinding,
}

/// What happens next. `A` is how the service names an account.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<A> {
    /// Send this, [encoded](encode); read a line; go on with [`Exchange::line`].
    Challenge(Vec<u8>),
    /// Find what is stored of this user; go on with [`Exchange::stored`]. A user that does not exist has
    /// [`Stored::simulated`].
    Lookup {
        /// User name.
        user: String,
    },
    /// Decide whether to let them in; if so go on with [`Exchange::accept`], else say no and drop the
    /// exchange.
    Verify(Claim),
    /// They are in.
    Done(A),
    /// It is over; nothing was decided.
    Failed(Failure),
}

/// Who somebody says they are, and how they show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// By a password, which is to be checked.
    Password {
        /// User name.
        user: String,
        /// Password, as it came.
        password: String,
    },
    /// By a proof, which has been checked.
    Proof {
        /// User name.
        user: String,
        /// Which of [`Stored::pairs`] it fits; none if it is wrong.
        pair: Option<usize>,
    },
}

impl Claim {
    /// User name.
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Proof { user, .. } => user,
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("user", &self.user()).finish_non_exhaustive()
    }
}

/// Why a service does not let somebody in. The codes: SMTP (RFC 4954), IMAP (RFC 5530), POP3 (RFC 3206).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// User or password is wrong; which one is not told. `535 5.7.8`, `[AUTHENTICATIONFAILED]`, `[AUTH]`.
    #[error("user name or password is wrong")]
    Credentials,
    /// The account is switched off. `535 5.7.13`, `[CONTACTADMIN]`, `[SYS/PERM]`.
    #[error("this account is switched off; ask the administrator")]
    Disabled,
    /// This account may not use this protocol. `535 5.7.13`, `[CONTACTADMIN]`, `[SYS/PERM]`.
    #[error("this account may not use this protocol; ask the administrator")]
    Protocol,
    /// It cannot be checked now. `454 4.7.0`, `[UNAVAILABLE]`, `[SYS/TEMP]`.
    #[error("passwords cannot be checked now; try again later")]
    Unavailable,
}

/// Why an exchange ended without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The client sent `*`. `501 5.7.0`, `BAD`, `-ERR`.
    #[error("authentication was given up")]
    Cancelled,
    /// The line is too long or no base64. `501 5.5.2`, `BAD`, `-ERR`.
    #[error("the response is not base64")]
    NotBase64,
    /// The response is not one of the mechanism's. `501 5.5.2`, `BAD`, `-ERR`.
    #[error("the response is not understood")]
    Malformed,
    /// Acting for somebody else is not possible here. `535 5.7.8`, `[AUTHORIZATIONFAILED]`, `[AUTH]`.
    #[error("nobody may act for another user")]
    ActsForAnother,
    /// The response is bound to another channel, or was kept from being bound to this one: somebody may
    /// stand in between. `535 5.7.8`, `[AUTHENTICATIONFAILED]`, `[AUTH]`.
    #[error("the response is not bound to this connection")]
    Binding,
    /// The system has no randomness. `454 4.7.0`, `[UNAVAILABLE]`, `[SYS/TEMP]`.
    #[error("authentication is not possible now")]
    Unavailable,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange<A> {
    context: Context,
    state: State<A>,
}

#[derive(Debug)]
enum State<A> {
    Plain,
    LoginUser,
    LoginPassword {
        user: String,
    },
    ScramFirst {
        plus: bool,
    },
    ScramLookup(Box<ClientFirst>),
    ScramFinal(Box<Asked>),
    /// The shell decides; the signature then goes to the client, which answers with an empty line: none
    /// of the three protocols carries data with its success.
    Deciding {
        right: bool,
        signature: Option<Vec<u8>>,
    },
    Concluding(A),
    Over,
}

/// What the client has to prove.
struct Asked {
    first: ClientFirst,
    stored: Stored,
    nonce: String,
    server_first: String,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("user", &self.first.user).finish_non_exhaustive()
    }
}

impl<A> Exchange<A> {
    /// Begins. The initial response is what stood behind the mechanism's name, `=` for an empty one
    /// (RFC 4954 4, RFC 4959 3, RFC 5034 4).
    pub fn begin(mechanism: Mechanism, context: Context, initial: Option<&str>) -> (Self, Step<A>) {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => State::ScramFirst { plus: false },
            Mechanism::ScramSha256Plus => State::ScramFirst { plus: true },
        };
        let mut exchange = Self { context, state };
        let step = match (initial, mechanism) {
            (Some("="), _) => exchange.response(b""),
            (Some(text), _) => exchange.line(text.as_bytes()),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
            (None, _) => Step::Challenge(Vec::new()),
        };
        (exchange, step)
    }

    /// Takes a line of the client, without its end.
    pub fn line(&mut self, line: &[u8]) -> Step<A> {
        if line == b"*" {
            return self.fail(Failure::Cancelled);
        }
        if line.len() > LINE_MAX_BYTES {
            return self.fail(Failure::NotBase64);
        }
        match STANDARD.decode(line) {
            Ok(response) => self.response(&response),
            Err(_) => self.fail(Failure::NotBase64),
        }
    }

    /// Takes what is stored of the user that [`Step::Lookup`] named.
    pub fn stored(&mut self, stored: Stored) -> Step<A> {
        match nonce() {
            Some(nonce) => self.stored_with(stored, &nonce),
            None => self.fail(Failure::Unavailable),
        }
    }

    pub(crate) fn stored_with(&mut self, stored: Stored, nonce: &str) -> Step<A> {
        let State::ScramLookup(first) = std::mem::replace(&mut self.state, State::Over) else {
            return self.fail(Failure::Malformed);
        };
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={}", encode(&stored.salt), stored.iterations);
        let challenge = server_first.clone().into_bytes();
        self.state = State::ScramFinal(Box::new(Asked { first: *first, stored, nonce, server_first }));
        Step::Challenge(challenge)
    }

    /// Lets them in: the answer to [`Step::Verify`]. A proof that is wrong is not accepted whatever the
    /// shell says.
    pub fn accept(&mut self, account: A) -> Step<A> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Deciding { right: true, signature: None } => Step::Done(account),
            State::Deciding { right: true, signature: Some(signature) } => {
                self.state = State::Concluding(account);
                Step::Challenge(signature)
            }
            _ => self.fail(Failure::Malformed),
        }
    }

    fn fail(&mut self, failure: Failure) -> Step<A> {
        self.state = State::Over;
        Step::Failed(failure)
    }

    fn response(&mut self, response: &[u8]) -> Step<A> {
        let Ok(text) = std::str::from_utf8(response) else { return self.fail(Failure::Malformed) };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => self.plain(text),
            State::LoginUser if fits(text) => {
                self.state = State::LoginPassword { user: text.to_owned() };
                Step::Challenge(b"Password:".to_vec())
            }
            State::LoginPassword { user } if fits(text) => self.password(&user, text),
            State::ScramFirst { plus } => self.scram_first(text, plus),
            State::ScramFinal(asked) => self.scram_final(text, &asked),
            State::Concluding(account) if text.is_empty() => Step::Done(account),
            State::LoginUser
            | State::LoginPassword { .. }
            | State::ScramLookup(_)
            | State::Deciding { .. }
            | State::Concluding(_)
            | State::Over => self.fail(Failure::Malformed),
        }
    }

    /// Authorization identity, user and password between NULs (RFC 4616 2).
    fn plain(&mut self, text: &str) -> Step<A> {
        let mut parts = text.split('\0');
        let (Some(act_as), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return self.fail(Failure::Malformed);
        };
        if !fits(user) || !fits(password) {
            self.fail(Failure::Malformed)
        } else if is_other(act_as, user) {
            self.fail(Failure::ActsForAnother)
        } else {
            self.password(user, password)
        }
    }

    fn password(&mut self, user: &str, password: &str) -> Step<A> {
        self.state = State::Deciding { right: true, signature: None };
        Step::Verify(Claim::Password { user: user.to_owned(), password: password.to_owned() })
    }

    fn scram_first(&mut self, text: &str, plus: bool) -> Step<A> {
        let Some(first) = ClientFirst::parse(text) else { return self.fail(Failure::Malformed) };
        let bindable = match (&first.flag, plus) {
            (BindingFlag::Bound(name), true) => self.binding_data(name).is_some(),
            // Who uses -PLUS says to what, and who does not cannot (RFC 5802 6).
            (_, true) | (BindingFlag::Bound(_), false) => return self.fail(Failure::Malformed),
            // -PLUS was offered; who says it was not has been shown another list.
            (BindingFlag::ServerCannot, false) => self.context.binding.is_empty(),
            (BindingFlag::No, false) => true,
        };
        if !bindable {
            return self.fail(Failure::Binding);
        }
        if is_other(first.act_as.as_deref().unwrap_or_default(), &first.user) {
            return self.fail(Failure::ActsForAnother);
        }
        let user = first.user.clone();
        self.state = State::ScramLookup(Box::new(first));
        Step::Lookup { user }
    }

    fn scram_final(&mut self, text: &str, asked: &Asked) -> Step<A> {
        let Some(last) = ClientFinal::parse(text) else { return self.fail(Failure::Malformed) };
        if !bool::from(last.nonce.as_bytes().ct_eq(asked.nonce.as_bytes())) {
            return self.fail(Failure::Malformed);
        }
        let mut binding = asked.first.header.clone().into_bytes();
        if let BindingFlag::Bound(name) = &asked.first.flag {
            binding.extend_from_slice(self.binding_data(name).unwrap_or_default());
        }
        if !bool::from(last.binding.ct_eq(&binding)) {
            return self.fail(Failure::Binding);
        }
        let message = format!("{},{},{}", asked.first.bare, asked.server_first, last.without_proof);
        let proven = asked.stored.proven(message.as_bytes(), &last.proof);
        let signature = proven.map(|(_, pair)| {
            let signature = keys::sign(&pair.server_key, message.as_bytes());
            format!("v={}", encode(&signature)).into_bytes()
        });
        self.state = State::Deciding { right: proven.is_some(), signature };
        let pair = proven.map(|(number, _)| number);
        Step::Verify(Claim::Proof { user: asked.first.user.clone(), pair })
    }

    fn binding_data(&self, name: &str) -> Option<&[u8]> {
        self.context.binding.data(BindingType::named(name)?)
    }
}

fn fits(text: &str) -> bool {
    (1..=CREDENTIAL_MAX_BYTES).contains(&text.len()) && !text.contains('\0')
}

/// Whether somebody wants to act for somebody else.
fn is_other(act_as: &str, user: &str) -> bool {
    !act_as.is_empty() && act_as.to_lowercase() != user.to_lowercase()
}
