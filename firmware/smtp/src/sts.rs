//! What a domain publishes about the servers that take its mail: SMTP MTA Strict Transport Security
//! (RFC 8461), the TXT record and the policy, as texts.

use std::fmt;

/// Octets of a policy that are read; one of a sensible domain has some hundred.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Longest time a policy is kept, in seconds (RFC 8461 3.2).
const MAX_AGE_MAX_S: u64 = 31_557_600;
/// Patterns of servers kept of one policy.
const PATTERNS_MAX: usize = 100;
/// Characters of a policy's identifier (RFC 8461 3.1).
const ID_CHARS_MAX: usize = 32;

/// What is to be done where a server does not fit the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mail does not go there.
    Enforce,
    /// Mail goes there all the same.
    Testing,
    /// There is no policy any more.
    None,
}

/// A domain's policy (RFC 8461 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What it is good for.
    pub mode: Mode,
    /// Names of servers, in lower case; one that begins with `*.` is for any one label in its place.
    pub servers: Vec<String>,
    /// How long it may be kept, in seconds.
    pub max_age_s: u64,
}

/// The policy's identifier out of the TXT records of `_mta-sts.` and the domain: exactly one of them may
/// be of this kind, or there is no policy (RFC 8461 3.1).
pub fn policy_id<'a>(records: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let of_kind = |text: &&str| {
        text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(';'))
    };
    let mut records = records.into_iter().filter(of_kind);
    let record = records.next().filter(|_| records.next().is_none())?;
    let id =
        record.split(';').skip(1).find_map(|field| field.trim_matches([' ', '\t']).strip_prefix("id="))?;
    let fits = (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(id)
}

impl Policy {
    /// Reads a policy; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut version, mut mode, mut max_age_s, mut servers) = (None, None, None, Vec::new());
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim_matches([' ', '\t']);
            // Of a key that stands there twice the first counts.
            match key {
                "version" => drop(version.get_or_insert(value)),
                "mode" => drop(mode.get_or_insert(value)),
                "max_age" => drop(max_age_s.get_or_insert(value)),
                "mx" if servers.len() < PATTERNS_MAX => servers.push(value.to_ascii_lowercase()),
                _ => {}
            }
        }
        let mode = match mode? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        let max_age_s = max_age_s.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let max_age_s = max_age_s.parse::<u64>().ok()?.min(MAX_AGE_MAX_S);
        let whole = version == Some("STSv1")
            && (mode == Mode::None || !servers.is_empty())
            && servers.iter().all(|name| is_pattern(name));
        whole.then_some(Self { mode, servers, max_age_s })
    }

    /// Whether the policy names this server (RFC 8461 4.1).
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.servers.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => {
                host.split_once('.').is_some_and(|(label, parent)| !label.is_empty() && parent == rest)
            }
            None => *pattern == host,
        })
    }
}

fn is_pattern(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').all(label)
}

/// As it is kept; [`Policy::parse`] reads it.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        writeln!(f, "version: STSv1\nmode: {mode}\nmax_age: {}", self.max_age_s)?;
        self.servers.iter().try_for_each(|server| writeln!(f, "mx: {server}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_of_the_kind_tells_the_identifier() {
        for (records, id) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=spf1 -all", "v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; x=y; id=a ;"], Some("a")),
            (&["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
            (&["v=STSv1; id=;"], None),
            (&["v=STSv1; id=a-b;"], None),
            (&["v=STSv10; id=1;"], None),
            (&["v=STSv1"], None),
            (&[], None),
        ] {
            assert_eq!(policy_id(records.iter().copied()), id, "{records:?}");
        }
        assert_eq!(policy_id([format!("v=STSv1; id={};", "1".repeat(33)).as_str()]), None);
    }

    #[test]
    fn the_policy_of_the_standard() {
        let text = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age_s), (Mode::Enforce, 604_800));
        for (host, named) in [
            ("mail.example.com", true),
            ("MAIL.example.COM.", true),
            ("mx1.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("evil.example.com", false),
            ("", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
        assert_eq!(Policy::parse(&text.replace('\n', "\r\n")), Some(policy.clone()));
        assert_eq!(Policy::parse(&policy.to_string()), Some(policy));
    }

    #[test]
    fn what_is_not_whole_is_no_policy() {
        let good = "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 1\n";
        assert!(Policy::parse(good).is_some());
        assert!(
            Policy::parse(&format!("{good}mode: enforce\nx: y\n\n")).is_some_and(|p| p.mode == Mode::Testing)
        );
        assert!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1").is_some());
        for (part, other) in [
            ("STSv1", "STSv2"),
            ("testing", "loud"),
            ("mx: a.test\n", ""),
            ("age: 1", "age: x"),
            ("age: 1", "age: +1"),
            ("a.test", "a..test"),
            ("a.test", "a/test"),
        ] {
            assert_eq!(Policy::parse(&good.replace(part, other)), None, "{part} {other}");
        }
        let long = format!("{good}{}", "mx: b.test\n".repeat(1_000));
        assert_eq!(Policy::parse(&long).unwrap().servers.len(), PATTERNS_MAX);
        assert_eq!(Policy::parse(&good.replace(": 1", ": 99999999999")).unwrap().max_age_s, MAX_AGE_MAX_S);
    }
}
