//! The bytes that a container reader of Symphonia sees: a file from some place on, and FLAC without its tags.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::io::MediaSource;

use super::limits::MAX_CHUNKS;

/// Where the frames of a FLAC file start, and its `STREAMINFO` block.
fn flac_layout(file: &mut File, start: u64) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let length = file.metadata()?.len();
    let mut position = start + 4;
    let mut info = None;
    let mut behind_info = position;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 4];
        file.seek(SeekFrom::Start(position))?;
        if position + 4 > length || file.read_exact(&mut head).is_err() {
            break;
        }
        let [kind, a, b, c] = head;
        let size = u32::from_be_bytes([0, a, b, c]);
        position += 4 + u64::from(size);
        if kind & 0x7F == 0 && size == FLAC_INFO_BYTES && info.is_none() {
            let mut bytes = vec![0; FLAC_INFO_BYTES as usize];
            file.read_exact(&mut bytes)?;
            (info, behind_info) = (Some(bytes), position);
        }
        if kind & 0x80 != 0 && position <= length {
            return Ok(info.map(|info| (info, position)));
        }
    }
    // A block has a wrong size: the frames are somewhere behind the one block that is needed.
    Ok(info.map(|info| (info, behind_info)))
}

const FLAC_INFO_BYTES: u32 = 34;

/// A FLAC file as if it had no tags, pictures or cue sheets: damage in those is no reason to refuse the sound.
pub(super) fn without_tags(mut file: File, start: u64) -> std::io::Result<OffsetFile> {
    Ok(match flac_layout(&mut file, start)? {
        Some((info, frames)) => {
            let head = [b"fLaC\x80\0\0\x22".as_slice(), &info].concat();
            OffsetFile::new(file, head, frames)?
        }
        None => OffsetFile::new(file, Vec::new(), start)?,
    })
}

/// Bytes of all frames of a FLAC file, and any trailing tags.
pub(super) fn flac_sound_bytes(path: &Path, start: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    flac_layout(&mut file, start).ok()?.and_then(|(_, frames)| length.checked_sub(frames))
}

/// A file from some byte on, behind a head of our own: what stands before the container does not shift its
/// offsets.
pub(super) struct OffsetFile {
    head: Vec<u8>,
    file: File,
    start: u64,
    length: u64,
    position: u64,
}

impl OffsetFile {
    pub fn new(file: File, head: Vec<u8>, start: u64) -> std::io::Result<Self> {
        let length = file.metadata()?.len().saturating_sub(start) + head.len() as u64;
        let mut this = Self { head, file, start, length, position: 0 };
        this.seek(SeekFrom::Start(0))?;
        Ok(this)
    }
}

impl Read for OffsetFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let head = self.head.get(self.position as usize..).unwrap_or_default();
        let read = if head.is_empty() {
            // Not every reader of a container asks again.
            loop {
                match self.file.read(buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    read => break read?,
                }
            }
        } else {
            let length = head.len().min(buffer.len());
            buffer[..length].copy_from_slice(&head[..length]);
            length
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for OffsetFile {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let position = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.length.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        let position = position.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        let in_file = position.saturating_sub(self.head.len() as u64).saturating_add(self.start);
        self.file.seek(SeekFrom::Start(in_file))?;
        self.position = position;
        Ok(position)
    }
}

impl MediaSource for OffsetFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}
