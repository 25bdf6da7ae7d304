//! How the tests call the builder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The board of the lab.
pub const BOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../board/qemu-q35.toml");

/// Runs the builder. Debian's kernel is kept between runs, where `make` keeps it.
pub fn build(board: &Path, binary: &Path, out: &Path) -> Output {
    let builder = Path::new(env!("CARGO_BIN_EXE_image"));
    // cargo marks its target folder and the one of the triple inside it.
    let target = builder.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").is_file()).last();
    let cache = target.expect("cargo builds into a target folder").join("debian");
    let mut command = Command::new(builder);
    command.args(["build", "--json", "--board"]).arg(board).arg("--binary").arg(binary);
    command.arg("--out").arg(out).arg("--cache").arg(cache).output().expect("the builder runs")
}

/// The firmware that `make` built, if `make` runs the test.
pub fn firmware_of_make() -> Option<PathBuf> {
    std::env::var_os("TWINMAIL_BINARY").map(PathBuf::from)
}
