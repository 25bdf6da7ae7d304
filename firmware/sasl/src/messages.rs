//! The messages of SCRAM (RFC 5802 5, 7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::CREDENTIAL_MAX_BYTES;

/// Longest nonce of the other side, in octets.
const NONCE_MAX_BYTES: usize = 512;

/// What a client says about channel binding (RFC 5802 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindingFlag {
    /// `n`: it cannot.
    No,
    /// `y`: it can, and thinks that the server cannot.
    ServerCannot,
    /// `p=name`: it does.
    Bound(String),
}

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    pub flag: BindingFlag,
    /// `n,a=…,` as sent.
    pub header: String,
    pub act_as: Option<String>,
    pub user: String,
    pub nonce: String,
    /// What follows the header, as sent.
    pub bare: String,
}

impl ClientFirst {
    pub fn parse(message: &str) -> Option<Self> {
        let (flag, rest) = message.split_once(',')?;
        let (act_as, bare) = rest.split_once(',')?;
        let header = message.get(..message.len() - bare.len())?;
        let flag = match flag {
            "n" => BindingFlag::No,
            "y" => BindingFlag::ServerCannot,
            other => {
                BindingFlag::Bound(other.strip_prefix("p=").filter(|name| is_binding_name(name))?.into())
            }
        };
        let act_as = match act_as {
            "" => None,
            named => Some(decode_name(named.strip_prefix("a=")?)?),
        };
        // An extension in first place is mandatory and none is known (`m=`, RFC 5802 5.1).
        let mut parts = bare.split(',');
        let user = decode_name(parts.next()?.strip_prefix("n=")?)?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?.to_owned();
        parts.all(is_attribute).then(|| Self {
            flag,
            header: header.to_owned(),
            act_as,
            user,
            nonce,
            bare: bare.to_owned(),
        })
    }
}

/// The client's last message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal {
    /// Header and binding data.
    pub binding: Vec<u8>,
    pub nonce: String,
    pub proof: [u8; 32],
    /// All before the proof, as sent.
    pub without_proof: String,
}

impl ClientFinal {
    pub fn parse(message: &str) -> Option<Self> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?.as_slice().try_into().ok()?;
        let mut parts = without_proof.split(',');
        let binding = STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?.to_owned();
        parts.all(is_attribute).then(|| Self {
            binding,
            nonce,
            proof,
            without_proof: without_proof.to_owned(),
        })
    }
}

/// The server's first message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFirst {
    pub nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl ServerFirst {
    pub fn parse(message: &str) -> Option<Self> {
        let mut parts = message.split(',');
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?.to_owned();
        let salt = STANDARD.decode(parts.next()?.strip_prefix("s=")?).ok()?;
        let iterations = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        parts.all(is_attribute).then_some(Self { nonce, salt, iterations })
    }
}

/// A user name as it stands in a message (`saslname`).
pub(crate) fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn decode_name(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    name.push_str(pieces.next()?);
    for piece in pieces {
        let (letter, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        name.push(letter);
        name.push_str(rest);
    }
    let fits = (1..=CREDENTIAL_MAX_BYTES).contains(&name.len()) && !name.contains('\0');
    fits.then_some(name)
}

fn is_nonce(text: &str) -> bool {
    (1..=NONCE_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

fn is_binding_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

/// `x=value`; the value may hold anything but NUL and comma.
fn is_attribute(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(1) == Some(&b'=')
        && bytes.len() > 2
        && !bytes.contains(&0)
}
