//! Breaks things on purpose, and puts them right.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::array::STRANGERS_PORTAL;
use crate::array::path::Trouble;
use crate::array::stranger::Stranger;
use crate::damage;
use crate::error::{LabError, Result};
use crate::lab::{Lab, role};
use crate::machine::{Machine, Power};
use crate::network;
use crate::parts::{BoxName, Kind, Which};
use crate::phrases;

/// How long an ordered stop may take.
pub const STOP_MAX: Duration = Duration::from_mins(1);
/// What a clock jumps by.
const CLOCK_JUMP: Duration = Duration::from_hours(24);
/// A box that resets again and again comes as far as its services, and no further.
const RESET_EVERY: Duration = Duration::from_secs(5);
/// A panel that is broken by its own prompt may not answer any more.
const PANEL_MAX: Duration = Duration::from_secs(4);

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
            if kind == Kind::ResetLoop {
                let lab = Arc::clone(self);
                thread::spawn(move || lab.reset_again_and_again(name));
            }
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
            Kind::Reset | Kind::ResetLoop => machine.reset()?,
            Kind::Panic => machine.interrupt()?,
            Kind::ClockJump => self.set_clock(name, CLOCK_JUMP)?,
            Kind::WrongClock => {
                self.power_cut(name);
                machine.set_clock_ahead(CLOCK_JUMP.as_secs());
                self.power_on(name)?;
            }
            Kind::TornSettings => {
                self.power_cut(name);
                damage::tear_settings(&self.place.disk(name))?;
                self.power_on(name)?;
            }
            Kind::PowerButton => machine.press_power_button()?,
            Kind::CutSerial => self.cable().set_cut(true),
            Kind::GarbageSerial => self.cable().set_noisy(true),
            Kind::ConsoleSerial => self.cable().set_chatty(true),
            Kind::OneWaySerial => self.cable().set_mute(name, true),
            Kind::CutPrivate => machine.connect_card("private", false)?,
            Kind::CutPublic => machine.connect_card("public", false)?,
            Kind::CutArray => machine.lose_lun()?,
            Kind::LoseAdapter => machine.lose_adapter()?,
            Kind::HangArray
            | Kind::StallArray
            | Kind::HalfOpenPath
            | Kind::SlowArray
            | Kind::UnreadableArray
            | Kind::ReadOnlyArray => self.path(name).set(|trouble| set_trouble(trouble, kind, true)),
            Kind::AddressTaken => network::address_stranger(true)?,
            Kind::ReadOnlyLun => self.array().set_read_only(true)?,
            Kind::ArrayForgets => {
                let mut array = self.array();
                self.record().power_cycle();
                array.power_cycle()?;
            }
            Kind::TornSlot => damage::tear_slots(&self.place.lun())?,
            Kind::StrangerClears => Stranger::arrive(STRANGERS_PORTAL)?.clear()?,
            Kind::StrangerSteals => {
                let mut stranger = Stranger::arrive(STRANGERS_PORTAL)?;
                stranger.steal()?;
                *self.stranger() = Some(stranger);
            }
            Kind::FullSystem if self.faults().contains(&(name, kind)) => {}
            Kind::FullSystem => machine.fill_system_disk(true)?,
            Kind::CorruptSystem => {
                let before = damage::wipe_settings(&self.place.disk(name))?;
                // Done twice, the first time counts.
                self.settings()[name.index()].get_or_insert(before);
            }
            Kind::KillMail => self.drill(name, "kill mail")?,
            Kind::HangMail => self.drill(name, "hang mail")?,
            Kind::ExhaustMail => self.drill(name, "exhaust mail")?,
            Kind::WrongMail => self.drill(name, "refuse mail")?,
            Kind::KillCluster => self.drill(name, "kill cluster")?,
            Kind::HangCluster => self.drill(name, "hang cluster")?,
            Kind::ExhaustCluster => self.drill(name, "exhaust cluster")?,
            Kind::KillPanel => self.drill_the_panel(name, "kill panel")?,
            Kind::HangPanel => self.drill_the_panel(name, "hang panel")?,
            Kind::ExhaustPanel => self.drill_the_panel(name, "exhaust panel")?,
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
            // Without power it has no clock but the hardware's, which the next start is given.
            Kind::ClockJump if machine.power() == Power::Off => Ok(()),
            Kind::ClockJump => self.set_clock(name, Duration::ZERO),
            Kind::CutSerial => {
                self.cable().set_cut(false);
                Ok(())
            }
            Kind::GarbageSerial => {
                self.cable().set_noisy(false);
                Ok(())
            }
            Kind::ConsoleSerial => {
                self.cable().set_chatty(false);
                Ok(())
            }
            Kind::OneWaySerial => {
                self.cable().set_mute(name, false);
                Ok(())
            }
            Kind::CutPrivate => machine.connect_card("private", true),
            Kind::CutPublic => machine.connect_card("public", true),
            Kind::CutArray => self.plug_again(name, kind, Machine::find_lun),
            Kind::LoseAdapter => self.plug_again(name, kind, Machine::find_adapter),
            Kind::HangArray
            | Kind::StallArray
            | Kind::HalfOpenPath
            | Kind::SlowArray
            | Kind::UnreadableArray
            | Kind::ReadOnlyArray => {
                self.path(name).set(|trouble| set_trouble(trouble, kind, false));
                Ok(())
            }
            Kind::AddressTaken => network::address_stranger(false),
            Kind::ReadOnlyLun => self.array().set_read_only(false),
            Kind::FullSystem => machine.fill_system_disk(false),
            Kind::CorruptSystem => {
                let before = self.settings()[name.index()].take();
                before.map_or(Ok(()), |before| damage::restore_settings(&self.place.disk(name), &before))
            }
            Kind::StrangerSteals => {
                if let Some(stranger) = self.stranger().take() {
                    stranger.leave();
                }
                Ok(())
            }
            // The others do not last; a reset loop ends when it is no longer on the list.
            _ => Ok(()),
        }
    }

    /// Plugs the array in again. A command that the host adapter can neither finish nor give up keeps the old
    /// plug in its place; then a technician switches the box off and on.
    fn plug_again(&self, name: BoxName, kind: Kind, plug: impl Fn(&Machine) -> Result<()>) -> Result<()> {
        match plug(self.machine(name)) {
            Err(LabError::Qmp { .. }) => {
                self.power_cut(name);
                // A box that gets power finds what is plugged in.
                self.faults().remove(&(name, kind));
                self.power_on(name)
            }
            result => result,
        }
    }

    /// An administrator sets the clock, ahead of the right time by so much.
    fn set_clock(&self, name: BoxName, ahead: Duration) -> Result<()> {
        let time = humantime::format_rfc3339_seconds(SystemTime::now() + ahead);
        self.console(name).query(&format!("clock set {time} --json")).map(drop)
    }

    /// An administrator's readiness drill.
    fn drill(&self, name: BoxName, what: &str) -> Result<()> {
        self.console(name).query(&format!("drill {what} --json")).map(drop)
    }

    /// The same for the service that takes the order itself: no answer is the best one.
    fn drill_the_panel(&self, name: BoxName, what: &str) -> Result<()> {
        match self.console(name).command_within(&format!("drill {what} --json"), PANEL_MAX) {
            Ok(_) | Err(LabError::ConsoleSilent { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn reset_again_and_again(&self, name: BoxName) {
        loop {
            thread::sleep(RESET_EVERY);
            if !self.faults().contains(&(name, Kind::ResetLoop)) {
                return;
            }
            let _ = self.machine(name).reset();
        }
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

fn set_trouble(trouble: &mut Trouble, kind: Kind, on: bool) {
    match kind {
        Kind::HangArray => trouble.hung = on,
        Kind::StallArray => trouble.stalled = on,
        Kind::HalfOpenPath => trouble.deaf = on,
        Kind::SlowArray => trouble.slow = on,
        Kind::UnreadableArray => trouble.unreadable = on,
        Kind::ReadOnlyArray => trouble.write_protected = on,
        _ => {}
    }
}

/// Cables and disks that QEMU plugs and pulls; a box without power finds them as they are when it starts.
fn is_cable_of_a_card(kind: Kind) -> bool {
    matches!(kind, Kind::CutPrivate | Kind::CutPublic | Kind::CutArray | Kind::LoseAdapter | Kind::FullSystem)
}
