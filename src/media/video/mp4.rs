//! H.264 in MP4 and MOV.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use image::RgbImage;
use image::imageops::{rotate90, rotate180, rotate270};
use re_mp4::{Mp4, Sample, StsdBoxContent, Track, TrackKind, TrakBox};

use super::super::limits::MAX_MP4_SAMPLES;
use super::super::mp4::count_samples;
use super::h264::{Configuration, H264};
use super::{VideoInfo, open_picture};
use crate::guard::guard;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

pub(super) struct Mp4Video {
    file: BufReader<File>,
    packets: std::vec::IntoIter<Packet>,
    number: usize,
    left_out: usize,
    /// Why the first was left out.
    first_left_out: Option<String>,
    decoder: H264,
    rotation: Rotation,
    /// Times of the pictures that are to be seen: those outside the edit list are only decoded.
    shown: RangeInclusive<i64>,
    /// Decoded, not yet given.
    ready: VecDeque<VideoFrame>,
    finished: bool,
}

struct Packet {
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
    /// # Errors
    /// [`ErrorKind::Empty`] without a video track, [`ErrorKind::UnsupportedCodec`], [`ErrorKind::Damaged`],
    /// [`ErrorKind::Limit`].
    pub fn open(path: &Path) -> Result<(Self, VideoInfo)> {
        let mut file = open_picture(path)?;
        let length = file.get_ref().metadata().map_err(|e| Error::io(&e, path))?.len();
        if count_samples(path).is_none_or(|samples| samples > MAX_MP4_SAMPLES) {
            let message = format!("its tables are damaged or promise more than {MAX_MP4_SAMPLES} samples");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let damaged =
            |what: String| Error::new(ErrorKind::Damaged, format!("the MP4 file is damaged: {what}"));
        // The reader trusts its tables and panics where they do not fit each other.
        let mp4 =
            guard(|| Mp4::read(&mut file, length)).map_err(damaged)?.map_err(|e| damaged(e.to_string()))?;
        let track = mp4.tracks().values().find(|track| is_video(track, &mp4));
        let Some(track) = track else {
            return Err(Error::new(ErrorKind::Empty, "the file holds no video track"));
        };
        let trak = track.trak(&mp4);
        let StsdBoxContent::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.contents else {
            let message = "the video is not H.264, the one kind that Percept decodes itself";
            return Err(Error::new(ErrorKind::UnsupportedCodec, message));
        };
        let avcc = &avc1.avcc;
        let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
        let decoder = H264::new(&Configuration {
            length_size: usize::from(avcc.length_size_minus_one & 3) + 1,
            parameter_sets: sets.map(|set| set.bytes.clone()).collect(),
        })?;
        let timescale = u32::try_from(track.timescale).ok().filter(|&timescale| timescale > 0);
        let timescale = timescale.ok_or_else(|| damaged("its clock stands still".into()))?;
        let (packets, shown) = packets(track, trak, mp4.moov.mvhd.timescale)?;
        let info = VideoInfo {
            container: if &mp4.ftyp.major_brand.value == b"qt  " { "mov" } else { "mp4" }.into(),
            codec: "h264".into(),
            time_base: TimeBase { numerator: 1, denominator: timescale },
        };
        let video = Self {
            file,
            packets: packets.into_iter(),
            number: 0,
            left_out: 0,
            first_left_out: None,
            decoder,
            rotation: rotation(trak),
            shown,
            ready: VecDeque::new(),
            finished: false,
        };
        Ok((video, info))
    }

    /// Packets that cannot be decoded are left out, with a warning at the end.
    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Option<VideoFrame> {
        while !self.finished {
            if let Some(frame) = self.ready.pop_front() {
                return Some(self.rotation.apply(frame));
            }
            let decoded = match self.packets.next() {
                Some(packet) => self.decode(&packet, warnings).map(Vec::from_iter),
                None => {
                    self.finished = true;
                    self.decoder.finish()
                }
            };
            match decoded {
                Ok(frames) => {
                    let frames = frames.into_iter().filter(|frame| self.shown.contains(&frame.ticks));
                    self.ready.extend(frames);
                }
                Err(error) => {
                    self.left_out += 1;
                    self.first_left_out
                        .get_or_insert_with(|| format!("frame {}: {}", self.number, error.message));
                }
            }
        }
        if let Some(first) = self.first_left_out.take() {
            warnings.push(format!(
                "{} frames cannot be decoded and are left out, the first {first}",
                self.left_out
            ));
        }
        self.ready.pop_front().map(|frame| self.rotation.apply(frame))
    }

    fn decode(&mut self, packet: &Packet, warnings: &mut Vec<String>) -> Result<Option<VideoFrame>> {
        self.number += 1;
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(packet.offset))
            .and_then(|_| (&mut self.file).take(packet.size).read_to_end(&mut bytes));
        if read.is_err() || bytes.len() as u64 != packet.size {
            warnings.push(format!("the video ends early, at frame {}: the file is cut off", self.number));
            self.packets = Vec::new().into_iter();
            return Ok(None);
        }
        self.decoder.push(&bytes, packet.ticks)
    }
}

fn is_video(track: &Track, mp4: &Mp4) -> bool {
    track.kind == Some(TrackKind::Video) || track.trak(mp4).mdia.hdlr.handler_type.value == *b"vide"
}

/// Packets in the order of decoding, with the times that the edit list gives them (ISO/IEC 14496-12, 8.6.6), as ffmpeg
/// reads it: the first picture that is shown stands where the edit starts. And the times that are shown.
fn packets(
    track: &Track,
    trak: &TrakBox,
    movie_timescale: u32,
) -> Result<(Vec<Packet>, RangeInclusive<i64>)> {
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
    let packet = |(sample, ticks): (&Sample, i64)| Packet {
        offset: sample.offset,
        size: sample.size,
        ticks: seen(ticks),
    };
    let packets = track.samples.iter().zip(times()).map(packet).collect();
    Ok((packets, seen(first)..=seen(last)))
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
