//! How good a model is.

mod against;
mod bootstrap;
mod classification;
mod curves;
pub mod events;
mod files;
mod report;
mod segmentation;
mod table;
mod tagging;
mod tune;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use against::{Against, McNemar, PairedBootstrap, PairedComparison};
pub use bootstrap::{Counted, Difference, interval_95};
pub use classification::{ClassMetrics, Evaluation, Failure, wilson};
pub use curves::{LabelCurves, MAX_CURVE_POINTS, PrecisionRecall};
pub use files::{Scored, ScoredClip, evaluate_files, score_files};
pub use report::{EvaluatedModel, Report};
pub use segmentation::{Segmentation, segmentation};
pub use tagging::{
    DEFAULT_COLLAR, Found, FrameScores, LabelFrames, Reference, TagEvaluation, TaggedRecordings,
    evaluate_recordings, tag_recordings,
};
pub(crate) use tagging::{frame_events, held};
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

/// Answers beside what is true, which [`Measured`] sums up.
pub enum Evaluated {
    /// Of task `classify`.
    Clips(Scored),
    /// Of task `tag`.
    Recordings(TaggedRecordings),
}

impl Evaluated {
    /// Recordings, those that could not be read among them.
    pub fn len(&self) -> usize {
        match self {
            Self::Clips(scored) => scored.clips.len(),
            Self::Recordings(TaggedRecordings(recordings)) => recordings.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Measured {
    /// The figures that a model file keeps, by name.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        match self {
            Self::Clips(evaluation) => vec![("accuracy".to_string(), evaluation.accuracy)],
            Self::Frames(evaluation) => evaluation.metrics(),
        }
    }

    /// The figure that counts most, with its 95% interval where there is one: `88.1 % [84.0, 91.2]`.
    pub fn headline(&self) -> String {
        let within = |interval: Option<[f64; 2]>| {
            interval
                .map_or(String::new(), |[low, high]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high))
        };
        match self {
            Self::Clips(e) => format!("{:.1} %{}", 100.0 * e.accuracy, within(Some(e.accuracy_interval_95))),
            Self::Frames(e) => {
                let FrameScores { accuracy, accuracy_interval_95, f1, f1_interval_95, .. } = &e.frames;
                format!(
                    "{:.1} %{} (F1 {:.1} %{})",
                    100.0 * accuracy.unwrap_or(0.0),
                    within(*accuracy_interval_95),
                    100.0 * f1.unwrap_or(0.0),
                    within(*f1_interval_95)
                )
            }
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
