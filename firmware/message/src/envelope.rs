//! ENVELOPE, RFC 3501 7.4.2.

use crate::address::Address;
use crate::imap_text::{write_nstring, write_string};
use crate::{VALUE_BYTES_MAX, addresses, field};

/// Most bytes of an address field that are looked at.
const ADDRESS_FIELD_BYTES_MAX: usize = 128 * 1024;

/// The header fields an envelope shows; the first of each name counts.
#[derive(Default)]
pub(crate) struct EnvelopeFields<'a> {
    pub date: Option<&'a [u8]>,
    pub subject: Option<&'a [u8]>,
    pub from: Option<&'a [u8]>,
    sender: Option<&'a [u8]>,
    reply_to: Option<&'a [u8]>,
    pub to: Option<&'a [u8]>,
    pub cc: Option<&'a [u8]>,
    bcc: Option<&'a [u8]>,
    pub in_reply_to: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    pub references: Option<&'a [u8]>,
}

impl<'a> EnvelopeFields<'a> {
    /// One pass over the header.
    pub fn of(header: &'a [u8]) -> Self {
        let mut found = Self::default();
        for field in field::fields(header) {
            let slot = match field.name.to_ascii_lowercase().as_slice() {
                b"date" => &mut found.date,
                b"subject" => &mut found.subject,
                b"from" => &mut found.from,
                b"sender" => &mut found.sender,
                b"reply-to" => &mut found.reply_to,
                b"to" => &mut found.to,
                b"cc" => &mut found.cc,
                b"bcc" => &mut found.bcc,
                b"in-reply-to" => &mut found.in_reply_to,
                b"message-id" => &mut found.message_id,
                b"references" => &mut found.references,
                _ => continue,
            };
            slot.get_or_insert(field.value);
        }
        found
    }

    /// Writes the envelope.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'(');
        write_value(out, self.date);
        out.push(b' ');
        write_value(out, self.subject);
        let from = list(self.from);
        let or_from = |value| {
            let own = list(value);
            if own.is_empty() { from.clone() } else { own }
        };
        for members in [&from, &or_from(self.sender), &or_from(self.reply_to)] {
            out.push(b' ');
            write_addresses(out, members);
        }
        for value in [self.to, self.cc, self.bcc] {
            out.push(b' ');
            write_addresses(out, &list(value));
        }
        for value in [self.in_reply_to, self.message_id] {
            out.push(b' ');
            write_value(out, value);
        }
        out.push(b')');
    }
}

/// The members of an address field.
pub(crate) fn list(value: Option<&[u8]>) -> Vec<Address> {
    value.map(|value| addresses(&value[..value.len().min(ADDRESS_FIELD_BYTES_MAX)])).unwrap_or_default()
}

/// A value as IMAP shows it: unfolded, without blanks around it, cut at the bound.
pub(crate) fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return write_nstring(out, None) };
    let value = field::unfold(&value[..value.len().min(VALUE_BYTES_MAX)]);
    write_string(out, value.trim_ascii());
}

fn write_addresses(out: &mut Vec<u8>, members: &[Address]) {
    if members.is_empty() {
        return write_nstring(out, None);
    }
    out.push(b'(');
    for member in members {
        match member {
            Address::Mailbox { name, route, local, domain } => {
                out.push(b'(');
                write_nstring(out, name.as_deref());
                out.push(b' ');
                write_nstring(out, route.as_deref());
                out.push(b' ');
                // NIL in either place would mark a group, so what is missing is an empty string.
                write_string(out, local);
                out.push(b' ');
                write_string(out, domain);
                out.push(b')');
            }
            Address::GroupStart(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                write_string(out, name);
                out.extend_from_slice(b" NIL)");
            }
            Address::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(header: &str) -> String {
        let mut out = Vec::new();
        EnvelopeFields::of(header.as_bytes()).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_example_of_the_standard() {
        let header = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\nTo: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
        let gray = "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\"))";
        assert_eq!(
            envelope(header),
            format!(
                "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" {gray} {gray} \
                 {gray} ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
                 (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
            )
        );
    }

    #[test]
    fn nothing_and_strange_things() {
        assert_eq!(envelope(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(envelope("Subject:\r\n"), "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(
            envelope("To: g:u;\r\nSubject: ü\r\n"),
            "(NIL {2}\r\nü NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"u\" \"\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
        );
    }
}
