//! Signal -> features `[T, D]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Which features, with librosa's parameter names. Stored whole in the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    pub kind: FeatureKind,
    /// Rate the audio is resampled to before analysis, in Hz.
    pub sample_rate: u32,
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    pub n_mels: usize,
    /// Lowest frequency of the mel bank, Hz.
    pub fmin: f32,
    /// Highest frequency of the mel bank, Hz; `None` is half the sample rate.
    pub fmax: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    Power,
    LogMel,
    Mfcc,
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self {
            kind: FeatureKind::LogMel,
            sample_rate: 16_000,
            n_fft: 512,
            hop_length: 160,
            n_mels: 64,
            fmin: 0.0,
            fmax: None,
        }
    }
}

impl FeatureConfig {
    /// Checks ranges and contradictions; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        unimplemented!()
    }

    /// Numbers per frame, `D`.
    pub fn num_features(&self) -> usize {
        unimplemented!()
    }
}

/// Frames of one recording: `data[t * dim + d]`, shape `[T, D]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pub data: Vec<f32>,
    /// T
    pub frames: usize,
    /// D
    pub dim: usize,
}

/// Turns samples into frames; holds the window, the FFT plan, the filter bank and scratch space.
#[derive(Clone)]
pub struct Extractor {}

impl Extractor {
    pub fn new(_config: &FeatureConfig) -> Result<Self> {
        unimplemented!()
    }

    /// `samples` at the config's sample rate -> `[T, D]`, not normalised.
    pub fn extract(&mut self, _samples: &[f32]) -> Result<Features> {
        unimplemented!()
    }
}
