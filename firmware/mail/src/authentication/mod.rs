//! Whether mail from elsewhere is what it says it is: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489)
//! and ARC (RFC 8617), recorded in `Authentication-Results` (RFC 8601).
//!
//! Every check is bounded in time, in name server questions and in signatures. What cannot be found out
//! now is recorded as `temperror` and never refuses a message. Clients on this host's own and on private
//! networks are not checked: their mail has come through somebody else's hands.

mod results;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, MessageAuthenticator, SpfOutput,
    SpfResult,
};
use smtp::Mailbox;

use crate::delivery::SenderIs;

use results::Results;

/// All checks of one message together.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);
/// One question to a name server.
const DNS_TIMEOUT: Duration = Duration::from_secs(3);
/// Tries of one question.
const DNS_ATTEMPTS: usize = 2;
/// Answers of name servers kept, each for as long as it says.
const DNS_CACHE_ENTRIES: u64 = 8_192;
/// Signatures of one message that are looked at; more is nobody's honest mail.
const SIGNATURES_MAX: usize = 10;
/// Header fields of one message with all its ARC sets, beyond which its signatures are not looked at.
const SIGNATURE_FIELDS_MAX: usize = 160;
/// Messages of this size are hashed where they hold nobody up.
const HASH_ASIDE_BYTES: usize = 128 * 1024;

/// Checks messages.
#[derive(Clone)]
pub(crate) struct Authenticator {
    resolver: Option<MessageAuthenticator>,
    host_name: Arc<str>,
}

/// What is to be checked.
pub(crate) struct Question<'a> {
    /// Who brings it.
    pub(crate) peer: IpAddr,
    /// What it calls itself.
    pub(crate) helo: &'a str,
    /// Envelope sender; none for a notice.
    pub(crate) sender: Option<&'a Mailbox>,
    /// What it sent, without what was put on top of it here.
    pub(crate) message: &'a [u8],
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The field to put on top of the message, with its CRLF.
    pub(crate) field: String,
    /// What the domain in `From` asks to be done with it.
    pub(crate) wish: Wish,
    /// Whether the envelope sender is real.
    pub(crate) sender: SenderIs,
}

/// What the domain in `From` asks for (RFC 7489 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To deliver it as usual.
    Deliver,
    /// To treat it as suspicious.
    Quarantine,
    /// To refuse it.
    Reject,
}

impl Authenticator {
    /// Without name servers nothing is checked.
    pub(crate) fn new(name_servers: &[SocketAddr], host_name: Arc<str>) -> Self {
        let resolver = if name_servers.is_empty() { None } else { build(name_servers) };
        Self { resolver: resolver.map(MessageAuthenticator), host_name }
    }

    /// Checks one message; none if this client's mail is not checked.
    pub(crate) async fn check(&self, question: Question<'_>) -> Option<Findings> {
        let resolver = self.resolver.as_ref().filter(|_| is_public(question.peer))?;
        let results = Results::new(&self.host_name);
        let checks = self.check_with(resolver, &question, results.clone());
        Some(if let Ok(findings) = tokio::time::timeout(CHECK_TIMEOUT, checks).await {
            findings
        } else {
            tracing::info!("checks of a message from {} took too long", question.peer);
            Findings { field: results.gave_up(), wish: Wish::Deliver, sender: SenderIs::Unknown }
        })
    }

    async fn check_with(
        &self,
        resolver: &MessageAuthenticator,
        question: &Question<'_>,
        mut results: Results,
    ) -> Findings {
        let (helo, mail_from) = self.spf(resolver, question).await;
        results.spf_helo(&helo, question.helo);
        let address = question.sender.map(ToString::to_string).unwrap_or_default();
        let sender_domain = question.sender.map_or(question.helo, |sender| sender.domain.as_str());
        if let Some(mail_from) = &mail_from {
            results.spf_mail_from(mail_from, &address);
        }
        // Without a sender it is the HELO name that SPF speaks of (RFC 7208 2.4).
        let spf = mail_from.as_ref().unwrap_or(&helo);
        let sender = match spf.result() {
            SpfResult::Pass => SenderIs::Known,
            SpfResult::Fail | SpfResult::SoftFail => SenderIs::Forged,
            _ => SenderIs::Unknown,
        };
        let Some(message) = parse(question.message) else {
            results.no_signatures("permerror");
            return Findings { field: results.finish(), wish: Wish::Deliver, sender };
        };
        let dkim = resolver.verify_dkim(&message).await;
        results.dkim(&dkim);
        let dmarc = resolver.verify_dmarc(DmarcParameters::new(&message, &dkim, sender_domain, spf)).await;
        let unsure = is_unsure(&dmarc, sender_domain, spf, &dkim);
        let wish = if unsure { Wish::Deliver } else { wish(&dmarc) };
        results.dmarc(&dmarc, wish, unsure);
        if !message.as_headers.is_empty() || message.has_arc_errors {
            results.arc(&resolver.verify_arc(&message).await);
        }
        Findings { field: results.finish(), wish, sender }
    }

    /// SPF of the HELO name and of the envelope sender (RFC 7208 2.3, 2.4).
    async fn spf(
        &self,
        resolver: &MessageAuthenticator,
        question: &Question<'_>,
    ) -> (SpfOutput, Option<SpfOutput>) {
        let (peer, host) = (question.peer, self.host_name.as_ref());
        let sender = question.sender.filter(|sender| !sender.is_literal());
        let helo = async {
            if !is_name(question.helo) {
                return SpfOutput::new(question.helo.to_owned()).with_result(SpfResult::None);
            }
            resolver.verify_spf(SpfParameters::verify_ehlo(peer, question.helo, host)).await
        };
        let mail_from = async {
            let sender = sender?.to_string();
            let parameters = SpfParameters::verify_mail_from(peer, question.helo, host, &sender);
            Some(resolver.verify_spf(parameters).await)
        };
        tokio::join!(helo, mail_from)
    }
}

/// A name with a dot in it; a literal or a nickname has no record.
fn is_name(helo: &str) -> bool {
    helo.contains('.') && !helo.starts_with('[') && helo.parse::<IpAddr>().is_err()
}

/// Header and body hashes; none if there is nothing to read or too much.
fn parse(message: &[u8]) -> Option<AuthenticatedMessage<'_>> {
    let fields = ["dkim-signature", "arc-seal", "arc-message-signature", "arc-authentication-results"];
    let header = message.get(..message::header_end(message)).unwrap_or(message);
    let signatures = message::fields(header)
        .filter(|field| fields.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes())))
        .take(SIGNATURE_FIELDS_MAX + 1)
        .count();
    if signatures > SIGNATURE_FIELDS_MAX {
        return None;
    }
    let read = || AuthenticatedMessage::parse(message);
    let mut parsed = if signatures == 0 || message.len() < HASH_ASIDE_BYTES {
        read()?
    } else {
        tokio::task::block_in_place(read)?
    };
    parsed.dkim_headers.truncate(SIGNATURES_MAX);
    Some(parsed)
}

fn wish(dmarc: &DmarcOutput) -> Wish {
    if passes(dmarc) || dmarc.dmarc_record().is_none() {
        return Wish::Deliver;
    }
    match dmarc.policy() {
        Policy::Reject => Wish::Reject,
        Policy::Quarantine => Wish::Quarantine,
        Policy::None | Policy::Unspecified => Wish::Deliver,
    }
}

fn passes(dmarc: &DmarcOutput) -> bool {
    [dmarc.spf_result(), dmarc.dkim_result()].contains(&&DmarcResult::Pass)
}

/// Whether what failed may have been a pass if the name servers had answered: of names that belong to
/// the domain in `From` only, or anybody could be made unsure of anything.
fn is_unsure(dmarc: &DmarcOutput, sender_domain: &str, spf: &SpfOutput, dkim: &[DkimOutput<'_>]) -> bool {
    let related = |name: &str| is_within(name, dmarc.domain()) || is_within(dmarc.domain(), name);
    let of_spf = spf.result() == SpfResult::TempError && related(sender_domain);
    let of_dkim = dkim.iter().any(|output| {
        matches!(output.result(), DkimResult::TempError(_))
            && output.signature().is_some_and(|signature| related(&signature.d))
    });
    let of_policy = [dmarc.spf_result(), dmarc.dkim_result()]
        .iter()
        .any(|result| matches!(result, DmarcResult::TempError(_)));
    !passes(dmarc) && (of_spf || of_dkim || of_policy)
}

/// Whether a name is a domain or below it.
fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    !domain.is_empty()
        && name.strip_suffix(&domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Whether an address belongs to the public network: not to this host, its link or a private network.
pub(crate) fn is_public(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

fn build(name_servers: &[SocketAddr]) -> Option<TokioResolver> {
    let server = |address: &SocketAddr| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        NameServerConfig::new(address.ip(), true, connections)
    };
    let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = DNS_TIMEOUT;
    options.attempts = DNS_ATTEMPTS;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = DNS_CACHE_ENTRIES;
    builder.build().inspect_err(|error| tracing::error!("mail from elsewhere is not checked: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_private_networks_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.2.1", "100.128.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_flood_of_signatures_is_not_worked_through() {
        let one = "DKIM-Signature: v=1; a=rsa-sha256; d=x.test; s=s; h=from; bh=aaaa; b=aaaa; c=relaxed/relaxed\r\n";
        let message = format!("{}From: a@x.test\r\n\r\nhi\r\n", one.repeat(40));
        assert_eq!(parse(message.as_bytes()).unwrap().dkim_headers.len(), SIGNATURES_MAX);
        let flood = format!("{}From: a@x.test\r\n\r\nhi\r\n", one.repeat(SIGNATURE_FIELDS_MAX + 1));
        assert!(parse(flood.as_bytes()).is_none());
    }
}
