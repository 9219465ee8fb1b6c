//! Chains the inference stages: file -> media -> features -> nn -> decide.

use std::path::Path;

use crate::Result;
use crate::media::{Audio, AudioOptions};
use crate::model::Model;

/// Classifies recordings with one model.
pub struct Classifier {
    pub model: Model,
}

/// Scores of one recording, and what was read.
pub struct Classification {
    /// One per label of the model, in its order.
    pub scores: Vec<f32>,
    /// What the file was (its `signal` is left empty), with warnings.
    pub audio: Audio,
}

impl Classifier {
    pub fn new(model: Model) -> Result<Self> {
        Ok(Self { model })
    }

    pub fn classify_file(&self, _path: &Path, _options: &AudioOptions) -> Result<Classification> {
        unimplemented!()
    }
}
