//! The panel: one screen model with two front ends, the packet LCD and the serial console.
//!
//! It shows what the services know and asks them for what an administrator wants: first set-up, status,
//! switch-over, log, power, and the command prompt with the words of the `twinmail` command line. The
//! screens, the set-up, the key and packet codecs and the LCD driver are pure and know neither files
//! nor clocks; around them is one loop ([`main`]) with two ports, and threads that ask the services.
//!
//! It decides nothing about the pair, writes no settings, and never waits for a service or for a
//! terminal on the loop's thread. Garbage on either line gives no key and breaks nothing; every queue is
//! bounded. Before the log-in nothing secret is on any screen.

pub mod action;
pub mod canvas;
pub mod console;
pub mod deed;
pub mod keys;
pub mod known;
pub mod lcd;
pub mod line;
mod place;
mod port;
mod services;
mod text;
pub mod wizard;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use settings::SettingsFile;

use console::Console;
use keys::Decoder;
use known::{Known, News};
use lcd::driver::{Driver, Health};
use lcd::pages::Glass;
use port::Port;
use services::{Report, Services};

pub use place::{PanelError, Place, SYSTEM_VARIABLE};

/// Line speed of the console.
const CONSOLE_BAUD: u32 = 115_200;
/// Longest sleep of the loop.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Bytes read from a port at once.
const READ_BYTES: usize = 4_096;

/// Runs the panel with the arguments after the program's name; returns only where it cannot start.
pub fn main(args: &[String]) -> ExitCode {
    let lines = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    // In a test several panels share one process and its log.
    let _first = lines.try_init();
    let system = std::env::var_os(SYSTEM_VARIABLE).map(PathBuf::from);
    let panel = Place::find(args, system).and_then(Panel::new);
    match panel {
        Ok(mut panel) => loop {
            panel.turn();
        },
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The LCD with everything behind it.
struct Front {
    port: Port,
    driver: Driver,
    glass: Glass,
    health: Health,
}

/// Both front ends and the services.
struct Panel {
    begun: Instant,
    services: Services,
    known: Known,
    console: Console,
    console_port: Port,
    keys: Decoder,
    front: Option<Front>,
}

impl Panel {
    fn new(place: Place) -> Result<Self, PanelError> {
        let settings = place.system.map(SettingsFile::new);
        let services = Services::watch(place.run_dir, settings)?;
        let model = place.lcd_model;
        let (columns, rows) = model.size();
        let front = place.lcd.map(|path| Front {
            port: Port::new(&path, model.baud()),
            driver: Driver::new(model),
            glass: Glass::new(columns, rows),
            health: Health::Unknown,
        });
        Ok(Self {
            begun: Instant::now(),
            console: Console::new(services.language().unwrap_or_default()),
            services,
            known: Known::default(),
            console_port: Port::new(&place.console, CONSOLE_BAUD),
            keys: Decoder::default(),
            front,
        })
    }

    /// One turn of the loop: wait for something, take it, let everybody answer.
    fn turn(&mut self) {
        self.wait();
        let now_ms = self.begun.elapsed().as_millis() as u64;
        self.take_reports(now_ms);
        self.serve_console(now_ms);
        self.serve_front(now_ms);
    }

    fn wait(&self) {
        let bell = self.services.bell();
        let mut polled = vec![PollFd::new(&bell, PollFlags::IN)];
        let console = self.console_port.fd();
        let front = self.front.as_ref().and_then(|front| front.port.fd());
        let front_idle = self.front.as_ref().is_none_or(|front| front.port.is_idle());
        for (fd, idle) in [(&console, self.console_port.is_idle()), (&front, front_idle)] {
            if let Some(fd) = fd {
                let wanted = if idle { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
                polled.push(PollFd::new(fd, wanted));
            }
        }
        // Whatever ends the wait, every port is looked at afterwards.
        let _ready = rustix::event::poll(&mut polled, Some(&TICK));
    }

    fn take_reports(&mut self, now_ms: u64) {
        while let Some(report) = self.services.take() {
            match report {
                Report::Look(news) => {
                    self.known.learn(&news);
                    self.console.news(&news, now_ms);
                }
                Report::Errand(news) => self.console.news(&news, now_ms),
                Report::LcdDeed(result) => {
                    if let Some(front) = &mut self.front {
                        front.glass.note(&result, now_ms);
                    }
                }
            }
        }
    }

    fn serve_console(&mut self, now_ms: u64) {
        if self.console_port.open(now_ms) {
            self.console.reopened();
        }
        let mut buffer = [0; READ_BYTES];
        let mut keys = Vec::new();
        for byte in self.console_port.read(&mut buffer, now_ms) {
            self.keys.take(*byte, now_ms, &mut keys);
        }
        self.keys.tick(now_ms, &mut keys);
        for key in keys {
            // Long output on a slow line must not keep the administrator.
            if key.leaves() && self.console.may_skip() && !self.console_port.is_idle() {
                self.console_port.drop_waiting();
                self.console.skipped();
            }
            self.console.key(key, now_ms);
            self.start_actions(now_ms);
        }
        self.console.tick(now_ms);
        self.start_actions(now_ms);
        let output = self.console.take_output(self.console_port.is_idle());
        self.console_port.write(&output, now_ms);
        self.console_port.flush(now_ms);
    }

    fn start_actions(&mut self, now_ms: u64) {
        while let Some(action) = self.console.take_action() {
            if let Some(news) = self.services.start(action, self.console.language()) {
                self.console.news(&news, now_ms);
            }
        }
    }

    fn serve_front(&mut self, now_ms: u64) {
        let Some(front) = &mut self.front else { return };
        front.port.open(now_ms);
        let mut buffer = [0; READ_BYTES];
        let received = front.port.read(&mut buffer, now_ms);
        front.driver.receive(received, now_ms);
        while let Some(key) = front.driver.take_key() {
            if let Some(deed) = front.glass.key(key, &self.known, now_ms)
                && let Err(reason) = self.services.start_lcd_deed(deed)
            {
                front.glass.note(&Err(reason), now_ms);
            }
        }
        front.glass.tick(now_ms);
        front.driver.show(front.glass.face(&self.known, now_ms));
        front.driver.tick(now_ms);
        let output = front.driver.take_output();
        front.port.write(&output, now_ms);
        front.port.flush(now_ms);
        if front.health != front.driver.health() {
            front.health = front.driver.health();
            if front.health == Health::Absent {
                tracing::warn!("the LCD does not answer; check its cable");
            }
            let news = News::Lcd(front.health);
            self.known.learn(&news);
            self.console.news(&news, now_ms);
        }
    }
}
