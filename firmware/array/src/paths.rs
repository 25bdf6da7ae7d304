//! The paths to one LUN, as a state machine without I/O: which are usable, which are not, and what is to
//! be done when that changes.
//!
//! A path is checked by TEST UNIT READY. One failed check makes it [`State::Failing`], a second one, or a
//! check that stays away for [`STALL_MS`], takes it out of use. It comes back after [`GOOD_CHECKS`]
//! good checks in a row, and only by [`Act::Admit`]: the box registers its key on it, with a held proof,
//! before anything is sent over it again.
//!
//! What always holds: no check takes the last usable path out of use (there is nothing to fail over to,
//! and the kernel's own bounds hold), a path that is gone is never admitted, and nothing but the
//! outcome of an [`Act::Admit`] makes a path usable again.

use cluster::Time;

/// Most paths to one LUN.
pub const PATHS_MAX: usize = 4;
/// Between two checks of one path.
pub const CHECK_EVERY_MS: u64 = 500;
/// A check without an answer for so long is a path that stalls. Below half a lease, so that new
/// commands go over another path before the lease can lapse.
pub const STALL_MS: u64 = 700;
/// Good checks in a row after which a path may come back.
pub const GOOD_CHECKS: u32 = 2;

/// How one path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works and is in use.
    Up,
    /// One check failed; it is still in use.
    Failing,
    /// Out of use.
    Down,
    /// Out of use, but its checks are good again.
    Returning,
}

/// What is to be done about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Send nothing over it any more.
    Fail(String),
    /// Register on it and, if that succeeds, use it again; answered with [`Paths::admitted`].
    Admit(String),
    /// Check it now; answered with [`Paths::checked`].
    Check(String),
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Name of the block device, `sda` for example; the newest one behind this place.
    pub name: String,
    /// Where it hangs: host, channel, target and LUN. A path that was pulled and plugged in again is
    /// another device at the same place.
    pub place: String,
    /// How it does.
    pub state: State,
    /// Why it is out of use.
    pub fault: Option<String>,
    present: bool,
    good: u32,
    checked_at: Option<Time>,
    asked_at: Option<Time>,
    admitting: bool,
}

/// All paths to one LUN.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    list: Vec<Path>,
}

impl Paths {
    /// The paths, in the order they were found.
    pub fn list(&self) -> &[Path] {
        &self.list
    }

    /// Names of the paths in use, the best first.
    pub fn usable(&self) -> Vec<String> {
        let in_state =
            |state| self.list.iter().filter(move |path| path.state == state).map(|path| path.name.clone());
        in_state(State::Up).chain(in_state(State::Failing)).collect()
    }

    /// Names of the paths that a command may be tried on: those in use or, where none is, all that are
    /// there.
    pub fn to_try(&self) -> Vec<String> {
        let usable = self.usable();
        if !usable.is_empty() {
            return usable;
        }
        self.list.iter().filter(|path| path.present).map(|path| path.name.clone()).collect()
    }

    /// A device at `place` leads to the LUN. Found at the start, it is used once it has answered;
    /// later it comes in like every path that returns. More than [`PATHS_MAX`] are not taken.
    pub fn found(&mut self, name: &str, place: &str) -> bool {
        let known = self.list.iter().position(|path| path.place == place);
        let fresh = Path {
            name: name.to_owned(),
            place: place.to_owned(),
            state: State::Down,
            fault: None,
            present: true,
            good: 0,
            checked_at: None,
            asked_at: None,
            admitting: false,
        };
        if known.is_none() && self.list.len() >= PATHS_MAX {
            return false;
        }
        match known.and_then(|at| self.list.get_mut(at)) {
            Some(path) => *path = fresh,
            None => self.list.push(fresh),
        }
        true
    }

    /// The device is gone from the system.
    pub fn gone(&mut self, name: &str, acts: &mut Vec<Act>) {
        if let Some(path) = self.path(name) {
            path.present = false;
            path.asked_at = None;
            path.admitting = false;
            path.take_out("its device is gone; check host card, cable and array".to_owned(), acts);
        }
    }

    /// A check has ended: well, or with the fault it met.
    pub fn checked(&mut self, name: &str, now: Time, result: Result<(), String>, acts: &mut Vec<Act>) {
        let last = self.usable() == [name];
        let Some(path) = self.path(name) else { return };
        path.asked_at = None;
        path.checked_at = Some(now);
        match result {
            Ok(()) => path.answered(acts),
            Err(fault) => path.failed(fault, last, acts),
        }
    }

    /// A command that was to be carried over this path failed on it, or the kernel gave it up.
    pub fn lost(&mut self, name: &str, fault: String, acts: &mut Vec<Act>) {
        if let Some(path) = self.path(name) {
            path.take_out(fault, acts);
        }
    }

    /// What came of an [`Act::Admit`], or of a registration in the act of taking.
    pub fn admitted(&mut self, name: &str, result: Result<(), String>) {
        let Some(path) = self.path(name) else { return };
        path.admitting = false;
        path.good = 0;
        match result {
            Ok(()) if path.present => {
                path.state = State::Up;
                path.fault = None;
            }
            Ok(()) => {}
            Err(fault) => {
                path.state = State::Down;
                path.fault = Some(fault);
            }
        }
    }

    /// Time goes by: checks fall due, and checks stay away.
    pub fn tick(&mut self, now: Time, acts: &mut Vec<Act>) {
        let mut usable = self.usable().len();
        for path in &mut self.list {
            let stalls = path.asked_at.is_some_and(|at| now.since_ms(at) >= STALL_MS);
            if stalls && path.in_use() && usable > 1 {
                usable -= 1;
                path.take_out("it does not answer; check the cable and the array".to_owned(), acts);
            }
            let due = path.checked_at.is_none_or(|at| now.since_ms(at) >= CHECK_EVERY_MS);
            if path.present && path.asked_at.is_none() && due {
                path.asked_at = Some(now);
                acts.push(Act::Check(path.name.clone()));
            }
        }
    }

    /// A sentence for the administrator, while a path is out of use.
    pub fn alarm(&self) -> Option<String> {
        let broken: Vec<&Path> = self.list.iter().filter(|path| !path.in_use()).collect();
        let first = broken.first()?;
        let (works, all) = (self.list.len() - broken.len(), self.list.len());
        let fault = first.fault.as_deref().unwrap_or("it has not answered yet");
        Some(format!(
            "{works} of {all} paths to the array in use; {} (SCSI {}) is not: {fault}",
            first.name, first.place
        ))
    }

    fn path(&mut self, name: &str) -> Option<&mut Path> {
        self.list.iter_mut().find(|path| path.name == name)
    }
}

impl Path {
    /// Whether commands go over it.
    pub fn in_use(&self) -> bool {
        matches!(self.state, State::Up | State::Failing)
    }

    fn answered(&mut self, acts: &mut Vec<Act>) {
        if !self.present {
            return;
        }
        match self.state {
            State::Up => {}
            State::Failing => {
                self.state = State::Up;
                self.fault = None;
            }
            State::Down | State::Returning => {
                self.state = State::Returning;
                self.good = self.good.saturating_add(1);
                // A path found at the start has nothing to prove; it did not fail.
                let enough = self.good >= GOOD_CHECKS || self.fault.is_none();
                if enough && !self.admitting {
                    self.admitting = true;
                    acts.push(Act::Admit(self.name.clone()));
                }
            }
        }
    }

    fn failed(&mut self, fault: String, last: bool, acts: &mut Vec<Act>) {
        match self.state {
            State::Up => {
                self.state = State::Failing;
                self.fault = Some(fault);
                // Again at once: one lost command is not a dead cable.
                self.checked_at = None;
            }
            State::Failing if last => self.fault = Some(fault),
            State::Failing => self.take_out(fault, acts),
            State::Down | State::Returning => {
                self.state = State::Down;
                self.good = 0;
                self.fault = Some(fault);
            }
        }
    }

    fn take_out(&mut self, fault: String, acts: &mut Vec<Act>) {
        if self.in_use() {
            acts.push(Act::Fail(self.name.clone()));
        }
        self.state = State::Down;
        self.good = 0;
        self.fault = Some(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_up() -> Paths {
        let mut paths = Paths::default();
        for (name, place) in [("sda", "0:0:0:1"), ("sdb", "1:0:0:1")] {
            assert!(paths.found(name, place));
            let mut acts = Vec::new();
            paths.checked(name, Time(0), Ok(()), &mut acts);
            assert_eq!(acts, [Act::Admit(name.to_owned())]);
            paths.admitted(name, Ok(()));
        }
        assert_eq!(paths.usable(), ["sda", "sdb"]);
        assert_eq!(paths.alarm(), None);
        paths
    }

    fn check(paths: &mut Paths, name: &str, at: u64, good: bool) -> Vec<Act> {
        let mut acts = Vec::new();
        let result = if good { Ok(()) } else { Err("no answer".to_owned()) };
        paths.checked(name, Time(at), result, &mut acts);
        acts
    }

    #[test]
    fn one_failed_check_is_forgiven_and_two_are_not() {
        let mut paths = two_up();
        assert_eq!(check(&mut paths, "sda", 500, false), []);
        assert_eq!(paths.usable(), ["sdb", "sda"], "the doubtful one is tried last");
        assert_eq!(check(&mut paths, "sda", 510, true), []);
        assert_eq!(paths.usable(), ["sda", "sdb"]);
        check(&mut paths, "sda", 1_000, false);
        assert_eq!(check(&mut paths, "sda", 1_010, false), [Act::Fail("sda".into())]);
        assert_eq!(paths.usable(), ["sdb"]);
        assert!(paths.alarm().unwrap().contains("1 of 2 paths"));
    }

    #[test]
    fn a_failed_check_is_repeated_at_once() {
        let mut paths = two_up();
        check(&mut paths, "sda", 500, false);
        let mut acts = Vec::new();
        paths.tick(Time(501), &mut acts);
        assert!(acts.contains(&Act::Check("sda".into())));
    }

    #[test]
    fn a_path_comes_back_only_by_admission_after_good_checks() {
        let mut paths = two_up();
        check(&mut paths, "sda", 500, false);
        check(&mut paths, "sda", 510, false);
        assert_eq!(check(&mut paths, "sda", 1_000, true), []);
        assert_eq!(check(&mut paths, "sda", 1_500, true), [Act::Admit("sda".into())]);
        assert_eq!(paths.usable(), ["sdb"], "asked for is not admitted");
        assert_eq!(check(&mut paths, "sda", 2_000, true), [], "asked for once");
        paths.admitted("sda", Err("the reservation is not proven".into()));
        assert_eq!(paths.usable(), ["sdb"]);
        check(&mut paths, "sda", 2_500, true);
        check(&mut paths, "sda", 3_000, true);
        paths.admitted("sda", Ok(()));
        assert_eq!(paths.usable(), ["sda", "sdb"]);
        assert_eq!(paths.alarm(), None);
    }

    #[test]
    fn a_path_that_stalls_is_taken_out_unless_it_is_the_last() {
        let mut paths = two_up();
        let mut acts = Vec::new();
        paths.tick(Time(600), &mut acts);
        assert_eq!(acts, [Act::Check("sda".into()), Act::Check("sdb".into())]);
        check(&mut paths, "sdb", 610, true);
        acts.clear();
        paths.tick(Time(600 + STALL_MS), &mut acts);
        assert!(acts.contains(&Act::Fail("sda".into())));
        assert_eq!(paths.usable(), ["sdb"]);
        // Now the other one stalls too: it stays, whatever it costs.
        acts.clear();
        paths.tick(Time(10_000), &mut acts);
        assert!(!acts.iter().any(|act| matches!(act, Act::Fail(_))));
        assert_eq!(paths.usable(), ["sdb"]);
        // A stalled check is not asked twice.
        assert!(!acts.contains(&Act::Check("sda".into())));
    }

    #[test]
    fn the_last_path_is_kept_whatever_its_checks_say() {
        let mut paths = two_up();
        paths.gone("sda", &mut Vec::new());
        for at in 1..20 {
            assert_eq!(check(&mut paths, "sdb", at * 100, false), []);
        }
        assert_eq!(paths.usable(), ["sdb"]);
        // The kernel's own word counts even then; commands are still tried on what is there.
        let mut acts = Vec::new();
        paths.lost("sdb", "a command failed".into(), &mut acts);
        assert_eq!(acts, [Act::Fail("sdb".into())]);
        assert_eq!((paths.usable().len(), paths.to_try()), (0, vec!["sdb".to_owned()]));
    }

    #[test]
    fn two_paths_that_stall_together_leave_one() {
        let mut paths = two_up();
        let mut acts = Vec::new();
        paths.tick(Time(600), &mut acts);
        acts.clear();
        paths.tick(Time(600 + STALL_MS), &mut acts);
        let failed = acts.iter().filter(|act| matches!(act, Act::Fail(_))).count();
        assert_eq!((failed, paths.usable().len()), (1, 1));
    }

    #[test]
    fn a_device_that_is_gone_is_not_admitted_and_its_successor_is() {
        let mut paths = two_up();
        let mut acts = Vec::new();
        paths.gone("sdb", &mut acts);
        assert_eq!(acts, [Act::Fail("sdb".into())]);
        assert_eq!(check(&mut paths, "sdb", 700, true), []);
        paths.admitted("sdb", Ok(()));
        assert_eq!(paths.usable(), ["sda"]);
        assert!(paths.found("sdc", "1:0:0:1"));
        assert_eq!(paths.list().len(), 2, "the same place is the same path");
        assert_eq!(check(&mut paths, "sdc", 1_200, true), [Act::Admit("sdc".into())]);
    }

    #[test]
    fn more_paths_than_the_bound_are_not_taken() {
        let mut paths = Paths::default();
        let taken = (0..6).filter(|n| paths.found(&format!("sd{n}"), &format!("{n}:0:0:0"))).count();
        assert_eq!(taken, PATHS_MAX);
    }
}
