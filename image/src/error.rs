//! Why an image could not be built; each is a sentence that says what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an image could not be built.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The board file is refused.
    #[error(transparent)]
    Board(#[from] board::BoardError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of the host is missing.
    #[error("the program {program} is missing; install the Debian package {package}")]
    NoProgram {
        /// What was called.
        program: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// A program of the host failed.
    #[error("{program} failed: {said}")]
    ProgramFailed {
        /// What was called.
        program: &'static str,
        /// Its words.
        said: String,
    },
    /// apt knows no kernel, and none is kept from an earlier build.
    #[error(
        "apt knows no package linux-image-amd64; run `apt-get update`, or check the machine's Debian sources"
    )]
    NoKernel,
    /// The kernel package that arrived is not the one apt's signed lists describe.
    #[error("{path} is not the package apt describes (its SHA-256 differs); remove it and build again")]
    WrongKernel {
        /// The package file.
        path: PathBuf,
    },
    /// The unpacked package is not what a kernel package looks like.
    #[error("{package} holds no kernel under boot/ or no modules under lib/modules/")]
    EmptyKernel {
        /// The package.
        package: String,
    },
    /// The kernel is packed in a way this builder does not know.
    #[error("{path} is not a kernel packed with xz or zstd; remove the kernel cache and build again")]
    BadKernel {
        /// The file.
        path: PathBuf,
    },
    /// A Debian package that gives files to the image is missing.
    #[error("{path} is missing; install the Debian package {package}")]
    NotInstalled {
        /// The file.
        path: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// The board file names a module the kernel does not have.
    #[error(
        "the board file names the kernel module {module:?}, but kernel {kernel} has none of that name; correct `modules`"
    )]
    NoSuchModule {
        /// The name.
        module: String,
        /// Which kernel.
        kernel: String,
    },
    /// A module needs another that is not there.
    #[error(
        "kernel module {module} needs {needs}, which kernel {kernel} does not have; remove the kernel cache and build again"
    )]
    NoSuchDependency {
        /// The module.
        module: String,
        /// What it needs.
        needs: String,
        /// Which kernel.
        kernel: String,
    },
    /// Modules need each other in a ring.
    #[error("kernel module {0} needs itself in the end; remove the kernel cache and build again")]
    CircularModules(String),
    /// A module file is not an ELF object with a `.modinfo`.
    #[error("{path} is not a kernel module; remove the kernel cache and build again")]
    BadModule {
        /// The file.
        path: PathBuf,
    },
    /// The firmware program would need a loader in the box.
    #[error("{path} is not a static x86-64 program; build it with `cargo build --profile image -p twinmail`")]
    NotStatic {
        /// The file.
        path: PathBuf,
    },
    /// The EFI stub is not what it should be.
    #[error("systemd's EFI stub is not an EFI program; reinstall the Debian package systemd-boot-efi")]
    BadStub,
    /// The EFI stub's header is full.
    #[error(
        "systemd's EFI stub has no room for {sections} sections in its header; another version of systemd-boot-efi is needed"
    )]
    NoRoomInStub {
        /// How many there would be.
        sections: usize,
    },
    /// The file system template is refused.
    #[error(transparent)]
    Template(#[from] array::template::TemplateError),
    /// Kernel, initramfs and stub are too big together.
    #[error(
        "one slot takes {bytes} bytes, more than its budget of {budget}; make the firmware or the module list smaller"
    )]
    SlotTooBig {
        /// What it takes.
        bytes: u64,
        /// What it may take.
        budget: u64,
    },
    /// A linked crate has a licence that does not let it be.
    #[error("crate {name} {version} has the licence {licence:?}; only permissive licences may be linked")]
    Licence {
        /// The crate.
        name: String,
        /// Its version.
        version: String,
        /// What it says.
        licence: String,
    },
    /// The FAT file system cannot be made.
    #[error("the boot partition cannot be made: {0}")]
    Fat(io::Error),
    /// The partition table cannot be made.
    #[error("the partition table cannot be made: {0}")]
    Partitions(String),
}

/// Names the file in an input or output error.
pub trait OnFile<T> {
    /// The same result, with `path` in its error.
    fn on(self, path: &Path) -> Result<T, ImageError>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, path: &Path) -> Result<T, ImageError> {
        self.map_err(|source| ImageError::File { path: path.to_owned(), source })
    }
}
