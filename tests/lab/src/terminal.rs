//! Puts the terminal and a box's console together; Ctrl-] leaves.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::error::{Doing, Result};
use crate::parts::BoxName;
use crate::place::Place;
use crate::protocol::{Line, Request};

/// Ctrl-], as in telnet.
const LEAVE: u8 = 0x1D;

/// The terminal as it was, put back at the end.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !isatty(stdin.as_fd()) {
            return None;
        }
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

/// Sits down at the console of box `name`.
pub fn sit_at(place: &Place, name: BoxName) -> Result<()> {
    let mut line = Line::open(place)?;
    line.ask(&Request::Attach { name }, |_, _| {})?;
    println!("The console of box {name}. Ctrl-] leaves.");
    let stream = line.into_stream();
    let reader = stream.try_clone().doing(|| "a socket cannot be shared".into())?;
    let terminal = RawTerminal::enter();
    thread::spawn(move || show(reader));
    type_until_left(stream);
    drop(terminal);
    println!();
    Ok(())
}

fn show(mut from: UnixStream) {
    let mut buffer = [0; 4096];
    let mut out = std::io::stdout();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let _ = out.write_all(&buffer[..read]);
        let _ = out.flush();
    }
}

fn type_until_left(mut to: UnixStream) {
    let mut buffer = [0; 256];
    while let Ok(read @ 1..) = std::io::stdin().read(&mut buffer) {
        let keys = &buffer[..read];
        let end = keys.iter().position(|key| *key == LEAVE);
        if to.write_all(&keys[..end.unwrap_or(read)]).is_err() || end.is_some() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
