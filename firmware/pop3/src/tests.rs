//! Transcripts: what a client sends, what it is told, what the shell was asked.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sasl::{ChannelBinding, Claim, Mechanism, Stored};

use crate::*;

const TEXT: &[u8] = b"Subject: x\r\n\r\nfirst\r\n.second\r\nthird";

const MANY: u32 = 20_000;

fn bound() -> ChannelBinding {
    ChannelBinding { tls_exporter: Some([3; 32]), tls_server_end_point: None }
}

struct Shell {
    session: Session,
    removed: Vec<u32>,
    tls_starts: usize,
    closed: bool,
    output: String,
    utf8_mail: bool,
    /// Most octets that waited to be sent at once.
    largest: usize,
}

impl Shell {
    fn new(tls: bool) -> Self {
        let policy = Policy { host_name: "mx.test".into(), stls: true, auth_in_clear: false };
        let session = Session::new(Arc::new(policy), tls.then(bound));
        Self {
            session,
            removed: Vec::new(),
            tls_starts: 0,
            closed: false,
            output: String::new(),
            utf8_mail: false,
            largest: 0,
        }
    }

    fn logged_in() -> Self {
        let mut shell = Self::new(true);
        shell.send("USER u\nPASS p w\n");
        assert!(shell.session.is_open());
        shell.output.clear();
        shell
    }

    fn send(&mut self, text: &str) -> &mut Self {
        self.session.feed(text.replace('\n', "\r\n").as_bytes());
        loop {
            let step = self.session.poll();
            let output = self.session.take_output();
            self.largest = self.largest.max(output.len());
            self.output += &String::from_utf8(output).unwrap();
            match step {
                Step::Read => return self,
                Step::Send => {}
                Step::Close => {
                    self.closed = true;
                    return self;
                }
                Step::StartTls => {
                    self.tls_starts += 1;
                    self.session.tls_started(bound());
                    return self;
                }
                Step::Ask(question) => {
                    let answer = self.decide(question);
                    self.session.answer(answer);
                }
            }
        }
    }

    fn decide(&mut self, question: Question) -> Answer {
        match question {
            Question::Stored { .. } => {
                Answer::Stored(Stored::derive("p w", b"a salt", std::num::NonZeroU32::MIN))
            }
            Question::Login(claim) => Self::log_in(&claim),
            Question::Text { uid: 3 } if self.utf8_mail => {
                Answer::Text(Bytes::from_static("Received: with UTF8SMTP\r\nSubject: ä\r\n\r\n".as_bytes()))
            }
            Question::Text { uid: 8 } => Answer::Refused(Refusal::Gone),
            Question::Text { .. } => Answer::Text(Bytes::from_static(TEXT)),
            Question::Remove { uids } => {
                self.removed = uids;
                Answer::Done
            }
        }
    }
}

impl Shell {
    fn log_in(claim: &Claim) -> Answer {
        let right = match claim {
            Claim::Password { password, .. } => password == "p w",
            Claim::Proof { pair, .. } => pair.is_some(),
        };
        let message = |uid| Message { uid, size_bytes: TEXT.len() as u32 };
        let maildrop = |messages| Answer::Maildrop(Maildrop { uid_validity: 9, messages });
        match claim.user() {
            "busy" => Answer::Refused(Refusal::InUse),
            "off" => Answer::Refused(Refusal::Disabled),
            "no" => Answer::Refused(Refusal::NotAllowed),
            "later" => Answer::Refused(Refusal::Unavailable),
            "many" if right => maildrop((1..=MANY).map(message).collect()),
            "u" if right => maildrop(vec![message(3), message(5), message(8)]),
            _ => Answer::Refused(Refusal::BadCredentials),
        }
    }
}

#[test]
fn passwords_only_under_tls() {
    let mut shell = Shell::new(false);
    shell.send("CAPA\nUSER u\nPASS p w\nAUTH PLAIN AHUAcCB3\n");
    assert!(shell.output.contains("\r\nSTLS\r\n") && !shell.output.contains("\r\nUSER\r\n"));
    assert_eq!(shell.output.matches("-ERR [AUTH] Begin TLS first").count(), 3);
    shell.send("STLS\nUSER u\n");
    assert_eq!(shell.tls_starts, 1);
    shell.output.clear();
    shell.send("PASS p w\nCAPA\nSTLS\nUSER u\nPASS p w\nSTAT\n");
    assert!(shell.output.starts_with("-ERR Send USER first"), "{}", shell.output);
    assert!(
        shell.output.contains("SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n")
            && !shell.output.contains("\r\nSTLS")
    );
    assert!(shell.output.ends_with("+OK 3 messages\r\n+OK 3 105\r\n"), "{}", shell.output);
}

#[test]
fn every_way_to_log_in() {
    for (input, end) in [
        ("AUTH PLAIN AHUAcCB3\n", "+OK 3 messages\r\n"),
        ("AUTH PLAIN\nAHUAcCB3\n", "+ \r\n+OK 3 messages\r\n"),
        ("AUTH PLAIN\n*\n", "-ERR Authentication was given up\r\n"),
        ("AUTH PLAIN ???\n", "-ERR The response is not understood\r\n"),
        ("AUTH CRAM-MD5\n", "-ERR That mechanism is not offered\r\n"),
        ("AUTH PLAIN =\n", "-ERR The response is not understood\r\n"),
        ("AUTH plain AGUAAA==\n", "-ERR The response is not understood\r\n"),
        ("AUTH PLAIN Yg51AHAgdw==\n", "-ERR The response is not understood\r\n"),
        ("AUTH PLAIN YgB1AHAgdw==\n", "-ERR [AUTH] Nobody may act for another user\r\n"),
        ("AUTH LOGIN\ndQ==\ncCB3\n", "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK 3 messages\r\n"),
        ("AUTH LOGIN dQ==\ncCB3\n", "+ UGFzc3dvcmQ6\r\n+OK 3 messages\r\n"),
        ("AUTH\n", "\r\nSCRAM-SHA-256\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
        ("APOP u 0123456789abcdef0123456789abcdef\n", "-ERR That command is not known here\r\n"),
        ("USER off\nPASS p w\n", "-ERR [SYS/PERM] This account may not be used; ask the administrator\r\n"),
        ("USER no\nPASS p w\n", "-ERR [SYS/PERM] This account may not use POP3; ask the administrator\r\n"),
        ("USER later\nPASS p w\n", "-ERR [SYS/TEMP] That is not possible now, try again later\r\n"),
        ("USER u\nPASS wrong\n", "-ERR [AUTH] User name or password is wrong\r\n"),
        ("USER busy\nPASS x\n", "-ERR [IN-USE] Another session has the mailbox open\r\n"),
        ("STAT\n", "-ERR Log in first\r\n"),
        ("QUIT\n", "+OK Bye\r\n"),
    ] {
        let mut shell = Shell::new(true);
        shell.send(input);
        assert!(shell.output.ends_with(end), "{input}: {}", shell.output);
    }
    let mut shell = Shell::new(true);
    shell.send(&"USER u\nPASS wrong\n".repeat(9));
    assert!(shell.closed && shell.output.matches("[AUTH]").count() == AUTH_FAILURES_MAX);
}

#[test]
fn reading_a_maildrop() {
    for (input, want) in [
        ("LIST\n", "+OK\r\n1 35\r\n2 35\r\n3 35\r\n.\r\n"),
        (
            "LIST 2\nLIST 4\nLIST 0\n",
            "+OK 2 35\r\n-ERR There is no such message\r\n-ERR There is no such message\r\n",
        ),
        ("UIDL\nUIDL 3\n", "+OK\r\n1 9.3\r\n2 9.5\r\n3 9.8\r\n.\r\n+OK 3 9.8\r\n"),
        ("RETR 1\n", "+OK 35 octets\r\nSubject: x\r\n\r\nfirst\r\n..second\r\nthird\r\n.\r\n"),
        ("TOP 1 0\n", "+OK 35 octets\r\nSubject: x\r\n\r\n.\r\n"),
        ("TOP 1 2\n", "+OK 35 octets\r\nSubject: x\r\n\r\nfirst\r\n..second\r\n.\r\n"),
        (
            "TOP 1 99\nNOOP\n",
            "+OK 35 octets\r\nSubject: x\r\n\r\nfirst\r\n..second\r\nthird\r\n.\r\n+OK Here\r\n",
        ),
        (
            "RETR 3\nRETR 9\nRETR x\n",
            "-ERR The message was removed by another session\r\n-ERR There is no such message\r\n-ERR The argument is not understood\r\n",
        ),
        (
            "DELE 2\nSTAT\nRETR 2\nLIST\nRSET\nSTAT\n",
            "+OK It goes at QUIT\r\n+OK 2 70\r\n-ERR There is no such message\r\n+OK\r\n1 35\r\n3 35\r\n.\r\n+OK Nothing is deleted\r\n+OK 3 105\r\n",
        ),
        ("USER u\n", "-ERR You are logged in already\r\n"),
    ] {
        let mut shell = Shell::logged_in();
        shell.send(input);
        assert_eq!(shell.output, want, "{input}");
        assert!(shell.removed.is_empty());
    }
}

#[test]
fn only_quit_removes() {
    let mut shell = Shell::logged_in();
    shell.send("DELE 1\nDELE 3\nDELE 1\nQUIT\n");
    assert_eq!(shell.removed, [3, 8]);
    assert!(shell.closed && shell.output.ends_with("-ERR There is no such message\r\n+OK Bye\r\n"));
    let mut shell = Shell::logged_in();
    shell.send("DELE 1\n");
    shell.session.end(Code::Temporary, Text::Stopping);
    shell.send("QUIT\n");
    assert!(shell.removed.is_empty() && shell.closed);
}

#[test]
fn garbage_is_answered_until_it_is_too_much() {
    let mut shell = Shell::new(true);
    shell.send(&"\u{1}junk\n".repeat(40));
    assert!(shell.closed && shell.output.matches("-ERR").count() == FAULTS_MAX + 1);
    let mut shell = Shell::new(true);
    shell.send(&"x".repeat(60_000)).send("\nCAPA\n");
    assert!(shell.output.contains("-ERR The line is too long\r\n+OK What"));
}

#[test]
fn scram_bound_and_not() {
    for (mechanism, password, end) in [
        (Mechanism::ScramSha256Plus, "p w", "+OK 3 messages\r\n"),
        (Mechanism::ScramSha256, "p w", "+OK 3 messages\r\n"),
        (Mechanism::ScramSha256Plus, "wrong", "-ERR [AUTH] User name or password is wrong\r\n"),
    ] {
        let mut shell = Shell::new(true);
        let seen = if mechanism == Mechanism::ScramSha256Plus { bound() } else { ChannelBinding::default() };
        let mut client = sasl::Client::new(mechanism, "u", password, &seen).unwrap();
        let initial = sasl::encode(&client.initial().unwrap());
        shell.send(&format!("AUTH {} {initial}\n", mechanism.name()));
        while let Some(challenge) = shell.output.lines().last().and_then(|line| line.strip_prefix("+ ")) {
            let answer = sasl::encode(&client.challenge(challenge).unwrap());
            shell.send(&format!("{answer}\n"));
        }
        assert!(shell.output.ends_with(end), "{mechanism:?}: {}", shell.output);
    }
}

#[test]
fn languages() {
    let mut shell = Shell::new(true);
    shell.send("LANG\nLANG fr\nLANG zh-CN\nNOOP\nLANG *\nNOOP\n");
    for want in [
        "\r\nen English\r\nzh-Hans 简体中文\r\n.\r\n",
        "-ERR That language is not spoken here\r\n+OK zh-Hans 语言已切换为简体中文\r\n-ERR 请先登录\r\n",
        "+OK en The language is English\r\n-ERR Log in first\r\n",
    ] {
        assert!(shell.output.contains(want), "{}", shell.output);
    }
    let mut shell = Shell::logged_in();
    shell.send("LANG zh-Hans\nDELE 1\nDELE 1\n");
    assert!(shell.output.ends_with("+OK 将在 QUIT 时删除\r\n-ERR 没有该邮件\r\n"), "{}", shell.output);
}

#[test]
fn utf8_mail_is_for_those_who_ask_for_it() {
    let mut shell = Shell::logged_in();
    shell.utf8_mail = true;
    shell.send("UTF8\nRETR 1\nTOP 1 0\nRETR 2\n");
    // Nobody is kept from his mail: who did not ask for UTF-8 gets a header in ASCII.
    assert!(shell.output.starts_with("-ERR UTF8 comes before the login\r\n+OK "), "{}", shell.output);
    assert_eq!(shell.output.matches("Subject: =?utf-8?B?w6Q=?=\r\n\r\n.\r\n").count(), 2);
    assert!(shell.output.contains("+OK 35 octets"));
    let mut shell = Shell::new(true);
    shell.utf8_mail = true;
    shell.send("UTF8\nUSER u\nPASS p w\nRETR 1\n");
    assert!(shell.output.ends_with("Subject: ä\r\n\r\n.\r\n"), "{}", shell.output);
}

#[test]
fn capabilities_follow_the_state() {
    let mut shell = Shell::new(false);
    shell.send("CAPA\n");
    assert!(shell.output.contains("\r\nSTLS\r\n") && !shell.output.contains("SASL"));
    let mut shell = Shell::new(true);
    shell.send("CAPA\n");
    assert!(shell.output.contains("\r\nUSER\r\nSASL ") && !shell.output.contains("STLS"));
    let mut shell = Shell::logged_in();
    shell.send("CAPA\n");
    for name in
        ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"]
    {
        assert!(shell.output.contains(&format!("\r\n{name}\r\n")), "{name}: {}", shell.output);
    }
    assert!(!shell.output.contains("SASL") && shell.output.ends_with("\r\n.\r\n"));
}

#[test]
fn long_listings_go_out_in_pieces_however_many_are_asked_for() {
    let mut shell = Shell::new(true);
    shell.send("USER many\nPASS p w\nDELE 2\n");
    shell.output.clear();
    shell.send(&"LIST\nUIDL\n".repeat(20));
    assert!(shell.largest < 2 * SEND_STEP_BYTES, "{}", shell.largest);
    let lines: Vec<&str> = shell.output.lines().collect();
    let one = MANY as usize + 1;
    assert_eq!(lines.len(), 40 * one);
    assert_eq!((lines[0], lines[1], lines[2], lines[one - 1]), ("+OK", "1 35", "3 35", "."));
    assert_eq!((lines[one + 1], lines[2 * one - 2], lines[2 * one - 1]), ("1 9.1", "20000 9.20000", "."));
    shell.output.clear();
    shell.send("STAT\nRSET\nSTAT\n");
    assert_eq!(shell.output, "+OK 19999 699965\r\n+OK Nothing is deleted\r\n+OK 20000 700000\r\n");
}

proptest! {
    #[test]
    fn splits_and_noise_do_not_matter(cuts in prop::collection::vec(0_usize..120, 0..8), noise in "[ -~\n]{0,80}") {
        let input = format!("USER u\nPASS p w\nSTAT\nRETR 1\nTOP 2 1\nUIDL\nDELE 2\n{noise}\nQUIT\n");
        let mut whole = Shell::new(true);
        whole.send(&input);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        cuts.push(input.len());
        let mut parts = Shell::new(true);
        let mut from = 0;
        for to in cuts {
            parts.send(&input[from..to]);
            from = to;
        }
        prop_assert_eq!(whole.output, parts.output);
        prop_assert_eq!(whole.removed, parts.removed);
    }
}
