//! One service over its life: wanted or not, running or not, and when it is started again.

use std::time::{Duration, Instant};

use control::init::{self, ServiceState};
use rustix::process::WaitStatus;

use crate::child::Running;
use crate::pacing::Failures;
use crate::services::{Service, Wanted};

/// A process in the kernel ends when the kernel lets it; so it is killed once more after this time.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// How a service is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It may end what it has begun, within its limit.
    Asked,
    /// It is killed: it does not do what it should.
    AtOnce,
}

/// One service over its life.
#[derive(Debug)]
pub struct Supervised {
    /// Its row of the table.
    pub service: &'static Service,
    /// Its process.
    pub running: Option<Running>,
    wanted: bool,
    failures: Failures,
    given_up: bool,
    start_at: Option<Instant>,
    kill_at: Option<Instant>,
    restarts: u32,
    last_end: Option<String>,
}

impl Supervised {
    /// A service that has not been started.
    pub fn new(service: &'static Service, now: Instant) -> Self {
        let wanted = service.wanted == Wanted::AtBoot;
        Self {
            service,
            running: None,
            wanted,
            failures: Failures::default(),
            given_up: false,
            start_at: wanted.then_some(now),
            kill_at: None,
            restarts: 0,
            last_end: None,
        }
    }

    /// Wants it from now on, with a clean slate; running already is fine.
    pub fn want(&mut self, now: Instant) {
        self.wanted = true;
        self.given_up = false;
        self.failures = Failures::default();
        if self.running.is_none() && self.start_at.is_none() {
            self.start_at = Some(now);
        }
    }

    /// Wants it no more: it is asked to end and killed at its limit, or killed at once.
    pub fn stop(&mut self, now: Instant, manner: Manner) {
        self.wanted = false;
        self.given_up = false;
        self.start_at = None;
        let Some(running) = &self.running else { return };
        match manner {
            Manner::AtOnce => {
                running.kill();
                self.kill_at = Some(now + KILL_AGAIN);
            }
            Manner::Asked if self.kill_at.is_none() => {
                running.ask_to_end();
                self.kill_at = Some(now + self.service.stop_limit);
            }
            Manner::Asked => {}
        }
    }

    /// Whether it has no process and gets none by itself.
    pub fn is_stopped(&self) -> bool {
        !self.wanted && self.running.is_none()
    }

    /// Does what is due; gives back a line for the log.
    pub fn advance(&mut self, now: Instant, environment: &[(String, String)]) -> Option<String> {
        if self.kill_at.is_some_and(|at| at <= now)
            && let Some(running) = &self.running
        {
            running.kill();
            self.kill_at = Some(now + KILL_AGAIN);
            return Some(format!("{} did not end in time and was killed", self.service.name));
        }
        if self.running.is_some() || self.start_at.is_none_or(|at| at > now) {
            return None;
        }
        self.start_at = None;
        match Running::start(self.service, environment) {
            Ok(running) => {
                let pid = running.pid.as_raw_nonzero();
                self.running = Some(running);
                Some(format!("{} started as process {pid}", self.service.name))
            }
            Err(error) => Some(self.failed(now, Duration::ZERO, &format!("it cannot be started: {error}"))),
        }
    }

    /// When [`Self::advance`] has something to do next.
    pub fn due_at(&self) -> Option<Instant> {
        if self.running.is_some() { self.kill_at } else { self.start_at }
    }

    /// How its process ended, with the kernel's reason where that was memory.
    pub fn cause_of(&self, how: &str) -> String {
        let name = self.service.name;
        match &self.running {
            Some(running) if running.ran_out_of_memory(name) => {
                format!("{how}: it needed more memory than it may have")
            }
            _ => how.to_owned(),
        }
    }

    /// Takes note that its process ended; gives back a line for the log.
    pub fn ended(&mut self, now: Instant, how: &str) -> String {
        let ran = self.running.take().map_or(Duration::ZERO, |running| now - running.since);
        let asked = self.kill_at.take().is_some();
        if self.wanted && !asked {
            return self.failed(now, ran, how);
        }
        // Wanted again while it was still ending: no failure, so no wait.
        self.start_at = self.wanted.then_some(now);
        let line = format!("{} stopped: {how}", self.service.name);
        self.last_end = Some(how.to_owned());
        line
    }

    fn failed(&mut self, now: Instant, ran: Duration, how: &str) -> String {
        self.last_end = Some(how.to_owned());
        let name = self.service.name;
        if let Some(wait) = self.failures.note(&self.service.pacing, ran) {
            self.restarts += 1;
            self.start_at = Some(now + wait);
            format!("{name}: {how}; it is started again in {} ms", wait.as_millis())
        } else {
            self.given_up = true;
            self.wanted = false;
            format!("{name}: {how}; it failed too often and is not started again by itself")
        }
    }

    /// What the control socket says of it.
    pub fn report(&self) -> init::Service {
        let state = match (&self.running, self.kill_at) {
            (Some(_), None) => ServiceState::Running,
            (Some(_), Some(_)) => ServiceState::Stopping,
            (None, _) if self.given_up => ServiceState::Failed,
            (None, _) if self.start_at.is_some() => ServiceState::Waiting,
            (None, _) => ServiceState::Stopped,
        };
        init::Service {
            name: self.service.name.to_owned(),
            state,
            pid: self.running.as_ref().map(|running| running.pid.as_raw_nonzero().get() as u32),
            restarts: self.restarts,
            last_end: self.last_end.clone(),
        }
    }
}

/// How a process ended, for people.
pub fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::TABLE;

    fn mail() -> &'static Service {
        TABLE.iter().find(|service| service.name == "mail").unwrap()
    }

    const KILLED: &str = "it was ended by signal 9";

    #[test]
    fn a_service_on_demand_waits_for_its_request() {
        let now = Instant::now();
        let mut service = Supervised::new(mail(), now);
        assert_eq!((service.due_at(), service.report().state), (None, ServiceState::Stopped));
        service.want(now);
        assert_eq!((service.due_at(), service.report().state), (Some(now), ServiceState::Waiting));
        service.stop(now, Manner::Asked);
        assert!(service.is_stopped());
    }

    #[test]
    fn a_failing_service_is_given_up_and_says_how_it_ended() {
        let now = Instant::now();
        let mut service = Supervised::new(mail(), now);
        service.want(now);
        for _ in 1..mail().pacing.failures_max {
            service.ended(now, KILLED);
            assert_eq!(service.report().state, ServiceState::Waiting);
        }
        service.ended(now, KILLED);
        let report = service.report();
        assert_eq!(report.state, ServiceState::Failed);
        assert_eq!(report.last_end.as_deref(), Some(KILLED));
        service.want(now);
        assert_eq!(service.report().state, ServiceState::Waiting);
    }

    #[test]
    fn a_service_wanted_again_while_it_ends_has_not_failed() {
        let now = Instant::now();
        let mut service = Supervised::new(mail(), now);
        service.want(now);
        service.kill_at = Some(now);
        service.want(now);
        service.ended(now, KILLED);
        assert_eq!((service.due_at(), service.report().restarts), (Some(now), 0));
    }

    #[test]
    fn a_stop_ends_giving_up() {
        let now = Instant::now();
        let mut service = Supervised::new(mail(), now);
        service.want(now);
        for _ in 0..mail().pacing.failures_max {
            service.ended(now, KILLED);
        }
        service.stop(now, Manner::Asked);
        assert_eq!(service.report().state, ServiceState::Stopped);
    }

    #[test]
    fn a_service_that_was_asked_to_stop_is_not_started_again() {
        let now = Instant::now();
        let mut service = Supervised::new(mail(), now);
        service.want(now);
        service.stop(now, Manner::Asked);
        service.ended(now, KILLED);
        assert!(service.is_stopped());
        assert_eq!(service.report().restarts, 0);
    }
}
