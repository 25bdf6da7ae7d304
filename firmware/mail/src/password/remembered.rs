//! Passwords that were right a short while ago, as keyed hashes: a client that connects anew each minute
//! does not cost an Argon2 each time.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::SystemRandom;
use store::PasswordHash;

use crate::MailError;

/// A generation ends after so long; a password is remembered for one to two of them.
const GENERATION: Duration = Duration::from_mins(5);
/// Passwords of one generation; then it ends as well.
const GENERATION_MAX: usize = 50_000;

/// User, record and password under a key that dies with the process, so that what is remembered is worth
/// nothing outside it. A changed record is another mark: a password that was changed is forgotten at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark([u8; 32]);

/// What is remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    key: hmac::Key,
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    young: HashSet<Mark>,
    old: HashSet<Mark>,
    begun: Instant,
}

impl Generations {
    fn advance(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.begun);
        if age >= GENERATION || self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
            self.begun = now;
        }
        // Nobody came for so long that these are too old as well.
        if age >= GENERATION * 2 {
            self.old = HashSet::new();
        }
    }
}

impl Remembered {
    pub(super) fn new() -> Result<Self, MailError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| MailError::Password("the system has no randomness"))?;
        let generations = Generations { young: HashSet::new(), old: HashSet::new(), begun: Instant::now() };
        Ok(Self { key, generations: Mutex::new(generations) })
    }

    pub(super) fn mark(&self, user: &str, password: &str, record: &PasswordHash) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, &record.0, password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut mark = [0; 32];
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Mark(mark)
    }

    pub(super) fn holds(&self, mark: Mark, now: Instant) -> bool {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.advance(now);
        generations.young.contains(&mark) || generations.old.contains(&mark)
    }

    pub(super) fn add(&self, mark: Mark, now: Instant) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.advance(now);
        generations.young.insert(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_of_the_same_record_is_remembered() {
        let remembered = Remembered::new().unwrap();
        let record = PasswordHash("record".into());
        let mark = remembered.mark("u", "p", &record);
        let now = Instant::now();
        assert!(!remembered.holds(mark, now));
        remembered.add(mark, now);
        assert!(remembered.holds(mark, now));
        for other in [
            remembered.mark("u", "q", &record),
            remembered.mark("v", "p", &record),
            remembered.mark("u", "p", &PasswordHash("changed".into())),
            remembered.mark("up", "", &record),
        ] {
            assert!(!remembered.holds(other, now));
        }
        assert!(remembered.holds(mark, now + GENERATION));
        assert!(!remembered.holds(mark, now + GENERATION * 2));
        remembered.add(mark, now);
        assert!(!remembered.holds(mark, now + GENERATION * 9));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (remembered, now) = (Remembered::new().unwrap(), Instant::now());
        let record = PasswordHash("record".into());
        let mark = |number: usize| remembered.mark(&number.to_string(), "p", &record);
        for number in 0..GENERATION_MAX * 3 {
            remembered.add(mark(number), now);
        }
        let generations = remembered.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= GENERATION_MAX * 2);
        drop(generations);
        assert!(remembered.holds(mark(GENERATION_MAX * 3 - 1), now) && !remembered.holds(mark(0), now));
    }
}
