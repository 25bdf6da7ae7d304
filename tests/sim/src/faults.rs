//! What goes wrong, as the plan says, and how it is put right again.

use cluster::config::LAPSE_MAX_MS;
use cluster::{Command, Event};

use crate::clock::TRUE_RATE;
use crate::host::{Host, Path};
use crate::media::Cable;
use crate::plan::{Kind, Place};
use crate::world::{Due, World};

/// The third initiator, and its key.
const STRANGER: (u32, u64) = (1_000, 0xBAD0_BAD0);
/// How soon after it has begun a step is struck at the latest, in milliseconds.
const INTO_STEP_MS: u64 = 200;

impl World {
    /// A box comes to a step: faults that waited for it strike, now or in the middle of it.
    pub fn reached(&mut self, node: usize, step: &str) {
        let plan = &self.plan;
        let matches = |index: &usize| {
            let moment = plan.faults.get(*index).and_then(|fault| fault.when.as_ref());
            moment.is_some_and(|moment| moment.of == Place::of(node) && moment.step == step)
        };
        let struck: Vec<usize> = self.armed.iter().copied().filter(matches).collect();
        self.armed.retain(|index| !struck.contains(index));
        for index in struck {
            self.coverage.count("struck at a step", step);
            self.plan.faults[index].when = None;
            let ms = self.rng.range(0, INTO_STEP_MS);
            let on = self.plan.faults[index].on as usize;
            self.at(self.now + ms, on, None, Due::Strike(index));
        }
    }

    /// A fault of the plan comes due.
    pub fn strike(&mut self, index: usize) {
        if self.healed_at.is_some() {
            return;
        }
        let fault = self.plan.faults[index].clone();
        if fault.when.is_some() {
            return self.armed.push(index);
        }
        let node = fault.on as usize;
        self.say(node, || format!("FAULT {fault}"));
        if self.break_it(node, fault.kind, fault.for_ms) {
            self.coverage.count("faults", fault.kind.word());
            self.at(self.now + fault.for_ms, node, None, Due::Mend(index));
        } else {
            self.say(node, || "which cannot be now".to_owned());
        }
    }

    /// False if it cannot happen now.
    fn break_it(&mut self, node: usize, kind: Kind, ms: u64) -> bool {
        let until = self.now + ms;
        let powered = self.hosts[node].powered;
        match kind {
            Kind::PowerCut if powered => self.power_off(node, ms, "power cut"),
            Kind::Reset if powered => {
                let off = self.rng.range(3_000, 8_000);
                self.power_off(node, off, "reset button");
            }
            Kind::PowerButton if powered => self.stop_in_order(node, until),
            Kind::PowerCut | Kind::Reset | Kind::PowerButton => return false,
            Kind::Freeze => return self.stand_still(node, ms, true, true),
            Kind::Starve => return self.stand_still(node, ms, false, true),
            Kind::StarveWithoutWatchdog => return self.stand_still(node, ms, false, false),
            Kind::CutSerial => longer(&mut self.cables[0].cut, until),
            Kind::CutPrivate => longer(&mut self.cables[1].cut, until),
            Kind::GarbageSerial => longer(&mut self.cables[0].garbage, until),
            Kind::NoisySerial => longer(&mut self.cables[0].bad, until),
            Kind::LossyPrivate => longer(&mut self.cables[1].bad, until),
            Kind::OneWaySerial => longer(&mut self.cables[0].cut_from[node], until),
            Kind::OneWayPrivate => longer(&mut self.cables[1].cut_from[node], until),
            Kind::CutPublic => {
                longer(&mut self.hosts[node].ills.public_cut, until);
                self.tell_public(node);
            }
            Kind::CutArray => self.hosts[node].break_path(Path::Failing, until),
            Kind::HangArray => self.hosts[node].break_path(Path::Hanging, until),
            Kind::HalfOpenPath => self.hosts[node].break_path(Path::HalfOpen, until),
            Kind::KillMail | Kind::HangMail | Kind::SickMail | Kind::StuckStop => {
                return self.break_mail(node, kind, until);
            }
            Kind::KillCluster
                if self.hosts[node].core.is_some() && self.hosts[node].frozen_until.is_none() =>
            {
                self.crash_cluster_service(node);
            }
            Kind::KillCluster => return false,
            Kind::SwitchOver => {
                let to = Place::of(node).other().node();
                return self.command(node, Command::SwitchOver { to });
            }
            Kind::Maintenance => return self.command(node, Command::Maintenance { on: true }),
            Kind::Prefer => {
                let owner = Some(Place::of(node).node());
                return self.command(node, Command::Prefer { owner, fail_back: true });
            }
            Kind::SlowBox => longer(&mut self.hosts[node].ills.slow_box, until),
            Kind::SlowArray => longer(&mut self.hosts[node].ills.slow_array, until),
            Kind::SlowMount => longer(&mut self.hosts[node].ills.slow_mount, until),
            Kind::ClockJump => {
                self.hosts[node].clock.jump(ms);
                // It learns of it at the next turn of its loop.
                self.hosts[node].awake_since = self.now;
            }
            Kind::FastClock => self.hosts[node].clock.set_rate(self.now, TRUE_RATE * 11 / 10),
            Kind::SlowClock => self.hosts[node].clock.set_rate(self.now, TRUE_RATE * 9 / 10),
            Kind::TornSlot => self.hosts[node].tear_slot = true,
            Kind::AddressTaken => longer(&mut self.address_taken, until),
            Kind::UnitAttention
            | Kind::LunReset
            | Kind::ArrayRestart
            | Kind::ArrayForgets
            | Kind::StrangerClears
            | Kind::StrangerSteals => return self.disturb_array(kind, ms),
        }
        true
    }

    fn break_mail(&mut self, node: usize, kind: Kind, until: u64) -> bool {
        match kind {
            Kind::SickMail => longer(&mut self.hosts[node].ills.sick_mail, until),
            Kind::StuckStop => longer(&mut self.hosts[node].ills.stuck_stop, until),
            _ if !self.hosts[node].mail => return false,
            Kind::HangMail => self.hosts[node].mail_hung = true,
            _ => {
                self.hosts[node].mail = false;
                let ms = self.rng.range(100, 1_000);
                self.after(ms, node, Due::MailBack);
            }
        }
        true
    }

    fn command(&mut self, node: usize, command: Command) -> bool {
        let can = self.hosts[node].core.is_some() && self.hosts[node].frozen_until.is_none();
        if can {
            self.feed(node, Event::Command { id: 1, command });
        }
        can
    }

    /// An array that forgets whom it locked out cannot keep it out any longer, by no protocol: not
    /// while it keeps a box out that does not know it yet, standing still or cut off. Arrays that
    /// remember (APTPL) do not have this gap.
    fn may_forget(&self) -> bool {
        // Locked out before the later owner has written anything.
        let won = self.hosts.iter().map(|host| host.ownership).max();
        let newest = won.unwrap_or_default().max(self.array.written_by);
        let kept_out = |host: &Host| host.mounted.is_some_and(|ownership| ownership < newest);
        !self.hosts.iter().any(|host| host.frozen_until.is_some() || kept_out(host))
    }

    fn disturb_array(&mut self, kind: Kind, ms: u64) -> bool {
        let forgets = matches!(kind, Kind::ArrayForgets | Kind::StrangerClears | Kind::StrangerSteals);
        if forgets && !self.may_forget() {
            return false;
        }
        let ports = [self.hosts[0].nexus, self.hosts[1].nexus];
        match kind {
            Kind::ArrayForgets | Kind::ArrayRestart => {
                for host in &mut self.hosts {
                    host.break_path(Path::Hanging, self.now + ms);
                }
            }
            Kind::LunReset => {
                for host in &mut self.hosts {
                    if host.path(self.now) == Path::Up {
                        host.break_path(Path::Failing, self.now + 30);
                    }
                }
            }
            Kind::StrangerSteals => self.array.steal(STRANGER.0, STRANGER.1),
            _ => {}
        }
        match kind {
            Kind::ArrayForgets => self.array.forget_reservations(),
            Kind::StrangerClears => self.array.clear(),
            _ => {}
        }
        self.array.alert(ports.into_iter());
        if forgets {
            self.forgotten_until = self.forgotten_until.max(self.now + ms + LAPSE_MAX_MS);
        }
        true
    }

    /// What lasted comes to its end; what only is so until a moment needs no more than to be told.
    pub fn mend(&mut self, index: usize) {
        let Some(fault) = self.plan.faults.get(index).cloned() else { return };
        let node = fault.on as usize;
        match fault.kind {
            Kind::CutPublic => self.tell_public(node),
            Kind::FastClock | Kind::SlowClock => self.hosts[node].clock.set_rate(self.now, TRUE_RATE),
            Kind::StrangerSteals => self.send_stranger_away(index),
            Kind::Maintenance => self.end_maintenance(node),
            // A port that comes back may be new to the array.
            Kind::CutArray if self.rng.chance(200) && self.hosts[node].path(self.now) == Path::Up => {
                self.say(node, || "its path comes back by another port".to_owned());
                self.hosts[node].nexus += 2;
            }
            _ => {}
        }
    }

    fn send_stranger_away(&mut self, index: usize) {
        if self.may_forget() {
            self.say(0, || "the stranger leaves the array".to_owned());
            self.array.unregister(STRANGER.0);
            self.forgotten_until = self.forgotten_until.max(self.now + LAPSE_MAX_MS);
        } else {
            self.at(self.now + 500, 0, None, Due::Mend(index));
        }
    }

    /// Everything is put right; from here on the pair has to come back by itself.
    pub fn heal(&mut self) {
        self.healed_at = Some(self.now);
        self.say(0, || "all faults heal".to_owned());
        self.armed.clear();
        self.cables = [Cable::default(); 2];
        self.address_taken = 0;
        for index in 0..self.plan.faults.len() {
            if self.plan.faults[index].kind == Kind::StrangerSteals {
                self.send_stranger_away(index);
            }
        }
        for node in 0..2 {
            let host = &mut self.hosts[node];
            host.ills = crate::host::Ills::default();
            host.break_path(Path::Up, 0);
            host.clock.set_rate(self.now, TRUE_RATE);
            self.tell_public(node);
            self.end_maintenance(node);
        }
    }
}

fn longer(until: &mut u64, moment: u64) {
    *until = moment.max(*until);
}
