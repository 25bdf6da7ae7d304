//! The null-modem cable: raw bytes at the board's speed, frames between whatever else is on the line.
//!
//! A port that fails, disappears or is pulled is opened again; garbage, a login prompt or a console's
//! messages on the line cost nothing but the frames they damage.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use board::SerialPorts;
use link::pairing;
use link::{Frame, StreamDecoder, StreamEvent, encode_stream};
use serialport::{ClearBuffer, SerialPort};

use crate::media::{Ear, Outgoing, Sound, Waiting};
use crate::pairing::HostSide;

/// Longest wait for a byte, and for room to write a frame: 20 ms are 230 bytes at 115200 baud.
const PORT_WAIT: Duration = Duration::from_millis(20);
/// Between two attempts to open a port that failed.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 512;

/// Starts the thread of the serial cable; `host` offers while this box has no other one.
pub fn start(
    ports: &SerialPorts,
    mut ear: Ear,
    outgoing: Outgoing<Waiting>,
    mut host: HostSide,
) -> io::Result<()> {
    let mut cable = Cable::new(&ports.heartbeat, ports.heartbeat_baud);
    thread::Builder::new().name("serial".to_owned()).spawn(move || {
        loop {
            for event in cable.listen() {
                match event {
                    StreamEvent::Garbage => ear.link().note_garbage(cluster::Medium::Serial),
                    StreamEvent::Frame(frame) => hear(&frame, &mut ear, &mut host, &mut cable),
                }
            }
            match outgoing.try_recv() {
                Ok((_, waiting)) => {
                    if let Some(frame) = waiting.fresh().and_then(|beat| ear.speak(&beat)) {
                        cable.send(&frame);
                    }
                }
                Err(crossbeam_channel::TryRecvError::Empty) => {}
                Err(crossbeam_channel::TryRecvError::Disconnected) => return,
            }
            if let Some(message) = host.poll() {
                cable.say(&message);
            }
            ear.report(cable.fault());
        }
    })?;
    Ok(())
}

fn hear(frame: &Frame, ear: &mut Ear, host: &mut HostSide, cable: &mut Cable) {
    match ear.hear(frame) {
        Sound::Beat => host.heard_beat(),
        Sound::Pairing => {
            if let Some(reply) = pairing::open(frame).and_then(|message| host.hear(&message)) {
                cable.say(&reply);
            }
        }
        Sound::Noise => {}
    }
}

/// One serial port with a cable in it.
pub struct Cable {
    path: PathBuf,
    baud: u32,
    port: Option<Box<dyn SerialPort>>,
    next_open: Instant,
    decoder: StreamDecoder,
    fault: Option<String>,
}

impl Cable {
    /// The port at `path`, not opened yet.
    pub fn new(path: &Path, baud: u32) -> Self {
        let (port, fault) = (None, None);
        let decoder = StreamDecoder::default();
        Self { path: path.to_owned(), baud, port, next_open: Instant::now(), decoder, fault }
    }

    /// Why the port cannot work at all, if it cannot.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What came in; waits [`PORT_WAIT`] at most.
    pub fn listen(&mut self) -> Vec<StreamEvent> {
        let Some(port) = self.open() else {
            thread::sleep(PORT_WAIT);
            return vec![];
        };
        let mut bytes = [0; READ_BYTES];
        match port.read(&mut bytes) {
            Ok(length) => bytes.iter().take(length).filter_map(|byte| self.decoder.push(*byte)).collect(),
            Err(error) => {
                self.failed(&error);
                vec![]
            }
        }
    }

    /// Sends a frame, or loses it: the next one is on its way in a fraction of a second.
    pub fn send(&mut self, frame: &Frame) {
        let Some(port) = self.open() else { return };
        if let Err(error) = port.write_all(&encode_stream(frame)) {
            // Nobody takes the bytes off the line: they must not pile up and come out stale.
            let _ = port.clear(ClearBuffer::Output);
            self.failed(&error);
        }
    }

    /// Sends a message of a pairing exchange.
    pub fn say(&mut self, message: &pairing::Message) {
        if let Ok(frame) = pairing::seal(message) {
            self.send(&frame);
        }
    }

    fn open(&mut self) -> Option<&mut Box<dyn SerialPort>> {
        if self.port.is_none() && Instant::now() >= self.next_open {
            self.next_open = Instant::now() + REOPEN_EVERY;
            let path = self.path.to_string_lossy();
            match serialport::new(path, self.baud).timeout(PORT_WAIT).open() {
                Ok(port) => {
                    let _ = port.clear(ClearBuffer::All);
                    self.decoder = StreamDecoder::default();
                    self.fault = None;
                    self.port = Some(port);
                }
                Err(error) => self.fault = Some(self.sentence(&error.to_string())),
            }
        }
        self.port.as_mut()
    }

    fn failed(&mut self, error: &io::Error) {
        // Silence, and a line that is full, are no faults of the port.
        if !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            self.fault = Some(self.sentence(&error.to_string()));
            self.port = None;
        }
    }

    fn sentence(&self, reason: &str) -> String {
        format!("the serial port {} cannot be used: {reason}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::os::fd::OwnedFd;

    /// A pseudo-terminal: the port's path, and the far end of its cable.
    fn cable() -> (PathBuf, File) {
        let far: OwnedFd = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::grantpt(&far).unwrap();
        rustix::pty::unlockpt(&far).unwrap();
        let name = rustix::pty::ptsname(&far, Vec::new()).unwrap();
        (PathBuf::from(name.to_str().unwrap()), File::from(far))
    }

    fn frames(cable: &mut Cable, wanted: usize) -> Vec<Frame> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut frames = Vec::new();
        while frames.len() < wanted && Instant::now() < deadline {
            frames.extend(cable.listen().into_iter().filter_map(|event| match event {
                StreamEvent::Frame(frame) => Some(frame),
                StreamEvent::Garbage => None,
            }));
        }
        frames
    }

    #[test]
    fn frames_go_both_ways_through_a_prompt_and_noise() {
        let (path, mut far) = cable();
        let mut near = Cable::new(&path, 115_200);
        near.listen();
        let frame = Frame::from_slice(b"what one box says\0\n\r\x11\x13\x7f to the other").unwrap();
        far.write_all(b"\r\nlogin: [  12.3] kernel: noise \xFF\xFE\x00\x00garbage").unwrap();
        far.write_all(&encode_stream(&frame)).unwrap();
        far.write_all(b"Password:").unwrap();
        far.write_all(&encode_stream(&frame)).unwrap();
        let expected = [frame.clone(), frame.clone()];
        let heard: Vec<Frame> =
            frames(&mut near, 3).into_iter().filter(|heard| heard.len() == frame.len()).collect();
        assert_eq!(heard, expected);
        near.send(&frame);
        let mut bytes = vec![0; encode_stream(&frame).len()];
        far.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, encode_stream(&frame).as_slice());
        assert_eq!(near.fault(), None);
    }

    #[test]
    fn a_port_that_is_not_there_is_said_in_a_sentence() {
        let mut near = Cable::new(Path::new("/dev/nonexistent-port"), 115_200);
        assert!(near.listen().is_empty());
        near.send(&Frame::new());
        assert!(near.fault().unwrap().contains("/dev/nonexistent-port"));
    }

    #[test]
    fn a_cable_nobody_reads_holds_nobody_up_and_recovers() {
        let (path, far) = cable();
        let mut near = Cable::new(&path, 115_200);
        let frame = Frame::from_slice(&[7; 500]).unwrap();
        let began = Instant::now();
        for _ in 0..40 {
            near.send(&frame);
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(near.fault(), None);
        drop(far);
        let deadline = Instant::now() + Duration::from_secs(30);
        while near.fault().is_none() && Instant::now() < deadline {
            near.listen();
        }
        assert!(near.fault().is_some(), "a port that hung up is a fault");
        assert!(OpenOptions::new().read(true).open(&path).is_err());
    }
}
