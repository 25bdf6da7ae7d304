//! One box: what is mounted, running and claimed on it, its clock, and the worker that carries the
//! core's orders out against the array, one command at a time.

use std::collections::VecDeque;

use cluster::{Core, HeldProof, Key, Node, Order, Preference, StepFault, Time};

use crate::array::{Array, Nexus};
use crate::rng::Rng;

/// Identifies the simulated pair.
pub const PAIR_ID: u32 = 0x0A0B_0C0D;
/// After so long the host adapter gives a command up that the array does not answer.
const COMMAND_MAX_MS: u64 = 30_000;
/// Uptime at which the cluster service starts.
const SERVICE_START_MS: u64 = 3_000;

/// State of the way to the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Commands are answered.
    Up,
    /// Commands fail at once.
    Failing,
    /// Commands are not answered.
    Hanging,
}

/// One box.
#[derive(Debug)]
pub struct Host {
    /// Its place.
    pub node: Node,
    /// What the array knows it by.
    pub nexus: Nexus,
    /// Counts power cycles and resets; events of an earlier life are dropped.
    pub life: u32,
    /// Its core, while it is on.
    pub core: Option<Core>,
    /// Stands still until then.
    pub frozen_until: Option<u64>,
    /// When it last began to run again after standing still.
    pub awake_since: u64,
    boot_at: u64,
    stopped_ms: u64,
    /// Way to the array.
    pub path: Path,
    /// Its worker is slow.
    pub slow: bool,
    /// Its mail service does not work.
    pub mail_sick: bool,
    /// Its public network has a link.
    pub public_up: bool,
    /// The ownership this box won last.
    pub ownership: u64,
    /// The ownership the data is mounted under.
    pub mounted: Option<u64>,
    /// The file system met an error and takes no more writes.
    pub damaged: bool,
    /// The mail service has a process.
    pub mail: bool,
    /// The virtual address is here.
    pub address: bool,
    /// The group is held still.
    pub suspended: bool,
    /// The proof shown last.
    pub proof: Option<HeldProof>,
    /// Survive a restart: what the settings keep.
    pub maintenance: bool,
    /// Survives a restart.
    pub preference: Preference,
    jobs: VecDeque<Job>,
}

/// An order being carried out.
#[derive(Debug)]
struct Job {
    run: u32,
    order: Order,
    deadline: Time,
    begun: Option<u64>,
    stage: Stage,
}

/// How far a fence has come; other orders are one stage.
#[derive(Debug)]
enum Stage {
    First,
    Look,
    Win(Option<u64>),
    Clear,
}

/// What the worker did with one command.
#[derive(Debug)]
pub enum Progress {
    /// Nothing to do.
    Idle,
    /// There is more to do.
    More,
    /// An order ended.
    Ended {
        /// Its number.
        run: u32,
        /// Its step, for the trace.
        order: Order,
        /// How.
        result: Result<(), StepFault>,
        /// The array refused a write for the reservation.
        fenced: bool,
    },
}

enum Once {
    Again,
    End(Result<(), StepFault>),
    Fenced,
}

impl Host {
    /// A box without power.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            nexus: node as Nexus,
            life: 0,
            core: None,
            frozen_until: None,
            awake_since: 0,
            boot_at: 0,
            stopped_ms: 0,
            path: Path::Up,
            slow: false,
            mail_sick: false,
            public_up: true,
            ownership: 0,
            mounted: None,
            damaged: false,
            mail: false,
            address: false,
            suspended: false,
            proof: None,
            maintenance: false,
            preference: Preference::default(),
            jobs: VecDeque::new(),
        }
    }

    /// The box's own clock at `now`.
    pub fn clock(&self, now: u64) -> Time {
        Time(SERVICE_START_MS + now.saturating_sub(self.boot_at + self.stopped_ms))
    }

    /// Power goes, or a reset: everything that is not on a disk is gone.
    pub fn lose_everything(&mut self) {
        self.life += 1;
        self.core = None;
        self.frozen_until = None;
        self.mounted = None;
        self.damaged = false;
        self.mail = false;
        self.address = false;
        self.suspended = false;
        self.proof = None;
        self.jobs.clear();
    }

    /// The box comes up at `now`.
    pub fn boot(&mut self, now: u64, core: impl FnOnce(Time) -> Core) {
        self.life += 1;
        self.boot_at = now;
        self.stopped_ms = 0;
        self.core = Some(core(Time(SERVICE_START_MS)));
    }

    /// It goes on at `now`; its clock stood still for `clock_stopped_ms`. False if it was not frozen.
    pub fn thaw(&mut self, now: u64, clock_stopped_ms: u64) -> bool {
        let frozen = self.frozen_until.take().is_some();
        if frozen {
            self.stopped_ms += clock_stopped_ms;
            self.awake_since = now;
        }
        frozen
    }

    /// Whether clients are being served.
    pub fn is_serving(&self) -> bool {
        self.address && self.mail && !self.suspended && self.frozen_until.is_none()
    }

    /// Whether the mail service answers a probe as it should.
    pub fn mail_answers(&self) -> bool {
        self.mail && !self.suspended && !self.damaged && !self.mail_sick && self.path == Path::Up
    }

    /// Takes an order; true if the worker was idle and must be woken.
    pub fn take_order(&mut self, now: u64, run: u32, order: Order, deadline_ms: u64) -> bool {
        let deadline = self.clock(now) + deadline_ms;
        self.jobs.push_back(Job { run, order, deadline, begun: None, stage: Stage::First });
        self.jobs.len() == 1
    }

    /// Carries one command of the oldest order out.
    pub fn work(&mut self, now: u64, array: &mut Array, rng: &mut Rng) -> Progress {
        let clock = self.clock(now);
        let path = self.path;
        let Some(job) = self.jobs.front_mut() else { return Progress::Idle };
        let late = job.begun.is_none() && clock >= job.deadline;
        let begun = *job.begun.get_or_insert(now);
        let once = if late {
            Once::End(Err(StepFault::Failed("it came too late".to_owned())))
        } else if needs_array(&job.order) && path != Path::Up {
            let given_up = path == Path::Failing || now - begun >= COMMAND_MAX_MS;
            if given_up { Once::End(Err(StepFault::Failed("no answer".to_owned()))) } else { Once::Again }
        } else if needs_array(&job.order) && array.take_attention(self.nexus) {
            Once::Again
        } else if rng.chance(3) {
            Once::End(Err(StepFault::Failed("chance".to_owned())))
        } else {
            self.carry_out(now, clock, array)
        };
        let Some(job) = self.jobs.front() else { return Progress::Idle };
        let (run, order) = (job.run, job.order);
        let (result, fenced) = match once {
            Once::Again => return Progress::More,
            Once::End(result) => (result, false),
            Once::Fenced => (Err(StepFault::Failed("EBADE".to_owned())), true),
        };
        self.jobs.pop_front();
        Progress::Ended { run, order, result, fenced }
    }

    /// Whether there are more orders.
    pub fn has_work(&self) -> bool {
        !self.jobs.is_empty()
    }

    fn carry_out(&mut self, now: u64, clock: Time, array: &mut Array) -> Once {
        let Some(job) = self.jobs.front() else { return Once::Again };
        let begun = job.begun.unwrap_or(now);
        match job.order {
            Order::Fence { key, over } => self.fence(key, over, array),
            Order::Mount { proof } => self.mount(proof, clock, array),
            Order::Recover { proof } => self.start_mail(proof, array),
            Order::Serve { .. } => self.wait_for_mail(now, begun),
            Order::RestartMail { proof } => match self.start_mail(proof, array) {
                Once::End(Ok(())) => self.wait_for_mail(now, begun),
                other => other,
            },
            Order::Announce { proof } if proof.is_valid(clock) => {
                self.address = true;
                Once::End(Ok(()))
            }
            Order::Announce { .. } => Once::End(Err(StepFault::Failed("the proof is too old".to_owned()))),
            Order::Withdraw => {
                self.address = false;
                Once::End(Ok(()))
            }
            Order::Halt => {
                self.mail = false;
                Once::End(Ok(()))
            }
            Order::Unmount { .. } => {
                if self.mounted.is_some() && !array.may_write(self.nexus) {
                    return Once::Fenced;
                }
                self.mounted = None;
                self.damaged = false;
                Once::End(Ok(()))
            }
            Order::Unreserve { release, .. } => {
                self.proof = None;
                if release || !array.is_holder(self.nexus) {
                    array.unregister(self.nexus);
                }
                Once::End(Ok(()))
            }
        }
    }

    fn fence(&mut self, key: Key, over: Option<u64>, array: &mut Array) -> Once {
        let own = key.encode();
        let nexus = self.nexus;
        let Some(job) = self.jobs.front_mut() else { return Once::Again };
        match job.stage {
            Stage::First => {
                array.register(nexus, own);
                job.stage = Stage::Look;
                Once::Again
            }
            Stage::Look => {
                job.stage = match array.read(Time(0)).holder.map(|holder| holder.key) {
                    None => Stage::Win(None),
                    Some(holder) if holder == own => Stage::Clear,
                    Some(holder) if Some(holder) == over => Stage::Win(over),
                    Some(_) => {
                        array.unregister(nexus);
                        return Once::End(Err(StepFault::RaceLost));
                    }
                };
                Once::Again
            }
            Stage::Win(over) => {
                let won = match over {
                    None => array.reserve(nexus),
                    Some(over) => array.preempt(nexus, over),
                };
                job.stage = Stage::Clear;
                if won.is_err() {
                    array.unregister(nexus);
                    return Once::End(Err(StepFault::RaceLost));
                }
                Once::Again
            }
            Stage::Clear => {
                let earlier = |raw: &u64| Key::decode(*raw, PAIR_ID).is_some_and(|k| k.epoch() < key.epoch());
                if let Some(raw) = array.read(Time(0)).keys.into_iter().find(earlier) {
                    // One that went by itself meanwhile is as good.
                    let _ = array.preempt(nexus, raw);
                    return Once::Again;
                }
                // An owner that puts its registrations in order stays the owner it was.
                if self.mounted.is_none() {
                    array.ownerships += 1;
                    self.ownership = array.ownerships;
                }
                Once::End(Ok(()))
            }
        }
    }

    fn mount(&mut self, proof: HeldProof, clock: Time, array: &Array) -> Once {
        if !proof.is_valid(clock) {
            return Once::End(Err(StepFault::Failed("the proof is too old".to_owned())));
        }
        if !array.may_write(self.nexus) {
            return Once::Fenced;
        }
        self.mounted = Some(self.ownership);
        Once::End(Ok(()))
    }

    fn start_mail(&mut self, proof: HeldProof, array: &mut Array) -> Once {
        if array.store_epoch > proof.epoch() {
            return Once::End(Err(StepFault::EpochSeen(array.store_epoch)));
        }
        if !array.may_write(self.nexus) {
            return Once::Fenced;
        }
        if self.damaged || self.mounted.is_none() {
            return Once::End(Err(StepFault::Failed("the store cannot be opened".to_owned())));
        }
        array.store_epoch = proof.epoch();
        self.mail = true;
        Once::End(Ok(()))
    }

    fn wait_for_mail(&self, now: u64, begun: u64) -> Once {
        if self.mail_answers() {
            Once::End(Ok(()))
        } else if now - begun > 8_000 {
            Once::End(Err(StepFault::Failed("the mail service does not answer".to_owned())))
        } else {
            Once::Again
        }
    }
}

fn needs_array(order: &Order) -> bool {
    match order {
        Order::Fence { .. }
        | Order::Mount { .. }
        | Order::Recover { .. }
        | Order::RestartMail { .. }
        | Order::Halt
        | Order::Unmount { .. }
        | Order::Unreserve { .. } => true,
        Order::Serve { .. } | Order::Announce { .. } | Order::Withdraw => false,
    }
}
