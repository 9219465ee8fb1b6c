//! H.264 in MP4 and MOV.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use image::RgbImage;
use image::imageops::{rotate90, rotate180, rotate270};
use re_mp4::{Mp4, Sample, Track, TrackKind, TrakBox};

use super::super::limits::{MAX_FRAME_BYTES, MAX_MP4_SAMPLES};
use super::super::mp4::{
    SampleEntry, chapter_tracks, claimed_length, coding, count_samples, has_index, needless_boxes,
    sample_entry,
};
use super::h264::{Frames, Packet, Stop};
use super::mp4_reader::CarefulReader;
use super::sps::Configuration;
use super::{VideoInfo, choose, open_picture};
use crate::error::is_of_the_system;
use crate::files::first_bytes;
use crate::guard::guard;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

pub(super) struct Mp4Video {
    file: BufReader<File>,
    places: std::vec::IntoIter<Place>,
    /// Bytes that may still be read.
    unread: u64,
    frames: Frames,
    rotation: Rotation,
}

/// Where a packet lies.
struct Place {
    offset: u64,
    size: u64,
    /// When it is shown.
    ticks: i64,
}

/// Clockwise, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rotation {
    None,
    By90,
    By180,
    By270,
}

impl Mp4Video {
    /// `track` is counted from 0 among the video tracks; `None` takes the first that is enabled.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] without a video track, [`ErrorKind::UnsupportedCodec`], [`ErrorKind::Damaged`],
    /// [`ErrorKind::Limit`], [`ErrorKind::Config`] where the track is not there.
    pub fn open(path: &Path, track: Option<usize>) -> Result<(Self, VideoInfo)> {
        let mut file = open_picture(path)?;
        let mp4 = tables(path, &mut file)?;
        let traks = video_traks(path, &mp4)?;
        const ENABLED: u32 = 1;
        let default = traks.iter().position(|trak| trak.tkhd.flags & ENABLED != 0).unwrap_or(0);
        let trak = traks[choose(track, default, traks.len())?];
        let track = mp4.tracks().get(&trak.tkhd.track_id);
        let track = track.ok_or_else(|| damaged("its track has no samples".into()))?;
        let mut configuration = configuration(path, trak)?;
        let timescale = u32::try_from(track.timescale).ok().filter(|&timescale| timescale > 0);
        let timescale = timescale.ok_or_else(|| damaged("its clock stands still".into()))?;
        let (places, shown) = places(track, trak, mp4.moov.mvhd.timescale)?;
        match places.first().map(|place| packet(&mut file, place)) {
            Some(Ok(first)) => configuration.complete(&first.bytes),
            Some(Err(Stop::Failed(error))) => return Err(error),
            // What is wrong with it is said when its turn comes.
            Some(Err(Stop::Early(_))) | None => {}
        }
        let info = VideoInfo {
            container: if &mp4.ftyp.major_brand.value == b"qt  " { "mov" } else { "mp4" }.into(),
            codec: "h264".into(),
            time_base: TimeBase { numerator: 1, denominator: timescale },
        };
        let frames = Frames::new(&configuration, shown)?;
        // Packets may share bytes, but not lie over each other without end.
        let unread = 2 * file.get_ref().metadata().map_err(|e| Error::io(&e, path))?.len();
        Ok((Self { file, places: places.into_iter(), unread, frames, rotation: rotation(trak) }, info))
    }

    /// Packets that cannot be decoded are left out, with a warning at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the system cannot read on.
    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Result<Option<VideoFrame>> {
        let Self { file, places, unread, frames, rotation } = self;
        let next = || {
            let Some(place) = places.next() else { return Ok(None) };
            let over = || Stop::Early("its packets lie over each other".into());
            *unread = unread.checked_sub(place.size).ok_or_else(over)?;
            packet(file, &place).map(Some)
        };
        Ok(frames.next(warnings, next)?.map(|frame| rotation.apply(frame)))
    }
}

fn damaged(what: String) -> Error {
    Error::new(ErrorKind::Damaged, format!("the MP4 file is damaged: {what}"))
}

fn tables(path: &Path, file: &mut BufReader<File>) -> Result<Mp4> {
    let length = file.get_ref().metadata().map_err(|e| Error::io(&e, path))?.len();
    if !has_index(path)? {
        let message = "its index (moov) is missing: it is cut off, or its recording never came to its end";
        return Err(damaged(message.into()));
    }
    if count_samples(path)?.is_none_or(|samples| samples > MAX_MP4_SAMPLES) {
        let message = format!("its tables are damaged or promise more than {MAX_MP4_SAMPLES} samples");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let length = claimed_length(path, length)?;
    let Some(hidden) = needless_boxes(path)? else {
        return Err(damaged("a box is larger than the one that it lies in".into()));
    };
    let reader = CarefulReader::new(file, hidden);
    // It trusts its tables and panics where they do not fit each other.
    guard(|| Mp4::read(reader, length)).map_err(damaged)?.map_err(|error| match error {
        re_mp4::Error::Io(error) if is_of_the_system(&error) => Error::io(&error, path),
        error => damaged(error.to_string()),
    })
}

/// In the order of the file, without the pictures of chapters.
fn video_traks<'a>(path: &Path, mp4: &'a Mp4) -> Result<Vec<&'a TrakBox>> {
    let chapters = chapter_tracks(path)?;
    let is_video = |trak: &&TrakBox| {
        trak.mdia.hdlr.handler_type.value == *b"vide"
            || trak.mdia.minf.stbl.stsd.kind() == Some(TrackKind::Video)
    };
    let traks = mp4.moov.traks.iter().filter(is_video);
    Ok(traks.filter(|trak| !chapters.contains(&trak.tkhd.track_id)).collect())
}

fn configuration(path: &Path, trak: &TrakBox) -> Result<Configuration> {
    let entry = sample_entry(path, trak.tkhd.track_id)?
        .ok_or_else(|| damaged("it does not say how the video is coded".into()))?;
    let unsupported = |message: String| Err(Error::new(ErrorKind::UnsupportedCodec, message));
    match entry {
        SampleEntry { kind, .. } if !matches!(&kind, b"avc1" | b"avc3") => unsupported(format!(
            "the video is {}, not H.264, the one kind that Percept decodes itself",
            coding(kind)
        )),
        SampleEntry { count: 2.., .. } => {
            unsupported("the coding of the H.264 video changes on the way, by its sample entries".into())
        }
        SampleEntry { avcc, .. } => avcc
            .and_then(|avcc| Configuration::parse(&avcc))
            .ok_or_else(|| damaged("the parameters of the H.264 video are missing or cut off".into())),
    }
}

fn packet(file: &mut BufReader<File>, place: &Place) -> std::result::Result<Packet, Stop> {
    if place.size > MAX_FRAME_BYTES {
        let message = format!("a packet of {} bytes is more than {MAX_FRAME_BYTES}", place.size);
        return Err(Stop::Early(message));
    }
    file.seek(SeekFrom::Start(place.offset))?;
    let bytes = first_bytes(file, place.size)?;
    match bytes.len() as u64 == place.size {
        true => Ok(Packet { bytes, ticks: place.ticks }),
        false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
    }
}

/// Packets in the order of decoding, with the times that the edit list gives them (ISO/IEC 14496-12, 8.6.6), as ffmpeg
/// reads it: the first picture that is shown stands where the edit starts. And the times that are shown.
fn places(track: &Track, trak: &TrakBox, movie_timescale: u32) -> Result<(Vec<Place>, RangeInclusive<i64>)> {
    // The reader moves the earliest time to zero; the edit list counts from where it was.
    let stbl = &trak.mdia.minf.stbl;
    let shift = match track.samples.first() {
        Some(first) if stbl.stsz.sample_count > 0 => {
            let offsets =
                stbl.ctts.iter().flat_map(|ctts| &ctts.entries).map(|entry| i64::from(entry.sample_offset));
            first.decode_timestamp + offsets.min().map_or(0, |least| (-least).max(0))
        }
        _ => 0,
    };
    let time = |composition: i64| composition.saturating_sub(shift);
    let entries = trak.edts.iter().filter_map(|edts| edts.elst.as_ref()).flat_map(|elst| &elst.entries);
    let (mut pause, mut edit) = (0i64, None);
    for entry in entries {
        let length = scaled(entry.segment_duration, track.timescale, movie_timescale);
        let is_empty = entry.media_time == u64::MAX || entry.media_time == u64::from(u32::MAX);
        match (is_empty, edit) {
            (true, None) => pause = pause.saturating_add(length),
            (true, Some(_)) => {}
            (false, None) => edit = Some((entry.media_time.cast_signed(), length)),
            (false, Some(_)) => {
                let message = "the video is put together from several parts by its edit list";
                return Err(Error::new(ErrorKind::UnsupportedCodec, message));
            }
        }
    }
    let is_shown = |ticks: i64| match edit {
        Some((start, length)) => ticks >= start && (length <= 0 || ticks < start.saturating_add(length)),
        None => true,
    };
    let times = || track.samples.iter().map(|sample| time(sample.composition_timestamp));
    let first = times().filter(|&ticks| is_shown(ticks)).min().unwrap_or(0);
    let last = times().filter(|&ticks| is_shown(ticks)).max().unwrap_or(0);
    let base = edit.map_or(0, |(start, _)| start.max(first));
    let seen = |ticks: i64| ticks.saturating_sub(base).saturating_add(pause);
    let place = |(sample, ticks): (&Sample, i64)| Place {
        offset: sample.offset,
        size: sample.size,
        ticks: seen(ticks),
    };
    let places = track.samples.iter().zip(times()).map(place).collect();
    Ok((places, seen(first)..=seen(last)))
}

/// Ticks of the movie's clock in ticks of the track's, to the nearest.
fn scaled(ticks: u64, timescale: u64, movie_timescale: u32) -> i64 {
    let movie = u128::from(movie_timescale.max(1));
    i64::try_from((u128::from(ticks) * u128::from(timescale) + movie / 2) / movie).unwrap_or(i64::MAX)
}

fn rotation(trak: &TrakBox) -> Rotation {
    let matrix = &trak.tkhd.matrix;
    match [matrix.a, matrix.b, matrix.c, matrix.d].map(i32::signum) {
        [0, 1, -1, 0] => Rotation::By90,
        [-1, 0, 0, -1] => Rotation::By180,
        [0, -1, 1, 0] => Rotation::By270,
        _ => Rotation::None,
    }
}

impl Rotation {
    fn apply(self, frame: VideoFrame) -> VideoFrame {
        let turn = match self {
            Self::None => return frame,
            Self::By90 => rotate90,
            Self::By180 => rotate180,
            Self::By270 => rotate270,
        };
        let VideoFrame { width, height, pixels, ticks } = frame;
        let turned = turn(&RgbImage::from_raw(width, height, pixels).unwrap_or_default());
        VideoFrame { width: turned.width(), height: turned.height(), pixels: turned.into_raw(), ticks }
    }
}
