//! CSV (RFC 4180): one row a prediction, one row for a file that failed.

use std::borrow::Cow;
use std::io::{self, Write};

use super::record::{ClassifyRecord, Outcome};

const HEADER: [&str; 11] = [
    "path",
    "status",
    "rank",
    "label",
    "score",
    "duration",
    "sample_rate",
    "channels",
    "warnings",
    "error_kind",
    "error_message",
];

pub struct CsvWriter<W: Write> {
    out: ::csv::Writer<W>,
    header_written: bool,
}

impl<W: Write> CsvWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out: ::csv::Writer::from_writer(out), header_written: false }
    }

    pub fn write(&mut self, record: &ClassifyRecord) -> io::Result<()> {
        self.write_header()?;
        let input = &record.input;
        let path = guarded(&input.path);
        match &record.outcome {
            Outcome::Ok(result) => {
                let warnings = result.warnings.join("; ");
                for (i, prediction) in result.predictions.iter().enumerate() {
                    self.out.write_record([
                        &*path,
                        "ok",
                        &(i + 1).to_string(),
                        &guarded(&prediction.label),
                        &prediction.score.to_string(),
                        &number(input.duration),
                        &number(input.sample_rate),
                        &number(input.channels),
                        &guarded(&warnings),
                        "",
                        "",
                    ])?;
                }
            }
            Outcome::Error { error } => {
                let kind = serde_json::to_value(error.kind)?;
                self.out.write_record([
                    &*path,
                    "error",
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    kind.as_str().unwrap_or_default(),
                    &guarded(&error.message),
                ])?;
            }
        }
        self.out.flush()
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.write_header()?;
        self.out.into_inner().map_err(::csv::IntoInnerError::into_error)
    }

    fn write_header(&mut self) -> io::Result<()> {
        if !self.header_written {
            self.out.write_record(HEADER)?;
            self.header_written = true;
        }
        Ok(())
    }
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A spreadsheet runs a cell that begins with one of these as a formula; a leading `'` makes it text.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
pub(super) fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
