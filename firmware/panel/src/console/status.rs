//! The status page.

use admin::table::{cut, span};
use admin::{Language, phases, text as words};
use control::cluster::{Group, Medium, Status};
use control::init::{Service, ServiceState};

use crate::canvas::{Canvas, ROWS, Style};
use crate::known::Known;
use crate::text::Text;

/// Where values begin.
const VALUE: usize = 13;
/// Rows for alarms; what is more is counted.
const ALARM_ROWS: usize = 4;

/// Draws the status page.
pub fn draw(known: &Known, logged_in: bool, language: Language) -> Canvas {
    let mut page = Page { canvas: Canvas::default(), row: 0, language };
    if let Some(status) = &known.status {
        page.all(status, known);
    } else {
        page.canvas.bar(0, "Twinmail");
        let text = if known.cluster_silent { Text::ClusterSilent } else { Text::Starting };
        page.canvas.put(2, 1, text.get(language), Style::Bold);
    }
    let mut bar = Text::BarStatus.get(language).to_owned();
    if logged_in {
        bar = format!("{bar}   {}", Text::BarLoggedIn.get(language));
    }
    page.canvas.bar(ROWS - 1, &bar);
    page.canvas
}

struct Page {
    canvas: Canvas,
    row: usize,
    language: Language,
}

impl Page {
    fn all(&mut self, status: &Status, known: &Known) {
        let language = self.language;
        let role = status.groups.first().map_or("", |group| words::role(group.role, language));
        let up = Text::Up.fill(language, &[&span(status.uptime_ms)]);
        let title = format!("Twinmail {}   {}   {role}   {up}", status.version, status.box_name);
        self.canvas.bar(0, &title);
        self.row = 2;
        let mut here = format!("{} ({}), {role}", status.box_name, status.node);
        if status.maintenance {
            here = format!("{here}, {}", Text::Maintenance.get(language));
        }
        self.line(Text::ThisBox, &here);
        self.line(Text::OtherBox, &admin::peer(&status.peer, language));
        let mut takeovers = vec![(&status.box_name, &status.readiness)];
        takeovers.extend(status.peer_readiness.as_ref().map(|said| (&status.peer.box_name, said)));
        for (name, said) in takeovers {
            if let Some(line) = admin::readiness(said, language) {
                self.line(Text::Takeover, &format!("{name}: {line}"));
            }
        }
        if let Some(group) = status.groups.first() {
            self.group(group);
        }
        for group in status.groups.iter().skip(1) {
            self.line(Text::Group, &self.group_in_short(group));
        }
        self.row += 1;
        for (at, medium) in status.media.iter().take(3).enumerate() {
            let label = if at == 0 { Text::Media.get(language) } else { "" };
            self.labelled(label, &self.medium(medium), Style::Plain);
        }
        let services: Vec<_> = status.services.iter().map(|service| self.service(service)).collect();
        self.line(Text::Services, &services.join(", "));
        self.row += 1;
        self.takeover(status.groups.first());
        self.row += 1;
        self.alarms(status, known);
    }

    /// What this box does for a group, and who shall own it.
    fn group_in_short(&self, group: &Group) -> String {
        let language = self.language;
        let mut text = format!(
            "{}: {}, {}",
            group.name,
            words::role(group.role, language),
            Text::Epoch.fill(language, &[&group.epoch])
        );
        if let Some(step) = &group.step {
            text = format!("{text}, {step}");
        }
        if let Some(owner) = &group.preferred {
            text = format!("{text}, {}", Text::Preferred.fill(language, &[owner]));
        }
        if group.fail_back {
            text = format!("{text}, {}", Text::FailBack.get(language));
        }
        text
    }

    fn group(&mut self, group: &Group) {
        let language = self.language;
        let text = self.group_in_short(group);
        self.line(Text::Group, &text);
        let mut holder = match group.holder_age_ms {
            None => Text::HolderUnread.get(language).to_owned(),
            Some(age_ms) => {
                let name = words::holder(&group.holder, language);
                Text::HolderSeen.fill(language, &[&name, &span(age_ms)])
            }
        };
        if let Some(left_ms) = group.lease_left_ms {
            holder = format!("{holder}, {}", Text::Lease.fill(language, &[&span(left_ms)]));
        }
        self.line(Text::Holder, &holder);
        let answered = if group.addresses_here { Text::Here } else { Text::NotHere };
        let addresses = format!("{} ({})", group.addresses.join(" "), answered.get(language));
        self.line(Text::Addresses, &addresses);
    }

    fn medium(&self, medium: &Medium) -> String {
        let language = self.language;
        let state = words::medium_state(medium.state, language);
        let heard = match medium.age_ms {
            Some(age_ms) => Text::MediumLine.fill(language, &[&span(age_ms), &medium.good, &medium.bad]),
            None => Text::Never.get(language).to_owned(),
        };
        let name = padded(words::medium(&medium.name, language), 12);
        let fault = medium
            .fault
            .as_ref()
            .map(|fault| format!("; {}", admin::sentence(fault, language)))
            .unwrap_or_default();
        format!("{name}{}{heard}{fault}", padded(state, 7))
    }

    fn service(&self, service: &Service) -> String {
        let mut text = format!("{} {}", service.name, words::service_state(service.state, self.language));
        if service.restarts > 0 {
            text = format!("{text} ({})", Text::Restarted.fill(self.language, &[&service.restarts]));
        }
        if service.state == ServiceState::Failed { format!("!{text}") } else { text }
    }

    fn takeover(&mut self, group: Option<&Group>) {
        let language = self.language;
        let Some(take) = group.and_then(|group| group.last_takeover.as_ref()) else {
            self.line(Text::LastTake, Text::NoTake.get(language));
            return;
        };
        let line = Text::TakeLine.fill(language, &[&take.epoch, &take.detect_ms, &take.total_ms]);
        self.line(Text::LastTake, &line);
        self.labelled("", &admin::sentence(&take.cause, language), Style::Plain);
        self.labelled("", &phases(&take.phases), Style::Plain);
    }

    fn alarms(&mut self, status: &Status, known: &Known) {
        let language = self.language;
        let own = [
            known.cluster_silent.then(|| Text::ClusterSilent.get(language).to_owned()),
            known.lcd_absent.then(|| Text::LcdAbsent.get(language).to_owned()),
        ];
        let theirs = status
            .alarms
            .iter()
            .map(|alarm| format!("{} ({})", admin::sentence(&alarm.text, language), span(alarm.since_ms)));
        let alarms: Vec<_> = own.into_iter().flatten().chain(theirs).collect();
        if alarms.is_empty() {
            self.line(Text::Alarms, Text::NoAlarms.get(language));
        }
        let shown = if alarms.len() > ALARM_ROWS { ALARM_ROWS - 1 } else { alarms.len() };
        for (at, alarm) in alarms.iter().take(shown).enumerate() {
            let label = if at == 0 { Text::Alarms.get(language) } else { "" };
            self.labelled(label, alarm, Style::Bold);
        }
        if alarms.len() > shown {
            let more = Text::MoreAlarms.fill(language, &[&(alarms.len() - shown)]);
            self.labelled("", &more, Style::Bold);
        }
    }

    fn line(&mut self, label: Text, value: &str) {
        self.labelled(label.get(self.language), value, Style::Plain);
    }

    fn labelled(&mut self, label: &str, value: &str, style: Style) {
        // The last row is the bar's.
        if self.row < ROWS - 1 {
            self.canvas.put(self.row, 1, cut(label, VALUE - 2), Style::Plain);
            self.canvas.put(self.row, VALUE, value, style);
        }
        self.row += 1;
    }
}

fn padded(text: &str, columns: usize) -> String {
    let width = unicode_width::UnicodeWidthStr::width(text);
    format!("{text}{}", " ".repeat(columns.saturating_sub(width).max(1)))
}
