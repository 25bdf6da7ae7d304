//! The metrics, at this box's own addresses: one request a connection, `GET /metrics` (RFC 9112).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use control::GroupPlace;
use control::cluster::{Record, Reply, Request, Status};
use control::mail;
use control::wire;
use crossbeam_channel::{Sender, bounded};
use settings::{Settings, parse_interface_address};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

use crate::input::Input;
use crate::metrics::{Machine, Scene, render};
use crate::power_fence::PowerFence;
use crate::records::RECORDS_MAX;
use crate::requests::Asked;
use crate::teller::SharedTelling;

/// Between two looks at the settings and at the sockets.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest wait for a request, and for each piece of the answer to be taken.
const CLIENT_WAIT: Duration = Duration::from_secs(2);
/// What one whole exchange may take.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(5);
/// Longest head of a request.
const HEAD_MAX_BYTES: usize = 4096;
/// Longest wait for the services.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Where the numbers come from.
#[derive(Debug, Clone)]
struct Source {
    inputs: Sender<Input>,
    power_fence: PowerFence,
}

/// Starts the thread. It listens while the settings say so.
pub fn start(
    settings: &Settings,
    telling: SharedTelling,
    power_fence: PowerFence,
    inputs: &Sender<Input>,
) -> io::Result<()> {
    let own = settings.public_addresses.iter();
    let addresses: Vec<IpAddr> = own.filter_map(|text| Some(parse_interface_address(text).ok()?.0)).collect();
    let source = Source { inputs: inputs.clone(), power_fence };
    thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut port = 0;
        loop {
            let metrics = telling.lock().unwrap_or_else(PoisonError::into_inner).metrics.clone();
            if metrics.port != port {
                port = metrics.port;
                listeners = listen(&addresses, port);
            }
            for listener in &listeners {
                while let Ok((stream, from)) = listener.accept() {
                    if metrics.allows(from.ip()) {
                        // One at a time, each within its limit: nobody needs two.
                        let _ = serve(&stream, &source);
                    }
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    })?;
    Ok(())
}

fn listen(addresses: &[IpAddr], port: u16) -> Vec<TcpListener> {
    let mut listeners = Vec::new();
    for address in addresses.iter().filter(|_| port != 0) {
        match listen_at(SocketAddr::new(*address, port)) {
            Ok(listener) => listeners.push(listener),
            Err(error) => warn!("no metrics at {address} port {port}: {error}"),
        }
    }
    listeners
}

fn listen_at(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // The address may come later than this thread.
    if at.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(8)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn serve(mut stream: &TcpStream, source: &Source) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT_WAIT))?;
    stream.set_write_timeout(Some(CLIENT_WAIT))?;
    let end = Instant::now() + EXCHANGE_LIMIT;
    let head = read_head(stream, end)?;
    let (status, kind, body) = answer(&head, source);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn read_head(mut stream: &TcpStream, end: Instant) -> io::Result<String> {
    let (mut head, mut piece) = (Vec::new(), [0; 512]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        if read == 0 || head.len() > HEAD_MAX_BYTES || Instant::now() > end {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn answer(head: &str, source: &Source) -> (&'static str, &'static str, String) {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" {
        return ("405 Method Not Allowed", PLAIN, "only GET\n".to_owned());
    }
    if target.split('?').next() != Some("/metrics") {
        return ("404 Not Found", PLAIN, "see /metrics\n".to_owned());
    }
    match source.page() {
        Some(page) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", page),
        None => ("503 Service Unavailable", PLAIN, "the cluster service is busy\n".to_owned()),
    }
}

impl Source {
    fn page(&self) -> Option<String> {
        let status = self.status()?;
        let records = self.records()?;
        let mail = figures(&status);
        let machine = Machine::read(Path::new("/"));
        let scene = Scene {
            status: &status,
            records: &records,
            mail: &mail,
            controller_answers: self.power_fence.answers(),
            machine: &machine,
        };
        Some(render(&scene))
    }

    fn status(&self) -> Option<Box<Status>> {
        let Reply::Status(status) = self.ask(Request::Status)? else { return None };
        Some(status)
    }

    fn records(&self) -> Option<Vec<Record>> {
        let Reply::Records(records) = self.ask(Request::Records { records_max: 2 * RECORDS_MAX })? else {
            return None;
        };
        Some(records)
    }

    fn ask(&self, request: Request) -> Option<Reply> {
        let (answer, answered) = bounded(1);
        self.inputs.send_timeout(Input::Asked(Asked { request, answer }), ANSWER_WAIT).ok()?;
        answered.recv_timeout(ANSWER_WAIT).ok()
    }
}

/// What every mail service counts that runs here.
fn figures(status: &Status) -> Vec<(&'static str, mail::Figures)> {
    let places = status.groups.iter().filter_map(|group| control::group_named(&group.name));
    let ask = |place: &'static GroupPlace| match wire::call(
        Path::new(place.socket),
        &mail::Request::Figures,
        ANSWER_WAIT,
    ) {
        Ok(mail::Reply::Figures(figures)) => Some((place.name, figures)),
        _ => None,
    };
    places.filter_map(ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::cluster::{Group, HeardAgo, Peer, Phase, Role, Timing};
    use control::telling::{Check, Readiness};
    use std::collections::{BTreeMap, BTreeSet};

    fn status() -> Status {
        Status {
            box_name: "box-a".to_owned(),
            node: "a".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_ms: 12_345,
            maintenance: false,
            peer: Peer { box_name: "box-b".to_owned(), alive: true, ready: true, not_ready_reason: None },
            groups: vec![Group {
                name: "mail".to_owned(),
                role: Role::Active,
                step: None,
                epoch: 7,
                holder: "box-a".to_owned(),
                holder_age_ms: Some(120),
                lease_left_ms: Some(1_300),
                addresses: vec![],
                addresses_here: true,
                preferred: None,
                fail_back: false,
                last_takeover: None,
            }],
            media: vec![control::cluster::Medium {
                name: "serial".to_owned(),
                state: control::cluster::MediumState::Fresh,
                age_ms: Some(80),
                good: 9,
                bad: 1,
                fault: None,
            }],
            services: vec![],
            alarms: vec![control::cluster::Alarm {
                code: "private_lost".to_owned(),
                text: "x".to_owned(),
                since_ms: 5,
            }],
            timing: Timing::default(),
            readiness: Readiness {
                rehearsed: true,
                would_succeed: true,
                estimate_ms: Some(3_200),
                checks: vec![Check { name: "memory".to_owned(), good: true, found: String::new() }],
            },
            peer_readiness: None,
        }
    }

    fn record() -> Record {
        Record {
            number: 3,
            at_ms: 1,
            unix_ms: 1_700_000_000_000,
            box_name: "box \"b\"\\".to_owned(),
            group: "mail".to_owned(),
            decision: "taken".to_owned(),
            cause: "the other box is silent; last heard: never".to_owned(),
            epoch: 7,
            seen: Some(control::cluster::Seen {
                media: vec![HeardAgo { medium: "serial".to_owned(), ago_ms: None }],
                holder: "nobody".to_owned(),
                holder_age_ms: None,
            }),
            phases: vec![
                Phase { step: "detect".to_owned(), ms: 2_400 },
                Phase { step: "fence".to_owned(), ms: 21 },
            ],
        }
    }

    /// A sample's name, labels and value, by the grammar of the exposition format.
    fn sample(line: &str) -> (String, String, f64) {
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        let mut rest = labels;
        while !rest.is_empty() {
            let (label, tail) = rest.split_once("=\"").unwrap();
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            let mut escaped = false;
            let end = tail
                .find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
                .unwrap();
            rest = tail[end + 1..].trim_start_matches(',');
        }
        (name.to_owned(), labels.to_owned(), value.parse().unwrap())
    }

    #[test]
    fn a_scrape_over_tcp_is_parsed_and_keeps_the_conventions() {
        let (inputs, asked) = bounded(8);
        thread::spawn(move || {
            for input in asked {
                if let Input::Asked(Asked { request, answer }) = input {
                    let _ = answer.send(match request {
                        Request::Status => Reply::Status(Box::new(status())),
                        _ => Reply::Records(vec![record(), record()]),
                    });
                }
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let power_fence = PowerFence::start(&crate::pairing::tests::first(), &inputs).unwrap();
        thread::spawn(move || {
            let source = Source { inputs, power_fence };
            for stream in listener.incoming().flatten() {
                let _ = serve(&stream, &source);
            }
        });
        let get = |request: &str| {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert!(get("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(get("PUT /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        let text = get("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("version=0.0.4"), "{head}");
        check_page(body);
        assert!(body.contains("twinmail_cluster_role{group=\"mail\",role=\"active\"} 1\n"), "{body}");
        assert!(body.contains("cause=\"the other box is silent\"} 2\n"), "{body}");
        assert!(body.contains("phase=\"fence\"} 0.021\n"), "{body}");
    }

    /// Each family has help and type before its samples, once; counters end in `_total`; no sample twice.
    fn check_page(body: &str) {
        let (mut families, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let mut current = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                current = name.to_owned();
            } else if !line.starts_with("# HELP ") {
                let (name, labels, value) = sample(line);
                assert!(name.starts_with(&current) && value.is_finite(), "{line}");
                assert!(seen.insert((name, labels)), "{line} twice");
            }
        }
        assert!(families.len() > 15);
    }

    #[test]
    fn the_mail_service_is_told_of_too() {
        let commits = mail::Histogram { buckets: vec![(250, 1), (1_000, 3)], count: 4, sum_us: 5_000 };
        let counters = [("messages_received".to_owned(), 5), ("junked".to_owned(), 2)].into();
        let figures =
            mail::Figures { commits, counters, disk_bytes: Some((1, 2)), ..mail::Figures::default() };
        let machine = Machine::read(Path::new("/"));
        assert!(machine.load.is_some() && machine.memory_bytes.is_some());
        let status = status();
        let groups = [("mail", figures.clone()), ("mail-2", figures)];
        let page = render(&Scene {
            status: &status,
            records: &[],
            mail: &groups,
            controller_answers: Some(false),
            machine: &machine,
        });
        check_page(&page);
        assert!(
            page.contains("twinmail_store_commit_seconds_bucket{group=\"mail\",le=\"0.001\"} 3\n"),
            "{page}"
        );
        assert!(page.contains("twinmail_store_commit_seconds_bucket{group=\"mail-2\",le=\"+Inf\"} 4\n"));
        assert!(page.contains("twinmail_mail_accepted_total{group=\"mail-2\"} 5\n"));
        assert!(page.contains("twinmail_mail_events_total{group=\"mail\",event=\"junked\"} 2\n"));
        assert!(!page.contains("event=\"logins\""));
        assert!(page.contains("twinmail_power_fence_answers 0\n"));
    }
}
