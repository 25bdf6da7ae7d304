//! What is sent about alarms, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An alarm must last so long before anybody is told, in milliseconds.
const SETTLE_MS: u64 = 10_000;
/// It must be gone so long before it counts as over, in milliseconds.
const CALM_MS: u64 = 60_000;
/// Between two reminders of one alarm, in milliseconds.
const REMIND_MS: u64 = DAY_MS;
/// Begins of one alarm within [`FLAP_WINDOW_MS`] after which only its flapping is told.
const FLAPS_MAX: u32 = 3;
/// The time in which begins are counted, in milliseconds.
const FLAP_WINDOW_MS: u64 = 60 * 60_000;
/// A flapping alarm must be gone so long before it counts as over, in milliseconds.
const FLAP_CALM_MS: u64 = 60 * 60_000;
const DAY_MS: u64 = 24 * 60 * 60_000;
/// Most alarms kept in mind; the boxes have about twenty.
pub const CODES_MAX: usize = 64;
/// Most notices of one alarm within any day: whatever the alarm does.
pub const NOTICES_MAX_PER_DAY: u32 = 24;

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It began.
    Raised,
    /// It is over.
    Cleared,
    /// It lasts.
    Reminder,
    /// It comes and goes; nothing more is told until it has been calm.
    Flapping,
    /// Something happened that is no state: a takeover, the end of a drill.
    Event,
    /// The operator wants to see whether it arrives.
    Test,
}

impl Kind {
    /// Stable word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
            Self::Reminder => "reminder",
            Self::Flapping => "flapping",
            Self::Event => "event",
            Self::Test => "test",
        }
    }
}

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Running number; it goes on over restarts.
    pub number: u64,
    /// Why.
    pub kind: Kind,
    /// Stable word of the alarm.
    pub code: String,
    /// The sentence, in English.
    pub text: String,
    /// When the alarm began, or the event was, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When this was decided, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// What is known of one alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    text: String,
    /// When it began, this time.
    since: u64,
    /// When it was last there.
    last_seen: u64,
    /// It is there now.
    here: bool,
    /// People were told that it began, and not yet that it is over.
    told: bool,
    /// When something was last told of it.
    told_at: u64,
    flapping: bool,
    /// Begins that were told in the present window, and when that began.
    begins: u32,
    window_since: u64,
    /// Notices in the present day, and when that began.
    day_notices: u32,
    day_since: u64,
}

/// Decides what is sent. It may be written down and read again: nothing is told twice for that.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dispatcher {
    known: BTreeMap<String, Known>,
    number: u64,
}

impl Dispatcher {
    /// The alarms there are now, each with its code and sentence; gives what is to be sent.
    ///
    /// `now` is in milliseconds since 1970. A clock that was set back is no reason to tell anything
    /// again; it only delays.
    pub fn observe<'a>(&mut self, now: u64, alarms: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Notice> {
        for known in self.known.values_mut() {
            known.here = false;
        }
        for (code, text) in alarms {
            if let Some(known) = self.known.get_mut(code) {
                known.see(now, text);
            } else if self.known.len() < CODES_MAX {
                self.known.insert(code.to_owned(), Known::new(now, text));
            }
        }
        let mut notices = Vec::new();
        for (code, known) in &mut self.known {
            let Some(kind) = known.decide(now) else { continue };
            self.number += 1;
            notices.push(Notice {
                number: self.number,
                kind,
                code: code.clone(),
                text: known.text.clone(),
                since_unix_ms: known.since,
                at_unix_ms: now,
            });
        }
        self.known.retain(|_, known| !known.is_forgettable(now));
        notices
    }

    /// Goes on at `now` with what was written down: the time in between says nothing about any alarm.
    pub fn resume(&mut self, now: u64) {
        for known in self.known.values_mut().filter(|known| known.told) {
            known.last_seen = known.last_seen.max(now);
        }
    }

    /// Something that happened; gives what is to be sent, unless there was too much of it today.
    pub fn event(&mut self, now: u64, code: &str, text: &str) -> Option<Notice> {
        if self.known.len() >= CODES_MAX && !self.known.contains_key(code) {
            return None;
        }
        let known = self.known.entry(code.to_owned()).or_insert_with(|| Known::new(now, text));
        // An event is over at once: it never lasts, and nothing clears it.
        known.here = false;
        known.since = now;
        known.last_seen = now;
        known.text.clone_from(&text.to_owned());
        if !known.may_tell(now) {
            return None;
        }
        known.note(now);
        self.number += 1;
        Some(self.plain(Kind::Event, now, code, text))
    }

    /// What the operator wants to see arrive.
    pub fn test(&mut self, now: u64, text: &str) -> Notice {
        self.number += 1;
        self.plain(Kind::Test, now, "test", text)
    }

    fn plain(&self, kind: Kind, now: u64, code: &str, text: &str) -> Notice {
        let (code, text) = (code.to_owned(), text.to_owned());
        Notice { number: self.number, kind, code, text, since_unix_ms: now, at_unix_ms: now }
    }
}

impl Known {
    fn new(now: u64, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            since: now,
            last_seen: now,
            here: true,
            told: false,
            told_at: now,
            flapping: false,
            begins: 0,
            window_since: now,
            day_notices: 0,
            day_since: now,
        }
    }

    fn see(&mut self, now: u64, text: &str) {
        // Gone for a while and not told: it begins afresh.
        if !self.told && now.saturating_sub(self.last_seen) > SETTLE_MS {
            self.since = now;
        }
        self.here = true;
        self.last_seen = now;
        text.clone_into(&mut self.text);
    }

    fn decide(&mut self, now: u64) -> Option<Kind> {
        if now.saturating_sub(self.window_since) >= FLAP_WINDOW_MS {
            self.begins = 0;
            self.window_since = now;
        }
        let gone_ms = if self.here { 0 } else { now.saturating_sub(self.last_seen) };
        let kind = if !self.told {
            let lasts = self.here && now.saturating_sub(self.since) >= SETTLE_MS;
            lasts.then_some(if self.begins >= FLAPS_MAX { Kind::Flapping } else { Kind::Raised })?
        } else if gone_ms >= if self.flapping { FLAP_CALM_MS } else { CALM_MS } && !self.here {
            Kind::Cleared
        } else if self.here && now.saturating_sub(self.told_at) >= REMIND_MS {
            Kind::Reminder
        } else {
            return None;
        };
        // That it is over is always told; everything else has a bound.
        if kind != Kind::Cleared && !self.may_tell(now) {
            return None;
        }
        match kind {
            Kind::Raised => (self.told, self.begins) = (true, self.begins + 1),
            Kind::Flapping => (self.told, self.flapping) = (true, true),
            Kind::Cleared => (self.told, self.flapping) = (false, false),
            Kind::Reminder | Kind::Event | Kind::Test => {}
        }
        self.note(now);
        Some(kind)
    }

    /// Half of the day's notices are kept for the ends of what was begun.
    fn may_tell(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.day_since) >= DAY_MS {
            self.day_notices = 0;
            self.day_since = now;
        }
        self.day_notices < NOTICES_MAX_PER_DAY / 2
    }

    fn note(&mut self, now: u64) {
        self.told_at = now;
        self.day_notices += 1;
    }

    /// Calm for a day: nothing of it is needed any more.
    fn is_forgettable(&self, now: u64) -> bool {
        !self.told && !self.here && now.saturating_sub(self.last_seen.max(self.told_at)) >= DAY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;

    fn kinds(notices: &[Notice]) -> Vec<Kind> {
        notices.iter().map(|notice| notice.kind).collect()
    }

    /// Observes every second from `from` to `to`; `there` says when the alarm is there.
    fn run(dispatcher: &mut Dispatcher, from: u64, to: u64, there: impl Fn(u64) -> bool) -> Vec<Notice> {
        let mut notices = Vec::new();
        for now in (from..to).step_by(1_000) {
            let alarm = there(now).then_some(("serial_lost", "the cable"));
            notices.extend(dispatcher.observe(now, alarm.into_iter()));
        }
        notices
    }

    #[test]
    fn it_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let mut dispatcher = Dispatcher::default();
        let notices = run(&mut dispatcher, 0, 30 * MINUTE, |now| now < 20 * MINUTE);
        assert_eq!(kinds(&notices), [Kind::Raised, Kind::Cleared]);
        assert_eq!((notices[0].number, notices[0].since_unix_ms), (1, 0));
        assert!(notices[0].at_unix_ms >= SETTLE_MS && notices[1].at_unix_ms >= 21 * MINUTE - 1_000);
    }

    #[test]
    fn what_is_over_in_a_moment_is_not_told() {
        let mut dispatcher = Dispatcher::default();
        let notices = run(&mut dispatcher, 0, 60 * MINUTE, |now| now % (10 * MINUTE) < 5_000);
        assert!(notices.is_empty(), "{notices:?}");
    }

    #[test]
    fn what_lasts_is_remembered_once_a_day() {
        let mut dispatcher = Dispatcher::default();
        let notices = run(&mut dispatcher, 0, 3 * DAY_MS + MINUTE, |_| true);
        assert_eq!(kinds(&notices), [Kind::Raised, Kind::Reminder, Kind::Reminder, Kind::Reminder]);
    }

    #[test]
    fn what_comes_and_goes_is_damped_and_ends_with_one_word() {
        let mut dispatcher = Dispatcher::default();
        // Half a minute there, two minutes away, for an hour.
        let flaps = |now: u64| now < 60 * MINUTE && now % 150_000 < 30_000;
        let notices = run(&mut dispatcher, 0, 4 * 60 * MINUTE, flaps);
        let kinds = kinds(&notices);
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Raised).count(), FLAPS_MAX as usize);
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Flapping).count(), 1);
        assert_eq!(kinds.last(), Some(&Kind::Cleared));
        assert_eq!(kinds.len(), 2 * FLAPS_MAX as usize + 2);
    }

    #[test]
    fn a_restart_tells_nothing_again() {
        let mut dispatcher = Dispatcher::default();
        run(&mut dispatcher, 0, MINUTE, |_| true);
        let text = serde_json::to_string(&dispatcher).unwrap();
        let mut again: Dispatcher = serde_json::from_str(&text).unwrap();
        // The box was off for an hour, and some alarms take a while to be found again.
        again.resume(61 * MINUTE);
        let notices = run(&mut again, 61 * MINUTE, 90 * MINUTE, |now| now > 61 * MINUTE + 20_000);
        assert!(notices.is_empty(), "{notices:?}");
        let over = run(&mut again, 90 * MINUTE, 100 * MINUTE, |_| false);
        assert_eq!(kinds(&over), [Kind::Cleared]);
        assert_eq!(over[0].number, 2);
    }

    #[test]
    fn events_are_told_each_and_not_without_end() {
        let mut dispatcher = Dispatcher::default();
        let told = (0..1_000).filter(|n| dispatcher.event(n * 1_000, "takeover", "x").is_some()).count();
        assert_eq!(told as u32, NOTICES_MAX_PER_DAY / 2);
        assert!(dispatcher.event(2 * DAY_MS, "takeover", "x").is_some());
        assert!(dispatcher.observe(3 * DAY_MS, std::iter::empty()).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_talk_without_end(
            steps in proptest::collection::vec((0_u64..200_000, any::<bool>()), 1..600)
        ) {
            let mut dispatcher = Dispatcher::default();
            let (mut now, mut notices) = (0, Vec::new());
            for (wait, there) in steps {
                now += wait;
                let alarm = there.then_some(("x", "y"));
                notices.extend(dispatcher.observe(now, alarm.into_iter()));
            }
            for notice in &notices {
                let day = notice.at_unix_ms..notice.at_unix_ms + DAY_MS;
                let count = notices.iter().filter(|other| day.contains(&other.at_unix_ms)).count();
                prop_assert!(count as u32 <= 2 * NOTICES_MAX_PER_DAY, "{count}");
            }
            // Begin and end take turns.
            let mut begun = false;
            for notice in &notices {
                match notice.kind {
                    Kind::Raised | Kind::Flapping => { prop_assert!(!begun); begun = true; }
                    Kind::Cleared => { prop_assert!(begun); begun = false; }
                    _ => prop_assert!(begun),
                }
            }
        }
    }
}
