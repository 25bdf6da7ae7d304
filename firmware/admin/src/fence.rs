//! Power fencing: its words, and its answers for people.

use std::net::IpAddr;

use clap::Subcommand;
use control::cluster::Request;
use control::fence::{self, Controller, Hidden, Look, Shown};

use crate::answer::headings;
use crate::failure::Failure;
use crate::language::Language;
use crate::text::{self, Text};
use crate::words::PasswordSource;

/// Management controllers (BMC, IPMI 2.0) that reset a box which stands still.
#[derive(Debug, Clone, Subcommand)]
pub enum Fence {
    /// Show the controllers, and how the last look at each ended
    Show,
    /// Have this controller reset the box when the other one has taken over from it
    Set {
        /// The box that it can reset, by name
        #[arg(value_name = "BOX")]
        of: String,
        /// Address of the controller
        #[arg(long)]
        address: IpAddr,
        /// Its UDP port, if it is not 623
        #[arg(long, default_value_t = 623, hide_default_value = true)]
        port: u16,
        /// User with Operator rights there
        #[arg(long)]
        user: String,
        /// Password of that user
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Log in and ask for the power state; nothing changes
    Test {
        /// Box by name [default: every box that has a controller]
        #[arg(value_name = "BOX")]
        of: Option<String>,
    },
    /// Use no controller for the box any more
    Clear {
        /// Box by name
        #[arg(value_name = "BOX")]
        of: String,
    },
}

impl Fence {
    /// What is asked of the cluster service.
    pub fn request(self, password: Option<String>) -> Result<Request, Failure> {
        Ok(Request::Fence(match self {
            Self::Show => fence::Request::Show,
            Self::Set { of, address, port, user, .. } => {
                let password = Hidden(password.ok_or(Failure::NoPassword)?);
                let controller = Controller { address, port, user, password };
                fence::Request::Set { box_name: of, controller }
            }
            Self::Test { of } => fence::Request::Test { box_name: of },
            Self::Clear { of } => fence::Request::Clear { box_name: of },
        }))
    }
}

/// The controllers as a table.
pub fn table(controllers: &[Shown], language: Language) -> String {
    let columns = [Text::Box, Text::Controller, Text::User, Text::LastLook, Text::Found];
    let mut table = headings(&columns, language);
    for shown in controllers {
        let at = shown.look.as_ref().map(|look| alarm::rfc3339(look.unix_ms));
        table.row([
            shown.box_name.clone(),
            shown.place.clone().unwrap_or_else(|| Text::NoController.get(language).to_owned()),
            shown.user.clone().unwrap_or_default(),
            at.unwrap_or_default(),
            shown.look.as_ref().map(|look| found(look, language)).unwrap_or_default(),
        ]);
    }
    table.lines()
}

fn found(look: &Look, language: Language) -> String {
    match (&look.fault, look.has_power) {
        (Some(fault), _) => text::sentence(fault, language),
        (None, Some(true)) => Text::HasPower.get(language).to_owned(),
        (None, _) => Text::HasNoPower.get(language).to_owned(),
    }
}
