//! Stories of what is plugged together wrongly, each with a bench of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::operator::{Operator, active, bench, bench_of, epoch, image, role, whole_pair};
use lab::client;
use lab::kind::Kind;
use lab::machine::Boot;
use lab::parts::{BoxName, FORWARDS, Which};
use lab::protocol::Request;
use lab::{damage, phrases};

const BOOT_MAX: Duration = Duration::from_mins(2);
/// Longer than any takeover.
const LONG_ENOUGH: Duration = Duration::from_secs(15);
const SILENT_CLIENTS: usize = 20;

fn sees(operator: &Operator, name: BoxName, wanted: &str) {
    let began = Instant::now();
    loop {
        let screen = operator.ask(&Request::Screen { name })["text"].as_str().unwrap().to_owned();
        if screen.contains(wanted) {
            return;
        }
        assert!(began.elapsed() < BOOT_MAX, "no {wanted:?} within {BOOT_MAX:?}:\n{screen}");
        sleep(Duration::from_millis(300));
    }
}

fn power(operator: &Operator, name: BoxName, on: bool) {
    if on {
        operator.ask(&Request::Heal { name: Some(name), kind: Some(Kind::PowerCut) });
    } else {
        operator.fault(Which::from(name), Kind::PowerCut);
    }
}

fn first_megabytes(lun: &Path) -> Vec<u8> {
    let mut bytes = vec![0; 16 << 20];
    File::open(lun).unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_lun_that_cannot_be_read_and_a_box_that_has_forgotten_its_settings() {
    let operator = bench("test-forgot", Boot::Kernel);
    client::ask_aloud(operator.place(), &Request::Up { boxes: vec![BoxName::A] }).unwrap();

    power(&operator, BoxName::A, false);
    operator.fault(Which::A, Kind::UnreadableArray);
    power(&operator, BoxName::A, true);
    sees(&operator, BoxName::A, phrases::STATUS);
    operator.watch("no service from a LUN that cannot be read", LONG_ENOUGH, |status| {
        role(status, BoxName::A) != "active"
    });
    operator.heal();
    operator.wait("service once it can be read", BOOT_MAX, |status| {
        (active(status) == Some(BoxName::A)).then_some(())
    });

    power(&operator, BoxName::A, false);
    damage::wipe_settings(&operator.place().disk(BoxName::A)).unwrap();
    let before = first_megabytes(&operator.place().lun());
    power(&operator, BoxName::A, true);
    sees(&operator, BoxName::A, phrases::WIZARD);
    assert_eq!(first_megabytes(&operator.place().lun()), before, "it touches nothing that it does not know");
}

#[test]
fn a_box_with_the_key_of_another_pair_is_no_peer_and_keeps_its_hands_off() {
    let operator = bench("test-wrong-key", Boot::Kernel);
    client::ask_aloud(operator.place(), &Request::Up { boxes: BoxName::ALL.to_vec() }).unwrap();
    for name in BoxName::ALL {
        power(&operator, name, false);
    }
    // Box a is set up as the first of a new pair on an empty LUN; box b remembers the old pair.
    damage::wipe_settings(&operator.place().disk(BoxName::A)).unwrap();
    let lun = File::options().write(true).open(operator.place().lun()).unwrap();
    let size_bytes = lun.metadata().unwrap().len();
    lun.set_len(0).unwrap();
    lun.set_len(size_bytes).unwrap();
    power(&operator, BoxName::A, true);
    client::ask_aloud(operator.place(), &Request::Up { boxes: vec![BoxName::A] }).unwrap();
    let before = operator.wait("service by box a", BOOT_MAX, |status| {
        (active(status) == Some(BoxName::A)).then(|| epoch(status))
    });
    operator.heal();
    operator.ask(&Request::PowerOn { boxes: vec![BoxName::B] });
    sees(&operator, BoxName::B, phrases::STATUS);
    operator.watch("box a serves, box b does not", LONG_ENOUGH, |status| {
        role(status, BoxName::A) == "active"
            && epoch(status) == before
            && role(status, BoxName::B) != "active"
    });
    // Not even when box a is gone.
    power(&operator, BoxName::A, false);
    operator.watch("box b does not take what is not its own", LONG_ENOUGH, |status| {
        role(status, BoxName::B) != "active"
    });
}

/// An image whose board file is another one: a second archive behind the first takes its place.
fn image_with_board(folder: &Path, board: &str) -> PathBuf {
    let original = image();
    for file in ["disk.img", "vmlinux", "cmdline.txt"] {
        std::os::unix::fs::symlink(fs::canonicalize(original.join(file)).unwrap(), folder.join(file))
            .unwrap();
    }
    let mut archive = fs::read(original.join("initramfs.img")).unwrap();
    archive.resize(archive.len().next_multiple_of(512), 0);
    append(&mut archive, "etc/board.toml", board.as_bytes());
    append(&mut archive, "TRAILER!!!", &[]);
    fs::write(folder.join("initramfs.img"), archive).unwrap();
    folder.to_owned()
}

/// A regular file in the new ASCII format (cpio(5)).
fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    write!(archive, "070701").unwrap();
    let length = name.len() as u32 + 1;
    let fields = [1, 0o100_644, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, length, 0];
    for field in fields {
        write!(archive, "{field:08x}").unwrap();
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[test]
fn a_board_file_that_nobody_can_read_is_told_on_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let image = image_with_board(folder.path(), "this is no board file\n");
    let operator = bench_of("test-no-board", Boot::Kernel, &image);
    operator.ask(&Request::PowerOn { boxes: vec![BoxName::A] });
    sees(&operator, BoxName::A, "board");
}

#[test]
fn a_board_file_for_other_hardware_is_told_on_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let board = fs::read_to_string(lab::place::project_root().unwrap().join("board/qemu-q35.toml")).unwrap();
    let image = image_with_board(folder.path(), &board.replace("0000:00:03.0", "0000:7f:1e.0"));
    let operator = bench_of("test-other-board", Boot::Kernel, &image);
    operator.ask(&Request::PowerOn { boxes: vec![BoxName::A] });
    sees(&operator, BoxName::A, "0000:7f:1e.0");
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let pair = whole_pair();
    let silent: Vec<_> = FORWARDS
        .iter()
        .flat_map(|forward| [crate::operator::port(forward.inside); SILENT_CLIENTS])
        .map(|port| std::net::TcpStream::connect(port).unwrap())
        .collect();
    let before = epoch(&pair.status());
    crate::operator::send("beside the silent");
    assert_eq!(crate::operator::count("beside the silent"), 1);
    pair.watch("service", LONG_ENOUGH, |status| epoch(status) == before);
    drop(silent);
}
