//! What the cluster service understands: status, operator commands, first set-up.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{fence, telling};

/// A request to the cluster service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Everything this box knows; answered with [`Reply::Status`].
    Status,
    /// Hand the group to the other box, or ask the other box for it.
    SwitchOver {
        /// Box that shall be active afterwards: its name, or `None` for the one that is not now.
        to: Option<String>,
        /// The group, by name; none for every group the pair has.
        #[serde(default)]
        group: Option<String>,
    },
    /// Put this box into maintenance (it hands over and takes nothing) or back into service.
    Maintenance {
        /// In or out.
        on: bool,
    },
    /// Set the preferred owner of the group.
    Prefer {
        /// Box name, or `None` for no preference.
        owner: Option<String>,
        /// Give the group back by itself once the preferred owner is well again.
        fail_back: bool,
        /// The group, by name; none for the only one.
        #[serde(default)]
        group: Option<String>,
    },
    /// Add the second group: the LUN is made ready, then both boxes know it. The answer comes at once;
    /// the status shows the group when it is there, and an alarm if it cannot be.
    AddGroup(NewGroup),
    /// The other box is dead and is to be replaced: forget it, and let a blank one take its place.
    ForgetPeer,
    /// This box forgets its settings and restarts as a blank one. Mail and accounts stay on the array.
    FactoryReset,
    /// The LUNs this box sees; answered with [`Reply::Luns`].
    Luns,
    /// The newest decision records, oldest first.
    Records {
        /// At most so many.
        records_max: usize,
    },
    /// First set-up and pairing.
    Setup(Setup),
    /// Alarms, metrics, drills, and the replacement of a box.
    Telling(telling::Request),
    /// Power fencing.
    Fence(fence::Request),
}

/// A group that is to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewGroup {
    /// Its LUN, by [`Lun::id`].
    pub lun: String,
    /// The administrator agreed that this LUN is emptied and formatted. Without it only a LUN of this
    /// pair is accepted.
    pub format: bool,
    /// Virtual addresses with prefix length.
    pub virtual_addresses: Vec<String>,
    /// First mail domain.
    pub domain: String,
    /// Preferred owner, by box name.
    pub preferred: Option<String>,
    /// Go back to it by itself once it is well again.
    pub fail_back: bool,
}

/// First set-up and pairing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setup {
    /// How far set-up has come; answered with [`Reply::Setup`].
    State,
    /// The LUNs this box sees; answered with [`Reply::Luns`].
    Luns,
    /// The six answers of the first box. It becomes the pair's first member.
    First(FirstBox),
    /// What the second box was asked. Everything else comes over the serial cable.
    Join(SecondBox),
}

/// The six answers that make a pair's first box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBox {
    /// Name of this box.
    pub box_name: String,
    /// This box's own address on the public network.
    pub public: Interface,
    /// Virtual addresses with prefix length, IPv4 and IPv6, for example `192.0.2.10/24`.
    pub virtual_addresses: Vec<String>,
    /// The LUN, by [`Lun::id`].
    pub lun: String,
    /// The administrator agreed that this LUN is emptied and formatted. Without it only a LUN that
    /// already is Twinmail's is accepted.
    pub format: bool,
    /// First mail domain.
    pub domain: String,
    /// The administrator's password, in clear only here; it is kept as a hash.
    pub password: String,
    /// Language of console and LCD: `en` or `zh`.
    pub language: String,
}

/// What only the second box knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondBox {
    /// Name of this box.
    pub box_name: String,
    /// This box's own address on the public network.
    pub public: Interface,
}

/// A box's own address on the public network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Addresses with prefix length, IPv4 first.
    pub addresses: Vec<String>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub name_servers: Vec<IpAddr>,
}

/// The cluster service's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done, or begun where it takes long; status tells the rest.
    Done,
    /// It cannot be done; a sentence.
    Refused(String),
    /// Everything this box knows.
    Status(Box<Status>),
    /// Decision records, oldest first.
    Records(Vec<Record>),
    /// How far set-up has come.
    Setup(SetupState),
    /// The LUNs this box sees.
    Luns(Vec<Lun>),
    /// Whom the pair tells what.
    Telling(telling::Telling),
    /// What is under way, or how the last operation ended.
    Operation(telling::Operation),
    /// The management controllers of the boxes.
    Fence(Vec<fence::Shown>),
}

/// How far set-up has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupState {
    /// Nothing is set; nobody is on the serial cable.
    Blank,
    /// What was set is lost; nobody is on the serial cable.
    Damaged {
        /// Why, and what to do.
        reason: String,
    },
    /// Nothing is set here; a configured box on the serial cable offers to take this one in.
    Offered {
        /// Name of the box that offers.
        by: String,
        /// Name it suggests for this box.
        suggested_name: String,
        /// Public interface it suggests: its own network with the next free host part.
        suggested_public: Interface,
    },
    /// An answer was given and is being carried out.
    Working {
        /// What is being done now, a sentence.
        step: String,
    },
    /// The last answer could not be carried out.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
    /// The box has its settings.
    Complete {
        /// Whether the other box has joined.
        paired: bool,
    },
}

/// One LUN as this box sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lun {
    /// Its own name, the same seen from either box (SPC-4 7.8.6, device identification page).
    pub id: String,
    /// Device node in this box.
    pub device: String,
    /// Vendor and product, as INQUIRY gives them.
    pub model: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// What is on it.
    pub content: LunContent,
}

/// What is on a LUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LunContent {
    /// Nothing but zeros where a label would be.
    Blank,
    /// A Twinmail LUN.
    Twinmail {
        /// The pair it belongs to, in hexadecimal.
        pair: String,
    },
    /// Somebody else's data; it is never written.
    Foreign {
        /// What it looks like.
        what: String,
    },
    /// It cannot be read.
    Unreadable {
        /// What the array said.
        reason: String,
    },
}

/// Everything one box knows, as `twinmail status --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of this box.
    pub box_name: String,
    /// Its place in the pair: `a` or `b`.
    pub node: String,
    /// Firmware version.
    pub version: String,
    /// Milliseconds since boot.
    pub uptime_ms: u64,
    /// Whether this box is in maintenance.
    pub maintenance: bool,
    /// The other box, as far as it was ever heard.
    pub peer: Peer,
    /// The service groups.
    pub groups: Vec<Group>,
    /// The three media of the heartbeat.
    pub media: Vec<Medium>,
    /// Services of this box.
    pub services: Vec<crate::init::Service>,
    /// What is wrong now, worst first.
    pub alarms: Vec<Alarm>,
    /// The timing rule as checked at start.
    pub timing: Timing,
    /// Whether this box would succeed if it had to take over now.
    #[serde(default)]
    pub readiness: telling::Readiness,
    /// Whether the other box would, as it says itself; none while it is not heard on the private network.
    #[serde(default)]
    pub peer_readiness: Option<telling::Readiness>,
}

/// The other box as seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name; empty until one has joined.
    pub box_name: String,
    /// Whether any medium carried a fresh beat.
    pub alive: bool,
    /// Whether it says it could serve.
    pub ready: bool,
    /// Why it could not, a sentence.
    pub not_ready_reason: Option<String>,
}

/// One service group as seen from this box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name; the first is `mail`.
    pub name: String,
    /// What this box does for it.
    pub role: Role,
    /// The step under way while taking or releasing.
    pub step: Option<String>,
    /// Highest epoch known.
    pub epoch: u32,
    /// Who holds the reservation at the array, as last read: a box name, `nobody` or `stranger`.
    pub holder: String,
    /// Age of that reading in milliseconds.
    pub holder_age_ms: Option<u64>,
    /// Milliseconds the held proof still lasts, while one is held.
    pub lease_left_ms: Option<u64>,
    /// Virtual addresses, with prefix length.
    pub addresses: Vec<String>,
    /// Whether this box answers on them now.
    pub addresses_here: bool,
    /// Preferred owner, if one is set.
    pub preferred: Option<String>,
    /// Whether the group goes back to it by itself.
    pub fail_back: bool,
    /// The last take by this box.
    pub last_takeover: Option<Takeover>,
}

/// What a box does for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Waiting for evidence after boot.
    Starting,
    /// The other box serves, this one watches.
    Standby,
    /// Taking it, step by step.
    Taking,
    /// Serving it.
    Active,
    /// Giving it up, step by step.
    Releasing,
    /// Cannot decide; the console shows one question.
    Undecided,
    /// Lost it to the other box; will reset.
    Fenced,
    /// Taken out of service by the operator.
    Maintenance,
}

/// One finished take, with what each phase cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Why this box took.
    pub cause: String,
    /// Epoch it took with.
    pub epoch: u32,
    /// Milliseconds since boot at the decision.
    pub at_ms: u64,
    /// From the last sign of the owner to the decision.
    pub detect_ms: u64,
    /// Steps in order: fence, prove, mount, recover, serve, announce.
    pub phases: Vec<Phase>,
    /// From decision to announced.
    pub total_ms: u64,
}

/// One phase of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Name of the step.
    pub step: String,
    /// What it took.
    pub ms: u64,
}

/// One medium of the heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// `serial`, `private` or `array`.
    pub name: String,
    /// Whether beats come in.
    pub state: MediumState,
    /// Milliseconds since the last good beat from the other box; none yet is `None`.
    pub age_ms: Option<u64>,
    /// Good frames so far.
    pub good: u64,
    /// Frames refused for length, checksum, authenticity or age.
    pub bad: u64,
    /// Why it cannot work at all, where that is known.
    pub fault: Option<String>,
}

/// Whether beats come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediumState {
    /// Younger than half the dead time.
    Fresh,
    /// Older than that, within the dead time.
    Late,
    /// Older than the dead time, or never heard.
    Lost,
    /// Nothing is expected: only the owner's slot ticks on a single LUN.
    Idle,
}

/// Something wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Stable word for machines, for example `serial_lost`.
    pub code: String,
    /// A sentence for people, with what to do.
    pub text: String,
    /// Milliseconds since it began.
    pub since_ms: u64,
}

/// The timing rule: `lease < watchdog <= dead time`, each with its real value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Between two beats.
    pub beat_ms: u32,
    /// How long a proof lasts.
    pub lease_ms: u32,
    /// What the watchdog driver returned.
    pub watchdog_ms: u32,
    /// Silence on all media after which the owner counts as dead.
    pub dead_time_ms: u32,
}

/// One decision: what was seen, what was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Running number of the box that decided, from 1; it goes on over restarts.
    pub number: u64,
    /// Milliseconds since that box's boot.
    pub at_ms: u64,
    /// The same moment as milliseconds since 1970, by the clock of the box that shows it.
    #[serde(default)]
    pub unix_ms: u64,
    /// Box that decided.
    pub box_name: String,
    /// Group concerned.
    pub group: String,
    /// What was decided, one stable word.
    pub decision: String,
    /// What was seen, a sentence.
    pub cause: String,
    /// Epoch at the decision.
    pub epoch: u32,
    /// What was known of the other box and of the array; none where nothing of it mattered.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// Cost per phase, for a finished sequence; a take begins with `detect`.
    pub phases: Vec<Phase>,
}

/// What was known of the other box and of the array when something was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How long ago each medium brought a beat.
    pub media: Vec<HeardAgo>,
    /// Who held the reservation: a box name, `nobody`, `stranger` or `unknown`.
    pub holder: String,
    /// Age of that reading in milliseconds.
    pub holder_age_ms: Option<u64>,
}

/// How long ago one medium brought a beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardAgo {
    /// `serial`, `private` or `array`.
    pub medium: String,
    /// Milliseconds; none if it never did since boot.
    pub ago_ms: Option<u64>,
}
