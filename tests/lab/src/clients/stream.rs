//! One connection: lines and literals over TCP, with or without TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme, StreamOwned,
};

use super::{Answer, ClientError};

/// A line longer than this is not mail.
const LINE_MAX_BYTES: u64 = 1 << 20;
/// A literal longer than this is none of the judge's messages.
const LITERAL_MAX_BYTES: usize = 64 << 20;

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer.
    pub answer: Duration,
}

/// TLS as the judge uses it: any certificate will do, but every box must show the same one.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    certificates: Arc<Certificates>,
}

#[derive(Debug)]
struct Certificates {
    provider: CryptoProvider,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Tls {
    /// TLS that has seen no certificate yet.
    pub fn new() -> Result<Self, TlsError> {
        let provider = ring::default_provider();
        let certificates = Arc::new(Certificates { provider: provider.clone(), seen: Mutex::default() });
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&certificates) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), certificates })
    }

    /// How many different certificates were shown so far.
    pub fn certificates_seen(&self) -> usize {
        self.certificates.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl ServerCertVerifier for Certificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.iter().any(|known| known == end_entity.as_ref()) {
            seen.push(end_entity.to_vec());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One connection.
pub struct MailStream {
    wire: BufReader<Box<dyn Wire>>,
}

impl MailStream {
    /// Connects without TLS.
    pub fn plain(to: SocketAddr, patience: Patience) -> Answer<Self> {
        let socket = connect(to, patience)?;
        Ok(Self { wire: BufReader::new(Box::new(socket)) })
    }

    /// Connects with TLS from the first byte.
    pub fn tls(to: SocketAddr, patience: Patience, tls: &Tls) -> Answer<Self> {
        let socket = connect(to, patience)?;
        Ok(Self { wire: BufReader::new(Box::new(start_tls(socket, tls)?)) })
    }

    /// Connects without TLS and lets `ask` ask for it; TLS begins after that.
    pub fn upgraded(
        to: SocketAddr,
        patience: Patience,
        tls: &Tls,
        ask: impl FnOnce(&mut Self) -> Answer<()>,
    ) -> Answer<Self> {
        let socket = connect(to, patience)?;
        let below = socket.try_clone()?;
        let mut stream = Self { wire: BufReader::new(Box::new(socket)) };
        ask(&mut stream)?;
        if !stream.wire.buffer().is_empty() {
            // What came in clear behind the answer must not be taken for a part of what is encrypted
            // (RFC 3207 section 6).
            return Err(ClientError::Nonsense("bytes in clear after the answer to STARTTLS".into()));
        }
        Ok(Self { wire: BufReader::new(Box::new(start_tls(below, tls)?)) })
    }

    /// Sends bytes at once.
    pub fn send(&mut self, bytes: &[u8]) -> Answer<()> {
        let wire = self.wire.get_mut();
        wire.write_all(bytes)?;
        wire.flush()?;
        Ok(())
    }

    /// Receives one line, without its end.
    pub fn line(&mut self) -> Answer<String> {
        let mut line = Vec::new();
        let read = self.wire.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Receives so many bytes.
    pub fn literal(&mut self, length: usize) -> Answer<Vec<u8>> {
        if length > LITERAL_MAX_BYTES {
            return Err(ClientError::Nonsense(format!("a literal of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.wire.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn connect(to: SocketAddr, patience: Patience) -> Answer<TcpStream> {
    let socket = TcpStream::connect_timeout(&to, patience.connect)?;
    socket.set_read_timeout(Some(patience.answer))?;
    socket.set_write_timeout(Some(patience.answer))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn start_tls(mut socket: TcpStream, tls: &Tls) -> Answer<StreamOwned<ClientConnection, TcpStream>> {
    let failed = |error: TlsError| ClientError::Nonsense(format!("TLS: {error}"));
    let name = ServerName::try_from(crate::parts::DOMAIN)
        .map_err(|error| ClientError::Nonsense(format!("TLS name: {error}")))?;
    let mut connection = ClientConnection::new(Arc::clone(&tls.config), name).map_err(failed)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}
