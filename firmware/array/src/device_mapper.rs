//! Device-mapper by its ioctls (kernel, `Documentation/admin-guide/device-mapper`,
//! `include/uapi/linux/dm-ioctl.h`): make a device, give it a table, put the table in force, send it
//! a message, read its state, remove it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::kernel;

const CONTROL: &str = "/dev/mapper/control";

/// `struct dm_ioctl`, as bytes: 312 of header, then what the command carries.
const HEADER_BYTES: usize = 312;
const DATA_SIZE_AT: usize = 12;
const DATA_START_AT: usize = 16;
const TARGET_COUNT_AT: usize = 20;
const FLAGS_AT: usize = 28;
const DEVICE_AT: usize = 40;
const NAME_AT: usize = 48;
const NAME_BYTES: usize = 128;
/// `struct dm_target_spec`: start, length, status, next, type.
const SPEC_BYTES: usize = 40;
/// Room for what comes back.
const BUFFER_BYTES: usize = 4096;
/// The interface's major version, and the oldest minor one.
const VERSION: [u32; 3] = [4, 0, 0];

/// `DM_DEV_CREATE` and its like are `_IOWR(0xfd, number, struct dm_ioctl)`.
const REQUEST_BASE: u32 = 0xC138_FD00;
const DEV_CREATE: u32 = 3;
const DEV_REMOVE: u32 = 4;
const DEV_SUSPEND: u32 = 6;
const TABLE_LOAD: u32 = 9;
const TABLE_STATUS: u32 = 12;
const TARGET_MSG: u32 = 14;

const SUSPEND_FLAG: u32 = 1 << 1;
/// Do not freeze the file system above.
const SKIP_LOCKFS_FLAG: u32 = 1 << 10;
/// Do not wait for commands that wait for a path.
const NOFLUSH_FLAG: u32 = 1 << 11;

/// One stretch of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Length in sectors of 512 bytes, from the device's begin.
    pub sectors: u64,
    /// Kind, `multipath` or `linear`.
    pub kind: &'static str,
    /// Its parameters.
    pub parameters: String,
}

/// Whether this kernel has device-mapper.
pub fn is_present() -> bool {
    Path::new(CONTROL).exists()
}

/// Makes the device `name` with `target` and gives its node.
pub fn create(name: &str, target: &Target) -> io::Result<PathBuf> {
    let mut made = Request::new(name);
    made.run(DEV_CREATE)?;
    let node = made.node();
    match load(name, target).and_then(|()| resume(name)) {
        Ok(()) => Ok(node),
        Err(error) => {
            let _ = remove(name);
            Err(error)
        }
    }
}

/// Gives the device another table and puts it in force, without freezing what is mounted on it.
pub fn replace(name: &str, target: &Target) -> io::Result<()> {
    load(name, target)?;
    let mut suspend = Request::new(name);
    suspend.set_u32(FLAGS_AT, SUSPEND_FLAG | SKIP_LOCKFS_FLAG | NOFLUSH_FLAG);
    suspend.run(DEV_SUSPEND)?;
    resume(name)
}

/// Removes the device; one that is not there is fine.
pub fn remove(name: &str) -> io::Result<()> {
    match Request::new(name).run(DEV_REMOVE) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        other => other,
    }
}

/// Sends a message to the device's first target.
pub fn message(name: &str, text: &str) -> io::Result<()> {
    let mut request = Request::new(name);
    // struct dm_target_msg: the sector, then the text.
    request.put(HEADER_BYTES, &0_u64.to_ne_bytes())?;
    request.put_text(HEADER_BYTES + 8, text)?;
    request.run(TARGET_MSG)
}

/// The state of the device's first target, as the kernel words it.
pub fn status(name: &str) -> io::Result<String> {
    let mut request = Request::new(name);
    request.run(TABLE_STATUS)?;
    let start = request.u32_at(DATA_START_AT) as usize + SPEC_BYTES;
    let text = request.bytes.get(start..).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn load(name: &str, target: &Target) -> io::Result<()> {
    let mut request = Request::new(name);
    request.set_u32(TARGET_COUNT_AT, 1);
    let mut spec = [0_u8; SPEC_BYTES];
    spec[8..16].copy_from_slice(&target.sectors.to_ne_bytes());
    let kind = target.kind.as_bytes().get(..15.min(target.kind.len())).unwrap_or_default();
    spec[24..24 + kind.len()].copy_from_slice(kind);
    request.put(HEADER_BYTES, &spec)?;
    request.put_text(HEADER_BYTES + SPEC_BYTES, &target.parameters)?;
    request.run(TABLE_LOAD)
}

fn resume(name: &str) -> io::Result<()> {
    Request::new(name).run(DEV_SUSPEND)
}

/// One command to device-mapper.
struct Request {
    bytes: Box<[u8; BUFFER_BYTES]>,
}

impl Request {
    fn new(name: &str) -> Self {
        let mut request = Self { bytes: Box::new([0; BUFFER_BYTES]) };
        for (index, part) in VERSION.into_iter().enumerate() {
            request.set_u32(index * 4, part);
        }
        request.set_u32(DATA_SIZE_AT, BUFFER_BYTES as u32);
        request.set_u32(DATA_START_AT, HEADER_BYTES as u32);
        let name = name.as_bytes().get(..name.len().min(NAME_BYTES - 1)).unwrap_or_default();
        request.bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        request
    }

    fn run(&mut self, number: u32) -> io::Result<()> {
        let control = File::options().read(true).write(true).open(CONTROL)?;
        kernel::device_mapper(&control, REQUEST_BASE | number, &mut self.bytes[..])
    }

    /// Node of the device, whose number the kernel gave (`huge_encode_dev`).
    fn node(&self) -> PathBuf {
        let number = self.u32_at(DEVICE_AT);
        let minor = (number & 0xFF) | ((number >> 12) & 0x000F_FF00);
        PathBuf::from(format!("/dev/dm-{minor}"))
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn u32_at(&self, at: usize) -> u32 {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "too long for device-mapper");
        self.bytes.get_mut(at..at + bytes.len()).ok_or_else(too_long)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Text with the zero that ends it.
    fn put_text(&mut self, at: usize, text: &str) -> io::Result<()> {
        self.put(at, text.as_bytes())?;
        self.put(at + text.len(), &[0])
    }
}
