//! A session with a server: from the first packet to the point where mail can be sent, and back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls_pki_types::ServerName;
use sasl::ChannelBinding;
use smtp::Reply;
use smtp::client::{Client, Form, Hello, Step, TlsUse};
use smtp::dots::Stuffer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::route::{Host, Route};
use super::trust::Trust;
use crate::config::RelayTimes;
use crate::wire::Wire;

/// For the good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);
/// Octets of the message sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Octets read at once.
const READ_BYTES: usize = 4 * 1024;
/// Before the next address of a server is tried beside the last (RFC 8305 5).
const STAGGER: Duration = Duration::from_secs(2);
/// Addresses tried in one attempt, of all servers together.
const TRIES_MAX: usize = 8;
/// How long an address that did not answer is not asked again by anybody.
const DEAD_TIME: Duration = Duration::from_secs(30);
/// Such addresses remembered.
const DEAD_MAX: usize = 1_000;

/// How a server must prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// TLS if it is offered and works, whoever it is (RFC 7435).
    Nothing,
    /// TLS with a certificate for its name, because its domain's policy says so (RFC 8461).
    Policy,
    /// TLS with a certificate for its name, because the sender or a password demands it.
    Verified,
}

impl Demand {
    /// With what the domain demands.
    pub(super) fn on(self, route: &Route) -> Self {
        if self == Self::Nothing && route.enforced { Self::Policy } else { self }
    }
}

/// What a session can be used again for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: SocketAddr,
    pub(super) demand: Demand,
    /// User at a smarthost.
    pub(super) user: Option<String>,
}

/// A session.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) key: Key,
    pub(super) host: String,
    /// Messages begun in it.
    pub(super) messages: usize,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
    wire: Option<Wire>,
    connector: Connector,
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(super) host_name: Arc<str>,
    pub(super) times: RelayTimes,
    pub(super) trust: Trust,
    dead: Arc<Mutex<HashMap<SocketAddr, (Instant, String)>>>,
}

/// Why there is no session with one address.
enum Broken {
    Handshake(io::Error),
    /// The server does not want to talk.
    Unwilling(Reply),
}

impl Connector {
    pub(crate) fn new(host_name: Arc<str>, times: RelayTimes, trust: Trust) -> Self {
        Self { host_name, times, trust, dead: Arc::default() }
    }

    /// What was found out about dead addresses is forgotten: somebody has mended something.
    pub(crate) fn forget_dead(&self) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn is_dead(&self, target: SocketAddr) -> Option<String> {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        match dead.get(&target) {
            Some((since, why)) if since.elapsed() < DEAD_TIME => Some(why.clone()),
            Some(_) => {
                dead.remove(&target);
                None
            }
            None => None,
        }
    }

    /// Whether another server of the route is left when this one has failed in the middle; if so, this one
    /// is not asked for a while (RFC 5321 5.1).
    pub(super) fn give_up_on(&self, route: &Route, target: SocketAddr, why: &str) -> bool {
        let mut others = route.hosts.iter().flat_map(|host| &host.addresses);
        let left = others.any(|address| {
            let other = SocketAddr::new(*address, route.port);
            other != target && self.is_dead(other).is_none()
        });
        if left {
            self.mark_dead(target, why);
        }
        left
    }

    fn mark_dead(&self, target: SocketAddr, why: &str) {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        if dead.len() >= DEAD_MAX {
            dead.retain(|_, (since, _)| since.elapsed() < DEAD_TIME);
        }
        if dead.len() < DEAD_MAX {
            dead.insert(target, (Instant::now(), why.to_owned()));
        }
    }

    /// Tries the servers of a route until one is ready; the reply says why none is.
    pub(super) async fn open(&self, route: &Route, demand: Demand) -> Result<Connection, Reply> {
        let mut last = Reply::new(451, "4.4.4", "No server of the destination has an address");
        let mut tries = 0;
        for host in &route.hosts {
            if demand == Demand::Verified
                && route.smarthost.is_none()
                && !route.enforced
                && !vouches_for(&host.name, &route.domain)
            {
                let text = format!(
                    "The name of {} is not proven to be that of a server of {}",
                    host.name, route.domain
                );
                last = Reply::with_text(550, "5.7.30", text);
                continue;
            }
            let mut addresses = host.addresses.clone();
            while !addresses.is_empty() && tries < TRIES_MAX {
                let (stream, address) = match self.connect_any(host, &mut addresses, route.port).await {
                    Ok(connected) => connected,
                    Err(reply) => {
                        last = reply;
                        break;
                    }
                };
                tries += 1;
                let target = SocketAddr::new(address, route.port);
                match self.greet(route, host, target, stream, demand).await {
                    Ok(connection) => return Ok(connection),
                    Err(reply) => last = reply,
                }
            }
        }
        Err(last)
    }

    /// The first of the addresses that answers; those tried are taken off the list.
    async fn connect_any(
        &self,
        host: &Host,
        addresses: &mut Vec<IpAddr>,
        port: u16,
    ) -> Result<(TcpStream, IpAddr), Reply> {
        let mut attempts = JoinSet::new();
        let mut last = String::from("it has no address");
        loop {
            while attempts.is_empty() && !addresses.is_empty() {
                self.begin_attempt(&mut attempts, addresses, port, &mut last);
            }
            if attempts.is_empty() {
                let text = format!("{} cannot be reached: {last}", host.name.trim_end_matches('.'));
                return Err(Reply::with_text(451, "4.4.1", text));
            }
            let joined = if let Ok(joined) = timeout(STAGGER, attempts.join_next()).await {
                joined
            } else {
                self.begin_attempt(&mut attempts, addresses, port, &mut last);
                if !addresses.is_empty() {
                    continue;
                }
                attempts.join_next().await
            };
            match joined {
                Some(Ok((address, Ok(stream)))) => return Ok((stream, address)),
                Some(Ok((address, Err(error)))) => {
                    let error: io::Error = error;
                    last = format!("[{address}]:{port}: {error}");
                    self.mark_dead(SocketAddr::new(address, port), &last);
                }
                Some(Err(_)) | None => {}
            }
        }
    }

    fn begin_attempt(
        &self,
        attempts: &mut JoinSet<(IpAddr, io::Result<TcpStream>)>,
        addresses: &mut Vec<IpAddr>,
        port: u16,
        last: &mut String,
    ) {
        if addresses.is_empty() {
            return;
        }
        let address = addresses.remove(0);
        if let Some(why) = self.is_dead(SocketAddr::new(address, port)) {
            *last = why;
            return;
        }
        let limit = self.times.connect;
        attempts.spawn(async move {
            let connected = timeout(limit, TcpStream::connect(SocketAddr::new(address, port))).await;
            (address, connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
        });
    }

    /// With TLS if it is offered, then once more without if TLS does not work and nobody demands it.
    async fn greet(
        &self,
        route: &Route,
        host: &Host,
        target: SocketAddr,
        stream: TcpStream,
        demand: Demand,
    ) -> Result<Connection, Reply> {
        let secret = route.smarthost.as_ref().is_some_and(|smarthost| smarthost.credentials.is_some());
        let at_once = route.smarthost.as_ref().is_some_and(|smarthost| smarthost.tls_at_once);
        let demand = if secret { Demand::Verified } else { demand };
        let tls = match (at_once, demand) {
            (true, _) => TlsUse::On,
            (false, Demand::Policy | Demand::Verified) => TlsUse::Required,
            (false, Demand::Nothing) => TlsUse::Offered,
        };
        let said = |reply: &Reply| Reply {
            text: format!("{} [{target}]: {reply}", host.name.trim_end_matches('.')).into(),
            ..reply.clone()
        };
        let failed = |error: &io::Error| said(&Reply::with_text(451, "4.4.2", error.to_string()));
        let mut connection = self.session(route, host, target, stream, demand, tls);
        match connection.make_ready().await {
            Ok(()) => return Ok(connection),
            Err(Broken::Unwilling(reply)) => {
                let no_tls = demand == Demand::Verified && !secret && !connection.client.is_secret();
                let reply = said(&reply);
                return Err(if no_tls && reply.code == 454 {
                    Reply { code: 550, status: "5.7.30".into(), ..reply }
                } else {
                    reply
                });
            }
            Err(Broken::Handshake(error)) if tls == TlsUse::Offered => {
                tracing::info!("TLS with {} [{target}] failed, going on without: {error}", host.name);
            }
            Err(Broken::Handshake(error)) => {
                let text = format!("TLS that is demanded failed: {error}");
                return Err(said(&Reply::with_text(454, "4.7.5", text)));
            }
        }
        let again = timeout(self.times.connect, TcpStream::connect(target)).await;
        let stream = again.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| failed(&e))?;
        let mut connection = self.session(route, host, target, stream, demand, TlsUse::Never);
        match connection.make_ready().await {
            Ok(()) => Ok(connection),
            Err(Broken::Unwilling(reply)) => Err(said(&reply)),
            Err(Broken::Handshake(error)) => Err(failed(&error)),
        }
    }

    fn session(
        &self,
        route: &Route,
        host: &Host,
        target: SocketAddr,
        stream: TcpStream,
        demand: Demand,
        tls: TlsUse,
    ) -> Connection {
        let _ = stream.set_nodelay(true);
        let credentials = route.smarthost.as_ref().and_then(|smarthost| smarthost.credentials.clone());
        let user = credentials.as_ref().map(|credentials| credentials.user.clone());
        let hello = Hello {
            host_name: self.host_name.to_string(),
            tls,
            credentials,
            binding: ChannelBinding::default(),
        };
        Connection {
            client: Client::new(hello),
            key: Key { target, demand, user },
            host: host.name.trim_end_matches('.').to_owned(),
            messages: 0,
            idle_since: Instant::now(),
            wire: Some(Wire::Clear(stream)),
            connector: self.clone(),
        }
    }
}

impl Connection {
    /// What log lines and diagnostics call the other side.
    pub(super) fn name(&self) -> String {
        format!("{} [{}]", self.host, self.key.target.ip())
    }

    async fn make_ready(&mut self) -> Result<(), Broken> {
        if self.client.is_secret() {
            // TLS from the first octet.
            self.start_tls().await.map_err(Broken::Handshake)?;
        }
        self.drive(None).await?;
        match self.client.failure() {
            Some(reply) => Err(Broken::Unwilling(reply.clone())),
            None => Ok(()),
        }
    }

    /// Whether a session that was idle still answers.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.client.probe();
        self.drive(None).await.is_ok() && self.client.failure().is_none()
    }

    /// Sends the message that was begun, to its verdicts.
    pub(super) async fn send(&mut self, text: &Bytes) {
        self.messages += 1;
        if let Err(Broken::Handshake(error)) = self.drive(Some(text)).await {
            self.client.lost(&error.to_string());
        }
    }

    /// Goes on until the session is ready for the next message, or over.
    async fn drive(&mut self, text: Option<&Bytes>) -> Result<(), Broken> {
        let times = self.connector.times;
        let mut buffer = [0; READ_BYTES];
        let mut reply_timeout = times.reply;
        loop {
            let step = self.client.poll();
            let output = self.client.take_output();
            let Some(wire) = &mut self.wire else {
                self.client.lost("The connection is closed");
                return Ok(());
            };
            let sent = wire.send(&output, times.send).await;
            match (step, sent) {
                (Step::Ready | Step::Done, _) => return Ok(()),
                (_, Err(error)) => self.client.lost(&error.to_string()),
                (Step::Read, Ok(())) => match wire.receive(&mut buffer, reply_timeout).await {
                    Ok(0) => self.client.lost("The other server closed the connection"),
                    Ok(read) => self.client.feed(buffer.get(..read).unwrap_or(&[])),
                    Err(error) => self.client.lost(&error.to_string()),
                },
                (Step::StartTls, Ok(())) => {
                    let binding = self.start_tls().await.map_err(Broken::Handshake)?;
                    self.client.tls_started(binding);
                }
                (Step::SendMessage(form), Ok(())) => {
                    let text = text.map_or(&[][..], |text| text);
                    match send_text(wire, text, form, times.send).await {
                        Ok(()) => {
                            reply_timeout = times.end;
                            self.client.message_sent();
                        }
                        Err(error) => self.client.lost(&error.to_string()),
                    }
                }
            }
        }
    }

    async fn start_tls(&mut self) -> io::Result<ChannelBinding> {
        let Some(Wire::Clear(stream)) = self.wire.take() else {
            return Err(io::Error::other("TLS is already on"));
        };
        let verified = self.key.demand != Demand::Nothing;
        let config = self.connector.trust.config(verified);
        // A name with an underscore or none at all: nothing is proven by it, so any will do.
        let name = ServerName::try_from(self.host.clone());
        let name = match (name, verified) {
            (Ok(name), _) => name,
            (Err(_), false) => ServerName::IpAddress(self.key.target.ip().into()),
            (Err(_), true) => return Err(io::Error::other("the server has no usable name")),
        };
        let handshake = TlsConnector::from(config).connect(name, stream);
        let stream = timeout(self.connector.times.handshake, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut binding = ChannelBinding::default();
        let (_, session) = stream.get_ref();
        if session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            let exported = session.export_keying_material([0; 32], ChannelBinding::EXPORTER_LABEL, Some(&[]));
            binding.tls_exporter = exported.ok();
        }
        self.wire = Some(Wire::Client(Box::new(stream)));
        Ok(binding)
    }

    /// Says good-bye.
    pub(super) async fn close(mut self) {
        self.client.quit();
        let output = self.client.take_output();
        if let Some(mut wire) = self.wire.take() {
            let _ = wire.send(&output, CLOSE_TIMEOUT).await;
            wire.close(CLOSE_TIMEOUT).await;
        }
    }
}

async fn send_text(wire: &mut Wire, text: &[u8], form: Form, limit: Duration) -> io::Result<()> {
    let mut stuffer = Stuffer::default();
    let mut piece = Vec::new();
    for part in text.chunks(PIECE_BYTES) {
        if form == Form::Chunk {
            wire.send(part, limit).await?;
            continue;
        }
        piece.clear();
        stuffer.encode(part, &mut piece);
        wire.send(&piece, limit).await?;
    }
    if form == Form::Chunk {
        return Ok(());
    }
    piece.clear();
    stuffer.finish(&mut piece);
    wire.send(&piece, limit).await
}

/// Without DNSSEC an MX record proves nothing (RFC 8689 4.2.1). A server whose name lies in the domain
/// itself proves by its certificate that it belongs there.
fn vouches_for(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.trim_end_matches('.').to_ascii_lowercase(), domain.to_ascii_lowercase());
    host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_the_domain_proves_nothing() {
        assert!(vouches_for("mx.far.test.", "far.test") && vouches_for("far.test", "FAR.test"));
        assert!(!vouches_for("mx.nofar.test", "far.test") && !vouches_for("evil.test.", "far.test"));
    }
}
