//! One service group at run time: its core, and the threads that work for it alone.
//!
//! Groups share the two cables, the watchdog and the end of the box; everything else a group has for
//! itself, its input channel too, so that a LUN or a mail service that hangs holds up no other group.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use cluster::{Config, Core, Preference, Role};
use control::{FIRST_GROUP, GROUPS, GroupPlace};
use crossbeam_channel::{Receiver, Sender};
use settings::{FurtherGroup, Settings};

use crate::array_orders::LunPlace;
use crate::array_paths::ArrayPaths;
use crate::input::Input;
use crate::mail_service::MailService;
use crate::media::Media;
use crate::operate::{OperateError, random_u32};
use crate::orders::Hands;
use crate::power_fence::Fencing;
use crate::probe::ProbeWay;
use crate::replace::SharedMembership;
use crate::settings_keeper::core_node;
use crate::{mail_watch, public_network};

/// What the settings say of one group.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// Its places on this box.
    pub place: &'static GroupPlace,
    /// Its LUN, by device identification.
    pub lun: String,
    /// Its virtual addresses, with prefix length.
    pub virtual_addresses: Vec<String>,
    /// Its first mail domain.
    pub domain: String,
    /// Its preferred owner as last saved.
    pub preference: Preference,
}

impl GroupPlan {
    /// Every group of the pair, the first one first.
    pub fn all(settings: &Settings) -> Vec<Self> {
        let first = Self {
            place: &GROUPS[usize::from(FIRST_GROUP.number)],
            lun: settings.lun.clone(),
            virtual_addresses: settings.virtual_addresses.clone(),
            domain: settings.domain.clone(),
            preference: Preference {
                revision: settings.preference_revision,
                owner: settings.preferred.map(core_node),
                fail_back: settings.fail_back,
            },
        };
        let places = GROUPS.iter().skip(1);
        let further = places.zip(&settings.further_groups).map(|(place, group)| Self::further(place, group));
        std::iter::once(first).chain(further).collect()
    }

    /// A group beside the first.
    fn further(place: &'static GroupPlace, group: &FurtherGroup) -> Self {
        Self {
            place,
            lun: group.lun.clone(),
            virtual_addresses: group.virtual_addresses.clone(),
            domain: group.domain.clone(),
            preference: Preference {
                revision: group.preference_revision,
                owner: group.preferred.map(core_node),
                fail_back: group.fail_back,
            },
        }
    }
}

/// What every group of this box has in common.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Settings of the pair.
    pub settings: Settings,
    /// What the watchdog driver returned, in milliseconds.
    pub watchdog_ms: u32,
    /// Kernel driver of the array's host adapter.
    pub array_driver: String,
    /// Card of the public network.
    pub public_card: String,
    /// What lets this box take a LUN.
    pub membership: SharedMembership,
}

/// One service group at run time.
pub struct Group {
    /// Its places on this box.
    pub place: &'static GroupPlace,
    /// The core.
    pub core: Core,
    /// What comes in for it.
    pub inputs: Receiver<Input>,
    /// Who carries its orders out.
    pub hands: Hands,
    /// Who reads its reservation.
    pub array_paths: ArrayPaths,
    /// Set while its mail service is to be probed.
    pub serving: Arc<AtomicBool>,
    /// When it was found released, on the way down.
    pub let_go: Option<Instant>,
    /// Whether a former owner is being fenced.
    pub fencing: Fencing,
    /// Whether its processes are held still; unknown at the start.
    pub held: Option<bool>,
}

impl Group {
    /// Whether this box serves it, and can prove that it may.
    pub fn serves(&self) -> bool {
        self.core.role() == Role::Active && self.core.lapsed_ms() == 0
    }

    /// Starts the threads of the group of `plan`, which speak through the channel.
    pub fn start(
        ground: &Ground,
        plan: &GroupPlan,
        media: &mut Media,
        (send, inputs): (&Sender<Input>, Receiver<Input>),
    ) -> Result<Self, OperateError> {
        let settings = &ground.settings;
        let core = Core::new(config(ground, plan)?, array::now())?;
        let lun = LunPlace {
            id: plan.lun.clone(),
            driver: ground.array_driver.clone(),
            pair_id: settings.pair_id,
            group: plan.place,
            membership: ground.membership.clone(),
        };
        let (array_paths, hands, serving) = threads(ground, plan, &lun, media, send)?;
        Ok(Self {
            place: plan.place,
            core,
            inputs,
            hands,
            array_paths,
            serving,
            let_go: None,
            fencing: Fencing::default(),
            held: None,
        })
    }
}

fn config(ground: &Ground, plan: &GroupPlan) -> Result<Config, OperateError> {
    let (settings, timing) = (&ground.settings, ground.settings.timing);
    Ok(Config {
        node: core_node(settings.node),
        pair_id: settings.pair_id,
        group: plan.place.number,
        boot: random_u32()?,
        beat_ms: u64::from(timing.beat_ms),
        lease_ms: u64::from(timing.lease_ms),
        watchdog_ms: u64::from(ground.watchdog_ms),
        dead_time_ms: u64::from(timing.dead_time_ms),
        preference: plan.preference,
        maintenance: settings.maintenance,
    })
}

fn threads(
    ground: &Ground,
    plan: &GroupPlan,
    lun: &LunPlace,
    media: &mut Media,
    send: &Sender<Input>,
) -> io::Result<(ArrayPaths, Hands, Arc<AtomicBool>)> {
    let settings = &ground.settings;
    let array_paths = ArrayPaths::start(lun, send)?;
    media.add_array(array_paths.clone(), send)?;
    let public_network = public_network::start(&ground.public_card, settings, plan, send)?;
    let probe_way = ProbeWay::default();
    let mail = MailService::new(settings, plan, probe_way.clone());
    let hands = Hands::start(array_paths.clone(), mail, public_network, send)?;
    let serving = Arc::new(AtomicBool::new(false));
    mail_watch::start(plan.place, probe_way, serving.clone(), send)?;
    Ok((array_paths, hands, serving))
}
