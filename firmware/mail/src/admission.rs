//! Who may connect: bounds on connections, in total and per address, and on their rate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{Limits, TryOut};
use crate::probing::Probing;

/// Addresses remembered for their rate; the quiet ones go first.
const ADDRESSES_MAX: usize = 20_000;
/// Patience with those who have not logged in when three quarters of the places are taken.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);
/// Places beyond the others' for the box's own probes.
const PROBES_MAX: usize = 4;
/// Refused connections make at most one log line in so long.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the bounds.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    try_out: TryOut,
    probing: Probing,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    handshakes: usize,
    addresses: HashMap<IpAddr, Address>,
    /// Connections of the networks around the addresses.
    networks: HashMap<IpAddr, usize>,
    refused: Refused,
}

#[derive(Debug)]
struct Address {
    connections: usize,
    handshakes: usize,
    /// Connections it may open now without waiting.
    tokens: f64,
    filled: Instant,
}

/// Refusals since the last log line about them.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

/// A place taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    network: Option<IpAddr>,
}

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The service has all it can serve.
    Full,
    /// The address has all it may have.
    AddressFull,
    /// The network around the address has all it may have.
    NetworkFull,
    /// The address connects too fast.
    TooFast,
}

impl NotAdmitted {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Full => "Too many connections, try again later",
            Self::AddressFull => "Too many connections from your address",
            Self::NetworkFull => "Too many connections from your network",
            Self::TooFast => "Connections from your address come too fast",
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: &Limits, try_out: TryOut, probing: Probing) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), try_out, probing, state: Mutex::default() })
    }

    /// Whether an address stands outside the bounds per address.
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        self.try_out.trust_loopback && address.to_canonical().is_loopback() || self.probing.is_own(address)
    }

    /// Takes a place for a connection of this address.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Admitted, NotAdmitted> {
        let trusted = self.is_trusted(peer);
        let key = network(peer);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The prober comes in however many others there are: a flood is no illness of the service.
        let kept_back = if self.probing.is_own(peer) { PROBES_MAX } else { 0 };
        if state.total >= self.limits.connections_max + kept_back {
            return Err(NotAdmitted::Full);
        }
        let wide = wide_network(peer);
        if !trusted {
            if state.networks.get(&wide).is_some_and(|of| *of >= self.limits.connections_per_network_max) {
                return Err(NotAdmitted::NetworkFull);
            }
            state.forget_quiet(&self.limits, now);
            state.take_token(key, &self.limits, now)?;
            *state.networks.entry(wide).or_default() += 1;
        }
        state.total += 1;
        let of = |key| (!trusted).then_some(key);
        Ok(Admitted { admission: Arc::clone(self), address: of(key), network: of(wide) })
    }

    /// Takes a place for a TLS handshake: each costs a signature, and until its end nobody has said
    /// anything worth hearing.
    pub(crate) fn handshake(self: &Arc<Self>, peer: IpAddr) -> Option<Handshake> {
        let address = (!self.is_trusted(peer)).then(|| network(peer));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kept_back = if self.probing.is_own(peer) { PROBES_MAX } else { 0 };
        if state.handshakes >= self.limits.handshakes_max + kept_back {
            return None;
        }
        if let Some(of) = address.and_then(|address| state.addresses.get_mut(&address)) {
            if of.handshakes >= self.limits.handshakes_per_address_max {
                return None;
            }
            of.handshakes += 1;
        }
        state.handshakes += 1;
        Some(Handshake { admission: Arc::clone(self), address })
    }

    /// How long somebody who has not logged in may be silent: `usual`, and less when most places are
    /// taken, so that those who only hold them make room.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        let total = self.state.lock().unwrap_or_else(PoisonError::into_inner).total;
        if total * 4 >= self.limits.connections_max * 3 { usual.min(SHORT_PATIENCE) } else { usual }
    }

    /// Counts a refusal. Tells how many there were when it is time for a line about them in the log.
    pub(crate) fn refused(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused.count += 1;
        let told = state.refused.told;
        if told.is_some_and(|told| now.saturating_duration_since(told) < LOG_INTERVAL) {
            return None;
        }
        state.refused.told = Some(now);
        Some(std::mem::take(&mut state.refused.count))
    }
}

impl State {
    fn take_token(&mut self, key: IpAddr, limits: &Limits, now: Instant) -> Result<(), NotAdmitted> {
        let burst = f64::from(limits.connection_burst);
        let fresh = || Address { connections: 0, handshakes: 0, tokens: burst, filled: now };
        let address = self.addresses.entry(key).or_insert_with(fresh);
        let since = now.saturating_duration_since(address.filled).as_secs_f64();
        address.tokens = (address.tokens + since * f64::from(limits.connection_rate_per_s)).min(burst);
        address.filled = now;
        if address.connections >= limits.connections_per_address_max {
            return Err(NotAdmitted::AddressFull);
        }
        if address.tokens < 1.0 {
            return Err(NotAdmitted::TooFast);
        }
        address.tokens -= 1.0;
        address.connections += 1;
        Ok(())
    }

    /// Drops addresses without a connection whose burst is full again, when there are too many.
    fn forget_quiet(&mut self, limits: &Limits, now: Instant) {
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        let fill_s = f64::from(limits.connection_burst) / f64::from(limits.connection_rate_per_s.max(1));
        self.addresses.retain(|_, address| {
            address.connections > 0 || now.saturating_duration_since(address.filled).as_secs_f64() < fill_s
        });
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total = state.total.saturating_sub(1);
        if let Some(address) = self.address.and_then(|address| state.addresses.get_mut(&address)) {
            address.connections = address.connections.saturating_sub(1);
        }
        if let Some(network) = self.network {
            let left = state.networks.get(&network).map_or(0, |of| of.saturating_sub(1));
            if left == 0 {
                state.networks.remove(&network);
            } else {
                state.networks.insert(network, left);
            }
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.handshakes = state.handshakes.saturating_sub(1);
        if let Some(address) = self.address.and_then(|address| state.addresses.get_mut(&address)) {
            address.handshakes = address.handshakes.saturating_sub(1);
        }
    }
}

/// What counts as one address: an IPv6 host has its whole /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The network around an address: its /24, in IPv6 its /48.
pub(crate) fn wide_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(trust_loopback: bool) -> Arc<Admission> {
        let limits = Limits {
            connections_max: 5,
            connections_per_address_max: 2,
            connection_rate_per_s: 1,
            connection_burst: 3,
            ..Limits::default()
        };
        Admission::new(&limits, TryOut { trust_loopback, ..TryOut::default() }, Probing::default())
    }

    #[test]
    fn an_address_has_its_bound_and_its_rate() {
        let (admission, now) = (admission(false), Instant::now());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let first = admission.admit(peer, now).unwrap();
        let second = admission.admit(peer, now).unwrap();
        assert_eq!(admission.admit(peer, now).unwrap_err(), NotAdmitted::AddressFull);
        drop((first, second));
        drop(admission.admit(peer, now).unwrap());
        assert_eq!(admission.admit(peer, now).unwrap_err(), NotAdmitted::TooFast);
        assert!(admission.admit(peer, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn the_total_is_bounded_for_everybody() {
        let (admission, now) = (admission(true), Instant::now());
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..5).map(|_| admission.admit(peer, now).unwrap()).collect();
        assert_eq!(admission.admit(peer, now).unwrap_err(), NotAdmitted::Full);
        drop(held);
        assert!(admission.admit(peer, now).is_ok());
    }

    #[test]
    fn handshakes_and_networks_have_their_bounds() {
        let limits = Limits {
            handshakes_max: 3,
            handshakes_per_address_max: 2,
            connections_per_network_max: 3,
            connections_max: 5,
            ..Limits::default()
        };
        let (admission, now) =
            (Admission::new(&limits, TryOut::default(), Probing::default()), Instant::now());
        let host = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = admission.admit(host("192.0.2.1"), now).unwrap();
        let two = admission.admit(host("192.0.2.2"), now).unwrap();
        let usual = Duration::from_mins(1);
        assert_eq!(admission.patience(usual), usual);
        let begun: Vec<_> = (0..2).map(|_| admission.handshake(host("192.0.2.1")).unwrap()).collect();
        assert!(admission.handshake(host("192.0.2.1")).is_none());
        let third = admission.handshake(host("192.0.2.2")).unwrap();
        assert!(admission.handshake(host("192.0.2.3")).is_none());
        drop((begun, third));
        assert!(admission.handshake(host("192.0.2.1")).is_some());
        let three = admission.admit(host("192.0.2.3"), now).unwrap();
        assert_eq!(admission.admit(host("192.0.2.4"), now).unwrap_err(), NotAdmitted::NetworkFull);
        let elsewhere = admission.admit(host("198.51.100.1"), now).unwrap();
        assert_eq!(admission.patience(usual), SHORT_PATIENCE);
        drop((one, two, three, elsewhere));
        assert!(admission.state.lock().unwrap().networks.is_empty());
    }

    #[test]
    fn a_flood_does_not_fill_the_log() {
        let (admission, now) = (admission(false), Instant::now());
        assert_eq!(admission.refused(now), Some(1));
        for _ in 0..500 {
            assert_eq!(admission.refused(now), None);
        }
        assert_eq!(admission.refused(now + LOG_INTERVAL), Some(501));
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let one: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:4::5".parse().unwrap();
        assert_eq!(network(one), network(other));
    }
}
