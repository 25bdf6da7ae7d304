//! The null-modem cable between the boxes' heartbeat ports; it can be pulled, or carry noise.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::chardev::Chardev;
use crate::error::Result;
use crate::parts::BoxName;

/// Pause between two bursts of noise.
const NOISE_EVERY: Duration = Duration::from_millis(20);
/// Bytes in a burst: about a sixth of what 115200 baud can carry.
const NOISE_BYTES: usize = 40;
/// On a noisy line about one byte in so many arrives changed.
const FLIP_ONE_IN: u64 = 64;

/// The null-modem cable.
#[derive(Debug, Default)]
pub struct SerialCable {
    ends: [OnceLock<Arc<Chardev>>; 2],
    cut: AtomicBool,
    noisy: AtomicBool,
    chatty: AtomicBool,
    /// What this end sends is lost.
    mute: [AtomicBool; 2],
    random: AtomicU64,
}

impl SerialCable {
    /// Lays the cable between two sockets for QEMU.
    pub fn lay(ends: [&Path; 2], seed: u64) -> Result<Arc<Self>> {
        let cable = Arc::new(Self { random: AtomicU64::new(seed | 1), ..Self::default() });
        for (name, path) in BoxName::ALL.into_iter().zip(ends) {
            let own = Arc::clone(&cable);
            let end = Chardev::listen(path, move |_, bytes| own.pass(name.other(), bytes))?;
            let _ = cable.ends[name.index()].set(end);
        }
        let own = Arc::clone(&cable);
        thread::spawn(move || own.make_noise());
        Ok(cable)
    }

    /// Pulls the cable or plugs it in.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// Starts or ends the noise.
    pub fn set_noisy(&self, noisy: bool) {
        self.noisy.store(noisy, Ordering::Relaxed);
    }

    /// Starts or ends a kernel's console on it.
    pub fn set_chatty(&self, chatty: bool) {
        self.chatty.store(chatty, Ordering::Relaxed);
    }

    /// Loses what a box sends, or carries it again.
    pub fn set_mute(&self, name: BoxName, mute: bool) {
        self.mute[name.index()].store(mute, Ordering::Relaxed);
    }

    fn pass(&self, to: BoxName, bytes: &[u8]) {
        if self.cut.load(Ordering::Relaxed) || self.mute[to.other().index()].load(Ordering::Relaxed) {
            return;
        }
        let Some(end) = self.ends[to.index()].get() else { return };
        if self.noisy.load(Ordering::Relaxed) {
            end.send(&bytes.iter().map(|byte| self.distort(*byte)).collect::<Vec<u8>>());
        } else {
            end.send(bytes);
        }
    }

    fn distort(&self, byte: u8) -> u8 {
        let random = self.next_random();
        if random.is_multiple_of(FLIP_ONE_IN) { byte ^ (1 << (random >> 32 & 7)) } else { byte }
    }

    fn make_noise(&self) {
        loop {
            thread::sleep(NOISE_EVERY);
            if self.noisy.load(Ordering::Relaxed) && !self.cut.load(Ordering::Relaxed) {
                for end in self.ends.iter().filter_map(OnceLock::get) {
                    let noise: Vec<u8> = (0..NOISE_BYTES).map(|_| (self.next_random() >> 40) as u8).collect();
                    end.send(&noise);
                }
            }
            if self.chatty.load(Ordering::Relaxed) && !self.cut.load(Ordering::Relaxed) {
                let seconds = (self.next_random() >> 44) as f64 / 1000.0;
                let line = format!("[{seconds:>12.6}] usb 1-1: new high-speed USB device number 4\r\n");
                for end in self.ends.iter().filter_map(OnceLock::get) {
                    end.send(line.as_bytes());
                }
            }
        }
    }

    /// Marsaglia's xorshift; two threads that draw at once only make it more random.
    fn next_random(&self) -> u64 {
        let mut x = self.random.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.store(x, Ordering::Relaxed);
        x
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Arc<SerialCable>, [UnixStream; 2], tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a"), folder.path().join("b")];
        let cable = SerialCable::lay([&paths[0], &paths[1]], 7).unwrap();
        let ends = [0, 1].map(|end| {
            let stream = UnixStream::connect(&paths[end]).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            stream
        });
        thread::sleep(Duration::from_millis(100));
        (cable, ends, folder)
    }

    #[test]
    fn what_goes_in_at_one_end_comes_out_at_the_other() {
        let (_cable, [mut a, mut b], _folder) = pair();
        a.write_all(b"beat").unwrap();
        let mut read = [0; 4];
        b.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"beat");
    }

    #[test]
    fn a_pulled_cable_carries_nothing() {
        let (cable, [mut a, mut b], _folder) = pair();
        cable.set_cut(true);
        a.write_all(b"beat").unwrap();
        assert!(b.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn a_mute_end_is_not_heard_and_hears() {
        let (cable, [mut a, mut b], _folder) = pair();
        cable.set_mute(BoxName::A, true);
        a.write_all(b"lost").unwrap();
        assert!(b.read(&mut [0; 4]).is_err());
        b.write_all(b"beat").unwrap();
        let mut read = [0; 4];
        a.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"beat");
    }

    #[test]
    fn a_noisy_line_speaks_by_itself() {
        let (cable, [_a, mut b], _folder) = pair();
        cable.set_noisy(true);
        let mut read = [0; 64];
        b.read_exact(&mut read).unwrap();
        assert!(read.iter().any(|byte| *byte != read[0]));
    }
}
