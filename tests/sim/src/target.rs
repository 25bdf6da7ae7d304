//! What reaches the array: readings, orders, and every write with its judge.

use cluster::Event;

use crate::host::{Path, Progress};
use crate::world::{Due, World};

/// After so long the host adapter gives a reading up.
const READING_MAX_MS: u64 = 30_000;

impl World {
    pub fn read(&mut self, node: usize, number: u32, since: u64, started: cluster::Time) {
        match self.hosts[node].path(self.now) {
            Path::Up if !self.array.take_attention(self.hosts[node].nexus) => {
                let reading = Some(self.array.read(started));
                let ms = self.command_ms(node);
                self.after(ms, node, Due::ReadEnd { number, reading });
            }
            Path::Hanging | Path::HalfOpen if self.now - since < READING_MAX_MS => {
                self.after(20, node, Due::ReadStart { number, since, started });
            }
            Path::Up => self.after(5, node, Due::ReadStart { number, since, started }),
            Path::Failing | Path::Hanging | Path::HalfOpen => {
                self.after(1, node, Due::ReadEnd { number, reading: None });
            }
        }
    }

    pub fn work(&mut self, node: usize) {
        let free = self.now >= self.address_taken;
        let progress = self.hosts[node].work(self.now, &mut self.array, free, &mut self.rng);
        if let Some(what) = self.hosts[node].wrong_order.take() {
            self.checks.violate(format!("box {node} {what}"));
        }
        match progress {
            Progress::Idle => return,
            Progress::More => {}
            Progress::Ended { run, order, result, fenced } => {
                self.say(node, || format!("step {} ended: {result:?}", order.step()));
                if result.is_ok() && matches!(order, cluster::Order::Announce { .. }) {
                    self.announce(node);
                }
                self.feed(node, Event::Done { run, result });
                if fenced {
                    self.feed(node, Event::WriteFenced);
                }
            }
        }
        if self.hosts[node].has_work() {
            let ms = self.command_ms(node);
            self.after(ms, node, Due::Work);
        }
    }

    /// The judge of every write: whatever the array lets through must come from the newest owner.
    pub fn write_passes(&mut self, node: usize, ownership: u64, what: &str) -> bool {
        if !self.array.may_write(self.hosts[node].nexus) {
            self.array.writes.1 += 1;
            return false;
        }
        self.array.writes.0 += 1;
        if ownership < self.array.written_by {
            self.checks.violate(format!(
                "two writers: the array took a {what} write from box {node} after one of a later owner"
            ));
        }
        self.array.written_by = self.array.written_by.max(ownership);
        true
    }

    /// The mail service writes something it will acknowledge.
    pub fn write(&mut self, node: usize) {
        self.after(100, node, Due::Write);
        let host = &self.hosts[node];
        let Some(ownership) = host.mounted else { return };
        if !host.mail || host.mail_hung || host.suspended || host.damaged {
            return;
        }
        match host.path(self.now) {
            Path::Hanging => {}
            Path::Failing => self.hosts[node].damaged = true,
            Path::Up | Path::HalfOpen => {
                if self.write_passes(node, ownership, "mail") {
                    self.checks.wrote(node, self.now, &self.hosts[node]);
                } else {
                    self.hosts[node].damaged = true;
                    self.feed(node, Event::WriteFenced);
                }
            }
        }
    }

    /// The kernel writes back what was written earlier, whoever is held still.
    pub fn flush(&mut self, node: usize) {
        self.after(700, node, Due::Flush);
        let host = &self.hosts[node];
        let Some(ownership) = host.mounted else { return };
        match host.path(self.now) {
            Path::Hanging => {}
            Path::Failing => self.hosts[node].damaged = true,
            Path::Up | Path::HalfOpen if host.damaged => {}
            Path::Up | Path::HalfOpen => {
                if !self.write_passes(node, ownership, "kernel") {
                    self.hosts[node].damaged = true;
                    self.feed(node, Event::WriteFenced);
                }
            }
        }
    }
}
