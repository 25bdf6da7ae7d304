//! The disk array: `tgtd` with one target and one LUN on a sparse file.
//!
//! Each box reaches it through its own portal address and under its own initiator name, as over two
//! host channels; the target keeps the persistent reservations. Behind each portal address is a path
//! that writes down what changes anything: the array's own record.

pub mod path;
pub mod pdu;
pub mod record;
pub mod stranger;

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, LabError, Result};
use crate::parts::BoxName;
use crate::tool;

/// Usual size of a LUN; the file is sparse.
pub const LUN_SIZE_MIB: u32 = 4_096;
/// Port of the portals.
pub const PORTAL_PORT: u16 = 3260;
/// Name of the target.
pub const TARGET: &str = "iqn.2026-01.test.twinmail:array";

/// Where the target listens, behind the paths.
pub const TARGET_ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Portal of whoever else is plugged in.
pub const STRANGERS_PORTAL: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 13);

const START_MAX: Duration = Duration::from_secs(10);
/// An array that has lost its power is away for so long.
const POWER_CYCLE: Duration = Duration::from_secs(2);

/// The running array.
#[derive(Debug)]
pub struct Array {
    daemon: Child,
    luns: Vec<PathBuf>,
    log: PathBuf,
}

/// Name under which a box logs in.
pub fn initiator(name: BoxName) -> String {
    format!("iqn.2026-01.test.twinmail:box-{name}")
}

/// Makes the LUN's file where it is missing; its size and content stay.
pub fn make_lun(lun: &Path, size_mib: u32) -> Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(lun);
    let file = file.doing(|| format!("{} cannot be made", lun.display()))?;
    if file.metadata().is_ok_and(|known| known.len() > 0) {
        return Ok(());
    }
    file.set_len(u64::from(size_mib) << 20).doing(|| format!("{} cannot be sized", lun.display()))
}

impl Array {
    /// Starts the array on `luns` of this size; `log` takes what it says.
    pub fn start(luns: &[PathBuf], size_mib: u32, log: &Path) -> Result<Self> {
        luns.iter().try_for_each(|lun| make_lun(lun, size_mib))?;
        std::fs::create_dir_all("/run/tgtd").doing(|| "/run/tgtd cannot be made".into())?;
        let _ = std::fs::remove_file(log);
        let daemon = spawn(log)?;
        let array = Self { daemon, luns: luns.to_vec(), log: log.into() };
        Self::configure(luns)?;
        Ok(array)
    }

    /// Takes its power away and gives it back: what was written stays, reservations do not.
    pub fn power_cycle(&mut self) -> Result<()> {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        std::thread::sleep(POWER_CYCLE);
        self.daemon = spawn(&self.log)?;
        Self::configure(&self.luns)
    }

    /// Write protects the LUN, for everybody.
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        let value = format!("readonly={}", u8::from(read_only));
        tgtadm("logicalunit", "update", &["--tid", "1", "--lun", "1", "--params", &value]).map(drop)
    }

    fn configure(luns: &[PathBuf]) -> Result<()> {
        let began = Instant::now();
        loop {
            match tgtadm("target", "new", &["--tid", "1", "--targetname", TARGET]) {
                Ok(_) => break,
                Err(LabError::Tool { .. }) if began.elapsed() < START_MAX => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error),
            }
        }
        for (file, number) in luns.iter().zip(1..) {
            let (file, lun) = (file.display().to_string(), number.to_string());
            tgtadm("logicalunit", "new", &["--tid", "1", "--lun", &lun, "--backing-store", &file])?;
            let names =
                format!("vendor_id=TWINMAIL,product_id=LAB-ARRAY,product_rev=0001,scsi_sn=LAB0000{number}");
            tgtadm("logicalunit", "update", &["--tid", "1", "--lun", &lun, "--params", &names])?;
        }
        tgtadm("target", "bind", &["--tid", "1", "--initiator-address", "ALL"])?;
        Ok(())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.daemon.try_wait(), Ok(None))
    }
}

fn spawn(log: &Path) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log);
    let log: File = log.doing(|| "the array's log cannot be made".into())?;
    let again = log.try_clone().doing(|| "the array's log cannot be shared".into())?;
    let portal = format!("portal={TARGET_ADDRESS}:{PORTAL_PORT}");
    tool::program("tgtd")
        .args(["-f", "-C", "0", "-t", "4", "--iscsi", &portal])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(again)
        .spawn()
        .map_err(|source| tool::missing("tgtd", source))
}

fn tgtadm(mode: &str, op: &str, rest: &[&str]) -> Result<String> {
    let mut arguments = vec!["-C", "0", "--lld", "iscsi", "--mode", mode, "--op", op];
    arguments.extend(rest);
    tool::run("tgtadm", &arguments, "")
}
