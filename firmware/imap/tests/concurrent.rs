//! Several sessions on one mailbox.

mod client;

use std::collections::BTreeMap;

use client::{Answer, Client, Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_hear_of_each_other() {
    let service = Service::start().await;
    let mut one = service.select("INBOX").await;
    let mut two = service.select("INBOX").await;
    one.append("INBOX", "", "Subject: a\r\n\r\n").await;
    one.append("INBOX", "", "Subject: b\r\n\r\n").await;
    assert_eq!(two.ok("NOOP").await.of("EXISTS"), ["* 2 EXISTS"]);
    one.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(two.ok("NOOP").await.of("FETCH"), ["* 1 FETCH (FLAGS (\\Seen))"]);
    assert!(two.ok("NOOP").await.untagged.is_empty());
    // A silent STORE of a message that another session changed tells of that change.
    one.ok("STORE 2 +FLAGS (\\Flagged)").await;
    let silent = two.ok("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(silent.of("FETCH"), ["* 2 FETCH (FLAGS (\\Flagged \\Seen))"]);
    // Keywords are told before they are used.
    one.ok("NOOP").await;
    one.ok("STORE 1 +FLAGS (Fresh)").await;
    let heard = two.ok("NOOP").await.untagged;
    assert!(heard[0].starts_with("* FLAGS (") && heard[0].contains("Fresh"), "{heard:?}");
    assert!(heard.last().is_some_and(|line| line == "* 1 FETCH (FLAGS (\\Seen Fresh))"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expunge_waits_for_a_command_that_may_tell_it() {
    let service = Service::start().await;
    let mut one = service.select("INBOX").await;
    for subject in ["a", "b", "c"] {
        one.append("INBOX", "", &format!("Subject: {subject}\r\n\r\n")).await;
    }
    let mut two = service.select("INBOX").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    // What the session knows of the message it can still tell, but not what only the message itself tells.
    assert_eq!(two.ok("FETCH 1 (UID FLAGS)").await.untagged, ["* 1 FETCH (UID 1 FLAGS ())"]);
    let fetched = two.no("FETCH 1:3 (UID RFC822.HEADER)").await;
    assert!(fetched.tagged.starts_with("NO [EXPUNGEISSUED]"));
    assert_eq!(fetched.of("UID").len(), 2);
    assert!(fetched.of("EXPUNGE").is_empty(), "{fetched:?}");
    let stored = two.no("STORE 1:2 +FLAGS (\\Seen)").await;
    assert!(stored.tagged.starts_with("NO [EXPUNGEISSUED]"));
    assert_eq!(stored.of("FETCH").len(), 1);
    assert!(stored.of("* 1 EXPUNGE").is_empty());
    assert_eq!(two.ok("SEARCH ALL").await.untagged, ["* SEARCH 2 3"]);
    // A UID command may tell it (RFC 3501 section 7.4.1).
    assert_eq!(
        two.ok("UID FETCH 1:* UID").await.untagged,
        ["* 1 EXPUNGE", "* 1 FETCH (UID 2)", "* 2 FETCH (UID 3)"]
    );
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    assert!(two.no("COPY 1 INBOX").await.of("* 1 EXPUNGE").len() == 1);
    assert_eq!(two.ok("FETCH 1:* UID").await.untagged, ["* 1 FETCH (UID 3)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_tells_at_once() {
    let service = Service::start().await;
    let mut one = service.select("INBOX").await;
    let mut two = service.select("INBOX").await;
    two.send("i IDLE\r\n").await;
    assert!(two.response().await.starts_with("+ "));
    one.append("INBOX", "", "Subject: a\r\n\r\n").await;
    assert_eq!(two.response().await, "* 1 EXISTS");
    // The message is recent to the session that heard of it first.
    let recent = if two.response().await == "* 1 RECENT" { " \\Recent" } else { "" };
    one.ok("STORE 1 +FLAGS (\\Deleted)").await;
    assert_eq!(two.response().await, format!("* 1 FETCH (FLAGS (\\Deleted{recent}))"));
    one.ok("EXPUNGE").await;
    assert_eq!(two.response().await, "* 1 EXPUNGE");
    two.send("done\r\n").await;
    assert!(two.answer("i").await.tagged.starts_with("OK"));
    two.send("j IDLE\r\nDONE\r\nk NOOP\r\n").await;
    assert!(two.answer("j").await.tagged.starts_with("OK"));
    assert!(two.answer("k").await.tagged.starts_with("OK"));
    two.send("l IDLE\r\nNOOP\r\n").await;
    assert!(two.answer("l").await.tagged.starts_with("BAD"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_mailbox_ends_the_sessions_in_it() {
    let service = Service::start().await;
    let mut one = service.login().await;
    one.ok("CREATE short").await;
    let mut two = service.select("short").await;
    one.ok("SELECT short").await;
    one.ok("DELETE short").await;
    one.bad("FETCH 1 FLAGS").await;
    one.ok("NOOP").await;
    two.send("a NOOP\r\n").await;
    assert!(two.response().await.starts_with("* BYE"));
}

/// What a client knows from untagged responses alone: a UID where it has heard one, and flags.
#[derive(Default)]
struct Known {
    messages: Vec<(Option<u32>, Option<String>)>,
}

impl Known {
    fn hear(&mut self, answer: &Answer) {
        for line in &answer.untagged {
            let mut words = line.split(' ').skip(1);
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let Ok(number) = first.parse::<usize>() else { continue };
            match second {
                "EXISTS" => {
                    assert!(number >= self.messages.len(), "EXISTS shrinks the mailbox: {line}");
                    self.messages.resize(number, (None, None));
                }
                "EXPUNGE" => {
                    self.messages.remove(number - 1);
                }
                "FETCH" => {
                    let message = &mut self.messages[number - 1];
                    if let Some(uid) = value(line, "UID ") {
                        let uid = uid.parse().expect("a UID");
                        assert!(
                            message.0.is_none_or(|known| known == uid),
                            "number {number} changed its UID: {line}"
                        );
                        message.0 = Some(uid);
                    }
                    if let Some(flags) = value(line, "FLAGS (") {
                        message.1 = Some(without_recent(flags));
                    }
                }
                _ => {}
            }
        }
    }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.split(name).nth(1)?;
    rest.split([')', if name == "UID " { ' ' } else { ')' }]).next()
}

fn without_recent(flags: &str) -> String {
    flags.split(' ').filter(|flag| *flag != "\\Recent").collect::<Vec<_>>().join(" ")
}

/// Small and seeded, so that a failure can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn random_command(client: &mut Client, known: &mut Known, dice: &mut Dice) {
    let count = known.messages.len() as u64;
    let flag = ["\\Seen", "\\Flagged", "\\Answered", "Label1", "Label2"][dice.roll(5) as usize];
    let number = if count == 0 { 0 } else { dice.roll(count) + 1 };
    let last = if count == 0 { 0 } else { number + dice.roll(count - number + 1) };
    let sign = ["+", "-", ""][dice.roll(3) as usize];
    let silent = [".SILENT", ""][dice.roll(2) as usize];
    let text = match dice.roll(12) {
        0 | 1 => {
            let message = format!("Subject: {}\r\n\r\n", dice.roll(1000));
            format!("APPEND INBOX ({flag}) {{{}+}}\r\n{message}", message.len())
        }
        2 | 3 if count > 0 => format!("STORE {number}:{last} {sign}FLAGS{silent} ({flag})"),
        4 if count > 0 => format!("STORE {number} +FLAGS{silent} (\\Deleted)"),
        5 => "EXPUNGE".to_owned(),
        6 if count > 0 => format!("FETCH {number}:{last} (UID FLAGS)"),
        7 => "UID FETCH 1:* FLAGS".to_owned(),
        8 if count > 0 => format!("COPY {number} INBOX"),
        9 if count > 0 => format!("MOVE {number} INBOX"),
        10 if count > 0 => format!("FETCH {number} BODY[]"),
        11 => "SEARCH UNSEEN".to_owned(),
        _ => "NOOP".to_owned(),
    };
    let silent_store = text.starts_with("STORE") && text.contains("SILENT");
    let answer = client.command(&text).await;
    assert!(!answer.tagged.starts_with("BAD"), "{text}: {answer:?}");
    let forbids_expunge = ["FETCH", "STORE", "SEARCH"].iter().any(|command| text.starts_with(command));
    assert!(!forbids_expunge || answer.of(" EXPUNGE").is_empty(), "{text}: {answer:?}");
    if silent_store {
        // The client works out what it asked for itself; here it asks again before it compares.
        for message in &mut known.messages[number as usize - 1..(last.max(number)) as usize] {
            message.1 = None;
        }
    }
    known.hear(&answer);
}

async fn contents(client: &mut Client) -> BTreeMap<u32, String> {
    let answer = client.ok("UID FETCH 1:* FLAGS").await;
    let entry = |line: &&str| {
        let uid = value(line, "UID ").and_then(|uid| uid.parse().ok()).expect("a UID");
        (uid, without_recent(value(line, "FLAGS (").expect("flags")))
    };
    answer.of("FETCH (UID").iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sessions_agree_in_the_end() {
    const SESSIONS: usize = 3;
    const COMMANDS: usize = 150;
    for seed in 1..=6_u64 {
        let service = Service::start().await;
        let mut running = Vec::new();
        for session in 0..SESSIONS {
            let mut client = service.login().await;
            let mut dice = Dice(seed * 1_000_003 + session as u64 * 7_919 + 1);
            running.push(tokio::spawn(async move {
                // The sessions before this one already append: SELECT itself may tell of messages.
                let mut known = Known::default();
                known.hear(&client.ok("SELECT INBOX").await);
                for _ in 0..COMMANDS {
                    random_command(&mut client, &mut known, &mut dice).await;
                }
                (client, known)
            }));
        }
        let mut sessions = Vec::new();
        for session in running {
            sessions.push(session.await.expect("the session holds"));
        }
        let mut fresh = service.select("INBOX").await;
        let truth = contents(&mut fresh).await;
        for (client, known) in &mut sessions {
            known.hear(&client.ok("NOOP").await);
            let answer = client.ok("UID FETCH 1:* (UID)").await;
            assert_eq!(known.messages.len(), truth.len(), "seed {seed}");
            known.hear(&answer);
            for (message, (uid, flags)) in known.messages.iter().zip(&truth) {
                assert_eq!(message.0, Some(*uid), "seed {seed}");
                if let Some(heard) = &message.1 {
                    assert_eq!(heard, flags, "seed {seed}, UID {uid}");
                }
            }
        }
    }
}
