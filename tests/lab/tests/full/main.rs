//! The group's disk fills up, in the middle of service: new mail is put off with the right words, nobody
//! moves anything, people log in, read, move and delete, the other box takes the full disk over, and what
//! is deleted makes room for new mail.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;

use std::time::{Duration, Instant};

use lab::clients::imap::{Door, Reader};
use lab::clients::smtp::Fate;
use lab::clients::stream::{Patience, Tls};
use lab::kind::Kind;
use lab::parts::{ACCOUNT_PASSWORD, BoxName, DOMAIN, Which};
use operator::{Operator, active, alarms, count, epoch, greeting, pair_of, port, send, sender};

/// The smallest that a box takes.
const LUN_MIB: u32 = 1_024;
/// Sizes of the messages that fill the disk: each until there is no room for it.
const FILLING_BYTES: [usize; 3] = [16 << 20, 1 << 20, 16 << 10];
/// A disk that takes more than this is larger than was asked for.
const FILLINGS_MAX: usize = 2_000;
/// The box tells, and takes its word back, within this time.
const TOLD_MAX: Duration = Duration::from_mins(1);
/// Longer than a restart and a takeover: nothing of the kind may begin.
const LONG_ENOUGH: Duration = Duration::from_secs(25);
/// Room is made within this time.
const ROOM_MAX: Duration = Duration::from_mins(2);
const PATIENCE: Patience = Patience { connect: Duration::from_secs(5), answer: Duration::from_mins(1) };

/// A message with an attachment of about this size.
fn filling(number: usize, bytes: usize) -> String {
    let line = "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4gVGhlIHF1aWNrIGJyb3du\r\n";
    format!(
        "From: bob@{DOMAIN}\r\nTo: alice@{DOMAIN}\r\nSubject: filling {number}\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        line.repeat(bytes / line.len())
    )
}

/// Sends until the disk is full; gives how many messages were taken.
fn fill() -> usize {
    let mut taken = 0;
    for bytes in FILLING_BYTES {
        loop {
            assert!(taken < FILLINGS_MAX, "the disk does not become full");
            let message = filling(taken, bytes);
            let sent = sender().send(&format!("bob@{DOMAIN}"), &format!("alice@{DOMAIN}"), &message).unwrap();
            match sent {
                Fate::Accepted => taken += 1,
                Fate::Refused(said) => {
                    assert!(said.starts_with("452 4.3.1"), "no room, and nothing else: {said}");
                    break;
                }
                Fate::Unknown(reason) => panic!("no answer to message {taken}: {reason}"),
            }
        }
    }
    taken
}

fn alice() -> Reader {
    let tls = Tls::new().unwrap();
    let name = format!("alice@{DOMAIN}");
    let mut reader =
        Reader::connect(port(993), Door::Imaps, &tls, (&name, ACCOUNT_PASSWORD), PATIENCE).unwrap();
    reader.select("INBOX").unwrap();
    reader
}

fn told(pair: &Operator, at: BoxName, wanted: bool) {
    let what = if wanted { "the alarm of the full disk" } else { "the end of that alarm" };
    pair.wait(what, TOLD_MAX, |status| (alarms(status, at).contains(&"disk_full") == wanted).then_some(()));
}

#[test]
fn the_disk_of_the_group_fills_up_and_is_emptied_again() {
    let pair = pair_of("test-full", |plan| plan.lun_mib = LUN_MIB);
    send("before the disk is full");
    let before = epoch(&pair.status());
    let serving = active(&pair.status()).unwrap();

    let began = Instant::now();
    let taken = fill();
    println!("full after {taken} messages, {:?}", began.elapsed());
    told(pair, serving, true);
    pair.watch("no restart and no move, the disk is as full at the other box", LONG_ENOUGH, |status| {
        epoch(status) == before && operator::service(status, serving, "mail")["restarts"] == 0
    });

    // People go on with what they have.
    let mut reader = alice();
    assert_eq!(count("before the disk is full"), 1);
    let all = reader.search("ALL").unwrap();
    assert_eq!(all.len(), taken + 1, "what was taken is there");
    let first = all[1];
    reader.set_flag(&first.to_string(), "\\Flagged").unwrap();
    reader.move_to(&first.to_string(), "Trash").unwrap();

    // The other box can take over what it cannot write much to.
    pair.fault(Which::from(serving), Kind::PowerCut);
    pair.wait("a takeover of the full disk", TOLD_MAX, |status| {
        (active(status) == Some(serving.other())).then_some(())
    });
    println!("the full disk is served again after {:?}", greeting(TOLD_MAX));
    told(pair, serving.other(), true);
    let mut reader = alice();
    let left = reader.search("ALL").unwrap();
    assert_eq!(left.len(), taken, "nothing is lost by it");

    // What is deleted makes room, by itself.
    let gone: Vec<String> =
        reader.search("SUBJECT \"filling\"").unwrap().iter().map(ToString::to_string).collect();
    reader.set_flag(&gone.join(","), "\\Deleted").unwrap();
    reader.expunge().unwrap();
    let began = Instant::now();
    loop {
        let message = filling(taken, FILLING_BYTES[0]);
        let sent = sender().send(&format!("bob@{DOMAIN}"), &format!("alice@{DOMAIN}"), &message).unwrap();
        match sent {
            Fate::Accepted => break,
            Fate::Refused(said) => assert!(
                said.starts_with('4') && began.elapsed() < ROOM_MAX,
                "{said}; the log of the box: {}",
                pair.command(serving.other(), "log --last 60")
            ),
            Fate::Unknown(reason) => panic!("{reason}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("a message of {} MiB is taken {:?} after the deletion", FILLING_BYTES[0] >> 20, began.elapsed());
    told(pair, serving.other(), false);
    assert_eq!(count("before the disk is full"), 1);
    pair.heal();
    pair.wait_until_whole();
}
