//! The client's side, for a smarthost that wants a login.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::keys::{client_key, hash, salted_password, sign, xor};
use crate::messages::{ServerFirst, encode_name};
use crate::{ChannelBinding, Mechanism, encode, nonce, prepare_password};

/// Most iterations a server may ask for: some seconds of work.
const ITERATIONS_MAX: u32 = 5_000_000;

/// Why a client cannot go on. The exchange is to be given up with `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server's challenge is not one of the mechanism's.
    #[error("the server's challenge is not understood")]
    Malformed,
    /// The server wants more work than is reasonable.
    #[error("the server asks for too many iterations")]
    TooMuchWork,
    /// The server does not know the password itself: it is not who it says it is.
    #[error("the server could not prove that it knows the password")]
    WrongServer,
    /// The server refused the proof and says why with an attribute `e=`.
    #[error("the server refused the proof")]
    Refused,
    /// The system has no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// One exchange.
#[derive(Debug)]
pub struct Client {
    mechanism: Mechanism,
    user: String,
    password: Password,
    header: Vec<u8>,
    binding: Vec<u8>,
    nonce: String,
    state: State,
}

struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[derive(Debug)]
enum State {
    First,
    /// LOGIN: the user was sent. SCRAM: the first message was sent.
    Second,
    /// SCRAM: the proof was sent and must be answered by this signature.
    Proven([u8; 32]),
    Done,
}

impl Client {
    /// The strongest of the offered mechanisms, by name, that can be used on this connection.
    pub fn choose<'a>(
        offered: impl IntoIterator<Item = &'a str>,
        binding: &ChannelBinding,
    ) -> Option<Mechanism> {
        let offered: Vec<&str> = offered.into_iter().collect();
        let usable = |one: &Mechanism| *one != Mechanism::ScramSha256Plus || !binding.is_empty();
        let is_offered = |one: &Mechanism| offered.iter().any(|name| name.eq_ignore_ascii_case(one.name()));
        Mechanism::ALL.into_iter().filter(usable).find(is_offered)
    }

    /// Prepares an exchange with the mechanism that [`Self::choose`] found.
    pub fn new(
        mechanism: Mechanism,
        user: &str,
        password: &str,
        binding: &ChannelBinding,
    ) -> Result<Self, ClientError> {
        let nonce = nonce().ok_or(ClientError::NoRandomness)?;
        Ok(Self::with_nonce(mechanism, user, password, binding, nonce))
    }

    pub(crate) fn with_nonce(
        mechanism: Mechanism,
        user: &str,
        password: &str,
        binding: &ChannelBinding,
        nonce: String,
    ) -> Self {
        let strongest = binding.strongest().filter(|_| mechanism == Mechanism::ScramSha256Plus);
        let header = match strongest {
            Some(kind) => format!("p={},,", kind.name()),
            // We could; the server did not offer it, and must say so if that is not true.
            None if !binding.is_empty() => "y,,".to_owned(),
            None => "n,,".to_owned(),
        };
        let data = strongest.and_then(|kind| binding.data(kind)).unwrap_or_default();
        Self {
            mechanism,
            user: user.to_owned(),
            password: Password(prepare_password(password).into_owned()),
            header: header.into_bytes(),
            binding: data.to_vec(),
            nonce,
            state: State::First,
        }
    }

    /// The initial response, to be sent [encoded](encode) with the mechanism's name; none for LOGIN, which
    /// waits for its first challenge.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        match self.mechanism {
            Mechanism::Login => None,
            Mechanism::Plain => {
                self.state = State::Done;
                Some(format!("\0{}\0{}", self.user, self.password.0).into_bytes())
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                self.state = State::Second;
                let bare = self.first_bare();
                Some([self.header.as_slice(), bare.as_bytes()].concat())
            }
        }
    }

    /// Whether the server may now say that all went well; before that its success is a lie.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Answers a challenge as it came over the line. With SCRAM it takes milliseconds.
    pub fn challenge(&mut self, line: &str) -> Result<Vec<u8>, ClientError> {
        let challenge = STANDARD.decode(line.trim()).map_err(|_| ClientError::Malformed)?;
        let challenge = String::from_utf8(challenge).map_err(|_| ClientError::Malformed)?;
        match (self.mechanism, &self.state) {
            (Mechanism::Login, State::First) => {
                self.state = State::Second;
                Ok(self.user.clone().into_bytes())
            }
            (Mechanism::Login, State::Second) => {
                self.state = State::Done;
                Ok(self.password.0.clone().into_bytes())
            }
            // A server that did not take the initial response asks for it.
            (Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus, State::First)
                if challenge.is_empty() =>
            {
                self.initial().ok_or(ClientError::Malformed)
            }
            (Mechanism::ScramSha256 | Mechanism::ScramSha256Plus, State::Second) => self.prove(&challenge),
            (_, State::Proven(signature)) => {
                let signature = *signature;
                self.check(&challenge, signature)
            }
            _ => Err(ClientError::Malformed),
        }
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", encode_name(&self.user), self.nonce)
    }

    fn prove(&mut self, challenge: &str) -> Result<Vec<u8>, ClientError> {
        let first = ServerFirst::parse(challenge).ok_or(ClientError::Malformed)?;
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(ClientError::Malformed);
        }
        let iterations = NonZeroU32::new(first.iterations).ok_or(ClientError::Malformed)?;
        if first.iterations > ITERATIONS_MAX {
            return Err(ClientError::TooMuchWork);
        }
        let salted = salted_password(&self.password.0, &first.salt, iterations);
        let bound = [self.header.as_slice(), &self.binding].concat();
        let without_proof = format!("c={},r={}", encode(&bound), first.nonce);
        let message = format!("{},{challenge},{without_proof}", self.first_bare());
        let client_key = client_key(&salted);
        let proof = xor(&client_key, &sign(&hash(&client_key), message.as_bytes()));
        let server_key = sign(&salted, b"Server Key");
        self.state = State::Proven(sign(&server_key, message.as_bytes()));
        Ok(format!("{without_proof},p={}", encode(&proof)).into_bytes())
    }

    fn check(&mut self, challenge: &str, expected: [u8; 32]) -> Result<Vec<u8>, ClientError> {
        if challenge.starts_with("e=") {
            return Err(ClientError::Refused);
        }
        let signature = challenge.split(',').next().and_then(|part| part.strip_prefix("v="));
        let signature =
            signature.and_then(|text| STANDARD.decode(text).ok()).ok_or(ClientError::Malformed)?;
        if !bool::from(signature.ct_eq(&expected)) {
            return Err(ClientError::WrongServer);
        }
        self.state = State::Done;
        Ok(Vec::new())
    }
}
