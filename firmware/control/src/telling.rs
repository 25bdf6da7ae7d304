//! What the pair tells of itself, and the larger things an operator has it do: the part of
//! [`crate::cluster`] about alarms, metrics, readiness, drills and the replacement of a box.

use serde::{Deserialize, Serialize};
pub use settings::{AlarmTargets, DrillTime, Language, Metrics, Telling};

/// A request about telling, or for one of the larger operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Whom the pair tells what.
    Show,
    /// Change it; both boxes take it over.
    Set(Change),
    /// Send a test to every place alarms go to.
    Test,
    /// Switch over and back now, and measure.
    DrillNow,
    /// What the last drill or rolling restart found, and what is under way.
    Operation,
    /// Restart both boxes one after the other, without leaving the group unserved.
    RollingRestart,
    /// Language of console and letters of this box.
    Language(Language),
}

/// What changes; none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Mail addresses alarms go to.
    pub mail: Option<Vec<String>>,
    /// Places for syslog.
    pub syslog: Option<Vec<String>>,
    /// Webhooks.
    pub webhook: Option<Vec<String>>,
    /// Language of what is sent.
    pub language: Option<Language>,
    /// Port of the metrics, 0 for off.
    pub metrics_port: Option<u16>,
    /// Networks that may read them; empty is everybody.
    pub metrics_networks: Option<Vec<String>>,
    /// When the pair practises; an inner none is never.
    pub drill: Option<Option<DrillTime>>,
}

impl Change {
    /// Puts the changes into `telling` and counts its revision up.
    pub fn apply(self, telling: &mut Telling) {
        let put = |place: &mut Vec<String>, change: Option<Vec<String>>| {
            if let Some(list) = change {
                *place = list;
            }
        };
        put(&mut telling.alarms.mail, self.mail);
        put(&mut telling.alarms.syslog, self.syslog);
        put(&mut telling.alarms.webhook, self.webhook);
        put(&mut telling.metrics.networks, self.metrics_networks);
        telling.alarms.language = self.language.or(telling.alarms.language);
        telling.metrics.port = self.metrics_port.unwrap_or(telling.metrics.port);
        telling.drill = self.drill.unwrap_or(telling.drill);
        telling.revision += 1;
    }
}

/// Whether this box would succeed if it had to take over now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// It rehearses: it is a standby, and has looked at everything at least once.
    pub rehearsed: bool,
    /// Nothing speaks against it.
    pub would_succeed: bool,
    /// About how long clients would wait, in milliseconds: the dead time and the phases as they were
    /// measured last.
    pub estimate_ms: Option<u64>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// What speaks against it, the first fault.
    pub fn obstacle(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.good)
    }
}

/// One thing the standby looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable word, for example `settings_equal`.
    pub name: String,
    /// Whether it would do.
    pub good: bool,
    /// What was found, a sentence.
    pub found: String,
}

/// A drill or a rolling restart: what is under way, and how the last one ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `drill`, `rolling_restart`, or empty while there was none since the start.
    pub name: String,
    /// The step under way, a sentence; none when it is over.
    pub step: Option<String>,
    /// How it ended: nothing, or what went wrong.
    pub fault: Option<String>,
    /// When it began, as milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// Outages in order, as this box measured them at the virtual address.
    pub outages: Vec<Outage>,
}

/// One outage, as measured from a box at the virtual address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Box that served afterwards.
    pub to: String,
    /// From the last greeting before to the first one after, in milliseconds.
    pub ms: u64,
}
