//! Address lists, RFC 5322 3.4, with the obsolete forms and with what real mail holds.

/// One member of an address list, raw bytes as in the header (encoded words are not decoded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A mailbox: display name, route, local part, domain.
    Mailbox {
        /// Display name, unquoted.
        name: Option<Vec<u8>>,
        /// Source route (RFC 5322 4.4 obs-route), as written.
        route: Option<Vec<u8>>,
        /// Local part, unquoted.
        local: Vec<u8>,
        /// Domain; empty if there is none.
        domain: Vec<u8>,
    },
    /// Begin of a group.
    GroupStart(Vec<u8>),
    /// End of the group.
    GroupEnd,
}

/// Reads an address list; never fails, at most [`crate::ADDRESSES_MAX`] members.
pub fn addresses(value: &[u8]) -> Vec<Address> {
    todo!()
}
