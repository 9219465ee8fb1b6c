//! Rows of many files (`percept batch`): [`BatchRecord`] is what one input gives, as a line of JSON; one file here a format
//! makes something else of those lines.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{ErrorInfo, Frames, InputInfo, Outcome};
use crate::decide::Prediction;
use crate::event::ScoredEvent;
use crate::media::Media;
use crate::model::{Model, Task};
use crate::{Error, SCHEMA_VERSION};

/// What `percept batch`, `percept watch` and `percept worker` say of one input. It holds nothing that another run would
/// say otherwise: no time of day, no duration of the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchRecord {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub model: BatchModel,
    /// What else the answer depends on, as `top_k=5 channel=2`.
    pub settings: String,
    pub input: InputInfo,
    /// When the recording began, as its name or its header tells: `2024-05-31T04:30:00`, with `Z` or `+02:00` behind it
    /// where the zone is told too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome<BatchAnswer>,
}

/// Which model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchModel {
    pub name: String,
    /// SHA-256 of the model file, in hexadecimal.
    pub sha256: String,
    pub task: Task,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchAnswer {
    /// What a person should know: damage after good audio, replaced samples, a helper program used.
    pub warnings: Vec<String>,
    #[serde(flatten)]
    pub found: Found,
}

/// By the model's task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Found {
    Labels {
        /// Best first, at most as many as `--top-k` asks for.
        predictions: Vec<Prediction>,
    },
    Events {
        /// By onset, then in the order of the model's labels.
        events: Vec<ScoredEvent>,
        /// Only with `--frames`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frames: Option<Frames>,
    },
}

impl BatchModel {
    pub fn new(model: &Model) -> Self {
        let header = model.header();
        Self { name: header.name.clone(), sha256: model.sha256().to_string(), task: header.task }
    }
}

impl BatchRecord {
    pub fn ok(
        model: &BatchModel,
        settings: &str,
        path: &Path,
        media: &Media,
        recorded_at: Option<String>,
        found: Found,
    ) -> Self {
        let answer = BatchAnswer { warnings: media.warnings().to_vec(), found };
        let input = InputInfo::read(path, media);
        Self { recorded_at, ..Self::new(model, settings, input, Outcome::Ok(answer)) }
    }

    pub fn error(model: &BatchModel, settings: &str, path: &Path, error: &Error) -> Self {
        let outcome = Outcome::Error { error: ErrorInfo::new(error, path) };
        Self::new(model, settings, InputInfo::named(path), outcome)
    }

    fn new(model: &BatchModel, settings: &str, input: InputInfo, outcome: Outcome<BatchAnswer>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: crate::TOOL.to_string(),
            model: model.clone(),
            settings: settings.to_string(),
            input,
            recorded_at: None,
            outcome,
        }
    }
}
