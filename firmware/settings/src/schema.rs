//! What an administrator decided once.

use std::fmt;
use std::net::IpAddr;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Controllers, Telling};

/// Longest box name: it must fit the LCD beside its role.
pub const BOX_NAME_MAX: usize = 12;
/// Most service groups beside the first.
pub const FURTHER_GROUPS_MAX: usize = 1;
/// Fewest characters of the administrator's password.
pub const PASSWORD_MIN: usize = 8;

/// Place of a box in its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// The box that was set up first.
    A,
    /// The box that joined.
    B,
}

impl Node {
    /// The other box.
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// Language of console and LCD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// 32 secret bytes that never print themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// Draws a new secret from the system's random source.
    pub fn random() -> Result<Self, SettingsError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SettingsError::NoRandom)?;
        Ok(Self(bytes))
    }

    /// Tells it from another secret, and gives nothing of it away. Never zero.
    pub fn mark(&self) -> u32 {
        let digest = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), b"twinmail pair mark");
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        u32::from_be_bytes(first).max(1)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The pair's timings, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Between two beats on each medium.
    pub beat_ms: u32,
    /// How long a verified reservation counts as held.
    pub lease_ms: u32,
    /// Silence on all media after which the owner counts as dead.
    pub dead_time_ms: u32,
}

impl Default for Timing {
    /// `lease < watchdog <= dead time`, with the watchdog at 2 s on the boards so far.
    fn default() -> Self {
        Self { beat_ms: 200, lease_ms: 1_500, dead_time_ms: 2_400 }
    }
}

/// A service group beside the first: its own LUN, addresses and domains. It is added to a running pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherGroup {
    /// The LUN, by its device identification.
    pub lun: String,
    /// Virtual addresses, with prefix length.
    pub virtual_addresses: Vec<String>,
    /// First mail domain.
    pub domain: String,
    /// Preferred owner.
    pub preferred: Option<Node>,
    /// Whether the group goes back to the preferred owner by itself.
    pub fail_back: bool,
    /// Counts up with every change of the preference, on either box.
    pub preference_revision: u32,
}

/// What an administrator decided once for this box and its pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Name of this box.
    pub box_name: String,
    /// Place of this box in the pair.
    pub node: Node,
    /// Name of the other box; none until one has joined.
    pub peer_name: Option<String>,
    /// Identifies the pair in frames, reservation keys and on the LUN. Never zero.
    pub pair_id: u32,
    /// Key of every frame between the boxes; made in pairing, never typed.
    pub pair_key: Secret,
    /// Mark of the key before this one, on LUNs that were not reached when it changed.
    #[serde(default)]
    pub former_mark: Option<u32>,
    /// This box's own addresses on the public network, with prefix length.
    pub public_addresses: Vec<String>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub name_servers: Vec<IpAddr>,
    /// Virtual addresses, with prefix length.
    pub virtual_addresses: Vec<String>,
    /// The LUN, by its device identification.
    pub lun: String,
    /// First mail domain.
    pub domain: String,
    /// The administrator's password as a PHC string.
    pub password_hash: String,
    /// Language of console and LCD.
    pub language: Language,
    /// The pair's timings.
    pub timing: Timing,
    /// Preferred owner of the group.
    pub preferred: Option<Node>,
    /// Whether the group goes back to the preferred owner by itself.
    pub fail_back: bool,
    /// Counts up with every change of the preference, on either box.
    #[serde(default)]
    pub preference_revision: u32,
    /// Whether the operator took this box out of service.
    pub maintenance: bool,
    /// Whom the pair tells what.
    #[serde(default)]
    pub telling: Telling,
    /// Service groups beside the first; with one, each box can serve a group of its own.
    #[serde(default)]
    pub further_groups: Vec<FurtherGroup>,
    /// The boxes' management controllers, for power fencing.
    #[serde(default)]
    pub controllers: Controllers,
}

/// Why settings are refused; each is a sentence to the administrator.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A box name that LCD, logs and certificates could not carry.
    #[error(
        "{0:?} cannot be a box name: use 1 to {BOX_NAME_MAX} letters, digits and hyphens, a letter first"
    )]
    BoxName(String),
    /// Not an address with prefix length.
    #[error("{0:?} is not an address with prefix length, such as 192.0.2.10/24 or 2001:db8::10/64")]
    Address(String),
    /// Nothing to serve on.
    #[error("at least one virtual address is needed")]
    NoVirtualAddress,
    /// An address is both a box's own and virtual.
    #[error("{0} is this box's own address; the virtual address must be another one")]
    VirtualIsOwn(IpAddr),
    /// Not a domain name.
    #[error("{0:?} is not a mail domain, such as example.com")]
    Domain(String),
    /// A password too easy to guess.
    #[error("the password needs at least {PASSWORD_MIN} characters")]
    Password,
    /// Two groups on one LUN.
    #[error("the LUN {0} belongs to another group already; each group needs a LUN of its own")]
    LunTaken(String),
    /// Two groups on one address.
    #[error("{0} belongs to another group already; each group needs addresses of its own")]
    AddressTaken(IpAddr),
    /// Two groups with the same domain.
    #[error("the domain {0} belongs to another group already")]
    DomainTaken(String),
    /// More groups than a box carries.
    #[error("this pair has two groups already, and more are not possible")]
    TooManyGroups,
    /// The system has no randomness yet.
    #[error("the system's random source failed; try again")]
    NoRandom,
}

impl Settings {
    /// Mark of the pair's key on its LUNs: tells keys apart and gives nothing away. Never zero.
    pub fn pair_mark(&self) -> u32 {
        self.pair_key.mark()
    }

    /// Checks everything that can be checked without touching hardware.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_box_name(&self.box_name)?;
        if self.virtual_addresses.is_empty() {
            return Err(SettingsError::NoVirtualAddress);
        }
        let own = parse_all(&self.public_addresses)?;
        for (address, _) in parse_all(&self.virtual_addresses)? {
            if own.iter().any(|(mine, _)| *mine == address) {
                return Err(SettingsError::VirtualIsOwn(address));
            }
        }
        check_domain(&self.domain)?;
        if self.further_groups.len() > FURTHER_GROUPS_MAX {
            return Err(SettingsError::TooManyGroups);
        }
        self.further_groups.iter().try_for_each(|group| self.check_group(group, &own))
    }

    /// Checks one further group against the box's `own` addresses and the first group.
    fn check_group(&self, group: &FurtherGroup, own: &[(IpAddr, u8)]) -> Result<(), SettingsError> {
        if group.lun == self.lun {
            return Err(SettingsError::LunTaken(group.lun.clone()));
        }
        if group.virtual_addresses.is_empty() {
            return Err(SettingsError::NoVirtualAddress);
        }
        let first = parse_all(&self.virtual_addresses)?;
        for (address, _) in parse_all(&group.virtual_addresses)? {
            if own.iter().any(|(mine, _)| *mine == address) {
                return Err(SettingsError::VirtualIsOwn(address));
            }
            if first.iter().any(|(taken, _)| *taken == address) {
                return Err(SettingsError::AddressTaken(address));
            }
        }
        if group.domain.eq_ignore_ascii_case(&self.domain) {
            return Err(SettingsError::DomainTaken(group.domain.clone()));
        }
        check_domain(&group.domain)
    }
}

fn parse_all(list: &[String]) -> Result<Vec<(IpAddr, u8)>, SettingsError> {
    list.iter().map(|text| parse_interface_address(text)).collect()
}

/// Parses `address/prefix`.
pub fn parse_interface_address(text: &str) -> Result<(IpAddr, u8), SettingsError> {
    let refused = || SettingsError::Address(text.to_owned());
    let (address, prefix) = text.trim().split_once('/').ok_or_else(refused)?;
    let address: IpAddr = address.parse().map_err(|_| refused())?;
    let prefix: u8 = prefix.parse().map_err(|_| refused())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix == 0 || prefix > longest || address.is_unspecified() || address.is_multicast() {
        return Err(refused());
    }
    Ok((address, prefix))
}

/// Checks a box name.
pub fn check_box_name(name: &str) -> Result<(), SettingsError> {
    let usable = name.len() <= BOX_NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if usable { Ok(()) } else { Err(SettingsError::BoxName(name.to_owned())) }
}

/// Checks a mail domain in A-label form (RFC 5321 4.1.2, RFC 1035 2.3.4).
pub fn check_domain(domain: &str) -> Result<(), SettingsError> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label_fits) {
        Ok(())
    } else {
        Err(SettingsError::Domain(domain.to_owned()))
    }
}

/// Hashes the administrator's password with Argon2id (RFC 9106).
pub fn hash_password(password: &str) -> Result<String, SettingsError> {
    if password.chars().count() < PASSWORD_MIN {
        return Err(SettingsError::Password);
    }
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| SettingsError::NoRandom)?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| SettingsError::NoRandom)?;
    let hash = hasher().hash_password(password.as_bytes(), &salt).map_err(|_| SettingsError::Password)?;
    Ok(hash.to_string())
}

/// Whether `password` is the one behind `hash`; takes the same time either way.
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|parsed| hasher().verify_password(password.as_bytes(), &parsed).is_ok())
}

/// 19 MiB, two passes: the least that OWASP and RFC 9106's second choice agree on for small boxes.
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_fit_the_glass_are_refused() {
        for bad in ["", "1box", "a_b", "abcdefghijklm", "box-"] {
            assert_eq!(check_box_name(bad), Err(SettingsError::BoxName(bad.to_owned())));
        }
        assert_eq!(check_box_name("mail-a"), Ok(()));
    }

    #[test]
    fn addresses_need_a_prefix_that_fits_their_family() {
        assert!(parse_interface_address("192.0.2.10/24").is_ok());
        assert!(parse_interface_address("2001:db8::10/64").is_ok());
        for bad in ["192.0.2.10", "192.0.2.10/33", "0.0.0.0/8", "ff02::1/64", "x/24", "192.0.2.1/0"] {
            assert!(parse_interface_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_kept_only_as_a_salted_hash() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("correct horsf", &hash));
        assert_ne!(hash, hash_password("correct horse").unwrap());
        assert_eq!(hash_password("short"), Err(SettingsError::Password));
    }

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Secret([7; 32])), "Secret(..)");
    }
}
