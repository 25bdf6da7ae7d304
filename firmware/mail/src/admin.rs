//! The administration socket: one JSON request a line, one reply a line (`control::mail`).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use control::mail::{CheckReport, Reply, Request, TextIndex};
use control::wire::LINE_MAX_BYTES;
use store::StoreError;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::outgoing::{self, SMARTHOST_SETTING, Smarthost};
use crate::probing::Probing;
use crate::service::Shared;
use crate::{MailError, directory, password, signing_keys};

/// Connections served at the same time; more wait.
const CONNECTIONS_MAX: usize = 16;
/// Silence after which a connection is closed.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest time a health check may take before it counts as failed.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the socket, for its owner and root only, and serves it until the service stops.
pub(crate) fn listen(shared: Arc<Shared>, path: &Path) -> Result<(), MailError> {
    let failed = |source| MailError::Socket { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    tokio::spawn(accept(shared, listener));
    Ok(())
}

async fn accept(shared: Arc<Shared>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop_ordered() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = serve(&shared, stream).await {
                        tracing::warn!("administration connection ended: {error}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("administration connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(shared: &Arc<Shared>, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LINE_MAX_BYTES as u64);
        let read = bounded.read_until(b'\n', &mut line);
        let read = tokio::time::timeout(SILENCE, read).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        if read == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => answer(shared, request).await.unwrap_or_else(Reply::Refused),
            Err(error) => Reply::Refused(format!("the request is not understood: {error}")),
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        writer.write_all(&answer).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

/// A refusal is a sentence.
async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Reply, String> {
    let store = &shared.store;
    match in_a_labels(request)? {
        Request::Health => return health(shared).await,
        Request::Counters => return Ok(Reply::Counters(shared.counters.read())),
        Request::Queue(request) => {
            return outgoing::answer(&shared.worker, request).await.map(Reply::Queue);
        }
        Request::Dkim(request) => {
            let host_name = &shared.worker.host_name;
            return signing_keys::answer(store, host_name, request).await.map(Reply::Dns);
        }
        Request::ReceivingShow => return Ok(Reply::Receiving(shared.receiving.shown())),
        Request::ReceivingSet(change) => {
            return shared.receiving.change(store, change).await.map(Reply::Receiving);
        }
        Request::Figures => return crate::figures::read(shared).await.map(Reply::Figures),
        Request::Letter(letter) => {
            return crate::letters::deliver(shared, letter).await.map(|()| Reply::Done);
        }
        Request::Directory(request) => return directory::answer(shared, request).await,
        Request::DrillRefuse => {
            if !shared.probing.is_on() {
                return Err("nobody probes this mail service, so nobody would end the drill".to_owned());
            }
            tracing::warn!("drill: every message is refused on purpose, until the service is started anew");
            shared.refuses_all.store(true, Ordering::Relaxed);
        }
        Request::StoreCheck => return aside(shared, |shared| shared.store.check()).await.map(check),
        Request::TextIndex { rebuild } => {
            if rebuild {
                store.reindex_texts();
            }
            let store::TextProgress { indexed, of, kept } = store.text_progress().map_err(sentence)?;
            return Ok(Reply::TextIndex(TextIndex { indexed, of, kept }));
        }
        Request::DomainAdd { domain } => store.add_domain(&domain).await.map_err(sentence)?,
        Request::DomainRemove { domain } => store.remove_domain(&domain).await.map_err(sentence)?,
        Request::AccountAdd { address, password, quota_bytes } => {
            let hash = hash(password).await?;
            store.add_account(&address, hash, quota_bytes).await.map_err(sentence)?;
        }
        Request::AccountRemove { address } => store.remove_account(&address).await.map_err(sentence)?,
        Request::AccountPassword { address, password } => {
            let hash = hash(password).await?;
            store.set_password(&address, hash).await.map_err(sentence)?;
        }
        Request::AccountQuota { address, quota_bytes } => {
            store.set_quota(&address, quota_bytes).await.map_err(sentence)?;
        }
        Request::AliasAdd { address, target } => {
            store.add_alias(&address, &target).await.map_err(sentence)?;
        }
        Request::AliasRemove { address, target } => {
            store.remove_alias(&address, target.as_deref()).await.map_err(sentence)?;
        }
        Request::SmarthostSet { host, user, password } => set_smarthost(shared, host, user, password).await?,
    }
    Ok(Reply::Done)
}

/// Domains as the store has them: people write U-labels (RFC 5890 2.3.2.1).
fn in_a_labels(mut request: Request) -> Result<Request, String> {
    match &mut request {
        Request::Dkim(request) => request.domain = a_labels(&request.domain)?,
        Request::DomainAdd { domain } | Request::DomainRemove { domain } => *domain = a_labels(domain)?,
        Request::AccountAdd { address, .. }
        | Request::AccountRemove { address }
        | Request::AccountPassword { address, .. }
        | Request::AccountQuota { address, .. }
        | Request::AliasRemove { address, target: None } => *address = address_in_a_labels(address)?,
        Request::AliasAdd { address, target } | Request::AliasRemove { address, target: Some(target) } => {
            *address = address_in_a_labels(address)?;
            *target = address_in_a_labels(target)?;
        }
        Request::Health
        | Request::Counters
        | Request::Directory(_)
        | Request::Queue(_)
        | Request::SmarthostSet { .. }
        | Request::Letter(_)
        | Request::Figures
        | Request::DrillRefuse
        | Request::StoreCheck
        | Request::TextIndex { .. }
        | Request::ReceivingShow
        | Request::ReceivingSet(_) => {}
    }
    Ok(request)
}

pub(crate) fn address_in_a_labels(address: &str) -> Result<String, String> {
    not_hidden(address)?;
    match address.rsplit_once('@') {
        Some((local, domain)) if !domain.is_ascii() => Ok(format!("{local}@{}", a_labels(domain)?)),
        _ => Ok(address.to_owned()),
    }
}

/// Nobody names, changes or removes the mailbox of the box's own probes.
fn not_hidden(name: &str) -> Result<(), String> {
    if Probing::is_hidden(name) {
        return Err(format!("{name} is kept for the box's own probes; choose another domain"));
    }
    Ok(())
}

pub(crate) fn a_labels(domain: &str) -> Result<String, String> {
    not_hidden(domain)?;
    if domain.is_ascii() {
        return Ok(domain.to_owned());
    }
    let name = hickory_resolver::proto::rr::Name::from_utf8(domain)
        .map_err(|error| format!("{domain:?} is not a domain: {error}"))?;
    Ok(name.to_ascii().trim_end_matches('.').to_owned())
}

/// Serving means that a transaction commits and that every listener accepts.
async fn health(shared: &Arc<Shared>) -> Result<Reply, String> {
    let begun = Instant::now();
    tokio::time::timeout(HEALTH_TIMEOUT, shared.store.ping())
        .await
        .map_err(|_| "the mail store does not answer".to_owned())?
        .map_err(sentence)?;
    let listening = shared.listening.load(Ordering::Relaxed);
    if listening < shared.listeners {
        return Err(format!("only {listening} of {} listeners accept connections", shared.listeners));
    }
    Ok(Reply::Healthy {
        epoch: shared.store.epoch(),
        uptime_ms: shared.begun.elapsed().as_millis() as u64,
        commit_ms: begun.elapsed().as_millis() as u64,
    })
}

/// Long readings run beside the service's own threads.
pub(crate) async fn aside<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, String> {
    let shared = Arc::clone(shared);
    let result = tokio::task::spawn_blocking(move || read(&shared)).await;
    result.map_err(|error| format!("the request failed: {error}"))?.map_err(sentence)
}

pub(crate) async fn hash(password: String) -> Result<store::PasswordHash, String> {
    let hashed = tokio::task::spawn_blocking(move || password::hash_new(&password)).await;
    hashed.map_err(|error| format!("the request failed: {error}"))?.map_err(|error| error.to_string())
}

async fn set_smarthost(
    shared: &Arc<Shared>,
    host: Option<String>,
    user: Option<String>,
    password: Option<String>,
) -> Result<(), String> {
    let value = match host {
        Some(host) => {
            let smarthost = Smarthost::parse(&host, user, password)?;
            Some(serde_json::to_string(&smarthost).map_err(|error| error.to_string())?)
        }
        None => None,
    };
    shared.store.set_setting(SMARTHOST_SETTING, value.as_deref()).await.map_err(sentence)?;
    shared.worker.hurry();
    Ok(())
}

pub(crate) fn sentence(error: StoreError) -> String {
    error.to_string()
}

fn check(report: store::CheckReport) -> Reply {
    Reply::Check(CheckReport { messages: report.messages, bodies: report.bodies, faults: report.faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_may_be_written_as_people_read_them() {
        assert_eq!(a_labels("邮件.example").unwrap(), "xn--5nq051n.example");
        assert_eq!(address_in_a_labels("wang@邮件.example").unwrap(), "wang@xn--5nq051n.example");
        assert_eq!(address_in_a_labels("a@b.example").unwrap(), "a@b.example");
        assert!(a_labels("a..邮件").is_err());
    }
}
