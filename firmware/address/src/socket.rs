//! Ethernet frames in and out of one card. Everything unsafe of this crate is here.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::interface::Interface;
use crate::packet::FRAME_MAX_BYTES;

/// An `AF_PACKET` socket for one EtherType on one card (`packet(7)`); it never waits.
#[derive(Debug)]
pub struct EthernetSocket {
    socket: OwnedFd,
}

impl EthernetSocket {
    /// Opens it.
    pub fn open(interface: &Interface, ethertype: u16) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0: nothing is received before the socket is bound to its card.
        let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
        bind(&socket, interface.index(), ethertype)?;
        Ok(Self { socket })
    }

    /// Sends one whole frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }

    /// The frames that came in, at most `frames_max`. A card that is down has none.
    pub fn receive_all(&self, frames_max: usize) -> Vec<Vec<u8>> {
        let mut room = [0; FRAME_MAX_BYTES];
        let mut frames = Vec::new();
        while frames.len() < frames_max
            && let Ok((length, _)) = rustix::net::recv(&self.socket, &mut room, RecvFlags::empty())
        {
            frames.push(room[..length.min(room.len())].to_vec());
        }
        frames
    }
}

impl AsFd for EthernetSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn bind(socket: &OwnedFd, index: u32, ethertype: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `address`, which lives until the call returns.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
