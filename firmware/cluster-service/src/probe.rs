//! One probe of the mail service: a question over its control socket, and now and then a whole transaction
//! as a client makes it, over its real listeners: a message comes in over SMTP and is read back over IMAP.
//!
//! TLS is spoken with whatever certificate the service shows: both ends are on this box, and the connection
//! comes from the very address it goes to, which never leaves the box.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::GroupPlace;
use control::mail::{Hidden, Ports, Reply, Request};
use control::wire::WireError;
use crossbeam_channel::{Receiver, Sender};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, Socket, Type};

use crate::probe_talk::{Bringing, Next, Reading};

/// Longest wait for an answer; the sentry has judged the service before.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two transactions. Between them the store's commit and the listeners are asked for.
const TRANSACTION_EVERY: Duration = Duration::from_secs(2);
/// Longest line that is read.
const LINE_MAX_BYTES: u64 = 8 * 1024;

/// Why a question had no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens where it should.
    NobodyListens,
    /// It answered, and not as it should.
    Wrong(String),
    /// It had no room for it now, or did not answer in time.
    Busy(String),
}

/// What a probe that went well found besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// New mail is refused because the disk is full, in the service's words. None where it was not asked.
    pub disk_full: Option<Option<String>>,
}

/// Where the transaction goes, and what opens its mailbox; shared with who starts the mail service.
#[derive(Debug, Clone, Default)]
pub struct ProbeWay(Arc<Mutex<Option<Way>>>);

#[derive(Debug, Clone)]
struct Way {
    addresses: Vec<IpAddr>,
    ports: Ports,
    token: Hidden,
}

impl ProbeWay {
    /// Draws a new token for a mail service that listens there; none without randomness, and then there
    /// are no transactions.
    pub fn draw(&self, addresses: &[IpAddr], ports: Ports) -> Option<Hidden> {
        let mut bytes = [0; 24];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let token = Hidden(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        let way = Way { addresses: addresses.to_vec(), ports, token: token.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
        Some(token)
    }

    fn get(&self) -> Option<Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts every answer of a probe under way: who waits for its end sees that it comes forward.
pub type Progress = Arc<AtomicU32>;

/// Puts probes to the mail service of one group.
pub struct Prober {
    group: &'static GroupPlace,
    way: ProbeWay,
    progress: Progress,
    tls: Option<Arc<ClientConfig>>,
    number: u32,
    transaction_due: Instant,
}

impl Prober {
    /// For the mail service of `group`.
    pub fn new(group: &'static GroupPlace, way: ProbeWay, progress: Progress) -> Self {
        let tls = opportunistic::client_config().ok().map(Arc::new);
        Self { group, way, progress, tls, number: 0, transaction_due: Instant::now() }
    }

    /// Probes whenever it is `asked` to, and hands on what came of it under its number.
    pub fn run(mut self, asked: &Receiver<u32>, answer: &Sender<(u32, Result<Found, Fault>)>) {
        for number in asked {
            if answer.send((number, self.probe())).is_err() {
                return;
            }
        }
    }

    /// One transaction, now.
    pub fn once(&mut self) -> Result<Found, Fault> {
        let way = self.way.get().ok_or_else(|| Fault::Wrong("it was given no token".to_owned()))?;
        Ok(Found { disk_full: self.transact(&way)? })
    }

    fn probe(&mut self) -> Result<Found, Fault> {
        self.ask()?;
        let Some(way) = self.way.get().filter(|_| Instant::now() >= self.transaction_due) else {
            return Ok(Found::default());
        };
        self.number = self.number.wrapping_add(1);
        let disk_full = self.transact(&way)?;
        self.transaction_due = Instant::now() + TRANSACTION_EVERY;
        Ok(Found { disk_full })
    }

    fn ask(&self) -> Result<(), Fault> {
        match control::wire::call(Path::new(self.group.socket), &Request::Health, ANSWER_MAX) {
            Ok(Reply::Healthy { .. }) => Ok(()),
            Ok(Reply::Refused(reason)) => Err(Fault::Wrong(reason)),
            Ok(_) => Err(Fault::Wrong("it gave an answer to another question".to_owned())),
            Err(WireError::NotRunning { .. }) => Err(Fault::NobodyListens),
            Err(error) => Err(Fault::Wrong(error.to_string())),
        }
    }

    /// One message in and out again; none if it cannot be tried from this box now. The virtual addresses
    /// have their turns.
    fn transact(&self, way: &Way) -> Result<Option<Option<String>>, Fault> {
        let turn = self.number as usize % way.addresses.len().max(1);
        let address = way.addresses.get(turn).copied();
        let (Some(address), Some(tls)) = (address, &self.tls) else { return Ok(None) };
        let mut random = [0; 8];
        if SystemRandom::new().fill(&mut random).is_err() {
            return Ok(None);
        }
        // What an earlier prober left behind must not pass for this one's.
        let mark = format!("probe-{:016x}", u64::from_be_bytes(random));
        let mut bringing = Bringing::new(&mark);
        match connect(address, way.ports.smtp) {
            Ok(None) => return Ok(None),
            Ok(Some(stream)) => self.talk("SMTP", stream, |line| bringing.hear(line))?,
            Err(error) => return Err(broken("SMTP", &error)),
        }
        if bringing.no_mailbox {
            return Ok(Some(bringing.full));
        }
        let mut reading = Reading::new(&mark, &way.token.0, bringing.full.is_none());
        match connect(address, way.ports.imaps) {
            Ok(None) => return Ok(None),
            Ok(Some(stream)) => {
                let stream = secure(stream, tls).map_err(|error| broken("IMAP", &error))?;
                self.talk("IMAP", stream, |line| reading.hear(line))?;
            }
            Err(error) => return Err(broken("IMAP", &error)),
        }
        Ok(Some(bringing.full))
    }

    /// Carries lines between a stream and a talk.
    fn talk<S: Read + Write>(
        &self,
        protocol: &str,
        stream: S,
        mut hear: impl FnMut(&str) -> Next,
    ) -> Result<(), Fault> {
        let mut stream = BufReader::new(stream);
        loop {
            let line = read_line(&mut stream).map_err(|error| broken(protocol, &error))?;
            self.progress.fetch_add(1, Ordering::Relaxed);
            match hear(&line) {
                Next::Wait => {}
                Next::Send(text) => {
                    let sent = stream.get_mut().write_all(text.as_bytes());
                    sent.and_then(|()| stream.get_mut().flush()).map_err(|error| broken(protocol, &error))?;
                }
                Next::Done => return Ok(()),
                Next::Busy(words) => return Err(Fault::Busy(words)),
                Next::Wrong(words) => return Err(Fault::Wrong(words)),
            }
        }
    }
}

fn broken(protocol: &str, error: &io::Error) -> Fault {
    let words = format!("{protocol} broke off: {error}");
    // Whether who is late is also dead is the sentry's to judge, by what the process does.
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fault::Busy(words),
        _ => Fault::Wrong(words),
    }
}

/// From `address` to itself; none if this box does not have the address now.
fn connect(address: IpAddr, port: u16) -> io::Result<Option<TcpStream>> {
    if port == 0 {
        return Ok(None);
    }
    let at = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if socket.bind(&SocketAddr::new(address, 0).into()).is_err() {
        return Ok(None);
    }
    socket.connect_timeout(&at.into(), ANSWER_MAX)?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.set_nodelay(true)?;
    Ok(Some(stream))
}

fn secure(
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    let connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Config, Limits, Service, TryOut};
    use std::net::Ipv4Addr;

    /// A whole mail service that knows `token`, and the way to it.
    fn served(
        number: u8,
        connections_max: usize,
    ) -> (tokio::runtime::Runtime, Service, Way, tempfile::TempDir) {
        let data = tempfile::tempdir().unwrap();
        let process = std::process::id();
        let address = Ipv4Addr::new(127, 1 + (process >> 8 & 0x7f) as u8, process as u8, number).into();
        let ports = Ports {
            smtp: 2025,
            submission: 0,
            submissions: 0,
            imap: 0,
            imaps: 2993,
            pop3: 0,
            pop3s: 0,
            lmtp: 0,
        };
        let token = Hidden("0123456789abcdef".to_owned());
        let config = Config {
            data_dir: data.path().to_owned(),
            epoch: 1,
            addresses: vec![address],
            host_name: "mx.box.test".to_owned(),
            name_servers: Vec::new(),
            first: None,
            ports,
            socket: Some(data.path().join("mail.sock")),
            probe_token: Some(token.clone()),
            relay_port: 25,
            policy_port: 443,
            try_out: TryOut::default(),
            limits: Limits { connections_max, ..Limits::default() },
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let service = runtime.block_on(Service::start(config)).unwrap();
        (runtime, service, Way { addresses: vec![address], ports, token }, data)
    }

    fn prober() -> Prober {
        Prober::new(&control::FIRST_GROUP, ProbeWay::default(), Progress::default())
    }

    #[test]
    fn a_message_goes_in_and_out_of_a_mailbox_that_nobody_sees() {
        let (runtime, service, way, data) = served(201, 1);
        let mut prober = prober();
        for number in 1..=3 {
            prober.number = number;
            assert_eq!(prober.transact(&way), Ok(Some(None)));
        }
        assert!(prober.progress.load(Ordering::Relaxed) > 30);
        let store = service.store();
        let hidden = store.account_by_name(control::mail::PROBE_MAILBOX).unwrap().unwrap();
        let inbox = store.mailbox(hidden.id, "INBOX").unwrap().unwrap();
        assert_eq!(store.snapshot(inbox.id).unwrap().entries.len(), 0, "it is kept empty");
        let all = store::Page { domain: None, prefix: String::new(), after: String::new(), limit: 100 };
        assert!(store.users(&all).unwrap().is_empty());
        assert!(store.domains_in_use(&all).unwrap().is_empty());
        assert_eq!(store.first_domain().unwrap(), None);
        let counters = control::wire::call(&data.path().join("mail.sock"), &Request::Counters, ANSWER_MAX);
        let Ok(Reply::Counters(counters)) = counters else { panic!("{counters:?}") };
        for name in ["connections_smtp", "connections_imap", "messages_received", "logins"] {
            assert_eq!(counters[name], 0, "{name}");
        }
        drop(runtime.block_on(service.stop()).unwrap());
        assert!(
            matches!(prober.transact(&way), Err(Fault::Wrong(words)) if words.starts_with("SMTP broke off"))
        );
    }

    #[test]
    fn the_mailbox_is_the_probers_alone_and_a_full_house_keeps_nobody_out() {
        let (runtime, service, way, _data) = served(202, 1);
        let prober = prober();
        // The only place there is is taken.
        let at = SocketAddr::new(way.addresses[0], way.ports.smtp);
        let mut other = BufReader::new(TcpStream::connect(at).unwrap());
        assert!(read_line(&mut other).unwrap().starts_with("220"));
        assert_eq!(prober.transact(&way), Ok(Some(None)));
        let mut say = |line: &str| {
            other.get_mut().write_all(line.as_bytes()).unwrap();
            read_line(&mut other).unwrap()
        };
        // From another address of this machine.
        assert!(say("HELO far.test\r\n").starts_with("250"));
        assert!(say("MAIL FROM:<x@far.test>\r\n").starts_with("250"));
        let refused = say("RCPT TO:<probe@probe.invalid>\r\n");
        assert!(refused.starts_with("550 5.7.1"), "{refused}");
        let wrong = Way { token: Hidden("0123456789abcdee".to_owned()), ..way };
        let fault = prober.transact(&wrong).unwrap_err();
        assert!(matches!(&fault, Fault::Wrong(words) if words.contains("LOGIN with: p1 NO")), "{fault:?}");
        drop(other);
        drop(runtime.block_on(service.stop()).unwrap());
    }

    #[test]
    fn an_address_that_this_box_does_not_have_is_not_tried() {
        let way = Way {
            addresses: vec!["192.0.2.77".parse().unwrap()],
            ports: Ports::default(),
            token: Hidden("x".to_owned()),
        };
        assert_eq!(prober().transact(&way), Ok(None));
    }

    /// Answers of the service to a stranger's lines, the greeting first; one line each.
    fn say(at: SocketAddr, lines: &[&str]) -> Vec<String> {
        let mut stream = BufReader::new(TcpStream::connect(at).unwrap());
        let mut answers = vec![read_line(&mut stream).unwrap()];
        for line in lines {
            stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
            answers.push(read_line(&mut stream).unwrap());
        }
        answers
    }

    #[test]
    fn no_spelling_and_no_detour_leads_a_stranger_into_the_mailbox() {
        let (runtime, service, way, data) = served(203, 100);
        assert_eq!(prober().transact(&way), Ok(Some(None)));
        let at = SocketAddr::new(way.addresses[0], way.ports.smtp);
        for local in ["probe", "probe+x", "PROBE+flood", "postmaster", "anybody"] {
            let rcpt = format!("RCPT TO:<{local}@Probe.Invalid>");
            let answers = say(at, &["HELO far.test", "MAIL FROM:<x@far.test>", &rcpt]);
            assert!(answers[3].starts_with("550 5.7.1"), "{answers:?}");
        }
        let ask = |request: &Request| {
            control::wire::call(&data.path().join("mail.sock"), request, ANSWER_MAX).unwrap()
        };
        let mailbox = || control::mail::PROBE_MAILBOX.to_owned();
        assert_eq!(ask(&Request::DomainAdd { domain: "box.test".to_owned() }), Reply::Done);
        for request in [
            Request::AccountRemove { address: mailbox() },
            Request::AccountPassword { address: mailbox(), password: "long enough".to_owned() },
            Request::AccountQuota { address: mailbox(), quota_bytes: Some(1) },
            Request::AliasAdd { address: "a@box.test".to_owned(), target: mailbox() },
            Request::DomainRemove { domain: "Probe.invalid.".to_owned() },
            Request::DomainAdd { domain: "probe.invalid".to_owned() },
        ] {
            assert!(matches!(ask(&request), Reply::Refused(_)), "{request:?}");
        }
        // An alias that is there nevertheless leads nowhere.
        runtime.block_on(service.store().add_alias("b@box.test", &mailbox())).unwrap();
        let answers = say(at, &["HELO far.test", "MAIL FROM:<x@far.test>", "RCPT TO:<b@box.test>"]);
        assert!(answers[3].starts_with("550 5.1.1"), "{answers:?}");
        assert_eq!(prober().transact(&way), Ok(Some(None)));
        drop(runtime.block_on(service.stop()).unwrap());
    }

    #[test]
    fn what_is_usual_for_users_does_not_bind_the_mailbox() {
        let (runtime, service, way, _data) = served(204, 1);
        let limits =
            [store::LimitName::SpaceBytes, store::LimitName::Messages, store::LimitName::MessageBytes];
        let limits = limits.map(|name| (name, store::Limit::AtMost(0))).to_vec();
        runtime.block_on(service.store().set_system_limits(limits)).unwrap();
        for _ in 0..2 {
            assert_eq!(prober().transact(&way), Ok(Some(None)));
        }
        drop(runtime.block_on(service.stop()).unwrap());
    }
}
