//! The group's mail service: started and stopped through init, probed through its own socket.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::{HeldProof, StepFault};
use control::init::{self, ServiceState};
use control::mail::{self, Assignment, FirstAccount, Ports};
use control::{GroupPlace, INIT_SOCKET};
use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, Signal, kill_process};
use settings::{Settings, parse_interface_address};

use crate::group::GroupPlan;
use crate::probe::ProbeWay;

/// Between two questions while waiting for it. One that comes too early costs next to nothing.
const POLL: Duration = Duration::from_millis(10);
/// Between two questions to init meanwhile.
const STATE_POLL: Duration = Duration::from_millis(100);
/// Longest wait for one answer of the mail service.
const HEALTH_WAIT: Duration = Duration::from_secs(2);
/// Longest wait for init to start it.
const START_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for init to stop it; init kills it before.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Local part of the first account.
const FIRST_ACCOUNT: &str = "admin";

/// What the mail service is told, apart from the epoch.
#[derive(Debug, Clone)]
pub struct MailService {
    group: &'static GroupPlace,
    assignment: Assignment,
    probe_way: ProbeWay,
}

impl MailService {
    /// The mail service of the group of `plan`; what groups have in common is in `settings`.
    pub fn new(settings: &Settings, plan: &GroupPlan, probe_way: ProbeWay) -> Self {
        let addresses = plan.virtual_addresses.iter().filter_map(|text| parse_interface_address(text).ok());
        Self {
            group: plan.place,
            assignment: Assignment {
                data_dir: plan.place.data_dir.to_owned(),
                epoch: 0,
                addresses: addresses.map(|(address, _)| address).collect(),
                host_name: format!("mail.{}", plan.domain),
                name_servers: settings.name_servers.clone(),
                first: Some(FirstAccount {
                    domain: plan.domain.clone(),
                    account: FIRST_ACCOUNT.to_owned(),
                    password_hash: settings.password_hash.clone(),
                }),
                ports: Ports::default(),
                socket: plan.place.socket.to_owned(),
                probe_token: None,
            },
            probe_way,
        }
    }

    /// Starts it: its assignment is written, init starts the process, the store recovers.
    pub fn start(&self, proof: &HeldProof) -> Result<(), StepFault> {
        let probe_token = self.probe_way.draw(&self.assignment.addresses, self.assignment.ports);
        let assignment = Assignment { epoch: proof.epoch(), probe_token, ..self.assignment.clone() };
        let path = self.group.assignment;
        write_assignment(self.group, &assignment)
            .map_err(|e| StepFault::Failed(format!("{path} cannot be written: {e}")))?;
        ask_init(&init::Request::Start { service: self.group.name.to_owned() }, START_WAIT)
    }

    /// Waits until it answers with the epoch of `proof`, or has failed for good.
    pub fn wait_until_serving(&self, proof: &HeldProof, limit: Duration) -> Result<(), StepFault> {
        let end = Instant::now() + limit;
        let mut ask_init_at = Instant::now() + STATE_POLL;
        loop {
            match self.health() {
                Some(epoch) if epoch == proof.epoch() => return Ok(()),
                Some(epoch) if epoch > proof.epoch() => return Err(StepFault::EpochSeen(epoch)),
                _ => {}
            }
            let now = Instant::now();
            if now >= ask_init_at {
                ask_init_at = now + STATE_POLL;
                if let Some(service) = self.state()
                    && matches!(service.state, ServiceState::Failed | ServiceState::Stopped)
                {
                    let why = service.last_end.unwrap_or_else(|| "it ended without a word".to_owned());
                    return Err(StepFault::Failed(format!("the mail service does not run: {why}")));
                }
            }
            if now >= end {
                return Err(StepFault::Failed("the mail service does not answer".to_owned()));
            }
            sleep(POLL);
        }
    }

    /// Ends it at once: it does not do what it should, and what it has promised is on disk.
    pub fn kill(&self) -> Result<(), StepFault> {
        ask_init(&init::Request::Kill { service: self.group.name.to_owned() }, STOP_WAIT)
    }

    /// Stops it; init lets it end what runs and kills it after its limit.
    pub fn stop(&self) -> Result<(), StepFault> {
        Self::stop_any(self.group)
    }

    /// Stops the mail service of `group`, whoever had it started.
    pub fn stop_any(group: &GroupPlace) -> Result<(), StepFault> {
        ask_init(&init::Request::Stop { service: group.name.to_owned() }, STOP_WAIT)
    }

    fn health(&self) -> Option<u32> {
        match control::wire::call(Path::new(self.group.socket), &mail::Request::Health, HEALTH_WAIT) {
            Ok(mail::Reply::Healthy { epoch, .. }) => Some(epoch),
            _ => None,
        }
    }

    fn state(&self) -> Option<init::Service> {
        services().into_iter().find(|service| service.name == self.group.name)
    }
}

/// Services of this box as init sees them; empty while init does not answer.
pub fn services() -> Vec<init::Service> {
    match control::wire::call(Path::new(INIT_SOCKET), &init::Request::Services, START_WAIT) {
        Ok(init::Reply::Services(services)) => services,
        _ => Vec::new(),
    }
}

/// Holds whatever process the mail service of `group` has, or gets, still: the kernel freezes the control group
/// that init puts it into (kernel documentation, "Control Group v2", cgroup.freeze). False if there is no
/// such control group, because the service was never started.
pub fn freeze(group: &GroupPlace, on: bool) -> bool {
    let freezer = Path::new("/sys/fs/cgroup").join(group.name).join("cgroup.freeze");
    fs::write(freezer, if on { "1" } else { "0" }).is_ok()
}

/// Holds the process `pid` still: not one instruction more until [`resume`].
pub fn suspend(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets the process `pid` go on.
pub fn resume(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        // A process that is gone needs neither.
        let _ = kill_process(pid, signal);
    }
}

/// Asks init for something it does or refuses.
pub fn ask_init(request: &init::Request, limit: Duration) -> Result<(), StepFault> {
    match control::wire::call(Path::new(INIT_SOCKET), request, limit) {
        Ok(init::Reply::Done) => Ok(()),
        Ok(init::Reply::Refused(reason)) => Err(StepFault::Failed(reason)),
        Ok(_) => Err(StepFault::Failed("init gave an answer to another question".to_owned())),
        Err(error) => Err(StepFault::Failed(format!("init: {error}"))),
    }
}

/// Written whole beside the old one and renamed; readable by the mail service only: it holds a hash.
pub fn write_assignment(group: &GroupPlace, assignment: &Assignment) -> std::io::Result<()> {
    let path = Path::new(group.assignment);
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&new)?;
    file.write_all(&serde_json::to_vec(assignment)?)?;
    rustix::fs::fchown(&file, Some(Uid::from_raw(group.uid)), Some(Gid::from_raw(group.uid)))?;
    fs::rename(new, path)
}
