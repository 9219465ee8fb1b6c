//! What a model takes in and how it becomes frames: sound, pictures or vectors.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::video::{EmbeddingKind, VideoConfig, VideoFeature};
use super::{FeatureConfig, FeatureKind, Normalization, Normalize};
use crate::signal::InputKind;
use crate::time::{FrameClock, TimeBase};
use crate::{Error, ErrorKind, Result};

/// Most numbers in a vector.
pub const MAX_VECTOR_SIZE: usize = 65_536;
/// Slowest and fastest `frame_rate`, in frames a second.
pub const FRAME_RATE_RANGE: (f64, f64) = (1e-6, 100_000.0);

/// What a model takes in. In a model's header and in a training configuration each kind has a section of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum InputConfig {
    #[serde(rename = "features")]
    Audio(FeatureConfig),
    #[serde(rename = "video")]
    Video(VideoConfig),
    #[serde(rename = "vectors")]
    Vectors(VectorConfig),
}

/// Vectors that another program computed: `.npy` or safetensors, `[T, D]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VectorConfig {
    /// Numbers in a vector (1 to 65536); 0, before training only, is what the first training file has.
    pub size: usize,
    /// Vectors a second (0.000001 to 100000).
    pub frame_rate: f64,
    /// Which mean and standard deviation each number is scaled with.
    pub normalize: Normalize,
}

impl Default for VectorConfig {
    fn default() -> Self {
        Self { size: 0, frame_rate: 1.0, normalize: Normalize::Training }
    }
}

impl VectorConfig {
    /// # Errors
    /// [`ErrorKind::Config`], naming the setting that is wrong and its range.
    pub fn validate(&self) -> Result<()> {
        let (low, high) = FRAME_RATE_RANGE;
        let problem = if self.size > MAX_VECTOR_SIZE {
            format!("size is {}, but must be from 0 to {MAX_VECTOR_SIZE}", self.size)
        } else if !(low..=high).contains(&self.frame_rate) {
            format!("frame_rate is {}, but must be from {low} to {high}", self.frame_rate)
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, problem))
    }
}

impl InputConfig {
    pub fn kind(&self) -> InputKind {
        match self {
            Self::Audio(_) => InputKind::Audio,
            Self::Video(_) => InputKind::Video,
            Self::Vectors(_) => InputKind::Vectors,
        }
    }

    /// The name of its section.
    pub fn section(&self) -> &'static str {
        match self {
            Self::Audio(_) => "features",
            Self::Video(_) => "video",
            Self::Vectors(_) => "vectors",
        }
    }

    /// # Errors
    /// [`ErrorKind::Config`], naming the setting that is wrong and its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Audio(features) => features.validate(),
            Self::Video(video) => video.validate(),
            Self::Vectors(vectors) => vectors.validate(),
        }
    }

    /// Numbers a frame, `D`.
    pub fn num_features(&self) -> usize {
        match self {
            Self::Audio(features) => features.num_features(),
            Self::Video(video) => video.num_features(),
            Self::Vectors(vectors) => vectors.size,
        }
    }

    /// The pictures that a frame begins with: planes, height, width; 0 planes where it has none. A spectrum is a picture one
    /// wide; its deltas are further planes. Cepstral coefficients have no neighbours, so they are none.
    pub fn planes(&self) -> [usize; 3] {
        match self {
            Self::Video(video) => video.planes(),
            Self::Audio(features) => match features.kind {
                FeatureKind::LogMel | FeatureKind::Power => {
                    [1 + features.delta, features.num_static_features(), 1]
                }
                FeatureKind::Mfcc => [0; 3],
            },
            Self::Vectors(_) => [0; 3],
        }
    }

    /// Features that share one mean and standard deviation; all others have their own.
    pub fn groups(&self) -> Vec<Range<usize>> {
        match self {
            Self::Video(video) => video.groups(),
            Self::Audio(_) | Self::Vectors(_) => Vec::new(),
        }
    }

    /// The pretrained network that looks at each frame, if there is one.
    pub fn embedding(&self) -> Option<EmbeddingKind> {
        match self {
            Self::Video(video) if video.features.contains(&VideoFeature::Embedding) => video.embedding,
            _ => None,
        }
    }

    /// Whether it says all that a model must know: training replaces what is left open by what the data is.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Audio(_) => true,
            Self::Video(video) => video.frame_rate > 0.0,
            Self::Vectors(vectors) => vectors.size > 0,
        }
    }

    /// When frames are.
    pub fn clock(&self) -> FrameClock {
        match self {
            Self::Audio(features) => {
                FrameClock { hop_length: features.hop_length, sample_rate: features.sample_rate }
            }
            Self::Video(VideoConfig { frame_rate, .. }) | Self::Vectors(VectorConfig { frame_rate, .. }) => {
                let TimeBase { numerator, denominator } = TimeBase::of_rate(*frame_rate);
                FrameClock { hop_length: numerator as usize, sample_rate: denominator }
            }
        }
    }

    pub fn normalize(&self) -> Normalize {
        match self {
            Self::Audio(features) => features.normalize,
            Self::Video(video) => video.normalize,
            Self::Vectors(vectors) => vectors.normalize,
        }
    }

    /// Whether frames can be had while the file is still being read.
    pub fn can_stream(&self) -> bool {
        match self {
            Self::Audio(features) => features.can_stream().is_ok(),
            Self::Video(_) | Self::Vectors(_) => self.normalize() != Normalize::PerFile,
        }
    }

    /// What is allowed but seldom meant, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Audio(features) => features.warnings(),
            Self::Video(video) => video.warnings(),
            Self::Vectors(_) => Vec::new(),
        }
    }

    /// Statistics as the features share them.
    pub fn pooled(&self, normalization: Normalization) -> Normalization {
        match self.groups() {
            groups if groups.is_empty() => normalization,
            groups => normalization.pooled(&groups),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_exact() {
        let video = |frame_rate| InputConfig::Video(VideoConfig { frame_rate, ..VideoConfig::default() });
        assert_eq!(video(25.0).clock(), FrameClock { hop_length: 1, sample_rate: 25 });
        assert_eq!(video(30_000.0 / 1001.0).clock(), FrameClock { hop_length: 1001, sample_rate: 30_000 });
        let sound = InputConfig::Audio(FeatureConfig::default());
        assert_eq!(sound.clock(), FrameClock { hop_length: 160, sample_rate: 16_000 });
    }

    #[test]
    fn vectors_out_of_range_are_refused() {
        for (config, name) in [
            (VectorConfig { size: 1 << 20, ..VectorConfig::default() }, "size"),
            (VectorConfig { frame_rate: 0.0, ..VectorConfig::default() }, "frame_rate"),
            (VectorConfig { frame_rate: f64::NAN, ..VectorConfig::default() }, "frame_rate"),
        ] {
            assert!(config.validate().unwrap_err().message.starts_with(name));
        }
    }
}
