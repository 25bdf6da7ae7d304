//! The loop in which PID 1 spends its life.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use control::init::{DrillKind, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, wait};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

use crate::boot::Boot;
use crate::child::Running;
use crate::log::Log;
use crate::power::{self, End};
use crate::services::{ORDERS_OTHERS, TABLE, Wanted};
use crate::shutdown::Shutdown;
use crate::socket::{Answer, Socket};
use crate::supervised::{Manner, Supervised, describe};
use crate::{clock, console, devices, last_reset};

/// Longest sleep: nothing waits that long, but a lost wake-up must not last for ever.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How often a box without a usable board file repeats its sentence.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);
/// How long it does so before it resets: time to read, and one more try for hardware that came up late.
const COMPLAIN_LIMIT: Duration = Duration::from_mins(5);
/// Most bytes taken from one service in one round, so that a chatterbox does not hold up the rest.
const ROUND_MAX_BYTES: usize = 64 * 1024;
/// Most kernel records taken in one round.
const ROUND_MAX_RECORDS: usize = 256;

struct Init {
    begun: Instant,
    faults: Vec<String>,
    log: Log,
    services: Vec<Supervised>,
    environment: Vec<(String, String)>,
    socket: Option<Socket>,
    signals: Option<UnixStream>,
    kernel_log: Option<File>,
    input: Vec<File>,
    shutdown: Option<Shutdown>,
    system: Option<PathBuf>,
    watchdog: Option<PathBuf>,
    complained_at: Instant,
    /// What those who follow the services were told last.
    told: Option<Reply>,
}

/// Supervises for ever.
pub fn run(boot: Boot) -> ! {
    let mut init = Init::new(boot);
    loop {
        init.sleep();
        init.round(Instant::now());
    }
}

impl Init {
    fn new(boot: Boot) -> Self {
        let now = Instant::now();
        // Without a board file no service knows which port is what; the sentence on the console is all.
        let usable = boot.board.is_some();
        let services = TABLE.iter().filter(|_| usable).map(|service| Supervised::new(service, now)).collect();
        let mut init = Self {
            begun: boot.begun,
            faults: Vec::new(),
            log: Log::default(),
            services,
            environment: environment(&boot),
            socket: None,
            signals: None,
            kernel_log: devices::kernel_log(),
            input: devices::input_devices(),
            shutdown: None,
            system: boot.system,
            watchdog: boot.board.map(|board| board.watchdog.device),
            complained_at: now,
            told: None,
        };
        for fault in boot.faults {
            init.note("init", &fault);
            init.faults.push(fault);
        }
        match Socket::open(Path::new(control::INIT_SOCKET)) {
            Ok(socket) => init.socket = Some(socket),
            Err(error) => init.note("init", &format!("the control socket cannot be opened: {error}")),
        }
        match listen_for_signals() {
            Ok(signals) => init.signals = Some(signals),
            Err(error) => init.note("init", &format!("signals cannot be heard: {error}")),
        }
        // Ctrl-Alt-Del becomes a signal instead of a reset.
        let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
        if let Some(reason) = boot.last_reset {
            init.note("init", &format!("this box reset itself before: {reason}"));
        }
        let phases: Vec<_> = boot.phases.iter().map(|(name, ms)| format!("{name} {ms}")).collect();
        let total_ms = init.begun.elapsed().as_millis();
        init.note("init", &format!("booted in {total_ms} ms ({})", phases.join(", ")));
        init
    }

    /// Sleeps until something happens or is due.
    fn sleep(&self) {
        let now = Instant::now();
        let due = self.services.iter().filter_map(Supervised::due_at).min();
        let wait = due.map_or(SLEEP_MAX, |at| at.saturating_duration_since(now)).min(SLEEP_MAX);
        let mut fds = Vec::new();
        let socket = self.socket.iter().map(|socket| PollFd::new(socket.listener(), PollFlags::IN));
        fds.extend(socket);
        for (stream, has_output) in self.socket.iter().flat_map(Socket::streams) {
            let out = if has_output { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(stream, PollFlags::IN | out));
        }
        fds.extend(self.signals.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        fds.extend(self.kernel_log.iter().chain(&self.input).map(|file| PollFd::new(file, PollFlags::IN)));
        let outputs = self.services.iter().filter_map(|service| service.running.as_ref());
        fds.extend(outputs.filter_map(|r| r.output.as_ref()).map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        // An interrupted or failed wait costs one round too many, no more.
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// Does everything that is there to do; never waits.
    fn round(&mut self, now: Instant) {
        self.hear_services();
        self.hear_kernel();
        self.hear_signals(now);
        self.hear_power_button(now);
        self.reap(now);
        self.answer_callers(now);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.advance(&mut self.services, now);
        }
        for index in 0..self.services.len() {
            if let Some(line) = self.services[index].advance(now, &self.environment) {
                self.note("init", &line);
            }
        }
        self.tell_followers();
        self.tell_stopped();
        self.complain(now);
    }

    fn note(&mut self, service: &str, text: &str) {
        let quiet = self.services.iter().any(|s| s.service.name == "panel" && s.running.is_some());
        let at_ms = self.begun.elapsed().as_millis() as u64;
        let line = self.log.add(at_ms, service, text);
        // Once the panel has the console, the log is read there. The kernel's own lines are on the
        // console already where they matter.
        if !quiet && service != "kernel" {
            console::say(&format!("{service}: {}", line.text));
        }
    }

    fn hear_services(&mut self) {
        let mut said = Vec::new();
        for service in &mut self.services {
            let Some(running) = &mut service.running else { continue };
            running.hear(ROUND_MAX_BYTES, |line| said.push((service.service.name, line.to_owned())));
        }
        for (service, line) in said {
            self.note(service, &line);
        }
    }

    fn hear_kernel(&mut self) {
        let mut said = Vec::new();
        if let Some(log) = &mut self.kernel_log {
            let mut buffer = [0; 8192];
            for _ in 0..ROUND_MAX_RECORDS {
                match log.read(&mut buffer) {
                    Ok(read @ 1..) => {
                        let record = String::from_utf8_lossy(&buffer[..read]);
                        said.extend(devices::kernel_text(&record).map(str::to_owned));
                    }
                    // Records were lost before they were read; the next read goes on behind them.
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                    Ok(_) | Err(_) => break,
                }
            }
        }
        for line in said {
            self.note("kernel", &line);
        }
    }

    fn hear_signals(&mut self, now: Instant) {
        let mut bytes = [0; 64];
        let read = self.signals.as_mut().and_then(|stream| stream.read(&mut bytes).ok()).unwrap_or(0);
        // The byte only wakes the loop; which signals it was is in the flags behind it.
        for byte in &bytes[..read] {
            match *byte {
                RESTART => self.end(End::Restart, now, "the restart signal"),
                OFF => self.end(End::Off, now, "the power-off signal"),
                _ => {}
            }
        }
    }

    fn hear_power_button(&mut self, now: Instant) {
        let mut pressed = false;
        self.input.retain_mut(|device| {
            let mut events = [0; 24 * 16];
            loop {
                match device.read(&mut events) {
                    Ok(read @ 1..) => pressed |= devices::is_power_press(&events[..read]),
                    // A device that was pulled out would wake the loop for ever.
                    Ok(_) => return false,
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                }
            }
        });
        if pressed {
            self.end(End::Off, now, "the power button");
        }
    }

    fn end(&mut self, end: End, now: Instant, why: &str) {
        if self.shutdown.is_none() {
            self.note("init", &format!("orderly end, asked for by {why}"));
            self.shutdown = Some(Shutdown::begin(end, now, self.watchdog.clone()));
        }
    }

    fn reap(&mut self, now: Instant) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if status.stopped() || status.continued() {
                continue;
            }
            self.hear_services();
            let ended = |service: &&mut Supervised| service.running.as_ref().is_some_and(|r| r.pid == pid);
            let ended = self.services.iter_mut().find(ended).map(|service| {
                let words = service.running.as_mut().and_then(Running::last_words);
                let words = words.map_or_else(String::new, |words| format!("; its last words: {words}"));
                let how = service.cause_of(&describe(status));
                (service.service.name, service.ended(now, &how) + &words)
            });
            if let Some((name, line)) = ended {
                self.note("init", &line);
                self.end_ordered_by(name, now);
            }
        }
    }

    /// What a service had started is killed when it ends: nobody holds a proof for it any more, and whoever
    /// comes next need not wait for it.
    fn end_ordered_by(&mut self, name: &str, now: Instant) {
        if name != ORDERS_OTHERS || self.shutdown.is_some() {
            return;
        }
        let on_demand = |service: &&mut Supervised| service.service.wanted == Wanted::OnDemand;
        for service in self.services.iter_mut().filter(on_demand) {
            service.stop(now, Manner::AtOnce);
        }
    }

    fn answer_callers(&mut self, now: Instant) {
        let Some(mut socket) = self.socket.take() else { return };
        socket.advance(now, |request| self.answer(request, now));
        self.socket = Some(socket);
    }

    fn report(&self) -> Reply {
        Reply::Services(self.services.iter().map(Supervised::report).collect())
    }

    fn answer(&mut self, request: Request, now: Instant) -> Answer {
        Answer::Now(match request {
            Request::Services => self.report(),
            Request::Follow => return Answer::Follow(self.report()),
            Request::Log { after, lines_max } => Reply::Log(self.log.after(after, lines_max)),
            Request::Note { service, line } => {
                self.note(&service, &line);
                Reply::Done
            }
            Request::Start { service } => self.start(&service, now),
            Request::Stop { service } => return self.stop(service, now, Manner::Asked),
            Request::Kill { service } => return self.stop(service, now, Manner::AtOnce),
            Request::Drill { service, kind } => self.drill(&service, kind),
            Request::SetClock { unix_ms } => self.set_clock(unix_ms),
            Request::PowerOff => {
                self.end(End::Off, now, "the administrator");
                Reply::Done
            }
            Request::Restart => {
                self.end(End::Restart, now, "the administrator");
                Reply::Done
            }
            Request::Reset { reason } => {
                console::say(&format!("init: reset: {reason}"));
                if let Some(system) = &self.system {
                    last_reset::keep(system, &reason);
                }
                power::reset()
            }
        })
    }

    fn start(&mut self, name: &str, now: Instant) -> Reply {
        if self.shutdown.is_some() {
            return Reply::Refused("the box is on its way down; nothing is started any more".to_owned());
        }
        match self.on_demand(name) {
            Ok(service) => {
                service.want(now);
                Reply::Done
            }
            Err(reason) => Reply::Refused(reason),
        }
    }

    fn stop(&mut self, name: String, now: Instant, manner: Manner) -> Answer {
        match self.on_demand(&name) {
            Ok(service) => {
                service.stop(now, manner);
                if service.is_stopped() { Answer::Now(Reply::Done) } else { Answer::WhenStopped(name) }
            }
            Err(reason) => Answer::Now(Reply::Refused(reason)),
        }
    }

    fn on_demand(&mut self, name: &str) -> Result<&mut Supervised, String> {
        let found = self.services.iter_mut().find(|service| service.service.name == name);
        let service = found.ok_or_else(|| format!("there is no service {name}"))?;
        match service.service.wanted {
            Wanted::OnDemand => Ok(service),
            Wanted::AtBoot => {
                Err(format!("{name} runs from boot on and is not started or stopped by request"))
            }
        }
    }

    fn drill(&mut self, name: &str, kind: DrillKind) -> Reply {
        let is_it = |service: &&Supervised| service.service.name == name && service.running.is_some();
        if self.services.iter().find(is_it).is_none() {
            return Reply::Refused(format!("{name} is not running, so there is nothing to break"));
        }
        let how = match kind {
            DrillKind::Kill => "killed",
            DrillKind::Hang => "frozen",
            DrillKind::Exhaust => "out of memory",
        };
        self.note("init", &format!("drill: {name} is {how} on purpose"));
        if let Some(running) = self.services.iter().find(is_it).and_then(|it| it.running.as_ref()) {
            match kind {
                DrillKind::Kill => running.kill(),
                DrillKind::Hang => running.freeze(),
                DrillKind::Exhaust => running.exhaust(name),
            }
        }
        Reply::Done
    }

    fn set_clock(&mut self, unix_ms: u64) -> Reply {
        let before_ms = clock::unix_ms();
        match clock::set(unix_ms) {
            Ok(()) => {
                let moved_s = unix_ms.abs_diff(before_ms) / 1_000;
                let where_to = if unix_ms < before_ms { "back" } else { "ahead" };
                self.note("init", &format!("the clock was set {moved_s} s {where_to} by the administrator"));
                Reply::Done
            }
            Err(error) => Reply::Refused(error.to_string()),
        }
    }

    /// Whoever follows the services hears of a start or an end in the same round.
    fn tell_followers(&mut self) {
        let report = self.report();
        if self.told.as_ref() != Some(&report)
            && let Some(socket) = &mut self.socket
        {
            socket.tell_followers(&report);
            self.told = Some(report);
        }
    }

    fn tell_stopped(&mut self) {
        let services = &self.services;
        let stopped = |name: &str| services.iter().all(|s| s.service.name != name || s.is_stopped());
        if let Some(socket) = &mut self.socket {
            socket.tell_stopped(stopped);
        }
    }

    /// A box that can run nothing says why, again and again, to whoever plugs in a console.
    fn complain(&mut self, now: Instant) {
        if self.services.is_empty() && now - self.begun >= COMPLAIN_LIMIT {
            power::reset();
        }
        if self.services.is_empty() && now - self.complained_at >= COMPLAIN_EVERY {
            self.complained_at = now;
            for fault in &self.faults {
                console::say(&format!("init: {fault}"));
            }
        }
    }
}

const WAKE: u8 = 0;
const RESTART: u8 = 1;
const OFF: u8 = 2;

/// Signals become bytes in a socket, which wakes the loop.
fn listen_for_signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    for (signal, byte) in [(SIGCHLD, WAKE), (SIGTERM, OFF), (SIGINT, RESTART)] {
        crate::signals::send_on(signal, byte, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn environment(boot: &Boot) -> Vec<(String, String)> {
    let mut environment = vec![("PATH".to_owned(), "/".to_owned())];
    if let Some(system) = &boot.system {
        environment.push(("TWINMAIL_SYSTEM".to_owned(), system.display().to_string()));
    }
    environment
}
