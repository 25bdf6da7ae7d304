//! One order to one controller, step by step (13.14 to 13.24).

use core::fmt;

use subtle::ConstantTimeEq;

use crate::crypt::{BLOCK_BYTES, Keys, Suite};
use crate::message::{APPLICATION, Answer, CHASSIS, Power, answer, request};
use crate::packet::{Packet, Payload, encode_plain, encode_plus, encode_sealed, ping, read, unseal};
use crate::{BmcError, PASSWORD_MAX_BYTES, USER_MAX_BYTES};

/// UDP port of a controller (13.1.2).
pub const PORT: u16 = 623;
/// Attempts at each step.
pub const TRIES_MAX: u32 = 4;
/// The privilege that chassis control needs (table G-1): Operator.
const OPERATOR: u8 = 3;
/// Looks the user up by name alone (13.20, RAKP message 1).
const NAME_ONLY: u8 = 0x10;
/// Commands (tables 22-1 and 28-1).
const CAPABILITIES: u8 = 0x38;
const SET_PRIVILEGE: u8 = 0x3b;
const CLOSE: u8 = 0x3c;
const CHASSIS_STATUS: u8 = 0x01;
const CHASSIS_CONTROL: u8 = 0x02;

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Login {
    /// A user with a password.
    pub fn new(user: &str, password: &str) -> Result<Self, BmcError> {
        if user.len() > USER_MAX_BYTES || password.len() > PASSWORD_MAX_BYTES {
            return Err(BmcError::Login);
        }
        Ok(Self { user: user.as_bytes().to_vec(), password: password.as_bytes().to_vec() })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// What the controller shall do (28.3, Chassis Control).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Say whether the box has power; nothing changes.
    Status,
    /// Take the power away.
    PowerOff,
    /// Give power.
    PowerOn,
    /// Reset the box.
    Reset,
    /// Reset the box if it has power; where that is refused, take the power away for a moment.
    ResetIfOn,
}

/// Where the exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Presence ping. A controller need not answer it.
    Presence,
    /// Get Channel Authentication Capabilities.
    Capabilities,
    /// Open Session.
    Open,
    /// RAKP messages 1 and 2.
    Challenge,
    /// RAKP messages 3 and 4.
    Proof,
    /// Set Session Privilege Level.
    Privilege,
    /// Get Chassis Status.
    Status,
    /// Chassis Control.
    Control,
    /// Close Session.
    Close,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Presence | Self::Capabilities => "nothing was heard from it",
            Self::Open => "while a session was opened",
            Self::Challenge | Self::Proof => "while logging in",
            Self::Privilege => "after logging in",
            Self::Status => "when asked for the power state",
            Self::Control => "to the order",
            Self::Close => "at the end",
        })
    }
}

/// What an accepted order found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the box had power before the order.
    pub power: Power,
    /// Whether power was changed or the box was reset.
    pub acted: bool,
    /// The suite the session ran with.
    pub suite: Suite,
}

/// What a packet was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing; wait on.
    Ignored,
    /// The next step; send its packet.
    Next,
    /// It is over; [`Client::outcome`] says how.
    Over,
}

/// One order to one controller.
pub struct Client {
    login: Login,
    order: Order,
    seed: [u8; 32],
    vectors: u32,
    step: Step,
    tries: u32,
    suite: Suite,
    console: u32,
    controller: u32,
    challenge: [u8; 16],
    their_challenge: [u8; 16],
    their_guid: [u8; 16],
    keys: Option<Keys>,
    session_key: Vec<u8>,
    sequence: u32,
    request: u8,
    cycling: bool,
    power: Option<Power>,
    acted: bool,
    end: Option<Result<Outcome, BmcError>>,
}

impl Client {
    /// An order; `seed` comes fresh from the system's random source.
    pub fn new(login: Login, order: Order, seed: [u8; 32]) -> Self {
        let drawn = |label: &[u8]| Suite::Sha256.code(&seed, &[label]);
        let mut challenge = [0; 16];
        challenge.iter_mut().zip(drawn(b"challenge")).for_each(|(to, from)| *to = from);
        let number = drawn(b"session").iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        Self {
            login,
            order,
            seed,
            vectors: 0,
            step: Step::Presence,
            tries: 0,
            suite: Suite::Sha256,
            // 13.15: never zero.
            console: number | 1,
            controller: 0,
            challenge,
            their_challenge: [0; 16],
            their_guid: [0; 16],
            keys: None,
            session_key: Vec::new(),
            sequence: 0,
            request: 0,
            cycling: false,
            power: None,
            acted: false,
            end: None,
        }
    }

    /// How it ended; none while it goes on.
    pub fn outcome(&self) -> Option<&Result<Outcome, BmcError>> {
        self.end.as_ref()
    }

    /// The packet of this step, to be sent now.
    pub fn packet(&mut self) -> Result<Vec<u8>, BmcError> {
        let number = self.controller.to_le_bytes();
        let control = if self.cycling { 2 } else { self.control() };
        match self.step {
            Step::Presence => Ok(ping(self.tag())),
            Step::Capabilities => {
                // 22.13: bit 7 asks for what is new in IPMI 2.0, channel Eh is this one.
                self.request = self.request.wrapping_add(1) & 0x3f;
                let data = [0x8e, OPERATOR];
                Ok(encode_plain(&request(APPLICATION, CAPABILITIES, self.request, &data)))
            }
            Step::Open => Ok(encode_plus(Payload::OpenRequest, &self.open_request())),
            Step::Challenge => Ok(encode_plus(Payload::Rakp1, &self.rakp1())),
            Step::Proof => Ok(encode_plus(Payload::Rakp3, &self.rakp3())),
            Step::Privilege => self.sealed(APPLICATION, SET_PRIVILEGE, &[OPERATOR]),
            Step::Status => self.sealed(CHASSIS, CHASSIS_STATUS, &[]),
            Step::Control => self.sealed(CHASSIS, CHASSIS_CONTROL, &[control]),
            Step::Close => self.sealed(APPLICATION, CLOSE, &number),
        }
    }

    /// Nothing came in time: the packet is to be sent again, unless this was the last attempt.
    pub fn late(&mut self) {
        self.tries += 1;
        match self.step {
            // 13.13: presence is only asked to spare a dead address the rest.
            Step::Presence if self.tries >= 2 => self.go(Step::Capabilities),
            // Whoever reset a box may have cut its own controller off; what was accepted stays so.
            Step::Close if self.tries >= 2 => self.finish(),
            step if self.tries >= TRIES_MAX => self.fail(BmcError::Silent(step)),
            _ => {}
        }
    }

    /// Takes a packet.
    pub fn hear(&mut self, bytes: &[u8]) -> Heard {
        if self.end.is_some() {
            return Heard::Over;
        }
        let before = self.step;
        let cycling = self.cycling;
        let suite = self.suite;
        let Ok(packet) = read(bytes) else { return Heard::Ignored };
        match (self.step, packet) {
            (Step::Presence, Packet::Pong { ipmi, .. }) if ipmi => self.go(Step::Capabilities),
            (Step::Capabilities, Packet::Plain(message)) => self.take_capabilities(message),
            (Step::Open, Packet::Plus { payload: Payload::OpenResponse, body }) => self.take_open(body),
            (Step::Challenge, Packet::Plus { payload: Payload::Rakp2, body }) => self.take_rakp2(body),
            (Step::Proof, Packet::Plus { payload: Payload::Rakp4, body }) => self.take_rakp4(body),
            (_, Packet::Sealed { session, .. }) if session == self.console => self.take_sealed(bytes),
            _ => {}
        }
        match () {
            () if self.end.is_some() => Heard::Over,
            () if (before, cycling, suite) != (self.step, self.cycling, self.suite) => Heard::Next,
            () => Heard::Ignored,
        }
    }

    fn go(&mut self, step: Step) {
        (self.step, self.tries) = (step, 0);
    }

    fn fail(&mut self, error: BmcError) {
        self.end.get_or_insert(Err(error));
    }

    fn finish(&mut self) {
        let power = self.power.unwrap_or(Power::Off);
        let outcome = Outcome { power, acted: self.acted, suite: self.suite };
        self.end.get_or_insert(Ok(outcome));
    }

    /// Tags tell the answers of one step from those of another.
    fn tag(&self) -> u8 {
        self.step as u8
    }

    fn role(&self) -> u8 {
        NAME_ONLY | OPERATOR
    }

    fn control(&self) -> u8 {
        match self.order {
            Order::PowerOff => 0,
            Order::PowerOn => 1,
            Order::Status | Order::Reset | Order::ResetIfOn => 3,
        }
    }

    /// 13.17.
    fn open_request(&self) -> Vec<u8> {
        let mut body = vec![self.tag(), OPERATOR, 0, 0];
        body.extend(self.console.to_le_bytes());
        body.extend([0, 0, 0, 8, self.suite.authentication(), 0, 0, 0]);
        body.extend([1, 0, 0, 8, self.suite.integrity(), 0, 0, 0]);
        body.extend([2, 0, 0, 8, self.suite.confidentiality(), 0, 0, 0]);
        body
    }

    /// 13.20.
    fn rakp1(&self) -> Vec<u8> {
        let mut body = vec![self.tag(), 0, 0, 0];
        body.extend(self.controller.to_le_bytes());
        body.extend(self.challenge);
        body.extend([self.role(), 0, 0, self.login.user.len() as u8]);
        body.extend(&self.login.user);
        body
    }

    /// 13.22.
    fn rakp3(&self) -> Vec<u8> {
        let mut body = vec![self.tag(), 0, 0, 0];
        body.extend(self.controller.to_le_bytes());
        let console = self.console.to_le_bytes();
        let who = self.who();
        body.extend(self.suite.code(&self.login.password, &[&self.their_challenge, &console, &who]));
        body
    }

    /// Role, length of the user name, user name, as each code has them (13.31).
    fn who(&self) -> Vec<u8> {
        [&[self.role(), self.login.user.len() as u8][..], &self.login.user].concat()
    }

    fn take_capabilities(&mut self, message: &[u8]) {
        let Some(answer) = self.own(message, APPLICATION, CAPABILITIES) else { return };
        // 22.13: bit 1 of the fourth byte says that the channel speaks IPMI 2.0.
        let plus = answer.completion == 0 && answer.data.get(3).is_some_and(|byte| byte & 2 != 0);
        if plus { self.go(Step::Open) } else { self.fail(BmcError::Version) }
    }

    /// 13.18.
    fn take_open(&mut self, body: &[u8]) {
        let Some(status) = self.status_of(body) else { return };
        if status != 0 {
            let no_match = matches!(status, 0x04..=0x06 | 0x0f..=0x11);
            match (no_match, self.suite) {
                (true, Suite::Sha256) => {
                    self.suite = Suite::Sha1;
                    self.tries = 0;
                }
                (true, Suite::Sha1) => self.fail(BmcError::Suites),
                (false, _) => self.fail(refusal(status)),
            }
            return;
        }
        let Some((controller, algorithms)) = body.get(8..).and_then(<[u8]>::split_first_chunk::<4>) else {
            return;
        };
        let chosen = [4, 12, 20].map(|at| algorithms.get(at).map(|byte| byte & 0x3f));
        let wanted = [self.suite.authentication(), self.suite.integrity(), self.suite.confidentiality()];
        if chosen != wanted.map(Some) {
            return self.fail(BmcError::Suites);
        }
        self.controller = u32::from_le_bytes(*controller);
        self.go(Step::Challenge);
    }

    /// 13.21.
    fn take_rakp2(&mut self, body: &[u8]) {
        let Some(status) = self.status_of(body) else { return };
        if status != 0 {
            return self.fail(refusal(status));
        }
        let Some((theirs, rest)) = body.get(8..).and_then(<[u8]>::split_first_chunk::<16>) else { return };
        let Some((guid, code)) = rest.split_first_chunk::<16>() else { return };
        let numbers = [self.console.to_le_bytes(), self.controller.to_le_bytes()].concat();
        let parts: [&[u8]; 5] = [&numbers, &self.challenge, theirs, guid, &self.who()];
        let expected = self.suite.code(&self.login.password, &parts);
        if !bool::from(expected.ct_eq(code)) {
            return self.fail(BmcError::Password);
        }
        (self.their_challenge, self.their_guid) = (*theirs, *guid);
        // 13.31: no separate key of the controller (K_G) is set, so the user's serves.
        let parts: [&[u8]; 3] = [&self.challenge, theirs, &self.who()];
        self.session_key = self.suite.code(&self.login.password, &parts);
        self.go(Step::Proof);
    }

    /// 13.23.
    fn take_rakp4(&mut self, body: &[u8]) {
        let Some(status) = self.status_of(body) else { return };
        if status != 0 {
            return self.fail(refusal(status));
        }
        let number = self.controller.to_le_bytes();
        let mut expected = self.suite.code(&self.session_key, &[&self.challenge, &number, &self.their_guid]);
        expected.truncate(self.suite.short_bytes());
        if !bool::from(expected.ct_eq(body.get(8..).unwrap_or_default())) {
            return self.fail(BmcError::Password);
        }
        self.keys = Some(Keys::new(self.suite, &self.session_key));
        self.go(Step::Privilege);
    }

    /// Status of a message that answers this step's. A refusal may end behind it (13.18: the rest is
    /// only there on success).
    fn status_of(&self, body: &[u8]) -> Option<u8> {
        let [tag, status] = *body.first_chunk::<2>()?;
        let session = body.get(4..8).unwrap_or_default();
        let ours = session == self.console.to_le_bytes() || (status != 0 && session.is_empty());
        (tag == self.tag() && ours).then_some(status)
    }

    fn take_sealed(&mut self, bytes: &[u8]) {
        let Some(Ok(message)) = self.keys.as_ref().map(|keys| unseal(keys, bytes)) else { return };
        let (function, command) = match self.step {
            Step::Privilege => (APPLICATION, SET_PRIVILEGE),
            Step::Status => (CHASSIS, CHASSIS_STATUS),
            Step::Control => (CHASSIS, CHASSIS_CONTROL),
            Step::Close => (APPLICATION, CLOSE),
            _ => return,
        };
        let Some(answer) = self.own(&message, function, command) else { return };
        match self.step {
            Step::Close => self.finish(),
            Step::Control if answer.completion != 0 && self.order == Order::ResetIfOn && !self.cycling => {
                self.cycling = true;
                self.tries = 0;
            }
            // 22.18: 81h no such level for the user, 5.2: D4h privilege.
            _ if matches!((self.step, answer.completion), (_, 0xd4) | (Step::Privilege, 0x80..=0x82)) => {
                self.fail(BmcError::Privilege);
            }
            _ if answer.completion != 0 => self.fail(BmcError::Completion(answer.completion)),
            Step::Privilege => self.go(Step::Status),
            Step::Status => self.take_status(&answer),
            _ => {
                self.acted = true;
                self.go(Step::Close);
            }
        }
    }

    /// 28.2.
    fn take_status(&mut self, answer: &Answer) {
        let Some(state) = answer.data.first() else { return };
        let power = if state & 1 == 0 { Power::Off } else { Power::On };
        self.power = Some(power);
        let nothing = self.order == Order::Status || (self.order, power) == (Order::ResetIfOn, Power::Off);
        self.go(if nothing { Step::Close } else { Step::Control });
    }

    /// An answer to the request made last.
    fn own(&self, message: &[u8], function: u8, command: u8) -> Option<Answer> {
        answer(message).filter(|answer| {
            (answer.function, answer.command, answer.sequence) == (function | 1, command, self.request)
        })
    }

    fn sealed(&mut self, function: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, BmcError> {
        self.request = self.request.wrapping_add(1) & 0x3f;
        self.sequence = self.sequence.wrapping_add(1);
        self.vectors += 1;
        let drawn = Suite::Sha256.code(&self.seed, &[b"vector", &self.vectors.to_be_bytes()]);
        let vector = *drawn.first_chunk::<BLOCK_BYTES>().ok_or(BmcError::Packet)?;
        let message = request(function, command, self.request, data);
        let keys = self.keys.as_ref().ok_or(BmcError::Packet)?;
        encode_sealed(keys, self.controller, self.sequence, vector, &message).ok_or(BmcError::Packet)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("order", &self.order).field("step", &self.step).finish_non_exhaustive()
    }
}

/// Status codes of RMCP+ and RAKP messages (table 13-15).
fn refusal(status: u8) -> BmcError {
    BmcError::Refused(match status {
        0x01 => "it has no room for another session now",
        0x02 => "it has lost the session",
        0x09 | 0x0a => "this user may not have Operator rights",
        0x0d => "it does not know this user",
        0x0e => "this user may not use the network",
        0x0f => return BmcError::Password,
        0x12 => "one of its parameters is illegal",
        _ => "it gives no reason that is known",
    })
}
