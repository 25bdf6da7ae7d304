//! Calls that the standard library and rustix do not offer safely: interface names, scheduling, the hardware
//! clock.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketType, socket};

/// Gives the network interface `from` the name `to`; it must be down.
pub fn rename_interface(from: &str, to: &str) -> io::Result<()> {
    let mut request = interface_request(from)?;
    // The union's first member is the name, which the kernel reads as bytes.
    request.ifr_ifru.ifru_newname = interface_name(to)?;
    interface_ioctl(libc::SIOCSIFNAME, &mut request)
}

/// Brings the network interface up.
pub fn interface_up(name: &str) -> io::Result<()> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    interface_ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// Moves process `pid` to real-time class SCHED_RR at `level`.
pub fn set_real_time(pid: u32, level: i32) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: level };
    // SAFETY: `parameter` is a valid sched_param that outlives the call, which only reads it.
    let result =
        unsafe { libc::sched_setscheduler(pid as libc::pid_t, libc::SCHED_RR, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `RTC_SET_TIME`: `_IOW('p', 0x0a, struct rtc_time)` (linux/rtc.h).
const RTC_SET_TIME: u32 = 0x4024_700a;

/// Sets the hardware clock to the seconds since 1970, in UTC.
pub fn set_hardware_clock(clock: &File, unix_s: i64) -> io::Result<()> {
    // SAFETY: a tm is numbers and a pointer that may be null, so all zeros is one.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid for the call, which keeps neither.
    if unsafe { libc::gmtime_r(&raw const unix_s, &raw mut time) }.is_null() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the call reads a struct rtc_time, which is the nine numbers that a tm begins with.
    let result = unsafe { libc::ioctl(clock.as_raw_fd(), RTC_SET_TIME as libc::Ioctl, &raw const time) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn interface_name(name: &str) -> io::Result<[libc::c_char; libc::IFNAMSIZ]> {
    let mut bytes = [0; libc::IFNAMSIZ];
    // One byte stays zero for the end.
    if name.len() >= bytes.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(bytes)
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_newname: [0; libc::IFNAMSIZ] };
    Ok(libc::ifreq { ifr_name: interface_name(name)?, ifr_ifru })
}

fn interface_ioctl(number: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: both SIOCSIF calls read and write one ifreq, `request` is one and outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), number as libc::Ioctl, std::ptr::from_mut(request)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
