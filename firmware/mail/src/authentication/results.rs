//! Writing the `Authentication-Results` field (RFC 8601 2).

use std::fmt::Write;
use std::sync::Arc;

use mail_auth::dkim::DkimError;
use mail_auth::dmarc::Policy;
use mail_auth::{ArcOutput, DkimOutput, DkimResult, DmarcOutput, DmarcResult, Error, SpfOutput, SpfResult};

use super::Wish;

/// Octets of a signature that tell it from others (RFC 6008 5).
const SIGNATURE_PREFIX: usize = 8;

/// The field as it grows.
#[derive(Debug, Clone)]
pub(super) struct Results {
    text: String,
}

impl Results {
    pub(super) fn new(host_name: &Arc<str>) -> Self {
        Self { text: format!("Authentication-Results: {host_name}") }
    }

    /// Nothing was found out in time.
    pub(super) fn gave_up(mut self) -> String {
        for method in ["spf", "dkim", "dmarc"] {
            self.method(method, "temperror");
        }
        self.finish()
    }

    pub(super) fn spf_helo(&mut self, output: &SpfOutput, helo: &str) {
        self.method("spf", spf_word(output.result()));
        self.property("smtp.helo", helo);
    }

    pub(super) fn spf_mail_from(&mut self, output: &SpfOutput, sender: &str) {
        self.method("spf", spf_word(output.result()));
        self.property("smtp.mailfrom", sender);
    }

    pub(super) fn no_signatures(&mut self, word: &str) {
        self.method("dkim", word);
    }

    pub(super) fn dkim(&mut self, outputs: &[DkimOutput<'_>]) {
        if outputs.is_empty() {
            self.method("dkim", "none");
        }
        for output in outputs {
            let (word, reason) = dkim_word(output.result());
            self.method("dkim", word);
            self.reason(reason);
            if let Some(signature) = output.signature() {
                self.property("header.d", &signature.d);
                if !signature.i.is_empty() {
                    self.property("header.i", &signature.i);
                }
                self.property("header.s", &signature.s);
                let b = beginning_of(&signature.b);
                self.property("header.b", &b);
            }
        }
    }

    pub(super) fn dmarc(&mut self, output: &DmarcOutput, wish: Wish, unsure: bool) {
        let results = [output.spf_result(), output.dkim_result()];
        let word = if output.dmarc_record().is_none() {
            match results.iter().find(|result| !matches!(result, DmarcResult::None)) {
                Some(DmarcResult::TempError(_)) => "temperror",
                Some(DmarcResult::PermError(_)) => "permerror",
                _ => "none",
            }
        } else if results.contains(&&DmarcResult::Pass) {
            "pass"
        } else if unsure {
            "temperror"
        } else {
            "fail"
        };
        self.method("dmarc", word);
        let policy = match output.policy() {
            Policy::Reject => "reject",
            Policy::Quarantine => "quarantine",
            Policy::None => "none",
            Policy::Unspecified => "",
        };
        if output.dmarc_record().is_some() && !policy.is_empty() {
            let did = match wish {
                Wish::Deliver => "none",
                Wish::Quarantine => "quarantine",
                Wish::Reject => "reject",
            };
            let _ = write!(self.text, " (p={policy} dis={did})");
        }
        if !output.domain().is_empty() {
            self.property("header.from", output.domain());
        }
    }

    pub(super) fn arc(&mut self, output: &ArcOutput<'_>) {
        let (word, reason) = dkim_word(output.result());
        // RFC 8617 10.1 knows pass, fail and none.
        let word = if matches!(word, "pass" | "none" | "temperror") { word } else { "fail" };
        self.method("arc", word);
        self.reason(reason);
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }

    fn method(&mut self, method: &str, word: &str) {
        let _ = write!(self.text, ";\r\n\t{method}={word}");
    }

    fn reason(&mut self, reason: &str) {
        if !reason.is_empty() {
            let _ = write!(self.text, " reason=\"{reason}\"");
        }
    }

    /// The value comes from outside: what is no token or address is quoted, and nothing of it can end
    /// the field.
    fn property(&mut self, name: &str, value: &str) {
        let plain = |c: char| c.is_alphanumeric() || "@.-_+=/~*!#$%&'^`{|}[]:".contains(c);
        if !value.is_empty() && value.chars().all(plain) {
            let _ = write!(self.text, "\r\n\t\t{name}={value}");
            return;
        }
        let _ = write!(self.text, "\r\n\t\t{name}=\"");
        for c in value.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
        self.text.push('"');
    }
}

/// The first letters of a signature.
fn beginning_of(signature: &[u8]) -> String {
    use base64::Engine as _;
    let mut text = base64::engine::general_purpose::STANDARD.encode(signature);
    text.truncate(SIGNATURE_PREFIX);
    text
}

/// RFC 8601 2.7.2.
fn spf_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

/// RFC 8601 2.7.1, and why.
fn dkim_word(result: &DkimResult) -> (&'static str, &'static str) {
    let why = |error: &Error| match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) => "body hash did not verify",
        Error::Dkim(DkimError::SignatureExpired) => "signature expired",
        Error::Dkim(DkimError::SignatureLength) => "signature covers only a part",
        Error::Dkim(DkimError::RevokedPublicKey) => "key revoked",
        Error::Dns(_) => "no key found",
        Error::Crypto(_) => "signature did not verify",
        _ => "signature not usable",
    };
    match result {
        DkimResult::Pass => ("pass", ""),
        DkimResult::None => ("none", ""),
        DkimResult::TempError(_) => ("temperror", ""),
        DkimResult::PermError(error) => ("permerror", why(error)),
        DkimResult::Fail(error) => ("fail", why(error)),
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch)) => ("fail", why(error)),
        DkimResult::Neutral(error) => ("neutral", why(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_ends_the_field() {
        let mut results = Results::new(&Arc::from("mx.test"));
        results.property("smtp.mailfrom", "\"a; dkim=pass\\\r\n x\"@far.test");
        results.property("smtp.helo", "ok-name.test");
        results.property("header.d", "");
        let text = results.finish();
        assert_eq!(
            text,
            "Authentication-Results: mx.test\r\n\t\tsmtp.mailfrom=\"\\\"a; dkim=pass\\\\ x\\\"@far.test\"\
             \r\n\t\tsmtp.helo=ok-name.test\r\n\t\theader.d=\"\"\r\n"
        );
    }
}
