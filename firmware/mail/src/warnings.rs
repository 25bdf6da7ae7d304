//! Warning mail: tells users and postmasters that a mailbox or a domain is nearly full.
//!
//! The store says who is to be warned, durably and once per crossing; here the message is written, in the
//! user's language, and delivered whatever room there is.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use store::{AccountId, Body, Quota, Store, StoreError, Subject, Warning};

use crate::clock::unix_s;
use crate::counters::count;
use crate::service::Shared;

/// Pause after the store could not take a warning; the disk may be full.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Accounts behind one postmaster address that are told.
const POSTMASTERS_MAX: usize = 20;
/// Octets in a line of base64 (RFC 2045 6.8).
const BASE64_LINE: usize = 76;

/// Delivers warnings until the service stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.store.watch_warnings();
    loop {
        let pause = match deliver_due(&shared).await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!("a warning could not be delivered, it will be tried again: {error}");
                Some(RETRY_PAUSE)
            }
        };
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => drop(changed.changed().await),
            }
        };
        tokio::select! {
            () = shared.stop_ordered() => return,
            () = again => {}
        }
    }
}

async fn deliver_due(shared: &Arc<Shared>) -> Result<(), StoreError> {
    loop {
        let due = shared.store.warnings_due()?;
        if due.is_empty() {
            return Ok(());
        }
        for warning in due {
            let (accounts, text) = match warning.subject {
                Subject::Account(account) => to_user(shared, account, warning.percent)?,
                Subject::Domain(_) => to_postmaster(shared, warning)?,
            };
            let delivered =
                shared.store.deliver_warning(warning, accounts, Body::new(Bytes::from(text))).await?;
            count(&shared.counters.warnings, u64::from(delivered));
        }
    }
}

fn to_user(shared: &Shared, account: AccountId, percent: u8) -> Result<(Vec<AccountId>, String), StoreError> {
    let Some(found) = shared.store.account(account)? else { return Ok((Vec::new(), String::new())) };
    let domain = found.address.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned();
    let language = match found.language {
        Some(language) => Some(language),
        None => shared.store.domain(&domain)?.and_then(|domain| domain.language.clone()),
    };
    let letter =
        Letter { language: Language::of(language.as_deref()), percent, quota: found.quota, domain: None };
    Ok((vec![account], letter.message(&shared.policies.exchange.host_name, &domain, &found.address)))
}

/// The postmaster of the domain; without one there, the postmaster of the first domain.
fn to_postmaster(shared: &Shared, warning: Warning) -> Result<(Vec<AccountId>, String), StoreError> {
    let nobody = (Vec::new(), String::new());
    let Subject::Domain(id) = warning.subject else { return Ok(nobody) };
    let Some((record, quota)) = shared.store.domain_use(id)? else { return Ok(nobody) };
    let mut address = format!("postmaster@{}", record.name);
    let mut accounts = shared.store.accounts_behind(&address, POSTMASTERS_MAX)?;
    if accounts.is_empty()
        && let Some(first) = shared.store.first_domain()?
    {
        address = format!("postmaster@{first}");
        accounts = shared.store.accounts_behind(&address, POSTMASTERS_MAX)?;
    }
    let language =
        Language::of(record.language.as_deref().or(language_of(&shared.store, &accounts)?.as_deref()));
    let letter = Letter { language, percent: warning.percent, quota, domain: Some(&record.name) };
    let message = letter.message(&shared.policies.exchange.host_name, &record.name, &address);
    Ok((accounts, message))
}

fn language_of(store: &Store, accounts: &[AccountId]) -> Result<Option<String>, StoreError> {
    let Some(account) = accounts.first() else { return Ok(None) };
    Ok(store.account(*account)?.and_then(|account| account.language))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    En,
    Zh,
}

impl Language {
    fn of(word: Option<&str>) -> Self {
        if word == Some("zh") { Self::Zh } else { Self::En }
    }
}

/// What a warning says.
struct Letter<'a> {
    language: Language,
    percent: u8,
    quota: Quota,
    /// The domain it is about; none for the reader's own mailbox.
    domain: Option<&'a str>,
}

impl Letter<'_> {
    /// The whole message (RFC 5322), marked as made by a machine (RFC 3834).
    fn message(&self, host_name: &str, from_domain: &str, to: &str) -> String {
        let now_s = unix_s();
        let id = format!("{now_s}.{}.{}", self.percent, fingerprint(to));
        let subject = base64::engine::general_purpose::STANDARD.encode(self.subject());
        format!(
            "Return-Path: <>\r\nDate: {date}\r\nFrom: <postmaster@{from_domain}>\r\nTo: <{to}>\r\n\
             Subject: =?UTF-8?B?{subject}?=\r\nMessage-ID: <warning.{id}@{host_name}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}",
            date = smtp::date::format(now_s),
            text = base64_lines(self.text().as_bytes()),
        )
    }

    fn subject(&self) -> String {
        let percent = self.percent;
        match (self.language, self.domain) {
            (Language::En, None) => format!("Your mailbox is {percent} % full"),
            (Language::Zh, None) => format!("您的邮箱已用 {percent}%"),
            (Language::En, Some(domain)) => format!("The domain {domain} is {percent} % full"),
            (Language::Zh, Some(domain)) => format!("域名 {domain} 已用 {percent}%"),
        }
    }

    fn text(&self) -> String {
        let amounts = self.amounts();
        match (self.language, self.domain) {
            (Language::En, None) => format!(
                "Your mailbox is nearly full:\r\n{amounts}\r\nWhen it is full, new mail to you is refused. \
                 You can always log in, read,\r\ndelete, move to the trash, and send. Delete mail that you do not \
                 need, and\r\nempty the trash.\r\n"
            ),
            (Language::Zh, None) => format!(
                "您的邮箱快满了：\r\n{amounts}\r\n邮箱满后，发给您的新邮件将被拒收。您仍可登录、阅读、删除、\
                 移到已删除文件夹和发送邮件。\r\n请删除不需要的邮件，并清空已删除文件夹。\r\n"
            ),
            (Language::En, Some(domain)) => format!(
                "The users of {domain} together are near the space of their domain:\r\n{amounts}\r\nWhen it is \
                 full, new mail to all of them is refused. Have mail deleted, or\r\ngive the domain more space: \
                 domain set {domain} --space SIZE\r\n"
            ),
            (Language::Zh, Some(domain)) => format!(
                "域名 {domain} 的用户合计用量已接近域名的空间上限：\r\n{amounts}\r\n空间用尽后，发给该域名\
                 所有用户的新邮件将被拒收。\r\n请删除邮件，或增大域名空间：domain set {domain} --space 大小\r\n"
            ),
        }
    }

    fn amounts(&self) -> String {
        let mut lines = String::new();
        let quota = &self.quota;
        if let Some(limit) = quota.limit_bytes {
            let (used, limit) = (mebibytes(quota.used_bytes), mebibytes(limit));
            lines += &match self.language {
                Language::En => format!("  {used} MiB of {limit} MiB\r\n"),
                Language::Zh => format!("  空间 {used} MiB，上限 {limit} MiB\r\n"),
            };
        }
        if let Some(limit) = quota.limit_messages {
            let used = quota.used_messages;
            lines += &match self.language {
                Language::En => format!("  {used} messages of {limit}\r\n"),
                Language::Zh => format!("  邮件 {used} 封，上限 {limit} 封\r\n"),
            };
        }
        lines
    }
}

/// With one decimal.
fn mebibytes(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Keeps message identifiers of one second apart.
fn fingerprint(text: &str) -> u64 {
    // FNV-1a.
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

pub(crate) fn base64_lines(bytes: &[u8]) -> String {
    let mut lines = String::new();
    for line in base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes().chunks(BASE64_LINE) {
        lines.extend(line.iter().map(|byte| char::from(*byte)));
        lines += "\r\n";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_how_full_and_what_to_do_in_both_languages() {
        let quota = Quota {
            limit_bytes: Some(10 << 20),
            limit_messages: Some(100),
            used_bytes: (9 << 20) + (1 << 19),
            used_messages: 3,
        };
        for (language, domain, words) in [
            (Language::En, None, ["95 %", "9.5 MiB of 10.0 MiB", "3 messages of 100", "empty the trash"]),
            (Language::Zh, None, ["95%", "空间 9.5 MiB", "邮件 3 封", "清空"]),
            (Language::En, Some("x.test"), ["x.test", "9.5 MiB", "95 %", "--space"]),
            (Language::Zh, Some("x.test"), ["x.test", "9.5 MiB", "95%", "--space"]),
        ] {
            let letter = Letter { language, percent: 95, quota, domain };
            let said = letter.subject() + &letter.text();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
            let message = letter.message("mx.x.test", "x.test", "a@x.test");
            assert!(message.lines().all(|line| line.len() <= 120 && line.is_ascii()), "{message}");
            assert!(message.contains("Auto-Submitted: auto-generated\r\n"));
        }
    }
}
