//! Delivery notices: a report that a message failed or waits (RFC 3461 to 3464, RFC 6522).

use std::fmt::Write as _;

use crate::{date, header};

/// Most octets of the original that go into a notice.
pub const ORIGINAL_MAX_BYTES: usize = 256 * 1024;

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was given up.
    Failed,
    /// It was not delivered yet and is still tried.
    Delayed,
}

/// One recipient in a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Envelope recipient.
    pub address: String,
    /// Original recipient where the sender gave one, with its type (RFC 3461 4.2).
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
    /// Failed or delayed.
    pub kind: Kind,
    /// Name of the server that reports.
    pub host_name: &'a str,
    /// Name of this notice, unique on the server; letters, digits, dots.
    pub id: &'a str,
    /// Who is told: the envelope sender of the original, never empty.
    pub to: &'a str,
    /// ENVID of the original (RFC 3461 4.4).
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
    /// Return the whole original where it is small enough, not only its header.
    pub return_full: bool,
}

impl Notice<'_> {
    /// The notice as a message with CRLF lines, `Return-Path: <>` on top.
    pub fn compose(&self) -> Vec<u8> {
        let original = header::without_return_path(self.original);
        let header_bytes = header::summarize(original).bytes;
        let full = self.return_full && original.len() <= ORIGINAL_MAX_BYTES;
        let returned_bytes = if full { original.len() } else { header_bytes.min(ORIGINAL_MAX_BYTES) };
        let returned = original.get(..returned_bytes).unwrap_or(original);
        let encoding = if returned.is_ascii() { "7bit" } else { "8bit" };
        let boundary = format!("=_{}_notice", self.id);

        let mut text = String::new();
        self.write_header(&mut text, &boundary, encoding);
        self.write_explanation(&mut text, &boundary);
        self.write_status(&mut text, &boundary);
        let kind = if full { "message/rfc822" } else { "text/rfc822-headers" };
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
        let subject = match self.kind {
            Kind::Failed => "Message could not be delivered",
            Kind::Delayed => "Message is delayed",
        };
        let date = date::format(self.now_unix_s);
        let (host, to, id) = (self.host_name, field(self.to), self.id);
        let _ = write!(
            text,
            "Return-Path: <>\r\nDate: {date}\r\nFrom: Mail Delivery <mailer-daemon@{host}>\r\nTo: <{to}>\r\n\
             Subject: {subject}\r\nMessage-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\
             \tboundary=\"{boundary}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
    }

    fn write_explanation(&self, text: &mut String, boundary: &str) {
        let (what, next) = match self.kind {
            Kind::Failed => (
                "Your message could not be delivered to the recipients below.",
                "It has been given up. Nothing more will be tried.".to_owned(),
            ),
            Kind::Delayed => (
                "Your message could not be delivered yet to the recipients below.",
                format!("It is tried until {}. You need not do anything.", date::format(self.expires_unix_s)),
            ),
        };
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is the mail server {}.\r\n\r\n{what}\r\n{next}\r\n\r\n",
            self.host_name
        );
        for recipient in self.recipients {
            let _ = write!(
                text,
                "<{}>\r\n    {} ({})\r\n\r\n",
                field(&recipient.address),
                field(&recipient.diagnostic),
                field(&recipient.status)
            );
        }
    }

    /// RFC 3464 2.
    fn write_status(&self, text: &mut String, boundary: &str) {
        let _ = write!(text, "--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n");
        if let Some(envelope_id) = self.envelope_id {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", field(envelope_id));
        }
        let arrived = date::format(self.arrived_unix_s);
        let _ = write!(text, "Reporting-MTA: dns; {}\r\nArrival-Date: {arrived}\r\n", self.host_name);
        let action = match self.kind {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
        };
        for recipient in self.recipients {
            text.push_str("\r\n");
            if let Some(original) = &recipient.original {
                let _ = write!(text, "Original-Recipient: {}\r\n", field(original));
            }
            let (address, status) = (field(&recipient.address), field(&recipient.status));
            let _ = write!(
                text,
                "Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
            );
            if recipient.from_remote {
                let _ = write!(text, "Diagnostic-Code: smtp; {}\r\n", field(&recipient.diagnostic));
            }
            if self.kind == Kind::Delayed {
                let _ = write!(text, "Will-Retry-Until: {}\r\n", date::format(self.expires_unix_s));
            }
        }
        text.push_str("\r\n");
    }
}

/// Text of others made fit for one line of ours.
fn field(text: &str) -> String {
    text.chars().take(900).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: Kind, return_full: bool) -> String {
        let recipients = [Recipient {
            address: "x@far.test".into(),
            original: Some("rfc822;y@far.test".into()),
            status: "5.1.1".into(),
            diagnostic: "550 5.1.1 no\r\nInjected: yes".into(),
            from_remote: true,
        }];
        let notice = Notice {
            kind,
            host_name: "mx.test",
            id: "n1",
            to: "a@b.test",
            envelope_id: None,
            arrived_unix_s: 0,
            expires_unix_s: 86_400,
            now_unix_s: 60,
            recipients: &recipients,
            original: b"Return-Path: <a@b.test>\r\nSubject: hello\r\n\r\nsecret body\r\n",
            return_full,
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
            "Reporting-MTA: dns; mx.test\r\n",
            "Original-Recipient: rfc822;y@far.test\r\nFinal-Recipient: rfc822; x@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no??Injected: yes\r\n",
            "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: hello\r\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret body") && !text.contains("\r\nInjected"));
        assert!(text.ends_with("--=_n1_notice--\r\n"));
    }

    #[test]
    fn a_delay_says_until_when() {
        let text = notice(Kind::Delayed, true);
        assert!(text.contains("Action: delayed\r\n") && text.contains("secret body"));
        assert!(text.contains("Will-Retry-Until: Fri, 02 Jan 1970 00:00:00 +0000\r\n"));
    }
}
