//! Breaks things on purpose, and puts them right.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::{LabError, Result};
use crate::lab::{Lab, role};
use crate::machine::Power;
use crate::network;
use crate::parts::{BoxName, Kind, Which};
use crate::phrases;

/// How long an ordered stop may take.
pub const STOP_MAX: Duration = Duration::from_mins(1);

impl Lab {
    /// Which box is meant.
    pub fn find(&self, which: Which) -> Result<BoxName> {
        let nobody = || {
            LabError::Refused("no box is active now; see `cargo lab status`, or name the box: a or b".into())
        };
        match which {
            Which::A => Ok(BoxName::A),
            Which::B => Ok(BoxName::B),
            Which::Active => self.active().ok_or_else(nobody),
            Which::Standby => self.active().map(BoxName::other).ok_or_else(nobody),
        }
    }

    /// Breaks something; heals it after a time where that is asked for.
    pub fn fault(
        self: &Arc<Self>,
        which: Which,
        kind: Kind,
        heal_after: Option<Duration>,
    ) -> Result<BoxName> {
        let name = self.find(which)?;
        self.break_it(name, kind)?;
        if kind.lasts() {
            self.faults().insert((name, kind));
            if let Some(after) = heal_after {
                let lab = Arc::clone(self);
                thread::spawn(move || {
                    thread::sleep(after);
                    if let Err(error) = lab.heal(Some(name), Some(kind)) {
                        eprintln!("box {name}: {kind} is not healed: {error}");
                    }
                });
            }
        }
        Ok(name)
    }

    fn break_it(&self, name: BoxName, kind: Kind) -> Result<()> {
        let machine = self.machine(name);
        if machine.power() == Power::Off && is_cable_of_a_card(kind) {
            return Ok(());
        }
        match kind {
            Kind::PowerCut => self.power_cut(name),
            Kind::Freeze => machine.freeze()?,
            Kind::Reset => machine.reset()?,
            Kind::PowerButton => machine.press_power_button()?,
            Kind::CutSerial => self.cable().set_cut(true),
            Kind::GarbageSerial => self.cable().set_noisy(true),
            Kind::CutPrivate => machine.connect_card("private", false)?,
            Kind::CutPublic => machine.connect_card("public", false)?,
            Kind::CutArray => machine.lose_lun()?,
            Kind::HangArray => network::connect_array(name, false)?,
            Kind::KillMail => self.drill(name, "kill mail")?,
            Kind::HangMail => self.drill(name, "hang mail")?,
            Kind::KillCluster => self.drill(name, "kill cluster")?,
            Kind::SwitchOver => self.switch_over(name)?,
        }
        Ok(())
    }

    /// Puts right what was broken; gives what that was.
    pub fn heal(&self, name: Option<BoxName>, kind: Option<Kind>) -> Result<Vec<(BoxName, Kind)>> {
        let wanted = |fault: &(BoxName, Kind)| {
            name.is_none_or(|name| name == fault.0) && kind.is_none_or(|kind| kind == fault.1)
        };
        let found: Vec<_> = self.faults().iter().copied().filter(wanted).collect();
        // Cables first, so that a box that gets power finds them whole.
        let mut in_order = found.clone();
        in_order.sort_by_key(|(_, kind)| matches!(kind, Kind::PowerCut | Kind::PowerButton));
        for (name, kind) in in_order {
            self.mend(name, kind)?;
            self.faults().remove(&(name, kind));
        }
        Ok(found)
    }

    fn mend(&self, name: BoxName, kind: Kind) -> Result<()> {
        let machine = self.machine(name);
        if machine.power() == Power::Off && (kind == Kind::Freeze || is_cable_of_a_card(kind)) {
            return Ok(());
        }
        match kind {
            Kind::PowerCut => self.power_on(name),
            Kind::PowerButton => {
                machine.wait_for_power_off(STOP_MAX)?;
                self.power_on(name)
            }
            Kind::Freeze => machine.thaw(),
            Kind::CutSerial => {
                self.cable().set_cut(false);
                Ok(())
            }
            Kind::GarbageSerial => {
                self.cable().set_noisy(false);
                Ok(())
            }
            Kind::CutPrivate => machine.connect_card("private", true),
            Kind::CutPublic => machine.connect_card("public", true),
            Kind::CutArray => machine.find_lun(),
            Kind::HangArray => network::connect_array(name, true),
            Kind::Reset | Kind::KillMail | Kind::HangMail | Kind::KillCluster | Kind::SwitchOver => Ok(()),
        }
    }

    /// An administrator's readiness drill.
    fn drill(&self, name: BoxName, what: &str) -> Result<()> {
        self.console(name).query(&format!("drill {what} --json")).map(drop)
    }

    /// An administrator's switch-over away from `name`.
    fn switch_over(&self, name: BoxName) -> Result<()> {
        if role(&self.box_status(name)?) != "active" {
            return Err(LabError::Refused(format!(
                "box {name} is not active, so it has nothing to hand over"
            )));
        }
        let words = format!("switch-over --to {} --json", phrases::box_name(name.other()));
        self.console(name).query(&words).map(drop)
    }

    /// Presses both power buttons and waits until both boxes are off.
    pub fn stop_in_order(&self) -> Result<()> {
        for name in BoxName::ALL {
            if self.machine(name).power() == Power::On {
                self.machine(name).press_power_button()?;
                self.faults().insert((name, Kind::PowerButton));
            }
        }
        BoxName::ALL.into_iter().try_for_each(|name| self.machine(name).wait_for_power_off(STOP_MAX))
    }
}

/// Cables that QEMU plugs and pulls; a box without power finds them as they are when it starts.
fn is_cable_of_a_card(kind: Kind) -> bool {
    matches!(kind, Kind::CutPrivate | Kind::CutPublic | Kind::CutArray)
}
