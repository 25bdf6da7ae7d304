//! What was heard of the other box, on each medium.

use crate::{Beat, Medium, Time};

/// Earlier starts of the other box that are remembered, so that a late frame of one is not believed.
const BOOTS_MAX: usize = 4;

/// While one start of the other box is being heard, an earlier one is not believed. After so long,
/// in milliseconds, it is: perhaps the later one was the mistake.
const BOOT_CHANGE_MS: u64 = 2_000;

/// What one medium brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// When the last new beat came.
    pub at: Option<Time>,
    /// New beats so far.
    pub good: u64,
    /// Start and number of the last beat.
    last: Option<(u32, u32)>,
}

/// What was heard of the other box.
#[derive(Debug, Clone)]
pub struct Evidence {
    media: [Heard; Medium::ALL.len()],
    /// Silence counts only from here: before, this box itself was not listening.
    listening_since: Time,
    slots_read_at: Option<Time>,
    newest: Option<Beat>,
    newest_at: Time,
    earlier_boots: [u32; BOOTS_MAX],
    boots: usize,
}

impl Evidence {
    /// Nothing heard; listening from `now` on.
    pub fn new(now: Time) -> Self {
        Self {
            media: [Heard::default(); Medium::ALL.len()],
            listening_since: now,
            slots_read_at: None,
            newest: None,
            newest_at: now,
            earlier_boots: [0; BOOTS_MAX],
            boots: 0,
        }
    }

    /// This box was deaf until `now`: silence begins to count again.
    pub fn deaf_until(&mut self, now: Time) {
        self.listening_since = now;
    }

    /// Takes a beat from a cable; false if it is not newer than the last one there.
    pub fn hear(&mut self, medium: Medium, beat: &Beat, at: Time) -> bool {
        let heard = &mut self.media[medium as usize];
        if heard.last.is_some_and(|(boot, seq)| boot == beat.boot && beat.seq <= seq) {
            return false;
        }
        heard.last = Some((beat.boot, beat.seq));
        heard.at = Some(at);
        heard.good += 1;
        self.believe(beat, at)
    }

    /// Takes the other box's slot as read by a read that was started at `started`.
    ///
    /// What stood there at the first look may be years old: only a change shows life.
    pub fn read_slot(&mut self, slot: Option<&Beat>, started: Time) -> bool {
        let first = self.slots_read_at.is_none();
        if self.slots_read_at.is_none_or(|before| before < started) {
            self.slots_read_at = Some(started);
        }
        let Some(beat) = slot else { return false };
        let heard = &mut self.media[Medium::Array as usize];
        let found = Some((beat.boot, beat.seq));
        if found == heard.last {
            return false;
        }
        heard.last = found;
        if first {
            // Beside an older frame of the same start it is news all the same.
            if self.newest.is_none_or(|newest| newest.boot == beat.boot) {
                self.believe(beat, started);
            }
            return false;
        }
        heard.at = Some(started);
        heard.good += 1;
        self.believe(beat, started)
    }

    /// Keeps what the newest beat says, whichever medium brought it.
    fn believe(&mut self, beat: &Beat, at: Time) -> bool {
        if let Some(newest) = self.newest {
            if newest.boot == beat.boot && beat.seq <= newest.seq {
                return false;
            }
            if newest.boot != beat.boot {
                let known = self.earlier_boots[..self.boots.min(BOOTS_MAX)].contains(&beat.boot);
                if known && at.since_ms(self.newest_at) < BOOT_CHANGE_MS {
                    return false;
                }
                self.earlier_boots[self.boots % BOOTS_MAX] = newest.boot;
                self.boots += 1;
            }
        }
        self.newest = Some(*beat);
        self.newest_at = at;
        true
    }

    /// What one medium brought.
    pub fn medium(&self, medium: Medium) -> Heard {
        self.media[medium as usize]
    }

    /// When the last successful read of the slots was started.
    pub fn slots_read_at(&self) -> Option<Time> {
        self.slots_read_at
    }

    /// The last sign of life on any medium.
    pub fn last_sign(&self) -> Option<Time> {
        self.media.iter().filter_map(|heard| heard.at).max()
    }

    /// What the other box said last, if any medium is fresh.
    pub fn alive(&self, now: Time, dead_time_ms: u64) -> Option<&Beat> {
        let sign = self.last_sign()?;
        if now.since_ms(sign) < dead_time_ms { self.newest.as_ref() } else { None }
    }

    /// Whether one medium brought a beat within the dead time.
    pub fn is_fresh(&self, medium: Medium, now: Time, dead_time_ms: u64) -> bool {
        self.medium(medium).at.is_some_and(|at| now.since_ms(at) < dead_time_ms)
    }

    /// Whether this box has listened for the dead time, so that what it did not hear means something.
    pub fn has_listened(&self, now: Time, dead_time_ms: u64) -> bool {
        now.since_ms(self.listening_since) >= dead_time_ms
    }

    /// Whether the other box is silent on all media: both cables, and the slot.
    pub fn is_silent(&self, now: Time, dead_time_ms: u64) -> bool {
        Medium::ALL.into_iter().all(|medium| self.is_silent_on(medium, now, dead_time_ms))
    }

    /// Whether one medium has been silent for the dead time. The slot must have been read, successfully,
    /// a full dead time after its last change.
    pub(crate) fn is_silent_on(&self, medium: Medium, now: Time, dead_time_ms: u64) -> bool {
        let since = self.medium(medium).at.map_or(self.listening_since, |at| at.max(self.listening_since));
        match medium {
            Medium::Serial | Medium::Private => now.since_ms(since) >= dead_time_ms,
            Medium::Array => self.slots_read_at.is_some_and(|read| read.since_ms(since) >= dead_time_ms),
        }
    }

    /// What the other box said last, however long ago.
    pub fn newest(&self) -> Option<&Beat> {
        self.newest.as_ref()
    }
}

/// What everything rests on, but for what is only counted.
#[cfg(any(test, feature = "checking"))]
pub(crate) type Parts<'a> =
    ([Heard; Medium::ALL.len()], Time, Option<Time>, Option<&'a Beat>, Time, &'a [u32]);

#[cfg(any(test, feature = "checking"))]
impl Evidence {
    pub(crate) fn parts(&self) -> Parts<'_> {
        let Self { media, listening_since, slots_read_at, newest, newest_at, earlier_boots, boots } = self;
        let known = &earlier_boots[..(*boots).min(BOOTS_MAX)];
        (*media, *listening_since, *slots_read_at, newest.as_ref(), *newest_at, known)
    }
}

#[cfg(any(test, feature = "checking"))]
impl Heard {
    pub(crate) fn last_beat(&self) -> Option<(u32, u32)> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ability, HandOver, Node, Preference, Role};

    const DEAD_MS: u64 = 2_400;

    fn beat(boot: u32, seq: u32) -> Beat {
        Beat {
            group: 0,
            node: Node::B,
            boot,
            seq,
            epoch: 1,
            claim: 0,
            role: Role::Standby,
            ability: Ability::Ready,
            hand_over: HandOver::None,
            public_up: true,
            preference: Preference::default(),
        }
    }

    #[test]
    fn one_fresh_medium_is_life_and_all_must_be_silent() {
        let mut evidence = Evidence::new(Time(0));
        assert!(evidence.hear(Medium::Serial, &beat(1, 1), Time(100)));
        evidence.read_slot(Some(&beat(1, 1)), Time(2_600));
        assert!(!evidence.is_silent(Time(2_499), DEAD_MS));
        assert!(evidence.is_silent(Time(2_600), DEAD_MS));
        evidence.hear(Medium::Private, &beat(1, 2), Time(2_600));
        assert!(!evidence.is_silent(Time(2_700), DEAD_MS));
        assert_eq!(evidence.alive(Time(2_700), DEAD_MS).unwrap().seq, 2);
    }

    #[test]
    fn a_slot_that_was_not_read_is_not_silent() {
        let mut evidence = Evidence::new(Time(0));
        assert!(!evidence.is_silent(Time(60_000), DEAD_MS));
        evidence.read_slot(None, Time(1_000));
        assert!(!evidence.is_silent(Time(60_000), DEAD_MS));
        evidence.read_slot(None, Time(60_000));
        assert!(evidence.is_silent(Time(60_000), DEAD_MS));
    }

    #[test]
    fn what_stood_in_the_slot_at_the_first_look_is_no_sign_of_life() {
        let mut evidence = Evidence::new(Time(0));
        assert!(!evidence.read_slot(Some(&beat(1, 500)), Time(10)));
        assert!(evidence.alive(Time(20), DEAD_MS).is_none());
        assert!(evidence.read_slot(Some(&beat(1, 501)), Time(210)));
        assert!(evidence.alive(Time(220), DEAD_MS).is_some());
    }

    #[test]
    fn a_repeated_or_late_frame_is_no_sign_of_life() {
        let mut evidence = Evidence::new(Time(0));
        assert!(evidence.hear(Medium::Serial, &beat(1, 7), Time(0)));
        assert!(!evidence.hear(Medium::Serial, &beat(1, 7), Time(900)));
        assert!(!evidence.hear(Medium::Serial, &beat(1, 6), Time(900)));
        assert_eq!(evidence.medium(Medium::Serial).at, Some(Time(0)));
    }

    #[test]
    fn what_an_earlier_start_of_the_peer_said_is_not_believed_again() {
        let mut evidence = Evidence::new(Time(0));
        evidence.hear(Medium::Serial, &beat(1, 900), Time(0));
        assert!(evidence.hear(Medium::Serial, &beat(2, 1), Time(100)));
        assert!(!evidence.hear(Medium::Private, &beat(1, 901), Time(200)));
        assert_eq!(evidence.newest().unwrap().boot, 2);
    }

    #[test]
    fn a_box_that_was_deaf_starts_counting_silence_afresh() {
        let mut evidence = Evidence::new(Time(0));
        evidence.hear(Medium::Serial, &beat(1, 1), Time(0));
        evidence.deaf_until(Time(30_000));
        evidence.read_slot(None, Time(30_100));
        assert!(!evidence.is_silent(Time(30_100), DEAD_MS));
        evidence.read_slot(None, Time(32_400));
        assert!(evidence.is_silent(Time(32_400), DEAD_MS));
    }
}
