//! Delivery notices: what became of a message (RFC 3461 6, RFC 3464, RFC 6522; RFC 6533 for UTF-8).

use std::fmt::Write as _;

use crate::{date, header};

/// Most octets of the original that go into a notice.
pub const ORIGINAL_MAX_BYTES: usize = 256 * 1024;
/// Longest text of others in one line of ours, in characters.
const FIELD_CHARS_MAX: usize = 900;

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was given up.
    Failed,
    /// It was not delivered yet and is still tried.
    Delayed,
    /// It is in its mailbox.
    Delivered,
    /// It was handed to a server that tells no more of it.
    Relayed,
    /// It was handed to a group or forwarded, where its way is not followed.
    Expanded,
}

impl Kind {
    fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Message could not be delivered",
            Self::Delayed => "Message is delayed",
            Self::Delivered => "Message was delivered",
            Self::Relayed => "Message was handed on",
            Self::Expanded => "Message was handed to a group",
        }
    }
}

/// One recipient in a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Envelope recipient.
    pub address: String,
    /// ORCPT as it came: type, `;`, address in xtext (RFC 3461 4.2).
    pub original: Option<String>,
    /// Status code, such as `5.1.1`.
    pub status: String,
    /// What the other server said, or why it was not asked.
    pub diagnostic: String,
    /// Whether `diagnostic` is an SMTP reply.
    pub from_remote: bool,
}

/// All that a notice is made of.
#[derive(Debug, Clone)]
pub struct Notice<'a> {
    /// What it says.
    pub kind: Kind,
    /// Name of the server that reports.
    pub host_name: &'a str,
    /// Name of this notice, unique on the server; letters, digits, dots.
    pub id: &'a str,
    /// Who is told: the envelope sender of the original, never empty.
    pub to: &'a str,
    /// ENVID of the original as it came, in xtext (RFC 3461 4.4).
    pub envelope_id: Option<&'a str>,
    /// When the original was accepted, seconds since 1970.
    pub arrived_unix_s: u64,
    /// When the original will be given up, seconds since 1970; for [`Kind::Delayed`].
    pub expires_unix_s: u64,
    /// Now, seconds since 1970.
    pub now_unix_s: u64,
    /// Whom it is about.
    pub recipients: &'a [Recipient],
    /// The original message.
    pub original: &'a [u8],
    /// Return the whole original where it is small enough, not only its header; only of what failed
    /// (RFC 3461 4.3).
    pub return_full: bool,
    /// The original was SMTPUTF8, so its sender reads a notice that is.
    pub utf8: bool,
}

impl Notice<'_> {
    /// The notice as a message with CRLF lines, `Return-Path: <>` on top.
    pub fn compose(&self) -> Vec<u8> {
        let original = header::without_return_path(self.original);
        let header_bytes = header::summarize(original).bytes;
        let full = self.return_full && self.kind == Kind::Failed && original.len() <= ORIGINAL_MAX_BYTES;
        let returned_bytes = if full { original.len() } else { header_bytes.min(ORIGINAL_MAX_BYTES) };
        let returned = original.get(..returned_bytes).unwrap_or(original);
        let global = self.utf8 && !original.get(..header_bytes).unwrap_or(original).is_ascii();
        let encoding = if returned.is_ascii() { "7bit" } else { "8bit" };
        let whole = if returned.is_ascii() && !self.utf8 { "7bit" } else { "8bit" };
        let boundary = format!("=_{}_notice", self.id);

        let mut text = String::new();
        self.write_header(&mut text, &boundary, whole);
        self.write_explanation(&mut text, &boundary);
        self.write_status(&mut text, &boundary);
        let kind = match (full, global) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        let mut message = text.into_bytes();
        message.extend_from_slice(returned);
        message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        message
    }

    fn write_header(&self, text: &mut String, boundary: &str, encoding: &str) {
        let (subject, date) = (self.kind.subject(), date::format(self.now_unix_s));
        let (host, to, id) = (self.host_name, self.field(self.to), self.id);
        let report = if self.utf8 { "global-delivery-status" } else { "delivery-status" };
        let _ = write!(
            text,
            "Return-Path: <>\r\nDate: {date}\r\nFrom: Mail Delivery <mailer-daemon@{host}>\r\nTo: <{to}>\r\n\
             Subject: {subject}\r\nMessage-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={report};\r\n\
             \tboundary=\"{boundary}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
    }

    fn write_explanation(&self, text: &mut String, boundary: &str) {
        let until = || date::format(self.expires_unix_s);
        let (what, next) = match self.kind {
            Kind::Failed => (
                "Your message could not be delivered to the recipients below.",
                "It has been given up. Nothing more will be tried.".to_owned(),
            ),
            Kind::Delayed => (
                "Your message could not be delivered yet to the recipients below.",
                format!("It is tried until {}. You need not do anything.", until()),
            ),
            Kind::Delivered => (
                "Your message was put into the mailboxes of the recipients below.",
                "You asked to be told.".to_owned(),
            ),
            Kind::Relayed => (
                "Your message was handed to a server that does not report deliveries.",
                "You may hear no more of it unless it fails.".to_owned(),
            ),
            Kind::Expanded => (
                "Your message was handed to everybody behind the addresses below.",
                "You will not hear of each of them.".to_owned(),
            ),
        };
        let (charset, encoding) = if self.utf8 { ("utf-8", "8bit") } else { ("us-ascii", "7bit") };
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n\
             This is the mail server {}.\r\n\r\n{what}\r\n{next}\r\n\r\n",
            self.host_name
        );
        for recipient in self.recipients {
            let _ = write!(
                text,
                "<{}>\r\n    {} ({})\r\n\r\n",
                self.field(&recipient.address),
                self.field(&recipient.diagnostic),
                self.field(&recipient.status)
            );
        }
    }

    /// RFC 3464 2.
    fn write_status(&self, text: &mut String, boundary: &str) {
        let kind = if self.utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
        let encoding = if self.utf8 { "8bit" } else { "7bit" };
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        if let Some(envelope_id) = self.envelope_id {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", self.field(&decode_xtext(envelope_id)));
        }
        let arrived = date::format(self.arrived_unix_s);
        let _ = write!(text, "Reporting-MTA: dns; {}\r\nArrival-Date: {arrived}\r\n", self.host_name);
        for recipient in self.recipients {
            text.push_str("\r\n");
            if let Some((kind, address)) = recipient.original.as_ref().and_then(|o| o.split_once(';')) {
                let address = if kind.eq_ignore_ascii_case("utf-8") {
                    address.to_owned()
                } else {
                    decode_xtext(address)
                };
                let _ =
                    write!(text, "Original-Recipient: {}; {}\r\n", self.field(kind), self.field(&address));
            }
            let _ = write!(
                text,
                "Final-Recipient: {}\r\nAction: {}\r\nStatus: {}\r\n",
                self.typed_address(&recipient.address),
                self.kind.action(),
                self.field(&recipient.status)
            );
            if recipient.from_remote {
                let _ = write!(text, "Diagnostic-Code: smtp; {}\r\n", self.field(&recipient.diagnostic));
            }
            if matches!(self.kind, Kind::Failed | Kind::Delayed) {
                let _ = write!(text, "Last-Attempt-Date: {}\r\n", date::format(self.now_unix_s));
            }
            if self.kind == Kind::Delayed {
                let _ = write!(text, "Will-Retry-Until: {}\r\n", date::format(self.expires_unix_s));
            }
        }
        text.push_str("\r\n");
    }

    /// An address with its type; outside ASCII as RFC 6533 3 has it.
    fn typed_address(&self, address: &str) -> String {
        if address.is_ascii() {
            return format!("rfc822; {}", self.field(address));
        }
        if self.utf8 {
            return format!("utf-8; {}", self.field(address));
        }
        let mut text = String::from("utf-8; ");
        for letter in address.chars().take(FIELD_CHARS_MAX) {
            if (' '..='~').contains(&letter) && !matches!(letter, '\\' | '+' | '=' | ' ') {
                text.push(letter);
            } else {
                let _ = write!(text, "\\x{{{:02X}}}", u32::from(letter));
            }
        }
        text
    }

    /// Text of others made fit for one line of ours.
    fn field(&self, text: &str) -> String {
        let fits =
            |letter: char| if self.utf8 { !letter.is_control() } else { (' '..='~').contains(&letter) };
        text.chars().take(FIELD_CHARS_MAX).map(|letter| if fits(letter) { letter } else { '?' }).collect()
    }
}

/// RFC 3461 4: `+` and two hexadecimal digits are one octet. What is no xtext stays as it is.
fn decode_xtext(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let octet = hex.filter(|_| *first == b'+').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        octets.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { tail.get(2..).unwrap_or(&[]) } else { tail };
    }
    String::from_utf8(octets).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: Kind, return_full: bool) -> String {
        let recipients = [Recipient {
            address: "x@far.test".into(),
            original: Some("rfc822;y+2Bz@far.test".into()),
            status: "5.1.1".into(),
            diagnostic: "550 5.1.1 no\r\nInjected: yes".into(),
            from_remote: true,
        }];
        let original = b"Return-Path: <a@b.test>\r\nSubject: hello\r\n\r\nsecret body\r\n";
        compose(kind, &recipients, original, return_full, false)
    }

    fn compose(
        kind: Kind,
        recipients: &[Recipient],
        original: &[u8],
        return_full: bool,
        utf8: bool,
    ) -> String {
        let notice = Notice {
            kind,
            host_name: "mx.test",
            id: "n1",
            to: "a@b.test",
            envelope_id: Some("e+2Bf"),
            arrived_unix_s: 0,
            expires_unix_s: 86_400,
            now_unix_s: 60,
            recipients,
            original,
            return_full,
            utf8,
        };
        String::from_utf8(notice.compose()).unwrap()
    }

    #[test]
    fn a_failure_says_what_happened_to_people_and_to_machines() {
        let text = notice(Kind::Failed, false);
        for part in [
            "Return-Path: <>\r\n",
            "To: <a@b.test>\r\n",
            "report-type=delivery-status",
            "Original-Envelope-Id: e+f\r\nReporting-MTA: dns; mx.test\r\n",
            "Original-Recipient: rfc822; y+z@far.test\r\nFinal-Recipient: rfc822; x@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no??Injected: yes\r\n",
            "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: hello\r\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret body") && !text.contains("\r\nInjected"));
        assert!(text.ends_with("--=_n1_notice--\r\n"));
        assert!(notice(Kind::Failed, true).contains("Content-Type: message/rfc822\r\n"));
        assert!(notice(Kind::Failed, true).contains("secret body"));
    }

    #[test]
    fn a_delay_says_until_when_and_returns_the_header_only() {
        let text = notice(Kind::Delayed, true);
        assert!(text.contains("Action: delayed\r\n") && !text.contains("secret body"));
        assert!(text.contains("Will-Retry-Until: Fri, 02 Jan 1970 00:00:00 +0000\r\n"));
        assert!(notice(Kind::Relayed, true).contains("Action: relayed\r\n"));
    }

    #[test]
    fn addresses_outside_ascii_have_forms_of_their_own() {
        let recipients = [Recipient {
            address: "jörg@far.test".into(),
            original: Some("utf-8;j\\x{F6}rg@far.test".into()),
            status: "5.6.7".into(),
            diagnostic: "no ü".into(),
            from_remote: false,
        }];
        let original = "Subject: ü\r\n\r\nbody ü\r\n".as_bytes();
        let global = compose(Kind::Failed, &recipients, original, true, true);
        for part in [
            "report-type=global-delivery-status",
            "Content-Type: message/global-delivery-status\r\n",
            "Original-Recipient: utf-8; j\\x{F6}rg@far.test\r\nFinal-Recipient: utf-8; jörg@far.test\r\n",
            "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: ü",
        ] {
            assert!(global.contains(part), "{part} in {global}");
        }
        let headers = compose(Kind::Failed, &recipients, original, false, true);
        assert!(headers.contains("Content-Type: message/global-headers\r\n"));
        let plain = compose(Kind::Failed, &recipients, b"Subject: x\r\n\r\n", false, false);
        assert!(plain.is_ascii() && plain.contains("Final-Recipient: utf-8; j\\x{F6}rg@far.test\r\n"));
    }
}
