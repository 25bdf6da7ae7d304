//! Answers, for machines and for people.

use std::collections::BTreeMap;

use control::cluster::{Alarm, Group, Lun, Phase, Record, Status};
use control::directory::Reply;
use control::fence::Shown;
use control::init::{LogLine, Service};
use control::mail::{CheckReport, Receiving, TextIndex};
use control::queue::{self as wire, DnsRecords};
use control::telling::{Operation, Telling};
use serde::Serialize;
use serde_json::json;

use crate::directory_answer;
use crate::fence;
use crate::language::Language;
use crate::queue;
use crate::status;
use crate::table::{Table, printable, span};
use crate::text::{self, Text};
use crate::words::Moment;

/// What a command found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done.
    Done,
    /// Everything the box knows.
    Status(Box<Status>),
    /// The service groups.
    ServiceGroups(Vec<Group>),
    /// The LUNs this box sees.
    Luns(Vec<Lun>),
    /// Decisions.
    Records(Vec<Record>),
    /// Log lines.
    Log(Vec<LogLine>),
    /// Services.
    Services(Vec<Service>),
    /// Domains, users, groups: all there is, or a piece of so many rows.
    Directory(Box<Reply>, Option<usize>),
    /// The outgoing queue.
    Queue(wire::Reply),
    /// What belongs into the DNS.
    Dns(DnsRecords),
    /// The mail service is serving.
    Healthy {
        /// Epoch it serves with.
        epoch: u32,
        /// Milliseconds since its start.
        uptime_ms: u64,
        /// Milliseconds a store transaction took just now.
        commit_ms: u64,
    },
    /// Numbers by name.
    Counters(BTreeMap<String, u64>),
    /// What a check of the store found.
    Check(CheckReport),
    /// How far the full-text index is.
    TextIndex(TextIndex),
    /// What is decided about those who bring mail.
    Receiving(Receiving),
    /// Whom the pair tells what, and the alarms there are where they were asked for.
    Telling(Box<Telling>, Option<Vec<Alarm>>),
    /// What is under way, or how the last operation ended.
    Operation(Operation),
    /// The boxes' management controllers.
    Fence(Vec<Shown>),
    /// What the clock says.
    Clock(Moment),
}

impl Answer {
    /// One line of JSON: the control types as they are, `{"done":true}` where there is nothing to tell.
    pub fn json(&self) -> String {
        match self {
            Self::Done => json!({ "done": true }).to_string(),
            Self::Status(status) => line(status),
            Self::ServiceGroups(groups) => line(groups),
            Self::Luns(luns) => line(luns),
            Self::Records(records) => line(records),
            Self::Log(lines) => line(lines),
            Self::Services(services) => line(services),
            Self::Directory(reply, _) => directory_answer::json(reply),
            Self::Queue(wire::Reply::Page(page)) => line(page),
            Self::Queue(wire::Reply::Item(item)) => line(item),
            Self::Queue(wire::Reply::Changed { recipients }) => {
                json!({ "recipients": recipients }).to_string()
            }
            Self::Dns(records) => line(records),
            Self::Healthy { epoch, uptime_ms, commit_ms } => {
                json!({ "epoch": epoch, "uptime_ms": uptime_ms, "commit_ms": commit_ms }).to_string()
            }
            Self::Counters(counters) => line(counters),
            Self::Check(report) => line(report),
            Self::TextIndex(index) => line(index),
            Self::Receiving(receiving) => line(receiving),
            Self::Telling(telling, None) => line(telling),
            Self::Telling(telling, Some(alarms)) => {
                json!({ "alarms": alarms, "telling": telling }).to_string()
            }
            Self::Operation(operation) => line(operation),
            Self::Fence(controllers) => line(controllers),
            Self::Clock(Moment { unix_ms }) => {
                json!({ "unix_ms": unix_ms, "utc": alarm::rfc3339(*unix_ms) }).to_string()
            }
        }
    }

    /// Lines for people, each ended by a line feed.
    pub fn human(&self, language: Language) -> String {
        match self {
            Self::Done => format!("{}\n", Text::Done.get(language)),
            Self::Status(status) => status::report(status, language),
            Self::ServiceGroups(groups) => status::groups(groups, language),
            Self::Luns(luns) => listed(luns, language, status::lun_table),
            Self::Records(records) => listed(records, language, record_table),
            Self::Log(lines) => lines.iter().map(log_line).collect(),
            Self::Services(services) => listed(services, language, services_table),
            Self::Directory(reply, piece) => {
                let text = directory_answer::human(reply, language);
                match (directory_answer::last_row(reply), piece) {
                    (Some((count, last)), Some(piece)) if count >= *piece => {
                        text + &Text::MoreRows.fill(language, &[&last]) + "\n"
                    }
                    _ => text,
                }
            }
            Self::Queue(wire::Reply::Page(page)) => queue::page(page, language),
            Self::Queue(wire::Reply::Item(item)) => queue::item(item, language),
            Self::Queue(wire::Reply::Changed { recipients }) => {
                Text::QueueChanged.fill(language, &[recipients]) + "\n"
            }
            Self::Dns(records) => queue::records(records, language),
            Self::Healthy { epoch, uptime_ms, commit_ms } => {
                Text::Healthy.fill(language, &[epoch, &span(*uptime_ms), commit_ms]) + "\n"
            }
            Self::Counters(counters) => counter_table(counters, language),
            Self::Check(report) => check_report(report, language),
            Self::TextIndex(index) => {
                let text = if index.kept { Text::TextIndexed } else { Text::TextNotKept };
                text.fill(language, &[&index.indexed, &index.of]) + "\n"
            }
            Self::Receiving(receiving) => receiving_lines(receiving),
            Self::Telling(telling, alarms) => {
                let alarms = alarms.as_ref().map(|alarms| status::alarms(alarms, language));
                alarms.unwrap_or_default() + &telling_lines(telling)
            }
            Self::Operation(operation) => operation_lines(operation, language),
            Self::Fence(controllers) => fence::table(controllers, language),
            Self::Clock(Moment { unix_ms }) => alarm::rfc3339(*unix_ms) + "\n",
        }
    }
}

fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string())
}

pub(crate) fn listed<T>(items: &[T], language: Language, table: fn(&[T], Language) -> Table) -> String {
    if items.is_empty() {
        return format!("{}\n", Text::Empty.get(language));
    }
    table(items, language).lines()
}

pub(crate) fn headings(texts: &[Text], language: Language) -> Table {
    let texts: Vec<_> = texts.iter().map(|text| text.get(language)).collect();
    Table::new(&texts)
}

/// One log line: number, seconds since boot, service, text.
pub fn log_line(line: &LogLine) -> String {
    let (s, ms) = (line.at_ms / 1000, line.at_ms % 1000);
    let (service, text) = (printable(&line.service), printable(&line.text));
    format!("{:>6} {s:>6}.{ms:03} {service:<8} {text}\n", line.number)
}

/// Phases as `fence 12 ms, prove 3 ms`.
pub fn phases(phases: &[Phase]) -> String {
    let parts: Vec<_> = phases.iter().map(|phase| format!("{} {} ms", phase.step, phase.ms)).collect();
    parts.join(", ")
}

/// Decisions as the command `records` prints them.
pub fn record_lines(records: &[Record], language: Language) -> String {
    listed(records, language, record_table)
}

fn record_table(records: &[Record], language: Language) -> Table {
    use Text as T;
    let columns = [T::Number, T::At, T::Box, T::Group, T::EpochHeading, T::Decision, T::Cause, T::Phases];
    let mut table = headings(&columns, language);
    for record in records {
        table.row([
            record.number.to_string(),
            alarm::rfc3339(record.unix_ms),
            record.box_name.clone(),
            record.group.clone(),
            record.epoch.to_string(),
            record.decision.clone(),
            text::sentence(&record.cause, language),
            phases(&record.phases),
        ]);
    }
    table
}

/// Services as a table.
pub fn services_table(services: &[Service], language: Language) -> Table {
    let columns = [Text::Service, Text::State, Text::Pid, Text::Restarts, Text::LastEnd];
    let mut table = headings(&columns, language);
    for service in services {
        table.row([
            service.name.clone(),
            text::service_state(service.state, language).to_owned(),
            service.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            service.restarts.to_string(),
            service.last_end.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn counter_table(counters: &BTreeMap<String, u64>, language: Language) -> String {
    let mut table = headings(&[Text::Counter, Text::Value], language);
    for (name, value) in counters {
        table.row([name.clone(), value.to_string()]);
    }
    table.lines()
}

/// The words of `receiving set`, which are the same in every language.
fn receiving_lines(receiving: &Receiving) -> String {
    let networks = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(",") };
    format!(
        "--proxy-from {}\n--lmtp-from {}\n--dmarc {}\n",
        networks(&receiving.proxy_from),
        networks(&receiving.lmtp_from),
        receiving.dmarc
    )
}

/// The words of `alarm set`, `metrics set` and `drill schedule`, which are the same in every language.
fn telling_lines(telling: &Telling) -> String {
    let list = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(",") };
    let (alarms, metrics) = (&telling.alarms, &telling.metrics);
    let drill = telling.drill.map_or_else(|| "off".to_owned(), |time| format!("{time} UTC"));
    format!(
        "alarm --mail {}\nalarm --syslog {}\nalarm --webhook {}\nmetrics --port {}\nmetrics --networks {}\n\
         drill schedule {drill}\n",
        list(&alarms.mail),
        list(&alarms.syslog),
        list(&alarms.webhook),
        metrics.port,
        list(&metrics.networks),
    )
}

fn operation_lines(operation: &Operation, language: Language) -> String {
    if operation.name.is_empty() {
        return Text::NoOperation.get(language).to_owned() + "\n";
    }
    let name = operation.name.replace('_', " ");
    let state = match (&operation.step, &operation.fault) {
        (Some(step), _) => Text::UnderWay.fill(language, &[step]),
        (None, Some(fault)) => Text::WentWrong.fill(language, &[&text::sentence(fault, language)]),
        (None, None) => Text::WentWell.get(language).to_owned(),
    };
    let mut lines = format!("{} {name}: {state}\n", alarm::rfc3339(operation.begun_unix_ms));
    for outage in &operation.outages {
        lines += &Text::ServedAgain.fill(language, &[&outage.to, &outage.ms]);
        lines.push('\n');
    }
    lines
}

fn check_report(report: &CheckReport, language: Language) -> String {
    let seen: [&dyn std::fmt::Display; 2] = [&report.messages, &report.bodies];
    if report.faults.is_empty() {
        return Text::CheckClean.fill(language, &seen) + "\n";
    }
    let faults = report.faults.iter().map(|fault| format!("{}\n", printable(fault)));
    faults.chain([Text::CheckSeen.fill(language, &seen) + "\n"]).collect()
}
