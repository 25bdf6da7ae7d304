//! The first box of a pair: its six answers become settings, and the LUN is made ready.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use array::layout::slot_offset;
use array::template::{TEMPLATE_PATH, Template, TemplateError};
use array::{
    Content, Device, FormatError, Lun, LunError, Pages, Reservation, ReservationError, ScsiError, now,
};
use cluster::{HeldProof, Key, Node};
use control::cluster::FirstBox;
use ring::rand::{SecureRandom, SystemRandom};
use settings::{
    Language, PASSWORD_MIN, RecordError, Secret, Settings, SettingsError, SettingsFile, Timing, hash_password,
};
use thiserror::Error;

/// What is done first.
pub const FIRST_STEP: &str = "The LUN is looked at.";
const WATCH_STEP: &str = "It is made sure that no other pair uses the LUN.";
const FORMAT_STEP: &str = "The LUN is formatted.";
const SAVE_STEP: &str = "The settings are saved.";

/// How long a slot is watched for a running owner: several of its beats, also on a starved box.
const WATCH: Duration = Duration::from_secs(4);
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Why the first box could not be set up; each is a sentence to the administrator.
#[derive(Debug, Error)]
pub enum FirstError {
    /// An answer is wrong in itself.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Not a language there is.
    #[error("the language {0:?} is not known; choose en or zh")]
    Language(String),
    /// No own address.
    #[error("the box needs an address of its own on the public network")]
    NoAddress,
    /// The LUN is not there.
    #[error(transparent)]
    Lun(#[from] LunError),
    /// The LUN is in somebody's use.
    #[error("the LUN belongs to pair {0:08x}, which is running; join this box to it, or choose another LUN")]
    InUse(u32),
    /// Formatting was not agreed to.
    #[error("the LUN must be formatted first, and that was not agreed to; nothing was written")]
    FormatNotAgreed,
    /// The LUN cannot be read.
    #[error("the LUN cannot be read: {0}; check the array")]
    Unreadable(String),
    /// It has to be reserved while it is made.
    #[error(transparent)]
    Reservation(#[from] ReservationError),
    /// A command to the array failed.
    #[error(transparent)]
    Scsi(#[from] ScsiError),
    /// It could not be made.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The image lacks the template.
    #[error("the file system template cannot be read: {0}; build the image again")]
    NoTemplate(std::io::Error),
    /// The image's template is bad.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The system has no randomness.
    #[error("the system's random source failed; try again")]
    NoRandom,
    /// The settings could not be saved.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The settings that the answers make, all of them checked, but for the password's hash: that takes
/// longer than a caller waits.
pub fn settings_of(first: &FirstBox) -> Result<Settings, FirstError> {
    let language = match first.language.as_str() {
        "en" => Language::En,
        "zh" => Language::Zh,
        other => return Err(FirstError::Language(other.to_owned())),
    };
    if first.public.addresses.is_empty() {
        return Err(FirstError::NoAddress);
    }
    if first.password.chars().count() < PASSWORD_MIN {
        return Err(SettingsError::Password.into());
    }
    let settings = Settings {
        box_name: first.box_name.trim().to_owned(),
        node: settings::Node::A,
        peer_name: None,
        pair_id: random_pair_id()?,
        pair_key: Secret::random()?,
        public_addresses: first.public.addresses.clone(),
        gateways: first.public.gateways.clone(),
        name_servers: first.public.name_servers.clone(),
        virtual_addresses: first.virtual_addresses.clone(),
        lun: first.lun.clone(),
        domain: first.domain.trim().to_ascii_lowercase(),
        password_hash: String::new(),
        language,
        timing: Timing::default(),
        preferred: None,
        fail_back: false,
        preference_revision: 0,
        telling: settings::Telling::default(),
        former_mark: None,
        further_groups: vec![],
        controllers: settings::Controllers::default(),
        maintenance: false,
    };
    settings.check()?;
    Ok(settings)
}

/// Makes the LUN ready and saves the settings with the password's hash. Only what the administrator
/// agreed to in `first` is done; `tell` hears what is being done.
pub fn carry_out(
    mut settings: Settings,
    first: &FirstBox,
    driver: &str,
    file: &SettingsFile,
    tell: &mut dyn FnMut(&'static str),
) -> Result<(), FirstError> {
    let wanted = Use {
        lun: settings.lun.clone(),
        driver: driver.to_owned(),
        node: Node::A,
        pair_id: settings.pair_id,
        lease_ms: u64::from(settings.timing.lease_ms),
        format: first.format,
    };
    if let Some(header) = make_ready(&wanted, false, tell)? {
        (settings.pair_id, settings.former_mark) = (header.pair_id, Some(header.mark));
    }
    tell(SAVE_STEP);
    settings.password_hash = hash_password(&first.password)?;
    file.save(&settings)?;
    Ok(())
}

/// What a LUN is made ready for.
#[derive(Debug, Clone)]
pub struct Use {
    /// Its device identification.
    pub lun: String,
    /// Kernel driver of the host adapter.
    pub driver: String,
    /// This box.
    pub node: Node,
    /// The pair that it shall belong to.
    pub pair_id: u32,
    /// How long a proof lasts, in milliseconds.
    pub lease_ms: u64,
    /// The administrator agreed that it is emptied and formatted.
    pub format: bool,
}

/// Makes a LUN ready. One that is whole is taken as it is, unless formatting was agreed to, and its header
/// given back; with `own_only`, only one of this very pair.
pub fn make_ready(
    wanted: &Use,
    own_only: bool,
    tell: &mut dyn FnMut(&'static str),
) -> Result<Option<array::Header>, FirstError> {
    tell(FIRST_STEP);
    let lun = array::find(&wanted.lun, Some(&wanted.driver))?;
    lun.bound_waiting(array::PATH_TIMEOUT_S);
    let before = match lun.content() {
        Content::Blank => None,
        Content::Twinmail(header) => Some(header),
        Content::Foreign { what } => return Err(FormatError::Foreign(what).into()),
        Content::Unreadable { reason } => return Err(FirstError::Unreadable(reason)),
    };
    if let Some(header) = before {
        tell(WATCH_STEP);
        refuse_if_running(&lun, header.pair_id)?;
    }
    let usable = |header: &array::Header| header.complete && (!own_only || header.pair_id == wanted.pair_id);
    match before {
        // A LUN of an earlier set-up: its mail and its pair stay, this box becomes its first member.
        Some(header) if usable(&header) && !wanted.format => Ok(Some(header)),
        _ if !wanted.format => Err(FirstError::FormatNotAgreed),
        _ => {
            tell(FORMAT_STEP);
            // Keys of an earlier set-up may still be registered; only its pair id knows them.
            let key_pair = before.map_or(wanted.pair_id, |header| header.pair_id);
            format(&lun, key_pair, wanted)?;
            Ok(None)
        }
    }
}

/// Formats the LUN under a reservation of its own, which ends with it.
fn format(lun: &Lun, key_pair: u32, wanted: &Use) -> Result<(), FirstError> {
    let template = fs::read(TEMPLATE_PATH).map_err(FirstError::NoTemplate)?;
    let template = Template::decode(&template)?.with_uuid(random_uuid()?)?;
    let mut reservation = Reservation::new(Device::open(&lun.device)?, key_pair);
    let reading = reservation.read()?;
    let holder = reading.holder.map(|holder| holder.key);
    let known = reading.keys.iter().copied().chain(holder);
    let epoch = known.filter_map(|raw| Key::decode(raw, key_pair)).map(Key::epoch).max().unwrap_or(0);
    let key = Key::new(wanted.node, key_pair, epoch.saturating_add(1));
    reservation.take(key, holder)?;
    let lease_ms = wanted.lease_ms;
    let mut prove = || {
        let reading = reservation.read().ok()?;
        HeldProof::verify(&reading, key, key_pair, now(), lease_ms).ok()
    };
    let formatted = array::format(lun, wanted.pair_id, &template, &mut prove);
    // Also after a failure: the next attempt starts from a LUN that nobody has reserved.
    let released = reservation.unregister(key, true);
    formatted?;
    Ok(released?)
}

/// Refuses a LUN in whose slots a heart beats.
fn refuse_if_running(lun: &Lun, pair_id: u32) -> Result<(), FirstError> {
    let unreadable = |error: std::io::Error| FirstError::Unreadable(error.to_string());
    let pages = Pages::open(&lun.device, false).map_err(unreadable)?;
    let look = || -> std::io::Result<[Box<array::Page>; 2]> {
        Ok([pages.read(slot_offset(Node::A))?, pages.read(slot_offset(Node::B))?])
    };
    let first = look().map_err(unreadable)?;
    let end = Instant::now() + WATCH;
    while Instant::now() < end {
        thread::sleep(WATCH_INTERVAL);
        let later = look().map_err(unreadable)?;
        if first.iter().zip(&later).any(|(before, after)| before.0 != after.0) {
            return Err(FirstError::InUse(pair_id));
        }
    }
    Ok(())
}

fn random_pair_id() -> Result<u32, FirstError> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| FirstError::NoRandom)?;
    Ok(u32::from_be_bytes(bytes).max(1))
}

/// A random UUID (RFC 9562 5.4).
fn random_uuid() -> Result<[u8; 16], FirstError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| FirstError::NoRandom)?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::cluster::Interface;

    fn answers() -> FirstBox {
        FirstBox {
            box_name: "box-a".to_owned(),
            public: Interface { addresses: vec!["10.77.0.11/24".to_owned()], ..Interface::default() },
            virtual_addresses: vec!["10.77.0.10/24".to_owned(), "fd77::10/64".to_owned()],
            lun: "naa.1".to_owned(),
            format: true,
            domain: "Example.Test".to_owned(),
            password: "twinmail-admin".to_owned(),
            language: "zh".to_owned(),
        }
    }

    #[test]
    fn six_answers_make_settings_with_a_key_of_their_own() {
        let (one, two) = (settings_of(&answers()).unwrap(), settings_of(&answers()).unwrap());
        assert_eq!((one.domain.as_str(), one.language), ("example.test", Language::Zh));
        assert_ne!(one.pair_key, two.pair_key);
        assert_ne!(one.pair_id, two.pair_id);
    }

    #[test]
    fn each_wrong_answer_is_refused_before_anything_is_touched() {
        let refused = |change: fn(&mut FirstBox)| {
            let mut first = answers();
            change(&mut first);
            settings_of(&first).unwrap_err().to_string()
        };
        assert!(refused(|first| first.box_name.clear()).contains("box name"));
        assert!(refused(|first| first.public.addresses.clear()).contains("address of its own"));
        assert!(refused(|first| first.virtual_addresses.clear()).contains("virtual address"));
        assert!(
            refused(|first| first.virtual_addresses = first.public.addresses.clone()).contains("own address")
        );
        assert!(refused(|first| first.domain = "nodots".to_owned()).contains("mail domain"));
        assert!(refused(|first| first.password = "short".to_owned()).contains("8 characters"));
        assert!(refused(|first| first.language = "xx".to_owned()).contains("language"));
    }

    #[test]
    fn a_lun_that_is_not_there_is_named_and_nothing_is_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system");
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        let file = SettingsFile::new(&path);
        let mut steps = Vec::new();
        let settings = settings_of(&answers()).unwrap();
        let error = carry_out(settings, &answers(), "none", &file, &mut |step| steps.push(step)).unwrap_err();
        assert!(error.to_string().contains("naa.1"), "{error}");
        assert_eq!(steps, [FIRST_STEP]);
        assert!(file.load().unwrap().is_none());
    }
}
