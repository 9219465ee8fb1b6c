//! What `percept features` says of the file it has written.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::record::{ErrorInfo, InputInfo, ModelInfo, Outcome};
use crate::features::{FeatureKind, Normalize};
use crate::media::Media;
use crate::{Error, SCHEMA_VERSION};

/// What `percept features` says of one input.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FeaturesRecord {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub model: ModelInfo,
    pub input: InputInfo,
    #[serde(flatten)]
    pub outcome: Outcome<Features>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Features {
    /// What a person should know: damage after good audio, replaced samples, a helper program used.
    pub warnings: Vec<String>,
    pub written: Written,
}

/// The file that was written.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Written {
    pub path: String,
    pub format: FeaturesFormat,
    pub kind: Contents,
    /// Frames that the network gets, `T`. Absent for `signal`, as what follows up to `hop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Numbers in a frame, `D`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// Which mean and standard deviation the numbers are scaled with; `none` with `--raw`. Pixels in a picture never are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
    /// Seconds from one frame to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<f64>,
    /// Samples from one frame to the next; of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_length: Option<usize>,
    /// Of the sound that features are made from, in Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Samples of `signal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<usize>,
}

/// How features are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeaturesFormat {
    /// A picture; where a column of pixels shows several frames, their maximum.
    Png,
    /// NumPy's file of f32, `[T, D]`.
    Npy,
    /// 32-bit float, mono.
    Wav,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// Decoded, mixed down and resampled sound.
    Signal,
    /// Linear spectrogram.
    Power,
    /// Mel spectrogram in dB.
    LogMel,
    /// Mel-frequency cepstral coefficients.
    Mfcc,
    /// Features of pictures.
    Video,
    /// What another program computed.
    Vectors,
}

impl FeaturesFormat {
    /// The format that a file name asks for by its ending, if any.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "npy" => Some(Self::Npy),
            "wav" => Some(Self::Wav),
            _ => None,
        }
    }
}

impl From<FeatureKind> for Contents {
    fn from(kind: FeatureKind) -> Self {
        match kind {
            FeatureKind::Power => Self::Power,
            FeatureKind::LogMel => Self::LogMel,
            FeatureKind::Mfcc => Self::Mfcc,
        }
    }
}

impl FeaturesRecord {
    pub fn ok(model: ModelInfo, path: &Path, media: &Media, written: Written) -> Self {
        let warnings = media.warnings().to_vec();
        Self::new(model, InputInfo::read(path, media), Outcome::Ok(Features { warnings, written }))
    }

    pub fn error(model: ModelInfo, path: &Path, error: &Error) -> Self {
        Self::new(model, InputInfo::named(path), Outcome::Error { error: ErrorInfo::new(error, path) })
    }

    fn new(model: ModelInfo, input: InputInfo, outcome: Outcome<Features>) -> Self {
        Self { schema_version: SCHEMA_VERSION, tool: crate::TOOL.to_string(), model, input, outcome }
    }
}
