//! Whole sessions against a controller written here byte by byte, for what no simulator does: cipher
//! suite 17, silence, refusals, a box without power, and a false controller.
#![allow(missing_docs, clippy::unwrap_used)]

use bmc::{
    BmcError, Client, Heard, Keys, Login, Order, Outcome, Packet, Payload, Power, Step, Suite, TRIES_MAX,
    encode_plain, encode_plus, encode_sealed, read, unseal,
};

const PASSWORD: &[u8] = b"rain in May";
const SESSION: u32 = 0x0bad_cafe;
const GUID: [u8; 16] = [0xa1; 16];
const CHALLENGE: [u8; 16] = [0x5c; 16];

struct Controller {
    suites: Vec<Suite>,
    pings: bool,
    power: u8,
    /// Completion code of a hard reset.
    reset_code: u8,
    forges_proof: bool,
    login: Vec<u8>,
    client: Vec<u8>,
    key: Vec<u8>,
    keys: Option<Keys>,
    suite: Suite,
    controls: Vec<u8>,
    closed: bool,
}

impl Controller {
    fn new() -> Self {
        Self {
            suites: vec![Suite::Sha256, Suite::Sha1],
            pings: true,
            power: 1,
            reset_code: 0,
            forges_proof: false,
            login: Vec::new(),
            client: Vec::new(),
            key: Vec::new(),
            keys: None,
            suite: Suite::Sha1,
            controls: Vec::new(),
            closed: false,
        }
    }

    fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        if packet[3] == 6 {
            let mut pong = vec![6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, packet[9], 0, 16];
            pong.extend([0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
            return self.pings.then_some(pong);
        }
        match read(packet).unwrap() {
            Packet::Plain(message) => {
                let data = [0x0e, 0x80, 0x04, 0x02, 0, 0, 0, 0];
                Some(encode_plain(&reply(message, 0, &data)))
            }
            Packet::Plus { payload, body } => self.open(payload, body),
            Packet::Sealed { session, .. } => {
                assert_eq!(session, SESSION);
                let keys = self.keys.clone().unwrap();
                let message = unseal(&keys, packet).unwrap();
                let (code, data) = self.obey(message[5], &message[6..message.len() - 1]);
                let console = u32::from_le_bytes(self.client[..4].try_into().unwrap());
                encode_sealed(&keys, console, 9, [4; 16], &reply(&message, code, &data))
            }
            Packet::Pong { .. } => None,
        }
    }

    fn open(&mut self, payload: Payload, body: &[u8]) -> Option<Vec<u8>> {
        let console = |this: &Self| [&[body[0], 0, 0, 0][..], &this.client[..4]].concat();
        match payload {
            Payload::OpenRequest => {
                self.client = body[4..8].to_vec();
                let found = self.suites.iter().find(|suite| suite.authentication() == body[12]);
                let Some(suite) = found else {
                    // As short as some send it.
                    return Some(encode_plus(Payload::OpenResponse, &[body[0], 0x11]));
                };
                self.suite = *suite;
                let answer = [&console(self)[..], &SESSION.to_le_bytes(), &body[8..32]].concat();
                Some(encode_plus(Payload::OpenResponse, &answer))
            }
            Payload::Rakp1 => {
                self.login = [&body[24..25], &body[27..]].concat();
                self.client.truncate(4);
                self.client.extend(&body[8..24]);
                let challenge = &self.client[4..];
                let session = SESSION.to_le_bytes();
                let parts: [&[u8]; 6] =
                    [&self.client[..4], &session, challenge, &CHALLENGE, &GUID, &self.login];
                let code = self.suite.code(PASSWORD, &parts);
                self.key = self.suite.code(PASSWORD, &[challenge, &CHALLENGE, &self.login]);
                let answer = [&console(self)[..], &CHALLENGE, &GUID, &code].concat();
                Some(encode_plus(Payload::Rakp2, &answer))
            }
            Payload::Rakp3 => {
                let expected = self.suite.code(PASSWORD, &[&CHALLENGE, &self.client[..4], &self.login]);
                assert_eq!(body[8..], expected);
                self.keys = Some(Keys::new(self.suite, &self.key));
                let session = SESSION.to_le_bytes();
                let mut code = self.suite.code(&self.key, &[&self.client[4..], &session, &GUID]);
                code.truncate(self.suite.short_bytes());
                code[0] ^= u8::from(self.forges_proof);
                Some(encode_plus(Payload::Rakp4, &[&console(self)[..], &code].concat()))
            }
            _ => None,
        }
    }

    fn obey(&mut self, command: u8, data: &[u8]) -> (u8, Vec<u8>) {
        match command {
            0x3b => (0, vec![data[0]]),
            0x01 => (0, vec![self.power, 0, 0]),
            0x02 => {
                self.controls.push(data[0]);
                (if data[0] == 3 { self.reset_code } else { 0 }, vec![])
            }
            0x3c => {
                self.closed = true;
                (0, vec![])
            }
            _ => (0xc1, vec![]),
        }
    }
}

fn reply(request: &[u8], code: u8, data: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    let head = [0x81, request[1] + 4];
    let body = [&[0x20, request[4], request[5], code][..], data].concat();
    [&head[..], &[sum(&head)], &body, &[sum(&body)]].concat()
}

fn carry_out(controller: &mut Controller, order: Order, password: &str) -> Result<Outcome, BmcError> {
    let mut client = Client::new(Login::new("fence", password)?, order, [1; 32]);
    while client.outcome().is_none() {
        match controller.answer(&client.packet()?) {
            Some(answer) => assert_ne!(client.hear(&answer), Heard::Ignored),
            None => client.late(),
        }
    }
    client.outcome().cloned().unwrap()
}

#[test]
fn both_suites_carry_a_session_to_its_end() {
    for suites in [vec![Suite::Sha256, Suite::Sha1], vec![Suite::Sha1]] {
        let best = suites[0];
        let mut controller = Controller { suites, ..Controller::new() };
        let outcome = carry_out(&mut controller, Order::ResetIfOn, "rain in May").unwrap();
        assert_eq!(outcome, Outcome { power: Power::On, acted: true, suite: best });
        assert_eq!((controller.controls, controller.closed), (vec![3], true));
    }
}

#[test]
fn a_box_without_power_is_left_alone_and_a_refused_reset_becomes_a_power_cycle() {
    let mut off = Controller { power: 0, pings: false, ..Controller::new() };
    let outcome = carry_out(&mut off, Order::ResetIfOn, "rain in May").unwrap();
    assert_eq!((outcome.power, outcome.acted, off.controls.len()), (Power::Off, false, 0));
    let mut refusing = Controller { reset_code: 0xd5, ..Controller::new() };
    assert!(carry_out(&mut refusing, Order::ResetIfOn, "rain in May").unwrap().acted);
    assert_eq!(refusing.controls, [3, 2]);
    let mut refusing = Controller { reset_code: 0xd5, ..Controller::new() };
    let refused = carry_out(&mut refusing, Order::Reset, "rain in May");
    assert_eq!(refused, Err(BmcError::Completion(0xd5)));
}

#[test]
fn a_false_controller_gets_no_order_and_no_suite_is_no_session() {
    let mut false_one = Controller { forges_proof: true, ..Controller::new() };
    assert_eq!(carry_out(&mut false_one, Order::Reset, "rain in May"), Err(BmcError::Password));
    let wrong = carry_out(&mut Controller::new(), Order::Reset, "rain in June");
    assert_eq!(wrong, Err(BmcError::Password));
    let mut bare = Controller { suites: vec![], ..Controller::new() };
    assert_eq!(carry_out(&mut bare, Order::Reset, "rain in May"), Err(BmcError::Suites));
    assert!(false_one.controls.is_empty());
}

#[test]
fn silence_ends_after_counted_attempts() {
    let login = Login::new("fence", "rain in May").unwrap();
    let mut client = Client::new(login, Order::Reset, [2; 32]);
    let mut sent = 0;
    while client.outcome().is_none() {
        client.packet().unwrap();
        sent += 1;
        client.late();
    }
    assert_eq!(client.outcome(), Some(&Err(BmcError::Silent(Step::Capabilities))));
    assert_eq!(sent, 2 + TRIES_MAX);
}

#[test]
fn a_packet_of_another_session_is_not_heard() {
    let mut controller = Controller::new();
    let mut client = Client::new(Login::new("fence", "rain in May").unwrap(), Order::Reset, [1; 32]);
    while controller.keys.is_none() {
        let answer = controller.answer(&client.packet().unwrap()).unwrap();
        client.hear(&answer);
    }
    let message = reply(&[0x20, 0, 0, 0x81, 4, 0x3b], 0, &[3]);
    let strange = encode_sealed(&Keys::new(Suite::Sha256, b"other"), 1, 1, [0; 16], &message).unwrap();
    assert_eq!(client.hear(&strange), Heard::Ignored);
    assert_eq!(client.hear(&strange[..9]), Heard::Ignored);
    assert_eq!(client.outcome(), None);
}

#[test]
fn what_does_not_fit_is_refused_and_a_login_never_prints_itself() {
    assert!(matches!(Login::new("seventeen letters", "x"), Err(BmcError::Login)));
    assert!(matches!(Login::new("x", "twenty-one characters"), Err(BmcError::Login)));
    assert_eq!(format!("{:?}", Login::new("user", "secret").unwrap()), "Login(..)");
}
