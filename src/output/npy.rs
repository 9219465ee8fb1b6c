//! NumPy's file format, version 1.0: a matrix of f32 that grows row by row.

use std::io::{self, Seek, SeekFrom, Write};

/// Magic, version and header together; a multiple of 64, as NumPy pads it.
const HEADER_BYTES: usize = 128;

/// Writes `[rows, width]`; how many rows there are is known at the end.
pub struct NpyWriter<W> {
    out: W,
    width: usize,
    values: u64,
}

impl<W: Write + Seek> NpyWriter<W> {
    pub fn new(mut out: W, width: usize) -> io::Result<Self> {
        out.write_all(&header(0, width))?;
        Ok(Self { out, width, values: 0 })
    }

    /// Appends whole rows.
    pub fn write(&mut self, rows: &[f32]) -> io::Result<()> {
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.values += rows.len() as u64;
        self.out.write_all(&bytes)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header(self.values / self.width.max(1) as u64, self.width))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn header(rows: u64, width: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER_BYTES - 10) as u16).to_le_bytes());
    header
        .extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}").bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_numpy_writes_it() {
        let mut writer = NpyWriter::new(io::Cursor::new(Vec::new()), 2).unwrap();
        writer.write(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        writer.write(&[5.0, 6.0]).unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        // numpy.save of numpy.arange(1, 7, dtype="float32").reshape(3, 2): b"\x93NUMPY\x01\x00v\x00{'descr': ...
        let start = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        assert!(bytes.starts_with(start));
        assert_eq!((bytes.len(), bytes[127]), (128 + 24, b'\n'));
        assert_eq!(bytes[128..132], 1f32.to_le_bytes());
    }
}
