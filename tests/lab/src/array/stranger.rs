//! A third initiator: a host that was plugged into the array and should not have been.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::pdu::{COMMAND, LOGIN, LOGIN_RESPONSE, Pdu, number};
use super::{PORTAL_PORT, TARGET};
use crate::error::{LabError, Result};

/// Name under which it logs in.
const NAME: &str = "iqn.2026-01.test.stranger:host";
/// Its reservation key.
const KEY: u64 = 0x5354_5241_4E47_4552;
/// An answer may take so long.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Unit attentions before the first command that gets through (SAM-5 section 5.14).
const ATTENTIONS_MAX: u32 = 8;
/// Reservation type: write exclusive, registrants only (SPC-4 table 67).
const WRITE_EXCLUSIVE_REGISTRANTS: u8 = 5;

/// Login flags: leave the stage (T), from one to the next (RFC 7143 section 11.12).
const SECURITY_TO_OPERATIONAL: u8 = 0x81;
const OPERATIONAL_TO_FULL_FEATURE: u8 = 0x87;

/// Service actions of PERSISTENT RESERVE OUT (SPC-4 table 206).
const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const REGISTER_AND_IGNORE: u8 = 6;

/// A session of the third initiator.
#[derive(Debug)]
pub struct Stranger {
    stream: TcpStream,
    /// Numbers commands; also the task tag.
    command: u32,
    expected_status: u32,
}

impl Stranger {
    /// Logs in by the portal at `address` and registers.
    pub fn arrive(address: Ipv4Addr) -> Result<Self> {
        let arrive = || -> io::Result<Self> {
            let stream = TcpStream::connect((address, PORTAL_PORT))?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            let mut stranger = Self { stream, command: 1, expected_status: 0 };
            stranger.log_in()?;
            for _ in 0..ATTENTIONS_MAX {
                if stranger.give(&[0; 6], &[], 0)?.0 == 0 {
                    break;
                }
            }
            stranger.change(REGISTER_AND_IGNORE, 0, KEY)?;
            Ok(stranger)
        };
        arrive().map_err(failed)
    }

    /// Clears every registration, and the reservation with them; its own too.
    pub fn clear(mut self) -> Result<()> {
        self.change(CLEAR, KEY, 0).map_err(failed)
    }

    /// Takes the reservation from whoever has it.
    pub fn steal(&mut self) -> Result<()> {
        let mut steal = || -> io::Result<()> {
            // PERSISTENT RESERVE IN, READ RESERVATION (SPC-4 section 6.13.3).
            let mut cdb = [0; 10];
            cdb[..2].copy_from_slice(&[0x5E, 1]);
            cdb[8] = 24;
            let (_, answer) = self.give(&cdb, &[], 24)?;
            match answer.get(8..16).map(number) {
                Some(holder) => self.change(PREEMPT, KEY, holder),
                None => self.change(RESERVE, KEY, 0),
            }
        };
        steal().map_err(failed)
    }

    /// Gives the reservation up, if it has it, and its registration.
    pub fn leave(mut self) {
        // Whoever took it back has taken the registration as well; then there is nothing to give up.
        let _ = self.change(RELEASE, KEY, 0);
        let _ = self.change(REGISTER, KEY, 0);
    }

    fn log_in(&mut self) -> io::Result<()> {
        let first =
            format!("InitiatorName={NAME}\0TargetName={TARGET}\0SessionType=Normal\0AuthMethod=None\0");
        let second = "HeaderDigest=None\0DataDigest=None\0ImmediateData=Yes\0InitialR2T=Yes\0";
        for (flags, text) in
            [(SECURITY_TO_OPERATIONAL, first.as_str()), (OPERATIONAL_TO_FULL_FEATURE, second)]
        {
            let mut request = Pdu::new(LOGIN | 0x40, text.as_bytes());
            request.head[1] = flags;
            // ISID of the random format (RFC 7143 section 11.12.5), fixed: always the same port.
            request.head[8..14].copy_from_slice(&[0x80, 0, 0, 1, 0, 0]);
            request.head[16..20].copy_from_slice(&0xFFu32.to_be_bytes());
            request.head[24..28].copy_from_slice(&self.command.to_be_bytes());
            request.head[28..32].copy_from_slice(&self.expected_status.to_be_bytes());
            request.write(&mut self.stream)?;
            let answer = self.read()?;
            if answer.opcode() != LOGIN_RESPONSE || answer.head[36] != 0 {
                return Err(io::Error::other(format!(
                    "the array refuses the login: {:?}",
                    &answer.head[36..38]
                )));
            }
        }
        Ok(())
    }

    /// PERSISTENT RESERVE OUT.
    fn change(&mut self, action: u8, own_key: u64, other_key: u64) -> io::Result<()> {
        let mut cdb = [0; 10];
        cdb[..3].copy_from_slice(&[0x5F, action, WRITE_EXCLUSIVE_REGISTRANTS]);
        cdb[8] = 24;
        let mut keys = [0; 24];
        keys[..8].copy_from_slice(&own_key.to_be_bytes());
        keys[8..16].copy_from_slice(&other_key.to_be_bytes());
        match self.give(&cdb, &keys, 0)? {
            (0, _) => Ok(()),
            (status, _) => {
                Err(io::Error::other(format!("service action {action} ended with status {status:#x}")))
            }
        }
    }

    /// Gives a command; its status and what was read.
    fn give(&mut self, cdb: &[u8], out: &[u8], expected: u32) -> io::Result<(u8, Vec<u8>)> {
        let mut request = Pdu::new(COMMAND, out);
        // Final; read or write; task attribute simple (RFC 7143 section 11.3.1).
        request.head[1] = 0x81 | if expected > 0 { 0x40 } else { 0 } | if out.is_empty() { 0 } else { 0x20 };
        request.head[9] = 1;
        request.head[16..20].copy_from_slice(&self.command.to_be_bytes());
        request.head[20..24].copy_from_slice(&expected.max(out.len() as u32).to_be_bytes());
        request.head[24..28].copy_from_slice(&self.command.to_be_bytes());
        request.head[28..32].copy_from_slice(&self.expected_status.to_be_bytes());
        request.head[32..32 + cdb.len()].copy_from_slice(cdb);
        request.write(&mut self.stream)?;
        self.command += 1;
        let mut read = Vec::new();
        loop {
            let answer = self.read()?;
            if answer.opcode() == super::pdu::DATA_IN {
                read.extend_from_slice(answer.data());
            }
            if let Some(status) = answer.status() {
                return Ok((status, read));
            }
        }
    }

    fn read(&mut self) -> io::Result<Pdu> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let answer = Pdu::read(&mut self.stream)?.ok_or_else(gone)?;
        if answer.status().is_some() || answer.opcode() == LOGIN_RESPONSE {
            self.expected_status = (number(&answer.head[24..28]) as u32).wrapping_add(1);
        }
        Ok(answer)
    }
}

fn failed(source: io::Error) -> LabError {
    LabError::Io { what: "the third initiator cannot do it".into(), source }
}
