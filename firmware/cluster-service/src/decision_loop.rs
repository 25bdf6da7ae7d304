//! The decision loop: one thread that owns the core, waits for nobody, and feeds the watchdog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use array::now;
use cluster::situation::PeerSeen;
use cluster::{Action, Command, Core, Event, Role};
use control::cluster::{Reply, Request, Setup, SetupState, Status};
use crossbeam_channel::{Receiver, Sender};
use tracing::{info, warn};

use crate::array_paths::ArrayPaths;
use crate::input::Input;
use crate::media::Media;
use crate::orders::{Hands, Job};
use crate::requests::Asked;
use crate::settings_keeper::{Keep, SettingsKeeper};
use crate::status::Noticeboard;
use crate::teller::Teller;
use crate::watchdog::Watchdog;
use crate::{mail_service, reset};

/// Longest sleep of the loop.
const TICK: Duration = Duration::from_millis(50);
/// Most inputs taken before the watchdog is fed and the stop flag looked at again.
const ROUND_MAX: usize = 64;
/// From the request to stop to the end, whatever the group does. Init kills the service later.
const STOP_LIMIT: Duration = Duration::from_secs(14);
/// How long a box that goes down tells the other one that the group is released, if that one does not
/// take it before: some beats, on every medium.
const ANNOUNCE_RELEASE: Duration = Duration::from_secs(1);
/// Most commands whose answers are awaited; the core answers each in the same call.
const PENDING_MAX: usize = 64;

/// Everything the loop uses.
pub struct DecisionLoop {
    /// The core.
    pub core: Core,
    /// What comes in.
    pub inputs: Receiver<Input>,
    /// Who carries orders out.
    pub hands: Hands,
    /// Who reads the reservation.
    pub array_paths: ArrayPaths,
    /// Who sends beats.
    pub media: Media,
    /// Who saves settings.
    pub keeper: SettingsKeeper,
    /// What the status shows.
    pub noticeboard: Noticeboard,
    /// What is told of decisions and readiness.
    pub teller: Teller,
    /// The watchdog, if the box has one that works.
    pub watchdog: Option<Watchdog>,
    /// Set while the mail service is to be probed.
    pub serving: Arc<AtomicBool>,
    /// Set when the service is asked to end.
    pub stop: Arc<AtomicBool>,
    /// Answers that callers wait for.
    pub pending: BTreeMap<u32, Sender<Reply>>,
    /// Number of the next command.
    pub next_command: u32,
    /// When the group was found released, on the way down.
    pub let_go: Option<Instant>,
    /// Whether the group's processes are held still; unknown at the start.
    pub held: Option<bool>,
}

impl DecisionLoop {
    /// Decides until the service is asked to end and the group is released, or time is up.
    pub fn run(&mut self) {
        let mut stopping: Option<Instant> = None;
        let mut actions = Vec::new();
        loop {
            self.round(&mut actions);
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.feed();
            }
            match stopping {
                None if self.stop.load(Ordering::Acquire) => {
                    info!("asked to end; the group is released first");
                    stopping = Some(Instant::now());
                    self.tell(Event::Command { id: 0, command: Command::Stop }, &mut actions);
                }
                Some(since) if since.elapsed() >= STOP_LIMIT => return,
                Some(_) if !self.core.role().claims() && self.is_known_to_have_let_go() => return,
                _ => {}
            }
        }
    }

    /// Whether the other box takes, or is told often enough that it may.
    fn is_known_to_have_let_go(&mut self) -> bool {
        let since = *self.let_go.get_or_insert_with(Instant::now);
        let taken = matches!(self.core.peer_seen(), PeerSeen::Alive { role, .. } if role.claims());
        taken || since.elapsed() >= ANNOUNCE_RELEASE
    }

    /// Waits for an input, takes what else is there, ends with a tick.
    fn round(&mut self, actions: &mut Vec<Action>) {
        if let Ok(first) = self.inputs.recv_timeout(TICK) {
            self.take(first, actions);
            for _ in 1..ROUND_MAX {
                let Ok(input) = self.inputs.try_recv() else { break };
                self.take(input, actions);
            }
        }
        self.tell(Event::Tick, actions);
        // Nothing is mounted any more, so there is nothing to hold.
        if self.core.lapsed_ms() == 0 && self.core.role() != Role::Fenced {
            self.hold(false);
        }
        self.noticeboard.watch(&self.core, now());
        self.noticeboard.set_alarm("settings", self.keeper.trouble(), now());
        self.teller.watch(&self.core, &mut self.noticeboard, now());
        let serves = self.core.role() == Role::Active && self.core.lapsed_ms() == 0;
        self.serving.store(serves, Ordering::Release);
    }

    fn take(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Core(event) => self.tell(event, actions),
            Input::Medium(report) => self.noticeboard.take_medium(report),
            Input::Services(services) => {
                self.noticeboard.take_services(services);
                // A process that began while everything is held still is held still as well.
                if self.held == Some(true) {
                    self.noticeboard.mail_pid().into_iter().for_each(mail_service::suspend);
                }
            }
            Input::Alarm { code, text } => self.noticeboard.set_alarm(code, text, now()),
            Input::PeerJoined { name } => self.noticeboard.peer_joined(name),
            Input::Telling(news) => {
                self.teller.take(news, &self.core, &self.noticeboard, &self.keeper, now());
            }
            Input::Asked(asked) => self.answer(asked, actions),
        }
    }

    fn tell(&mut self, event: Event, actions: &mut Vec<Action>) {
        self.core.handle(now(), event, actions);
        for action in actions.drain(..) {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Read { number } => {
                // A path hangs with the array; the core counts the reading as failed by its age.
                self.array_paths.read(number);
            }
            Action::Beat { beat, slot } => self.media.send(beat, slot),
            Action::Run { run, order, deadline_ms } => {
                self.hands.give(Job { run, order, deadline: now() + deadline_ms });
            }
            // Orders carry their proofs, the slot's comes with each beat; a path that returns needs one.
            Action::Prove(proof) => self.array_paths.proven(proof),
            Action::Suspend => {
                warn!("the proof of the reservation has lapsed: the mail service is held still");
                self.hold(true);
            }
            Action::Resume => {
                info!("the reservation is proven again: the mail service goes on");
                self.hold(false);
            }
            Action::Reset { reason } => reset::now(&reason),
            Action::Answer { id, result } => {
                if let Some(answer) = self.pending.remove(&id) {
                    let reply =
                        result.map_or_else(|refusal| Reply::Refused(refusal.to_string()), |()| Reply::Done);
                    let _ = answer.try_send(reply);
                }
            }
            Action::Record(record) => info!("{}", self.teller.record(&record, &self.noticeboard)),
            Action::SavePreference(preference) => self.keep(Keep::Preference(preference)),
            Action::SaveMaintenance(on) => self.keep(Keep::Maintenance(on)),
        }
    }

    /// Holds every process of the group still, one that is being started among them; or lets them go on.
    fn hold(&mut self, still: bool) {
        if self.held == Some(still) {
            return;
        }
        self.held = Some(still);
        mail_service::freeze(still);
        let signal = if still { mail_service::suspend } else { mail_service::resume };
        self.noticeboard.mail_pid().into_iter().for_each(signal);
    }

    fn keep(&mut self, what: Keep) {
        // What cannot be handed over is the keeper's trouble, and so an alarm.
        let _ = self.keeper.keep(what);
    }

    fn answer(&mut self, asked: Asked, actions: &mut Vec<Action>) {
        let Asked { request, answer } = asked;
        let reply = match request {
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::Records { records_max } => Reply::Records(self.teller.records(records_max)),
            Request::SwitchOver { to } => match self.switch_over_target(to.as_deref()) {
                Ok(to) => return self.command(Command::SwitchOver { to }, answer, actions),
                Err(reason) => Reply::Refused(reason),
            },
            Request::Maintenance { on } => return self.command(Command::Maintenance { on }, answer, actions),
            Request::Prefer { owner, fail_back } => match owner.map(|name| self.named(&name)).transpose() {
                Ok(owner) => return self.command(Command::Prefer { owner, fail_back }, answer, actions),
                Err(reason) => Reply::Refused(reason),
            },
            Request::Telling(request) => {
                let status = self.status();
                self.teller.answer(request, &status, &self.keeper)
            }
            Request::Setup(Setup::State) => {
                Reply::Setup(SetupState::Complete { paired: self.noticeboard.is_paired() })
            }
            Request::Setup(Setup::Luns | Setup::First(_) | Setup::Join(_)) => {
                Reply::Refused("this box has been set up already".to_owned())
            }
        };
        let _ = answer.try_send(reply);
    }

    fn status(&self) -> Status {
        let mut status = self.noticeboard.status(&self.core, now());
        self.teller.complete(&mut status, now());
        status
    }

    fn command(&mut self, command: Command, answer: Sender<Reply>, actions: &mut Vec<Action>) {
        if self.pending.len() >= PENDING_MAX {
            let _ = answer.try_send(Reply::Refused("too many commands at once; try again".to_owned()));
            return;
        }
        self.next_command = self.next_command.wrapping_add(1).max(1);
        self.pending.insert(self.next_command, answer);
        self.tell(Event::Command { id: self.next_command, command }, actions);
    }

    fn named(&self, name: &str) -> Result<cluster::Node, String> {
        self.noticeboard.node_named(name).ok_or_else(|| format!("no box of this pair is called {name}"))
    }

    /// The box named, or the one that does not serve now.
    fn switch_over_target(&self, to: Option<&str>) -> Result<cluster::Node, String> {
        let own = self.core.config().node;
        match to {
            Some(name) => self.named(name),
            None if self.core.role() == Role::Active => Ok(own.peer()),
            None => Ok(own),
        }
    }
}
