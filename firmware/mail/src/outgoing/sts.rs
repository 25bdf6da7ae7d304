//! Domains that demand verified TLS for their mail (MTA-STS, RFC 8461): finding, fetching and keeping what
//! they published.
//!
//! A policy that was seen once holds until it has run out, whoever hides the record or the web server
//! meanwhile; so what is known is kept in the store, and moves with it to the other box. Where none was
//! ever seen and none can be had now, mail goes as if there were none.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use smtp::sts::{Mode, POLICY_BYTES_MAX, Policy};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::http;
use super::trust::Trust;
use crate::clock::unix_s;

/// Name of the store's setting.
const SETTING: &str = "mta_sts";
/// Domains whose policies are kept.
const DOMAINS_MAX: usize = 1_000;
/// How long a policy is used without asking the web server whether it is still the same.
const FRESH_S: u64 = 86_400;
/// How long nobody asks a web server that failed (RFC 8461 3.3 suggests five minutes).
const FAILED_TIME: Duration = Duration::from_mins(5);
/// Such domains remembered.
const FAILED_MAX: usize = 1_000;
/// For all of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Header and framing of an answer, beside the policy.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Knows the policies.
#[derive(Clone)]
pub(crate) struct Sts {
    store: Store,
    trust: Trust,
    /// Port of web servers; 443 except in tests.
    port: u16,
    known: Arc<Mutex<HashMap<String, Kept>>>,
    failed: Arc<Mutex<HashMap<String, Instant>>>,
    /// One writes at a time, so that what is written last is the newest.
    saving: Arc<tokio::sync::Mutex<()>>,
}

/// A policy that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Identifier in the TXT record at that time.
    id: String,
    /// The policy's text.
    policy: String,
    fetched_s: u64,
    until_s: u64,
}

impl Sts {
    pub(crate) fn open(store: Store, trust: Trust, port: u16) -> Result<Self, store::StoreError> {
        let known = match store.setting(SETTING)? {
            None => HashMap::new(),
            Some(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::error!("kept MTA-STS policies are not understood and begin anew: {error}");
                HashMap::new()
            }),
        };
        let known = Arc::new(Mutex::new(known));
        Ok(Self { store, trust, port, known, failed: Arc::default(), saving: Arc::default() })
    }

    /// The policy in force for a domain. `id` is what its TXT record says now, `addresses` finds those of
    /// its web server.
    pub(super) async fn policy(
        &self,
        domain: &str,
        id: Option<&str>,
        addresses: impl Future<Output = Vec<IpAddr>>,
    ) -> Option<Policy> {
        let now_s = unix_s();
        let kept = self.known().get(domain).filter(|kept| kept.until_s > now_s).cloned();
        let is_same =
            |kept: &Kept| id.is_none_or(|id| id == kept.id && now_s.saturating_sub(kept.fetched_s) < FRESH_S);
        if kept.as_ref().is_some_and(is_same) || self.has_failed(domain) {
            return kept.and_then(|kept| Policy::parse(&kept.policy));
        }
        let id = id?;
        let fetched = timeout(FETCH_TIMEOUT, async { self.fetch(domain, &addresses.await).await }).await;
        match fetched.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(policy) => {
                self.keep(domain, id, &policy, now_s).await;
                Some(policy)
            }
            Err(error) => {
                tracing::info!("the MTA-STS policy of {domain} cannot be had: {error}");
                self.note_failed(domain);
                kept.and_then(|kept| Policy::parse(&kept.policy))
            }
        }
    }

    async fn keep(&self, domain: &str, id: &str, policy: &Policy, now_s: u64) {
        let kept = Kept {
            id: id.to_owned(),
            policy: policy.to_string(),
            fetched_s: now_s,
            until_s: now_s.saturating_add(policy.max_age_s),
        };
        let _saving = self.saving.lock().await;
        let text = {
            let mut known = self.known();
            known.retain(|_, kept| kept.until_s > now_s);
            while known.len() >= DOMAINS_MAX && !known.contains_key(domain) {
                let soonest = known.iter().min_by_key(|(_, kept)| kept.until_s);
                let Some(soonest) = soonest.map(|(domain, _)| domain.clone()) else { break };
                known.remove(&soonest);
            }
            known.insert(domain.to_owned(), kept);
            serde_json::to_string(&*known)
        };
        let saved = match text {
            Ok(text) => self.store.set_setting(SETTING, Some(&text)).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = saved {
            tracing::warn!("the MTA-STS policy of {domain} is kept in memory only: {error}");
        }
    }

    /// GET of the well-known text, from the first address that answers (RFC 8461 3.3): verified, without
    /// redirections, as plain text.
    async fn fetch(&self, domain: &str, addresses: &[IpAddr]) -> io::Result<Policy> {
        let mut failed = io::Error::other(format!("mta-sts.{domain} has no address"));
        for address in addresses {
            match self.fetch_from(domain, *address).await {
                Ok(policy) => return Ok(policy),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn fetch_from(&self, domain: &str, address: IpAddr) -> io::Result<Policy> {
        let host = format!("mta-sts.{domain}");
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((address, self.port)).await?;
        let mut stream = TlsConnector::from(self.trust.config(true)).connect(name, stream).await?;
        let request = format!(
            "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\n\
             User-Agent: Twinmail\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        let bound = (POLICY_BYTES_MAX + HEADER_BYTES_MAX) as u64;
        // Many servers close without TLS's good-bye; whether all is there the answer itself says.
        if let Err(error) = stream.take(bound).read_to_end(&mut answer).await
            && error.kind() != io::ErrorKind::UnexpectedEof
        {
            return Err(error);
        }
        let text = http::plain_text(&answer).map_err(io::Error::other)?;
        let text = text.get(..POLICY_BYTES_MAX.min(text.len())).unwrap_or_default();
        let policy = std::str::from_utf8(text).ok().and_then(Policy::parse);
        policy.ok_or_else(|| io::Error::other(format!("what {host} serves is no policy")))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self, domain: &str) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(domain).is_some_and(|since| since.elapsed() < FAILED_TIME)
    }

    fn note_failed(&self, domain: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= FAILED_MAX {
            failed.retain(|_, since| since.elapsed() < FAILED_TIME);
        }
        if failed.len() < FAILED_MAX {
            failed.insert(domain.to_owned(), Instant::now());
        }
    }

    /// Somebody has mended something.
    pub(super) fn forget_failures(&self) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whether mail to a domain goes to these servers only.
pub(super) fn is_enforced(policy: Option<&Policy>) -> bool {
    policy.is_some_and(|policy| policy.mode == Mode::Enforce)
}
