//! Carries a command out over the control sockets.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use control::cluster::{self, Role};
use control::directory::{GroupChange, Page, ROWS_MAX, Reply, Request, UserChange};
use control::wire::{self, WireError};
use control::{init, mail, telling};

use crate::answer::Answer;
use crate::directory_words::{Alias, AppPassword, Defaults, Domain, Group, Piece, User};
use crate::failure::Failure;
use crate::queue::Queue;
use crate::telling_words::{self, Alarm};
use crate::which_group;
use crate::words::{
    Clock, Command, Drill, Line, Peer, Power, Receiving, ServiceGroup, Smarthost, Store, Switch,
};

/// What a question may take.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// What a durable change of the mail service may take.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// What the test of both boxes' management controllers may take.
pub const FENCE_TEST_TIMEOUT: Duration = Duration::from_mins(1);
/// What a check of the whole store may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_hours(1);

/// Where the services listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// init.
    pub init: PathBuf,
    /// The cluster service.
    pub cluster: PathBuf,
    /// The mail service.
    pub mail: PathBuf,
    /// Service group of that mail service.
    pub group: &'static str,
    /// Whether the mail service belongs to a box of a pair; a single one knows no cluster.
    pub paired: bool,
}

impl Default for Sockets {
    /// The sockets of a box.
    fn default() -> Self {
        Self {
            init: control::INIT_SOCKET.into(),
            cluster: control::CLUSTER_SOCKET.into(),
            mail: control::MAIL_SOCKET.into(),
            group: control::FIRST_GROUP.name,
            paired: true,
        }
    }
}

impl Sockets {
    /// The three sockets in one directory, as in `/run/twinmail`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            init: dir.join("init.sock"),
            cluster: dir.join("cluster.sock"),
            mail: dir.join("mail.sock"),
            group: control::FIRST_GROUP.name,
            paired: true,
        }
    }

    /// Where the mail service of another group than the first listens.
    pub fn mail_of(&self, place: &control::GroupPlace) -> PathBuf {
        place.socket.into()
    }

    /// A mail service on its own.
    pub fn single(mail: PathBuf) -> Self {
        Self { mail, paired: false, ..Self::default() }
    }
}

/// Carries the command of `line` out. `password` is the one it needs, if any.
pub fn execute(line: Line, password: Option<String>, sockets: &Sockets) -> Result<Answer, Failure> {
    let Line { command, service_group: group, .. } = line;
    let sockets = &which_group::sockets(&command, group.as_deref(), sockets)?;
    match command {
        Command::ServiceGroup(ServiceGroup::List) => match ask_cluster(sockets, &cluster::Request::Status)? {
            Answer::Status(status) => Ok(Answer::ServiceGroups(status.groups)),
            other => Ok(other),
        },
        Command::ServiceGroup(ServiceGroup::Luns) => ask_cluster(sockets, &cluster::Request::Luns),
        Command::ServiceGroup(add) => ask_cluster(sockets, &which_group::addition(add)),
        Command::Status => ask_cluster(sockets, &cluster::Request::Status),
        Command::SwitchOver { to } => ask_cluster(sockets, &cluster::Request::SwitchOver { to, group }),
        Command::Maintenance { state } => {
            ask_cluster(sockets, &cluster::Request::Maintenance { on: state == Switch::On })
        }
        Command::Prefer { owner, fail_back } => {
            let owner = (owner != "none").then_some(owner);
            ask_cluster(sockets, &cluster::Request::Prefer { owner, fail_back, group })
        }
        Command::Records { records_max } => ask_cluster(sockets, &cluster::Request::Records { records_max }),
        Command::Log { lines_max, after } => ask_init(sockets, &init::Request::Log { after, lines_max }),
        Command::Services => ask_init(sockets, &init::Request::Services),
        Command::Alarm(Alarm::List) => {
            let Answer::Status(status) = ask_cluster(sockets, &cluster::Request::Status)? else {
                return Err(Failure::WrongKind("cluster"));
            };
            match ask_cluster(sockets, &Alarm::List.request())? {
                Answer::Telling(telling, _) => Ok(Answer::Telling(telling, Some(status.alarms))),
                other => Ok(other),
            }
        }
        Command::Alarm(alarm) => ask_cluster(sockets, &alarm.request()),
        Command::Metrics(metrics) => ask_cluster(sockets, &metrics.request()),
        Command::Peer(Peer::Forget { yes: false }) => Err(Failure::NotConfirmed),
        Command::FactoryReset { yes: false } => Err(Failure::ResetNotConfirmed),
        Command::FactoryReset { yes: true } => ask_cluster(sockets, &cluster::Request::FactoryReset),
        Command::Peer(Peer::Forget { yes: true }) => ask_cluster(sockets, &cluster::Request::ForgetPeer),
        Command::Fence(fence) => ask_cluster(sockets, &fence.request(password)?),
        Command::Drill(Drill::Now) => {
            ask_cluster(sockets, &cluster::Request::Telling(telling::Request::DrillNow))
        }
        Command::Drill(Drill::Report) => {
            ask_cluster(sockets, &cluster::Request::Telling(telling::Request::Operation))
        }
        Command::Drill(Drill::Schedule { time }) => ask_cluster(sockets, &telling_words::schedule(&time)?),
        Command::Drill(Drill::Kill { service }) => {
            ask_init(sockets, &init::Request::Drill { service, kind: init::DrillKind::Kill })
        }
        Command::Drill(Drill::Hang { service }) => {
            ask_init(sockets, &init::Request::Drill { service, kind: init::DrillKind::Hang })
        }
        Command::Drill(Drill::Exhaust { service }) => {
            ask_init(sockets, &init::Request::Drill { service, kind: init::DrillKind::Exhaust })
        }
        Command::Drill(Drill::Refuse { service }) => {
            ask_mail(&which_group::named(&service, sockets)?, &mail::Request::DrillRefuse)
        }
        Command::Power(Power::Rolling) => {
            ask_cluster(sockets, &cluster::Request::Telling(telling::Request::RollingRestart))
        }
        Command::Clock(Clock::Show) => Ok(Answer::Clock(SystemTime::now().into())),
        Command::Clock(Clock::Set { time }) => {
            ask_init(sockets, &init::Request::SetClock { unix_ms: time.unix_ms })
        }
        Command::Power(Power::Off) => ask_init(sockets, &init::Request::PowerOff),
        Command::Power(Power::Restart) => ask_init(sockets, &init::Request::Restart),
        command @ (Command::Domain(_)
        | Command::User(_)
        | Command::Group(_)
        | Command::Alias(_)
        | Command::AppPassword(_)
        | Command::Defaults(_)) => {
            let (request, rows) = directory_request(command, password)?;
            Ok(match ask_mail(sockets, &request)? {
                Answer::Directory(reply, _) => Answer::Directory(reply, rows),
                other => other,
            })
        }
        Command::Queue(queue) => ask_mail(sockets, &queue_request(queue)?),
        Command::Smarthost(smarthost) => ask_mail(sockets, &smarthost_request(smarthost, password)),
        Command::Receiving(receiving) => ask_mail(sockets, &receiving_request(receiving)),
        Command::Health => ask_mail(sockets, &mail::Request::Health),
        Command::Counters => ask_mail(sockets, &mail::Request::Counters),
        Command::Store(Store::Check) => ask_mail(sockets, &mail::Request::StoreCheck),
        Command::Store(Store::Index { rebuild }) => ask_mail(sockets, &mail::Request::TextIndex { rebuild }),
    }
}

/// The request of a word about the directory, and how many rows were asked for where it is a list.
fn directory_request(
    command: Command,
    password: Option<String>,
) -> Result<(mail::Request, Option<usize>), Failure> {
    let page = |domain, prefix, piece: Piece| Page {
        domain,
        prefix,
        after: piece.after,
        limit: piece.limit.min(ROWS_MAX),
    };
    let all = |domain, piece| page(domain, String::new(), piece);
    let request = match command {
        Command::Domain(word) => match word {
            Domain::Add { domain } => return Ok((mail::Request::DomainAdd { domain }, None)),
            Domain::Remove { domain } => return Ok((mail::Request::DomainRemove { domain }, None)),
            Domain::Dkim(words) => return Ok((mail::Request::Dkim(words.request()), None)),
            Domain::List { piece } => Request::Domains(all(None, piece)),
            Domain::Show { domain } => Request::Domain { domain },
            Domain::Set { domain, settings } => Request::DomainSet { domain, change: settings.change() },
        },
        Command::User(word) => match word {
            User::Add { address, settings, .. } => {
                let password = password.ok_or(Failure::NoPassword)?;
                Request::UserAdd { address, password, settings: settings.change() }
            }
            User::Remove { address } => return Ok((mail::Request::AccountRemove { address }, None)),
            User::List { domain, prefix, piece } => Request::Users(page(domain, prefix, piece)),
            User::Show { address } => Request::User { address },
            User::Set { address, settings } => Request::UserSet { address, change: settings.change() },
            User::Password { address, .. } => {
                let password = password.ok_or(Failure::NoPassword)?;
                return Ok((mail::Request::AccountPassword { address, password }, None));
            }
            User::Quota { address, quota } => {
                return Ok((mail::Request::AccountQuota { address, quota_bytes: quota.0 }, None));
            }
            User::Forward { address, targets, keep } => {
                let keep_copy = keep.map(Switch::is_on);
                let change = UserChange { forward_to: Some(targets), keep_copy, ..UserChange::default() };
                Request::UserSet { address, change }
            }
            User::Import { .. } | User::Export { .. } => return Err(Failure::NeedsFile),
        },
        Command::Group(word) => match word {
            Group::Add { address, members, settings } => Request::GroupAdd {
                address,
                change: GroupChange { add_members: members, ..settings.change() },
            },
            Group::Remove { address } => Request::GroupRemove { address },
            Group::List { domain, piece } => Request::Groups(all(domain, piece)),
            Group::Show { address } => Request::Group { address },
            Group::Set { address, settings } => Request::GroupSet { address, change: settings.change() },
            Group::Join { address, members } => group_set(address, |change| change.add_members = members),
            Group::Leave { address, members } => group_set(address, |change| change.remove_members = members),
            Group::Allow { address, senders } => group_set(address, |change| change.add_senders = senders),
            Group::Forbid { address, senders } => {
                group_set(address, |change| change.remove_senders = senders)
            }
        },
        Command::Alias(word) => match word {
            Alias::Add { address, target } => return Ok((mail::Request::AliasAdd { address, target }, None)),
            Alias::Remove { address, target } => {
                return Ok((mail::Request::AliasRemove { address, target }, None));
            }
            Alias::List { domain, piece } => Request::Aliases(all(domain, piece)),
        },
        Command::AppPassword(word) => match word {
            AppPassword::Add { address, name } => Request::AppPasswordAdd { address, name },
            AppPassword::Remove { address, name } => Request::AppPasswordRemove { address, name },
            AppPassword::List { address } => Request::AppPasswords { address },
        },
        Command::Defaults(word) => match word {
            Defaults::Show => Request::Defaults,
            Defaults::Set { limits } => Request::DefaultsSet { limits: limits.limits() },
        },
        _ => return Err(Failure::WrongKind("mail")),
    };
    let rows = match &request {
        Request::Domains(page) | Request::Users(page) | Request::Aliases(page) | Request::Groups(page) => {
            Some(page.limit)
        }
        _ => None,
    };
    Ok((mail::Request::Directory(request), rows))
}

fn group_set(address: String, set: impl FnOnce(&mut GroupChange)) -> Request {
    let mut change = GroupChange::default();
    set(&mut change);
    Request::GroupSet { address, change }
}

fn queue_request(queue: Queue) -> Result<mail::Request, Failure> {
    queue.request().map(mail::Request::Queue).ok_or(Failure::NothingNamed)
}

fn smarthost_request(smarthost: Smarthost, password: Option<String>) -> mail::Request {
    match smarthost {
        Smarthost::Set { host, user, .. } => mail::Request::SmarthostSet { host: Some(host), user, password },
        Smarthost::Clear => mail::Request::SmarthostSet { host: None, user: None, password: None },
    }
}

fn receiving_request(receiving: Receiving) -> mail::Request {
    let networks = |text: String| match text.as_str() {
        "none" => Vec::new(),
        text => text.split(',').map(|network| network.trim().to_owned()).collect(),
    };
    match receiving {
        Receiving::Show => mail::Request::ReceivingShow,
        Receiving::Set { proxy_from, lmtp_from, dmarc } => {
            mail::Request::ReceivingSet(mail::ReceivingChange {
                proxy_from: proxy_from.map(networks),
                lmtp_from: lmtp_from.map(networks),
                dmarc,
            })
        }
    }
}

fn ask_cluster(sockets: &Sockets, request: &cluster::Request) -> Result<Answer, Failure> {
    const NAME: &str = "cluster";
    let limit =
        if matches!(request, cluster::Request::Fence(_)) { FENCE_TEST_TIMEOUT } else { CHANGE_TIMEOUT };
    let reply: cluster::Reply = wire::call(&sockets.cluster, request, limit)
        .map_err(|error| failed(error, NAME, Failure::ClusterNotRunning))?;
    match (reply, request) {
        (cluster::Reply::Refused(reason), _) => Err(Failure::Refused(reason)),
        (cluster::Reply::Status(status), cluster::Request::Status) => Ok(Answer::Status(status)),
        (cluster::Reply::Records(records), cluster::Request::Records { .. }) => Ok(Answer::Records(records)),
        (cluster::Reply::Luns(luns), cluster::Request::Luns) => Ok(Answer::Luns(luns)),
        (cluster::Reply::Telling(telling), cluster::Request::Telling(_)) => {
            Ok(Answer::Telling(Box::new(telling), None))
        }
        (cluster::Reply::Fence(controllers), cluster::Request::Fence(_)) => Ok(Answer::Fence(controllers)),
        (cluster::Reply::Operation(operation), cluster::Request::Telling(_)) => {
            Ok(Answer::Operation(operation))
        }
        (cluster::Reply::Done, request) if changes_cluster(request) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
    }
}

fn changes_cluster(request: &cluster::Request) -> bool {
    !matches!(request, cluster::Request::Status | cluster::Request::Luns | cluster::Request::Records { .. })
}

fn ask_init(sockets: &Sockets, request: &init::Request) -> Result<Answer, Failure> {
    const NAME: &str = "init";
    let reply: init::Reply = wire::call(&sockets.init, request, QUESTION_TIMEOUT)
        .map_err(|error| failed(error, NAME, Failure::InitNotRunning))?;
    match (reply, request) {
        (init::Reply::Refused(reason), _) => Err(Failure::Refused(reason)),
        (init::Reply::Services(services), init::Request::Services) => Ok(Answer::Services(services)),
        (init::Reply::Log(lines), init::Request::Log { .. }) => Ok(Answer::Log(lines)),
        (
            init::Reply::Done,
            init::Request::PowerOff
            | init::Request::Restart
            | init::Request::Drill { .. }
            | init::Request::SetClock { .. },
        ) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
    }
}

/// One question to the mail service about the directory.
pub(crate) fn ask_directory(sockets: &Sockets, request: Request) -> Result<Reply, Failure> {
    match ask_mail(sockets, &mail::Request::Directory(request))? {
        Answer::Directory(reply, _) => Ok(*reply),
        _ => Err(Failure::WrongKind("mail")),
    }
}

fn ask_mail(sockets: &Sockets, request: &mail::Request) -> Result<Answer, Failure> {
    const NAME: &str = "mail";
    let timeout = match request {
        mail::Request::Health | mail::Request::Counters => QUESTION_TIMEOUT,
        mail::Request::StoreCheck => CHECK_TIMEOUT,
        _ => CHANGE_TIMEOUT,
    };
    let reply: mail::Reply = wire::call(&sockets.mail, request, timeout).map_err(|error| {
        let not_running = matches!(error, WireError::NotRunning { .. });
        failed(error, NAME, if not_running { why_no_mail(sockets) } else { Failure::MailNotRunning })
    })?;
    match (reply, request) {
        (mail::Reply::Refused(reason), _) => Err(Failure::Refused(reason)),
        (mail::Reply::Healthy { epoch, uptime_ms, commit_ms }, mail::Request::Health) => {
            Ok(Answer::Healthy { epoch, uptime_ms, commit_ms })
        }
        (
            mail::Reply::Receiving(receiving),
            mail::Request::ReceivingShow | mail::Request::ReceivingSet(_),
        ) => Ok(Answer::Receiving(receiving)),
        (mail::Reply::Counters(counters), mail::Request::Counters) => Ok(Answer::Counters(counters)),
        (mail::Reply::Directory(reply), mail::Request::Directory(request)) if fits(&reply, request) => {
            Ok(Answer::Directory(Box::new(reply), None))
        }
        (mail::Reply::Queue(reply), mail::Request::Queue(_)) => Ok(Answer::Queue(reply)),
        (mail::Reply::Dns(records), mail::Request::Dkim(_)) => Ok(Answer::Dns(records)),
        (mail::Reply::Check(report), mail::Request::StoreCheck) => Ok(Answer::Check(report)),
        (mail::Reply::TextIndex(index), mail::Request::TextIndex { .. }) => Ok(Answer::TextIndex(index)),
        (mail::Reply::Done, request) if changes_mail(request) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
    }
}

/// Whether this is an answer to that question.
fn fits(reply: &Reply, request: &Request) -> bool {
    use Request as Q;
    match reply {
        Reply::Domains(_) => matches!(request, Q::Domains(_)),
        Reply::Domain(_) => matches!(request, Q::Domain { .. }),
        Reply::Limits(_) => matches!(request, Q::Defaults | Q::DefaultsSet { .. }),
        Reply::Users(_) => matches!(request, Q::Users(_)),
        Reply::User(_) => matches!(request, Q::User { .. }),
        Reply::Aliases(_) => matches!(request, Q::Aliases(_)),
        Reply::Groups(_) => matches!(request, Q::Groups(_)),
        Reply::Group(_) => matches!(request, Q::Group { .. }),
        Reply::AppPasswords(_) => matches!(request, Q::AppPasswords { .. }),
        Reply::AppPassword(_) => matches!(request, Q::AppPasswordAdd { .. }),
        Reply::Imported(_) => matches!(request, Q::Import { .. }),
        Reply::Exported(_) => matches!(request, Q::Export(_)),
    }
}

fn changes_mail(request: &mail::Request) -> bool {
    use mail::Request as Q;
    if let Q::Directory(request) = request {
        return matches!(
            request,
            Request::DomainSet { .. }
                | Request::UserAdd { .. }
                | Request::UserSet { .. }
                | Request::GroupAdd { .. }
                | Request::GroupSet { .. }
                | Request::GroupRemove { .. }
                | Request::AppPasswordRemove { .. }
        );
    }
    !matches!(
        request,
        Q::Health | Q::Counters | Q::Queue(_) | Q::Dkim(_) | Q::StoreCheck | Q::TextIndex { .. }
    )
}

fn failed(error: WireError, service: &'static str, not_running: Failure) -> Failure {
    match error {
        WireError::NotRunning { .. } => not_running,
        source => Failure::NoAnswer { service, source },
    }
}

/// Nobody listens for the mail service: the cluster service knows where it is.
fn why_no_mail(sockets: &Sockets) -> Failure {
    if !sockets.paired {
        return Failure::MailNotRunning;
    }
    let reply = wire::call(&sockets.cluster, &cluster::Request::Status, QUESTION_TIMEOUT);
    let Ok(cluster::Reply::Status(status)) = reply else { return Failure::MailNotRunning };
    let meant = status.groups.iter().find(|group| group.name == sockets.group);
    let Some(group) = meant else { return Failure::MailNowhere };
    let served_here = matches!(group.role, Role::Active | Role::Taking | Role::Releasing);
    match group.holder.as_str() {
        _ if served_here => Failure::MailNotRunning,
        holder if !holder.is_empty() && holder == status.peer.box_name => {
            Failure::MailElsewhere(holder.to_owned())
        }
        _ => Failure::MailNowhere,
    }
}
