//! Adding the second group to a running pair: its LUN is made ready on a thread of its own, then the
//! decision loop starts the group; the other box learns of it over the private network.

use std::thread;

use control::cluster::{Lun, NewGroup, Reply};
use crossbeam_channel::Sender;
use settings::FurtherGroup;
use tracing::{info, warn};

use crate::first_box::{self, Use};
use crate::group::Ground;
use crate::input::Input;
use crate::settings_keeper::{core_node, node_of};
use crate::setup;

/// The alarm while the last attempt to add a group has failed.
pub const ALARM: &str = "group_add";

/// The group that `new` describes, checked against everything that is known without touching hardware.
pub fn checked(
    ground: &Ground,
    new: &NewGroup,
    preferred: Option<cluster::Node>,
) -> Result<FurtherGroup, String> {
    let group = FurtherGroup {
        lun: new.lun.trim().to_owned(),
        virtual_addresses: new.virtual_addresses.clone(),
        domain: new.domain.trim().to_ascii_lowercase(),
        preferred: preferred.map(node_of),
        fail_back: new.fail_back,
        preference_revision: u32::from(preferred.is_some()),
    };
    let mut settings = ground.settings.clone();
    settings.further_groups.push(group.clone());
    settings.check().map_err(|error| error.to_string())?;
    Ok(group)
}

/// Makes the LUN of `group` ready on a thread; the loop hears of its end through `inputs`.
pub fn begin(
    ground: &Ground,
    group: FurtherGroup,
    format: bool,
    inputs: &Sender<Input>,
) -> Result<(), String> {
    let settings = &ground.settings;
    let wanted = Use {
        lun: group.lun.clone(),
        driver: ground.array_driver.clone(),
        node: core_node(settings.node),
        pair_id: settings.pair_id,
        lease_ms: u64::from(settings.timing.lease_ms),
        format,
    };
    let inputs = inputs.clone();
    let work = move || {
        let mut tell = |step: &'static str| info!("{step}");
        let end = match first_box::make_ready(&wanted, true, &mut tell) {
            Ok(_) => Ok(group),
            Err(error) => {
                warn!("the group cannot be added: {error}");
                Err(error.to_string())
            }
        };
        let _ = inputs.send(Input::GroupMade(Box::new(end)));
    };
    thread::Builder::new().name("group".to_owned()).spawn(work).map(drop).map_err(|error| error.to_string())
}

/// Lists the LUNs behind the host adapters with `driver`, on a thread: the array may hang.
pub fn list_luns(driver: &str, answer: Sender<Reply>) {
    let driver = driver.to_owned();
    let work = move || {
        array::rescan_hosts();
        let luns: Vec<Lun> = setup::luns(&driver);
        let _ = answer.send(Reply::Luns(luns));
    };
    if let Err(error) = thread::Builder::new().name("luns".to_owned()).spawn(work) {
        warn!("the LUNs cannot be listed: {error}");
    }
}
