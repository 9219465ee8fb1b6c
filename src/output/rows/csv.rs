//! CSV (RFC 4180).

use std::io::{self, Write};

use super::flat::{Cell, FlatRow, Row};
use crate::output::csv::guarded;

pub struct CsvRows<W: Write> {
    out: ::csv::Writer<W>,
}

impl<W: Write> CsvRows<W> {
    /// Writes the names of the columns.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = ::csv::Writer::from_writer(out);
        out.write_record(FlatRow::default().cells().map(|(name, _)| name))?;
        Ok(Self { out })
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        for flat in row.flat() {
            for (_, cell) in flat.cells() {
                match cell {
                    Cell::Text(text) => self.out.write_field(&*guarded(text.unwrap_or_default()))?,
                    Cell::Integer(value) => self.out.write_field(number(value))?,
                    Cell::Double(value) => self.out.write_field(number(value))?,
                }
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(::csv::IntoInnerError::into_error)
    }
}

/// With as many digits as it takes to read back the same number, which are those of JSON.
fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}
