//! The virtual addresses of a group on the public card.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use thiserror::Error;

use crate::claim::{Claim, Heard, Step};
use crate::interface::{self, Interface, InterfaceAddress};
use crate::netlink::NetlinkError;
use crate::packet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6, ETHERTYPE_NONE, Mac};
use crate::socket::EthernetSocket;

/// Most virtual addresses of one group.
pub const ADDRESSES_MAX: usize = 16;
/// Most frames read at one go; a storm on the network must not hold the box up.
const FRAMES_MAX: usize = 64;

/// Somebody else uses a virtual address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// The address.
    pub address: IpAddr,
    /// Who it is.
    pub mac: Mac,
}

/// Why the addresses could not be claimed.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// Somebody else uses one of them.
    #[error("{address} is already used by the station with the MAC address {mac}; find it and switch it off")]
    Conflict {
        /// The address.
        address: IpAddr,
        /// Who it is.
        mac: Mac,
    },
    /// The kernel refuses.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The card cannot send or receive.
    #[error("the public network card {name} fails: {source}")]
    Card {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// More than a group may have.
    #[error("{0} virtual addresses are too many; at most {ADDRESSES_MAX} are possible")]
    TooMany(usize),
}

/// The virtual addresses of a group on the public card.
///
/// [`VirtualAddresses::claim`] takes about as long as it waits for an answer. After it, call
/// [`VirtualAddresses::tick`] a few times a second.
#[derive(Debug)]
pub struct VirtualAddresses {
    interface: Interface,
    addresses: Vec<(InterfaceAddress, Claim)>,
    sender: EthernetSocket,
    arp: EthernetSocket,
    start: Instant,
}

impl VirtualAddresses {
    /// `addresses` on `interface`; none is claimed yet.
    pub fn new(interface: Interface, addresses: &[InterfaceAddress]) -> Result<Self, ClaimError> {
        if addresses.len() > ADDRESSES_MAX {
            return Err(ClaimError::TooMany(addresses.len()));
        }
        let mac = interface.mac();
        let addresses = addresses.iter().map(|given| (*given, Claim::new(given.address, mac))).collect();
        let sender = open(&interface, ETHERTYPE_NONE)?;
        let arp = open(&interface, ETHERTYPE_ARP)?;
        Ok(Self { interface, addresses, sender, arp, start: Instant::now() })
    }

    /// Whether all of them are on this box.
    pub fn all_here(&self) -> bool {
        self.addresses.iter().all(|(_, claim)| claim.is_here())
    }

    /// Asks for all addresses at once and waits `wait` for an answer, without taking them: a claim that
    /// follows within [`crate::CLEAR_MS`] need not wait. Whoever answers is met again by the claim.
    pub fn ask(&mut self, wait: Duration) -> Result<(), ClaimError> {
        let (now_ms, wait_ms) = (self.now_ms(), wait.as_millis() as u64);
        self.talk(|claim| claim.ask(now_ms, wait_ms)).map(drop)
    }

    /// Asks for all addresses at once, waits `wait` for an answer, then takes and announces them.
    /// A conflict leaves none of them here. Repeating it is fine.
    pub fn claim(&mut self, wait: Duration) -> Result<(), ClaimError> {
        let claimed = self.try_claim(wait);
        if claimed.is_err() {
            self.release()?;
        }
        claimed
    }

    fn try_claim(&mut self, wait: Duration) -> Result<(), ClaimError> {
        let (now_ms, wait_ms) = (self.now_ms(), wait.as_millis() as u64);
        match self.talk(|claim| claim.begin(now_ms, wait_ms))? {
            Some((address, mac)) => Err(ClaimError::Conflict { address, mac }),
            None => Ok(()),
        }
    }

    /// Lets every claim begin, and carries out what they want until none is asking any more or somebody
    /// has answered: who, and for which address.
    fn talk(&mut self, begin: impl Fn(&mut Claim)) -> Result<Option<(IpAddr, Mac)>, ClaimError> {
        // Only while it is needed: on a busy card this socket sees every IPv6 frame.
        let discovery = open(&self.interface, ETHERTYPE_IPV6)?;
        // What came in before the question is no answer to it.
        self.hear(&self.arp.receive_all(FRAMES_MAX));
        self.addresses.iter_mut().for_each(|(_, claim)| begin(claim));
        loop {
            self.act()?;
            if !self.addresses.iter().any(|(_, claim)| claim.is_asking()) {
                return Ok(None);
            }
            self.wait_for_frames(&discovery)?;
            let mut frames = self.arp.receive_all(FRAMES_MAX);
            frames.extend(discovery.receive_all(FRAMES_MAX));
            for (address, heard) in self.hear(&frames) {
                if let Heard::Conflict(mac) = heard {
                    return Ok(Some((address, mac)));
                }
            }
        }
    }

    /// Announces what is due, answers strangers and reports them.
    pub fn tick(&mut self) -> Result<Vec<Stranger>, ClaimError> {
        let frames = self.arp.receive_all(FRAMES_MAX);
        let mut strangers = Vec::new();
        for (address, heard) in self.hear(&frames) {
            let (Heard::Stranger(mac) | Heard::Conflict(mac)) = heard;
            let stranger = Stranger { address, mac };
            if !strangers.contains(&stranger) {
                strangers.push(stranger);
            }
        }
        self.act()?;
        Ok(strangers)
    }

    /// Takes all addresses from the card. Not having them is fine: also after a crash, an address that
    /// was left over is removed.
    pub fn release(&mut self) -> Result<(), ClaimError> {
        let mut result = Ok(());
        for (address, claim) in &mut self.addresses {
            claim.released();
            // Every one is tried, whatever happened to the one before.
            result = interface::remove_address(&self.interface, *address).and(result);
        }
        Ok(result?)
    }

    /// Carries out what the claims want now.
    fn act(&mut self) -> Result<(), ClaimError> {
        let mac = self.interface.mac();
        let start = self.start;
        for (given, claim) in &mut self.addresses {
            while let Some(step) = claim.poll(since_ms(start)) {
                let frames = match step {
                    Step::Probe => vec![packet::probe(given.address, mac)],
                    Step::Announce => packet::announcement(given.address, mac),
                    Step::Assign => {
                        interface::add_address(&self.interface, *given)?;
                        claim.assigned(since_ms(start));
                        vec![]
                    }
                };
                for frame in frames {
                    self.sender.send(&frame).map_err(|source| failed(&self.interface, source))?;
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, frames: &[Vec<u8>]) -> Vec<(IpAddr, Heard)> {
        let now_ms = self.now_ms();
        let mut heard = Vec::new();
        for neighbour in frames.iter().filter_map(|frame| packet::read(frame)) {
            let claims = self.addresses.iter_mut().map(|(_, claim)| claim);
            heard.extend(claims.filter_map(|claim| Some((claim.address(), claim.hear(neighbour, now_ms)?))));
        }
        heard
    }

    /// Waits until a frame comes in or a claim has something to do.
    fn wait_for_frames(&self, discovery: &EthernetSocket) -> Result<(), ClaimError> {
        let next_ms = self.addresses.iter().filter_map(|(_, claim)| claim.next_ms()).min();
        let wait_ms = next_ms.unwrap_or(0).saturating_sub(self.now_ms());
        let timeout =
            Timespec { tv_sec: (wait_ms / 1_000) as i64, tv_nsec: (wait_ms % 1_000) as i64 * 1_000_000 };
        let mut sockets = [PollFd::new(&self.arp, PollFlags::IN), PollFd::new(discovery, PollFlags::IN)];
        match rustix::event::poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(failed(&self.interface, error.into())),
        }
    }

    fn now_ms(&self) -> u64 {
        since_ms(self.start)
    }
}

fn since_ms(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}

fn open(interface: &Interface, ethertype: u16) -> Result<EthernetSocket, ClaimError> {
    EthernetSocket::open(interface, ethertype).map_err(|source| failed(interface, source))
}

fn failed(interface: &Interface, source: io::Error) -> ClaimError {
    ClaimError::Card { name: interface.name().to_owned(), source }
}
