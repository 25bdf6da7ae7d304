//! Whose certificates are believed when mail goes out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

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
        let any = Arc::new(opportunistic::client_config().map_err(io::Error::other)?);
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
