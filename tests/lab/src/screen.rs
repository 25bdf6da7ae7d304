//! What the lab shows to a person: the screen after `up`, and the status.

use std::fmt::Write as _;

use serde_json::Value;

use crate::parts::{ACCOUNT_PASSWORD, ACCOUNTS, BoxName, DOMAIN, FORWARDS, VIRTUAL_ADDRESS};
use crate::phrases::box_name;

/// The screen after `up`: who serves, how to use it, how to break it.
pub fn welcome(active: &str, base: u16) -> String {
    let port = |inside: u16| {
        FORWARDS.iter().find(|forward| forward.inside == inside).map_or(0, |forward| forward.outside(base))
    };
    let [alice, bob] = ACCOUNTS.map(|name| format!("{name}@{DOMAIN}"));
    let mut text = String::new();
    let _ = writeln!(text, "\n  Active          {active}");
    let _ = writeln!(text, "  Virtual address {VIRTUAL_ADDRESS}, from here by these ports of 127.0.0.1:");
    for forward in FORWARDS {
        let _ = writeln!(text, "                  {:<6} {}", forward.outside(base), forward.service);
    }
    let _ = writeln!(text, "  Accounts        {alice} and {bob}, password {ACCOUNT_PASSWORD}");
    let _ = writeln!(
        text,
        "\nSend a message:\n  swaks --server 127.0.0.1:{} --tls --auth-user {alice} --auth-password {ACCOUNT_PASSWORD} --from {alice} --to {bob} --header 'Subject: hello'",
        port(587)
    );
    let _ = writeln!(
        text,
        "\nRead it:\n  curl -k --url 'imaps://127.0.0.1:{}/INBOX;MAILINDEX=*' --user {bob}:{ACCOUNT_PASSWORD}\n  mutt -e 'set ssl_verify_host=no' -f imaps://{}@127.0.0.1:{}/",
        port(993),
        bob.replace('@', "%40"),
        port(993)
    );
    let _ = writeln!(text, "\nPull the plug of the box that serves, and put it back:");
    let _ = writeln!(text, "  cargo lab fault active power-cut\n  cargo lab heal");
    let _ = write!(
        text,
        "\nLook around:\n  cargo lab status    cargo lab lcd a    cargo lab console a    cargo lab help"
    );
    text
}

/// The status for a person.
pub fn status(report: &Value) -> String {
    let mut text = String::new();
    let active = report["active"].as_str().unwrap_or("none");
    let _ = writeln!(text, "Active: {active}   virtual address: {}", word(&report["virtual_address"]));
    for name in BoxName::ALL {
        let _ = write!(text, "\n{}", status_of(name, &report["boxes"][name.to_string()]));
    }
    text.trim_end().to_owned()
}

fn status_of(name: BoxName, report: &Value) -> String {
    let mut text = format!("{}: power {}", box_name(name), word(&report["power"]));
    for fault in list(&report["faults"]) {
        let _ = write!(text, ", fault {}", word(fault));
    }
    text.push('\n');
    if let Some(problem) = report["problem"].as_str() {
        let _ = writeln!(text, "  {problem}");
    }
    let status = &report["status"];
    for group in list(&status["groups"]) {
        let _ = writeln!(
            text,
            "  {}: {}, epoch {}, reservation held by {}",
            word(&group["name"]),
            word(&group["role"]),
            group["epoch"],
            word(&group["holder"])
        );
        let takeover = &group["last_takeover"];
        if !takeover.is_null() {
            let _ = writeln!(text, "  last taken: {}", word(&takeover["cause"]));
            let _ =
                writeln!(text, "    noticed after {} ms, then {}", takeover["detect_ms"], phases(takeover));
        }
    }
    for medium in list(&status["media"]) {
        let age = medium["age_ms"].as_u64().map_or("never heard".into(), |age| format!("{age} ms ago"));
        let _ = writeln!(text, "  {:<8} {:<6} {age}", word(&medium["name"]), word(&medium["state"]));
    }
    for alarm in list(&status["alarms"]) {
        let _ = writeln!(text, "  ALARM {}", word(&alarm["text"]));
    }
    text
}

/// The phases of a takeover in one line.
pub fn phases(takeover: &Value) -> String {
    let phases: Vec<String> =
        list(&takeover["phases"]).map(|phase| format!("{} {}", word(&phase["step"]), phase["ms"])).collect();
    format!("{}; {} ms in all", phases.join(", "), takeover["total_ms"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
