//! The board file: what one supported piece of hardware is made of.
//!
//! One TOML file per hardware, in `board/` of the source tree and at `/etc/board.toml` in the box.
//! It names kernel modules, which port is what, which network card is public or private, the
//! watchdog and the array's host adapter. The image builder, init, the cluster service and the
//! panel all read the same file through this crate.
//!
//! It never holds anything an administrator decides: that is in the `settings` crate.
//!
//! A [`Board`] that exists has been checked: no port has two uses, every name is usable.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where the board file lives inside the box.
pub const BOARD_PATH: &str = "/etc/board.toml";

/// Longest list of kernel modules a board may name.
pub const MODULES_MAX: usize = 64;

/// Longest list of kernel arguments a board may name.
pub const KERNEL_ARGUMENTS_MAX: usize = 32;

/// One supported piece of hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Short name, for example `qemu-q35`; the same as the file's name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Kernel module names, loaded in this order; what they depend on comes along by itself.
    pub modules: Vec<String>,
    /// What this hardware adds to the kernel's command line, one argument each.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// Serial ports by use.
    pub serial: SerialPorts,
    /// Network cards by use.
    pub network: NetworkCards,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// The host adapter that leads to the array.
    pub array: HostAdapter,
    /// The display on the front.
    pub lcd: Lcd,
}

/// Serial ports by use, as device paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialPorts {
    /// Where an administrator plugs in: 115200 baud, VT100.
    pub console: PathBuf,
    /// The null-modem cable to the other box.
    pub heartbeat: PathBuf,
    /// Line speed of the heartbeat port in baud.
    #[serde(default = "default_heartbeat_baud")]
    pub heartbeat_baud: u32,
    /// The packet LCD; absent where the chassis has none.
    pub lcd: Option<PathBuf>,
    /// The GSM modem; absent where the chassis has none.
    pub modem: Option<PathBuf>,
}

fn default_heartbeat_baud() -> u32 {
    115_200
}

/// Network cards by use, as kernel interface names chosen by PCI path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkCards {
    /// The card that faces the clients.
    pub public: NetworkCard,
    /// The card with the cross-over cable to the other box.
    pub private: NetworkCard,
}

/// How one network card is found: its place on the PCI bus, which a kernel update cannot change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkCard {
    /// PCI address as in sysfs, for example `0000:00:03.0`.
    pub pci: String,
    /// Name the interface gets in this box.
    pub name: String,
}

/// The hardware watchdog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Its device node.
    pub device: PathBuf,
    /// The time-out asked for, in milliseconds; the driver answers with what it really uses.
    pub timeout_ms: u32,
}

/// The host adapter that leads to the array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAdapter {
    /// Kernel driver name as in `/sys/class/scsi_host/host*/proc_name`.
    pub driver: String,
}

/// The display on the front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lcd {
    /// Which display is built in.
    pub model: LcdModel,
}

/// Which display is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LcdModel {
    /// Crystalfontz 635: 20 columns, 4 rows, 115200 baud.
    #[serde(rename = "cfa635")]
    Cfa635,
    /// Crystalfontz 633: 16 columns, 2 rows, 19200 baud.
    #[serde(rename = "cfa633")]
    Cfa633,
    /// Crystalfontz 631: 20 columns, 2 rows, 115200 baud.
    #[serde(rename = "cfa631")]
    Cfa631,
    /// No display.
    #[serde(rename = "none")]
    None,
}

/// Why a board file is refused; each is a sentence to the administrator.
#[derive(Debug, Error)]
pub enum BoardError {
    /// The file cannot be read.
    #[error("the board file {path} cannot be read: {source}")]
    Unreadable {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not TOML of the board's form.
    #[error("the board file is not valid: {0}")]
    Malformed(#[from] toml::de::Error),
    /// Two uses share one port.
    #[error("the board file gives the serial port {port} two uses, {first} and {second}; give each its own")]
    PortUsedTwice {
        /// The port.
        port: PathBuf,
        /// First use.
        first: &'static str,
        /// Second use.
        second: &'static str,
    },
    /// Public and private network are the same card.
    #[error("the board file names the same network card {0} as public and as private")]
    CardUsedTwice(String),
    /// A name that the kernel could not use.
    #[error("the board file has an unusable {what}: {value:?}")]
    BadName {
        /// What kind of name.
        what: &'static str,
        /// The value found.
        value: String,
    },
    /// More modules than a box can have.
    #[error("the board file names {0} kernel modules; at most {MODULES_MAX} are allowed")]
    TooManyModules(usize),
    /// More kernel arguments than a command line should carry.
    #[error("the board file names {0} kernel arguments; at most {KERNEL_ARGUMENTS_MAX} are allowed")]
    TooManyKernelArguments(usize),
    /// The watchdog's time-out cannot work.
    #[error("the board file asks for a watchdog of {0} ms; choose between 1000 and 60000")]
    WatchdogTimeout(u32),
}

impl Board {
    /// Reads and checks the board file at `path`.
    pub fn load(path: &Path) -> Result<Self, BoardError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BoardError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Parses and checks the text of a board file.
    pub fn parse(text: &str) -> Result<Self, BoardError> {
        let board: Self = toml::from_str(text)?;
        board.check()?;
        Ok(board)
    }

    fn check(&self) -> Result<(), BoardError> {
        check_name("board name", &self.name)?;
        if self.modules.len() > MODULES_MAX {
            return Err(BoardError::TooManyModules(self.modules.len()));
        }
        for module in &self.modules {
            check_name("kernel module name", module)?;
        }
        if self.kernel_arguments.len() > KERNEL_ARGUMENTS_MAX {
            return Err(BoardError::TooManyKernelArguments(self.kernel_arguments.len()));
        }
        for argument in &self.kernel_arguments {
            if argument.is_empty() || !argument.chars().all(|c| c.is_ascii_graphic()) {
                return Err(BoardError::BadName { what: "kernel argument", value: argument.clone() });
            }
        }
        self.check_ports()?;
        let (public, private) = (&self.network.public, &self.network.private);
        if public.pci == private.pci || public.name == private.name {
            return Err(BoardError::CardUsedTwice(public.pci.clone()));
        }
        for card in [public, private] {
            check_name("network interface name", &card.name)?;
            if card.name.len() > 15 {
                return Err(BoardError::BadName { what: "network interface name", value: card.name.clone() });
            }
        }
        if !(1_000..=60_000).contains(&self.watchdog.timeout_ms) {
            return Err(BoardError::WatchdogTimeout(self.watchdog.timeout_ms));
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), BoardError> {
        let ports = [
            ("console", Some(&self.serial.console)),
            ("heartbeat", Some(&self.serial.heartbeat)),
            ("lcd", self.serial.lcd.as_ref()),
            ("modem", self.serial.modem.as_ref()),
        ];
        for (i, (second, port)) in ports.iter().enumerate() {
            let Some(port) = port else { continue };
            if let Some((first, _)) = ports[..i].iter().find(|(_, other)| *other == Some(port)) {
                return Err(BoardError::PortUsedTwice { port: (*port).clone(), first, second });
            }
        }
        Ok(())
    }
}

fn check_name(what: &'static str, value: &str) -> Result<(), BoardError> {
    let usable = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if value.is_empty() || !value.chars().all(usable) {
        return Err(BoardError::BadName { what, value: value.to_owned() });
    }
    Ok(())
}

impl LcdModel {
    /// Columns and rows of the glass.
    pub fn size(self) -> (u8, u8) {
        match self {
            Self::Cfa635 => (20, 4),
            Self::Cfa633 => (16, 2),
            Self::Cfa631 => (20, 2),
            Self::None => (0, 0),
        }
    }

    /// Line speed in baud.
    pub fn baud(self) -> u32 {
        match self {
            Self::Cfa633 => 19_200,
            Self::Cfa635 | Self::Cfa631 | Self::None => 115_200,
        }
    }
}

impl fmt::Display for LcdModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cfa635 => "cfa635",
            Self::Cfa633 => "cfa633",
            Self::Cfa631 => "cfa631",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: &str = include_str!("../../../board/qemu-q35.toml");

    #[test]
    fn the_shipped_board_file_is_valid() {
        let board = Board::parse(QEMU).unwrap();
        assert_eq!(board.name, "qemu-q35");
        assert_eq!(board.lcd.model.size(), (20, 4));
    }

    #[test]
    fn a_port_with_two_uses_is_refused_by_name() {
        let text = QEMU.replace("/dev/ttyS2", "/dev/ttyS1");
        let error = Board::parse(&text).unwrap_err().to_string();
        assert!(error.contains("/dev/ttyS1"), "{error}");
        assert!(error.contains("heartbeat") && error.contains("lcd"), "{error}");
    }

    #[test]
    fn one_card_for_both_networks_is_refused() {
        let board = Board::parse(QEMU).unwrap();
        let text = QEMU.replace(&board.network.private.pci, &board.network.public.pci);
        assert!(matches!(Board::parse(&text), Err(BoardError::CardUsedTwice(_))));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = format!("flavour = \"x\"\n{QEMU}");
        let error = Board::parse(&text).unwrap_err().to_string();
        assert!(error.contains("flavour"), "{error}");
    }

    #[test]
    fn a_module_name_that_is_a_path_is_refused() {
        let text = QEMU.replace("\"virtio_net\"", "\"../virtio_net\"");
        assert!(matches!(Board::parse(&text), Err(BoardError::BadName { .. })));
    }

    #[test]
    fn a_kernel_argument_is_one_word() {
        let text = QEMU.replace("\"tsc=reliable\"", "\"quiet init=/bin/sh\"");
        assert!(matches!(Board::parse(&text), Err(BoardError::BadName { what: "kernel argument", .. })));
    }

    #[test]
    fn a_watchdog_that_could_never_fire_in_time_is_refused() {
        let text = QEMU.replace("timeout_ms = 2000", "timeout_ms = 600000");
        assert!(matches!(Board::parse(&text), Err(BoardError::WatchdogTimeout(600_000))));
    }
}
