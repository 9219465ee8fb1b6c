//! What `re_mp4` reads an MP4 file through. It trusts the sizes of some boxes, and goes back to where it was for those of no
//! size, for ever: boxes that nobody needs are hidden from it, and it may not go back often.

use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

/// Steps back that a sound file takes: one or two for a track.
const MAX_STEPS_BACK: usize = 4096;
/// The name that hidden boxes have: their content is skipped.
const FREE: &[u8; 4] = b"free";

pub(super) struct CarefulReader<R> {
    inner: R,
    position: u64,
    /// Where the names of the hidden boxes stand, in order.
    hidden: Vec<u64>,
    steps_back: usize,
}

impl<R: Read + Seek> CarefulReader<R> {
    /// `hidden`: places of names of boxes.
    pub fn new(inner: R, mut hidden: Vec<u64>) -> Self {
        hidden.sort_unstable();
        Self { inner, position: 0, hidden, steps_back: 0 }
    }
}

impl<R: Read + Seek> Read for CarefulReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        let end = self.position + read as u64;
        // A name that is read in part begins before.
        let first = self.hidden.partition_point(|&name| name + 4 <= self.position);
        for &name in self.hidden[first..].iter().take_while(|&&name| name < end) {
            for (place, letter) in (name..).zip(FREE) {
                if let Some(at) = place.checked_sub(self.position)
                    && let Some(byte) = buffer[..read].get_mut(at as usize)
                {
                    *byte = *letter;
                }
            }
        }
        self.position = end;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for CarefulReader<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        if let SeekFrom::Current(0) = to {
            return Ok(self.position);
        }
        let before = std::mem::replace(&mut self.position, self.inner.seek(to)?);
        self.steps_back += usize::from(self.position < before);
        if self.steps_back > MAX_STEPS_BACK {
            return Err(Error::new(ErrorKind::InvalidData, "its boxes go round in circles"));
        }
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn hidden_names_are_others_however_they_are_read() {
        let bytes = b"....meta....udta..";
        for length in 1..=bytes.len() {
            let mut reader = CarefulReader::new(Cursor::new(bytes), vec![12, 4]);
            let (mut all, mut piece) = (Vec::new(), vec![0; length]);
            while let Ok(read @ 1..) = reader.read(&mut piece) {
                all.extend_from_slice(&piece[..read]);
            }
            assert_eq!(all, b"....free....free..", "{length}");
        }
    }

    #[test]
    fn a_reader_that_goes_back_for_ever_is_stopped() {
        let mut reader = CarefulReader::new(Cursor::new([0; 16]), Vec::new());
        let mut step = || {
            reader.read_exact(&mut [0; 8])?;
            reader.seek(SeekFrom::Current(-8))
        };
        assert!((0..MAX_STEPS_BACK).all(|_| step().is_ok()));
        assert!(step().is_err());
    }
}
