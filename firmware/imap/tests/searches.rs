//! SEARCH finds what a plain look at every message finds, with the full-text index and without.

mod client;

use std::collections::BTreeSet;
use std::time::Duration;

use client::{Client, Service};
use message::{Needle, Piece, Structure, each_piece, fold};

const MESSAGES: usize = 120;
const WORDS: &[&str] =
    &["alpha", "bravo", "charlie", "delta", "Echo", "foxtrot", "golf", "hotel", "Übung", "naïve"];
const ASIAN: &[&str] =
    &["会议记录", "今日は良い天気", "안녕하세요 여러분", "ﾃﾞｰﾀ処理", "ＷＩＤＥ字", "สวัสดีครับ"];
/// What is looked for: whole words, inner parts, several words, marks, one letter, nothing anywhere.
const TEXTS: &[&str] = &[
    "alpha",
    "RAV",
    "lie delta",
    "o fox",
    "ÜBUNG",
    "u\u{308}bung",
    "naive",
    "会议",
    "议记",
    "今日",
    "天気",
    "하세요",
    "세요 여",
    "データ",
    "wide字",
    "สวัส",
    "x",
    "-",
    "e",
    "zulu",
    "number 7",
    "tag2",
    "inner",
    "bericht",
    "记录",
    "alpha bravo",
    "@example",
    "subject: ",
];

/// A random number that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn phrase(&mut self) -> String {
        let words: Vec<&str> = (0..=self.below(6)).map(|_| self.pick(WORDS)).collect();
        words.join(" ")
    }
}

fn message(number: usize, dice: &mut Dice) -> String {
    let subject = if dice.below(3) == 0 { dice.pick(ASIAN).to_owned() } else { dice.phrase() };
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &subject);
    let header = format!(
        "Subject: =?utf-8?B?{encoded}?=\r\nFrom: {} <from{}@example.test>\r\nTo: to{}@example.test\r\nX-Tag: tag{}\r\n",
        dice.pick(WORDS),
        dice.below(5),
        dice.below(3),
        dice.below(4)
    );
    let text = format!("{} {} number {number}\r\n{}", dice.phrase(), dice.pick(ASIAN), dice.phrase());
    match dice.below(4) {
        0 => {
            let (bytes, _, _) = encoding_rs::GB18030.encode(&text);
            let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
            format!(
                "{header}Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
            )
        }
        1 => format!(
            "{header}Content-Type: text/html; charset=utf-8\r\n\r\n<p>{}</p>\r\n",
            text.replace("lie", "l<b>ie</b>")
        ),
        2 => format!(
            "{header}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner {}\r\n\r\nin it\r\n\
             --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''Bericht%20{number}.pdf\r\n\r\nx\r\n--b--\r\n",
            dice.pick(WORDS)
        ),
        _ => format!("{header}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"),
    }
}

/// A search key as text, and the rule it stands for.
struct Key {
    text: String,
    rule: Box<dyn Fn(&Known) -> bool>,
}

/// What the test knows of a message.
struct Known {
    uid: usize,
    flagged: bool,
    raw: String,
}

impl Known {
    fn holds(&self, needle: &Needle, field: Option<&str>, header: bool) -> bool {
        let mut found = false;
        let raw = self.raw.as_bytes();
        each_piece(raw, &Structure::of(raw), &mut |piece| {
            found |= match (piece, field) {
                (Piece::Field { name, value }, Some(wanted)) => {
                    name.eq_ignore_ascii_case(wanted) && needle.is_in(&fold(value))
                }
                (Piece::Field { name, value }, None) => {
                    header && needle.is_in(&fold(&format!("{name}: {value}")))
                }
                (Piece::Body(text), None) => needle.is_in(&fold(text)),
                (Piece::Body(_), Some(_)) => false,
            };
            true
        });
        found
    }
}

fn literal(text: &str) -> String {
    format!("{{{}+}}\r\n{text}", text.len())
}

fn key(dice: &mut Dice, depth: usize) -> Key {
    let text = dice.pick(TEXTS);
    let needle = Needle::new(text);
    let field = |name: &'static str, words: &str| {
        let needle = Needle::new(text);
        let rule = Box::new(move |known: &Known| known.holds(&needle, Some(name), false));
        Key { text: format!("{words} {}", literal(text)), rule }
    };
    match dice.below(if depth == 0 { 9 } else { 12 }) {
        0..=2 => Key {
            text: format!("BODY {}", literal(text)),
            rule: Box::new(move |known| known.holds(&needle, None, false)),
        },
        3 => Key {
            text: format!("TEXT {}", literal(text)),
            rule: Box::new(move |known| known.holds(&needle, None, true)),
        },
        4 => field("Subject", "SUBJECT"),
        5 => field("From", "FROM"),
        6 => field("X-Tag", "HEADER x-tag"),
        7 => {
            let (first, last) = (1 + dice.below(MESSAGES), 1 + dice.below(MESSAGES));
            let (low, high) = (first.min(last), first.max(last));
            Key {
                text: format!("UID {first}:{last}"),
                rule: Box::new(move |known| (low..=high).contains(&known.uid)),
            }
        }
        8 => Key { text: "FLAGGED".to_owned(), rule: Box::new(|known| known.flagged) },
        9 => {
            let inner = key(dice, depth - 1);
            Key { text: format!("NOT {}", inner.text), rule: Box::new(move |known| !(inner.rule)(known)) }
        }
        10 => {
            let (one, other) = (key(dice, depth - 1), key(dice, depth - 1));
            Key {
                text: format!("OR {} {}", one.text, other.text),
                rule: Box::new(move |known| (one.rule)(known) || (other.rule)(known)),
            }
        }
        _ => {
            let (one, other) = (key(dice, depth - 1), key(dice, depth - 1));
            Key {
                text: format!("({} {})", one.text, other.text),
                rule: Box::new(move |known| (one.rule)(known) && (other.rule)(known)),
            }
        }
    }
}

async fn found(client: &mut Client, keys: &str) -> BTreeSet<usize> {
    let answer = client.ok(&format!("UID SEARCH CHARSET UTF-8 {keys}")).await;
    let lines = answer.of("SEARCH");
    let line = lines.first().expect("an answer").strip_prefix("* SEARCH").expect("SEARCH").to_owned();
    line.split_whitespace().map(|uid| uid.parse().expect("a UID")).collect()
}

async fn compare(client: &mut Client, known: &[Known], seed: u64, rounds: usize) -> usize {
    let mut dice = Dice(seed);
    let mut hits = 0;
    for _ in 0..rounds {
        let key = key(&mut dice, 3);
        let expected: BTreeSet<usize> =
            known.iter().filter(|known| (key.rule)(known)).map(|known| known.uid).collect();
        assert_eq!(found(client, &key.text).await, expected, "{}", key.text);
        hits += expected.len();
    }
    hits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_finds_what_a_plain_look_finds() {
    let service = Service::start().await;
    let mut client = service.login().await;
    let mut dice = Dice(7);
    let mut known = Vec::new();
    for uid in 1..=MESSAGES {
        let (raw, flagged) = (message(uid, &mut dice), dice.below(3) == 0);
        client.append("INBOX", if flagged { "\\Flagged" } else { "" }, &raw).await;
        known.push(Known { uid, flagged, raw });
    }
    client.ok("SELECT INBOX").await;
    assert!(compare(&mut client, &known, 1, 60).await > 0);
    let store = service.context.store.clone();
    for _ in 0..1_000 {
        let progress = store.text_progress().expect("the index answers");
        if progress.indexed == progress.of {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let progress = store.text_progress().expect("the index answers");
    assert_eq!(progress.indexed, progress.of);
    assert!(compare(&mut client, &known, 2, 150).await > 0);
    // Some go, and some come that are not indexed yet.
    client.ok("UID STORE 1:40 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    known.retain(|known| known.uid > 40);
    for uid in MESSAGES + 1..=MESSAGES + 20 {
        let raw = message(uid, &mut dice);
        client.append("INBOX", "", &raw).await;
        known.push(Known { uid, flagged: false, raw });
    }
    client.ok("NOOP").await;
    assert!(compare(&mut client, &known, 3, 100).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_in_other_charsets_and_of_other_kinds() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client
        .append("INBOX", "", "Subject: a\r\nContent-Type: text/plain; charset=gb2312\r\n\r\nnothing\r\n")
        .await;
    let (bytes, _, _) = encoding_rs::BIG5.encode("會議紀錄");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    client
        .append("INBOX", "", &format!("Subject: =?big5?B?{encoded}?=\r\nContent-Type: text/plain; charset=big5\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n"))
        .await;
    client.ok("SELECT INBOX").await;
    let (gb, _, _) = encoding_rs::GB18030.encode("會議");
    let mut command = format!("t1 SEARCH CHARSET GB18030 BODY {{{}+}}\r\n", gb.len()).into_bytes();
    command.extend_from_slice(&gb);
    command.extend_from_slice(b"\r\n");
    client.send(&command).await;
    assert_eq!(client.response().await, "* SEARCH 2");
    assert!(client.response().await.starts_with("t1 OK"));
    for (keys, expected) in [
        ("SUBJECT \"\"", "* SEARCH 1 2"),
        ("HEADER X-None \"\"", "* SEARCH"),
        ("BODY \"\"", "* SEARCH 1 2"),
        ("SAVEDATESUPPORTED SAVEDSINCE 1-Jan-2020", "* SEARCH 1 2"),
        ("SAVEDBEFORE 1-Jan-2020", "* SEARCH"),
        ("EMAILID E2", "* SEARCH 2"),
        ("OR EMAILID X2 THREADID T1", "* SEARCH"),
    ] {
        assert_eq!(client.ok(&format!("SEARCH {keys}")).await.of("SEARCH"), [expected], "{keys}");
    }
    let refused = client.no("SEARCH CHARSET KLINGON BODY x").await.tagged;
    assert!(refused.contains("[BADCHARSET"), "{refused}");
}
