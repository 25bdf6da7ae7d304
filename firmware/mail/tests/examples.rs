//! The examples of the RFCs, replayed over a whole service: each file of `rfc/` is a list of scenes.
//!
//! `S` and `R` are sessions on port 25 (`R` the other of two), `T` one with TLS that has greeted, `U` one of
//! alice for submission, `L` is LMTP, `P` POP3 with TLS, `Q` POP3 in clear. Every line is a line of the wire.

mod house;
#[path = "../../imap/tests/script/mod.rs"]
mod script;

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use control::mail::{ReceivingChange, Request};
use house::{Client, House, LMTP, POP3, POP3S, SMTP};
use script::{Player, replay, shown};

struct Scene {
    house: House,
    sessions: HashMap<char, Client>,
}

impl Scene {
    fn new() -> Self {
        let house = House::new("example.test");
        house.add("bob");
        let change = ReceivingChange { lmtp_from: Some(vec!["127.0.0.0/8".into()]), ..Default::default() };
        house.ask(&Request::ReceivingSet(change));
        Self { house, sessions: HashMap::new() }
    }

    fn session(&mut self, name: char) -> &mut Client {
        let house = &self.house;
        self.sessions.entry(name).or_insert_with(|| match name {
            'S' | 'R' => Client::new(house.at(SMTP)),
            'T' => {
                let mut client = house::smtp(house);
                client.expect("220", "STARTTLS");
                client.start_tls();
                client.expect("250", "EHLO client.test");
                client
            }
            'U' => house::submission(house, "alice"),
            'L' => Client::new(house.at(LMTP)),
            'P' => Client::secret(house.at(POP3S)),
            'Q' => Client::new(house.at(POP3)),
            other => panic!("no such session: {other}"),
        })
    }
}

impl Player for Scene {
    async fn begin(&mut self) {
        *self = Self::new();
    }

    async fn step(&mut self, name: char, kind: char, text: &str, expected: Option<usize>) -> Vec<String> {
        let client = self.session(name);
        match kind {
            '>' => client.send(format!("{text}\r\n").as_bytes()),
            '!' => client.send(text.as_bytes()),
            _ => {}
        }
        let mut told = Vec::new();
        while expected.map_or_else(|| client.has_more(), |count| told.len() < count) {
            told.push(shown(&client.line()));
        }
        told
    }
}

/// Everything here blocks, so that nothing is ever pending.
fn play(file: &str) {
    let mut scene = Scene::new();
    let done = pin!(replay(&mut scene, file)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done, Poll::Ready(()));
}

#[test]
fn simple_mail_transfer() {
    play("smtp.txt");
}

#[test]
fn extensions_of_mail_transfer() {
    play("extensions.txt");
}

#[test]
fn local_mail_transfer() {
    play("lmtp.txt");
}

#[test]
fn post_office() {
    play("pop3.txt");
}
