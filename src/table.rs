//! Tables as text: CSV, or fields separated by tabs or semicolons.

use std::collections::HashSet;

use crate::error::{Position, some_of, suggestion};
use crate::{Error, ErrorKind, Result};

/// Most columns of a table.
pub const MAX_COLUMNS: usize = 1024;

/// A table whose first line names its columns. Fields are separated by commas; by tabs or semicolons where the first line
/// has no comma.
pub(crate) struct Table<'a> {
    pub header: Vec<String>,
    delimiter: u8,
    reader: csv::Reader<&'a [u8]>,
    lines: Lines<'a>,
    record: csv::StringRecord,
}

impl<'a> Table<'a> {
    /// # Errors
    /// [`ErrorKind::Dataset`] with the line: quotes that do not match, two columns of one name; [`ErrorKind::Limit`].
    pub fn new(text: &'a str) -> Result<Self> {
        let delimiter = delimiter(text);
        check_quotes(text, delimiter)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(text.as_bytes());
        let header: Vec<String> =
            reader.headers().map_err(|e| csv_error(&e))?.iter().map(str::to_string).collect();
        check_header(&header)?;
        Ok(Self { header, delimiter, reader, lines: Lines::new(text), record: csv::StringRecord::new() })
    }

    /// What separates the fields, where it is no comma.
    pub fn unusual_delimiter(&self) -> Option<&'static str> {
        match self.delimiter {
            b',' => None,
            b'\t' => Some("tabs"),
            _ => Some("semicolons"),
        }
    }

    /// The next row and its line, counted from 1.
    ///
    /// # Errors
    /// [`ErrorKind::Dataset`] with the line where it has more or fewer fields than the first line.
    pub fn next_row(&mut self) -> Result<Option<(u64, &csv::StringRecord)>> {
        if !self.reader.read_record(&mut self.record).map_err(|e| csv_error(&e))? {
            return Ok(None);
        }
        let line = self.lines.at(self.record.position().map_or(0, |p| p.byte()));
        if self.record.len() != self.header.len() {
            let message = format!(
                "the row has {} fields, the first line has {}; quote a field that holds the separator",
                self.record.len(),
                self.header.len()
            );
            return Err(wrong(message).at(Position::Line(line)));
        }
        Ok(Some((line, &self.record)))
    }
}

/// The column called `name`; `setting` chooses another.
pub(crate) fn column(header: &[String], name: &str, setting: &str) -> Result<usize> {
    header.iter().position(|h| h == name).ok_or_else(|| {
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        let near = suggestion(name, &names);
        let near = if near.starts_with("did") { format!("; {near}") } else { String::new() };
        wrong(format!(
            "has no column \"{name}\"; its columns are {}: name one with --{setting}{near}",
            some_of(&names)
        ))
    })
}

fn check_header(header: &[String]) -> Result<()> {
    if header.len() > MAX_COLUMNS {
        let message = format!("has {} columns; at most {MAX_COLUMNS} are allowed", header.len());
        return Err(Error::new(ErrorKind::Limit, message).at(Position::Line(1)));
    }
    let mut seen = HashSet::new();
    if let Some((k, name)) =
        header.iter().enumerate().find(|(_, name)| !name.is_empty() && !seen.insert(name.as_str()))
    {
        return Err(wrong(format!("column {} is called \"{name}\" as an earlier one is; rename it", k + 1)));
    }
    Ok(())
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Dataset, message)
}

/// What separates the fields of the first line.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b'\t', b';'].into_iter().find(|d| header.as_bytes().contains(d)).unwrap_or(b',')
}

/// The csv crate takes quotes that do not match as they come: then one field swallows the rows behind it.
fn check_quotes(text: &str, delimiter: u8) -> Result<()> {
    /// Where in a field a byte stands.
    enum At {
        Start,
        Plain,
        Quoted,
        /// Behind a quote in a quoted field, which ends it unless a second one follows.
        Quote,
    }
    let mut at = At::Start;
    let (mut line, mut opened) = (1, 1);
    for byte in text.bytes() {
        at = match (at, byte) {
            (At::Start, b'"') => {
                opened = line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
            (_, b'\n' | b'\r') => At::Start,
            (_, byte) if byte == delimiter => At::Start,
            (At::Quote, b' ') => At::Quote,
            (At::Quote, _) => {
                let message = if line == opened {
                    "text follows the quote that ends a field; write a quote inside a field twice (\"\")"
                        .to_string()
                } else {
                    format!(
                        "the quote that ends the field begun in line {opened} has text behind it; is one out of place?"
                    )
                };
                return Err(wrong(message).at(Position::Line(line)));
            }
            (At::Start | At::Plain, _) => At::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    if matches!(at, At::Quoted) {
        let message = "the quote that begins a field here has no end; remove it, or write it twice (\"\") inside quotes";
        return Err(wrong(message.to_string()).at(Position::Line(opened)));
    }
    Ok(())
}

fn csv_error(error: &csv::Error) -> Error {
    Error::new(ErrorKind::Dataset, format!("is not a readable CSV file: {error}"))
}

/// Line numbers of byte offsets that only grow. (The csv crate counts records, not lines, after blank lines and
/// quoted line breaks.)
struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), offset: 0, line: 1 }
    }

    fn at(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        // A record begins after the line breaks that end the one before.
        let rest = &self.text[byte..];
        let byte = byte + rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        let passed = self.text.get(self.offset..byte).unwrap_or_default();
        self.line += passed.iter().filter(|&&b| b == b'\n').count() as u64;
        self.offset = self.offset.max(byte);
        self.line
    }
}
