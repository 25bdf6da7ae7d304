//! The status report for people.

use control::cluster::{Alarm, Group, Lun, LunContent, Peer, Status};
use control::telling::Readiness;

use crate::answer::{phases, services_table};
use crate::language::Language;
use crate::table::{Table, printable, span};
use crate::text::{self, Text};

/// The whole status as lines.
pub fn report(status: &Status, language: Language) -> String {
    let mut table = Table::plain();
    let version = printable(&status.version);
    let mut here = format!(
        "{} ({}), {}",
        status.box_name,
        status.node,
        Text::Version.fill(language, &[&version, &span(status.uptime_ms)])
    );
    if status.maintenance {
        here = format!("{here}, {}", Text::InMaintenance.get(language));
    }
    table.row([Text::ThisBox.get(language).to_owned(), here]);
    table.row([Text::OtherBox.get(language).to_owned(), peer(&status.peer, language)]);
    let takeovers = [
        (&status.box_name, Some(&status.readiness)),
        (&status.peer.box_name, status.peer_readiness.as_ref()),
    ];
    for (name, said) in takeovers {
        if let Some(line) = said.and_then(|said| readiness(said, language)) {
            table.row([Text::Takeover.get(language).to_owned(), format!("{}: {line}", printable(name))]);
        }
    }
    for group in &status.groups {
        group_rows(group, &mut table, language);
    }
    let timing = &status.timing;
    let values: [&dyn std::fmt::Display; 4] =
        [&timing.beat_ms, &timing.lease_ms, &timing.watchdog_ms, &timing.dead_time_ms];
    table.row([Text::Timing.get(language).to_owned(), Text::TimingLine.fill(language, &values)]);
    let parts = [
        table.lines(),
        media(status, language),
        services_table(&status.services, language).lines(),
        alarms(&status.alarms, language),
    ];
    parts.join("\n")
}

/// The other box in a few words.
pub fn peer(peer: &Peer, language: Language) -> String {
    if peer.box_name.is_empty() {
        return Text::NotJoined.get(language).to_owned();
    }
    let state = match (&peer.not_ready_reason, peer.alive, peer.ready) {
        (_, false, _) => Text::PeerSilent.get(language).to_owned(),
        (Some(reason), true, false) => {
            Text::PeerNotReady.fill(language, &[&text::sentence(&printable(reason), language)])
        }
        (None, true, false) => Text::PeerNotReady.fill(language, &[&"?"]),
        (_, true, true) => Text::PeerReady.get(language).to_owned(),
    };
    format!("{}: {state}", printable(&peer.box_name))
}

/// What a box says of a takeover by itself; none while it does not rehearse.
pub fn readiness(readiness: &Readiness, language: Language) -> Option<String> {
    if !readiness.rehearsed {
        return None;
    }
    Some(match (readiness.obstacle(), readiness.estimate_ms) {
        (Some(check), _) => Text::TakeoverBad.fill(language, &[&text::sentence(&check.found, language)]),
        (None, Some(ms)) => {
            Text::TakeoverGood.fill(language, &[&format!("{}.{}", ms / 1000, ms % 1000 / 100)])
        }
        (None, None) => Text::TakeoverUnmeasured.get(language).to_owned(),
    })
}

/// The service groups alone.
pub fn groups(groups: &[Group], language: Language) -> String {
    let mut table = Table::plain();
    for group in groups {
        group_rows(group, &mut table, language);
    }
    table.lines()
}

/// The LUNs a box sees, and what is on each.
pub fn lun_table(luns: &[Lun], language: Language) -> Table {
    let headings = [Text::LunHeading, Text::SizeHeading, Text::ContentHeading];
    let mut table = Table::new(&headings.map(|text| text.get(language)));
    for lun in luns {
        let content = match &lun.content {
            LunContent::Blank => Text::LunBlank.get(language).to_owned(),
            LunContent::Twinmail { pair } => Text::LunOurs.fill(language, &[pair]),
            LunContent::Foreign { what } => Text::LunForeign.fill(language, &[what]),
            LunContent::Unreadable { reason } => Text::LunUnreadable.fill(language, &[reason]),
        };
        table.row([lun.id.clone(), format!("{} MiB", lun.size_bytes >> 20), content]);
    }
    table
}

fn group_rows(group: &Group, table: &mut Table, language: Language) {
    let mut state = format!(
        "{}: {}, {}",
        group.name,
        text::role(group.role, language),
        Text::Epoch.fill(language, &[&group.epoch])
    );
    if let Some(step) = &group.step {
        state = format!("{state}, {step}");
    }
    table.row([Text::Group.get(language).to_owned(), state]);
    table.row([Text::Holder.get(language).to_owned(), holder(group, language)]);
    let answered = if group.addresses_here { Text::Here } else { Text::NotHere };
    let addresses = format!("{} ({})", group.addresses.join(" "), answered.get(language));
    table.row([Text::Addresses.get(language).to_owned(), addresses]);
    let mut preferred =
        group.preferred.clone().unwrap_or_else(|| Text::NoPreference.get(language).to_owned());
    if group.fail_back {
        preferred = format!("{preferred}, {}", Text::FailBack.get(language));
    }
    table.row([Text::Preferred.get(language).to_owned(), preferred]);
    if let Some(take) = &group.last_takeover {
        let values: [&dyn std::fmt::Display; 3] =
            [&text::sentence(&take.cause, language), &take.detect_ms, &take.total_ms];
        let line = format!(
            "{}, {}",
            Text::Epoch.fill(language, &[&take.epoch]),
            Text::TakeLine.fill(language, &values)
        );
        table.row([Text::LastTake.get(language).to_owned(), line]);
        table.row([String::new(), phases(&take.phases)]);
    }
}

fn holder(group: &Group, language: Language) -> String {
    let Some(age_ms) = group.holder_age_ms else { return Text::HolderUnread.get(language).to_owned() };
    let name = text::holder(&group.holder, language);
    let seen = Text::HolderSeen.fill(language, &[&name, &span(age_ms)]);
    match group.lease_left_ms {
        Some(left_ms) => format!("{seen}, {}", Text::Lease.fill(language, &[&span(left_ms)])),
        None => seen,
    }
}

fn media(status: &Status, language: Language) -> String {
    let headings = [Text::Medium, Text::State, Text::Age, Text::Good, Text::Bad, Text::Fault];
    let headings: Vec<_> = headings.iter().map(|text| text.get(language)).collect();
    let mut table = Table::new(&headings);
    for medium in &status.media {
        table.row([
            text::medium(&medium.name, language).to_owned(),
            text::medium_state(medium.state, language).to_owned(),
            medium.age_ms.map_or_else(|| Text::Never.get(language).to_owned(), span),
            medium.good.to_string(),
            medium.bad.to_string(),
            text::sentence(&medium.fault.clone().unwrap_or_default(), language),
        ]);
    }
    table.lines()
}

/// The alarms there are.
pub fn alarms(alarms: &[Alarm], language: Language) -> String {
    let heading = Text::Alarms.get(language);
    if alarms.is_empty() {
        return format!("{heading}: {}\n", Text::NoAlarms.get(language));
    }
    let mut table = Table::plain();
    for alarm in alarms {
        let since = Text::Since.fill(language, &[&span(alarm.since_ms)]);
        table.row([format!("  {}", alarm.code), since, text::sentence(&alarm.text, language)]);
    }
    format!("{heading}:\n{}", table.lines())
}
