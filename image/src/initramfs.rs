//! What is inside the box: one program, its modules, its board file, nothing to log in to.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use array::template::{FAKE_TIME_VARIABLE, TEMPLATE_PATH, TEMPLATE_TIME_S, Template, mke2fs_arguments};
use board::BOARD_PATH;

use crate::cpio::Archive;
use crate::debian::CERTIFICATES_PATH;
use crate::error::{ImageError, OnFile};
use crate::modules::Module;
use crate::program;

/// Where the kernel looks for its first program.
const INIT_PATH: &str = "/init";
/// Which version this is: one `key=value` a line.
const RELEASE_PATH: &str = "/etc/twinmail-release";
/// Modules in the order in which they are loaded: one path a line, `?` before those the box can do without.
const MODULES_LIST_PATH: &str = "/etc/modules.load";
/// Where init mounts something, and what has to be there before it can.
const FOLDERS: [(&str, u32); 7] = [
    ("/data", 0o755),
    ("/dev", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
];
/// Higher levels take many times longer to save a few percent.
const COMPRESSION_LEVEL: i32 = 12;

/// What the initramfs is made of.
#[derive(Debug)]
pub struct Content<'a> {
    /// The one program.
    pub binary: Vec<u8>,
    /// Text of the board file.
    pub board: String,
    /// Text of the release file.
    pub release: String,
    /// Bundle of certificates of the public authorities.
    pub certificates: Vec<u8>,
    /// Modules in load order.
    pub modules: &'a [Module],
    /// `uname -r`.
    pub kernel_release: &'a str,
}

/// Puts everything in its place.
pub fn archive(content: Content<'_>) -> Result<Archive, ImageError> {
    let mut archive = Archive::default();
    for (path, mode) in FOLDERS {
        archive.directory(path, mode);
    }
    // The kernel opens the console for its first program before anything is mounted.
    archive.character("/dev/console", 0o600, 5, 1);
    archive.character("/dev/null", 0o666, 1, 3);
    archive.file(INIT_PATH, 0o755, content.binary);
    archive.file(BOARD_PATH, 0o644, content.board.into_bytes());
    archive.file(RELEASE_PATH, 0o644, content.release.into_bytes());
    archive.file(CERTIFICATES_PATH, 0o644, content.certificates);
    archive.file(TEMPLATE_PATH, 0o644, filesystem_template()?);
    let folder = format!("/lib/modules/{}", content.kernel_release);
    let mut list = String::new();
    for module in content.modules {
        let path = format!("{folder}/{}", module.path);
        let _ = writeln!(list, "{}{path}", if module.optional { "?" } else { "" });
        archive.file(&path, 0o644, module.bytes.clone());
    }
    archive.file(MODULES_LIST_PATH, 0o644, list.into_bytes());
    Ok(archive)
}

/// Packs the encoded archive as the kernel unpacks it.
pub fn compress(archive: &[u8]) -> Result<Vec<u8>, ImageError> {
    zstd::bulk::compress(archive, COMPRESSION_LEVEL).on(Path::new("initramfs.img"))
}

/// The small ext4 file system that the box copies onto a new LUN.
fn filesystem_template() -> Result<Vec<u8>, ImageError> {
    let file = tempfile::NamedTempFile::new().on(&std::env::temp_dir())?;
    let mut command = Command::new("mke2fs");
    command
        .args(mke2fs_arguments(&file.path().display().to_string()))
        .env(FAKE_TIME_VARIABLE, TEMPLATE_TIME_S.to_string())
        // The host's own preferences must not change what is made.
        .env("MKE2FS_CONFIG", "/dev/null");
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    program::run("mke2fs", "e2fsprogs", command.env("PATH", path))?;
    Ok(Template::capture(&fs::read(file.path()).on(file.path())?)?.encode())
}

/// Refuses a program that needs a loader: it has a PT_INTERP header (System V ABI, "Program Header").
pub fn check_static(path: &Path, binary: &[u8]) -> Result<(), ImageError> {
    if is_static(binary) == Some(true) {
        Ok(())
    } else {
        Err(ImageError::NotStatic { path: path.to_owned() })
    }
}

fn is_static(binary: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    const EM_X86_64: u16 = 62;
    let u16_at = |at: usize| binary.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
    let u32_at = |at: usize| binary.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let table = binary.get(0x20..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))? as usize;
    let (entry, count) = (usize::from(u16_at(0x36)?), usize::from(u16_at(0x38)?));
    let elf = binary.starts_with(b"\x7fELF\x02\x01") && u16_at(0x12)? == EM_X86_64;
    let kinds: Option<Vec<u32>> = (0..count).map(|index| u32_at(table.checked_add(index * entry)?)).collect();
    Some(elf && count > 0 && !kinds?.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_static_and_a_text_is_not_a_program() {
        let own = std::env::current_exe().unwrap();
        assert!(check_static(&own, &fs::read(&own).unwrap()).is_ok());
        assert!(check_static(&own, b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        let path = Path::new("/usr/bin/dpkg");
        assert!(matches!(check_static(path, &fs::read(path).unwrap()), Err(ImageError::NotStatic { .. })));
    }

    #[test]
    fn modules_are_listed_in_load_order_with_a_mark_on_the_optional() {
        let module = |name: &str, optional| Module {
            name: name.into(),
            path: format!("kernel/{name}.ko"),
            bytes: vec![1],
            optional,
        };
        let content = Content {
            binary: vec![],
            board: String::new(),
            release: String::new(),
            certificates: vec![],
            modules: &[module("b", true), module("a", false)],
            kernel_release: "6.1",
        };
        let archive = archive(content).unwrap();
        let list = archive.files().find(|(path, _)| *path == MODULES_LIST_PATH).unwrap().1;
        assert_eq!(list, b"?/lib/modules/6.1/kernel/b.ko\n/lib/modules/6.1/kernel/a.ko\n");
    }
}
