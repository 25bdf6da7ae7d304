//! The server that takes all outgoing mail, where the administrator named one.

use serde::{Deserialize, Serialize};
use smtp::client::Credentials;

/// Name of the store's setting.
pub(crate) const SETTING: &str = "smarthost";
/// Port without a port given (RFC 6409 3.1).
const DEFAULT_PORT: u16 = 587;
/// The port with TLS from the first octet (RFC 8314 3.3).
const TLS_PORT: u16 = 465;

/// A server that takes all outgoing mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Smarthost {
    /// Name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    user: Option<String>,
    password: Option<String>,
}

impl Smarthost {
    /// Reads `host`, `host:port` or `[v6]:port`; the error is a sentence to the administrator.
    pub(crate) fn parse(host: &str, user: Option<String>, password: Option<String>) -> Result<Self, String> {
        let wrong = || format!("{host:?} is not a server; write host or host:port");
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, "")) => (v6, None),
            Some((v6, port)) => (v6, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => match host.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, None),
            },
        };
        let port =
            port.map_or(Ok(DEFAULT_PORT), str::parse).ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if name.parse::<std::net::IpAddr>().is_err() && smtp::address::parse_domain(name).is_err() {
            return Err(wrong());
        }
        if user.is_some() != password.is_some() {
            return Err("a user name and a password belong together; give both or neither".to_owned());
        }
        Ok(Self { host: name.to_owned(), port, user, password })
    }

    /// Whether TLS begins with the first octet.
    pub(crate) fn tls_at_once(&self) -> bool {
        self.port == TLS_PORT
    }

    /// User and password.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let (user, password) = self.user.clone().zip(self.password.clone())?;
        Some(Credentials { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_as_people_write_them() {
        for (text, host, port) in [
            ("relay.test", "relay.test", 587),
            ("relay.test:25", "relay.test", 25),
            ("192.0.2.1:465", "192.0.2.1", 465),
            ("[2001:db8::1]:25", "2001:db8::1", 25),
        ] {
            let parsed = Smarthost::parse(text, None, None).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
        }
        for bad in ["", "a b", "relay:x", "relay:0", "[::1", "relay.test:99999"] {
            assert!(Smarthost::parse(bad, None, None).is_err(), "{bad}");
        }
        assert!(Smarthost::parse("relay.test", Some("u".into()), None).is_err());
    }
}
