//! The house rules, as a test.
//!
//! Rules that a reviewer would have to repeat are kept by a machine instead: how long a file may
//! grow, which crate may know which, what a page may link to, what never belongs in the tree.
//!
//! It reads files that git tracks, and nothing else; it changes nothing.
//!
//! The rules themselves are in `tests/rules.rs`; here is only how the tree is read.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One tracked text file.
pub struct SourceFile {
    /// Path from the root of the tree, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Lines with their numbers from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The root of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the tree has a root")
}

/// Every text file that git tracks or would track.
pub fn tracked_files() -> Vec<SourceFile> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(SourceFile { path: path.to_owned(), text })
    };
    names.split_terminator('\0').filter_map(read).collect()
}
