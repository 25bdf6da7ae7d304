//! Whether this box would succeed if it had to take over now: rehearsed without end, judged in one place.
//!
//! A thread tries what needs trying (the system partition, the memory, whether the mail service works here);
//! the rest is known already: the core's own readings, and what the other box says of itself. [`judge`]
//! is pure.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cluster::situation::Reserved;
use cluster::{Ability, Role};
use control::cluster::Record;
use control::telling::{Check, Readiness};
use crossbeam_channel::Sender;

use crate::input::Input;
use crate::peer_link::Report;
use crate::rehearsal;
use crate::teller::News;

/// Between two rehearsals.
const REHEARSE_EVERY: Duration = Duration::from_secs(10);
/// Between two rehearsals of the mail service, which cost some of the processor.
const MAIL_EVERY: Duration = Duration::from_mins(30);
/// Before the first, so that it takes nothing from a take with which a start ends.
const SETTLING: Duration = Duration::from_secs(3);
/// Memory the mail service needs at least, in KiB.
const MEMORY_MIN_KIB: u64 = 96 * 1024;
/// A reservation that was read longer ago than this says nothing, in milliseconds.
const READING_MAX_MS: u64 = 5_000;
/// Takes that the estimate is made of, the newest.
const TAKES_MAX: usize = 5;

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// Whether the system partition takes writes; else the sentence.
    pub system: Result<(), String>,
    /// Memory that could be had, in KiB.
    pub memory_kib: u64,
    /// Whether the mail service works on this box; else the sentence.
    pub mail: Result<(), String>,
}

/// Starts the thread that tries.
pub fn start(system: &Path, inputs: &Sender<Input>) -> io::Result<()> {
    let (system, inputs) = (system.to_owned(), inputs.clone());
    thread::Builder::new().name("rehearsal".to_owned()).spawn(move || {
        let (mut mail, mut started) = (Ok(()), None::<Instant>);
        thread::sleep(SETTLING);
        loop {
            let due = started.is_none_or(|at| at.elapsed() >= MAIL_EVERY) || mail.is_err();
            // Who serves shows every two seconds that it can.
            if due && !rehearsal::is_serving() {
                mail = rehearsal::rehearse();
                started = Some(Instant::now());
            }
            let rehearsal = Rehearsal {
                system: settings::try_system_partition(&system, crate::records::unix_ms())
                    .map_err(|error| format!("the system partition cannot be written: {error}")),
                memory_kib: memory_available_kib(Path::new("/proc/meminfo")).unwrap_or(0),
                mail: mail.clone(),
            };
            if inputs.send(Input::Telling(News::Rehearsed(rehearsal))).is_err() {
                return;
            }
            thread::sleep(REHEARSE_EVERY);
        }
    })?;
    Ok(())
}

/// MemAvailable of /proc/meminfo (proc(5)).
pub fn memory_available_kib(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Everything [`judge`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What this box does.
    pub role: Role,
    /// Whether the core thinks that it could serve.
    pub ability: Ability,
    /// Who holds the reservation, and how old that reading is in milliseconds.
    pub reserved: (Reserved, Option<u64>),
    /// Whether the other box's slot was seen to change within the dead time.
    pub slot_fresh: bool,
    /// Whether both cables bring beats.
    pub cables_fresh: [bool; 2],
    /// What was tried last.
    pub rehearsal: Option<&'a Rehearsal>,
    /// The other box's last report, however old.
    pub peer: Option<&'a Report>,
    /// Digest of this box's settings, and of its image.
    pub own: (&'a str, &'a str),
    /// The dead time, in milliseconds.
    pub dead_time_ms: u64,
    /// Phases of the takes known, newest first, in milliseconds in all.
    pub takes_ms: &'a [u64],
    /// How it is with power fencing, which is shown and never counts.
    pub power_fence: &'a Check,
}

/// The phases of the newest takes, in milliseconds in all, newest first.
pub fn takes_ms<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<u64> {
    let total = |record: &Record| {
        record.phases.iter().filter(|phase| phase.step != "detect").map(|phase| phase.ms).sum()
    };
    records.take(TAKES_MAX).map(total).collect()
}

/// Whether this box would succeed.
pub fn judge(seen: &Seen<'_>) -> Readiness {
    let rehearses = matches!(seen.role, Role::Standby | Role::Undecided);
    let (Some(rehearsal), true) = (seen.rehearsal, rehearses) else { return Readiness::default() };
    let mut checks = vec![
        check("able", seen.ability == Ability::Ready, format!("{}", seen.ability)),
        reservation(seen.reserved),
        either(
            "owner_slot",
            seen.slot_fresh,
            "the other box's beats on the array are seen",
            "the other box's beats on the array are not seen",
        ),
        either(
            "cables",
            seen.cables_fresh.iter().any(|fresh| *fresh),
            "the other box is heard over a cable",
            "the other box is heard over no cable",
        ),
        result("system_partition", &rehearsal.system, "the system partition takes writes"),
        check(
            "memory",
            rehearsal.memory_kib >= MEMORY_MIN_KIB,
            format!(
                "{} MiB of memory are free, {} are needed",
                rehearsal.memory_kib / 1024,
                MEMORY_MIN_KIB / 1024
            ),
        ),
        result("mail_service", &rehearsal.mail, "the mail service works on this box"),
    ];
    checks.extend(equality(seen));
    let good = checks.iter().all(|check| check.good);
    // A second key: a takeover without it is as safe, and as quick.
    checks.push(seen.power_fence.clone());
    let slowest = seen.takes_ms.iter().max();
    Readiness {
        rehearsed: true,
        would_succeed: good,
        estimate_ms: slowest.map(|ms| ms + seen.dead_time_ms),
        checks,
    }
}

fn reservation((reserved, age_ms): (Reserved, Option<u64>)) -> Check {
    let fresh = age_ms.is_some_and(|age| age <= READING_MAX_MS);
    let (good, found) = match reserved {
        _ if !fresh => (false, "the reservation at the array was not read for a while"),
        Reserved::Unread => (false, "the reservation at the array was not read yet"),
        Reserved::Strangers => (false, "a system outside this pair holds the reservation"),
        Reserved::Nobody => (true, "nobody holds the reservation"),
        Reserved::Mine => (true, "this box's own key holds the reservation"),
        Reserved::Peers => (true, "the other box's key holds the reservation, and could be preempted"),
    };
    check("reservation", good, found.to_owned())
}

fn equality(seen: &Seen<'_>) -> [Check; 2] {
    let Some(peer) = seen.peer else {
        let found = "not compared with the other box yet: it is not heard over the private network";
        return ["settings_equal", "image_equal"].map(|name| check(name, false, found.to_owned()));
    };
    [
        either(
            "settings_equal",
            peer.settings == seen.own.0,
            "both boxes have the same settings",
            "the settings of the boxes differ; have this box join again",
        ),
        check(
            "image_equal",
            peer.image == seen.own.1,
            if peer.image == seen.own.1 {
                "both boxes run the same image".to_owned()
            } else {
                format!("the other box runs another image ({}); give both the same firmware", peer.version)
            },
        ),
    ]
}

fn check(name: &str, good: bool, found: String) -> Check {
    Check { name: name.to_owned(), good, found }
}

fn either(name: &str, good: bool, yes: &str, no: &str) -> Check {
    check(name, good, if good { yes } else { no }.to_owned())
}

fn result(name: &str, result: &Result<(), String>, yes: &str) -> Check {
    match result {
        Ok(()) => check(name, true, yes.to_owned()),
        Err(reason) => check(name, false, reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::telling::Telling;

    fn peer() -> Report {
        Report {
            controllers: settings::Controllers::default(),
            box_name: "box-a".to_owned(),
            version: "1".to_owned(),
            image: "i".to_owned(),
            unix_ms: 0,
            uptime_ms: 0,
            settings: "s".to_owned(),
            telling: Telling::default(),
            groups: vec![],
            readiness: Readiness::default(),
            newest: 0,
            records: vec![],
        }
    }

    fn rehearsal() -> Rehearsal {
        Rehearsal { system: Ok(()), memory_kib: 500_000, mail: Ok(()) }
    }

    fn power_fence() -> Check {
        check("power_fence", false, "it does not answer".to_owned())
    }

    fn seen<'a>(rehearsal: &'a Rehearsal, peer: &'a Report, power_fence: &'a Check) -> Seen<'a> {
        Seen {
            role: Role::Standby,
            ability: Ability::Ready,
            reserved: (Reserved::Peers, Some(900)),
            slot_fresh: true,
            cables_fresh: [true, false],
            rehearsal: Some(rehearsal),
            peer: Some(peer),
            own: ("s", "i"),
            dead_time_ms: 2_400,
            takes_ms: &[800, 1_100],
            power_fence,
        }
    }

    #[test]
    fn a_standby_with_nothing_wrong_would_succeed_in_the_measured_time() {
        let (rehearsal, peer, fence) = (rehearsal(), peer(), power_fence());
        let readiness = judge(&seen(&rehearsal, &peer, &fence));
        assert!(readiness.would_succeed, "{readiness:?}");
        assert_eq!(readiness.estimate_ms, Some(3_500));
        // A management controller that does not answer is told of, and changes nothing.
        assert_eq!(readiness.obstacle(), Some(&fence));
        assert_eq!(judge(&Seen { takes_ms: &[], ..seen(&rehearsal, &peer, &fence) }).estimate_ms, None);
    }

    #[test]
    fn each_single_fault_is_the_exact_reason() {
        let (good, equal, fence) = (rehearsal(), peer(), power_fence());
        let read_only = Rehearsal { system: Err("read only".to_owned()), ..good.clone() };
        let small = Rehearsal { memory_kib: 50_000, ..good.clone() };
        let broken = Rehearsal { mail: Err("no".to_owned()), ..good.clone() };
        let other_image = Report { image: "j".to_owned(), ..peer() };
        let other_settings = Report { settings: "t".to_owned(), ..peer() };
        let base = seen(&good, &equal, &fence);
        let cases = [
            ("able", Seen { ability: Ability::PublicLost, ..base }),
            ("reservation", Seen { reserved: (Reserved::Peers, Some(60_000)), ..base }),
            ("reservation", Seen { reserved: (Reserved::Strangers, Some(1)), ..base }),
            ("owner_slot", Seen { slot_fresh: false, ..base }),
            ("cables", Seen { cables_fresh: [false; 2], ..base }),
            ("system_partition", Seen { rehearsal: Some(&read_only), ..base }),
            ("memory", Seen { rehearsal: Some(&small), ..base }),
            ("mail_service", Seen { rehearsal: Some(&broken), ..base }),
            ("settings_equal", Seen { peer: Some(&other_settings), ..base }),
            ("image_equal", Seen { peer: Some(&other_image), ..base }),
            ("settings_equal", Seen { peer: None, ..base }),
        ];
        for (name, case) in cases {
            let readiness = judge(&case);
            assert!(!readiness.would_succeed, "{name}");
            assert_eq!(readiness.obstacle().unwrap().name, name);
        }
    }

    #[test]
    fn only_a_standby_rehearses() {
        let (good, equal, fence) = (rehearsal(), peer(), power_fence());
        for role in [Role::Active, Role::Taking, Role::Releasing, Role::Starting, Role::Fenced] {
            assert_eq!(judge(&Seen { role, ..seen(&good, &equal, &fence) }), Readiness::default());
        }
        assert!(memory_available_kib(Path::new("/proc/meminfo")).unwrap() > 0);
    }
}
