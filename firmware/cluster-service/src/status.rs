//! The status of one box, put together from what core, media and services say.

use std::collections::BTreeMap;

use cluster::situation::Reserved;
use cluster::{Ability, Core, GroupView, Medium, Node, Role, Time};
use control::cluster as status;
use control::init::Service;
use settings::Settings;

use crate::group::GroupPlan;
use crate::input::MediumReport;

/// Everything of the status that the core does not know.
#[derive(Debug)]
pub struct Noticeboard {
    names: [String; 2],
    node: Node,
    /// Name and virtual addresses of each group, by number.
    groups: Vec<(&'static str, Vec<String>)>,
    timing: status::Timing,
    media: BTreeMap<Medium, MediumReport>,
    services: Vec<Service>,
    /// By code and number of the group.
    alarms: BTreeMap<(&'static str, u8), (String, Time)>,
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
            groups: GroupPlan::all(settings).into_iter().map(face).collect(),
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

    /// One more group.
    pub fn add_group(&mut self, plan: GroupPlan) {
        self.groups.push(face(plan));
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

    /// Process of a service, while it has one.
    pub fn pid_of(&self, name: &str) -> Option<u32> {
        self.services.iter().find(|service| service.name == name)?.pid
    }

    /// Begins or ends an alarm about the box, or about the first group.
    pub fn set_alarm(&mut self, code: &'static str, text: Option<String>, now: Time) {
        self.set_alarm_of(0, code, text, now);
    }

    /// Begins or ends an alarm about the group with this number.
    pub fn set_alarm_of(&mut self, group: u8, code: &'static str, text: Option<String>, now: Time) {
        match text {
            None => drop(self.alarms.remove(&(code, group))),
            Some(text) => {
                let since = self.alarms.get(&(code, group)).map_or(now, |(_, since)| *since);
                self.alarms.insert((code, group), (text, since));
            }
        }
    }

    /// Alarms that follow from what the core of the first group sees.
    pub fn watch(&mut self, core: &Core, now: Time) {
        let paired = self.is_paired();
        // What a box that has just started did not hear says nothing yet.
        let expected = paired && core.has_listened();
        let (_, alive) = core.peer();
        for (medium, code, text) in CABLE_ALARMS {
            let (_, fresh) = core.medium(medium);
            self.set_alarm(code, (expected && !fresh).then(|| text.to_owned()), now);
        }
        let silent = (expected && !alive).then(|| {
            let peer = self.name(self.node.peer());
            format!("{peer} is not heard on any medium; see to its power, then to its cables")
        });
        self.set_alarm("peer_silent", silent, now);
        let lone =
            (!paired).then(|| "no second box has joined; plug in its serial cable and join it".to_owned());
        self.set_alarm("not_paired", lone, now);
        self.watch_group(core, now);
    }

    /// Alarms about one group that follow from what its core sees.
    pub fn watch_group(&mut self, core: &Core, now: Time) {
        let (view, number) = (core.view(), core.config().group);
        let (_, alive) = core.peer();
        let (_, fresh) = core.medium(Medium::Array);
        let unseen = self.is_paired() && core.has_listened() && view.role == Role::Standby && alive && !fresh;
        let text = "the other box's beats on the array are not seen; check the host channels";
        self.set_alarm_of(number, "array_lost", unseen.then(|| text.to_owned()), now);
        let unable = match view.ability {
            Ability::Ready | Ability::Unknown | Ability::Maintenance => None,
            other => Some(format!("this box could not serve: {other}")),
        };
        self.set_alarm_of(number, "not_ready", unable, now);
        let fault =
            view.last_fault.as_ref().map(|fault| format!("the last attempt to serve failed: {fault}"));
        self.set_alarm_of(number, "take_failed", fault, now);
        let everywhere = core.fails_everywhere().then(|| {
            "the group fails on both boxes and stays where it is; see why on both, mend it, then switch \
             over to the box that is to serve"
                .to_owned()
        });
        self.set_alarm_of(number, "fails_everywhere", everywhere, now);
    }

    /// The whole status; `cores` are those of the groups by number, `first` the first of them.
    pub fn status(&self, first: &Core, cores: &[&Core], now: Time) -> status::Status {
        let (_, alive) = first.peer();
        // The other box is ready if it could carry every group.
        let abilities = cores.iter().map(|core| core.peer().0.map_or(Ability::Unknown, |beat| beat.ability));
        let ability = abilities.into_iter().find(|one| *one != Ability::Ready).unwrap_or(Ability::Ready);
        // Only a standby hears the other box on the array.
        let listens = cores.iter().find(|core| core.view().role == Role::Standby);
        let medium = |medium| match (medium, listens) {
            (Medium::Array, Some(core)) => self.medium(core, medium, now),
            _ => self.medium(first, medium, now),
        };
        status::Status {
            box_name: self.name(self.node).to_owned(),
            node: self.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: now.0,
            maintenance: first.view().maintenance,
            peer: status::Peer {
                box_name: self.name(self.node.peer()).to_owned(),
                alive,
                ready: alive && ability == Ability::Ready,
                not_ready_reason: (alive && ability != Ability::Ready).then(|| ability.to_string()),
            },
            groups: cores
                .iter()
                .zip(&self.groups)
                .map(|(core, face)| self.group(&core.view(), face))
                .collect(),
            media: Medium::ALL.into_iter().map(medium).collect(),
            services: self.services.iter().filter(|service| self.is_of_this_pair(service)).cloned().collect(),
            alarms: self.alarms(now),
            timing: self.timing.clone(),
            readiness: control::telling::Readiness::default(),
            peer_readiness: None,
        }
    }

    /// Whether a service is one that this pair uses: init knows the mail service of every possible group.
    fn is_of_this_pair(&self, service: &Service) -> bool {
        let group = control::group_named(&service.name);
        group.is_none_or(|group| usize::from(group.number) < self.groups.len())
    }

    fn group(&self, view: &GroupView, (name, addresses): &(&str, Vec<String>)) -> status::Group {
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
            name: (*name).to_owned(),
            role: role(view),
            step: view.step.map(|step| step.word().to_owned()),
            epoch: view.epoch,
            holder: holder.to_owned(),
            holder_age_ms: view.read_age_ms,
            lease_left_ms: view.lease_left_ms,
            addresses: addresses.clone(),
            addresses_here: view.role == Role::Active,
            preferred: view.preference.owner.map(|node| self.name(node).to_owned()),
            fail_back: view.preference.fail_back,
            last_takeover: view.last_takeover.as_ref().map(takeover),
        }
    }

    fn medium(&self, core: &Core, medium: Medium, now: Time) -> status::Medium {
        let (heard, fresh) = core.medium(medium);
        let age_ms = heard.at.map(|at| now.since_ms(at));
        let report = self.media.get(&medium);
        // Only the owner's slot ticks, so the owner hears nothing there.
        let idle = medium == Medium::Array && core.view().role != Role::Standby;
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
        let mut alarms: Vec<_> = self.alarms.iter().collect();
        alarms.sort_by_key(|((code, group), _)| (WORST_FIRST.iter().position(|one| one == code), *group));
        let alarm = |((code, group), (text, since)): (&(&str, u8), &(String, Time))| {
            let further = self.groups.get(usize::from(*group)).filter(|_| *group > 0);
            let (code, text) = match further {
                Some((name, _)) => (format!("{code}:{name}"), format!("{name}: {text}")),
                None => ((*code).to_owned(), text.clone()),
            };
            status::Alarm { code, text, since_ms: now.since_ms(*since) }
        };
        alarms.into_iter().map(alarm).collect()
    }
}

/// Order in which alarms are shown; one that is not named comes first, because nobody thought of it.
const WORST_FIRST: [&str; 20] = [
    crate::replace::REPLACED_ALARM,
    "take_failed",
    "not_ready",
    "disk_full",
    "file_system",
    "takeover_unsure",
    "watchdog",
    "address_stranger",
    "public_card",
    "settings",
    "group_add",
    crate::replace::ALARM,
    "peer_silent",
    crate::power_fence::ALARM,
    "array_lost",
    "array_path",
    "array_multipath",
    "serial_lost",
    "private_lost",
    "not_paired",
];

const CABLE_ALARMS: [(Medium, &str, &str); 2] = [
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
];

fn face(plan: GroupPlan) -> (&'static str, Vec<String>) {
    (plan.place.name, plan.virtual_addresses)
}

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
