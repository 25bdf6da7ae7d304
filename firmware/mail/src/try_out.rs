//! `twinmail serve`: the same service on a developer's machine, without root and without a pair.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use control::mail::Ports;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use store::{PasswordHash, Store, StoreError};
use tokio::task::JoinSet;

use crate::config::{Config, Limits, TryOut};
use crate::first::exists_is_fine;
use crate::{MailError, password};

/// Accounts of a try-out that are made together: they share their fsyncs.
const ACCOUNTS_AT_ONCE: usize = 512;

/// Runs the mail service alone, on high ports.
#[derive(Debug, Clone, Parser)]
#[command(name = "twinmail serve", about = "Run the mail service alone, for a try-out on this machine")]
pub struct Options {
    /// Folder for mail, certificate and key; made if it is missing
    #[arg(long)]
    pub data: PathBuf,
    /// Address to listen on; may be repeated
    #[arg(long, default_value = "127.0.0.1")]
    pub listen: Vec<IpAddr>,
    /// Ports are this number plus 25, 587, 465, 143, 993, 110 and 995
    #[arg(long, default_value_t = 2000)]
    pub port_base: u16,
    /// Port of SMTP, instead of the one after --port-base; 0 is off, as for the others
    #[arg(long)]
    pub smtp_port: Option<u16>,
    /// Port of submission with STARTTLS
    #[arg(long)]
    pub submission_port: Option<u16>,
    /// Port of submission with TLS
    #[arg(long)]
    pub submissions_port: Option<u16>,
    /// Port of IMAP with STARTTLS
    #[arg(long)]
    pub imap_port: Option<u16>,
    /// Port of IMAP with TLS
    #[arg(long)]
    pub imaps_port: Option<u16>,
    /// Port of POP3 with STLS
    #[arg(long)]
    pub pop3_port: Option<u16>,
    /// Port of POP3 with TLS
    #[arg(long)]
    pub pop3s_port: Option<u16>,
    /// Port of LMTP, for servers named with `twinmail receiving set --lmtp-from`; 0 is off
    #[arg(long, default_value_t = 0)]
    pub lmtp_port: u16,
    /// Mail domain to make
    #[arg(long, default_value = "example.test")]
    pub domain: String,
    /// Name to greet with; the domain's with mail. in front without it
    #[arg(long)]
    pub host_name: Option<String>,
    /// Account to make, a full address; may be repeated
    #[arg(long)]
    pub account: Vec<String>,
    /// Make the accounts 1u to so many u at the domain as well
    #[arg(long, default_value_t = 0)]
    pub numbered_accounts: u32,
    /// Password of the accounts made
    #[arg(long, default_value = "twinmail-demo")]
    pub password: String,
    /// Take passwords without TLS
    #[arg(long)]
    pub allow_plaintext: bool,
    /// No pacing and no bounds per address for this machine's own clients
    #[arg(long)]
    pub no_throttle: bool,
    /// Hash the passwords with next to no work, for measurements that are not about hashing
    #[arg(long)]
    pub cheap_hash: bool,
    /// Name server for outgoing mail, as address:port; may be repeated
    #[arg(long)]
    pub name_server: Vec<SocketAddr>,
    /// Port of other mail servers
    #[arg(long, default_value_t = 25)]
    pub relay_port: u16,
    /// Largest message in bytes
    #[arg(long)]
    pub message_max_bytes: Option<u64>,
}

impl Options {
    /// What the service is told.
    pub fn config(&self) -> Config {
        let defaults = Limits::default();
        Config {
            data_dir: self.data.clone(),
            epoch: 1,
            addresses: self.listen.clone(),
            host_name: self.host_name.clone().unwrap_or_else(|| format!("mail.{}", self.domain)),
            name_servers: self.name_server.clone(),
            first: None,
            ports: self.ports(),
            socket: Some(self.data.join("mail.sock")),
            probe_token: None,
            relay_port: self.relay_port,
            policy_port: 443,
            try_out: TryOut {
                allow_plaintext: self.allow_plaintext,
                trust_loopback: self.no_throttle,
                private_targets: true,
            },
            limits: Limits {
                message_max_bytes: self.message_max_bytes.unwrap_or(defaults.message_max_bytes),
                ..defaults
            },
        }
    }

    /// Ports that were named, and the rest from the base.
    pub fn ports(&self) -> Ports {
        let base = |port: u16| self.port_base.saturating_add(port);
        let usual = Ports::default();
        Ports {
            smtp: self.smtp_port.unwrap_or_else(|| base(usual.smtp)),
            submission: self.submission_port.unwrap_or_else(|| base(usual.submission)),
            submissions: self.submissions_port.unwrap_or_else(|| base(usual.submissions)),
            imap: self.imap_port.unwrap_or_else(|| base(usual.imap)),
            imaps: self.imaps_port.unwrap_or_else(|| base(usual.imaps)),
            pop3: self.pop3_port.unwrap_or_else(|| base(usual.pop3)),
            pop3s: self.pop3s_port.unwrap_or_else(|| base(usual.pop3s)),
            lmtp: self.lmtp_port,
        }
    }

    /// Makes the domain and the accounts that are not there yet.
    pub async fn make_accounts(&self, store: &Store) -> Result<Vec<String>, MailError> {
        exists_is_fine(store.add_domain(&self.domain).await)?;
        let mut accounts = self.account.clone();
        if accounts.is_empty() && self.numbered_accounts == 0 {
            accounts.push(format!("demo@{}", self.domain));
        }
        accounts.extend((1..=self.numbered_accounts).map(|number| format!("{number}u@{}", self.domain)));
        let cost = if self.cheap_hash { password::Cost::Least } else { password::Cost::Full };
        let hash = password::hash(&self.password, cost)?;
        for some in accounts.chunks(ACCOUNTS_AT_ONCE) {
            add_missing(store, some, &hash).await?;
        }
        if let Some(first) = accounts.first() {
            exists_is_fine(store.add_alias(&format!("postmaster@{}", self.domain), first).await)?;
        }
        Ok(accounts)
    }

    /// What a person needs to know to try it.
    pub fn welcome(&self, accounts: &[String]) -> String {
        let ports = self.ports();
        let host = self.listen.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let account = accounts.first().map_or("", String::as_str);
        format!(
            "Twinmail serves {} on {host}\n\
             SMTP {}  submission {} {}  IMAP {} {}  POP3 {} {}\n\
             account {account}  password {}\n\
             send: swaks --server {host}:{} --to {account} --from you@elsewhere.test\n\
             read: curl -k --user '{account}:{}' 'imaps://{host}:{}/INBOX;UID=1'\n\
             certificate (signed by itself), SHA-256:\n  {}\n\
             administer: twinmail --data {} account add somebody@{} (and: help)\n\
             mail stays in {}\n\
             Ctrl-C ends it.",
            self.domain,
            ports.smtp,
            ports.submission,
            ports.submissions,
            ports.imap,
            ports.imaps,
            ports.pop3,
            ports.pop3s,
            self.password,
            ports.smtp,
            self.password,
            ports.imaps,
            self.fingerprint().unwrap_or_else(|| "it cannot be read".to_owned()),
            self.data.display(),
            self.domain,
            self.data.display(),
        )
    }

    /// SHA-256 of the certificate shown, as mail programs print it.
    fn fingerprint(&self) -> Option<String> {
        let certificate = CertificateDer::from_pem_file(self.data.join("tls/cert.pem")).ok()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Some(pairs.join(":"))
    }
}

/// Adds the accounts that are not there yet, all at once.
async fn add_missing(store: &Store, accounts: &[String], hash: &PasswordHash) -> Result<(), MailError> {
    let mut tasks = JoinSet::new();
    for account in accounts {
        if store.account_by_name(account)?.is_none() {
            let (store, account, hash) = (store.clone(), account.clone(), hash.clone());
            tasks.spawn(async move { store.add_account(&account, hash, None).await });
        }
    }
    while let Some(added) = tasks.join_next().await {
        exists_is_fine(added.unwrap_or(Err(StoreError::Closed)).map(drop))?;
    }
    Ok(())
}
