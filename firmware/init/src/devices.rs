//! Modules, network cards, the system partition, the power button.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use board::{Board, NetworkCard};

use crate::kernel;

/// Module files in the order they are loaded, as the image builder resolved them.
pub const MODULES_LIST: &str = "/etc/modules.load";
/// Name of the system partition in the box's own partition table.
pub const SYSTEM_PARTITION: &str = "twinmail-system";
/// Longest wait for hardware to show up after its driver was loaded.
const DEVICE_WAIT: Duration = Duration::from_secs(5);
const DEVICE_POLL: Duration = Duration::from_millis(10);
/// linux/input-event-codes.h
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// struct input_event on 64 bit: two longs of time, type, code, value.
const INPUT_EVENT_BYTES: usize = 24;
const O_NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Before a module the box can do without, such as a faster checksum that this processor may not have.
const OPTIONAL: char = '?';
/// `KERN_NOTICE`: less urgent records are boot noise that would push everything else out of the ring.
const KERNEL_LEVEL_MAX: u32 = 5;

/// Loads every module of the list; what is loaded already is fine. Each fault is a sentence.
pub fn load_modules() -> Vec<String> {
    let list = match fs::read_to_string(MODULES_LIST) {
        Ok(list) => list,
        Err(error) => return vec![format!("{MODULES_LIST} cannot be read: {error}")],
    };
    let load = |(path, optional): (&str, bool)| {
        let error = load_module(Path::new(path)).err().filter(|_| !optional)?;
        Some(format!("the kernel module {path} cannot be loaded: {error}"))
    };
    module_paths(&list).filter_map(load).collect()
}

/// Paths with whether the box can do without.
fn module_paths(list: &str) -> impl Iterator<Item = (&str, bool)> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.strip_prefix(OPTIONAL).map_or((line, false), |path| (path, true)))
}

fn load_module(path: &Path) -> io::Result<()> {
    match rustix::system::finit_module(File::open(path)?, c"", 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives each network card the name the board file has for it, and brings the loopback up.
pub fn name_network_cards(board: &Board) -> Vec<String> {
    let mut faults = Vec::new();
    if let Err(error) = kernel::interface_up("lo") {
        faults.push(format!("the loopback interface cannot be brought up: {error}"));
    }
    for card in [&board.network.public, &board.network.private] {
        match wait_for(|| interface_at(Path::new("/sys"), card)) {
            None => faults.push(format!("there is no network card at {} for {}", card.pci, card.name)),
            Some(name) if name == card.name => {}
            Some(name) => {
                if let Err(error) = kernel::rename_interface(&name, &card.name) {
                    faults.push(format!("the network card {name} cannot be named {}: {error}", card.name));
                }
            }
        }
    }
    faults
}

/// The interface at a card's place on the bus. A virtio card has it one level down.
fn interface_at(sys: &Path, card: &NetworkCard) -> Option<String> {
    let device = sys.join("bus/pci/devices").join(&card.pci);
    let first_in =
        |folder: PathBuf| fs::read_dir(folder).ok()?.flatten().next()?.file_name().into_string().ok();
    first_in(device.join("net")).or_else(|| {
        let below = fs::read_dir(&device).ok()?.flatten();
        below
            .filter(|entry| entry.path().join("net").is_dir())
            .find_map(|entry| first_in(entry.path().join("net")))
    })
}

/// The block device of the system partition.
pub fn system_partition() -> Option<PathBuf> {
    wait_for(|| partition_named(Path::new("/sys"), SYSTEM_PARTITION)).map(|name| Path::new("/dev").join(name))
}

fn partition_named(sys: &Path, wanted: &str) -> Option<String> {
    let blocks = fs::read_dir(sys.join("class/block")).ok()?.flatten();
    let mut named = blocks.filter_map(|entry| {
        let text = fs::read_to_string(entry.path().join("uevent")).ok()?;
        let found = text.lines().any(|line| line.strip_prefix("PARTNAME=") == Some(wanted));
        found.then(|| entry.file_name().into_string().ok())?
    });
    named.next()
}

/// Waits until `path` is there.
pub fn appears(path: &Path) -> bool {
    wait_for(|| path.exists().then_some(())).is_some()
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + DEVICE_WAIT;
    loop {
        match found() {
            Some(it) => return Some(it),
            None if Instant::now() >= end => return None,
            None => sleep(DEVICE_POLL),
        }
    }
}

/// Every input device, open and not blocking; the power button is one of them.
pub fn input_devices() -> Vec<File> {
    let entries = fs::read_dir("/dev/input").into_iter().flatten().flatten();
    let events = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("event"));
    events
        .filter_map(|entry| OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(entry.path()).ok())
        .collect()
}

/// The kernel's log, open and not blocking, from its beginning.
pub fn kernel_log() -> Option<File> {
    OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").ok()
}

/// Whether the bytes of input events hold a press of the power button.
pub fn is_power_press(events: &[u8]) -> bool {
    events.chunks_exact(INPUT_EVENT_BYTES).any(|event| {
        let number = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        number(16) == EV_KEY && number(18) == KEY_POWER && event[20] == 1
    })
}

/// The text of one kernel log record worth keeping, `priority,sequence,microseconds,flags;text`
/// (Documentation/ABI/testing/dev-kmsg). The priority's low three bits are the level.
pub fn kernel_text(record: &str) -> Option<&str> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    if priority & 7 > KERNEL_LEVEL_MAX { None } else { text.lines().next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(pci: &str) -> NetworkCard {
        NetworkCard { pci: pci.to_owned(), name: "public".to_owned() }
    }

    #[test]
    fn a_card_is_found_by_its_place_with_and_without_virtio() {
        let sys = tempfile::tempdir().unwrap();
        let devices = sys.path().join("bus/pci/devices");
        fs::create_dir_all(devices.join("0000:00:03.0/virtio1/net/eth7")).unwrap();
        fs::create_dir_all(devices.join("0000:00:04.0/net/eth2")).unwrap();
        assert_eq!(interface_at(sys.path(), &card("0000:00:03.0")).as_deref(), Some("eth7"));
        assert_eq!(interface_at(sys.path(), &card("0000:00:04.0")).as_deref(), Some("eth2"));
        assert_eq!(interface_at(sys.path(), &card("0000:00:05.0")), None);
    }

    #[test]
    fn the_system_partition_is_found_by_its_name() {
        let sys = tempfile::tempdir().unwrap();
        for (device, text) in
            [("vda", "DEVTYPE=disk\n"), ("vda3", "DEVTYPE=partition\nPARTNAME=twinmail-system\n")]
        {
            let folder = sys.path().join("class/block").join(device);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("uevent"), text).unwrap();
        }
        assert_eq!(partition_named(sys.path(), SYSTEM_PARTITION).as_deref(), Some("vda3"));
        assert_eq!(partition_named(sys.path(), "other"), None);
    }

    #[test]
    fn the_power_button_is_told_from_other_keys_and_from_its_release() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0; 16];
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&code.to_ne_bytes());
            bytes.extend_from_slice(&value.to_ne_bytes());
            bytes
        };
        assert!(is_power_press(&[event(0, 0, 0), event(EV_KEY, KEY_POWER, 1)].concat()));
        assert!(!is_power_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_power_press(&event(EV_KEY, 30, 1)));
        assert!(!is_power_press(&[1, 2, 3]));
    }

    #[test]
    fn a_kernel_record_is_cut_to_its_text_and_noise_is_left_out() {
        assert_eq!(
            kernel_text("4,339,5140900,-;EXT4-fs (sda2): mounted\n SUBSYSTEM=x\n"),
            Some("EXT4-fs (sda2): mounted")
        );
        assert_eq!(kernel_text("6,340,5140901,-;pci 0000:00:00.0: [8086:29c0] type 00\n"), None);
        assert_eq!(kernel_text("nonsense"), None);
    }

    #[test]
    fn the_module_list_marks_what_the_box_can_do_without() {
        let paths: Vec<_> = module_paths("/lib/a.ko\n\n?/lib/b.ko \n").collect();
        assert_eq!(paths, [("/lib/a.ko", false), ("/lib/b.ko", true)]);
    }
}
