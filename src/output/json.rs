//! JSON: one object for one input, an array for several.

use std::io::{self, Write};

use serde::Serialize;

/// Writes records as they come; nothing is held back.
pub struct JsonWriter<W> {
    out: W,
    several: bool,
    written: usize,
}

impl<W: Write> JsonWriter<W> {
    /// `several`: more than one input was given, so the document is an array.
    pub fn new(out: W, several: bool) -> Self {
        Self { out, several, written: 0 }
    }

    pub fn write<T: Serialize>(&mut self, record: &T) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(record)?;
        if self.several {
            self.out.write_all(if self.written == 0 { b"[\n  " } else { b",\n  " })?;
            // Line breaks inside strings are escaped in JSON, so these are all between fields.
            text = text.replace('\n', "\n  ");
        }
        self.written += 1;
        self.out.write_all(text.as_bytes())
    }

    pub fn finish(mut self) -> io::Result<W> {
        if self.several {
            self.out.write_all(if self.written == 0 { b"[]" } else { b"\n]" })?;
        }
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}
