//! The servers under test: ours, and Debian's Postfix with Dovecot. Each listens on loopback only and
//! is ended by the process ids it was started with.

use std::collections::HashMap;
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::work::login_as;

/// Accounts `1u` to `NNu` that every server has.
pub const ACCOUNTS: usize = 1_000;
/// Accounts where each password costs real work.
pub const ARGON_ACCOUNTS: usize = 50;
/// Domain of the accounts.
pub const DOMAIN: &str = "bench.test";
/// Password of the accounts.
pub const PASSWORD: &str = "pass-of-bench";

const START_WAIT: Duration = Duration::from_mins(1);
/// Longest wait for the last of many accounts.
const ACCOUNTS_WAIT: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server that runs.
pub struct Server {
    /// What the table calls it.
    pub name: &'static str,
    /// SMTP port.
    pub smtp: u16,
    /// IMAP port with plain login.
    pub imap: u16,
    /// IMAP port with TLS.
    pub imaps: u16,
    /// POP3 port with plain login.
    pub pop3: u16,
    /// Submission port, where there is one.
    pub submission: u16,
    roots: Vec<u32>,
    kept: Kept,
}

enum Kept {
    Ours { child: Child, folder: PathBuf },
    Peers { environment: PathBuf },
}

impl Server {
    /// Starts our mail service on a folder of its own, with more words on its command line.
    pub fn ours(binary: &Path, hash: Hash, more: &[&str]) -> Result<Self, String> {
        let accounts = if hash == Hash::Cheap { ACCOUNTS } else { ARGON_ACCOUNTS };
        Self::ours_on(binary, fresh_folder()?, accounts, hash, more)
    }

    /// The same with so many accounts.
    pub fn ours_with(binary: &Path, accounts: usize) -> Result<Self, String> {
        Self::ours_on(binary, fresh_folder()?, accounts, Hash::Cheap, &[])
    }

    /// Kills our service and starts it again on what it left, with nothing of it in memory where this
    /// process may see to that; gives the time until it greets and lets somebody in.
    pub fn killed_and_started_again(
        self,
        binary: &Path,
        accounts: usize,
    ) -> Result<(Self, Duration), String> {
        let Kept::Ours { mut child, folder } = self.kept else {
            return Err("only our own service is started again".to_owned());
        };
        child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
        if std::fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
            eprintln!("  what the disk holds stays in memory: only root can have it dropped");
        }
        let begin = Instant::now();
        let server = Self::ours_on(binary, folder, accounts, Hash::Cheap, &[])?;
        Ok((server, begin.elapsed()))
    }

    fn ours_on(
        binary: &Path,
        folder: PathBuf,
        accounts: usize,
        hash: Hash,
        more: &[&str],
    ) -> Result<Self, String> {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--allow-plaintext", "--no-throttle", "--port-base", "3000"])
            .args(["--domain", DOMAIN, "--password", PASSWORD, "--numbered-accounts", &accounts.to_string()])
            .arg("--data")
            .arg(folder.join("data"))
            .args(more)
            .stdout(Stdio::null())
            .stderr(server_log()?);
        if hash == Hash::Cheap {
            command.arg("--cheap-hash");
        }
        let child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let server = Self {
            name: "Twinmail",
            smtp: 3025,
            imap: 3143,
            imaps: 3993,
            pop3: 3110,
            submission: 3587,
            roots: vec![child.id()],
            kept: Kept::Ours { child, folder },
        };
        let server = server.started()?;
        // It listens before the last of its many accounts is made.
        let end = Instant::now() + ACCOUNTS_WAIT;
        while let Err(reason) = login_as(&server, accounts - 1) {
            if Instant::now() > end {
                server.stop();
                return Err(reason);
            }
            sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// Starts Postfix and Dovecot with Debian's defaults: every message is synced.
    pub fn peers() -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.sh");
        let folder = fresh_folder()?;
        let accounts = accounts_file(&folder)?;
        let status =
            Command::new(script).arg("up").arg(&folder).arg(accounts).status().map_err(|e| e.to_string())?;
        let environment = folder.join("env");
        if !status.success() {
            return Err("Postfix and Dovecot did not start".to_owned());
        }
        let values = read_environment(&environment)?;
        let port = |key: &str| values.get(key).and_then(|v| v.parse().ok()).ok_or(format!("no {key}"));
        let roots = values.get("PIDS").map(|v| v.split_whitespace().filter_map(|p| p.parse().ok()).collect());
        let server = Self {
            name: "Postfix + Dovecot",
            smtp: port("SMTP_PORT")?,
            imap: port("IMAP_PORT")?,
            imaps: port("IMAPS_PORT")?,
            pop3: port("POP3_PORT")?,
            submission: 0,
            roots: roots.unwrap_or_default(),
            kept: Kept::Peers { environment },
        };
        server.started()
    }

    /// Itself once it listens; a server that does not is ended.
    fn started(self) -> Result<Self, String> {
        if let Err(reason) = self.wait() {
            self.stop();
            return Err(reason);
        }
        Ok(self)
    }

    fn wait(&self) -> Result<(), String> {
        let end = Instant::now() + START_WAIT;
        for port in [self.smtp, self.imap, self.imaps, self.pop3] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                if Instant::now() > end {
                    return Err(format!("{} does not listen on port {port}", self.name));
                }
                sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// CPU seconds of the server's process trees so far, ended children included.
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&self.roots)
    }

    /// Memory of the process trees now, shared pages counted once (PSS), in KiB.
    pub fn memory_kib(&self) -> u64 {
        let pss = |pid: u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        tree(&self.roots, &process_stats()).into_iter().filter_map(pss).sum()
    }

    /// Whether it is our own service.
    pub fn is_ours(&self) -> bool {
        matches!(self.kept, Kept::Ours { .. })
    }

    /// Ends the server and removes its files.
    pub fn stop(self) {
        match self.kept {
            Kept::Ours { mut child, folder } => {
                // The service keeps what it acknowledged whether it is asked or not.
                let _ = child.kill();
                let _ = child.wait();
                let _ = std::fs::remove_dir_all(folder);
            }
            Kept::Peers { environment } => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.sh");
                let _ = Command::new(script).arg("down").arg(environment).status();
            }
        }
    }
}

/// What a password costs our service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Next to nothing: the work is about something else.
    Cheap,
    /// Argon2id as it is shipped.
    Argon2id,
}

/// CPU seconds of process trees so far, ended children included.
pub fn cpu_s(roots: &[u32]) -> f64 {
    let stats = process_stats();
    let ticks: u64 = tree(roots, &stats).iter().filter_map(|pid| stats.get(pid)).map(|stat| stat.ticks).sum();
    ticks as f64 / TICKS_PER_S
}

fn tree(roots: &[u32], stats: &HashMap<u32, Stat>) -> Vec<u32> {
    let (mut todo, mut found) = (roots.to_vec(), Vec::new());
    while let Some(pid) = todo.pop() {
        todo.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(pid, _)| *pid));
        found.push(pid);
    }
    found
}

/// USER_HZ is 100 on every Linux that Debian ships.
const TICKS_PER_S: f64 = 100.0;

struct Stat {
    parent: u32,
    ticks: u64,
}

fn process_stats() -> HashMap<u32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
            // proc(5): state is field 3, ppid 4, utime..cstime 14 to 17.
            let ticks = fields.get(11..15)?.iter().filter_map(|f| f.parse::<u64>().ok()).sum();
            Some((pid, Stat { parent: fields.get(1)?.parse().ok()?, ticks }))
        })
        .collect()
}

/// A line for each message would bury the figures; it costs the service the same.
fn server_log() -> Result<File, String> {
    let path = std::env::temp_dir().join("twinmail-bench.log");
    eprintln!("  the service's log is {}", path.display());
    File::create(&path).map_err(|e| format!("{}: {e}", path.display()))
}

fn fresh_folder() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("twinmail-bench-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    Ok(folder)
}

/// `address,password` a line.
fn accounts_file(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("accounts.csv");
    let lines: String = (1..=ACCOUNTS).map(|i| format!("{i}u@{DOMAIN},{PASSWORD}\n")).collect();
    std::fs::write(&path, lines).map_err(|e| e.to_string())?;
    Ok(path)
}

fn read_environment(path: &Path) -> Result<HashMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.trim_matches('"').to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}
