//! A path to the array: carries iSCSI between an initiator and the target, writes down what changes
//! anything, and can be broken in ways that no cable cutter reaches.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::pdu::{self, CHECK_CONDITION, COMMAND, Pdu, Sense};
use super::record::{Entry, Record, What, now_us};
use super::{PORTAL_PORT, TARGET_ADDRESS};
use crate::error::{Doing, Result};

/// What each command takes longer on a slow path, beside the others that are under way.
const SLOW_BY: Duration = Duration::from_millis(50);
/// Commands that are under way on a slow path at most; more wait in the connection.
const SLOW_MAX: usize = 256;
/// Pause of a connection to a target that is not there.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Nothing gets through, either way; nothing is lost.
    pub stalled: bool,
    /// Nothing gets through, either way; what is under way is lost when the path is healed.
    pub hung: bool,
    /// How often it was hung and healed: connections of before are of no use.
    healed: u64,
    /// Answers are lost.
    pub deaf: bool,
    /// Everything takes longer.
    pub slow: bool,
    /// Reading ends with a medium error.
    pub unreadable: bool,
    /// Writing ends with a write protection error.
    pub write_protected: bool,
}

/// One path.
#[derive(Debug)]
pub struct ArrayPath {
    initiator: String,
    record: Arc<Record>,
    trouble: Mutex<Trouble>,
    changed: Condvar,
    /// Connections on which an answer was lost: they are of no use when the path is healed.
    broken: Mutex<Vec<TcpStream>>,
}

/// A command that has no answer yet.
#[derive(Debug)]
struct Pending {
    sent_us: u64,
    what: Option<What>,
    /// What the initiator is told in the end.
    pretend: Option<Sense>,
}

type Commands = Arc<Mutex<HashMap<u32, Pending>>>;

impl ArrayPath {
    /// Opens the portal at `address`; what comes there is written down under `initiator`.
    pub fn open(address: Ipv4Addr, initiator: &str, record: &Arc<Record>) -> Result<Arc<Self>> {
        let listener = TcpListener::bind((address, PORTAL_PORT))
            .doing(|| format!("the portal {address} cannot be opened"))?;
        let path = Arc::new(Self {
            initiator: initiator.into(),
            record: Arc::clone(record),
            trouble: Mutex::default(),
            changed: Condvar::new(),
            broken: Mutex::default(),
        });
        let own = Arc::clone(&path);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let path = Arc::clone(&own);
                thread::spawn(move || {
                    let _ = path.connect(stream);
                });
            }
        });
        Ok(path)
    }

    /// Breaks something, or puts it right.
    pub fn set(&self, change: impl FnOnce(&mut Trouble)) {
        let mut trouble = self.trouble();
        let was_hung = trouble.hung;
        change(&mut trouble);
        if was_hung && !trouble.hung {
            trouble.healed += 1;
        }
        let deaf = trouble.deaf;
        drop(trouble);
        self.changed.notify_all();
        if !deaf {
            for stream in self.broken.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn connect(self: &Arc<Self>, near: TcpStream) -> io::Result<()> {
        let healed = self.wait_while_stalled().healed;
        let target = SocketAddr::from((TARGET_ADDRESS, PORTAL_PORT));
        let far = match TcpStream::connect(target) {
            Ok(far) => far,
            // An array without power does not answer at once that it has none.
            Err(error) => {
                thread::sleep(RETRY_PAUSE);
                return Err(error);
            }
        };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let commands = Commands::default();
        let (path, theirs) = (Arc::clone(self), Arc::clone(&commands));
        let (far_reader, near_writer) = (far.try_clone()?, near.try_clone()?);
        thread::spawn(move || {
            let _ = path.carry_answers(far_reader, &near_writer, &theirs, healed);
            let _ = near_writer.shutdown(Shutdown::Both);
            path.write_down_unanswered(&theirs);
        });
        let _ = self.carry_commands(near, &far, &commands, healed);
        let _ = far.shutdown(Shutdown::Both);
        Ok(())
    }

    fn carry_commands(
        &self,
        from: TcpStream,
        mut to: &TcpStream,
        commands: &Commands,
        healed: u64,
    ) -> io::Result<()> {
        for (arrived, mut pdu) in arrivals(from) {
            let mut trouble = self.wait_while_stalled();
            if trouble.slow {
                thread::sleep(SLOW_BY.saturating_sub(arrived.elapsed()));
                trouble = self.wait_while_stalled();
            }
            if trouble.healed != healed {
                return Ok(());
            }
            if pdu.opcode() == COMMAND {
                let what = What::of(pdu.cdb(), pdu.data());
                let pretend = misdirect(&mut pdu, trouble);
                // A misdirected command changes nothing.
                let what = if pretend.is_some() { None } else { what };
                if what.is_some() || pretend.is_some() {
                    let pending = Pending { sent_us: now_us(), what, pretend };
                    lock(commands).insert(pdu.task(), pending);
                }
            }
            pdu.write(&mut to)?;
        }
        Ok(())
    }

    fn carry_answers(
        &self,
        mut from: TcpStream,
        mut to: &TcpStream,
        commands: &Commands,
        healed: u64,
    ) -> io::Result<()> {
        while let Some(mut pdu) = Pdu::read(&mut from)? {
            if let Some(status) = pdu.status()
                && let Some(pending) = lock(commands).remove(&pdu.task())
            {
                if let Some(what) = pending.what {
                    self.write_down(pending.sent_us, what, Some(status));
                }
                if let Some(sense) = pending.pretend
                    && status == CHECK_CONDITION
                {
                    pdu.replace_sense(sense);
                }
            }
            let trouble = self.wait_while_stalled();
            if trouble.healed != healed {
                return Ok(());
            }
            if trouble.deaf {
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.push(to.try_clone()?);
                drop(broken);
                while Pdu::read(&mut from)?.is_some_and(|pdu| self.note_lost(&pdu, commands)) {}
                return Ok(());
            }
            pdu.write(&mut to)?;
        }
        Ok(())
    }

    /// Writes down an answer that the initiator never hears.
    fn note_lost(&self, pdu: &Pdu, commands: &Commands) -> bool {
        if let Some(status) = pdu.status()
            && let Some(Pending { sent_us, what: Some(what), .. }) = lock(commands).remove(&pdu.task())
        {
            self.write_down(sent_us, what, Some(status));
        }
        true
    }

    /// The connection has ended; what had no answer may have been done or not.
    fn write_down_unanswered(&self, commands: &Commands) {
        for (_, pending) in lock(commands).drain() {
            if let Some(what) = pending.what {
                self.write_down(pending.sent_us, what, None);
            }
        }
    }

    fn write_down(&self, sent_us: u64, what: What, status: Option<u8>) {
        let done_us = status.map(|_| now_us());
        self.record.add(&Entry { sent_us, done_us, initiator: self.initiator.clone(), what, status });
    }

    fn wait_while_stalled(&self) -> Trouble {
        let mut trouble = self.trouble();
        while trouble.stalled || trouble.hung {
            trouble = self.changed.wait(trouble).unwrap_or_else(PoisonError::into_inner);
        }
        *trouble
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes from the initiator, and when, in order: a slow command holds no other one up.
fn arrivals(mut from: TcpStream) -> mpsc::Receiver<(Instant, Pdu)> {
    let (sender, arrivals) = mpsc::sync_channel(SLOW_MAX);
    thread::spawn(move || {
        while let Ok(Some(pdu)) = Pdu::read(&mut from) {
            if sender.send((Instant::now(), pdu)).is_err() {
                return;
            }
        }
    });
    arrivals
}

/// Sends a command that must fail to a block that no LUN has, so that the target itself answers with
/// an error; gives the error that the initiator is to see.
fn misdirect(pdu: &mut Pdu, trouble: Trouble) -> Option<Sense> {
    let (block, reads) = match pdu.cdb()[0] {
        0x28 | 0xA8 => (2..6, true),
        0x88 => (2..10, true),
        0x2A | 0x2E | 0xAA | 0xAE | 0x41 => (2..6, false),
        0x8A | 0x8E | 0x89 | 0x93 => (2..10, false),
        _ => return None,
    };
    let sense = match (reads, trouble) {
        (true, Trouble { unreadable: true, .. }) => pdu::UNREADABLE,
        (false, Trouble { write_protected: true, .. }) => pdu::WRITE_PROTECTED,
        _ => return None,
    };
    let block = block.start + 32..block.end + 32;
    pdu.head[block.clone()].fill(0xFF);
    // The highest bit stays free: some targets count in signed numbers.
    pdu.head[block.start] = 0x0F;
    Some(sense)
}

fn lock(commands: &Commands) -> MutexGuard<'_, HashMap<u32, Pending>> {
    commands.lock().unwrap_or_else(PoisonError::into_inner)
}
