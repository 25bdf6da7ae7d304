//! Letters of the box to its administrators: alarms, what a drill found.
//!
//! The cluster service writes them; here each becomes a message and is stored or queued like a delivery
//! notice, with the null sender, so that nothing ever answers it.

use std::sync::Arc;

use base64::Engine as _;
use control::mail::Letter;

use crate::clock::unix_s;
use crate::counters::count;
use crate::outgoing::notice;
use crate::service::Shared;
use crate::warnings::base64_lines;

/// Most recipients of one letter.
const RECIPIENTS_MAX: usize = 16;
/// Longest subject and text, in bytes.
const SUBJECT_MAX_BYTES: usize = 400;
const TEXT_MAX_BYTES: usize = 64 * 1024;

/// Stores or queues one copy for each recipient; durable when this returns.
pub(crate) async fn deliver(shared: &Arc<Shared>, letter: Letter) -> Result<(), String> {
    let recipients = recipients(shared, &letter)?;
    let mut taken = 0;
    for to in &recipients {
        let message = message(&letter, to, &shared.policies.exchange.host_name);
        let Some(delivery) = notice::address(&shared.store, to, message.into_bytes()).await else { continue };
        let delivered = shared.store.deliver(delivery).await.map_err(|error| error.to_string())?;
        taken += usize::from(delivered.queued.is_some() || delivered.recipients.iter().any(Result::is_ok));
    }
    count(&shared.counters.letters, taken as u64);
    if taken > 0 { Ok(()) } else { Err(format!("nobody takes letters to {}", recipients.join(", "))) }
}

/// Those named, or the postmaster of the first domain.
fn recipients(shared: &Arc<Shared>, letter: &Letter) -> Result<Vec<String>, String> {
    let too_long = letter.subject.len() > SUBJECT_MAX_BYTES || letter.text.len() > TEXT_MAX_BYTES;
    if too_long || letter.to.len() > RECIPIENTS_MAX {
        return Err("the letter is too long, or to too many".to_owned());
    }
    if !letter.to.is_empty() {
        return letter.to.iter().map(|address| crate::admin::address_in_a_labels(address)).collect();
    }
    let domain = shared.store.first_domain().map_err(|error| error.to_string())?;
    Ok(vec![format!("postmaster@{}", domain.ok_or("there is no mail domain yet")?)])
}

/// The whole message (RFC 5322), marked as made by a machine (RFC 3834). Its Message-ID is the letter's,
/// so a letter that is handed in twice is known for the same.
fn message(letter: &Letter, to: &str, host_name: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    // An encoded word holds at most 75 characters (RFC 2047 2), so a long subject is folded.
    let mut words = vec![String::new()];
    for letter in letter.subject.chars().filter(|c| !c.is_control()) {
        if words.last().is_some_and(|word| word.len() + letter.len_utf8() > 42) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    let subject: Vec<_> = words.iter().map(|word| format!("=?UTF-8?B?{}?=", encode(word))).collect();
    let id: String =
        letter.id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    format!(
        "Return-Path: <>\r\nDate: {date}\r\nFrom: Twinmail <postmaster@{host_name}>\r\nTo: <{to}>\r\n\
         Subject: {subject}\r\nMessage-ID: <letter.{id}@{host_name}>\r\nAuto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{text}",
        date = smtp::date::format(unix_s()),
        subject = subject.join("\r\n "),
        text = base64_lines(letter.text.as_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_plain_ascii_with_short_lines_whatever_it_says() {
        let letter = Letter {
            id: "box-a.17\r\nX: y".to_owned(),
            to: vec![],
            subject: "告警：专用网没有信号；请检查两台机器之间的网线\r\nBcc: x".to_owned(),
            text: "一\r\n".repeat(200),
        };
        let message = message(&letter, "a@b.example", "mx.b.example");
        assert!(message.is_ascii() && message.lines().all(|line| line.len() <= 120), "{message}");
        assert!(!message.contains("Bcc") && !message.contains("\nX: y"), "{message}");
        assert!(message.contains("<letter.box-a.17Xy@mx.b.example>"), "{message}");
    }
}
