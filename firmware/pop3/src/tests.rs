//! Transcripts: what a client sends, what it is told, what the shell was asked.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::*;

const TEXT: &[u8] = b"Subject: x\r\n\r\nfirst\r\n.second\r\nthird";

struct Shell {
    session: Session,
    removed: Vec<u32>,
    tls_starts: usize,
    closed: bool,
    output: String,
}

impl Shell {
    fn new(tls: bool) -> Self {
        let policy = Policy { host_name: "mx.test".into(), stls: true, auth_in_clear: false };
        let session = Session::new(Arc::new(policy), tls);
        Self { session, removed: Vec::new(), tls_starts: 0, closed: false, output: String::new() }
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
            self.output += &String::from_utf8(self.session.take_output()).unwrap();
            match step {
                Step::Read => return self,
                Step::Send => {}
                Step::Close => {
                    self.closed = true;
                    return self;
                }
                Step::StartTls => {
                    self.tls_starts += 1;
                    self.session.tls_started();
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
            Question::Login(c) if c.user == "u" && c.password == "p w" => {
                let message = |uid| Message { uid, size_bytes: TEXT.len() as u32 };
                Answer::Maildrop(Maildrop {
                    uid_validity: 9,
                    messages: vec![message(3), message(5), message(8)],
                })
            }
            Question::Login(c) if c.user == "busy" => Answer::Refused(Refusal::InUse),
            Question::Login(_) => Answer::Refused(Refusal::BadCredentials),
            Question::Text { uid: 8 } => Answer::Refused(Refusal::Gone),
            Question::Text { .. } => Answer::Text(Bytes::from_static(TEXT)),
            Question::Remove { uids } => {
                self.removed = uids;
                Answer::Done
            }
        }
    }
}

#[test]
fn passwords_only_under_tls() {
    let mut shell = Shell::new(false);
    shell.send("CAPA\nUSER u\nPASS p w\nAUTH PLAIN AHUAcCB3\n");
    assert!(shell.output.contains("\r\nSTLS\r\n") && !shell.output.contains("USER"));
    assert_eq!(shell.output.matches("-ERR [AUTH] Begin TLS first").count(), 3);
    shell.send("STLS\nUSER u\n");
    assert_eq!(shell.tls_starts, 1);
    shell.output.clear();
    shell.send("PASS p w\nCAPA\nSTLS\nUSER u\nPASS p w\nSTAT\n");
    assert!(shell.output.starts_with("-ERR Send USER first"), "{}", shell.output);
    assert!(shell.output.contains("SASL PLAIN\r\n") && !shell.output.contains("\r\nSTLS"));
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
        ("AUTH\n", "+OK What is here\r\nPLAIN\r\n.\r\n"),
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
    shell.session.end("[SYS/TEMP] The service is stopping");
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
