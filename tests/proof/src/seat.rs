//! One core on one box, and what was really done for its group there.

use std::collections::VecDeque;

use cluster::{Beat, Core, HeldProof, Key, Medium, Order, Step, StepFault, Time};

use crate::lun::Lun;
use crate::pair::PAIR_ID;

/// One core, and what is mounted, running and claimed.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The core that ships.
    pub core: Core,
    /// The file system is mounted.
    pub mounted: bool,
    /// The mail service runs.
    pub mail: bool,
    /// The addresses are here.
    pub address: bool,
    /// Everything is held still.
    pub suspended: bool,
    /// The newest proof.
    pub proof: Option<HeldProof>,
    /// Orders not carried out yet.
    pub jobs: VecDeque<Job>,
    /// What each cable brought since the last turn.
    pub inbox: [Option<Beat>; 2],
    /// What each medium brought last, kept by the judge.
    pub heard: [Option<(Time, Beat)>; 3],
    /// The judge has seen the slot once.
    pub slot_known: bool,
    /// The last write was refused.
    pub refused: bool,
    /// For how many turns the present step has lasted.
    pub step: Option<(Step, u32)>,
}

/// An order being carried out, one command of it a turn.
#[derive(Debug, Clone, Hash)]
pub struct Job {
    /// Its number.
    pub run: u32,
    /// The order itself.
    pub order: OrderKind,
    /// How far it has come.
    pub stage: u8,
}

/// An order without its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderKind {
    /// With this key, over that one.
    Fence(Key, Option<u64>),
    /// Any that needs no more than its step and its proof's epoch.
    Plain(Step, u32),
    /// And whether the reservation goes as well.
    Unreserve(bool),
}

/// What became of one command.
pub enum Once {
    /// There is more to do.
    Again,
    /// The order came to its end.
    End(Result<(), StepFault>),
    /// The array refused a write.
    Refused,
    /// It was done where it must not be.
    Wrong(&'static str),
}

impl OrderKind {
    /// What is kept of an order.
    pub fn of(order: &Order) -> Self {
        match order {
            Order::Fence { key, over } => Self::Fence(*key, *over),
            Order::Repair { key } => Self::Fence(*key, None),
            Order::Unreserve { release, .. } => Self::Unreserve(*release),
            Order::Mount { proof }
            | Order::Recover { proof }
            | Order::Serve { proof }
            | Order::Announce { proof }
            | Order::RestartMail { proof }
            | Order::Unmount { proof } => Self::Plain(order.step(), proof.epoch()),
            Order::Halt | Order::Withdraw => Self::Plain(order.step(), 0),
        }
    }

    fn needs_array(self) -> bool {
        !matches!(self, Self::Plain(Step::Serve | Step::Announce | Step::Withdraw, _))
    }
}

impl Seat {
    /// A core that was just started.
    pub fn new(core: Core) -> Self {
        Self {
            core,
            mounted: false,
            mail: false,
            address: false,
            suspended: false,
            proof: None,
            jobs: VecDeque::new(),
            inbox: [None; 2],
            heard: [None; 3],
            slot_known: false,
            refused: false,
            step: None,
        }
    }

    /// Whether clients are served here.
    pub fn serves(&self) -> bool {
        self.address && self.mail && self.mounted && !self.suspended
    }

    /// Carries one command of the oldest order out; `now` is this box's clock.
    pub fn work(&mut self, node: usize, now: Time, reachable: bool, lun: &mut Lun) -> Option<(u32, Once)> {
        let job = self.jobs.front()?.clone();
        if job.order.needs_array() && !reachable {
            return Some((job.run, Once::Again));
        }
        let once = match job.order {
            OrderKind::Fence(key, over) => self.fence(node, key, over, job.stage, lun),
            OrderKind::Unreserve(_) if self.mounted => Once::Wrong("the reservation goes while mounted"),
            OrderKind::Unreserve(release) => {
                self.proof = None;
                if release || lun.holder != Some(node) {
                    lun.unregister(node);
                }
                Once::End(Ok(()))
            }
            OrderKind::Plain(step, epoch) => self.plain(node, now, step, epoch, lun),
        };
        match once {
            Once::Again => {
                if let Some(job) = self.jobs.front_mut() {
                    job.stage += 1;
                }
            }
            _ => drop(self.jobs.pop_front()),
        }
        Some((job.run, once))
    }

    fn fence(&mut self, node: usize, key: Key, over: Option<u64>, stage: u8, lun: &mut Lun) -> Once {
        let own = key.encode();
        match stage {
            0 => lun.keys[node] = Some(own),
            1 => {
                let holder = lun.holder.and_then(|holder| lun.keys[holder]);
                let won = match holder {
                    None => lun.reserve(node),
                    Some(held) if held == own => true,
                    Some(held) if Some(held) == over => lun.preempt(node, held),
                    Some(_) => false,
                };
                if !won {
                    lun.unregister(node);
                    return Once::End(Err(StepFault::RaceLost));
                }
            }
            _ => match lun.earlier(key, PAIR_ID) {
                Some(raw) => drop(lun.preempt(node, raw)),
                None => return Once::End(Ok(())),
            },
        }
        Once::Again
    }

    fn plain(&mut self, node: usize, now: Time, step: Step, epoch: u32, lun: &mut Lun) -> Once {
        let proven = self.proof.is_some_and(|proof| proof.is_valid(now));
        let failed = |words: &str| Once::End(Err(StepFault::Failed(words.to_owned())));
        match step {
            Step::Withdraw => self.address = false,
            Step::Halt => self.mail = false,
            Step::Announce if !self.mounted => return Once::Wrong("the addresses come before the data"),
            Step::Serve => {}
            _ if !lun.may_write(node) => return Once::Refused,
            Step::Unmount => self.mounted = false,
            _ if !proven => return failed("the proof is too old"),
            Step::Mount => self.mounted = true,
            Step::Announce => self.address = true,
            _ if epoch < lun.store_epoch => return Once::End(Err(StepFault::EpochSeen(lun.store_epoch))),
            _ => {
                lun.store_epoch = epoch;
                self.mail = true;
            }
        }
        Once::End(Ok(()))
    }

    /// The judge hears what the core hears.
    pub fn note(&mut self, medium: Medium, at: Time, beat: &Beat) {
        let last = &mut self.heard[medium as usize];
        if last.is_none_or(|(_, known)| known.boot != beat.boot || known.seq < beat.seq) {
            *last = Some((at, *beat));
        }
    }
}
