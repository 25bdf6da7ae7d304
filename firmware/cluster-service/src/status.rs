//! The status of one box, put together from what core, media and services say.

use std::collections::BTreeMap;

use cluster::situation::Reserved;
use cluster::{Ability, Core, GroupView, Medium, Node, Role, Time};
use control::cluster as status;
use control::init::Service;
use settings::Settings;

use crate::input::MediumReport;

/// The one group there is; the core's number for it is 0.
pub const GROUP: &str = "mail";

/// Everything of the status that the core does not know.
#[derive(Debug)]
pub struct Noticeboard {
    names: [String; 2],
    node: Node,
    virtual_addresses: Vec<String>,
    timing: status::Timing,
    media: BTreeMap<Medium, MediumReport>,
    services: Vec<Service>,
    alarms: BTreeMap<&'static str, (String, Time)>,
}

impl Noticeboard {
    /// An empty noticeboard for the box that `settings` describe.
    pub fn new(settings: &Settings, node: Node, watchdog_ms: u32) -> Self {
        let (own, peer) = (settings.box_name.clone(), settings.peer_name.clone().unwrap_or_default());
        let names = if node == Node::A { [own, peer] } else { [peer, own] };
        let timing = settings.timing;
        Self {
            names,
            node,
            virtual_addresses: settings.virtual_addresses.clone(),
            timing: status::Timing {
                beat_ms: timing.beat_ms,
                lease_ms: timing.lease_ms,
                watchdog_ms,
                dead_time_ms: timing.dead_time_ms,
            },
            media: BTreeMap::new(),
            services: Vec::new(),
            alarms: BTreeMap::new(),
        }
    }

    /// The box with this name, if one of the pair has it.
    pub fn node_named(&self, name: &str) -> Option<Node> {
        if name.is_empty() {
            return None;
        }
        [Node::A, Node::B].into_iter().find(|node| self.name(*node) == name || node.to_string() == name)
    }

    /// Name of a box of the pair.
    pub fn name(&self, node: Node) -> &str {
        match node {
            Node::A => &self.names[0],
            Node::B => &self.names[1],
        }
    }

    /// This box.
    pub fn node(&self) -> Node {
        self.node
    }

    /// Name of this box.
    pub fn own_name(&self) -> &str {
        self.name(self.node)
    }

    /// Who holds the reservation: a box name, `nobody`, `stranger` or `unknown`.
    pub fn holder_name(&self, reserved: Reserved) -> &str {
        match reserved {
            Reserved::Unread => "unknown",
            Reserved::Nobody => "nobody",
            Reserved::Mine => self.own_name(),
            Reserved::Peers => self.name(self.node.peer()),
            Reserved::Strangers => "stranger",
        }
    }

    /// Whether a second box has joined.
    pub fn is_paired(&self) -> bool {
        !self.name(self.node.peer()).is_empty()
    }

    /// Takes the name of the box that has joined.
    pub fn peer_joined(&mut self, name: String) {
        match self.node.peer() {
            Node::A => self.names[0] = name,
            Node::B => self.names[1] = name,
        }
    }

    /// Takes how a medium does.
    pub fn take_medium(&mut self, report: MediumReport) {
        self.media.insert(report.medium, report);
    }

    /// Takes what init says of the services.
    pub fn take_services(&mut self, services: Vec<Service>) {
        self.services = services;
    }

    /// Process of the mail service, while it has one.
    pub fn mail_pid(&self) -> Option<u32> {
        self.services.iter().find(|service| service.name == "mail")?.pid
    }

    /// Begins or ends an alarm.
    pub fn set_alarm(&mut self, code: &'static str, text: Option<String>, now: Time) {
        match text {
            None => drop(self.alarms.remove(code)),
            Some(text) => {
                let since = self.alarms.get(code).map_or(now, |(_, since)| *since);
                self.alarms.insert(code, (text, since));
            }
        }
    }

    /// Alarms that follow from what the core sees.
    pub fn watch(&mut self, core: &Core, now: Time) {
        let view = core.view();
        let paired = self.is_paired();
        let (_, alive) = core.peer();
        for (medium, code, text) in MEDIA_ALARMS {
            let (_, fresh) = core.medium(medium);
            let expected = paired && (medium != Medium::Array || view.role == Role::Standby && alive);
            self.set_alarm(code, (expected && !fresh).then(|| text.to_owned()), now);
        }
        let silent = (paired && !alive).then(|| {
            let peer = self.name(self.node.peer());
            format!("{peer} is not heard on any medium; see to its power, then to its cables")
        });
        self.set_alarm("peer_silent", silent, now);
        let lone =
            (!paired).then(|| "no second box has joined; plug in its serial cable and join it".to_owned());
        self.set_alarm("not_paired", lone, now);
        let unable = match view.ability {
            Ability::Ready | Ability::Unknown | Ability::Maintenance => None,
            other => Some(format!("this box could not serve: {other}")),
        };
        self.set_alarm("not_ready", unable, now);
        let fault =
            view.last_fault.as_ref().map(|fault| format!("the last attempt to serve failed: {fault}"));
        self.set_alarm("take_failed", fault, now);
        let everywhere = core.fails_everywhere().then(|| {
            "the group fails on both boxes and stays where it is; see why on both, mend it, then switch \
             over to the box that is to serve"
                .to_owned()
        });
        self.set_alarm("fails_everywhere", everywhere, now);
    }

    /// The whole status.
    pub fn status(&self, core: &Core, now: Time) -> status::Status {
        let view = core.view();
        let (beat, alive) = core.peer();
        let ability = beat.map_or(Ability::Unknown, |beat| beat.ability);
        status::Status {
            box_name: self.name(self.node).to_owned(),
            node: self.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: now.0,
            maintenance: view.maintenance,
            peer: status::Peer {
                box_name: self.name(self.node.peer()).to_owned(),
                alive,
                ready: alive && ability == Ability::Ready,
                not_ready_reason: (alive && ability != Ability::Ready).then(|| ability.to_string()),
            },
            groups: vec![self.group(&view)],
            media: Medium::ALL.into_iter().map(|medium| self.medium(core, &view, medium, now)).collect(),
            services: self.services.clone(),
            alarms: self.alarms(now),
            timing: self.timing.clone(),
            readiness: control::telling::Readiness::default(),
            peer_readiness: None,
        }
    }

    fn group(&self, view: &GroupView) -> status::Group {
        let holder = self.holder_name(view.reserved);
        let takeover = |takeover: &cluster::Takeover| status::Takeover {
            cause: takeover.cause.clone(),
            epoch: takeover.epoch,
            at_ms: takeover.decided_at.0,
            detect_ms: takeover.detect_ms,
            phases: phases(&takeover.phases),
            total_ms: takeover.total_ms,
        };
        status::Group {
            name: GROUP.to_owned(),
            role: role(view),
            step: view.step.map(|step| step.word().to_owned()),
            epoch: view.epoch,
            holder: holder.to_owned(),
            holder_age_ms: view.read_age_ms,
            lease_left_ms: view.lease_left_ms,
            addresses: self.virtual_addresses.clone(),
            addresses_here: view.role == Role::Active,
            preferred: view.preference.owner.map(|node| self.name(node).to_owned()),
            fail_back: view.preference.fail_back,
            last_takeover: view.last_takeover.as_ref().map(takeover),
        }
    }

    fn medium(&self, core: &Core, view: &GroupView, medium: Medium, now: Time) -> status::Medium {
        let (heard, fresh) = core.medium(medium);
        let age_ms = heard.at.map(|at| now.since_ms(at));
        let report = self.media.get(&medium);
        // Only the owner's slot ticks, so the owner hears nothing there.
        let idle = medium == Medium::Array && view.role != Role::Standby;
        let half = u64::from(self.timing.dead_time_ms) / 2;
        let state = match age_ms {
            _ if idle => status::MediumState::Idle,
            Some(age) if age <= half => status::MediumState::Fresh,
            Some(_) if fresh => status::MediumState::Late,
            _ => status::MediumState::Lost,
        };
        status::Medium {
            name: medium.name().to_owned(),
            state,
            age_ms,
            good: report.map_or(heard.good, |report| report.good),
            bad: report.map_or(0, |report| report.bad),
            fault: report.and_then(|report| report.fault.clone()),
        }
    }

    /// What is wrong now, worst first.
    pub fn alarms(&self, now: Time) -> Vec<status::Alarm> {
        let alarm = |(code, (text, since)): (&&str, &(String, Time))| status::Alarm {
            code: (*code).to_owned(),
            text: text.clone(),
            since_ms: now.since_ms(*since),
        };
        let mut alarms: Vec<_> = self.alarms.iter().map(alarm).collect();
        alarms.sort_by_key(|alarm| WORST_FIRST.iter().position(|code| *code == alarm.code));
        alarms
    }
}

/// Order in which alarms are shown; one that is not named comes first, because nobody thought of it.
const WORST_FIRST: [&str; 12] = [
    "take_failed",
    "not_ready",
    "takeover_unsure",
    "watchdog",
    "address_stranger",
    "public_card",
    "settings",
    "peer_silent",
    "array_lost",
    "serial_lost",
    "private_lost",
    "not_paired",
];

const MEDIA_ALARMS: [(Medium, &str, &str); 3] = [
    (
        Medium::Serial,
        "serial_lost",
        "nothing is heard on the serial cable; check the null-modem cable between the boxes",
    ),
    (
        Medium::Private,
        "private_lost",
        "nothing is heard on the private network; check the Ethernet cable between the boxes",
    ),
    (Medium::Array, "array_lost", "the other box's beats on the array are not seen; check the host channels"),
];

fn role(view: &GroupView) -> status::Role {
    match view.role {
        Role::Standby | Role::Starting if view.maintenance => status::Role::Maintenance,
        Role::Starting => status::Role::Starting,
        Role::Standby => status::Role::Standby,
        Role::Taking => status::Role::Taking,
        Role::Active => status::Role::Active,
        Role::Releasing => status::Role::Releasing,
        Role::Undecided => status::Role::Undecided,
        Role::Fenced => status::Role::Fenced,
    }
}

fn phases(phases: &[cluster::Phase]) -> Vec<status::Phase> {
    phases.iter().map(|phase| status::Phase { step: phase.step.word().to_owned(), ms: phase.ms }).collect()
}
