//! The two threads that keep an eye on the mail service: one hears from init of every start and end of a
//! service the moment it happens, the other puts questions to the mail service and judges the answers.

use std::fs;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cluster::Event;
use control::init::{Reply, Request, Service, ServiceState};
use control::{GroupPlace, INIT_SOCKET, wire};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::warn;

use crate::input::Input;
use crate::probe::{Fault, Found, ProbeWay, Prober, Progress};
use crate::sentry::{Illness, Patience, Pulse, Verdict, judge_silence};

/// Between two looks at a question that waits, and between two questions.
const STEP: Duration = Duration::from_millis(250);
/// Wrong answers in a row after which the service is ill.
const WRONG_MAX: u32 = 3;
/// Answers in a row that it is too busy, after which it is of no use.
const BUSY_MAX: u32 = 60;
/// Wait before init is asked again to be followed.
const FOLLOW_AGAIN: Duration = Duration::from_millis(500);
/// For connecting to init; after that its silence means that nothing has changed.
const INIT_WAIT: Duration = Duration::from_secs(5);
/// How often the file system is asked whether it has met errors.
const ERRORS_EVERY: Duration = Duration::from_secs(10);
/// Most threads of the mail service that are looked at.
const THREADS_MAX: usize = 64;

/// What init said last of the mail service's process.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    process: Option<(u32, Instant)>,
    given_up: bool,
}

/// The facts about a group's mail service, shared by the two threads.
#[derive(Debug, Clone)]
struct Shared(&'static GroupPlace, Arc<Mutex<Facts>>);

impl Shared {
    fn get(&self) -> Facts {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, services: &[Service]) {
        let Some(mail) = services.iter().find(|service| service.name == self.0.name) else { return };
        let mut facts = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let known = facts.process.filter(|(pid, _)| Some(*pid) == mail.pid);
        facts.process = known.or_else(|| mail.pid.map(|pid| (pid, Instant::now())));
        facts.given_up = mail.state == ServiceState::Failed;
    }
}

/// Starts both threads for the mail service of `group`; questions are put only while `serving`.
pub fn start(
    group: &'static GroupPlace,
    way: ProbeWay,
    serving: Arc<AtomicBool>,
    inputs: &Sender<Input>,
) -> io::Result<()> {
    let facts = Shared(group, Arc::default());
    let (to_loop, follower) = (inputs.clone(), facts.clone());
    thread::Builder::new().name("services".to_owned()).spawn(move || follow(&follower, &to_loop))?;
    let (ask, asked) = bounded(1);
    let (answer, answers) = bounded(1);
    let progress = Progress::default();
    let prober = Prober::new(group, way, progress.clone());
    thread::Builder::new().name("prober".to_owned()).spawn(move || prober.run(&asked, &answer))?;
    let inputs = inputs.clone();
    let watch = Watch {
        serving,
        facts,
        ask,
        answers,
        progress,
        inputs,
        number: 0,
        wrong: 0,
        busy: 0,
        full: false,
        errors_told: false,
        errors_due: Instant::now(),
    };
    thread::Builder::new().name("sentry".to_owned()).spawn(move || watch.run())?;
    Ok(())
}

/// Hears from init of every change, for ever.
fn follow(facts: &Shared, inputs: &Sender<Input>) {
    loop {
        if let Err(error) = follow_once(facts, inputs) {
            warn!("init: {error}");
        }
        thread::sleep(FOLLOW_AGAIN);
    }
}

fn follow_once(facts: &Shared, inputs: &Sender<Input>) -> Result<(), wire::WireError> {
    let mut stream = wire::connect(Path::new(INIT_SOCKET), INIT_WAIT)?;
    stream.set_write_timeout(Some(INIT_WAIT))?;
    wire::write_line(&mut stream, &Request::Follow)?;
    let mut lines = BufReader::new(stream);
    loop {
        if let Reply::Services(services) = wire::read_line(&mut lines)? {
            facts.take(&services);
            if inputs.send(Input::Services(services)).is_err() {
                return Ok(());
            }
        }
    }
}

/// What the sentry has to look at.
struct Watch {
    serving: Arc<AtomicBool>,
    facts: Shared,
    ask: Sender<u32>,
    answers: Receiver<(u32, Result<Found, Fault>)>,
    progress: Progress,
    inputs: Sender<Input>,
    /// Number of the last question.
    number: u32,
    /// Wrong answers in a row.
    wrong: u32,
    /// Answers in a row that it is too busy.
    busy: u32,
    /// New mail is refused for lack of room.
    full: bool,
    /// The alarm of the file system's errors is raised.
    errors_told: bool,
    errors_due: Instant,
}

impl Watch {
    fn run(mut self) {
        loop {
            thread::sleep(STEP);
            if !self.serving.load(Ordering::Acquire) {
                self.wrong = 0;
                self.note_room(None);
                self.note_errors(0);
                continue;
            }
            if Instant::now() >= self.errors_due {
                self.errors_due = Instant::now() + ERRORS_EVERY;
                self.note_errors(array::errors_met(Path::new(self.facts.0.data_dir)).unwrap_or(0));
            }
            let verdict = if self.facts.get().given_up { None } else { Some(self.question()) };
            // What was asked while serving and answered after is no news.
            if !self.serving.load(Ordering::Acquire) {
                continue;
            }
            let event = match verdict {
                Some(Verdict::Wait) => continue,
                Some(Verdict::Well) => Event::MailProbe { well: true },
                Some(Verdict::Ill(illness)) => Event::MailIll { why: illness.to_string(), given_up: false },
                None => Event::MailIll { why: "it failed too often in a row".to_owned(), given_up: true },
            };
            if self.inputs.send(Input::Core(event)).is_err() {
                return;
            }
        }
    }

    /// Puts one question and waits for its answer, for as long as that makes sense.
    fn question(&mut self) -> Verdict {
        // If the one before it was not even put yet, that one is waited for.
        if self.ask.try_send(self.number.wrapping_add(1)).is_ok() {
            self.number = self.number.wrapping_add(1);
        }
        let mut patience = Patience::new();
        let mut progress = self.progress.load(Ordering::Relaxed);
        loop {
            match self.answers.recv_timeout(STEP) {
                // The answer to one that was given up.
                Ok((number, _)) if number != self.number => continue,
                Ok((_, Ok(found))) => {
                    (self.wrong, self.busy) = (0, 0);
                    if let Some(full) = found.disk_full {
                        self.note_room(full);
                    }
                    return Verdict::Well;
                }
                Ok((_, Err(Fault::NobodyListens))) => return judge_silence(self.age()),
                Ok((_, Err(Fault::Wrong(reason)))) => return self.note_wrong(&reason),
                Ok((_, Err(Fault::Busy(reason)))) => return self.note_busy(&reason),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Verdict::Wait,
            }
            if !self.serving.load(Ordering::Acquire) {
                return Verdict::Wait;
            }
            // Each answer within a transaction is one for itself.
            let now = self.progress.load(Ordering::Relaxed);
            if now != progress {
                (progress, patience) = (now, Patience::new());
            }
            match patience.wait(STEP, self.facts.get().process.and_then(|(pid, _)| pulse(pid))) {
                Verdict::Wait => {}
                verdict => return verdict,
            }
        }
    }

    fn age(&self) -> Option<Duration> {
        self.facts.get().process.map(|(_, since)| since.elapsed())
    }

    fn note_wrong(&mut self, reason: &str) -> Verdict {
        warn!("the mail service was probed: {reason}");
        self.wrong += 1;
        if self.wrong < WRONG_MAX {
            return Verdict::Wait;
        }
        self.wrong = 0;
        Verdict::Ill(Illness::Wrong(reason.to_owned()))
    }

    /// Under full load a probe is turned away like anybody else: that alone is no illness.
    fn note_busy(&mut self, reason: &str) -> Verdict {
        self.busy += 1;
        if self.busy < BUSY_MAX {
            return Verdict::Wait;
        }
        warn!("the mail service was probed {BUSY_MAX} times in a row: {reason}");
        self.busy = 0;
        Verdict::Ill(Illness::Useless)
    }

    /// The file system goes on after an error of the array, but nobody knows what it lacks until it is checked.
    fn note_errors(&mut self, errors: u64) {
        if self.errors_told == (errors > 0) {
            return;
        }
        self.errors_told = errors > 0;
        let text = "the file system of the mail has met errors of the array; have it checked";
        let text = self.errors_told.then(|| text.to_owned());
        let _ = self.inputs.send(Input::Alarm { code: "file_system", text });
    }

    /// A full disk would be full on the other box as well: it is an alarm, and no reason to move.
    fn note_room(&mut self, full: Option<String>) {
        if self.full == full.is_some() {
            return;
        }
        self.full = full.is_some();
        let text = full.map(|words| {
            format!(
                "the disk of the mail store is full, and new mail is refused ({words}); have mail deleted"
            )
        });
        let _ = self.inputs.send(Input::Alarm { code: "disk_full", text });
    }
}

/// What process `pid` has done by now (proc(5)); none if it is gone.
pub fn pulse(pid: u32) -> Option<Pulse> {
    let mut pulse = Pulse::default();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for task in tasks.flatten().take(THREADS_MAX) {
        // A thread that ends between the look at the list and at it has lived.
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let schedstat = read("schedstat");
        let mut numbers = schedstat.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
        pulse.ran += numbers.next().unwrap_or(0);
        pulse.waited += numbers.next().unwrap_or(0);
        // The state follows the name, which may hold anything but ends with the last parenthesis.
        let stat = read("stat");
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        pulse.in_disk |= state == Some('D');
    }
    Some(pulse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_stands_still_has_no_pulse_and_one_that_works_has() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = busy.id();
        let moves = |before: Pulse| {
            let after = pulse(pid).unwrap();
            after.ran > before.ran || after.waited > before.waited
        };
        let before = pulse(pid).unwrap();
        while !moves(before) {
            thread::sleep(Duration::from_millis(5));
        }
        crate::mail_service::suspend(pid);
        // It stops at its next instruction, which on a starved machine is a while away.
        let stands = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
        for _ in 0..6_000 {
            if stands() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(stands(), "it was not stopped");
        let last = pulse(pid).unwrap();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(pulse(pid), Some(last));
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert_eq!(pulse(pid), None);
    }
}
