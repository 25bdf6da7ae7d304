//! What the boxes tell each other beside the heartbeat, over TCP on the private network: decisions,
//! readiness, settings both have, and orders of the operator that concern the other box.
//!
//! Nothing here decides who serves: the network may be gone for weeks, and only records come late.
//! Each connection carries one question and one answer, sealed with the pair's key.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cluster::Node;
use control::cluster::{Record, Reply, Request};
use control::telling::{Readiness, Telling};
use control::wire;
use crossbeam_channel::{Sender, bounded};
use link::{CHANNEL_NONCE_BYTES, CHANNEL_TAG_BYTES, Channel};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use settings::{Controllers, FurtherGroup, Secret, Settings};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use crate::input::Input;
use crate::private::private_address;
use crate::requests::Asked;
use crate::settings_keeper::core_node;
use crate::teller::News;

/// TCP port on the private network.
const PEER_PORT: u16 = 7378;
/// Between two questions for the other box's report.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for a connection, and for each part of an exchange.
const STEP_WAIT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to an order; the other box's init may be busy.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest sealed message.
const MESSAGE_MAX_BYTES: usize = 512 * 1024;
/// Between two attempts to listen.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What one box says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub box_name: String,
    /// Its firmware version.
    pub version: String,
    /// Digest of the image it runs.
    pub image: String,
    /// Milliseconds since 1970 by its clock.
    pub unix_ms: u64,
    /// Milliseconds since its boot.
    pub uptime_ms: u64,
    /// Digest of the settings both must have.
    pub settings: String,
    /// Whom the pair tells what, as it knows it.
    pub telling: Telling,
    /// Groups beside the first, as it knows them.
    #[serde(default)]
    pub groups: Vec<FurtherGroup>,
    /// The boxes' management controllers, as it knows them.
    #[serde(default)]
    pub controllers: Controllers,
    /// Whether it would succeed as owner.
    pub readiness: Readiness,
    /// Number of its newest decision.
    pub newest: u64,
    /// Decisions the asker did not have yet.
    pub records: Vec<Record>,
}

/// What one box asks of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Its report, with the decisions after this number.
    Report {
        /// Newest decision known already.
        have: u64,
    },
    /// Restart yourself, in order.
    Restart,
    /// Carry out a rolling restart: you serve now, so you are restarted last.
    RollingRestart,
    /// Put this letter into the mail of the administrators; you serve now.
    Letter(crate::letter::Letter),
}

/// The other box's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Say {
    /// Its report.
    Report(Box<Report>),
    /// It is done, or begun.
    Done,
    /// It cannot be done; a sentence.
    Refused(String),
}

/// The way to the other box.
#[derive(Debug, Clone)]
pub struct PeerLink {
    node: Node,
    /// Changes when the other box is replaced.
    key: Arc<Mutex<Secret>>,
}

impl PeerLink {
    /// The way from the box that `settings` describe.
    pub fn new(settings: &Settings) -> Self {
        Self { node: core_node(settings.node), key: Arc::new(Mutex::new(settings.pair_key.clone())) }
    }

    /// Uses another key from now on.
    pub fn change_key(&self, key: &Secret) {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone_from(key);
    }

    /// Asks the other box; waits [`ANSWER_WAIT`] at most.
    pub fn ask(&self, question: &Ask) -> Result<Say, String> {
        let at = SocketAddr::from((private_address(self.node.peer()), PEER_PORT));
        let silent =
            |error: io::Error| format!("the other box does not answer on the private network: {error}");
        let stream = TcpStream::connect_timeout(&at, STEP_WAIT).map_err(silent)?;
        self.ask_over(&stream, question).map_err(silent)
    }

    fn ask_over(&self, stream: &TcpStream, question: &Ask) -> io::Result<Say> {
        let mut channel = self.open(stream)?;
        send(stream, &mut channel, question)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        receive(stream, &mut channel)
    }

    /// Exchanges nonces on a fresh connection.
    fn open(&self, mut stream: &TcpStream) -> io::Result<Channel> {
        stream.set_read_timeout(Some(STEP_WAIT))?;
        stream.set_write_timeout(Some(STEP_WAIT))?;
        let mut own = [0; CHANNEL_NONCE_BYTES];
        SystemRandom::new()
            .fill(&mut own)
            .map_err(|_| io::Error::other("the system's random source failed"))?;
        stream.write_all(&own)?;
        let mut peers = [0; CHANNEL_NONCE_BYTES];
        stream.read_exact(&mut peers)?;
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Channel::new(&key.0, self.node, &own, &peers).ok_or_else(|| io::Error::other("no channel"))
    }
}

/// Starts both threads: one that answers, one that asks for the other box's report.
pub fn start(link: &PeerLink, card: &str, inputs: &Sender<Input>) -> io::Result<()> {
    let (answering, answers, card) = (link.clone(), inputs.clone(), card.to_owned());
    thread::Builder::new().name("peer-answers".to_owned()).spawn(move || {
        loop {
            match listen(&card, answering.node) {
                Ok(listener) => serve(&listener, &answering, &answers),
                Err(_) => thread::sleep(RETRY_EVERY),
            }
        }
    })?;
    let (asking, inputs) = (link.clone(), inputs.clone());
    thread::Builder::new().name("peer-asks".to_owned()).spawn(move || {
        loop {
            if !ask_for_report(&asking, &inputs) {
                return;
            }
            thread::sleep(ASK_EVERY);
        }
    })?;
    Ok(())
}

/// False once nobody listens to news any more.
fn ask_for_report(link: &PeerLink, inputs: &Sender<Input>) -> bool {
    let (answer, have) = bounded(1);
    if inputs.send(Input::Telling(News::WhatHaveWe { answer })).is_err() {
        return false;
    }
    let Ok(have) = have.recv_timeout(STEP_WAIT) else { return true };
    if let Ok(Say::Report(report)) = link.ask(&Ask::Report { have }) {
        return inputs.send(Input::Telling(News::Peer(report))).is_ok();
    }
    true
}

fn listen(card: &str, node: Node) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // The address comes and goes with the card's other thread.
    socket.set_freebind_v4(true)?;
    socket.bind_device(Some(card.as_bytes()))?;
    socket.bind(&SocketAddr::from((private_address(node), PEER_PORT)).into())?;
    socket.listen(4)?;
    Ok(socket.into())
}

fn serve(listener: &TcpListener, link: &PeerLink, inputs: &Sender<Input>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        // One at a time: the other box is the only one on this cable, and each wait is bounded.
        if let Err(error) = answer(&stream, link, inputs)
            && error.kind() == io::ErrorKind::InvalidData
        {
            warn!("a question over the private network was not made with this pair's key: {error}");
        }
    }
}

fn answer(stream: &TcpStream, link: &PeerLink, inputs: &Sender<Input>) -> io::Result<()> {
    let mut channel = link.open(stream)?;
    let question: Ask = receive(stream, &mut channel)?;
    let said = match question {
        Ask::Report { have } => {
            let (answer, report) = bounded(1);
            let _ = inputs.send_timeout(Input::Telling(News::Asked { have, answer }), STEP_WAIT);
            match report.recv_timeout(STEP_WAIT) {
                Ok(report) => Say::Report(report),
                Err(_) => Say::Refused("the cluster service is busy".to_owned()),
            }
        }
        Ask::Restart => {
            info!("the other box asks for a restart of this one");
            restart_this_box()
        }
        Ask::RollingRestart => {
            let request = Request::Telling(control::telling::Request::RollingRestart);
            control(inputs, request)
        }
        Ask::Letter(letter) => match crate::letter::deliver_here(&letter) {
            Ok(()) => Say::Done,
            Err(reason) => Say::Refused(reason),
        },
    };
    send(stream, &mut channel, &said)
}

/// Asks init for an ordered restart.
pub fn restart_this_box() -> Say {
    let socket = std::path::Path::new(control::INIT_SOCKET);
    match wire::call(socket, &control::init::Request::Restart, ANSWER_WAIT) {
        Ok(control::init::Reply::Done) => Say::Done,
        Ok(control::init::Reply::Refused(reason)) => Say::Refused(reason),
        Ok(_) => Say::Refused("init gave an answer of another kind".to_owned()),
        Err(error) => Say::Refused(error.to_string()),
    }
}

/// Has the decision loop answer, as if it had been asked over its socket.
pub fn control(inputs: &Sender<Input>, request: Request) -> Say {
    let (answer, answered) = bounded(1);
    let _ = inputs.send_timeout(Input::Asked(Asked { request, answer }), STEP_WAIT);
    match answered.recv_timeout(ANSWER_WAIT) {
        Ok(Reply::Refused(reason)) => Say::Refused(reason),
        Ok(_) => Say::Done,
        Err(_) => Say::Refused("the cluster service is busy; try again in a few seconds".to_owned()),
    }
}

fn send<T: Serialize>(mut stream: &TcpStream, channel: &mut Channel, message: &T) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let sealed = channel.seal(&text).ok_or_else(|| io::Error::other("the message cannot be sealed"))?;
    let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&sealed)
}

fn receive<T: for<'a> Deserialize<'a>>(mut stream: &TcpStream, channel: &mut Channel) -> io::Result<T> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if !(CHANNEL_TAG_BYTES..=MESSAGE_MAX_BYTES).contains(&length) {
        return Err(invalid("a message of the wrong length"));
    }
    let mut sealed = vec![0; length];
    stream.read_exact(&mut sealed)?;
    let text = channel.open(&sealed).ok_or_else(|| invalid("a message with a broken seal"))?;
    serde_json::from_slice(&text).map_err(|_| invalid("a message of another version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::tests::first;

    fn boxes(key_of_b: u8) -> (PeerLink, PeerLink) {
        let a = PeerLink::new(&first());
        let b = Settings { node: settings::Node::B, pair_key: Secret([key_of_b; 32]), ..first() };
        (a, PeerLink::new(&b))
    }

    fn one_exchange(asker: &PeerLink, answerer: PeerLink) -> (io::Result<Say>, io::Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let far = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let (inputs, asked) = bounded(4);
            let loop_thread = thread::spawn(move || {
                for input in asked {
                    if let Input::Asked(Asked { request, answer }) = input {
                        let _ = answer.send(Reply::Refused(format!("{request:?}")));
                    }
                }
            });
            let result = answer(&stream, &answerer, &inputs);
            drop(inputs);
            loop_thread.join().unwrap();
            result
        });
        let stream = TcpStream::connect(at).unwrap();
        let said = asker.ask_over(&stream, &Ask::RollingRestart);
        drop(stream);
        (said, far.join().unwrap())
    }

    #[test]
    fn a_question_with_the_pairs_key_is_answered() {
        let (a, b) = boxes(3);
        let (said, answered) = one_exchange(&a, b);
        answered.unwrap();
        let Say::Refused(reason) = said.unwrap() else { panic!("not the loop's answer") };
        assert!(reason.contains("RollingRestart"), "{reason}");
    }

    #[test]
    fn a_box_with_another_key_is_not_listened_to() {
        let (a, b) = boxes(4);
        let (said, answered) = one_exchange(&a, b);
        assert!(said.is_err());
        assert_eq!(answered.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
