//! Signal -> features `[T, D]`.

pub mod config;

pub use config::{FeatureConfig, FeatureKind, MelNorm, MelScale, Normalize, PadMode, Window};

use crate::Result;

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

/// Mean and standard deviation of each feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// `[D]`
    pub mean: Vec<f32>,
    /// `[D]`, above 0.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Those of one recording.
    pub fn of(_features: &Features) -> Self {
        unimplemented!()
    }

    /// `(x - mean) / std`, in place.
    pub fn apply(&self, _features: &mut Features) {
        unimplemented!()
    }
}

/// Gathers a [`Normalization`] over many recordings.
#[derive(Debug, Clone, Default)]
pub struct Statistics {}

impl Statistics {
    pub fn add(&mut self, _features: &Features) {
        unimplemented!()
    }

    /// Merging in the same order gives the same bits, however many threads counted.
    pub fn merge(&mut self, _other: &Self) {
        unimplemented!()
    }

    pub fn finish(&self) -> Result<Normalization> {
        unimplemented!()
    }
}
