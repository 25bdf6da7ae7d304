//! Which service group a word means: the one that is named, or the only one this pair has. Where a pair has
//! two, a word about mail goes to the mail service of the group whose domain it names.

use control::cluster::{self, NewGroup};
use control::directory::Request;
use control::wire;
use control::{GROUPS, GroupPlace, group_named, mail};

use crate::directory_words::{Alias, AppPassword, Domain, Group, User};
use crate::execute::{QUESTION_TIMEOUT, Sockets};
use crate::failure::Failure;
use crate::words::{Command, ServiceGroup};

/// The sockets with the mail service that `command` is for.
pub fn sockets(command: &Command, name: Option<&str>, sockets: &Sockets) -> Result<Sockets, Failure> {
    let place = match name {
        Some(name) => return named(name, sockets),
        None if sockets.paired && is_about_mail(command) => meant(command, sockets)?,
        None => return Ok(sockets.clone()),
    };
    Ok(of(place, sockets))
}

/// The sockets with the mail service of the group called `name`, which the service itself is called too.
pub fn named(name: &str, sockets: &Sockets) -> Result<Sockets, Failure> {
    let place = group_named(name).ok_or_else(|| Failure::NoSuchGroup(name.to_owned()))?;
    Ok(of(place, sockets))
}

fn of(place: &'static GroupPlace, sockets: &Sockets) -> Sockets {
    // The first group's socket is where the caller says.
    let mail = if place.number == 0 { sockets.mail.clone() } else { sockets.mail_of(place) };
    Sockets { mail, group: place.name, ..sockets.clone() }
}

/// The request that adds a group.
pub fn addition(words: ServiceGroup) -> cluster::Request {
    let ServiceGroup::Add { lun, addresses, first_domain, preferred, fail_back, format } = words else {
        return cluster::Request::Luns;
    };
    let domain = first_domain;
    let virtual_addresses = addresses;
    cluster::Request::AddGroup(NewGroup { lun, format, virtual_addresses, domain, preferred, fail_back })
}

/// The group that an unnamed word means.
fn meant(command: &Command, sockets: &Sockets) -> Result<&'static GroupPlace, Failure> {
    let reply = wire::call(&sockets.cluster, &cluster::Request::Status, QUESTION_TIMEOUT);
    let first = &GROUPS[0];
    // Without a cluster service, or with one group, there is nothing to choose.
    let Ok(cluster::Reply::Status(status)) = reply else { return Ok(first) };
    if status.groups.len() < 2 {
        return Ok(first);
    }
    let domain = domain_of(command).ok_or(Failure::WhichGroup)?;
    let known = status.groups.iter().filter_map(|group| group_named(&group.name));
    let mut having = known.filter(|place| has_domain(place, sockets, &domain));
    match (having.next(), having.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Failure::WhichGroup),
    }
}

/// Whether the group's mail service runs here and has the domain.
fn has_domain(place: &GroupPlace, sockets: &Sockets, domain: &str) -> bool {
    let socket = if place.number == 0 { sockets.mail.clone() } else { sockets.mail_of(place) };
    let request = mail::Request::Directory(Request::Domain { domain: domain.to_owned() });
    matches!(wire::call(&socket, &request, QUESTION_TIMEOUT), Ok(mail::Reply::Directory(_)))
}

fn is_about_mail(command: &Command) -> bool {
    matches!(
        command,
        Command::Domain(_)
            | Command::User(_)
            | Command::Group(_)
            | Command::Alias(_)
            | Command::AppPassword(_)
            | Command::Defaults(_)
            | Command::Queue(_)
            | Command::Smarthost(_)
            | Command::Receiving(_)
            | Command::Health
            | Command::Counters
            | Command::Store(_)
    )
}

/// The domain that a word names, by itself or in an address.
fn domain_of(command: &Command) -> Option<String> {
    let of = |address: &String| address.rsplit_once('@').map(|(_, domain)| domain.to_owned());
    match command {
        Command::Domain(Domain::Remove { domain } | Domain::Show { domain } | Domain::Set { domain, .. }) => {
            Some(domain.clone())
        }
        Command::User(word) => match word {
            User::Add { address, .. }
            | User::Remove { address }
            | User::Show { address }
            | User::Set { address, .. }
            | User::Password { address, .. }
            | User::Quota { address, .. }
            | User::Forward { address, .. } => of(address),
            User::List { domain, .. } | User::Export { domain } => domain.clone(),
            User::Import { .. } => None,
        },
        Command::Group(word) => match word {
            Group::Add { address, .. }
            | Group::Remove { address }
            | Group::Show { address }
            | Group::Set { address, .. }
            | Group::Join { address, .. }
            | Group::Leave { address, .. }
            | Group::Allow { address, .. }
            | Group::Forbid { address, .. } => of(address),
            Group::List { domain, .. } => domain.clone(),
        },
        Command::Alias(word) => match word {
            Alias::Add { address, .. } | Alias::Remove { address, .. } => of(address),
            Alias::List { domain, .. } => domain.clone(),
        },
        Command::AppPassword(word) => match word {
            AppPassword::Add { address, .. }
            | AppPassword::Remove { address, .. }
            | AppPassword::List { address } => of(address),
        },
        _ => None,
    }
}
