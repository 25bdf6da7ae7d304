//! How the boxes' management controllers are reached, for power fencing. Both boxes know both.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Node;

/// UDP port of a management controller (IPMI 2.0, 13.1.2).
pub const CONTROLLER_PORT: u16 = 623;
/// Longest user name (IPMI 2.0, 22.28).
pub const CONTROLLER_USER_MAX_BYTES: usize = 16;
/// Longest password (IPMI 2.0, 22.30).
pub const CONTROLLER_PASSWORD_MAX_BYTES: usize = 20;

/// A password that is sent to somebody else, and so has to be kept as it is. It never prints itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// How the management controller of one box is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// Its address.
    pub address: IpAddr,
    /// Its UDP port.
    pub port: u16,
    /// User with Operator rights.
    pub user: String,
    /// Password of that user.
    pub password: Hidden,
}

impl Controller {
    /// Where it listens.
    pub fn place(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Checks what can be checked without asking it.
    pub fn check(&self) -> Result<(), ControllerError> {
        if self.address.is_unspecified() || self.address.is_multicast() || self.port == 0 {
            return Err(ControllerError::Address(self.place()));
        }
        let plain = |text: &str| !text.chars().any(char::is_control);
        let (user, password) = (&self.user, &self.password.0);
        if user.len() > CONTROLLER_USER_MAX_BYTES || !plain(user) {
            return Err(ControllerError::User);
        }
        if password.is_empty() || password.len() > CONTROLLER_PASSWORD_MAX_BYTES || !plain(password) {
            return Err(ControllerError::Password);
        }
        Ok(())
    }
}

/// The management controllers of the pair. The higher revision counts; each box hands its own to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controllers {
    /// Counts up with every change on either box.
    pub revision: u64,
    /// That of box a.
    pub a: Option<Controller>,
    /// That of box b.
    pub b: Option<Controller>,
}

impl Controllers {
    /// That of `node`.
    pub fn of(&self, node: Node) -> Option<&Controller> {
        match node {
            Node::A => self.a.as_ref(),
            Node::B => self.b.as_ref(),
        }
    }

    /// Changes that of `node`, and counts the revision up.
    pub fn set(&mut self, node: Node, controller: Option<Controller>) {
        match node {
            Node::A => self.a = controller,
            Node::B => self.b = controller,
        }
        self.revision += 1;
    }

    /// Whether `theirs`, said by the other box than `own`, counts instead: it is newer, or both changed at
    /// once and it is box a's.
    pub fn yields_to(&self, theirs: &Self, own: Node) -> bool {
        let newer = theirs.revision > self.revision || (theirs.revision == self.revision && own == Node::B);
        let sound = [&theirs.a, &theirs.b].into_iter().flatten().all(|one| one.check().is_ok());
        newer && sound && theirs != self
    }
}

/// Why a controller is refused; each is a sentence to the administrator.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ControllerError {
    /// Nobody can listen there.
    #[error("{0} is no address of a management controller, such as 192.0.2.21")]
    Address(SocketAddr),
    /// A user name that no controller takes.
    #[error("a management controller takes user names of at most {CONTROLLER_USER_MAX_BYTES} bytes")]
    User,
    /// A password that no controller takes.
    #[error("a management controller takes passwords of 1 to {CONTROLLER_PASSWORD_MAX_BYTES} bytes")]
    Password,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(password: &str) -> Controller {
        let password = Hidden(password.to_owned());
        Controller { address: [192, 0, 2, 21].into(), port: 623, user: "fence".to_owned(), password }
    }

    #[test]
    fn the_password_never_prints_itself_and_is_kept() {
        let one = controller("geheim");
        assert!(!format!("{one:?}").contains("geheim"));
        let kept = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Controller>(&kept).unwrap(), one);
    }

    #[test]
    fn what_no_controller_takes_is_refused() {
        assert_eq!(controller("x").check(), Ok(()));
        assert_eq!(controller("").check(), Err(ControllerError::Password));
        assert_eq!(controller(&"x".repeat(21)).check(), Err(ControllerError::Password));
        assert_eq!(
            Controller { user: "u".repeat(17), ..controller("x") }.check(),
            Err(ControllerError::User)
        );
        let nowhere = Controller { address: [0, 0, 0, 0].into(), ..controller("x") };
        assert!(matches!(nowhere.check(), Err(ControllerError::Address(_))));
    }

    #[test]
    fn the_newer_choice_counts_on_both_boxes() {
        let mut old = Controllers::default();
        old.set(Node::A, Some(controller("x")));
        let mut new = old.clone();
        new.set(Node::B, Some(controller("y")));
        assert!(old.yields_to(&new, Node::A) && old.yields_to(&new, Node::B));
        assert!(!new.yields_to(&old, Node::A) && !new.yields_to(&old, Node::B));
        // Both changed at once: box a's counts, on both.
        let mut other = old.clone();
        other.set(Node::B, None);
        assert!(new.yields_to(&other, Node::B) && !other.yields_to(&new, Node::A));
        let mut unsound = new.clone();
        unsound.set(Node::A, Some(controller("")));
        assert!(!new.yields_to(&unsound, Node::B));
    }
}
