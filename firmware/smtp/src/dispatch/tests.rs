//! The ring against a model of the world: destinations that are quick, slow, busy or dead, on a clock
//! that is only a number.

use std::collections::BTreeMap;

use super::*;

/// A destination as it behaves.
#[derive(Clone)]
struct World {
    waiting: usize,
    /// Ticks that one message takes.
    takes: u64,
    /// Whether it never answers: after `takes` the session fails, and it is left alone for a while.
    dead: bool,
    not_before: u64,
    /// More sessions than this are too much.
    bears: usize,
    done_at: u64,
    most_sessions: usize,
}

fn world(waiting: usize, takes: u64) -> World {
    World { waiting, takes, dead: false, not_before: 0, bears: 1_000, done_at: 0, most_sessions: 0 }
}

/// Runs until everybody who answers has everything; returns the ticks.
fn run(limits: Limits, worlds: &mut BTreeMap<String, World>) -> u64 {
    let mut dispatch = Dispatch::new(limits);
    let mut sessions: Vec<(String, u64)> = Vec::new();
    for now in 0..1_000_000 {
        for (name, world) in worlds.iter() {
            let due = world.waiting > 0 && world.not_before <= now;
            if due && !dispatch.knows(name) && dispatch.room() > 0 {
                dispatch.offer(name);
            }
        }
        let (ended, going): (Vec<_>, Vec<_>) = sessions.drain(..).partition(|(_, until)| *until <= now);
        sessions = going;
        for (name, _) in ended {
            step(&mut dispatch, worlds.get_mut(&name).unwrap(), &name, now);
        }
        while let Some(name) = dispatch.give_session() {
            let world = worlds.get_mut(&name).unwrap();
            let running = 1 + sessions.iter().filter(|(other, _)| *other == name).count();
            world.most_sessions = world.most_sessions.max(running);
            assert!(running <= limits.window_max && sessions.len() < limits.sessions_max);
            let takes = if world.waiting == 0 { 0 } else { world.takes };
            sessions.push((name, now + takes.max(1)));
        }
        if worlds.values().all(|world| world.dead || world.waiting == 0) {
            return now;
        }
    }
    panic!("it does not come to an end");
}

fn step(dispatch: &mut Dispatch, world: &mut World, name: &str, now: u64) {
    let running = world.most_sessions;
    let went = if world.dead {
        world.not_before = now + 600;
        Went::Unreachable
    } else if world.waiting == 0 {
        Went::Idle
    } else if running > world.bears && now.is_multiple_of(3) {
        world.most_sessions = 0;
        Went::TooMuch
    } else {
        world.waiting -= 1;
        world.done_at = now;
        Went::Well
    };
    dispatch.progress(name, went);
    if world.waiting == 0 && went == Went::Well {
        dispatch.progress(name, Went::Idle);
    }
    dispatch.done(name);
}

fn many(worlds: &mut BTreeMap<String, World>, count: usize) {
    worlds.extend((0..count).map(|number| (format!("quick{number}.test"), world(1, 2))));
}

/// When the last of the small ones was done.
fn quick_done(worlds: &BTreeMap<String, World>) -> u64 {
    worlds.iter().filter(|(name, _)| name.starts_with("quick")).map(|(_, world)| world.done_at).max().unwrap()
}

#[test]
fn a_list_for_one_destination_does_not_delay_the_others() {
    let limits = Limits { sessions_max: 40, ..Limits::default() };
    let mut alone = BTreeMap::new();
    many(&mut alone, 500);
    run(limits, &mut alone);
    let mut with = BTreeMap::from([("list.test".to_owned(), world(10_000, 3))]);
    many(&mut with, 500);
    run(limits, &mut with);
    assert!(quick_done(&with) <= 3 * quick_done(&alone), "{} {}", quick_done(&with), quick_done(&alone));
    assert_eq!(with["list.test"].most_sessions, limits.window_max);
}

#[test]
fn dead_destinations_do_not_delay_the_others() {
    let limits = Limits { sessions_max: 40, ..Limits::default() };
    let dead = World { dead: true, takes: 60, ..world(10_000, 60) };
    let mut worlds: BTreeMap<_, _> =
        (0..8).map(|number| (format!("dead{number}.test"), dead.clone())).collect();
    many(&mut worlds, 500);
    run(limits, &mut worlds);
    // Eight times four sessions hang; the other eight go on.
    assert!(quick_done(&worlds) <= 500 * 3 / 8 + 10, "{}", quick_done(&worlds));
    assert!(
        worlds.values().filter(|world| world.dead).all(|world| world.most_sessions <= limits.first_window)
    );
}

#[test]
fn who_says_that_it_is_too_much_gets_less_and_still_everything() {
    let busy = World { bears: 2, ..world(400, 2) };
    let mut worlds = BTreeMap::from([("busy.test".to_owned(), busy)]);
    run(Limits::default(), &mut worlds);
    assert_eq!(worlds["busy.test"].waiting, 0);
    let mut dispatch = Dispatch::new(Limits::default());
    dispatch.offer("a.test");
    let first: Vec<_> = std::iter::from_fn(|| dispatch.give_session()).collect();
    assert_eq!(first.len(), 4);
    for _ in 0..5 {
        dispatch.progress("a.test", Went::TooMuch);
    }
    for _ in 0..4 {
        dispatch.done("a.test");
    }
    assert_eq!(std::iter::from_fn(|| dispatch.give_session()).count(), 1);
}

#[test]
fn what_is_idle_is_forgotten_and_the_known_are_bounded() {
    let limits = Limits { destinations_max: 3, ..Limits::default() };
    let mut dispatch = Dispatch::new(limits);
    for name in ["a", "b", "c"] {
        dispatch.offer(name);
    }
    assert_eq!(dispatch.room(), 0);
    for name in ["a", "b", "c"] {
        assert_eq!(dispatch.give_session().as_deref(), Some(name));
    }
    dispatch.progress("b", Went::Idle);
    dispatch.done("b");
    assert!(!dispatch.knows("b") && dispatch.knows("a") && dispatch.room() == 1);
    assert_eq!(dispatch.sessions(), 2);
    // New mail for somebody who was just found idle is seen.
    dispatch.progress("a", Went::Idle);
    dispatch.offer("a");
    dispatch.done("a");
    assert!(dispatch.knows("a"));
}
