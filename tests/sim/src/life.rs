//! Life and death of a box: power, reset, standstill, its watchdog, its cluster service.

use cluster::{Command, Config, Core, Event};
use link::Link;

use crate::host::{PAIR_ID, Path};
use crate::world::{Due, TIMING, World};

/// A standstill so long is noticed: half the dead time, on the slowest clock.
const DEAF_MS: u64 = TIMING.3 / 2 * 10 / 9 + 1;
/// The key of the simulated pair.
const PAIR_KEY: [u8; 32] = [7; 32];

impl World {
    pub fn power_on(&mut self, node: usize) {
        if self.hosts[node].powered {
            return;
        }
        // Its ports may be new to the array; what the old ones registered stays there.
        if self.rng.chance(500) {
            self.hosts[node].nexus += 2;
        }
        let now = self.now;
        self.hosts[node].power_on(now);
        self.say(node, || "power on".to_owned());
        self.start_service(node);
    }

    pub fn start_service(&mut self, node: usize) {
        let (beat_ms, lease_ms, watchdog_ms, dead_time_ms) = TIMING;
        let (boot, mut seed) = (self.rng.bits() as u32, [0; 32]);
        seed[..8].copy_from_slice(&self.rng.bits().to_be_bytes());
        let now = self.now;
        let host = &mut self.hosts[node];
        let config = Config {
            node: host.node,
            pair_id: PAIR_ID,
            group: 0,
            boot,
            beat_ms,
            lease_ms,
            watchdog_ms,
            dead_time_ms,
            preference: host.preference,
            maintenance: host.maintenance,
        };
        let core = Core::new(config, host.clock(now)).expect("the shipped timings keep the rule");
        let core = core.without_rule(self.setting.mutant);
        let link = Link::new(PAIR_ID, &PAIR_KEY, host.node, &seed);
        host.start_service(core, link);
        host.listening_since = host.clock(now);
        self.checks.forget(node);
        let up = self.hosts[node].public_up(now);
        self.feed(node, Event::PublicLink { up });
        for (ms, due) in [
            (1, Due::Loop),
            (10, Due::SlotsStart),
            (1_000, Due::MailProbe),
            (100, Due::Write),
            (700, Due::Flush),
            (10_000, Due::Refresh),
        ] {
            self.after(ms, node, due);
        }
        self.reached(node, "boot");
    }

    pub fn power_off(&mut self, node: usize, off_ms: u64, why: &str) {
        self.note_interrupted(node, why.split(':').next().unwrap_or(why));
        self.say(node, || format!("{why}, back in {off_ms} ms"));
        self.hosts[node].lose_everything();
        self.at(self.now + off_ms, node, None, Due::PowerOn);
    }

    /// For the table: which step it was that did not come to its end.
    pub fn note_interrupted(&mut self, node: usize, by: &str) {
        if let Some(step) = self.hosts[node].core.as_ref().and_then(Core::step) {
            self.coverage.count("steps interrupted", format!("{step} by {by}"));
        }
    }

    pub fn watchdog(&mut self, node: usize) {
        if self.hosts[node].frozen_until.is_some() && self.hosts[node].powered {
            let off = self.rng.range(3_000, 8_000);
            self.power_off(node, off, "reset by the watchdog");
        }
    }

    /// It stands still. `stops_clock`: the whole machine does.
    pub fn stand_still(&mut self, node: usize, ms: u64, stops_clock: bool, watchdog_works: bool) -> bool {
        let host = &self.hosts[node];
        if host.core.is_none() || host.frozen_until.is_some() || self.now < self.forgotten_until {
            return false;
        }
        self.note_interrupted(node, "standstill");
        self.hosts[node].frozen_until = Some(self.now + ms);
        self.hosts[node].frozen_ms = ms;
        self.say(node, || format!("stands still for {ms} ms"));
        self.after(ms, node, Due::Thaw { clock_stopped_ms: if stops_clock { ms } else { 0 } });
        if watchdog_works && !stops_clock {
            self.after(TIMING.2, node, Due::Watchdog);
        }
        true
    }

    pub fn thaw(&mut self, node: usize, clock_stopped_ms: u64) {
        let now = self.now;
        let stood_still_ms = self.hosts[node].frozen_ms;
        if self.hosts[node].thaw(now, clock_stopped_ms) {
            self.say(node, || "goes on".to_owned());
            if clock_stopped_ms == 0 && stood_still_ms >= DEAF_MS {
                self.hosts[node].listening_since = self.hosts[node].clock(now);
            }
            // What the service asks for regularly it learns now.
            self.tell_public(node);
            if self.healed_at.is_some() {
                self.end_maintenance(node);
            }
        }
    }

    /// The cluster service crashes. The next one puts away what it finds before it begins.
    pub fn crash_cluster_service(&mut self, node: usize) {
        self.note_interrupted(node, "crash of the cluster service");
        self.say(node, || "the cluster service crashes".to_owned());
        let host = &mut self.hosts[node];
        host.lose_cluster_service();
        if host.mounted.is_some() && host.path(self.now) != Path::Up {
            return self.power_off(node, 11_000, "what was left could not be put away, reset");
        }
        host.put_away();
        let ms = self.rng.range(50, 1_500);
        self.after(ms, node, Due::ServiceStart);
    }

    pub fn tell_public(&mut self, node: usize) {
        let up = self.hosts[node].public_up(self.now);
        self.feed(node, Event::PublicLink { up });
    }

    pub fn end_maintenance(&mut self, node: usize) {
        self.hosts[node].maintenance = false;
        self.feed(node, Event::Command { id: 0, command: Command::Maintenance { on: false } });
    }
}
