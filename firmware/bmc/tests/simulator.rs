//! The client against OpenIPMI's simulator of a management controller (package `openipmi`).
#![allow(missing_docs, clippy::unwrap_used)]

mod controller;

use std::time::Instant;

use bmc::{BmcError, Client, Heard, Login, Order, Outcome, Power};

use self::controller::{LONG, Simulator};

/// On the loopback nothing is lost, so nothing is sent twice.
fn carry_out(simulator: &Simulator, user: &str, password: &str, order: Order) -> Result<Outcome, BmcError> {
    let mut client = Client::new(Login::new(user, password)?, order, [7; 32]);
    let mut bytes = [0; 1024];
    simulator.socket.set_read_timeout(Some(LONG)).unwrap();
    while client.outcome().is_none() {
        simulator.socket.send(&client.packet()?).unwrap();
        loop {
            let length = simulator.socket.recv(&mut bytes);
            let length = length.unwrap_or_else(|error| panic!("{client:?} waits in vain: {error}"));
            if client.hear(&bytes[..length]) != Heard::Ignored {
                break;
            }
        }
    }
    client.outcome().cloned().unwrap()
}

/// The same over the shell that ships. A simulator that is kept from running is asked again.
fn carry_out_over_udp(simulator: &Simulator, password: &str, order: Order) -> Result<Outcome, BmcError> {
    let place = simulator.place();
    let began = Instant::now();
    loop {
        let login = Login::new("fence", password).unwrap();
        match bmc::carry_out(place, login, order, [9; 32]) {
            Err(BmcError::Silent(_) | BmcError::Late) if began.elapsed() < LONG => {}
            ended => return ended,
        }
    }
}

#[test]
fn the_power_state_is_read_and_nothing_changes() {
    let simulator = Simulator::start();
    let outcome = carry_out(&simulator, "fence", "rain-in-May", Order::Status).unwrap();
    assert_eq!((outcome.power, outcome.acted), (Power::On, false));
    assert!(!simulator.did_anything());
}

#[test]
fn a_box_is_reset() {
    let simulator = Simulator::start();
    let outcome = carry_out(&simulator, "fence", "rain-in-May", Order::ResetIfOn).unwrap();
    assert!(outcome.acted);
    assert!(simulator.deeds().starts_with("reset"), "{}", simulator.deeds());
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_apart() {
    let simulator = Simulator::start();
    let refused = |user, password| carry_out(&simulator, user, password, Order::Reset).unwrap_err();
    assert_eq!(refused("fence", "wrong"), BmcError::Password);
    assert_eq!(refused("nobody", "wrong"), BmcError::Refused("it does not know this user"));
    assert!(!simulator.did_anything());
}

#[test]
fn the_shell_over_udp_does_the_same_and_gives_a_dead_controller_up() {
    let mut simulator = Simulator::start();
    let outcome = carry_out_over_udp(&simulator, "rain-in-May", Order::Status).unwrap();
    assert_eq!(outcome.power, Power::On);
    assert_eq!(carry_out_over_udp(&simulator, "wrong", Order::Reset), Err(BmcError::Password));
    assert!(!simulator.did_anything());
    assert!(carry_out_over_udp(&simulator, "rain-in-May", Order::ResetIfOn).unwrap().acted);
    assert!(simulator.deeds().starts_with("reset"), "{}", simulator.deeds());
    // A controller that answers nobody any more.
    simulator.program.kill().unwrap();
    simulator.program.wait().unwrap();
    let place = simulator.place();
    let ended = bmc::carry_out(place, Login::new("fence", "rain-in-May").unwrap(), Order::Status, [1; 32]);
    assert!(matches!(ended, Err(BmcError::Silent(_))), "{ended:?}");
}
