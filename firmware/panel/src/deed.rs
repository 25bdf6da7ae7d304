//! What the menus of console and LCD can do to the box.

use control::{cluster, init};

/// Something that changes the pair, and is asked back before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Hand the group over, or fetch it.
    SwitchOver,
    /// Take this box out of service, or put it back.
    Maintenance(bool),
    /// Stop in order, then power off.
    PowerOff,
    /// Stop in order, then restart.
    Restart,
}

/// The request behind a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeedRequest {
    /// For the cluster service.
    Cluster(cluster::Request),
    /// For init.
    Init(init::Request),
}

impl Deed {
    /// What is asked of which service.
    pub fn request(self) -> DeedRequest {
        match self {
            Self::SwitchOver => DeedRequest::Cluster(cluster::Request::SwitchOver { to: None, group: None }),
            Self::Maintenance(on) => DeedRequest::Cluster(cluster::Request::Maintenance { on }),
            Self::PowerOff => DeedRequest::Init(init::Request::PowerOff),
            Self::Restart => DeedRequest::Init(init::Request::Restart),
        }
    }
}
