//! Which servers take a domain's mail (RFC 5321 5.1, RFC 7505).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use smtp::Reply;

use super::Smarthost;

/// Servers of one domain that are tried in one attempt.
const HOSTS_MAX: usize = 8;
/// Addresses of one server that are tried in one attempt.
const ADDRESSES_MAX: usize = 4;
/// How long one question to a name server may take.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the way.
#[derive(Clone)]
pub(crate) struct Router {
    resolver: Option<Arc<TokioResolver>>,
    own_addresses: Arc<[IpAddr]>,
    relay_port: u16,
}

/// Servers in the order they are to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) hosts: Vec<String>,
    pub(crate) port: u16,
    pub(crate) smarthost: Option<SmarthostUse>,
}

/// How the smarthost is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmarthostUse {
    pub(crate) tls_at_once: bool,
    pub(crate) credentials: Option<smtp::server::Credentials>,
}

impl Router {
    /// Without name servers only a smarthost with an address, or an address literal, can be reached.
    pub(crate) fn new(name_servers: &[SocketAddr], own_addresses: Arc<[IpAddr]>, relay_port: u16) -> Self {
        let resolver = if name_servers.is_empty() { None } else { build(name_servers) };
        Self { resolver: resolver.map(Arc::new), own_addresses, relay_port }
    }

    /// Way to the smarthost.
    pub(crate) fn by_smarthost(smarthost: &Smarthost) -> Route {
        let credentials = smarthost.credentials();
        Route {
            hosts: vec![smarthost.host.clone()],
            port: smarthost.port,
            smarthost: Some(SmarthostUse { tls_at_once: smarthost.tls_at_once(), credentials }),
        }
    }

    /// Way to a domain; the error is what its recipients get: 4yz to try again, 5yz to give up.
    pub(crate) async fn to_domain(&self, domain: &str) -> Result<Route, Reply> {
        let route = |hosts| Route { hosts, port: self.relay_port, smarthost: None };
        if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Ok(route(vec![literal.strip_prefix("IPv6:").unwrap_or(literal).to_owned()]));
        }
        match self.resolver()?.mx_lookup(absolute(domain)).await {
            Ok(lookup) => {
                let mx = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                    _ => None,
                });
                Ok(route(in_order(mx.collect(), domain)?))
            }
            Err(error) => match no_records(&error) {
                Some(ResponseCode::NXDomain) => {
                    Err(Reply::with_text(550, "5.1.2", format!("There is no domain {domain}")))
                }
                // RFC 5321 5.1: without MX the domain is its own server.
                Some(_) => Ok(route(vec![domain.to_owned()])),
                None => Err(lookup_failed(domain, &error)),
            },
        }
    }

    /// Addresses of one server. An empty list: it has none.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Reply> {
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => match self.resolver()?.lookup_ip(absolute(host)).await {
                Ok(lookup) => lookup.iter().take(ADDRESSES_MAX).collect(),
                Err(error) if no_records(&error).is_some() => Vec::new(),
                Err(error) => return Err(lookup_failed(host, &error)),
            },
        };
        if found.iter().any(|address| self.own_addresses.contains(address)) {
            let text = format!("The mail for {host} leads back to this server");
            return Err(Reply::with_text(554, "5.4.6", text));
        }
        Ok(found)
    }

    fn resolver(&self) -> Result<&TokioResolver, Reply> {
        let missing = "No name server is set, so the destination cannot be looked up";
        self.resolver.as_deref().ok_or(Reply::new(451, "4.4.3", missing))
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
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().inspect_err(|error| tracing::error!("name servers cannot be used: {error}")).ok()
}

/// With the dot at the end, so that nothing is searched in a local domain.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

fn no_records(error: &NetError) -> Option<ResponseCode> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Some(none.response_code)
        }
        _ => None,
    }
}

fn lookup_failed(name: &str, error: &NetError) -> Reply {
    Reply::with_text(451, "4.4.3", format!("{name} cannot be looked up: {error}"))
}

/// Servers by preference; those of the same preference in any order, which the answers already are.
fn in_order(mut mx: Vec<(u16, String)>, domain: &str) -> Result<Vec<String>, Reply> {
    // RFC 7505: one MX with the root as its name says that there is no mail.
    if mx.iter().all(|(_, host)| host == ".") {
        return Err(Reply::with_text(556, "5.1.10", format!("{domain} takes no mail")));
    }
    mx.sort_by_key(|(preference, _)| *preference);
    Ok(mx.into_iter().map(|(_, host)| host).filter(|host| host != ".").take(HOSTS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_in_order_of_preference() {
        let mx = vec![(20, "b.".to_owned()), (10, "a.".to_owned())];
        assert_eq!(in_order(mx, "x").unwrap(), ["a.", "b."]);
        assert_eq!(in_order(vec![(0, ".".to_owned())], "x").unwrap_err().code, 556);
    }

    #[tokio::test]
    async fn without_name_servers_mail_waits_and_our_own_address_is_a_loop() {
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        let router = Router::new(&[], Arc::from([own]), 25);
        assert_eq!(router.to_domain("far.test").await.unwrap_err().code, 451);
        assert_eq!(router.to_domain("[192.0.2.7]").await.unwrap().hosts, ["192.0.2.7"]);
        assert_eq!(router.addresses("192.0.2.1").await.unwrap_err().code, 554);
    }
}
