//! When a reset is ordered, and the thread against a dead and a simulated controller.

#[path = "../../../bmc/tests/controller/mod.rs"]
#[allow(dead_code, reason = "the client's own tests use more of it")]
mod controller;

use self::controller::Simulator;
use super::*;
use crate::pairing::tests::first;
use cluster::{Ability, HandOver, Role};
use settings::Hidden;
use std::net::{SocketAddr, UdpSocket};

const LONG: Duration = Duration::from_mins(1);

const HEARD: PeerSeen =
    PeerSeen::Alive { role: Role::Standby, ability: Ability::Ready, hand_over: HandOver::None };

fn fence(over: Option<u64>) -> Order {
    Order::Fence { key: Key::new(Node::A, 7, 5), over }
}

/// Whether a reset is wanted after box a has fenced whoever held `over`.
fn wanted(over: Option<u64>, went_well: bool, peer: PeerSeen) -> bool {
    let mut fencing = Fencing::default();
    fencing.ordered(3, &fence(over));
    fencing.ended(3, went_well, CoreSeen { pair_id: 7, own: Node::A, peer })
}

#[test]
fn only_a_silent_box_that_held_the_reservation_is_reset() {
    let theirs = Some(Key::new(Node::B, 7, 4).encode());
    assert!(wanted(theirs, true, PeerSeen::Silent));
    assert!(!wanted(theirs, false, PeerSeen::Silent), "the array has not refused it yet");
    for heard in [HEARD, PeerSeen::Unclear] {
        assert!(!wanted(theirs, true, heard), "it is heard, or may be");
    }
    assert!(!wanted(None, true, PeerSeen::Silent), "it let the group go, or never held it");
    assert!(!wanted(Some(Key::new(Node::A, 7, 4).encode()), true, PeerSeen::Silent), "our own");
    assert!(!wanted(Some(Key::new(Node::B, 8, 4).encode()), true, PeerSeen::Silent), "a stranger's");
}

#[test]
fn the_end_of_another_order_says_nothing_and_that_of_this_one_counts_once() {
    let seen = CoreSeen { pair_id: 7, own: Node::A, peer: PeerSeen::Silent };
    let mut fencing = Fencing::default();
    fencing.ordered(3, &fence(Some(Key::new(Node::B, 7, 4).encode())));
    fencing.ordered(4, &Order::Withdraw);
    assert!(!fencing.ended(4, true, seen));
    assert!(fencing.ended(3, true, seen));
    assert!(!fencing.ended(3, true, seen));
}

/// A controller nobody answers for, and the thread that asks it.
fn dead_controller() -> (PowerFence, Receiver<Input>, SettingsKeeper, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (fence, heard, keeper) = asking(socket.local_addr().unwrap(), "fence-it");
    (fence, heard, keeper, socket)
}

/// The thread of box a that asks box b's controller there.
fn asking(at: SocketAddr, password: &str) -> (PowerFence, Receiver<Input>, SettingsKeeper) {
    let mut settings = first();
    let password = Hidden(password.to_owned());
    let controller = Controller { address: at.ip(), port: at.port(), user: "fence".to_owned(), password };
    settings.controllers.set(settings::Node::B, Some(controller));
    let dir = tempfile::tempdir().unwrap();
    let keeper =
        SettingsKeeper::start(settings::SettingsFile::new(dir.path().join("system")), settings.clone());
    let (inputs, heard) = bounded(64);
    let fence = PowerFence::start(&settings, &inputs).unwrap();
    (fence, heard, keeper.unwrap())
}

#[test]
fn a_dead_controller_is_an_alarm_and_told_of_after_a_reset_in_vain() {
    let (fence, heard, _keeper, _socket) = dead_controller();
    let Input::Alarm { code: ALARM, text: Some(text) } = heard.recv_timeout(LONG).unwrap() else {
        panic!("no alarm")
    };
    assert!(text.contains("does not answer"), "{text}");
    assert_eq!(fence.answers(), Some(false));
    let check = fence.check();
    assert!(!check.good && check.found.contains("does not answer"), "{check:?}");
    // Twice, as when both groups are taken from it: it is done once.
    fence.reset_peer();
    fence.reset_peer();
    let told = told(&heard);
    assert!(told.starts_with("the silent box was not reset: "), "{told}");
    assert!(told.ends_with("the reservation keeps it out all the same"), "{told}");
}

#[test]
fn what_is_shown_has_no_password_and_a_change_is_kept() {
    let (fence, _heard, keeper, _socket) = dead_controller();
    let mut settings = first();
    settings.peer_name = Some("box-b".to_owned());
    let board = Noticeboard::new(&settings, Node::A, 2_000);
    let ask = |request| {
        let (answer, reply) = bounded(1);
        fence.answer(request, &board, &keeper, answer);
        reply.recv_timeout(LONG).unwrap()
    };
    let reply = ask(Request::Show);
    assert!(!serde_json::to_string(&reply).unwrap().contains("fence-it"));
    let Reply::Fence(rows) = reply else { panic!("{reply:?}") };
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].user.as_deref(), Some("fence"));
    assert!(matches!(ask(Request::Test { box_name: Some("box-c".to_owned()) }), Reply::Refused(_)));
    let Reply::Fence(rows) = ask(Request::Clear { box_name: "box-b".to_owned() }) else { panic!() };
    assert_eq!((&rows[1].place, &rows[1].look), (&None, &None));
    assert_eq!(fence.controllers().revision, 2);
    let reply = ask(Request::Test { box_name: None });
    assert!(matches!(&reply, Reply::Refused(reason) if reason.contains("fence set")), "{reply:?}");
}

/// What is told of a reset, once it is.
fn told(heard: &Receiver<Input>) -> String {
    let told = std::iter::from_fn(|| heard.recv_timeout(LONG).ok()).find_map(|input| match input {
        Input::Telling(News::PowerFenced(cause)) => Some(cause),
        _ => None,
    });
    told.expect("nothing is told of the reset")
}

#[test]
fn the_silent_box_is_reset_by_its_controller() {
    let simulator = Simulator::start();
    let began = Instant::now();
    // A simulator that is kept from running is asked again, by a thread that has not tried yet.
    loop {
        let (fence, heard, _keeper) = asking(simulator.place(), "rain-in-May");
        fence.reset_peer();
        let told = told(&heard);
        if told == "the silent box was reset by its management controller" {
            assert_eq!(fence.answers(), Some(true));
            assert_eq!(fence.check().found, "the other box's management controller answers");
            break;
        }
        assert!(told.contains("answer") && began.elapsed() < LONG, "{told}");
    }
    assert!(simulator.deeds().starts_with("reset"), "{}", simulator.deeds());
}

#[test]
fn a_wrong_password_is_the_alarm() {
    let simulator = Simulator::start();
    let (fence, heard, _keeper) = asking(simulator.place(), "wrong");
    let wrong = |input| matches!(&input, Input::Alarm { code: ALARM, text: Some(text) } if text.contains("another password"));
    assert!(std::iter::from_fn(|| heard.recv_timeout(LONG).ok()).take(8).any(wrong));
    assert_eq!(fence.check().found, "the management controller knows another password for this user");
    assert!(!simulator.did_anything());
}
