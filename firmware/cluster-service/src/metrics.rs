//! What the metrics show: the pair as this box sees it, its mail service, the box itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use control::cluster::{MediumState, Record, Role, Status};
use control::init::ServiceState;
use control::mail::Figures;

use crate::exposition::Kind::{Counter, Gauge};
use crate::exposition::{Exposition, ms_as_seconds};
use crate::mail_metrics::about_mail;

/// Everything a scrape shows.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The pair as this box sees it.
    pub status: &'a Status,
    /// Decisions of both boxes.
    pub records: &'a [Record],
    /// The mail services that run here, by the name of their group.
    pub mail: &'a [(&'static str, Figures)],
    /// Whether the other box's management controller answers; none where none is set.
    pub controller_answers: Option<bool>,
    /// The box itself.
    pub machine: &'a Machine,
}

/// The box itself, as its kernel tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Memory: whole and available, in bytes.
    pub memory_bytes: Option<(u64, u64)>,
    /// Temperatures by zone, in degrees Celsius.
    pub temperatures: Vec<(String, f64)>,
}

impl Machine {
    /// Reads /proc and /sys (proc(5), Documentation/driver-api/thermal).
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let load: Vec<f64> =
            text("proc/loadavg").split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
        let meminfo = text("proc/meminfo");
        let memory = |name: &str| -> Option<u64> {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        let zones = fs::read_dir(root.join("sys/class/thermal")).into_iter().flatten().flatten();
        let mut temperatures: Vec<_> = zones
            .filter_map(|zone| {
                let name = zone.file_name().to_str()?.to_owned();
                let value = fs::read_to_string(zone.path().join("temp")).ok()?;
                Some((name, value.trim().parse::<f64>().ok()? / 1e3))
            })
            .take(16)
            .collect();
        temperatures.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            load: load.try_into().ok(),
            memory_bytes: memory("MemTotal:").zip(memory("MemAvailable:")),
            temperatures,
        }
    }
}

/// The whole page.
pub fn render(scene: &Scene<'_>) -> String {
    let mut page = Exposition::default();
    about_box(scene, &mut page);
    about_group(scene.status, &mut page);
    about_media(scene.status, &mut page);
    about_takeovers(scene.records, &mut page);
    about_readiness(scene.status, &mut page);
    let answers = scene.controller_answers.map(u8::from);
    let help = "Whether the other box's management controller answered at the last look.";
    page.maybe(Gauge, "twinmail_power_fence_answers", help, answers);
    about_mail(scene.mail, &mut page);
    page.finish()
}

fn about_box(scene: &Scene<'_>, page: &mut Exposition) {
    let status = scene.status;
    let labels = [
        ("box", status.box_name.as_str()),
        ("node", status.node.as_str()),
        ("version", status.version.as_str()),
    ];
    page.family(Gauge, "twinmail_box_info", "This box; always 1.").sample(&labels, 1);
    page.one(Gauge, "twinmail_uptime_seconds", "Time since boot.", ms_as_seconds(status.uptime_ms));
    page.one(
        Gauge,
        "twinmail_maintenance",
        "Whether this box is in maintenance.",
        u8::from(status.maintenance),
    );
    if let Some(load) = scene.machine.load {
        let mut family = page.family(Gauge, "twinmail_load_average", "Load average by minutes.");
        for (minutes, value) in ["1", "5", "15"].iter().zip(load) {
            family.sample(&[("minutes", minutes)], value);
        }
    }
    let memory = scene.machine.memory_bytes;
    page.maybe(Gauge, "twinmail_memory_size_bytes", "Memory of the box.", memory.map(|m| m.0));
    page.maybe(Gauge, "twinmail_memory_available_bytes", "Memory that could be had.", memory.map(|m| m.1));
    if !scene.machine.temperatures.is_empty() {
        let mut family = page.family(Gauge, "twinmail_temperature_celsius", "Temperature by thermal zone.");
        for (zone, value) in &scene.machine.temperatures {
            family.sample(&[("zone", zone)], value);
        }
    }
    let mut family = page.family(Gauge, "twinmail_service_running", "Whether a service of this box runs.");
    for service in &status.services {
        family.sample(&[("service", &service.name)], u8::from(service.state == ServiceState::Running));
    }
    let mut family =
        page.family(Counter, "twinmail_service_restarts_total", "Restarts of a service after a failure.");
    for service in &status.services {
        family.sample(&[("service", &service.name)], service.restarts);
    }
    let mut family = page.family(Gauge, "twinmail_alarm_active", "Alarms there are now; 1 for each.");
    for alarm in &status.alarms {
        family.sample(&[("code", &alarm.code)], 1);
    }
}

const ROLES: [(Role, &str); 8] = [
    (Role::Starting, "starting"),
    (Role::Standby, "standby"),
    (Role::Taking, "taking"),
    (Role::Active, "active"),
    (Role::Releasing, "releasing"),
    (Role::Undecided, "undecided"),
    (Role::Fenced, "fenced"),
    (Role::Maintenance, "maintenance"),
];

fn about_group(status: &Status, page: &mut Exposition) {
    let mut family = page.family(Gauge, "twinmail_cluster_role", "1 for what this box does for the group.");
    for group in &status.groups {
        for (role, word) in ROLES {
            family.sample(&[("group", &group.name), ("role", word)], u8::from(group.role == role));
        }
    }
    let mut family =
        page.family(Gauge, "twinmail_cluster_epoch", "Highest epoch known; counts up with every take.");
    for group in &status.groups {
        family.sample(&[("group", &group.name)], group.epoch);
    }
    let mut family = page.family(
        Gauge,
        "twinmail_lease_left_seconds",
        "How long the proof of the reservation lasts; 0 is none.",
    );
    for group in &status.groups {
        family.sample(&[("group", &group.name)], ms_as_seconds(group.lease_left_ms.unwrap_or(0)));
    }
    let read = status.groups.iter().filter_map(|group| Some((group, group.holder_age_ms?)));
    let mut family = page.family(
        Gauge,
        "twinmail_reservation_read_age_seconds",
        "Age of the last good reading of the reservation at the array.",
    );
    for (group, age_ms) in read {
        family.sample(&[("group", &group.name)], ms_as_seconds(age_ms));
    }
    let mut family = page.family(Gauge, "twinmail_reservation_holder", "1 for who holds the reservation.");
    for group in &status.groups {
        family.sample(&[("group", &group.name), ("holder", &group.holder)], 1);
    }
    page.one(Gauge, "twinmail_peer_alive", "Whether the other box is heard.", u8::from(status.peer.alive));
    page.one(
        Gauge,
        "twinmail_peer_ready",
        "Whether the other box says it could serve.",
        u8::from(status.peer.ready),
    );
}

fn about_media(status: &Status, page: &mut Exposition) {
    let mut family =
        page.family(Gauge, "twinmail_medium_fresh", "Whether beats come in, or none is expected.");
    for medium in &status.media {
        let fresh = matches!(medium.state, MediumState::Fresh | MediumState::Idle);
        family.sample(&[("medium", &medium.name)], u8::from(fresh));
    }
    let mut family = page.family(Gauge, "twinmail_medium_age_seconds", "Time since the last good beat.");
    for medium in &status.media {
        if let Some(age_ms) = medium.age_ms {
            family.sample(&[("medium", &medium.name)], ms_as_seconds(age_ms));
        }
    }
    let mut family =
        page.family(Counter, "twinmail_medium_frames_total", "Frames by medium and whether they were good.");
    for medium in &status.media {
        family.sample(&[("medium", &medium.name), ("result", "good")], medium.good);
        family.sample(&[("medium", &medium.name), ("result", "bad")], medium.bad);
    }
}

/// The cause without what was seen: it becomes a label, and must not be another one each time.
fn cause_label(record: &Record) -> &str {
    record.cause.split("; ").next().unwrap_or_default()
}

fn about_takeovers(records: &[Record], page: &mut Exposition) {
    let mut causes: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for record in records.iter().filter(|record| record.decision == "taken") {
        *causes.entry((&record.box_name, &record.group, cause_label(record))).or_default() += 1;
    }
    let mut family = page.family(
        Gauge,
        "twinmail_takeovers_recorded",
        "Takes among the kept decisions of both boxes, by cause.",
    );
    for ((name, group, cause), count) in causes {
        family.sample(&[("box", name), ("group", group), ("cause", cause)], count);
    }
    // Of each box and group the newest finished sequence of each kind.
    let newest: BTreeMap<(&str, &str, &str), _> = records
        .iter()
        .filter(|record| !record.phases.is_empty())
        .map(|record| ((&*record.box_name, &*record.group, &*record.decision), record))
        .collect();
    let mut family = page.family(
        Gauge,
        "twinmail_phase_seconds",
        "What each phase of the newest sequence of a kind took.",
    );
    for ((name, group, decision), record) in &newest {
        for phase in &record.phases {
            let labels =
                [("box", *name), ("group", *group), ("sequence", *decision), ("phase", phase.step.as_str())];
            family.sample(&labels, ms_as_seconds(phase.ms));
        }
    }
    let mut family = page.family(
        Gauge,
        "twinmail_sequence_timestamp_seconds",
        "When the newest sequence of a kind was finished.",
    );
    for ((name, group, decision), record) in &newest {
        family.sample(
            &[("box", *name), ("group", *group), ("sequence", *decision)],
            ms_as_seconds(record.unix_ms),
        );
    }
}

fn about_readiness(status: &Status, page: &mut Exposition) {
    let readiness = &status.readiness;
    page.one(
        Gauge,
        "twinmail_takeover_rehearsed",
        "Whether this box is a standby that rehearses.",
        u8::from(readiness.rehearsed),
    );
    page.one(
        Gauge,
        "twinmail_takeover_would_succeed",
        "Whether a takeover by this box would succeed now.",
        u8::from(readiness.would_succeed),
    );
    let estimate = readiness.estimate_ms.map(ms_as_seconds);
    page.maybe(Gauge, "twinmail_takeover_estimate_seconds", "About how long clients would wait.", estimate);
    let mut family = page.family(Gauge, "twinmail_takeover_check", "What the standby looks at; 1 is good.");
    for check in &readiness.checks {
        family.sample(&[("check", &check.name)], u8::from(check.good));
    }
}
