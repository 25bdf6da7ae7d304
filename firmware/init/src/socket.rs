//! The control socket, without ever waiting for a caller.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use control::init::{Reply, Request};

/// Most callers at once; the oldest is dropped for a new one.
const CALLERS_MAX: usize = 32;
/// Longest request: all of them are short.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// A caller that takes longer than this is dropped.
const CALLER_LIMIT: Duration = Duration::from_secs(30);

/// One caller.
#[derive(Debug)]
pub struct Caller {
    stream: UnixStream,
    since: Instant,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It has closed its end, or sends more than a request.
    gone: bool,
    /// Service whose end it waits for.
    pub waits_for: Option<String>,
    /// It hears of every change, and stays.
    follows: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// The reply.
    Now(Reply),
    /// `Done`, when the service with this name has ended.
    WhenStopped(String),
    /// The reply, and another one with every change.
    Follow(Reply),
}

/// The control socket and its callers.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    callers: Vec<Caller>,
}

impl Socket {
    /// Listens at `path`; only root may connect.
    pub fn open(path: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, callers: Vec::new() })
    }

    /// What to wait for: new callers, then each caller, and whether it is waited for to take bytes.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Every caller's stream, and whether it has bytes to take.
    pub fn streams(&self) -> impl Iterator<Item = (&UnixStream, bool)> {
        self.callers.iter().map(|caller| (&caller.stream, !caller.output.is_empty()))
    }

    /// Takes new callers and bytes; hands every complete request to `answer`.
    pub fn advance(&mut self, now: Instant, mut answer: impl FnMut(Request) -> Answer) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.callers.len() >= CALLERS_MAX {
                // Who follows the services is the one that must not be lost.
                let oldest = self.callers.iter().position(|caller| !caller.follows).unwrap_or(0);
                self.callers.remove(oldest);
            }
            self.callers.push(Caller::new(stream, now));
        }
        for caller in &mut self.callers {
            if let Some(line) = caller.take_line() {
                match serde_json::from_slice(&line) {
                    Ok(request) => match answer(request) {
                        Answer::Now(reply) => caller.say(&reply),
                        Answer::WhenStopped(service) => caller.waits_for = Some(service),
                        Answer::Follow(reply) => {
                            caller.follows = true;
                            caller.say(&reply);
                        }
                    },
                    Err(error) => {
                        caller.say(&Reply::Refused(format!("the request is not understood: {error}")));
                    }
                }
            }
        }
        let in_time = |caller: &Caller| caller.follows || now - caller.since < CALLER_LIMIT;
        self.callers.retain_mut(|caller| caller.flush() && in_time(caller));
    }

    /// Tells everyone who follows the services what has changed.
    pub fn tell_followers(&mut self, reply: &Reply) {
        for caller in self.callers.iter_mut().filter(|caller| caller.follows) {
            caller.say(reply);
        }
        self.callers.retain_mut(Caller::flush);
    }

    /// Answers everyone who waits for a service for which `stopped` is true.
    pub fn tell_stopped(&mut self, stopped: impl Fn(&str) -> bool) {
        for caller in &mut self.callers {
            if caller.waits_for.as_deref().is_some_and(&stopped) {
                caller.waits_for = None;
                caller.say(&Reply::Done);
            }
        }
        self.callers.retain_mut(Caller::flush);
    }
}

impl Caller {
    fn new(stream: UnixStream, since: Instant) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { stream, since, input, output, gone: false, waits_for: None, follows: false }
    }

    /// Reads what is there; a complete line, if there is one now.
    fn take_line(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        while self.input.len() < REQUEST_MAX_BYTES {
            match self.stream.read(&mut buffer) {
                Ok(read @ 1..) => self.input.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        self.gone |= self.input.len() >= REQUEST_MAX_BYTES;
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line = self.input.drain(..=end).collect();
        Some(line)
    }

    fn say(&mut self, reply: &Reply) {
        if let Ok(mut line) = serde_json::to_vec(reply) {
            line.push(b'\n');
            self.output.extend_from_slice(&line);
        }
    }

    /// Writes what goes out now; false when the caller is done or gone.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return false,
                Ok(written) => drop(self.output.drain(..written)),
                // Who follows and does not read is no follower any more.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return !self.gone && self.output.len() <= REQUEST_MAX_BYTES;
                }
                Err(_) => return false,
            }
            if self.output.is_empty() && !self.follows {
                // One request, one reply.
                return false;
            }
        }
        !self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    struct Rig {
        _dir: tempfile::TempDir,
        path: std::path::PathBuf,
        socket: Socket,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("init.sock");
            let socket = Socket::open(&path).unwrap();
            Self { _dir: dir, path, socket }
        }

        fn call(&self, bytes: &[u8]) -> UnixStream {
            let mut stream = UnixStream::connect(&self.path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        }

        fn advance_at(&mut self, now: Instant) {
            self.socket.advance(now, |request| match request {
                Request::Stop { service } => Answer::WhenStopped(service),
                Request::Follow => Answer::Follow(Reply::Services(Vec::new())),
                _ => Answer::Now(Reply::Done),
            });
        }
    }

    fn said(stream: UnixStream) -> String {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn one_request_gets_one_reply_and_nonsense_a_refusal() {
        let mut rig = Rig::new();
        let (good, bad) = (rig.call(b"\"services\"\n"), rig.call(b"{{{\n"));
        rig.advance_at(Instant::now());
        assert_eq!(said(good), "\"done\"\n");
        assert!(said(bad).contains("not understood"));
        assert!(rig.socket.callers.is_empty());
    }

    #[test]
    fn who_waits_for_a_stop_is_answered_when_it_has_stopped() {
        let mut rig = Rig::new();
        let caller = rig.call(b"{\"stop\":{\"service\":\"mail\"}}\n");
        rig.advance_at(Instant::now());
        rig.socket.tell_stopped(|_| false);
        assert_eq!(rig.socket.callers.len(), 1);
        rig.socket.tell_stopped(|name| name == "mail");
        assert_eq!(said(caller), "\"done\"\n");
    }

    #[test]
    fn who_follows_hears_of_every_change_and_stays() {
        let mut rig = Rig::new();
        let now = Instant::now();
        let mut follower = BufReader::new(rig.call(b"\"follow\"\n"));
        let mut hear = || {
            let mut line = String::new();
            follower.read_line(&mut line).unwrap();
            line
        };
        rig.advance_at(now);
        assert_eq!(hear(), "{\"services\":[]}\n");
        rig.advance_at(now + 2 * CALLER_LIMIT);
        rig.socket.tell_followers(&Reply::Done);
        assert_eq!(hear(), "\"done\"\n");
        // One that does not read costs a bounded amount of memory.
        for _ in 0..1_000_000 {
            rig.socket.tell_followers(&Reply::Done);
            if rig.socket.callers.is_empty() {
                return;
            }
        }
        panic!("a follower that does not read was kept");
    }

    #[test]
    fn who_hangs_up_says_nothing_or_says_too_much_is_dropped() {
        let mut rig = Rig::new();
        let now = Instant::now();
        drop(rig.call(b"\"serv"));
        let silent = rig.call(b"");
        rig.advance_at(now);
        assert_eq!(rig.socket.callers.len(), 1);
        rig.advance_at(now + CALLER_LIMIT);
        assert!(rig.socket.callers.is_empty());
        let chatty = rig.call(&vec![b'x'; REQUEST_MAX_BYTES + 1]);
        rig.advance_at(now);
        assert!(rig.socket.callers.is_empty());
        drop((silent, chatty));
    }

    #[test]
    fn callers_are_bounded_and_the_oldest_gives_way() {
        let mut rig = Rig::new();
        let mut waiting: Vec<_> = (0..CALLERS_MAX).map(|_| rig.call(b"")).collect();
        rig.advance_at(Instant::now());
        let newest = rig.call(b"\"services\"\n");
        rig.advance_at(Instant::now());
        assert_eq!(said(newest), "\"done\"\n");
        assert!(rig.socket.callers.len() < CALLERS_MAX);
        assert_eq!(said(waiting.remove(0)), "");
    }
}
