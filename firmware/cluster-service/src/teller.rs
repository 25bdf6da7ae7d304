//! What this box knows for telling: decisions of both boxes, the other box's report, readiness, and
//! whom the pair tells what. The decision loop owns it, and none of it decides who serves.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cluster::{Core, Node, Role, Time};
use control::cluster as wire;
use control::cluster::{HeardAgo, Phase, Record, Seen as SeenThen, Status};
use control::telling::{Operation, Readiness, Request, Telling};
use control::{FIRST_GROUP, GroupPlace};
use crossbeam_channel::Sender;
use ring::digest::{SHA256, digest};
use settings::{FurtherGroup, Settings, SettingsFile};
use tracing::{info, warn};

use crate::alarm_sender::{AlarmSender, Word};
use crate::input::Input;
use crate::operation::Operations;
use crate::peer_link::{PeerLink, Report};
use crate::power_fence::PowerFence;
use crate::readiness::{self, Rehearsal, Seen};
use crate::records::{RecordBook, unix_ms};
use crate::settings_keeper::{Keep, SettingsKeeper};
use crate::status::Noticeboard;

/// A report older than this, in milliseconds, says nothing about now.
const REPORT_FRESH_MS: u64 = 10_000;
/// How long the standby may be unready before that is an alarm, in milliseconds.
const UNREADY_GRACE_MS: u64 = 15_000;
/// Between two looks at the alarms for those who are told of them, in milliseconds.
const ALARMS_EVERY_MS: u64 = 1_000;
/// What the image says of itself.
const RELEASE_PATH: &str = "/etc/twinmail-release";

/// What reaches the teller from its threads.
#[derive(Debug)]
pub enum News {
    /// Newest decision of the other box that is known here; asked by the thread that asks for more.
    WhatHaveWe {
        /// Where the answer goes.
        answer: Sender<u64>,
    },
    /// The other box's report.
    Peer(Box<Report>),
    /// The other box asks for this one's report.
    Asked {
        /// Newest decision of this box that it knows.
        have: u64,
        /// Where the report goes.
        answer: Sender<Box<Report>>,
    },
    /// What was tried for a takeover that is not under way.
    Rehearsed(Rehearsal),
    /// How a drill or a rolling restart goes.
    Operation(Operation),
    /// What became of the reset of a box that was fenced.
    PowerFenced(String),
}

/// Whom the pair tells what, shared with the threads that tell.
pub type SharedTelling = Arc<Mutex<Telling>>;

/// What this box knows for telling.
pub struct Teller {
    book: RecordBook,
    shared: SharedTelling,
    settings_digest: String,
    groups: Vec<FurtherGroup>,
    image: String,
    peer: Option<(Box<Report>, Time)>,
    rehearsal: Option<Rehearsal>,
    readiness: Readiness,
    unready_since: Option<Time>,
    alarms: AlarmSender,
    alarms_due: Time,
    operations: Operations,
    link: PeerLink,
    /// Who talks to the boxes' management controllers.
    pub power_fence: PowerFence,
}

impl Teller {
    /// Loads what is kept, and starts the threads.
    pub fn start(settings: &Settings, system: &Path, card: &str, inputs: &Sender<Input>) -> io::Result<Self> {
        let link = PeerLink::new(settings);
        crate::peer_link::start(&link, card, inputs)?;
        readiness::start(system, inputs)?;
        let shared = Arc::new(Mutex::new(settings.telling.clone()));
        let power_fence = PowerFence::start(settings, inputs)?;
        crate::metrics_server::start(settings, shared.clone(), power_fence.clone(), inputs)?;
        let file = SettingsFile::new(system);
        let alarms = AlarmSender::start(settings, file, link.clone(), shared.clone())?;
        Ok(Self {
            book: RecordBook::open(system)?,
            settings_digest: digest_of_pair(settings),
            groups: settings.further_groups.clone(),
            image: hex(std::fs::read(RELEASE_PATH).unwrap_or_default().as_slice()),
            shared,
            peer: None,
            rehearsal: None,
            readiness: Readiness::default(),
            unready_since: None,
            alarms,
            alarms_due: Time(0),
            operations: Operations::new(link.clone(), settings, inputs.clone()),
            link,
            power_fence,
        })
    }

    /// Keeps a decision; gives back a line for the log.
    pub fn record(
        &mut self,
        record: &cluster::Record,
        group: &GroupPlace,
        noticeboard: &Noticeboard,
    ) -> String {
        let phase = |phase: &cluster::Phase| Phase { step: phase.step.word().to_owned(), ms: phase.ms };
        let detect = record.detect_ms.map(|ms| Phase { step: "detect".to_owned(), ms });
        let seen = SeenThen {
            media: cluster::Medium::ALL
                .into_iter()
                .zip(record.sight.media_ms)
                .map(|(medium, ago_ms)| HeardAgo { medium: medium.name().to_owned(), ago_ms })
                .collect(),
            holder: noticeboard.holder_name(record.sight.reserved).to_owned(),
            holder_age_ms: record.sight.read_age_ms,
        };
        let kept = self.book.add(Record {
            number: 0,
            at_ms: record.at.0,
            unix_ms: unix_ms(),
            box_name: noticeboard.own_name().to_owned(),
            group: group.name.to_owned(),
            decision: record.decision.word().to_owned(),
            cause: record.cause.clone(),
            epoch: record.epoch,
            seen: Some(seen),
            phases: detect.into_iter().chain(record.phases.iter().map(phase)).collect(),
        });
        if kept.decision == "taken" {
            let took: u64 =
                kept.phases.iter().filter(|phase| phase.step != "detect").map(|phase| phase.ms).sum();
            let what = if group.number == 0 { String::new() } else { format!("{} ", group.name) };
            let text =
                format!("{} serves {what}now: {}; taken in {took} ms", kept.box_name, brief(&kept.cause));
            let _ = self.alarms.say(Word::Event { code: "takeover".to_owned(), text });
        }
        let mut line = format!("{} (epoch {}): {}", kept.decision, kept.epoch, kept.cause);
        for phase in &kept.phases {
            line.push_str(&format!("; {} {} ms", phase.step, phase.ms));
        }
        line
    }

    /// Keeps what an operator's larger operation found, among the decisions.
    fn note(&mut self, decision: &str, cause: String, epoch: u32, now: Time, noticeboard: &Noticeboard) {
        info!("{decision}: {cause}");
        let text = format!("{}: {cause}", decision.replace('_', " "));
        let _ = self.alarms.say(Word::Event { code: decision.to_owned(), text });
        self.book.add(Record {
            number: 0,
            at_ms: now.0,
            unix_ms: unix_ms(),
            box_name: noticeboard.own_name().to_owned(),
            group: FIRST_GROUP.name.to_owned(),
            decision: decision.to_owned(),
            cause,
            epoch,
            seen: None,
            phases: vec![],
        });
    }

    /// The newest decisions of both boxes, oldest first.
    pub fn records(&self, records_max: usize) -> Vec<Record> {
        self.book.merged(records_max)
    }

    /// Takes what its threads found.
    pub fn take(
        &mut self,
        news: News,
        core: &Core,
        noticeboard: &Noticeboard,
        keeper: &SettingsKeeper,
        now: Time,
    ) -> Option<FurtherGroup> {
        match news {
            News::WhatHaveWe { answer } => drop(answer.try_send(self.book.peers_newest())),
            News::Asked { have, answer } => {
                drop(answer.try_send(Box::new(self.report(have, noticeboard, now))));
            }
            News::Rehearsed(rehearsal) => self.rehearsal = Some(rehearsal),
            News::Operation(operation) => {
                if let Some(cause) = self.operations.take(operation) {
                    let decision = self.operations.shown().name.clone();
                    self.note(&decision, cause, core.view().epoch, now, noticeboard);
                }
            }
            News::PowerFenced(cause) => {
                self.note("power_fence", cause, core.view().epoch, now, noticeboard);
            }
            News::Peer(mut report) => {
                self.power_fence.adopt(&report.controllers, keeper);
                let records = std::mem::take(&mut report.records);
                self.book.learn(report.newest, report.unix_ms, records);
                self.adopt(&report.telling, noticeboard.node(), keeper);
                // Groups are added, never changed: one that only the other box knows is new.
                let new = report.groups.get(self.groups.len()).cloned();
                self.peer = Some((report, now));
                return new;
            }
        }
        None
    }

    /// The pair has one group more.
    pub fn group_added(&mut self, settings: &Settings) {
        self.groups = settings.further_groups.clone();
        self.settings_digest = digest_of_pair(settings);
    }

    /// Whether a larger operation of the operator is under way.
    pub fn is_busy(&self) -> bool {
        self.operations.shown().step.is_some()
    }

    /// The other box, called `name`, is no member any more: nothing it said counts, and `settings` have the
    /// key for the next one.
    pub fn peer_forgotten(
        &mut self,
        settings: &Settings,
        name: &str,
        core: &Core,
        noticeboard: &Noticeboard,
    ) {
        self.link.change_key(&settings.pair_key);
        self.power_fence.peer_forgotten();
        self.peer = None;
        let cause = format!("{name} is no member of this pair any more; a blank box can join");
        self.note("peer_forgotten", cause, core.view().epoch, array::now(), noticeboard);
    }

    fn report(&self, have: u64, noticeboard: &Noticeboard, now: Time) -> Report {
        // A box that asks for more than there is knew another one in this place.
        let have = if have > self.book.newest() { 0 } else { have };
        Report {
            box_name: noticeboard.own_name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            image: self.image.clone(),
            unix_ms: unix_ms(),
            uptime_ms: now.0,
            settings: self.settings_digest.clone(),
            telling: self.telling(),
            groups: self.groups.clone(),
            controllers: self.power_fence.controllers(),
            readiness: self.readiness.clone(),
            newest: self.book.newest(),
            records: self.book.after(have),
        }
    }

    /// The other box's choice counts if it is newer, or if both changed at once and it is box a's.
    fn adopt(&mut self, theirs: &Telling, own: Node, keeper: &SettingsKeeper) {
        let mine = self.telling();
        let newer = theirs.revision > mine.revision || (theirs.revision == mine.revision && own == Node::B);
        if newer && *theirs != mine && theirs.check().is_ok() {
            info!("the other box has newer settings for alarms, metrics and drills; they are taken over");
            self.keep_telling(theirs.clone(), keeper);
        }
    }

    fn keep_telling(&mut self, telling: Telling, keeper: &SettingsKeeper) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = telling.clone();
        if keeper.keep(Keep::Telling(Box::new(telling))).is_err() {
            warn!("whom the pair tells what is not saved: the system partition does not answer");
        }
    }

    fn telling(&self) -> Telling {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The other box's report, while it is fresh.
    fn peer_now(&self, now: Time) -> Option<&Report> {
        let (report, at) = self.peer.as_ref()?;
        (now.since_ms(*at) <= REPORT_FRESH_MS).then_some(&**report)
    }

    /// Judges the readiness anew, and says so where it is an alarm.
    /// `first` is the core of the first group, `core` that of the group this box would take over.
    pub fn watch(&mut self, first: &Core, core: &Core, noticeboard: &mut Noticeboard, now: Time) {
        let serves_first = first.view().role == Role::Active;
        let own = readiness::takes_ms(self.book.own_of("taken"));
        let takes = if own.is_empty() {
            let all = self.book.merged(usize::MAX);
            readiness::takes_ms(all.iter().rev().filter(|record| record.decision == "taken"))
        } else {
            own
        };
        let view = core.view();
        let power_fence = self.power_fence.check();
        let seen = Seen {
            role: view.role,
            ability: view.ability,
            reserved: (view.reserved, view.read_age_ms),
            slot_fresh: core.medium(cluster::Medium::Array).1,
            cables_fresh: [cluster::Medium::Serial, cluster::Medium::Private].map(|one| core.medium(one).1),
            rehearsal: self.rehearsal.as_ref(),
            peer: self.peer.as_ref().map(|(report, _)| &**report),
            own: (&self.settings_digest, &self.image),
            dead_time_ms: core.config().dead_time_ms,
            takes_ms: &takes,
            power_fence: &power_fence,
        };
        self.readiness = if noticeboard.is_paired() { readiness::judge(&seen) } else { Readiness::default() };
        let unready = self.readiness.rehearsed && !self.readiness.would_succeed && !view.maintenance;
        self.unready_since = if unready { self.unready_since.or(Some(now)) } else { None };
        let lasting = self.unready_since.is_some_and(|since| now.since_ms(since) >= UNREADY_GRACE_MS);
        let reason = self.readiness.obstacle().filter(|_| lasting);
        let text = reason.map(|check| format!("a takeover by this box would not succeed: {}", check.found));
        noticeboard.set_alarm("takeover_unsure", text, now);
        if now >= self.alarms_due {
            self.alarms_due = now + ALARMS_EVERY_MS;
            let alarms = noticeboard.alarms(now).into_iter().map(|alarm| (alarm.code, alarm.text)).collect();
            // What finds no room comes again in a second.
            let _ = self.alarms.say(Word::Alarms { alarms, serving: serves_first });
        }
        self.operations.watch(&self.telling(), serves_first, unix_ms() / 1000);
    }

    /// Fills in what the status shows of all this.
    pub fn complete(&self, status: &mut Status, now: Time) {
        status.readiness = self.readiness.clone();
        status.peer_readiness = self.peer_now(now).map(|report| report.readiness.clone());
    }

    /// Answers a request about telling.
    pub fn answer(&mut self, request: Request, status: &Status, keeper: &SettingsKeeper) -> wire::Reply {
        let refused = |reason: String| wire::Reply::Refused(reason);
        match request {
            Request::Show => wire::Reply::Telling(self.telling()),
            Request::Set(change) => {
                let mut telling = self.telling();
                change.apply(&mut telling);
                match telling.check() {
                    Ok(()) => {
                        self.keep_telling(telling.clone(), keeper);
                        wire::Reply::Telling(telling)
                    }
                    Err(error) => refused(error.to_string()),
                }
            }
            Request::Operation => wire::Reply::Operation(self.operations.shown().clone()),
            Request::DrillNow => self.operations.drill(status).map_or_else(refused, |()| wire::Reply::Done),
            Request::RollingRestart => {
                self.operations.rolling_restart(status).map_or_else(refused, |()| wire::Reply::Done)
            }
            Request::Language(language) => match keeper.keep(Keep::Language(language)) {
                Ok(()) => wire::Reply::Done,
                Err(_) => {
                    refused("the system partition does not answer; the language is not saved".to_owned())
                }
            },
            Request::Test => match self.alarms.say(Word::Test) {
                Ok(()) => wire::Reply::Done,
                Err(_) => refused("too many notices wait; try again later".to_owned()),
            },
        }
    }
}

/// The cause without what was seen.
fn brief(cause: &str) -> &str {
    cause.split("; ").next().unwrap_or_default()
}

/// Digest of what both boxes must agree on.
fn digest_of_pair(settings: &Settings) -> String {
    let timing = settings.timing;
    let place = |group: &FurtherGroup| serde_json::json!([group.lun, group.virtual_addresses, group.domain]);
    let groups: Vec<_> = settings.further_groups.iter().map(place).collect();
    let common = serde_json::json!([
        settings.pair_id,
        settings.virtual_addresses,
        settings.lun,
        settings.domain,
        settings.password_hash,
        [timing.beat_ms, timing.lease_ms, timing.dead_time_ms],
        groups,
    ]);
    hex(common.to_string().as_bytes())
}

/// The first 16 hexadecimal digits of the SHA-256 of `bytes`.
fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::tests::first;

    #[test]
    fn what_belongs_to_one_box_is_no_difference_and_what_belongs_to_the_pair_is() {
        let own = digest_of_pair(&first());
        let second = Settings { box_name: "box-b".to_owned(), maintenance: true, ..first() };
        assert_eq!(own, digest_of_pair(&second));
        assert_ne!(own, digest_of_pair(&Settings { domain: "other.example".to_owned(), ..first() }));
        assert_ne!(own, digest_of_pair(&Settings { virtual_addresses: vec![], ..first() }));
        assert_eq!(own.len(), 16);
    }
}
