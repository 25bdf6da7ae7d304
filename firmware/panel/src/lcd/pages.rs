//! The pages of the LCD and its menu.
//!
//! The glass has no Chinese letters in its character generator, so it speaks English whatever the
//! box's language is. Keys: up and down turn pages, the tick opens the menu, the cross goes back.

use admin::table::span;
use control::cluster::{Alarm, Group, MediumState, Role, SetupState, Status};

use super::{Face, Lamp, LcdKey};
use crate::deed::Deed;
use crate::known::Known;

/// How long each of several things stands in one place.
const ROTATE_MS: u64 = 3_000;
/// Windows of the home page on a glass of two rows: address, peer, alarms.
const HOME_WINDOWS: u64 = 3;
/// How long a result stays.
const NOTE_MS: u64 = 5_000;
/// Without a key for so long, the home page comes back.
const IDLE_MS: u64 = 60_000;

const MENU: [Deed; 3] = [Deed::SwitchOver, Deed::PowerOff, Deed::Restart];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Home,
    Addresses,
    Media,
    Takeover,
    Alarms,
}

const PAGES: [Page; 5] = [Page::Home, Page::Addresses, Page::Media, Page::Takeover, Page::Alarms];

#[derive(Debug, Clone, PartialEq, Eq)]
enum View {
    Page(usize),
    Menu(usize),
    Confirm(Deed),
    Note { text: String, until_ms: u64 },
}

/// What the glass shows and what its keys do.
#[derive(Debug)]
pub struct Glass {
    columns: usize,
    rows: usize,
    view: View,
    key_ms: u64,
}

impl Glass {
    /// A glass of this size.
    pub fn new(columns: u8, rows: u8) -> Self {
        Self { columns: columns.into(), rows: rows.into(), view: View::Page(0), key_ms: 0 }
    }

    /// Takes a key; gives what was confirmed.
    pub fn key(&mut self, key: LcdKey, known: &Known, now_ms: u64) -> Option<Deed> {
        self.key_ms = now_ms;
        if known.status.is_none() {
            self.view = View::Page(0);
            return None;
        }
        let (view, deed) = match (&self.view, key) {
            (View::Page(page), LcdKey::Down | LcdKey::Right) => (View::Page((page + 1) % PAGES.len()), None),
            (View::Page(page), LcdKey::Up | LcdKey::Left) => {
                (View::Page((page + PAGES.len() - 1) % PAGES.len()), None)
            }
            (View::Page(_), LcdKey::Enter) => (View::Menu(0), None),
            (View::Menu(item), LcdKey::Down | LcdKey::Right) => (View::Menu((item + 1) % MENU.len()), None),
            (View::Menu(item), LcdKey::Up | LcdKey::Left) => {
                (View::Menu((item + MENU.len() - 1) % MENU.len()), None)
            }
            (View::Menu(item), LcdKey::Enter) => {
                (View::Confirm(MENU.get(*item).copied().unwrap_or(Deed::SwitchOver)), None)
            }
            (View::Confirm(deed), LcdKey::Enter) => {
                let text = "Asked, please wait".to_owned();
                (View::Note { text, until_ms: now_ms + NOTE_MS }, Some(*deed))
            }
            (View::Confirm(_), LcdKey::Escape) => (View::Menu(0), None),
            (View::Confirm(deed), _) => (View::Confirm(*deed), None),
            (View::Page(_) | View::Menu(_) | View::Note { .. }, _) => (View::Page(0), None),
        };
        self.view = view;
        deed
    }

    /// Shows what became of a deed.
    pub fn note(&mut self, result: &Result<(), String>, now_ms: u64) {
        let text = result.as_ref().map_or_else(|reason| format!("Refused: {reason}"), |()| "Done".to_owned());
        self.view = View::Note { text, until_ms: now_ms + NOTE_MS };
    }

    /// Lets the time go on: back to the home page after a while.
    pub fn tick(&mut self, now_ms: u64) {
        let over = match &self.view {
            View::Note { until_ms, .. } => now_ms >= *until_ms,
            View::Page(0) => false,
            View::Page(_) | View::Menu(_) | View::Confirm(_) => now_ms >= self.key_ms + IDLE_MS,
        };
        if over {
            self.view = View::Page(0);
        }
    }

    /// What the front shows now.
    pub fn face(&self, known: &Known, now_ms: u64) -> Face {
        let lines = match (&known.status, &self.view) {
            (_, View::Note { text, .. }) => wrap(text, self.columns),
            (None, _) => waiting(known, self.columns),
            (Some(_), View::Menu(item)) => self.menu(*item),
            (Some(_), View::Confirm(deed)) => self.confirm(*deed, known),
            (Some(status), View::Page(page)) => {
                self.page(PAGES.get(*page).copied().unwrap_or(Page::Home), status, known, now_ms)
            }
        };
        // What does not fit at once comes in turn.
        let windows = lines.len().div_ceil(self.rows.max(1)).max(1);
        let window = (now_ms / ROTATE_MS) as usize % windows;
        let rows = lines.into_iter().skip(window * self.rows).take(self.rows);
        Face { rows: rows.map(|row| fit(&row, self.columns)).collect(), lamps: lamps(known) }
    }

    fn page(&self, page: Page, status: &Status, known: &Known, now_ms: u64) -> Vec<String> {
        match page {
            Page::Home => self.home(status, known, now_ms),
            Page::Addresses => of_each_group(status, addresses),
            Page::Media => status.media.iter().map(|m| medium_line(&m.name, m.state, m.age_ms)).collect(),
            Page::Takeover => of_each_group(status, |group| takeover(group, self.columns)),
            Page::Alarms => {
                let alarms = all_alarms(status, known);
                if alarms.is_empty() {
                    return vec!["No alarms".to_owned()];
                }
                alarms.iter().flat_map(|alarm| wrap(&format!("! {alarm}"), self.columns)).collect()
            }
        }
    }

    /// Name and role first; on a glass of two rows the rest takes turns in the second. Several groups
    /// take turns, each with its number before its role.
    fn home(&self, status: &Status, known: &Known, now_ms: u64) -> Vec<String> {
        let count = status.groups.len();
        // On two rows every window is of the same group, so they turn when all of it was shown.
        let windows = if self.rows >= 4 { 1 } else { HOME_WINDOWS };
        let turn = (now_ms / (ROTATE_MS * windows)) as usize % count.max(1);
        let group = status.groups.get(turn);
        let role = group.map_or("NO GROUP", |group| role_word(group.role));
        let role = match (known.cluster_silent, count) {
            (true, _) => "NO CLUSTER".to_owned(),
            (false, 0 | 1) => role.to_owned(),
            (false, _) => format!("{} {role}", turn + 1),
        };
        let head = apart(&status.box_name, &role, self.columns);
        let address = group.and_then(|group| group.addresses.first());
        let address = address.map_or("", |address| address.split('/').next().unwrap_or_default());
        let epoch = group.map(|group| format!("ep {}", group.epoch)).unwrap_or_default();
        let peer = apart(&peer_words(status), &epoch, self.columns);
        let rest = [address.to_owned(), peer, self.alarm_row(status, known, now_ms)];
        if self.rows >= 4 {
            return [head].into_iter().chain(rest).collect();
        }
        // Each window has the head, so that it always stands.
        rest.into_iter().flat_map(|row| [head.clone(), row]).collect()
    }

    fn alarm_row(&self, status: &Status, known: &Known, now_ms: u64) -> String {
        let alarms = all_alarms(status, known);
        let turn = (now_ms / ROTATE_MS) as usize;
        match alarms.get(turn % alarms.len().max(1)) {
            Some(alarm) => fit(&format!("! {alarm}"), self.columns),
            None if status.maintenance => "In maintenance".to_owned(),
            None => takeover_words(status).unwrap_or_else(|| "All is well".to_owned()),
        }
    }

    fn menu(&self, selected: usize) -> Vec<String> {
        let line = |(at, deed): (usize, &Deed)| {
            format!("{} {}", if at == selected { '>' } else { ' ' }, deed_word(*deed))
        };
        let first = selected.saturating_sub(self.rows.saturating_sub(1));
        MENU.iter().enumerate().skip(first).take(self.rows).map(line).collect()
    }

    fn confirm(&self, deed: Deed, known: &Known) -> Vec<String> {
        let question = match deed {
            Deed::SwitchOver => format!("To {}?", known.switch_over_to().unwrap_or("other box")),
            _ => format!("{}?", deed_word(deed)),
        };
        let mut lines = vec![question, "ENTER yes   ESC no".to_owned()];
        if self.rows >= 4 {
            lines.insert(0, deed_word(deed).to_owned());
            lines.insert(2, String::new());
        }
        lines.into_iter().map(|line| fit(&line, self.columns)).collect()
    }
}

fn waiting(known: &Known, columns: usize) -> Vec<String> {
    let text = match (&known.setup, known.cluster_silent) {
        (_, true) => "Twinmail: cluster service not running",
        (Some(SetupState::Damaged { .. }), false) => {
            "Twinmail: settings lost. Use the serial console, 115200 8N1"
        }
        (Some(_), false) => "Twinmail: not set up. Use the serial console, 115200 8N1",
        (None, false) => "Twinmail is starting",
    };
    wrap(text, columns)
}

/// What `show` says of each group, under its name where there are several.
fn of_each_group(status: &Status, show: impl Fn(&Group) -> Vec<String>) -> Vec<String> {
    if status.groups.is_empty() {
        return vec!["No service group".to_owned()];
    }
    let several = status.groups.len() > 1;
    let named = |group: &Group| several.then(|| format!("[{}]", group.name)).into_iter().chain(show(group));
    status.groups.iter().flat_map(|group| named(group).collect::<Vec<_>>()).collect()
}

fn addresses(group: &Group) -> Vec<String> {
    let title = if group.addresses_here { "Answered here:" } else { "Not answered here:" };
    [title.to_owned()].into_iter().chain(group.addresses.iter().cloned()).collect()
}

fn takeover(group: &Group, columns: usize) -> Vec<String> {
    let Some(take) = &group.last_takeover else { return vec!["No take by this box".to_owned()] };
    let mut lines = vec![
        apart("Last take", &format!("ep {}", take.epoch), columns),
        apart(&format!("{} ms", take.total_ms), &format!("+{} ms", take.detect_ms), columns),
    ];
    lines.extend(wrap(&take.cause, columns));
    lines.extend(take.phases.iter().map(|phase| apart(&phase.step, &format!("{} ms", phase.ms), columns)));
    lines
}

/// Whether the standby of the two would succeed, and in about how many seconds.
fn takeover_words(status: &Status) -> Option<String> {
    let said = status.peer_readiness.as_ref().filter(|said| said.rehearsed).unwrap_or(&status.readiness);
    let estimate = said.estimate_ms.filter(|_| said.rehearsed && said.would_succeed)?;
    Some(format!("All is well, {} s", estimate.div_ceil(1_000)))
}

fn medium_line(name: &str, state: MediumState, age_ms: Option<u64>) -> String {
    let state = match state {
        MediumState::Fresh => "ok",
        MediumState::Late => "late",
        MediumState::Lost => "LOST",
        MediumState::Idle => "idle",
    };
    format!("{name:<8}{state:<5}{}", age_ms.map_or_else(|| "never".to_owned(), span))
}

fn peer_words(status: &Status) -> String {
    let peer = &status.peer;
    if peer.box_name.is_empty() {
        return "No other box".to_owned();
    }
    let state = match (peer.alive, peer.ready) {
        (false, _) => "silent",
        (true, true) => "ok",
        (true, false) => "not ready",
    };
    format!("{} {state}", peer.box_name)
}

/// Alarm texts, the LCD's own included for the time it comes back.
fn all_alarms(status: &Status, known: &Known) -> Vec<String> {
    let text = |alarm: &Alarm| if alarm.text.is_empty() { alarm.code.clone() } else { alarm.text.clone() };
    let silent = known.cluster_silent.then(|| "cluster service not running".to_owned());
    silent.into_iter().chain(status.alarms.iter().map(text)).collect()
}

fn lamps(known: &Known) -> [Lamp; 4] {
    let Some(status) = &known.status else { return [Lamp::AMBER, Lamp::OFF, Lamp::OFF, Lamp::OFF] };
    let is_any = |roles: &[Role]| status.groups.iter().any(|group| roles.contains(&group.role));
    let role = if known.cluster_silent || status.groups.is_empty() || is_any(&[Role::Undecided, Role::Fenced])
    {
        Lamp::RED
    } else if is_any(&[Role::Active]) {
        Lamp::GREEN
    } else {
        Lamp::AMBER
    };
    let alarms = if status.alarms.is_empty() { Lamp::OFF } else { Lamp::AMBER };
    let peer = match (status.peer.box_name.is_empty(), status.peer.alive, status.peer.ready) {
        (true, ..) => Lamp::OFF,
        (false, false, _) => Lamp::RED,
        (false, true, false) => Lamp::AMBER,
        (false, true, true) => Lamp::GREEN,
    };
    let here = status.groups.iter().any(|group| group.addresses_here);
    [role, alarms, peer, if here { Lamp::GREEN } else { Lamp::OFF }]
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Starting => "STARTING",
        Role::Standby => "STANDBY",
        Role::Taking => "TAKING",
        Role::Active => "ACTIVE",
        Role::Releasing => "RELEASING",
        Role::Undecided => "UNDECIDED",
        Role::Fenced => "FENCED",
        Role::Maintenance => "MAINT",
    }
}

fn deed_word(deed: Deed) -> &'static str {
    match deed {
        Deed::SwitchOver => "Switch over",
        Deed::PowerOff => "Power off",
        Deed::Restart => "Restart",
        Deed::Maintenance(true) => "Maintenance on",
        Deed::Maintenance(false) => "Maintenance off",
    }
}

/// Two words at both ends of a row; the right one is kept whole.
fn apart(left: &str, right: &str, columns: usize) -> String {
    let room = columns.saturating_sub(right.chars().count() + 1);
    let left: String = left.chars().take(room).collect();
    let gap = columns.saturating_sub(left.chars().count() + right.chars().count());
    format!("{left}{}{right}", " ".repeat(gap))
}

fn fit(text: &str, columns: usize) -> String {
    let kept: String = text.chars().take(columns).collect();
    kept.trim_end().to_owned()
}

/// Words on rows; a word longer than a row is cut.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().take(columns).collect();
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= columns => {
                row.push(' ');
                row.push_str(&word);
            }
            _ => rows.push(word),
        }
    }
    rows
}
