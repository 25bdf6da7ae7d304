//! The pair: two boxes, their cables and LUNs, one turn of everybody's loop after the other.

use std::collections::VecDeque;

use cluster::{
    Action, Beat, Command, Config, Core, Decided, Event, HandOver, Medium, Mutant, Node, Preference, Role,
    Step, Time,
};

use crate::lun::Lun;
use crate::seat::{Job, Once, OrderKind, Seat};
use crate::trouble::Trouble;

/// Identifies the pair.
pub const PAIR_ID: u32 = 7;
/// Length of one turn, in milliseconds: two beats, a quarter of the lease, a sixth of the dead time.
pub const TURN_MS: u64 = 400;
/// A box that resets is back after so many turns.
const RESET_TURNS: u64 = 10;
/// Never.
pub const FOR_EVER: u64 = u64::MAX;
/// While nothing is wrong any more, clients wait for so many turns at most: a minute.
const IDLE_TURNS_MAX: u32 = 150;
/// A step that undoes another may be the same step once more.
const STEP_ROUNDS_MAX: u64 = 2;
/// Number of the command with which a power button stops the group.
pub const STOP_COMMAND: u32 = 99;
const DEAD_MS: u64 = 2_400;

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    /// The array would take writes of both boxes, each with the data mounted.
    TwoWriters,
    /// Clients are served without a held proof, or a step came where it must not.
    Unproven(&'static str),
    /// A box took although the owner was heard.
    TookFromLiving,
    /// Nobody serves although a box could, and nothing is wrong any more.
    Idle,
    /// A step does not end.
    Endless,
}

/// One box.
#[derive(Debug, Clone)]
pub struct BoxState {
    /// Starts so far.
    pub life: u32,
    /// Without power until this turn.
    pub off_until: Option<u64>,
    /// Stands still until this turn.
    pub still_until: Option<u64>,
    /// Its clock stands still with it.
    pub clock_stops: bool,
    /// So many turns do not show on its clock.
    pub clock_stood: u64,
    /// Commands to the array fail (true) or hang (false) until this turn.
    pub path: (u64, bool),
    /// Survives a restart.
    pub maintenance: bool,
    /// It goes off when the group is released, for so many turns.
    pub stopping: Option<u64>,
    /// One core a group; none without power.
    pub seats: Vec<Seat>,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Turns so far.
    pub turn: u64,
    /// Both boxes.
    pub boxes: [BoxState; 2],
    /// One LUN a group.
    pub luns: Vec<Lun>,
    /// Cables that are cut until this turn: serial, private.
    pub cut: [u64; 2],
    /// Troubles that may still come.
    pub left: u8,
    /// For how many turns each group was served by nobody though nothing is wrong.
    pub idle: Vec<u32>,
    /// What was violated.
    pub broken: Option<Broken>,
    mutant: Option<Mutant>,
}

impl Pair {
    /// Both boxes get power on the same empty array.
    pub fn cold(groups: usize, left: u8, mutant: Option<Mutant>) -> Self {
        let off = || BoxState {
            life: 0,
            off_until: Some(0),
            still_until: None,
            clock_stops: false,
            clock_stood: 0,
            path: (0, false),
            maintenance: false,
            stopping: None,
            seats: Vec::new(),
        };
        Self {
            turn: 0,
            boxes: [off(), off()],
            luns: vec![Lun::default(); groups],
            cut: [0; 2],
            left,
            idle: vec![0; groups],
            broken: None,
            mutant,
        }
    }

    /// The clock of a box.
    pub fn clock(&self, node: usize) -> Time {
        Time(10_000 + (self.turn - self.boxes[node].clock_stood) * TURN_MS)
    }

    /// Whether something that will end is still wrong.
    fn troubled(&self) -> bool {
        let lasts = |until: u64| until >= self.turn && until != FOR_EVER && until > 0;
        self.cut.into_iter().any(lasts)
            || self.boxes.iter().any(|b| {
                b.off_until.is_some_and(lasts)
                    || b.still_until.is_some_and(lasts)
                    || lasts(b.path.0)
                    || b.stopping.is_some()
            })
    }

    /// Whether a box could serve, for all that was done to it.
    fn could_serve(&self, node: usize) -> bool {
        let b = &self.boxes[node];
        b.off_until.is_none() && b.path.0 < self.turn && !b.maintenance
    }

    /// Something goes wrong, or an operator wants something. False if it cannot be now.
    pub fn suffer(&mut self, trouble: Trouble) -> bool {
        self.left -= 1;
        trouble.strike(self)
    }

    /// One turn of everybody; box b's loop comes first if `b_first`.
    pub fn pass(&mut self, b_first: bool) {
        self.turn += 1;
        for node in if b_first { [1, 0] } else { [0, 1] } {
            self.wake(node);
            if self.runs(node) {
                for group in 0..self.luns.len() {
                    self.take_turn(node, group);
                }
            }
        }
        self.judge();
    }

    fn runs(&self, node: usize) -> bool {
        self.boxes[node].off_until.is_none() && self.boxes[node].still_until.is_none()
    }

    fn wake(&mut self, node: usize) {
        let turn = self.turn;
        let b = &mut self.boxes[node];
        b.still_until = b.still_until.filter(|until| *until >= turn);
        b.clock_stood += u64::from(b.still_until.is_some() && b.clock_stops);
        if b.off_until.is_some_and(|until| until <= turn) {
            b.off_until = None;
            b.life += 1;
            self.start(node);
        }
    }

    fn start(&mut self, node: usize) {
        let now = self.clock(node);
        let b = &mut self.boxes[node];
        let place = if node == 0 { Node::A } else { Node::B };
        let seats = (0..self.luns.len()).map(|group| {
            // With two groups each box is to serve one of them.
            let owner = if group == 0 { Node::A } else { Node::B };
            let preference = if self.luns.len() > 1 {
                Preference { revision: 1, owner: Some(owner), fail_back: false }
            } else {
                Preference::default()
            };
            let config = Config {
                node: place,
                pair_id: PAIR_ID,
                group: group as u8,
                boot: b.life,
                beat_ms: 200,
                lease_ms: 1_500,
                watchdog_ms: 2_000,
                dead_time_ms: DEAD_MS,
                preference,
                maintenance: b.maintenance,
            };
            let core = Core::new(config, now).expect("the shipped timings keep the rule");
            Seat::new(core.without_rule(self.mutant))
        });
        b.seats = seats.collect();
    }

    /// Power goes; it is back at turn `until`.
    pub fn power_off(&mut self, node: usize, until: u64) {
        let b = &mut self.boxes[node];
        b.seats.clear();
        b.off_until = Some(until);
        b.still_until = None;
        b.stopping = None;
    }

    // One turn of one core

    fn take_turn(&mut self, node: usize, group: usize) {
        let now = self.clock(node);
        let reachable = self.boxes[node].path.0 < self.turn;
        for medium in [Medium::Serial, Medium::Private] {
            let Some(seat) = self.boxes[node].seats.get_mut(group) else { return };
            if let Some(beat) = seat.inbox[medium as usize].take() {
                seat.note(medium, now, &beat);
                self.feed(node, group, Event::Heard { medium, beat });
            }
        }
        if reachable {
            let [own, peer] = [self.luns[group].slots[node], self.luns[group].slots[1 - node]];
            self.note_slot(node, group, peer, now);
            self.feed(node, group, Event::SlotsRead { started: now, own, peer });
        }
        self.feed(node, group, Event::Tick);
        self.work(node, group, reachable);
        self.write(node, group, reachable);
        let Some(seat) = self.boxes[node].seats.get(group) else { return };
        if seat.core.role() == Role::Active {
            let well = seat.mail && seat.mounted && reachable && !seat.suspended;
            self.feed(node, group, Event::MailProbe { well });
        }
    }

    fn note_slot(&mut self, node: usize, group: usize, peer: Option<Beat>, now: Time) {
        let Some(seat) = self.boxes[node].seats.get_mut(group) else { return };
        let first = !std::mem::replace(&mut seat.slot_known, true);
        let Some(beat) = peer else { return };
        let last = &mut seat.heard[Medium::Array as usize];
        if first {
            *last = Some((Time(0), beat));
        } else if last.is_none_or(|(_, known)| known != beat) {
            *last = Some((now, beat));
        }
    }

    /// One command of the oldest order.
    fn work(&mut self, node: usize, group: usize, reachable: bool) {
        let now = self.clock(node);
        let Some(seat) = self.boxes[node].seats.get_mut(group) else { return };
        let Some((run, once)) = seat.work(node, now, reachable, &mut self.luns[group]) else { return };
        match once {
            Once::Again => {}
            Once::End(result) => self.feed(node, group, Event::Done { run, result }),
            Once::Refused => {
                let result = Err(cluster::StepFault::Failed("EBADE".to_owned()));
                self.feed(node, group, Event::Done { run, result });
                self.feed(node, group, Event::WriteFenced);
            }
            Once::Wrong(what) => self.broken = Some(Broken::Unproven(what)),
        }
    }

    /// The mail service and the kernel write.
    fn write(&mut self, node: usize, group: usize, reachable: bool) {
        let Some(seat) = self.boxes[node].seats.get(group) else { return };
        if seat.mounted && reachable && !self.luns[group].may_write(node) {
            self.feed(node, group, Event::WriteFenced);
        }
    }

    /// Hands an event to the core and does what it wants, until it wants nothing more.
    pub fn feed(&mut self, node: usize, group: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        let now = self.clock(node);
        while let Some(event) = events.pop_front() {
            let mut actions = Vec::new();
            let Some(seat) = self.boxes[node].seats.get_mut(group) else { return };
            seat.core.handle(now, event, &mut actions);
            for action in actions {
                self.act(node, group, action, &mut events);
            }
        }
    }

    fn act(&mut self, node: usize, group: usize, action: Action, events: &mut VecDeque<Event>) {
        let now = self.clock(node);
        let (until, fails) = self.boxes[node].path;
        let reachable = until < self.turn;
        let Some(seat) = self.boxes[node].seats.get_mut(group) else { return };
        match action {
            Action::Read { number } if reachable => {
                let reading = Some(self.luns[group].read(now));
                events.push_back(Event::Read { number, reading });
            }
            Action::Read { number } if fails => events.push_back(Event::Read { number, reading: None }),
            Action::Read { .. } | Action::SavePreference(_) => {}
            Action::Beat { beat, slot } => {
                if let Some(proof) = slot
                    && reachable
                    && proof.is_valid(now)
                    && self.luns[group].may_write(node)
                {
                    self.luns[group].slots[node] = Some(beat);
                }
                self.send(node, group, beat);
            }
            Action::Run { run, order, .. } => {
                seat.jobs.push_back(Job { run, order: OrderKind::of(&order), stage: 0 });
            }
            Action::Prove(proof) => seat.proof = Some(proof),
            Action::Suspend => seat.suspended = true,
            Action::Resume => seat.suspended = false,
            Action::Reset { .. } => self.power_off(node, self.turn + RESET_TURNS),
            Action::Answer { id: STOP_COMMAND, .. } => self.switch_off_when_released(node),
            Action::Answer { .. } => {}
            Action::Record(record) if record.decision == Decided::Take => self.judge_take(node, group),
            Action::Record(_) => {}
            Action::SaveMaintenance(on) => self.boxes[node].maintenance = on,
        }
    }

    fn send(&mut self, node: usize, group: usize, beat: Beat) {
        let cut = self.cut.map(|until| until >= self.turn);
        let Some(seat) = self.boxes[1 - node].seats.get_mut(group) else { return };
        for (cable, cut) in cut.into_iter().enumerate() {
            if !cut {
                seat.inbox[cable] = Some(beat);
            }
        }
    }

    fn switch_off_when_released(&mut self, node: usize) {
        let Some(turns) = self.boxes[node].stopping else { return };
        let idle = |seat: &Seat| !seat.core.role().claims();
        if self.boxes[node].seats.iter().all(idle) {
            self.power_off(node, self.turn.saturating_add(turns));
        }
    }

    /// The operator's word to every core of a box.
    pub fn command(&mut self, node: usize, id: u32, command: Command) {
        for group in 0..self.luns.len() {
            self.feed(node, group, Event::Command { id, command });
        }
    }

    // The judge

    /// Whoever takes has not heard its owner lately, or was let.
    fn judge_take(&mut self, node: usize, group: usize) {
        let peer_boot = self.boxes[1 - node].life;
        let now = self.clock(node);
        let seat = &self.boxes[node].seats[group];
        let said = || seat.heard.iter().flatten().filter(|(_, beat)| beat.boot == peer_boot);
        let fresh = said().any(|(at, _)| now.since_ms(*at) < DEAD_MS);
        let newest = said().max_by_key(|(_, beat)| beat.seq);
        let has_it = newest.is_some_and(|(_, beat)| beat.role.claims() && beat.hand_over != HandOver::Offer);
        if fresh && has_it && self.boxes[1 - node].off_until.is_none() {
            self.broken = Some(Broken::TookFromLiving);
        }
    }

    fn judge(&mut self) {
        for group in 0..self.luns.len() {
            let lun = &self.luns[group];
            let seat = |node: usize| self.boxes[node].seats.get(group);
            let writes = |node: usize| seat(node).is_some_and(|s| s.mounted) && lun.may_write(node);
            if writes(0) && writes(1) {
                self.broken = Some(Broken::TwoWriters);
            }
            let unproven = |node: usize| {
                let proven = |s: &Seat| s.proof.is_some_and(|proof| proof.is_valid(self.clock(node)));
                self.runs(node) && seat(node).is_some_and(|s| s.serves() && !proven(s))
            };
            if unproven(0) || unproven(1) {
                self.broken = Some(Broken::Unproven("clients are served without a proof"));
            }
            let served = (0..2).any(|node| self.runs(node) && seat(node).is_some_and(Seat::serves));
            let could = (0..2).any(|node| self.could_serve(node));
            let waits = !served && could && !self.troubled();
            self.idle[group] = if waits { self.idle[group] + 1 } else { 0 };
            if self.idle[group] > IDLE_TURNS_MAX {
                self.broken = Some(Broken::Idle);
            }
        }
        self.judge_steps();
    }

    fn judge_steps(&mut self) {
        for b in &mut self.boxes {
            for seat in &mut b.seats {
                let step = seat.core.step();
                // A step of a box that stands still has time.
                let more = u32::from(b.still_until.is_none());
                let same = |(known, turns): (Step, u32)| (Some(known) == step).then_some(turns + more);
                let turns = seat.step.and_then(same).unwrap_or(0);
                seat.step = step.map(|step| (step, turns));
                let bound = step.map_or(0, Step::deadline_ms) * STEP_ROUNDS_MAX;
                if b.still_until.is_none() && u64::from(turns) * TURN_MS > bound + 10 * TURN_MS {
                    self.broken = Some(Broken::Endless);
                }
            }
        }
    }
}
