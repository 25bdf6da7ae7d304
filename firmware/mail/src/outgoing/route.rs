//! Which servers take a domain's mail (RFC 5321 5.1, RFC 7505).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use ring::rand::{SecureRandom, SystemRandom};
use smtp::Reply;
use smtp::client::Credentials;
use smtp::sts::{Policy, policy_id};
use tokio::task::JoinSet;

use super::{Smarthost, Sts, sts};

/// Servers of one domain that are looked up.
const HOSTS_MAX: usize = 10;
/// Addresses of one server that are tried in one attempt.
const ADDRESSES_MAX: usize = 4;
/// How long one question to a name server may take.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the way.
#[derive(Clone)]
pub(crate) struct Router {
    resolver: Option<Arc<TokioResolver>>,
    policies: Option<Sts>,
    own_addresses: Arc<[IpAddr]>,
    own_name: Arc<str>,
    relay_port: u16,
    /// Mail may go to addresses that are not of the public network.
    private_targets: bool,
}

/// Servers in the order they are to be tried, with their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) hosts: Vec<Host>,
    pub(crate) port: u16,
    pub(crate) smarthost: Option<SmarthostUse>,
    /// The domain it is for; empty for a smarthost.
    pub(crate) domain: String,
    /// The domain's policy names these servers and demands that they prove their names (RFC 8461).
    pub(crate) enforced: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
}

/// How the smarthost is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmarthostUse {
    pub(crate) tls_at_once: bool,
    pub(crate) credentials: Option<Credentials>,
}

impl Router {
    /// Without name servers only a smarthost with an address, or an address literal, can be reached.
    pub(crate) fn new(
        name_servers: &[SocketAddr],
        own_addresses: Arc<[IpAddr]>,
        own_name: Arc<str>,
        relay_port: u16,
        private_targets: bool,
    ) -> Self {
        let resolver = if name_servers.is_empty() { None } else { build(name_servers) };
        let resolver = resolver.map(Arc::new);
        Self { resolver, policies: None, own_addresses, own_name, relay_port, private_targets }
    }

    /// Heeds what domains demand of their servers.
    pub(crate) fn with_policies(self, policies: Sts) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// What was found out about dead web servers is forgotten.
    pub(super) fn forget_failures(&self) {
        if let Some(policies) = &self.policies {
            policies.forget_failures();
        }
    }

    /// Way to the smarthost. It may be anywhere: the administrator named it.
    pub(crate) async fn by_smarthost(&self, smarthost: &Smarthost) -> Result<Route, Reply> {
        let addresses = self.lookup(&smarthost.host).await?;
        if addresses.is_empty() {
            let text = format!("The smarthost {} has no address", smarthost.host);
            return Err(Reply::with_text(451, "4.4.4", text));
        }
        if addresses.iter().any(|address| self.own_addresses.contains(address))
            && smarthost.port == self.relay_port
        {
            return Err(loops(&smarthost.host));
        }
        Ok(Route {
            hosts: vec![Host { name: smarthost.host.clone(), addresses }],
            port: smarthost.port,
            smarthost: Some(SmarthostUse {
                tls_at_once: smarthost.tls_at_once(),
                credentials: smarthost.credentials(),
            }),
            domain: String::new(),
            enforced: false,
        })
    }

    /// Way to a domain; the error is what its recipients get: 4yz to try again, 5yz to give up.
    pub(crate) async fn to_domain(&self, domain: &str) -> Result<Route, Reply> {
        let (hosts, policy) =
            if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let literal = if literal.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:")) {
                    literal.get(5..).unwrap_or(literal)
                } else {
                    literal
                };
                (vec![(0, literal.to_owned())], None)
            } else {
                let (hosts, policy) = tokio::join!(self.exchangers(domain), self.policy(domain));
                (hosts?, policy)
            };
        let groups = self.resolve(hosts).await;
        let mut hosts = self.usable(groups, domain)?;
        let enforced = sts::is_enforced(policy.as_ref());
        if let Some(policy) = policy.filter(|_| enforced) {
            hosts.retain(|host| policy.names(&host.name));
            if hosts.is_empty() {
                let text = format!("The policy of {domain} (MTA-STS) names none of its servers");
                return Err(Reply::with_text(451, "4.7.5", text));
            }
        }
        Ok(Route { hosts, port: self.relay_port, smarthost: None, domain: domain.to_owned(), enforced })
    }

    /// What the domain demands of its servers.
    async fn policy(&self, domain: &str) -> Option<Policy> {
        let (policies, resolver) = (self.policies.as_ref()?, self.resolver.as_deref()?);
        let ascii = idna::domain_to_ascii(domain).ok()?;
        let found = resolver.txt_lookup(format!("_mta-sts.{ascii}.")).await;
        let records: Vec<String> = found.map_or(Vec::new(), |lookup| {
            let text = |data: &RData| match data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            };
            let texts = lookup.answers().iter().filter_map(|record| text(&record.data));
            texts.map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
        });
        let id = policy_id(records.iter().map(String::as_str));
        let web_server = async {
            let found = self.lookup(&format!("mta-sts.{ascii}")).await.unwrap_or_default();
            found.into_iter().filter(|address| self.private_targets || is_public(*address)).collect()
        };
        policies.policy(&ascii, id, web_server).await
    }

    /// Servers by preference.
    async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, Reply> {
        let ascii = idna::domain_to_ascii(domain).map_err(|_| {
            Reply::with_text(550, "5.1.2", format!("{domain} cannot be the name of a domain"))
        })?;
        match self.resolver()?.mx_lookup(absolute(&ascii)).await {
            Ok(lookup) => {
                let mx = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                    _ => None,
                });
                in_order(mx.collect(), domain)
            }
            Err(error) => match no_records(&error) {
                Some(ResponseCode::NXDomain) => {
                    Err(Reply::with_text(550, "5.1.2", format!("There is no domain {domain}")))
                }
                // RFC 5321 5.1: without MX the domain is its own server.
                Some(_) => Ok(vec![(0, ascii)]),
                None => Err(lookup_failed(domain, &error)),
            },
        }
    }

    /// The addresses of all servers, asked for at the same time.
    async fn resolve(&self, hosts: Vec<(u16, String)>) -> Vec<Found> {
        let mut lookups = JoinSet::new();
        for (index, (preference, name)) in hosts.into_iter().enumerate() {
            let router = self.clone();
            lookups.spawn(async move {
                let addresses = router.lookup(&name).await;
                (index, Found { preference, name, addresses })
            });
        }
        let mut found = lookups.join_all().await;
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, found)| found).collect()
    }

    /// Those that may be tried. Where we are one of them, those behind us lead here as well (RFC 5321 5.1).
    fn usable(&self, found: Vec<Found>, domain: &str) -> Result<Vec<Host>, Reply> {
        let is_own = |found: &Found| {
            found.name.trim_end_matches('.').eq_ignore_ascii_case(&self.own_name)
                || found
                    .addresses
                    .as_ref()
                    .is_ok_and(|a| a.iter().any(|one| self.own_addresses.contains(one)))
        };
        let own = found.iter().filter(|found| is_own(found)).map(|found| found.preference).min();
        let (mut hosts, mut failed, mut private) = (Vec::new(), None, false);
        for found in found.into_iter().filter(|found| own.is_none_or(|own| found.preference < own)) {
            match found.addresses {
                Ok(mut addresses) => {
                    let before = addresses.len();
                    addresses.retain(|address| self.private_targets || is_public(*address));
                    private |= addresses.len() < before;
                    if !addresses.is_empty() {
                        hosts.push(Host { name: found.name, addresses });
                    }
                }
                Err(reply) => failed = Some(reply),
            }
        }
        if !hosts.is_empty() {
            return Ok(hosts);
        }
        Err(match (failed, own) {
            (Some(reply), _) => reply,
            (None, Some(_)) => loops(domain),
            (None, None) if private => {
                let text = format!("{domain} has only addresses that are not of the public network");
                Reply::with_text(550, "5.4.4", text)
            }
            (None, None) => Reply::with_text(451, "4.4.4", format!("No server of {domain} has an address")),
        })
    }

    /// Addresses of one server, IPv6 and IPv4 by turns. An empty list: it has none.
    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, Reply> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        match self.resolver()?.lookup_ip(absolute(host)).await {
            Ok(lookup) => Ok(by_turns(lookup.iter())),
            Err(error) if no_records(&error).is_some() => Ok(Vec::new()),
            Err(error) => Err(lookup_failed(host, &error)),
        }
    }

    fn resolver(&self) -> Result<&TokioResolver, Reply> {
        let missing = "No name server is set, so the destination cannot be looked up";
        self.resolver.as_deref().ok_or(Reply::new(451, "4.4.3", missing))
    }
}

/// A server and what was found out about it.
struct Found {
    preference: u16,
    name: String,
    addresses: Result<Vec<IpAddr>, Reply>,
}

fn loops(name: &str) -> Reply {
    Reply::with_text(554, "5.4.6", format!("The mail for {name} leads back to this server"))
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
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
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

/// Servers by preference; those of the same preference in an order of chance (RFC 5321 5.1).
fn in_order(mut mx: Vec<(u16, String)>, domain: &str) -> Result<Vec<(u16, String)>, Reply> {
    // RFC 7505: one MX with the root as its name says that there is no mail.
    mx.retain(|(_, host)| host != ".");
    if mx.is_empty() {
        return Err(Reply::with_text(556, "5.1.10", format!("{domain} takes no mail")));
    }
    mx.sort_by_cached_key(|(preference, _)| (*preference, random()));
    mx.truncate(HOSTS_MAX);
    Ok(mx)
}

/// A number of chance; without randomness mail is only less spread.
pub(super) fn random() -> u32 {
    let mut random = [0; 4];
    let _ = SystemRandom::new().fill(&mut random);
    u32::from_ne_bytes(random)
}

/// The families by turns, IPv6 first, each as often as the bound allows (RFC 8305 4).
fn by_turns(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut mixed = Vec::new();
    while mixed.len() < ADDRESSES_MAX {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            break;
        }
        mixed.extend(pair.into_iter().flatten());
    }
    mixed.truncate(ADDRESSES_MAX);
    mixed
}

/// Whether mail from a stranger's domain may lead there: never into our own network.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4 == Ipv4Addr::BROADCAST
                || a == 0
                || a >= 240
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6 == Ipv6Addr::LOCALHOST
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(own: &[&str], private_targets: bool) -> Router {
        let own: Vec<IpAddr> = own.iter().map(|address| address.parse().unwrap()).collect();
        Router::new(&[], Arc::from(own), Arc::from("mx.own.test"), 25, private_targets)
    }

    fn found(preference: u16, name: &str, addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Found { preference, name: name.to_owned(), addresses: Ok(addresses) }
    }

    fn names(hosts: &[Host]) -> Vec<&str> {
        hosts.iter().map(|host| host.name.as_str()).collect()
    }

    #[test]
    fn servers_come_in_order_of_preference_and_equal_ones_by_chance() {
        let mx =
            || (0..8).map(|n| (10, format!("{n}."))).chain([(5, "first.".to_owned())]).collect::<Vec<_>>();
        let orders: Vec<_> = (0..20).map(|_| in_order(mx(), "x").unwrap()).collect();
        assert!(orders.iter().all(|order| order[0].1 == "first." && order.len() == 9));
        assert!(orders.iter().any(|order| *order != orders[0]));
        assert_eq!(in_order(vec![(0, ".".to_owned())], "x").unwrap_err().code, 556);
    }

    #[test]
    fn where_we_are_one_of_the_servers_those_behind_us_are_cut_off() {
        let router = router(&["192.0.2.1"], false);
        let list = || {
            vec![
                found(5, "a.", &["198.51.100.5"]),
                found(10, "b.", &["192.0.2.1"]),
                found(10, "c.", &["198.51.100.6"]),
                found(20, "d.", &["198.51.100.7"]),
            ]
        };
        assert_eq!(names(&router.usable(list(), "x").unwrap()), ["a."]);
        assert_eq!(router.usable(list().split_off(1), "x").unwrap_err().code, 554);
        let by_name = vec![found(1, "MX.own.test.", &["198.51.100.9"])];
        assert_eq!(router.usable(by_name, "x").unwrap_err().status, "5.4.6");
    }

    #[test]
    fn mail_of_strangers_does_not_lead_into_our_own_network() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
        ];
        for address in inside {
            let list = || vec![found(1, "a.", &[address])];
            assert_eq!(router(&[], false).usable(list(), "x").unwrap_err().status, "5.4.4", "{address}");
            assert!(router(&[], true).usable(list(), "x").is_ok());
        }
        let mixed = vec![found(1, "a.", &["127.0.0.1", "2001:db8::1"])];
        let hosts = router(&[], false).usable(mixed, "x").unwrap();
        assert_eq!(hosts[0].addresses, ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn both_families_are_tried() {
        let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "192.0.2.4"];
        let mixed = by_turns(all.iter().map(|address| address.parse().unwrap()));
        let mixed: Vec<_> = mixed.iter().map(ToString::to_string).collect();
        assert_eq!(mixed, ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[tokio::test]
    async fn without_name_servers_mail_waits_and_our_own_address_is_a_loop() {
        let router = router(&["192.0.2.1"], false);
        assert_eq!(router.to_domain("far.test").await.unwrap_err().code, 451);
        assert_eq!(names(&router.to_domain("[192.0.2.7]").await.unwrap().hosts), ["192.0.2.7"]);
        assert_eq!(names(&router.to_domain("[IPv6:2001:db8::7]").await.unwrap().hosts), ["2001:db8::7"]);
        assert_eq!(router.to_domain("[192.0.2.1]").await.unwrap_err().code, 554);
    }
}
