//! Transcripts: what a client sends, what it is told, what the shell was asked.

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_795_364_400;

fn policy(role: Role) -> Arc<Policy> {
    Arc::new(Policy {
        role,
        host_name: "mx.test".into(),
        message_max_bytes: 300_000,
        recipients_max: 3,
        starttls: true,
        auth_in_clear: false,
        hold_max_s: 86_400,
    })
}

/// A shell that knows one user, and remembers what it was given.
struct Shell {
    session: Session<u32>,
    delivered: Vec<Incoming<u32>>,
    room_bytes: usize,
    tls_starts: usize,
    closed: bool,
    output: String,
}

impl Shell {
    fn new(role: Role, tls: bool) -> Self {
        let binding = ChannelBinding { tls_exporter: Some([7; 32]), ..ChannelBinding::default() };
        let tls = tls.then(|| Tls { description: "TLSv1.3".to_owned(), binding });
        let session = Session::new(policy(role), [192, 0, 2, 7].into(), "s1".into(), tls);
        Self {
            session,
            delivered: Vec::new(),
            room_bytes: 1 << 20,
            tls_starts: 0,
            closed: false,
            output: String::new(),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.session.feed(bytes);
        loop {
            let step = self.session.poll(NOW);
            self.output += &String::from_utf8(self.session.take_output()).unwrap();
            match step {
                Step::Read => return self,
                Step::Close => {
                    self.closed = true;
                    return self;
                }
                Step::StartTls => {
                    self.tls_starts += 1;
                    self.session.tls_started(Tls { description: "TLSv1.3".into(), ..Tls::default() });
                    return self;
                }
                Step::Ask(question) => {
                    let answer = self.decide(question);
                    self.session.answer(answer);
                }
            }
        }
    }

    fn decide(&mut self, question: Question<u32>) -> Answer<u32> {
        match question {
            Question::Lookup { .. } => {
                let iterations = std::num::NonZeroU32::new(4096).unwrap();
                Answer::Stored(Stored::derive("pw", b"salt", iterations))
            }
            Question::Authenticate(Claim::Password { user, password })
                if user == "u@mx.test" && password == "pw" =>
            {
                Answer::Account(user)
            }
            Question::Authenticate(Claim::Proof { user, pair: Some(0) }) if user == "u@mx.test" => {
                Answer::Account(user)
            }
            Question::Authenticate(Claim::Password { user, .. }) if user == "off@mx.test" => {
                Answer::Denied(Denied::Disabled)
            }
            Question::Authenticate(_) => Answer::Denied(Denied::Credentials),
            Question::Sender { account: Some(account), sender } => {
                let own = sender.is_none_or(|sender| sender.to_string() == account);
                if own { Answer::Go } else { Answer::Refused(Refusal::SenderNotYours) }
            }
            Question::Sender { .. } => Answer::Go,
            Question::Recipient { recipient, .. } => match recipient.local.as_str() {
                "u" | "postmaster" => Answer::Recipient(7),
                "ü" => Answer::Recipient(8),
                "full" => Answer::Refused(Refusal::MailboxFull),
                "down" => Answer::Refused(Refusal::ShuttingDown),
                _ => Answer::Refused(Refusal::UnknownUser),
            },
            Question::Room { bytes } if bytes <= self.room_bytes => {
                self.room_bytes -= bytes;
                Answer::Go
            }
            Question::Room { .. } => Answer::Refused(Refusal::Busy),
            Question::Deliver(incoming) => {
                let outcome = |accepted: &Accepted<u32>| match accepted.mailbox.domain.as_str() {
                    "over.test" => Err(Refusal::MailboxFull),
                    _ => Ok(()),
                };
                let outcomes = incoming.recipients.iter().map(outcome).collect();
                let local = incoming.recipients.iter().any(|accepted| accepted.mailbox.domain == "over.test");
                self.delivered.push(*incoming);
                if local { Answer::Each(outcomes) } else { Answer::Go }
            }
        }
    }

    /// The codes of all replies so far, the last line of each only.
    fn codes(&self) -> Vec<u16> {
        let last = self.output.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
        last.map(|line| line[..3].parse().unwrap()).collect()
    }
}

fn codes(role: Role, tls: bool, input: &str) -> Vec<u16> {
    let mut shell = Shell::new(role, tls);
    shell.send(input.replace('\n', "\r\n").as_bytes());
    shell.codes().split_off(1)
}

#[test]
fn transcripts_of_mail_from_other_servers() {
    for (input, want) in [
        (
            "EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@mx.test>\nDATA\nhi\n.\nQUIT\n",
            &[250, 250, 250, 354, 250, 221][..],
        ),
        ("HELO a\nMAIL FROM:<>\nRCPT TO:<Postmaster>\nDATA\n.\n", &[250, 250, 250, 354, 250]),
        ("MAIL FROM:<a@b>\n", &[503]),
        ("EHLO a\nRCPT TO:<u@mx.test>\nDATA\n", &[250, 503, 503]),
        ("EHLO a\nMAIL FROM:<a@b>\nDATA\n", &[250, 250, 554]),
        ("EHLO a\nMAIL FROM:<a@b>\nMAIL FROM:<a@b>\nRSET\nMAIL FROM:<c@d>\n", &[250, 250, 503, 250, 250]),
        (
            "EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<no@mx.test>\nRCPT TO:<full@mx.test>\nRCPT TO:<u@mx.test>\n",
            &[250, 250, 550, 452, 250],
        ),
        (
            "EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@x>\nRCPT TO:<u@y>\nRCPT TO:<u@z>\nRCPT TO:<u@w>\n",
            &[250, 250, 250, 250, 250, 452],
        ),
        ("EHLO a\nMAIL FROM:<a@b> SIZE=300001\nMAIL FROM:<a@b> SIZE=300000\n", &[250, 552, 250]),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<down@mx.test>\nNOOP\n", &[250, 250, 421]),
        ("EHLO a\nAUTH PLAIN AHUAcAA=\n", &[250, 502]),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@x>\nEHLO b\nDATA\n", &[250, 250, 250, 250, 503]),
        ("EHLO a\nVRFY u\nEXPN u\nHELP\nNOOP\nRSET\nFOO\n\n", &[250, 252, 502, 214, 250, 250, 500, 500]),
        (
            "EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@x>\nBDAT 4\nab\nBDAT 0 LAST\nQUIT\n",
            &[250, 250, 250, 250, 250, 221],
        ),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<no@x>\nBDAT 6 LAST\nQUIT\nQUIT\n", &[250, 250, 550, 554, 221]),
        ("BDAT 6\nQUIT\nNOOP\n", &[503, 250]),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@x>\nBDAT 4\nab\nDATA\nRSET\n", &[250, 250, 250, 250, 503, 250]),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<u@x>\nBDAT 4\nab\nRCPT TO:<u@y>\n", &[250, 250, 250, 250, 503]),
        ("EHLO a\nMAIL FROM:<a@b> BY=9;R\nMAIL FROM:<a@b> REQUIRETLS\nLHLO a\n", &[250, 555, 555, 500]),
        ("EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<ü@x>\nRCPT TO:<u@x> ORCPT=utf-8;ü@x\n", &[250, 250, 553, 553]),
        (
            "EHLO a\nMAIL FROM:<ü@b> SMTPUTF8\nRCPT TO:<ü@ü.test> NOTIFY=NEVER\nDATA\n.\n",
            &[250, 250, 250, 354, 250],
        ),
        ("EHLO a\nMAIL FROM:<a@b> BODY=BINARYMIME\nRCPT TO:<u@x>\nDATA\nRSET\n", &[250, 250, 250, 503, 250]),
        ("HELO  a \nNOOP x\nMAIL from: <a@b>  \nRSET \t\nQUIT now\nQUIT\n", &[250, 250, 250, 250, 501, 221]),
    ] {
        assert_eq!(codes(Role::Exchange, false, input), want, "{input}");
    }
}

#[test]
fn transcripts_of_submission() {
    // u@mx.test and pw.
    let login = "EHLO a\nAUTH LOGIN\ndUBteC50ZXN0\ncHc=\n";
    let plain = "EHLO a\nAUTH PLAIN AHVAbXgudGVzdABwdw==\n";
    for (tls, input, want) in [
        (false, plain.to_owned(), &[250, 538][..]),
        (false, "EHLO a\nMAIL FROM:<a@b>\n".into(), &[250, 530]),
        (true, "EHLO a\nMAIL FROM:<a@b>\n".into(), &[250, 530]),
        (true, "AUTH PLAIN\n".into(), &[503]),
        (true, plain.to_owned(), &[250, 235]),
        (true, login.to_owned(), &[250, 334, 334, 235]),
        (true, "EHLO a\nAUTH PLAIN\n*\nNOOP\n".into(), &[250, 334, 501, 250]),
        (true, "EHLO a\nAUTH PLAIN\n%%\nNOOP\n".into(), &[250, 334, 501, 250]),
        (true, "EHLO a\nAUTH PLAIN =\n".into(), &[250, 501]),
        (true, "EHLO a\nAUTH CRAM-MD5\n".into(), &[250, 504]),
        (true, "EHLO a\nAUTH PLAIN AHgAeQ==\n".into(), &[250, 535]),
        // off@mx.test; then u@mx.test for somebody else.
        (true, "EHLO a\nAUTH PLAIN AG9mZkBteC50ZXN0AHB3\n".into(), &[250, 535]),
        (true, "EHLO a\nAUTH PLAIN eAB1QG14LnRlc3QAcHc=\n".into(), &[250, 535]),
        (true, format!("{plain}{plain}"), &[250, 235, 250, 503]),
        (true, format!("{plain}MAIL FROM:<other@mx.test>\nMAIL FROM:<u@mx.test>\n"), &[250, 235, 553, 250]),
    ] {
        assert_eq!(codes(Role::Submission, tls, &input), want, "{input}");
    }
}

#[test]
fn what_stands_behind_starttls_is_not_believed() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<evil@b>\r\nRCPT TO:<u@x>\r\n");
    assert_eq!((shell.tls_starts, shell.codes()), (1, vec![220, 250, 220]));
    shell.send(b"MAIL FROM:<a@b>\r\nEHLO a\r\nSTARTTLS\r\n");
    assert_eq!(shell.codes().split_off(3), [503, 250, 503]);
    assert_eq!(shell.output.matches("STARTTLS").count(), 1);
}

#[test]
fn a_message_arrives_with_its_trace() {
    let mut shell = Shell::new(Role::Exchange, true);
    shell.send(b"EHLO c.test\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<u@mx.test>\r\nDATA\r\n");
    shell.send(b"Subject: x\r\n\r\n..dot\r\n.\r\n");
    let got = shell.delivered.pop().unwrap();
    assert_eq!(
        String::from_utf8(got.message).unwrap(),
        "Return-Path: <a@b>\r\nReceived: from c.test ([192.0.2.7])\r\n\tby mx.test with ESMTPS\r\n\t(TLSv1.3) id s1.1\r\n\tfor <u@mx.test>;\r\n\tSun, 22 Nov 2026 16:20:00 +0000\r\nSubject: x\r\n\r\n.dot\r\n"
    );
    assert_eq!((got.recipients.len(), got.mail.body), (1, crate::parameter::BodyKind::EightBit));
    assert!(shell.output.ends_with("250 2.0.0 Stored as s1.1\r\n"));
}

#[test]
fn submission_completes_a_message() {
    let mut shell = Shell::new(Role::Submission, true);
    shell.send(
        b"EHLO c\r\nAUTH PLAIN AHVAbXgudGVzdABwdw==\r\nMAIL FROM:<u@mx.test>\r\nRCPT TO:<u@mx.test>\r\n",
    );
    shell.send(b"DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n");
    let text = String::from_utf8(shell.delivered.pop().unwrap().message).unwrap();
    for field in
        ["\r\nDate: Sun, 22 Nov 2026", "\r\nMessage-ID: <s1.1@mx.test>", "\r\nFrom: <u@mx.test>", "ESMTPSA"]
    {
        assert!(text.contains(field), "{field} in {text}");
    }
}

#[test]
fn smuggling_ends_in_one_refusal() {
    let smuggled = "MAIL FROM:<evil@b>\r\nRCPT TO:<u@x>\r\nDATA\r\nevil\r\n.\r\n";
    for trick in ["a\n.\n", "a\n.\r\n", "a\r\n.\n", "a\r.\r", "a\r\n.\r", "\n.\n"] {
        let mut shell = Shell::new(Role::Exchange, false);
        shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n");
        shell.send(format!("{trick}{smuggled}QUIT\r\n").as_bytes());
        assert_eq!(shell.codes().split_off(5), [554, 221], "{trick:?}");
        assert!(shell.delivered.is_empty());
    }
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\nonly\nunix\n.\n");
    assert_eq!(shell.codes().split_off(5), [554]);
    assert_eq!(shell.session.waiting(), Waiting::Leftover);
}

#[test]
fn a_message_too_large_is_refused_at_its_end() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n");
    for _ in 0..400 {
        shell.send(&b"0123456789abcdef".repeat(64));
    }
    assert_eq!(shell.codes().len(), 5);
    shell.send(b"\r\n.\r\nNOOP\r\n");
    assert_eq!(shell.codes().split_off(5), [552, 250]);
    assert!(shell.delivered.is_empty());
}

#[test]
fn memory_at_its_bound_is_a_temporary_refusal() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.room_bytes = 0;
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n");
    shell.send(&b"line\r\n".repeat(20_000)).send(b".\r\n");
    assert_eq!(shell.codes().split_off(5), [452]);
}

#[test]
fn a_loop_is_stopped() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n");
    shell.send(&b"Received: x\r\n".repeat(101)).send(b"\r\n.\r\n");
    assert_eq!(shell.codes().split_off(5), [554]);
    assert!(shell.output.contains("5.4.6"));
}

#[test]
fn garbage_is_answered_until_it_is_too_much() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(&b"\x16\x03\x01junk\r\n".repeat(30));
    assert!(shell.closed);
    assert_eq!(shell.codes().len(), 1 + FAULTS_MAX + 1);
    assert!(shell.output.ends_with("421 4.7.0 Too many errors, closing\r\n"));
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(&b"x".repeat(60_000)).send(b"\r\nNOOP\nNOOP\r\n");
    assert_eq!(shell.codes(), [220, 500, 500, 250]);
}

#[test]
fn scram_proves_both_sides_and_binds_to_the_connection() {
    for mechanism in [sasl::Mechanism::ScramSha256, sasl::Mechanism::ScramSha256Plus] {
        let plus = mechanism == sasl::Mechanism::ScramSha256Plus;
        let binding = ChannelBinding { tls_exporter: plus.then_some([7; 32]), ..ChannelBinding::default() };
        let mut client = sasl::Client::new(mechanism, "u@mx.test", "pw", &binding).unwrap();
        let mut shell = Shell::new(Role::Submission, true);
        let initial = sasl::encode(&client.initial().unwrap());
        shell.send(format!("EHLO a\r\nAUTH {} {initial}\r\n", mechanism.name()).as_bytes());
        for _ in 0..2 {
            let challenge = shell.output.lines().last().unwrap().strip_prefix("334 ").unwrap().to_owned();
            let response = client.challenge(&challenge).unwrap();
            shell.send(format!("{}\r\n", sasl::encode(&response)).as_bytes());
        }
        assert!(client.is_done() && shell.output.ends_with("235 2.7.0 Welcome\r\n"), "{}", shell.output);
    }
}

#[test]
fn guessing_passwords_ends_the_session() {
    let mut shell = Shell::new(Role::Submission, true);
    shell.send(b"EHLO a\r\n").send(&b"AUTH PLAIN AHgAeQ==\r\n".repeat(9));
    assert!(shell.closed);
    assert_eq!(shell.codes().iter().filter(|code| **code == 535).count(), AUTH_FAILURES_MAX);
}

#[test]
fn what_is_offered_is_what_may_be_used() {
    for (role, tls, want, not) in [
        (Role::Exchange, false, &["STARTTLS"][..], &["REQUIRETLS", "AUTH", "DELIVERBY", "MT-PRIORITY"][..]),
        (Role::Exchange, true, &["REQUIRETLS"], &["STARTTLS", "AUTH", "FUTURERELEASE"]),
        (Role::Submission, false, &["STARTTLS", "DELIVERBY"], &["AUTH", "REQUIRETLS"]),
        (
            Role::Submission,
            true,
            &[
                "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
                "AUTH SCRAM-SHA-256 PLAIN LOGIN",
                "REQUIRETLS",
                "MT-PRIORITY MIXER",
                "FUTURERELEASE 86400 2026-11-23T16:20:00Z",
            ],
            &["STARTTLS"],
        ),
    ] {
        let mut shell = Shell::new(role, tls);
        shell.send(b"EHLO a\r\n");
        let always = [
            "SIZE 300000",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "PIPELINING",
            "SMTPUTF8",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "LIMITS RCPTMAX=3",
        ];
        for keyword in always.iter().chain(want) {
            assert!(shell.output.contains(&format!("\r\n250-{keyword}")), "{role:?} {keyword}");
        }
        for keyword in not {
            assert!(!shell.output.contains(&format!("-{keyword}")), "{role:?} {keyword}");
        }
    }
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut shell = Shell::new(Role::Local, false);
    shell.send(b"EHLO a\r\nHELO a\r\nLHLO a\r\nMAIL FROM:<a@b>\r\nDATA\r\n");
    assert_eq!(shell.codes(), [220, 500, 500, 250, 250, 503]);
    shell.send(b"RCPT TO:<u@x>\r\nRCPT TO:<u@over.test>\r\nRCPT TO:<no@x>\r\nDATA\r\na: b\r\n\r\n.\r\n");
    assert_eq!(shell.codes().split_off(6), [250, 250, 550, 354, 250, 452]);
    shell.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nRCPT TO:<u@y>\r\nBDAT 2\r\na\nBDAT 0 LAST\r\nNOOP\r\n");
    assert_eq!(shell.codes().split_off(12), [250, 250, 250, 554, 503, 250]);
    shell.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nRCPT TO:<u@y>\r\nDATA\r\na\nb\r\n.\r\n");
    assert_eq!(shell.codes().split_off(18), [250, 250, 250, 354, 554, 554]);
    let text = String::from_utf8(shell.delivered.pop().unwrap().message).unwrap();
    assert!(text.contains("by mx.test with LMTP id"), "{text}");
}

#[test]
fn binary_messages_keep_every_octet() {
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<u@x>\r\nBDAT 9\r\na: b\r\n\r\n\0");
    shell.send(b"BDAT 6 LAST\r\n\r.\n.\n\xff");
    let got = shell.delivered.pop().unwrap();
    assert_eq!(got.message[got.trace_bytes..], *b"a: b\r\n\r\n\0\r.\n.\n\xff");
    shell.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nBDAT 3 LAST\r\n\0\r\nNOOP\r\n");
    assert_eq!(shell.codes().split_off(6), [250, 250, 554, 250]);
}

#[test]
fn what_only_we_may_write_goes_from_the_header() {
    let header = "Return-Path: <x@y>\r\nBcc: z\r\nAuthentication-Results: mx.test; spf=pass\r\n\
        Authentication-Results: far.test; spf=pass\r\nDelivered-To: u@mx.test\r\nS: 1\r\n\r\nBcc: body\r\n";
    let kept =
        "Authentication-Results: far.test; spf=pass\r\nDelivered-To: u@mx.test\r\nS: 1\r\n\r\nBcc: body\r\n";
    let mut shell = Shell::new(Role::Exchange, false);
    shell.send(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n");
    shell.send(header.as_bytes()).send(b".\r\n");
    let got = shell.delivered.pop().unwrap();
    let text = String::from_utf8(got.message[got.trace_bytes..].to_vec()).unwrap();
    assert_eq!(text, format!("Bcc: z\r\n{kept}"));
    assert!(got.was_delivered);
    let mut shell = Shell::new(Role::Submission, true);
    shell.send(
        b"EHLO a\r\nAUTH PLAIN AHVAbXgudGVzdABwdw==\r\nMAIL FROM:<u@mx.test>\r\nRCPT TO:<u@x>\r\nDATA\r\n",
    );
    shell.send(header.as_bytes()).send(b".\r\n");
    let got = shell.delivered.pop().unwrap();
    assert!(got.message.ends_with(kept.as_bytes()));
}

#[test]
fn submission_fixes_times_when_the_message_begins() {
    let mut shell = Shell::new(Role::Submission, true);
    shell.send(b"EHLO a\r\nAUTH PLAIN AHVAbXgudGVzdABwdw==\r\n");
    for (parameters, code) in [
        ("HOLDFOR=86401", 501),
        ("HOLDFOR=600 BY=600;R", 501),
        ("HOLDUNTIL=2026-11-24T16:20:00Z", 501),
        ("HOLDFOR=600 BY=601;RT MT-PRIORITY=3 REQUIRETLS", 250),
    ] {
        shell.send(format!("MAIL FROM:<u@mx.test> {parameters}\r\n").as_bytes());
        assert_eq!(shell.codes().last(), Some(&code), "{parameters}");
    }
    shell.send(b"RCPT TO:<u@x> NOTIFY=SUCCESS ORCPT=rfc822;u+2Bq@x\r\nDATA\r\n.\r\n");
    let got = shell.delivered.pop().unwrap();
    assert_eq!(got.release_unix_s, Some(NOW + 600));
    assert!(got.deadline.is_some_and(|(until, by)| until == NOW as i64 + 601 && by.trace));
    assert!(got.mail.require_tls && got.mail.priority == Some(3));
    assert_eq!(got.recipients[0].notice.notify.map(crate::parameter::Notify::bits), Some(1));
    assert_eq!(got.recipients[0].notice.original.as_deref(), Some("rfc822;u+2Bq@x"));
    assert!(String::from_utf8_lossy(&got.message).contains("\r\n\tPRIORITY 3;"));
}

proptest! {
    #[test]
    fn splits_of_the_stream_do_not_matter(cuts in prop::collection::vec(0_usize..400, 0..12)) {
        let input = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nRCPT TO:<no@x>\r\nDATA\r\nS: x\r\n\r\n..a\r\n.b\r\n.\r\n\
            MAIL FROM:<>\r\nRCPT TO:<u@x>\r\nBDAT 8\r\na\r\nb\r\nc\rBDAT 5 LAST\r\n\nd.\r\nBAD\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\nx\n.\r\ny\r\n.\r\nQUIT\r\n";
        let mut whole = Shell::new(Role::Exchange, false);
        whole.send(input);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        cuts.push(input.len());
        let mut parts = Shell::new(Role::Exchange, false);
        let mut from = 0;
        for to in cuts {
            parts.send(&input[from..to]);
            from = to;
        }
        prop_assert_eq!(&whole.output, &parts.output);
        prop_assert_eq!(&whole.delivered, &parts.delivered);
        prop_assert_eq!(whole.codes(), vec![220, 250, 250, 250, 550, 354, 250, 250, 250, 250, 250, 500, 250, 250, 354, 554, 221]);
    }

    #[test]
    fn no_input_breaks_it(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10)) {
        let mut shell = Shell::new(Role::Submission, true);
        shell.send(b"");
        for piece in pieces {
            shell.send(&piece);
        }
        prop_assert!(shell.output.starts_with("220 "));
    }
}
