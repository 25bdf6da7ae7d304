//! Certificate and key, which live with the mail so that both boxes show the same.
//!
//! `DATA/tls/cert.pem` and `DATA/tls/key.pem` are made on first use, signed by themselves. An
//! administrator may replace them; a change is seen within [`RELOAD_INTERVAL`].

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::{MailError, end_point};

/// How often the files are looked at.
pub(crate) const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// The server's side of TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    folder: PathBuf,
    current: RwLock<Current>,
}

/// For one handshake.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    /// What SCRAM can bind to of the certificate shown.
    pub(crate) end_point: Option<Arc<[u8]>>,
}

#[derive(Debug)]
struct Current {
    served: Served,
    changed: Option<(SystemTime, SystemTime)>,
}

#[derive(Debug, Clone)]
struct Served {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
}

impl Tls {
    /// Reads certificate and key, or makes them. Files that cannot be used are left alone, and a
    /// certificate that is not kept serves until they are mended: mail without TLS trust beats no mail.
    pub(crate) fn open(data_dir: &Path, host_name: &str, addresses: &[IpAddr]) -> Result<Self, MailError> {
        let folder = data_dir.join("tls");
        let failed = |error: &dyn std::fmt::Display| MailError::Tls(error.to_string());
        if !folder.join("cert.pem").exists() && !folder.join("key.pem").exists() {
            let made = make(host_name, addresses).map_err(|e| failed(&e))?;
            save(&folder, &made).map_err(|e| failed(&e))?;
        }
        let served = match load(&folder) {
            Ok(served) => served,
            Err(error) => {
                tracing::error!(
                    "certificate or key in {} cannot be used: {error}; replace both",
                    folder.display()
                );
                let made = make(host_name, addresses).map_err(|e| failed(&e))?;
                serve(made.certificate.as_bytes(), made.key.as_bytes()).map_err(|e| failed(&e))?
            }
        };
        let current = RwLock::new(Current { served, changed: changed(&folder) });
        Ok(Self { folder, current })
    }

    /// For one handshake.
    pub(crate) fn acceptor(&self) -> Acceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let Served { config, end_point } = current.served.clone();
        Acceptor { tls: TlsAcceptor::from(config), end_point }
    }

    /// Takes files that were replaced; a pair that does not fit is reported and not taken.
    pub(crate) fn reload_if_changed(&self) {
        let now = changed(&self.folder);
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).changed;
        if now.is_none() || now == known {
            return;
        }
        let loaded = load(&self.folder);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.changed = now;
        match loaded {
            Ok(served) => {
                current.served = served;
                tracing::info!("certificate replaced from {}", self.folder.display());
            }
            Err(error) => {
                tracing::error!("new certificate or key cannot be used: {error}; the old one stays in use");
            }
        }
    }
}

/// What is made on first use, as PEM.
struct Made {
    certificate: String,
    key: String,
}

fn make(host_name: &str, addresses: &[IpAddr]) -> Result<Made, rcgen::Error> {
    let mut names = vec![host_name.to_owned()];
    names.extend(addresses.iter().map(ToString::to_string));
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, host_name);
    // The box may not know the time yet when it makes this.
    parameters.not_before = rcgen::date_time_ymd(2025, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2045, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The key first: a certificate never stands there without its key.
fn save(folder: &Path, made: &Made) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in [("key.pem", &made.key), ("cert.pem", &made.certificate)] {
        let fresh = folder.join(format!("{name}.new"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, folder.join(name))?;
    }
    fs::File::open(folder)?.sync_all()
}

fn load(folder: &Path) -> Result<Served, Box<dyn std::error::Error>> {
    serve(&fs::read(folder.join("cert.pem"))?, &fs::read(folder.join("key.pem"))?)
}

fn serve(certificate: &[u8], key: &[u8]) -> Result<Served, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let end_point = chain.first().and_then(|der| end_point::of_certificate(der)).map(Arc::from);
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Served { config: Arc::new(config), end_point })
}

fn changed(folder: &Path) -> Option<(SystemTime, SystemTime)> {
    let of = |name| fs::metadata(folder.join(name)).and_then(|m| m.modified()).ok();
    Some((of("cert.pem")?, of("key.pem")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_kept_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Tls::open(dir.path(), "mx.test", &["192.0.2.1".parse().unwrap()]).unwrap();
        let tls = open();
        let first = fs::read(dir.path().join("tls/cert.pem")).unwrap();
        open();
        assert_eq!(first, fs::read(dir.path().join("tls/cert.pem")).unwrap());

        let before = Arc::as_ptr(&tls.current.read().unwrap().served.config);
        fs::write(dir.path().join("tls/cert.pem"), "garbage").unwrap();
        tls.reload_if_changed();
        assert_eq!(before, Arc::as_ptr(&tls.current.read().unwrap().served.config));
        let made = make("other.test", &[]).unwrap();
        save(&dir.path().join("tls"), &made).unwrap();
        tls.reload_if_changed();
        assert_ne!(before, Arc::as_ptr(&tls.current.read().unwrap().served.config));
    }

    #[test]
    fn broken_files_do_not_stop_the_mail() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tls")).unwrap();
        fs::write(dir.path().join("tls/cert.pem"), "garbage").unwrap();
        fs::write(dir.path().join("tls/key.pem"), "garbage").unwrap();
        assert!(Tls::open(dir.path(), "mx.test", &[]).is_ok());
        assert_eq!(fs::read(dir.path().join("tls/cert.pem")).unwrap(), b"garbage");
    }
}
