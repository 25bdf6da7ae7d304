//! Administration of domains, users, groups and aliases: from the words of `control` to the store's.

use std::sync::Arc;

use control::directory as words;
use control::directory::{Reply, Request, RowOutcome, UserRow};
use control::mail;
use store::{
    AccountChange, DomainChange, DomainInUse, GroupChange, ImportMode, Imported, Limit, LimitName, LimitSet,
    NewUser, Page, PasswordHash, Protocol, Protocols, StoreError, User, WhoMaySend,
};

use crate::admin::{a_labels, address_in_a_labels, aside, hash, sentence};
use crate::password;
use crate::service::Shared;

/// Threads that hash the passwords of an import.
const HASHING_THREADS_MAX: usize = 4;

/// A refusal is a sentence.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<mail::Reply, String> {
    let store = &shared.store;
    match request {
        Request::DomainSet { domain, change } => {
            store.set_domain(&a_labels(&domain)?, domain_change(change)?).await
        }
        Request::UserAdd { address, password, settings } => {
            let user = NewUser {
                address: address_in_a_labels(&address)?,
                password: Some(hash(password).await?),
                settings: user_change(settings)?,
            };
            return match import(shared, vec![user], ImportMode::default()).await?.pop() {
                Some(Imported::Skipped) => Err(StoreError::Exists(address).to_string()),
                Some(Imported::Refused(error)) => Err(sentence(error)),
                _ => Ok(mail::Reply::Done),
            };
        }
        Request::UserSet { address, change } => {
            store.set_account(&address_in_a_labels(&address)?, user_change(change)?).await
        }
        Request::GroupAdd { address, change } => {
            store.add_group(&address_in_a_labels(&address)?, group_change(change)?).await
        }
        Request::GroupSet { address, change } => {
            store.set_group(&address_in_a_labels(&address)?, group_change(change)?).await
        }
        Request::GroupRemove { address } => store.remove_group(&address_in_a_labels(&address)?).await,
        Request::AppPasswordRemove { address, name } => {
            store.remove_app_password(&address_in_a_labels(&address)?, &name).await
        }
        other => return question(shared, other).await.map(mail::Reply::Directory),
    }
    .map(|()| mail::Reply::Done)
    .map_err(sentence)
}

/// What is answered with more than that it is done.
async fn question(shared: &Arc<Shared>, request: Request) -> Result<Reply, String> {
    match request {
        Request::Domains(page) => {
            let page = self::page(page)?;
            let list = aside(shared, move |shared| shared.store.domains_in_use(&page)).await?;
            Ok(Reply::Domains(list.into_iter().map(domain).collect()))
        }
        Request::Domain { domain: name } => {
            let name = a_labels(&name)?;
            let found = shared.store.domain_in_use(&name).map_err(sentence)?;
            let found = found.ok_or(StoreError::NoSuchDomain(name)).map_err(sentence)?;
            Ok(Reply::Domain(Box::new(domain(found))))
        }
        Request::Defaults => {
            shared.store.system_limits().map(|set| Reply::Limits(limits(&set))).map_err(sentence)
        }
        Request::DefaultsSet { limits: changes } => {
            let set = shared.store.set_system_limits(limit_changes(&changes)).await.map_err(sentence)?;
            Ok(Reply::Limits(limits(&set)))
        }
        Request::Users(page) => {
            let page = self::page(page)?;
            let list = aside(shared, move |shared| {
                shared.store.users(&page)?.into_iter().map(|found| user(shared, found)).collect()
            });
            list.await.map(Reply::Users)
        }
        Request::User { address } => {
            let found = shared.store.user(&address_in_a_labels(&address)?).map_err(sentence)?;
            let found = found.ok_or(StoreError::NoSuchAccount).map_err(sentence)?;
            Ok(Reply::User(Box::new(user(shared, found).map_err(sentence)?)))
        }
        Request::Aliases(page) => {
            let page = self::page(page)?;
            let list = aside(shared, move |shared| shared.store.aliases_page(&page)).await?;
            let alias = |one: store::Alias| words::Alias { address: one.address, targets: one.targets };
            Ok(Reply::Aliases(list.into_iter().map(alias).collect()))
        }
        Request::Groups(page) => {
            let page = self::page(page)?;
            let list = aside(shared, move |shared| shared.store.groups(&page)).await?;
            Ok(Reply::Groups(list.into_iter().map(group).collect()))
        }
        Request::Group { address } => {
            let found = shared.store.group(&address_in_a_labels(&address)?).map_err(sentence)?;
            let found = found.ok_or(StoreError::NoSuchGroup).map_err(sentence)?;
            Ok(Reply::Group(Box::new(group(found))))
        }
        Request::AppPasswords { address } => app_passwords(shared, &address),
        Request::AppPasswordAdd { address, name } => {
            let (password, record) = password::new_app_password().map_err(|error| error.to_string())?;
            let address = address_in_a_labels(&address)?;
            shared.store.add_app_password(&address, &name, record).await.map_err(sentence)?;
            Ok(Reply::AppPassword(password))
        }
        Request::Import { rows, update, dry_run } => {
            import_rows(shared, rows, ImportMode { update, dry_run }).await.map(Reply::Imported)
        }
        Request::Export(page) => {
            let page = self::page(page)?;
            let list = aside(shared, move |shared| shared.store.users(&page)).await?;
            Ok(Reply::Exported(list.into_iter().map(row).collect()))
        }
        _ => Err("the request is answered elsewhere".to_owned()),
    }
}

fn app_passwords(shared: &Shared, address: &str) -> Result<Reply, String> {
    let account = shared.store.account_by_name(&address_in_a_labels(address)?).map_err(sentence)?;
    let account = account.ok_or(StoreError::NoSuchAccount).map_err(sentence)?;
    let list = shared.store.app_passwords(account.id).map_err(sentence)?;
    let shown = |one: store::AppPassword| words::AppPassword {
        name: one.name,
        created_s: one.created_s,
        last_used_s: one.last_used_s,
    };
    Ok(Reply::AppPasswords(list.into_iter().map(shown).collect()))
}

// --- import ---

/// Rows that cannot be users are refused here, the others by the store; outcomes in the order of the rows.
async fn import_rows(
    shared: &Arc<Shared>,
    rows: Vec<UserRow>,
    mode: ImportMode,
) -> Result<Vec<RowOutcome>, String> {
    if rows.len() > words::ROWS_MAX {
        return Err(format!("at most {} rows can be imported at once", words::ROWS_MAX));
    }
    let prepared = prepare(rows, mode).await?;
    let mut outcomes = Vec::with_capacity(prepared.len());
    let mut users = Vec::with_capacity(prepared.len());
    for row in prepared {
        match row {
            Ok(user) => {
                outcomes.push(None);
                users.push(user);
            }
            Err(reason) => outcomes.push(Some(RowOutcome::Refused(reason))),
        }
    }
    let mut stored = import(shared, users, mode).await?.into_iter();
    let outcome = |known: Option<RowOutcome>| match known {
        Some(refused) => refused,
        None => stored.next().map_or_else(|| RowOutcome::Refused("it was forgotten".to_owned()), row_outcome),
    };
    Ok(outcomes.into_iter().map(outcome).collect())
}

async fn import(
    shared: &Arc<Shared>,
    users: Vec<NewUser>,
    mode: ImportMode,
) -> Result<Vec<Imported>, String> {
    shared.store.import_users(users, mode).await.map_err(sentence)
}

/// Checks and hashes rows, on several threads: hashing is nearly all the work of an import.
async fn prepare(rows: Vec<UserRow>, mode: ImportMode) -> Result<Vec<Result<NewUser, String>>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(HASHING_THREADS_MAX);
    let share = rows.len().div_ceil(threads).max(1);
    let mut rows = rows.into_iter();
    let mut parts = Vec::new();
    loop {
        let part: Vec<UserRow> = rows.by_ref().take(share).collect();
        if part.is_empty() {
            break;
        }
        let make = move || part.into_iter().map(|row| new_user(row, mode)).collect::<Vec<_>>();
        parts.push(tokio::task::spawn_blocking(make));
    }
    let mut prepared = Vec::new();
    for part in parts {
        prepared.extend(part.await.map_err(|error| format!("the request failed: {error}"))?);
    }
    Ok(prepared)
}

fn new_user(row: UserRow, mode: ImportMode) -> Result<NewUser, String> {
    let password = match row.password {
        Some(record) if password::is_record(&record) => password::accept_record(&record).map(Some),
        Some(clear) if mode.dry_run => {
            password::check_length(&clear).map(|()| Some(PasswordHash(String::new())))
        }
        Some(clear) => password::hash_import(&clear).map(Some),
        None => Ok(None),
    };
    Ok(NewUser {
        address: address_in_a_labels(&row.address)?,
        password: password.map_err(|error| error.to_string())?,
        settings: user_change(row.settings)?,
    })
}

fn row_outcome(imported: Imported) -> RowOutcome {
    match imported {
        Imported::Added => RowOutcome::Added,
        Imported::Updated => RowOutcome::Updated,
        Imported::Skipped => RowOutcome::Skipped,
        Imported::Refused(error) => RowOutcome::Refused(error.to_string()),
    }
}

/// As an import takes it: what is not set is left out.
fn row(user: User) -> UserRow {
    let account = user.account;
    UserRow {
        address: account.address,
        password: Some(account.password.0),
        settings: words::UserChange {
            enabled: Some(account.enabled),
            protocols: Some(protocols(account.protocols)),
            name: Some(account.display_name).filter(|name| !name.is_empty()),
            language: account.language,
            limits: limits(&account.limits),
            forward_to: Some(user.forward_to).filter(|targets| !targets.is_empty()),
            keep_copy: Some(account.forward_keep),
        },
    }
}

// --- words to the store ---

fn page(page: words::Page) -> Result<Page, String> {
    let domain = page.domain.as_deref().map(a_labels).transpose()?;
    Ok(Page { domain, prefix: page.prefix, after: page.after, limit: page.limit.min(words::ROWS_MAX) })
}

fn domain_change(change: words::DomainChange) -> Result<DomainChange, String> {
    Ok(DomainChange {
        enabled: change.enabled,
        space_bytes: change.space.map(limit),
        users: change.users.map(limit),
        protocols: change.protocols.map(switched_on),
        plus_addressing: change.plus_addressing,
        language: change.language.map(unless_empty),
        defaults: limit_changes(&change.defaults),
        sending: limit_changes(&change.sending),
        catch_all: match change.catch_all.map(unless_empty) {
            Some(Some(target)) => Some(Some(address_in_a_labels(&target)?)),
            other => other,
        },
    })
}

fn user_change(change: words::UserChange) -> Result<AccountChange, String> {
    Ok(AccountChange {
        enabled: change.enabled,
        protocols: change.protocols.map(switched_on),
        display_name: change.name,
        language: change.language.map(unless_empty),
        limits: limit_changes(&change.limits),
        forward_to: change.forward_to.map(addresses).transpose()?,
        forward_keep: change.keep_copy,
    })
}

fn group_change(change: words::GroupChange) -> Result<GroupChange, String> {
    let who = |who| match who {
        words::WhoMaySend::Anyone => WhoMaySend::Anyone,
        words::WhoMaySend::Members => WhoMaySend::Members,
        words::WhoMaySend::Domain => WhoMaySend::Domain,
        words::WhoMaySend::Named => WhoMaySend::Named,
    };
    Ok(GroupChange {
        name: change.name,
        who: change.who.map(who),
        add_members: addresses(change.add_members)?,
        remove_members: addresses(change.remove_members)?,
        add_senders: addresses(change.add_senders)?,
        remove_senders: addresses(change.remove_senders)?,
    })
}

fn addresses(list: Vec<String>) -> Result<Vec<String>, String> {
    list.iter().map(|address| address_in_a_labels(address)).collect()
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn limit(limit: words::Limit) -> Limit {
    match limit {
        words::Limit::Default => Limit::Unset,
        words::Limit::None => Limit::Unlimited,
        words::Limit::AtMost(number) => Limit::AtMost(number),
    }
}

fn limit_changes(changes: &words::Limits) -> Vec<(LimitName, Limit)> {
    let change = |(name, one): (&words::LimitName, &words::Limit)| (limit_name(*name), limit(*one));
    changes.iter().map(change).collect()
}

fn limit_name(name: words::LimitName) -> LimitName {
    match name {
        words::LimitName::Space => LimitName::SpaceBytes,
        words::LimitName::Messages => LimitName::Messages,
        words::LimitName::LargestMessage => LimitName::MessageBytes,
        words::LimitName::LargestAttachment => LimitName::AttachmentBytes,
        words::LimitName::MessagesHour => LimitName::MessagesHour,
        words::LimitName::MessagesDay => LimitName::MessagesDay,
        words::LimitName::RecipientsHour => LimitName::RecipientsHour,
        words::LimitName::RecipientsDay => LimitName::RecipientsDay,
    }
}

fn switched_on(list: Vec<words::Protocol>) -> Protocols {
    list.into_iter().fold(Protocols::NONE, |on, protocol| on.with(stored_protocol(protocol)))
}

fn stored_protocol(protocol: words::Protocol) -> Protocol {
    match protocol {
        words::Protocol::Smtp => Protocol::Submission,
        words::Protocol::Imap => Protocol::Imap,
        words::Protocol::Pop3 => Protocol::Pop3,
        words::Protocol::Webmail => Protocol::Webmail,
    }
}

// --- the store's to words ---

fn protocols(on: Protocols) -> Vec<words::Protocol> {
    words::Protocol::ALL.into_iter().filter(|protocol| on.has(stored_protocol(*protocol))).collect()
}

/// Those that are set.
fn limits(set: &LimitSet) -> words::Limits {
    let shown = |name: words::LimitName| match set.get(limit_name(name)) {
        Limit::Unset => None,
        Limit::Unlimited => Some((name, words::Limit::None)),
        Limit::AtMost(number) => Some((name, words::Limit::AtMost(number))),
    };
    words::LimitName::ALL.into_iter().filter_map(shown).collect()
}

fn user(shared: &Shared, user: User) -> Result<words::User, StoreError> {
    let account = user.account;
    let in_force = shared.store.limits(account.id)?;
    let in_force = words::LimitName::ALL
        .into_iter()
        .filter_map(|name| Some((name, in_force.get(limit_name(name)).value()?)))
        .collect();
    Ok(words::User {
        address: account.address,
        name: account.display_name,
        enabled: account.enabled,
        quota_bytes: account.quota.limit_bytes,
        used_bytes: account.quota.used_bytes,
        messages: account.quota.used_messages,
        protocols: protocols(account.protocols),
        language: account.language,
        limits: limits(&account.limits),
        in_force,
        forward_to: user.forward_to,
        keep_copy: account.forward_keep,
    })
}

fn domain(found: DomainInUse) -> words::Domain {
    let record = found.record;
    words::Domain {
        domain: record.name,
        enabled: record.enabled,
        accounts: found.accounts,
        accounts_max: record.users.value(),
        aliases: found.aliases,
        groups: found.groups,
        quota_bytes: record.space_bytes.value(),
        used_bytes: found.quota.used_bytes,
        messages: found.quota.used_messages,
        protocols: protocols(record.protocols),
        plus_addressing: record.plus_addressing,
        language: record.language,
        catch_all: found.catch_all,
        defaults: limits(&record.defaults),
        sending: limits(&record.sending),
    }
}

fn group(group: store::Group) -> words::Group {
    let who = match group.who {
        WhoMaySend::Anyone => words::WhoMaySend::Anyone,
        WhoMaySend::Members => words::WhoMaySend::Members,
        WhoMaySend::Domain => words::WhoMaySend::Domain,
        WhoMaySend::Named => words::WhoMaySend::Named,
    };
    words::Group {
        address: group.address,
        name: group.name,
        who,
        senders: group.senders,
        members: group.members,
    }
}
