//! The serial console: which screen is on, and what keys and news do to it.
//!
//! Pure: keys, news and the time go in; bytes for the terminal and actions for others come out. First
//! set-up, the log-in and the command prompt are running text, so that programs can drive them; status,
//! menu, log and questions are pages of 80 by 24.

mod login;
mod menu;
mod prompt;
mod status;
mod view;

use std::collections::VecDeque;

use admin::Language;
use control::cluster::SetupState;

use crate::action::Action;
use crate::canvas::{Canvas, LEAVE_PAGES};
use crate::deed::Deed;
use crate::keys::Key;
use crate::known::{Known, News};
use crate::line::{Line, Typed};
use crate::text::Text;
use crate::wizard::Wizard;
use login::Login;
use menu::Item;
use prompt::Prompt;
use view::View;

pub use view::LINES_MAX as VIEW_LINES_MAX;

/// Keys typed while a command runs are kept, up to so many.
const TYPED_AHEAD_MAX: usize = 1_024;
/// An open log is fetched again this often.
const VIEW_REFRESH_MS: u64 = 2_000;
/// Name in the prompt of a box that does not know its own.
const NAMELESS: &str = "twinmail";

/// What comes after the log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Prompt,
    Confirm(Deed),
}

/// Which text a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Log,
    Records,
}

#[derive(Debug)]
enum Screen {
    Status,
    Menu(usize),
    Confirm(Deed),
    Doing,
    Notice(String),
    View { topic: Topic, view: View, fetch_ms: u64, asked: bool },
    Wizard(Box<Wizard>),
    Password { next: Next, line: Line, checking: bool },
    Prompt,
    NewPassword { words: Vec<String>, first: Option<String>, line: Line },
    Running,
}

/// The serial console.
#[derive(Debug)]
pub struct Console {
    language: Language,
    known: Known,
    screen: Screen,
    login: Login,
    prompt: Prompt,
    typed_ahead: VecDeque<Key>,
    /// Running text for the terminal.
    text: String,
    /// The page on the terminal; none while running text is, or where it is not known.
    shown: Option<Canvas>,
    actions: VecDeque<Action>,
    /// When the last key came.
    key_ms: u64,
}

impl Console {
    /// A console that waits for the first news.
    pub fn new(language: Language) -> Self {
        Self {
            language,
            known: Known::default(),
            screen: Screen::Status,
            login: Login::default(),
            prompt: Prompt::default(),
            typed_ahead: VecDeque::new(),
            text: String::new(),
            shown: None,
            actions: VecDeque::new(),
            key_ms: 0,
        }
    }

    /// The language of the screens.
    pub fn language(&self) -> Language {
        match &self.screen {
            Screen::Wizard(wizard) => wizard.language(),
            _ => self.language,
        }
    }

    /// What is to be done next by others.
    pub fn take_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes for the terminal. Pages are drawn only where `ready` says that everything given before
    /// is on its way: a slow line then skips pages instead of lagging behind.
    pub fn take_output(&mut self, ready: bool) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.text);
        if ready && let Some(page) = self.page() {
            match &self.shown {
                Some(shown) => out.push_str(&page.draw_over(shown)),
                None => out.push_str(&page.draw()),
            }
            self.shown = Some(page);
        }
        out.into_bytes()
    }

    /// Whether what waits for the line may be dropped for the next page. Set-up is read to its end.
    pub fn may_skip(&self) -> bool {
        !matches!(self.screen, Screen::Wizard(_))
    }

    /// Something given to the line was dropped: what the terminal shows is not known.
    pub fn skipped(&mut self) {
        self.shown = None;
    }

    /// The terminal's line was lost and is back: nobody stays logged in, everything is drawn again.
    pub fn reopened(&mut self) {
        self.login.leave();
        self.prompt = Prompt::default();
        self.typed_ahead.clear();
        if let Screen::Wizard(wizard) = &mut self.screen {
            wizard.ask_again();
            self.fetch_wizard();
        } else {
            self.show_page(Screen::Status);
        }
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, now_ms: u64) {
        self.login.stir(now_ms);
        self.key_ms = now_ms;
        if matches!(self.screen, Screen::Wizard(_)) {
            if let Screen::Wizard(wizard) = &mut self.screen {
                wizard.key(key, now_ms);
            }
            self.fetch_wizard();
        } else if key == Key::Control('l') {
            self.redraw();
        } else {
            self.screen_key(key, now_ms);
        }
    }

    fn screen_key(&mut self, key: Key, now_ms: u64) {
        match &mut self.screen {
            Screen::Status => match key {
                Key::Char(':') => self.command(),
                Key::Enter | Key::Char('l' | 'm') => self.screen = Screen::Menu(0),
                _ => self.shown = None,
            },
            Screen::Menu(selected) => {
                let selected = *selected;
                self.menu_key(key, selected, now_ms);
            }
            Screen::Confirm(deed) => {
                let deed = *deed;
                match key {
                    Key::Char('y' | 'Y') => {
                        self.screen = Screen::Doing;
                        self.actions.push_back(Action::Deed(deed));
                    }
                    Key::Char(_) | Key::Escape | Key::Control('c') => self.screen = Screen::Status,
                    _ => {}
                }
            }
            Screen::Doing if !key.leaves() => {}
            Screen::Doing => self.screen = Screen::Status,
            Screen::Notice(_) => {
                self.screen = Screen::Status;
                if key == Key::Char(':') {
                    self.command();
                }
            }
            Screen::View { view, .. } => match key {
                Key::Char('q') => self.screen = Screen::Status,
                key if key.leaves() => self.screen = Screen::Status,
                key => view.key(key),
            },
            Screen::Wizard(_) => {}
            Screen::Password { checking: true, .. } => self.keep(key),
            Screen::Running if !key.leaves() => self.keep(key),
            Screen::Running => {
                self.typed_ahead.clear();
                self.show_page(Screen::Status);
            }
            _ if key.leaves() => {
                self.prompt.clear();
                self.show_page(Screen::Status);
            }
            Screen::Password { .. } => self.password_key(key, now_ms),
            Screen::Prompt => self.prompt_key(key),
            Screen::NewPassword { .. } => self.new_password_key(key),
        }
    }

    /// Takes what the services say.
    pub fn news(&mut self, news: &News, now_ms: u64) {
        self.known.learn(news);
        if let News::Setup(state) = news
            && !matches!(state, SetupState::Complete { .. })
            && !matches!(self.screen, Screen::Wizard(_))
        {
            self.login.leave();
            self.show_text(Screen::Wizard(Box::default()));
        }
        if let Screen::Wizard(wizard) = &mut self.screen {
            wizard.news(news, now_ms);
            self.fetch_wizard();
            return;
        }
        match news {
            News::Verified(result) => self.verified(result, now_ms),
            News::Printed(output) if matches!(self.screen, Screen::Running) => {
                self.login.stir(now_ms);
                self.key_ms = now_ms;
                let output = String::from_utf8_lossy(output);
                self.say(&output);
                self.show_prompt();
                self.type_kept(now_ms);
            }
            News::DeedDone(result) if matches!(self.screen, Screen::Doing) => {
                let sentence = match result {
                    Ok(()) => Text::Done.get(self.language).to_owned(),
                    Err(reason) => format!("{}{reason}", Text::Error.get(self.language)),
                };
                self.screen = Screen::Notice(sentence);
            }
            News::Log(lines) => {
                let text = lines.as_ref().map(|lines| lines.iter().map(admin::log_line).collect());
                self.fill_view(Topic::Log, text);
            }
            News::Records(records) => {
                let text = records.as_ref().map(|records| admin::record_lines(records, self.language));
                self.fill_view(Topic::Records, text);
            }
            _ => {}
        }
    }

    /// Lets the time go on.
    pub fn tick(&mut self, now_ms: u64) {
        if let Screen::Wizard(wizard) = &mut self.screen {
            wizard.tick(now_ms);
            let (over, language) = (wizard.is_over(now_ms), wizard.language());
            self.fetch_wizard();
            if over {
                self.language = language;
                self.show_page(Screen::Status);
            }
            return;
        }
        if let Screen::View { topic, fetch_ms, asked, .. } = &mut self.screen
            && !*asked
            && now_ms >= *fetch_ms + VIEW_REFRESH_MS
        {
            *fetch_ms = now_ms;
            *asked = true;
            let action = if *topic == Topic::Log { Action::Log } else { Action::Records };
            self.actions.push_back(action);
        }
        if matches!(self.screen, Screen::Running) {
            return;
        }
        if self.login.tick(now_ms) {
            self.prompt = Prompt::default();
            let minutes = login::IDLE_MS / 60_000;
            self.show_page(Screen::Notice(Text::IdleLogOut.fill(self.language, &[&minutes])));
        } else if !matches!(self.screen, Screen::Status) && now_ms >= self.key_ms + login::IDLE_MS {
            // What everybody should see when nobody is there is the status.
            self.show_page(Screen::Status);
        }
    }

    fn page(&self) -> Option<Canvas> {
        let (known, language) = (&self.known, self.language);
        Some(match &self.screen {
            Screen::Status => status::draw(known, self.login.is_in(), language),
            Screen::Menu(selected) => menu::draw(known, *selected, self.login.is_in(), language),
            Screen::Confirm(deed) => menu::draw_confirm(known, *deed, language),
            Screen::Doing => menu::draw_notice(known, Text::Working.get(language), Text::BackBar, language),
            Screen::Notice(sentence) => menu::draw_notice(known, sentence, Text::AnyKey, language),
            Screen::View { topic, view, .. } => {
                let title = if *topic == Topic::Log { Text::MenuLog } else { Text::MenuRecords };
                view.draw(title, known, language)
            }
            Screen::Wizard(_)
            | Screen::Password { .. }
            | Screen::Prompt
            | Screen::NewPassword { .. }
            | Screen::Running => return None,
        })
    }

    fn show_page(&mut self, screen: Screen) {
        self.screen = screen;
        self.shown = None;
    }

    /// From a page to running text: a clear screen first.
    fn show_text(&mut self, screen: Screen) {
        if self.page().is_some() {
            self.text.push_str(LEAVE_PAGES);
            self.shown = None;
        }
        self.screen = screen;
    }

    fn redraw(&mut self) {
        self.shown = None;
        match &self.screen {
            Screen::Prompt => {
                let shown = self.prompt.shown().to_owned();
                self.prompt_text();
                self.text.push_str(&shown);
            }
            Screen::Password { checking: false, .. } => self.say(&format!("\n{}", self.password_text())),
            _ => {}
        }
    }

    /// Running text, with what would steer the terminal left out.
    fn say(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' => self.text.push_str("\r\n"),
                '\t' => self.text.push_str("    "),
                '\x08' => self.text.push(c),
                c if c.is_control() => {}
                c => self.text.push(c),
            }
        }
    }

    fn complain(&mut self, reason: &str) {
        let error = Text::Error.get(self.language);
        self.say(&format!("{error}{reason}\n"));
    }

    fn fetch_wizard(&mut self) {
        let Screen::Wizard(wizard) = &mut self.screen else { return };
        let text = wizard.take_output();
        while let Some(action) = wizard.take_action() {
            self.actions.push_back(action);
        }
        self.say(&text);
    }

    fn keep(&mut self, key: Key) {
        if self.typed_ahead.len() < TYPED_AHEAD_MAX {
            self.typed_ahead.push_back(key);
        }
    }

    /// Types what was kept, up to the next command.
    fn type_kept(&mut self, now_ms: u64) {
        while !matches!(self.screen, Screen::Running | Screen::Password { checking: true, .. })
            && let Some(key) = self.typed_ahead.pop_front()
        {
            self.key(key, now_ms);
        }
    }

    fn menu_key(&mut self, key: Key, selected: usize, now_ms: u64) {
        let items = menu::items(&self.known, self.login.is_in());
        let count = items.len().max(1);
        let chosen = match key {
            Key::Up => {
                self.screen = Screen::Menu((selected + count - 1) % count);
                return;
            }
            Key::Down => {
                self.screen = Screen::Menu((selected + 1) % count);
                return;
            }
            Key::Enter => items.get(selected),
            Key::Char(c) => c.to_digit(10).and_then(|number| items.get((number as usize).checked_sub(1)?)),
            key if key.leaves() => {
                self.screen = Screen::Status;
                return;
            }
            _ => return,
        };
        if let Some(item) = chosen {
            self.choose(*item, now_ms);
        }
    }

    fn choose(&mut self, item: Item, now_ms: u64) {
        match item {
            Item::Deed(deed) if self.login.is_in() => self.screen = Screen::Confirm(deed),
            Item::Deed(deed) => self.ask_password(Next::Confirm(deed)),
            Item::Log => self.open_view(Topic::Log, now_ms),
            Item::Records => self.open_view(Topic::Records, now_ms),
            Item::Commands => self.command(),
            Item::Language => {
                self.language = match self.language {
                    Language::En => Language::Zh,
                    Language::Zh => Language::En,
                };
            }
            Item::LogOut => {
                self.log_out();
            }
        }
    }

    fn log_out(&mut self) {
        self.login.leave();
        self.prompt = Prompt::default();
        self.show_page(Screen::Status);
    }

    fn open_view(&mut self, topic: Topic, now_ms: u64) {
        let action = if topic == Topic::Log { Action::Log } else { Action::Records };
        self.actions.push_back(action);
        self.screen = Screen::View { topic, view: View::new(), fetch_ms: now_ms, asked: true };
    }

    fn fill_view(&mut self, wanted: Topic, text: Result<String, &String>) {
        if let Screen::View { topic, view, asked, .. } = &mut self.screen
            && *topic == wanted
        {
            *asked = false;
            match text {
                Ok(text) => view.fill(&text),
                Err(reason) => view.fill(&format!("{}{reason}", Text::Error.get(self.language))),
            }
        }
    }

    fn command(&mut self) {
        if self.login.is_in() {
            self.enter_prompt();
        } else {
            self.ask_password(Next::Prompt);
        }
    }

    fn enter_prompt(&mut self) {
        self.show_text(Screen::Prompt);
        self.prompt.clear();
        let intro = format!("{}\n", Text::PromptIntro.get(self.language));
        self.say(&intro);
        self.prompt_text();
    }

    fn show_prompt(&mut self) {
        self.screen = Screen::Prompt;
        self.prompt_text();
    }

    fn prompt_text(&mut self) {
        let name = if self.known.box_name().is_empty() { NAMELESS } else { self.known.box_name() };
        let prompt = format!("\n{name}> ");
        self.say(&prompt);
    }

    fn password_text(&self) -> &'static str {
        Text::Password.get(self.language)
    }

    fn ask_password(&mut self, next: Next) {
        self.show_text(Screen::Password { next, line: Line::secret(), checking: false });
        let intro = Text::LoginIntro.fill(self.language, &[&env!("CARGO_PKG_VERSION")]);
        self.say(&format!("{intro}\n\n{}", self.password_text()));
    }

    fn password_key(&mut self, key: Key, now_ms: u64) {
        let Screen::Password { line, checking, .. } = &mut self.screen else { return };
        let Typed::Entered(password) = line.key(key) else { return };
        let wait_s = self.login.wait_s(now_ms);
        *checking = wait_s.is_none() && !password.is_empty();
        let asks_again = !*checking;
        self.say("\n");
        if let Some(wait_s) = wait_s {
            let reason = Text::LoginPaced.fill(self.language, &[&wait_s]);
            self.complain(&reason);
        }
        if asks_again {
            self.say(self.password_text());
        } else {
            self.actions.push_back(Action::Verify(password));
        }
    }

    fn verified(&mut self, result: &Result<bool, String>, now_ms: u64) {
        let Screen::Password { next, checking, .. } = &mut self.screen else { return };
        if !*checking {
            return;
        }
        *checking = false;
        let next = *next;
        match result {
            Ok(true) => {
                self.login.enter(now_ms);
                match next {
                    Next::Prompt => self.enter_prompt(),
                    Next::Confirm(deed) => self.show_page(Screen::Confirm(deed)),
                }
            }
            Ok(false) => {
                self.login.refuse(now_ms);
                self.complain(Text::WrongPassword.get(self.language));
                self.say(self.password_text());
            }
            Err(reason) => {
                self.complain(reason);
                self.say(self.password_text());
            }
        }
        self.type_kept(now_ms);
    }

    fn prompt_key(&mut self, key: Key) {
        if key == Key::Control('d') && self.prompt.is_empty() {
            self.log_out();
            return;
        }
        match self.prompt.key(key) {
            Typed::Echo(echo) => self.say(&echo),
            Typed::Entered(line) => {
                self.say("\n");
                self.entered(&line);
            }
        }
    }

    fn entered(&mut self, line: &str) {
        let Some(words) = prompt::words(line) else {
            self.complain(Text::Quotes.get(self.language));
            self.prompt_text();
            return;
        };
        match words.first().map(String::as_str) {
            None => self.prompt_text(),
            Some("exit" | "quit" | "logout") if words.len() == 1 => self.log_out(),
            Some(_) if admin::wants_password(&words) => {
                self.screen = Screen::NewPassword { words, first: None, line: Line::secret() };
                self.say(Text::NewPassword.get(self.language));
            }
            Some(_) => self.run(words, None),
        }
    }

    fn run(&mut self, words: Vec<String>, password: Option<String>) {
        self.screen = Screen::Running;
        self.actions.push_back(Action::Run { words, password, language: self.language });
    }

    fn new_password_key(&mut self, key: Key) {
        let Screen::NewPassword { words, first, line } = &mut self.screen else { return };
        let Typed::Entered(typed) = line.key(key) else { return };
        match first.take() {
            None => {
                *first = Some(typed);
                self.say("\n");
                self.say(Text::PasswordAgain.get(self.language));
            }
            Some(first) if first == typed => {
                let words = std::mem::take(words);
                self.say("\n");
                self.run(words, Some(first));
            }
            Some(_) => {
                self.say("\n");
                self.complain(Text::PasswordsDiffer.get(self.language));
                self.show_prompt();
            }
        }
    }
}

#[cfg(test)]
mod tests;
