//! A box without settings, or one that has lost them: it answers the wizard, prepares the LUN as the first box of a pair, or joins
//! the first box over the serial cable. Once its settings are saved it ends, and init starts it anew
//! into operation.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use array::Content;
use board::Board;
use control::cluster::{FirstBox, Lun, LunContent, Reply, Request, SecondBox, Setup, SetupState};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select, tick};
use settings::{RecordError, SettingsFile};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::first_box;
use crate::pairing::Offer;
use crate::requests::{self, Asked};
use crate::second_box::{self, JoinCommand};

/// Most inputs that may wait.
const INPUTS_MAX: usize = 32;
/// How long the end waits, so that the wizard sees that set-up is complete.
const END_WAIT: Duration = Duration::from_millis(1_500);
/// How long it waits once the wizard has asked: the answer must get out.
const ANSWERED_WAIT: Duration = Duration::from_millis(500);
/// How long a list that would be empty waits for LUNs to show up.
const SHOW_UP_WAIT: Duration = Duration::from_secs(2);
const SHOW_UP_INTERVAL: Duration = Duration::from_millis(200);
/// How often settings that could not be read are read again: a disk may have answered wrongly once.
const READ_AGAIN: Duration = Duration::from_secs(3);
const NOT_SET_UP: &str = "this box is not set up yet; answer the questions on its console";
const BUSY: &str = "an answer is being carried out already; wait for its end";

/// Why set-up cannot run.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A thread or a socket could not be had.
    #[error("set-up cannot start: {0}")]
    System(#[from] io::Error),
    /// All threads are gone.
    #[error("set-up has ended unexpectedly")]
    Ended,
}

/// What reaches the set-up loop.
#[derive(Debug)]
pub enum SetupInput {
    /// A request over the control socket.
    Asked(Asked),
    /// What the box on the serial cable offers, whenever that changes.
    Offer(Option<Offer>),
    /// What is being done now, a sentence.
    Step(&'static str),
    /// The answer could not be carried out, a sentence.
    Failed(String),
    /// The settings are saved.
    Complete {
        /// Whether the other box has joined.
        paired: bool,
    },
}

/// Answers the wizard until this box has settings. `damage` is why the settings it had are lost.
pub fn run(board: &Board, file: &SettingsFile, damage: Option<&RecordError>) -> Result<(), SetupError> {
    match damage {
        None => info!("this box has no settings yet; set it up on its console, or join it to a pair"),
        Some(damage) => error!("{damage}"),
    }
    let (send, inputs) = bounded(INPUTS_MAX);
    let join = second_box::start(&board.serial, file.clone(), send.clone())?;
    requests::listen(Path::new(control::CLUSTER_SOCKET), send.clone(), SetupInput::Asked)?;
    let mut set_up = SetUp {
        board: board.clone(),
        file: file.clone(),
        damage: damage.map(ToString::to_string),
        offer: None,
        progress: Progress::Idle,
        join,
        inputs: send,
    };
    set_up.run(&inputs)
}

/// How far the last answer has come.
#[derive(Debug, Clone)]
enum Progress {
    Idle,
    Working(&'static str),
    Failed(String),
    Complete { paired: bool },
}

struct SetUp {
    board: Board,
    file: SettingsFile,
    /// Why the settings it had are lost.
    damage: Option<String>,
    offer: Option<Offer>,
    progress: Progress,
    join: Sender<JoinCommand>,
    inputs: Sender<SetupInput>,
}

impl SetUp {
    fn run(&mut self, inputs: &Receiver<SetupInput>) -> Result<(), SetupError> {
        let read_again = if self.damage.is_some() { tick(READ_AGAIN) } else { never() };
        while !matches!(self.progress, Progress::Complete { .. }) {
            select! {
                recv(inputs) -> input => self.handle(input.map_err(|_| SetupError::Ended)?),
                recv(read_again) -> _ => if self.is_readable_again() {
                    info!("the settings can be read again; the box goes into operation");
                    return Ok(());
                },
            }
        }
        let mut end = Instant::now() + END_WAIT;
        loop {
            match inputs.recv_deadline(end) {
                Ok(input @ SetupInput::Asked(_)) => {
                    self.handle(input);
                    end = end.min(Instant::now() + ANSWERED_WAIT);
                }
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(SetupError::Ended),
            }
        }
    }

    /// Whether lost settings are there again; not while an answer is being carried out.
    fn is_readable_again(&self) -> bool {
        !matches!(self.progress, Progress::Working(_)) && matches!(self.file.load(), Ok(Some(_)))
    }

    fn handle(&mut self, input: SetupInput) {
        match input {
            SetupInput::Asked(Asked { request, answer }) => {
                if request == Request::Setup(Setup::Luns) {
                    return self.list_luns(answer);
                }
                // A caller that is gone needs no answer.
                let _ = answer.send(self.answer(request));
            }
            SetupInput::Offer(offer) => self.offer = offer,
            SetupInput::Step(step) => {
                info!("{step}");
                self.progress = Progress::Working(step);
            }
            SetupInput::Failed(reason) => {
                warn!("{reason}");
                self.progress = Progress::Failed(reason);
            }
            SetupInput::Complete { paired } => {
                info!("this box is set up; it goes into operation");
                self.progress = Progress::Complete { paired };
            }
        }
    }

    fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Setup(Setup::State) => Reply::Setup(self.state()),
            Request::Setup(Setup::First(first)) => self.unless_busy(|it| it.begin_first(first)),
            Request::Setup(Setup::Join(second)) => self.unless_busy(|it| it.begin_join(second)),
            // `Luns` is answered by a thread of its own.
            _ => Reply::Refused(NOT_SET_UP.to_owned()),
        }
    }

    fn state(&self) -> SetupState {
        match (&self.progress, &self.offer) {
            (Progress::Working(step), _) => SetupState::Working { step: (*step).to_owned() },
            (Progress::Failed(reason), _) => SetupState::Failed { reason: reason.clone() },
            (Progress::Complete { paired }, _) => SetupState::Complete { paired: *paired },
            (Progress::Idle, None) => match &self.damage {
                Some(reason) => SetupState::Damaged { reason: reason.clone() },
                None => SetupState::Blank,
            },
            (Progress::Idle, Some(offer)) => SetupState::Offered {
                by: offer.by.clone(),
                suggested_name: offer.name.clone(),
                suggested_public: offer.public.clone(),
            },
        }
    }

    fn unless_busy(&mut self, begin: impl FnOnce(&mut Self) -> Result<(), String>) -> Reply {
        if matches!(self.progress, Progress::Working(_) | Progress::Complete { .. }) {
            return Reply::Refused(BUSY.to_owned());
        }
        match begin(self) {
            Ok(()) => Reply::Done,
            Err(reason) => Reply::Refused(reason),
        }
    }

    fn begin_first(&mut self, first: FirstBox) -> Result<(), String> {
        let settings = first_box::settings_of(&first).map_err(|error| error.to_string())?;
        self.progress = Progress::Working(first_box::FIRST_STEP);
        let (inputs, file) = (self.inputs.clone(), self.file.clone());
        let driver = self.board.array.driver.clone();
        let work = move || {
            let mut tell = |step| drop(inputs.send(SetupInput::Step(step)));
            let end = match first_box::carry_out(settings, &first, &driver, &file, &mut tell) {
                Ok(()) => SetupInput::Complete { paired: false },
                Err(error) => SetupInput::Failed(error.to_string()),
            };
            let _ = inputs.send(end);
        };
        let begun = thread::Builder::new().name("first-box".to_owned()).spawn(work);
        begun.map(drop).map_err(|error| {
            self.progress = Progress::Idle;
            error.to_string()
        })
    }

    fn begin_join(&mut self, second: SecondBox) -> Result<(), String> {
        second_box::check(&second).map_err(|error| error.to_string())?;
        self.join.try_send(JoinCommand(second)).map_err(|_| BUSY.to_owned())?;
        self.progress = Progress::Working(second_box::FIRST_STEP);
        Ok(())
    }

    /// Asks every LUN for its name and content, on a thread of its own: the array may hang.
    fn list_luns(&self, answer: Sender<Reply>) {
        let driver = self.board.array.driver.clone();
        let work = move || {
            let luns = luns(&driver);
            let none = luns.is_empty();
            let _ = answer.send(Reply::Luns(luns));
            // It takes longer than a caller waits: the next list has what it finds.
            if none {
                array::rescan_hosts();
            }
        };
        if let Err(error) = thread::Builder::new().name("luns".to_owned()).spawn(work) {
            warn!("the LUNs cannot be listed: {error}");
        }
    }
}

/// All LUNs behind host adapters with the kernel driver `driver`; right after power-on they may take
/// a moment to show up.
fn discover(driver: &str) -> Vec<array::Lun> {
    let end = Instant::now() + SHOW_UP_WAIT;
    loop {
        let found = array::discover(Some(driver));
        if !found.is_empty() || Instant::now() >= end {
            return found;
        }
        thread::sleep(SHOW_UP_INTERVAL);
    }
}

/// The LUNs behind the board's host adapters, each once, with what is on them.
pub fn luns(driver: &str) -> Vec<Lun> {
    let mut found = discover(driver);
    found.dedup_by(|a, b| a.id == b.id);
    let lun = |lun: array::Lun| Lun {
        content: content_of(lun.content()),
        id: lun.id,
        device: lun.device.display().to_string(),
        model: lun.model,
        size_bytes: lun.size_bytes,
    };
    found.into_iter().map(lun).collect()
}

fn content_of(content: Content) -> LunContent {
    match content {
        Content::Blank => LunContent::Blank,
        Content::Twinmail(header) => LunContent::Twinmail { pair: format!("{:08x}", header.pair_id) },
        Content::Foreign { what } => LunContent::Foreign { what: what.to_owned() },
        Content::Unreadable { reason } => LunContent::Unreadable { reason },
    }
}
