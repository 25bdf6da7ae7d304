//! The cables between the boxes, the array and the clients: two bridges, a tap for each card.
//!
//! All of it lives in the lab's own network namespace; see `namespaces`.

use std::fmt::Write as _;

use crate::array::STRANGERS_PORTAL;
use crate::error::Result;
use crate::parts::{BoxName, HOST_ADDRESS, VIRTUAL_ADDRESS};
use crate::{second_group, second_path, tool};

/// Name of whoever uses an address that is not theirs.
const STRANGER: &str = "stranger";

/// The tap behind a box's public card.
pub fn public_tap(name: BoxName) -> String {
    format!("public-{name}")
}

/// The tap behind a box's private card.
pub fn private_tap(name: BoxName) -> String {
    format!("private-{name}")
}

/// Lays all cables.
pub fn lay() -> Result<()> {
    let mut script = String::from("link set lo up\n");
    for bridge in ["public", "private"] {
        let _ = writeln!(script, "link add {bridge} type bridge stp_state 0 mcast_snooping 0");
        let _ = writeln!(script, "link set {bridge} up");
    }
    let _ = writeln!(script, "addr add {HOST_ADDRESS}/24 dev public");
    let _ = writeln!(script, "addr add fd77::1/64 dev public nodad");
    let _ = writeln!(script, "addr add {STRANGERS_PORTAL}/32 dev lo");
    for name in BoxName::ALL {
        for portal in [name.portal(), second_path::portal(name), second_group::portal(name)] {
            let _ = writeln!(script, "addr add {portal}/32 dev lo");
        }
        for (tap, bridge) in [(public_tap(name), "public"), (private_tap(name), "private")] {
            let _ = writeln!(script, "tuntap add mode tap name {tap}");
            let _ = writeln!(script, "link set {tap} master {bridge} up");
        }
    }
    tool::run("ip", &["-batch", "-"], &script)?;
    Ok(())
}

/// Plugs a stranger into the public network who has the virtual address too, says so, and answers for
/// it; or sends them away.
pub fn address_stranger(there: bool) -> Result<()> {
    if !there {
        return tool::run("ip", &["netns", "del", STRANGER], "").map(drop);
    }
    tool::run("ip", &["netns", "add", STRANGER], "")?;
    let cable = format!(
        "link add {STRANGER} type veth peer name card netns {STRANGER}\nlink set {STRANGER} master public up\n"
    );
    tool::run("ip", &["-batch", "-"], &cable)?;
    let announce = "echo 1 > /proc/sys/net/ipv4/conf/card/arp_notify";
    let words = format!("{announce}; ip addr add {VIRTUAL_ADDRESS}/24 dev card; ip link set card up");
    tool::run("ip", &["netns", "exec", STRANGER, "sh", "-c", &words], "").map(drop)
}
