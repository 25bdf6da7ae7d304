//! One process of a service: how it is begun, bounded and ended.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fd::{AsFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setpriority_process};

use crate::kernel;
use crate::log::Lines;
use crate::services::{Priority, Service};

const CGROUPS: &str = "/sys/fs/cgroup";

/// One running process.
#[derive(Debug)]
pub struct Running {
    /// Its number.
    pub pid: Pid,
    /// When it was begun.
    pub since: Instant,
    /// What it says, on both of its outputs; none once it has closed both.
    pub output: Option<OwnedFd>,
    lines: Lines,
    last_line: Option<String>,
    /// How often the kernel had ended this service for its memory before it began.
    memory_ends: u64,
}

impl Running {
    /// Starts the process of `service` from this program's own file.
    pub fn start(service: &Service, environment: &[(String, String)]) -> io::Result<Self> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let second = input.as_fd().try_clone_to_owned()?;
        let child = Command::new("/proc/self/exe")
            .arg0("twinmail")
            .arg(service.name)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(input)
            .stderr(second)
            .uid(service.uid)
            .gid(service.uid)
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        bound(service, pid);
        let (lines, output) = (Lines::default(), Some(output));
        let memory_ends = memory_ends(service.name);
        Ok(Self { pid, since: Instant::now(), output, lines, last_line: None, memory_ends })
    }

    /// Hands out every line that it has said by now, from at most about `most_bytes`.
    pub fn hear(&mut self, most_bytes: usize, mut line: impl FnMut(&str)) {
        let mut buffer = [0; 4096];
        let mut taken = 0;
        while taken < most_bytes {
            let Some(output) = &self.output else { return };
            match rustix::io::read(output, &mut buffer) {
                Ok(read @ 1..) => {
                    taken += read;
                    let last = &mut self.last_line;
                    self.lines.feed(buffer.get(..read).unwrap_or_default(), |said| {
                        *last = Some(said.to_owned());
                        line(said);
                    });
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // A closed pipe would wake the loop for ever.
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }

    /// The last line that it said, whole or not.
    pub fn last_words(&mut self) -> Option<String> {
        let last = &mut self.last_line;
        self.lines.finish(|line| *last = Some(line.to_owned()));
        self.last_line.take()
    }

    /// Whether the kernel has ended a process of service `name` for its memory since this one began.
    pub fn ran_out_of_memory(&self, name: &str) -> bool {
        memory_ends(name) > self.memory_ends
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        // A process that stands still hears nothing; the limit deals with it.
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Ends it and every process it began.
    pub fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// Lets it stand still, for a drill.
    pub fn freeze(&self) {
        let _ = kill_process(self.pid, Signal::STOP);
    }

    /// Leaves service `name` no memory, for a drill; the next start gives it its own again.
    pub fn exhaust(&self, name: &str) {
        let _ = fs::write(PathBuf::from(CGROUPS).join(name).join("memory.max"), "0");
    }
}

/// Processes of service `name` that the kernel has ended because their memory ran out
/// (kernel documentation, "Control Group v2", memory.events).
fn memory_ends(name: &str) -> u64 {
    let events = fs::read_to_string(PathBuf::from(CGROUPS).join(name).join("memory.events"));
    let events = events.unwrap_or_default();
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Bounds are set from outside, right after the start; a box whose kernel cannot bound a service still
/// runs it.
fn bound(service: &Service, pid: Pid) {
    let number = pid.as_raw_nonzero().get();
    let _ = match service.priority {
        Priority::RealTime(level) => kernel::set_real_time(number as u32, level),
        Priority::Nice(nice) => setpriority_process(Some(pid), nice).map_err(io::Error::from),
    };
    let _ = fs::write(format!("/proc/{number}/oom_score_adj"), service.oom_score_adj.to_string());
    let group = PathBuf::from(CGROUPS).join(service.name);
    let _ = fs::write(format!("{CGROUPS}/cgroup.subtree_control"), "+memory");
    let _ = fs::create_dir(&group);
    let info = rustix::system::sysinfo();
    let total_bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    // All of it or nothing: half a service is worse than none.
    let _ = fs::write(group.join("memory.oom.group"), "1");
    let _ = fs::write(group.join("memory.max"), service.memory_max.bytes(total_bytes).to_string());
    let _ = fs::write(group.join("cgroup.procs"), number.to_string());
}
