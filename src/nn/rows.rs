//! Rows of numbers that may be too many for the memory: those go to a file without a name.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind, Result};

/// Bytes of rows that stay in memory.
pub const MAX_BYTES_IN_MEMORY: usize = 32 << 20;

/// A matrix `[rows, width]` that is written and read in parts.
#[derive(Debug)]
pub struct Rows {
    width: usize,
    rows: usize,
    place: Place,
    /// Bytes that stay in memory.
    limit: usize,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<f32>),
    /// Threads read and write different parts of it.
    File(Mutex<File>),
}

impl Rows {
    /// No rows yet, of `width` values.
    pub fn new(width: usize) -> Self {
        Self::with_limit(width, MAX_BYTES_IN_MEMORY)
    }

    /// As [`Rows::new`]; more than `limit` bytes go to a file.
    pub fn with_limit(width: usize, limit: usize) -> Self {
        Self { width, rows: 0, place: Place::Memory(Vec::new()), limit }
    }

    /// `rows` of zeros, to be written in any order.
    pub(super) fn zeros(width: usize, rows: usize, limit: usize) -> Result<Self> {
        let mut all = Self::with_limit(width, limit);
        all.grow(rows)?;
        Ok(all)
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where there is no room for the file.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        let first = self.rows;
        self.grow(first + values.len() / self.width)?;
        self.write(first, values)
    }

    /// Replaces the rows from `first` on.
    pub fn write(&mut self, first: usize, values: &[f32]) -> Result<()> {
        match &mut self.place {
            Place::Memory(all) => all[first * self.width..][..values.len()].copy_from_slice(values),
            Place::File(file) => {
                let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let offset = 4 * (first * self.width) as u64;
                file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&bytes)).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Puts `count` rows from `first` on into `out`, which is replaced.
    pub fn read(&self, first: usize, count: usize, out: &mut Vec<f32>) -> Result<()> {
        out.clear();
        let range = first * self.width..(first + count) * self.width;
        match &self.place {
            Place::Memory(all) => out.extend_from_slice(&all[range]),
            Place::File(file) => {
                let mut bytes = vec![0; 4 * range.len()];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let offset = 4 * range.start as u64;
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(failed)?;
                out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
        }
        Ok(())
    }

    /// Makes room; what has outgrown the memory moves to a file.
    fn grow(&mut self, rows: usize) -> Result<()> {
        let values = rows * self.width;
        if let Place::Memory(all) = &mut self.place {
            if 4 * values <= self.limit {
                all.resize(values, 0.0);
            } else {
                let all = std::mem::take(all);
                self.place = Place::File(Mutex::new(tempfile::tempfile().map_err(failed)?));
                self.write(0, &all)?;
            }
        }
        self.rows = rows;
        Ok(())
    }
}

fn failed(error: std::io::Error) -> Error {
    let folder = std::env::temp_dir();
    let message = format!(
        "frames of a long recording go to a temporary file, which failed ({error}); give the folder more room, or name \
         another one (TMPDIR)"
    );
    Error::new(ErrorKind::Io, message).with_path(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_in_memory_and_in_a_file() {
        for limit in [0, 40, 1 << 20] {
            let mut rows = Rows::with_limit(2, limit);
            (0..7).for_each(|i| rows.push(&[i as f32, -(i as f32)]).unwrap());
            rows.write(3, &[10.0, 11.0, 12.0, 13.0]).unwrap();
            let mut out = vec![9.0; 3];
            rows.read(2, 4, &mut out).unwrap();
            assert_eq!(out, [2.0, -2.0, 10.0, 11.0, 12.0, 13.0, 5.0, -5.0]);
            assert_eq!((rows.len(), matches!(rows.place, Place::File(_))), (7, limit < 56));
        }
        let zeros = Rows::zeros(3, 2, 0).unwrap();
        assert_eq!(zeros.len(), 2);
    }
}
