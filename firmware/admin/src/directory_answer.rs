//! Answers about domains, users, groups, aliases and app passwords, for people.

use control::directory::{
    Alias, AppPassword, Domain, Group, Limit, LimitName, Limits, Protocol, Reply, User, WhoMaySend,
};

use crate::answer::{headings, listed};
use crate::language::Language;
use crate::table::{Table, printable, size};
use crate::text::Text;

/// Lines for people.
pub fn human(reply: &Reply, language: Language) -> String {
    match reply {
        Reply::Domains(domains) => listed(domains, language, domain_table),
        Reply::Domain(domain) => show(&domain_lines(domain, language)),
        Reply::Limits(limits) => show(&limit_lines(limits, language)),
        Reply::Users(users) => listed(users, language, user_table),
        Reply::User(user) => show(&user_lines(user, language)),
        Reply::Aliases(aliases) => listed(aliases, language, alias_table),
        Reply::Groups(groups) => listed(groups, language, group_table),
        Reply::Group(group) => show(&group_lines(group, language)),
        Reply::AppPasswords(list) => listed(list, language, app_password_table),
        Reply::AppPassword(password) => Text::NewAppPassword.fill(language, &[password]) + "\n",
        // Both are written row by row where they are asked for.
        Reply::Imported(_) | Reply::Exported(_) => String::new(),
    }
}

/// One line of JSON: the lists and things themselves.
pub fn json(reply: &Reply) -> String {
    let value = serde_json::to_value(reply).ok();
    let inner = value.and_then(|value| value.as_object().and_then(|object| object.values().next().cloned()));
    let inner = match reply {
        Reply::AppPassword(password) => Some(serde_json::json!({ "password": password })),
        _ => inner,
    };
    inner.unwrap_or_default().to_string()
}

/// How many rows, and the last one's name, for who goes on from there.
pub fn last_row(reply: &Reply) -> Option<(usize, &str)> {
    let (count, last) = match reply {
        Reply::Domains(list) => (list.len(), list.last().map(|one| &one.domain)),
        Reply::Users(list) => (list.len(), list.last().map(|one| &one.address)),
        Reply::Aliases(list) => (list.len(), list.last().map(|one| &one.address)),
        Reply::Groups(list) => (list.len(), list.last().map(|one| &one.address)),
        _ => return None,
    };
    last.map(|last| (count, last.as_str()))
}

fn amount(limit: Option<u64>, is_size: bool, language: Language) -> String {
    match limit {
        Some(bytes) if is_size => size(bytes),
        Some(number) => number.to_string(),
        None => Text::Unlimited.get(language).to_owned(),
    }
}

fn on_off(on: bool, language: Language) -> String {
    if on { Text::SwitchedOn } else { Text::SwitchedOff }.get(language).to_owned()
}

fn domain_table(domains: &[Domain], language: Language) -> Table {
    use Text as T;
    let columns = [
        T::Domain,
        T::State,
        T::AccountsHeading,
        T::AliasesHeading,
        T::GroupsHeading,
        T::Used,
        T::QuotaHeading,
    ];
    let mut table = headings(&columns, language);
    for domain in domains {
        let accounts = match domain.accounts_max {
            Some(most) => format!("{}/{most}", domain.accounts),
            None => domain.accounts.to_string(),
        };
        table.row([
            domain.domain.clone(),
            on_off(domain.enabled, language),
            accounts,
            domain.aliases.to_string(),
            domain.groups.to_string(),
            size(domain.used_bytes),
            amount(domain.quota_bytes, true, language),
        ]);
    }
    table
}

fn user_table(users: &[User], language: Language) -> Table {
    use Text as T;
    let columns = [T::Address, T::NameHeading, T::State, T::Messages, T::Used, T::QuotaHeading];
    let mut table = headings(&columns, language);
    for user in users {
        table.row([
            user.address.clone(),
            user.name.clone(),
            on_off(user.enabled, language),
            user.messages.to_string(),
            size(user.used_bytes),
            amount(user.quota_bytes, true, language),
        ]);
    }
    table
}

fn alias_table(aliases: &[Alias], language: Language) -> Table {
    let mut table = headings(&[Text::Address, Text::Targets], language);
    for alias in aliases {
        table.row([alias.address.clone(), alias.targets.join(" ")]);
    }
    table
}

fn group_table(groups: &[Group], language: Language) -> Table {
    let columns = [Text::Address, Text::NameHeading, Text::MembersHeading, Text::WhoHeading];
    let mut table = headings(&columns, language);
    for group in groups {
        let members = group.members.len().to_string();
        table.row([group.address.clone(), group.name.clone(), members, who(group.who, language).to_owned()]);
    }
    table
}

fn app_password_table(list: &[AppPassword], language: Language) -> Table {
    let mut table = headings(&[Text::NameHeading, Text::Created, Text::LastUse], language);
    for one in list {
        let last = one.last_used_s.map_or_else(|| Text::Never.get(language).to_owned(), day);
        table.row([one.name.clone(), day(one.created_s), last]);
    }
    table
}

/// The day and hour, UTC.
fn day(unix_s: i64) -> String {
    let (days, seconds) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    // Civil from days, proleptic Gregorian, with the year beginning in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + later;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60)
}

type Lines = Vec<(String, String)>;

/// Names and values, aligned.
fn show(lines: &Lines) -> String {
    let mut table = Table::plain();
    for (name, value) in lines {
        table.row([name.clone(), value.clone()]);
    }
    table.lines()
}

fn line(text: Text, language: Language, value: impl Into<String>) -> (String, String) {
    (text.get(language).trim_start_matches('>').to_owned(), value.into())
}

fn limit_name(name: LimitName) -> Text {
    match name {
        LimitName::Space => Text::LimitSpace,
        LimitName::Messages => Text::LimitMessages,
        LimitName::LargestMessage => Text::LimitLargestMessage,
        LimitName::LargestAttachment => Text::LimitLargestAttachment,
        LimitName::MessagesHour => Text::LimitMessagesHour,
        LimitName::MessagesDay => Text::LimitMessagesDay,
        LimitName::RecipientsHour => Text::LimitRecipientsHour,
        LimitName::RecipientsDay => Text::LimitRecipientsDay,
    }
}

fn limit_lines(limits: &Limits, language: Language) -> Lines {
    let shown = |name: LimitName| {
        let value = match limits.get(&name) {
            Some(Limit::AtMost(number)) => amount(Some(*number), name.is_size(), language),
            Some(Limit::None | Limit::Default) | None => amount(None, name.is_size(), language),
        };
        line(limit_name(name), language, value)
    };
    LimitName::ALL.into_iter().map(shown).collect()
}

fn protocols(list: &[Protocol], language: Language) -> String {
    let words: Vec<_> = list.iter().map(|protocol| protocol.word()).collect();
    if words.is_empty() { Text::NoProtocol.get(language).to_owned() } else { words.join(", ") }
}

fn language_line(word: Option<&String>, language: Language) -> (String, String) {
    let word = word.cloned().unwrap_or_else(|| Text::ByDefault.get(language).to_owned());
    line(Text::MailLanguage, language, word)
}

fn domain_lines(domain: &Domain, language: Language) -> Lines {
    let used = format!("{} / {}", size(domain.used_bytes), amount(domain.quota_bytes, true, language));
    let accounts = format!("{} / {}", domain.accounts, amount(domain.accounts_max, false, language));
    let catch_all = if domain.catch_all.is_empty() {
        Text::Refused.get(language).to_owned()
    } else {
        domain.catch_all.join(" ")
    };
    let mut lines = vec![
        line(Text::Domain, language, &*domain.domain),
        line(Text::State, language, on_off(domain.enabled, language)),
        line(Text::Used, language, used),
        line(Text::Messages, language, domain.messages.to_string()),
        line(Text::AccountsHeading, language, accounts),
        line(Text::AliasesHeading, language, domain.aliases.to_string()),
        line(Text::GroupsHeading, language, domain.groups.to_string()),
        line(Text::ProtocolsHeading, language, protocols(&domain.protocols, language)),
        line(Text::PlusAddressing, language, on_off(domain.plus_addressing, language)),
        line(Text::CatchAll, language, catch_all),
        language_line(domain.language.as_ref(), language),
    ];
    let sending = domain.sending.iter().map(|limit| (Text::AllUsers, limit));
    let defaults = domain.defaults.iter().map(|limit| (Text::PerUser, limit));
    for (whose, (name, limit)) in sending.chain(defaults) {
        let value = match limit {
            Limit::AtMost(number) => amount(Some(*number), name.is_size(), language),
            Limit::None | Limit::Default => amount(None, name.is_size(), language),
        };
        let (name, value) = line(limit_name(*name), language, value);
        lines.push((whose.fill(language, &[&name]), value));
    }
    lines
}

fn user_lines(user: &User, language: Language) -> Lines {
    let mut lines = vec![
        line(Text::Address, language, &*user.address),
        line(Text::NameHeading, language, printable(&user.name)),
        line(Text::State, language, on_off(user.enabled, language)),
        line(Text::Used, language, size(user.used_bytes)),
        line(Text::Messages, language, user.messages.to_string()),
        line(Text::ProtocolsHeading, language, protocols(&user.protocols, language)),
        language_line(user.language.as_ref(), language),
    ];
    if !user.forward_to.is_empty() {
        lines.push(line(Text::ForwardTo, language, user.forward_to.join(" ")));
        lines.push(line(Text::KeepCopy, language, on_off(user.keep_copy, language)));
    }
    for name in LimitName::ALL {
        let mut value = amount(user.in_force.get(&name).copied(), name.is_size(), language);
        if !user.limits.contains_key(&name) {
            value = Text::FromDefault.fill(language, &[&value]);
        }
        lines.push(line(limit_name(name), language, value));
    }
    lines
}

fn who(who: WhoMaySend, language: Language) -> &'static str {
    match who {
        WhoMaySend::Anyone => Text::WhoAnyone,
        WhoMaySend::Members => Text::WhoMembers,
        WhoMaySend::Domain => Text::WhoDomain,
        WhoMaySend::Named => Text::WhoNamed,
    }
    .get(language)
}

fn group_lines(group: &Group, language: Language) -> Lines {
    let mut lines = vec![
        line(Text::Address, language, &*group.address),
        line(Text::NameHeading, language, printable(&group.name)),
        line(Text::WhoHeading, language, who(group.who, language)),
    ];
    lines.extend(group.senders.iter().map(|sender| line(Text::MaySend, language, &**sender)));
    lines.extend(group.members.iter().map(|member| line(Text::Member, language, &**member)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day(0), "1970-01-01 00:00 UTC");
        assert_eq!(day(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(day(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(day(1_795_377_600), "2026-11-22 20:00 UTC");
    }
}
