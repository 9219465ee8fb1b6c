//! What `percept evaluate` prints as JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Against, Measured};
use crate::TOOL;
use crate::model::Model;

/// A model's evaluation on one part of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "percept evaluate")]
pub struct Report {
    /// Version of this format: 1.
    #[schemars(extend("const" = crate::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub model: EvaluatedModel,
    /// The directory or manifest.
    pub data: String,
    /// The part that was evaluated: `train`, `validation`, `test` or `all`.
    pub part: String,
    pub evaluation: Measured,
    /// Another model on the same recordings (`--against`); null without one.
    pub against: Option<Against>,
}

/// Which model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluatedModel {
    pub name: String,
    /// SHA-256 of the model file, in hexadecimal.
    pub sha256: String,
    pub labels: Vec<String>,
}

impl Report {
    pub fn new(model: &Model, data: String, part: &str, evaluation: Measured) -> Self {
        Self {
            schema_version: crate::SCHEMA_VERSION,
            tool: TOOL.to_string(),
            model: EvaluatedModel::of(model),
            data,
            part: part.to_string(),
            evaluation,
            against: None,
        }
    }
}

impl EvaluatedModel {
    pub(super) fn of(model: &Model) -> Self {
        let header = model.header();
        Self { name: header.name.clone(), sha256: model.sha256().to_string(), labels: header.labels.clone() }
    }
}
