//! What the boxes tell people and machines of a fault, and the larger operations of an operator.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::alone::never_two_writers;
use crate::operator::{Operator, active, alarms, count, epoch, greeting, of, send, whole_pair};
use crate::pulse::Pulse;
use lab::kind::Kind;
use lab::parts::{BoxName, Which};
use lab::protocol::Request;

const MINUTES: Duration = Duration::from_mins(4);
/// Both boxes stop, boot and are ready, one after the other.
const ROLLING_MAX: Duration = Duration::from_mins(8);

/// The notices by webhook of this kind and code.
fn notices(pair: &Operator, kind: &str, code: &str) -> Vec<Value> {
    let answer = pair.ask(&Request::Heard);
    let hooks = answer["heard"].as_array().unwrap().iter().filter(|heard| heard["way"] == "webhook");
    hooks
        .map(|heard| serde_json::from_str::<Value>(heard["text"].as_str().unwrap()).unwrap())
        .filter(|notice| notice["kind"] == kind && notice["code"] == code)
        .collect()
}

/// What a box says of its last operation; nothing while it is down.
fn report(pair: &Operator, name: BoxName) -> Value {
    let request = Request::Command { name, words: "drill report --json".into() };
    let answer = lab::protocol::ask(pair.place(), &request).unwrap_or_default();
    let printed = answer["printed"].as_str().unwrap_or_default();
    let line = printed.lines().rev().find(|line| line.starts_with('{')).unwrap_or("null");
    serde_json::from_str(line).unwrap()
}

/// The operation that began after `since` (milliseconds since 1970), once it has ended.
fn operation(pair: &Operator, name: BoxName, since: u64, most: Duration) -> Value {
    let began = Instant::now();
    loop {
        let report = report(pair, name);
        let is_new = report["begun_unix_ms"].as_u64().is_some_and(|begun| begun >= since);
        if is_new && report["step"].is_null() {
            return report;
        }
        assert!(began.elapsed() < most, "{report}");
        sleep(Duration::from_secs(1));
    }
}

#[test]
fn an_alarm_is_told_once_when_it_comes_and_once_when_it_is_over() {
    let pair = whole_pair();
    let serving = active(&pair.status()).unwrap();
    let places = "--syslog udp://10.77.0.1 --webhook http://10.77.0.1:8080/alarm";
    pair.command(serving, &format!("alarm set {places} --json"));
    let before = ["raised", "cleared"].map(|kind| notices(pair, kind, "serial_lost").len());
    pair.fault(Which::from(serving), Kind::CutSerial);
    // Each box tells of its own.
    pair.wait("the alarm at the log host", MINUTES, |_| {
        (notices(pair, "raised", "serial_lost").len() == before[0] + 2).then_some(())
    });
    pair.heal();
    pair.wait("the end of the alarm at the log host", MINUTES, |_| {
        (notices(pair, "cleared", "serial_lost").len() == before[1] + 2).then_some(())
    });
    let told = ["raised", "cleared"].map(|kind| notices(pair, kind, "serial_lost").len());
    assert_eq!(told, before.map(|number| number + 2), "nothing is told twice");
    let heard = pair.ask(&Request::Heard);
    let syslog = heard["heard"].as_array().unwrap().iter().filter(|heard| heard["way"] == "syslog");
    assert!(syslog.filter(|heard| heard["text"].as_str().unwrap().contains("serial_lost")).count() >= 4);
}

#[test]
fn a_setting_that_cannot_be_saved_is_an_alarm_until_it_is_saved() {
    let pair = whole_pair();
    let before = pair.status();
    let serving = active(&before).unwrap();
    pair.fault(Which::from(serving), Kind::FullSystem);
    pair.command(serving, "alarm set --words-in en --json");
    pair.wait("the alarm", MINUTES, |status| alarms(status, serving).contains(&"settings").then_some(()));
    pair.heal();
    pair.wait("the end of the alarm", MINUTES, |status| {
        (!alarms(status, serving).contains(&"settings")).then_some(())
    });
    assert_eq!(epoch(&pair.status()), epoch(&before), "a full system disk is no reason to move");
}

#[test]
fn a_rolling_restart_ends_where_it_began_and_loses_nothing() {
    let pair = whole_pair();
    let serving = active(&pair.status()).unwrap();
    let uptimes = |status: &Value| BoxName::ALL.map(|name| of(status, name)["uptime_ms"].as_u64());
    let began = Instant::now();
    send("before the rolling restart");
    let pulse = Pulse::start();
    pair.command(serving, "power rolling --json");
    // Both boxes are younger than the operation.
    pair.wait("two boxes started anew", ROLLING_MAX, |status| {
        let report = report(pair, serving);
        assert!(report["fault"].is_null() || report["name"] != "rolling_restart", "{report}");
        let age_ms = began.elapsed().as_millis() as u64;
        uptimes(status).iter().all(|uptime| uptime.is_some_and(|uptime| uptime < age_ms)).then_some(())
    });
    pair.wait_until_whole();
    println!("rolling restart: {:?}, longest wait of a client {:?}", began.elapsed(), pulse.stop());
    greeting(MINUTES);
    assert_eq!(count("before the rolling restart"), 1);
    never_two_writers(pair);
}

#[test]
fn a_drill_begins_by_itself_when_its_time_has_come() {
    let pair = whole_pair();
    let serving = active(&pair.status()).unwrap();
    pair.wait("a standby that would succeed", MINUTES, |status| {
        (of(status, serving.other())["readiness"]["would_succeed"] == true).then_some(())
    });
    // The next minute but one, so that it is not over before it is set.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minute = now.as_secs() / 60 + 2;
    let time = format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    pair.command(serving, &format!("drill schedule daily {time} --json"));
    let report = operation(pair, serving, now.as_millis() as u64, 2 * MINUTES);
    println!("scheduled drill: {report}");
    assert!(report["fault"].is_null(), "{report}");
    assert_eq!(report["outages"].as_array().map(Vec::len), Some(2), "over and back: {report}");
    pair.command(serving, "drill schedule off --json");
    assert_eq!(pair.wait_until_whole(), serving, "it came back");
    never_two_writers(pair);
}
