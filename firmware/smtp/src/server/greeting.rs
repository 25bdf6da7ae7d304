//! The banner, and what EHLO and LHLO offer (RFC 5321 4.1.1.1).

use std::io::Write as _;

use sasl::Mechanism;

use super::{Helo, Role, Session};
use crate::date;

impl<R> Session<R> {
    pub(super) fn banner(&mut self) {
        let protocol = if self.policy.role == Role::Local { "LMTP" } else { "ESMTP" };
        // Writing into memory cannot fail.
        let _ = write!(self.output, "220 {} {protocol} Twinmail\r\n", self.policy.host_name);
    }

    pub(super) fn greet(&mut self, name: String, extended: bool, now_unix_s: u64) {
        self.transaction = None;
        let between = if extended { '-' } else { ' ' };
        let _ = write!(self.output, "250{between}{} greets you\r\n", self.policy.host_name);
        if extended {
            self.offer(now_unix_s);
        }
        self.helo = Some(Helo { name, extended });
    }

    /// One keyword a line; what is named here works completely.
    fn offer(&mut self, now_unix_s: u64) {
        let submission = self.policy.role == Role::Submission;
        let mechanisms = self.may_authenticate().then(|| self.offered());
        let out = &mut self.output;
        out.extend_from_slice(b"250-PIPELINING\r\n");
        let _ = write!(out, "250-SIZE {}\r\n", self.policy.message_max_bytes);
        out.extend_from_slice(
            b"250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250-DSN\r\n\
              250-ENHANCEDSTATUSCODES\r\n",
        );
        if self.policy.starttls && self.tls.is_none() {
            out.extend_from_slice(b"250-STARTTLS\r\n");
        }
        // RFC 8689 2: only where TLS is on.
        if self.tls.is_some() {
            out.extend_from_slice(b"250-REQUIRETLS\r\n");
        }
        if let Some(mechanisms) = mechanisms {
            let _ = write!(out, "250-AUTH {mechanisms}\r\n");
            // Clients on GNU SASL (mutt) take the first they know of the last such line, -PLUS included, even
            // where they cannot bind a channel, and then give up. Others add the lines up.
            let bound = Mechanism::ScramSha256Plus;
            if mechanisms.find(bound.name()).is_some() {
                out.extend_from_slice(b"250-AUTH");
                for mechanism in mechanisms.mechanisms().filter(|mechanism| *mechanism != bound) {
                    let _ = write!(out, " {}", mechanism.name());
                }
                out.extend_from_slice(b"\r\n");
            }
        }
        if submission {
            out.extend_from_slice(b"250-DELIVERBY\r\n250-MT-PRIORITY MIXER\r\n");
            let max_s = self.policy.hold_max_s;
            if max_s > 0 {
                let until = date::format_internet(now_unix_s + max_s);
                let _ = write!(out, "250-FUTURERELEASE {max_s} {until}\r\n");
            }
        }
        let _ = write!(out, "250-LIMITS RCPTMAX={}\r\n", self.policy.recipients_max);
        out.extend_from_slice(b"250 HELP\r\n");
    }
}
