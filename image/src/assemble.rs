//! The steps of a build, in order.

use std::fs;
use std::path::Path;
use std::time::Instant;

use board::Board;

use crate::Build;
use crate::bill::{self, Bill, Item};
use crate::bzimage;
use crate::debian::{self, CERTIFICATES_PACKAGE, CERTIFICATES_PATH, KernelFiles, STUB_PACKAGE, STUB_PATH};
use crate::digest::sha256;
use crate::disk;
use crate::error::{ImageError, OnFile};
use crate::initramfs::{self, Content};
use crate::licences;
use crate::modules::Kernel;
use crate::uki;

/// What kernel, initramfs and stub may take together, in bytes.
const SLOT_BUDGET_BYTES: u64 = 40 * 1024 * 1024;
/// Right for every board. A kernel that has lost its way resets at once: the peer takes over.
const KERNEL_ARGUMENTS: [&str; 10] = [
    "quiet",
    "loglevel=3",
    "panic=1",
    "oops=panic",
    // init's own lines reach the kernel log, and from there a crash dump.
    "printk.devkmsg=on",
    // Nothing here uses them, and each costs start time.
    "audit=0",
    "apparmor=0",
    "rcupdate.rcu_expedited=1",
    "random.trust_cpu=on",
    // The crypto modules were tested when Debian built them.
    "cryptomgr.notests",
];

/// Builds everything and describes it.
pub fn build(arguments: &Build) -> Result<Bill, ImageError> {
    let begun = Instant::now();
    let say = |text: &str| {
        if !arguments.json {
            println!("{:>5} ms  {text}", begun.elapsed().as_millis());
        }
    };
    let board_text = fs::read_to_string(&arguments.board).on(&arguments.board)?;
    let board = Board::parse(&board_text)?;
    let binary = fs::read(&arguments.binary).on(&arguments.binary)?;
    initramfs::check_static(&arguments.binary, &binary)?;
    say(&format!("board {}: {}", board.name, board.description));

    let crates = licences::linked_crates(&workspace())?;
    say(&format!("{} crates linked, licences checked", crates.len()));

    let beside = arguments.out.parent().unwrap_or(Path::new(".")).join("debian");
    let kernel = debian::kernel(arguments.cache.as_deref().unwrap_or(&beside), &say)?;
    let vmlinuz = fs::read(&kernel.vmlinuz).on(&kernel.vmlinuz)?;
    let modules = Kernel::open(&kernel.modules, &kernel.release)?.resolve(&board.modules)?;
    say(&format!("Linux {}, {} modules", kernel.release, modules.len()));

    let (stub, stub_package) =
        debian::installed_file(STUB_PATH, STUB_PACKAGE, "LGPL-2.1-or-later", "EFI stub")?;
    let (certificates, certificates_package) = debian::installed_file(
        CERTIFICATES_PATH,
        CERTIFICATES_PACKAGE,
        "MPL-2.0",
        "certificates of authorities",
    )?;
    let release = release_text(&board, &kernel, &binary);
    let archive = initramfs::archive(Content {
        binary,
        board: board_text,
        release: release.clone(),
        certificates,
        modules: &modules,
        kernel_release: &kernel.release,
    })?;
    let initramfs = archive.encode();
    let packed_initramfs = initramfs::compress(&initramfs)?;
    say("initramfs packed");

    let command_line = command_line(&board);
    let unified = uki::build(
        &stub,
        &[
            (".osrel", os_release().as_bytes()),
            (".cmdline", command_line.as_bytes()),
            (".linux", &vmlinuz),
            (".initrd", &packed_initramfs),
        ],
    )?;
    let slot_bytes = unified.len() as u64;
    if slot_bytes > SLOT_BUDGET_BYTES {
        return Err(ImageError::SlotTooBig { bytes: slot_bytes, budget: SLOT_BUDGET_BYTES });
    }

    fs::create_dir_all(&arguments.out).on(&arguments.out)?;
    let mut outputs = Vec::new();
    let line = format!("{command_line}\n");
    // For a virtual machine kernel and initramfs lie beside the disk unpacked: without an accelerator
    // unpacking them takes longer than the rest of the kernel's start.
    let vmlinux = bzimage::unpack(&vmlinuz, &kernel.vmlinuz)?;
    let parts: [(&str, &[u8]); 4] = [
        ("vmlinuz", &vmlinuz),
        ("vmlinux", &vmlinux),
        ("initramfs.img", &initramfs),
        ("cmdline.txt", line.as_bytes()),
    ];
    for (name, bytes) in parts {
        write(&arguments.out.join(name), bytes)?;
        outputs.push(Item::new(name, bytes));
    }
    let disk_path = arguments.out.join("disk.img");
    disk::write(&disk_path, &unified)?;
    outputs.push(Item::new("disk.img", &fs::read(&disk_path).on(&disk_path)?));
    say("disk written");

    let files = std::iter::once(Item::new("EFI/BOOT/BOOTX64.EFI", &unified)).chain(bill::items(&archive));
    let bill = Bill {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        board: board.name,
        kernel: kernel.release,
        kernel_arguments: command_line,
        slot_bytes,
        slot_budget_bytes: SLOT_BUDGET_BYTES,
        files: files.collect(),
        debian: vec![
            kernel.package,
            stub_package,
            certificates_package,
            debian::installed("e2fsprogs", "GPL-2.0-only", "made the empty file system in the template")?,
            debian::installed("libc6-dev", "LGPL-2.1-or-later", "C library, linked into the one program")?,
        ],
        crates,
        outputs,
    };
    let text = serde_json::to_vec_pretty(&bill).unwrap_or_default();
    write(&arguments.out.join("bom.json"), &text)?;
    Ok(bill)
}

/// A new file takes the place of the old one whole: somebody may be booting from it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).on(&new)?;
    fs::rename(&new, path).on(path)
}

fn workspace() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn command_line(board: &Board) -> String {
    let port =
        board.serial.console.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let console = format!("console={port},115200");
    let general = KERNEL_ARGUMENTS.iter().map(ToString::to_string);
    let words: Vec<String> =
        std::iter::once(console).chain(general).chain(board.kernel_arguments.iter().cloned()).collect();
    words.join(" ")
}

fn release_text(board: &Board, kernel: &KernelFiles, binary: &[u8]) -> String {
    let build = &sha256(binary)[..16];
    let version = env!("CARGO_PKG_VERSION");
    format!("version={version}\nboard={}\nkernel={}\nbuild={build}\n", board.name, kernel.package.version)
}

fn os_release() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("ID=twinmail\nNAME=Twinmail\nVERSION_ID={version}\nPRETTY_NAME=\"Twinmail {version}\"\n")
}
