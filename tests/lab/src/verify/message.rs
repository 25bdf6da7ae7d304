//! The judge's messages: numbered, and with a content that follows from the number, so that one read
//! back can be told from one that was cut, mixed up or made up.

use std::fmt::Write as _;

use crate::parts::{ACCOUNTS, DOMAIN};

use super::plan::splitmix;

/// Every so many messages a big one.
const BIG_ONE_IN: u64 = 40;
const BIG_LINES: u64 = 2500;
const LINES_MAX: u64 = 150;

/// Address of one of the lab's accounts.
pub fn address(account: usize) -> String {
    format!("{}@{DOMAIN}", ACCOUNTS[account % ACCOUNTS.len()])
}

/// Which account a message goes to.
pub fn recipient(serial: u64) -> usize {
    (serial % ACCOUNTS.len() as u64) as usize
}

/// The whole message, dots doubled for DATA, without the final dot.
pub fn for_sending(run: &str, serial: u64) -> String {
    let header = format!(
        "From: {}\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{run}.{serial}@lab.{DOMAIN}>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\n",
        address(recipient(serial) + 1),
        address(recipient(serial)),
        subject(run, serial)
    );
    let body = body(run, serial).replace("\r\n.", "\r\n..");
    header + &body
}

fn subject(run: &str, serial: u64) -> String {
    format!("lab {run} {serial}")
}

/// The number of a message read back, if it is one of this run.
pub fn serial_of(run: &str, message: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(message);
    let line = text
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix("Subject: lab "))?;
    let (named, serial) = line.trim().split_once(' ')?;
    (named == run).then(|| serial.parse().ok())?
}

/// Whether a message read back carries the body that was sent.
pub fn is_whole(run: &str, serial: u64, message: &[u8]) -> bool {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    end.is_some_and(|end| message[end + 4..] == *body(run, serial).as_bytes())
}

fn body(run: &str, serial: u64) -> String {
    let mut random = run.bytes().fold(serial, |sum, byte| sum.wrapping_mul(257) ^ u64::from(byte));
    let lines =
        if serial % BIG_ONE_IN == BIG_ONE_IN - 1 { BIG_LINES } else { splitmix(&mut random) % LINES_MAX };
    let mut body = format!("Message {serial} of run {run}.\r\n.a line that begins with a dot\r\n");
    for _ in 0..lines {
        let _ = write!(body, "{:016x} {:016x}\r\n", splitmix(&mut random), splitmix(&mut random));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server keeps: dots undone, a line of its own in front.
    fn kept(run: &str, serial: u64) -> String {
        format!("Received: by box-a\r\n{}", for_sending(run, serial).replace("\r\n..", "\r\n."))
    }

    #[test]
    fn a_message_is_known_again() {
        let message = kept("7f", 39);
        assert_eq!(serial_of("7f", message.as_bytes()), Some(39));
        assert!(is_whole("7f", 39, message.as_bytes()));
        assert_eq!(serial_of("80", message.as_bytes()), None, "another run's message is not counted");
    }

    #[test]
    fn one_byte_less_or_changed_is_noticed() {
        let mut message = kept("7f", 12).into_bytes();
        assert!(!is_whole("7f", 12, &message[..message.len() - 1]));
        let last = message.len() - 5;
        message[last] ^= 1;
        assert!(!is_whole("7f", 12, &message));
    }
}
