//! A server that says what a test tells it to, and remembers what it heard.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done at one point of a session.
pub enum Act {
    /// What a server usually says there.
    Usual,
    Say(&'static str),
    /// Says it and closes the connection.
    SayAndClose(&'static str),
    Close,
    /// Says nothing and keeps the connection.
    Hang,
}

/// One session: its commands, and the texts that came to their end.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub lines: Vec<String>,
    pub texts: Vec<String>,
}

pub struct Far {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Far {
    /// `script` is asked at the greeting (an empty line), at each command, and at the end of a text (a
    /// dot), with the number of the session from 0. It serves until the test's process ends.
    pub fn start(
        address: IpAddr,
        port: u16,
        script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (script, sessions) = (Arc::new(script), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, sessions) = (Arc::clone(&script), Arc::clone(&sessions));
                let number = {
                    let mut sessions = sessions.lock().unwrap();
                    sessions.push(Heard::default());
                    sessions.len() - 1
                };
                std::thread::spawn(move || serve(stream, number, &*script, &sessions));
            }
        });
        Self { address, heard }
    }

    /// Takes everything.
    pub fn kind(address: IpAddr, port: u16) -> Self {
        Self::start(address, port, |_, _| Act::Usual)
    }

    pub fn sessions(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.sessions().into_iter().flat_map(|session| session.lines).collect()
    }

    pub fn texts(&self) -> Vec<String> {
        self.sessions().into_iter().flat_map(|session| session.texts).collect()
    }
}

pub const OFFERS: &str =
    "250-far\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES";

fn serve(
    stream: TcpStream,
    number: usize,
    script: &dyn Fn(usize, &str) -> Act,
    sessions: &Mutex<Vec<Heard>>,
) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut text: Option<String> = None;
    if !act(&mut writer, script(number, ""), "220 far") {
        return;
    }
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        let said = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if let Some(open) = &mut text {
            if said != "." {
                *open += &said;
                *open += "\n";
                continue;
            }
            let whole = text.take().unwrap();
            sessions.lock().unwrap()[number].texts.push(whole);
            if !act(&mut writer, script(number, "."), "250 2.0.0 taken") {
                return;
            }
            continue;
        }
        sessions.lock().unwrap()[number].lines.push(said.clone());
        let verb = said.split([' ', ':']).next().unwrap().to_ascii_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => OFFERS,
            "DATA" => "354 go",
            "QUIT" => "221 bye",
            _ => "250 2.0.0 ok",
        };
        let reaction = script(number, &said);
        let begins = verb == "DATA" && matches!(reaction, Act::Usual);
        if !act(&mut writer, reaction, usual) || verb == "QUIT" {
            return;
        }
        if begins {
            text = Some(String::new());
        }
    }
}

/// Whether the session goes on.
fn act(writer: &mut TcpStream, act: Act, usual: &str) -> bool {
    let (said, goes_on) = match act {
        Act::Usual => (usual, true),
        Act::Say(said) => (said, true),
        Act::SayAndClose(said) => (said, false),
        Act::Close => return false,
        Act::Hang => {
            std::thread::sleep(Duration::from_mins(2));
            return false;
        }
    };
    writer.write_all(format!("{said}\r\n").as_bytes()).is_ok() && goes_on
}
