//! One box: what is mounted, running and claimed on it, its clock, and the worker that carries the
//! core's orders out against the array, one command at a time.

use std::collections::VecDeque;

use cluster::{Core, HeldProof, Key, Node, Order, Preference, Reading, StepFault, Time};
use link::{Link, StreamDecoder};

use crate::array::{Array, Nexus};
use crate::clock::Clock;
use crate::rng::Rng;

/// Identifies the simulated pair.
pub const PAIR_ID: u32 = 0x0A0B_0C0D;
/// After so long the host adapter gives a command up that the array does not answer.
const COMMAND_MAX_MS: u64 = 30_000;
/// After so long a stop that does not succeed is given up.
const STOP_MAX_MS: u64 = 11_000;
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
    /// Commands take effect, but are not answered.
    HalfOpen,
}

/// What is wrong with a box, each until a moment of the world; 0 for what is well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ills {
    /// Commands are slow.
    pub slow_array: u64,
    /// The loop is slow.
    pub slow_box: u64,
    /// Mounting takes long.
    pub slow_mount: u64,
    /// The mail service cannot be stopped.
    pub stuck_stop: u64,
    /// The mail service does not work.
    pub sick_mail: u64,
    /// The public cable is out.
    pub public_cut: u64,
}

/// One box.
#[derive(Debug)]
pub struct Host {
    /// Its place.
    pub node: Node,
    /// What the array knows it by.
    pub nexus: Nexus,
    /// Counts starts of the cluster service; events of an earlier one are dropped.
    pub life: u32,
    /// It has power, whether or not its cluster service runs.
    pub powered: bool,
    /// Its core, while its cluster service runs.
    pub core: Option<Core>,
    /// Its end of the heartbeat, as long as the core.
    pub link: Option<Link>,
    /// What its serial port puts together.
    pub decoder: StreamDecoder,
    /// Stands still until then.
    pub frozen_until: Option<u64>,
    /// For how long it stands, or stood, still.
    pub frozen_ms: u64,
    /// When it last began to run again after standing still.
    pub awake_since: u64,
    /// Its clock.
    pub clock: Clock,
    path: Path,
    path_until: u64,
    /// What is wrong with it.
    pub ills: Ills,
    /// Its next slot write is torn.
    pub tear_slot: bool,
    /// The array was not reached at the last look.
    pub looked_in_vain: bool,
    /// The ownership this box won last.
    pub ownership: u64,
    /// The ownership the data is mounted under.
    pub mounted: Option<u64>,
    /// The file system met an error and takes no more writes.
    pub damaged: bool,
    /// The mail service has a process.
    pub mail: bool,
    /// It stands still.
    pub mail_hung: bool,
    /// Init starts it again should it end.
    pub mail_wanted: Option<HeldProof>,
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
    /// The power button was pressed: when power comes back.
    pub stop_back_at: Option<u64>,
    /// What it read of the reservation last.
    pub last_reading: Option<Reading>,
    /// It has listened without a gap since then, by its own clock.
    pub listening_since: Time,
    /// It gave its registration back, or tried to, since it took.
    pub gave_back: bool,
    /// A step was carried out where it must not be.
    pub wrong_order: Option<&'static str>,
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
    /// It has taken effect, and will say so then.
    ends: Option<(u64, Result<(), StepFault>)>,
}

/// How far a fence has come; other orders are one stage.
#[derive(Debug)]
enum Stage {
    First,
    Look,
    Win(Option<u64>),
    Clear,
    /// A mount that takes until then.
    Until(u64),
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
            powered: false,
            core: None,
            link: None,
            decoder: StreamDecoder::default(),
            frozen_until: None,
            frozen_ms: 0,
            awake_since: 0,
            clock: Clock::default(),
            path: Path::Up,
            path_until: 0,
            ills: Ills::default(),
            tear_slot: false,
            looked_in_vain: true,
            ownership: 0,
            mounted: None,
            damaged: false,
            mail: false,
            mail_hung: false,
            mail_wanted: None,
            address: false,
            suspended: false,
            proof: None,
            maintenance: false,
            preference: Preference::default(),
            stop_back_at: None,
            last_reading: None,
            listening_since: Time(0),
            gave_back: false,
            wrong_order: None,
            jobs: VecDeque::new(),
        }
    }

    /// The box's own clock at `now`.
    pub fn clock(&self, now: u64) -> Time {
        self.clock.read(now)
    }

    /// Power goes, or a reset: everything that is not on a disk is gone.
    pub fn lose_everything(&mut self) {
        self.lose_cluster_service();
        self.put_away();
        self.powered = false;
        self.frozen_until = None;
        self.stop_back_at = None;
    }

    /// The cluster service ends; what it had made stays for a moment.
    pub fn lose_cluster_service(&mut self) {
        self.life += 1;
        self.core = None;
        self.link = None;
        self.decoder = StreamDecoder::default();
        self.proof = None;
        self.jobs.clear();
    }

    /// Nothing of the group is left on the box.
    pub fn put_away(&mut self) {
        self.mounted = None;
        self.damaged = false;
        self.stop_mail();
        self.address = false;
        self.suspended = false;
    }

    fn stop_mail(&mut self) {
        self.mail = false;
        self.mail_hung = false;
        self.mail_wanted = None;
    }

    /// The box gets power, and its clock begins.
    pub fn power_on(&mut self, now: u64) {
        self.powered = true;
        self.clock.begin(now, SERVICE_START_MS);
    }

    /// Its cluster service starts at `now`.
    pub fn start_service(&mut self, core: Core, link: Link) {
        self.life += 1;
        self.core = Some(core);
        self.link = Some(link);
        self.looked_in_vain = true;
        self.gave_back = false;
    }

    /// It goes on at `now`; its clock stood still for `clock_stopped_ms`. False if it was not frozen.
    pub fn thaw(&mut self, now: u64, clock_stopped_ms: u64) -> bool {
        let frozen = self.frozen_until.take().is_some();
        if frozen {
            self.clock.stood_still(clock_stopped_ms);
            self.awake_since = now;
        }
        frozen
    }

    /// The way to the array at `now`.
    pub fn path(&self, now: u64) -> Path {
        if now < self.path_until { self.path } else { Path::Up }
    }

    /// The way to the array is `path` until then.
    pub fn break_path(&mut self, path: Path, until: u64) {
        self.path = path;
        self.path_until = until;
    }

    /// Whether its public network has a link.
    pub fn public_up(&self, now: u64) -> bool {
        now >= self.ills.public_cut
    }

    /// Whether clients that reach it are being served.
    pub fn is_serving(&self) -> bool {
        self.address && self.mail && !self.mail_hung && !self.suspended && self.frozen_until.is_none()
    }

    /// Whether the mail service answers a probe as it should.
    pub fn mail_answers(&self, now: u64) -> bool {
        let works = self.mail && !self.mail_hung && now >= self.ills.sick_mail;
        works && !self.suspended && !self.damaged && self.path(now) == Path::Up
    }

    /// Takes an order; true if the worker was idle and must be woken.
    pub fn take_order(&mut self, now: u64, run: u32, order: Order, deadline_ms: u64) -> bool {
        let deadline = self.clock(now) + deadline_ms;
        self.jobs.push_back(Job { run, order, deadline, begun: None, stage: Stage::First, ends: None });
        self.jobs.len() == 1
    }

    /// Carries one command of the oldest order out.
    pub fn work(&mut self, now: u64, array: &mut Array, address_free: bool, rng: &mut Rng) -> Progress {
        let clock = self.clock(now);
        let path = self.path(now);
        let Some(job) = self.jobs.front_mut() else { return Progress::Idle };
        let late = job.begun.is_none() && clock >= job.deadline;
        let begun = *job.begun.get_or_insert(now);
        let half = path == Path::HalfOpen && takes_effect_unheard(&job.order);
        let once = if let Some((end, result)) = &job.ends {
            if now < *end { Once::Again } else { Once::End(result.clone()) }
        } else if late {
            Once::End(failed("it came too late"))
        } else if half {
            // The command arrives; the answer does not, and the host adapter gives up.
            let _ = self.carry_out(now, clock, array, address_free, rng);
            Once::End(failed("no answer"))
        } else if needs_array(&job.order) && path != Path::Up {
            let given_up = path == Path::Failing || now - begun >= COMMAND_MAX_MS;
            if given_up { Once::End(failed("no answer")) } else { Once::Again }
        } else if needs_array(&job.order) && array.take_attention(self.nexus) {
            Once::Again
        } else if rng.chance(3) {
            Once::End(failed("chance"))
        } else {
            self.carry_out(now, clock, array, address_free, rng)
        };
        let Some(job) = self.jobs.front_mut() else { return Progress::Idle };
        let (run, order) = (job.run, job.order);
        let (result, fenced) = match once {
            Once::Again => return Progress::More,
            // Between the effect and the word of it the box can be struck as well.
            Once::End(result) if job.ends.is_none() && result.is_ok() => {
                job.ends = Some((now + rng.range(0, takes_ms(&order)), result));
                return Progress::More;
            }
            Once::End(result) => (result, false),
            Once::Fenced => (failed("EBADE"), true),
        };
        self.jobs.pop_front();
        Progress::Ended { run, order, result, fenced }
    }

    /// Whether there are more orders.
    pub fn has_work(&self) -> bool {
        !self.jobs.is_empty()
    }

    fn carry_out(
        &mut self,
        now: u64,
        clock: Time,
        array: &mut Array,
        address_free: bool,
        rng: &mut Rng,
    ) -> Once {
        let Some(job) = self.jobs.front() else { return Once::Again };
        let begun = job.begun.unwrap_or(now);
        match job.order {
            Order::Fence { key, over } => self.fence(key, over, array),
            Order::Repair { key } => self.fence(key, None, array),
            Order::Mount { proof } => self.mount(proof, now, clock, array, rng),
            Order::Recover { proof } => self.start_mail(proof, array),
            Order::Serve { .. } => self.wait_for_mail(now, begun),
            Order::RestartMail { proof } => match self.start_mail(proof, array) {
                Once::End(Ok(())) => self.wait_for_mail(now, begun),
                other => other,
            },
            Order::Announce { .. } if !address_free => Once::End(failed("the address is in use")),
            Order::Announce { proof } if proof.is_valid(clock) => {
                self.wrong_order = self.mounted.is_none().then_some("announces without its data");
                self.address = true;
                Once::End(Ok(()))
            }
            Order::Announce { .. } => Once::End(failed("the proof is too old")),
            Order::Withdraw => {
                self.address = false;
                Once::End(Ok(()))
            }
            Order::Halt if now < self.ills.stuck_stop => {
                if now - begun >= STOP_MAX_MS {
                    Once::End(failed("it does not end"))
                } else {
                    Once::Again
                }
            }
            Order::Halt => {
                self.stop_mail();
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
                if self.mounted.is_some() {
                    self.wrong_order = Some("gives the reservation back with the file system mounted");
                }
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
            Stage::Until(_) | Stage::Clear => {
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

    fn mount(&mut self, proof: HeldProof, now: u64, clock: Time, array: &Array, rng: &mut Rng) -> Once {
        if let Some(Job { stage: Stage::Until(end), .. }) = self.jobs.front() {
            return if now < *end { Once::Again } else { Once::End(Ok(())) };
        }
        if !proof.is_valid(clock) {
            return Once::End(failed("the proof is too old"));
        }
        if !array.may_write(self.nexus) {
            return Once::Fenced;
        }
        self.mounted = Some(self.ownership);
        if now < self.ills.slow_mount
            && let Some(job) = self.jobs.front_mut()
        {
            job.stage = Stage::Until(now + rng.range(1_000, 25_000));
            return Once::Again;
        }
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
            return Once::End(failed("the store cannot be opened"));
        }
        let again = array.store_epoch == proof.epoch() && array.store_owner != self.ownership;
        if again && !array.epoch_lost {
            self.wrong_order = Some("opens the store with an epoch that another owner has used");
        }
        array.store_owner = self.ownership;
        array.store_epoch = proof.epoch();
        self.mail = true;
        self.mail_hung = false;
        self.mail_wanted = Some(proof);
        Once::End(Ok(()))
    }

    /// Init starts the mail service again after it crashed.
    pub fn mail_comes_back(&mut self, array: &mut Array) {
        if let Some(proof) = self.mail_wanted
            && !self.mail
        {
            let _ = self.start_mail(proof, array);
        }
    }

    fn wait_for_mail(&self, now: u64, begun: u64) -> Once {
        if self.mail_answers(now) {
            Once::End(Ok(()))
        } else if now - begun > 8_000 {
            Once::End(failed("the mail service does not answer"))
        } else {
            Once::Again
        }
    }
}

fn failed(words: &str) -> Result<(), StepFault> {
    Err(StepFault::Failed(words.to_owned()))
}

/// How long an order takes at most after it has taken effect, where nothing is slow.
fn takes_ms(order: &Order) -> u64 {
    match order {
        Order::Fence { .. } | Order::Repair { .. } | Order::Unreserve { .. } => 30,
        Order::Withdraw => 50,
        Order::Announce { .. } | Order::Unmount { .. } => 200,
        Order::Mount { .. } | Order::Serve { .. } => 400,
        Order::Recover { .. } | Order::Halt | Order::RestartMail { .. } => 500,
    }
}

/// Whether one command without its answer does all that the order is about.
fn takes_effect_unheard(order: &Order) -> bool {
    matches!(order, Order::Fence { .. } | Order::Repair { .. } | Order::Unreserve { .. })
}

fn needs_array(order: &Order) -> bool {
    match order {
        Order::Fence { .. }
        | Order::Repair { .. }
        | Order::Mount { .. }
        | Order::Recover { .. }
        | Order::RestartMail { .. }
        | Order::Halt
        | Order::Unmount { .. }
        | Order::Unreserve { .. } => true,
        Order::Serve { .. } | Order::Announce { .. } | Order::Withdraw => false,
    }
}
