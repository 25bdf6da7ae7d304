//! Signs what leaves (RFC 6376, RFC 8463): relaxed/relaxed, with every active key of the domain in `From`.
//!
//! It is done when the message goes out, on the text as it goes out, so that a conversion for a server of
//! seven bits does not break it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer};
use store::{SigningAlgorithm, SigningKey, SigningState, Store};

use super::seal::{self, Seal};
use crate::clock::unix_s;

/// Fields that are signed. `From` stands twice: another one cannot be added unnoticed (RFC 6376 8.15).
/// Those that are not there are signed as missing.
const FIELDS: [&str; 13] = [
    "From",
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// How long keys are used without looking whether they have changed.
const KEYS_TIME: Duration = Duration::from_secs(10);
/// Domains whose keys are kept ready.
const DOMAINS_MAX: usize = 1_000;
/// Texts of this many octets are signed in a thread of their own.
const SIGN_ASIDE_BYTES: usize = 256 * 1024;

/// The keys of a domain, ready for use.
type Keys = Arc<Domain>;

#[derive(Default)]
struct Domain {
    signers: Vec<DkimSigner<DkimKey, Done>>,
    /// For seals, with its selector: of the kind that everybody can check, if there is one.
    sealer: Option<(DkimKey, String)>,
}

/// Signs for all domains.
#[derive(Clone)]
pub(crate) struct Signer {
    store: Store,
    keys: Arc<Mutex<HashMap<String, (Instant, Keys)>>>,
}

impl Signer {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, keys: Arc::default() }
    }

    /// The text with its signatures on top; as it is where there is no key, or where signing fails: mail
    /// without a signature beats no mail.
    pub(crate) async fn sign(&self, text: Bytes) -> Bytes {
        let Some(domain) = author_domain(&text) else { return text };
        let keys = match self.keys(&domain) {
            Ok(keys) if !keys.signers.is_empty() => keys,
            Ok(_) => return text,
            Err(error) => {
                tracing::error!("keys of {domain} cannot be read: {error}");
                return text;
            }
        };
        if text.len() < SIGN_ASIDE_BYTES {
            return signed(&keys, &domain, text);
        }
        let unsigned = text.clone();
        tokio::task::spawn_blocking(move || signed(&keys, &domain, text)).await.unwrap_or(unsigned)
    }

    /// The text with a seal on top, if an address of ours sends it on for somebody else and we checked it
    /// when it came; as it is otherwise.
    pub(crate) async fn seal(&self, text: Bytes, host_name: &Arc<str>) -> Bytes {
        let Some(domain) = seal::sending_domain(&text) else { return text };
        let keys = match self.keys(&domain) {
            Ok(keys) if keys.sealer.is_some() => keys,
            Ok(_) => return text,
            Err(error) => {
                tracing::error!("keys of {domain} cannot be read: {error}");
                return text;
            }
        };
        if text.len() < SIGN_ASIDE_BYTES {
            return sealed(&keys, &domain, host_name, text);
        }
        let (unsealed, host_name) = (text.clone(), Arc::clone(host_name));
        let seal = move || sealed(&keys, &domain, &host_name, text);
        tokio::task::spawn_blocking(seal).await.unwrap_or(unsealed)
    }

    fn keys(&self, domain: &str) -> Result<Keys, store::StoreError> {
        let known = |keys: &HashMap<String, (Instant, Keys)>| {
            keys.get(domain)
                .filter(|(since, _)| since.elapsed() < KEYS_TIME)
                .map(|(_, keys)| Arc::clone(keys))
        };
        if let Some(keys) = known(&self.keys.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(keys);
        }
        // A domain that cannot be one of ours has no keys.
        let stored = match self.store.signing_keys(domain) {
            Err(store::StoreError::BadAddress(_)) => Vec::new(),
            other => other?,
        };
        let active = stored.iter().filter(|key| key.state == SigningState::Active);
        let ready = active.filter_map(|key| {
            secret(key)
                .map(|secret| signer(secret, domain, &key.selector))
                .inspect_err(|error| {
                    tracing::error!("key {} of {domain} cannot be used: {error}", key.selector);
                })
                .ok()
        });
        let ready: Keys = Arc::new(Domain { signers: ready.collect(), sealer: sealer(&stored) });
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= DOMAINS_MAX {
            keys.clear();
        }
        keys.insert(domain.to_owned(), (Instant::now(), Arc::clone(&ready)));
        Ok(ready)
    }
}

/// The key, ready for use.
fn secret(key: &SigningKey) -> Result<DkimKey, mail_auth::Error> {
    match key.algorithm {
        SigningAlgorithm::Rsa => {
            let secret = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(key.secret.as_slice()));
            RsaKey::<Sha256>::from_key_der(secret).map(DkimKey::Rsa)
        }
        SigningAlgorithm::Ed25519 => Ed25519Key::from_pkcs8_der(&key.secret).map(DkimKey::Ed25519),
    }
}

fn signer(key: DkimKey, domain: &str, selector: &str) -> DkimSigner<DkimKey, Done> {
    DkimSigner::from_key(key)
        .domain(domain)
        .selector(selector)
        .headers(FIELDS)
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
}

/// The key that seals: one active key, RSA before Ed25519.
fn sealer(keys: &[SigningKey]) -> Option<(DkimKey, String)> {
    let active = || keys.iter().filter(|key| key.state == SigningState::Active);
    let of = |algorithm: SigningAlgorithm| active().find(|key| key.algorithm == algorithm);
    let key = of(SigningAlgorithm::Rsa).or_else(|| of(SigningAlgorithm::Ed25519))?;
    secret(key).ok().map(|secret| (secret, key.selector.clone()))
}

fn sealed(keys: &Domain, domain: &str, host_name: &str, text: Bytes) -> Bytes {
    let Some((key, selector)) = &keys.sealer else { return text };
    let seal = Seal { key, domain, selector, host_name, unix_s: unix_s() };
    let Some(top) = seal::set(&text, &FIELDS, &seal) else { return text };
    let mut whole = top.into_bytes();
    whole.extend_from_slice(&text);
    whole.into()
}

fn signed(keys: &Domain, domain: &str, text: Bytes) -> Bytes {
    let mut top = String::new();
    for signer in &keys.signers {
        match signer.sign(&text) {
            Ok(signature) => top += &signature.to_header(),
            Err(error) => tracing::error!("mail of {domain} leaves unsigned: {error}"),
        }
    }
    if top.is_empty() {
        return text;
    }
    let mut whole = top.into_bytes();
    whole.extend_from_slice(&text);
    whole.into()
}

/// Domain of the first author.
fn author_domain(text: &[u8]) -> Option<String> {
    let header = text.get(..::message::header_end(text))?;
    let from = ::message::fields(header).find(|field| field.name.eq_ignore_ascii_case(b"from"))?;
    ::message::addresses(from.value).into_iter().find_map(|address| match address {
        ::message::Address::Mailbox { domain, .. } => {
            Some(String::from_utf8_lossy(&domain).to_ascii_lowercase()).filter(|domain| !domain.is_empty())
        }
        _ => None,
    })
}
