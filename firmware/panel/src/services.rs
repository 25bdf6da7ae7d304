//! Asks the services of the box, off the console's thread: one that hangs must not freeze it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use admin::{Language, Sockets};
use control::cluster::{Reply, Request, Setup, SetupState};
use control::{init, wire};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::pipe::PipeFlags;
use settings::SettingsFile;

use crate::action::Action;
use crate::console::VIEW_LINES_MAX;
use crate::deed::{Deed, DeedRequest};
use crate::known::News;
use crate::text::Text;

/// Between two looks at the status.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while set-up is under way.
const LOOK_SETUP: Duration = Duration::from_millis(300);
/// What an answer to the panel's own questions may take.
const ANSWER: Duration = Duration::from_secs(3);
/// What looking at the array may take: a dead path has its own time-outs.
const LUNS: Duration = Duration::from_mins(1);
/// What a change may take.
const CHANGE: Duration = Duration::from_secs(30);
/// Most errands at once.
const ERRANDS_MAX: usize = 8;
/// Most reports that wait to be fetched.
const REPORTS_MAX: usize = 64;
/// Decisions fetched for their view.
const RECORDS_MAX: usize = 500;

/// Something for the console's thread.
#[derive(Debug)]
pub enum Report {
    /// From the regular look at the cluster service.
    Look(News),
    /// The end of an errand of the console.
    Errand(News),
    /// The end of a deed from the LCD.
    LcdDeed(Result<(), String>),
}

/// Sends reports to the console's thread and wakes it.
#[derive(Debug, Clone)]
struct Post {
    reports: SyncSender<Report>,
    bell: Arc<OwnedFd>,
}

impl Post {
    fn send(&self, report: Report) -> bool {
        let sent = self.reports.send(report).is_ok();
        // A full pipe rings already.
        let _rung = rustix::io::write(&*self.bell, &[0]);
        sent
    }
}

/// The services of the box, as the panel uses them.
#[derive(Debug)]
pub struct Services {
    sockets: Sockets,
    settings: Option<SettingsFile>,
    post: Post,
    reports: Receiver<Report>,
    bell: OwnedFd,
    errands: usize,
    command_runs: bool,
}

impl Services {
    /// The services that listen in `run_dir`, watched from now on.
    pub fn watch(run_dir: PathBuf, settings: Option<SettingsFile>) -> std::io::Result<Self> {
        let (bell, ring) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let (sender, reports) = sync_channel(REPORTS_MAX);
        let post = Post { reports: sender, bell: Arc::new(ring) };
        let sockets = Sockets::in_dir(&run_dir);
        let (watched, watch_post) = (sockets.clone(), post.clone());
        thread::Builder::new().name("watch".to_owned()).spawn(move || watch(&watched, &watch_post))?;
        Ok(Self { sockets, settings, post, reports, bell, errands: 0, command_runs: false })
    }

    /// Readable when a report waits.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The language of the box, once it has settings.
    pub fn language(&self) -> Option<Language> {
        let loaded = self.settings.as_ref()?.load();
        loaded.ok().flatten().map(|settings| settings.language)
    }

    /// The next report.
    pub fn take(&mut self) -> Option<Report> {
        let mut rung = [0; REPORTS_MAX];
        let _silenced = rustix::io::read(&self.bell, &mut rung);
        let report = self.reports.try_recv().ok()?;
        if !matches!(report, Report::Look(_)) {
            self.errands = self.errands.saturating_sub(1);
        }
        if matches!(report, Report::Errand(News::Printed(_))) {
            self.command_runs = false;
        }
        Some(report)
    }

    /// Carries an action out elsewhere; where that is impossible the refusal comes at once.
    pub fn start(&mut self, action: Action, language: Language) -> Option<News> {
        let runs = matches!(action, Action::Run { .. });
        if runs && self.command_runs {
            return Some(refusal(&action, Text::StillBusy.get(language)));
        }
        let (sockets, settings) = (self.sockets.clone(), self.settings.clone());
        let errand = action.clone();
        let work = move || Report::Errand(carry_out(errand, &sockets, settings.as_ref()));
        if !self.spawn(work) {
            return Some(refusal(&action, Text::TooBusy.get(language)));
        }
        self.command_runs |= runs;
        None
    }

    /// Does what was confirmed on the LCD.
    pub fn start_lcd_deed(&mut self, deed: Deed) -> Result<(), String> {
        let sockets = self.sockets.clone();
        let started = self.spawn(move || Report::LcdDeed(do_deed(deed, &sockets)));
        if started { Ok(()) } else { Err("busy".to_owned()) }
    }

    fn spawn(&mut self, work: impl FnOnce() -> Report + Send + 'static) -> bool {
        if self.errands >= ERRANDS_MAX {
            return false;
        }
        let post = self.post.clone();
        let spawned = thread::Builder::new().name("errand".to_owned()).spawn(move || post.send(work()));
        self.errands += usize::from(spawned.is_ok());
        spawned.is_ok()
    }
}

fn watch(sockets: &Sockets, post: &Post) {
    let mut complete = false;
    loop {
        let news = look(sockets, &mut complete);
        let pause = if matches!(news, News::Setup(_)) { LOOK_SETUP } else { LOOK };
        if !post.send(Report::Look(news)) {
            return;
        }
        thread::sleep(pause);
    }
}

/// Asks for the set-up until it is complete, then for the status.
fn look(sockets: &Sockets, complete: &mut bool) -> News {
    let ask = |request: &Request| wire::call::<_, Reply>(&sockets.cluster, request, ANSWER);
    if !*complete {
        match ask(&Request::Setup(Setup::State)) {
            Ok(Reply::Setup(SetupState::Complete { .. })) => *complete = true,
            Ok(Reply::Setup(state)) => return News::Setup(state),
            Ok(_) => {}
            Err(_) => return News::ClusterSilent,
        }
    }
    match ask(&Request::Status) {
        Ok(Reply::Status(status)) => News::Status(status),
        // Between set-up and its first decision the service has no status yet; and one that was started anew
        // may have lost its settings.
        Ok(_) if *complete => match ask(&Request::Setup(Setup::State)) {
            Ok(Reply::Setup(state)) => {
                *complete = matches!(state, SetupState::Complete { .. });
                News::Setup(state)
            }
            _ => News::Setup(SetupState::Complete { paired: false }),
        },
        Ok(_) | Err(_) => {
            *complete = false;
            News::ClusterSilent
        }
    }
}

fn carry_out(action: Action, sockets: &Sockets, settings: Option<&SettingsFile>) -> News {
    match action {
        Action::Luns => News::Luns(match ask_cluster(sockets, &Request::Setup(Setup::Luns), LUNS) {
            Ok(Reply::Luns(luns)) => Ok(luns),
            other => Err(not_that(other)),
        }),
        Action::First(answers) => {
            News::SetupTaken(done(ask_cluster(sockets, &Request::Setup(Setup::First(*answers)), CHANGE)))
        }
        Action::Join(answers) => {
            News::SetupTaken(done(ask_cluster(sockets, &Request::Setup(Setup::Join(answers)), CHANGE)))
        }
        Action::Verify(password) => News::Verified(verify(&password, settings)),
        Action::Run { words, password, language } => {
            let mut output = Vec::new();
            let _code = admin::run_as(&words, sockets, language, password, &mut output);
            News::Printed(output)
        }
        Action::Log => {
            let request = init::Request::Log { after: 0, lines_max: VIEW_LINES_MAX };
            News::Log(match wire::call(&sockets.init, &request, ANSWER) {
                Ok(init::Reply::Log(lines)) => Ok(lines),
                Ok(init::Reply::Refused(reason)) => Err(reason),
                Ok(_) => Err("init gave an answer of another kind".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        }
        Action::Records => {
            let request = Request::Records { records_max: RECORDS_MAX };
            News::Records(match ask_cluster(sockets, &request, ANSWER) {
                Ok(Reply::Records(records)) => Ok(records),
                other => Err(not_that(other)),
            })
        }
        Action::Deed(deed) => News::DeedDone(do_deed(deed, sockets)),
    }
}

/// The news of an action that was not even begun.
fn refusal(action: &Action, reason: &str) -> News {
    let reason = reason.to_owned();
    match action {
        Action::Luns => News::Luns(Err(reason)),
        Action::First(_) | Action::Join(_) => News::SetupTaken(Err(reason)),
        Action::Verify(_) => News::Verified(Err(reason)),
        Action::Run { language, .. } => {
            News::Printed(format!("{}{reason}\n", Text::Error.get(*language)).into_bytes())
        }
        Action::Log => News::Log(Err(reason)),
        Action::Records => News::Records(Err(reason)),
        Action::Deed(_) => News::DeedDone(Err(reason)),
    }
}

fn do_deed(deed: Deed, sockets: &Sockets) -> Result<(), String> {
    match deed.request() {
        DeedRequest::Cluster(request) => done(ask_cluster(sockets, &request, CHANGE)),
        DeedRequest::Init(request) => match wire::call(&sockets.init, &request, CHANGE) {
            Ok(init::Reply::Done) => Ok(()),
            Ok(init::Reply::Refused(reason)) => Err(reason),
            Ok(_) => Err("init gave an answer of another kind".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn ask_cluster(sockets: &Sockets, request: &Request, timeout: Duration) -> Result<Reply, String> {
    wire::call(&sockets.cluster, request, timeout).map_err(|error| error.to_string())
}

fn done(reply: Result<Reply, String>) -> Result<(), String> {
    match reply {
        Ok(Reply::Done) => Ok(()),
        other => Err(not_that(other)),
    }
}

fn not_that(reply: Result<Reply, String>) -> String {
    match reply {
        Ok(Reply::Refused(reason)) | Err(reason) => reason,
        Ok(_) => "the cluster service gave an answer of another kind".to_owned(),
    }
}

fn verify(password: &str, settings: Option<&SettingsFile>) -> Result<bool, String> {
    let file = settings.ok_or("the system partition was not found; the password cannot be checked")?;
    let settings = file.load().map_err(|error| error.to_string())?;
    let settings = settings.ok_or("this box has no settings yet")?;
    Ok(settings::verify_password(password, &settings.password_hash))
}
