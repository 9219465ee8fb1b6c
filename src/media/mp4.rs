//! What Symphonia leaves out of an MP4 file: the edit list and Apple's gapless tag, which say how many
//! samples at the start and end are the encoder's delay and padding.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use super::limits::{MAX_CHUNKS, MAX_DATE_CHUNKS};
#[cfg(feature = "h264")]
use super::limits::{MAX_MP4_BOXES, MAX_SAMPLE_ENTRY, MAX_TRACKS};
use crate::error::is_of_the_system;
use crate::files::first_bytes;
use crate::{Error, Result};

/// Version, flags and count of the entries of a `stsd` box.
const LIST_HEAD: u64 = 8;

/// The part of a track that is to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    /// From an edit list: start in ticks of the track's clock; length in ticks of the movie's clock.
    List { start: u64, timescale: u32, length: Option<u64>, movie_timescale: u32 },
    /// From `iTunSMPB`, in samples.
    Gapless { delay: u64, length: u64 },
}

impl Edit {
    /// Samples to drop at the start.
    pub fn start(&self, sample_rate: u32) -> u64 {
        match *self {
            Self::List { start, timescale, .. } => scale(start, sample_rate, timescale),
            Self::Gapless { delay, .. } => delay,
        }
    }

    /// Samples to give after those.
    pub fn length(&self, sample_rate: u32) -> Option<u64> {
        match *self {
            // A clock slower than the sample rate cannot name a sample: then the end is left as it is.
            Self::List { length, movie_timescale, .. } if movie_timescale >= sample_rate => {
                length.map(|length| scale(length, sample_rate, movie_timescale))
            }
            Self::List { .. } => None,
            Self::Gapless { length, .. } => Some(length),
        }
    }
}

fn scale(ticks: u64, sample_rate: u32, timescale: u32) -> u64 {
    let samples = u128::from(ticks) * u128::from(sample_rate) / u128::from(timescale.max(1));
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// The edit of the track with this id, if the file has one. Damage here is no error: the whole is heard then.
///
/// # Errors
/// As [`in_boxes`], here and of all that look into a file below.
pub(super) fn edit(path: &Path, track_id: u32, audio_track: usize) -> Result<Option<Edit>> {
    in_boxes(path, MAX_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        // The tag speaks of the file's one audio track.
        if audio_track == 0
            && let Some(gapless) = reader.gapless(moov)
        {
            return Some(gapless);
        }
        let mvhd = reader.find(moov, b"mvhd")?;
        let movie_timescale = reader.timescale(mvhd)?;
        let trak = reader.track(moov, track_id)?;
        let elst = reader.find_path(trak, &[b"edts", b"elst"])?;
        let mdhd = reader.find_path(trak, &[b"mdia", b"mdhd"])?;
        let timescale = reader.timescale(mdhd)?;
        let (start, length) = parse_elst(&reader.bytes(elst, 8 + 20 * 64)?)?;
        Some(Edit::List { start, timescale, length, movie_timescale })
    })
}

/// Whether the track holds QuickTime's PCM of 24 bits or more in its big-endian form, which is the default:
/// Symphonia takes it for little-endian, and would give noise.
pub(super) fn is_big_endian_pcm(path: &Path, track_id: u32) -> Result<bool> {
    let found = in_boxes(path, MAX_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        let trak = reader.track(moov, track_id)?;
        let stsd = reader.find_path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
        let bytes = reader.bytes(stsd, 4096)?;
        let wide = [b"in24", b"in32", b"fl32", b"fl64"]
            .iter()
            .any(|kind| bytes.get(12..16) == Some(kind.as_slice()));
        Some(wide && !bytes.windows(6).any(|window| window == b"enda\0\x01"))
    })?;
    Ok(found.unwrap_or(false))
}

/// When the file says that it was made, in seconds from the start of 1904 by universal time; `None` where it does not say.
pub(super) fn creation_time(path: &Path) -> Result<Option<u64>> {
    in_boxes(path, MAX_DATE_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        let mvhd = reader.find(moov, b"mvhd")?;
        let bytes = reader.bytes(mvhd, 12)?;
        let length = if *bytes.first()? == 1 { 8 } else { 4 };
        Some(number(bytes.get(4..4 + length)?)).filter(|&seconds| seconds > 0)
    })
}

/// Samples that the tables of all tracks promise; `None` where they are damaged.
#[cfg(feature = "h264")]
pub(super) fn count_samples(path: &Path) -> Result<Option<u64>> {
    in_boxes(path, MAX_MP4_BOXES, |reader, file| {
        let mut samples = 0u64;
        for moov in reader.all(file, b"moov") {
            for trak in reader.all(moov, b"trak") {
                // Of several of a name who reads them may take any.
                for stsz in reader.all_paths(trak, &[b"mdia", b"minf", b"stbl", b"stsz"]) {
                    // Behind version, flags and the size that all have.
                    samples = samples.saturating_add(number(reader.bytes(stsz, 12)?.get(8..12)?));
                }
            }
        }
        for moof in reader.all(file, b"moof") {
            for traf in reader.all(moof, b"traf") {
                for trun in reader.all(traf, b"trun") {
                    samples = samples.saturating_add(number(reader.bytes(trun, 8)?.get(4..8)?));
                }
            }
        }
        // What was not walked through is not counted.
        (reader.budget > 0).then_some(samples)
    })
}

/// What a sample entry for pictures says of their coding, for people.
pub(super) fn coding(entry: [u8; 4]) -> String {
    match &entry {
        b"avc1" | b"avc3" => "H.264".into(),
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC (H.265)".into(),
        b"vvc1" | b"vvi1" => "VVC (H.266)".into(),
        b"av01" => "AV1".into(),
        b"vp08" => "VP8".into(),
        b"vp09" => "VP9".into(),
        b"mp4v" => "MPEG-4 Part 2".into(),
        b"s263" | b"h263" => "H.263".into(),
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG".into(),
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes".into(),
        b"encv" => "encrypted".into(),
        other => format!("of the kind {}", other.escape_ascii()),
    }
}

/// How the first track of pictures is coded, for people; read here because Symphonia may give up on such a file.
pub(super) fn picture_coding(path: &Path) -> Result<Option<String>> {
    in_boxes(path, MAX_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        for trak in reader.all(moov, b"trak") {
            let hdlr = reader.find_path(trak, &[b"mdia", b"hdlr"])?;
            if reader.bytes(hdlr, 12)?.get(8..) == Some(b"vide") {
                let stsd = reader.find_path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
                let (kind, ..) = reader.next(stsd.0 + LIST_HEAD, stsd.1)?;
                return Some(coding(kind));
            }
        }
        None
    })
}

/// How a track's pictures are coded: its first sample entry.
#[cfg(feature = "h264")]
pub(super) struct SampleEntry {
    /// `avc1`, `hvc1`, ...
    pub kind: [u8; 4],
    /// Entries in all: more than one where the coding changes on the way.
    pub count: u64,
    /// The `avcC` box, for H.264.
    pub avcc: Option<Vec<u8>>,
}

#[cfg(feature = "h264")]
pub(super) fn sample_entry(path: &Path, track_id: u32) -> Result<Option<SampleEntry>> {
    // What stands in an entry for pictures before its boxes.
    const PICTURE_HEAD: u64 = 78;
    in_boxes(path, MAX_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        let trak = reader.track(moov, track_id)?;
        let stsd = reader.find_path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
        let count = number(reader.bytes(stsd, LIST_HEAD)?.get(4..8)?);
        let (kind, body, end) = reader.next(stsd.0 + LIST_HEAD, stsd.1)?;
        let avcc = reader.find((body.checked_add(PICTURE_HEAD)?, end), b"avcC");
        let avcc = avcc.and_then(|avcc| reader.bytes(avcc, MAX_SAMPLE_ENTRY));
        Some(SampleEntry { kind, count, avcc })
    })
}

/// Whether the file has the box that says what is where in it.
#[cfg(feature = "h264")]
pub(super) fn has_index(path: &Path) -> Result<bool> {
    Ok(in_boxes(path, MAX_CHUNKS, |reader, file| reader.find(file, b"moov"))?.is_some())
}

/// Where the file ends, or would end if the samples at its end were not cut off.
#[cfg(feature = "h264")]
pub(super) fn claimed_length(path: &Path, length: u64) -> Result<u64> {
    let claimed = in_boxes(path, MAX_MP4_BOXES, |reader, _| {
        let mut position = 0;
        while position < length {
            match reader.next(position, u64::MAX)? {
                (_, _, end) if end <= length => position = end,
                // A size of 0 means to the end of the file.
                (name, _, end) if &name == b"mdat" && end < u64::MAX => return Some(end),
                _ => return None,
            }
        }
        None
    })?;
    Ok(claimed.unwrap_or(length))
}

/// Where the names stand of boxes whose content no video needs; `None` where a box does not fit into that which it lies in.
#[cfg(feature = "h264")]
pub(super) fn needless_boxes(path: &Path) -> Result<Option<Vec<u64>>> {
    in_boxes(path, MAX_MP4_BOXES, |reader, file| {
        let mut found = Vec::new();
        reader.needless(b"file", file, &mut found)?;
        Some(found)
    })
}

/// The tracks that hold pictures of chapters for other tracks, by their ids.
#[cfg(feature = "h264")]
pub(super) fn chapter_tracks(path: &Path) -> Result<Vec<u32>> {
    let found = in_boxes(path, MAX_CHUNKS, |reader, file| {
        let moov = reader.find(file, b"moov")?;
        let mut ids = Vec::new();
        for trak in reader.all(moov, b"trak") {
            if let Some(chap) = reader.find_path(trak, &[b"tref", b"chap"]) {
                let bytes = reader.bytes(chap, 4 * MAX_TRACKS as u64)?;
                ids.extend(bytes.as_chunks().0.iter().map(|&id| u32::from_be_bytes(id)));
            }
        }
        Some(ids)
    })?;
    Ok(found.unwrap_or_default())
}

/// Start of the first edit that is not empty, and its length when it is the only one.
fn parse_elst(bytes: &[u8]) -> Option<(u64, Option<u64>)> {
    let wide = *bytes.first()? == 1;
    let entries = bytes.get(8..)?.chunks_exact(if wide { 20 } else { 12 }).map(|entry| {
        if wide {
            (number(&entry[..8]), number(&entry[8..16]) as i64)
        } else {
            (number(&entry[..4]), i64::from(number(&entry[4..8]) as u32 as i32))
        }
    });
    let edits: Vec<(u64, i64)> = entries.filter(|(_, start)| *start >= 0).collect();
    let &(length, start) = edits.first()?;
    Some((start as u64, (edits.len() == 1 && length > 0).then_some(length)))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

/// What `look` finds in a file, at `budget` boxes of which it may look. It gets the span of the whole file, and gives `None`
/// where the file is damaged or has no such thing.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) where the system does not read it: that is no damage.
fn in_boxes<T>(
    path: &Path,
    budget: usize,
    look: impl FnOnce(&mut BoxReader, Span) -> Option<T>,
) -> Result<Option<T>> {
    let failed = |error: io::Error| Error::io(&error, path);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut reader = BoxReader { file, budget, failed: None };
    let found = look(&mut reader, (0, length));
    reader.failed.map_or(Ok(found), |error| Err(failed(error)))
}

struct BoxReader {
    file: File,
    /// Boxes that may still be looked at.
    budget: usize,
    /// What the system said where it could not read.
    failed: Option<io::Error>,
}

/// Where something begins and ends.
type Span = (u64, u64);

impl BoxReader {
    /// Name, start of the body and end of the box at `position`.
    fn next(&mut self, position: u64, end: u64) -> Option<([u8; 4], u64, u64)> {
        self.budget = self.budget.checked_sub(1)?;
        if position.checked_add(8)? > end {
            return None;
        }
        let head = self.bytes((position, end), 16)?;
        let name = *head.get(4..8)?.first_chunk()?;
        let (header, size) = match number(head.get(..4)?) {
            0 => (8, end - position),
            1 => (16, number(head.get(8..16)?)),
            size => (8, size),
        };
        let box_end = position.checked_add(size)?;
        (size >= header && box_end <= end).then_some((name, position + header, box_end))
    }

    fn find_path(&mut self, mut span: Span, names: &[&[u8; 4]]) -> Option<Span> {
        for name in names {
            span = self.find(span, name)?;
        }
        Some(span)
    }

    fn track(&mut self, moov: Span, track_id: u32) -> Option<Span> {
        let mut position = moov.0;
        while let Some((name, body, end)) = self.next(position, moov.1) {
            if &name == b"trak" && self.track_id((body, end)) == Some(track_id) {
                return Some((body, end));
            }
            position = end;
        }
        None
    }

    fn find(&mut self, span: Span, wanted: &[u8; 4]) -> Option<Span> {
        let mut position = span.0;
        while let Some((name, body, end)) = self.next(position, span.1) {
            if &name == wanted {
                return Some((body, end));
            }
            position = end;
        }
        None
    }

    fn all(&mut self, span: Span, wanted: &[u8; 4]) -> Vec<Span> {
        let (mut position, mut found) = (span.0, Vec::new());
        while let Some((name, body, end)) = self.next(position, span.1) {
            if &name == wanted {
                found.push((body, end));
            }
            position = end;
        }
        found
    }

    #[cfg(feature = "h264")]
    fn all_paths(&mut self, span: Span, names: &[&[u8; 4]]) -> Vec<Span> {
        names
            .iter()
            .fold(vec![span], |spans, name| spans.into_iter().flat_map(|span| self.all(span, name)).collect())
    }

    /// Adds where the names of needless boxes stand within the box `parent`, whose children fill it.
    #[cfg(feature = "h264")]
    fn needless(&mut self, parent: &[u8; 4], span: Span, found: &mut Vec<u64>) -> Option<()> {
        // What the file ends with may be cut off.
        let end = if parent == b"file" { u64::MAX } else { span.1 };
        let mut position = span.0;
        while position.checked_add(8)? <= span.1 {
            let (name, body, box_end) = self.next(position, end)?;
            match (parent, &name) {
                (_, b"meta" | b"udta" | b"emsg") => found.push(position + 4),
                (b"file", b"moov" | b"moof")
                | (b"moov", b"trak" | b"mvex")
                | (b"trak", b"mdia" | b"edts")
                | (b"mdia", b"minf")
                | (b"minf", b"stbl" | b"dinf")
                | (b"moof", b"traf") => self.needless(&name, (body, box_end), found)?,
                _ => {}
            }
            position = box_end;
        }
        Some(())
    }

    fn bytes(&mut self, span: Span, at_most: u64) -> Option<Vec<u8>> {
        let length = at_most.min(span.1.checked_sub(span.0)?);
        let found = self.file.seek(SeekFrom::Start(span.0)).and_then(|_| first_bytes(&mut self.file, length));
        match found {
            Ok(bytes) => return Some(bytes),
            Err(error) if is_of_the_system(&error) => self.failed = Some(error),
            Err(_) => {}
        }
        None
    }

    /// Of `mvhd` or `mdhd`: both start with version, flags and two times.
    fn timescale(&mut self, span: Span) -> Option<u32> {
        let bytes = self.bytes(span, 24)?;
        let at = if *bytes.first()? == 1 { 20 } else { 12 };
        Some(number(bytes.get(at..at + 4)?) as u32).filter(|&scale| scale > 0)
    }

    fn track_id(&mut self, trak: Span) -> Option<u32> {
        let tkhd = self.find(trak, b"tkhd")?;
        let bytes = self.bytes(tkhd, 24)?;
        let at = if *bytes.first()? == 1 { 20 } else { 12 };
        Some(number(bytes.get(at..at + 4)?) as u32)
    }

    /// `moov/udta/meta/ilst/----/data` of the tag named `iTunSMPB`: hexadecimal numbers, the second the delay,
    /// the third the padding, the fourth the length in samples.
    fn gapless(&mut self, moov: Span) -> Option<Edit> {
        let udta = self.find(moov, b"udta")?;
        let meta = self.find(udta, b"meta")?;
        let ilst = self.find((meta.0 + 4, meta.1), b"ilst")?;
        let mut position = ilst.0;
        while let Some((name, body, end)) = self.next(position, ilst.1) {
            if &name == b"----"
                && let Some(tag) = self.find((body, end), b"name")
                && self.bytes(tag, 64)?.ends_with(b"iTunSMPB")
            {
                let data = self.find((body, end), b"data")?;
                let bytes = self.bytes(data, 512)?;
                let text = String::from_utf8_lossy(bytes.get(8..)?).into_owned();
                let mut numbers = text.split_whitespace().map(|word| u64::from_str_radix(word, 16));
                let (_, delay, _, length) = (
                    numbers.next()?.ok()?,
                    numbers.next()?.ok()?,
                    numbers.next()?.ok()?,
                    numbers.next()?.ok()?,
                );
                return (length > 0).then_some(Edit::Gapless { delay, length });
            }
            position = end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_list_gives_start_and_length() {
        let mut list = vec![0, 0, 0, 0, 0, 0, 0, 2];
        list.extend([0, 0, 0, 100, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 0, 0]);
        list.extend([0, 0, 3, 232, 0, 0, 4, 0, 0, 1, 0, 0]);
        assert_eq!(parse_elst(&list), Some((1024, Some(1000))), "the leading empty edit is only a pause");
        let edit = Edit::List { start: 1024, timescale: 44_100, length: Some(1000), movie_timescale: 1000 };
        assert_eq!(
            (edit.start(44_100), edit.length(44_100)),
            (1024, None),
            "milliseconds cannot name a sample"
        );
        let edit = Edit::List { start: 512, timescale: 22_050, length: Some(1000), movie_timescale: 44_100 };
        assert_eq!((edit.start(44_100), edit.length(44_100)), (1024, Some(1000)));
    }

    #[test]
    fn a_damaged_edit_list_is_none() {
        assert_eq!(parse_elst(&[]), None);
        assert_eq!(parse_elst(&[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2]), None);
    }
}
