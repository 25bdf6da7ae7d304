//! A whole POP3 session: whatever is sent, every line told ends in CRLF and is bounded.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pop3::{Answer, Maildrop, Message, Policy, Question, Refusal, Session, Step};

fuzz_target!(|input: &[u8]| {
    let Some((&chunk, wire)) = input.split_first() else { return };
    let policy = Policy { host_name: "mx.test".into(), stls: true, auth_in_clear: true };
    let mut session = Session::new(Arc::new(policy), None);
    let mut told = Vec::new();
    for piece in wire.chunks(usize::from(chunk).max(1)) {
        session.feed(piece);
        loop {
            let step = session.poll();
            told.extend(session.take_output());
            match step {
                Step::Read => break,
                Step::Send => {}
                Step::Close => return check(&told),
                Step::StartTls => session.tls_started(sasl::ChannelBinding::default()),
                Step::Ask(question) => session.answer(answer(&question)),
            }
        }
    }
    check(&told);
});

fn answer(question: &Question) -> Answer {
    match question {
        Question::Stored { user } => Answer::Stored(sasl::Stored::simulated(b"secret", user, 16)),
        Question::Login(_) => {
            let messages = vec![Message { uid: 4, size_bytes: 21 }, Message { uid: 9, size_bytes: 21 }];
            Answer::Maildrop(Maildrop { uid_validity: 1, messages })
        }
        Question::Text { uid: 9 } => Answer::Refused(Refusal::Gone),
        Question::Text { .. } => Answer::Text("Subject: x\r\n\r\n.y\r\nz\r\n".into()),
        Question::Remove { .. } => Answer::Done,
    }
}

fn check(told: &[u8]) {
    assert!(told.is_empty() || told.ends_with(b"\r\n"), "half a line is told");
}
