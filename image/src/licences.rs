//! Which crates the firmware links, and whether their licences let it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::program;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A crate that is linked into the firmware.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself, an SPDX expression.
    pub licence: String,
}

/// Every crate that package `twinmail` of the workspace at `root` links, with a licence that permits it.
pub fn linked_crates(root: &Path) -> Result<Vec<Crate>, ImageError> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["tree", "--locked", "--package", "twinmail", "--target", TARGET]);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}\t{l}"]);
    let text = program::run("cargo", "rustup", &mut command)?;
    let crates = parse(&String::from_utf8_lossy(&text));
    match crates.iter().find(|found| !is_permissive(&found.licence)) {
        Some(found) => {
            let Crate { name, version, licence } = found.clone();
            Err(ImageError::Licence { name, version, licence })
        }
        None => Ok(crates.into_iter().collect()),
    }
}

/// Lines such as `ring v0.17.14<tab>Apache-2.0 AND ISC`, some with ` (path)` or ` (*)` after the version.
fn parse(text: &str) -> BTreeSet<Crate> {
    let line = |line: &str| {
        let (package, licence) = line.split_once('\t')?;
        let mut words = package.split_whitespace();
        let (name, version) = (words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned());
        Some(Crate { name, version, licence: licence.trim_end_matches(" (*)").trim().to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// Whether an SPDX expression can be met with permissive licences only. Older crates write `/` for `OR`.
fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = all_of(rest)?;
    while let Some(("OR", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        *rest = after;
        met |= all_of(rest)?;
    }
    Some(met)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = one(rest)?;
    while let Some(("AND", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        *rest = after;
        met &= one(rest)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    if *first == "(" {
        let met = any_of(rest)?;
        let (closing, after) = rest.split_first()?;
        *rest = after;
        return (*closing == ")").then_some(met);
    }
    if let Some(("WITH", after)) = rest.split_first().map(|(word, after)| (*word, after)) {
        *rest = after.get(1..)?;
    }
    const PERMISSIVE: [&str; 15] = [
        "0BSD",
        "Apache-2.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    Some(PERMISSIVE.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_only_by_permissive_licences() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 AND ISC",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
            "(MIT OR AGPL-3.0-only) AND Unicode-3.0",
        ] {
            assert!(is_permissive(good), "{good}");
        }
        for bad in
            ["GPL-3.0-only", "AGPL-3.0-or-later", "MIT AND GPL-2.0", "", "(MIT", "MIT )", "see LICENSE"]
        {
            assert!(!is_permissive(bad), "{bad}");
        }
    }

    #[test]
    fn crates_are_listed_once_without_marks_and_paths() {
        let text = "twinmail v0.1.0 (/x/y)\tApache-2.0 OR MIT\nring v0.17.14\tApache-2.0 AND ISC\nring v0.17.14\tApache-2.0 AND ISC (*)\n";
        let found: Vec<_> =
            parse(text).into_iter().map(|c| format!("{} {} {}", c.name, c.version, c.licence)).collect();
        assert_eq!(found, ["ring 0.17.14 Apache-2.0 AND ISC", "twinmail 0.1.0 Apache-2.0 OR MIT"]);
    }
}
