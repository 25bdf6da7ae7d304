//! Whom the pair tells what: metrics, alarms, the scheduled drill. Both boxes have the same.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most places of one kind that alarms go to.
pub const TARGETS_MAX: usize = 8;
/// Most networks that may read the metrics.
pub const NETWORKS_MAX: usize = 32;
/// Longest address of a place that alarms go to, in bytes.
pub const TARGET_MAX_BYTES: usize = 512;
const MINUTES_OF_DAY: u32 = 24 * 60;

/// Whom the pair tells what. The higher revision counts; each box hands its own to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Counts up with every change on either box.
    pub revision: u64,
    /// Where alarms go besides console and LCD.
    #[serde(default)]
    pub alarms: AlarmTargets,
    /// Who may read the metrics.
    #[serde(default)]
    pub metrics: Metrics,
    /// When the pair practises by itself.
    #[serde(default)]
    pub drill: Option<DrillTime>,
}

/// Where alarms go besides console and LCD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmTargets {
    /// Mail addresses; they get a letter through the pair's own store and queue.
    pub mail: Vec<String>,
    /// `udp://host:port`, `tcp://host:port` or `tls://host:port`, for syslog as in RFC 5424.
    pub syslog: Vec<String>,
    /// `http://` or `https://` addresses that get a JSON object by POST.
    pub webhook: Vec<String>,
    /// Language of what is sent: `en` or `zh`; as the box's where none is said.
    pub language: Option<crate::Language>,
}

/// Who may read the metrics, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// TCP port at each box's own addresses; 0 is off.
    pub port: u16,
    /// Addresses and networks that may read; without any, whoever reaches the port.
    pub networks: Vec<String>,
}

/// When the pair practises: a weekday and a time of day, both in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillTime {
    /// 0 is Monday, 6 is Sunday; none is every day.
    pub weekday: Option<u8>,
    /// Minutes since midnight, UTC.
    pub minute: u16,
}

/// Why something about telling is refused; each is a sentence to the administrator.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TellingError {
    /// Not a place for syslog.
    #[error("{0:?} is no place for syslog; write udp://HOST:514, tcp://HOST:601 or tls://HOST:6514")]
    Syslog(String),
    /// Not a place for a webhook.
    #[error("{0:?} is no webhook; write an http:// or https:// address")]
    Webhook(String),
    /// Not a mail address.
    #[error("{0:?} is no mail address")]
    Mail(String),
    /// Not a network.
    #[error("{0:?} is no address or network, such as 192.0.2.7 or 192.0.2.0/24")]
    Network(String),
    /// Not a time.
    #[error("{0:?} is no time; write HH:MM in UTC, such as 03:30, with a weekday before it if not daily")]
    Time(String),
    /// Too many.
    #[error("at most {TARGETS_MAX} places of one kind, and {NETWORKS_MAX} networks, can be named")]
    TooMany,
}

impl Telling {
    /// Checks what can be checked without asking anybody.
    pub fn check(&self) -> Result<(), TellingError> {
        let alarms = &self.alarms;
        let most = [alarms.mail.len(), alarms.syslog.len(), alarms.webhook.len()].into_iter().max();
        if most > Some(TARGETS_MAX) || self.metrics.networks.len() > NETWORKS_MAX {
            return Err(TellingError::TooMany);
        }
        for address in &alarms.mail {
            let parts = address.rsplit_once('@');
            let good = parts.is_some_and(|(local, domain)| {
                !local.is_empty() && !domain.is_empty() && is_plain(address) && !address.contains(['<', '>'])
            });
            if !good {
                return Err(TellingError::Mail(address.clone()));
            }
        }
        for place in &alarms.syslog {
            place.parse::<SyslogPlace>()?;
        }
        for place in &alarms.webhook {
            place.parse::<WebPlace>()?;
        }
        for network in &self.metrics.networks {
            parse_network(network).ok_or_else(|| TellingError::Network(network.clone()))?;
        }
        Ok(())
    }
}

impl Metrics {
    /// Whether the reader at `address` may read.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.is_empty()
            || self
                .networks
                .iter()
                .filter_map(|text| parse_network(text))
                .any(|network| contains(network, address))
    }
}

/// Printable ASCII or letters of other scripts, no white space, and not too long.
fn is_plain(text: &str) -> bool {
    text.len() <= TARGET_MAX_BYTES && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = if prefix.is_empty() { longest } else { prefix.parse().ok()? };
    (prefix <= longest).then_some((address, prefix))
}

fn contains((network, prefix): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network) ^ u32::from(address)).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// How syslog travels (RFC 5426, RFC 6587, RFC 5425).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogWay {
    /// One datagram a message.
    Udp,
    /// Counted octets on a connection.
    Tcp,
    /// The same within TLS.
    Tls,
}

/// One place for syslog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogPlace {
    /// How it travels.
    pub way: SyslogWay,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for SyslogPlace {
    type Err = TellingError;

    fn from_str(text: &str) -> Result<Self, TellingError> {
        let refused = || TellingError::Syslog(text.to_owned());
        let (way, rest) = text.split_once("://").ok_or_else(refused)?;
        // The registered ports of RFC 5426 3.3, RFC 6587 3.4 and RFC 5425 4.1.
        let (way, usual) = match way {
            "udp" => (SyslogWay::Udp, 514),
            "tcp" => (SyslogWay::Tcp, 601),
            "tls" => (SyslogWay::Tls, 6514),
            _ => return Err(refused()),
        };
        let (host, port) = host_and_port(rest, usual).ok_or_else(refused)?;
        Ok(Self { way, host, port })
    }
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPlace {
    /// Within TLS.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What is asked for, from the slash on.
    pub path: String,
}

impl FromStr for WebPlace {
    type Err = TellingError;

    fn from_str(text: &str) -> Result<Self, TellingError> {
        let refused = || TellingError::Webhook(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
        let (tls, usual) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(refused()),
        };
        let slash = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let (host, port) = host_and_port(authority, usual).ok_or_else(refused)?;
        if !path.is_ascii() || !is_plain(path) || path.contains('#') {
            return Err(refused());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host, port, path })
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = port?;
    let port = if port.is_empty() { usual } else { port.parse().ok().filter(|port| *port != 0)? };
    let named = host.parse::<IpAddr>().is_ok()
        || host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_');
    (!host.is_empty() && host.len() <= 253 && named).then(|| (host.to_owned(), port))
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl FromStr for DrillTime {
    type Err = TellingError;

    /// `03:30`, or `sun 03:30`.
    fn from_str(text: &str) -> Result<Self, TellingError> {
        let refused = || TellingError::Time(text.to_owned());
        let mut words = text.split_whitespace().rev();
        let clock = words.next().ok_or_else(refused)?;
        let day = words.next().filter(|word| *word != "daily");
        if words.next().is_some() {
            return Err(refused());
        }
        let weekday = match day {
            Some(word) => {
                let found = WEEKDAYS.iter().position(|name| word.to_ascii_lowercase().starts_with(name));
                Some(found.ok_or_else(refused)? as u8)
            }
            None => None,
        };
        let (hour, minute) = clock.split_once(':').ok_or_else(refused)?;
        let number = |text: &str, below: u32| {
            let plain = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|number| plain && *number < below)
        };
        let minute = number(hour, 24).ok_or_else(refused)? * 60 + number(minute, 60).ok_or_else(refused)?;
        Ok(Self { weekday, minute: minute as u16 })
    }
}

impl fmt::Display for DrillTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.weekday.and_then(|day| WEEKDAYS.get(usize::from(day))).unwrap_or(&"daily");
        write!(f, "{day} {:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

impl DrillTime {
    /// Whether the minute that `unix_s` lies in is the one.
    pub fn is_at(&self, unix_s: u64) -> bool {
        let minute = unix_s / 60;
        // 1 January 1970 was a Thursday.
        let weekday = (minute / u64::from(MINUTES_OF_DAY) + 3) % 7;
        minute % u64::from(MINUTES_OF_DAY) == u64::from(self.minute)
            && self.weekday.is_none_or(|day| u64::from(day) == weekday)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood_or_refused() {
        let place: SyslogPlace = "udp://10.0.0.5".parse().unwrap();
        assert_eq!((place.way, place.host.as_str(), place.port), (SyslogWay::Udp, "10.0.0.5", 514));
        let place: SyslogPlace = "tls://[fd00::5]:7000".parse().unwrap();
        assert_eq!((place.way, place.host.as_str(), place.port), (SyslogWay::Tls, "fd00::5", 7000));
        for bad in ["10.0.0.5", "xyz://a", "udp://", "tcp://a:0", "tcp://a:99999", "udp://a b", "udp://[x]"] {
            assert!(bad.parse::<SyslogPlace>().is_err(), "{bad}");
        }
        let place: WebPlace = "https://hooks.example:8443/a/b?c=d".parse().unwrap();
        assert_eq!((place.tls, place.port, place.path.as_str()), (true, 8443, "/a/b?c=d"));
        assert_eq!("http://a".parse::<WebPlace>().unwrap().path, "/");
        for bad in ["ftp://a", "http://a/\r\nX: y", "http:///x", "http://a/#b"] {
            assert!(bad.parse::<WebPlace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_drill_is_due_in_its_minute_only() {
        let time: DrillTime = "sun 03:30".parse().unwrap();
        assert_eq!(time.to_string(), "sun 03:30");
        // Sunday, 4 January 1970.
        let due = 3 * 86_400 + 3 * 3_600 + 30 * 60;
        assert!(time.is_at(due) && time.is_at(due + 59));
        assert!(!time.is_at(due + 60) && !time.is_at(due - 1) && !time.is_at(due + 86_400));
        let daily: DrillTime = "3:05".parse().unwrap();
        assert_eq!(daily.to_string(), "daily 03:05");
        assert!(daily.is_at(3 * 3_600 + 5 * 60) && daily.is_at(86_400 + 3 * 3_600 + 5 * 60));
        for bad in ["", "25:00", "3", "noday 03:30", "sun 03:60", "a sun 03:30", "+3:30"] {
            assert!(bad.parse::<DrillTime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn metrics_are_for_the_networks_that_were_named() {
        let metrics = Metrics { port: 9464, networks: vec!["10.1.0.0/16".to_owned(), "fd00::/8".to_owned()] };
        let allows = |text: &str| metrics.allows(text.parse().unwrap());
        assert!(allows("10.1.2.3") && allows("::ffff:10.1.2.3") && allows("fd12::1"));
        assert!(!allows("10.2.0.1") && !allows("fe80::1"));
        assert!(Metrics::default().allows("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_cannot_be_told_is_refused_in_a_sentence() {
        let with = |set: fn(&mut Telling)| {
            let mut telling = Telling::default();
            set(&mut telling);
            telling.check()
        };
        assert!(with(|t| t.alarms.mail = vec!["nobody".to_owned()]).is_err());
        assert!(with(|t| t.alarms.mail = vec!["a@b.example".to_owned()]).is_ok());
        assert!(with(|t| t.alarms.mail = vec!["a@b.example".to_owned(); TARGETS_MAX + 1]).is_err());
        assert!(with(|t| t.metrics.networks = vec!["10.0.0.0/33".to_owned()]).is_err());
    }
}
