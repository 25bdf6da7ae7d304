//! What goes wrong, drawn from the seed.

use cluster::config::LAPSE_MAX_MS;
use cluster::{Command, Event, Node};

use crate::host::{Host, Path};
use crate::world::{Due, World};

impl World {
    /// Injects one fault and plans the next.
    pub(crate) fn inject_fault(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let next = self.rng.range(300, 9_000);
        self.at(self.now + next, 0, None, Due::Fault);
        let node = self.rng.range(0, 1) as usize;
        match self.rng.range(0, 17) {
            0 | 1 => self.cut_power(node),
            2 => {
                self.cut_power(0);
                self.cut_power(1);
            }
            3 | 4 => self.freeze(node),
            5 => self.hang(node),
            6 | 7 => self.cut_cable(0),
            8 | 9 => self.cut_cable(1),
            10 => {
                self.cut_cable(0);
                self.cut_cable(1);
            }
            11 | 12 => self.lose_path(node),
            13 => {
                let up = !self.hosts[node].public_up;
                self.set_public(node, up);
            }
            14 => {
                self.hosts[node].mail_sick = !self.hosts[node].mail_sick;
                let sick = self.hosts[node].mail_sick;
                self.say(node, || format!("mail service {}", if sick { "sick" } else { "well" }));
            }
            15 => self.disturb(node),
            16 => self.command(node),
            _ => self.lose_array(),
        }
    }

    fn cut_power(&mut self, node: usize) {
        if self.hosts[node].core.is_some() {
            let off = self.rng.range(500, 20_000);
            self.power_off(node, off, "power cut");
        }
    }

    /// The whole machine stands still, its clock and its watchdog with it.
    fn freeze(&mut self, node: usize) {
        if !self.may_stand_still(node) {
            return;
        }
        let ms = self.rng.range(300, 25_000);
        self.hosts[node].frozen_until = Some(self.now + ms);
        self.say(node, || format!("frozen for {ms} ms"));
        self.after(ms, node, Due::Thaw { clock_stopped_ms: ms });
    }

    /// The processor does not come to the cluster service; clock and watchdog go on.
    fn hang(&mut self, node: usize) {
        if !self.may_stand_still(node) {
            return;
        }
        let ms = self.rng.range(300, 10_000);
        self.hosts[node].frozen_until = Some(self.now + ms);
        self.say(node, || format!("hangs for {ms} ms"));
        self.after(ms, node, Due::Thaw { clock_stopped_ms: 0 });
        // Not every watchdog works.
        if self.rng.chance(800) {
            self.after(crate::world::TIMING.2, node, Due::Watchdog);
        }
    }

    fn may_stand_still(&self, node: usize) -> bool {
        let host = &self.hosts[node];
        host.core.is_some() && host.frozen_until.is_none() && self.now >= self.forgotten_until
    }

    fn cut_cable(&mut self, cable: usize) {
        let ms = self.rng.range(500, 30_000);
        self.cables[cable].cut_until = self.now + ms;
        self.say(0, || format!("{} cable cut for {ms} ms", if cable == 0 { "serial" } else { "private" }));
    }

    fn lose_path(&mut self, node: usize) {
        let ms = self.rng.range(200, 30_000);
        let path = if self.rng.chance(500) { Path::Failing } else { Path::Hanging };
        self.hosts[node].path = path;
        self.say(node, || format!("path to the array {path:?} for {ms} ms"));
        self.at(self.now + ms, node, None, Due::PathUp);
    }

    /// The array restarts and forgets its reservations. Not while it keeps a box out that does not
    /// know it yet, standing still or cut off: an array that forgets whom it locked out cannot keep
    /// it out any longer, by no protocol. Arrays that remember (APTPL) do not have this gap.
    fn lose_array(&mut self) {
        let newest = self.array.written_by;
        let kept_out = |host: &Host| host.mounted.is_some_and(|ownership| ownership < newest);
        if self.hosts.iter().any(|host| host.frozen_until.is_some() || kept_out(host)) {
            return;
        }
        let ms = self.rng.range(2_000, 15_000);
        self.forgotten_until = self.now + ms + LAPSE_MAX_MS;
        self.say(0, || format!("the array restarts and is back in {ms} ms"));
        self.array.forget_reservations();
        for node in 0..2 {
            self.hosts[node].path = Path::Hanging;
            self.at(self.now + ms, node, None, Due::PathUp);
        }
    }

    fn disturb(&mut self, node: usize) {
        self.hosts[node].slow = self.rng.chance(500);
        for cable in 0..2 {
            self.cables[cable].loss_per_mille = self.rng.range(0, 600);
            self.cables[cable].delay_max_ms = self.rng.range(5, 900);
        }
        self.say(node, || "lossy cables, slow commands".to_owned());
    }

    fn command(&mut self, node: usize) {
        let any = if self.rng.chance(500) { Node::A } else { Node::B };
        let command = match self.rng.range(0, 5) {
            0..=2 => Command::SwitchOver { to: any },
            3 | 4 => Command::Maintenance { on: self.rng.chance(500) },
            _ => Command::Prefer { owner: Some(any), fail_back: self.rng.chance(500) },
        };
        self.say(node, || format!("operator: {command:?}"));
        if self.hosts[node].frozen_until.is_none() {
            self.feed(node, Event::Command { id: 1, command });
        }
    }
}
