//! Builds the box image: kernel, modules, initramfs, UKI, GPT disk, bill of materials.
//!
//! Everything comes from three places: Debian packages, one board file, one static program. It never
//! needs root, never installs anything, and never puts a clock, a random number or the name of the
//! machine it runs on into an image.
//!
//! The same inputs give the same bytes, and no image is written that is over its budget, names a module
//! that does not exist, or links a crate whose licence forbids it.

mod assemble;
mod bill;
mod bzimage;
mod cpio;
mod debian;
mod digest;
mod disk;
mod error;
mod initramfs;
mod licences;
mod modules;
mod program;
mod uki;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Builds the image that a box boots.
#[derive(Debug, Parser)]
#[command(name = "image", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build disk.img, vmlinuz, vmlinux, initramfs.img, cmdline.txt and bom.json
    Build(Build),
}

/// What to build from, and where to.
#[derive(Debug, Args)]
pub struct Build {
    /// Board file: which hardware the image is for
    #[arg(long, value_name = "FILE")]
    pub board: PathBuf,
    /// The firmware: one static program, built with `cargo build --profile image -p twinmail`
    #[arg(long, value_name = "FILE")]
    pub binary: PathBuf,
    /// Folder for what is built
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder that keeps Debian's kernel between builds [default: `debian` beside the output folder]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the bill of materials as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

fn main() -> ExitCode {
    let Action::Build(build) = Arguments::parse().command;
    match assemble::build(&build) {
        Ok(bill) if build.json => {
            println!("{}", serde_json::to_string_pretty(&bill).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok(bill) => {
            println!("\n{}", bill.text());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("image: {error}");
            ExitCode::FAILURE
        }
    }
}
