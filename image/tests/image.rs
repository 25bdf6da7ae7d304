//! The image as a whole: the same inputs give the same bytes, and wrong inputs give a sentence.

mod builder;

use std::path::{Path, PathBuf};
use std::process::Output;

use builder::{BOARD, build, firmware_of_make};

const OUTPUTS: [&str; 6] = ["disk.img", "vmlinuz", "vmlinux", "initramfs.img", "cmdline.txt", "bom.json"];

/// Without the firmware any static program will do: the builder itself is one.
fn firmware() -> PathBuf {
    firmware_of_make().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_image")))
}

fn error_of(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_builds_give_the_same_bytes_and_the_bill_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let outs = ["first", "second"].map(|name| dir.path().join(name));
    for out in &outs {
        let output = build(Path::new(BOARD), &firmware(), out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for name in OUTPUTS {
        let [first, second] = outs.each_ref().map(|out| std::fs::read(out.join(name)).unwrap());
        assert!(first == second, "{name} differs between two builds");
    }

    let bill: serde_json::Value =
        serde_json::from_slice(&std::fs::read(outs[0].join("bom.json")).unwrap()).unwrap();
    let paths: Vec<_> =
        bill["files"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap()).collect();
    for needed in ["/init", "/etc/board.toml", "/etc/ssl/certs/ca-certificates.crt", "EFI/BOOT/BOOTX64.EFI"] {
        assert!(paths.contains(&needed), "{needed} is not in the bill");
    }
    assert!(paths.iter().any(|path| path.ends_with("/ext4.ko")));
    assert!(bill["slot_bytes"].as_u64().unwrap() <= bill["slot_budget_bytes"].as_u64().unwrap());
    for package in bill["debian"].as_array().unwrap() {
        assert!(
            !package["version"].as_str().unwrap().is_empty()
                && !package["licence"].as_str().unwrap().is_empty()
        );
    }
}

#[test]
fn a_board_file_with_an_unknown_module_is_refused_by_name_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let board = dir.path().join("board.toml");
    let text = std::fs::read_to_string(BOARD).unwrap().replace("\"sg\"", "\"warp_drive\"");
    std::fs::write(&board, text).unwrap();
    let out = dir.path().join("out");
    let error = error_of(&build(&board, &firmware(), &out));
    assert!(error.contains("warp_drive"), "{error}");
    assert!(!out.join("disk.img").exists());
}

#[test]
fn a_program_that_needs_a_loader_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = error_of(&build(Path::new(BOARD), Path::new("/usr/bin/dpkg"), dir.path()));
    assert!(error.contains("static"), "{error}");
}

#[test]
fn a_slot_over_its_budget_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("big");
    let mut bytes = std::fs::read(firmware()).unwrap();
    // Bytes that do not compress: more than the budget of them.
    let mut state = 0x9E37_79B9_u64;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(42 << 20),
    );
    std::fs::write(&binary, bytes).unwrap();
    let error = error_of(&build(Path::new(BOARD), &binary, &dir.path().join("out")));
    assert!(error.contains("budget"), "{error}");
    assert!(!dir.path().join("out/disk.img").exists());
}
