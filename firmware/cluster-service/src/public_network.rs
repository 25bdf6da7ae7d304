//! The public network: this box's own addresses, the virtual ones, and whether there is a link.

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use address::{Interface, InterfaceAddress, VirtualAddresses};
use cluster::{Event, Order, StepFault};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use settings::{Settings, parse_interface_address};
use tracing::warn;

use crate::group::GroupPlan;
use crate::input::Input;
use crate::orders::{Job, ORDERS_MAX};

/// How long a claim waits for somebody who uses an address already. The former owner is fenced and
/// reset by then; who answers is a stranger.
const CLAIM_WAIT: Duration = Duration::from_millis(100);
/// Between two looks at the link and at neighbours that use a virtual address.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two attempts to set up a card that is not there.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How long a stranger on a virtual address stays an alarm after it was last heard.
const STRANGER_STAYS: Duration = Duration::from_mins(1);

/// What the thread is asked for.
#[derive(Debug)]
pub enum Request {
    /// An order of the core.
    Carry(Job),
    /// The mail service starts: whether anybody uses the addresses is asked meanwhile, so that the
    /// announcement need not wait for the answer.
    AskAhead,
}

/// What the public network needs to know.
#[derive(Debug, Clone)]
struct Plan {
    card: String,
    own: Vec<InterfaceAddress>,
    gateways: Vec<IpAddr>,
    virtual_addresses: Vec<InterfaceAddress>,
}

/// Starts the thread of a group on the public network; its orders go into the sender that comes back. The
/// first group's gives the box its own addresses as well.
pub fn start(
    card: &str,
    settings: &Settings,
    group: &GroupPlan,
    inputs: &Sender<Input>,
) -> io::Result<Sender<Request>> {
    let first = group.place.number == 0;
    let plan = Plan {
        card: card.to_owned(),
        own: if first { parse(&settings.public_addresses) } else { vec![] },
        gateways: if first { settings.gateways.clone() } else { vec![] },
        virtual_addresses: parse(&group.virtual_addresses),
    };
    let (give, requests) = bounded(ORDERS_MAX);
    let inputs = inputs.clone();
    thread::Builder::new().name("public-network".to_owned()).spawn(move || run(&plan, &requests, &inputs))?;
    Ok(give)
}

fn parse(list: &[String]) -> Vec<InterfaceAddress> {
    let parsed = list.iter().filter_map(|text| parse_interface_address(text).ok());
    parsed.map(|(address, prefix)| InterfaceAddress { address, prefix }).collect()
}

/// What there is once the card is set up.
struct Card {
    interface: Interface,
    virtual_addresses: VirtualAddresses,
    stranger_at: Option<Instant>,
}

fn run(plan: &Plan, requests: &Receiver<Request>, inputs: &Sender<Input>) {
    let mut card = None;
    let mut tried_at: Option<Instant> = None;
    loop {
        if card.is_none() && tried_at.is_none_or(|at| at.elapsed() >= RETRY_EVERY) {
            tried_at = Some(Instant::now());
            card = set_up(plan, inputs);
        }
        let event = match requests.recv_timeout(LOOK_EVERY) {
            Ok(Request::AskAhead) => {
                if let Some(card) = &mut card
                    && let Err(error) = card.virtual_addresses.ask(CLAIM_WAIT)
                {
                    warn!("the addresses cannot be asked for ahead: {error}");
                }
                continue;
            }
            Ok(Request::Carry(Job { run, order, .. })) => {
                let result = carry_out(card.as_mut(), plan, &order);
                if let Err(fault) = &result {
                    warn!("{}: {fault}", order.step());
                }
                Event::Done { run, result }
            }
            Err(RecvTimeoutError::Timeout) => {
                let up = card.as_mut().is_some_and(|card| card.look(inputs));
                Event::PublicLink { up }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if inputs.send(Input::Core(event)).is_err() {
            return;
        }
    }
}

/// Brings the card up with the box's own addresses; an alarm while that does not work.
fn set_up(plan: &Plan, inputs: &Sender<Input>) -> Option<Card> {
    let made = try_set_up(plan);
    let text = made.as_ref().err().map(|reason| {
        warn!("public network: {reason}");
        format!("the public network card cannot be set up: {reason}")
    });
    let _ = inputs.send(Input::Alarm { code: "public_card", text });
    made.ok()
}

fn try_set_up(plan: &Plan) -> Result<Card, String> {
    let interface = Interface::find(&plan.card).map_err(|e| e.to_string())?;
    address::set_up(&interface).map_err(|e| e.to_string())?;
    for own in &plan.own {
        address::add_address(&interface, *own).map_err(|e| e.to_string())?;
    }
    for gateway in &plan.gateways {
        // A gateway that does not fit the box's addresses must not keep the box from serving.
        if let Err(error) = address::add_default_route(&interface, *gateway) {
            warn!("the gateway {gateway} cannot be used: {error}");
        }
    }
    let mut virtual_addresses =
        VirtualAddresses::new(interface.clone(), &plan.virtual_addresses).map_err(|e| e.to_string())?;
    // Left over from a service that crashed: nobody has proven anything yet.
    virtual_addresses.release().map_err(|e| e.to_string())?;
    Ok(Card { interface, virtual_addresses, stranger_at: None })
}

fn carry_out(card: Option<&mut Card>, plan: &Plan, order: &Order) -> Result<(), StepFault> {
    let missing = || StepFault::Failed(format!("the public network card {} is not there", plan.card));
    let result = match (order, card) {
        (Order::Announce { .. }, Some(card)) => card.virtual_addresses.claim(CLAIM_WAIT),
        (Order::Announce { .. }, None) => return Err(missing()),
        (Order::Withdraw, Some(card)) => card.virtual_addresses.release(),
        // Without a card there is no address on it.
        (Order::Withdraw, None) => return Ok(()),
        (other, _) => {
            return Err(StepFault::Failed(format!("{} does not concern the public network", other.step())));
        }
    };
    result.map_err(|error| StepFault::Failed(error.to_string()))
}

impl Card {
    /// Announces what is due, reports strangers; whether there is a link.
    fn look(&mut self, inputs: &Sender<Input>) -> bool {
        match self.virtual_addresses.tick() {
            Ok(strangers) => self.report(strangers.first(), inputs),
            Err(error) => warn!("public network: {error}"),
        }
        self.interface.has_carrier()
    }

    fn report(&mut self, stranger: Option<&address::Stranger>, inputs: &Sender<Input>) {
        let text = stranger.map(|stranger| {
            let address::Stranger { address, mac } = stranger;
            format!(
                "the virtual address {address} is also used by the station {mac}; find it and switch it off"
            )
        });
        let over = self.stranger_at.is_some_and(|at| at.elapsed() >= STRANGER_STAYS);
        if text.is_some() || over {
            self.stranger_at = text.is_some().then(Instant::now);
            let _ = inputs.send(Input::Alarm { code: "address_stranger", text });
        }
    }
}
