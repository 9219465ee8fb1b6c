//! What `media` hands to `features`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is taken from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Its sound
    Audio,
    /// Its pictures
    Video,
    /// Vectors computed by another program
    Vectors,
}

impl InputKind {
    /// `audio`, `video` or `vectors`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Vectors => "vectors",
        }
    }
}

/// Mono sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Amplitudes, full scale at -1..1 (float files may go beyond); always finite.
    pub samples: Vec<f32>,
    /// Samples a second, in Hz.
    pub sample_rate: u32,
}

impl Signal {
    /// Length in seconds.
    pub fn duration(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// One picture of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFrame {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Red, green and blue of each pixel, row by row: `[height, width, 3]`.
    pub pixels: Vec<u8>,
    /// When it is shown, in ticks of the video's time base.
    pub ticks: i64,
}
