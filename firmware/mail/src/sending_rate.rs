//! How much each account, and each domain, has sent in the last hour and day.
//!
//! Kept in memory: after a restart or a takeover it counts anew, which errs on the side of the user.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use smtp::server::Refusal;
use store::{AccountId, DomainId, SendingRate};

/// Seconds of one slot; an hour is forgotten in so many steps.
const SLOT_S: u64 = 300;
const HOUR_SLOTS: u64 = 12;
const DAY_SLOTS: u64 = 288;
/// Senders remembered; those that sent longest ago go first.
const SENDERS_MAX: usize = 100_000;

/// Who sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Account(AccountId),
    /// All users of a domain together.
    Domain(DomainId),
}

/// What was sent.
#[derive(Debug, Default)]
pub(crate) struct SendingRates {
    senders: Mutex<HashMap<Sender, VecDeque<Slot>>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    messages: u64,
    recipients: u64,
}

impl SendingRates {
    /// Whether a sender may send one more message to so many recipients.
    pub(crate) fn check(
        &self,
        sender: Sender,
        limits: &SendingRate,
        recipients: u64,
        unix_s: u64,
    ) -> Result<(), Refusal> {
        if *limits == SendingRate::default() {
            return Ok(());
        }
        let (hour, day) = {
            let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = senders.get(&sender);
            let sent = |back: u64| {
                let oldest = (unix_s / SLOT_S).saturating_sub(back - 1);
                let recent = slots.into_iter().flatten().filter(|slot| slot.number >= oldest);
                recent.fold((0, 0), |(messages, to), slot| (messages + slot.messages, to + slot.recipients))
            };
            (sent(HOUR_SLOTS), sent(DAY_SLOTS))
        };
        let room = |limit: Option<u64>, sent: u64, more: u64| limit.is_none_or(|limit| sent + more <= limit);
        let fits = room(limits.messages_hour, hour.0, 1)
            && room(limits.messages_day, day.0, 1)
            && room(limits.recipients_hour, hour.1, recipients)
            && room(limits.recipients_day, day.1, recipients);
        if fits {
            return Ok(());
        }
        // Waiting does not help a message with more recipients than ever fit.
        let most = limits.recipients_hour.into_iter().chain(limits.recipients_day).min();
        let never = most.is_some_and(|most| recipients > most)
            || limits.messages_day == Some(0)
            || limits.messages_hour == Some(0);
        Err(if never { Refusal::NeverSo } else { Refusal::TooFast })
    }

    /// A message was taken.
    pub(crate) fn note(&self, sender: Sender, recipients: u64, unix_s: u64) {
        let number = unix_s / SLOT_S;
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= SENDERS_MAX && !senders.contains_key(&sender) {
            let oldest = number.saturating_sub(DAY_SLOTS);
            senders.retain(|_, slots| slots.back().is_some_and(|slot| slot.number > oldest));
            if senders.len() >= SENDERS_MAX {
                return;
            }
        }
        let slots = senders.entry(sender).or_default();
        while slots.front().is_some_and(|slot| slot.number + DAY_SLOTS <= number) {
            slots.pop_front();
        }
        match slots.back_mut().filter(|slot| slot.number == number) {
            Some(slot) => {
                slot.messages += 1;
                slot.recipients += recipients;
            }
            None => slots.push_back(Slot { number, messages: 1, recipients }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Sender = Sender::Account(AccountId(7));
    const NOW: u64 = 1_795_364_400;

    #[test]
    fn an_hour_is_full_and_empties_again() {
        let rates = SendingRates::default();
        let limits =
            SendingRate { messages_hour: Some(2), recipients_day: Some(5), ..SendingRate::default() };
        for _ in 0..2 {
            assert_eq!(rates.check(WHO, &limits, 2, NOW), Ok(()));
            rates.note(WHO, 2, NOW);
        }
        assert_eq!(rates.check(WHO, &limits, 1, NOW), Err(Refusal::TooFast));
        assert_eq!(rates.check(Sender::Domain(DomainId(7)), &limits, 1, NOW), Ok(()));
        assert_eq!(rates.check(WHO, &limits, 1, NOW + 3600), Ok(()));
        assert_eq!(rates.check(WHO, &limits, 2, NOW + 3600), Err(Refusal::TooFast));
        assert_eq!(rates.check(WHO, &limits, 6, NOW + 3600), Err(Refusal::NeverSo));
        assert_eq!(rates.check(WHO, &limits, 5, NOW + 86_400), Ok(()));
        assert_eq!(rates.check(WHO, &SendingRate::default(), 1_000, NOW), Ok(()));
    }
}
