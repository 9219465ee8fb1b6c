//! H.264 in Matroska, demuxed by Symphonia.

use std::fs::File;
use std::io::ErrorKind::UnexpectedEof;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::VideoCodecParameters;
use symphonia::core::codecs::video::well_known::CODEC_ID_H264;
use symphonia::core::codecs::video::well_known::extra_data::VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackFlags};

use super::super::limits::MAX_MKV_HEAD;
use super::super::packets;
use super::super::probe::video_codec_name;
use super::super::sniff::Container;
use super::h264::{Frames, Packet, Stop};
use super::sps::Configuration;
use super::{VideoInfo, choose};
use crate::error::is_of_the_system;
use crate::files::first_bytes;
use crate::guard::guard;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

pub(super) struct MkvVideo {
    format: Box<dyn FormatReader>,
    track_id: u32,
    /// Read when opening.
    first: Option<Packet>,
    frames: Frames,
    is_endless: bool,
}

impl MkvVideo {
    /// `track` is counted from 0 among the video tracks; `None` takes the file's default.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] without a video track, [`ErrorKind::UnsupportedCodec`], [`ErrorKind::Damaged`],
    /// [`ErrorKind::Limit`], [`ErrorKind::Config`] where the track is not there.
    pub fn open(path: &Path, container: Container, track: Option<usize>) -> Result<(Self, VideoInfo)> {
        let unsupported = |message: &str| Error::new(ErrorKind::UnsupportedCodec, message);
        let file = File::open(path).map_err(|error| Error::io(&error, path))?;
        let mut format = packets::open(file, 0, container, path)?;
        if !packets::all_known(format.as_ref()) {
            // It may be another video track, which ffmpeg counts.
            return Err(unsupported("the file has a track of a codec that Percept does not know"));
        }
        let tracks = video_tracks(format.as_ref());
        let default = tracks.iter().position(|(track, _)| track.flags.contains(TrackFlags::DEFAULT));
        let (track, parameters) = &tracks[choose(track, default.unwrap_or(0), tracks.len())?];
        if parameters.codec != CODEC_ID_H264 {
            let message = format!(
                "the video is {}, not H.264, the one kind that Percept decodes itself",
                video_codec_name(parameters.codec)
            );
            return Err(unsupported(&message));
        }
        let file = File::open(path).map_err(|error| Error::io(&error, path))?;
        let head = first_bytes(file, MAX_MKV_HEAD).map_err(|error| Error::io(&error, path))?;
        if has_encoded_tracks(&head) {
            return Err(unsupported("the packets of the file are compressed or encrypted once more"));
        }
        let avcc =
            parameters.extra_data.iter().find(|data| data.id == VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG);
        let configuration = avcc.and_then(|avcc| Configuration::parse(&avcc.data));
        let Some(mut configuration) = configuration else {
            let message = "the parameters of the H.264 video are missing or cut off";
            return Err(Error::new(ErrorKind::Damaged, message));
        };
        let time_base = track.time_base.ok_or_else(|| unsupported("the track has no clock"))?;
        let track_id = track.id;
        let info = VideoInfo {
            container: "mkv".into(),
            codec: "h264".into(),
            time_base: TimeBase { numerator: time_base.numer.get(), denominator: time_base.denom.get() },
        };
        let first = match next_packet(format.as_mut(), track_id) {
            Err(SymphoniaError::IoError(error)) if is_of_the_system(&error) => {
                return Err(Error::io(&error, path));
            }
            first => first.ok().flatten(),
        };
        if let Some(first) = &first {
            configuration.complete(&first.bytes);
        }
        let frames = Frames::new(&configuration, i64::MIN..=i64::MAX)?;
        Ok((Self { format, track_id, first, frames, is_endless: is_endless(&head) }, info))
    }

    /// Packets that cannot be decoded are left out, with a warning at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the system cannot read on.
    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Result<Option<VideoFrame>> {
        let Self { format, track_id, first, frames, is_endless } = self;
        let next = || match first.take() {
            Some(packet) => Ok(Some(packet)),
            None => next_packet(format.as_mut(), *track_id).or_else(|error| match error {
                SymphoniaError::IoError(error) if *is_endless && error.kind() == UnexpectedEof => Ok(None),
                SymphoniaError::IoError(error) if is_of_the_system(&error) => Err(error.into()),
                error => Err(Stop::Early(format!("the file is cut off or damaged ({error})"))),
            }),
        };
        frames.next(warnings, next)
    }
}

fn video_tracks(format: &dyn FormatReader) -> Vec<(&Track, &VideoCodecParameters)> {
    let tracks = format.tracks().iter().filter_map(|track| match &track.codec_params {
        Some(CodecParameters::Video(parameters)) => Some((track, parameters)),
        _ => None,
    });
    tracks.collect()
}

fn next_packet(
    format: &mut dyn FormatReader,
    track_id: u32,
) -> std::result::Result<Option<Packet>, SymphoniaError> {
    loop {
        let failed = |_| Err(SymphoniaError::DecodeError("the reader failed on these bytes"));
        match guard(|| format.next_packet()).unwrap_or_else(failed)? {
            Some(packet) if packet.track_id == track_id => {
                return Ok(Some(Packet { bytes: packet.data.into_vec(), ticks: packet.pts.get() }));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// Whether the file was written as a stream that may end anywhere: its `Segment` has no length.
fn is_endless(head: &[u8]) -> bool {
    const SEGMENT: &[u8] = b"\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    head.windows(SEGMENT.len()).any(|bytes| bytes == SEGMENT)
}

/// Whether the head of the file says that packets are compressed or encrypted, which Symphonia does not undo: an element
/// `ContentEncodings` that begins with a `ContentEncoding`.
fn has_encoded_tracks(head: &[u8]) -> bool {
    const ENCODINGS: [u8; 2] = [0x6D, 0x80];
    const ENCODING: [u8; 2] = [0x62, 0x40];
    const CLUSTER: [u8; 4] = [0x1F, 0x43, 0xB6, 0x75];
    let end = head.windows(4).position(|bytes| bytes == CLUSTER).unwrap_or(head.len());
    head[..end].windows(3).enumerate().any(|(at, bytes)| {
        // As many bytes of length as its first one has zeros before the first one.
        let length = 1 + bytes[2].leading_zeros() as usize;
        bytes[..2] == ENCODINGS && head.get(at + 2 + length..).is_some_and(|rest| rest.starts_with(&ENCODING))
    })
}
