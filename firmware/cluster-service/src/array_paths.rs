//! The paths to the group's LUN: a thread for each, and one that keeps them.
//!
//! A path's thread sends the SCSI commands of that path and may hang with it; the others go on. So the
//! reservation is read over every path in use at once, the first answer counts, and a path that stalls
//! does not let the lease lapse. The keeper finds devices, hands out checks, and does to the kernel's
//! multipath device what the rules of [`array::paths`] say. It never sends a SCSI command itself.
//!
//! What always holds: a path is put back into the multipath device only after its registration, made
//! under a valid proof, has been read back together with the reservation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use array::paths::{Act, Paths};
use array::{Device, Lun, Multipath, REPLACED, Reservation, ScsiError, Slots, Standing};
use cluster::{Event, HeldProof, Key, Reading};
use control::GroupPlace;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::{info, warn};

use crate::array_orders::LunPlace;
use crate::input::Input;
use crate::replace;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks which devices there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most jobs that wait for one path.
const JOBS_MAX: usize = 4;
/// Most answers that wait for the keeper.
const NEWS_MAX: usize = 64;
/// The alarm while a path is out of use.
const ALARM: &str = "array_path";

/// The paths to the group's LUN.
#[derive(Debug, Clone)]
pub struct ArrayPaths(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: LunPlace,
    inputs: Sender<Input>,
    paths: Mutex<Paths>,
    threads: Mutex<BTreeMap<String, Sender<Job>>>,
    proof: Mutex<Option<HeldProof>>,
    /// Paths on which this box is registered with the key it holds the group with.
    registered: Mutex<BTreeSet<String>>,
    reading: Mutex<Outstanding>,
    /// Whether the LUN's header shuts this box out.
    replaced: AtomicBool,
    /// The device over all paths while the group is mounted on it.
    multipath: Mutex<Option<Multipath>>,
}

/// Answers that are awaited for one reading.
#[derive(Debug, Default)]
struct Outstanding {
    number: u32,
    paths: usize,
}

/// What a path's thread is asked for.
enum Job {
    Check,
    Read(u32),
    Admit,
}

/// What a path's thread answers.
enum News {
    Checked(String, Result<(), String>),
    /// What the LUN's header makes of this box.
    Stands(Standing),
    Admitted(String, Result<(), String>),
    /// This device is another LUN, or cannot say what it is.
    Named(String, Result<bool, String>),
}

impl ArrayPaths {
    /// Starts the keeper; it finds the paths by itself.
    pub fn start(place: &LunPlace, inputs: &Sender<Input>) -> io::Result<Self> {
        let paths = Self(Arc::new(Shared {
            place: place.clone(),
            inputs: inputs.clone(),
            paths: Mutex::default(),
            threads: Mutex::default(),
            proof: Mutex::default(),
            registered: Mutex::default(),
            reading: Mutex::default(),
            replaced: AtomicBool::new(false),
            multipath: Mutex::default(),
        }));
        let (tell, news) = bounded(NEWS_MAX);
        let mut keeper = Keeper {
            shared: Arc::clone(&paths.0),
            tell,
            asked: BTreeMap::new(),
            others: BTreeSet::new(),
            next_look: Instant::now(),
            alarm: None,
            replaced: false,
        };
        thread::Builder::new().name("array-paths".to_owned()).spawn(move || keeper.run(&news))?;
        Ok(paths)
    }

    /// The group whose LUN it is.
    pub fn group(&self) -> &'static GroupPlace {
        self.0.place.group
    }

    /// Asks every path in use for the reservation; never waits. The first answer goes to the core.
    pub fn read(&self, number: u32) {
        let usable = lock(&self.0.paths).to_try();
        let threads = lock(&self.0.threads);
        let mut outstanding = lock(&self.0.reading);
        *outstanding = Outstanding { number, paths: 0 };
        for thread in usable.iter().filter_map(|name| threads.get(name)) {
            if thread.try_send(Job::Read(number)).is_ok() {
                outstanding.paths += 1;
            }
        }
        if outstanding.paths == 0 {
            // A full input channel loses this; the core counts the reading as failed by its age.
            let _ = self.0.inputs.try_send(Input::Core(Event::Read { number, reading: None }));
        }
    }

    /// Takes the newest proof; paths that return are registered under it.
    pub fn proven(&self, proof: HeldProof) {
        *lock(&self.0.proof) = Some(proof);
    }

    /// The LUN over each path that a command may be tried on, the best first.
    pub fn to_try(&self) -> Vec<Lun> {
        let names = lock(&self.0.paths).to_try();
        names.iter().map(|name| Lun::over(&self.0.place.id, name)).collect()
    }

    /// Whether commands may be tried on the path with this device node.
    pub fn may_try(&self, device: &Path) -> bool {
        let name = name_of(device);
        lock(&self.0.paths).to_try().contains(&name)
    }

    /// The reservation over every path in use.
    pub fn reservation(&self) -> Result<Reservation, String> {
        let opened = self.to_try().into_iter().map(|lun| Device::open(&lun.device));
        let (good, bad): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
        let mut devices = good.into_iter().filter_map(Result::ok);
        match (devices.next(), bad.into_iter().find_map(Result::err)) {
            (Some(first), _) => {
                let reservation = Reservation::over(first, devices.collect(), self.0.place.pair_id);
                Ok(reservation.of_member(self.0.place.membership.now()))
            }
            (None, Some(error)) => Err(error.to_string()),
            (None, None) => Err(array::LunError::NotFound(self.0.place.id.clone()).to_string()),
        }
    }

    /// Shuts every box but this one out of the LUN, over a path on which this box is registered.
    pub fn shut_others_out(&self) -> Result<(), String> {
        let proof = (*lock(&self.0.proof)).filter(|proof| proof.is_valid(array::now()));
        let proof = proof.ok_or("the reservation is not proven at the moment")?;
        let registered = lock(&self.0.registered).clone();
        let mut fault = "no path to the array works; check host card, cable and array".to_owned();
        for lun in self.to_try().iter().filter(|lun| registered.contains(&name_of(&lun.device))) {
            match self.shut_others_out_over(&lun.device, proof.key()) {
                Ok(()) => return Ok(()),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    fn shut_others_out_over(&self, path: &Path, own: Key) -> Result<(), String> {
        let device = Device::open(path).map_err(|error| error.to_string())?;
        let (pair_id, membership) = (self.0.place.pair_id, self.0.place.membership.now());
        let mut reservation = Reservation::new(device, pair_id).of_member(membership);
        reservation.shut_others_out(own).map_err(|error| error.to_string())?;
        // What the other box said last says nothing any more.
        let emptied = Slots::open(path).and_then(|mut slots| slots.write(own.node().peer(), &[]));
        emptied.map_err(|error| error.to_string())
    }

    /// The group was taken with these paths registered: they are used, the others wait for admission.
    pub fn registered(&self, devices: &[PathBuf]) {
        let registered: BTreeSet<String> = devices.iter().map(|device| name_of(device)).collect();
        *lock(&self.0.registered) = registered.clone();
        self.leave_unregistered();
        let mut multipath = lock(&self.0.multipath);
        let Some(device) = multipath.as_mut() else { return };
        let names: Vec<String> = registered.into_iter().collect();
        for name in &names {
            if let Err(error) = device.admit(name, &names) {
                warn!("{error}");
            }
        }
    }

    /// This box is registered on no path any more.
    pub fn withdrawn(&self) {
        lock(&self.0.registered).clear();
        *lock(&self.0.proof) = None;
    }

    /// Takes paths out of use on which this box is not registered; they come back by admission.
    fn leave_unregistered(&self) {
        let registered = lock(&self.0.registered).clone();
        let mut paths = lock(&self.0.paths);
        let left: Vec<_> = paths.usable().into_iter().filter(|name| !registered.contains(name)).collect();
        for name in &left {
            paths.lost(name, "this box is not registered on it yet".to_owned(), &mut Vec::new());
        }
        drop(paths);
        if let Some(device) = lock(&self.0.multipath).as_ref() {
            for error in left.iter().filter_map(|name| device.fail(name).err()) {
                warn!("{error}");
            }
        }
    }

    /// The device to mount: the partition over all paths, or `partition` of the only channel's path.
    pub fn put_together(&self, partition: &Path) -> Result<PathBuf, String> {
        let channels = array::hosts(&self.0.place.driver).max(lock(&self.0.paths).list().len());
        if channels < 2 {
            return Ok(partition.to_owned());
        }
        if !Multipath::is_possible() {
            let text = "the kernel has no device-mapper: only one path to the array is used";
            warn!("{text}");
            self.alarm("array_multipath", Some(text.to_owned()));
            return Ok(partition.to_owned());
        }
        self.leave_unregistered();
        let mut multipath = lock(&self.0.multipath);
        *multipath = None;
        let names = lock(&self.0.paths).usable();
        let device = Multipath::assemble(&names, self.group().suffix()).map_err(|error| error.to_string())?;
        let node = device.data_partition().to_owned();
        info!("the array is used over {} of {channels} host channels, as {}", names.len(), node.display());
        *multipath = Some(device);
        Ok(node)
    }

    /// Takes the device over all paths apart, if there is one.
    pub fn take_apart(&self) -> Result<(), String> {
        match lock(&self.0.multipath).take() {
            Some(device) => device.remove().map_err(|error| error.to_string()),
            None if Multipath::is_possible() => {
                Multipath::remove_any(self.group().suffix()).map_err(|error| error.to_string())
            }
            None => Ok(()),
        }
    }

    fn alarm(&self, code: &'static str, text: Option<String>) {
        let _ = self.0.inputs.try_send(Input::Alarm { code, text });
    }
}

/// The thread that keeps the paths.
struct Keeper {
    shared: Arc<Shared>,
    tell: Sender<News>,
    /// Devices whose thread has been started, with their places.
    asked: BTreeMap<String, String>,
    /// Devices that are other LUNs.
    others: BTreeSet<String>,
    next_look: Instant,
    alarm: Option<String>,
    /// Whether this box was found to be replaced.
    replaced: bool,
}

impl Keeper {
    fn run(&mut self, news: &Receiver<News>) {
        loop {
            let mut acts = Vec::new();
            match news.recv_timeout(TICK) {
                Ok(news) => self.take(news, &mut acts),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.next_look {
                self.next_look = Instant::now() + LOOK_EVERY;
                self.look(&mut acts);
                self.look_at_the_kernel(&mut acts);
            }
            lock(&self.shared.paths).tick(array::now(), &mut acts);
            for act in acts {
                self.carry_out(act);
            }
            self.tell_alarm();
        }
    }

    /// Which devices came, which went.
    fn look(&mut self, acts: &mut Vec<Act>) {
        let disks: BTreeMap<String, String> = array::disks(&self.shared.place.driver).into_iter().collect();
        let gone: Vec<String> = self
            .asked
            .iter()
            .filter(|known| disks.get(known.0) != Some(known.1))
            .map(|known| known.0.clone())
            .collect();
        for name in gone {
            self.asked.remove(&name);
            self.others.remove(&name);
            // Its thread ends with its jobs.
            lock(&self.shared.threads).remove(&name);
            lock(&self.shared.registered).remove(&name);
            lock(&self.shared.paths).gone(&name, acts);
        }
        for (name, place) in disks {
            if !self.asked.contains_key(&name) {
                self.begin(name, place);
            }
        }
    }

    /// Starts the thread of a device that may be a path.
    fn begin(&mut self, name: String, place: String) {
        let (give, jobs) = bounded(JOBS_MAX);
        let worker = Worker { shared: Arc::clone(&self.shared), tell: self.tell.clone(), name: name.clone() };
        match thread::Builder::new().name(format!("path-{name}")).spawn(move || worker.run(&jobs)) {
            Ok(_) => {
                lock(&self.shared.threads).insert(name.clone(), give);
                self.asked.insert(name, place);
            }
            Err(error) => warn!("a path to the array is not used: {error}"),
        }
    }

    /// Paths that the kernel gave up because a command failed on them.
    fn look_at_the_kernel(&self, acts: &mut Vec<Act>) {
        let Ok(multipath) = self.shared.multipath.try_lock() else { return };
        let Some(device) = multipath.as_ref() else { return };
        let mut paths = lock(&self.shared.paths);
        for name in device.failed() {
            if paths.usable().contains(&name) {
                paths.lost(&name, "a command over it failed; check the cable".to_owned(), acts);
            }
        }
    }

    fn take(&mut self, news: News, acts: &mut Vec<Act>) {
        match news {
            News::Checked(name, result) => {
                lock(&self.shared.paths).checked(&name, array::now(), result, acts);
            }
            News::Admitted(name, result) => self.admitted(&name, result),
            News::Stands(standing) => self.tell_standing(standing),
            News::Named(name, Ok(true)) => {
                let place = self.asked.get(&name).cloned().unwrap_or_default();
                if lock(&self.shared.paths).found(&name, &place) {
                    info!("{name} (SCSI {place}) is a path to the array");
                }
            }
            News::Named(name, Ok(false)) => drop(self.others.insert(name)),
            News::Named(name, Err(reason)) => {
                info!("{name} does not give its name: {reason}");
                // It is asked again at the next look.
                lock(&self.shared.threads).remove(&name);
                self.asked.remove(&name);
            }
        }
    }

    /// A path is registered, or need not be: the kernel may use it.
    fn admitted(&self, name: &str, result: Result<(), String>) {
        let mut multipath = lock(&self.shared.multipath);
        let mut usable = lock(&self.shared.paths).usable();
        usable.push(name.to_owned());
        let registered = lock(&self.shared.registered).contains(name);
        let used = match (result, multipath.as_mut()) {
            // Asked for before the group was mounted, answered after.
            (Ok(()), Some(_)) if !registered => Err("this box is not registered on it yet".to_owned()),
            (Ok(()), Some(device)) => device.admit(name, &usable).map_err(|error| error.to_string()),
            (result, _) => result,
        };
        match &used {
            Ok(()) => info!("{name} is in use as a path to the array"),
            Err(reason) => info!("{name} stays out of use: {reason}"),
        }
        lock(&self.shared.paths).admitted(name, used);
    }

    fn carry_out(&self, act: Act) {
        match act {
            Act::Check(name) => self.give(&name, Job::Check),
            Act::Admit(name) => self.give(&name, Job::Admit),
            Act::Fail(name) => {
                let paths = lock(&self.shared.paths);
                let fault = paths.list().iter().find(|path| path.name == name).and_then(|p| p.fault.clone());
                drop(paths);
                warn!("{name} is taken out of use as a path to the array: {}", fault.unwrap_or_default());
                if let Some(device) = lock(&self.shared.multipath).as_ref()
                    && let Err(error) = device.fail(&name)
                {
                    warn!("{error}");
                }
            }
        }
    }

    fn give(&self, name: &str, job: Job) {
        if let Some(thread) = lock(&self.shared.threads).get(name) {
            // A path that hangs has its jobs waiting already, and its silence is counted.
            let _ = thread.try_send(job);
        }
    }

    /// Says, and stops saying, that this box was replaced.
    fn tell_standing(&mut self, standing: Standing) {
        let replaced = standing == Standing::Replaced;
        self.shared.replaced.store(replaced, Ordering::Release);
        if replaced == self.replaced {
            return;
        }
        let text = replaced.then(|| REPLACED.to_owned());
        let input = Input::Alarm { code: replace::REPLACED_ALARM, text };
        if self.shared.inputs.try_send(input).is_ok() {
            self.replaced = replaced;
        }
    }

    fn tell_alarm(&mut self) {
        let alarm = lock(&self.shared.paths).alarm();
        if alarm == self.alarm {
            return;
        }
        let input = Input::Alarm { code: ALARM, text: alarm.clone() };
        if self.shared.inputs.try_send(input).is_ok() {
            self.alarm = alarm;
        }
    }
}

/// The thread of one path.
struct Worker {
    shared: Arc<Shared>,
    tell: Sender<News>,
    name: String,
}

impl Worker {
    fn run(&self, jobs: &Receiver<Job>) {
        let path = Path::new("/dev").join(&self.name);
        let opened = Device::open(&path).and_then(|device| Ok((device.identification()?, device)));
        let (id, device) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.say(News::Named(self.name.clone(), Err(error.to_string()))),
        };
        let ours = id == self.shared.place.id;
        if ours {
            let one_of_many = array::hosts(&self.shared.place.driver) > 1;
            let seconds = if one_of_many { array::ONE_OF_PATHS_TIMEOUT_S } else { array::PATH_TIMEOUT_S };
            Lun::over(&id, &self.name).bound_waiting(seconds);
        }
        self.say(News::Named(self.name.clone(), Ok(ours)));
        if !ours {
            return;
        }
        let mut reservation = Reservation::new(device, self.shared.place.pair_id);
        for job in jobs {
            match job {
                Job::Check => {
                    let result = checked(reservation.device().probe());
                    // A path that fails to bring the header is found by its probe.
                    if let Some(Ok(header)) = result.is_ok().then(|| reservation.device().read_header()) {
                        self.say(News::Stands(self.shared.place.membership.now().judge(header)));
                    }
                    self.say(News::Checked(self.name.clone(), result));
                }
                Job::Read(number) => self.read(&reservation, number),
                Job::Admit => {
                    let result = self.admit(&mut reservation);
                    self.say(News::Admitted(self.name.clone(), result));
                }
            }
        }
    }

    /// Reads the reservation; the first of the paths to succeed tells the core, the last to fail too.
    fn read(&self, reservation: &Reservation, number: u32) {
        // Keys at the LUN may be those of the box in this one's place: they say nothing to it.
        if self.shared.replaced.load(Ordering::Acquire) {
            return self.tell_reading(number, None);
        }
        let reading = reservation.read();
        if let Err(error) = &reading {
            info!("{} does not give the reservation: {error}", self.name);
        }
        self.tell_reading(number, reading.ok());
    }

    fn tell_reading(&self, number: u32, reading: Option<Reading>) {
        let mut outstanding = lock(&self.shared.reading);
        if outstanding.number != number || outstanding.paths == 0 {
            return;
        }
        outstanding.paths = if reading.is_some() { 0 } else { outstanding.paths - 1 };
        let tells = outstanding.paths == 0;
        drop(outstanding);
        if tells {
            let event = Event::Read { number, reading };
            let _ = self.shared.inputs.send(Input::Core(event));
        }
    }

    /// Registers on this path if the group is held; a box that does not hold it needs none.
    fn admit(&self, reservation: &mut Reservation) -> Result<(), String> {
        let proof = *lock(&self.shared.proof);
        match proof.filter(|proof| proof.is_valid(array::now())) {
            Some(proof) => {
                reservation.join(proof.key()).map_err(|error| error.to_string())?;
                lock(&self.shared.registered).insert(self.name.clone());
                Ok(())
            }
            None if lock(&self.shared.multipath).is_some() => {
                Err("the reservation is not proven at the moment; it is tried again".to_owned())
            }
            None => Ok(()),
        }
    }

    fn say(&self, news: News) {
        let _ = self.tell.send(news);
    }
}

/// A path that answers works, whatever the answer is: another one would get the same. Only a path that
/// does not come through, or a target port that is not ready, is at fault.
fn checked(result: Result<(), ScsiError>) -> Result<(), String> {
    match result {
        Err(error) if error.is_path_fault() || matches!(error, ScsiError::NotReady(_)) => {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

fn name_of(device: &Path) -> String {
    device.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
