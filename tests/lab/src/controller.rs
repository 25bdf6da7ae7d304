//! The boxes' management controllers (`cargo lab up --controllers`): OpenIPMI's simulator, one a box, as
//! QEMU's external BMC. A box has its reset line from it; the other box reaches it on the public network.

use std::fmt;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, LabError, Result};
use crate::parts::{BoxName, HOST_ADDRESS};
use crate::place::Place;
use crate::tool;

/// User with Operator rights.
pub const USER: &str = "fence";
/// Password of that user.
pub const PASSWORD: &str = "rain-in-May";
/// UDP port of box a's controller at [`HOST_ADDRESS`]; that of box b is the next.
const LAN_PORT: u16 = 6231;
/// Where QEMU finds the simulator of box a on the loopback.
const WIRE_PORT: u16 = 9101;

/// What is done to a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Controlling {
    /// It has power.
    On,
    /// It is dead.
    Off,
}

/// One box's controller.
#[derive(Debug)]
pub struct Controller {
    name: BoxName,
    folder: PathBuf,
    log: PathBuf,
    program: Option<Child>,
}

/// Where the other box reaches the controller of this one.
pub fn lan(name: BoxName) -> (Ipv4Addr, u16) {
    (HOST_ADDRESS, LAN_PORT + name.index() as u16)
}

/// What QEMU is told so that the box has a controller.
pub fn arguments(name: BoxName) -> [String; 2] {
    let wire = WIRE_PORT + name.index() as u16;
    [
        format!("-chardev socket,id=controller-wire,host={},port={wire},reconnect=1", Ipv4Addr::LOCALHOST),
        "-device ipmi-bmc-extern,id=controller,chardev=controller-wire -device isa-ipmi-kcs,bmc=controller"
            .into(),
    ]
}

impl Controller {
    /// A dead one.
    pub fn new(name: BoxName, place: &Place) -> Self {
        let folder = place.file(&format!("controller-{name}"));
        let log = place.file(&format!("controller-{name}.log"));
        Self { name, folder, log, program: None }
    }

    /// Gives it power, or takes it away.
    pub fn set(&mut self, what: Controlling) -> Result<()> {
        match what {
            Controlling::On if self.runs() => Ok(()),
            Controlling::On => self.start(),
            Controlling::Off => {
                if let Some(mut program) = self.program.take() {
                    let _ = program.kill();
                    let _ = program.wait();
                }
                Ok(())
            }
        }
    }

    fn runs(&mut self) -> bool {
        self.program.as_mut().is_some_and(|program| matches!(program.try_wait(), Ok(None)))
    }

    fn start(&mut self) -> Result<()> {
        let state = self.folder.join("state");
        fs::create_dir_all(&state).doing(|| format!("{} cannot be made", state.display()))?;
        let write = |name: &str, text: String| {
            fs::write(self.folder.join(name), text)
                .doing(|| format!("the controller's {name} cannot be written"))
        };
        write("lan.conf", self.to_string())?;
        // One management controller that is the box's own, with a system event log.
        write("commands", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n".into())?;
        let log = File::create(&self.log).doing(|| "the controller's log cannot be made".into())?;
        let again = log.try_clone().doing(|| "the controller's log cannot be shared".into())?;
        let program = tool::program("ipmi_sim")
            .current_dir(&self.folder)
            .args(["-n", "-c", "lan.conf", "-f", "commands", "-s", "state"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn();
        self.program = Some(program.map_err(|source| tool::missing("openipmi", source))?);
        Ok(())
    }
}

/// The simulator's configuration.
impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = lan(self.name);
        let wire = WIRE_PORT + self.name.index() as u16;
        writeln!(f, "name \"box-{}\"\nset_working_mc 0x20\n  startlan 1", self.name)?;
        writeln!(f, "    addr {address} {port}\n    priv_limit admin")?;
        for level in ["callback", "user", "operator", "admin"] {
            writeln!(f, "    allowed_auths_{level} none md2 md5 straight")?;
        }
        writeln!(f, "    guid a123456789abcdefa123456789abcd{:02x}\n  endlan", self.name.index())?;
        writeln!(f, "  serial 15 {} {wire} codec VM", Ipv4Addr::LOCALHOST)?;
        writeln!(f, "  user 2 true \"{USER}\" \"{PASSWORD}\" operator 10 none md2 md5 straight")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.set(Controlling::Off);
    }
}

impl crate::lab::Lab {
    /// Gives a controller power, or takes it away.
    pub fn control(&self, name: BoxName, what: Controlling) -> Result<()> {
        match self.controller(name) {
            Some(mut controller) => controller.set(what),
            None => Err(LabError::Refused(
                "the boxes of this lab have no management controllers; `cargo lab up --controllers` gives them"
                    .into(),
            )),
        }
    }
}
