//! What a file holds, without judging what to do with it: `percept probe`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::VideoCodecId;
use symphonia::core::codecs::video::well_known::*;
use symphonia::core::formats::FormatReader;

use super::limits::MAX_DURATION;
use super::reader::{AudioReader, StreamInfo, may_ffmpeg_help, open_regular};
use super::sniff::{Container, sniff};
use super::video::{self, VideoInfo, VideoOptions, VideoReader};
use super::{ffmpeg, packets};
use crate::{Error, ErrorKind, Result};

/// What a media file holds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Probe {
    /// Short container name: `wav`, `flac`, `ogg`, `mp4`, ...
    pub container: String,
    /// In the order of the file.
    pub streams: Vec<Stream>,
    /// What a person should know: damage, a program that helped, streams that cannot be read.
    pub warnings: Vec<String>,
}

/// One stream of a media file, told apart by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stream {
    Audio(AudioStream),
    Video(VideoStream),
    /// Subtitles, data, attachments: listed so that the indices are complete.
    Other(OtherStream),
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AudioStream {
    /// Position among all streams, from 0.
    pub index: usize,
    /// Position among the audio streams, counted from 1: what `--audio-track` takes.
    pub audio_track: usize,
    /// ffmpeg's name: `pcm_s16le`, `flac`, `mp3`, ...
    pub codec: String,
    /// In Hz.
    pub sample_rate: u32,
    pub channels: usize,
    /// Samples per channel, counted by decoding; absent where the codec cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<u64>,
    /// In seconds: `num_samples / sample_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// The stream that is taken when none is asked for.
    pub default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct VideoStream {
    /// Position among all streams, from 0.
    pub index: usize,
    /// Position among the video streams, counted from 1: what `--video-track` takes; absent for cover art.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_track: Option<usize>,
    /// ffmpeg's name: `h264`, `vp9`, ...
    pub codec: String,
    /// In pixels, as coded (before rotation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames that can be read, counted by decoding; absent where Percept does not decode the stream itself, and in files
    /// with several streams unless `--frames` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_frames: Option<usize>,
    /// When each frame is shown; only with `--frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameTimes>,
}

/// When the frames of a video are shown, one entry a frame that can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct FrameTimes {
    /// In seconds: `ticks * time_base`.
    pub pts: Vec<f64>,
    pub ticks: Vec<i64>,
    /// Seconds that a tick lasts, as a fraction: `[numerator, denominator]`.
    pub time_base: [u32; 2],
    /// Names of the files, in a directory of pictures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What to say of a file beside its streams. `video.max_duration` holds for sound, too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeOptions {
    /// The time of each frame of all video streams, or of that which `video` names.
    pub frames: bool,
    pub video: VideoOptions,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OtherStream {
    /// Position among all streams, from 0.
    pub index: usize,
    /// ffmpeg's name where known, otherwise `unknown`.
    pub codec: String,
}

/// Says what a file holds. Sample counts are exact: streams are decoded to count them.
///
/// Errors, with the path: `NotFound`, `PermissionDenied`, `Path`, `Empty` (0 bytes), `UnknownFormat`, `Damaged`.
/// A file with streams but no sound that can be decoded is no error here: it is said in the warnings.
pub fn probe(path: &Path, options: &ProbeOptions) -> Result<Probe> {
    probe_any(path, options).map_err(|error| error.with_path(path))
}

fn probe_any(path: &Path, options: &ProbeOptions) -> Result<Probe> {
    if video::is_directory_of_images(path) || video::is_picture(path) {
        return from_pictures(path, options);
    }
    let mut file = open_regular(path)?;
    let (container, start) = sniff(&mut file)?;
    match container {
        Container::Wav | Container::Text | Container::Unknown => {}
        Container::Foreign(_) | Container::NoSound(_) if ffmpeg::is_available() => {
            return from_ffmpeg(path, &Error::new(ErrorKind::UnknownFormat, "unknown"), options);
        }
        Container::Foreign(_) | Container::NoSound(_) => {}
        container => match packets::open(file, start, container, path) {
            Ok(format) if packets::all_known(format.as_ref()) || !ffmpeg::is_available() => {
                video::no_programs(&options.video)?;
                return from_tracks(path, format.as_ref(), container, options);
            }
            Ok(_) => {
                return from_ffmpeg(path, &Error::new(ErrorKind::UnsupportedCodec, "unknown codec"), options);
            }
            Err(error) if may_ffmpeg_help(&error, container) => return from_ffmpeg(path, &error, options),
            Err(error) => return Err(error),
        },
    }
    // One stream, or what ffmpeg knows of it.
    match AudioReader::open(path, None) {
        Ok(reader) if container == Container::Wav && !reader.uses_ffmpeg() => {
            let info = reader.info().clone();
            let mut probe =
                Probe { container: info.container.clone(), streams: Vec::new(), warnings: Vec::new() };
            let stream = counted(AudioStream::new(0, 0, &info, true), reader, options, &mut probe.warnings);
            probe.streams.push(Stream::Audio(stream));
            Ok(probe)
        }
        Ok(_) => from_ffmpeg(path, &Error::new(ErrorKind::UnknownFormat, "unknown"), options),
        Err(error) if container == Container::Unknown && error.kind == ErrorKind::Empty => {
            from_ffmpeg(path, &error, options)
        }
        Err(error) => Err(error),
    }
}

fn from_pictures(path: &Path, options: &ProbeOptions) -> Result<Probe> {
    let mut reader = VideoReader::open(path, &options.video)?;
    let VideoInfo { container, codec, .. } = reader.info().clone();
    let stream = VideoStream { codec, video_track: Some(1), ..VideoStream::default() };
    let stream = watched(stream, &mut reader, options)?;
    Ok(Probe { container, streams: vec![Stream::Video(stream)], warnings: reader.warnings() })
}

/// Decodes to the end, to know the number of frames and their times.
fn watched(mut stream: VideoStream, reader: &mut VideoReader, options: &ProbeOptions) -> Result<VideoStream> {
    let time_base = reader.info().time_base;
    let mut times =
        FrameTimes { time_base: [time_base.numerator, time_base.denominator], ..FrameTimes::default() };
    let mut num_frames = 0;
    while let Some(frame) = reader.next_frame()? {
        num_frames += 1;
        stream.width.get_or_insert(frame.width);
        stream.height.get_or_insert(frame.height);
        if options.frames {
            times.pts.push(time_base.seconds(frame.ticks));
            times.ticks.push(frame.ticks);
            times.files.extend(reader.file_name().map(str::to_string));
        }
    }
    stream.num_frames = Some(num_frames);
    stream.frames = options.frames.then_some(times);
    Ok(stream)
}

/// A video stream with its frames, where they are asked for; or a warning why there are none.
fn with_frames(
    path: &Path,
    stream: VideoStream,
    options: &ProbeOptions,
    warnings: &mut Vec<String>,
) -> VideoStream {
    // Counted from 0, over all programmes.
    let track = stream.video_track.map(|track| track - 1);
    let video = VideoOptions { video_track: track, program: None, ..options.video.clone() };
    let read = VideoReader::open(path, &video).and_then(|mut reader| {
        let stream = watched(stream.clone(), &mut reader, options)?;
        warnings.extend(reader.warnings());
        Ok(stream)
    });
    read.unwrap_or_else(|error| {
        warnings.push(format!("the frames of stream {} cannot be given: {}", stream.index, error.message));
        stream
    })
}

fn from_tracks(
    path: &Path,
    format: &dyn FormatReader,
    container: Container,
    options: &ProbeOptions,
) -> Result<Probe> {
    let mut streams = Vec::new();
    let mut warnings = Vec::new();
    let default = packets::default_track(format);
    let (mut audio_track, mut video_track) = (0, 0);
    for (index, track) in format.tracks().iter().enumerate() {
        streams.push(match &track.codec_params {
            Some(CodecParameters::Audio(parameters)) => {
                let declared = StreamInfo {
                    container: String::new(),
                    codec: packets::codec_name(parameters.codec),
                    sample_rate: parameters.sample_rate.unwrap_or(0),
                    channels: parameters.channels.as_ref().map_or(0, |channels| channels.count()),
                };
                let mut stream = AudioStream::new(index, audio_track, &declared, audio_track == default);
                stream.language.clone_from(&track.language);
                // The default needs no number, which tracks of an unknown codec may leave open.
                let asked = (!stream.default).then_some(audio_track);
                audio_track += 1;
                Stream::Audio(decoded(path, asked, stream, options, &mut warnings))
            }
            Some(CodecParameters::Video(parameters)) => {
                video_track += 1;
                let stream = VideoStream {
                    index,
                    video_track: Some(video_track),
                    codec: video_codec_name(parameters.codec).into(),
                    width: parameters.width.map(u32::from),
                    height: parameters.height.map(u32::from),
                    ..VideoStream::default()
                };
                let wanted = options.video.video_track.is_none_or(|wanted| wanted == video_track - 1);
                Stream::Video(match options.frames && wanted {
                    true => with_frames(path, stream, options, &mut warnings),
                    false => stream,
                })
            }
            other => {
                if other.is_none() {
                    let advice = ffmpeg::advice().map_or(String::new(), |advice| format!("; {advice}"));
                    warnings.push(format!("stream {index} is of a codec that Percept does not know{advice}"));
                }
                Stream::Other(OtherStream { index, codec: "unknown".into() })
            }
        });
    }
    let codec = streams.iter().find_map(|stream| match stream {
        Stream::Audio(audio) => Some(audio.codec.as_str()),
        _ => None,
    });
    let container = packets::container_label(container, codec.unwrap_or_default());
    if let Some(track) = options.video.video_track {
        video::choose(Some(track), 0, video_track)?;
    }
    Ok(Probe { container, streams, warnings })
}

fn from_ffmpeg(path: &Path, native: &Error, options: &ProbeOptions) -> Result<Probe> {
    let report = ffmpeg::report(path, native)?;
    let mut warnings = Vec::new();
    let default = report.default_track();
    let (mut audio_track, mut video_track) = (0, 0);
    let mut wanted = report.video(options.video.program)?;
    if let Some(track) = options.video.video_track {
        let track = video::choose(Some(track), 0, wanted.len())?;
        wanted = vec![wanted[track]];
    }
    let mut streams = Vec::new();
    for (index, found) in report.streams.iter().enumerate() {
        streams.push(match found.codec_type.as_str() {
            "audio" => {
                let info = StreamInfo {
                    container: report.container(),
                    codec: found.codec(),
                    sample_rate: found.sample_rate(),
                    channels: found.channels,
                };
                let mut stream = AudioStream::new(index, audio_track, &info, audio_track == default);
                stream.language = found.language();
                audio_track += 1;
                Stream::Audio(decoded(path, Some(audio_track - 1), stream, options, &mut warnings))
            }
            "video" => {
                video_track += usize::from(found.is_video());
                let stream = VideoStream {
                    index,
                    video_track: found.is_video().then_some(video_track),
                    codec: found.codec(),
                    width: found.width,
                    height: found.height,
                    ..VideoStream::default()
                };
                Stream::Video(match options.frames && wanted.contains(&index) {
                    true => with_frames(path, stream, options, &mut warnings),
                    false => stream,
                })
            }
            _ => Stream::Other(OtherStream { index, codec: found.codec() }),
        });
    }
    Ok(Probe { container: report.container(), streams, warnings })
}

impl AudioStream {
    /// `audio_track` counted from 0, as the decoders do.
    fn new(index: usize, audio_track: usize, info: &StreamInfo, default: bool) -> Self {
        Self {
            index,
            audio_track: audio_track + 1,
            codec: info.codec.clone(),
            sample_rate: info.sample_rate,
            channels: info.channels,
            num_samples: None,
            duration: None,
            default,
            language: None,
        }
    }
}

/// The stream as decoding tells it, or a warning why it cannot be decoded. `asked` as in [`AudioReader::open`].
fn decoded(
    path: &Path,
    asked: Option<usize>,
    stream: AudioStream,
    options: &ProbeOptions,
    warnings: &mut Vec<String>,
) -> AudioStream {
    match AudioReader::open(path, asked) {
        Ok(reader) => counted(stream, reader, options, warnings),
        Err(error) => {
            let track = stream.audio_track;
            warnings.push(format!("audio track {track} cannot be decoded: {}", error.message));
            stream
        }
    }
}

/// Decodes to the end, to know the exact number of samples, and what the decoder knows better than the header.
fn counted(
    stream: AudioStream,
    reader: AudioReader,
    options: &ProbeOptions,
    warnings: &mut Vec<String>,
) -> AudioStream {
    let mut reader = reader.with_max_duration(options.video.max_duration.unwrap_or(MAX_DURATION));
    let mut block = Vec::new();
    let error = loop {
        match reader.next_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    // What was counted up to a limit is not all.
    let is_all = error.as_ref().is_none_or(|error| error.kind != ErrorKind::Limit);
    let about = format!("audio track {}: ", stream.audio_track);
    let none = (reader.num_samples() == 0).then(|| "it holds no samples".to_string());
    let said = reader.warnings().iter().cloned().chain(error.map(|error| error.message)).chain(none);
    warnings.extend(said.map(|warning| about.clone() + &warning));
    let info = reader.info();
    AudioStream {
        codec: info.codec.clone(),
        sample_rate: info.sample_rate,
        channels: info.channels,
        num_samples: is_all.then_some(reader.num_samples()),
        duration: is_all.then_some(reader.num_samples() as f64 / f64::from(info.sample_rate.max(1))),
        ..stream
    }
}

/// ffmpeg's name of a video codec.
pub(super) fn video_codec_name(id: VideoCodecId) -> &'static str {
    match id {
        CODEC_ID_H264 => "h264",
        CODEC_ID_HEVC => "hevc",
        CODEC_ID_VVC => "vvc",
        CODEC_ID_AV1 => "av1",
        CODEC_ID_VP8 => "vp8",
        CODEC_ID_VP9 => "vp9",
        CODEC_ID_THEORA => "theora",
        CODEC_ID_MJPEG => "mjpeg",
        CODEC_ID_MPEG1 => "mpeg1video",
        CODEC_ID_MPEG2 => "mpeg2video",
        CODEC_ID_MPEG4 => "mpeg4",
        CODEC_ID_H263 => "h263",
        CODEC_ID_VC1 => "vc1",
        CODEC_ID_FLV => "flv1",
        _ => "unknown",
    }
}
