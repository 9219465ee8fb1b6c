//! Decisions -> bytes. [`record`] says what a result is; one file a format writes it.

mod csv;
mod destination;
mod json;
mod jsonl;
pub mod record;
mod text;

use std::io::{self, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use destination::Destination;
pub use json::JsonWriter;
pub use record::{ClassifyRecord, ProbeRecord};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One object for one input, an array for several
    #[default]
    Json,
    /// One object a line
    Jsonl,
    /// One row a label, for spreadsheets
    Csv,
    /// For people
    Text,
}

impl Format {
    /// The format that a file name asks for by its extension, if any.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Writes classification records one by one, as they come.
pub enum Writer<W: Write> {
    Json(json::JsonWriter<W>),
    Jsonl(jsonl::JsonlWriter<W>),
    Csv(Box<csv::CsvWriter<W>>),
    Text(text::TextWriter<W>),
}

impl<W: Write> Writer<W> {
    /// `several`: more than one input was given, so that JSON is an array.
    pub fn new(format: Format, out: W, several: bool) -> Self {
        match format {
            Format::Json => Self::Json(json::JsonWriter::new(out, several)),
            Format::Jsonl => Self::Jsonl(jsonl::JsonlWriter::new(out)),
            Format::Csv => Self::Csv(Box::new(csv::CsvWriter::new(out))),
            Format::Text => Self::Text(text::TextWriter::new(out)),
        }
    }

    pub fn write(&mut self, record: &ClassifyRecord) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.write(record),
            Self::Jsonl(writer) => writer.write(record),
            Self::Csv(writer) => writer.write(record),
            Self::Text(writer) => writer.write(record),
        }
    }

    /// Writes what closes the document, flushes, and gives the sink back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Json(writer) => writer.finish(),
            Self::Jsonl(writer) => writer.finish(),
            Self::Csv(writer) => writer.finish(),
            Self::Text(writer) => writer.finish(),
        }
    }
}
