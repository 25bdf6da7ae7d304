//! From two boxes without power to a pair that serves: what `up` does, step by step.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::console::Start;
use crate::error::{LabError, Result};
use crate::lab::{Lab, role};
use crate::parts::{ACCOUNT_PASSWORD, ACCOUNTS, BoxName, DOMAIN, virtual_port};
use crate::wizard;

/// A box's console shows something this long after power-on at the latest.
const BOOT_MAX: Duration = Duration::from_mins(2);
/// The service is there this long after the boxes are.
const SERVICE_MAX: Duration = Duration::from_secs(90);
/// How often a box is asked for its status while waiting.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Hears of every finished step: what it was and how long it took.
pub type Steps<'a> = dyn FnMut(&str, Duration) + 'a;

impl Lab {
    /// Gives the boxes power, sets up what is blank, and waits until they serve.
    pub fn bring_up(&self, boxes: &[BoxName], steps: &mut Steps<'_>) -> Result<Value> {
        let fresh: Vec<bool> = boxes.iter().map(|name| self.machine(*name).powered_for().is_none()).collect();
        self.heal(None, None)?;
        let began = Instant::now();
        for name in boxes {
            self.power_on(*name)?;
        }
        let mut blank = Vec::new();
        for (name, fresh) in boxes.iter().zip(fresh) {
            if self.console(*name).wait_for_start(BOOT_MAX)? == Start::Blank {
                blank.push(*name);
            }
            if fresh {
                steps(&format!("box {name} has started"), began.elapsed());
            }
        }
        // A pair begins with box a, unless box b has one already.
        let new =
            blank.contains(&BoxName::A) && (blank.contains(&BoxName::B) || !boxes.contains(&BoxName::B));
        if new {
            timed(steps, "box a is set up: six answers, the LUN formatted", || wizard::set_up_first(self))?;
        }
        // A blank box must not be asked who is active: its console asks the questions.
        let set_up: Vec<BoxName> = boxes
            .iter()
            .copied()
            .filter(|name| (new && *name == BoxName::A) || !blank.contains(name))
            .collect();
        timed(steps, "one box is active", || wait_for_active(self, &set_up))?;
        if boxes.len() == 2 {
            if let Some(joiner) = blank.iter().copied().find(|name| !set_up.contains(name)) {
                let text = format!("box {joiner} has joined over the serial cable");
                timed(steps, &text, || wizard::join(self, joiner))?;
            }
            timed(steps, "the other box stands by", || self.wait_for_pair())?;
        }
        if new {
            timed(steps, "accounts alice and bob", || self.make_accounts())?;
        }
        if new && self.plan.groups > 1 && boxes.len() == 2 {
            timed(steps, "a second service group, served by box b", || self.add_second_group())?;
        }
        timed(steps, "SMTP greets at the virtual address", || wait_for_greeting(SERVICE_MAX))?;
        Ok(json!({ "active": self.active() }))
    }

    /// Waits until one box serves and the other could.
    pub fn wait_for_pair(&self) -> Result<()> {
        poll("a pair of one active box and one that stands by", SERVICE_MAX, || {
            let statuses = BoxName::ALL.map(|name| self.box_status(name).unwrap_or(Value::Null));
            if is_pair(&statuses[0], &statuses[1]) || is_pair(&statuses[1], &statuses[0]) {
                return Ok(());
            }
            let seen = BoxName::ALL.map(|name| describe(name, &statuses[name.index()]));
            Err(seen.join("; "))
        })
    }

    fn make_accounts(&self) -> Result<()> {
        let active = self.active().unwrap_or(BoxName::A);
        for account in ACCOUNTS {
            let words = format!("account add {account}@{DOMAIN} --password {ACCOUNT_PASSWORD} --json");
            self.console(active).query(&words)?;
        }
        Ok(())
    }
}

/// Waits until one of `boxes` serves.
fn wait_for_active(lab: &Lab, boxes: &[BoxName]) -> Result<()> {
    poll("a box that serves", SERVICE_MAX, || {
        let mut seen = Vec::new();
        for name in boxes {
            match lab.box_status(*name) {
                Ok(status) if role(&status) == "active" => return Ok(()),
                Ok(status) => seen.push(describe(*name, &status)),
                Err(error) => seen.push(format!("box {name}: {error}")),
            }
        }
        Err(seen.join("; "))
    })
}

fn timed(steps: &mut Steps<'_>, text: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    work()?;
    steps(text, began.elapsed());
    Ok(())
}

pub(crate) fn poll<T>(what: &str, most: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T> {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if began.elapsed() > most => {
                let hint = format!(": {seen}");
                return Err(LabError::TooLate { what: what.into(), seconds: most.as_secs(), hint });
            }
            Err(_) => thread::sleep(ASK_EVERY),
        }
    }
}

fn is_pair(one: &Value, other: &Value) -> bool {
    role(one) == "active"
        && role(other) == "standby"
        && one["peer"]["alive"] == true
        && one["peer"]["ready"] == true
        && other["peer"]["alive"] == true
}

fn describe(name: BoxName, status: &Value) -> String {
    if status.is_null() {
        return format!("box {name} does not answer");
    }
    let alarms: Vec<&str> = status["alarms"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|alarm| alarm["text"].as_str())
        .collect();
    format!(
        "box {name} is {}{}{}",
        role(status),
        if alarms.is_empty() { "" } else { ", alarms: " },
        alarms.join(", ")
    )
}

/// Waits until SMTP greets at the virtual address.
pub fn wait_for_greeting(most: Duration) -> Result<()> {
    let began = Instant::now();
    while !greets() {
        if began.elapsed() > most {
            let what = "an SMTP greeting from the virtual address".into();
            return Err(LabError::TooLate { what, seconds: most.as_secs(), hint: String::new() });
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn greets() -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&virtual_port(25), Duration::from_secs(1)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && greeting == *b"220 "
}
