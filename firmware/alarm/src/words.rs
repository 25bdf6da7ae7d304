//! A notice in the words of syslog, of a webhook, and of a letter.

use serde_json::json;

use crate::{Kind, Notice, in_chinese};

/// Facility `daemon` of RFC 5424 6.2.1.
const FACILITY: u8 = 3;
/// The structured data's name; 32473 is the number for documentation (RFC 5612), and nobody else's.
const STRUCTURE: &str = "twinmail@32473";

/// How bad it is, as in RFC 5424 6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nobody serves, or nobody could.
    Critical = 2,
    /// Something is broken.
    Error = 3,
    /// Something needs looking at.
    Warning = 4,
    /// It is over, or only to be known.
    Notice = 5,
}

/// How bad an alarm is.
pub fn severity(notice: &Notice) -> Severity {
    match (notice.kind, notice.code.as_str()) {
        (Kind::Cleared | Kind::Event | Kind::Test, _) => Severity::Notice,
        (_, "take_failed" | "replaced" | "not_ready" | "peer_silent" | "array_lost") => Severity::Critical,
        (
            _,
            "disk_full" | "file_system" | "takeover_unsure" | "watchdog" | "address_stranger" | "public_card"
            | "settings",
        ) => Severity::Error,
        _ => Severity::Warning,
    }
}

/// One syslog message (RFC 5424 6), without framing. `box_name` is a valid HOSTNAME: letters, digits, hyphens.
pub fn syslog_line(notice: &Notice, box_name: &str, chinese: bool) -> String {
    let priority = FACILITY * 8 + severity(notice) as u8;
    let (text, code) = (sentence(notice, chinese), escaped(&notice.code));
    // RFC 5424 6.4: UTF-8 begins with the byte order mark.
    format!(
        "<{priority}>1 {time} {box_name} twinmail - {kind} [{STRUCTURE} code=\"{code}\" number=\"{number}\"] \u{feff}{text}",
        time = rfc3339(notice.at_unix_ms),
        kind = notice.kind.word(),
        number = notice.number,
        text = text.replace(['\r', '\n'], " "),
    )
}

/// What a webhook gets: one JSON object.
pub fn webhook_body(notice: &Notice, box_name: &str, chinese: bool) -> String {
    json!({
        "source": "twinmail",
        "box": box_name,
        "kind": notice.kind.word(),
        "code": notice.code,
        "severity": match severity(notice) {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        },
        "text": sentence(notice, chinese),
        "number": notice.number,
        "since": rfc3339(notice.since_unix_ms),
        "at": rfc3339(notice.at_unix_ms),
    })
    .to_string()
}

/// Subject and text of a letter; its lines end with CRLF.
pub fn letter(notice: &Notice, box_name: &str, chinese: bool) -> (String, String) {
    let text = sentence(notice, chinese);
    let (kind, lines) = if chinese {
        let kind = match notice.kind {
            Kind::Raised => "告警",
            Kind::Cleared => "告警解除",
            Kind::Reminder => "告警仍在",
            Kind::Flapping => "告警反复出现",
            Kind::Event => "通知",
            Kind::Test => "测试",
        };
        (kind, ["机器", "代码", "开始时间"])
    } else {
        let kind = match notice.kind {
            Kind::Raised => "alarm",
            Kind::Cleared => "alarm over",
            Kind::Reminder => "alarm still there",
            Kind::Flapping => "alarm comes and goes",
            Kind::Event => "notice",
            Kind::Test => "test",
        };
        (kind, ["Box", "Code", "Since"])
    };
    let subject = format!("[Twinmail {box_name}] {kind}: {text}");
    let since = rfc3339(notice.since_unix_ms);
    let [name, code, time] = lines;
    let body = format!("{text}\r\n\r\n{name}: {box_name}\r\n{code}: {}\r\n{time}: {since}\r\n", notice.code);
    (subject.chars().take(120).collect(), body)
}

fn sentence(notice: &Notice, chinese: bool) -> String {
    if chinese { in_chinese(&notice.text) } else { notice.text.clone() }
}

/// RFC 5424 6.3.3: quotation mark, backslash and closing bracket are escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A time in UTC as in RFC 3339 5.6, with milliseconds.
pub fn rfc3339(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days to a civil date: eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: Kind) -> Notice {
        Notice {
            number: 17,
            kind,
            code: "serial_lost".to_owned(),
            text: "nothing is heard on the serial cable; check the null-modem cable between the boxes"
                .to_owned(),
            since_unix_ms: 951_782_400_000,
            at_unix_ms: 1_709_210_096_789,
        }
    }

    #[test]
    fn times_are_civil_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(rfc3339(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_syslog_line_has_the_form_of_rfc_5424() {
        let line = syslog_line(&notice(Kind::Raised), "box-a", false);
        let start = "<28>1 2024-02-29T12:34:56.789Z box-a twinmail - raised \
                     [twinmail@32473 code=\"serial_lost\" number=\"17\"] \u{feff}nothing is heard";
        assert!(line.starts_with(start), "{line}");
        let odd = Notice { code: "a\"]\\".to_owned(), text: "x\r\ny".to_owned(), ..notice(Kind::Test) };
        let line = syslog_line(&odd, "box-a", false);
        assert!(
            line.starts_with("<29>1 ") && line.contains("code=\"a\\\"\\]\\\\\"") && line.ends_with("x  y")
        );
    }

    #[test]
    fn letters_and_webhooks_say_it_in_both_languages() {
        let (subject, text) = letter(&notice(Kind::Cleared), "box-a", false);
        assert!(subject.starts_with("[Twinmail box-a] alarm over: nothing is heard"), "{subject}");
        assert!(text.contains("Code: serial_lost\r\n") && text.contains("2000-02-29"));
        let (subject, text) = letter(&notice(Kind::Raised), "box-a", true);
        assert!(subject.contains("告警") && text.contains("串行线") && !text.contains("nothing"), "{text}");
        let body: serde_json::Value =
            serde_json::from_str(&webhook_body(&notice(Kind::Raised), "box-a", false)).unwrap();
        assert_eq!(
            (body["code"].as_str(), body["severity"].as_str()),
            (Some("serial_lost"), Some("warning"))
        );
    }
}
