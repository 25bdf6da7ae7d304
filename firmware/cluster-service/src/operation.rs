//! The larger operations of an operator: the drill, which switches over and back and measures, and the
//! rolling restart of both boxes. Each runs on a thread of its own and uses nothing but the words any
//! operator has; the decision loop refuses what it would refuse him.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use control::FIRST_GROUP;
use control::cluster::{Group, Reply, Request, Role, Status};
use control::telling::{self, Operation, Outage, Telling};
use crossbeam_channel::{Sender, bounded};
use settings::{Settings, parse_interface_address};
use tracing::info;

use crate::input::Input;
use crate::outage::OutageMeter;
use crate::peer_link::{Ask, PeerLink, Say, control, restart_this_box};
use crate::records::unix_ms;
use crate::requests::Asked;
use crate::teller::News;

/// Longest wait for the decision loop.
const LOOP_WAIT: Duration = Duration::from_secs(5);
/// Between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between an order that was refused and the next attempt.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for the group to be served by the other box, and for a box that stops to fall silent.
const SWITCH_LIMIT: Duration = Duration::from_mins(1);
/// Longest wait for a box to start and be ready.
const RESTART_LIMIT: Duration = Duration::from_mins(5);
/// How long the group stays where it went before the drill brings it back.
const STAY: Duration = Duration::from_secs(5);

/// Starts operations, one at a time, and knows how they went.
#[derive(Debug)]
pub struct Operations {
    link: PeerLink,
    inputs: Sender<Input>,
    address: Option<IpAddr>,
    shown: Operation,
    runs: bool,
    drilled_minute: Option<u64>,
}

impl Operations {
    /// None under way.
    pub fn new(link: PeerLink, settings: &Settings, inputs: Sender<Input>) -> Self {
        let first = settings.virtual_addresses.first();
        let address = first.and_then(|text| Some(parse_interface_address(text).ok()?.0));
        Self { link, inputs, address, shown: Operation::default(), runs: false, drilled_minute: None }
    }

    /// What is under way, or how the last one ended.
    pub fn shown(&self) -> &Operation {
        &self.shown
    }

    /// Takes how an operation goes; at its end gives the sentence for the records.
    pub fn take(&mut self, operation: Operation) -> Option<String> {
        self.shown = operation;
        if self.shown.step.is_some() {
            return None;
        }
        self.runs = false;
        let outages: Vec<_> =
            self.shown.outages.iter().map(|outage| format!("to {} in {} ms", outage.to, outage.ms)).collect();
        Some(match (&self.shown.fault, outages.is_empty()) {
            (Some(fault), true) => format!("it failed: {fault}"),
            (Some(fault), false) => format!("it failed: {fault}; served again {}", outages.join(", ")),
            (None, true) => "it went as it should".to_owned(),
            (None, false) => format!("it went as it should; served again {}", outages.join(", ")),
        })
    }

    /// Begins the scheduled drill in its minute, on the box that serves.
    pub fn watch(&mut self, telling: &Telling, active: bool, unix_s: u64) {
        let minute = unix_s / 60;
        let due = telling.drill.is_some_and(|time| time.is_at(unix_s));
        if !due || !active || self.drilled_minute == Some(minute) {
            return;
        }
        self.drilled_minute = Some(minute);
        let (answer, _) = bounded(1);
        let request = Request::Telling(telling::Request::DrillNow);
        // A full channel loses one drill; the next is in a week.
        let _ = self.inputs.try_send(Input::Asked(Asked { request, answer }));
    }

    /// Switches over and back.
    pub fn drill(&mut self, status: &Status) -> Result<(), String> {
        let (own, peer) = self.both_ready(status)?;
        let address = self.address.ok_or("this pair has no virtual address")?;
        let active = status.groups.first().is_some_and(|group| group.role == Role::Active);
        let order = if active { [peer, own] } else { [own, peer] };
        self.begin("drill", move |run| drill(run, address, &order))
    }

    /// Restarts both boxes, the one that does not serve first.
    pub fn rolling_restart(&mut self, status: &Status) -> Result<(), String> {
        let (_, peer) = self.both_ready(status)?;
        let active = status.groups.first().is_some_and(|group| group.role == Role::Active);
        let link = self.link.clone();
        if active {
            return self.begin("rolling_restart", move |run| rolling_restart(run, &link, &peer));
        }
        self.begin("rolling_restart", move |run| {
            run.step("asking the box that serves to do it")?;
            said(link.ask(&Ask::RollingRestart))
        })
    }

    /// Names of both boxes, if the one that does not serve could.
    fn both_ready(&self, status: &Status) -> Result<(String, String), String> {
        if self.runs {
            return Err(format!("a {} is under way", self.shown.name.replace('_', " ")));
        }
        let group = status.groups.first().ok_or("this box has no group")?;
        let peer = &status.peer;
        match group.role {
            Role::Active if !peer.alive => Err("the other box is not heard on any medium".to_owned()),
            Role::Active if !peer.ready => {
                let reason = peer.not_ready_reason.clone().unwrap_or_default();
                Err(format!("the other box cannot take over: {reason}"))
            }
            Role::Active | Role::Standby if peer.alive => {
                Ok((status.box_name.clone(), peer.box_name.clone()))
            }
            _ => Err("one box must serve, and the other be its standby".to_owned()),
        }
    }

    fn begin(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Run) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let operation = Operation { name: name.to_owned(), begun_unix_ms: unix_ms(), ..Operation::default() };
        let mut run = Run { operation, inputs: self.inputs.clone() };
        run.operation.step = Some("beginning".to_owned());
        self.shown = run.operation.clone();
        let begun = thread::Builder::new().name("operation".to_owned()).spawn(move || {
            let result = work(&mut run);
            run.operation.step = None;
            run.operation.fault = result.err();
            let _ = run.inputs.send(Input::Telling(News::Operation(run.operation)));
        });
        begun.map_err(|error| format!("no thread can be had: {error}"))?;
        self.runs = true;
        Ok(())
    }
}

/// An operation under way.
struct Run {
    operation: Operation,
    inputs: Sender<Input>,
}

impl Run {
    fn step(&mut self, step: &str) -> Result<(), String> {
        self.operation.step = Some(step.to_owned());
        let news = Input::Telling(News::Operation(self.operation.clone()));
        self.inputs.send(news).map_err(|_| "this box is going down".to_owned())
    }

    fn status(&self) -> Result<Box<Status>, String> {
        let (answer, answered) = bounded(1);
        let asked = Input::Asked(Asked { request: Request::Status, answer });
        self.inputs.send_timeout(asked, LOOP_WAIT).map_err(|_| "this box is going down".to_owned())?;
        match answered.recv_timeout(LOOP_WAIT) {
            Ok(Reply::Status(status)) => Ok(status),
            _ => Err("the cluster service is busy".to_owned()),
        }
    }

    /// Waits until `holds`; the sentence says what did not come.
    fn wait(&self, limit: Duration, what: &str, holds: impl Fn(&Status) -> bool) -> Result<(), String> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self.status().is_ok_and(|status| holds(&status)) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(format!("{what} within {} s", limit.as_secs()))
    }

    /// Hands the group, or every one where none is named, to `to`, once that box is ready, and waits until
    /// it serves.
    fn switch_over(&mut self, to: &str, group: Option<&str>) -> Result<(), String> {
        self.step(&format!("waiting until {to} is ready"))?;
        self.wait(SWITCH_LIMIT, &format!("{to} was not ready"), |status| could_serve(status, to, group))?;
        self.step(&format!("switching over to {to}"))?;
        let request = Request::SwitchOver { to: Some(to.to_owned()), group: group.map(str::to_owned) };
        until_granted(SWITCH_LIMIT, || said(Ok(control(&self.inputs, request.clone()))))?;
        self.wait(SWITCH_LIMIT, &format!("{to} did not serve"), |status| serves(status, to, group))
    }
}

/// The group called `name`, or every one.
fn meant<'a>(status: &'a Status, name: Option<&'a str>) -> impl Iterator<Item = &'a Group> {
    status.groups.iter().filter(move |group| name.is_none_or(|name| group.name == name))
}

fn could_serve(status: &Status, to: &str, group: Option<&str>) -> bool {
    let settled = meant(status, group).all(|group| matches!(group.role, Role::Active | Role::Standby));
    let able = to == status.box_name || status.peer.ready;
    settled && status.peer.alive && able
}

fn serves(status: &Status, name: &str, group: Option<&str>) -> bool {
    meant(status, group).all(|group| {
        if name == status.box_name {
            group.role == Role::Active
        } else {
            group.role == Role::Standby && group.holder == name
        }
    })
}

/// Asks again what is refused, for so long: a group that is changing hands, or a standby that is still
/// finding out, is a matter of seconds.
fn until_granted(limit: Duration, mut ask: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let end = Instant::now() + limit;
    loop {
        match ask() {
            Err(reason) if Instant::now() < end => info!("asked again: {reason}"),
            last => return last,
        }
        thread::sleep(ASK_AGAIN);
    }
}

fn said(answer: Result<Say, String>) -> Result<(), String> {
    match answer? {
        Say::Done => Ok(()),
        Say::Refused(reason) => Err(reason),
        Say::Report(_) => Err("the other box gave an answer of another kind".to_owned()),
    }
}

fn drill(run: &mut Run, address: IpAddr, order: &[String]) -> Result<(), String> {
    let meter = OutageMeter::start(address).map_err(|error| format!("nothing can be measured: {error}"))?;
    for (number, to) in order.iter().enumerate() {
        if number > 0 {
            run.step("leaving it there for a few seconds")?;
            thread::sleep(STAY);
        }
        let _before = meter.worst_ms();
        run.switch_over(to, Some(FIRST_GROUP.name))?;
        run.step(&format!("waiting until {to} answers clients"))?;
        // The outage ends with the first greeting of the box that has the group now.
        let switched = Instant::now();
        while !meter.is_served_since(switched) && switched.elapsed() < SWITCH_LIMIT {
            thread::sleep(LOOK_EVERY);
        }
        if !meter.is_served_since(switched) {
            return Err(format!("{to} did not answer at {address} within {} s", SWITCH_LIMIT.as_secs()));
        }
        run.operation.outages.push(Outage { to: to.clone(), ms: meter.worst_ms() });
    }
    Ok(())
}

fn rolling_restart(run: &mut Run, link: &PeerLink, peer: &str) -> Result<(), String> {
    run.step(&format!("restarting {peer}"))?;
    match link.ask(&Ask::Restart) {
        Ok(said) => self::said(Ok(said))?,
        // It may have stopped before its answer was on its way; whether it does is seen below.
        Err(silence) => info!("{silence}"),
    }
    run.wait(SWITCH_LIMIT, &format!("{peer} did not restart"), |status| !status.peer.alive)?;
    run.step(&format!("waiting until {peer} is back"))?;
    run.wait(RESTART_LIMIT, &format!("{peer} was not back and ready"), |status| status.peer.ready)?;
    run.switch_over(peer, None)?;
    run.step("restarting this box")?;
    said(Ok(restart_this_box()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::tests::first;

    fn operations() -> (Operations, crossbeam_channel::Receiver<Input>) {
        let (inputs, received) = bounded(8);
        (Operations::new(PeerLink::new(&first()), &first(), inputs), received)
    }

    #[test]
    fn the_scheduled_drill_begins_once_and_only_where_the_group_is() {
        let (mut operations, received) = operations();
        let telling = Telling { drill: "daily 00:02".parse().ok(), ..Telling::default() };
        operations.watch(&telling, false, 125);
        operations.watch(&telling, true, 60);
        assert!(received.is_empty());
        operations.watch(&telling, true, 125);
        operations.watch(&telling, true, 126);
        let Ok(Input::Asked(asked)) = received.try_recv() else { panic!("no drill") };
        assert_eq!(asked.request, Request::Telling(telling::Request::DrillNow));
        assert!(received.is_empty());
        operations.watch(&telling, true, 125 + 86_400);
        assert_eq!(received.len(), 1);
    }

    #[test]
    fn the_end_of_an_operation_is_one_sentence() {
        let (mut operations, _received) = operations();
        let under_way = Operation { step: Some("x".to_owned()), ..Operation::default() };
        assert_eq!(operations.take(under_way), None);
        let outages = vec![Outage { to: "b".to_owned(), ms: 812 }, Outage { to: "a".to_owned(), ms: 790 }];
        let over = Operation { outages, ..Operation::default() };
        let sentence = operations.take(over).unwrap();
        assert_eq!(sentence, "it went as it should; served again to b in 812 ms, to a in 790 ms");
        let failed = Operation { fault: Some("no".to_owned()), ..Operation::default() };
        assert_eq!(operations.take(failed).unwrap(), "it failed: no");
    }

    #[test]
    fn what_is_refused_for_a_moment_is_asked_again_and_what_stays_refused_is_told() {
        let mut answers = vec![Ok(()), Err("changing hands".to_owned())];
        assert_eq!(until_granted(SWITCH_LIMIT, || answers.pop().unwrap()), Ok(()));
        assert!(answers.is_empty());
        let never = until_granted(Duration::ZERO, || Err("no".to_owned()));
        assert_eq!(never, Err("no".to_owned()));
    }
}
