//! Seals what we send on for others (ARC, RFC 8617): the next server learns what we found out about the
//! message when it came, although its sender's SPF no longer fits.
//!
//! Only our own `Authentication-Results` are sealed. A chain that came with the message is continued where
//! we found it whole, and left alone where we did not: it stays broken.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Algorithm, DkimKey, SigningKey as _};
use mail_auth::dkim::Canonicalization;

/// Sets of one chain (RFC 8617 4.2.1).
const SETS_MAX: usize = 50;
/// Characters of a signature in one line.
const LINE_CHARS: usize = 70;

const RESULTS: &str = "ARC-Authentication-Results";
const SIGNATURE: &str = "ARC-Message-Signature";
const SEAL: &str = "ARC-Seal";

/// Whose seal it is.
pub(super) struct Seal<'a> {
    pub(super) key: &'a DkimKey,
    pub(super) domain: &'a str,
    pub(super) selector: &'a str,
    /// The name under which we write `Authentication-Results`.
    pub(super) host_name: &'a str,
    pub(super) unix_s: u64,
}

/// Domain of the address of ours that sends a message on, as [`crate::delivery`] writes it on top.
pub(super) fn sending_domain(text: &[u8]) -> Option<String> {
    let first =
        message::fields(text).next().filter(|field| field.name.eq_ignore_ascii_case(b"Delivered-To"))?;
    let (_, domain) = std::str::from_utf8(first.value).ok()?.trim().rsplit_once('@')?;
    Some(domain.to_ascii_lowercase())
}

/// The three fields of a new set, newest first, each with its line end; none where there is nothing that
/// we could vouch for. `signed` are the fields to be signed.
pub(super) fn set(text: &[u8], signed: &[&str], seal: &Seal<'_>) -> Option<String> {
    let header_end = message::header_end(text);
    let (header, body) = (text.get(..header_end)?, text.get(header_end..)?);
    let fields: Vec<(&[u8], &[u8])> =
        message::fields(header).map(|field| (field.name, field.value)).collect();
    if fields.len() >= message::FIELDS_MAX {
        return None;
    }
    let results = own_results(&fields, seal.host_name)?;
    let sets = chain(&fields)?;
    let validation = match sets.len() {
        0 => "none",
        // What we found when it came, with the name servers of that time.
        _ if finds_whole(results) => "pass",
        _ => return None,
    };
    let number = sets.len() + 1;
    let algorithm = match seal.key.algorithm() {
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
        _ => "rsa-sha256",
    };
    let Seal { domain, selector, unix_s, .. } = seal;
    let results = format!(" i={number};{}", results.trim_end());
    let body_hash = STANDARD.encode(seal.key.hash(Canonicalization::Relaxed.canonical_body(body, u64::MAX)));
    let mut signature = format!(
        " i={number}; a={algorithm}; c=relaxed/relaxed;\r\n\td={domain}; s={selector}; t={unix_s};\r\n\th={};\r\n\tbh={body_hash};\r\n\tb=",
        signed.join(":\r\n\t")
    );
    let mut input = Vec::new();
    for name in signed_in_order(&fields, signed) {
        relaxed(&mut input, name.0, name.1);
    }
    relaxed(&mut input, SIGNATURE.as_bytes(), signature.as_bytes());
    append(&mut signature, &sign(seal.key, &input)?);
    let mut stamp = format!(
        " i={number}; a={algorithm}; cv={validation};\r\n\td={domain}; s={selector}; t={unix_s};\r\n\tb="
    );
    input.clear();
    for (name, value) in sets.iter().flatten() {
        relaxed(&mut input, name, value);
    }
    relaxed(&mut input, RESULTS.as_bytes(), results.as_bytes());
    relaxed(&mut input, SIGNATURE.as_bytes(), signature.as_bytes());
    relaxed(&mut input, SEAL.as_bytes(), stamp.as_bytes());
    append(&mut stamp, &sign(seal.key, &input)?);
    Some(format!("{SEAL}:{stamp}\r\n{SIGNATURE}:{signature}\r\n{RESULTS}:{results}\r\n"))
}

/// The value of the field in our own name; what others wrote in it was removed when the message came.
fn own_results<'a>(fields: &[(&[u8], &'a [u8])], host_name: &str) -> Option<&'a str> {
    let ours = |value: &str| {
        let name = value.trim_start().split([';', ' ', '\r', '\t']).next().unwrap_or_default();
        name.eq_ignore_ascii_case(host_name)
    };
    fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"Authentication-Results"))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .find(|value| ours(value))
}

/// Whether our results say that the chain is whole; a property's value cannot look like a method.
fn finds_whole(results: &str) -> bool {
    results.split(";\r\n\t").skip(1).any(|method| method.trim_end() == "arc=pass")
}

/// The sets that are there, in the order of their instances, each as results, signature, seal; `None` if
/// one is not whole, or there is no room for another.
#[expect(clippy::type_complexity, reason = "three fields of a name and a value")]
fn chain<'a>(fields: &[(&'a [u8], &'a [u8])]) -> Option<Vec<[(&'a [u8], &'a [u8]); 3]>> {
    let of = |kind: &str| -> Vec<(&'a [u8], &'a [u8])> {
        fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(kind.as_bytes())).copied().collect()
    };
    let kinds = [of(RESULTS), of(SIGNATURE), of(SEAL)];
    let count = kinds[0].len();
    if count >= SETS_MAX || kinds.iter().any(|kind| kind.len() != count) {
        return None;
    }
    let find = |kind: &[(&'a [u8], &'a [u8])], number: usize| {
        kind.iter().find(|(_, value)| instance(value) == Some(number)).copied()
    };
    (1..=count)
        .map(|number| Some([find(&kinds[0], number)?, find(&kinds[1], number)?, find(&kinds[2], number)?]))
        .collect()
}

/// The `i=` of a field.
fn instance(value: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(value);
    let digits = text.split(';').find_map(|tag| tag.trim().strip_prefix('i')?.trim_start().strip_prefix('='));
    digits?.trim().parse().ok()
}

/// The fields to sign; of a name that stands there more than once the lowest first (RFC 6376 5.4.2).
fn signed_in_order<'a>(fields: &[(&'a [u8], &'a [u8])], names: &[&str]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut taken: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for name in names {
        let at = (0..fields.len()).rev().find(|at| {
            !taken.contains(at)
                && fields.get(*at).is_some_and(|field| field.0.eq_ignore_ascii_case(name.as_bytes()))
        });
        if let Some(at) = at {
            taken.push(at);
            found.extend(fields.get(at).copied());
        }
    }
    found
}

/// Adds one field in relaxed form (RFC 6376 3.4.2), with a line end before it unless it is the first.
fn relaxed(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !out.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out.extend(name.trim_ascii().to_ascii_lowercase());
    out.push(b':');
    let words = value.split(|byte| b" \t\r\n".contains(byte)).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn sign(key: &DkimKey, input: &[u8]) -> Option<String> {
    let signature = key.sign(input);
    signature
        .map(|signature| STANDARD.encode(signature))
        .inspect_err(|error| tracing::error!("no seal: {error}"))
        .ok()
}

/// Adds a signature in lines.
fn append(field: &mut String, signature: &str) {
    for (at, letter) in signature.chars().enumerate() {
        if at > 0 && at % LINE_CHARS == 0 {
            field.push_str("\r\n\t");
        }
        let _ = field.write_char(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_whole_or_not_continued() {
        let set = |number: usize| {
            [RESULTS, SIGNATURE, SEAL].map(|name| (name.to_owned(), format!(" a=b; i = {number}; x")))
        };
        let count = |fields: &[(String, String)]| {
            let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            chain(&fields).map(|sets| sets.len())
        };
        let sets = |numbers: &[usize]| numbers.iter().flat_map(|number| set(*number)).collect::<Vec<_>>();
        assert_eq!(count(&[]), Some(0));
        assert_eq!(count(&sets(&[2, 1, 3])), Some(3));
        assert_eq!(count(&sets(&[1, 3])), None);
        assert_eq!(count(&sets(&[1, 1])), None);
        assert_eq!(count(&sets(&[1])[1..]), None);
        assert_eq!(count(&sets(&(1..=SETS_MAX).collect::<Vec<_>>())), None);
    }

    #[test]
    fn only_our_own_results_count() {
        let results = " mx.own.test;\r\n\tspf=pass\r\n\t\tsmtp.mailfrom=\"; arc=pass\";\r\n\tarc=fail";
        let fields: [(&[u8], &[u8]); 2] = [
            (b"Authentication-Results", b" mx.own.test.evil.test; arc=pass"),
            (b"authentication-results", results.as_bytes()),
        ];
        assert_eq!(own_results(&fields, "MX.own.test"), Some(results));
        assert!(!finds_whole(results) && finds_whole(&results.replace("arc=fail", "arc=pass")));
        assert_eq!(sending_domain(b"Delivered-To: out@Own.test\r\n\r\n").as_deref(), Some("own.test"));
        assert_eq!(sending_domain(b"Subject: x\r\nDelivered-To: out@own.test\r\n\r\n"), None);
    }
}
