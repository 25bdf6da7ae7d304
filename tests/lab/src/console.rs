//! The serial console of one box, as an administrator uses it: read, type, log in, give a command.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chardev::Chardev;
use crate::error::{Doing, LabError, Result};
use crate::parts::{ADMIN_PASSWORD, BoxName};
use crate::phrases;
use crate::tape::{Found, Tape};

/// Back to the status screen, from anywhere.
const CTRL_C: u8 = 3;
/// Longest wait for the status screen after that.
const REDRAW_MAX: Duration = Duration::from_secs(2);
/// An answer at the prompt may take this long.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// A check of everything the store holds, on an emulated core.
const CHECK_MAX: Duration = Duration::from_mins(4);
/// The password prompt is there at once, or the console was busy with something else and never saw
/// the key.
const PROMPT_MAX: Duration = Duration::from_secs(2);
/// What is typed is echoed at once, unless the box is dead.
const ECHO_MAX: Duration = Duration::from_secs(3);
/// The login itself; hashing takes its time under emulation.
const LOGIN_MAX: Duration = Duration::from_secs(15);
/// How often a login is tried from the beginning.
const LOGIN_TRIES: usize = 3;
/// Pause between two keys: a UART holds 16 characters, and nobody types faster.
const TYPING_PAUSE: Duration = Duration::from_millis(2);
/// Lines of the console shown when it did not say what was waited for.
const LINES_SHOWN: usize = 12;

/// What a box shows once it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first-boot wizard.
    Blank,
    /// The status screen.
    SetUp,
}

/// The console of one box.
#[derive(Debug)]
pub struct Console {
    name: BoxName,
    line: Arc<Chardev>,
    tape: Arc<Tape>,
    /// One driver at a time.
    driver: Mutex<()>,
    at_prompt: AtomicBool,
    /// Position on the tape where the box last began to start.
    started_from: AtomicUsize,
}

impl Console {
    /// Plugs a terminal into the port that QEMU connects to `path`; `log` keeps every byte.
    pub fn plug(name: BoxName, path: &Path, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log);
        let tape = Arc::new(Tape::with_log(log.doing(|| "the console's log cannot be opened".into())?));
        let own = Arc::clone(&tape);
        let line = Chardev::listen(path, move |_, bytes| own.record(bytes))?;
        Ok(Self {
            name,
            line,
            tape,
            driver: Mutex::default(),
            at_prompt: AtomicBool::new(false),
            started_from: AtomicUsize::new(0),
        })
    }

    /// What it has said.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The box starts anew: nobody is logged in, and nobody answers for a while.
    pub fn restarted(&self) {
        self.started_from.store(self.tape.end(), Ordering::Relaxed);
        self.logged_out();
    }

    /// Somebody else may have typed: nobody counts as logged in.
    pub fn logged_out(&self) {
        self.at_prompt.store(false, Ordering::Relaxed);
    }

    /// Waits until the box has started: it shows its status, or asks the wizard's first question. A
    /// status page on which nothing is known yet says neither.
    pub fn wait_for_start(&self, most: Duration) -> Result<Start> {
        let end = Instant::now() + most;
        let mut from = self.started_from.load(Ordering::Relaxed);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let found = self.expect(from, &[phrases::WIZARD, phrases::STATUS, phrases::THIS_BOX], left)?;
            if found.which == 0 {
                let status_since = self.tape.wait_for(found.end, &[phrases::STATUS], Duration::ZERO);
                return Ok(if status_since.is_none() { Start::Blank } else { Start::SetUp });
            }
            let knows_nothing = phrases::NOTHING_KNOWN.iter().any(|text| found.before.contains(text));
            if found.which == 2 || !knows_nothing {
                return Ok(Start::SetUp);
            }
            from = found.end;
        }
    }

    /// Sends keys as they are.
    pub fn type_keys(&self, keys: &[u8]) {
        for key in keys {
            self.line.send(std::slice::from_ref(key));
            thread::sleep(TYPING_PAUSE);
        }
    }

    /// Waits until one of `wanted` stands behind position `from`.
    pub fn expect(&self, from: usize, wanted: &[&str], most: Duration) -> Result<Found> {
        self.tape.wait_for(from, wanted, most).ok_or_else(|| LabError::ConsoleSilent {
            name: self.name,
            wanted: wanted.join("\" or \""),
            seconds: most.as_secs(),
            seen: self.tape.last_lines(LINES_SHOWN),
        })
    }

    /// Gives one command at the prompt, logging in where needed; gives what it printed.
    pub fn command(&self, words: &str) -> Result<String> {
        let most = if words.starts_with("store check") { CHECK_MAX } else { ANSWER_MAX };
        self.command_within(words, most)
    }

    /// The same for a command that takes long.
    pub fn command_within(&self, words: &str, most: Duration) -> Result<String> {
        let _driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tape.is_attached() {
            return Err(LabError::ConsoleTaken(self.name));
        }
        if self.at_prompt.load(Ordering::Relaxed) {
            match self.give(words, most) {
                // The session may have timed out, or the box started anew: log in again.
                Err(LabError::ConsoleSilent { .. }) => {}
                result => return result,
            }
        }
        // A box that is starting does not hear what is typed; one that asks for a password, because it
        // heard half of what was typed before it was reset, shows its status again after Ctrl-C.
        let start = self.wait_for_start(Duration::ZERO).or_else(|_| {
            self.type_keys(&[CTRL_C]);
            self.wait_for_start(REDRAW_MAX)
        })?;
        if start == Start::Blank {
            return Err(LabError::NotSetUp(self.name));
        }
        self.log_in()?;
        self.give(words, most)
    }

    /// Gives a command that prints one JSON object or list.
    pub fn query(&self, words: &str) -> Result<Value> {
        let printed = self.command(words)?;
        let unexpected = |said: &str| LabError::Unexpected {
            name: self.name,
            command: words.into(),
            said: said.trim().into(),
        };
        let start = printed.find(['{', '[']).ok_or_else(|| unexpected(&printed))?;
        let mut values = serde_json::Deserializer::from_str(&printed[start..]).into_iter::<Value>();
        let value = values.next().and_then(std::result::Result::ok).ok_or_else(|| unexpected(&printed))?;
        match value["error"].as_str() {
            Some(error) => Err(unexpected(error)),
            None => Ok(value),
        }
    }

    fn give(&self, words: &str, most: Duration) -> Result<String> {
        let mark = self.tape.end();
        self.type_keys(words.as_bytes());
        self.type_keys(b"\r");
        // The echo first, so that an old prompt does not count.
        let echo = self.expect(mark, &[words], ECHO_MAX.min(most)).inspect_err(|_| self.logged_out())?;
        let answer =
            self.expect(echo.end, &[&phrases::prompt(self.name)], most).inspect_err(|_| self.logged_out())?;
        Ok(answer.before.trim_matches('\n').to_owned())
    }

    fn log_in(&self) -> Result<()> {
        let mut result = Ok(());
        for _ in 0..LOGIN_TRIES {
            result = self.try_to_log_in();
            if result.is_ok() {
                self.at_prompt.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
        result
    }

    fn try_to_log_in(&self) -> Result<()> {
        self.type_keys(phrases::LEAVE);
        thread::sleep(Duration::from_millis(300));
        let mark = self.tape.end();
        self.type_keys(phrases::ASK_FOR_LOGIN);
        let prompt = phrases::prompt(self.name);
        let asked = self.expect(mark, &[phrases::PASSWORD, &prompt], PROMPT_MAX)?;
        // Ctrl-C leaves the prompt, not the log-in: then there is nothing to ask for.
        if asked.which == 1 {
            return Ok(());
        }
        self.type_keys(ADMIN_PASSWORD.as_bytes());
        self.type_keys(b"\r");
        self.expect(asked.end, &[&prompt], LOGIN_MAX)?;
        Ok(())
    }
}
