//! What a file holds, without judging what to do with it: `percept probe`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::Result;

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
    /// Position among the audio streams, from 0: what `--audio-track` takes.
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

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VideoStream {
    /// Position among all streams, from 0.
    pub index: usize,
    /// ffmpeg's name: `h264`, `vp9`, ...
    pub codec: String,
    /// In pixels, as coded (before rotation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OtherStream {
    /// Position among all streams, from 0.
    pub index: usize,
    /// ffmpeg's name where known, otherwise `unknown`.
    pub codec: String,
}

/// Says what a file holds. Sample counts are exact: streams are decoded to count them.
pub fn probe(_path: &Path) -> Result<Probe> {
    unimplemented!()
}
