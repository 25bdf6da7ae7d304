//! The initramfs archive: newc entries, sorted by path, owned by root, dated 1970.
//!
//! Format: kernel documentation, "initramfs buffer format".

use std::collections::BTreeMap;

/// Every entry starts at a multiple of this, and so does its data.
const ALIGN: usize = 4;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";

/// What the initramfs will hold, by absolute path.
#[derive(Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Character { mode: u32, major: u32, minor: u32 },
}

impl Archive {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.entries.insert(path.to_owned(), Entry::Directory { mode });
    }

    /// Adds a file; directories above it come by themselves.
    pub fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.parents(path);
        self.entries.insert(path.to_owned(), Entry::File { mode, bytes });
    }

    /// Adds a character device.
    pub fn character(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.parents(path);
        self.entries.insert(path.to_owned(), Entry::Character { mode, major, minor });
    }

    /// Every file with its bytes, in order of path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().filter_map(|(path, entry)| match entry {
            Entry::File { bytes, .. } => Some((path.as_str(), bytes.as_slice())),
            Entry::Directory { .. } | Entry::Character { .. } => None,
        })
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry::Directory { mode: 0o755 });
        }
    }

    /// The archive's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            let name = path.trim_start_matches('/');
            match entry {
                Entry::Directory { mode } => {
                    append(
                        &mut out,
                        &Header { inode: number, mode: DIRECTORY | mode, device: (0, 0) },
                        name,
                        &[],
                    );
                }
                Entry::File { mode, bytes } => {
                    append(
                        &mut out,
                        &Header { inode: number, mode: REGULAR | mode, device: (0, 0) },
                        name,
                        bytes,
                    );
                }
                Entry::Character { mode, major, minor } => {
                    let header = Header { inode: number, mode: CHARACTER | mode, device: (*major, *minor) };
                    append(&mut out, &header, name, &[]);
                }
            }
        }
        append(&mut out, &Header { inode: 0, mode: 0, device: (0, 0) }, TRAILER, &[]);
        out
    }
}

struct Header {
    inode: u32,
    mode: u32,
    device: (u32, u32),
}

fn append(out: &mut Vec<u8>, header: &Header, name: &str, data: &[u8]) {
    let (owner, group, links, time) = (0, 0, 1, 0);
    let (major, minor) = header.device;
    let name_bytes = name.len() as u32 + 1;
    let check = 0;
    let fields = [
        header.inode,
        header.mode,
        owner,
        group,
        links,
        time,
        data.len() as u32,
        0,
        0,
        major,
        minor,
        name_bytes,
        check,
    ];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08X}").as_bytes());
    }
    out.extend(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend(data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_with_parents_first_and_end_with_the_trailer() {
        let mut archive = Archive::default();
        archive.file("/etc/ssl/b", 0o644, b"xyz".to_vec());
        archive.directory("/data", 0o755);
        let bytes = archive.encode();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("data\0") < at("etc\0") && at("etc\0") < at("etc/ssl\0"));
        assert!(at("etc/ssl\0") < at("etc/ssl/b\0") && at("etc/ssl/b\0") < at(TRAILER));
        assert_eq!(bytes.len() % ALIGN, 0);
    }

    #[test]
    fn an_entry_is_as_the_kernel_documents_it() {
        let mut archive = Archive::default();
        archive.character("/console", 0o600, 5, 1);
        let text = String::from_utf8(archive.encode()).unwrap();
        let expected = "070701000000010000218000000000000000000000000100000000000000000000000000000000\
                        00000005000000010000000800000000console\0";
        assert!(text.starts_with(expected), "{text}");
    }
}
