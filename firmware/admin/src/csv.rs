//! Comma separated values (RFC 4180), row by row, in bounded memory.
//!
//! Cells are split as octets and decoded afterwards: in UTF-8 and in GB18030 no octet of a letter is a
//! comma, a quotation mark or a line's end.

use std::io::{self, BufRead, Read};

use encoding_rs::{Encoding, GB18030, UTF_8};

/// Longest row, in octets.
pub const ROW_BYTES_MAX: usize = 64 * 1024;
/// Most cells of a row that are kept.
const CELLS_MAX: usize = 64;
/// Octets looked at in one go to find out the encoding.
const PIECE_BYTES: usize = 64 * 1024;
/// The mark that some programs put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A row: where it begins, counted from 1, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its first line.
    pub line: u64,
    /// Its cells, or why there are none.
    pub cells: Result<Vec<Vec<u8>>, Fault>,
}

/// Why a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than [`ROW_BYTES_MAX`].
    TooLong,
    /// A quotation mark is not closed.
    QuoteOpen,
}

/// Reads rows.
pub struct Rows<R> {
    input: R,
    line: u64,
    separator: Option<u8>,
}

impl<R: BufRead> Rows<R> {
    /// Rows of `input`. The separator is a comma, or the semicolon or tabulator that the first row has
    /// instead.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, separator: None }
    }

    /// The next row that is not empty.
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
        loop {
            let first = self.line + 1;
            let mut bytes = Vec::new();
            let mut too_long = self.read_line(&mut bytes)?;
            if bytes.is_empty() && !too_long {
                return Ok(None);
            }
            if first == 1 && bytes.starts_with(BOM) {
                bytes.drain(..BOM.len());
            }
            let separator = *self.separator.get_or_insert_with(|| separator_of(&bytes));
            while !too_long && split(&bytes, separator).is_none() {
                let held = bytes.len();
                too_long = self.read_line(&mut bytes)? || bytes.len() > ROW_BYTES_MAX;
                if bytes.len() == held && !too_long {
                    return Ok(Some(Row { line: first, cells: Err(Fault::QuoteOpen) }));
                }
            }
            let cells =
                if too_long { Err(Fault::TooLong) } else { split(&bytes, separator).ok_or(Fault::QuoteOpen) };
            let is_empty =
                cells.as_ref().is_ok_and(|cells| cells.iter().all(|cell| cell.trim_ascii().is_empty()));
            if !is_empty {
                return Ok(Some(Row { line: first, cells }));
            }
        }
    }

    /// Adds one line; `true` when it was too long, and then it is skipped.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        self.line += 1;
        let held = bytes.len();
        let read = self.input.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', bytes)?;
        if read <= ROW_BYTES_MAX || bytes.last() == Some(&b'\n') {
            return Ok(false);
        }
        bytes.truncate(held);
        let mut rest = Vec::new();
        loop {
            rest.clear();
            let read = self.input.by_ref().take(ROW_BYTES_MAX as u64).read_until(b'\n', &mut rest)?;
            if read == 0 || rest.last() == Some(&b'\n') {
                return Ok(true);
            }
        }
    }
}

fn separator_of(first: &[u8]) -> u8 {
    let has = |separator: &u8| first.contains(separator);
    b",;\t".iter().copied().find(has).unwrap_or(b',')
}

/// The cells of a whole row; `None` while a quotation mark is open.
fn split(row: &[u8], separator: u8) -> Option<Vec<Vec<u8>>> {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    let row = row.strip_suffix(b"\r").unwrap_or(row);
    let mut cells = vec![Vec::new()];
    let mut quoted = false;
    let mut octets = row.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        let cell = cells.last_mut()?;
        match octet {
            b'"' if quoted && octets.peek() == Some(&b'"') => {
                octets.next();
                cell.push(octet);
            }
            b'"' if quoted => quoted = false,
            // Only at the begin of a cell: some write quotation marks into it without doubling them.
            b'"' if cell.trim_ascii().is_empty() => {
                cell.clear();
                quoted = true;
            }
            _ if octet == separator && !quoted => {
                if cells.len() <= CELLS_MAX {
                    cells.push(Vec::new());
                }
            }
            _ => cell.push(octet),
        }
    }
    (!quoted).then_some(cells)
}

/// The encoding of a file: UTF-8 if all of it is, else GB18030.
pub fn encoding_of(mut input: impl Read) -> io::Result<&'static Encoding> {
    let mut decoder = UTF_8.new_decoder_without_bom_handling();
    let mut piece = vec![0; PIECE_BYTES];
    let mut text = String::with_capacity(3 * PIECE_BYTES + 16);
    loop {
        let read = input.read(&mut piece)?;
        text.clear();
        let octets = piece.get(..read).unwrap_or_default();
        let (result, _) = decoder.decode_to_string_without_replacement(octets, &mut text, read == 0);
        if matches!(result, encoding_rs::DecoderResult::Malformed(..)) {
            return Ok(GB18030);
        }
        if read == 0 {
            return Ok(UTF_8);
        }
    }
}

/// A cell as text, without blanks around it; `None` if it is not text in the encoding.
pub fn text(cell: &[u8], encoding: &'static Encoding) -> Option<String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(cell)?;
    Some(text.trim().to_owned())
}

/// A row as it is written: cells in quotation marks where they need them.
pub fn write_row(cells: &[String]) -> String {
    let cell = |cell: &String| {
        let needs = cell.contains([',', '"', '\n', '\r', ';', '\t']) || cell.trim() != cell;
        if needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Vec<(u64, Result<Vec<String>, Fault>)> {
        let mut rows = Rows::new(bytes);
        let mut read = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            let text = |cells: Vec<Vec<u8>>| cells.iter().map(|cell| text(cell, UTF_8).unwrap()).collect();
            read.push((row.line, row.cells.map(text)));
        }
        read
    }

    #[test]
    fn rows_keep_their_line_numbers() {
        let read = rows(b"\xef\xbb\xbfa,b\r\n\r\n \"x, \"\"y\"\"\nz\" , 2\n,\n\"open,1\nrest");
        assert_eq!(read[0], (1, Ok(vec!["a".into(), "b".into()])));
        assert_eq!(read[1], (3, Ok(vec!["x, \"y\"\nz".into(), "2".into()])));
        assert_eq!(read[2], (6, Err(Fault::QuoteOpen)));
        assert_eq!(read.len(), 3);
        assert_eq!(rows(b"a;b;c,d").remove(0).1.unwrap(), ["a;b;c", "d"]);
        assert_eq!(rows(b"a;b\nc,d;e").remove(1).1.unwrap(), ["c,d", "e"]);
        assert_eq!(rows(b"a\tb").remove(0).1.unwrap().len(), 2);
    }

    #[test]
    fn a_row_without_end_is_skipped_and_costs_bounded_memory() {
        let mut bytes = vec![b'x'; 3 * ROW_BYTES_MAX];
        bytes.extend_from_slice(b"\nshort,1\n\"");
        bytes.resize(bytes.len() + 2 * ROW_BYTES_MAX, b'\n');
        let read = rows(&bytes);
        assert_eq!(read[0], (1, Err(Fault::TooLong)));
        assert_eq!(read[1], (2, Ok(vec!["short".into(), "1".into()])));
        assert_eq!(read[2], (3, Err(Fault::TooLong)));
    }

    #[test]
    fn written_rows_are_read_as_they_were() {
        let cells = ["a,b", "say \"x\"", " blank ", "王, 小明", "", "two\nlines"].map(str::to_owned);
        let written = write_row(&cells);
        let row = Rows::new(written.as_bytes()).next_row().unwrap().unwrap();
        let read: Vec<_> =
            row.cells.unwrap().into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect();
        assert_eq!(read, cells);
    }

    #[test]
    fn the_encoding_is_found_out_across_pieces() {
        let mut long = "王".repeat(PIECE_BYTES).into_bytes();
        assert_eq!(encoding_of(&long[..]).unwrap(), UTF_8);
        long.push(0xe7);
        assert_eq!(encoding_of(&long[..]).unwrap(), GB18030);
        let (chinese, _, _) = GB18030.encode("张三,密码㐀");
        assert_eq!(encoding_of(&chinese[..]).unwrap(), GB18030);
        assert_eq!(text(&chinese, GB18030).unwrap(), "张三,密码㐀");
        assert_eq!(text(b"\x81", GB18030), None);
    }
}
