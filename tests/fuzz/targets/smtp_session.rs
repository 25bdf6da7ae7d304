//! A whole SMTP session: whatever is sent, every reply is a reply, and no message is for nobody.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use smtp::server::{Answer, Policy, Question, Refusal, Role, Session, Step, Tls};

fuzz_target!(|input: &[u8]| {
    let Some((&first, wire)) = input.split_first() else { return };
    let policy = Policy {
        role: if first & 1 == 0 { Role::Exchange } else { Role::Submission },
        host_name: "mx.test".into(),
        message_max_bytes: 100_000,
        recipients_max: 5,
        starttls: true,
        auth_in_clear: true,
        hold_max_s: 1_000,
    };
    let mut session = Session::<u32>::new(Arc::new(policy), [192, 0, 2, 1].into(), "f".into(), None);
    let mut told = Vec::new();
    'session: for piece in wire.chunks(usize::from(first >> 1).max(1)) {
        session.feed(piece);
        loop {
            let step = session.poll(1_800_000_000);
            told.extend(session.take_output());
            match step {
                Step::Read => break,
                Step::Close => break 'session,
                Step::StartTls => session.tls_started(Tls::default()),
                Step::Ask(question) => session.answer(answer(question)),
            }
        }
    }
    assert!(told.is_empty() || told.ends_with(b"\r\n"), "half a line is told");
    for line in told.split_inclusive(|byte| *byte == b'\n') {
        let is_reply = line.len() >= 5 && line.iter().take(3).all(u8::is_ascii_digit);
        assert!(is_reply && line.ends_with(b"\r\n"), "not a reply: {:?}", String::from_utf8_lossy(line));
    }
});

fn answer(question: Question<u32>) -> Answer<u32> {
    match question {
        Question::Lookup { user } => Answer::Stored(sasl::Stored::simulated(b"secret", &user, 16)),
        Question::Authenticate(claim) => Answer::Account(claim.user().to_owned()),
        Question::Sender { .. } | Question::Room { .. } => Answer::Go,
        Question::Recipient { recipient, .. } if recipient.local.starts_with('x') => {
            Answer::Refused(Refusal::UnknownUser)
        }
        Question::Recipient { .. } => Answer::Recipient(1),
        Question::Deliver(incoming) => {
            assert!(!incoming.recipients.is_empty(), "a message for nobody");
            assert!(incoming.message.starts_with(b"Return-Path: ") || incoming.account.is_some());
            Answer::Go
        }
    }
}
