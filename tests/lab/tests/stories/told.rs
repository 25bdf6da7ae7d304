//! Stories of an operator who wants to know: is the standby ready, how long do clients wait, what was
//! decided and why.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::{Operator, active, of, whole_pair};
use lab::parts::BoxName;

const MINUTES: Duration = Duration::from_mins(3);

/// The last line of a command's output, which is its JSON.
fn json(pair: &Operator, name: BoxName, words: &str) -> Value {
    let printed = pair.command(name, words);
    let line = printed.lines().rev().find(|line| line.starts_with(['{', '['])).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{words}: {error}: {printed}"))
}

#[test]
fn a_drill_goes_over_and_back_and_both_boxes_tell_of_it() {
    let pair = whole_pair();
    let first = pair.wait("a standby that would succeed", MINUTES, |status| {
        let first = active(status)?;
        (of(status, first.other())["readiness"]["would_succeed"] == true).then_some(first)
    });
    pair.command(first, "drill now");
    let began = Instant::now();
    let report = loop {
        let report = json(pair, first, "drill report --json");
        if report["step"].is_null() {
            break report;
        }
        assert!(began.elapsed() < MINUTES, "{report}");
        sleep(Duration::from_secs(1));
    };
    println!("drill: {report}");
    assert!(report["fault"].is_null(), "{report}");
    assert_eq!(report["outages"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(active(&pair.status()), Some(first), "it came back");
    // Each box has the decisions of both, with their evidence.
    for name in BoxName::ALL {
        pair.wait("the records of both boxes", MINUTES, |_| {
            let records = json(pair, name, "records --json --last 40");
            let takes: Vec<_> =
                records.as_array()?.iter().filter(|record| record["decision"] == "taken").collect();
            let mut boxes: Vec<_> = takes.iter().filter_map(|record| record["box_name"].as_str()).collect();
            boxes.sort_unstable();
            boxes.dedup();
            let evidence = takes.iter().all(|record| {
                record["seen"]["media"].as_array().is_some_and(|media| media.len() == 3)
                    && record["phases"][0]["step"] == "detect"
            });
            (boxes.len() == 2 && evidence).then_some(())
        });
    }
}
