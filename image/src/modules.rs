//! Which kernel modules go into the image, and in which order init loads them.
//!
//! Debian's package carries no `modules.dep` (the host's depmod makes it after installation), so the
//! same facts are read from where depmod reads them: each module's `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{ImageError, OnFile};
use crate::program;

/// Crypto algorithms are asked for by alias; modules that provide them are in these folders.
const CRYPTO_FOLDERS: [&str; 3] = ["kernel/crypto/", "kernel/arch/x86/crypto/", "kernel/lib/crypto/"];
/// Debian 13 packs module files.
const PACKED: &str = ".xz";
const CRYPTO_ALIAS: &str = "crypto-";

/// The modules of one kernel.
#[derive(Debug)]
pub struct Kernel {
    release: String,
    root: PathBuf,
    files: BTreeMap<String, String>,
    builtin: BTreeSet<String>,
}

/// One module of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Its path below `/lib/modules/<release>/`, never compressed.
    pub path: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// Whether the box does without it where the hardware has none: a faster way to do the same.
    pub optional: bool,
}

impl Kernel {
    /// Reads the names of all modules of kernel `release` below `root`, its `lib/modules/<release>`.
    pub fn open(root: &Path, release: &str) -> Result<Self, ImageError> {
        let order = lines(&root.join("modules.order"))?;
        let builtin = lines(&root.join("modules.builtin"))?;
        let mut files = BTreeMap::new();
        for path in order {
            let stored = ["", PACKED].map(|end| format!("{path}{end}"));
            if let Some(path) = stored.into_iter().find(|path| root.join(path).is_file()) {
                files.insert(module_name(&path), path);
            }
        }
        let builtin = builtin.iter().map(|path| module_name(path)).collect();
        Ok(Self { release: release.to_owned(), root: root.to_owned(), files, builtin })
    }

    /// The `wanted` modules and all they need, in an order in which each can be loaded.
    pub fn resolve(&self, wanted: &[String]) -> Result<Vec<Module>, ImageError> {
        let mut order =
            Order { kernel: self, done: BTreeSet::new(), open: BTreeSet::new(), list: Vec::new() };
        for name in wanted {
            let name = name.replace('-', "_");
            if !self.has(&name) {
                return Err(ImageError::NoSuchModule { module: name, kernel: self.release.clone() });
            }
            order.visit(&name, false)?;
        }
        Ok(order.list)
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.builtin.contains(name)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ImageError> {
        let file = self.root.join(path);
        if path.ends_with(PACKED) {
            return program::output("xz", "xz-utils", &["-dc", &file.display().to_string()]);
        }
        std::fs::read(&file).on(&file)
    }

    fn information(&self, path: &str, bytes: &[u8]) -> Result<Information, ImageError> {
        Information::read(bytes).ok_or_else(|| ImageError::BadModule { path: self.root.join(path) })
    }

    /// Modules that provide what a soft dependency asks for: a module's name or a crypto alias.
    fn providers(&self, wanted: &str) -> Result<Vec<String>, ImageError> {
        let name = wanted.replace('-', "_");
        if self.has(&name) {
            return Ok(vec![name]);
        }
        if !wanted.starts_with(CRYPTO_ALIAS) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let crypto = |path: &str| CRYPTO_FOLDERS.iter().any(|folder| path.starts_with(folder));
        for (name, path) in self.files.iter().filter(|(_, path)| crypto(path)) {
            if self.information(path, &self.read(path)?)?.aliases.iter().any(|alias| alias == wanted) {
                found.push(name.clone());
            }
        }
        Ok(found)
    }
}

struct Order<'a> {
    kernel: &'a Kernel,
    done: BTreeSet<String>,
    open: BTreeSet<String>,
    list: Vec<Module>,
}

impl Order<'_> {
    fn visit(&mut self, name: &str, optional: bool) -> Result<(), ImageError> {
        if self.done.contains(name) || self.kernel.builtin.contains(name) {
            return Ok(());
        }
        if !self.open.insert(name.to_owned()) {
            return Err(ImageError::CircularModules(name.to_owned()));
        }
        let Some(path) = self.kernel.files.get(name) else { return Ok(()) };
        let bytes = self.kernel.read(path)?;
        let information = self.kernel.information(path, &bytes)?;
        for needs in information.depends {
            if !self.kernel.has(&needs) {
                let (module, kernel) = (name.to_owned(), self.kernel.release.clone());
                return Err(ImageError::NoSuchDependency { module, needs, kernel });
            }
            self.visit(&needs, optional)?;
        }
        for soft in information.soft_before {
            for provider in self.kernel.providers(&soft)? {
                self.visit(&provider, true)?;
            }
        }
        self.open.remove(name);
        self.done.insert(name.to_owned());
        let path = path.trim_end_matches(PACKED).to_owned();
        self.list.push(Module { name: name.to_owned(), path, bytes, optional });
        Ok(())
    }
}

/// What a module says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Information {
    depends: Vec<String>,
    soft_before: Vec<String>,
    aliases: Vec<String>,
}

impl Information {
    fn read(module: &[u8]) -> Option<Self> {
        let mut information = Self::default();
        let text = elf_section(module, b".modinfo")?;
        for field in text.split(|byte| *byte == 0) {
            let Some((key, value)) = std::str::from_utf8(field).ok().and_then(|text| text.split_once('='))
            else {
                continue;
            };
            match key {
                "depends" => information.depends.extend(
                    value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")),
                ),
                "softdep" => information.soft_before.extend(soft_before(value)),
                "alias" => information.aliases.push(value.to_owned()),
                _ => {}
            }
        }
        Some(information)
    }
}

/// The names after `pre:` in a soft dependency such as `pre: a b post: c`.
fn soft_before(value: &str) -> Vec<String> {
    let words = value.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
    words.take_while(|word| *word != "post:").map(str::to_owned).collect()
}

/// A section of a 64 bit little-endian ELF file (System V ABI, "Sections").
fn elf_section<'a>(file: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    file.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let u16_at = |at: usize| file.get(at..)?.first_chunk().map(|b| usize::from(u16::from_le_bytes(*b)));
    let u64_at = |at: usize| file.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b) as usize);
    let (table, entry, count, names) = (u64_at(0x28)?, u16_at(0x3A)?, u16_at(0x3C)?, u16_at(0x3E)?);
    let header = |index: usize| table.checked_add(index.checked_mul(entry)?);
    let content = |index: usize| {
        let at = header(index)?;
        let (offset, size) = (u64_at(at + 0x18)?, u64_at(at + 0x20)?);
        file.get(offset..offset.checked_add(size)?)
    };
    let strings = content(names)?;
    (0..count).find_map(|index| {
        let at = header(index)?;
        let name_at = u32::from_le_bytes(*file.get(at..)?.first_chunk()?) as usize;
        let name = strings.get(name_at..)?.split(|byte| *byte == 0).next()?;
        if name == wanted { content(index) } else { None }
    })
}

fn lines(path: &Path) -> Result<Vec<String>, ImageError> {
    Ok(std::fs::read_to_string(path).on(path)?.lines().map(str::to_owned).collect())
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` is the module `virtio_rng`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A module file with nothing but its `.modinfo`.
    fn module(information: &str) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let text = information.replace('|', "\0");
        let (names_at, text_at) = (64_u64, 64 + names.len() as u64);
        let table = text_at + text.len() as u64;
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        for (at, value) in [(0x3A, 64_u16), (0x3C, 3), (0x3E, 2)] {
            file[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        file.extend(names);
        file.extend(text.as_bytes());
        for (name, at, size) in
            [(0_u32, 0, 0), (1, text_at, text.len() as u64), (10, names_at, names.len() as u64)]
        {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&at.to_le_bytes());
            header[0x20..0x28].copy_from_slice(&size.to_le_bytes());
            file.extend(header);
        }
        file
    }

    fn kernel(modules: &[(&str, &str)]) -> (tempfile::TempDir, Kernel) {
        let dir = tempfile::tempdir().unwrap();
        let order: Vec<_> = modules.iter().map(|(path, _)| *path).collect();
        fs::write(dir.path().join("modules.order"), order.join("\n")).unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/drivers/tty/serial/8250/8250.ko\n").unwrap();
        for (path, information) in modules {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, module(information)).unwrap();
        }
        let kernel = Kernel::open(dir.path(), "6.1-test").unwrap();
        (dir, kernel)
    }

    fn names(list: &[Module]) -> Vec<(&str, bool)> {
        list.iter().map(|module| (module.name.as_str(), module.optional)).collect()
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let (_dir, kernel) = kernel(&[
            ("kernel/net/virtio_net.ko", "depends=virtio,net-failover"),
            ("kernel/net/net_failover.ko", "depends=failover"),
            ("kernel/net/failover.ko", "depends="),
            ("kernel/virtio/virtio.ko", "license=GPL"),
        ]);
        let wanted = ["virtio".to_owned(), "virtio-net".to_owned(), "8250".to_owned()];
        let list = kernel.resolve(&wanted).unwrap();
        let expected =
            [("virtio", false), ("failover", false), ("net_failover", false), ("virtio_net", false)];
        assert_eq!(names(&list), expected);
    }

    #[test]
    fn a_crypto_alias_brings_every_provider_as_optional() {
        let (_dir, kernel) = kernel(&[
            ("kernel/fs/ext4/ext4.ko", "softdep=pre: crypto-crc32c post: absent|depends="),
            ("kernel/crypto/crc32c_generic.ko", "alias=crypto-crc32c"),
            ("kernel/arch/x86/crypto/crc32c-intel.ko", "alias=crypto-crc32c|alias=crc32c"),
            ("kernel/crypto/md5.ko", "alias=crypto-md5"),
        ]);
        let list = kernel.resolve(&["ext4".to_owned()]).unwrap();
        assert_eq!(names(&list), [("crc32c_generic", true), ("crc32c_intel", true), ("ext4", false)]);
    }

    #[test]
    fn a_module_that_does_not_exist_is_named() {
        let (_dir, kernel) = kernel(&[("kernel/a.ko", "depends=b")]);
        let error = kernel.resolve(&["warp_drive".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("warp_drive") && error.contains("6.1-test"), "{error}");
        assert!(matches!(kernel.resolve(&["a".to_owned()]), Err(ImageError::NoSuchDependency { .. })));
    }

    #[test]
    fn modules_that_need_each_other_are_refused() {
        let (_dir, kernel) = kernel(&[("kernel/a.ko", "depends=b"), ("kernel/b.ko", "depends=a")]);
        assert!(matches!(kernel.resolve(&["a".to_owned()]), Err(ImageError::CircularModules(_))));
    }

    #[test]
    fn a_file_that_is_no_module_is_refused() {
        let (dir, kernel) = kernel(&[("kernel/a.ko", "depends=")]);
        fs::write(dir.path().join("kernel/a.ko"), b"\x7fELF\x02\x01 but cut").unwrap();
        assert!(matches!(kernel.resolve(&["a".to_owned()]), Err(ImageError::BadModule { .. })));
    }
}
