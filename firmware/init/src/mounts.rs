//! The file systems of the box itself. The group's data is not init's business.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid, chmod, chown};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::services::TABLE;

/// One early mount.
struct Mount {
    what: &'static str,
    at: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: &'static str,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const MOUNTS: [Mount; 7] = [
    Mount { what: "proc", at: "/proc", kind: "proc", flags: SAFE, options: "hidepid=2" },
    Mount { what: "sysfs", at: "/sys", kind: "sysfs", flags: SAFE, options: "" },
    Mount { what: "devtmpfs", at: "/dev", kind: "devtmpfs", flags: MountFlags::NOSUID, options: "mode=0755" },
    Mount { what: "tmpfs", at: "/run", kind: "tmpfs", flags: SAFE, options: "mode=0755,size=16m" },
    Mount { what: "tmpfs", at: "/tmp", kind: "tmpfs", flags: SAFE, options: "mode=1777,size=64m" },
    // The store of a rehearsal has room for what a store keeps back.
    Mount { what: "tmpfs", at: control::REHEARSAL.run_dir, kind: "tmpfs", flags: SAFE, options: "size=64m" },
    Mount { what: "cgroup2", at: "/sys/fs/cgroup", kind: "cgroup2", flags: SAFE, options: "" },
];

/// Kernel settings every box has.
const SYSCTLS: [(&str, &str); 7] = [
    // Nothing in the box but the mail service listens below 1024, and it has no capability.
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    // An address is answered for only on the interface that has it: the private network must not
    // advertise the virtual address.
    ("/proc/sys/net/ipv4/conf/all/arp_ignore", "1"),
    ("/proc/sys/net/ipv4/conf/all/arp_announce", "2"),
    // A hung task or an oops is a fault like any other: reset, the peer takes over.
    ("/proc/sys/kernel/panic", "1"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    // So is an NMI that nobody asked for: hardware in distress, or the button beside the power button.
    ("/proc/sys/kernel/unknown_nmi_panic", "1"),
    // The console belongs to the panel; the kernel's lines go to the ring.
    ("/proc/sys/kernel/printk", "1 4 1 3"),
];

/// Mounts everything; what is mounted already is fine. Each fault is a sentence.
pub fn mount_all() -> Vec<String> {
    let mut faults = Vec::new();
    // Services inherit the highest limit and lower it themselves; the kernel's own is below what
    // the mail service is granted.
    let highest = TABLE.iter().map(|service| service.open_files_max).max();
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: highest, maximum: highest }) {
        faults.push(format!("the limit of open files cannot be raised: {error}"));
    }
    for entry in &MOUNTS {
        if let Err(error) = mount_one(entry) {
            faults.push(format!("{} cannot be mounted on {}: {error}", entry.kind, entry.at));
        }
    }
    for (path, value) in SYSCTLS {
        if let Err(error) = fs::write(path, value) {
            faults.push(format!("{path} cannot be set to {value}: {error}"));
        }
    }
    if let Err(error) = make_run_dir() {
        faults.push(format!("{} cannot be made: {error}", control::RUN_DIR));
    }
    faults
}

fn mount_one(entry: &Mount) -> io::Result<()> {
    fs::create_dir_all(entry.at)?;
    let options = std::ffi::CString::new(entry.options)?;
    match mount(entry.what, entry.at, entry.kind, entry.flags, Some(options.as_c_str())) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The sockets' directories: a mail service may add its own to its group's, and with the sticky bit touch no
/// other.
fn make_run_dir() -> io::Result<()> {
    for group in &control::GROUPS {
        make_run_dir_of(group)?;
        fs::create_dir_all(group.data_dir)?;
    }
    make_run_dir_of(&control::REHEARSAL)
}

fn make_run_dir_of(group: &control::GroupPlace) -> io::Result<()> {
    fs::create_dir_all(group.run_dir)?;
    chown(group.run_dir, Some(Uid::ROOT), Some(Gid::from_raw(group.uid)))?;
    chmod(group.run_dir, Mode::from_raw_mode(0o1770))?;
    Ok(())
}

/// Unmounts the groups' data if it still is mounted, in no more than a detach: the cluster service
/// had its chance to do it properly.
pub fn detach_data() {
    for group in control::GROUPS.iter().filter(|group| Path::new(group.data_dir).exists()) {
        let _ = unmount(group.data_dir, UnmountFlags::DETACH);
    }
}
