//! OpenIPMI's simulator of a management controller (package `openipmi`), for tests.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bmc::{Packet, ping, read};

/// Longest wait for anything.
pub const LONG: Duration = Duration::from_secs(30);
/// Ports tried: another program may take one between its choice and its use.
const PORTS_MAX: usize = 5;

/// The running simulator; it ends with this.
pub struct Simulator {
    pub program: Child,
    pub socket: UdpSocket,
    pub folder: tempfile::TempDir,
}

impl Simulator {
    /// A box with power, whose controller knows the user `fence` as Operator.
    pub fn start() -> Self {
        (0..PORTS_MAX).find_map(|_| Self::start_once()).expect("ipmi_sim does not start")
    }

    fn start_once() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        write_files(folder.path(), port);
        let program = Command::new("ipmi_sim")
            .current_dir(folder.path())
            .args(["-n", "-c", "lan.conf", "-f", "commands", "-s", "state"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ipmi_sim is missing: install the package openipmi");
        socket.connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut simulator = Self { program, socket, folder };
        simulator.answers_pings().then_some(simulator)
    }

    fn answers_pings(&mut self) -> bool {
        let began = Instant::now();
        let mut bytes = [0; 1024];
        while began.elapsed() < LONG && matches!(self.program.try_wait(), Ok(None)) {
            let _ = self.socket.send(&ping(1));
            match self.socket.recv(&mut bytes) {
                Ok(length) if matches!(read(&bytes[..length]), Ok(Packet::Pong { ipmi: true, .. })) => {
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    thread::sleep(Duration::from_millis(50));
                }
                _ => {}
            }
        }
        false
    }

    /// Where it listens.
    pub fn place(&self) -> SocketAddr {
        self.socket.peer_addr().unwrap()
    }

    /// Whether it was told to do anything to its box.
    pub fn did_anything(&self) -> bool {
        self.folder.path().join("deeds").exists()
    }

    /// What the simulator was told to do to its box, once it did anything.
    pub fn deeds(&self) -> String {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.path().join("deeds")).unwrap_or_default();
            if text.ends_with('\n') {
                return text;
            }
            assert!(began.elapsed() < LONG, "nothing was done to the box");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn write_files(folder: &Path, port: u16) {
    let at = folder.display();
    let chassis = folder.join("chassis");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nget) echo power:1 ;;\nset) shift; echo \"$*\" >> {at}/deeds ;;\nesac\n"
    );
    fs::write(&chassis, script).unwrap();
    fs::set_permissions(&chassis, fs::Permissions::from_mode(0o755)).unwrap();
    let rights = ["callback", "user", "operator", "admin"]
        .map(|level| format!("    allowed_auths_{level} none md2 md5 straight\n"))
        .concat();
    let configuration = format!(
        "name \"box\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n\
         {rights}    guid a123456789abcdefa123456789abcdef\n  endlan\n\
         \x20 chassis_control \"{at}/chassis\"\n\
         \x20 user 2 true \"fence\" \"rain-in-May\" operator 10 none md2 md5 straight\n"
    );
    fs::write(folder.join("lan.conf"), configuration).unwrap();
    let commands = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
                    mc_enable 0x20\n";
    fs::write(folder.join("commands"), commands).unwrap();
    fs::create_dir(folder.join("state")).unwrap();
}
