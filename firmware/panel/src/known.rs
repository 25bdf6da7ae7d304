//! What the panel knows: the newest answers of the services.

use control::cluster::{Lun, Record, Role, SetupState, Status};
use control::init::LogLine;

use crate::lcd::driver::Health;

/// Something new for the panel.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The box has its settings; this is its status.
    Status(Box<Status>),
    /// The box has no settings yet, or just got them.
    Setup(SetupState),
    /// The cluster service does not answer.
    ClusterSilent,
    /// The LUNs of the box, or why they are not known.
    Luns(Result<Vec<Lun>, String>),
    /// Whether the cluster service took the set-up.
    SetupTaken(Result<(), String>),
    /// Whether the password was right, or why that could not be found out.
    Verified(Result<bool, String>),
    /// Everything a finished command printed.
    Printed(Vec<u8>),
    /// Log lines for the log view.
    Log(Result<Vec<LogLine>, String>),
    /// Decisions for their view.
    Records(Result<Vec<Record>, String>),
    /// What became of a deed from the menu.
    DeedDone(Result<(), String>),
    /// How the LCD is doing.
    Lcd(Health),
}

/// The newest answers.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Status, once the box is set up.
    pub status: Option<Box<Status>>,
    /// How far set-up is, until then.
    pub setup: Option<SetupState>,
    /// The cluster service does not answer now.
    pub cluster_silent: bool,
    /// The LCD is built in and does not answer.
    pub lcd_absent: bool,
}

impl Known {
    /// Takes what concerns everybody.
    pub fn learn(&mut self, news: &News) {
        match news {
            News::Status(status) => {
                self.status = Some(status.clone());
                self.setup = None;
                self.cluster_silent = false;
            }
            News::Setup(state) => {
                if !matches!(state, SetupState::Complete { .. }) {
                    self.status = None;
                }
                self.setup = Some(state.clone());
                self.cluster_silent = false;
            }
            News::ClusterSilent => self.cluster_silent = true,
            News::Lcd(health) => self.lcd_absent = *health == Health::Absent,
            News::Luns(_)
            | News::SetupTaken(_)
            | News::Verified(_)
            | News::Printed(_)
            | News::Log(_)
            | News::Records(_)
            | News::DeedDone(_) => {}
        }
    }

    /// Name of the box; empty before set-up.
    pub fn box_name(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.box_name)
    }

    /// Whether this box serves a group or is about to.
    pub fn active(&self) -> bool {
        let groups = self.status.iter().flat_map(|status| &status.groups);
        groups.into_iter().any(|group| matches!(group.role, Role::Active | Role::Taking))
    }

    /// The box a switch-over leads to: the other one where this one serves, else this one.
    pub fn switch_over_to(&self) -> Option<&str> {
        let status = self.status.as_ref()?;
        let name = if self.active() { &status.peer.box_name } else { &status.box_name };
        (!name.is_empty()).then_some(name)
    }
}
