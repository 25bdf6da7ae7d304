//! What FETCH can ask of a message (RFC 3501 section 6.4.5).

use message::{SectionSpec, SectionText};

use super::cursor::Cursor;
use super::{Fault, Page};

/// Most items in one FETCH.
const ITEMS_MAX: usize = 64;
/// Most field names in one HEADER.FIELDS.
const FIELDS_MAX: usize = 1024;
/// Deepest part number.
const PART_DEPTH_MAX: usize = 100;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`
    Rfc822,
    /// `RFC822.HEADER`
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`
    Rfc822Text,
    /// `BODY` without a section
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `UID`
    Uid,
    /// `MODSEQ` (RFC 7162)
    ModSeq,
    /// `BODY[...]` and `BODY.PEEK[...]`
    Section {
        /// Do not set `\Seen`.
        peek: bool,
        /// Which part.
        section: SectionSpec,
        /// Only these bytes of it.
        partial: Option<Partial>,
    },
    /// `BINARY[...]` and `BINARY.PEEK[...]` (RFC 3516)
    Binary {
        /// Do not set `\Seen`.
        peek: bool,
        /// Which part. What is no part has no encoding and comes as it is.
        section: SectionSpec,
        /// Only these bytes of it.
        partial: Option<Partial>,
    },
    /// `BINARY.SIZE[...]` (RFC 3516)
    BinarySize(SectionSpec),
    /// `PREVIEW` (RFC 8970); previews are always at hand, so LAZY makes no difference.
    Preview,
    /// `SAVEDATE` (RFC 8514)
    SaveDate,
    /// `EMAILID` (RFC 8474)
    EmailId,
    /// `THREADID` (RFC 8474)
    ThreadId,
}

/// `<start.count>`, or `<start>` up to the end, which clients in use send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First byte.
    pub start: u64,
    /// At most this many; not 0.
    pub count: u64,
}

/// What stands in parentheses after the items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchModifiers {
    /// CHANGEDSINCE (RFC 7162 section 3.1.4.1).
    pub changed_since: Option<u64>,
    /// VANISHED (RFC 7162 section 3.2.6).
    pub vanished: bool,
    /// PARTIAL (RFC 9394 section 3.3).
    pub page: Option<Page>,
}

impl Cursor<'_> {
    /// A macro, one item, or a list of items.
    pub fn fetch_items(&mut self) -> Result<Vec<FetchItem>, Fault> {
        use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
        for (name, items) in [
            ("ALL", &[Flags, InternalDate, Rfc822Size, Envelope][..]),
            ("FAST", &[Flags, InternalDate, Rfc822Size]),
            ("FULL", &[Flags, InternalDate, Rfc822Size, Envelope, Body]),
        ] {
            if self.take_word(name) {
                return Ok(items.to_vec());
            }
        }
        if !self.take(b'(') {
            return Ok(vec![self.fetch_item()?]);
        }
        let mut items = Vec::new();
        loop {
            if items.len() == ITEMS_MAX {
                return Err(Fault::Syntax("too many items are asked of a message"));
            }
            items.push(self.fetch_item()?);
            if self.take(b')') {
                return Ok(items);
            }
            self.expect(b' ', "the list of items is not closed")?;
        }
    }

    fn fetch_item(&mut self) -> Result<FetchItem, Fault> {
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.').to_ascii_uppercase();
        let peek = match name.as_slice() {
            b"ENVELOPE" => return Ok(FetchItem::Envelope),
            b"FLAGS" => return Ok(FetchItem::Flags),
            b"INTERNALDATE" => return Ok(FetchItem::InternalDate),
            b"RFC822" => return Ok(FetchItem::Rfc822),
            b"RFC822.HEADER" => return Ok(FetchItem::Rfc822Header),
            b"RFC822.SIZE" => return Ok(FetchItem::Rfc822Size),
            b"RFC822.TEXT" => return Ok(FetchItem::Rfc822Text),
            b"BODYSTRUCTURE" => return Ok(FetchItem::BodyStructure),
            b"UID" => return Ok(FetchItem::Uid),
            b"MODSEQ" => return Ok(FetchItem::ModSeq),
            b"PREVIEW" => return self.preview(),
            b"SAVEDATE" => return Ok(FetchItem::SaveDate),
            b"EMAILID" => return Ok(FetchItem::EmailId),
            b"THREADID" => return Ok(FetchItem::ThreadId),
            b"BINARY.SIZE" => return self.section_of_parts().map(FetchItem::BinarySize),
            b"BODY" if self.peek() != Some(b'[') => return Ok(FetchItem::Body),
            b"BODY" | b"BINARY" => false,
            b"BODY.PEEK" | b"BINARY.PEEK" => true,
            _ => return Err(Fault::Syntax("no such item can be fetched")),
        };
        let is_binary = name.starts_with(b"BINARY");
        let section = if is_binary { self.section_of_parts()? } else { self.section()? };
        let partial = self.partial()?;
        Ok(if is_binary {
            FetchItem::Binary { peek, section, partial }
        } else {
            FetchItem::Section { peek, section, partial }
        })
    }

    /// What follows PREVIEW: nothing, or `(LAZY)`.
    fn preview(&mut self) -> Result<FetchItem, Fault> {
        if self.rest().starts_with(b" (") {
            self.space()?;
            self.options(|cursor| {
                if cursor.take_word("LAZY") {
                    Ok(())
                } else {
                    Err(Fault::Syntax("no such modifier of PREVIEW"))
                }
            })?;
        }
        Ok(FetchItem::Preview)
    }

    /// The modifiers after the items, if there are any.
    pub fn fetch_modifiers(&mut self) -> Result<FetchModifiers, Fault> {
        let mut modifiers = FetchModifiers::default();
        if self.is_at_end() {
            return Ok(modifiers);
        }
        self.space()?;
        self.options(|cursor| {
            match cursor.atom()?.to_ascii_uppercase().as_str() {
                "CHANGEDSINCE" => {
                    cursor.space()?;
                    modifiers.changed_since = Some(cursor.number()?);
                }
                "VANISHED" => modifiers.vanished = true,
                "PARTIAL" => {
                    cursor.space()?;
                    modifiers.page = Some(cursor.page()?);
                }
                _ => return Err(Fault::Syntax("no such modifier of FETCH")),
            }
            Ok(())
        })?;
        if modifiers.vanished && modifiers.changed_since.is_none() {
            return Err(Fault::Syntax("VANISHED needs CHANGEDSINCE beside it"));
        }
        Ok(modifiers)
    }

    /// `section-binary`: a whole part, or the whole message.
    fn section_of_parts(&mut self) -> Result<SectionSpec, Fault> {
        let section = self.section()?;
        if section.text == SectionText::All {
            Ok(section)
        } else {
            Err(Fault::Syntax("BINARY takes the number of a part only"))
        }
    }

    pub(super) fn section(&mut self) -> Result<SectionSpec, Fault> {
        self.expect(b'[', "a [ is missing before a section")?;
        let mut part = Vec::new();
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            if part.len() == PART_DEPTH_MAX {
                return Err(Fault::Syntax("a part number is too deep"));
            }
            match self.number32()? {
                0 => return Err(Fault::Syntax("a part number cannot be 0")),
                number => part.push(number),
            }
            if !self.take(b'.') {
                self.expect(b']', "a section is not closed by ]")?;
                return Ok(SectionSpec { part, text: SectionText::All });
            }
        }
        if part.is_empty() && self.take(b']') {
            return Ok(SectionSpec { part, text: SectionText::All });
        }
        let text = self.section_text(!part.is_empty())?;
        self.expect(b']', "a section is not closed by ]")?;
        Ok(SectionSpec { part, text })
    }

    fn section_text(&mut self, in_part: bool) -> Result<SectionText, Fault> {
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.').to_ascii_uppercase();
        match name.as_slice() {
            b"HEADER" => Ok(SectionText::Header),
            b"TEXT" => Ok(SectionText::Text),
            b"MIME" if in_part => Ok(SectionText::Mime),
            b"HEADER.FIELDS" => self.field_names().map(SectionText::HeaderFields),
            b"HEADER.FIELDS.NOT" => self.field_names().map(SectionText::HeaderFieldsNot),
            _ => Err(Fault::Syntax("no such section of a message")),
        }
    }

    fn field_names(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        self.space()?;
        self.expect(b'(', "a list of field names is missing")?;
        let mut names = Vec::new();
        loop {
            if names.len() == FIELDS_MAX {
                return Err(Fault::Syntax("too many field names in a section"));
            }
            let name = self.astring()?;
            if name.contains(&b'\r') || name.contains(&b'\n') {
                return Err(Fault::Syntax("a field name cannot hold a line break"));
            }
            names.push(name.to_vec());
            if self.take(b')') {
                return Ok(names);
            }
            self.expect(b' ', "the list of field names is not closed")?;
        }
    }

    fn partial(&mut self) -> Result<Option<Partial>, Fault> {
        if !self.take(b'<') {
            return Ok(None);
        }
        let start = self.number()?;
        if self.take(b'>') {
            return Ok(Some(Partial { start, count: u64::MAX }));
        }
        self.expect(b'.', "a . is missing in a partial fetch")?;
        let count = self.number()?;
        self.expect(b'>', "a partial fetch is not closed by >")?;
        if count == 0 {
            return Err(Fault::Syntax("a partial fetch of no bytes is not allowed"));
        }
        Ok(Some(Partial { start, count }))
    }
}
