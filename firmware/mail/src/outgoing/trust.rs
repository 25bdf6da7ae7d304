//! Whose certificates are believed when mail goes out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The client's side of TLS.
#[derive(Clone)]
pub(crate) struct Trust {
    /// Made when it is first needed: reading every root takes longer than the rest of a start, and a
    /// start is part of every takeover.
    verifying: Arc<OnceLock<Arc<ClientConfig>>>,
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    own_roots: PathBuf,
    any: Arc<ClientConfig>,
}

impl Trust {
    /// The system's roots, and those that the administrator put into `DATA/tls/roots.pem`.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let builder = builder()?;
        let verifier = AnyCertificate(Arc::new(rustls::crypto::ring::default_provider()));
        let any = builder.clone().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let any = Arc::new(any.with_no_client_auth());
        Ok(Self { verifying: Arc::default(), builder, own_roots: data_dir.join("tls/roots.pem"), any })
    }

    /// For a server that must prove its name, or for any.
    pub(crate) fn config(&self, verified: bool) -> Arc<ClientConfig> {
        Arc::clone(if verified { self.verifying.get_or_init(|| self.read_roots()) } else { &self.any })
    }

    fn read_roots(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Ok(text) = std::fs::read(&self.own_roots) {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
        }
        Arc::new(self.builder.clone().with_root_certificates(roots).with_no_client_auth())
    }
}

fn builder() -> io::Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
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
