//! Rows of many files (`percept batch`): [`BatchRecord`] is what one input gives, as a line of JSON; one file here a format
//! makes something else of those lines.

mod csv;
mod flat;
mod jsonl;
mod parquet;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{self, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::events::EventFormat;
use super::record::{ErrorInfo, Frames, InputInfo, Outcome};
use crate::decide::Prediction;
use crate::event::ScoredEvent;
use crate::media::Media;
use crate::model::{Model, Task};
use crate::{Error, ErrorKind, Result, SCHEMA_VERSION};

pub use tree::{EventModel, Tree};

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
    /// All labels the model knows, in the order of a frame's scores; only with `--frames`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
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
        let sha256 = model.sha256().to_string();
        Self { name: header.name.clone(), sha256, task: header.task, labels: Vec::new() }
    }

    /// The same beside the scores of frames, which need the names of their columns.
    pub fn with_labels(model: &Model) -> Self {
        Self { labels: model.header().labels.clone(), ..Self::new(model) }
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

/// How the rows of a batch are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum RowFormat {
    /// One object a line
    #[default]
    Jsonl,
    /// One row a label or event, for spreadsheets; a text that one would run as a formula begins with '
    Csv,
    /// The same rows, for data frames and databases
    Parquet,
    /// Audacity's label tracks, one file an input
    Audacity,
    /// Raven's selection tables, one file an input
    Raven,
    /// Praat's TextGrids, one file an input
    Textgrid,
    /// NIST's rich transcription time marks, one file an input
    Rttm,
    /// Captions for a web page, one file an input
    Webvtt,
}

impl RowFormat {
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Audacity => "audacity",
            Self::Raven => "raven",
            Self::Textgrid => "textgrid",
            Self::Rttm => "rttm",
            Self::Webvtt => "webvtt",
        }
    }

    /// The format that a file name asks for by its extension, if any.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What a [`Tree`] writes; `None` for the formats of one file.
    pub fn events(self) -> Option<EventFormat> {
        match self {
            Self::Jsonl | Self::Csv | Self::Parquet => None,
            Self::Audacity => Some(EventFormat::Audacity),
            Self::Raven => Some(EventFormat::Raven),
            Self::Textgrid => Some(EventFormat::Textgrid),
            Self::Rttm => Some(EventFormat::Rttm),
            Self::Webvtt => Some(EventFormat::Webvtt),
        }
    }

    /// Whether each input gets a file of its own, in a tree of folders.
    pub fn is_tree(self) -> bool {
        self.events().is_some()
    }
}

/// Writes rows to one file, in the order in which they come. Memory is bounded, however many they are.
pub enum RowWriter<W: Write + Send> {
    Jsonl(jsonl::JsonlRows<W>),
    Csv(Box<csv::CsvRows<W>>),
    Parquet(Box<parquet::ParquetRows<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// # Errors
    /// [`ErrorKind::Config`] for a format of a [`Tree`]; what the sink says, here and below without a path.
    pub fn new(format: RowFormat, out: W) -> Result<Self> {
        match format {
            RowFormat::Jsonl => Ok(Self::Jsonl(jsonl::JsonlRows::new(out))),
            RowFormat::Csv => Ok(Self::Csv(Box::new(csv::CsvRows::new(out).map_err(sink_failed)?))),
            RowFormat::Parquet => Ok(Self::Parquet(Box::new(parquet::ParquetRows::new(out)?))),
            RowFormat::Audacity
            | RowFormat::Raven
            | RowFormat::Textgrid
            | RowFormat::Rttm
            | RowFormat::Webvtt => {
                let message = "this format has a file for each input; name a directory for them";
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }

    /// `row`: a [`BatchRecord`] as a line of JSON, without its end.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] where it is none (JSON lines are not looked at); what the sink says.
    pub fn write(&mut self, row: &[u8]) -> Result<()> {
        match self {
            Self::Jsonl(writer) => writer.write(row).map_err(sink_failed),
            Self::Csv(writer) => writer.write(&flat::Row::read(row)?).map_err(sink_failed),
            Self::Parquet(writer) => writer.write(&flat::Row::read(row)?),
        }
    }

    /// Writes what is left, and gives the sink back.
    pub fn finish(self) -> Result<W> {
        match self {
            Self::Jsonl(writer) => writer.finish().map_err(sink_failed),
            Self::Csv(writer) => writer.finish().map_err(sink_failed),
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// Who gave the sink knows its path.
fn sink_failed(error: io::Error) -> Error {
    Error { path: None, ..Error::io(&error, "") }
}
