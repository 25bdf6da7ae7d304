//! One box as QEMU sees it: what it is made of, its power, its buttons.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::array::{PORTAL_PORT, TARGET, initiator};
use crate::error::{Doing, LabError, Result};
use crate::network::{private_tap, public_tap};
use crate::parts::BoxName;
use crate::place::{INNER_RUN, Place};
use crate::protocol::Plan;
use crate::qmp::Qmp;
use crate::{controller, second_group, second_path, tool};

/// Memory of a box.
const MEMORY_MIB: u32 = 768;
/// Firmware for `--boot disk`: code and the template of its variables, newest name first.
const FIRMWARE: [(&str, &str); 2] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];
/// QEMU gives a command to the array up after this time. It needs some end: a machine's reset waits
/// for its commands, which no hardware does.
const ARRAY_TIMEOUT_S: u32 = 8;
/// No space left on device (errno(3)).
const ENOSPC: i32 = 28;
/// How long a plugged-out device may take to be gone before it can be plugged in again.
const REPLUG_MAX: Duration = Duration::from_secs(10);

/// What a box starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// Kernel and initramfs directly; quick.
    Kernel,
    /// Firmware, then the disk, as on real hardware.
    Disk,
}

/// Power of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// No power.
    Off,
    /// Running.
    On,
}

/// What the four serial ports and QMP are called under [`INNER_RUN`].
pub fn socket(name: BoxName, port: &str) -> PathBuf {
    Path::new(INNER_RUN).join(format!("{name}-{port}.sock"))
}

/// One box.
#[derive(Debug)]
pub struct Machine {
    name: BoxName,
    place: Place,
    image: PathBuf,
    boot: Boot,
    paths: u8,
    groups: u8,
    has_controller: bool,
    /// What the clock is wrong by at the next start, in seconds.
    clock_error_s: AtomicU64,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    qemu: Child,
    qmp: Qmp,
    since: Instant,
}

impl Machine {
    /// A box without power. Its disk is copied from the image where it is missing.
    pub fn new(name: BoxName, place: &Place, plan: &Plan) -> Result<Self> {
        let image = plan.image.as_path();
        let machine = Self {
            name,
            place: place.clone(),
            image: image.to_owned(),
            boot: plan.boot,
            paths: plan.paths,
            groups: plan.groups,
            has_controller: plan.controllers,
            clock_error_s: AtomicU64::new(0),
            running: Mutex::default(),
        };
        let disk = place.disk(name);
        if !disk.exists() {
            copy(&image.join("disk.img"), &disk)?;
        }
        Ok(machine)
    }

    /// Gives it power. `happened` hears of QEMU's events: `RESET`, `SHUTDOWN`, `WATCHDOG` and more.
    pub fn power_on(
        &self,
        array_connected: bool,
        happened: impl FnMut(&str, &Value) + Send + 'static,
    ) -> Result<()> {
        let mut running = self.lock();
        if is_on(&mut running) {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place.file(&format!("qemu-{}.log", self.name)));
        let log = log.doing(|| "QEMU's log cannot be opened".into())?;
        let again = log.try_clone().doing(|| "QEMU's log cannot be shared".into())?;
        let _ = std::fs::remove_file(socket(self.name, "qmp"));
        let mut qemu = tool::program("qemu-system-x86_64")
            .args(self.arguments(array_connected)?)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .map_err(|source| tool::missing("qemu-system-x86_64", source))?;
        let since = Instant::now();
        match Qmp::connect(self.name, &socket(self.name, "qmp"), happened) {
            Ok(qmp) => *running = Some(Running { qemu, qmp, since }),
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes its power away; what is not on the array or the disk by now is gone.
    pub fn power_cut(&self) {
        if let Some(mut running) = self.lock().take() {
            let _ = running.qemu.kill();
            let _ = running.qemu.wait();
        }
    }

    /// Whether it has power.
    pub fn power(&self) -> Power {
        if is_on(&mut self.lock()) { Power::On } else { Power::Off }
    }

    /// How long it has had power.
    pub fn powered_for(&self) -> Option<Duration> {
        let mut running = self.lock();
        if is_on(&mut running) { running.as_ref().map(|running| running.since.elapsed()) } else { None }
    }

    /// Waits until it has switched itself off.
    pub fn wait_for_power_off(&self, most: Duration) -> Result<()> {
        let began = Instant::now();
        while self.power() == Power::On {
            if began.elapsed() > most {
                return Err(LabError::TooLate {
                    what: format!("the power-off of box {}", self.name),
                    seconds: most.as_secs(),
                    hint: String::new(),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops its processor, and all it has in flight.
    pub fn freeze(&self) -> Result<()> {
        self.execute("stop", json!({})).map(drop)
    }

    /// Lets it run on.
    pub fn thaw(&self) -> Result<()> {
        self.execute("cont", json!({})).map(drop)
    }

    /// Presses the reset button.
    pub fn reset(&self) -> Result<()> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Presses the button for a non-maskable interrupt; the kernel takes it for hardware in distress.
    pub fn interrupt(&self) -> Result<()> {
        self.execute("inject-nmi", json!({})).map(drop)
    }

    /// The clock is ahead by so many seconds at the next start, and right again at the one after.
    pub fn set_clock_ahead(&self, seconds: u64) {
        self.clock_error_s.store(seconds, Ordering::Relaxed);
    }

    /// Presses the power button.
    pub fn press_power_button(&self) -> Result<()> {
        self.execute("system_powerdown", json!({})).map(drop)
    }

    /// Pulls or plugs an Ethernet cable: `public` or `private`.
    pub fn connect_card(&self, card: &str, connected: bool) -> Result<()> {
        self.execute("set_link", json!({ "name": card, "up": connected })).map(drop)
    }

    /// The host adapter loses its LUN.
    pub fn lose_lun(&self) -> Result<()> {
        self.execute("device_del", json!({ "id": "lun" })).map(drop)
    }

    /// The host adapter finds its LUN again.
    pub fn find_lun(&self) -> Result<()> {
        let began = Instant::now();
        let device = json!({ "driver": "scsi-block", "id": "lun", "drive": "array", "bus": "hba.0" });
        loop {
            match self.execute("device_add", device.clone()) {
                Err(LabError::Qmp { .. }) if began.elapsed() < REPLUG_MAX => {
                    thread::sleep(Duration::from_millis(100));
                }
                result => return result.map(drop),
            }
        }
    }

    /// The host adapter is gone, and its LUN with it at this instant: what is under way fails. QEMU's
    /// own way to pull a card asks the box first, and would let it finish.
    pub fn lose_adapter(&self) -> Result<()> {
        self.lose_lun()?;
        self.execute("device_del", json!({ "id": "hba" })).map(drop)
    }

    /// The host adapter is there again, with its LUN.
    pub fn find_adapter(&self) -> Result<()> {
        if self.plug_adapter().is_err() {
            // A box that does not look at its slots, because it was starting when the card was pulled,
            // keeps it until its next reset; that is what a technician does then.
            self.reset()?;
            self.plug_adapter()?;
        }
        self.find_lun()
    }

    fn plug_adapter(&self) -> Result<()> {
        let began = Instant::now();
        let adapter = json!({ "driver": "virtio-scsi-pci", "id": "hba", "bus": "adapter-slot" });
        while let Err(error) = self.execute("device_add", adapter.clone()) {
            if began.elapsed() > REPLUG_MAX {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// What the box writes to its own disk fails for want of space, or no longer does. What it reads is
    /// there all the time.
    pub fn fill_system_disk(&self, full: bool) -> Result<()> {
        let node = "full-system";
        if full {
            // From the node's creation on (event `none`), every write.
            let errors = json!([{ "event": "none", "iotype": "write", "errno": ENOSPC }]);
            let debug =
                json!({ "driver": "blkdebug", "node-name": node, "image": "system", "inject-error": errors });
            self.execute("blockdev-add", debug)?;
        }
        let drive = if full { node } else { "system" };
        let disk = "/machine/peripheral/system-disk";
        self.execute("qom-set", json!({ "path": disk, "property": "drive", "value": drive }))?;
        if !full {
            self.execute("blockdev-del", json!({ "node-name": node }))?;
        }
        Ok(())
    }

    pub(crate) fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        let mut running = self.lock();
        if !is_on(&mut running) {
            return Err(LabError::PowerOff(self.name));
        }
        let running = running.as_ref().ok_or(LabError::PowerOff(self.name))?;
        running.qmp.execute(command, arguments)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arguments(&self, array_connected: bool) -> Result<Vec<String>> {
        let name = self.name;
        let number = 10 + name.index();
        let mut list: Vec<String> = Vec::new();
        let mut add = |text: String| list.extend(text.split(' ').map(str::to_owned));
        add(format!("-name twinmail-{name} -nodefaults -no-user-config -display none -vga none"));
        add(format!("-machine q35 -accel tcg,thread=multi -cpu max -smp 1 -m {MEMORY_MIB}"));
        add(format!("-rtc base={}", self.clock()));
        add("-device virtio-rng-pci".into());
        add("-device i6300esb -action watchdog=reset".into());
        add(format!("-qmp unix:{},server=on,wait=off", socket(name, "qmp").display()));
        // The third and fourth port share an interrupt with the first two on a real PC; QEMU's ISA
        // bus loses edges then, so they get lines of their own and tell the kernel by ACPI.
        for (index, (port, interrupt)) in [("console", 4), ("heartbeat", 3), ("lcd", 5)].iter().enumerate() {
            add(format!("-chardev socket,id={port},path={}", socket(name, port).display()));
            add(format!("-device isa-serial,index={index},irq={interrupt},chardev={port}"));
        }
        add("-chardev null,id=modem -device isa-serial,index=3,irq=7,chardev=modem".into());
        for (card, tap, slot) in [("public", public_tap(name), "03"), ("private", private_tap(name), "04")] {
            add(format!("-netdev tap,id={card},ifname={tap},script=no,downscript=no"));
            add(format!(
                "-device virtio-net-pci,netdev={card},addr={slot}.0,mac=52:54:77:00:{slot}:{number:02x},romfile="
            ));
        }
        // A slot of its own, so that the adapter can be pulled out of a running box.
        add("-device pcie-root-port,id=adapter-slot,addr=05.0,chassis=1".into());
        add("-device virtio-scsi-pci,id=hba,bus=adapter-slot".into());
        add(format!(
            "-blockdev driver=iscsi,node-name=array,transport=tcp,portal={}:{PORTAL_PORT},target={TARGET},lun=1,initiator-name={},timeout={ARRAY_TIMEOUT_S}",
            name.portal(),
            initiator(name)
        ));
        if array_connected {
            add("-device scsi-block,id=lun,drive=array,bus=hba.0".into());
        }
        if self.groups > 1 {
            add(format!(
                "-blockdev driver=iscsi,node-name=array-g2,transport=tcp,portal={}:{PORTAL_PORT},target={TARGET},lun=2,initiator-name={},timeout={ARRAY_TIMEOUT_S}",
                second_group::portal(name),
                initiator(name)
            ));
            add("-device scsi-block,id=lun-g2,drive=array-g2,bus=hba.0".into());
        }
        if self.paths > 1 {
            add("-device virtio-scsi-pci,id=hba-2,addr=07.0".into());
            add(format!(
                "-blockdev driver=iscsi,node-name=array-2,transport=tcp,portal={}:{PORTAL_PORT},target={TARGET},lun=1,initiator-name={},timeout={ARRAY_TIMEOUT_S}",
                second_path::portal(name),
                initiator(name)
            ));
            add("-device scsi-block,id=lun-2,drive=array-2,bus=hba-2.0".into());
        }
        if self.has_controller {
            controller::arguments(name).into_iter().for_each(&mut add);
        }
        list.extend(["-blockdev".into(), file_blockdev("system", &self.place.disk(name), false)]);
        list.extend(
            ["-device", "virtio-blk-pci,id=system-disk,drive=system,addr=06.0,werror=report,rerror=report"]
                .map(String::from),
        );
        list.extend(match self.boot {
            Boot::Kernel => self.kernel_arguments()?,
            Boot::Disk => self.firmware_arguments()?,
        });
        Ok(list)
    }

    /// What the clock shows when the box starts.
    fn clock(&self) -> String {
        let error_s = self.clock_error_s.swap(0, Ordering::Relaxed);
        if error_s == 0 {
            return "utc".into();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        date_and_time(now.as_secs() + error_s)
    }

    fn kernel_arguments(&self) -> Result<Vec<String>> {
        let file = |name: &str| self.image.join(name).display().to_string();
        let line = std::fs::read_to_string(self.image.join("cmdline.txt"))
            .map_err(|_| LabError::NoImage { dir: self.image.clone() })?;
        // Unpacked, because unpacking takes an emulated box seconds.
        let (kernel, initramfs) = (file("vmlinux"), file("initramfs.img"));
        // The emulator translates a program anew at every other address, which takes it half a second for
        // the mail service and hardware nothing: here programs lie where they lay before.
        let line = format!("{} norandmaps", line.trim());
        let arguments = ["-kernel", &kernel, "-initrd", &initramfs, "-append", &line];
        Ok(arguments.map(String::from).to_vec())
    }

    fn firmware_arguments(&self) -> Result<Vec<String>> {
        let found = FIRMWARE.iter().find(|(code, _)| Path::new(code).exists());
        let (code, template) = found.ok_or(LabError::NotInstalled { program: "ovmf".into() })?;
        let variables = self.place.file(&format!("firmware-{}.vars", self.name));
        if !variables.exists() {
            copy(Path::new(template), &variables)?;
        }
        Ok(vec![
            "-blockdev".into(),
            file_blockdev("code", Path::new(code), true),
            "-blockdev".into(),
            file_blockdev("vars", &variables, false),
            "-machine".into(),
            "pflash0=code,pflash1=vars".into(),
        ])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_cut();
    }
}

/// Seconds since 1970 as QEMU takes them; the calendar is Hinnant's days-to-civil.
fn date_and_time(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

fn is_on(running: &mut Option<Running>) -> bool {
    running.as_mut().is_some_and(|running| matches!(running.qemu.try_wait(), Ok(None)))
}

fn file_blockdev(node: &str, file: &Path, read_only: bool) -> String {
    let file = json!({ "driver": "file", "filename": file });
    json!({ "driver": "raw", "node-name": node, "read-only": read_only, "file": file }).to_string()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = from.parent().unwrap_or(from).to_owned();
    std::fs::copy(from, to).map(drop).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LabError::NoImage { dir: folder },
        _ => LabError::Io { what: format!("{} cannot be copied", from.display()), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right_around_leap_days() {
        assert_eq!(date_and_time(0), "1970-01-01T00:00:00");
        assert_eq!(date_and_time(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(date_and_time(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date_and_time(1_735_689_599), "2024-12-31T23:59:59");
    }
}
