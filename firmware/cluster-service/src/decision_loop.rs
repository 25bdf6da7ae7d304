//! The decision loop: one thread that owns the cores of all groups, waits for nobody, and feeds the watchdog
//! when every one of them has been stepped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use array::now;
use cluster::situation::PeerSeen;
use cluster::{Action, Command, Core, Event, Refusal, Role};
use control::cluster::{NewGroup, Reply, Request, Setup, SetupState, Status};
use crossbeam_channel::{Select, Sender, bounded};
use settings::{FurtherGroup, Secret};
use tracing::{info, warn};

use crate::group::{Ground, Group, GroupPlan};
use crate::input::{INPUTS_MAX, Input};
use crate::media::Media;
use crate::orders::Job;
use crate::power_fence::CoreSeen;
use crate::replace::Forgetting;
use crate::requests::Asked;
use crate::settings_keeper::{Keep, SettingsKeeper, without_peer};
use crate::status::Noticeboard;
use crate::teller::Teller;
use crate::watchdog::Watchdog;
use crate::{factory_reset, group_orders, mail_service, replace, reset};

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
    /// The groups, by number. The first one's channel takes what concerns the whole box as well.
    pub groups: Vec<Group>,
    /// What the groups have in common.
    pub ground: Ground,
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
    /// Set when the service is asked to end.
    pub stop: Arc<AtomicBool>,
    /// Answers that callers wait for.
    pub pending: BTreeMap<u32, Pending>,
    /// Number of the next command.
    pub next_command: u32,
    /// Whether the LUN of a new group is being made ready.
    pub adding: bool,
    /// Whether the other box is being forgotten.
    pub forgetting: bool,
    /// The way back into the first group's channel.
    pub send: Sender<Input>,
}

/// An answer that a caller waits for: one core's, or that of every core.
#[derive(Debug)]
pub struct Pending {
    answer: Sender<Reply>,
    /// Cores that have not answered.
    left: usize,
    refused: Option<String>,
}

impl DecisionLoop {
    /// Decides until the service is asked to end and every group is released, or time is up.
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
                    info!("asked to end; what this box serves is released first");
                    stopping = Some(Instant::now());
                    for index in 0..self.groups.len() {
                        self.tell(index, Event::Command { id: 0, command: Command::Stop }, &mut actions);
                    }
                }
                Some(since) if since.elapsed() >= STOP_LIMIT => return,
                Some(_) if self.is_known_to_have_let_go() => return,
                _ => {}
            }
        }
    }

    /// Whether the other box takes every group, or is told often enough that it may.
    fn is_known_to_have_let_go(&mut self) -> bool {
        let known = |group: &mut Group| {
            if group.core.role().claims() {
                return false;
            }
            let since = *group.let_go.get_or_insert_with(Instant::now);
            let taken = matches!(group.core.peer_seen(), PeerSeen::Alive { role, .. } if role.claims());
            taken || since.elapsed() >= ANNOUNCE_RELEASE
        };
        // Each is looked at, so that each one's time begins when it is released.
        self.groups.iter_mut().map(known).filter(|known| !known).count() == 0
    }

    /// Waits for an input, takes what else is there, ends with a tick of every group.
    fn round(&mut self, actions: &mut Vec<Action>) {
        let mut wait = TICK;
        for _ in 0..ROUND_MAX {
            let Some((index, input)) = self.next(wait) else { break };
            self.take(index, input, actions);
            wait = Duration::ZERO;
        }
        for index in 0..self.groups.len() {
            self.tell(index, Event::Tick, actions);
            self.look(index);
        }
        let Some(first) = self.groups.first() else { return };
        self.noticeboard.watch(&first.core, now());
        self.noticeboard.set_alarm("settings", self.keeper.trouble(), now());
        for further in self.groups.iter().skip(1) {
            self.noticeboard.watch_group(&further.core, now());
        }
        let standby = self.groups.iter().find(|group| group.core.role() == Role::Standby).unwrap_or(first);
        self.teller.watch(&first.core, &standby.core, &mut self.noticeboard, now());
    }

    /// The next input of any group, and whose it is.
    fn next(&self, wait: Duration) -> Option<(usize, Input)> {
        let mut select = Select::new();
        for group in &self.groups {
            select.recv(&group.inputs);
        }
        let index = select.ready_timeout(wait).ok()?;
        Some((index, self.groups.get(index)?.inputs.try_recv().ok()?))
    }

    /// Lets the group's processes go on, and be probed, if its core says so.
    fn look(&mut self, index: usize) {
        let Some(group) = self.groups.get(index) else { return };
        let proven = group.core.lapsed_ms() == 0;
        group.serving.store(group.core.role() == Role::Active && proven, Ordering::Release);
        // Nothing is mounted any more, so there is nothing to hold.
        if proven && group.core.role() != Role::Fenced {
            self.hold(index, false);
        }
    }

    fn take(&mut self, index: usize, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Core(Event::Heard { medium, beat }) => {
                // Both groups' beats come over the same cables.
                self.tell(usize::from(beat.group), Event::Heard { medium, beat }, actions);
            }
            Input::Core(event) => {
                self.reset_who_was_fenced(index, &event);
                self.tell(index, event, actions);
            }
            Input::Medium(report) if index == 0 => self.noticeboard.take_medium(report),
            // What keeps a further group's LUN from being read its core says by itself.
            Input::Medium(_) => {}
            Input::Services(services) => {
                self.noticeboard.take_services(services);
                // A process that began while everything is held still is held still as well.
                for group in self.groups.iter().filter(|group| group.held == Some(true)) {
                    self.noticeboard.pid_of(group.place.name).into_iter().for_each(mail_service::suspend);
                }
            }
            Input::Alarm { code, text } => {
                let number = self.groups.get(index).map_or(0, |group| group.place.number);
                self.noticeboard.set_alarm_of(number, code, text, now());
            }
            Input::PeerJoined { name } => self.noticeboard.peer_joined(name),
            Input::PeerForgotten(key) => self.peer_forgotten(key),
            Input::GroupMade(made) => {
                self.adding = false;
                match *made {
                    Ok(group) => self.add_group(group),
                    Err(text) => {
                        let text = format!("the group could not be added: {text}");
                        self.noticeboard.set_alarm(group_orders::ALARM, Some(text), now());
                    }
                }
            }
            Input::Telling(news) => {
                let Some(first) = self.groups.first() else { return };
                let new = self.teller.take(news, &first.core, &self.noticeboard, &self.keeper, now());
                if let Some(group) = new {
                    self.adopt_group(group);
                }
            }
            Input::Asked(asked) => self.answer(asked, actions),
        }
    }

    /// Once the array refuses its writes, a silent owner is reset by its management controller, beside the
    /// takeover.
    fn reset_who_was_fenced(&mut self, index: usize, event: &Event) {
        let Event::Done { run, result } = event else { return };
        let pair_id = self.ground.settings.pair_id;
        let Some(group) = self.groups.get_mut(index) else { return };
        let seen = CoreSeen { pair_id, own: group.core.config().node, peer: group.core.peer_seen() };
        if group.fencing.ended(*run, result.is_ok(), seen) {
            self.teller.power_fence.reset_peer();
        }
    }

    /// Takes over a group that the other box has added.
    fn adopt_group(&mut self, group: FurtherGroup) {
        let mut settings = self.ground.settings.clone();
        settings.further_groups.push(group.clone());
        match settings.check() {
            Ok(()) => {
                info!("the other box has added a group; this one carries it as well");
                self.add_group(group);
            }
            Err(error) => warn!("the group that the other box has added is not taken over: {error}"),
        }
    }

    /// Saves the group and starts it.
    fn add_group(&mut self, group: FurtherGroup) {
        self.noticeboard.set_alarm(group_orders::ALARM, None, now());
        self.ground.settings.further_groups.push(group.clone());
        self.keep(Keep::Group(Box::new(group)));
        self.teller.group_added(&self.ground.settings);
        let Some(plan) = GroupPlan::all(&self.ground.settings).pop() else { return };
        let (send, inputs) = bounded(INPUTS_MAX);
        match Group::start(&self.ground, &plan, &mut self.media, (&send, inputs)) {
            Ok(group) => {
                info!("{} is a group of this pair now", group.place.name);
                self.groups.push(group);
                self.noticeboard.add_group(plan);
            }
            Err(error) => {
                let text = format!("the new group cannot be started before this box is restarted: {error}");
                self.noticeboard.set_alarm(group_orders::ALARM, Some(text), now());
            }
        }
    }

    fn tell(&mut self, index: usize, event: Event, actions: &mut Vec<Action>) {
        // A beat of a group that this box does not know of yet.
        let Some(group) = self.groups.get_mut(index) else { return };
        group.core.handle(now(), event, actions);
        for action in actions.drain(..) {
            self.carry_out(index, action);
        }
    }

    fn carry_out(&mut self, index: usize, action: Action) {
        let Some(group) = self.groups.get_mut(index) else { return };
        match action {
            Action::Read { number } => {
                // A path hangs with the array; the core counts the reading as failed by its age.
                group.array_paths.read(number);
            }
            Action::Beat { beat, slot } => self.media.send(beat, slot),
            Action::Run { run, order, deadline_ms } => {
                group.fencing.ordered(run, &order);
                group.hands.give(Job { run, order, deadline: now() + deadline_ms });
            }
            // Orders carry their proofs, the slot's comes with each beat; a path that returns needs one.
            Action::Prove(proof) => group.array_paths.proven(proof),
            Action::Suspend => {
                warn!(
                    "the proof of the reservation has lapsed: the service {} is held still",
                    group.place.name
                );
                self.hold(index, true);
            }
            Action::Resume => {
                info!("the reservation is proven again: the service {} goes on", group.place.name);
                self.hold(index, false);
            }
            Action::Reset { reason } => reset::now(&reason),
            Action::Answer { id, result } => self.answered(id, result),
            Action::Record(record) => {
                info!("{}", self.teller.record(&record, group.place, &self.noticeboard));
            }
            Action::SavePreference(preference) => {
                let number = group.place.number;
                self.keep(Keep::Preference(number, preference));
            }
            Action::SaveMaintenance(on) => self.keep(Keep::Maintenance(on)),
        }
    }

    /// A core has answered a command; the caller hears of it once all have that were asked.
    fn answered(&mut self, id: u32, result: Result<(), Refusal>) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.left = pending.left.saturating_sub(1);
        if let Err(refusal) = result {
            pending.refused = Some(refusal.to_string());
        }
        if pending.left > 0 {
            return;
        }
        if let Some(Pending { answer, refused, .. }) = self.pending.remove(&id) {
            let _ = answer.try_send(refused.map_or(Reply::Done, Reply::Refused));
        }
    }

    /// Holds every process of the group still, one that is being started among them; or lets them go on.
    fn hold(&mut self, index: usize, still: bool) {
        let Some(group) = self.groups.get_mut(index) else { return };
        if group.held == Some(still) {
            return;
        }
        group.held = Some(still);
        mail_service::freeze(group.place, still);
        let signal = if still { mail_service::suspend } else { mail_service::resume };
        self.noticeboard.pid_of(group.place.name).into_iter().for_each(signal);
    }

    fn keep(&mut self, what: Keep) {
        // What cannot be handed over is the keeper's trouble, and so an alarm.
        let _ = self.keeper.keep(what);
    }

    fn answer(&mut self, asked: Asked, actions: &mut Vec<Action>) {
        let Asked { request, answer } = asked;
        let reply = match request {
            Request::Status => self.status().map_or_else(no_group, |status| Reply::Status(Box::new(status))),
            Request::Records { records_max } => Reply::Records(self.teller.records(records_max)),
            Request::SwitchOver { to, group } => match self.switch_over(to.as_deref(), group.as_deref()) {
                Ok((to, groups)) => {
                    return self.command(Command::SwitchOver { to }, &groups, answer, actions);
                }
                Err(reason) => Reply::Refused(reason),
            },
            Request::Maintenance { on } => {
                let all: Vec<usize> = (0..self.groups.len()).collect();
                return self.command(Command::Maintenance { on }, &all, answer, actions);
            }
            Request::Prefer { owner, fail_back, group } => {
                match self
                    .only_or_named(group.as_deref())
                    .and_then(|index| Ok((index, owner.map(|name| self.named(&name)).transpose()?)))
                {
                    Ok((index, owner)) => {
                        let command = Command::Prefer { owner, fail_back };
                        return self.command(command, &[index], answer, actions);
                    }
                    Err(reason) => Reply::Refused(reason),
                }
            }
            Request::AddGroup(new) => match self.begin_group(&new) {
                Ok(()) => Reply::Done,
                Err(reason) => Reply::Refused(reason),
            },
            Request::ForgetPeer => return self.begin_to_forget(answer),
            Request::FactoryReset => match self.begin_factory_reset(answer.clone()) {
                Ok(()) => return,
                Err(reason) => Reply::Refused(reason),
            },
            Request::Luns => return group_orders::list_luns(&self.ground.array_driver, answer),
            Request::Fence(request) => {
                return self.teller.power_fence.answer(request, &self.noticeboard, &self.keeper, answer);
            }
            Request::Telling(request) => match self.status() {
                Some(status) => self.teller.answer(request, &status, &self.keeper),
                None => no_group(),
            },
            Request::Setup(Setup::State) => {
                Reply::Setup(SetupState::Complete { paired: self.noticeboard.is_paired() })
            }
            Request::Setup(Setup::Luns | Setup::First(_) | Setup::Join(_)) => {
                Reply::Refused("this box has been set up already".to_owned())
            }
        };
        let _ = answer.try_send(reply);
    }

    fn status(&self) -> Option<Status> {
        let cores: Vec<&Core> = self.groups.iter().map(|group| &group.core).collect();
        let first = cores.first()?;
        let mut status = self.noticeboard.status(first, &cores, now());
        self.teller.complete(&mut status, now());
        Some(status)
    }

    /// Gives a command to the cores of `groups`.
    fn command(
        &mut self,
        command: Command,
        groups: &[usize],
        answer: Sender<Reply>,
        actions: &mut Vec<Action>,
    ) {
        if self.pending.len() >= PENDING_MAX {
            let _ = answer.try_send(Reply::Refused("too many commands at once; try again".to_owned()));
            return;
        }
        self.next_command = self.next_command.wrapping_add(1).max(1);
        let id = self.next_command;
        self.pending.insert(id, Pending { answer, left: groups.len(), refused: None });
        for index in groups {
            self.tell(*index, Event::Command { id, command }, actions);
        }
    }

    fn named(&self, name: &str) -> Result<cluster::Node, String> {
        self.noticeboard.node_named(name).ok_or_else(|| format!("no box of this pair is called {name}"))
    }

    fn group_named(&self, name: &str) -> Result<usize, String> {
        let found = self.groups.iter().position(|group| group.place.name == name);
        found.ok_or_else(|| format!("no group of this pair is called {name}"))
    }

    /// The group named, or the only one.
    fn only_or_named(&self, name: Option<&str>) -> Result<usize, String> {
        match name {
            Some(name) => self.group_named(name),
            None if self.groups.len() == 1 => Ok(0),
            None => Err("this pair has two groups; name the one that is meant".to_owned()),
        }
    }

    /// Where to, and which groups: those named, or every group the order changes something for.
    fn switch_over(
        &self,
        to: Option<&str>,
        name: Option<&str>,
    ) -> Result<(cluster::Node, Vec<usize>), String> {
        let all = 0..self.groups.len();
        let groups =
            name.map_or_else(|| Ok(all.collect()), |name| self.group_named(name).map(|one| vec![one]))?;
        let own = self.noticeboard.node();
        let serves = |index: &usize| self.groups.get(*index).is_some_and(|it| it.core.role() == Role::Active);
        let to = match to {
            Some(name) => self.named(name)?,
            None if groups.iter().any(serves) => own.peer(),
            None => own,
        };
        let moves: Vec<usize> = groups.iter().copied().filter(|index| serves(index) != (to == own)).collect();
        Ok((to, if moves.is_empty() { groups } else { moves }))
    }

    /// Begins to forget the other box, unless something speaks against it.
    fn begin_to_forget(&mut self, answer: Sender<Reply>) {
        let not_served = self.groups.iter().filter(|group| !group.serves());
        let not_served: Vec<_> = not_served.map(|group| group.place.name).collect();
        let seen = replace::Seen {
            peer: self.noticeboard.is_paired().then(|| self.noticeboard.name(self.noticeboard.node().peer())),
            heard: self.groups.iter().any(|group| group.core.peer_seen() != PeerSeen::Silent),
            not_served: &not_served,
            busy: self.adding || self.forgetting || self.teller.is_busy(),
        };
        let begun = replace::check(&seen).and_then(|()| {
            let forgetting = Forgetting {
                luns: self.groups.iter().map(|group| group.array_paths.clone()).collect(),
                membership: self.ground.membership.clone(),
                keeper: self.keeper.clone(),
                inputs: self.send.clone(),
                answer: answer.clone(),
            };
            forgetting.begin()
        });
        match begun {
            Ok(()) => self.forgetting = true,
            Err(reason) => drop(answer.try_send(Reply::Refused(reason))),
        }
    }

    /// Begins to forget everything this box was told, unless something speaks against it.
    fn begin_factory_reset(&self, answer: Sender<Reply>) -> Result<(), String> {
        let claimed = self.groups.iter().filter(|group| group.core.role().claims());
        let claimed: Vec<_> = claimed.map(|group| group.place.name).collect();
        let peer =
            self.noticeboard.is_paired().then(|| self.noticeboard.name(self.noticeboard.node().peer()));
        factory_reset::check(&claimed, peer, self.adding || self.forgetting || self.teller.is_busy())?;
        factory_reset::begin(&self.keeper, answer)
    }

    /// The pair has another key, and a place that is free.
    fn peer_forgotten(&mut self, key: Option<Secret>) {
        self.forgetting = false;
        let Some(key) = key else { return };
        let name = self.noticeboard.name(self.noticeboard.node().peer()).to_owned();
        self.ground.settings = without_peer(&self.ground.settings, key);
        if let Err(error) = self.media.change_key(&self.ground.settings) {
            reset::now(&format!("the new key of the pair cannot be used: {error}"));
        }
        let Some(first) = self.groups.first() else { return };
        self.teller.peer_forgotten(&self.ground.settings, &name, &first.core, &self.noticeboard);
        self.noticeboard.peer_joined(String::new());
    }

    /// Begins to add a group.
    fn begin_group(&mut self, new: &NewGroup) -> Result<(), String> {
        if self.adding {
            return Err("a group is being added already".to_owned());
        }
        let preferred = new.preferred.as_ref().map(|name| self.named(name)).transpose()?;
        let group = group_orders::checked(&self.ground, new, preferred)?;
        group_orders::begin(&self.ground, group, new.format, &self.send)?;
        self.adding = true;
        self.noticeboard.set_alarm(group_orders::ALARM, None, now());
        Ok(())
    }
}

/// A box with settings has a group; nothing else is known of one without.
fn no_group() -> Reply {
    Reply::Refused("this box has no group".to_owned())
}
