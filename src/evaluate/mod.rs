//! How good a model is.

mod classification;
pub mod events;
mod files;
mod report;
mod segmentation;
mod table;
mod tagging;
mod tune;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use classification::{ClassMetrics, Evaluation, Failure};
pub use files::evaluate_files;
pub use report::{EvaluatedModel, Report};
pub use segmentation::{Segmentation, segmentation};
pub use tagging::{DEFAULT_COLLAR, FrameScores, LabelFrames, Reference, TagEvaluation, evaluate_recordings};
pub use tune::{Goal, TuneReport, tune};

/// How good a model is, whatever it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Measured {
    /// Of task `classify`.
    Clips(Evaluation),
    /// Of task `tag`.
    Frames(Box<TagEvaluation>),
}

impl Measured {
    /// The figures that a model file keeps, by name.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        match self {
            Self::Clips(evaluation) => vec![("accuracy".to_string(), evaluation.accuracy)],
            Self::Frames(evaluation) => evaluation.metrics(),
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        match self {
            Self::Clips(evaluation) => evaluation.table(),
            Self::Frames(evaluation) => evaluation.table(),
        }
    }

    pub fn failures(&self) -> &[Failure] {
        match self {
            Self::Clips(evaluation) => &evaluation.failures,
            Self::Frames(evaluation) => &evaluation.failures,
        }
    }
}
