//! The cluster service of one box: turns of its loop, and what the core wants done.

use cluster::{Action, Command, Decided, Event, Role, Step};

use crate::plan::Place;
use crate::world::{Due, TIMING, World};
use crate::{Decision, Flaw};

/// Number of the command with which a power button stops the group.
const STOP_COMMAND: u32 = 99;

impl World {
    pub fn turn(&mut self, node: usize) {
        self.feed(node, Event::Tick);
        let slow = self.now < self.hosts[node].ills.slow_box;
        let ms = if slow { self.rng.range(100, 450) } else { self.rng.range(50, 150) };
        self.after(ms, node, Due::Loop);
    }

    pub fn feed(&mut self, node: usize, event: Event) {
        // A box that stands still hears nothing, and its clock may stand still as well.
        if self.hosts[node].frozen_until.is_some() {
            return;
        }
        let clock = self.hosts[node].clock(self.now);
        let mut actions = Vec::new();
        if let Event::Read { reading: Some(reading), .. } = &event {
            self.hosts[node].last_reading = Some(reading.clone());
        }
        let Some(core) = self.hosts[node].core.as_mut() else { return };
        let refused = event == Event::WriteFenced;
        core.handle(clock, event, &mut actions);
        if refused && core.role() == Role::Active {
            self.checks.violate(format!("box {node} stays active though the array refused its write"));
        }
        let step = core.step();
        let life = self.hosts[node].life;
        self.checks.step(
            node,
            clock,
            step,
            self.hosts[node].awake_since.max(self.forgotten_until) + 1_000 < self.now,
        );
        for action in actions {
            // A reset among them ends this life; nothing of it goes on.
            if self.hosts[node].life == life {
                self.act(node, action);
            }
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Read { number } => {
                let (ms, started) = (self.command_ms(node), self.hosts[node].clock(self.now));
                self.after(ms, node, Due::ReadStart { number, since: self.now, started });
            }
            Action::Beat { beat, slot } => self.send(node, beat, slot),
            Action::Run { run, order, deadline_ms } => {
                self.say(node, || format!("step {}", order.step()));
                self.hosts[node].gave_back |= order.step() == Step::Unreserve;
                self.coverage.count("steps begun", order.step().word());
                if self.hosts[node].take_order(self.now, run, order, deadline_ms) {
                    let ms = self.command_ms(node);
                    self.after(ms, node, Due::Work);
                }
                self.reached(node, order.step().word());
            }
            Action::Prove(proof) => {
                self.checks.proof(node, &proof, self.hosts[node].last_reading.as_ref());
                self.hosts[node].proof = Some(proof);
            }
            Action::Suspend => self.hosts[node].suspended = self.setting.flaw != Flaw::SuspendIgnored,
            Action::Resume => self.hosts[node].suspended = false,
            Action::Reset { reason } => {
                self.checks.resets += 1;
                let off = self.rng.range(3_000, 8_000);
                self.power_off(node, off, &format!("resets itself: {reason}"));
            }
            Action::Answer { id, result } => {
                self.say(node, || format!("answers {result:?}"));
                if id == STOP_COMMAND {
                    self.end_of_ordered_stop(node);
                }
            }
            Action::Record(record) => self.keep_record(node, &record),
            Action::SavePreference(preference) => self.hosts[node].preference = preference,
            Action::SaveMaintenance(on) => self.hosts[node].maintenance = on,
        }
    }

    fn keep_record(&mut self, node: usize, record: &cluster::Record) {
        let word = record.decision.word();
        self.say(node, || format!("{word}: {} (epoch {})", record.cause, record.epoch));
        let rule: String =
            record.cause.chars().take_while(|c| *c != ';').filter(|c| !c.is_ascii_digit()).collect();
        self.coverage.count("rules fired", format!("{word}: {}", rule.split("key ").next().unwrap_or("")));
        self.decisions.push(Decision {
            at_ms: self.now,
            on: Place::of(node),
            decision: word.to_owned(),
            cause: record.cause.clone(),
        });
        if record.decision == Decided::Released && !std::mem::take(&mut self.hosts[node].gave_back) {
            self.checks.violate(format!("box {node} has released, and is still registered"));
        }
        if record.decision == Decided::Take {
            let listened_ms = record.at.since_ms(self.hosts[node].listening_since);
            if record.cause.starts_with("the other box is silent") && listened_ms < TIMING.3 - 1 {
                self.checks.violate(format!("box {node} takes after it has listened for {listened_ms} ms"));
            }
            let peer_boot = self.hosts[1 - node].core.as_ref().map(|core| core.config().boot);
            self.checks.take(node, record.at, peer_boot);
        }
    }

    /// The power button: the group is released, then the box goes off.
    pub fn stop_in_order(&mut self, node: usize, back_at: u64) {
        self.say(node, || "power button".to_owned());
        if self.hosts[node].core.is_none() || self.hosts[node].frozen_until.is_some() {
            return;
        }
        self.hosts[node].stop_back_at = Some(back_at);
        self.feed(node, Event::Command { id: STOP_COMMAND, command: Command::Stop });
    }

    fn end_of_ordered_stop(&mut self, node: usize) {
        let Some(back_at) = self.hosts[node].stop_back_at.take() else { return };
        // A stop is no lasting maintenance.
        self.power_off(node, back_at.saturating_sub(self.now).max(500), "switched off in order");
    }

    pub fn command_ms(&mut self, node: usize) -> u64 {
        if self.now < self.hosts[node].ills.slow_array && self.rng.chance(300) {
            self.rng.range(50, 900)
        } else {
            self.rng.range(1, 25)
        }
    }

    pub fn probe_mail(&mut self, node: usize) {
        self.after(1_000, node, Due::MailProbe);
        if self.hosts[node].mail || self.hosts[node].mounted.is_some() {
            let well = self.hosts[node].mail_answers(self.now);
            self.feed(node, Event::MailProbe { well });
        }
    }
}
