//! Many sessions on one mailbox, each with a client that checks whatever it hears.
//!
//! `STRESS_ROUNDS` sets how many commands each client gives, for runs of minutes; the seed is printed.

mod client;
mod model;

use client::{Client, Service};
use model::{Mode, Model, Recents, word_after};

const ROUNDS: usize = 120;
const CLIENTS: usize = 8;

fn rounds() -> usize {
    std::env::var("STRESS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

/// A linear congruential generator; the seed is printed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len())]
    }
}

struct Tester {
    client: Client,
    model: Model,
    dice: Dice,
}

impl Tester {
    async fn start(service: &Service, mode: Mode, number: usize, seed: u64, recents: Recents) -> Self {
        let client = service.login().await;
        let model = Model::new(mode, number, recents);
        let mut tester = Self { client, model, dice: Dice(seed.wrapping_add(number as u64 * 7919)) };
        tester.enable_and_select(false).await;
        tester
    }

    async fn enable_and_select(&mut self, resync: bool) {
        let extension = match self.model.mode {
            Mode::Plain => "X-NOTHING",
            Mode::Condstore => "CONDSTORE",
            Mode::Qresync => "QRESYNC",
            Mode::UidOnly => "UIDONLY",
            Mode::Rev2 => "IMAP4rev2",
        };
        self.client.ok(&format!("ENABLE {extension}")).await;
        self.model.begin_selection(resync);
        if !resync {
            self.run("SELECT INBOX").await;
            if self.model.mode == Mode::Qresync {
                self.run("UID FETCH 1:* FLAGS").await;
            }
            return;
        }
        let known: Vec<String> =
            self.model.messages.iter().filter_map(|known| known.uid).map(|uid| uid.to_string()).collect();
        let (validity, modseq) = (self.model.uid_validity, self.model.modseq);
        let known = match self.dice.roll(3) {
            0 => String::new(),
            _ if known.is_empty() => String::new(),
            1 => format!(" {}", known.join(",")),
            _ => format!(" 1:4000000 (1,{} {},{})", known.len() + 1, known[0], known[known.len() - 1]),
        };
        self.run(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}{known}))")).await;
    }

    /// Sends a command and takes its answer; the tagged response.
    async fn run(&mut self, command: &str) -> String {
        command.clone_into(&mut self.model.command);
        let answer = self.client.command(command).await;
        for line in &answer.untagged {
            self.model.hear(line);
        }
        self.model.code(&answer.tagged);
        assert!(!answer.tagged.starts_with("BAD"), "{command}: {answer:?}");
        answer.tagged
    }

    /// A message by number or UID, as the command wants it; `None` when there is none to name.
    fn message(&mut self) -> Option<(String, &'static str)> {
        let count = self.model.messages.len();
        if count == 0 {
            return None;
        }
        let at = self.dice.roll(count);
        let by_uid = self.model.mode == Mode::UidOnly || self.dice.roll(2) == 0;
        if by_uid {
            let uid = self.model.messages[at].uid.unwrap_or(1 + self.dice.roll(50) as u32);
            let end = if self.dice.roll(3) == 0 { format!(":{}", uid + 5) } else { String::new() };
            return Some((format!("{uid}{end}"), "UID "));
        }
        let last = (at + 1 + self.dice.roll(4)).min(count);
        Some((format!("{}:{last}", at + 1), ""))
    }

    async fn step(&mut self, service: &Service) {
        let number = self.model.number;
        match self.dice.roll(20) {
            0..=4 => {
                let Some((set, uid)) = self.message() else { return };
                let sign = self.dice.one_of(&["", "+", "-"]);
                let silent = self.dice.one_of(&["", ".SILENT"]);
                let own = format!("word{number}");
                let flags = self
                    .dice
                    .one_of(&["\\Seen", "\\Deleted", "\\Flagged \\Seen", "\\Answered", &own])
                    .to_owned();
                let since = match self.dice.roll(4) {
                    0 if self.model.mode == Mode::Condstore => {
                        format!("(UNCHANGEDSINCE {}) ", self.model.modseq)
                    }
                    _ => String::new(),
                };
                if silent == ".SILENT" {
                    self.model.foresee(&set, uid == "UID ", sign, &flags);
                }
                let tagged =
                    self.run(&format!("{uid}STORE {set} {since}{sign}FLAGS{silent} ({flags})")).await;
                if let Some(refused) = word_after(&tagged, "[MODIFIED ") {
                    self.model.forget_flags(refused, uid == "UID ");
                }
            }
            5 | 6 => {
                let words = " and more of it".repeat(self.dice.roll(20));
                let message = format!("From: client{number}@example.test\r\n\r\nhello{words}\r\n");
                let flags = self.dice.one_of(&["", "\\Seen", "\\Flagged"]);
                self.run(&format!("APPEND INBOX ({flags}) {{{}+}}\r\n{message}", message.len())).await;
            }
            7 => drop(self.run("EXPUNGE").await),
            8 => {
                let Some((set, uid)) = self.message() else { return };
                if uid == "UID " {
                    self.run(&format!("UID EXPUNGE {set}")).await;
                }
            }
            9 => {
                let Some((set, uid)) = self.message() else { return };
                let verb = self.dice.one_of(&["COPY", "MOVE"]);
                self.run(&format!("{uid}{verb} {set} Archive")).await;
            }
            10..=12 => {
                let Some((set, uid)) = self.message() else { return };
                let items =
                    self.dice.one_of(&["FLAGS", "(UID FLAGS)", "(UID ENVELOPE)", "(UID FLAGS BODY[])"]);
                self.run(&format!("{uid}FETCH {set} {items}")).await;
            }
            13 => {
                let uid = if self.model.mode == Mode::UidOnly { "UID " } else { "" };
                self.run(&format!("{uid}SEARCH UNSEEN")).await;
            }
            14 if self.model.mode != Mode::Plain => {
                let (uid, since) =
                    (if self.model.mode == Mode::UidOnly { "UID " } else { "" }, self.model.modseq);
                if !self.model.messages.is_empty()
                    && self.model.mode != Mode::Rev2
                    && self.model.mode != Mode::UidOnly
                {
                    self.run(&format!("{uid}FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since})")).await;
                }
            }
            15 => {
                "IDLE".clone_into(&mut self.model.command);
                self.client.send("i IDLE\r\n").await;
                tokio::time::sleep(std::time::Duration::from_millis(self.dice.roll(20) as u64)).await;
                self.client.send("DONE\r\n").await;
                let answer = self.client.answer("i").await;
                for line in &answer.untagged {
                    self.model.hear(line);
                }
            }
            16 => self.reconnect(service).await,
            17 => self.select_again().await,
            _ => drop(self.run("NOOP").await),
        }
    }

    /// The line drops, and the client comes back.
    async fn reconnect(&mut self, service: &Service) {
        self.client = service.login().await;
        self.enable_and_select(self.model.mode == Mode::Qresync).await;
        if self.model.mode == Mode::Qresync {
            self.check_resync(false).await;
        }
    }

    /// After the client came back: what it put together from its memory and from what it was told is what
    /// is there. `still`: nobody else does anything.
    async fn check_resync(&mut self, still: bool) {
        let before = std::mem::take(&mut self.model.messages);
        self.model.messages.resize_with(self.model.exists, Default::default);
        self.model.vanished.clear();
        self.run("UID FETCH 1:* (UID FLAGS MODSEQ)").await;
        for known in before {
            let uid = known.uid.expect("a client that comes back counts by UIDs");
            let now = self.model.messages.iter().find(|now| now.uid == known.uid);
            let Some(now) = now else {
                assert!(!still && self.model.vanished.contains(&uid), "nobody told that {uid} vanished");
                continue;
            };
            if still || known.modseq == now.modseq {
                let (flags, modseq) = (known.flags.as_ref(), known.modseq);
                assert_eq!(modseq.or(now.modseq), now.modseq, "UID {uid}");
                assert_eq!(flags.or(now.flags.as_ref()), now.flags.as_ref(), "UID {uid}");
            }
        }
    }

    async fn select_again(&mut self) {
        if self.model.mode == Mode::Qresync {
            return;
        }
        self.model.begin_selection(false);
        self.run("SELECT INBOX").await;
    }

    /// What the client believes is what the server has. Nothing may be open from before.
    async fn compare_with_truth(&mut self) {
        let before = self.model.messages.clone();
        let uid = if self.model.mode == Mode::UidOnly { "UID " } else { "" };
        if !self.model.messages.is_empty() {
            let items = match self.model.mode {
                Mode::Plain | Mode::Rev2 => "(UID FLAGS)",
                _ => "(UID FLAGS MODSEQ)",
            };
            self.run(&format!("{uid}FETCH 1:* {items}")).await;
        }
        for (known, now) in before.iter().zip(&self.model.messages) {
            if known.flags.is_some() {
                assert_eq!(known.flags, now.flags, "client {}: {known:?}, now {now:?}", self.model.number);
            }
            if known.modseq.is_some() && matches!(self.model.mode, Mode::Condstore | Mode::Qresync) {
                assert_eq!(known.modseq, now.modseq, "client {}: {known:?}", self.model.number);
            }
        }
    }
}

async fn storm(seed: u64) {
    let service = Service::start().await;
    let recents = Recents::default();
    let modes = [Mode::Plain, Mode::Condstore, Mode::Qresync, Mode::UidOnly, Mode::Rev2];
    let mut testers = Vec::new();
    for number in 0..CLIENTS {
        testers
            .push(Tester::start(&service, modes[number % modes.len()], number, seed, recents.clone()).await);
    }
    let service = std::sync::Arc::new(service);
    for checkpoint in 0..4 {
        let mut tasks = Vec::new();
        for mut tester in testers {
            let service = service.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..rounds() {
                    tester.step(&service).await;
                }
                tester
            }));
        }
        testers = Vec::new();
        for task in tasks {
            testers.push(task.await.expect("no client complains"));
        }
        // Everybody is still: what they know must be the truth, and the same for all.
        let mut pictures = Vec::new();
        for tester in &mut testers {
            tester.run("NOOP").await;
            tester.compare_with_truth().await;
            if tester.model.mode == Mode::Qresync {
                tester.client = service.login().await;
                tester.enable_and_select(true).await;
                tester.check_resync(true).await;
            }
            let mut picture: Vec<_> =
                tester.model.messages.iter().map(|known| (known.uid, known.flags.clone())).collect();
            picture.sort();
            pictures.push(picture);
        }
        for (number, picture) in pictures.iter().enumerate() {
            assert_eq!(picture, &pictures[0], "checkpoint {checkpoint}: clients 0 and {number}");
        }
    }
    let report = service.context.store.check().expect("the store can be read");
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_remember_find_nothing_wrong() {
    // Another number is another storm; the order of what the clients do differs each time as it is.
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    storm(seed).await;
}
