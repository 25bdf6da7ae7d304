//! The house rules. Each failure names file, line and what to do.

use std::collections::BTreeSet;
use std::path::Path;

use tidy::{SourceFile, root, tracked_files};

/// A file longer than this is two files.
const FILE_LINES_MAX: usize = 650;

/// What the top level may hold.
const TOP_LEVEL: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "board",
    "firmware",
    "image",
    "tests",
    "rust-toolchain.toml",
];

/// Crates that decide and parse: they know no runtime, no socket, no file.
const CORES: [&str; 8] = ["alarm", "cluster", "link", "message", "pop3", "sasl", "smtp", "imap/src/parse"];

fn check(rule: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{rule}:\n  {}\n", faults.join("\n  "));
}

fn find(files: &[SourceFile], mut wrong: impl FnMut(&SourceFile, &str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            if wrong(file, line) {
                faults.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    faults
}

fn rust_files() -> Vec<SourceFile> {
    tracked_files().into_iter().filter(SourceFile::is_rust).collect()
}

#[test]
fn files_stay_short_enough_to_read() {
    let long = rust_files().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.path))
    });
    check("a Rust file has at most 650 lines; split it by noun", long.collect());
}

#[test]
fn the_top_level_holds_only_what_was_agreed() {
    let found: BTreeSet<_> =
        tracked_files().iter().filter_map(|file| file.path.split('/').next().map(str::to_owned)).collect();
    let strangers =
        found.into_iter().filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()));
    check("a new thing belongs under firmware, image, board or tests", strangers.collect());
}

#[test]
fn no_folder_is_deeper_than_a_module() {
    let deep = tracked_files().into_iter().filter(|file| {
        file.path.starts_with("firmware/") && file.is_rust() && file.path.split('/').count() > 5
    });
    check("firmware/<crate>/src/<module>/<file>.rs is the deepest", deep.map(|file| file.path).collect());
}

#[test]
fn every_room_says_what_it_is_for() {
    let silent = rust_files().into_iter().filter(|file| {
        let front = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
        let opening = file.text.lines().take_while(|line| line.starts_with("//!"));
        let paragraphs = opening.filter(|line| line.trim() == "//!").count() + 1;
        front && file.path.starts_with("firmware/") && paragraphs < 3
    });
    let rule = "lib.rs opens with what the room is for, what it never does, what always holds";
    check(rule, silent.map(|file| file.path).collect());
}

#[test]
fn nothing_is_left_half_done() {
    let marks =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X ")];
    let ignored = concat!("#[ign", "ore");
    let wrong =
        |_: &SourceFile, line: &str| marks.iter().any(|mark| line.contains(mark)) || line.contains(ignored);
    check("finish it or leave it out", find(&rust_files(), wrong));
}

#[test]
fn no_room_is_called_after_nothing() {
    let empty = ["utils", "util", "helpers", "common", "misc", "manager"];
    let vague = rust_files().into_iter().filter(|file| {
        let mut parts = file.path.split('/').map(|part| part.trim_end_matches(".rs"));
        parts.any(|part| empty.contains(&part))
    });
    check("a module is a noun of the field", vague.map(|file| file.path).collect());
}

#[test]
fn cores_know_no_runtime_no_socket_and_no_file() {
    let words = ["tokio", "std::net::Tcp", "std::net::Udp", "std::fs", "std::os::unix::net", "std::thread"];
    let core = |path: &str| {
        CORES.iter().any(|name| path.starts_with(&format!("firmware/{name}/")) && path.contains("/src/"))
            && !path.contains("tests")
    };
    let wrong = |file: &SourceFile, line: &str| {
        core(&file.path)
            && !line.trim_start().starts_with("//")
            && words.iter().any(|word| line.contains(word))
    };
    check("a core takes events and gives actions; its shell does the rest", find(&rust_files(), wrong));
}

#[test]
fn versions_are_decided_in_one_place() {
    let files = tracked_files();
    let manifests: Vec<_> = files
        .into_iter()
        .filter(|f| f.path.contains('/') && f.path.ends_with("Cargo.toml") && !f.path.contains("fuzz"))
        .collect();
    let mut faults = find(&manifests, |_, line| {
        let value = line.split_once('=').map(|(_, value)| value.trim());
        let pinned =
            value.is_some_and(|v| v.starts_with('"') && v[1..].starts_with(|c: char| c.is_ascii_digit()));
        pinned || line.contains("version = \"")
    });
    for manifest in &manifests {
        if !manifest.text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{}: does not take the workspace's lints", manifest.path));
        }
    }
    check("every version and every lint is in the workspace's Cargo.toml", faults);
}

#[test]
fn the_product_is_never_built_with_rules_out_of_force() {
    let files = tracked_files();
    let manifests: Vec<_> = files
        .into_iter()
        .filter(|f| f.path.ends_with("Cargo.toml") && f.path != "firmware/cluster/Cargo.toml")
        .filter(|f| !f.path.starts_with("tests/sim/") && !f.path.starts_with("tests/proof/"))
        .collect();
    let faults = find(&manifests, |_, line| line.contains("checking"));
    check("only the simulator and the exhaustive check may take rules out of force", faults);
    let cluster = std::fs::read_to_string(root().join("firmware/cluster/Cargo.toml")).unwrap();
    assert!(!cluster.contains("default = ["), "no feature of the decision core is on by itself");
}

#[test]
fn only_named_rooms_may_be_unsafe() {
    let named = [
        "firmware/array/",
        "firmware/init/",
        "firmware/address/",
        "firmware/cluster-service/",
        "firmware/store/src/writeback.rs",
        "tests/lab/",
    ];
    let allowed = |path: &str| named.iter().any(|name| path.starts_with(name));
    let opening = concat!("allow(unsafe", "_code)");
    let mut faults = find(&rust_files(), |file, line| line.contains(opening) && !allowed(&file.path));
    for file in rust_files().iter().filter(|file| file.text.contains(opening)) {
        let blocks = file.text.matches(concat!("unsa", "fe {")).count();
        let reasons = file.text.matches("SAFETY:").count();
        if reasons < blocks {
            faults.push(format!("{}: {blocks} unsafe blocks, {reasons} SAFETY comments", file.path));
        }
    }
    check("unsafe code lives in few rooms, each block with its SAFETY comment", faults);
}

#[test]
fn pages_link_only_to_what_is_there() {
    let mut faults = Vec::new();
    for page in
        tracked_files().iter().filter(|file| Path::new(&file.path).extension().is_some_and(|end| end == "md"))
    {
        let folder = root().join(Path::new(&page.path).parent().unwrap_or(Path::new("")));
        for (number, line) in page.lines() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or("");
                let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
                if !outside && !folder.join(target).exists() {
                    faults.push(format!("{}:{number}: {link}", page.path));
                }
            }
        }
    }
    check("a link leads somewhere", faults);
}

#[test]
fn every_entry_point_of_the_makefile_is_explained() {
    let text = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let phony: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY:"))
        .flat_map(str::split_whitespace)
        .collect();
    let inner = ["binary", "lab-binary", "deps", "deps-bench", "toolchain"];
    let silent = phony.into_iter().filter(|name| {
        !inner.contains(name)
            && !text.lines().any(|l| l.starts_with(&format!("{name}:")) && l.contains("## "))
    });
    check("a target has its `## help`", silent.map(str::to_owned).collect());
}
