//! Frames of an animated picture, counted by its blocks without decoding one: a few bytes each make a frame of any size.

use std::io::{BufRead, BufReader, Read, Seek};

use image::ImageFormat;

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
}
