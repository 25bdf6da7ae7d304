//! Damages what is stored: a heartbeat slot, a box's settings.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::partition;

/// A slot is a page of this size, box a's first.
const SLOT_BYTES: u64 = 4096;
/// The first bytes of a torn page are the new ones, the rest is not.
const WHOLE_BYTES: u64 = 24;
/// The owner writes its slot five times a second; each is torn, for about five beats.
const TEARS: u32 = 20;
const TEAR_EVERY: Duration = Duration::from_millis(50);
/// The two copies of the settings lie side by side.
const COPY_BYTES: u64 = 65_536;
const COPIES: u64 = 2;
/// A copy begins with this, then its sequence number.
const MAGIC: &[u8; 8] = b"TWINMAIL";
/// What damaged bytes become.
const NOISE: u8 = 0x5A;

/// Tears both slots again and again for a second.
pub fn tear_slots(lun: &Path) -> Result<()> {
    let slots = partition::find(lun, partition::SLOTS)?;
    let file = open(lun)?;
    let torn = vec![0xA5; (SLOT_BYTES - WHOLE_BYTES) as usize];
    for _ in 0..TEARS {
        for slot in 0..2 {
            let at = slots + slot * SLOT_BYTES + WHOLE_BYTES;
            file.write_all_at(&torn, at).doing(|| "a slot cannot be torn".into())?;
        }
        thread::sleep(TEAR_EVERY);
    }
    Ok(())
}

/// Leaves the settings on a box's disk as a power cut in the middle of a change does: the copy that
/// was being written is torn, the newest whole one stays.
pub fn tear_settings(disk: &Path) -> Result<()> {
    let system = partition::find(disk, partition::SYSTEM)?;
    let file = open(disk)?;
    let mut copies = Vec::new();
    for index in 0..COPIES {
        let mut head = [0; 16];
        let at = system + index * COPY_BYTES;
        file.read_exact_at(&mut head, at).doing(|| "the settings cannot be read".into())?;
        let sequence = head[8..].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // One that was torn before is the older one, whatever it says.
        let is_whole = head.starts_with(MAGIC) && sequence != u64::MAX;
        copies.push((if is_whole { sequence } else { 0 }, at));
    }
    copies.sort_unstable();
    let Some((_, at)) = copies.first() else { return Ok(()) };
    let mut torn = MAGIC.to_vec();
    torn.extend(u64::MAX.to_be_bytes());
    torn.extend([NOISE; 700]);
    file.write_all_at(&torn, *at).doing(|| "the settings cannot be torn".into())
}

/// Overwrites everything a box keeps on its disk of its own; gives what was there.
pub fn wipe_settings(disk: &Path) -> Result<Vec<u8>> {
    let system = partition::find(disk, partition::SYSTEM)?;
    let file = open(disk)?;
    let mut before = vec![0; (COPIES * COPY_BYTES) as usize];
    file.read_exact_at(&mut before, system).doing(|| "the settings cannot be read".into())?;
    let noise = vec![NOISE; before.len()];
    file.write_all_at(&noise, system).doing(|| "the settings cannot be damaged".into())?;
    Ok(before)
}

/// Puts back what [`wipe_settings`] overwrote, but for a copy that the box has written anew.
pub fn restore_settings(disk: &Path, before: &[u8]) -> Result<()> {
    let system = partition::find(disk, partition::SYSTEM)?;
    let file = open(disk)?;
    for (index, copy) in before.chunks(COPY_BYTES as usize).enumerate() {
        let at = system + index as u64 * COPY_BYTES;
        let mut head = [0; MAGIC.len()];
        file.read_exact_at(&mut head, at).doing(|| "the settings cannot be read".into())?;
        if head == [NOISE; MAGIC.len()] {
            file.write_all_at(copy, at).doing(|| "the settings cannot be put back".into())?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    File::options().read(true).write(true).open(path).doing(|| format!("{} cannot be opened", path.display()))
}
