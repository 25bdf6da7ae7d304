//! The lab itself: what is plugged into what.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};

use crate::array::path::ArrayPath;
use crate::array::record::Record;
use crate::array::stranger::Stranger;
use crate::array::{Array, STRANGERS_PORTAL};
use crate::console::Console;
use crate::controller::Controller;
use crate::ear::Ear;
use crate::error::{Doing, Result};
use crate::lcd::Lcd;
use crate::machine::{Machine, Power, socket};
use crate::parts::{BoxName, Kind, VIRTUAL_ADDRESS};
use crate::place::{INNER_RUN, Place};
use crate::protocol::Plan;
use crate::serial_cable::SerialCable;
use crate::{network, second_group, second_path};

/// Everything on the bench.
#[derive(Debug)]
pub struct Lab {
    /// Where it keeps its files.
    pub place: Place,
    /// What it is made of.
    pub plan: Plan,
    array: Mutex<Array>,
    record: Arc<Record>,
    paths: [Arc<ArrayPath>; 2],
    second_paths: Option<[Arc<ArrayPath>; 2]>,
    stranger: Mutex<Option<Stranger>>,
    /// Settings of a box whose disk was damaged.
    settings: Mutex<[Option<Vec<u8>>; 2]>,
    ear: Arc<Ear>,
    cable: Arc<SerialCable>,
    consoles: [Arc<Console>; 2],
    lcds: [Arc<Lcd>; 2],
    machines: [Arc<Machine>; 2],
    controllers: Option<[Mutex<Controller>; 2]>,
    faults: Arc<Mutex<BTreeSet<(BoxName, Kind)>>>,
}

impl Lab {
    /// Lays the cables and starts the array; the boxes have no power yet.
    pub fn build(place: &Place, plan: Plan) -> Result<Self> {
        network::lay()?;
        std::fs::create_dir_all(INNER_RUN).doing(|| format!("{INNER_RUN} cannot be made"))?;
        let luns = [place.lun(), place.second_lun()];
        let array = Array::start(&luns[..usize::from(plan.groups)], plan.lun_mib, &place.file("array.log"))?;
        let record = Arc::new(Record::begin(&place.array_record())?);
        let path = |name: BoxName| ArrayPath::open(name.portal(), &name.to_string(), &record);
        let paths = [path(BoxName::A)?, path(BoxName::B)?];
        let second = |name| ArrayPath::open(second_path::portal(name), &name.to_string(), &record);
        let second_paths =
            if plan.paths > 1 { Some([second(BoxName::A)?, second(BoxName::B)?]) } else { None };
        if plan.groups > 1 {
            // One record a LUN: what two boxes write to two LUNs is no fault.
            let record = Arc::new(Record::begin(&place.file("array-2.record"))?);
            for name in BoxName::ALL {
                ArrayPath::open(second_group::portal(name), &name.to_string(), &record)?;
            }
        }
        ArrayPath::open(STRANGERS_PORTAL, "stranger", &record)?;
        let ends = BoxName::ALL.map(|name| socket(name, "heartbeat"));
        let cable = SerialCable::lay([&ends[0], &ends[1]], 0x5EED)?;
        let console = |name| -> Result<_> {
            Ok(Arc::new(Console::plug(name, &socket(name, "console"), &place.console_log(name))?))
        };
        let lcd = |name| -> Result<_> { Ok(Arc::new(Lcd::plug(&socket(name, "lcd"))?)) };
        let machine = |name| -> Result<_> { Ok(Arc::new(Machine::new(name, place, &plan)?)) };
        let controllers =
            plan.controllers.then(|| BoxName::ALL.map(|name| Mutex::new(Controller::new(name, place))));
        let [a, b] = BoxName::ALL;
        Ok(Self {
            array: Mutex::new(array),
            record,
            paths,
            second_paths,
            stranger: Mutex::default(),
            settings: Mutex::default(),
            ear: Ear::open()?,
            cable,
            consoles: [console(a)?, console(b)?],
            lcds: [lcd(a)?, lcd(b)?],
            machines: [machine(a)?, machine(b)?],
            controllers,
            faults: Arc::default(),
            place: place.clone(),
            plan,
        })
    }

    /// The array.
    pub fn array(&self) -> MutexGuard<'_, Array> {
        self.array.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came to the array.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// A box's path to the array.
    pub fn path(&self, name: BoxName) -> &ArrayPath {
        &self.paths[name.index()]
    }

    /// A box's second path to the array, where it has one.
    pub fn second_path(&self, name: BoxName) -> Option<&ArrayPath> {
        self.second_paths.as_ref().map(|paths| &*paths[name.index()])
    }

    /// The third initiator, where one is plugged in.
    pub fn stranger(&self) -> MutexGuard<'_, Option<Stranger>> {
        self.stranger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was on the disk of each box before it was damaged.
    pub fn settings(&self) -> MutexGuard<'_, [Option<Vec<u8>>; 2]> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The administrator's log host.
    pub fn ear(&self) -> &Ear {
        &self.ear
    }

    /// The null-modem cable.
    pub fn cable(&self) -> &SerialCable {
        &self.cable
    }

    /// A box's console.
    pub fn console(&self, name: BoxName) -> &Console {
        &self.consoles[name.index()]
    }

    /// A box's display.
    pub fn lcd(&self, name: BoxName) -> &Lcd {
        &self.lcds[name.index()]
    }

    /// A box.
    pub fn machine(&self, name: BoxName) -> &Machine {
        &self.machines[name.index()]
    }

    /// A box's management controller, where it has one.
    pub fn controller(&self, name: BoxName) -> Option<MutexGuard<'_, Controller>> {
        let controllers = self.controllers.as_ref()?;
        Some(controllers[name.index()].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The faults that last, with the box they were done to.
    pub fn faults(&self) -> MutexGuard<'_, BTreeSet<(BoxName, Kind)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a box power, with the faults of its cables as they are.
    pub fn power_on(&self, name: BoxName) -> Result<()> {
        let faults: Vec<Kind> =
            self.faults().iter().filter(|(whose, _)| *whose == name).map(|(_, kind)| *kind).collect();
        let machine = self.machine(name);
        if machine.power() == Power::On {
            return Ok(());
        }
        let console = Arc::clone(&self.consoles[name.index()]);
        let lcd = Arc::clone(&self.lcds[name.index()]);
        let frozen = (Arc::clone(&self.faults), Arc::downgrade(&self.machines[name.index()]));
        console.restarted();
        let has_lun = !faults.contains(&Kind::CutArray) && !faults.contains(&Kind::LoseAdapter);
        machine.power_on(has_lun, move |event, data| {
            if matches!(event, "RESET" | "SHUTDOWN" | "WATCHDOG") {
                eprintln!("box {name}: {event} {data}");
                console.restarted();
            }
            if event == "RESET" {
                run_again(name, &frozen.0, &frozen.1);
            }
            if event == "SHUTDOWN" {
                lcd.power_lost();
            }
        })?;
        for kind in faults {
            match kind {
                Kind::CutPublic => machine.connect_card("public", false)?,
                Kind::CutPrivate => machine.connect_card("private", false)?,
                Kind::FullSystem => machine.fill_system_disk(true)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a box's power away.
    pub fn power_cut(&self, name: BoxName) {
        self.machine(name).power_cut();
        self.lcd(name).power_lost();
        self.console(name).restarted();
    }

    /// What a box says of itself on its console; the cluster service's status as JSON.
    pub fn box_status(&self, name: BoxName) -> Result<Value> {
        self.console(name).query("status --json")
    }

    /// The box that serves now, as the boxes that can answer say.
    pub fn active(&self) -> Option<BoxName> {
        BoxName::ALL.into_iter().find(|name| {
            self.machine(*name).power() == Power::On
                && !self.faults().contains(&(*name, Kind::Freeze))
                && self.box_status(*name).is_ok_and(|status| role(&status) == "active")
        })
    }

    /// Everything the lab and the boxes know.
    pub fn status(&self) -> Value {
        let [a, b] = std::thread::scope(|scope| {
            BoxName::ALL
                .map(|name| scope.spawn(move || self.status_of(name)))
                .map(|thread| thread.join().unwrap_or_else(|_| json!({ "problem": "the lab failed to ask" })))
        });
        let is_active = |status: &Value| role(&status["status"]) == "active";
        let active = if is_active(&a) {
            json!("a")
        } else if is_active(&b) {
            json!("b")
        } else {
            Value::Null
        };
        let array = self.array().runs();
        json!({
            "active": active,
            "virtual_address": VIRTUAL_ADDRESS,
            "array": if array { "on" } else { "ended" },
            "ports_base": self.plan.ports_base,
            "boxes": { "a": a, "b": b },
        })
    }

    fn status_of(&self, name: BoxName) -> Value {
        let machine = self.machine(name);
        let power = machine.power();
        let faults: Vec<Kind> =
            self.faults().iter().filter(|(whose, _)| *whose == name).map(|(_, kind)| *kind).collect();
        let (status, problem) = match power {
            Power::Off => (Value::Null, Value::Null),
            Power::On if faults.contains(&Kind::Freeze) => (Value::Null, json!("it is frozen")),
            Power::On => match self.box_status(name) {
                Ok(status) => (status, Value::Null),
                Err(error) => (Value::Null, json!(error.to_string())),
            },
        };
        json!({
            "power": power,
            "powered_ms": machine.powered_for().map(|age: Duration| age.as_millis() as u64),
            "faults": faults,
            "lcd": self.lcd(name).glass().rows(),
            "status": status,
            "problem": problem,
        })
    }
}

/// A reset ends whatever the processor stood still for; QEMU leaves a machine that was stopped so.
fn run_again(name: BoxName, faults: &Mutex<BTreeSet<(BoxName, Kind)>>, machine: &Weak<Machine>) {
    let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
    if let (true, Some(machine)) = (faults.remove(&(name, Kind::Freeze)), machine.upgrade()) {
        // Whoever hears of the event reads QEMU's answers as well.
        std::thread::spawn(move || {
            if let Err(error) = machine.thaw() {
                eprintln!("box {name}: {error}");
            }
        });
    }
}

/// The role of the first group in a box's status.
pub fn role(status: &Value) -> &str {
    status["groups"][0]["role"].as_str().unwrap_or("unknown")
}
