//! Programs of the host that the builder runs.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::Command;

use crate::error::ImageError;

/// Runs `program` of Debian package `package` and gives its output.
pub fn output<A: AsRef<OsStr>>(
    program: &'static str,
    package: &'static str,
    arguments: &[A],
) -> Result<Vec<u8>, ImageError> {
    run(program, package, Command::new(program).args(arguments))
}

/// Runs a prepared command and gives its output.
pub fn run(
    program: &'static str,
    package: &'static str,
    command: &mut Command,
) -> Result<Vec<u8>, ImageError> {
    let result = command.env("LC_ALL", "C").output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => ImageError::NoProgram { program, package },
        _ => ImageError::ProgramFailed { program, said: error.to_string() },
    })?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr).trim().to_owned();
        let said = if said.is_empty() { result.status.to_string() } else { said };
        return Err(ImageError::ProgramFailed { program, said });
    }
    Ok(result.stdout)
}

/// The same, as text.
pub fn text<A: AsRef<OsStr>>(
    program: &'static str,
    package: &'static str,
    arguments: &[A],
) -> Result<String, ImageError> {
    output(program, package, arguments).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
