//! The command line's side: starts a lab's daemon, asks it, ends it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Doing, LabError, Result};
use crate::place::Place;
use crate::protocol::{Line, Plan, Reply, Request, ask};

/// The daemon makes its network and starts the array within this time.
const START_MAX: Duration = Duration::from_secs(30);
/// All processes are gone this long after the lab was told to end.
const END_MAX: Duration = Duration::from_secs(10);

/// A lab that ends when this does.
#[derive(Debug)]
pub struct Owner {
    place: Place,
    connection: Option<UnixStream>,
}

impl Owner {
    /// Starts the daemon; `program` is the lab's own binary.
    pub fn start(program: &Path, plan: &Plan, fresh: bool) -> Result<Self> {
        let place = Place::of(&plan.instance)?;
        if is_running(&place) {
            return Err(LabError::Refused(format!(
                "a lab called {} is running already; `cargo lab down` ends it",
                plan.instance
            )));
        }
        if fresh {
            place.wipe()?;
        }
        place.make()?;
        if !plan.image.join("disk.img").is_file() {
            return Err(LabError::NoImage { dir: plan.image.clone() });
        }
        let log = File::create(place.log()).doing(|| "the lab's log cannot be made".into())?;
        let again = log.try_clone().doing(|| "the lab's log cannot be shared".into())?;
        let mut daemon = Command::new(program)
            .arg("daemon")
            .arg(serde_json::to_string(plan)?)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .doing(|| format!("{} cannot be started", program.display()))?;
        let connection = wait_for_daemon(&place, &mut daemon)?;
        Ok(Self { place, connection: Some(connection) })
    }

    /// Lets the lab live on.
    pub fn keep(mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = connection.write_all(b"\n");
        }
    }

    /// Ends the lab and waits until it is gone.
    pub fn end(mut self) -> Result<()> {
        self.connection = None;
        wait_for_end(&self.place)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.connection.take().is_some() {
            let _ = wait_for_end(&self.place);
        }
    }
}

fn wait_for_daemon(place: &Place, daemon: &mut Child) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        if let Ok(mut line) = Line::open(place) {
            line.send(&Request::Own)?;
            let _: Reply = line.receive()?;
            return Ok(line.into_stream());
        }
        let ended = daemon.try_wait().doing(|| "the lab's daemon was lost".into())?;
        if ended.is_some() || began.elapsed() > START_MAX {
            let _ = daemon.kill();
            let _ = daemon.wait();
            let log = std::fs::read_to_string(place.log()).unwrap_or_default();
            let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            return Err(LabError::Refused(last.to_owned()));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a lab's daemon answers.
pub fn is_running(place: &Place) -> bool {
    Line::open(place).is_ok()
}

/// Ends a lab and waits until it is gone.
pub fn down(place: &Place) -> Result<()> {
    ask(place, &Request::Down)?;
    wait_for_end(place)
}

fn wait_for_end(place: &Place) -> Result<()> {
    let began = Instant::now();
    while place.pid_file().exists() {
        if began.elapsed() > END_MAX {
            let hint = format!(": see {}", place.log().display());
            return Err(LabError::TooLate { what: "the lab's end".into(), seconds: END_MAX.as_secs(), hint });
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Process id of a lab's first process.
pub fn first_process(place: &Place) -> Result<u32> {
    let text = std::fs::read_to_string(place.pid_file()).map_err(|_| LabError::NotRunning)?;
    text.trim().parse().map_err(|_| LabError::NotRunning)
}

/// Asks with progress on the terminal, a line a step; gives the value of the answer.
pub fn ask_aloud(place: &Place, request: &Request) -> Result<Value> {
    let reply = Line::open(place)?.ask(request, |text, ms| {
        println!("  {:>6.1} s  {text}", Duration::from_millis(ms).as_secs_f64());
    })?;
    match reply {
        Reply::Done(value) => Ok(value),
        other => Err(LabError::Refused(format!("the lab answered out of turn: {other:?}"))),
    }
}
