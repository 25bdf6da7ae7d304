//! The service groups a pair can have, and where each keeps what on a box.
//!
//! A group is what moves: a LUN, virtual addresses, the mail domains stored on it, one mail service. Every
//! pair has the first; a second gives mutual standby, where each box serves one and either can carry both.
//! The two share nothing on a box, not even the user their mail services run as.

/// One group's places on a box.
#[derive(Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// Its number in beats and on the wire.
    pub number: u8,
    /// Its name; also init's name for its mail service.
    pub name: &'static str,
    /// User and group of its mail service: it owns the group's data and nothing else.
    pub uid: u32,
    /// Where its data is mounted.
    pub data_dir: &'static str,
    /// Directory that its mail service may write its socket into.
    pub run_dir: &'static str,
    /// What its mail service is told at its start; see [`crate::mail::Assignment`].
    pub assignment: &'static str,
    /// Where its mail service listens for administration.
    pub socket: &'static str,
}

impl GroupPlace {
    /// What tells its devices from those of the first group; empty for the first.
    pub fn suffix(&self) -> &'static str {
        self.name.strip_prefix("mail").unwrap_or(self.name)
    }
}

/// The first group, which every pair has.
pub const FIRST_GROUP: GroupPlace = GroupPlace {
    number: 0,
    name: "mail",
    uid: crate::MAIL_UID,
    data_dir: crate::DATA_DIR,
    run_dir: crate::RUN_DIR,
    assignment: crate::MAIL_ASSIGNMENT,
    socket: crate::MAIL_SOCKET,
};

/// The second group, of a pair in mutual standby.
pub const SECOND_GROUP: GroupPlace = GroupPlace {
    number: 1,
    name: "mail-2",
    uid: 1_001,
    data_dir: "/data-2",
    run_dir: "/run/twinmail-2",
    assignment: "/run/twinmail-2/mail.json",
    socket: "/run/twinmail-2/mail.sock",
};

/// Where the mail service is rehearsed on a box that does not serve. It is no group: its data is in memory, and
/// nobody but the box itself reaches it.
pub const REHEARSAL: GroupPlace = GroupPlace {
    number: u8::MAX,
    name: "rehearsal",
    uid: 1_002,
    data_dir: "/run/twinmail-rehearsal/data",
    run_dir: "/run/twinmail-rehearsal",
    assignment: "/run/twinmail-rehearsal/mail.json",
    socket: "/run/twinmail-rehearsal/mail.sock",
};

/// All groups there can be, by number.
pub static GROUPS: [GroupPlace; 2] = [FIRST_GROUP, SECOND_GROUP];

/// The group called `name`.
pub fn group_named(name: &str) -> Option<&'static GroupPlace> {
    GROUPS.iter().find(|group| group.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_box_share_nothing() {
        let [first, second] = &GROUPS;
        assert_eq!((first.number, second.number), (0, 1));
        assert_ne!(first.uid, second.uid);
        for (one, other) in [
            (first.name, second.name),
            (first.data_dir, second.data_dir),
            (first.run_dir, second.run_dir),
            (first.assignment, second.assignment),
            (first.socket, second.socket),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!((first.suffix(), second.suffix()), ("", "-2"));
        assert_eq!(group_named("mail-2"), Some(second));
        assert_eq!(group_named("post"), None);
    }
}
