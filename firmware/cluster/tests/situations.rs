//! The table of situations: what a box sees, and what it decides. Read it as the specification.
//!
//! Every row starts from a plain situation (`standby` or `owner` below) and names only what differs.

use cluster::situation::{Choice, HandOverReason, PeerSeen, Reserved, Situation, Stay, TakeReason};
use cluster::{Ability, HandOver, Node, Role};

/// Box a watches; box b serves and holds the reservation.
fn standby() -> Situation {
    Situation {
        me: Node::A,
        ability: Ability::Ready,
        peer: says(Role::Active, Ability::Ready, HandOver::None),
        reservation: Reserved::Peers,
        last_owner: Some(Node::B),
        preferred: None,
        fail_back: false,
        granted: false,
        ownerless_ms: 0,
        forgotten_ms: 0,
        public_lost_ms: 0,
        active_ms: 0,
        peer_well_ms: 0,
    }
}

/// Box a serves and holds the reservation; box b is a ready standby.
fn owner() -> Situation {
    Situation {
        peer: says(Role::Standby, Ability::Ready, HandOver::None),
        reservation: Reserved::Mine,
        last_owner: Some(Node::A),
        active_ms: 3_600_000,
        peer_well_ms: 3_600_000,
        ..standby()
    }
}

/// Neither box has the group; nobody ever had it.
fn nobody() -> Situation {
    Situation {
        peer: says(Role::Starting, Ability::Ready, HandOver::None),
        reservation: Reserved::Nobody,
        last_owner: None,
        ..standby()
    }
}

fn says(role: Role, ability: Ability, hand_over: HandOver) -> PeerSeen {
    PeerSeen::Alive { role, ability, hand_over }
}

type Row = (&'static str, Situation, Choice);

fn judge(rows: &[Row], choose: fn(&Situation) -> Choice) {
    for (what, situation, expected) in rows {
        assert_eq!(choose(situation), *expected, "{what}");
    }
}

const fn take(reason: TakeReason) -> Choice {
    Choice::Take(reason)
}

const fn stay(stay: Stay) -> Choice {
    Choice::Stay(stay)
}

#[test]
fn a_standby_beside_a_living_owner_never_takes() {
    let with = |role, ability, hand_over| Situation { peer: says(role, ability, hand_over), ..standby() };
    judge(
        &[
            ("the owner serves", standby(), stay(Stay::PeerHasIt)),
            (
                "the owner lost its public link, and will hand over by itself",
                with(Role::Active, Ability::PublicLost, HandOver::None),
                stay(Stay::PeerHasIt),
            ),
            (
                "the owner's mail service failed, and it will hand over by itself",
                with(Role::Active, Ability::MailFailed, HandOver::None),
                stay(Stay::PeerHasIt),
            ),
            (
                "the owner has just lost the array and does not offer yet",
                with(Role::Active, Ability::ArrayLost, HandOver::None),
                stay(Stay::PeerHasIt),
            ),
            (
                "the other box is taking",
                with(Role::Taking, Ability::Ready, HandOver::None),
                stay(Stay::PeerHasIt),
            ),
            (
                "the owner is still releasing",
                with(Role::Releasing, Ability::Ready, HandOver::None),
                stay(Stay::PeerHasIt),
            ),
            (
                "even when the reservation is already this box's",
                Situation { reservation: Reserved::Mine, ..standby() },
                stay(Stay::PeerHasIt),
            ),
            (
                "even when this box is preferred",
                Situation { preferred: Some(Node::A), fail_back: true, ..standby() },
                stay(Stay::PeerHasIt),
            ),
        ],
        Situation::choose_as_standby,
    );
}

#[test]
fn a_standby_takes_when_the_owner_let_go_or_is_silent_on_all_media() {
    let with = |role, ability, hand_over| Situation { peer: says(role, ability, hand_over), ..standby() };
    let offered = with(Role::Active, Ability::ArrayLost, HandOver::Offer);
    judge(
        &[
            (
                "silent on all media for the dead time",
                Situation { peer: PeerSeen::Silent, ..standby() },
                take(TakeReason::PeerSilent),
            ),
            (
                "silent on some media only, or not for long enough",
                Situation { peer: PeerSeen::Unclear, ..standby() },
                stay(Stay::Listening),
            ),
            ("the owner says that it cannot serve", offered, take(TakeReason::PeerCannotServe)),
            (
                "the array forgot the reservation, and the owner has not made it again yet",
                Situation { reservation: Reserved::Nobody, ..offered },
                stay(Stay::PeerHasIt),
            ),
            (
                "the array forgot the reservation, and the owner cannot make it again",
                Situation { reservation: Reserved::Nobody, forgotten_ms: 2_000, ..offered },
                take(TakeReason::PeerCannotServe),
            ),
            (
                "the owner says that it lost the reservation",
                with(Role::Fenced, Ability::Ready, HandOver::None),
                take(TakeReason::PeerFenced),
            ),
            (
                "the owner released it for this box",
                with(Role::Standby, Ability::Ready, HandOver::Granted),
                take(TakeReason::HandedOver),
            ),
            (
                "released for this box though the other one is first choice",
                Situation {
                    preferred: Some(Node::B),
                    ..with(Role::Standby, Ability::Ready, HandOver::Granted)
                },
                take(TakeReason::HandedOver),
            ),
        ],
        Situation::choose_as_standby,
    );
}

#[test]
fn a_box_that_could_not_serve_does_not_take() {
    let silent = |ability| Situation { ability, peer: PeerSeen::Silent, ..standby() };
    let unable = |ability| stay(Stay::Unable(ability));
    judge(
        &[
            ("it has not found out yet", silent(Ability::Unknown), stay(Stay::ArrayUnread)),
            (
                "the reservation was not read",
                Situation { reservation: Reserved::Unread, ..silent(Ability::Ready) },
                stay(Stay::ArrayUnread),
            ),
            ("no way to the array", silent(Ability::ArrayLost), unable(Ability::ArrayLost)),
            ("in maintenance", silent(Ability::Maintenance), unable(Ability::Maintenance)),
            ("its last take has just failed", silent(Ability::TakeFailed), unable(Ability::TakeFailed)),
            (
                "a stranger holds the reservation: only a person can decide",
                Situation { reservation: Reserved::Strangers, ..silent(Ability::ArrayTaken) },
                unable(Ability::ArrayTaken),
            ),
            (
                "without a public link it serves nobody, but nobody else does either",
                silent(Ability::PublicLost),
                take(TakeReason::PeerSilent),
            ),
            (
                "its mail service failed before, but nobody else is there to serve",
                silent(Ability::MailFailed),
                take(TakeReason::PeerSilent),
            ),
            (
                "an offer is not for a box that has lost its public link",
                Situation {
                    ability: Ability::PublicLost,
                    peer: says(Role::Active, Ability::ArrayLost, HandOver::Offer),
                    ..standby()
                },
                stay(Stay::PeerHasIt),
            ),
        ],
        Situation::choose_as_standby,
    );
}

#[test]
fn two_boxes_at_a_cold_start_agree_who_takes() {
    let me_b = |situation: Situation| Situation { me: Node::B, ..situation };
    let last = |owner| Situation { last_owner: Some(owner), ..nobody() };
    let preferred = |owner| Situation { preferred: Some(owner), ..last(owner.peer()) };
    let beside = |ability| Situation { peer: says(Role::Starting, ability, HandOver::None), ..nobody() };
    judge(
        &[
            ("a new pair: a takes", nobody(), take(TakeReason::NobodyServes)),
            ("a new pair: b waits", me_b(nobody()), stay(Stay::PeerFirst)),
            ("b owned it last: a waits", last(Node::B), stay(Stay::PeerFirst)),
            ("b owned it last: b takes", me_b(last(Node::B)), take(TakeReason::NobodyServes)),
            ("b is preferred: a waits", preferred(Node::B), stay(Stay::PeerFirst)),
            ("b is preferred: b takes", me_b(preferred(Node::B)), take(TakeReason::NobodyServes)),
            ("b waits for a to find out how it is", me_b(beside(Ability::Unknown)), stay(Stay::PeerFirst)),
            (
                "b takes at once when a cannot",
                me_b(beside(Ability::ArrayLost)),
                take(TakeReason::NobodyServes),
            ),
            (
                "b takes at once when a is in maintenance",
                me_b(beside(Ability::Maintenance)),
                take(TakeReason::NobodyServes),
            ),
            (
                "b takes at once when only b has a public link",
                me_b(beside(Ability::PublicLost)),
                take(TakeReason::NobodyServes),
            ),
            (
                "b has waited long enough for a",
                me_b(Situation { ownerless_ms: 6_000, ..nobody() }),
                take(TakeReason::NobodyServes),
            ),
        ],
        Situation::choose_as_standby,
    );
}

#[test]
fn a_box_that_has_just_handed_over_lets_the_other_one_take() {
    let granted = |ability| Situation {
        granted: true,
        peer: says(Role::Standby, ability, HandOver::None),
        last_owner: Some(Node::A),
        ownerless_ms: 10_000,
        ..nobody()
    };
    judge(
        &[
            ("the other box is about to take", granted(Ability::Ready), stay(Stay::PeerFirst)),
            (
                "the other box tried and failed: service comes first",
                granted(Ability::TakeFailed),
                take(TakeReason::NobodyServes),
            ),
            (
                "the other box died before it took",
                Situation { peer: PeerSeen::Silent, ..granted(Ability::Ready) },
                take(TakeReason::PeerSilent),
            ),
        ],
        Situation::choose_as_standby,
    );
}

#[test]
fn an_owner_hands_over_only_to_a_ready_standby() {
    let hand = |reason| Choice::HandOver(reason);
    let asked_by = |role, ability| Situation { peer: says(role, ability, HandOver::Ask), ..owner() };
    let mail_failed = Situation { ability: Ability::MailFailed, ..owner() };
    let public_lost = Situation { ability: Ability::PublicLost, public_lost_ms: 3_000, ..owner() };
    let fail_back = Situation { preferred: Some(Node::B), fail_back: true, ..owner() };
    let not_ready = says(Role::Standby, Ability::PublicLost, HandOver::None);
    judge(
        &[
            ("all is well", owner(), stay(Stay::Serving)),
            ("the other box asks", asked_by(Role::Standby, Ability::Ready), hand(HandOverReason::Asked)),
            (
                "the other box asks but could not serve",
                asked_by(Role::Standby, Ability::MailFailed),
                stay(Stay::Serving),
            ),
            (
                "the other box asks but has just started",
                asked_by(Role::Starting, Ability::Ready),
                stay(Stay::Serving),
            ),
            ("the mail service failed too often", mail_failed, hand(HandOverReason::MailFailed)),
            (
                "it failed on both boxes: the group stays",
                Situation { peer: says(Role::Standby, Ability::MailFailed, HandOver::None), ..mail_failed },
                stay(Stay::Serving),
            ),
            (
                "it failed, and the other box is silent: the group stays",
                Situation { peer: PeerSeen::Silent, ..mail_failed },
                stay(Stay::Serving),
            ),
            ("the public link is lost", public_lost, hand(HandOverReason::PublicLost)),
            (
                "it is lost for a moment only",
                Situation { public_lost_ms: 2_999, ..public_lost },
                stay(Stay::Serving),
            ),
            (
                "it is lost on both boxes: the group stays",
                Situation { peer: not_ready, ..public_lost },
                stay(Stay::Serving),
            ),
            (
                "it is lost soon after the group came here: no ping-pong",
                Situation { active_ms: 9_999, ..public_lost },
                stay(Stay::Serving),
            ),
            ("the preferred owner is well again", fail_back, hand(HandOverReason::FailBack)),
            ("but not for long enough", Situation { peer_well_ms: 59_999, ..fail_back }, stay(Stay::Serving)),
            (
                "fail-back is off, as it is by default",
                Situation { fail_back: false, ..fail_back },
                stay(Stay::Serving),
            ),
            (
                "this box is the preferred one",
                Situation { preferred: Some(Node::A), ..fail_back },
                stay(Stay::Serving),
            ),
        ],
        Situation::choose_as_owner,
    );
}
