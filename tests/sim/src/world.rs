//! The world: two boxes, two cables, an array, an operator, and time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cluster::{Action, Beat, Command, Config, Core, Decided, Event, HeldProof, Medium, Node, Reading, Time};

use crate::array::Array;
use crate::checks::Checks;
use crate::host::{Host, PAIR_ID, Path, Progress};
use crate::rng::Rng;
use crate::{Flaw, Report, Violation};

/// How long faults are injected, in milliseconds.
const FAULTS_MS: u64 = 60_000;
/// Within this time after the last fault healed, exactly one box must serve, in milliseconds.
pub const RETURN_MAX_MS: u64 = 150_000;
/// For so long it must serve before it counts, in milliseconds.
const STABLE_MS: u64 = 5_000;

/// The pair's timings, as shipped.
pub const TIMING: (u64, u64, u64, u64) = (200, 1_500, 2_000, 2_400);

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Due {
    Loop,
    Frame { medium: Medium, beat: Beat },
    ReadStart { number: u32, since: u64, started: Time },
    ReadEnd { number: u32, reading: Option<Reading> },
    SlotsStart,
    SlotsEnd { started: Time, slots: [Option<Beat>; 2] },
    SlotWrite { beat: Beat, proof: HeldProof },
    Work,
    MailProbe,
    Write,
    Flush,
    Watchdog,
    PowerOn,
    Thaw { clock_stopped_ms: u64 },
    PathUp,
    Fault,
    Heal,
}

struct Entry {
    at: u64,
    order: u64,
    node: usize,
    life: Option<u32>,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// State of one cable.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cable {
    pub cut_until: u64,
    pub loss_per_mille: u64,
    pub delay_max_ms: u64,
}

/// The world.
pub(crate) struct World {
    pub now: u64,
    pub rng: Rng,
    pub hosts: [Host; 2],
    pub array: Array,
    pub cables: [Cable; 2],
    pub healed_at: Option<u64>,
    /// Until then the array may not know whom it has to keep out.
    pub forgotten_until: u64,
    pub flaw: Flaw,
    pub checks: Checks,
    queue: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    serving_since: Option<u64>,
    trace: bool,
}

impl World {
    pub fn new(seed: u64, flaw: Flaw, trace: bool) -> Self {
        let mut world = Self {
            now: 0,
            rng: Rng::new(seed),
            hosts: [Host::new(Node::A), Host::new(Node::B)],
            array: Array::new(flaw),
            cables: [Cable { delay_max_ms: 20, ..Cable::default() }; 2],
            healed_at: None,
            forgotten_until: 0,
            flaw,
            checks: Checks::default(),
            queue: BinaryHeap::new(),
            entries: 0,
            serving_since: None,
            trace,
        };
        for node in 0..2 {
            let at = world.rng.range(0, 6_000);
            world.at(at, node, None, Due::PowerOn);
        }
        let first = world.rng.range(1_000, 15_000);
        world.at(first, 0, None, Due::Fault);
        world.at(FAULTS_MS, 0, None, Due::Heal);
        world
    }

    /// Runs until service has returned, or something is violated.
    pub fn run(mut self, seed: u64) -> Result<Report, Violation> {
        loop {
            let Some(Reverse(entry)) = self.queue.pop() else {
                return Err(self.violation(seed, "nothing happens any more".to_owned()));
            };
            self.now = entry.at;
            self.happen(entry);
            self.checks.serving(self.now, &self.hosts);
            if let Some(what) = self.checks.violated.take() {
                return Err(self.violation(seed, what));
            }
            if let Some(returned_ms) = self.service_returned() {
                return Ok(self.report(returned_ms));
            }
            if self.healed_at.is_some_and(|healed| self.now - healed > RETURN_MAX_MS) {
                return Err(
                    self.violation(seed, format!("no service {RETURN_MAX_MS} ms after all faults healed"))
                );
            }
        }
    }

    fn violation(&self, seed: u64, what: String) -> Violation {
        Violation { seed, at_ms: self.now, what, array: self.array.describe(PAIR_ID) }
    }

    fn report(&self, returned_ms: u64) -> Report {
        Report {
            returned_ms,
            takes: self.checks.takes,
            resets: self.checks.resets,
            writes: self.array.writes.0,
            writes_refused: self.array.writes.1,
        }
    }

    /// Milliseconds from the heal until exactly one box served, once it has done so for long enough.
    fn service_returned(&mut self) -> Option<u64> {
        let healed = self.healed_at?;
        let serving = self.hosts.iter().filter(|host| host.is_serving() && host.mail_answers()).count();
        if serving != 1 {
            self.serving_since = None;
            return None;
        }
        let since = *self.serving_since.get_or_insert(self.now);
        (self.now - since >= STABLE_MS).then_some(since - healed)
    }

    // Time

    pub fn at(&mut self, at: u64, node: usize, life: Option<u32>, due: Due) {
        self.entries += 1;
        self.queue.push(Reverse(Entry { at, order: self.entries, node, life, due }));
    }

    /// In `ms`, unless the box has another life by then.
    pub fn after(&mut self, ms: u64, node: usize, due: Due) {
        let life = self.hosts[node].life;
        self.at(self.now + ms, node, Some(life), due);
    }

    pub fn say(&self, node: usize, what: impl FnOnce() -> String) {
        if self.trace {
            let name = if node == 0 { 'a' } else { 'b' };
            println!("{:>7} {name} {}", self.now, what());
        }
    }

    fn happen(&mut self, entry: Entry) {
        let node = entry.node;
        if entry.life.is_some_and(|life| life != self.hosts[node].life) {
            return;
        }
        let always = matches!(
            entry.due,
            Due::Fault | Due::Heal | Due::PowerOn | Due::Thaw { .. } | Due::Watchdog | Due::PathUp
        );
        if let Some(until) = self.hosts[node].frozen_until
            && !always
        {
            // A frozen box finds some of what came when it thaws.
            if !matches!(entry.due, Due::Frame { .. }) || self.rng.chance(500) {
                self.at(until + 1, node, Some(self.hosts[node].life), entry.due);
            }
            return;
        }
        match entry.due {
            Due::Loop => self.turn(node),
            Due::Frame { medium, beat } => self.deliver(node, medium, beat),
            Due::ReadStart { number, since, started } => self.read(node, number, since, started),
            Due::ReadEnd { number, reading } => self.feed(node, Event::Read { number, reading }),
            Due::SlotsStart => self.read_slots(node),
            Due::SlotsEnd { started, slots } => self.deliver_slots(node, started, slots),
            Due::SlotWrite { beat, proof } => self.write_slot(node, beat, proof),
            Due::Work => self.work(node),
            Due::MailProbe => self.probe_mail(node),
            Due::Write => self.write(node),
            Due::Flush => self.flush(node),
            Due::Watchdog => self.watchdog(node),
            Due::PowerOn => self.power_on(node),
            Due::Thaw { clock_stopped_ms } => self.thaw(node, clock_stopped_ms),
            Due::PathUp => self.path_up(node),
            Due::Fault => self.inject_fault(),
            Due::Heal => self.heal(),
        }
    }

    // Life and death

    fn power_on(&mut self, node: usize) {
        if self.hosts[node].core.is_some() {
            return;
        }
        // Its ports may be new to the array; what the old ones registered stays there.
        if self.rng.chance(500) {
            self.hosts[node].nexus += 2;
        }
        let (beat_ms, lease_ms, watchdog_ms, dead_time_ms) = TIMING;
        let host = &mut self.hosts[node];
        let config = Config {
            node: host.node,
            pair_id: PAIR_ID,
            group: 0,
            boot: self.rng.bits() as u32,
            beat_ms,
            lease_ms,
            watchdog_ms,
            dead_time_ms,
            preference: host.preference,
            maintenance: host.maintenance,
        };
        host.boot(self.now, |clock| Core::new(config, clock).expect("the shipped timings keep the rule"));
        let up = host.public_up;
        self.say(node, || "power on".to_owned());
        self.checks.forget(node);
        self.feed(node, Event::PublicLink { up });
        for (ms, due) in [
            (1, Due::Loop),
            (10, Due::SlotsStart),
            (1_000, Due::MailProbe),
            (100, Due::Write),
            (700, Due::Flush),
        ] {
            self.after(ms, node, due);
        }
    }

    pub fn power_off(&mut self, node: usize, off_ms: u64, why: &str) {
        self.say(node, || format!("{why}, back in {off_ms} ms"));
        self.hosts[node].lose_everything();
        self.at(self.now + off_ms, node, None, Due::PowerOn);
    }

    fn watchdog(&mut self, node: usize) {
        if self.hosts[node].frozen_until.is_some() {
            let off = self.rng.range(3_000, 8_000);
            self.power_off(node, off, "reset by the watchdog");
        }
    }

    fn thaw(&mut self, node: usize, clock_stopped_ms: u64) {
        let now = self.now;
        if self.hosts[node].thaw(now, clock_stopped_ms) {
            self.say(node, || "goes on".to_owned());
            // What the service asks for regularly it learns now.
            let up = self.hosts[node].public_up;
            self.feed(node, Event::PublicLink { up });
            if self.healed_at.is_some() {
                self.feed(node, Event::Command { id: 0, command: Command::Maintenance { on: false } });
            }
        }
    }

    fn path_up(&mut self, node: usize) {
        if self.hosts[node].path != Path::Up {
            self.hosts[node].path = Path::Up;
            self.say(node, || "reaches the array again".to_owned());
        }
    }

    fn heal(&mut self) {
        self.healed_at = Some(self.now);
        self.say(0, || "all faults heal".to_owned());
        self.cables = [Cable { delay_max_ms: 20, ..Cable::default() }; 2];
        for node in 0..2 {
            self.path_up(node);
            self.hosts[node].slow = false;
            self.hosts[node].mail_sick = false;
            self.hosts[node].maintenance = false;
            self.set_public(node, true);
            if self.hosts[node].core.is_some() {
                self.feed(node, Event::Command { id: 0, command: Command::Maintenance { on: false } });
            }
        }
    }

    pub fn set_public(&mut self, node: usize, up: bool) {
        if self.hosts[node].public_up != up {
            self.hosts[node].public_up = up;
            self.say(node, || format!("public link {}", if up { "up" } else { "down" }));
            self.feed(node, Event::PublicLink { up });
        }
    }

    // The cluster service of one box

    fn turn(&mut self, node: usize) {
        self.feed(node, Event::Tick);
        let ms = if self.hosts[node].slow { self.rng.range(100, 450) } else { self.rng.range(50, 150) };
        self.after(ms, node, Due::Loop);
    }

    pub fn feed(&mut self, node: usize, event: Event) {
        // A box that stands still hears nothing, and its clock may stand still as well.
        if self.hosts[node].frozen_until.is_some() {
            return;
        }
        let clock = self.hosts[node].clock(self.now);
        let mut actions = Vec::new();
        let Some(core) = self.hosts[node].core.as_mut() else { return };
        core.handle(clock, event, &mut actions);
        for action in actions {
            self.act(node, action);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        if self.hosts[node].core.is_none() {
            return;
        }
        match action {
            Action::Read { number } => {
                let (ms, started) = (self.command_ms(node), self.hosts[node].clock(self.now));
                self.after(ms, node, Due::ReadStart { number, since: self.now, started });
            }
            Action::Beat { beat, slot } => self.send(node, beat, slot),
            Action::Run { run, order, deadline_ms } => {
                self.say(node, || format!("step {}", order.step()));
                if self.hosts[node].take_order(self.now, run, order, deadline_ms) {
                    let ms = self.command_ms(node);
                    self.after(ms, node, Due::Work);
                }
            }
            Action::Prove(proof) => self.hosts[node].proof = Some(proof),
            Action::Suspend => self.hosts[node].suspended = self.flaw != Flaw::SuspendIgnored,
            Action::Resume => self.hosts[node].suspended = false,
            Action::Reset { reason } => {
                self.checks.resets += 1;
                let off = self.rng.range(3_000, 8_000);
                self.power_off(node, off, &format!("resets itself: {reason}"));
            }
            Action::Answer { result, .. } => self.say(node, || format!("answers {result:?}")),
            Action::Record(record) => {
                self.say(node, || {
                    format!("{}: {} (epoch {})", record.decision.word(), record.cause, record.epoch)
                });
                if record.decision == Decided::Take {
                    let peer_boot = self.hosts[1 - node].core.as_ref().map(|core| core.config().boot);
                    self.checks.take(node, record.at, peer_boot);
                }
            }
            Action::SavePreference(preference) => self.hosts[node].preference = preference,
            Action::SaveMaintenance(on) => self.hosts[node].maintenance = on,
        }
    }

    fn command_ms(&mut self, node: usize) -> u64 {
        if self.hosts[node].slow && self.rng.chance(300) {
            self.rng.range(50, 900)
        } else {
            self.rng.range(1, 25)
        }
    }

    // The media

    fn send(&mut self, node: usize, beat: Beat, slot: Option<HeldProof>) {
        for (cable, medium) in [(0, Medium::Serial), (1, Medium::Private)] {
            let state = self.cables[cable];
            if state.cut_until > self.now || self.rng.chance(state.loss_per_mille) {
                continue;
            }
            let delay = self.rng.range(1, state.delay_max_ms);
            // A frame finds whatever life its receiver has by then.
            self.at(self.now + delay, 1 - node, None, Due::Frame { medium, beat });
        }
        if let Some(proof) = slot {
            let ms = self.command_ms(node);
            self.after(ms, node, Due::SlotWrite { beat, proof });
        }
    }

    fn deliver(&mut self, node: usize, medium: Medium, beat: Beat) {
        if self.hosts[node].core.is_none() {
            return;
        }
        let clock = self.hosts[node].clock(self.now);
        self.checks.heard(node, clock, medium, &beat);
        if self.flaw != Flaw::BeatsDropped {
            self.feed(node, Event::Heard { medium, beat });
        }
    }

    fn write_slot(&mut self, node: usize, beat: Beat, proof: HeldProof) {
        let host = &self.hosts[node];
        // One thread writes the slot, and only what the newest ownership says.
        let newest = host.proof.is_some_and(|newest| newest.epoch() == proof.epoch());
        if host.path != Path::Up || !newest || !proof.is_valid(host.clock(self.now)) {
            return;
        }
        let ownership = host.ownership;
        if self.write_passes(node, ownership, "slot") {
            self.array.put_slot(self.hosts[node].node, beat);
        } else {
            self.feed(node, Event::WriteFenced);
        }
    }

    fn read_slots(&mut self, node: usize) {
        let every = self.rng.range(180, 320);
        self.after(every, node, Due::SlotsStart);
        if self.hosts[node].path != Path::Up {
            return;
        }
        let (started, slots) = (self.hosts[node].clock(self.now), self.array.slots());
        let ms = self.command_ms(node);
        self.after(ms, node, Due::SlotsEnd { started, slots });
    }

    fn deliver_slots(&mut self, node: usize, started: Time, slots: [Option<Beat>; 2]) {
        let (own, peer) = (slots[node], slots[1 - node]);
        self.checks.saw_slot(node, started, peer.as_ref());
        let peer = if self.flaw == Flaw::BeatsDropped { None } else { peer };
        self.feed(node, Event::SlotsRead { started, own, peer });
    }

    // The array

    fn read(&mut self, node: usize, number: u32, since: u64, started: Time) {
        match self.hosts[node].path {
            Path::Up if !self.array.take_attention(self.hosts[node].nexus) => {
                let reading = Some(self.array.read(started));
                let ms = self.command_ms(node);
                self.after(ms, node, Due::ReadEnd { number, reading });
            }
            Path::Hanging if self.now - since < 30_000 => {
                self.after(20, node, Due::ReadStart { number, since, started });
            }
            Path::Up => self.after(5, node, Due::ReadStart { number, since, started }),
            Path::Failing | Path::Hanging => self.after(1, node, Due::ReadEnd { number, reading: None }),
        }
    }

    fn work(&mut self, node: usize) {
        let progress = self.hosts[node].work(self.now, &mut self.array, &mut self.rng);
        match progress {
            Progress::Idle => return,
            Progress::More => {}
            Progress::Ended { run, order, result, fenced } => {
                self.say(node, || format!("step {} ended: {result:?}", order.step()));
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
    fn write_passes(&mut self, node: usize, ownership: u64, what: &str) -> bool {
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
    fn write(&mut self, node: usize) {
        self.after(100, node, Due::Write);
        let host = &self.hosts[node];
        let Some(ownership) = host.mounted else { return };
        if !host.mail || host.suspended || host.damaged || host.path == Path::Hanging {
            return;
        }
        if host.path == Path::Failing {
            self.hosts[node].damaged = true;
            return;
        }
        if self.write_passes(node, ownership, "mail") {
            self.checks.wrote(node, self.now, &self.hosts[node]);
        } else {
            self.hosts[node].damaged = true;
            self.feed(node, Event::WriteFenced);
        }
    }

    /// The kernel writes back what was written earlier, whoever is held still.
    fn flush(&mut self, node: usize) {
        self.after(700, node, Due::Flush);
        let host = &self.hosts[node];
        let Some(ownership) = host.mounted else { return };
        match host.path {
            Path::Hanging => {}
            Path::Failing => self.hosts[node].damaged = true,
            Path::Up if host.damaged => {}
            Path::Up => {
                if !self.write_passes(node, ownership, "kernel") {
                    self.hosts[node].damaged = true;
                    self.feed(node, Event::WriteFenced);
                }
            }
        }
    }

    fn probe_mail(&mut self, node: usize) {
        self.after(1_000, node, Due::MailProbe);
        if self.hosts[node].mail || self.hosts[node].mounted.is_some() {
            let well = self.hosts[node].mail_answers();
            self.feed(node, Event::MailProbe { well });
        }
    }
}
