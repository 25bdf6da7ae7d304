//! The running service: what all its tasks share, how it starts and how it stops.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::authentication::Authenticator;
use crate::clock::unix_ms;
use crate::config::{Config, Limits, TryOut};
use crate::counters::{Counters, count};
use crate::delivery::DeliveryDesk;
use crate::listen::{self, Protocols};
use crate::maildrops::Maildrops;
use crate::outgoing::{Connector, Router, Sts, Trust, Worker};
use crate::password::Passwords;
use crate::probing::Probing;
use crate::receiving::{self, Decisions};
use crate::rewriting::Rewriting;
use crate::tls::{RELOAD_INTERVAL, Tls};
use crate::wire::Wire;
use crate::{MailError, admin, first, proxy, session, warnings};

/// Pause after the system refused to accept a connection: it has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a closed connection is drained, so that the last reply is read.
const LINGER: Duration = Duration::from_millis(300);
/// Longest time a message may wait before it is delivered (RFC 4865).
const HOLD_MAX_S: u64 = 30 * 86_400;
/// For telling a client that it is not served.
const REFUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What all tasks share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) counters: Arc<Counters>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) delivery: DeliveryDesk,
    pub(crate) authenticator: Authenticator,
    pub(crate) receiving: Decisions,
    pub(crate) worker: Worker,
    pub(crate) tls: Tls,
    pub(crate) policies: Policies,
    pub(crate) imap_limits: imap::Limits,
    pub(crate) limits: Limits,
    pub(crate) try_out: TryOut,
    pub(crate) text_memory: Arc<Semaphore>,
    pub(crate) probing: Probing,
    /// A drill: nobody's mail is taken.
    pub(crate) refuses_all: AtomicBool,
    pub(crate) maildrops: Arc<Maildrops>,
    /// Becomes true when the service stops.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) begun: Instant,
    /// Accept loops that run, of those there should be.
    pub(crate) listening: AtomicU64,
    pub(crate) listeners: u64,
    session_prefix: u64,
    sessions: AtomicU64,
}

/// What each protocol allows.
pub(crate) struct Policies {
    pub(crate) exchange: Arc<smtp::server::Policy>,
    pub(crate) submission: Arc<smtp::server::Policy>,
    pub(crate) local: Arc<smtp::server::Policy>,
    pub(crate) pop3: Arc<pop3::Policy>,
}

impl Policies {
    fn new(config: &Config) -> Self {
        let host_name: Arc<str> = Arc::from(config.host_name.as_str());
        let smtp = |role| smtp::server::Policy {
            role,
            host_name: Arc::clone(&host_name),
            message_max_bytes: config.limits.message_max_bytes,
            recipients_max: config.limits.recipients_max,
            starttls: true,
            auth_in_clear: config.try_out.allow_plaintext,
            hold_max_s: HOLD_MAX_S,
        };
        let pop3 = pop3::Policy {
            host_name: Arc::clone(&host_name),
            stls: true,
            auth_in_clear: config.try_out.allow_plaintext,
        };
        Self {
            exchange: Arc::new(smtp(smtp::server::Role::Exchange)),
            submission: Arc::new(smtp(smtp::server::Role::Submission)),
            local: Arc::new(smtp(smtp::server::Role::Local)),
            pop3: Arc::new(pop3),
        }
    }
}

impl Shared {
    /// Names sessions in log lines and trace fields, differently on every start.
    pub(crate) fn next_session_id(&self) -> String {
        format!("{:x}-{:x}", self.session_prefix, self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for the order to stop.
    pub(crate) async fn stop_ordered(&self) {
        // An error means that the service is gone, which is an order as well.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// How long a closed connection is drained: not at all when the other box waits to serve.
    pub(crate) fn linger(&self) -> Duration {
        if *self.stop.borrow() { Duration::from_millis(10) } else { LINGER }
    }

    /// The server's side of a handshake.
    pub(crate) async fn start_tls(&self, wire: Wire, peer: IpAddr) -> io::Result<Wire> {
        let Some(_handshake) = self.admission.handshake(peer) else {
            count(&self.counters.tls_refused, 1);
            return Err(io::Error::other("too many TLS handshakes are under way"));
        };
        let shaken = tokio::select! {
            biased;
            shaken = wire.accept_tls(self.tls.acceptor(), self.limits.handshake_timeout) => shaken,
            () = self.stop_ordered() => return Err(io::Error::other("the service is stopping")),
        };
        shaken.inspect_err(|error| {
            count(&self.counters.tls_failures, 1);
            tracing::info!("TLS handshake of {peer} failed: {error}");
        })
    }
}

/// A running service.
pub struct Service {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    acceptors: Vec<JoinHandle<()>>,
    /// Closes when the last session has ended.
    drained: mpsc::Receiver<()>,
    failed: watch::Receiver<Option<String>>,
}

impl Service {
    /// Opens store, certificate and listeners, and begins to serve.
    pub async fn start(config: Config) -> Result<Self, MailError> {
        let begun = Instant::now();
        // Listeners first: what cannot be bound is the most common mistake and the cheapest to find.
        let listeners = listen::open_all(&config.addresses, &config.ports)?;
        let (store, tls) = open_data(&config).await?;
        let opened_ms = begun.elapsed().as_millis();
        if let Some(account) = &config.first {
            first::make(&store, account).await?;
        }
        let (stop_sender, stop) = watch::channel(false);
        let shared = Arc::new(share(&config, store, tls, stop, begun, listeners.len() as u64).await?);
        if let Some(socket) = &config.socket {
            admin::listen(Arc::clone(&shared), socket)?;
        }
        let (running, drained) = mpsc::channel::<()>(1);
        let accept = |(listener, protocols)| {
            tokio::spawn(accept(Arc::clone(&shared), listener, protocols, running.clone()))
        };
        let acceptors = listeners.into_iter().map(accept).collect();
        tokio::spawn(shared.worker.clone().run(shared.stop.clone(), running.clone()));
        tokio::spawn(warnings::run(Arc::clone(&shared)));
        tokio::spawn(watch_certificate(Arc::clone(&shared)));
        tracing::info!(
            "serving as {} with epoch {}, {} listeners, ready in {} ms, {opened_ms} of them for the store",
            config.host_name,
            config.epoch,
            shared.listeners,
            begun.elapsed().as_millis()
        );
        Ok(Self { failed: shared.store.failed(), shared, stop: stop_sender, acceptors, drained })
    }

    /// The store, for tests and try-outs that look behind the protocols.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Waits until the store has failed, and says why. The process must end then, without [`Self::stop`].
    pub async fn store_failed(&mut self) -> String {
        match self.failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its writer has ended".to_owned(),
        }
    }

    /// Stops in order: whoever connects from now on waits, unanswered, for the service that comes next;
    /// messages under way, in and out, go to their end, for a bounded time; everybody else is told
    /// good-bye; everything accepted is on disk.
    pub async fn stop(mut self) -> Result<Stopped, MailError> {
        let begun = Instant::now();
        self.stop.send_replace(true);
        let limit = self.shared.limits.stop_timeout;
        if tokio::time::timeout(limit, self.drained.recv()).await.is_err() {
            tracing::warn!("stopping although sessions still run");
        }
        let drained_ms = begun.elapsed().as_millis();
        // Only now: a listener that closes answers every connection with a reset.
        for acceptor in self.acceptors {
            acceptor.abort();
            let _ = acceptor.await;
        }
        self.shared.store.close().await?;
        tracing::info!(
            "stopped in {} ms, {drained_ms} of them for what was under way",
            begun.elapsed().as_millis()
        );
        Ok(Stopped { _shared: self.shared })
    }
}

/// A service that has stopped; everything it accepted is on disk. What it still holds in memory is put away
/// when this is dropped; a process that ends with it need not take the time.
#[must_use = "dropping it takes time for which a hand-over may wait"]
pub struct Stopped {
    _shared: Arc<Shared>,
}

/// Store and certificate at the same time: both wait for the disk.
async fn open_data(config: &Config) -> Result<(Store, Tls), MailError> {
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| MailError::Store(store::StoreError::Io(error)))?;
    let (data_dir, epoch) = (config.data_dir.clone(), config.epoch);
    let store = tokio::task::spawn_blocking(move || Store::open(&data_dir, epoch));
    let (data_dir, host_name, addresses) =
        (config.data_dir.clone(), config.host_name.clone(), config.addresses.clone());
    let tls = tokio::task::spawn_blocking(move || Tls::open(&data_dir, &host_name, &addresses));
    let store = store.await.map_err(|error| MailError::StoreFailed(error.to_string()))??;
    let tls = tls.await.map_err(|error| MailError::Tls(error.to_string()))??;
    Ok((store, tls))
}

async fn share(
    config: &Config,
    store: Store,
    tls: Tls,
    stop: watch::Receiver<bool>,
    begun: Instant,
    listeners: u64,
) -> Result<Shared, MailError> {
    let counters = Arc::new(Counters::default());
    let probing = Probing::new(config.probe_token.as_ref().map(|token| token.0.as_str()), &config.addresses);
    let admission = Admission::new(&config.limits, config.try_out, probing.clone());
    let host_name: Arc<str> = Arc::from(config.host_name.as_str());
    let addresses: Arc<[IpAddr]> = Arc::from(config.addresses.as_slice());
    let router = Router::new(
        &config.name_servers,
        Arc::clone(&addresses),
        Arc::clone(&host_name),
        config.relay_port,
        config.try_out.private_targets,
    );
    let trust = Trust::open(&config.data_dir).map_err(|error| MailError::Tls(error.to_string()))?;
    let router = router.with_policies(Sts::open(store.clone(), trust.clone(), config.policy_port)?);
    let connector = Connector::new(Arc::clone(&host_name), config.limits.relay, trust);
    Ok(Shared {
        passwords: Arc::new(
            Passwords::new(
                store.clone(),
                Arc::clone(&counters),
                Arc::clone(&admission),
                probing.clone(),
                stop.clone(),
            )
            .await?,
        ),
        authenticator: Authenticator::new(&config.name_servers, Arc::clone(&host_name)),
        receiving: Decisions::load(&store)?,
        delivery: DeliveryDesk {
            store: store.clone(),
            counters: Arc::clone(&counters),
            host_name: Arc::clone(&host_name),
            addresses,
            rewriting: Rewriting::open(&store).await?,
            rates: Arc::default(),
        },
        worker: Worker::new(store.clone(), Arc::clone(&counters), host_name, router, connector),
        policies: Policies::new(config),
        imap_limits: imap::Limits {
            login_timeout: config.limits.greeting_timeout,
            message_max_bytes: config.limits.message_max_bytes,
            append_memory_kib: Arc::new(Semaphore::new(config.limits.text_memory_kib)),
            ..imap::Limits::default()
        },
        limits: config.limits.clone(),
        try_out: config.try_out,
        text_memory: Arc::new(Semaphore::new(config.limits.text_memory_kib)),
        probing,
        refuses_all: AtomicBool::new(false),
        maildrops: Arc::default(),
        listening: AtomicU64::new(0),
        session_prefix: unix_ms(),
        sessions: AtomicU64::new(0),
        store,
        counters,
        admission,
        tls,
        stop,
        begun,
        listeners,
    })
}

async fn watch_certificate(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop_ordered() => return,
            () = tokio::time::sleep(RELOAD_INTERVAL) => {
                let shared = Arc::clone(&shared);
                let _ = tokio::task::spawn_blocking(move || shared.tls.reload_if_changed()).await;
            }
        }
    }
}

/// Counts a running accept loop, however it ends.
struct Listening(Arc<Shared>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, protocols: Protocols, running: mpsc::Sender<()>) {
    shared.listening.fetch_add(1, Ordering::Relaxed);
    let _listening = Listening(Arc::clone(&shared));
    let begin = |(stream, peer): (TcpStream, SocketAddr)| {
        let peer = peer.ip().to_canonical();
        tokio::spawn(serve(Arc::clone(&shared), stream, peer, protocols, running.clone()));
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop_ordered() => break,
        };
        match accepted {
            Ok(accepted) => begin(accepted),
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    match listen::take_nobody_new(&listener, &begin).await {
        // Its place in the queue is kept until the service has ended.
        Ok(_filler) => {
            drop(running);
            std::future::pending::<()>().await;
        }
        Err(error) => tracing::info!("connections are refused from here on: {error}"),
    }
}

/// Whose connection it is: the client's that a load balancer speaks for, or its own. None: it is not
/// served.
async fn speaks_for(
    shared: &Shared,
    stream: &mut TcpStream,
    peer: IpAddr,
    protocols: Protocols,
) -> Option<IpAddr> {
    let receiving = shared.receiving.now();
    if protocols == Protocols::Lmtp && !receiving::names(&receiving.lmtp_from, peer) {
        count(&shared.counters.connections_refused, 1);
        tracing::warn!("LMTP connection of {peer} refused: its address was not named for that");
        return None;
    }
    // The box's own probes speak for themselves, whatever networks are named.
    if shared.probing.is_own(peer) || !receiving::names(&receiving.proxy_from, peer) {
        return Some(peer);
    }
    let said = tokio::select! {
        biased;
        said = proxy::read(stream) => said,
        () = shared.stop_ordered() => return None,
    };
    match said {
        Ok(client) => Some(client.map_or(peer, |client| client.to_canonical())),
        Err(error) => {
            count(&shared.counters.proxy_faults, 1);
            tracing::warn!("connection of the load balancer {peer} refused: {error}");
            None
        }
    }
}

/// One connection, from its admission to its end.
async fn serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: IpAddr,
    protocols: Protocols,
    running: mpsc::Sender<()>,
) {
    listen::tune(&stream);
    let Some(peer) = speaks_for(&shared, &mut stream, peer, protocols).await else { return };
    let mut wire = Wire::Clear(stream);
    let _place = match shared.admission.admit(peer, Instant::now()) {
        Ok(place) => place,
        Err(reason) => {
            count(&shared.counters.connections_refused, 1);
            if let Some(refused) = shared.admission.refused(Instant::now()) {
                tracing::warn!("{refused} connections refused, the last of {peer}: {}", reason.text());
            }
            if !protocols.tls_at_once() {
                let _ = wire.send(protocols.refusal(reason.text()).as_bytes(), REFUSE_TIMEOUT).await;
            }
            return;
        }
    };
    if protocols.tls_at_once() {
        match shared.start_tls(wire, peer).await {
            Ok(secret) => wire = secret,
            Err(_) => return,
        }
    }
    match protocols {
        Protocols::Smtp => session::smtp::serve(shared, wire, peer, smtp::server::Role::Exchange).await,
        Protocols::Submission | Protocols::Submissions => {
            session::smtp::serve(shared, wire, peer, smtp::server::Role::Submission).await;
        }
        Protocols::Lmtp => session::smtp::serve(shared, wire, peer, smtp::server::Role::Local).await,
        Protocols::Imap | Protocols::Imaps => session::imap::serve(shared, wire, peer).await,
        Protocols::Pop3 | Protocols::Pop3s => session::pop3::serve(shared, wire, peer).await,
    }
    drop(running);
}
