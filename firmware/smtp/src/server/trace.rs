//! What is put on top of a message, and what must not stay in it (RFC 5321 4.4, RFC 6409 8).

use std::fmt::Write;

use super::{Role, Session};
use crate::{date, header};

impl<R> Session<R> {
    /// Name of the message under way in logs and trace fields.
    pub(super) fn message_id(&self) -> String {
        format!("{}.{}", self.id, self.messages + 1)
    }

    /// `Return-Path` and `Received` (RFC 5321 4.4). The sending side takes `Return-Path` off again.
    pub(super) fn trace_fields(&self, now_unix_s: u64) -> Vec<u8> {
        let Some(transaction) = &self.transaction else { return Vec::new() };
        let helo = self.helo.as_ref();
        let name = helo.map_or("unknown", |helo| helo.name.as_str());
        let mut text = String::with_capacity(384);
        text.push_str("Return-Path: <");
        if let Some(sender) = &transaction.mail.sender {
            let _ = write!(text, "{sender}");
        }
        let _ = match self.peer.to_canonical() {
            std::net::IpAddr::V4(address) => write!(text, ">\r\nReceived: from {name} ([{address}])"),
            std::net::IpAddr::V6(address) => write!(text, ">\r\nReceived: from {name} ([IPv6:{address}])"),
        };
        let with = self.protocol(helo.is_some_and(|helo| helo.extended), transaction.mail.smtp_utf8);
        let _ = write!(text, "\r\n\tby {} with {with}", self.policy.host_name);
        if let Some(tls) = &self.tls {
            let _ = write!(text, "\r\n\t({})", tls.description);
        }
        let _ = write!(text, " id {}", self.message_id());
        if let [only] = transaction.recipients.as_slice() {
            let _ = write!(text, "\r\n\tfor <{}>", only.mailbox);
        }
        if let Some(priority) = transaction.mail.priority {
            // RFC 6710 4.1 asks for it, so that the priority can be followed.
            let _ = write!(text, "\r\n\tPRIORITY {priority}");
        }
        let _ = write!(text, ";\r\n\t{}\r\n", date::format(now_unix_s));
        text.into_bytes()
    }

    /// The `with` word (RFC 3848, RFC 6531 4.3).
    fn protocol(&self, extended: bool, utf8: bool) -> &'static str {
        let secret = self.tls.is_some();
        let known = self.account.is_some();
        match (self.policy.role, utf8, secret, known) {
            (Role::Local, false, false, _) => "LMTP",
            (Role::Local, false, true, _) => "LMTPS",
            (Role::Local, true, false, _) => "UTF8LMTP",
            (Role::Local, true, true, _) => "UTF8LMTPS",
            (_, true, false, false) => "UTF8SMTP",
            (_, true, true, false) => "UTF8SMTPS",
            (_, true, false, true) => "UTF8SMTPA",
            (_, true, true, true) => "UTF8SMTPSA",
            _ if !extended => "SMTP",
            (_, false, false, false) => "ESMTP",
            (_, false, true, false) => "ESMTPS",
            (_, false, false, true) => "ESMTPA",
            (_, false, true, true) => "ESMTPSA",
        }
    }

    /// Takes out of the client's header what only we may write there: an old `Return-Path`
    /// (RFC 5321 4.4), results of checks in our name (RFC 8601 5), and, on submission, the recipients
    /// nobody else is to see (RFC 5322 3.6.3).
    pub(super) fn clean_header(&self, message: &mut Vec<u8>, trace_bytes: usize, found: &header::Summary) {
        let role = self.policy.role;
        // Who speaks LMTP to us has checked the message, perhaps in our name.
        let results = found.has_authentication_results && role != Role::Local;
        let bcc = found.has_bcc && role == Role::Submission;
        if !found.has_return_path && !results && !bcc {
            return;
        }
        header::remove_fields(message, trace_bytes, |name, value| {
            let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
            is("return-path")
                || (bcc && (is("bcc") || is("resent-bcc")))
                || (results
                    && is("authentication-results")
                    && header::is_results_of(value, &self.policy.host_name))
        });
    }

    /// Fields that submission adds where they are missing (RFC 6409 8.2, 8.3).
    pub(super) fn missing_fields(&self, summary: &header::Summary, now_unix_s: u64) -> Vec<u8> {
        let mut fields = String::new();
        if !summary.has_date {
            let _ = write!(fields, "Date: {}\r\n", date::format(now_unix_s));
        }
        if !summary.has_message_id {
            let _ = write!(fields, "Message-ID: <{}@{}>\r\n", self.message_id(), self.policy.host_name);
        }
        if !summary.has_from
            && let Some(account) = &self.account
        {
            let _ = write!(fields, "From: <{account}>\r\n");
        }
        fields.into_bytes()
    }
}
