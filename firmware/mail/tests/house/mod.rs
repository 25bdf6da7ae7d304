//! A whole mail service on an address of its own, and clients that speak to it line by line.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use control::mail::{FirstAccount, Ports, Reply, Request};
use mail::{Config, Limits, Service, TryOut};
use rustls::{ClientConnection, StreamOwned};

/// How long a test waits for what must come: no measure, only an end to waiting in vain.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const SMTP: u16 = 2025;
pub const SUBMISSION: u16 = 2587;
pub const SUBMISSIONS: u16 = 2465;
pub const IMAP: u16 = 2143;
pub const IMAPS: u16 = 2993;
pub const POP3: u16 = 2110;
pub const POP3S: u16 = 2995;
pub const LMTP: u16 = 2724;
/// Of web servers with policies.
pub const POLICY: u16 = 2443;

/// `twinmail-demo` and its hash.
pub const PASSWORD: &str = "twinmail-demo";

/// A running service with the domain `DOMAIN`, the account `alice` and `postmaster`.
pub struct House {
    pub address: IpAddr,
    pub data: tempfile::TempDir,
    pub domain: String,
    runtime: tokio::runtime::Runtime,
    service: Option<Service>,
}

/// An address of this machine that no other test uses.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    IpAddr::V4(Ipv4Addr::new(127, 1 + (process >> 8 & 0x7f) as u8, process as u8, number as u8))
}

fn hash() -> String {
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let make = || {
        use argon2::password_hash::{PasswordHasher, SaltString};
        let salt = SaltString::encode_b64(b"salt of the house").unwrap();
        argon2::Argon2::default().hash_password(PASSWORD.as_bytes(), &salt).unwrap().to_string()
    };
    HASH.get_or_init(make).clone()
}

pub fn config(domain: &str, address: IpAddr, data: &Path) -> Config {
    Config {
        data_dir: data.to_owned(),
        epoch: 1,
        addresses: vec![address],
        host_name: format!("mx.{domain}"),
        name_servers: Vec::new(),
        first: Some(FirstAccount { domain: domain.into(), account: "alice".into(), password_hash: hash() }),
        ports: Ports {
            smtp: SMTP,
            submission: SUBMISSION,
            submissions: SUBMISSIONS,
            imap: IMAP,
            imaps: IMAPS,
            pop3: POP3,
            pop3s: POP3S,
            lmtp: LMTP,
        },
        socket: Some(data.join("mail.sock")),
        probe_token: None,
        relay_port: SMTP,
        policy_port: POLICY,
        try_out: TryOut { private_targets: true, ..TryOut::default() },
        limits: Limits::default(),
    }
}

impl House {
    pub fn new(domain: &str) -> Self {
        Self::with(domain, |_| {})
    }

    pub fn with(domain: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::open(domain, own_address(), tempfile::tempdir().unwrap(), change)
    }

    /// On data that may be there already.
    pub fn open(
        domain: &str,
        address: IpAddr,
        data: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config(domain, address, data.path());
        change(&mut config);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let service = runtime.block_on(Service::start(config)).unwrap();
        Self { address, data, domain: domain.into(), runtime, service: Some(service) }
    }

    /// Stops in order, if that has not begun yet, and gives the data folder back.
    pub fn stop(mut self) -> tempfile::TempDir {
        if let Some(service) = self.service.take() {
            drop(self.runtime.block_on(service.stop()).unwrap());
        }
        self.data
    }

    /// Begins the stop and leaves it to run beside the test.
    pub fn begin_stop(&mut self) -> tokio::task::JoinHandle<Result<mail::Stopped, mail::MailError>> {
        self.runtime.spawn(self.service.take().unwrap().stop())
    }

    pub fn finish(&self, stopping: tokio::task::JoinHandle<Result<mail::Stopped, mail::MailError>>) {
        drop(self.runtime.block_on(stopping).unwrap().unwrap());
    }

    /// Behind the protocols.
    pub fn store(&self) -> &store::Store {
        self.service.as_ref().unwrap().store()
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    pub fn ask(&self, request: &Request) -> Reply {
        control::wire::call(&self.data.path().join("mail.sock"), request, Duration::from_mins(1)).unwrap()
    }

    pub fn counter(&self, name: &str) -> u64 {
        match self.ask(&Request::Counters) {
            Reply::Counters(counters) => counters[name],
            other => panic!("{other:?}"),
        }
    }

    /// Each counter stands at its number, within [`PATIENCE`]: what a client has heard may be counted a
    /// moment later.
    #[track_caller]
    pub fn counts(&self, expected: &[(&str, u64)]) {
        let (names, numbers): (Vec<_>, Vec<_>) = expected.iter().copied().unzip();
        self.counters_come_to(&names, |found| found == numbers, &format!("{numbers:?}"));
    }

    /// The counter reaches the number within [`PATIENCE`].
    #[track_caller]
    pub fn counts_at_least(&self, name: &str, least: u64) {
        self.counters_come_to(&[name], |found| found[0] >= least, &format!("at least {least}"));
    }

    #[track_caller]
    fn counters_come_to(&self, names: &[&str], enough: impl Fn(&[u64]) -> bool, wanted: &str) {
        let begun = Instant::now();
        loop {
            let found: Vec<u64> = names.iter().map(|name| self.counter(name)).collect();
            if enough(&found) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{names:?} are {found:?} and not {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Adds an account with the usual password.
    pub fn add(&self, name: &str) {
        let request = Request::AccountAdd {
            address: format!("{name}@{}", self.domain),
            password: PASSWORD.into(),
            quota_bytes: None,
        };
        assert_eq!(self.ask(&request), Reply::Done);
    }

    /// Everything in an account's INBOX, read over POP3.
    pub fn inbox(&self, name: &str) -> Vec<String> {
        let mut client = Client::secret(self.at(POP3S));
        assert!(client.line().starts_with("+OK"));
        client.ok("UTF8");
        client.ok(&format!("USER {name}@{}", self.domain));
        client.ok(&format!("PASS {PASSWORD}"));
        let stat = client.ok("STAT");
        let count: usize = stat.split(' ').nth(1).unwrap().parse().unwrap();
        let read = |number| {
            client.ok(&format!("RETR {number}"));
            client.text()
        };
        let texts = (1..=count).map(read).collect();
        // The mailbox is free again when this is answered.
        client.ok("QUIT");
        texts
    }

    /// How many messages a mailbox has, read over IMAP.
    pub fn messages_in(&self, name: &str, mailbox: &str) -> usize {
        let mut client = Client::secret(self.at(IMAPS));
        client.line();
        let login = format!("a LOGIN {name}@{} {PASSWORD}\r\nb STATUS {mailbox} (MESSAGES)\r\n", self.domain);
        client.send(login.as_bytes());
        loop {
            let line = client.line();
            assert!(!line.is_empty() && !line.starts_with("a NO") && !line.starts_with("b NO"), "{line}");
            if let Some((_, rest)) = line.split_once("(MESSAGES ") {
                return rest.trim_end_matches(')').parse().unwrap();
            }
        }
    }

    /// Waits until the service has read everything that was sent to this port.
    pub fn has_read(&self, port: u16) {
        let IpAddr::V4(address) = self.address else { panic!("not an IPv4 address") };
        // Addresses stand there as the machine keeps them.
        let own = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
        let begun = Instant::now();
        loop {
            let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
            let waits = table.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [_, local, remote, "01", queues, ..] = words[..] else { return false };
                let (sent, received) = queues.split_once(':').unwrap();
                (local == own && received != "00000000") || (remote == own && sent != "00000000")
            });
            if !waits {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "what was sent is not read");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until an account has a message that contains `needle`.
    pub fn wait_for(&self, name: &str, needle: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.inbox(name).into_iter().find(|text| text.contains(needle)) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "no message with {needle:?} for {name}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whatever the other side does, a test comes to its end.
fn bound(stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.set_write_timeout(Some(Duration::from_mins(1))).unwrap();
}

/// A client that speaks line by line.
pub struct Client {
    stream: BufReader<Stream>,
}

enum Stream {
    Clear(TcpStream),
    Secret(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Secret(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(buffer),
            Self::Secret(stream) => stream.write(buffer),
            Self::Gone => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Secret(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}

impl Client {
    pub fn new(target: SocketAddr) -> Self {
        let stream = TcpStream::connect(target).unwrap();
        bound(&stream);
        Self { stream: BufReader::new(Stream::Clear(stream)) }
    }

    /// From another address of this machine.
    pub fn from_address(source: IpAddr, target: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&target.into()).unwrap();
        let stream = TcpStream::from(socket);
        bound(&stream);
        Self { stream: BufReader::new(Stream::Clear(stream)) }
    }

    /// TLS from the first octet.
    pub fn secret(target: SocketAddr) -> Self {
        let mut client = Self::new(target);
        client.start_tls();
        client
    }

    pub fn start_tls(&mut self) {
        let Stream::Clear(stream) = std::mem::replace(self.stream.get_mut(), Stream::Gone) else {
            panic!("TLS is already on");
        };
        let config = opportunistic::client_config().unwrap();
        let name = rustls_pki_types::ServerName::try_from("mx.test").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        *self.stream.get_mut() = Stream::Secret(Box::new(StreamOwned::new(session, stream)));
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
        self.stream.get_mut().flush().unwrap();
    }

    /// Sends octets that are not TLS into a connection that is.
    pub fn send_beside_tls(&mut self, bytes: &[u8]) {
        match self.stream.get_mut() {
            Stream::Secret(stream) => stream.sock.write_all(bytes).unwrap(),
            Stream::Clear(_) | Stream::Gone => panic!("TLS is not on"),
        }
    }

    /// Sends what may meet a closed connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Whether something comes within a moment; only for who writes down what does.
    pub fn has_more(&mut self) -> bool {
        let moment = Duration::from_millis(700);
        let wait = |stream: &mut Stream, limit| match stream {
            Stream::Clear(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
            Stream::Secret(stream) => stream.sock.set_read_timeout(Some(limit)).unwrap(),
            Stream::Gone => {}
        };
        wait(self.stream.get_mut(), moment);
        let found = self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        wait(self.stream.get_mut(), Duration::from_mins(1));
        found
    }

    /// One line without its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// One SMTP reply: its last line.
    pub fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends a command and returns the last line of its reply.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// Sends an SMTP command that must have this code.
    pub fn expect(&mut self, code: &str, command: &str) -> String {
        let reply = self.say(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
        reply
    }

    /// Sends a POP3 command that must succeed.
    pub fn ok(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        let reply = self.line();
        assert!(reply.starts_with("+OK"), "{command}: {reply}");
        reply
    }

    /// Text up to the dot, dots undone.
    pub fn text(&mut self) -> String {
        let mut text = String::new();
        loop {
            let line = self.line();
            if line == "." {
                return text;
            }
            text += line.strip_prefix('.').unwrap_or(&line);
            text += "\r\n";
        }
    }

    /// Sends an IMAP command and returns all of its answer; the last line is the tagged one.
    pub fn imap(&mut self, command: &str) -> Vec<String> {
        self.send(format!("t {command}\r\n").as_bytes());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let gone = self.stream.read_line(&mut line).unwrap() == 0;
            let last = gone || line.starts_with("t ") || line.starts_with("* BYE");
            lines.push(line.trim_end().to_owned());
            if last {
                return lines;
            }
        }
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A session on port 25 that has greeted.
pub fn smtp(house: &House) -> Client {
    let mut client = Client::new(house.at(SMTP));
    assert!(client.reply().starts_with("220"));
    client.expect("250", "EHLO client.test");
    client
}

/// A session for submission, with TLS, logged in.
pub fn submission(house: &House, name: &str) -> Client {
    use base64::Engine as _;
    let mut client = Client::new(house.at(SUBMISSION));
    assert!(client.reply().starts_with("220"));
    client.expect("250", "EHLO client.test");
    client.expect("220", "STARTTLS");
    client.start_tls();
    client.expect("250", "EHLO client.test");
    let secret = format!("\0{name}@{}\0{PASSWORD}", house.domain);
    let secret = base64::engine::general_purpose::STANDARD.encode(secret);
    client.expect("235", &format!("AUTH PLAIN {secret}"));
    client
}

/// Sends one message and returns the reply to its end.
pub fn send(client: &mut Client, from: &str, to: &[&str], text: &str) -> String {
    client.expect("250", &format!("MAIL FROM:<{from}>"));
    for recipient in to {
        client.expect("250", &format!("RCPT TO:<{recipient}>"));
    }
    client.expect("354", "DATA");
    client.send(text.replace('\n', "\r\n").as_bytes());
    client.say(".")
}
