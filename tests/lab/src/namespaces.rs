//! Unnamed namespaces: user (when not root), network, process and mount.
//!
//! Nothing in them has a name outside, so nothing can be left behind: when the lab's first process
//! ends, the kernel ends all others and takes bridges, taps and targets with them.
#![allow(unsafe_code)]

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, RawFd};
use std::path::Path;
use std::process::{Child, Command};

use rustix::io::FdFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::error::{Doing, LabError, Result};

/// Starts `inside` as the first process of new namespaces. The calling process must have one
/// thread only; it stays in the host's process namespace and must outlive the child.
pub fn spawn_inside(inside: &mut Command) -> Result<Child> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    if let Err(source) = File::options().read(true).write(true).open("/dev/net/tun") {
        return Err(LabError::NoTun { source });
    }
    let mut flags = UnshareFlags::NEWNET | UnshareFlags::NEWPID | UnshareFlags::NEWNS;
    if !user.is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: no file descriptor table is unshared (no CLONE_FILES), which is what makes the call
    // unsafe; the process has one thread, as the kernel demands for a user namespace.
    unsafe { unshare_unsafe(flags) }.map_err(|error| LabError::NoNamespaces { source: error.into() })?;
    if !user.is_root() {
        let write = |file: &str, text: String| {
            std::fs::write(file, text).map_err(|source| LabError::NoNamespaces { source })
        };
        write("/proc/self/setgroups", "deny".into())?;
        write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
        write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))?;
    }
    inside.spawn().doing(|| "the lab's first process cannot be started".into())
}

/// What the first process of the namespaces does first: it ends with its parent, and gets a `/run`
/// of its own for the sockets of the array and the boxes.
pub fn settle() -> Result<()> {
    let doing = |what: &'static str| move || what.to_string();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .doing(doing("the end of the parent cannot be followed"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(doing("mounts cannot be made private"))?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
        .doing(doing("no own /run can be mounted"))?;
    Ok(())
}

/// Keeps a listener open in a child process; gives its number there.
pub fn let_child_inherit(listener: &TcpListener) -> Result<RawFd> {
    rustix::io::fcntl_setfd(listener.as_fd(), FdFlags::empty())
        .doing(|| "a listener cannot be handed on".into())?;
    Ok(listener.as_raw_fd())
}

/// Takes over a listener that the parent left open under this number, once.
pub fn inherit(number: RawFd) -> Result<TcpListener> {
    // SAFETY: the parent names each number once on the command line, and nothing else in this
    // process has opened or closed descriptors yet, so nobody else owns it.
    let listener = unsafe { TcpListener::from_raw_fd(number) };
    rustix::io::fcntl_setfd(listener.as_fd(), FdFlags::CLOEXEC)
        .doing(|| "an inherited listener is not there".into())?;
    Ok(listener)
}

/// Moves the calling process, which must have one thread only, into the network of the lab whose
/// first process is `pid`.
pub fn enter_network(pid: u32) -> Result<()> {
    let open = |name: &str| {
        File::open(Path::new("/proc").join(pid.to_string()).join("ns").join(name))
            .doing(|| "the lab's network cannot be entered".into())
    };
    let network = open("net")?;
    if !rustix::process::getuid().is_root() {
        let user = open("user")?;
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
            .doing(|| "the lab's user namespace cannot be entered".into())?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .doing(|| "the lab's network cannot be entered".into())
}
