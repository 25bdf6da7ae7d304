//! What the command line and the lab's daemon say to each other: a JSON object a line. One request,
//! any number of steps, one end.

use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use control::wire::{WireError, read_line, write_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::controller::Controlling;
use crate::error::{LabError, Result};
use crate::lcd::{Glass, Key};
use crate::machine::Boot;
use crate::parts::{BoxName, Kind, Which};
use crate::place::Place;
use crate::second_path::Cable;

/// What a lab is made of; fixed while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the lab.
    pub instance: String,
    /// Folder with `disk.img`, `vmlinux`, `initramfs.img` and `cmdline.txt`.
    pub image: PathBuf,
    /// What the boxes start from.
    pub boot: Boot,
    /// See [`crate::parts::PORTS_BASE`].
    pub ports_base: u16,
    /// Cables between each box and the array, 1 or 2.
    pub paths: u8,
    /// Service groups, 1 or 2.
    pub groups: u8,
    /// Whether each box has a management controller.
    pub controllers: bool,
    /// Size of each LUN.
    pub lun_mib: u32,
}

/// What the command line asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Give power to the boxes and wait until they serve; set them up where they are blank.
    Up {
        /// Which boxes.
        boxes: Vec<BoxName>,
    },
    /// Give power to boxes and wait for nothing.
    PowerOn {
        /// Which boxes.
        boxes: Vec<BoxName>,
    },
    /// End the lab when this connection ends.
    Own,
    /// End the lab.
    Down,
    /// Everything the lab and the boxes know.
    Status,
    /// Break something.
    Fault {
        /// Of which box.
        which: Which,
        /// What.
        kind: Kind,
        /// Heal it after so many milliseconds.
        heal_after_ms: Option<u64>,
    },
    /// Put right what was broken.
    Heal {
        /// Only of this box.
        name: Option<BoxName>,
        /// Only this.
        kind: Option<Kind>,
    },
    /// Do something to one array cable of a box.
    Cable {
        /// Of which box.
        which: Which,
        /// The first or the second.
        number: u8,
        /// What.
        what: Cable,
    },
    /// Give a box's management controller power, or take it away.
    Controller {
        /// Whose.
        name: BoxName,
        /// What.
        what: Controlling,
    },
    /// Press both power buttons and wait until both boxes are off.
    StopInOrder,
    /// What a display shows.
    Glass {
        /// Whose.
        name: BoxName,
    },
    /// Press a key under a display.
    Press {
        /// Whose.
        name: BoxName,
        /// Which.
        key: Key,
    },
    /// Give a command on a console.
    Command {
        /// Whose.
        name: BoxName,
        /// The line typed.
        words: String,
    },
    /// Type on a console, without login.
    Type {
        /// Whose.
        name: BoxName,
        /// The keys.
        keys: String,
    },
    /// What the boxes have told the administrator's log host.
    Heard,
    /// The metrics of a box.
    Metrics {
        /// Whose.
        name: BoxName,
    },
    /// What a console has said lately.
    Screen {
        /// Whose.
        name: BoxName,
    },
    /// Sit down at a console: after the end message the connection carries its bytes.
    Attach {
        /// Whose.
        name: BoxName,
    },
}

/// What the daemon answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A step is done.
    Step {
        /// What.
        text: String,
        /// What it took.
        ms: u64,
    },
    /// All is done.
    Done(Value),
    /// What a display shows.
    Glass(Box<Glass>),
    /// It could not be done; a sentence.
    Failed(String),
}

/// How long the daemon may be silent between two messages.
const SILENCE_MAX: Duration = Duration::from_mins(5);

/// A connection to the daemon.
#[derive(Debug)]
pub struct Line {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    log: PathBuf,
}

impl Line {
    /// Connects to the daemon of the lab at `place`.
    pub fn open(place: &Place) -> Result<Self> {
        let path = place.control()?;
        let stream = UnixStream::connect(&path).map_err(|_| LabError::NotRunning)?;
        Self::over(stream, place)
    }

    /// Speaks over an accepted or made connection.
    pub fn over(stream: UnixStream, place: &Place) -> Result<Self> {
        let cannot = |source| LabError::Io { what: "the lab's socket cannot be used".into(), source };
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(cannot)?;
        let reader = BufReader::new(stream.try_clone().map_err(cannot)?);
        Ok(Self { reader, writer: stream, log: place.log() })
    }

    /// Asks, hears of each step, and waits for the end.
    pub fn ask(&mut self, request: &Request, mut step: impl FnMut(&str, u64)) -> Result<Reply> {
        self.send(request)?;
        loop {
            match self.receive()? {
                Reply::Step { text, ms } => step(&text, ms),
                Reply::Failed(reason) => return Err(LabError::Refused(reason)),
                end => return Ok(end),
            }
        }
    }

    /// Sends one message.
    pub fn send(&mut self, message: &impl Serialize) -> Result<()> {
        write_line(&mut self.writer, message).map_err(|error| self.broken(error))
    }

    /// Receives one message.
    pub fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        read_line(&mut self.reader).map_err(|error| self.broken(error))
    }

    /// Carries bytes from now on.
    pub fn into_stream(self) -> UnixStream {
        let _ = self.writer.set_read_timeout(None);
        self.writer
    }

    /// Writes raw bytes.
    pub fn write_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes)
    }

    fn broken(&self, error: WireError) -> LabError {
        match error {
            WireError::Malformed(error) => LabError::Protocol(error),
            _ => LabError::Ended { log: self.log.clone() },
        }
    }
}

/// Asks one question and gives the value of the answer.
pub fn ask(place: &Place, request: &Request) -> Result<Value> {
    match Line::open(place)?.ask(request, |_, _| {})? {
        Reply::Done(value) => Ok(value),
        other => Err(LabError::Refused(format!("the lab answered out of turn: {other:?}"))),
    }
}
