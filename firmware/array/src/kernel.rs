//! The ioctls that no safe crate offers. Everything unsafe of this crate is here.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libc::{c_int, c_ulong, c_void};

/// SCSI generic v3 (kernel, `include/scsi/sg.h`).
const SG_IO: c_ulong = 0x2285;
/// `_IO(0x12, 127)`: zero a range of a block device.
const BLKZEROOUT: c_ulong = 0x127F;
/// `_IO(0x12, 95)`: read the partition table again.
const BLKRRPART: c_ulong = 0x125F;
/// `_IO(0x12, 97)`: write back and drop what is cached of a block device.
const BLKFLSBUF: c_ulong = 0x1261;
/// `_IO(0x12, 104)`: logical block size.
const BLKSSZGET: c_ulong = 0x1268;
/// `_IOW('f', 16, __u64)`: grow a mounted ext4 file system.
const EXT4_IOC_RESIZE_FS: c_ulong = 0x4008_6610;
/// `_IOR('X', 125, __u32)`: stop an ext4 file system.
const EXT4_IOC_SHUTDOWN: c_ulong = 0x8004_587D;
/// Stop it without writing the journal.
const EXT4_GOING_FLAGS_NOLOGFLUSH: u32 = 2;

const SG_DXFER_NONE: c_int = -1;
const SG_DXFER_TO_DEV: c_int = -2;
const SG_DXFER_FROM_DEV: c_int = -3;

/// Most sense bytes kept of a command.
pub const SENSE_MAX_BYTES: usize = 96;

/// Data that goes along with a command.
#[derive(Debug)]
pub enum Data<'a> {
    /// None.
    None,
    /// To the device.
    Out(&'a [u8]),
    /// From the device, at most the length of the buffer.
    In(&'a mut [u8]),
}

/// How a command ended, as the adapter and the device said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// SCSI status (SAM-5 5.3.1).
    pub status: u8,
    /// The adapter's verdict, `DID_*`; 0 is good.
    pub host_status: u16,
    /// The driver's verdict, without its suggestion bits; 8 says that there is sense data.
    pub driver_status: u16,
    /// Sense data.
    pub sense: Vec<u8>,
    /// Bytes really transferred.
    pub transferred: usize,
}

/// `struct sg_io_hdr`.
#[repr(C)]
struct SgIoHdr {
    interface_id: c_int,
    dxfer_direction: c_int,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut c_void,
    cmdp: *const u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: c_int,
    usr_ptr: *mut c_void,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: c_int,
    duration: u32,
    info: u32,
}

/// Runs one SCSI command.
pub fn sg_io(device: &File, cdb: &[u8], data: Data<'_>, timeout: Duration) -> io::Result<Completion> {
    let mut sense = [0_u8; SENSE_MAX_BYTES];
    let (direction, pointer, length) = match data {
        Data::None => (SG_DXFER_NONE, std::ptr::null_mut(), 0),
        Data::Out(bytes) => (SG_DXFER_TO_DEV, bytes.as_ptr().cast_mut().cast(), bytes.len()),
        Data::In(bytes) => (SG_DXFER_FROM_DEV, bytes.as_mut_ptr().cast(), bytes.len()),
    };
    let mut header = SgIoHdr {
        interface_id: c_int::from(b'S'),
        dxfer_direction: direction,
        cmd_len: cdb.len() as u8,
        mx_sb_len: SENSE_MAX_BYTES as u8,
        iovec_count: 0,
        dxfer_len: length as u32,
        dxferp: pointer,
        cmdp: cdb.as_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: timeout.as_millis() as u32,
        flags: 0,
        pack_id: 0,
        usr_ptr: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the header is laid out as the kernel's; CDB, data and sense buffers live until the call
    // returns, with the lengths given, and the kernel writes only to data of direction "from device"
    // (a `&mut` slice here) and to the sense buffer.
    let returned = unsafe { libc::ioctl(device.as_raw_fd(), SG_IO, &raw mut header) };
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    let sense_bytes = usize::from(header.sb_len_wr).min(SENSE_MAX_BYTES);
    Ok(Completion {
        status: header.status,
        host_status: header.host_status,
        driver_status: header.driver_status & 0x0F,
        sense: sense[..sense_bytes].to_vec(),
        transferred: length.saturating_sub(usize::try_from(header.resid).unwrap_or(0)),
    })
}

/// Zeroes `length` bytes from `offset` of a block device; both are multiples of its block size.
pub fn zero_range(device: &File, offset: u64, length: u64) -> io::Result<()> {
    let range = [offset, length];
    // SAFETY: BLKZEROOUT reads two u64, which `range` is.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKZEROOUT, range.as_ptr()) })
}

/// Has the kernel read the partition table again.
pub fn reread_partitions(device: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART has no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKRRPART) })
}

/// Drops what the kernel has cached of a block device.
pub fn drop_cache(device: &File) -> io::Result<()> {
    // SAFETY: BLKFLSBUF takes no pointer; its argument is ignored.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF, 0) })
}

/// Logical block size of a block device, in bytes.
pub fn logical_block_bytes(device: &File) -> io::Result<u32> {
    let mut size: c_int = 0;
    // SAFETY: BLKSSZGET writes one int, which `size` is.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKSSZGET, &raw mut size) })?;
    Ok(size as u32)
}

/// Grows the ext4 file system that holds `file` to `blocks` blocks; the same size is fine.
pub fn resize_ext4(file: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64, which `blocks` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) })
}

/// Stops the ext4 file system that holds `file` at once: nothing more is written, not even the journal.
pub fn stop_ext4(file: &File) -> io::Result<()> {
    let flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
    // SAFETY: EXT4_IOC_SHUTDOWN reads one u32, which `flags` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) })
}

/// One command to device-mapper: `request` is its whole buffer, header and data, both ways.
pub fn device_mapper(control: &File, number: u32, request: &mut [u8]) -> io::Result<()> {
    // SAFETY: the header at the begin of `request` names the buffer's length (`data_size`), the kernel
    // reads and writes nothing beyond it, and the buffer lives until the call returns.
    check(unsafe { libc::ioctl(control.as_raw_fd(), c_ulong::from(number), request.as_mut_ptr()) })
}

fn check(returned: c_int) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
