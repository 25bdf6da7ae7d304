//! Why the lab could not do something; each is a sentence that says what to do.

use std::path::PathBuf;

use thiserror::Error;

use crate::parts::BoxName;

/// Why the lab could not do something.
#[derive(Debug, Error)]
pub enum LabError {
    /// A file, socket or process failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that the lab starts is not installed.
    #[error("{program} is not installed; `make deps` installs what the lab needs")]
    NotInstalled {
        /// Its name.
        program: String,
    },
    /// A program that the lab starts failed.
    #[error("{program} failed: {said}")]
    Tool {
        /// Its name.
        program: String,
        /// The last thing it said.
        said: String,
    },
    /// A forwarded port is in use.
    #[error(
        "port {port} of the loopback interface is in use, perhaps by another lab; end that one with `cargo lab down`, or choose other ports with --ports-base"
    )]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The kernel does not let this user make namespaces.
    #[error(
        "this system does not let you make network namespaces without being root ({source}); run the lab as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, or on newer systems sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    )]
    NoNamespaces {
        /// What the system said.
        source: std::io::Error,
    },
    /// The tun device cannot be opened.
    #[error(
        "/dev/net/tun cannot be opened ({source}); run the lab as root, or as root once: modprobe tun && chmod 0666 /dev/net/tun"
    )]
    NoTun {
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no box image.
    #[error("there is no box image in {}; make it with `make image`", dir.display())]
    NoImage {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// No lab is running.
    #[error("no lab is running; start one with `cargo lab up`")]
    NotRunning,
    /// The lab ended while it was asked something.
    #[error("the lab ended while it was at work; its last words are in {}", log.display())]
    Ended {
        /// The daemon's log.
        log: PathBuf,
    },
    /// A box is switched off.
    #[error("box {0} has no power; `cargo lab heal {0}` gives it back")]
    PowerOff(BoxName),
    /// A box's console did not say what was waited for.
    #[error("the console of box {name} did not show {wanted:?} within {seconds} s; it ends with:\n{seen}")]
    ConsoleSilent {
        /// The box.
        name: BoxName,
        /// What was waited for.
        wanted: String,
        /// How long.
        seconds: u64,
        /// The last lines.
        seen: String,
    },
    /// A box asks the wizard's questions.
    #[error("box {0} has no settings, its console asks for them; `cargo lab up` answers on a new box")]
    NotSetUp(BoxName),
    /// Somebody is attached to the console.
    #[error("somebody is attached to the console of box {0}; leave it first with Ctrl-]")]
    ConsoleTaken(BoxName),
    /// A box answered on its console with something else than what was asked for.
    #[error("box {name} answered `{command}` with: {said}")]
    Unexpected {
        /// The box.
        name: BoxName,
        /// The command.
        command: String,
        /// The answer.
        said: String,
    },
    /// QEMU refused a command.
    #[error("QEMU of box {name} refused {command}: {said}")]
    Qmp {
        /// The box.
        name: BoxName,
        /// The command.
        command: String,
        /// What QEMU said.
        said: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s{hint}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen instead, beginning with `: `, or nothing.
        hint: String,
    },
    /// A message of the lab's own protocol was not understood.
    #[error(
        "the lab's answer is not understood ({0}); is an older lab still running? `cargo lab down` ends it"
    )]
    Protocol(#[from] serde_json::Error),
    /// What was asked makes no sense; a sentence.
    #[error("{0}")]
    Refused(String),
}

/// Result of the lab's functions.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Adds what was tried to an I/O error.
pub trait Doing<T> {
    /// Adds what was tried.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::Io { what: what(), source: source.into() })
    }
}
