//! Power fencing, the optional second key: after a takeover from a silent owner its management controller
//! is asked to reset it.
//!
//! What makes a takeover safe is the reservation; nothing here is waited for, and a controller that is dead
//! blocks nothing. The reset only brings a box back sooner that stands still, and makes sure of it. It is
//! never ordered for a box that is heard, or that has let the group go.
//!
//! One thread does it all, an exchange at a time, each bounded by [`bmc::EXCHANGE_LIMIT`].

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bmc::{BmcError, Login, Outcome, Power};
use cluster::situation::PeerSeen;
use cluster::{Key, Node, Order};
use control::cluster::Reply;
use control::fence::{Look, Request, Shown};
use control::telling::Check;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ring::rand::{SecureRandom, SystemRandom};
use settings::{Controller, Controllers, Settings};
use tracing::{info, warn};

use crate::input::Input;
use crate::records::unix_ms;
use crate::settings_keeper::{Keep, SettingsKeeper, core_node, node_of};
use crate::status::Noticeboard;
use crate::teller::News;

/// Between two looks at the other box's controller.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// A box that was reset is not reset again for so long: it is starting, and both groups may be taken from it.
const RESET_AGAIN: Duration = Duration::from_mins(1);
/// Most jobs that wait.
const JOBS_MAX: usize = 4;
/// The alarm while the other box's controller does not do.
pub const ALARM: &str = "power_fence";

/// The thread that talks to management controllers.
#[derive(Debug, Clone)]
pub struct PowerFence {
    node: Node,
    jobs: Sender<Job>,
    known: Arc<Mutex<Known>>,
}

/// What is set, and how the last look at each box's controller ended.
#[derive(Debug, Default)]
struct Known {
    controllers: Controllers,
    looks: [Option<Look>; 2],
}

#[derive(Debug)]
enum Job {
    /// Reset the other box: it is silent, and was fenced.
    Reset,
    /// Another controller is set.
    Changed,
    /// Look at these, and answer.
    Test(Vec<Node>, Sender<Reply>, [String; 2]),
}

/// The order under way that fences a former owner. It says when that box is to be reset as well.
#[derive(Debug, Default)]
pub struct Fencing(Option<(u32, u64)>);

impl Fencing {
    /// An order was given.
    pub fn ordered(&mut self, run: u32, order: &Order) {
        if let Order::Fence { over: Some(over), .. } = order {
            self.0 = Some((run, *over));
        }
    }

    /// An order has ended. True if the array refuses the writes of the other box from now on, which held the
    /// reservation, and which is silent on every medium. One that is heard stops by itself, and one that let
    /// the group go held nothing.
    pub fn ended(&mut self, run: u32, went_well: bool, core: CoreSeen) -> bool {
        let Some((_, over)) = self.0.take_if(|(fencing, _)| *fencing == run) else { return false };
        let was_peers = Key::decode(over, core.pair_id).is_some_and(|key| key.node() == core.own.peer());
        went_well && was_peers && core.peer == PeerSeen::Silent
    }
}

/// What counts when a former owner has been fenced.
#[derive(Debug, Clone, Copy)]
pub struct CoreSeen {
    /// The pair.
    pub pair_id: u32,
    /// This box.
    pub own: Node,
    /// How the other one is seen.
    pub peer: PeerSeen,
}

impl PowerFence {
    /// Starts the thread.
    pub fn start(settings: &Settings, inputs: &Sender<Input>) -> io::Result<Self> {
        let (jobs, wanted) = bounded(JOBS_MAX);
        let known = Known { controllers: settings.controllers.clone(), ..Known::default() };
        let fence = Self { node: core_node(settings.node), jobs, known: Arc::new(Mutex::new(known)) };
        let worker = Worker {
            peer: fence.node.peer(),
            known: fence.known.clone(),
            inputs: inputs.clone(),
            look_due: Instant::now(),
            reset_at: None,
        };
        thread::Builder::new().name("power-fence".to_owned()).spawn(move || worker.run(&wanted))?;
        Ok(fence)
    }

    /// Has the other box reset; never waits. Nothing happens where no controller is set.
    pub fn reset_peer(&self) {
        if lock(&self.known).controllers.of(node_of(self.node.peer())).is_some()
            && self.jobs.try_send(Job::Reset).is_err()
        {
            warn!("the other box is not reset by its management controller: too much else waits");
        }
    }

    /// What both boxes must know.
    pub fn controllers(&self) -> Controllers {
        lock(&self.known).controllers.clone()
    }

    /// Whether the other box's controller answered at the last look; none where none is set or was asked.
    pub fn answers(&self) -> Option<bool> {
        let known = lock(&self.known);
        known.controllers.of(node_of(self.node.peer()))?;
        known.looks.get(place(self.node.peer()))?.as_ref().map(|look| look.fault.is_none())
    }

    /// How it is with the other box's controller, for whoever looks at the readiness.
    pub fn check(&self) -> Check {
        let known = lock(&self.known);
        let peer = self.node.peer();
        let set = known.controllers.of(node_of(peer)).is_some();
        let look = known.looks.get(place(peer)).and_then(Option::as_ref);
        let (good, found) = match (set, look.map(|look| &look.fault)) {
            (false, _) => (true, "power fencing is not set up".to_owned()),
            (true, None) => (true, "the other box's management controller was not asked yet".to_owned()),
            (true, Some(None)) => (true, "the other box's management controller answers".to_owned()),
            (true, Some(Some(fault))) => (false, fault.clone()),
        };
        Check { name: ALARM.to_owned(), good, found }
    }

    /// The other box is no member any more, and its controller resets nobody; that is saved already.
    pub fn peer_forgotten(&self) {
        let (mut left, peer) = (self.controllers(), node_of(self.node.peer()));
        if left.of(peer).is_some() {
            left.set(peer, None);
            self.know(&left);
        }
    }

    /// Takes over what the other box knows better.
    pub fn adopt(&self, theirs: &Controllers, keeper: &SettingsKeeper) {
        if lock(&self.known).controllers.yields_to(theirs, node_of(self.node)) {
            info!("the other box has newer management controllers set; they are taken over");
            self.set(theirs.clone(), keeper);
        }
    }

    /// Answers a request of the operator; a test is answered by the thread.
    pub fn answer(
        &self,
        request: Request,
        board: &Noticeboard,
        keeper: &SettingsKeeper,
        answer: Sender<Reply>,
    ) {
        let names = [Node::A, Node::B].map(|node| board.name(node).to_owned());
        let reply = match self.begin(request, board, keeper) {
            Ok(Some(tested)) => {
                if self.jobs.try_send(Job::Test(tested, answer.clone(), names)).is_ok() {
                    return;
                }
                Reply::Refused("a controller is being asked already; try again in half a minute".to_owned())
            }
            Ok(None) => Reply::Fence(shown(&lock(&self.known), &names)),
            Err(reason) => Reply::Refused(reason),
        };
        let _ = answer.try_send(reply);
    }

    /// Changes what is to be changed; gives the boxes whose controllers are to be tested.
    fn begin(
        &self,
        request: Request,
        board: &Noticeboard,
        keeper: &SettingsKeeper,
    ) -> Result<Option<Vec<Node>>, String> {
        let named = |name: &str| {
            board.node_named(name).ok_or_else(|| format!("no box of this pair is called {name}"))
        };
        let mut controllers = self.controllers();
        match request {
            Request::Show => Ok(None),
            Request::Set { box_name, controller } => {
                controller.check().map_err(|error| error.to_string())?;
                controllers.set(node_of(named(&box_name)?), Some(controller));
                self.set(controllers, keeper);
                Ok(None)
            }
            Request::Clear { box_name } => {
                controllers.set(node_of(named(&box_name)?), None);
                self.set(controllers, keeper);
                Ok(None)
            }
            Request::Test { box_name } => {
                let nodes = match &box_name {
                    Some(name) => vec![named(name)?],
                    None => vec![Node::A, Node::B],
                };
                let set = |node: &Node| controllers.of(node_of(*node)).is_some();
                let nodes: Vec<_> = nodes.into_iter().filter(set).collect();
                if nodes.is_empty() {
                    return Err("no management controller is set; see `fence set`".to_owned());
                }
                Ok(Some(nodes))
            }
        }
    }

    fn set(&self, controllers: Controllers, keeper: &SettingsKeeper) {
        self.know(&controllers);
        // What cannot be handed over is the keeper's trouble, and so an alarm.
        let _ = keeper.keep(Keep::Controllers(Box::new(controllers)));
    }

    fn know(&self, controllers: &Controllers) {
        {
            let mut known = lock(&self.known);
            for (node, look) in [Node::A, Node::B].into_iter().zip([0, 1]) {
                if known.controllers.of(node_of(node)) != controllers.of(node_of(node)) {
                    known.looks[look] = None;
                }
            }
            known.controllers = controllers.clone();
        }
        // Where too much waits the next look finds the change.
        let _ = self.jobs.try_send(Job::Changed);
    }
}

struct Worker {
    peer: Node,
    known: Arc<Mutex<Known>>,
    inputs: Sender<Input>,
    look_due: Instant,
    reset_at: Option<Instant>,
}

impl Worker {
    fn run(mut self, wanted: &Receiver<Job>) {
        loop {
            match wanted.recv_deadline(self.look_due) {
                Ok(Job::Reset) => self.reset(),
                Ok(Job::Changed) | Err(RecvTimeoutError::Timeout) => self.look_at_peer(),
                Ok(Job::Test(nodes, answer, names)) => {
                    for node in nodes {
                        self.look(node);
                    }
                    let _ = answer.try_send(Reply::Fence(shown(&lock(&self.known), &names)));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn controller(&self, node: Node) -> Option<Controller> {
        lock(&self.known).controllers.of(node_of(node)).cloned()
    }

    /// Resets the other box, if that was not done just now, and says what became of it.
    fn reset(&mut self) {
        let Some(controller) = self.controller(self.peer) else { return };
        if self.reset_at.is_some_and(|at| at.elapsed() < RESET_AGAIN) {
            return;
        }
        self.reset_at = Some(Instant::now());
        let done = exchange(&controller, bmc::Order::ResetIfOn);
        let cause = match &done {
            Ok(Outcome { acted: true, .. }) => {
                "the silent box was reset by its management controller".to_owned()
            }
            Ok(_) => "the silent box has no power, by its management controller; it is left so".to_owned(),
            Err(error) => {
                format!("the silent box was not reset: {error}; the reservation keeps it out all the same")
            }
        };
        self.note(self.peer, &done);
        let _ = self.inputs.send(Input::Telling(News::PowerFenced(cause)));
    }

    fn look_at_peer(&mut self) {
        self.look_due = Instant::now() + LOOK_EVERY;
        if self.controller(self.peer).is_some() {
            self.look(self.peer);
        } else {
            self.alarm(None);
        }
    }

    fn look(&mut self, node: Node) {
        if let Some(controller) = self.controller(node) {
            let done = exchange(&controller, bmc::Order::Status);
            self.note(node, &done);
        }
    }

    /// Keeps how an exchange with the controller of `node` ended; begins or ends the alarm.
    fn note(&mut self, node: Node, done: &Result<Outcome, BmcError>) {
        let look = Look {
            unix_ms: unix_ms(),
            has_power: done.as_ref().ok().map(|outcome| outcome.power == Power::On),
            fault: done.as_ref().err().map(ToString::to_string),
        };
        let fault = look.fault.clone();
        if let Some(place) = lock(&self.known).looks.get_mut(place(node)) {
            *place = Some(look);
        }
        if node == self.peer {
            self.look_due = Instant::now() + if fault.is_some() { LOOK_AGAIN } else { LOOK_EVERY };
            self.alarm(fault);
        }
    }

    fn alarm(&self, fault: Option<String>) {
        let text = fault.map(|fault| {
            format!("the other box could not be reset if it stood still: {fault}; then try `fence test`")
        });
        let _ = self.inputs.send(Input::Alarm { code: ALARM, text });
    }
}

fn exchange(controller: &Controller, order: bmc::Order) -> Result<Outcome, BmcError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| BmcError::Packet)?;
    bmc::carry_out(controller.place(), Login::new(&controller.user, &controller.password.0)?, order, seed)
}

fn shown(known: &Known, names: &[String; 2]) -> Vec<Shown> {
    let row = |node: Node| {
        let controller = known.controllers.of(node_of(node));
        Shown {
            box_name: names.get(place(node)).cloned().unwrap_or_default(),
            place: controller.map(|one| one.place().to_string()),
            user: controller.map(|one| one.user.clone()),
            look: controller.and(known.looks.get(place(node)).cloned().flatten()),
        }
    };
    [Node::A, Node::B].map(row).into_iter().filter(|row| !row.box_name.is_empty()).collect()
}

fn place(node: Node) -> usize {
    match node {
        Node::A => 0,
        Node::B => 1,
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
