//! QEMU's machine protocol: one JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Doing, LabError, Result};
use crate::parts::BoxName;

const CONNECT_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A connection to the QEMU of one box.
#[derive(Debug)]
pub struct Qmp {
    name: BoxName,
    line: Mutex<(UnixStream, Receiver<Value>)>,
}

impl Qmp {
    /// Connects to `path`, which QEMU makes when it starts; `happened` hears of every event.
    pub fn connect(
        name: BoxName,
        path: &Path,
        mut happened: impl FnMut(&str, &Value) + Send + 'static,
    ) -> Result<Self> {
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(_) if began.elapsed() < CONNECT_MAX => thread::sleep(Duration::from_millis(20)),
                Err(source) => {
                    return Err(LabError::Io { what: format!("QEMU of box {name} does not answer"), source });
                }
            }
        };
        let reader = BufReader::new(stream.try_clone().doing(|| "a socket cannot be shared".into())?);
        let (answers, receiver) = channel();
        thread::spawn(move || {
            for line in reader.lines().map_while(std::io::Result::ok) {
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(event) = message.get("event").and_then(Value::as_str) {
                    happened(event, &message["data"]);
                } else if message.get("QMP").is_none() && answers.send(message).is_err() {
                    break;
                }
            }
        });
        let qmp = Self { name, line: Mutex::new((stream, receiver)) };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Carries out one command.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |said: String| LabError::Qmp { name: self.name, command: command.into(), said };
        let request = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        line.0.write_all(request.as_bytes()).map_err(|error| refused(error.to_string()))?;
        let mut answer = line.1.recv_timeout(ANSWER_MAX).map_err(|_| refused("nothing".into()))?;
        match answer["error"]["desc"].as_str() {
            Some(said) => Err(refused(said.into())),
            None => Ok(answer["return"].take()),
        }
    }
}
