//! One network card: its address, its link, and what this box itself is called on it.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::netlink::{self, Change, NetlinkError};
use crate::packet::Mac;

/// One network card of this box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: u32,
    mac: Mac,
}

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its network's prefix.
    pub prefix: u8,
}

/// Why a network card cannot be used.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// It is not there.
    #[error("the network card {name} is missing ({source}); compare the board file with the hardware")]
    Missing {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is no Ethernet card.
    #[error("the network card {0} has no Ethernet address")]
    NotEthernet(String),
}

impl Interface {
    /// The card with the kernel name `name`.
    pub fn find(name: &str) -> Result<Self, InterfaceError> {
        let read = |file| {
            fs::read_to_string(path(name, file))
                .map_err(|source| InterfaceError::Missing { name: name.to_owned(), source })
        };
        let not_ethernet = || InterfaceError::NotEthernet(name.to_owned());
        let index = read("ifindex")?.trim().parse().map_err(|_| not_ethernet())?;
        let mac = Mac::parse(&read("address")?).ok_or_else(not_ethernet)?;
        Ok(Self { name: name.to_owned(), index, mac })
    }

    /// Its kernel name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kernel index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Whether there is a link: the card is up, and so is the other end of its cable.
    pub fn has_carrier(&self) -> bool {
        fs::read_to_string(path(&self.name, "carrier")).is_ok_and(|text| text.trim() == "1")
    }
}

/// Brings a card up.
pub fn set_up(interface: &Interface) -> Result<(), NetlinkError> {
    netlink::apply(Change::LinkUp(interface.index))
}

/// Gives a card an address; having it already is fine.
pub fn add_address(interface: &Interface, address: InterfaceAddress) -> Result<(), NetlinkError> {
    netlink::apply(Change::AddAddress(interface.index, address.address, address.prefix))
}

/// Takes an address from a card; not having it is fine.
pub fn remove_address(interface: &Interface, address: InterfaceAddress) -> Result<(), NetlinkError> {
    netlink::apply(Change::RemoveAddress(interface.index, address.address, address.prefix))
}

/// Sets the default route of the gateway's family.
pub fn add_default_route(interface: &Interface, gateway: IpAddr) -> Result<(), NetlinkError> {
    netlink::apply(Change::DefaultRoute(interface.index, gateway))
}

fn path(name: &str, file: &str) -> PathBuf {
    PathBuf::from("/sys/class/net").join(name).join(file)
}
