//! Real mail clients against the real service.
//!
//! `twinmail serve` runs as a process of its own, on a loopback address of its own and with a data folder
//! of its own, and the clients are those of Debian's packages, with their own configuration files. They
//! check the certificate: it is the one the service made.
//!
//! A client that is not installed is a failure with the name of its package, never a test that is left out.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Password of the account.
pub const PASSWORD: &str = "twinmail-demo";
/// The account.
pub const ACCOUNT: &str = "demo@example.test";
/// Ports are these on every service.
pub const PORT_BASE: u16 = 2_000;
/// Longest time the service may take to say that it is ready.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest time a client may take.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

/// A running `twinmail serve`.
pub struct Server {
    /// Where it listens.
    pub address: IpAddr,
    /// Folder for the clients' own files, beside the service's data.
    pub folder: TempDir,
    process: Child,
}

impl Server {
    /// Starts one on an empty data folder.
    pub fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address =
            IpAddr::V4(Ipv4Addr::new(127, 0x80 | (process >> 8 & 0x3f) as u8, process as u8, number));
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let process = spawn(address, folder.path());
        Self { address, folder, process }
    }

    /// Kills it without a warning and starts it again on the same data.
    pub fn kill_and_restart(&mut self) {
        self.process.kill().expect("the service can be killed");
        let _ = self.process.wait();
        self.process = spawn(self.address, self.folder.path());
    }

    /// Port of a service, by its usual number.
    pub fn port(&self, usual: u16) -> String {
        (PORT_BASE + usual).to_string()
    }

    /// The certificate it shows.
    pub fn certificate(&self) -> String {
        self.path("data/tls/cert.pem")
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Writes a client's file, readable by its owner only, as some clients demand. `ADDRESS`, `FOLDER`,
    /// `CERT`, `ACCOUNT` and `PASSWORD` in it are replaced.
    pub fn write(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        let text = text
            .replace("ADDRESS", &self.address.to_string())
            .replace("FOLDER", &self.folder.path().to_string_lossy())
            .replace("CERT", &self.certificate())
            .replace("ACCOUNT", ACCOUNT)
            .replace("PASSWORD", PASSWORD);
        std::fs::write(&path, text).expect("a client's file can be written");
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).expect("a client's file can be protected");
        path
    }

    /// Delivers one message from outside, by swaks.
    pub fn deliver(&self, subject: &str) {
        let header = format!("Subject: {subject}");
        let (server, port) = (self.address.to_string(), self.port(25));
        let arguments = [
            "--server",
            &server,
            "--port",
            &port,
            "--from",
            "x@far.test",
            "--to",
            ACCOUNT,
            "--header",
            &header,
        ];
        run("swaks", "swaks", &arguments, "");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(address: IpAddr, folder: &Path) -> Child {
    let mut process = Command::new(binary())
        .arg("serve")
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--listen", &address.to_string(), "--port-base", &PORT_BASE.to_string()])
        .args(["--domain", "example.test", "--account", ACCOUNT, "--password", PASSWORD])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.join("service.log")).expect("a log can be written"))
        .spawn()
        .expect("the service can be started");
    let output = process.stdout.take().expect("its output is a pipe");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(lines.any(|line| line.starts_with("Ctrl-C ends it"))));
    // A service that runs and says nothing must not hold the tests for ever.
    let ready = told.recv_timeout(START_TIMEOUT).unwrap_or(false);
    let log = || std::fs::read_to_string(folder.join("service.log")).unwrap_or_default();
    assert!(ready, "the service did not start:\n{}", log());
    process
}

/// The program under test.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TWINMAIL_BINARY") {
        return path.into();
    }
    let here = std::env::current_exe().expect("a test knows where it is");
    let beside = here.ancestors().nth(2).map(|folder| folder.join("twinmail"));
    beside
        .filter(|path| path.exists())
        .expect("TWINMAIL_BINARY names no program; `make test-clients` builds it and says where it is")
}

/// Runs a client to its end and returns what it printed.
pub fn run(program: &str, package: &str, arguments: &[&str], input: &str) -> String {
    let output = try_run(program, package, arguments, input);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} ended with {}:\n{out}\n{err}", output.status);
    format!("{out}{err}")
}

/// Runs a client to its end, however it ends.
pub fn try_run(program: &str, package: &str, arguments: &[&str], input: &str) -> Output {
    let started = Command::new(program)
        .args(arguments)
        .env("TERM", "vt100")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => panic!("{program} cannot be run ({error}); install the Debian package {package}"),
    };
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes());
    }
    let begun = Instant::now();
    let id = child.id().to_string();
    let guard = std::thread::spawn(move || {
        while begun.elapsed() < CLIENT_TIMEOUT {
            std::thread::sleep(Duration::from_millis(50));
            if !Path::new("/proc").join(&id).exists() {
                return;
            }
        }
        let _ = Command::new("kill").args(["-9", &id]).status();
    });
    let output = child.wait_with_output().expect("a client's output can be read");
    drop(guard);
    output
}
