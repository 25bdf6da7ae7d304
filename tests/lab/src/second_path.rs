//! Two cables between each box and the array (`cargo lab up --paths 2`): a second host adapter with a
//! portal and an iSCSI session of its own, and what can go wrong with either cable.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::parts::{BoxName, Which};

/// How long a plugged-out device may take to be gone before it can be plugged in again.
const REPLUG_MAX: Duration = Duration::from_secs(20);

/// What is done to one cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Cable {
    /// It is pulled: the adapter loses its LUN at once.
    Cut,
    /// Commands stand still on it; they arrive when it is plugged in again, however late.
    Hang,
    /// It is plugged in again.
    Plug,
}

/// Where the second array cable of a box ends.
pub fn portal(name: BoxName) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, 21 + name.index() as u8)
}

/// Device and drive of a box's cable, 1 or 2, and the adapter it is plugged into.
fn names(number: u8) -> (&'static str, &'static str, &'static str) {
    if number == 2 { ("lun-2", "array-2", "hba-2.0") } else { ("lun", "array", "hba.0") }
}

impl Lab {
    /// Does something to an array cable of a box.
    pub fn cable_to_the_array(&self, which: Which, number: u8, what: Cable) -> Result<BoxName> {
        let name = self.find(which)?;
        if number == 0 || number > self.plan.paths {
            return Err(LabError::Refused(format!(
                "this lab has {} array cable(s) a box; `cargo lab up --paths 2` lays two",
                self.plan.paths
            )));
        }
        let path = if number == 2 { self.second_path(name) } else { Some(self.path(name)) };
        match what {
            Cable::Cut => self.machine(name).pull_lun(number)?,
            Cable::Hang => path.into_iter().for_each(|path| path.set(|trouble| trouble.stalled = true)),
            Cable::Plug => {
                path.into_iter().for_each(|path| path.set(|trouble| trouble.stalled = false));
                self.machine(name).plug_lun(number)?;
            }
        }
        Ok(name)
    }
}

impl Machine {
    fn pull_lun(&self, number: u8) -> Result<()> {
        self.execute("device_del", json!({ "id": names(number).0 })).map(drop)
    }

    /// One that is plugged in already is fine.
    fn plug_lun(&self, number: u8) -> Result<()> {
        let (id, drive, bus) = names(number);
        let is_there = self.execute("qom-list", json!({ "path": format!("/machine/peripheral/{id}") }));
        if is_there.is_ok() {
            return Ok(());
        }
        let began = Instant::now();
        let device = json!({ "driver": "scsi-block", "id": id, "drive": drive, "bus": bus });
        while let Err(error) = self.execute("device_add", device.clone()) {
            if began.elapsed() > REPLUG_MAX {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}
