//! File -> signal: decoding, mix-down, resampling, and `probe`.

pub mod probe;
mod write;

use std::path::Path;

use crate::Result;
use crate::signal::Signal;

pub use write::{SampleFormat, write_wav, write_wav_as};

/// Which audio to take from a file, and at what rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AudioOptions {
    /// Rate to resample to, in Hz; `None` keeps the file's own.
    pub sample_rate: Option<u32>,
    /// One channel, counted from 0, instead of the mean of all.
    pub channel: Option<usize>,
    /// Audio track, counted from 0 among the audio tracks; `None` takes the file's default.
    pub audio_track: Option<usize>,
}

/// Decoded, mixed-down and resampled audio, and what the file was.
#[derive(Debug, Clone)]
pub struct Audio {
    pub signal: Signal,
    /// Short container name: `wav`, `flac`, `ogg`, `mp4`, ...
    pub container: String,
    /// Short codec name: `pcm_s16le`, `flac`, `mp3`, `aac`, ... (ffmpeg's names).
    pub codec: String,
    /// The file's own sample rate in Hz.
    pub sample_rate: u32,
    /// The file's own number of channels.
    pub channels: usize,
    /// Samples per channel in the file, exact.
    pub num_samples: u64,
    /// How the channels became one: `mono`, `mean of 2 channels`, `channel 1`.
    pub mix: String,
    /// What a person should know: damage after good audio, replaced NaN samples, ffmpeg used.
    pub warnings: Vec<String>,
}

/// Reads the whole of a file's audio as one mono signal.
pub fn load_audio(_path: &Path, _options: &AudioOptions) -> Result<Audio> {
    unimplemented!()
}
