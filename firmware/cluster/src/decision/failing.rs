//! A group that fails on both boxes: it stops moving, stays where it can be examined, and says why.
//!
//! Moving it once more would only make the same fault twice. The owner goes on trying in place, ever
//! more slowly; a success, or the operator's word, ends it.

use super::{Core, State};
use crate::config::{HOLD_DOWN_MS, RETRY_MAX_MS, RETRY_MS, RETRY_STAY_MS, TAKES_MAX};
use crate::situation::PeerSeen;
use crate::{Action, Decided, Node};

impl Core {
    /// Whether the group has failed here, and the other box says that it failed there as well.
    pub fn fails_everywhere(&self) -> bool {
        let here = match &self.state {
            State::Active(serving) => serving.mail_failed,
            _ => self.mail_hold_until.is_some() || self.retry_at.is_some() && self.take_failures >= TAKES_MAX,
        };
        here && self.peer_has_failed()
    }

    /// While the other box cannot do it either, one that failed is no better than it was; only one that
    /// serves well again is.
    pub(super) fn hold_on(&mut self) {
        let well = matches!(&self.state, State::Active(serving) if !serving.mail_failed);
        let now = self.now;
        let over = self.mail_hold_until.is_some_and(|end| now >= end);
        if over && !well && self.peer_has_failed() {
            self.mail_hold_until = Some(now + HOLD_DOWN_MS);
        }
    }

    /// Whether the other box is heard and says that the group failed there.
    pub(super) fn peer_has_failed(&self) -> bool {
        matches!(self.peer_seen(), PeerSeen::Alive { ability, .. } if ability.has_failed())
    }

    /// Wait before the next attempt to take after one that failed, in milliseconds.
    pub(super) fn next_retry_ms(&self) -> u64 {
        let first = self.preference.owner.or(self.last_owner).unwrap_or(Node::A);
        let stays = self.peer_has_failed() && first != self.config.node;
        // Its place is at the first choice; here it is tried only now and then, in case that one never works.
        if stays && self.take_failures >= TAKES_MAX {
            return RETRY_STAY_MS;
        }
        (RETRY_MS << self.take_failures.min(8)).min(RETRY_MAX_MS)
    }

    /// The operator has mended something, or wants to see it fail: begin with a clean slate. False if
    /// nothing has failed here.
    pub(super) fn forget_failures(&mut self, out: &mut Vec<Action>) -> bool {
        let failing = matches!(&self.state, State::Active(serving) if serving.mail_failed);
        if !failing && self.retry_at.is_none() && self.mail_hold_until.is_none() {
            return false;
        }
        self.take_failures = 0;
        self.retry_at = None;
        self.mail_failures = 0;
        self.mail_hold_until = None;
        self.remount_after = None;
        if let State::Active(serving) = &mut self.state
            && failing
        {
            serving.begin_again(self.now);
        }
        self.record(
            Decided::Operator,
            "what failed here is tried again at the operator's word".to_owned(),
            Vec::new(),
            out,
        );
        true
    }
}
