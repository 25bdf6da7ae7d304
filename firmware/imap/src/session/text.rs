//! The texts of one message: where a section lies, what is read of it, how its name is written.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use message::{
    SectionSpec, SectionText, Structure, SummaryView, binary, section_range, select_fields, write_string,
};
use store::{BodyRef, Store, StoreError};

use crate::parse::{FetchItem, Partial};

/// Texts longer than this are written chunk by chunk.
pub(super) const CHUNK_BYTES: u64 = 256 * 1024;
/// Answers held beyond this make further texts be written chunk by chunk.
const HELD_MAX_BYTES: usize = 1024 * 1024;

/// Whether the section is of the message's own header.
pub(super) fn is_header_only(section: &SectionSpec) -> bool {
    section.part.is_empty() && !matches!(section.text, SectionText::All | SectionText::Text)
}

/// Writes the name of a text as its answer repeats it, and tells which text it is.
pub(super) fn write_text_name(out: &mut Vec<u8>, item: &FetchItem) -> (SectionSpec, Option<Partial>) {
    let whole = |text| (SectionSpec { part: Vec::new(), text }, None);
    match item {
        FetchItem::Rfc822Header => {
            out.extend_from_slice(b"RFC822.HEADER ");
            whole(SectionText::Header)
        }
        FetchItem::Rfc822Text => {
            out.extend_from_slice(b"RFC822.TEXT ");
            whole(SectionText::Text)
        }
        FetchItem::Section { section, partial, .. } => {
            write_section_name(out, "BODY", section);
            if let Some(Partial { start, .. }) = partial {
                let _ = write!(out, "<{start}>");
            }
            out.push(b' ');
            (section.clone(), *partial)
        }
        FetchItem::Binary { section, partial, .. } => {
            write_section_name(out, "BINARY", section);
            if let Some(Partial { start, .. }) = partial {
                let _ = write!(out, "<{start}>");
            }
            out.push(b' ');
            (section.clone(), *partial)
        }
        // What is left is RFC822.
        _ => {
            out.extend_from_slice(b"RFC822 ");
            whole(SectionText::All)
        }
    }
}

/// Writes `BODY[1.2.MIME]` and its like.
pub(super) fn write_section_name(out: &mut Vec<u8>, item: &str, section: &SectionSpec) {
    out.extend_from_slice(item.as_bytes());
    out.push(b'[');
    let numbers: Vec<String> = section.part.iter().map(u32::to_string).collect();
    out.extend_from_slice(numbers.join(".").as_bytes());
    if !numbers.is_empty() && section.text != SectionText::All {
        out.push(b'.');
    }
    let (name, fields): (&[u8], &[Vec<u8>]) = match &section.text {
        SectionText::All => (b"", &[]),
        SectionText::Header => (b"HEADER", &[]),
        SectionText::HeaderFields(fields) => (b"HEADER.FIELDS (", fields),
        SectionText::HeaderFieldsNot(fields) => (b"HEADER.FIELDS.NOT (", fields),
        SectionText::Text => (b"TEXT", &[]),
        SectionText::Mime => (b"MIME", &[]),
    };
    out.extend_from_slice(name);
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        let plain =
            !field.is_empty() && field.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if plain {
            out.extend_from_slice(field);
        } else {
            write_string(out, field);
        }
    }
    if !fields.is_empty() {
        out.push(b')');
    }
    out.push(b']');
}

/// A text of a message.
pub(super) enum Text {
    /// The message has no such part.
    Missing,
    /// The bytes.
    Here(Bytes),
    /// Too long to hold: where it is in the message.
    Long(Range<u64>),
    /// Its transfer encoding has an unknown name.
    UnknownEncoding,
}

/// One message while its texts are written.
pub(super) struct Source<'a> {
    store: &'a Store,
    body: BodyRef,
    summary: Option<SummaryView<'a>>,
    structure: Option<Structure>,
    whole: Option<Bytes>,
    /// More than the header will be asked for.
    bodies: bool,
}

impl<'a> Source<'a> {
    pub fn new(store: &'a Store, body: BodyRef, summary: Option<SummaryView<'a>>, bodies: bool) -> Self {
        Self { store, body, summary, structure: None, whole: None, bodies }
    }

    /// Finds a section, or the part of it that is asked for. Where `held` bytes of answers are many already,
    /// it is not held as well.
    pub fn find(
        &mut self,
        section: &SectionSpec,
        partial: Option<Partial>,
        held: usize,
    ) -> Result<Text, StoreError> {
        let Some(range) = self.locate(section) else { return Ok(Text::Missing) };
        if let SectionText::HeaderFields(names) | SectionText::HeaderFieldsNot(names) = &section.text {
            let except = matches!(section.text, SectionText::HeaderFieldsNot(_));
            let chosen = select_fields(&self.read(range)?, names, except);
            let length = chosen.len() as u64;
            let cut = cut(0..length, partial);
            return Ok(Text::Here(Bytes::from(chosen).slice(cut.start as usize..cut.end as usize)));
        }
        let range = cut(range, partial);
        if range.end - range.start > CHUNK_BYTES || held > HELD_MAX_BYTES {
            return Ok(Text::Long(range));
        }
        self.read(range).map(Text::Here)
    }

    /// The same with the transfer encoding of a part undone (RFC 3516); what is no part has none.
    pub fn find_decoded(
        &mut self,
        section: &SectionSpec,
        partial: Option<Partial>,
        held: usize,
    ) -> Result<Text, StoreError> {
        if section.text != SectionText::All || section.part.is_empty() {
            return self.find(section, partial, held);
        }
        if self.structure.is_none() {
            self.structure = self.summary.and_then(|summary| summary.structure());
        }
        let whole = self.whole()?;
        let decoded = self.structure.as_ref().and_then(|structure| binary(&whole, structure, &section.part));
        Ok(match decoded {
            None => Text::Missing,
            Some(None) => Text::UnknownEncoding,
            Some(Some(bytes)) => {
                let cut = cut(0..bytes.len() as u64, partial);
                Text::Here(Bytes::from(bytes).slice(cut.start as usize..cut.end as usize))
            }
        })
    }

    /// The whole message, read once.
    fn whole(&mut self) -> Result<Bytes, StoreError> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let whole = self.store.read_body(&self.body)?;
        self.whole = Some(whole.clone());
        Ok(whole)
    }

    /// Where a section is. What is asked most is known without the tree of parts.
    fn locate(&mut self, section: &SectionSpec) -> Option<Range<u64>> {
        let length = u64::from(self.body.length);
        let header_bytes = self.summary?.header_bytes().min(length);
        if section.part.is_empty() {
            return match section.text {
                SectionText::All => Some(0..length),
                SectionText::Text => Some(header_bytes..length),
                SectionText::Mime => None,
                _ => Some(0..header_bytes),
            };
        }
        if self.structure.is_none() {
            self.structure = self.summary?.structure();
        }
        let range = section_range(self.body.length as usize, self.structure.as_ref()?, section)?;
        Some(range.start as u64..(range.end as u64).min(length))
    }

    fn read(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        // A message of ordinary size is read once, with its checksum, whatever is asked of it.
        if self.bodies && u64::from(self.body.length) <= CHUNK_BYTES {
            let whole = self.whole()?;
            let end = (range.end as usize).min(whole.len());
            return Ok(whole.slice((range.start as usize).min(end)..end));
        }
        self.store.read_range(&self.body, range)
    }
}

/// The part of a range that a partial fetch asks for (RFC 3501 section 6.4.5).
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { start, count }) = partial else { return range };
    let first = range.start.saturating_add(start).min(range.end);
    first..first.saturating_add(count).min(range.end)
}
