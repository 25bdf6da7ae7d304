//! The private network: UDP over the cross-over cable between the second network cards.
//!
//! Nobody sets anything up there: the boxes are 169.254.77.1 and 169.254.77.2 (RFC 3927 link-local),
//! and the socket is tied to the card, so that a beat can come from nowhere else.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use address::{Interface, InterfaceAddress};
use cluster::Node;
use crossbeam_channel::RecvTimeoutError;
use link::FRAME_MAX_BYTES;
use socket2::{Domain, Protocol, Socket, Type};

use crate::media::{Ear, Outgoing, Waiting};

/// UDP port of the heartbeat.
pub const PRIVATE_PORT: u16 = 7377;
/// Prefix length of the private network.
const PRIVATE_PREFIX: u8 = 24;
/// Longest wait for something to send, between two looks at what came in.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two attempts to set up a card that failed.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the link.
const CARRIER_EVERY: Duration = Duration::from_millis(500);
const NO_LINK: &str = "the private network card has no link; check the cross-over cable";
/// Most datagrams read at one go.
const DATAGRAMS_MAX: usize = 32;

/// Address of a box on the private network.
pub fn private_address(node: Node) -> Ipv4Addr {
    match node {
        Node::A => Ipv4Addr::new(169, 254, 77, 1),
        Node::B => Ipv4Addr::new(169, 254, 77, 2),
    }
}

/// Starts the thread of the private network on the card `name`.
pub fn start(name: &str, node: Node, mut ear: Ear, outgoing: Outgoing<Waiting>) -> io::Result<()> {
    let name = name.to_owned();
    thread::Builder::new().name("private".to_owned()).spawn(move || {
        loop {
            let ended = match Wire::open(&name, node) {
                Ok(mut wire) => wire.run(&mut ear, &outgoing),
                Err(fault) => Err(fault),
            };
            let Err(fault) = ended else { return };
            ear.report(Some(&fault));
            thread::sleep(RETRY_EVERY);
        }
    })?;
    Ok(())
}

/// The card and the socket tied to it.
struct Wire {
    interface: Interface,
    socket: UdpSocket,
    peer: SocketAddr,
    carrier: bool,
    next_carrier: Instant,
}

impl Wire {
    fn open(name: &str, node: Node) -> Result<Self, String> {
        let interface = Interface::find(name).map_err(|error| error.to_string())?;
        address::set_up(&interface).map_err(|error| error.to_string())?;
        let own = private_address(node);
        let given = InterfaceAddress { address: own.into(), prefix: PRIVATE_PREFIX };
        address::add_address(&interface, given).map_err(|error| error.to_string())?;
        let socket = open_socket(name, own)
            .map_err(|error| format!("the private network card {name} cannot be used: {error}"))?;
        let peer = SocketAddr::from((private_address(node.peer()), PRIVATE_PORT));
        Ok(Self { interface, socket, peer, carrier: true, next_carrier: Instant::now() })
    }

    /// Sends and listens until the card fails (the sentence), or nobody has anything to say any more.
    fn run(&mut self, ear: &mut Ear, outgoing: &Outgoing<Waiting>) -> Result<(), String> {
        loop {
            match outgoing.recv_timeout(LOOK_EVERY) {
                Ok((_, waiting)) => {
                    if let Some(frame) = waiting.fresh().and_then(|beat| ear.speak(&beat)) {
                        self.check(self.socket.send_to(&frame, self.peer))?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            for _ in 0..DATAGRAMS_MAX {
                // One byte more than a frame, so that a longer datagram is not taken for one.
                let mut room = [0; FRAME_MAX_BYTES + 1];
                let Some(length) = self.check(self.socket.recv(&mut room))? else { break };
                ear.hear(&room[..length.min(room.len())]);
            }
            if Instant::now() >= self.next_carrier {
                self.next_carrier = Instant::now() + CARRIER_EVERY;
                self.carrier = self.interface.has_carrier();
            }
            ear.report((!self.carrier).then_some(NO_LINK));
        }
    }

    /// Nothing to read, no room to write and nobody there are no faults of the card.
    fn check(&self, result: io::Result<usize>) -> Result<Option<usize>, String> {
        match result {
            Ok(length) => Ok(Some(length)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::Interrupted
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                ) || error.raw_os_error() == Some(libc::ENOBUFS) =>
            {
                Ok(None)
            }
            Err(error) => {
                Err(format!("the private network card {} cannot be used: {error}", self.interface.name()))
            }
        }
    }
}

fn open_socket(card: &str, own: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(card.as_bytes()))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((own, PRIVATE_PORT)).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::media::{SharedLink, Waiting};
    use crate::pairing;
    use cluster::{Ability, Beat, Event, HandOver, Medium, Preference, Role};
    use crossbeam_channel::bounded;
    use std::process::{Child, Command};

    const ROLE: &str = "TWINMAIL_TEST_BOX";
    const TEST: &str = "private::tests::two_boxes_hear_each_other_over_a_real_cable";
    const BEATS: usize = 5;

    fn beat(node: Node, seq: u32) -> Beat {
        Beat {
            group: 0,
            node,
            boot: 1,
            seq,
            epoch: 1,
            claim: 0,
            role: Role::Standby,
            ability: Ability::Ready,
            hand_over: HandOver::None,
            public_up: true,
            preference: Preference::default(),
        }
    }

    /// One box: beats until it has heard the other a few times, and a little longer for the other.
    fn run_box(node: Node) {
        let mut settings = pairing::tests::first();
        settings.node = crate::settings_keeper::node_of(node);
        let (inputs, heard) = bounded(256);
        let (beats, outgoing) = bounded(1);
        let ear = Ear::new(Medium::Private, SharedLink::new(&settings).unwrap(), inputs);
        start("private", node, ear, outgoing).unwrap();
        let deadline = Instant::now() + Duration::from_mins(2);
        let (mut count, mut seq, mut more) = (0, 0, 20);
        while more > 0 {
            assert!(Instant::now() < deadline, "only {count} beats heard");
            seq += 1;
            let _ = beats.try_send((0, Waiting::now(beat(node, seq))));
            thread::sleep(Duration::from_millis(50));
            for input in heard.try_iter() {
                if let Input::Core(Event::Heard { medium, beat }) = input {
                    assert_eq!((medium, beat.node), (Medium::Private, node.peer()));
                    count += 1;
                }
            }
            more -= u32::from(count >= BEATS);
        }
    }

    fn again(role: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        let test = std::env::current_exe().unwrap();
        command.args(arguments).arg(test).args(["--exact", TEST, "--nocapture"]).env(ROLE, role);
        command
    }

    fn ip(arguments: &str) {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
    }

    /// Cables this namespace to that of `child`.
    fn cable(child: &Child) {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", child.id());
        while std::fs::read_link(&theirs).is_ok_and(|link| link == own) {
            thread::sleep(Duration::from_millis(10));
        }
        ip("link add private type veth peer name far");
        ip(&format!("link set far netns {} name private", child.id()));
    }

    #[test]
    fn two_boxes_hear_each_other_over_a_real_cable() {
        match std::env::var(ROLE).as_deref() {
            Ok("a") => {
                let mounted = Command::new("mount").args(["-t", "sysfs", "none", "/sys"]).status().unwrap();
                assert!(mounted.success());
                let mut child = again("b", &["--net", "--mount"]).spawn().unwrap();
                cable(&child);
                run_box(Node::A);
                assert!(child.wait().unwrap().success());
            }
            Ok(_) => {
                // Only a mount of its own shows the cards of this namespace.
                let mounted = Command::new("mount").args(["-t", "sysfs", "none", "/sys"]).status().unwrap();
                assert!(mounted.success());
                run_box(Node::B);
            }
            Err(_) => {
                let flags =
                    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
                let mut command = again("a", &[&flags[..], &["--mount-proc"]].concat());
                let output = command.output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "(needs root or user namespaces)\n{said}{errors}");
                assert!(said.contains("1 passed"), "{said}");
            }
        }
    }
}
