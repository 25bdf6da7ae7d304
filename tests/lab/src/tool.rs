//! Runs the programs of other people: `ip`, `tgtadm`, `e2fsck`.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::{Doing, LabError, Result};

/// A program with the system's sbin folders in its search path, which users often lack.
pub fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    command
}

/// Runs a program and gives what it printed, whatever its exit status.
pub fn output<S: AsRef<OsStr>>(name: &str, arguments: &[S], input: &str) -> Result<Output> {
    let mut command = program(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| missing(name, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).doing(|| format!("{name} does not read"))?;
    }
    child.wait_with_output().doing(|| format!("{name} was lost"))
}

/// Runs a program that must succeed.
pub fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S], input: &str) -> Result<String> {
    let output = output(name, arguments, input)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
    Err(LabError::Tool { program: name.into(), said: said.trim().into() })
}

/// Tells a missing program from one that cannot run.
pub fn missing(name: &str, source: std::io::Error) -> LabError {
    if source.kind() == std::io::ErrorKind::NotFound {
        return LabError::NotInstalled { program: name.into() };
    }
    LabError::Io { what: format!("{name} cannot be started"), source }
}
