//! Many users at once: from a CSV file, and back into one.
//!
//! Rows go to the service in pieces, so neither side holds the file. A bad row is told with its line
//! number and reason, and the others are imported.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use control::directory::{
    Limit, LimitName, Page, Protocol, ROWS_MAX, Reply, Request, RowOutcome, UserChange, UserRow,
};
use encoding_rs::Encoding;
use serde_json::json;

use crate::csv::{self, Fault, ROW_BYTES_MAX, Rows};
use crate::directory_words::{Amount, Protocols};
use crate::execute::{Sockets, ask_directory};
use crate::failure::Failure;
use crate::language::Language;
use crate::table::printable;
use crate::text::Text;

/// Rows sent at once; with Chinese names they stay far below a control line's length.
const PIECE_ROWS: usize = 500;
/// Octets of rows sent at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bad rows listed in JSON; beyond them they are only counted.
const FAULTS_MAX: usize = 100_000;
/// Rows between two lines of progress.
const PROGRESS_ROWS: u64 = 5_000;

/// What an import is told.
pub struct Import<'a> {
    /// The file.
    pub file: &'a Path,
    /// Change users who are there.
    pub update: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// One line of JSON instead of lines for people.
    pub json: bool,
    /// Language of what is said.
    pub language: Language,
}

#[derive(Default)]
struct Tally {
    added: u64,
    updated: u64,
    skipped: u64,
    refused: u64,
    faults: Vec<serde_json::Value>,
}

/// A row on its way to the service.
struct Sent {
    line: u64,
    row: UserRow,
}

/// Imports a file; `out` gets a line for each bad row and the sum, `progress` how far it is.
pub fn import(
    options: &Import<'_>,
    sockets: &Sockets,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::FileUnreadable {
        file: options.file.display().to_string(),
        reason: error.to_string(),
    };
    let encoding = csv::encoding_of(File::open(options.file).map_err(unreadable)?).map_err(unreadable)?;
    let mut rows = Rows::new(BufReader::new(File::open(options.file).map_err(unreadable)?));
    let mut columns = None;
    let mut desk =
        Desk { options, sockets, out, tally: Tally::default(), waiting: Vec::new(), waiting_bytes: 0 };
    let mut told = 0;
    while let Some(row) = rows.next_row().map_err(unreadable)? {
        let cells = row.cells.map(|cells| {
            let text = |cell: &Vec<u8>| csv::text(cell, encoding);
            // What is not text in the encoding is said below.
            cells.iter().map(text).collect::<Option<Vec<_>>>()
        });
        let cells = match cells {
            Ok(Some(cells)) => cells,
            Ok(None) => {
                desk.refuse(row.line, "", &not_text(encoding, options.language))?;
                continue;
            }
            Err(fault) => {
                desk.refuse(row.line, "", &fault_sentence(fault, options.language))?;
                continue;
            }
        };
        if columns.is_none() {
            let header = header(&cells, options.language).map_err(|reason| Failure::FileUnreadable {
                file: options.file.display().to_string(),
                reason,
            })?;
            let is_header = header.is_some();
            columns = Some(header.unwrap_or_else(|| Column::ALL.to_vec()));
            if is_header {
                continue;
            }
        }
        let order = columns.as_deref().unwrap_or(&Column::ALL);
        match user_row(&cells, order, options.language) {
            Ok(user) => desk.send_later(row.line, user)?,
            Err(reason) => desk.refuse(row.line, cells.first().map_or("", String::as_str), &reason)?,
        }
        if desk.tally.rows() >= told + PROGRESS_ROWS {
            told = desk.tally.rows();
            // Nobody may be watching.
            let _ = writeln!(progress, "{}", Text::ImportProgress.fill(options.language, &[&told]));
        }
    }
    desk.send()?;
    desk.finish()
}

/// Where the rows of an import go.
struct Desk<'a> {
    options: &'a Import<'a>,
    sockets: &'a Sockets,
    out: &'a mut dyn Write,
    tally: Tally,
    waiting: Vec<Sent>,
    waiting_bytes: usize,
}

impl Tally {
    fn rows(&self) -> u64 {
        self.added + self.updated + self.skipped + self.refused
    }
}

impl Desk<'_> {
    fn send_later(&mut self, line: u64, row: UserRow) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&row).map_or(0, |bytes| bytes.len());
        if !self.waiting.is_empty() && self.waiting_bytes + bytes > PIECE_BYTES {
            self.send()?;
        }
        self.waiting_bytes += bytes;
        self.waiting.push(Sent { line, row });
        if self.waiting.len() >= PIECE_ROWS { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let (lines, rows): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|sent| ((sent.line, sent.row.address.clone()), sent.row)).unzip();
        let request = Request::Import { rows, update: self.options.update, dry_run: self.options.dry_run };
        let Reply::Imported(outcomes) = ask_directory(self.sockets, request)? else {
            return Err(Failure::WrongKind("mail"));
        };
        if outcomes.len() != lines.len() {
            return Err(Failure::WrongKind("mail"));
        }
        for ((line, address), outcome) in lines.into_iter().zip(outcomes) {
            match outcome {
                RowOutcome::Added => self.tally.added += 1,
                RowOutcome::Updated => self.tally.updated += 1,
                RowOutcome::Skipped => self.tally.skipped += 1,
                RowOutcome::Refused(reason) => self.refuse(line, &address, &reason)?,
            }
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, address: &str, reason: &str) -> Result<(), Failure> {
        self.tally.refused += 1;
        if self.options.json {
            if self.tally.faults.len() < FAULTS_MAX {
                self.tally.faults.push(json!({ "line": line, "address": address, "reason": reason }));
            }
            return Ok(());
        }
        let said =
            Text::BadRow.fill(self.options.language, &[&line, &printable(address), &printable(reason)]);
        writeln!(self.out, "{said}").map_err(Failure::Unwritable)
    }

    fn finish(self) -> Result<(), Failure> {
        let Tally { added, updated, skipped, refused, faults } = self.tally;
        let said = if self.options.json {
            json!({
                "added": added, "updated": updated, "skipped": skipped, "refused": refused,
                "dry_run": self.options.dry_run, "faults": faults,
            })
            .to_string()
        } else {
            let text = if self.options.dry_run { Text::ImportWould } else { Text::ImportDone };
            text.fill(self.options.language, &[&added, &updated, &skipped, &refused])
        };
        writeln!(self.out, "{said}").map_err(Failure::Unwritable)?;
        if refused > 0 { Err(Failure::BadRows(refused)) } else { Ok(()) }
    }
}

fn not_text(encoding: &'static Encoding, language: Language) -> String {
    Text::RowNotText.fill(language, &[&encoding.name()])
}

fn fault_sentence(fault: Fault, language: Language) -> String {
    match fault {
        Fault::TooLong => Text::RowTooLong.fill(language, &[&ROW_BYTES_MAX]),
        Fault::QuoteOpen => Text::RowQuoteOpen.get(language).to_owned(),
    }
}

/// A column of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Address,
    Password,
    Name,
    Limit(LimitName),
    Protocols,
    Enabled,
    Language,
    Forward,
    KeepCopy,
}

impl Column {
    /// The order of a file without a header.
    const ALL: [Self; 16] = [
        Self::Address,
        Self::Password,
        Self::Name,
        Self::Limit(LimitName::Space),
        Self::Limit(LimitName::Messages),
        Self::Limit(LimitName::LargestMessage),
        Self::Limit(LimitName::LargestAttachment),
        Self::Limit(LimitName::MessagesHour),
        Self::Limit(LimitName::MessagesDay),
        Self::Limit(LimitName::RecipientsHour),
        Self::Limit(LimitName::RecipientsDay),
        Self::Protocols,
        Self::Enabled,
        Self::Language,
        Self::Forward,
        Self::KeepCopy,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Password => "password",
            Self::Name => "name",
            Self::Limit(name) => name.word(),
            Self::Protocols => "protocols",
            Self::Enabled => "enabled",
            Self::Language => "language",
            Self::Forward => "forward",
            Self::KeepCopy => "keep_copy",
        }
    }

    fn chinese(self) -> &'static str {
        match self {
            Self::Address => "地址",
            Self::Password => "密码",
            Self::Name => "姓名",
            Self::Limit(LimitName::Space) => "空间",
            Self::Limit(LimitName::Messages) => "邮件封数",
            Self::Limit(LimitName::LargestMessage) => "邮件大小",
            Self::Limit(LimitName::LargestAttachment) => "附件大小",
            Self::Limit(LimitName::MessagesHour) => "每小时发信",
            Self::Limit(LimitName::MessagesDay) => "每天发信",
            Self::Limit(LimitName::RecipientsHour) => "每小时收件人",
            Self::Limit(LimitName::RecipientsDay) => "每天收件人",
            Self::Protocols => "协议",
            Self::Enabled => "启用",
            Self::Language => "语言",
            Self::Forward => "转发",
            Self::KeepCopy => "保留副本",
        }
    }

    fn of(word: &str) -> Option<Self> {
        let word = word.to_lowercase().replace([' ', '-'], "_");
        Self::ALL.into_iter().find(|column| column.word() == word || column.chinese() == word)
    }
}

/// The columns a header names; none if the row is no header, because it has an address.
fn header(cells: &[String], language: Language) -> Result<Option<Vec<Column>>, String> {
    if cells.iter().any(|cell| cell.contains('@')) || !cells.iter().any(|cell| Column::of(cell).is_some()) {
        return Ok(None);
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for cell in cells {
        let column = Column::of(cell).ok_or_else(|| Text::HeaderUnknown.fill(language, &[cell]))?;
        if !seen.insert(column) {
            return Err(Text::HeaderTwice.fill(language, &[cell]));
        }
        columns.push(column);
    }
    if !seen.contains(&Column::Address) {
        return Err(Text::HeaderNoAddress.get(language).to_owned());
    }
    Ok(Some(columns))
}

/// A row's user; an empty cell says nothing.
fn user_row(cells: &[String], columns: &[Column], language: Language) -> Result<UserRow, String> {
    if cells.len() > columns.len() && cells.iter().skip(columns.len()).any(|cell| !cell.is_empty()) {
        return Err(Text::RowTooManyCells.fill(language, &[&cells.len(), &columns.len()]));
    }
    let mut row = UserRow::default();
    for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let bad = || Text::RowBadCell.fill(language, &[&column.word(), cell]);
        let settings = &mut row.settings;
        match column {
            Column::Address => row.address.clone_from(cell),
            Column::Password => row.password = Some(cell.clone()),
            Column::Name => settings.name = Some(cell.clone()),
            Column::Limit(name) => {
                let amount: Amount = cell.parse().map_err(|_| bad())?;
                settings.limits.insert(*name, amount.0);
            }
            Column::Protocols => {
                settings.protocols = Some(cell.parse::<Protocols>().map_err(|_| bad())?.0);
            }
            Column::Enabled => settings.enabled = Some(yes_or_no(cell).ok_or_else(bad)?),
            Column::Language => {
                let word = cell.to_lowercase();
                let word = if word == "default" { String::new() } else { word };
                settings.language = Some(word).filter(|word| matches!(word.as_str(), "" | "en" | "zh"));
                if settings.language.is_none() {
                    return Err(bad());
                }
            }
            Column::Forward => settings.forward_to = Some(targets(cell)),
            Column::KeepCopy => settings.keep_copy = Some(yes_or_no(cell).ok_or_else(bad)?),
        }
    }
    if row.address.is_empty() { Err(Text::RowNoAddress.get(language).to_owned()) } else { Ok(row) }
}

fn yes_or_no(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "on" | "yes" | "true" | "1" | "是" => Some(true),
        "off" | "no" | "false" | "0" | "否" => Some(false),
        _ => None,
    }
}

/// Addresses with blanks or semicolons between them, or `none`.
fn targets(cell: &str) -> Vec<String> {
    if cell.eq_ignore_ascii_case("none") {
        return Vec::new();
    }
    cell.split([' ', ';', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Writes users as rows that [`import`] takes.
pub fn export(domain: Option<&str>, sockets: &Sockets, out: &mut dyn Write) -> Result<(), Failure> {
    let head = csv::write_row(&Column::ALL.map(|column| column.word().to_owned()));
    out.write_all(head.as_bytes()).map_err(Failure::Unwritable)?;
    let mut page = Page { domain: domain.map(str::to_owned), limit: ROWS_MAX, ..Page::default() };
    loop {
        let Reply::Exported(rows) = ask_directory(sockets, Request::Export(page.clone()))? else {
            return Err(Failure::WrongKind("mail"));
        };
        for row in &rows {
            let line = csv::write_row(&Column::ALL.map(|column| cell(row, column)));
            out.write_all(line.as_bytes()).map_err(Failure::Unwritable)?;
        }
        match rows.last() {
            Some(last) if rows.len() >= page.limit => page.after.clone_from(&last.address),
            _ => return out.flush().map_err(Failure::Unwritable),
        }
    }
}

fn cell(row: &UserRow, column: Column) -> String {
    let UserChange { enabled, protocols, name, language, limits, forward_to, keep_copy } = &row.settings;
    let switch = |on: &Option<bool>| on.map_or("", |on| if on { "on" } else { "off" }).to_owned();
    match column {
        Column::Address => row.address.clone(),
        Column::Password => row.password.clone().unwrap_or_default(),
        Column::Name => name.clone().unwrap_or_default(),
        Column::Limit(name) => match limits.get(&name) {
            Some(Limit::AtMost(number)) => number.to_string(),
            Some(Limit::None) => "none".to_owned(),
            Some(Limit::Default) | None => String::new(),
        },
        Column::Protocols => match protocols {
            Some(list) if list.is_empty() => "none".to_owned(),
            Some(list) if list.len() == Protocol::ALL.len() => "all".to_owned(),
            Some(list) => list.iter().map(|protocol| protocol.word()).collect::<Vec<_>>().join(" "),
            None => String::new(),
        },
        Column::Enabled => switch(enabled),
        Column::Language => language.clone().unwrap_or_default(),
        Column::Forward => forward_to.as_deref().unwrap_or_default().join(" "),
        Column::KeepCopy => switch(keep_copy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_header_is_known_by_having_no_address() {
        let en = Language::En;
        let named = header(&cells("Password,地址,largest message"), en).unwrap().unwrap();
        let largest = Column::Limit(LimitName::LargestMessage);
        assert_eq!(named, [Column::Password, Column::Address, largest]);
        assert_eq!(header(&cells("a@b.test,secret"), en), Ok(None));
        for (bad, word) in
            [("name,password", "address"), ("address,colour", "colour"), ("address,Address", "twice")]
        {
            assert!(header(&cells(bad), en).unwrap_err().contains(word), "{bad}");
        }
    }

    #[test]
    fn what_is_exported_is_what_was_imported() {
        let text = "a@b.test,secret-word,Wang,2G,none,,1000,5,,,,imap pop3,off,zh,x@y.test z@y.test,no";
        let row = user_row(&cells(text), &Column::ALL, Language::En).unwrap();
        assert_eq!(row.settings.limits[&LimitName::Space], Limit::AtMost(2 << 30));
        assert_eq!(row.settings.keep_copy, Some(false));
        let again: Vec<String> = Column::ALL.map(|column| cell(&row, column)).to_vec();
        assert_eq!(user_row(&again, &Column::ALL, Language::En).unwrap(), row);
    }

    #[test]
    fn a_bad_cell_is_named() {
        for (text, word) in [
            ("a@b.test,p,n,two", "space"),
            ("a@b.test,p,n,,,,,,,,,gopher", "protocols"),
            ("a@b.test,p,n,,,,,,,,,,maybe", "enabled"),
            ("a@b.test,p,n,,,,,,,,,,,fr", "language"),
            (",p", "address"),
            ("a@b.test,,,,,,,,,,,,,,,,more", "17 cells"),
        ] {
            let reason = user_row(&cells(text), &Column::ALL, Language::En).unwrap_err();
            assert!(reason.contains(word), "{reason}");
        }
        assert!(user_row(&cells("a@b.test,,,,,,,,,,,,,,,,"), &Column::ALL, Language::En).is_ok());
    }
}
