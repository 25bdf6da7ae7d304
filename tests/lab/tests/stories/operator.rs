//! What the operator of these stories can do: look at the status, break things, send and read mail.
//! The lab ends with the test process.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use lab::array::LUN_SIZE_MIB;
use lab::client::{self, Owner};
use lab::clients::imap::{self, Reader};
use lab::clients::smtp::{Door, Fate, Sender};
use lab::clients::stream::{Patience, Tls};
use lab::error::LabError;
use lab::machine::Boot;
use lab::parts::{ACCOUNT_PASSWORD, BoxName, DOMAIN, FORWARDS, Kind, Which};
use lab::place::{Place, project_root};
use lab::protocol::{Plan, Request, ask};

/// Ports of the test labs, away from a demo's; the next where somebody else's tests run already.
const PORTS_BASES: [u16; 4] = [12000, 16000, 20000, 24000];
/// The pair's.
static PAIR_PORTS: AtomicU16 = AtomicU16::new(0);
/// After whatever was done to it a pair is whole again within this time.
const WHOLE_MAX: Duration = Duration::from_mins(4);
/// A message is accepted within this time.
const SEND_MAX: Duration = Duration::from_mins(4);
const PATIENCE: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(30) };

/// The operator of one lab.
pub struct Operator {
    place: Place,
    ports_base: u16,
    _owner: Owner,
}

/// The image that is tested.
pub fn image() -> PathBuf {
    let named = std::env::var_os("TWINMAIL_IMAGE").map(PathBuf::from);
    named.unwrap_or_else(|| project_root().unwrap().join("target/image"))
}

/// A lab of the given name with its cables laid and no power yet.
pub fn bench(name: &str, boot: Boot) -> Operator {
    bench_of(name, boot, &image())
}

/// The same with an image of its own.
pub fn bench_of(name: &str, boot: Boot, image: &Path) -> Operator {
    bench_with(name, boot, image, |_| {})
}

/// The same with more on the bench.
pub fn bench_with(name: &str, boot: Boot, image: &Path, more: impl Fn(&mut Plan)) -> Operator {
    let place = Place::of(name).unwrap();
    let began = Instant::now();
    while client::is_running(&place) && began.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(100));
    }
    let start = |ports_base| {
        let mut plan = Plan {
            instance: name.into(),
            image: image.to_owned(),
            boot,
            ports_base,
            paths: 1,
            groups: 1,
            controllers: false,
            lun_mib: LUN_SIZE_MIB,
        };
        more(&mut plan);
        let owner = Owner::start(env!("CARGO_BIN_EXE_lab").as_ref(), &plan, true)?;
        Ok::<_, LabError>(Operator { place: place.clone(), ports_base, _owner: owner })
    };
    let mut reason = None;
    for ports_base in PORTS_BASES {
        match start(ports_base) {
            Ok(operator) => return operator,
            Err(error) if error.to_string().contains("is in use") => reason = Some(error),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{reason:?}")
}

/// The pair that all stories of a file share; whole when a story begins.
pub fn whole_pair() -> &'static Operator {
    pair_with("test-pair", 1, 1)
}

/// The same with one or two cables between each box and the array, and one or two service groups.
pub fn pair_with(name: &str, paths: u8, groups: u8) -> &'static Operator {
    pair_of(name, |plan| (plan.paths, plan.groups) = (paths, groups))
}

/// The same with more on the bench.
pub fn pair_of(name: &str, more: impl Fn(&mut Plan)) -> &'static Operator {
    static PAIR: OnceLock<Operator> = OnceLock::new();
    let mut first = false;
    let pair = PAIR.get_or_init(|| {
        first = true;
        let operator = bench_with(name, Boot::Kernel, &image(), more);
        PAIR_PORTS.store(operator.ports_base, Ordering::Relaxed);
        client::ask_aloud(&operator.place, &Request::Up { boxes: BoxName::ALL.to_vec() }).unwrap();
        operator
    });
    if !first {
        pair.heal();
        pair.wait_until_whole();
    }
    pair
}

impl Operator {
    /// Asks the lab.
    pub fn ask(&self, request: &Request) -> Value {
        ask(&self.place, request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// Where the lab keeps its files.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What both boxes say; never do two serve.
    pub fn status(&self) -> Value {
        let status = self.ask(&Request::Status);
        let active = BoxName::ALL.map(|name| role(&status, name) == "active");
        assert_ne!(active, [true, true], "two boxes are active at once: {status}");
        status
    }

    /// Breaks something.
    pub fn fault(&self, which: Which, kind: Kind) -> BoxName {
        let answer = self.ask(&Request::Fault { which, kind, heal_after_ms: None });
        serde_json::from_value(answer["box"].clone()).unwrap()
    }

    /// Puts everything right.
    pub fn heal(&self) {
        self.ask(&Request::Heal { name: None, kind: None });
    }

    /// Gives a command on the console of a box.
    pub fn command(&self, name: BoxName, words: &str) -> String {
        let answer = self.ask(&Request::Command { name, words: words.into() });
        answer["printed"].as_str().unwrap().to_owned()
    }

    /// Waits until `seen` gives something.
    pub fn wait<T>(&self, what: &str, most: Duration, mut seen: impl FnMut(&Value) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let status = self.status();
            if let Some(value) = seen(&status) {
                return value;
            }
            assert!(began.elapsed() < most, "{what} did not happen within {most:?}: {status:#}");
            sleep(Duration::from_millis(300));
        }
    }

    /// Watches for a time that `holds` stays true.
    pub fn watch(&self, what: &str, time: Duration, mut holds: impl FnMut(&Value) -> bool) {
        let began = Instant::now();
        while began.elapsed() < time {
            let status = self.status();
            assert!(holds(&status), "{what} no longer holds: {status:#}");
            sleep(Duration::from_millis(300));
        }
    }

    /// Waits until one box serves and the other stands by; gives the one that serves.
    pub fn wait_until_whole(&self) -> BoxName {
        self.wait("a whole pair", WHOLE_MAX, |status| {
            let active = active(status)?;
            let ready = of(status, active)["peer"]["ready"] == true;
            (role(status, active.other()) == "standby" && ready).then_some(active)
        })
    }
}

/// Waits for an SMTP greeting; gives how long it took.
pub fn greeting(most: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let stream = TcpStream::connect(port(25));
        let mut greeting = [0; 4];
        let read = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.read_exact(&mut greeting)
        });
        if read.is_ok() && greeting == *b"220 " {
            return began.elapsed();
        }
        assert!(began.elapsed() < most, "no greeting within {most:?}");
        sleep(Duration::from_millis(100));
    }
}

/// A sender at the server's door.
pub fn sender() -> Sender {
    let tls = Tls::new().unwrap();
    Sender::connect(port(25), Door::Server, &tls, ("", ""), PATIENCE).unwrap()
}

/// Sends a message to alice; it must be accepted. As any mail server does (RFC 5321 section 4.5.4.1),
/// the sender comes again where it was asked to, or found nobody; it must not where the message may be
/// there already.
pub fn send(subject: &str) {
    let message = format!("From: bob@{DOMAIN}\r\nTo: alice@{DOMAIN}\r\nSubject: {subject}\r\n\r\nhello\r\n");
    let tls = Tls::new().unwrap();
    let began = Instant::now();
    loop {
        let sent =
            Sender::connect(port(25), Door::Server, &tls, ("", ""), PATIENCE).and_then(|mut sender| {
                sender.send(&format!("bob@{DOMAIN}"), &format!("alice@{DOMAIN}"), &message)
            });
        match sent {
            Ok(Fate::Accepted) => return,
            Ok(Fate::Refused(said)) if !said.starts_with('4') => panic!("{subject}: refused: {said}"),
            Ok(Fate::Unknown(reason)) => panic!("{subject}: no answer to a whole message: {reason}"),
            again => assert!(began.elapsed() < SEND_MAX, "{subject}: {again:?}", again = again.map(drop)),
        }
        sleep(Duration::from_millis(200));
    }
}

/// How many messages with this subject alice has.
pub fn count(subject: &str) -> usize {
    let tls = Tls::new().unwrap();
    let alice = format!("alice@{DOMAIN}");
    let mut reader =
        Reader::connect(port(993), imap::Door::Imaps, &tls, (&alice, ACCOUNT_PASSWORD), PATIENCE).unwrap();
    reader.select("INBOX").unwrap();
    reader.search(&format!("SUBJECT \"{subject}\"")).unwrap().len()
}

/// A forwarded port of the virtual address.
pub fn port(inside: u16) -> SocketAddr {
    let forward = FORWARDS.iter().find(|forward| forward.inside == inside).unwrap();
    SocketAddr::from(([127, 0, 0, 1], forward.outside(PAIR_PORTS.load(Ordering::Relaxed))))
}

/// Where the pair's forwarded ports begin.
#[allow(dead_code, reason = "only the stories of two groups need it")]
pub fn ports_base() -> u16 {
    PAIR_PORTS.load(Ordering::Relaxed)
}

/// What the display of a box shows.
pub fn glass(status: &Value, name: BoxName) -> String {
    let rows = status["boxes"][name.to_string()]["lcd"].as_array().unwrap();
    rows.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// What a box says of itself.
pub fn of(status: &Value, name: BoxName) -> &Value {
    &status["boxes"][name.to_string()]["status"]
}

/// What a box does for the mail.
pub fn role(status: &Value, name: BoxName) -> &str {
    of(status, name)["groups"][0]["role"].as_str().unwrap_or("unknown")
}

/// The box that serves.
pub fn active(status: &Value) -> Option<BoxName> {
    serde_json::from_value(status["active"].clone()).ok()
}

/// The epoch as the box that serves knows it.
pub fn epoch(status: &Value) -> u64 {
    active(status).and_then(|name| of(status, name)["groups"][0]["epoch"].as_u64()).unwrap_or(0)
}

/// Codes of a box's alarms.
pub fn alarms(status: &Value, name: BoxName) -> Vec<&str> {
    let list = of(status, name)["alarms"].as_array();
    list.into_iter().flatten().filter_map(|alarm| alarm["code"].as_str()).collect()
}

/// One service of a box.
pub fn service<'a>(status: &'a Value, name: BoxName, service: &str) -> &'a Value {
    let list = of(status, name)["services"].as_array();
    list.into_iter().flatten().find(|entry| entry["name"] == service).unwrap_or(&Value::Null)
}
