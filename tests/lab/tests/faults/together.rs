//! Faults that come together, in the order of the judge's own episodes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::alone::never_two_writers;
use crate::operator::{active, count, epoch, greeting, send, whole_pair};
use crate::pulse::Pulse;
use lab::kind::Outcome;
use lab::parts::Which;
use lab::protocol::Request;
use lab::verify::plan::{Deed, Episode, Target, second_faults, together};

const SERVICE_MAX: Duration = Duration::from_mins(2);
const HOLD: Duration = Duration::from_secs(8);
/// Second faults are drawn; these are the ones drawn here.
const SEEDS: [u64; 3] = [1, 2, 3];

fn play(episode: &Episode) {
    let pair = whole_pair();
    // Some are played more than once, and differently each time.
    static PLAYED: AtomicU32 = AtomicU32::new(1);
    let subject = format!("before {}: {}", PLAYED.fetch_add(1, Ordering::Relaxed), episode.name);
    send(&subject);
    println!("{}: {}", episode.name, episode.story());
    let before = pair.status();
    let serving = active(&before).unwrap();
    let pulse = Pulse::start();
    let began = Instant::now();
    for blow in &episode.blows {
        sleep(Duration::from_millis(blow.at_ms).saturating_sub(began.elapsed()));
        let name = if blow.target == Target::Serving { serving } else { serving.other() };
        match blow.deed {
            Deed::Break(kind) => drop(pair.fault(Which::from(name), kind)),
            Deed::Heal(kind) => drop(pair.ask(&Request::Heal { name: Some(name), kind: Some(kind) })),
        }
    }
    sleep(HOLD);
    let after = pair.status();
    if episode.outcome == Outcome::Stays {
        assert_eq!(epoch(&after), epoch(&before), "{} moves nothing", episode.name);
    }
    if episode.outcome != Outcome::NeedsHealing {
        greeting(SERVICE_MAX);
    }
    pair.heal();
    pair.wait_until_whole();
    println!("{}: longest wait of a client {:?}", episode.name, pulse.stop());
    assert_eq!(count(&subject), 1, "the message accepted before {}", episode.name);
    never_two_writers(pair);
}

fn play_named(name: &str) {
    play(together().iter().find(|episode| episode.name == name).unwrap());
}

#[test]
fn both_heartbeat_cables_are_cut() {
    play_named("both heartbeats cut");
}

#[test]
fn the_public_network_is_gone_for_both() {
    play_named("public cut at both");
}

#[test]
fn both_lose_power_and_the_one_that_served_returns_first() {
    play_named("dark, server first");
}

#[test]
fn both_lose_power_and_the_other_one_returns_first() {
    play_named("dark, standby first");
}

#[test]
fn the_standby_has_no_array_when_it_is_needed() {
    play_named("standby without array");
}

#[test]
fn the_standby_has_no_public_network_when_it_is_needed() {
    play_named("standby without public");
}

#[test]
fn the_standbys_array_does_not_answer_when_it_is_needed() {
    play_named("standby deaf");
}

#[test]
fn a_second_fault_in_a_takeover() {
    for mut seed in SEEDS {
        play(&second_faults(&mut seed)[0]);
    }
}

#[test]
fn a_second_fault_in_a_release() {
    for mut seed in SEEDS {
        play(&second_faults(&mut seed)[1]);
    }
}

#[test]
fn a_second_fault_in_a_boot() {
    for mut seed in SEEDS {
        play(&second_faults(&mut seed)[2]);
    }
}
