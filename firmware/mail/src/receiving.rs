//! What an administrator decides about those who bring mail: whom to believe, and what to do with what is
//! not authentic.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use control::mail as wire;
use serde::{Deserialize, Serialize};
use store::Store;

/// Name of the store's setting.
const SETTING: &str = "receiving";
/// Networks that one list can name.
const NETWORKS_MAX: usize = 64;

/// The decisions in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Receiving {
    /// Load balancers that tell their clients' addresses by the PROXY protocol.
    pub(crate) proxy_from: Vec<Network>,
    /// Servers that may deliver over LMTP.
    pub(crate) lmtp_from: Vec<Network>,
    /// What is done when the domain in `From` asks to refuse what it did not send.
    pub(crate) dmarc: Dmarc,
}

/// What is done with mail that fails DMARC (RFC 7489 6.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dmarc {
    /// What its domain asks for.
    #[default]
    Honour,
    /// It goes to Junk, whatever is asked for.
    Junk,
    /// It is only recorded.
    Record,
}

/// An address, or all that share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address and no network such as 192.0.2.0/24");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == most {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// Whether one of the networks has the address.
pub(crate) fn names(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// The decisions, to be read by every session and changed while they run.
#[derive(Debug, Default)]
pub(crate) struct Decisions(RwLock<Arc<Receiving>>);

impl Decisions {
    /// As the store has them.
    pub(crate) fn load(store: &Store) -> Result<Self, store::StoreError> {
        let receiving = match store.setting(SETTING)? {
            None => Receiving::default(),
            Some(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::error!("the receiving setting is not understood: {error}; set it again");
                Receiving::default()
            }),
        };
        Ok(Self(RwLock::new(Arc::new(receiving))))
    }

    /// Those in force now.
    pub(crate) fn now(&self) -> Arc<Receiving> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is given, durably, and tells what is in force then. The error is a sentence.
    pub(crate) async fn change(
        &self,
        store: &Store,
        change: wire::ReceivingChange,
    ) -> Result<wire::Receiving, String> {
        let mut next = Receiving::clone(&self.now());
        if let Some(networks) = change.proxy_from {
            next.proxy_from = parse_all(&networks)?;
        }
        if let Some(networks) = change.lmtp_from {
            next.lmtp_from = parse_all(&networks)?;
        }
        if let Some(dmarc) = change.dmarc {
            next.dmarc = match dmarc.as_str() {
                "honour" => Dmarc::Honour,
                "junk" => Dmarc::Junk,
                "record" => Dmarc::Record,
                other => return Err(format!("{other:?} is none of honour, junk, record")),
            };
        }
        let text = serde_json::to_string(&next).map_err(|error| error.to_string())?;
        store.set_setting(SETTING, Some(&text)).await.map_err(|error| error.to_string())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(self.shown())
    }

    /// Those in force now, as an administrator sees them.
    pub(crate) fn shown(&self) -> wire::Receiving {
        let now = self.now();
        let words = |networks: &[Network]| networks.iter().map(ToString::to_string).collect();
        let dmarc = match now.dmarc {
            Dmarc::Honour => "honour",
            Dmarc::Junk => "junk",
            Dmarc::Record => "record",
        };
        wire::Receiving {
            proxy_from: words(&now.proxy_from),
            lmtp_from: words(&now.lmtp_from),
            dmarc: dmarc.to_owned(),
        }
    }
}

fn parse_all(networks: &[String]) -> Result<Vec<Network>, String> {
    if networks.len() > NETWORKS_MAX {
        return Err(format!("at most {NETWORKS_MAX} networks can be named"));
    }
    networks.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.255", "192.0.3.0"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(parsed.to_string(), network);
        }
        for bad in ["", "x", "192.0.2.0/33", "192.0.2.0/", "::/129", "192.0.2.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
