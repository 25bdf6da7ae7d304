//! A second service group (`cargo lab up --groups 2`): a LUN of its own behind portals of its own, added on
//! the console as an administrator would, and served by box b.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::bring_up::poll;
use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::parts::{ACCOUNT_PASSWORD, BoxName, SECOND_ACCOUNT, SECOND_ADDRESS, SECOND_DOMAIN};

/// Name of the second group.
pub const SECOND_GROUP: &str = "mail-2";
/// The LUN is formatted, and the group serves, within this time.
const SERVED_MAX: Duration = Duration::from_mins(3);

/// Where a box reaches the second group's LUN.
pub fn portal(name: BoxName) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, 31 + name.index() as u8)
}

impl Lab {
    /// Adds the second group at box a's console, and has box b serve it.
    pub(crate) fn add_second_group(&self) -> Result<()> {
        let console = self.console(BoxName::A);
        let luns = console.query("service-group luns --json")?;
        let blank = luns.as_array().into_iter().flatten().find(|lun| lun["content"] == "blank");
        let lun = blank.and_then(|lun| lun["id"].as_str());
        let lun = lun.ok_or_else(|| LabError::Refused(format!("box a sees no blank LUN: {luns}")))?;
        let other_box = BoxName::A.other();
        let other = format!("box-{other_box}");
        console.query(&format!(
            "service-group add --lun {lun} --addresses {SECOND_ADDRESS}/24,fd77::20/64 --first-domain \
             {SECOND_DOMAIN} --preferred {other} --format --json"
        ))?;
        let served = |by: BoxName, what: &str| {
            poll(what, SERVED_MAX, || {
                let statuses = BoxName::ALL.map(|name| self.box_status(name).unwrap_or(Value::Null));
                let role = |name: BoxName| statuses[name.index()]["groups"][1]["role"].clone();
                let ready = statuses[by.index()]["peer"]["ready"] == true;
                let right = role(by) == "active" && role(by.other()) == "standby" && ready;
                if right { Ok(()) } else { Err(format!("{} {}", role(BoxName::A), role(BoxName::B))) }
            })
        };
        // Box b is preferred, so it takes the group as soon as it has heard of it.
        served(other_box, &format!("the second group on {other}"))?;
        let account =
            format!("account add {SECOND_ACCOUNT}@{SECOND_DOMAIN} --password {ACCOUNT_PASSWORD} --json");
        self.console(other_box).query(&account).map(drop)
    }
}
