//! Pairing in words of this box: what the first box offers and hands over, what the second takes.
//!
//! The exchange itself, its keys and its repetitions, is the business of the `link` crate.

use std::net::IpAddr;

use control::cluster::{Interface, SecondBox};
use crossbeam_channel::Sender;
use link::pairing::{ABOUT_MAX_BYTES, Host, HostEvent, Message};
use serde::{Deserialize, Serialize};
use settings::{
    BOX_NAME_MAX, Node, Secret, Settings, SettingsError, check_box_name, parse_interface_address,
};
use thiserror::Error;
use tracing::{info, warn};

use crate::input::Input;
use crate::settings_keeper::{Keep, SettingsKeeper};

/// Name of a peer that joined, but whose last word with its name was lost.
const UNKNOWN_PEER: &str = "peer";
/// Most host parts tried for a suggestion.
const SUGGESTIONS_MAX: u32 = 64;

/// What the first box says about itself in its offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its name.
    pub by: String,
    /// Name it suggests for the second box.
    pub name: String,
    /// Public interface it suggests for the second box.
    pub public: Interface,
}

/// Why a box is not taken in; each is a sentence that its administrator reads.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JoinError {
    /// What it said makes no sense.
    #[error("the boxes do not understand each other; give both the same firmware")]
    NotUnderstood,
    /// Both have one name.
    #[error("the first box is already called {0}; choose another name")]
    NameTaken(String),
    /// Both have one address.
    #[error("{0} is the first box's own address; choose another one")]
    AddressTaken(IpAddr),
    /// No address at all.
    #[error("the box needs an address of its own on the public network")]
    NoAddress,
    /// One of the answers is wrong in itself.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// The side of a box that has no other one, be it the pair's first or the one that survived: it offers
/// until a second box has joined, and again once that one was forgotten.
#[derive(Debug)]
pub struct HostSide {
    /// The exchange; none while the pair is whole.
    host: Option<Host>,
    /// Key of the pair the exchange is for.
    key: Secret,
    joining: Option<String>,
    joined: bool,
    keeper: SettingsKeeper,
    inputs: Sender<Input>,
}

impl HostSide {
    /// The side of a box whose settings `keeper` keeps.
    pub fn new(keeper: SettingsKeeper, inputs: Sender<Input>) -> Self {
        let key = keeper.look(|settings| settings.pair_key.clone());
        let mut side = Self { host: None, key, joining: None, joined: false, keeper, inputs };
        side.begin();
        side
    }

    /// Begins to offer if no other box has joined.
    fn begin(&mut self) {
        (self.host, self.joining) = (None, None);
        let offer = self.keeper.look(|settings| settings.peer_name.is_none().then(|| suggestion(settings)));
        self.joined = offer.is_none();
        if let Some(offer) = offer {
            match Host::new(&describe(&offer)) {
                Ok(host) => self.host = Some(host),
                Err(error) => warn!("no second box can join: {error}"),
            }
        }
    }

    /// What to send now, if anything.
    pub fn poll(&mut self) -> Option<Message> {
        // With another key the pair has lost its other box, and its place is free.
        if self.keeper.look(|settings| settings.pair_key != self.key) {
            self.key = self.keeper.look(|settings| settings.pair_key.clone());
            self.begin();
        }
        // A peer that joined before this box's last start needs no offer.
        if self.joined && self.joining.is_none() {
            return None;
        }
        match self.host.as_mut()?.poll(array::now().0) {
            Ok(message) => message,
            Err(error) => {
                warn!("pairing failed: {error}");
                None
            }
        }
    }

    /// Takes a message that was heard; gives the answer to be sent at once, if there is one.
    pub fn hear(&mut self, message: &Message) -> Option<Message> {
        match self.host.as_mut()?.hear(message)? {
            HostEvent::Asked { about } => self.asked(&about),
            HostEvent::Saved => {
                self.finish();
                None
            }
            HostEvent::Failed(error) => {
                warn!("pairing failed: {error}");
                None
            }
        }
    }

    /// A beat of the other box came in: it has this pair's key, so it has joined.
    pub fn heard_beat(&mut self) {
        let Some(host) = self.host.as_mut().filter(|_| !self.joined) else { return };
        if self.joining.is_none() || host.heard_beat().is_some() {
            self.finish();
        }
    }

    fn asked(&mut self, about: &[u8]) -> Option<Message> {
        let host = self.host.as_mut()?;
        let parcel = serde_json::from_slice(about)
            .map_err(|_| JoinError::NotUnderstood)
            .and_then(|second| self.keeper.look(|settings| settings_for(settings, &second)))
            .and_then(|settings| {
                let parcel = serde_json::to_vec(&settings).map_err(|_| JoinError::NotUnderstood)?;
                Ok((settings.box_name, parcel))
            });
        match parcel {
            Ok((name, parcel)) => {
                info!("{name} joins; it is given the pair's settings");
                self.joining = Some(name);
                if let Err(error) = host.accept(&parcel) {
                    warn!("pairing failed: {error}");
                }
                None
            }
            Err(error) => {
                warn!("a box that wants to join is refused: {error}");
                host.refuse(&error.to_string())
            }
        }
    }

    fn finish(&mut self) {
        let name = self.joining.clone().unwrap_or_else(|| UNKNOWN_PEER.to_owned());
        info!("{name} has joined");
        self.joined = true;
        if self.keeper.keep(Keep::Peer(name.clone())).is_err() {
            warn!("the name of the second box is not saved; it will be learned again");
        }
        let _ = self.inputs.try_send(Input::PeerJoined { name });
        if let Some(host) = &mut self.host {
            host.finish();
        }
    }
}

/// Packs a box's description so that it fits its message: what can be learned later is left out.
pub fn describe<T: Serialize + Described>(about: &T) -> Vec<u8> {
    let text = serde_json::to_vec(about).unwrap_or_default();
    if text.len() <= ABOUT_MAX_BYTES {
        return text;
    }
    serde_json::to_vec(&about.shortened()).unwrap_or_default()
}

/// A description that can do without gateways and name servers.
pub trait Described {
    /// The same without them, and with one address.
    fn shortened(&self) -> Self;
}

impl Described for Offer {
    fn shortened(&self) -> Self {
        Self { public: shortened(&self.public), ..self.clone() }
    }
}

impl Described for SecondBox {
    fn shortened(&self) -> Self {
        Self { public: shortened(&self.public), ..self.clone() }
    }
}

fn shortened(public: &Interface) -> Interface {
    Interface { addresses: public.addresses.iter().take(1).cloned().collect(), ..Interface::default() }
}

/// What the second box's settings are: the pair's, under its own name and address.
pub fn settings_for(first: &Settings, second: &SecondBox) -> Result<Settings, JoinError> {
    check_box_name(&second.box_name)?;
    if second.box_name.eq_ignore_ascii_case(&first.box_name) {
        return Err(JoinError::NameTaken(first.box_name.clone()));
    }
    if second.public.addresses.is_empty() {
        return Err(JoinError::NoAddress);
    }
    let taken = addresses(&first.public_addresses);
    for text in &second.public.addresses {
        let (address, _) = parse_interface_address(text)?;
        if taken.contains(&address) {
            return Err(JoinError::AddressTaken(address));
        }
    }
    let or_firsts = |own: &Vec<IpAddr>, firsts: &Vec<IpAddr>| {
        if own.is_empty() { firsts.clone() } else { own.clone() }
    };
    let settings = Settings {
        box_name: second.box_name.clone(),
        node: first.node.peer(),
        peer_name: Some(first.box_name.clone()),
        public_addresses: second.public.addresses.clone(),
        gateways: or_firsts(&second.public.gateways, &first.gateways),
        name_servers: or_firsts(&second.public.name_servers, &first.name_servers),
        maintenance: false,
        ..first.clone()
    };
    settings.check()?;
    Ok(settings)
}

/// What the first box suggests for the second: the next name, the next free host part.
pub fn suggestion(first: &Settings) -> Offer {
    let mut taken = addresses(&first.public_addresses);
    taken.extend(addresses(&first.virtual_addresses));
    taken.extend(&first.gateways);
    taken.extend(&first.name_servers);
    let own = first.public_addresses.iter().filter_map(|text| parse_interface_address(text).ok());
    let next =
        own.filter_map(|(address, prefix)| Some(format!("{}/{prefix}", next_free(address, prefix, &taken)?)));
    let public = Interface {
        addresses: next.collect(),
        gateways: first.gateways.clone(),
        name_servers: first.name_servers.clone(),
    };
    Offer { by: first.box_name.clone(), name: next_name(&first.box_name, first.node.peer()), public }
}

/// Name for the box that takes the place `free` beside the box called `name`: `box-a` ↔ `box-b`,
/// `mail1` ↔ `mail2`, `Mail` → `Mail-b`.
fn next_name(name: &str, free: Node) -> String {
    let forward = free == Node::B;
    let last = name.chars().last();
    let alone = name.chars().rev().nth(1).is_none_or(|before| before == '-');
    let other = match last {
        Some(last @ '1'..='8') if forward => Some(char::from(last as u8 + 1)),
        Some(last @ '2'..='9') if !forward => Some(char::from(last as u8 - 1)),
        Some('a') if forward && alone => Some('b'),
        Some('A') if forward && alone => Some('B'),
        Some('b') if !forward && alone => Some('a'),
        Some('B') if !forward && alone => Some('A'),
        _ => None,
    };
    if let Some(other) = other {
        return format!("{}{other}", &name[..name.len() - 1]);
    }
    let stem: String = name.chars().take(BOX_NAME_MAX - 2).collect();
    format!("{}-{free}", stem.trim_end_matches('-'))
}

/// The next address of the same network that nobody is known to have.
fn next_free(address: IpAddr, prefix: u8, taken: &[IpAddr]) -> Option<IpAddr> {
    (1..=SUGGESTIONS_MAX)
        .filter_map(|step| host_after(address, prefix, step))
        .find(|next| !taken.contains(next))
}

/// `address` with its host part raised by `step`, as long as that is a host of the same network.
fn host_after(address: IpAddr, prefix: u8, step: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let (bits, host_mask) =
                (u32::from(address), u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0));
            let host = (bits & host_mask).checked_add(step).filter(|host| *host < host_mask)?;
            Some(IpAddr::V4((bits & !host_mask | host).into()))
        }
        IpAddr::V6(address) => {
            let (bits, host_mask) =
                (u128::from(address), u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0));
            let host = (bits & host_mask).checked_add(u128::from(step)).filter(|host| *host < host_mask)?;
            Some(IpAddr::V6((bits & !host_mask | host).into()))
        }
    }
}

fn addresses(list: &[String]) -> Vec<IpAddr> {
    list.iter().filter_map(|text| Some(parse_interface_address(text).ok()?.0)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use settings::{Language, Timing};

    pub(crate) fn first() -> Settings {
        Settings {
            box_name: "box-a".to_owned(),
            node: Node::A,
            peer_name: None,
            pair_id: 7,
            pair_key: Secret([3; 32]),
            public_addresses: vec!["10.77.0.11/24".to_owned(), "fd77::11/64".to_owned()],
            gateways: vec!["10.77.0.1".parse().unwrap()],
            name_servers: vec!["10.77.0.13".parse().unwrap()],
            virtual_addresses: vec!["10.77.0.12/24".to_owned()],
            lun: "naa.1".to_owned(),
            domain: "example.com".to_owned(),
            password_hash: "hash".to_owned(),
            language: Language::En,
            timing: Timing::default(),
            preferred: None,
            fail_back: false,
            preference_revision: 0,
            telling: settings::Telling::default(),
            former_mark: None,
            further_groups: vec![],
            controllers: settings::Controllers::default(),
            maintenance: true,
        }
    }

    fn second(name: &str, address: &str) -> SecondBox {
        let public = Interface { addresses: vec![address.to_owned()], ..Interface::default() };
        SecondBox { box_name: name.to_owned(), public }
    }

    #[test]
    fn the_suggestion_avoids_every_address_that_is_known() {
        let offer = suggestion(&first());
        assert_eq!(offer.name, "box-b");
        assert_eq!(offer.public.addresses, ["10.77.0.14/24", "fd77::12/64"]);
        assert_eq!(offer.public.gateways, first().gateways);
        let mut full = first();
        full.public_addresses = vec!["192.0.2.253/30".to_owned()];
        full.gateways = vec!["192.0.2.254".parse().unwrap()];
        assert!(suggestion(&full).public.addresses.is_empty());
    }

    #[test]
    fn names_go_on_and_still_fit() {
        for (name, next) in
            [("box-a", "box-b"), ("mail1", "mail2"), ("Mail", "Mail-b"), ("A", "B"), ("alpha", "alpha-b")]
        {
            assert_eq!(next_name(name, Node::B), next);
        }
        for (name, next) in
            [("box-b", "box-a"), ("mail2", "mail1"), ("mail1", "mail1-a"), ("Mail", "Mail-a"), ("B", "A")]
        {
            assert_eq!(next_name(name, Node::A), next);
        }
        let long = next_name("abcdefghijkl", Node::B);
        assert!(check_box_name(&long).is_ok(), "{long}");
    }

    #[test]
    fn the_second_box_gets_the_pairs_settings_under_its_own_name() {
        let settings = settings_for(&first(), &second("box-b", "10.77.0.14/24")).unwrap();
        assert_eq!((settings.box_name.as_str(), settings.node), ("box-b", Node::B));
        assert_eq!(settings.peer_name.as_deref(), Some("box-a"));
        assert_eq!((settings.pair_id, &settings.pair_key), (7, &first().pair_key));
        assert_eq!(settings.public_addresses, ["10.77.0.14/24"]);
        assert_eq!(settings.gateways, first().gateways);
        assert!(!settings.maintenance);
    }

    #[test]
    fn who_joins_the_survivor_gets_the_place_that_is_free() {
        let survivor =
            Settings { box_name: "box-b".to_owned(), node: Node::B, former_mark: Some(1), ..first() };
        assert_eq!(suggestion(&survivor).name, "box-a");
        let settings = settings_for(&survivor, &second("box-c", "10.77.0.14/24")).unwrap();
        assert_eq!((settings.node, settings.peer_name.as_deref()), (Node::A, Some("box-b")));
        assert_eq!(settings.pair_mark(), survivor.pair_mark());
    }

    #[test]
    fn a_box_that_would_collide_is_refused_in_a_sentence() {
        let refused = |name, address| settings_for(&first(), &second(name, address)).unwrap_err();
        assert_eq!(refused("BOX-A", "10.77.0.14/24"), JoinError::NameTaken("box-a".to_owned()));
        let own = "10.77.0.11".parse().unwrap();
        assert_eq!(refused("box-b", "10.77.0.11/24"), JoinError::AddressTaken(own));
        let virtual_one = "10.77.0.12".parse().unwrap();
        assert_eq!(
            refused("box-b", "10.77.0.12/24"),
            JoinError::Settings(SettingsError::VirtualIsOwn(virtual_one))
        );
        assert!(matches!(refused("9", "10.77.0.14/24"), JoinError::Settings(SettingsError::BoxName(_))));
        assert!(matches!(refused("box-b", "x"), JoinError::Settings(SettingsError::Address(_))));
    }

    #[test]
    fn a_description_always_fits_its_message() {
        let mut settings = first();
        settings.name_servers = (0..40).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let text = describe(&suggestion(&settings));
        assert!(text.len() <= ABOUT_MAX_BYTES);
        let offer: Offer = serde_json::from_slice(&text).unwrap();
        assert_eq!(offer.name, "box-b");
    }
}
