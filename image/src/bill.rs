//! The bill of materials: every file of the image, where it is from, and under which licence.

use std::fmt::Write;

use serde::Serialize;

use crate::cpio::Archive;
use crate::debian::Package;
use crate::digest::sha256;
use crate::licences::Crate;

/// What an image holds.
#[derive(Debug, Serialize)]
pub struct Bill {
    /// Version of the firmware.
    pub version: String,
    /// Board it is for.
    pub board: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// Command line of the kernel.
    pub kernel_arguments: String,
    /// What one slot takes.
    pub slot_bytes: u64,
    /// What one slot may take.
    pub slot_budget_bytes: u64,
    /// Files of the slot and, below `/`, of the initramfs.
    pub files: Vec<Item>,
    /// Debian packages that gave something.
    pub debian: Vec<Package>,
    /// Crates linked into the one program.
    pub crates: Vec<Crate>,
    /// What was built.
    pub outputs: Vec<Item>,
}

/// One file.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Item {
    /// Describes a file with this content.
    pub fn new(path: &str, content: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: content.len() as u64, sha256: sha256(content) }
    }
}

/// Describes every file of the initramfs.
pub fn items(archive: &Archive) -> impl Iterator<Item = Item> {
    archive.files().map(|(path, bytes)| Item::new(path, bytes))
}

impl Bill {
    /// As a page for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        line(format!("Twinmail {} for {}, Linux {}", self.version, self.board, self.kernel));
        line(String::new());
        line(format!("Files ({}):", self.files.len()));
        for item in &self.files {
            line(format!("  {:>10}  {}", size(item.bytes), item.path));
        }
        line(String::new());
        line("From Debian:".into());
        for package in &self.debian {
            line(format!(
                "  {} {} ({}): {}",
                package.package, package.version, package.licence, package.gives
            ));
        }
        line(String::new());
        line(format!("Linked into the one program ({} crates):", self.crates.len()));
        for found in &self.crates {
            line(format!("  {} {} ({})", found.name, found.version, found.licence));
        }
        line(String::new());
        for item in &self.outputs {
            line(format!("  {:>10}  {}  {}", size(item.bytes), &item.sha256[..16], item.path));
        }
        let percent = self.slot_bytes * 100 / self.slot_budget_bytes;
        let (used, budget) = (size(self.slot_bytes), size(self.slot_budget_bytes));
        line(format!("One slot: {used} of {budget} ({percent} %)"));
        out
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1024 * 1024 {
        format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20)
    } else {
        format!("{} KiB", bytes.div_ceil(1024))
    }
}
