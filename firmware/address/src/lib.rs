//! Virtual addresses: claim with duplicate detection, announce, defend, release; and the public link.
//!
//! The owner of a group asks whether anybody uses its addresses, takes them, and tells every
//! neighbour at once, so that clients find it within a fraction of a second. It also gives the box
//! its own addresses, routes and links, which nothing else in the box does.
//!
//! It never decides when to claim: that is the `cluster` core. It never resolves names, and it never
//! waits longer than it is told.
//!
//! What always holds here: an address is announced only after it was asked for and nobody answered,
//! and a stranger that uses it is reported with its MAC address.

mod claim;
mod interface;
mod netlink;
mod packet;
mod socket;
mod virtual_addresses;

pub use claim::{
    ANNOUNCE_BURST_MS, CLEAR_MS, Claim, DEFEND_INTERVAL_MS, Heard, PROBE_INTERVAL_MS, REFRESH_MS, Step,
};
pub use interface::{
    Interface, InterfaceAddress, InterfaceError, add_address, add_default_route, remove_address, set_up,
};
pub use netlink::NetlinkError;
pub use packet::{Mac, Neighbour};
pub use virtual_addresses::{ADDRESSES_MAX, ClaimError, Stranger, VirtualAddresses};
