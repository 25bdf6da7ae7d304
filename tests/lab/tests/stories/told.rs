//! Stories of an operator who wants to know: is the standby ready, how long do clients wait, what was
//! decided and why.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::{Operator, active, count, of, whole_pair};
use lab::ear::METRICS_PORT;
use lab::parts::{ACCOUNTS, BoxName, DOMAIN};
use lab::protocol::Request;

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

#[test]
fn a_test_alarm_reaches_every_place() {
    let pair = whole_pair();
    let serving = active(&pair.status()).unwrap();
    let mail = format!("--mail {}@{DOMAIN}", ACCOUNTS[0]);
    let words = format!("alarm set {mail} --syslog udp://10.77.0.1 --webhook http://10.77.0.1:8080/x --json");
    assert!(pair.command(serving, &words).contains("10.77.0.1"));
    let heard = |way: &str| {
        let answer = pair.ask(&Request::Heard);
        let list = answer["heard"].as_array().unwrap();
        list.iter().filter(|heard| heard["way"] == way).count()
    };
    let subject = format!("Twinmail {}", lab::phrases::box_name(serving));
    let before = (heard("syslog"), heard("webhook"), count(&subject));
    pair.command(serving, "alarm test --json");
    pair.wait("the test at every place", MINUTES, |_| {
        let now = (heard("syslog"), heard("webhook"), count(&subject));
        (now.0 > before.0 && now.1 > before.1 && now.2 > before.2).then_some(())
    });
}

/// The value of the sample that begins with `name`.
fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn the_metrics_of_both_boxes_agree_with_their_status() {
    let pair = whole_pair();
    let status = pair.status();
    let serving = active(&status).unwrap();
    pair.command(serving, &format!("metrics set --port {METRICS_PORT} --json"));
    for name in BoxName::ALL {
        // The other box learns of the port over the private network.
        let page = pair.wait("metrics", MINUTES, |_| {
            let answer = lab::protocol::ask(pair.place(), &Request::Metrics { name }).ok()?;
            Some(answer["text"].as_str()?.to_owned())
        });
        let role = if name == serving { "active" } else { "standby" };
        let line = format!("twinmail_cluster_role{{group=\"mail\",role=\"{role}\"}}");
        assert_eq!(sample(&page, &line), Some(1.0), "{page}");
        let epoch = of(&status, name)["groups"][0]["epoch"].as_f64();
        assert_eq!(sample(&page, "twinmail_cluster_epoch{group=\"mail\"}"), epoch, "{page}");
        assert_eq!(sample(&page, "twinmail_peer_alive"), Some(1.0), "{page}");
        assert_eq!(
            page.contains("twinmail_mail_"),
            name == serving,
            "the mail's own are where it runs: {page}"
        );
        // Every sample belongs to a family that has been introduced.
        for sample in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let name = sample.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            let known = [name, family].iter().any(|name| page.contains(&format!("# TYPE {name} ")));
            assert!(known, "{sample}");
        }
    }
    pair.command(serving, "metrics set --port 0 --json");
}
