//! What is told of a picture by its blocks, without decoding it. The frames of an animation are counted: a few bytes each make
//! a frame of any size.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use image::ImageFormat;

use crate::{Error, ErrorKind, Result};

/// How many frames there are, at most `most + 1`; those before damage, where it is damaged. The decoder's word counts where
/// it finds fewer.
pub(super) fn count_frames(file: impl Read + Seek, format: ImageFormat, most: usize) -> usize {
    let mut frames = Counter { reader: BufReader::new(file), frames: 0, most };
    // Damage ends the count.
    let _ = match format {
        ImageFormat::Gif => frames.gif(),
        ImageFormat::Png => frames.png(),
        ImageFormat::WebP => frames.webp(),
        _ => None,
    };
    frames.frames
}

/// A WebP from its start on, whose EXIF tag ends within the file: the decoder takes memory for whatever length the tag claims.
///
/// # Errors
/// [`ErrorKind::Damaged`] where it does not; what the system says of reading.
pub(super) fn check_webp_exif(file: &mut (impl Read + Seek)) -> Result<()> {
    let failed = |error: io::Error| Error::io(&error, "");
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let is_whole = Counter { reader: BufReader::new(&mut *file), frames: 0, most: 0 }.webp_exif(length);
    file.rewind().map_err(failed)?;
    match is_whole {
        Some(false) => {
            Err(Error::new(ErrorKind::Damaged, "the picture is damaged: its EXIF tag does not end"))
        }
        _ => Ok(()),
    }
}

struct Counter<R> {
    reader: BufReader<R>,
    frames: usize,
    most: usize,
}

impl<R: Read + Seek> Counter<R> {
    /// A header with a table of colours; then extensions and pictures in blocks of up to 255 bytes.
    fn gif(&mut self) -> Option<()> {
        let [_, _, _, _, _, _, _, _, _, _, flags, _, _] = self.bytes()?;
        self.skip(table_of_colours(flags))?;
        while self.frames <= self.most {
            match self.bytes()? {
                [b'!'] => self.skip(1)?,
                [b','] => {
                    self.frames += 1;
                    let [_, _, _, _, _, _, _, _, flags] = self.bytes()?;
                    self.skip(table_of_colours(flags) + 1)?;
                }
                // The end, and what may stand between blocks.
                [b';'] => return None,
                _ => continue,
            }
            loop {
                match self.bytes()? {
                    [0] => break,
                    [length] => self.skip(i64::from(length))?,
                }
            }
        }
        Some(())
    }

    /// Chunks: length, kind, content, checksum. The animation's own stands before all pictures.
    fn png(&mut self) -> Option<()> {
        self.skip(8)?;
        loop {
            let [a, b, c, d, kind @ ..]: [u8; 8] = self.bytes()?;
            match &kind {
                b"acTL" => {
                    self.frames = u32::from_be_bytes(self.bytes()?) as usize;
                    return Some(());
                }
                b"IDAT" | b"IEND" => return None,
                _ => self.skip(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)?,
            }
        }
    }

    /// Chunks: kind, length, content, to an even length.
    fn webp(&mut self) -> Option<()> {
        self.skip(12)?;
        while self.frames <= self.most {
            let [kind @ .., a, b, c, d]: [u8; 8] = self.bytes()?;
            self.frames += usize::from(&kind == b"ANMF");
            let length = i64::from(u32::from_le_bytes([a, b, c, d]));
            self.skip(length + length % 2)?;
        }
        Some(())
    }

    /// Whether the first EXIF tag ends within `length` bytes of file; `None` where there is none.
    fn webp_exif(&mut self, length: u64) -> Option<bool> {
        let mut position = 12;
        self.skip(12)?;
        loop {
            let [kind @ .., a, b, c, d]: [u8; 8] = self.bytes()?;
            let size = u64::from(u32::from_le_bytes([a, b, c, d]));
            if &kind == b"EXIF" {
                return Some(position + 8 + size <= length);
            }
            position += 8 + size + size % 2;
            self.skip((size + size % 2) as i64)?;
        }
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    /// `None` at the end of the file.
    fn skip(&mut self, length: i64) -> Option<()> {
        self.reader.seek_relative(length).ok()?;
        (!self.reader.fill_buf().ok()?.is_empty()).then_some(())
    }
}

/// Length of the table that these flags promise, in bytes.
fn table_of_colours(flags: u8) -> i64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn frames_are_counted_without_decoding() {
        let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
        gif.extend(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0");
        for _ in 0..5 {
            gif.extend(b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0");
        }
        gif.push(b';');
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x04gAMA....\0\0\0\0".to_vec();
        png.extend(b"\0\0\0\x08acTL\0\0\0\x05\0\0\0\0....");
        let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0..........".to_vec();
        (0..5).for_each(|_| webp.extend(b"ANMF\x03\0\0\0...."));
        for (bytes, format) in [(gif, ImageFormat::Gif), (png, ImageFormat::Png), (webp, ImageFormat::WebP)] {
            assert_eq!(count_frames(Cursor::new(&bytes), format, 100), 5, "{format:?}");
            for length in 0..bytes.len() {
                assert!(count_frames(Cursor::new(&bytes[..length]), format, 100) <= 5, "{format:?}");
            }
            if format != ImageFormat::Png {
                assert_eq!(count_frames(Cursor::new(&bytes), format, 2), 3, "{format:?}");
            }
        }
        assert_eq!(count_frames(Cursor::new(b"BM"), ImageFormat::Bmp, 100), 0);
    }

    #[test]
    fn an_exif_tag_may_not_be_longer_than_the_file() {
        let webp = |size: u32, exif: &[u8]| {
            let chunk = [b"RIFF\0\0\0\0WEBPVP8X\x03\0\0\0....EXIF", &size.to_le_bytes()[..], exif].concat();
            check_webp_exif(&mut Cursor::new(chunk)).is_ok()
        };
        assert!(webp(4, b"MM\0*"));
        assert!(!webp(5, b"MM\0*"));
        assert!(!webp(u32::MAX, b""));
        assert!(check_webp_exif(&mut Cursor::new(b"RIFF\0\0\0\0WEBPVP8 \xff\xff\xff\xff")).is_ok());
        assert!(check_webp_exif(&mut Cursor::new(b"RIFF")).is_ok());
    }
}
