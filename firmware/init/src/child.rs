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
    /// What it says, on both of its outputs.
    pub output: OwnedFd,
    /// The line it has begun.
    pub lines: Lines,
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
        Ok(Self { pid, since: Instant::now(), output, lines: Lines::default() })
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
    let _ = fs::write(group.join("memory.max"), service.memory_max_bytes.to_string());
    let _ = fs::write(group.join("cgroup.procs"), number.to_string());
}
