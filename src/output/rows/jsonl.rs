//! JSON lines: the rows as they are.

use std::io::{self, BufWriter, Write};

pub struct JsonlRows<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> JsonlRows<W> {
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out) }
    }

    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.out.write_all(line)?;
        self.out.write_all(b"\n")
    }

    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
