//! The image boots: from the disk under EFI firmware as on real hardware, and from the kernel directly.
//!
//! One box under QEMU without network, array or peer. A blank disk means a box that was never set up:
//! it must come up, show its first question on the console, and switch off at its power button.

mod builder;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use builder::{BOARD, build, firmware_of_make};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Far more than it takes on an idle machine: other tests may be running.
const BOOT_MAX: Duration = Duration::from_mins(2);
const OFF_MAX: Duration = Duration::from_mins(1);
const FIRMWARE_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// What the wizard asks first.
const FIRST_QUESTION: &str = "Language";
const SWITCHED_OFF: &str = "everything has stopped; power off";

/// The firmware that `make` built, or one built now.
fn firmware() -> PathBuf {
    firmware_of_make().unwrap_or_else(|| {
        let mut cargo = Command::new("cargo");
        let built = cargo.current_dir(ROOT).args(["build", "--release", "-p", "twinmail"]).status();
        assert!(built.expect("cargo is there").success());
        // The builder is in <target>/<triple>/<profile>/.
        let builder = Path::new(env!("CARGO_BIN_EXE_image"));
        builder.ancestors().nth(2).expect("a target folder").join("release/twinmail")
    })
}

fn image(board: &Path, out: &Path) {
    let built = build(board, &firmware(), out);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// One running box; it loses its power when it is dropped.
struct Machine {
    qemu: Child,
    console: Receiver<Vec<u8>>,
    heard: String,
    control: PathBuf,
}

impl Machine {
    fn power_on(dir: &Path, boot: &[String]) -> Self {
        let control = dir.join("qmp");
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args("-nodefaults -no-user-config -display none -vga none -machine q35 -accel tcg".split(' '));
        command.args("-cpu max -m 512 -device i6300esb -device virtio-rng-pci -serial stdio".split(' '));
        command.args("-serial null -serial null -serial null".split(' '));
        command.args(
            "-device virtio-net-pci,addr=03.0,romfile= -device virtio-net-pci,addr=04.0,romfile=".split(' '),
        );
        command.args("-device virtio-scsi-pci,addr=05.0".split(' '));
        let disk = dir.join("disk.img");
        command.arg("-drive").arg(format!("if=none,id=system,format=raw,file={}", disk.display()));
        command.args(["-device", "virtio-blk-pci,drive=system,addr=06.0"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", control.display())).args(boot);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut qemu = command.spawn().expect("qemu-system-x86_64 is installed");
        let mut output = qemu.stdout.take().expect("its output is a pipe");
        let (send, console) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { qemu, console, heard: String::new(), control }
    }

    /// Waits until the console shows `text`.
    fn wait_for(&mut self, text: &str, most: Duration) {
        let end = Instant::now() + most;
        while !self.heard.contains(text) {
            match self.console.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.heard.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {text:?} within {most:?}; heard: {}", self.heard)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the box went off; heard: {}", self.heard),
            }
        }
    }

    fn press_power_button(&self) {
        let stream = UnixStream::connect(&self.control).expect("QMP listens");
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        let mut say = |command: &str| {
            (&stream).write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).expect("QMP reads");
            let answer = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"return\""));
            assert!(answer.is_some(), "QMP did not take {command}");
        };
        say("qmp_capabilities");
        say("system_powerdown");
    }

    /// It ends by itself, and in order.
    fn wait_for_power_off(mut self) {
        self.wait_for(SWITCHED_OFF, OFF_MAX);
        let end = Instant::now() + OFF_MAX;
        while Instant::now() < end {
            if let Some(status) = self.qemu.try_wait().expect("QEMU is a child") {
                assert!(status.success());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the box said that it goes off, and did not");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn kernel_boot(dir: &Path) -> Vec<String> {
    let path = |name: &str| dir.join(name).display().to_string();
    let line = std::fs::read_to_string(dir.join("cmdline.txt")).expect("an image");
    let arguments = ["-kernel", &path("vmlinux"), "-initrd", &path("initramfs.img"), "-append", line.trim()];
    arguments.map(String::from).to_vec()
}

fn disk_boot(dir: &Path) -> Vec<String> {
    let variables = dir.join("variables.fd");
    std::fs::copy(FIRMWARE_VARIABLES, &variables).expect("the Debian package ovmf is installed");
    let code = format!("if=pflash,format=raw,readonly=on,file={FIRMWARE_CODE}");
    let variables = format!("if=pflash,format=raw,file={}", variables.display());
    ["-drive", &code, "-drive", &variables].map(String::from).to_vec()
}

/// Boots a blank box until it asks its first question, and switches it off at the button.
fn boots_asks_and_switches_off(boot: fn(&Path) -> Vec<String>) {
    let dir = tempfile::tempdir().expect("a folder");
    image(Path::new(BOARD), dir.path());
    let begun = Instant::now();
    let mut machine = Machine::power_on(dir.path(), &boot(dir.path()));
    machine.wait_for(FIRST_QUESTION, BOOT_MAX);
    println!("first question after {} ms", begun.elapsed().as_millis());
    assert!(machine.heard.contains("init: booted in"), "{}", machine.heard);
    assert!(!machine.heard.contains("cannot be"), "boot is not clean: {}", machine.heard);
    machine.press_power_button();
    machine.wait_for_power_off();
}

#[test]
fn a_blank_box_boots_from_its_disk() {
    boots_asks_and_switches_off(disk_boot);
}

#[test]
fn a_blank_box_boots_from_kernel_and_initramfs() {
    boots_asks_and_switches_off(kernel_boot);
}

#[test]
fn a_box_without_a_usable_board_file_says_so_and_still_switches_off() {
    let dir = tempfile::tempdir().unwrap();
    image(Path::new(BOARD), dir.path());
    // The builder refuses such a file, so it gets in behind its back: of two archives in a row the
    // kernel keeps the later file.
    let initramfs = dir.path().join("initramfs.img");
    let mut archive = std::fs::read(&initramfs).unwrap();
    archive.extend(newc("etc/board.toml", b"name = \"qemu-q35"));
    std::fs::write(&initramfs, archive).unwrap();
    let mut machine = Machine::power_on(dir.path(), &kernel_boot(dir.path()));
    machine.wait_for("the board file is not valid", BOOT_MAX);
    machine.wait_for("init: booted in", BOOT_MAX);
    machine.press_power_button();
    machine.wait_for_power_off();
}

/// An archive of one file, as the kernel's documentation, "initramfs buffer format", has it.
fn newc(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, data) in [(path, 0o100_644, content), ("TRAILER!!!", 0, &b""[..])] {
        let fields = [1, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let numbers: Vec<String> = fields.iter().map(|field| format!("{field:08X}")).collect();
        archive.extend(format!("070701{}{name}\0", numbers.concat()).into_bytes());
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(data);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[test]
fn a_board_file_for_other_hardware_ends_in_clear_sentences_and_the_console_works() {
    let dir = tempfile::tempdir().unwrap();
    let board = dir.path().join("board.toml");
    let text = std::fs::read_to_string(BOARD).unwrap().replace("0000:00:04.0", "0000:00:1e.0");
    std::fs::write(&board, text).unwrap();
    image(&board, dir.path());
    let mut machine = Machine::power_on(dir.path(), &kernel_boot(dir.path()));
    machine.wait_for("there is no network card at 0000:00:1e.0 for private", BOOT_MAX);
    machine.wait_for(FIRST_QUESTION, BOOT_MAX);
    machine.press_power_button();
    machine.wait_for_power_off();
}
