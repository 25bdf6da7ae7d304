//! A panel on pseudo-terminals with services that answer on real sockets.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::io::BufReader;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control::cluster::{Group, Interface, Lun, LunContent, Medium, MediumState, Peer, Role, Setup};
use control::cluster::{Reply, Request, SetupState, Status, Timing};
use control::{directory, init, mail, wire};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::pty::OpenptFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use settings::SettingsFile;

const PATIENCE: Duration = Duration::from_mins(1);

/// The far end of a serial line: an administrator's terminal, or a display.
pub struct Far {
    /// Kept open for the life of the process: a panel never ends, and would otherwise reopen its
    /// terminal's name where another test got the same number.
    pub fd: &'static OwnedFd,
    pub path: PathBuf,
    pub seen: Vec<u8>,
    at: usize,
}

impl Far {
    pub fn new() -> Self {
        let fd = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&fd).unwrap();
        rustix::pty::unlockpt(&fd).unwrap();
        let name = rustix::pty::ptsname(&fd, Vec::new()).unwrap();
        Self { fd: Box::leak(Box::new(fd)), path: name.to_str().unwrap().into(), seen: Vec::new(), at: 0 }
    }

    pub fn send(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let sent = rustix::io::write(self.fd, rest).unwrap();
            rest = &rest[sent..];
        }
    }

    /// Reads what comes within `wait`.
    pub fn read(&mut self, wait: Duration) {
        let time = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as i64 };
        let mut polled = [PollFd::new(self.fd, PollFlags::IN)];
        if rustix::event::poll(&mut polled, Some(&time)).unwrap() == 0 {
            return;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(self.fd, &mut buffer) {
            Ok(length) => self.seen.extend(&buffer[..length]),
            // Nobody has the other end open yet.
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }

    /// Waits until `text` comes after what was expected before; gives what stood before it.
    pub fn expect(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let fresh = &self.seen[self.at..];
            if let Some(found) = fresh.windows(text.len()).position(|part| part == text.as_bytes()) {
                let before = String::from_utf8_lossy(&fresh[..found]).into_owned();
                self.at += found + text.len();
                return before;
            }
            assert!(
                Instant::now() < until,
                "no {text:?} in {:?}",
                String::from_utf8_lossy(&self.seen[self.at..])
            );
            self.read(Duration::from_millis(50));
        }
    }
}

/// What the services answer, and what they were asked.
pub struct World {
    pub setup: SetupState,
    pub status: Status,
    pub luns: VecDeque<Vec<Lun>>,
    pub asked: Vec<Setup>,
    pub requests: Vec<Request>,
    pub init_requests: Vec<init::Request>,
    pub mail_requests: Vec<mail::Request>,
}

pub type Shared = Arc<Mutex<World>>;

pub struct Scene {
    pub dir: tempfile::TempDir,
    pub world: Shared,
    pub console: Far,
    pub system: PathBuf,
}

fn serve<Q: DeserializeOwned, R: Serialize>(socket: &Path, answer: impl Fn(Q) -> R + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Ok(request) = wire::read_line(&mut BufReader::new(&stream)) else { continue };
            let _sent = wire::write_line(&mut stream, &answer(request));
        }
    });
}

pub fn status() -> Status {
    let medium = |name: &str| Medium {
        name: name.into(),
        state: MediumState::Fresh,
        age_ms: Some(120),
        good: 900,
        bad: 0,
        fault: None,
    };
    Status {
        box_name: "mail-a".into(),
        node: "a".into(),
        version: "0.1.0".into(),
        uptime_ms: 65_000,
        maintenance: false,
        peer: Peer { box_name: "mail-b".into(), alive: true, ready: true, not_ready_reason: None },
        groups: vec![Group {
            name: "mail".into(),
            role: Role::Active,
            step: None,
            epoch: 7,
            holder: "mail-a".into(),
            holder_age_ms: Some(300),
            lease_left_ms: Some(1_200),
            addresses: vec!["10.77.0.10/24".into(), "fd77::10/64".into()],
            addresses_here: true,
            preferred: None,
            fail_back: false,
            last_takeover: None,
        }],
        media: vec![medium("serial"), medium("private"), medium("array")],
        services: vec![],
        alarms: vec![],
        timing: Timing { beat_ms: 200, lease_ms: 1_500, watchdog_ms: 2_000, dead_time_ms: 2_400 },
        readiness: control::telling::Readiness::default(),
        peer_readiness: None,
    }
}

pub fn lun(id: &str, content: LunContent) -> Lun {
    Lun {
        id: id.into(),
        device: "/dev/sda".into(),
        model: "IET VIRTUAL-DISK".into(),
        size_bytes: 4 << 30,
        content,
    }
}

pub fn interface(address: &str) -> Interface {
    Interface { addresses: vec![address.into()], ..Interface::default() }
}

impl Scene {
    /// Services in a state, without a panel.
    pub fn new(setup: SetupState) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let system = dir.path().join("system");
        std::fs::write(&system, vec![0; 1 << 18]).unwrap();
        let world = World {
            setup,
            status: status(),
            luns: VecDeque::new(),
            asked: vec![],
            requests: vec![],
            init_requests: vec![],
            mail_requests: vec![],
        };
        let scene = Self { dir, world: Arc::new(Mutex::new(world)), console: Far::new(), system };
        scene.serve_cluster();
        let world = Arc::clone(&scene.world);
        serve(&scene.dir.path().join("init.sock"), move |request: init::Request| {
            let reply = match &request {
                init::Request::Log { .. } => init::Reply::Log(vec![init::LogLine {
                    number: 1,
                    at_ms: 1_500,
                    service: "mail".into(),
                    text: "listening \u{1b}[2J".into(),
                }]),
                _ => init::Reply::Done,
            };
            world.lock().unwrap().init_requests.push(request);
            reply
        });
        let world = Arc::clone(&scene.world);
        serve(&scene.dir.path().join("mail.sock"), move |request: mail::Request| {
            let users = (0..8_000).map(|number| directory::User {
                address: format!("person-{number}@example.test"),
                name: String::new(),
                enabled: true,
                quota_bytes: None,
                used_bytes: number,
                messages: 1,
                protocols: directory::Protocol::ALL.to_vec(),
                language: None,
                limits: directory::Limits::new(),
                in_force: BTreeMap::new(),
                forward_to: Vec::new(),
                keep_copy: true,
            });
            let reply = match &request {
                mail::Request::Directory(directory::Request::Users(_)) => {
                    mail::Reply::Directory(directory::Reply::Users(users.collect()))
                }
                mail::Request::DomainRemove { .. } => mail::Reply::Refused("it has accounts".into()),
                _ => mail::Reply::Done,
            };
            world.lock().unwrap().mail_requests.push(request);
            reply
        });
        scene
    }

    fn serve_cluster(&self) {
        let world = Arc::clone(&self.world);
        serve(&self.dir.path().join("cluster.sock"), move |request: Request| {
            let mut world = world.lock().unwrap();
            match request {
                Request::Status => Reply::Status(Box::new(world.status.clone())),
                Request::Setup(Setup::State) => Reply::Setup(world.setup.clone()),
                Request::Setup(Setup::Luns) => Reply::Luns(world.luns.pop_front().unwrap_or_default()),
                Request::Setup(answers) => {
                    world.asked.push(answers);
                    world.setup = SetupState::Working { step: "formatting the LUN".into() };
                    Reply::Done
                }
                request => {
                    world.requests.push(request);
                    Reply::Done
                }
            }
        });
    }

    /// Puts settings with this administrator's password on the system partition.
    pub fn with_password(self, password: &str) -> Self {
        // As JSON, so that a setting with a default needs no mention here.
        let settings = serde_json::json!({
            "box_name": "mail-a",
            "node": "a",
            "peer_name": "mail-b",
            "pair_id": 7,
            "pair_key": vec![3; 32],
            "public_addresses": ["10.77.0.11/24"],
            "gateways": [],
            "name_servers": [],
            "virtual_addresses": ["10.77.0.10/24"],
            "lun": "naa.1",
            "domain": "example.test",
            "password_hash": settings::hash_password(password).unwrap(),
            "language": "en",
            "timing": { "beat_ms": 200, "lease_ms": 1_500, "dead_time_ms": 2_400 },
            "preferred": null,
            "fail_back": false,
            "maintenance": false,
        });
        let settings: settings::Settings = serde_json::from_value(settings).unwrap();
        SettingsFile::new(&self.system).save(&settings).unwrap();
        self
    }

    /// Starts the panel on this scene's console, with more arguments.
    pub fn start(&self, more: &[&str]) {
        let mut args: Vec<String> = [
            "--console",
            self.console.path.to_str().unwrap(),
            "--run-dir",
            self.dir.path().to_str().unwrap(),
            "--system",
            self.system.to_str().unwrap(),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .map(str::to_owned)
        .collect();
        args.shrink_to_fit();
        std::thread::spawn(move || panel::main(&args));
    }
}
