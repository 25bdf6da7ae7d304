//! First set-up at the console: six questions for the first box, two for the second.
//!
//! Plain prompts at the beginning of a line, each ending in `: `, so that a person at any terminal and
//! a program at the other end of the line can answer. In English they are exactly (with the suggested
//! answer in brackets where there is one, taken by Return):
//!
//! ```text
//! Language / 语言 (1 English, 2 中文):             one key, no Return
//!
//! [1/6] Box name [twinmail-a]:
//! [2/6] Public address:                            address/prefix, several with blanks
//! [2/6] Gateway [10.77.0.1]:                       or none
//! [2/6] Name server [10.77.0.1]:                   or none
//! [3/6] Virtual address:                           address/prefix, several with blanks
//! [4/6] LUN [1]:                                   number in the list, or the LUN's id
//! [4/6] LUN (none usable, Enter looks again):
//! [4/6] Type FORMAT to format it:                  only for a blank LUN
//! [4/6] Take it over with the mail on it (yes or no) [no]:    only for a Twinmail LUN
//! [5/6] Mail domain:
//! [6/6] Administrator's password:                  not echoed
//! [6/6] Password again:                            not echoed
//! Apply these settings, or 1 to 6 to change an answer [yes]:
//!
//! [1/2] Box name [twinmail-b]:                     second box; both suggested by the first
//! [2/2] Public address [10.77.0.12/24]:
//! Join the pair, or 1 to 2 to change an answer [yes]:
//!
//! Working: STEP                                    one line for each step
//! Set-up is complete.                              then the status page comes
//! error: SENTENCE                                  and the question is asked again
//! ```
//!
//! `back` (or `<`) goes one question back. `join` leaves the first box's questions for the second's
//! where a configured box is heard on the serial cable, `first` the other way round. Ctrl-C and Escape
//! start again with the language; the answers so far become the suggestions.

mod answers;
mod progress;
mod question;
mod text;

use std::collections::VecDeque;

use admin::Language;
use control::cluster::{Interface, Lun, SetupState};

use crate::action::Action;
use crate::keys::Key;
use crate::known::News;
use crate::line::{Line, Typed};
use answers::Answers;
use progress::Progress;
use text::{LANGUAGE_PROMPT, Text};

/// The last lines stay so long before the status page comes.
const FAREWELL_MS: u64 = 1_500;

/// Where set-up is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Language,
    Name,
    Public,
    Gateway,
    NameServer,
    Virtual,
    LunSearch,
    Lun,
    Format(Lun),
    Keep(Lun),
    Domain,
    Password,
    PasswordAgain(String),
    Apply,
    JoinName,
    JoinPublic,
    JoinApply,
    Working(Progress),
    Finished { since_ms: u64 },
}

/// A configured box on the serial cable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    by: String,
    name: String,
    public: Interface,
}

/// First set-up of a box.
#[derive(Debug)]
pub struct Wizard {
    language: Language,
    step: Step,
    line: Line,
    answers: Answers,
    offer: Option<Offer>,
    luns: Vec<Lun>,
    /// One answer is being changed; the summary comes next.
    correcting: bool,
    /// Why the last try failed, until it was said.
    failure: Option<String>,
    /// Why the box has lost its settings, where it had some.
    damage: Option<String>,
    output: String,
    actions: VecDeque<Action>,
}

impl Default for Wizard {
    fn default() -> Self {
        Self::new()
    }
}

impl Wizard {
    /// Begins with the language.
    pub fn new() -> Self {
        let mut wizard = Self {
            language: Language::En,
            step: Step::Language,
            line: Line::new(),
            answers: Answers::default(),
            offer: None,
            luns: Vec::new(),
            correcting: false,
            failure: None,
            damage: None,
            output: String::new(),
            actions: VecDeque::new(),
        };
        wizard.begin();
        wizard
    }

    /// The language chosen.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What is to be written, lines ended by a line feed.
    pub fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// What is to be done next by others.
    pub fn take_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether all is done and was readable for a moment.
    pub fn is_over(&self, now_ms: u64) -> bool {
        matches!(self.step, Step::Finished { since_ms } if now_ms >= since_ms + FAREWELL_MS)
    }

    fn is_working(&self) -> bool {
        matches!(self.step, Step::Working(_) | Step::Finished { .. })
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, now_ms: u64) {
        if self.is_working() {
            return;
        }
        if key.leaves() {
            self.begin();
            return;
        }
        if key == Key::Control('l') {
            self.ask_again();
            return;
        }
        match &self.step {
            Step::Language => self.choose_language(key),
            Step::LunSearch => {}
            _ => match self.line.key(key) {
                Typed::Echo(echo) => self.output.push_str(&echo),
                Typed::Entered(answer) => {
                    self.output.push('\n');
                    self.answered(&answer, now_ms);
                }
            },
        }
    }

    /// Prints the question again, for a terminal that did not see it.
    pub fn ask_again(&mut self) {
        self.output.push('\n');
        self.ask();
    }

    /// Takes what the services say.
    pub fn news(&mut self, news: &News, now_ms: u64) {
        match news {
            News::Setup(state) => self.state(state, now_ms),
            News::Status(_) if !self.is_working() => self.finish(now_ms),
            News::Status(_) => self.progress(&SetupState::Complete { paired: true }, now_ms),
            News::ClusterSilent => {
                if let Step::Working(progress) = &mut self.step {
                    let step = Text::ClusterSilent.get(self.language);
                    self.output.extend(progress.says(step, self.language, now_ms));
                }
            }
            News::Luns(luns) if self.step == Step::LunSearch => self.luns_found(luns),
            News::SetupTaken(Ok(())) => {
                if let Step::Working(progress) = &mut self.step {
                    progress.taken(now_ms);
                }
            }
            News::SetupTaken(Err(reason)) => {
                if let Step::Working(progress) = &self.step {
                    let join = progress.join;
                    self.failed(reason, join);
                }
            }
            _ => {}
        }
    }

    /// Lets the time go on.
    pub fn tick(&mut self, now_ms: u64) {
        let Step::Working(progress) = &mut self.step else { return };
        let join = progress.join;
        match progress.tick(self.language, now_ms) {
            Ok(line) => self.output.extend(line),
            Err(reason) => self.failed(&reason, join),
        }
    }

    fn begin(&mut self) {
        self.step = Step::Language;
        self.line = Line::new();
        self.correcting = false;
        self.answers.password = None;
        self.output.push_str("\nTwinmail ");
        self.output.push_str(env!("CARGO_PKG_VERSION"));
        self.output.push_str("\n\n");
        if let Some(reason) = self.damage.clone() {
            self.complain(&reason);
        }
        self.output.push_str(LANGUAGE_PROMPT);
    }

    fn choose_language(&mut self, key: Key) {
        self.language = match key {
            Key::Char('1') => Language::En,
            Key::Char('2') => Language::Zh,
            _ => {
                self.output.push('\n');
                self.output.push_str(LANGUAGE_PROMPT);
                return;
            }
        };
        self.output.push_str(if self.language == Language::En { "1\n" } else { "2\n" });
        if let Some(reason) = self.failure.take() {
            self.complain(&reason);
        }
        if self.offer.is_some() { self.join() } else { self.first() }
    }

    fn first(&mut self) {
        self.correcting = false;
        self.output.push('\n');
        self.say(Text::Intro);
        self.go(Step::Name);
    }

    fn join(&mut self) {
        let Some(offer) = &self.offer else {
            let reason = Text::NoOffer.get(self.language);
            self.complain(reason);
            self.ask();
            return;
        };
        let intro = Text::JoinIntro.fill(self.language, &[&offer.by]);
        self.correcting = false;
        self.answers.public = offer.public.clone();
        self.answers.box_name = None;
        self.print(&["\n", &intro, "\n\n"]);
        self.go(Step::JoinName);
    }

    fn state(&mut self, state: &SetupState, now_ms: u64) {
        match state {
            SetupState::Offered { by, suggested_name, suggested_public } => {
                let offer =
                    Offer { by: by.clone(), name: suggested_name.clone(), public: suggested_public.clone() };
                self.offered(offer);
            }
            SetupState::Blank => self.offer = None,
            SetupState::Damaged { reason } => self.damaged(reason),
            SetupState::Failed { reason } if self.step == Step::Language => {
                self.failure = Some(reason.clone());
            }
            // The panel was restarted in the middle of set-up.
            SetupState::Working { .. } if self.step == Step::Language => {
                self.step = Step::Working(Progress::resumed(now_ms));
                self.output.push('\n');
            }
            SetupState::Complete { .. } if !self.is_working() => self.finish(now_ms),
            _ => {}
        }
        self.progress(state, now_ms);
    }

    /// The box had settings: that is said before the first question, once.
    fn damaged(&mut self, reason: &str) {
        self.offer = None;
        if self.step == Step::Language && self.damage.as_deref() != Some(reason) {
            self.damage = Some(reason.to_owned());
            self.begin();
        }
    }

    fn progress(&mut self, state: &SetupState, now_ms: u64) {
        let Step::Working(progress) = &mut self.step else { return };
        let join = progress.join;
        match state {
            SetupState::Working { step } => {
                progress.working(now_ms);
                self.output.extend(progress.says(step, self.language, now_ms));
            }
            SetupState::Failed { reason } if progress.believes_failure(now_ms) => self.failed(reason, join),
            SetupState::Complete { .. } => {
                self.say(Text::Complete);
                self.finish(now_ms);
            }
            SetupState::Blank
            | SetupState::Damaged { .. }
            | SetupState::Offered { .. }
            | SetupState::Failed { .. } => {}
        }
    }

    /// A box on the serial cable: before anything was typed this box is the second one; later the
    /// administrator decides.
    fn offered(&mut self, offer: Offer) {
        let known = self.offer.as_ref().is_some_and(|before| before.by == offer.by);
        let by = offer.by.clone();
        self.offer = Some(offer);
        let questions = !matches!(
            self.step,
            Step::Language
                | Step::JoinName
                | Step::JoinPublic
                | Step::JoinApply
                | Step::Working(_)
                | Step::Finished { .. }
        );
        if known || !questions {
            return;
        }
        self.output.push('\n');
        if self.step == Step::Name && self.line.text().is_empty() && !self.correcting {
            self.join();
        } else {
            let notice = Text::OfferNotice.fill(self.language, &[&by]);
            self.print(&[&notice, "\n"]);
            self.ask();
            self.output.push_str(self.line.shown());
        }
    }

    fn finish(&mut self, now_ms: u64) {
        self.answers = Answers::default();
        self.step = Step::Finished { since_ms: now_ms };
    }

    fn failed(&mut self, reason: &str, join: bool) {
        self.complain(reason);
        let ready = if join { self.answers.second_box().is_some() } else { self.may_apply() };
        match (ready, join) {
            (true, false) => self.go(Step::Apply),
            (true, true) => self.go(Step::JoinApply),
            (false, _) => self.begin(),
        }
    }

    fn may_apply(&self) -> bool {
        self.answers.first_box(self.language).is_some()
    }

    fn apply(&mut self, join: bool, now_ms: u64) {
        let action = if join {
            self.answers.second_box().map(Action::Join)
        } else {
            self.answers.first_box(self.language).map(|answers| Action::First(Box::new(answers)))
        };
        let Some(action) = action else {
            self.begin();
            return;
        };
        self.actions.push_back(action);
        let mut progress = Progress::asked(join, now_ms);
        self.output.extend(progress.says(Text::Asked.get(self.language), self.language, now_ms));
        self.step = Step::Working(progress);
    }

    fn print(&mut self, parts: &[&str]) {
        self.output.extend(parts.iter().copied());
    }

    fn say(&mut self, text: Text) {
        self.print(&[text.get(self.language), "\n"]);
    }

    fn complain(&mut self, reason: &str) {
        let line = format!("{}{}\n", Text::Error.get(self.language), admin::table::printable(reason.trim()));
        self.output.push_str(&line);
    }
}

#[cfg(test)]
mod tests;
