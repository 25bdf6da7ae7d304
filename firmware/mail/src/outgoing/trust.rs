//! Whose certificates are believed when mail goes out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The client's side of TLS.
#[derive(Clone)]
pub(crate) struct Trust {
    verifying: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
}

impl Trust {
    /// The system's roots, and those that the administrator put into `DATA/tls/roots.pem`.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Ok(text) = std::fs::read(data_dir.join("tls/roots.pem")) {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
        }
        let verifying = builder()?.with_root_certificates(roots).with_no_client_auth();
        let verifier = AnyCertificate(Arc::new(rustls::crypto::ring::default_provider()));
        let any = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Self { verifying: Arc::new(verifying), any: Arc::new(any.with_no_client_auth()) })
    }

    /// For a server that must prove its name, or for any.
    pub(crate) fn config(&self, verified: bool) -> Arc<ClientConfig> {
        Arc::clone(if verified { &self.verifying } else { &self.any })
    }
}

fn builder() -> io::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
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
