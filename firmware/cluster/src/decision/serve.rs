//! Serving: the mail service's health, the reservation's order, and when to hand over.

use super::release::ReleaseWhy;
use super::{Core, State};
use crate::config::{HOLD_DOWN_MAX_MS, HOLD_DOWN_MS, MAIL_PROBES_MAX, MAIL_RESTARTS_MAX};
use crate::mutant::Mutant;
use crate::situation::Choice;
use crate::{Action, Decided, Order, Step, StepFault, Time};

/// What is kept while this box serves.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    pub since: Time,
    /// The mail service failed too often.
    pub mail_failed: bool,
    probes_failed: u32,
    /// What was said of the mail service last, where it was more than a failed probe.
    illness: Option<String>,
    restarts: u32,
    /// The restarts are counted from here on.
    restarts_since: Time,
    restart: Option<(u32, Time)>,
    repair: Option<(u32, Time)>,
}

impl Serving {
    pub fn new(now: Time) -> Self {
        Self {
            since: now,
            mail_failed: false,
            probes_failed: 0,
            illness: None,
            restarts: 0,
            restarts_since: now,
            restart: None,
            repair: None,
        }
    }

    /// With a clean slate; the mail service is restarted at once.
    pub fn begin_again(&mut self, now: Time) {
        self.mail_failed = false;
        self.probes_failed = MAIL_PROBES_MAX;
        self.restarts = 0;
        self.restarts_since = now;
    }
}

impl Core {
    pub(super) fn take_mail_probe(&mut self, well: bool) {
        let State::Active(serving) = &mut self.state else { return };
        // While it is held still, or being restarted, it cannot answer.
        if serving.restart.is_some() || self.lease.lapsed_at.is_some() {
            return;
        }
        if well {
            serving.probes_failed = 0;
            serving.mail_failed = false;
            serving.illness = None;
        } else {
            serving.probes_failed = serving.probes_failed.saturating_add(1);
        }
    }

    /// Somebody who looked closely says so: that counts at once.
    pub(super) fn take_mail_ill(&mut self, why: String, given_up: bool) {
        let State::Active(serving) = &mut self.state else { return };
        if serving.restart.is_some() || self.lease.lapsed_at.is_some() {
            return;
        }
        serving.probes_failed = MAIL_PROBES_MAX;
        serving.illness = Some(why);
        if given_up {
            serving.restarts = MAIL_RESTARTS_MAX;
            serving.restarts_since = self.now;
        }
    }

    pub(super) fn serve(&mut self, out: &mut Vec<Action>) {
        self.repair_reservation(out);
        if self.lease.lapsed_at.is_some() {
            return;
        }
        self.watch_mail(out);
        if !matches!(self.state, State::Active(_)) {
            return;
        }
        if let Choice::HandOver(reason) = self.situation().choose_as_owner() {
            self.start_release(ReleaseWhy::HandOver(reason), reason.to_string(), out);
        }
    }

    /// Puts the registrations in order when an earlier owner's key came back, a path lost its
    /// registration, or the array has forgotten the reservation.
    fn repair_reservation(&mut self, out: &mut Vec<Action>) {
        let forgotten = self.lease.forgotten;
        let Some(key) = self.lease.key.filter(|_| forgotten || self.valid_proof().is_some()) else { return };
        let now = self.now;
        let run = self.runs.wrapping_add(1);
        let State::Active(serving) = &mut self.state else { return };
        let busy = serving.repair.is_some_and(|(_, at)| now.since_ms(at) < Step::Fence.deadline_ms());
        if !self.lease.wants_repair || busy {
            return;
        }
        self.lease.wants_repair = false;
        serving.repair = Some((run, now));
        self.runs = run;
        let order = if self.lacks(Mutant::TakenBack) {
            let holder = self.array.last.as_ref().and_then(|reading| reading.holder);
            Order::Fence { key, over: holder.map(|holder| holder.key) }
        } else {
            Order::Repair { key }
        };
        out.push(Action::Run { run, order, deadline_ms: Step::Fence.deadline_ms() });
        let cause = if forgotten {
            "nobody holds the reservation at the array any more, which this box did until now: it was \
             forgotten or cleared, and is made again"
        } else {
            "the registrations at the array are not in order"
        };
        self.record(Decided::Repair, cause.to_owned(), Vec::new(), out);
    }

    fn watch_mail(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let State::Active(serving) = &mut self.state else { return };
        if serving.restart.is_some_and(|(_, at)| now.since_ms(at) >= Step::RestartMail.deadline_ms()) {
            serving.restart = None;
        }
        if serving.restart.is_some() || serving.probes_failed < MAIL_PROBES_MAX {
            return;
        }
        if now.since_ms(serving.restarts_since) >= HOLD_DOWN_MS {
            serving.restarts = 0;
            serving.restarts_since = now;
        }
        if serving.restarts < MAIL_RESTARTS_MAX {
            self.restart_mail(out);
        } else {
            self.declare_mail_failed(out);
        }
    }

    fn restart_mail(&mut self, out: &mut Vec<Action>) {
        let Some(proof) = self.valid_proof() else { return };
        let run = self.next_run();
        let now = self.now;
        let State::Active(serving) = &mut self.state else { return };
        let (failed, illness) = (serving.probes_failed, serving.illness.take());
        serving.probes_failed = 0;
        serving.restarts += 1;
        serving.restart = Some((run, now));
        let deadline_ms = Step::RestartMail.deadline_ms();
        out.push(Action::Run { run, order: Order::RestartMail { proof }, deadline_ms });
        let cause = illness.unwrap_or_else(|| format!("the mail service failed {failed} probes in a row"));
        self.record(Decided::RestartMail, cause, Vec::new(), out);
    }

    /// Restarting did not help: the other box shall serve; without one, mount afresh now and then. If it
    /// failed there as well, the group stays here and is mounted afresh, ever more seldom.
    fn declare_mail_failed(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let State::Active(serving) = &mut self.state else { return };
        if !serving.mail_failed {
            serving.mail_failed = true;
            let hold_ms = (HOLD_DOWN_MS << self.mail_failures.min(8)).min(HOLD_DOWN_MAX_MS);
            self.mail_failures = self.mail_failures.saturating_add(1);
            self.mail_hold_until = Some(now + hold_ms);
            let mut cause = "restarts on the spot did not bring the mail service back".to_owned();
            if let Some(illness) = &serving.illness {
                cause = format!("{cause}: {illness}");
            }
            self.last_fault = Some(cause.clone());
            self.record(Decided::CannotServe, cause, Vec::new(), out);
        }
        let peer_takes = matches!(self.situation().choose_as_owner(), Choice::HandOver(_));
        if !peer_takes && self.remount_after.is_none_or(|at| now >= at) {
            let wait_ms = (HOLD_DOWN_MS << self.mail_failures.min(8)).min(HOLD_DOWN_MAX_MS);
            let first_time = self.remount_after.is_none();
            self.remount_after = Some(now + wait_ms);
            if first_time && self.peer_has_failed() {
                self.stay(out);
            }
            let cause =
                "the mail service does not start, and no other box is ready; mounting afresh".to_owned();
            self.start_release(ReleaseWhy::Remount, cause, out);
        }
    }

    fn stay(&mut self, out: &mut Vec<Action>) {
        let why = self.last_fault.clone().unwrap_or_default();
        let cause = format!(
            "the mail service fails on both boxes; the group stays where it is, is mounted afresh now and \
             then, and begins with a clean slate at a switch-over to the box that is to serve: {why}"
        );
        self.record(Decided::CannotServe, cause, Vec::new(), out);
    }

    /// An order came to its end, whoever gave it.
    pub(super) fn take_done(&mut self, run: u32, result: Result<(), StepFault>, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Taking(_) => self.take_step_done(run, result, out),
            State::Releasing(_) => self.release_step_done(run, result, out),
            State::Active(serving) => {
                if serving.restart.is_some_and(|(restart, _)| restart == run) {
                    serving.restart = None;
                    // One that did not come up need not be probed to know it.
                    serving.probes_failed = if result.is_ok() { 0 } else { MAIL_PROBES_MAX };
                }
                if serving.repair.is_some_and(|(repair, _)| repair == run) {
                    serving.repair = None;
                    self.array.due = self.now;
                    if result.is_ok() && self.lease.forgotten {
                        // A reading from before does not know it yet.
                        self.lease.forgotten = false;
                        self.lease.wants_repair = false;
                        self.lease.in_force = Some(self.now);
                    }
                }
            }
            State::Watching | State::Fenced { .. } => {}
        }
    }
}

#[cfg(any(test, feature = "checking"))]
impl Serving {
    pub fn digest<H: core::hash::Hasher>(&self, digest: &mut super::digest::Digest<H>) {
        let Self { since, mail_failed, probes_failed, illness: _, restarts, restarts_since, restart, repair } =
            self;
        digest.plain((mail_failed, probes_failed.min(&4), restarts));
        digest.moment(*since);
        digest.moment(*restarts_since);
        digest.maybe(restart.map(|(_, at)| at));
        digest.maybe(repair.map(|(_, at)| at));
    }
}
