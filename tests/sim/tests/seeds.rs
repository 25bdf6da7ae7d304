//! Ten thousand runs, and proof that the checks can fail.

use sim::{Flaw, Kind, Plan, RETURN_MAX_MS, Setting, play, run, run_many, shrink};

const SEEDS: u64 = 10_000;

fn with(flaw: Flaw) -> Setting {
    Setting { flaw, ..Setting::default() }
}

#[test]
fn in_ten_thousand_runs_there_are_never_two_writers_and_service_always_returns() {
    let summary = run_many(0, SEEDS, Setting::default()).unwrap_or_else(|violation| {
        panic!("{violation}\nreplay: cargo run -p sim -- --seed {} --trace", violation.seed)
    });
    let reports = &summary.reports;
    assert_eq!(reports.len() as u64, SEEDS);
    // A simulator in which nothing happens proves nothing.
    assert!(reports.iter().map(|report| report.takes).sum::<u64>() > 2 * SEEDS);
    assert!(reports.iter().map(|report| report.resets).sum::<u64>() > SEEDS / 10);
    assert!(reports.iter().map(|report| report.writes_refused).sum::<u64>() > SEEDS / 100);
    assert!(reports.iter().all(|report| report.returned_ms <= RETURN_MAX_MS));
    for kind in Kind::ALL {
        let count = summary.coverage.of("faults", &kind.word());
        assert!(count > SEEDS / 100, "{} happened {count} times only", kind.word());
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, Setting::default()), run(seed, Setting::default()));
    }
}

#[test]
fn a_plan_for_the_lab_runs_to_its_end() {
    for seed in 0..100 {
        let outcome = play(&Plan::for_lab(seed), Setting::default());
        assert_eq!(outcome.violation, None);
        assert!(outcome.decisions.iter().any(|decision| decision.decision == "taken"));
    }
}

#[test]
fn an_array_that_lets_preempted_boxes_write_is_found_out() {
    let violation = run_many(0, 500, with(Flaw::PreemptedMayWrite)).unwrap_err();
    // Either the core refuses to serve on such an array, or the judge of writes sees two writers.
    assert!(violation.what.contains("two writers") || violation.what.contains("no service"), "{violation}");
}

#[test]
fn a_box_that_does_not_hold_still_is_found_out() {
    let violation = run_many(0, 500, with(Flaw::SuspendIgnored)).unwrap_err();
    assert!(violation.what.contains("after its proof had lapsed"), "{violation}");
}

#[test]
fn a_core_that_takes_from_a_living_owner_is_found_out_and_the_plan_shrinks() {
    let violation = run_many(0, 500, with(Flaw::BeatsDropped)).unwrap_err();
    assert!(violation.what.contains("takes though the other one said"), "{violation}");
    let (plan, setting) = (Plan::draw(violation.seed), with(Flaw::BeatsDropped));
    let least = shrink(&plan, setting);
    assert!(least.faults.len() < plan.faults.len());
    assert_eq!(play(&least, setting).violation.unwrap().kind(), violation.kind());
}
