//! The world: two boxes, two cables, an array, clients, an operator, and time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cluster::{Beat, HeldProof, Medium, Node, Reading, Time};

use crate::array::Array;
use crate::checks::Checks;
use crate::coverage::Coverage;
use crate::host::{Host, PAIR_ID};
use crate::media::Cable;
use crate::plan::{Place, Plan};
use crate::rng::Rng;
use crate::{Decision, Outcome, Report, Setting, Violation};

/// Within this time after the last fault healed, exactly one box must serve, in milliseconds.
pub const RETURN_MAX_MS: u64 = 150_000;
/// For so long it must serve before it counts, in milliseconds.
const STABLE_MS: u64 = 5_000;
/// Most events of one run; more is a loop without end.
const EVENTS_MAX: u64 = 2_000_000;

/// The pair's timings, as shipped: beat, lease, watchdog, dead time.
pub const TIMING: (u64, u64, u64, u64) = (200, 1_500, 2_000, 2_400);

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Due {
    Loop,
    Heard { medium: Medium, bytes: Vec<u8> },
    ReadStart { number: u32, since: u64, started: Time },
    ReadEnd { number: u32, reading: Option<Reading> },
    SlotsStart,
    SlotsEnd { started: Time, pages: [Vec<u8>; 2] },
    SlotWrite { beat: Beat, proof: HeldProof },
    Work,
    MailProbe,
    MailBack,
    Write,
    Flush,
    Refresh,
    Request,
    Watchdog,
    PowerOn,
    ServiceStart,
    Thaw { clock_stopped_ms: u64 },
    Strike(usize),
    Mend(usize),
    Heal,
}

impl Due {
    /// Whether it happens to a box whatever that box does.
    fn comes_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Strike(_)
                | Self::Mend(_)
                | Self::Heal
                | Self::PowerOn
                | Self::Thaw { .. }
                | Self::Watchdog
                | Self::Request
        )
    }
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

/// The world.
pub(crate) struct World {
    pub now: u64,
    pub rng: Rng,
    pub plan: Plan,
    /// Faults that wait for their moment.
    pub armed: Vec<usize>,
    pub hosts: [Host; 2],
    pub array: Array,
    /// Serial and private.
    pub cables: [Cable; 2],
    /// Whom the clients' neighbour caches lead to.
    pub neighbour: Option<usize>,
    /// Until then a stranger uses the virtual address.
    pub address_taken: u64,
    pub healed_at: Option<u64>,
    /// Until then the array may not know whom it has to keep out.
    pub forgotten_until: u64,
    pub setting: Setting,
    pub checks: Checks,
    pub coverage: Coverage,
    pub decisions: Vec<Decision>,
    queue: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    serving_since: Option<u64>,
    answered_at: u64,
    outage_ms: u64,
}

impl World {
    pub fn new(plan: &Plan, setting: Setting) -> Self {
        let mut world = Self {
            now: 0,
            rng: Rng::new(plan.seed),
            plan: plan.clone(),
            armed: Vec::new(),
            hosts: [Host::new(Node::A), Host::new(Node::B)],
            array: Array::new(setting.flaw),
            cables: [Cable::default(), Cable::default()],
            neighbour: None,
            address_taken: 0,
            healed_at: None,
            forgotten_until: 0,
            setting,
            checks: Checks::default(),
            coverage: Coverage::default(),
            decisions: Vec::new(),
            queue: BinaryHeap::new(),
            entries: 0,
            serving_since: None,
            answered_at: 0,
            outage_ms: 0,
        };
        for node in 0..2 {
            world.at(plan.power_on_ms[node], node, None, Due::PowerOn);
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            world.at(fault.at_ms, fault.on as usize, None, Due::Strike(index));
        }
        world.at(plan.heal_at_ms, 0, None, Due::Heal);
        world.at(0, 0, None, Due::Request);
        world
    }

    /// Runs until service has returned, or something is violated.
    pub fn run(mut self) -> Outcome {
        let what = loop {
            let Some(Reverse(entry)) = self.queue.pop() else {
                break Some("nothing happens any more".to_owned());
            };
            self.now = entry.at;
            self.happen(entry);
            self.checks.serving(self.now, &self.hosts);
            if let Some(what) = self.checks.violated.take() {
                break Some(what);
            }
            if self.service_returned().is_some() {
                break None;
            }
            if self.healed_at.is_some_and(|healed| self.now - healed > RETURN_MAX_MS) {
                break Some(format!("no service {RETURN_MAX_MS} ms after all faults healed"));
            }
            if self.entries > EVENTS_MAX {
                break Some(format!("more than {EVENTS_MAX} events: something never ends"));
            }
        };
        self.end(what)
    }

    fn end(self, what: Option<String>) -> Outcome {
        let returned_ms =
            self.serving_since.unwrap_or(self.now).saturating_sub(self.healed_at.unwrap_or(self.now));
        let violation = what.map(|what| Violation {
            seed: self.plan.seed,
            at_ms: self.now,
            what,
            array: self.array.describe(PAIR_ID),
        });
        let report = Report {
            returned_ms,
            outage_ms: self.outage_ms,
            takes: self.checks.takes,
            resets: self.checks.resets,
            writes: self.array.writes.0,
            writes_refused: self.array.writes.1,
        };
        Outcome { report, violation, decisions: self.decisions, coverage: self.coverage }
    }

    /// Milliseconds from the heal until clients were served by exactly one box, once that lasted.
    fn service_returned(&mut self) -> Option<u64> {
        let healed = self.healed_at?;
        let well = |host: &Host| host.is_serving() && host.mail_answers(self.now);
        let serving = self.hosts.iter().filter(|host| well(host)).count();
        let reached = self.neighbour.is_some_and(|node| well(&self.hosts[node]));
        if serving != 1 || !reached {
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

    /// In `ms`, unless the cluster service of the box has been started anew by then.
    pub fn after(&mut self, ms: u64, node: usize, due: Due) {
        let life = self.hosts[node].life;
        self.at(self.now + ms, node, Some(life), due);
    }

    pub fn say(&self, node: usize, what: impl FnOnce() -> String) {
        if self.setting.trace {
            println!("{:>7} {} {}", self.now, Place::of(node), what());
        }
    }

    fn happen(&mut self, entry: Entry) {
        let node = entry.node;
        if entry.life.is_some_and(|life| life != self.hosts[node].life) {
            return;
        }
        if let Some(until) = self.hosts[node].frozen_until
            && !entry.due.comes_from_outside()
        {
            // A box that stood still finds some of what came when it goes on.
            if !matches!(entry.due, Due::Heard { .. }) || self.rng.chance(500) {
                self.at(until + 1, node, Some(self.hosts[node].life), entry.due);
            }
            return;
        }
        match entry.due {
            Due::Loop => self.turn(node),
            Due::Heard { medium, bytes } => self.hear(node, medium, &bytes),
            Due::ReadStart { number, since, started } => self.read(node, number, since, started),
            Due::ReadEnd { number, reading } => self.feed(node, cluster::Event::Read { number, reading }),
            Due::SlotsStart => self.read_slots(node),
            Due::SlotsEnd { started, pages } => self.deliver_slots(node, started, &pages),
            Due::SlotWrite { beat, proof } => self.write_slot(node, beat, proof),
            Due::Work => self.work(node),
            Due::MailProbe => self.probe_mail(node),
            Due::MailBack => self.hosts[node].mail_comes_back(&mut self.array),
            Due::Write => self.write(node),
            Due::Flush => self.flush(node),
            Due::Refresh => self.refresh_neighbours(node),
            Due::Request => self.request(),
            Due::Watchdog => self.watchdog(node),
            Due::PowerOn => self.power_on(node),
            Due::ServiceStart => self.start_service(node),
            Due::Thaw { clock_stopped_ms } => self.thaw(node, clock_stopped_ms),
            Due::Strike(index) => self.strike(index),
            Due::Mend(index) => self.mend(index),
            Due::Heal => self.heal(),
        }
    }

    // The clients

    /// A client asks the box its neighbour cache names; without an answer it asks who has the address.
    fn request(&mut self) {
        self.at(self.now + 100, 0, None, Due::Request);
        let answers = |host: &Host| host.is_serving() && host.public_up(self.now);
        if self.neighbour.is_some_and(|node| answers(&self.hosts[node])) {
            if self.answered_at > 0 && self.healed_at.is_none() {
                self.outage_ms = self.outage_ms.max(self.now - self.answered_at);
            }
            self.answered_at = self.now;
            return;
        }
        // An entry that leads nowhere is given up after some seconds (RFC 4861 7.3.3, the same for ARP).
        let owner = |node: &usize| self.hosts[*node].address && self.hosts[*node].public_up(self.now);
        if self.rng.chance(20) {
            self.neighbour = (0..2).find(owner);
        }
    }

    /// The box says to the neighbours that the address is here; not every neighbour listens at once.
    pub fn announce(&mut self, node: usize) {
        let host = &self.hosts[node];
        if host.address && host.public_up(self.now) && host.frozen_until.is_none() && self.rng.chance(900) {
            self.neighbour = Some(node);
        }
    }

    fn refresh_neighbours(&mut self, node: usize) {
        self.after(10_000, node, Due::Refresh);
        self.announce(node);
    }
}
