//! What comes from Debian: the kernel package, and files of packages installed on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::error::{ImageError, OnFile};
use crate::program;

/// The package that always depends on Debian's newest generic kernel.
const KERNEL_META: &str = "linux-image-amd64";
/// Which kernel the last build used, so that a build without network or apt lists finds it again.
const LAST_KERNEL: &str = "kernel.json";

/// systemd's EFI stub.
pub const STUB_PATH: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Its package.
pub const STUB_PACKAGE: &str = "systemd-boot-efi";
/// Certificates of the public authorities.
pub const CERTIFICATES_PATH: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Their package.
pub const CERTIFICATES_PACKAGE: &str = "ca-certificates";

/// A Debian package that gives bytes to the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Licence of what is taken from it.
    pub licence: String,
    /// What is taken from it.
    pub gives: String,
}

/// The kernel, unpacked.
#[derive(Debug)]
pub struct KernelFiles {
    /// The package it comes from.
    pub package: Package,
    /// `uname -r`.
    pub release: String,
    /// The bootable kernel.
    pub vmlinuz: PathBuf,
    /// Its `lib/modules/<release>`.
    pub modules: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Candidate {
    package: String,
    version: String,
    sha256: String,
}

impl Candidate {
    fn file_name(&self) -> String {
        format!("{}_{}_amd64.deb", self.package, self.version.replace(':', "%3a"))
    }
}

/// Finds, fetches if need be, verifies and unpacks Debian's kernel below `cache`.
pub fn kernel(cache: &Path, say: &dyn Fn(&str)) -> Result<KernelFiles, ImageError> {
    fs::create_dir_all(cache).on(cache)?;
    // Two builds at once share what one of them fetches.
    let lock = cache.join("lock");
    let held = fs::File::create(&lock).on(&lock)?;
    held.lock().on(&lock)?;
    let last = cache.join(LAST_KERNEL);
    let kept = fs::read_to_string(&last).ok().and_then(|text| serde_json::from_str::<Candidate>(&text).ok());
    let candidate = match (newest_candidate(), kept) {
        (Ok(newest), Some(kept)) => reachable(newest, kept, cache, say)?,
        (Ok(newest), None) => fetch(newest, cache, say)?,
        (Err(_), Some(kept)) => {
            say("apt has no package lists; using the kernel of the last build");
            kept
        }
        (Err(error), None) => return Err(error),
    };
    verify(&candidate, cache)?;
    let files = unpack(&candidate, cache, say)?;
    let text = serde_json::to_string_pretty(&candidate).unwrap_or_default();
    fs::write(&last, text).on(&last)?;
    Ok(files)
}

/// The newest kernel if it is here or can be fetched, else the one of the last build.
fn reachable(
    newest: Candidate,
    kept: Candidate,
    cache: &Path,
    say: &dyn Fn(&str),
) -> Result<Candidate, ImageError> {
    match fetch(newest, cache, say) {
        Ok(newest) => Ok(newest),
        Err(error) if cache.join(kept.file_name()).is_file() => {
            say(&format!("{error}; using {} {} of the last build", kept.package, kept.version));
            Ok(kept)
        }
        Err(error) => Err(error),
    }
}

fn newest_candidate() -> Result<Candidate, ImageError> {
    let meta = show(KERNEL_META)?;
    let package =
        field(&meta, "Depends").and_then(|depends| depends.split_whitespace().next().map(str::to_owned));
    let package = package.ok_or(ImageError::NoKernel)?;
    let record = show(&package)?;
    let (Some(version), Some(sha256)) = (field(&record, "Version"), field(&record, "SHA256")) else {
        return Err(ImageError::NoKernel);
    };
    Ok(Candidate { package, version, sha256 })
}

/// apt's record of the version that it would install.
fn show(package: &str) -> Result<String, ImageError> {
    program::text("apt-cache", "apt", &["show", "--no-all-versions", package]).map_err(|error| match error {
        ImageError::ProgramFailed { .. } => ImageError::NoKernel,
        other => other,
    })
}

/// A field of the first paragraph of a control file.
fn field(record: &str, name: &str) -> Option<String> {
    let first = record.split("\n\n").next()?;
    first.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
}

fn fetch(candidate: Candidate, cache: &Path, say: &dyn Fn(&str)) -> Result<Candidate, ImageError> {
    if !cache.join(candidate.file_name()).is_file() {
        say(&format!("fetching {} {} from Debian", candidate.package, candidate.version));
        let wanted = format!("{}={}", candidate.package, candidate.version);
        let mut command = Command::new("apt-get");
        // The cache belongs to whoever builds; apt's own user could not write there.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", &wanted]).current_dir(cache);
        program::run("apt-get", "apt", &mut command)?;
    }
    Ok(candidate)
}

fn verify(candidate: &Candidate, cache: &Path) -> Result<(), ImageError> {
    let path = cache.join(candidate.file_name());
    if sha256(&fs::read(&path).on(&path)?) == candidate.sha256 {
        Ok(())
    } else {
        Err(ImageError::WrongKernel { path })
    }
}

fn unpack(candidate: &Candidate, cache: &Path, say: &dyn Fn(&str)) -> Result<KernelFiles, ImageError> {
    let package = cache.join(candidate.file_name());
    let folder = package.with_extension("");
    if !folder.is_dir() {
        say("unpacking the kernel");
        let half = package.with_extension("half");
        if half.exists() {
            fs::remove_dir_all(&half).on(&half)?;
        }
        let arguments = ["-x".as_ref(), package.as_os_str(), half.as_os_str()];
        program::output("dpkg-deb", "dpkg", &arguments)?;
        fs::rename(&half, &folder).on(&folder)?;
    }
    let empty = || ImageError::EmptyKernel { package: candidate.package.clone() };
    let release = candidate.package.strip_prefix("linux-image-").ok_or_else(empty)?.to_owned();
    let vmlinuz = folder.join("boot").join(format!("vmlinuz-{release}"));
    // Debian 13 moved modules below usr.
    let places = ["lib/modules", "usr/lib/modules"].map(|place| folder.join(place).join(&release));
    let modules = places.into_iter().find(|place| place.is_dir()).ok_or_else(empty)?;
    if !vmlinuz.is_file() {
        return Err(empty());
    }
    let package = Package {
        package: candidate.package.clone(),
        version: candidate.version.clone(),
        licence: "GPL-2.0-only WITH Linux-syscall-note".into(),
        gives: "kernel and modules".into(),
    };
    Ok(KernelFiles { package, release, vmlinuz, modules })
}

/// A file of a package that is installed on this machine, with the package's version.
pub fn installed_file(
    path: &'static str,
    package: &'static str,
    licence: &str,
    gives: &str,
) -> Result<(Vec<u8>, Package), ImageError> {
    let bytes = fs::read(path).map_err(|_| ImageError::NotInstalled { path, package })?;
    Ok((bytes, installed(package, licence, gives)?))
}

/// A package that is installed on this machine.
pub fn installed(package: &'static str, licence: &str, gives: &str) -> Result<Package, ImageError> {
    let version = program::text("dpkg-query", "dpkg", &["-W", "-f", "${Version}", package])?;
    Ok(Package { package: package.into(), version, licence: licence.into(), gives: gives.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_paragraph_counts() {
        let record = "Package: a\nVersion: 6.1.192-2\nDepends: linux-image-x (= 1)\n\nPackage: a\nVersion: 5\nSHA256: f\n";
        assert_eq!(field(record, "Version").as_deref(), Some("6.1.192-2"));
        assert_eq!(field(record, "SHA256"), None);
    }

    #[test]
    fn a_package_that_was_changed_on_the_way_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let candidate = Candidate {
            package: "linux-image-1".into(),
            version: "1:2".into(),
            sha256: sha256(b"what apt promised"),
        };
        assert_eq!(candidate.file_name(), "linux-image-1_1%3a2_amd64.deb");
        let path = dir.path().join(candidate.file_name());
        fs::write(&path, "what apt promised").unwrap();
        assert!(verify(&candidate, dir.path()).is_ok());
        fs::write(&path, "something else").unwrap();
        assert!(matches!(verify(&candidate, dir.path()), Err(ImageError::WrongKernel { .. })));
    }
}
