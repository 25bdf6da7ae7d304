//! One try to send one message to the recipients of one domain.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use smtp::Reply;
use smtp::client::{Client, Plan, Step, TlsUse, Verdict};
use smtp::dots::Stuffer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::route::{Route, Router};
use crate::wire::Wire;

/// For the connection itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// For each reply (RFC 5321 4.5.3.2: two to five minutes).
const REPLY_TIMEOUT: Duration = Duration::from_mins(5);
/// For the reply to the end of the message (RFC 5321 4.5.3.2.6).
const END_TIMEOUT: Duration = Duration::from_mins(10);
/// For each piece of the message (RFC 5321 4.5.3.2.5).
const SEND_TIMEOUT: Duration = Duration::from_mins(3);
/// For a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_mins(1);
/// For the good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);
/// Octets of the message sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Octets read at once.
const READ_BYTES: usize = 4 * 1024;

/// What is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) host_name: Arc<str>,
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    /// The message without its `Return-Path`.
    pub(super) text: Bytes,
}

/// Tries the servers of a route until one talks; the verdicts are in the order of the recipients.
pub(super) async fn send(router: &Router, route: &Route, letter: &Letter) -> Vec<Verdict> {
    let mut last = Reply::new(451, "4.4.4", "No server of the destination has an address");
    let mut tried = false;
    for host in &route.hosts {
        let addresses = match router.addresses(host).await {
            Ok(addresses) => addresses,
            // It is this server: those behind it lead here as well, those before it may work later
            // (RFC 5321 5.1).
            Err(reply) if reply.is_permanent() => {
                return all(letter, if tried { &last } else { &reply });
            }
            Err(reply) => {
                last = reply;
                continue;
            }
        };
        for address in addresses {
            tried = true;
            match try_address(route, host, address, letter).await {
                Ok(verdicts) => return verdicts,
                Err(reply) => last = reply,
            }
        }
    }
    all(letter, &last)
}

fn all(letter: &Letter, reply: &Reply) -> Vec<Verdict> {
    let verdict = if reply.is_permanent() { Verdict::Refused } else { Verdict::Deferred };
    letter.recipients.iter().map(|_| verdict(reply.clone())).collect()
}

/// One address: with TLS if it is offered, then once more without if TLS does not work (RFC 7435). The
/// error says why the next address is to be tried.
async fn try_address(
    route: &Route,
    host: &str,
    address: IpAddr,
    letter: &Letter,
) -> Result<Vec<Verdict>, Reply> {
    let target = SocketAddr::new(address, route.port);
    let smarthost = route.smarthost.as_ref();
    let secret = smarthost.is_some_and(|smarthost| smarthost.credentials.is_some());
    let at_once = smarthost.is_some_and(|smarthost| smarthost.tls_at_once);
    let tls = match (at_once, secret) {
        (true, _) => TlsUse::On,
        (false, true) => TlsUse::Required,
        (false, false) => TlsUse::Offered,
    };
    let failed = |error: &io::Error| Reply::with_text(451, "4.4.1", format!("{host} [{target}]: {error}"));
    let mut attempt = Attempt { route, host, target, letter };
    match attempt.run(tls).await {
        Ok(verdicts) => verdicts,
        Err(Broken::Handshake(error)) if tls == TlsUse::Offered => {
            tracing::info!("TLS with {host} [{target}] failed, going on without: {error}");
            match attempt.run(TlsUse::Never).await {
                Ok(verdicts) => verdicts,
                Err(Broken::Handshake(error) | Broken::Connect(error)) => Err(failed(&error)),
            }
        }
        Err(Broken::Handshake(error) | Broken::Connect(error)) => Err(failed(&error)),
    }
}

struct Attempt<'a> {
    route: &'a Route,
    host: &'a str,
    target: SocketAddr,
    letter: &'a Letter,
}

/// Why there was no session at all.
enum Broken {
    Connect(io::Error),
    Handshake(io::Error),
}

impl Attempt<'_> {
    /// The verdicts, or the reply of a server that does not want to talk at all.
    async fn run(&mut self, tls: TlsUse) -> Result<Result<Vec<Verdict>, Reply>, Broken> {
        let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.target)).await;
        let stream = connect
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
            .and_then(|connected| connected)
            .map_err(Broken::Connect)?;
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::Clear(stream);
        if tls == TlsUse::On {
            wire = self.start_tls(wire).await.map_err(Broken::Handshake)?;
        }
        let credentials = self.route.smarthost.as_ref().and_then(|smarthost| smarthost.credentials.clone());
        let mut client = Client::new(Plan {
            host_name: self.letter.host_name.to_string(),
            sender: self.letter.sender.clone(),
            recipients: self.letter.recipients.clone(),
            size_bytes: self.letter.text.len() as u64,
            eight_bit: !self.letter.text.is_ascii(),
            tls,
            credentials,
        });
        self.talk(&mut client, wire).await?;
        let begun = client.has_begun();
        let verdicts = client.into_verdicts();
        match verdicts.first() {
            Some(Verdict::Deferred(reply) | Verdict::Refused(reply)) if !begun => {
                let text = format!("{} [{}]: {reply}", self.host, self.target);
                Ok(Err(Reply { text: text.into(), ..reply.clone() }))
            }
            _ => Ok(Ok(verdicts)),
        }
    }

    async fn talk(&self, client: &mut Client, mut wire: Wire) -> Result<(), Broken> {
        let mut buffer = [0; READ_BYTES];
        let mut reply_timeout = REPLY_TIMEOUT;
        loop {
            let step = client.poll();
            let output = client.take_output();
            let sent = wire.send(&output, SEND_TIMEOUT).await;
            match (step, sent) {
                (Step::Done, _) => {
                    wire.close(CLOSE_TIMEOUT).await;
                    return Ok(());
                }
                (_, Err(error)) => client.lost(&error.to_string()),
                (Step::Read, Ok(())) => match wire.receive(&mut buffer, reply_timeout).await {
                    Ok(0) => client.lost("The other server closed the connection"),
                    Ok(read) => client.feed(buffer.get(..read).unwrap_or(&[])),
                    Err(error) => client.lost(&error.to_string()),
                },
                (Step::StartTls, Ok(())) => {
                    wire = self.start_tls(wire).await.map_err(Broken::Handshake)?;
                    client.tls_started();
                }
                (Step::SendMessage, Ok(())) => match self.send_text(&mut wire).await {
                    Ok(()) => {
                        reply_timeout = END_TIMEOUT;
                        client.message_sent();
                    }
                    Err(error) => client.lost(&error.to_string()),
                },
            }
        }
    }

    async fn send_text(&self, wire: &mut Wire) -> io::Result<()> {
        let mut stuffer = Stuffer::default();
        let mut piece = Vec::new();
        for part in self.letter.text.chunks(PIECE_BYTES) {
            piece.clear();
            stuffer.encode(part, &mut piece);
            wire.send(&piece, SEND_TIMEOUT).await?;
        }
        piece.clear();
        stuffer.finish(&mut piece);
        wire.send(&piece, SEND_TIMEOUT).await
    }

    async fn start_tls(&self, wire: Wire) -> io::Result<Wire> {
        let Wire::Clear(stream) = wire else { return Err(io::Error::other("TLS is already on")) };
        // A password goes only to a server that proves its name.
        let verified = self.route.smarthost.as_ref().is_some_and(|s| s.credentials.is_some());
        let config = if verified { verifying_config()? } else { any_config()? };
        let host = self.host.trim_end_matches('.').to_owned();
        let name =
            ServerName::try_from(host).map_err(|_| io::Error::other("the server has no usable name"))?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Wire::Client(Box::new(stream)))
    }
}

fn builder() -> io::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
}

fn verifying_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

fn any_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let verifier = AnyCertificate(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = Arc::new(builder.with_no_client_auth());
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

/// Opportunistic TLS (RFC 7435): a listener in the middle learns nothing; who is at the other end is not
/// known any better than in clear, and the mail would go there in clear as well.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
