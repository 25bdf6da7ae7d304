//! What a service gives up as its very first act, before it reads a byte of input.
//!
//! The rest of its bounds init sets from outside; these a process can only set for itself, and none
//! of them can be undone.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use thiserror::Error;

use crate::services::{Service, TABLE};

/// Why a service does not run.
#[derive(Debug, Error)]
pub enum ConfineError {
    /// The kernel refused.
    #[error("{service} does not start: the kernel does not let it give up its privileges: {source}")]
    Refused {
        /// The service.
        service: String,
        /// What the kernel said.
        source: rustix::io::Errno,
    },
}

/// Gives up everything that the service table does not grant to service `name`. A name that is not in
/// the table has nothing to give up.
pub fn confine(name: &str) -> Result<(), ConfineError> {
    let Some(service) = TABLE.iter().find(|service| service.name == name) else { return Ok(()) };
    give_up(service).map_err(|source| ConfineError::Refused { service: name.to_owned(), source })
}

fn give_up(service: &Service) -> rustix::io::Result<()> {
    let held = capabilities(None)?.permitted;
    for capability in CapabilitySet::all().difference(service.capabilities).iter() {
        // Without CAP_SETPCAP the bounding set stays, and grants nothing: no new privileges below.
        // Older kernels do not know the newest capabilities.
        let _ = remove_capability_from_bounding_set(capability);
    }
    set_no_new_privs(true)?;
    let keep = held & service.capabilities;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    // A crash leaves its sentence in the log, and no copy of keys and mail on a disk.
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, service.open_files_max)
}

/// Sets a limit, or the highest one allowed where that is lower.
fn lower(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let limit = getrlimit(resource).maximum.map_or(wanted, |highest| highest.min(wanted));
    setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
}
