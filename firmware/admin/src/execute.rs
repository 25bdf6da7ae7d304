//! Carries a command out over the control sockets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use control::cluster::{self, Role};
use control::wire::{self, WireError};
use control::{init, mail};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::words::{Account, Alias, Command, Domain, Drill, Power, Queue, Smarthost, Store, Switch};

/// What a question may take.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// What a durable change of the mail service may take.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
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
            paired: true,
        }
    }

    /// A mail service on its own.
    pub fn single(mail: PathBuf) -> Self {
        Self { mail, paired: false, ..Self::default() }
    }
}

/// Carries `command` out. `password` is the one it needs, if any.
pub fn execute(command: Command, password: Option<String>, sockets: &Sockets) -> Result<Answer, Failure> {
    match command {
        Command::Status => ask_cluster(sockets, &cluster::Request::Status),
        Command::SwitchOver { to } => ask_cluster(sockets, &cluster::Request::SwitchOver { to }),
        Command::Maintenance { state } => {
            ask_cluster(sockets, &cluster::Request::Maintenance { on: state == Switch::On })
        }
        Command::Prefer { owner, fail_back } => {
            let owner = (owner != "none").then_some(owner);
            ask_cluster(sockets, &cluster::Request::Prefer { owner, fail_back })
        }
        Command::Records { records_max } => ask_cluster(sockets, &cluster::Request::Records { records_max }),
        Command::Log { lines_max, after } => ask_init(sockets, &init::Request::Log { after, lines_max }),
        Command::Services => ask_init(sockets, &init::Request::Services),
        Command::Drill(drill) => ask_init(sockets, &drill_request(drill)),
        Command::Power(Power::Off) => ask_init(sockets, &init::Request::PowerOff),
        Command::Power(Power::Restart) => ask_init(sockets, &init::Request::Restart),
        Command::Domain(domain) => ask_mail(sockets, &domain_request(domain)),
        Command::Account(account) => ask_mail(sockets, &account_request(account, password)?),
        Command::Alias(alias) => ask_mail(sockets, &alias_request(alias)),
        Command::Queue(queue) => ask_mail(sockets, &queue_request(queue)),
        Command::Smarthost(smarthost) => ask_mail(sockets, &smarthost_request(smarthost, password)),
        Command::Health => ask_mail(sockets, &mail::Request::Health),
        Command::Counters => ask_mail(sockets, &mail::Request::Counters),
        Command::Store(Store::Check) => ask_mail(sockets, &mail::Request::StoreCheck),
    }
}

fn domain_request(domain: Domain) -> mail::Request {
    match domain {
        Domain::Add { domain } => mail::Request::DomainAdd { domain },
        Domain::Remove { domain } => mail::Request::DomainRemove { domain },
        Domain::List => mail::Request::DomainList,
    }
}

fn account_request(account: Account, password: Option<String>) -> Result<mail::Request, Failure> {
    Ok(match account {
        Account::Add { address, quota, .. } => {
            let password = password.ok_or(Failure::NoPassword)?;
            mail::Request::AccountAdd { address, password, quota_bytes: quota.0 }
        }
        Account::Remove { address } => mail::Request::AccountRemove { address },
        Account::List { domain } => mail::Request::AccountList { domain },
        Account::Password { address, .. } => {
            mail::Request::AccountPassword { address, password: password.ok_or(Failure::NoPassword)? }
        }
        Account::Quota { address, quota } => mail::Request::AccountQuota { address, quota_bytes: quota.0 },
    })
}

fn alias_request(alias: Alias) -> mail::Request {
    match alias {
        Alias::Add { address, target } => mail::Request::AliasAdd { address, target },
        Alias::Remove { address, target } => mail::Request::AliasRemove { address, target },
        Alias::List { domain } => mail::Request::AliasList { domain },
    }
}

fn queue_request(queue: Queue) -> mail::Request {
    match queue {
        Queue::List => mail::Request::QueueList,
        Queue::Retry { id } => mail::Request::QueueRetry { id },
        Queue::Drop { id } => mail::Request::QueueDrop { id },
    }
}

fn smarthost_request(smarthost: Smarthost, password: Option<String>) -> mail::Request {
    match smarthost {
        Smarthost::Set { host, user, .. } => mail::Request::SmarthostSet { host: Some(host), user, password },
        Smarthost::Clear => mail::Request::SmarthostSet { host: None, user: None, password: None },
    }
}

fn ask_cluster(sockets: &Sockets, request: &cluster::Request) -> Result<Answer, Failure> {
    const NAME: &str = "cluster";
    let reply: cluster::Reply = wire::call(&sockets.cluster, request, CHANGE_TIMEOUT)
        .map_err(|error| failed(error, NAME, Failure::ClusterNotRunning))?;
    match (reply, request) {
        (cluster::Reply::Refused(reason), _) => Err(Failure::Refused(reason)),
        (cluster::Reply::Status(status), cluster::Request::Status) => Ok(Answer::Status(status)),
        (cluster::Reply::Records(records), cluster::Request::Records { .. }) => Ok(Answer::Records(records)),
        (cluster::Reply::Done, request) if changes_cluster(request) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
    }
}

fn drill_request(drill: Drill) -> init::Request {
    let (service, kind) = match drill {
        Drill::Kill { service } => (service, init::DrillKind::Kill),
        Drill::Hang { service } => (service, init::DrillKind::Hang),
    };
    init::Request::Drill { service, kind }
}

fn changes_cluster(request: &cluster::Request) -> bool {
    !matches!(request, cluster::Request::Status | cluster::Request::Records { .. })
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
            init::Request::PowerOff | init::Request::Restart | init::Request::Drill { .. },
        ) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
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
        (mail::Reply::Counters(counters), mail::Request::Counters) => Ok(Answer::Counters(counters)),
        (mail::Reply::Domains(domains), mail::Request::DomainList) => Ok(Answer::Domains(domains)),
        (mail::Reply::Accounts(accounts), mail::Request::AccountList { .. }) => {
            Ok(Answer::Accounts(accounts))
        }
        (mail::Reply::Aliases(aliases), mail::Request::AliasList { .. }) => Ok(Answer::Aliases(aliases)),
        (mail::Reply::Queue(queue), mail::Request::QueueList) => Ok(Answer::Queue(queue)),
        (mail::Reply::Check(report), mail::Request::StoreCheck) => Ok(Answer::Check(report)),
        (mail::Reply::Done, request) if changes_mail(request) => Ok(Answer::Done),
        _ => Err(Failure::WrongKind(NAME)),
    }
}

fn changes_mail(request: &mail::Request) -> bool {
    use mail::Request as Q;
    !matches!(
        request,
        Q::Health
            | Q::Counters
            | Q::DomainList
            | Q::AccountList { .. }
            | Q::AliasList { .. }
            | Q::QueueList
            | Q::StoreCheck
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
    let Some(group) = status.groups.first() else { return Failure::MailNowhere };
    let served_here = matches!(group.role, Role::Active | Role::Taking | Role::Releasing);
    match group.holder.as_str() {
        _ if served_here => Failure::MailNotRunning,
        holder if !holder.is_empty() && holder == status.peer.box_name => {
            Failure::MailElsewhere(holder.to_owned())
        }
        _ => Failure::MailNowhere,
    }
}
