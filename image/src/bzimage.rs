//! The kernel inside the kernel: a bzImage unpacks itself at every start, which a virtual machine
//! can save. QEMU starts the unpacked ELF file directly (PVH).
//!
//! Format: kernel documentation, "The Linux/x86 Boot Protocol", header fields `setup_sects`,
//! `payload_offset` and `payload_length`.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{ImageError, OnFile};

const SETUP_SECTORS: usize = 0x1F1;
const HEADER_MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24C;
const SECTOR_BYTES: usize = 512;
/// Some old loaders leave `setup_sects` zero and mean this.
const SETUP_SECTORS_DEFAULT: usize = 4;

const XZ: &[u8] = b"\xFD7zXZ\0";
const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";
const ELF: &[u8] = b"\x7FELF";
/// More than any kernel takes.
const KERNEL_MAX_BYTES: usize = 256 * 1024 * 1024;

/// The unpacked kernel of a bzImage.
pub fn unpack(vmlinuz: &[u8], path: &Path) -> Result<Vec<u8>, ImageError> {
    let bad = || ImageError::BadKernel { path: path.to_owned() };
    let payload = payload(vmlinuz).ok_or_else(bad)?;
    let kernel = if payload.starts_with(XZ) {
        unpack_xz(payload)?
    } else if payload.starts_with(ZSTD) {
        let mut kernel = Vec::new();
        let mut frame = zstd::stream::read::Decoder::new(payload).on(path)?.single_frame();
        frame.read_to_end(&mut kernel).on(path)?;
        kernel
    } else {
        return Err(bad());
    };
    if kernel.starts_with(ELF) && kernel.len() <= KERNEL_MAX_BYTES { Ok(kernel) } else { Err(bad()) }
}

fn payload(vmlinuz: &[u8]) -> Option<&[u8]> {
    (vmlinuz.get(HEADER_MAGIC..HEADER_MAGIC + 4)? == b"HdrS").then_some(())?;
    let setup = match usize::from(*vmlinuz.get(SETUP_SECTORS)?) {
        0 => SETUP_SECTORS_DEFAULT,
        sectors => sectors,
    };
    let number = |at: usize| vmlinuz.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four) as usize);
    let start = (setup + 1) * SECTOR_BYTES + number(PAYLOAD_OFFSET)?;
    vmlinuz.get(start..)?.get(..number(PAYLOAD_LENGTH)?)
}

/// The payload is one xz stream and four bytes of its unpacked size.
fn unpack_xz(payload: &[u8]) -> Result<Vec<u8>, ImageError> {
    let failed =
        |error: &dyn std::fmt::Display| ImageError::ProgramFailed { program: "xz", said: error.to_string() };
    let mut child = Command::new("xz")
        .args(["-dc", "--single-stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|_| ImageError::NoProgram { program: "xz", package: "xz-utils" })?;
    let mut stdin = child.stdin.take();
    let (written, output) = std::thread::scope(|scope| {
        // xz stops reading before the last four bytes; that it closes its end then is no fault.
        let writer = scope.spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(payload)));
        let output = child.wait_with_output();
        (writer.join(), output)
    });
    drop(written);
    let output = output.map_err(|error| failed(&error))?;
    if output.status.success() { Ok(output.stdout) } else { Err(failed(&output.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR_BYTES];
        image[SETUP_SECTORS] = 1;
        image[HEADER_MAGIC..HEADER_MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16_u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn the_kernel_comes_out_as_it_went_in() {
        let kernel = [ELF, &vec![7; 100_000]].concat();
        let size = (kernel.len() as u32).to_le_bytes();
        let zstd = [zstd::bulk::compress(&kernel, 3).unwrap(), size.to_vec()].concat();
        assert!(unpack(&bzimage(&zstd), Path::new("k")).unwrap() == kernel);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &kernel).unwrap();
        let arguments = ["-zc", "--check=crc32", &file.path().display().to_string()];
        let xz = crate::program::output("xz", "xz-utils", &arguments).unwrap();
        let xz = [xz, size.to_vec()].concat();
        assert!(unpack(&bzimage(&xz), Path::new("k")).unwrap() == kernel);
    }

    #[test]
    fn something_that_is_no_kernel_is_refused() {
        for bad in [vec![], vec![0; 4096], bzimage(b"not compressed"), bzimage(XZ)] {
            assert!(unpack(&bad, Path::new("k")).is_err());
        }
    }
}
