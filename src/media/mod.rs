//! File -> signal: decoding, mix-down, resampling, and `probe`.

pub mod ffmpeg;
mod kind;
pub mod limits;
mod mix;
mod mp4;
mod natural;
mod npy;
mod opus;
mod packets;
mod pipe;
pub mod probe;
mod reader;
pub mod recorded;
mod resample;
mod sniff;
mod source;
mod stream;
pub mod vectors;
pub mod video;
pub mod walk;
mod wav;
mod write;

use std::path::Path;

use crate::signal::Signal;
use crate::{Error, ErrorKind, Result};
use limits::MAX_SAMPLES_IN_MEMORY;
use video::{Video, VideoOptions};

pub use kind::kind_of;
pub(crate) use kind::known_kind_of;
pub use mix::Mix;
pub use reader::{AudioReader, StreamInfo};
pub use resample::{StreamResampler, resample, resampled_len};
pub(crate) use sniff::held_by;
pub use stream::{AudioStream, RawEncoding, RawFormat};
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
    /// Longest sound that is read, in seconds; `None`: [`limits::MAX_SAMPLES`], and a pipe without end.
    pub max_duration: Option<f64>,
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

/// Which sound or pictures to take from a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MediaOptions {
    pub audio: AudioOptions,
    pub video: VideoOptions,
}

/// What was read of a file.
#[derive(Debug, Clone)]
pub enum Media {
    /// Its `signal` is left empty.
    Audio(Audio),
    Video(Video),
    Vectors(VectorFile),
}

/// What a file of vectors was.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorFile {
    /// `npy` or `safetensors`.
    pub container: String,
    /// Vectors, `T`.
    pub frames: usize,
    /// In seconds, by the model's `frame_rate`.
    pub duration: f64,
    pub warnings: Vec<String>,
}

impl Media {
    /// In seconds.
    pub fn duration(&self) -> f64 {
        match self {
            Self::Audio(audio) => audio.num_samples as f64 / f64::from(audio.sample_rate),
            Self::Video(video) => video.duration(),
            Self::Vectors(file) => file.duration,
        }
    }

    /// What a person should know.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Audio(audio) => &audio.warnings,
            Self::Video(video) => &video.warnings,
            Self::Vectors(file) => &file.warnings,
        }
    }

    /// Adds to what a person should know.
    pub fn warn(&mut self, warning: String) {
        match self {
            Self::Audio(audio) => audio.warnings.push(warning),
            Self::Video(video) => video.warnings.push(warning),
            Self::Vectors(file) => file.warnings.push(warning),
        }
    }
}

/// Reads the whole of a file's audio as one mono signal: decoded, mixed down, resampled.
///
/// The file is recognised by its content. Good sound before damage is kept, and the damage is in the warnings.
/// Resampled length: [`resampled_len`].
///
/// Errors, each with the path: those of [`AudioReader::open`]; `Config` where the channel or track is not there,
/// or the rate asked for is out of range; `Empty` where there are no samples; `Damaged` where none is a number;
/// `Limit` over [`limits::MAX_SAMPLES_IN_MEMORY`].
pub fn load_audio(path: &Path, options: &AudioOptions) -> Result<Audio> {
    load(path, options).map_err(|error| error.with_path(path))
}

fn load(path: &Path, options: &AudioOptions) -> Result<Audio> {
    let mut stream = AudioStream::open(path, options)?;
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    let rate = stream.sample_rate();
    while stream.next_block(&mut block)? {
        samples.extend_from_slice(&block);
        let longest = stream.num_samples().max(samples.len() as u64);
        if longest > MAX_SAMPLES_IN_MEMORY as u64 {
            let message = format!(
                "the recording is longer than the {MAX_SAMPLES_IN_MEMORY} samples that are held in memory; cut it into parts"
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
    }
    Ok(Audio { signal: Signal { samples, sample_rate: rate }, ..stream.finish()? })
}
