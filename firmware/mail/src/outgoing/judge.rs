//! What an answer means for a recipient: done, given up, or later; and what its sender hears of it.

use smtp::client::Verdict;
use smtp::notice::Kind;
use smtp::{Reply, schedule};
use store::{DueItem, Outcome};

/// NOTIFY as the store keeps it.
const SUCCESS: u8 = 0b001;
const FAILURE: u8 = 0b010;
const DELAY: u8 = 0b100;
/// How long something that has come to its end without ever having been tried still gets.
const LAST_CHANCE_MS: u64 = 30 * 60 * 1000;

/// What one try, or an alarm, comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) outcome: Outcome,
    /// What the sender hears; whether it wants to is in [`wants`].
    pub(super) notice: Option<Kind>,
    /// Status code of the notice.
    pub(super) status: String,
    /// What was said.
    pub(super) said: String,
}

/// After a try. `dsn_passed`: the other side reports itself what becomes of it. `not_before_ms`: the
/// destination is left alone until then.
pub(super) fn after_try(
    item: &DueItem,
    verdict: &Verdict,
    dsn_passed: bool,
    not_before_ms: u64,
    now_ms: u64,
    random: u32,
) -> Judgement {
    let reply = verdict.reply();
    let judgement = |outcome, notice, status| Judgement { outcome, notice, status, said: reply.to_string() };
    match verdict {
        Verdict::Delivered(_) => {
            let traced = item.envelope.deliver_by.is_some_and(|by| by.trace);
            let tell = !dsn_passed && (item.recipient.notify & SUCCESS != 0 || traced);
            judgement(Outcome::Finished, tell.then_some(Kind::Relayed), reply.status_or_class())
        }
        Verdict::Refused(_) => judgement(Outcome::Finished, Some(Kind::Failed), reply.status_or_class()),
        Verdict::Deferred(_) if now_ms >= last_ms(item) => {
            judgement(Outcome::Finished, Some(Kind::Failed), late_status(reply))
        }
        Verdict::Deferred(_) => {
            let wait_s = schedule::wait_s(item.attempts + 1, random);
            let next_ms = (now_ms + wait_s * 1000).max(not_before_ms).min(last_ms(item).max(now_ms));
            let late = is_late(item, now_ms);
            let outcome = deferred(item, next_ms, reply.to_string(), late, now_ms, true);
            judgement(outcome, late.then_some(Kind::Delayed), reply.status_or_class())
        }
    }
}

/// When an alarm has come and nobody is trying just now. `destination_waits`: the destination is left
/// alone at present, `why` is what was heard last.
pub(super) fn after_alarm(item: &DueItem, destination_waits: bool, why: &str, now_ms: u64) -> Judgement {
    let judgement = |outcome, notice, status: &str| Judgement {
        outcome,
        notice,
        status: status.to_owned(),
        said: why.to_owned(),
    };
    let too_late = item.envelope.deliver_by.is_some_and(|by| by.return_late && now_ms >= by.until_ms);
    if now_ms >= last_ms(item) {
        let never_tried = item.attempts == 0 && !destination_waits && !too_late;
        // Once, and only where the server itself was away so long that nothing could be tried.
        if never_tried && item.envelope.alarm_ms <= item.envelope.expires_ms {
            let outcome = Outcome::Deferred {
                next_ms: now_ms,
                error: why.to_owned(),
                delay_noticed: item.delay_noticed,
                alarm_ms: now_ms + LAST_CHANCE_MS,
                tried: false,
            };
            return judgement(outcome, None, "4.4.7");
        }
        return judgement(Outcome::Finished, Some(Kind::Failed), "5.4.7");
    }
    let late = is_late(item, now_ms);
    let outcome = deferred(item, item.envelope.first_try_ms, why.to_owned(), late, now_ms, false);
    judgement(outcome, late.then_some(Kind::Delayed), "4.4.7")
}

/// Whether the sender wants to hear of it (RFC 3461 4.1, RFC 2852 4.1.2).
pub(super) fn wants(item: &DueItem, kind: Kind) -> bool {
    let notify = item.recipient.notify;
    match kind {
        Kind::Failed => notify & FAILURE != 0,
        Kind::Delayed => {
            let by = item.envelope.deliver_by.is_some_and(|by| !by.return_late);
            notify & DELAY != 0 || (by && notify != 0)
        }
        Kind::Relayed | Kind::Delivered | Kind::Expanded => {
            let traced = item.envelope.deliver_by.is_some_and(|by| by.trace);
            notify & SUCCESS != 0 || (traced && notify != 0)
        }
    }
}

/// When it is given up.
fn last_ms(item: &DueItem) -> u64 {
    let deadline = item.envelope.deliver_by.filter(|by| by.return_late).map(|by| by.until_ms);
    deadline.unwrap_or(u64::MAX).min(item.envelope.expires_ms)
}

/// When its sender hears that it is late.
fn delay_ms(item: &DueItem) -> u64 {
    // What was to be held back is not late before its time.
    let begun_ms = item.accepted_ms.max(item.envelope.expires_ms.saturating_sub(schedule::EXPIRE_S * 1000));
    let deadline = item.envelope.deliver_by.filter(|by| !by.return_late).map(|by| by.until_ms);
    deadline.unwrap_or(u64::MAX).min(begun_ms + schedule::DELAY_NOTICE_S * 1000)
}

fn is_late(item: &DueItem, now_ms: u64) -> bool {
    !item.delay_noticed && now_ms >= delay_ms(item)
}

fn deferred(item: &DueItem, next_ms: u64, error: String, late: bool, now_ms: u64, tried: bool) -> Outcome {
    let noticed = item.delay_noticed || late;
    let delay = if noticed { u64::MAX } else { delay_ms(item) };
    Outcome::Deferred {
        next_ms,
        error,
        delay_noticed: late,
        alarm_ms: delay.min(last_ms(item)).max(now_ms + 1000),
        tried,
    }
}

/// A try that may be repeated becomes final by time (RFC 3463 3.5, X.4.7).
fn late_status(reply: &Reply) -> String {
    if reply.is_permanent() { reply.status_or_class() } else { "5.4.7".to_owned() }
}

/// When something is to be said about a new message if it still waits, milliseconds since 1970.
pub(crate) fn first_alarm_ms(begun_ms: u64, expires_ms: u64, deadline_ms: Option<u64>) -> u64 {
    (begun_ms + schedule::DELAY_NOTICE_S * 1000).min(expires_ms).min(deadline_ms.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use store::{BodyId, BodyRef, DeliverBy, Outgoing, OutgoingRecipient, QueueId};

    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const BEGUN_MS: u64 = 1_000_000_000;

    fn item() -> DueItem {
        DueItem {
            id: QueueId(1),
            message: 1,
            recipient: OutgoingRecipient { address: "x@far.test".into(), notify: 6, original: None },
            destination: "far.test".into(),
            attempts: 0,
            delay_noticed: false,
            accepted_ms: BEGUN_MS,
            last_error: None,
            envelope: Outgoing {
                sender: "a@b".into(),
                first_try_ms: BEGUN_MS,
                alarm_ms: BEGUN_MS + 4 * HOUR_MS,
                expires_ms: BEGUN_MS + schedule::EXPIRE_S * 1000,
                ..Outgoing::default()
            },
            body: BodyRef { id: BodyId(1), segment: 1, length: 1, offset: 0 },
        }
    }

    fn by(hours: u64, return_late: bool) -> DueItem {
        let deliver_by = Some(DeliverBy { until_ms: BEGUN_MS + hours * HOUR_MS, return_late, trace: false });
        DueItem { envelope: Outgoing { deliver_by, ..item().envelope }, ..item() }
    }

    fn later() -> Verdict {
        Verdict::Deferred(Reply::new(451, "4.3.0", "later"))
    }

    fn times(judgement: &Judgement) -> (u64, u64) {
        match judgement.outcome {
            Outcome::Deferred { next_ms, alarm_ms, .. } => (next_ms, alarm_ms),
            Outcome::Finished => panic!("{judgement:?}"),
        }
    }

    #[test]
    fn a_message_is_tried_then_late_then_given_up() {
        let first = after_try(&item(), &later(), false, 0, BEGUN_MS, 0);
        assert_eq!((first.notice, times(&first)), (None, (BEGUN_MS + 60_000, BEGUN_MS + 4 * HOUR_MS)));
        let waits = after_try(&item(), &later(), false, BEGUN_MS + HOUR_MS, BEGUN_MS, 0);
        assert_eq!(times(&waits).0, BEGUN_MS + HOUR_MS);
        let late = after_try(&item(), &later(), false, 0, BEGUN_MS + 5 * HOUR_MS, 0);
        assert_eq!((late.notice, times(&late).1), (Some(Kind::Delayed), item().envelope.expires_ms));
        let told = DueItem { delay_noticed: true, attempts: 40, ..item() };
        let end = told.envelope.expires_ms;
        assert_eq!(after_try(&told, &later(), false, 0, BEGUN_MS + 5 * HOUR_MS, 0).notice, None);
        assert_eq!(times(&after_try(&told, &later(), false, 0, end - 5, 0)).0, end);
        let failed = after_try(&told, &later(), false, 0, end, 0);
        assert_eq!(
            (failed.outcome, failed.notice, failed.status.as_str()),
            (Outcome::Finished, Some(Kind::Failed), "5.4.7")
        );
    }

    #[test]
    fn alarms_speak_for_what_is_not_tried() {
        let late = after_alarm(&item(), true, "dead", BEGUN_MS + 4 * HOUR_MS);
        assert_eq!(
            (late.notice, times(&late)),
            (Some(Kind::Delayed), (BEGUN_MS, item().envelope.expires_ms))
        );
        let end = item().envelope.expires_ms;
        assert_eq!(after_alarm(&item(), true, "dead", end).notice, Some(Kind::Failed));
        // A server that was off for a week tries once before it gives up.
        let chance = after_alarm(&item(), false, "", end + 1);
        assert_eq!((chance.notice, times(&chance).0), (None, end + 1));
        let mut again = item();
        again.envelope.alarm_ms = times(&chance).1;
        assert_eq!(after_alarm(&again, false, "", again.envelope.alarm_ms).notice, Some(Kind::Failed));
    }

    #[test]
    fn deadlines_are_kept() {
        let hour = BEGUN_MS + HOUR_MS;
        assert_eq!(after_alarm(&by(1, true), false, "", hour).notice, Some(Kind::Failed));
        assert_eq!(after_try(&by(1, true), &later(), false, 0, hour, 0).notice, Some(Kind::Failed));
        let told = after_alarm(&by(1, false), false, "", hour);
        assert_eq!((told.notice, times(&told).1), (Some(Kind::Delayed), item().envelope.expires_ms));
        let never =
            DueItem { recipient: OutgoingRecipient { notify: 0, ..item().recipient }, ..by(1, false) };
        assert!(wants(&by(1, false), Kind::Delayed) && !wants(&never, Kind::Delayed));
    }

    #[test]
    fn success_is_reported_by_whoever_knows() {
        let done = Verdict::Delivered(Reply::new(250, "2.0.0", "ok"));
        let asked = DueItem { recipient: OutgoingRecipient { notify: 1, ..item().recipient }, ..item() };
        assert_eq!(after_try(&asked, &done, false, 0, BEGUN_MS, 0).notice, Some(Kind::Relayed));
        assert_eq!(after_try(&asked, &done, true, 0, BEGUN_MS, 0).notice, None);
        assert_eq!(after_try(&item(), &done, false, 0, BEGUN_MS, 0).notice, None);
        assert!(!wants(&asked, Kind::Failed));
    }
}
