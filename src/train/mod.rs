//! Makes a model from labelled recordings: data set, split, training loop.
//!
//! [`config`] says what to do, [`dataset`] finds the clips and their labels, [`split`] deals them into parts and [`folds`]
//! into folds, [`fingerprint`] names the data and looks for leaks, [`near_duplicates`] for hidden ones; [`trainer`] makes a
//! model of it all, its loop is in `learner`; [`runs`] has it learn several times, [`baseline`] says what less would do.

pub mod augment;
mod augment_video;
pub mod baseline;
mod batching;
mod cache;
mod checkpoint;
mod choices;
mod clip;
pub mod config;
mod config_file;
pub mod dataset;
mod directory;
mod examples;
mod feed;
mod fine_tune;
pub mod fingerprint;
pub mod folds;
mod learner;
mod logistic;
mod loss;
mod manifest;
mod material;
mod metrics;
mod mixup;
pub mod near_duplicates;
mod optimizer;
mod preset;
mod random;
mod running;
pub mod runs;
pub mod runs_report;
mod sampling;
mod schedule;
pub mod split;
pub mod survey;
mod targets;
pub mod timed;
pub mod trainer;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluate::{Evaluated, Failure, Measured};
use crate::model::Model;

pub use augment::AugmentConfig;
pub use augment_video::VideoAugmentConfig;
pub use baseline::{Baseline, Baselines};
pub use checkpoint::is_checkpoint;
pub use choices::{ClassWeights, Freeze, Keep, Sampling, Schedule};
pub use config::{DataConfig, LabelsConfig, TrainConfig, TrainingConfig, Unmarked};
pub use dataset::{Dataset, Item, Part, Span, Truth};
pub use fine_tune::{adopt, load_base};
pub use metrics::EpochMetrics;
pub use optimizer::Optimizer;
pub use preset::Preset;
pub use runs::{Runs, train_runs};
pub use runs_report::RunsReport;
pub use split::Parts;
pub use survey::Survey;
pub use trainer::{TrainOptions, train};

/// What training tells whoever watches it, as it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Clips are being read and analysed.
    Loading { done: usize, total: usize },
    /// All clips are in memory: how many, and their length together in seconds.
    Loaded { clips: usize, seconds: f64 },
    /// Something worth knowing that is as it should be: how the data was split, what was ignored.
    Message(String),
    /// Something that a person should look at; it goes into the report.
    Warning(String),
    /// A clip that cannot be read is left out; it goes into the report.
    LeftOut(Failure),
    /// A run goes on that was stopped: its epochs so far.
    Resumed(Vec<EpochMetrics>),
    /// `done` of `total` batches of epoch `epoch` (from 1) of `epochs` are learned; `loss` is their mean so far.
    Batch { epoch: usize, epochs: usize, done: usize, total: usize, loss: f64 },
    /// An epoch is over, of `epochs` that will be run unless training stops early; `eta_seconds` is the time to the last of
    /// them at this pace.
    Epoch { metrics: EpochMetrics, epochs: usize, eta_seconds: f64 },
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All epochs were run.
    Finished,
    /// Validation had not improved for `patience` epochs.
    EarlyStopping,
    /// The person stopped it (Ctrl-C); the best epoch so far was kept.
    Interrupted,
    /// A loss or a gradient was not finite; what was kept before is the model.
    Diverged,
}

/// A trained model and how it came to be.
pub struct Outcome {
    /// The best epoch's weights, or the last's, as the configuration says.
    pub model: Model,
    /// The best epoch on the validation part; `None` where there is no such part.
    pub validation: Option<Measured>,
    /// The best epoch on the test part, which is read once, at the end; `None` where there is no such part.
    pub test: Option<Measured>,
    /// Epoch that was kept, counted from 1.
    pub best_epoch: usize,
    /// Every epoch that was run.
    pub history: Vec<EpochMetrics>,
    /// Clips of the training, validation and test part that have each label, in the model's order.
    pub label_counts: [Vec<usize>; 3],
    /// Only where [`TrainOptions::keep_answers`] asks for them.
    pub answers: Option<Answers>,
    pub stop_reason: StopReason,
    /// Wall-clock time of it all, in seconds.
    pub seconds: f64,
}

/// What the model says of each clip of a part.
pub struct Answers {
    pub part: Part,
    pub evaluated: Evaluated,
}

/// What `percept train` prints as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "percept train")]
pub struct Report {
    /// Version of this format: 1.
    #[schemars(extend("const" = crate::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this: `percept 0.1.0`.
    pub tool: String,
    pub model: ReportModel,
    pub data: ReportData,
    pub training: ReportTraining,
    /// The kept epoch on the validation part.
    pub validation: Option<Measured>,
    /// The kept epoch on the test part, which was read once, at the end.
    pub test: Option<Measured>,
    /// What simple means reach on the same parts; null where nobody asked, or there is too little to learn from.
    pub baselines: Option<Baselines>,
    pub warnings: Vec<String>,
    /// Training and validation clips that could not be read and were left out.
    pub failures: Vec<Failure>,
}

/// The file that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportModel {
    pub path: String,
    pub name: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    pub labels: Vec<String>,
    /// Weights that training has learned.
    pub parameters: usize,
}

/// What was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportData {
    /// SHA-256 over the training files' contents and labels.
    pub sha256: String,
    /// Clips in each part: train, validation, test.
    pub clips: std::collections::BTreeMap<String, usize>,
}

/// How it was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportTraining {
    pub seed: u64,
    /// Epochs that were run.
    pub epochs: usize,
    /// Epoch that was kept, counted from 1.
    pub best_epoch: usize,
    pub stop_reason: StopReason,
    /// Wall-clock time in seconds.
    pub seconds: f64,
}

impl Report {
    /// Sums up an outcome whose model was saved at `path`.
    pub fn new(outcome: &Outcome, path: &Path, warnings: Vec<String>, failures: Vec<Failure>) -> Self {
        let header = outcome.model.header();
        Self {
            schema_version: crate::SCHEMA_VERSION,
            tool: crate::TOOL.to_string(),
            model: ReportModel {
                path: path.display().to_string(),
                name: header.name.clone(),
                sha256: outcome.model.sha256().to_string(),
                labels: header.labels.clone(),
                parameters: outcome.model.num_parameters(),
            },
            data: ReportData {
                sha256: header.provenance.data_sha256.clone(),
                clips: header.provenance.split.clone(),
            },
            training: ReportTraining {
                seed: header.provenance.seed,
                epochs: outcome.history.len(),
                best_epoch: outcome.best_epoch,
                stop_reason: outcome.stop_reason,
                seconds: outcome.seconds,
            },
            validation: outcome.validation.clone(),
            test: outcome.test.clone(),
            baselines: None,
            warnings,
            failures,
        }
    }
}

#[cfg(test)]
mod tests;
