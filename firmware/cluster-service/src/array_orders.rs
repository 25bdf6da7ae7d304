//! Orders that go to the array. They have a thread of their own; the readings of the reservation are the
//! work of the paths' threads, because an order that hangs must not keep the reservation from being
//! read.

use std::path::Path;
use std::time::Duration;

use array::{ReservationError, Taken};
use cluster::{Order, StepFault};
use control::GroupPlace;
use rustix::fs::{Gid, Uid, chown};

use crate::array_paths::ArrayPaths;
use crate::replace::SharedMembership;

/// How long the data partition's node may take to appear after a fresh look.
const PARTITION_WAIT: Duration = Duration::from_secs(5);
/// How long the last user of the file system may take to let it go.
const UNMOUNT_WAIT: Duration = Duration::from_secs(8);

/// Where the group's LUN is found.
#[derive(Debug, Clone)]
pub struct LunPlace {
    /// Its device identification.
    pub id: String,
    /// Kernel driver of the host adapter.
    pub driver: String,
    /// Identifies the pair in reservation keys.
    pub pair_id: u32,
    /// The group's places on this box.
    pub group: &'static GroupPlace,
    /// What lets this box take it.
    pub membership: SharedMembership,
}

/// Carries out one of the orders that concern the array.
pub fn carry_out(paths: &ArrayPaths, order: &Order) -> Result<(), StepFault> {
    let failed = |error: &dyn std::fmt::Display| StepFault::Failed(error.to_string());
    let group = paths.group();
    let data = Path::new(group.data_dir);
    match order {
        Order::Fence { key, over } => {
            note_taken(paths, paths.reservation().map_err(StepFault::Failed)?.take(*key, *over))
        }
        Order::Repair { key } => {
            note_taken(paths, paths.reservation().map_err(StepFault::Failed)?.repair(*key))
        }
        Order::Mount { proof } => {
            // What an earlier owner of this box left behind would keep the partition table closed.
            if !array::is_mounted(data) {
                paths.take_apart().map_err(StepFault::Failed)?;
            }
            let lun = paths.to_try().into_iter().next();
            let lun = lun.ok_or_else(|| StepFault::Failed("no path to the array is left".to_owned()))?;
            let partition = lun.data_partition(PARTITION_WAIT).map_err(|e| failed(&e))?;
            let device = paths.put_together(&partition).map_err(StepFault::Failed)?;
            array::mount(proof, &device, data).map_err(|e| failed(&e))?;
            let mail = group.uid;
            chown(data, Some(Uid::from_raw(mail)), Some(Gid::from_raw(mail))).map_err(|e| failed(&e))
        }
        Order::Unmount { .. } => {
            array::unmount(data, UNMOUNT_WAIT).map_err(|e| failed(&e))?;
            paths.take_apart().map_err(StepFault::Failed)
        }
        Order::Unreserve { key, release } => {
            let mut reservation = paths.reservation().map_err(StepFault::Failed)?;
            reservation.unregister(*key, *release).map_err(|e| failed(&e))?;
            if *release {
                paths.withdrawn();
            }
            Ok(())
        }
        Order::Recover { .. }
        | Order::Serve { .. }
        | Order::Announce { .. }
        | Order::RestartMail { .. }
        | Order::Withdraw
        | Order::Halt => Err(StepFault::Failed("this order does not concern the array".to_owned())),
    }
}

fn note_taken(paths: &ArrayPaths, taken: Result<Taken, ReservationError>) -> Result<(), StepFault> {
    match taken {
        Ok(taken) => {
            paths.registered(&taken.paths);
            Ok(())
        }
        Err(ReservationError::Lost(_)) => Err(StepFault::RaceLost),
        Err(error) => Err(StepFault::Failed(error.to_string())),
    }
}
