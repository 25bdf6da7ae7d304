//! The state machine: events in, actions out.
//!
//! The shell calls [`Core::handle`] with every event and the time, at least every beat with
//! [`Event::Tick`], and carries the actions out in their order. Nothing else has to be kept.

mod commands;
#[cfg(any(test, feature = "checking"))]
mod digest;
mod failing;
mod lease;
mod release;
mod serve;
mod take;
mod view;
mod watch;

use crate::config::{
    READ_ANSWER_MAX_MS, READ_FAILURES_MAX, READING_FRESH_MS, RESET_REPEAT_MS, WATCH_READ_MS,
};
use crate::evidence::Evidence;
use crate::mutant::Mutant;
use crate::situation::{PeerSeen, Reserved};
use crate::{
    Ability, Action, Beat, Config, ConfigError, Decided, Event, HandOver, Key, Medium, Node, Phase,
    Preference, Reading, Record, Role, Takeover, Time,
};
use lease::Lease;
use release::Release;
use serve::Serving;
use take::Take;

#[cfg(feature = "checking")]
pub use digest::Digest;
pub use view::GroupView;

/// Decides for one service group on one box.
#[derive(Debug, Clone)]
pub struct Core {
    config: Config,
    now: Time,
    state: State,
    /// It became clear once since boot who serves.
    settled: bool,
    pub(crate) evidence: Evidence,
    array: ArraySeen,
    lease: Lease,
    /// Highest epoch seen anywhere.
    epoch: u32,
    last_owner: Option<Node>,
    preference: Preference,
    maintenance: bool,
    public_lost_at: Option<Time>,
    /// Failed takes in a row, and until when there is no further one.
    take_failures: u32,
    retry_at: Option<Time>,
    /// Failures to serve, and until when this box is second choice for it.
    mail_failures: u32,
    mail_hold_until: Option<Time>,
    remount_after: Option<Time>,
    granted_until: Option<Time>,
    asking_until: Option<Time>,
    ownerless_since: Option<Time>,
    forgotten_since: Option<Time>,
    /// Since when the other box has offered what it has.
    offered_since: Option<Time>,
    /// When this box last stood still, until reservation and slots have been read since.
    stood_still_at: Option<Time>,
    peer_well_since: Option<Time>,
    /// The last left-over registration this box tried to take back.
    tidied: Option<Key>,
    runs: u32,
    seq: u32,
    beat_due: Time,
    last_beat: Option<Beat>,
    last_takeover: Option<Takeover>,
    last_fault: Option<String>,
    #[cfg(feature = "checking")]
    pub(crate) mutant: Option<Mutant>,
}

/// What this box does.
#[derive(Debug, Clone)]
enum State {
    Watching,
    Taking(Take),
    Active(Serving),
    Releasing(Release),
    /// Lost; nothing but the reset comes after it.
    Fenced {
        reason: String,
        demanded_at: Time,
    },
}

/// What is known of the array, and the reading under way.
#[derive(Debug, Clone, Default)]
struct ArraySeen {
    last: Option<Reading>,
    failures: u32,
    pending: Option<u32>,
    asked_at: Time,
    number: u32,
    due: Time,
}

impl Core {
    /// A core that has seen nothing. Refuses timings that break the rule.
    pub fn new(config: Config, now: Time) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            now,
            state: State::Watching,
            settled: false,
            evidence: Evidence::new(now),
            array: ArraySeen { due: now, ..ArraySeen::default() },
            lease: Lease::default(),
            epoch: 0,
            last_owner: None,
            preference: config.preference,
            maintenance: config.maintenance,
            public_lost_at: None,
            take_failures: 0,
            retry_at: None,
            mail_failures: 0,
            mail_hold_until: None,
            remount_after: None,
            granted_until: None,
            asking_until: None,
            ownerless_since: None,
            forgotten_since: None,
            offered_since: None,
            stood_still_at: None,
            peer_well_since: None,
            tidied: None,
            runs: 0,
            seq: 0,
            beat_due: now,
            last_beat: None,
            last_takeover: None,
            last_fault: None,
            #[cfg(feature = "checking")]
            mutant: None,
        })
    }

    /// Handles one event at `now` and adds what is to be done to `out`.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        // A box that stood still has heard nothing meanwhile: that is not the other box's silence.
        let stood_still = now.since_ms(self.now) >= self.config.dead_time_ms / 2;
        if stood_still && !self.lacks(Mutant::DeafnessForgotten) {
            self.evidence.deaf_until(now);
        }
        // Nor is what it read before, or what waited for it on a cable, how things are now.
        if stood_still && !self.lacks(Mutant::OldReadingBelieved) {
            self.stood_still_at = Some(now);
            self.array.due = now;
        }
        self.now = self.now.max(now);
        self.check_lease(out);
        match event {
            Event::Tick => {}
            Event::Heard { medium, beat } => self.hear(medium, &beat, out),
            Event::SlotsRead { started, own, peer } => {
                self.read_slots(started, own.as_ref(), peer.as_ref(), out);
            }
            Event::Read { number, reading } => self.take_reading(number, reading, out),
            Event::Done { run, result } => self.take_done(run, result, out),
            Event::MailProbe { well } => self.take_mail_probe(well),
            Event::MailIll { why, given_up } => self.take_mail_ill(why, given_up),
            Event::PublicLink { up } => self.take_public_link(up),
            Event::PathReturned => {
                self.lease.wants_repair |= self.lease.in_force.is_some();
                self.array.due = now;
            }
            Event::WriteFenced => self.take_write_fenced(out),
            Event::Command { id, command } => self.take_command(id, command, out),
        }
        self.proceed(out);
    }

    /// Goes on with whatever is under way, as far as it can without waiting.
    fn proceed(&mut self, out: &mut Vec<Action>) {
        self.check_lease(out);
        self.watch_peer();
        self.stood_still_at = self.stood_still_at.filter(|_| self.array_is_unread());
        match self.state {
            State::Watching => self.watch(out),
            State::Taking(_) => self.pursue_take(out),
            State::Active(_) => self.serve(out),
            State::Releasing(_) => self.pursue_release(out),
            State::Fenced { .. } => self.demand_reset(out),
        }
        self.read_if_due(out);
        self.beat_if_due(out);
    }

    // What comes in

    fn hear(&mut self, medium: Medium, beat: &Beat, out: &mut Vec<Action>) {
        if beat.node == self.config.node || beat.group != self.config.group || medium == Medium::Array {
            return;
        }
        self.epoch = self.epoch.max(beat.epoch).max(beat.claim);
        if self.evidence.hear(medium, beat, self.now) {
            self.believe(beat, out);
        }
    }

    fn read_slots(&mut self, started: Time, own: Option<&Beat>, peer: Option<&Beat>, out: &mut Vec<Action>) {
        let own = own.filter(|beat| beat.group == self.config.group && beat.node == self.config.node);
        let peer = peer.filter(|beat| beat.group == self.config.group && beat.node != self.config.node);
        for beat in own.iter().chain(peer.iter()) {
            self.epoch = self.epoch.max(beat.epoch).max(beat.claim);
        }
        // Without a reservation to tell, the slot with the higher claim was the last owner's.
        let claim = |beat: Option<&Beat>| beat.map_or(0, |beat| beat.claim);
        if claim(own) != claim(peer) {
            let mine = claim(own) > claim(peer);
            self.last_owner = Some(if mine { self.config.node } else { self.config.node.peer() });
        }
        if self.evidence.read_slot(peer, started)
            && let Some(beat) = peer
        {
            self.believe(beat, out);
        }
    }

    /// Acts on what the other box says now.
    fn believe(&mut self, beat: &Beat, out: &mut Vec<Action>) {
        let theirs = beat.preference;
        let newer = theirs.revision > self.preference.revision
            || (theirs.revision == self.preference.revision && beat.node == Node::A);
        if newer && theirs != self.preference {
            self.preference = theirs;
            out.push(Action::SavePreference(theirs));
        }
        if matches!(beat.role, Role::Taking | Role::Active) {
            self.granted_until = None;
            self.contest(beat, out);
        }
    }

    fn take_reading(&mut self, number: u32, reading: Option<Reading>, out: &mut Vec<Action>) {
        if self.array.pending != Some(number) {
            return;
        }
        self.array.pending = None;
        let Some(reading) = reading else {
            self.array.failures = self.array.failures.saturating_add(1);
            return;
        };
        self.array.failures = 0;
        let pair_id = self.config.pair_id;
        for key in reading.keys.iter().filter_map(|raw| Key::decode(*raw, pair_id)) {
            self.epoch = self.epoch.max(key.epoch());
        }
        if let Some(key) = reading.holder.and_then(|holder| Key::decode(holder.key, pair_id)) {
            self.epoch = self.epoch.max(key.epoch());
            self.last_owner = Some(key.node());
        }
        self.judge(&reading, out);
        self.array.last = Some(reading);
    }

    fn take_public_link(&mut self, up: bool) {
        self.public_lost_at = if up { None } else { self.public_lost_at.or(Some(self.now)) };
    }

    /// How long the other box has been a ready standby, and how long nobody has had the group.
    fn watch_peer(&mut self) {
        let peer = self.evidence.alive(self.now, self.config.dead_time_ms);
        let well = peer.is_some_and(|beat| beat.role == Role::Standby && beat.ability == Ability::Ready);
        let idle = peer.is_some_and(|beat| !beat.role.claims());
        let offered = peer.is_some_and(|beat| beat.role == Role::Active && beat.hand_over == HandOver::Offer);
        let forgotten =
            peer.is_some_and(|beat| beat.role == Role::Active) && self.reserved() == Reserved::Nobody;
        let now = self.now;
        let keep = |since: Option<Time>, lasts: bool| if lasts { since.or(Some(now)) } else { None };
        self.peer_well_since = keep(self.peer_well_since, well);
        self.ownerless_since = keep(self.ownerless_since, idle && matches!(self.state, State::Watching));
        self.forgotten_since = keep(self.forgotten_since, forgotten);
        if offered && self.offered_since.is_none() {
            self.array.due = self.now;
        }
        self.offered_since = keep(self.offered_since, offered);
        self.forget_fault();
        self.hold_on();
        for until in
            [&mut self.granted_until, &mut self.asking_until, &mut self.retry_at, &mut self.mail_hold_until]
        {
            if until.is_some_and(|end| now >= end) {
                *until = None;
            }
        }
    }

    /// What failed here is history once the other box serves and this one could again.
    fn forget_fault(&mut self) {
        let peer_serves = matches!(self.peer_seen(), PeerSeen::Alive { role: Role::Active, .. });
        if self.last_fault.is_some() && peer_serves && self.ability() == Ability::Ready {
            self.last_fault = None;
        }
    }

    // What goes out

    fn read_if_due(&mut self, out: &mut Vec<Action>) {
        if self.now < self.array.due {
            return;
        }
        if self.array.pending.is_some() {
            if self.now.since_ms(self.array.asked_at) < READ_ANSWER_MAX_MS {
                return;
            }
            self.array.failures = self.array.failures.saturating_add(1);
        }
        let holding = self.lease.in_force.is_some();
        let every_ms = if holding { self.config.lease_ms / 3 } else { WATCH_READ_MS };
        self.array.number = self.array.number.wrapping_add(1);
        self.array.pending = Some(self.array.number);
        self.array.asked_at = self.now;
        self.array.due = self.now + every_ms;
        out.push(Action::Read { number: self.array.number });
    }

    fn beat_if_due(&mut self, out: &mut Vec<Action>) {
        let mut beat = self.beat();
        let same = |last: &Beat| Beat { seq: 0, ..*last } == beat;
        // A change is told at once.
        if self.now < self.beat_due && self.last_beat.as_ref().is_some_and(same) {
            return;
        }
        self.seq = self.seq.wrapping_add(1);
        beat.seq = self.seq;
        self.beat_due = self.now + self.config.beat_ms;
        self.last_beat = Some(beat);
        out.push(Action::Beat { beat, slot: self.valid_proof() });
    }

    /// What this box says of itself now, still without a number.
    fn beat(&self) -> Beat {
        Beat {
            group: self.config.group,
            node: self.config.node,
            boot: self.config.boot,
            seq: 0,
            epoch: self.epoch,
            claim: self.lease.key.map_or(0, Key::epoch),
            role: self.role(),
            ability: self.ability(),
            hand_over: self.hand_over(),
            public_up: self.public_lost_at.is_none(),
            preference: self.preference,
        }
    }

    fn hand_over(&self) -> HandOver {
        match self.state {
            State::Active(_) if self.lapsed_ms() > self.config.lease_ms / 3 => HandOver::Offer,
            State::Watching if self.asking_until.is_some() => HandOver::Ask,
            State::Watching if self.granted_until.is_some() => HandOver::Granted,
            _ => HandOver::None,
        }
    }

    fn demand_reset(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        if let State::Fenced { reason, demanded_at } = &mut self.state
            && now.since_ms(*demanded_at) >= RESET_REPEAT_MS
        {
            *demanded_at = now;
            out.push(Action::Reset { reason: reason.clone() });
        }
    }

    // What all parts need

    /// What this box does, as it tells the other one.
    pub fn role(&self) -> Role {
        match self.state {
            State::Watching if self.ability() == Ability::ArrayTaken => Role::Undecided,
            State::Watching if self.settled => Role::Standby,
            State::Watching => Role::Starting,
            State::Taking(_) => Role::Taking,
            State::Active(_) if self.lacks(Mutant::OwnerSaysStandby) => Role::Standby,
            State::Active(_) => Role::Active,
            State::Releasing(_) => Role::Releasing,
            State::Fenced { .. } => Role::Fenced,
        }
    }

    /// Whether this box could serve the group.
    pub fn ability(&self) -> Ability {
        if self.maintenance {
            return Ability::Maintenance;
        }
        match self.array_ability() {
            Ability::Ready => {}
            other => return other,
        }
        let mail_failed = matches!(&self.state, State::Active(serving) if serving.mail_failed);
        if self.retry_at.is_some() {
            Ability::TakeFailed
        } else if mail_failed || self.mail_hold_until.is_some() {
            Ability::MailFailed
        } else if self.public_lost_at.is_some() {
            Ability::PublicLost
        } else {
            Ability::Ready
        }
    }

    fn array_ability(&self) -> Ability {
        if self.lease.in_force.is_some() {
            return if self.lease.lapsed_at.is_some() { Ability::ArrayLost } else { Ability::Ready };
        }
        if self.array.failures >= READ_FAILURES_MAX {
            return Ability::ArrayLost;
        }
        let (Some(reading), Some(slots)) = (&self.array.last, self.evidence.slots_read_at()) else {
            return Ability::Unknown;
        };
        if self.now.since_ms(reading.started) > READING_FRESH_MS
            || self.now.since_ms(slots) > READING_FRESH_MS
        {
            return Ability::ArrayLost;
        }
        if reading.holder.is_some_and(|holder| Key::decode(holder.key, self.config.pair_id).is_none()) {
            return Ability::ArrayTaken;
        }
        Ability::Ready
    }

    fn record(&self, decision: Decided, cause: String, phases: Vec<Phase>, out: &mut Vec<Action>) {
        let detect_ms = match (&self.state, decision) {
            (_, Decided::Take) => Some(self.unheard_ms()),
            (_, Decided::Taken) => self.last_takeover.as_ref().map(|takeover| takeover.detect_ms),
            (State::Taking(take), _) => Some(take.detect_ms()),
            _ => None,
        };
        let (epoch, sight) = (self.epoch, self.sight());
        out.push(Action::Record(Record { at: self.now, decision, cause, epoch, sight, detect_ms, phases }));
    }

    fn next_run(&mut self) -> u32 {
        self.runs = self.runs.wrapping_add(1);
        self.runs
    }
}
