//! The one self-describing file: weights, configuration, labels, statistics and provenance.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::features::FeatureConfig;
use crate::nn::NetworkConfig;

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Many-to-one: one set of scores for a clip.
    Classify,
    /// Many-to-many: a set of scores for every frame.
    Tag,
}

/// Everything about a model but its weights; the `percept` entry of the file's metadata, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelHeader {
    pub format_version: u32,
    /// Short name: the built-in's, or the file's stem at training time.
    pub name: String,
    pub task: Task,
    /// In the order of the logits.
    pub labels: Vec<String>,
    pub features: FeatureConfig,
    pub network: NetworkConfig,
    pub provenance: Provenance,
}

/// Where a model comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Provenance {
    /// `percept 0.1.0`
    pub tool: String,
    /// SHA-256 over the training files' contents and labels.
    pub data_sha256: String,
    pub seed: u64,
    /// Clips in each part: train, validation, test.
    pub split: std::collections::BTreeMap<String, usize>,
    /// Metrics reached, by name (`validation_accuracy`, `test_accuracy`, ...).
    pub metrics: std::collections::BTreeMap<String, f64>,
    /// The resolved training configuration, as TOML text.
    pub config: String,
    /// Free text: licence of the data, attribution.
    pub notes: String,
}

/// A model ready to answer.
pub struct Model {
    pub header: ModelHeader,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
}

impl Model {
    /// Reads and checks a model file.
    pub fn load(_path: &Path) -> Result<Self> {
        unimplemented!()
    }

    /// Reads and checks a model file's bytes.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self> {
        unimplemented!()
    }

    /// Writes the model file: to a temporary name, then renamed. Afterwards `sha256` is that of the file.
    pub fn save(&mut self, _path: &Path) -> Result<()> {
        unimplemented!()
    }

    /// The model that ships inside the program under this name, if there is one.
    pub fn builtin(_name: &str) -> Option<Result<Self>> {
        unimplemented!()
    }

    /// Names of the models inside the program; the first is the one used where none is named.
    pub fn builtin_names() -> &'static [&'static str] {
        &["digits"]
    }

    /// Weights that training has learned.
    pub fn num_parameters(&self) -> usize {
        unimplemented!()
    }
}
