//! Rows as tables have them: a row a label, an event, or an input that has neither.

use serde::Deserialize;

use crate::decide::Prediction;
use crate::event::ScoredEvent;
use crate::media::recorded::later;
use crate::output::record::InputInfo;
use crate::{Error, ErrorKind, Result};

/// A [`BatchRecord`](super::BatchRecord) as far as other formats write it: what is not named here (the scores of every
/// frame, above all) is passed over and takes no memory.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    tool: String,
    pub model: RowModel,
    settings: String,
    pub input: InputInfo,
    recorded_at: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    pub predictions: Vec<Prediction>,
    #[serde(default)]
    pub events: Vec<ScoredEvent>,
    pub error: Option<RowError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RowModel {
    name: String,
    pub sha256: String,
    task: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RowError {
    kind: String,
    message: String,
}

/// One row of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct FlatRow<'a> {
    path: Option<&'a str>,
    status: Option<&'a str>,
    /// Of a clip's labels, from 1.
    rank: Option<i64>,
    label: Option<&'a str>,
    score: Option<f64>,
    /// Of an event.
    peak: Option<f64>,
    /// Seconds; 0 for the label of a clip, which holds from its start to its end.
    onset: Option<f64>,
    offset: Option<f64>,
    /// `recorded_at` and `onset`.
    event_at: Option<String>,
    recorded_at: Option<&'a str>,
    duration: Option<f64>,
    sample_rate: Option<i64>,
    channels: Option<i64>,
    warnings: Option<String>,
    error_kind: Option<&'a str>,
    error_message: Option<&'a str>,
    task: Option<&'a str>,
    model: Option<&'a str>,
    model_sha256: Option<&'a str>,
    settings: Option<&'a str>,
    tool: Option<&'a str>,
}

/// What stands in one column of a [`FlatRow`], by the column's type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Text(Option<&'a str>),
    Integer(Option<i64>),
    Double(Option<f64>),
}

impl Row {
    /// # Errors
    /// [`ErrorKind::Damaged`] where the line is no [`BatchRecord`](super::BatchRecord).
    pub fn read(line: &[u8]) -> Result<Self> {
        serde_json::from_slice(line).map_err(|error| {
            Error::new(ErrorKind::Damaged, format!("a row is no row of a batch: {error}; make it anew"))
        })
    }

    /// Never nothing: every input is in the table.
    pub fn flat(&self) -> impl Iterator<Item = FlatRow<'_>> {
        let input = self.input();
        let labels = self.predictions.iter().zip(1..).map({
            let input = input.clone();
            move |(prediction, rank)| FlatRow {
                rank: Some(rank),
                label: Some(&prediction.label),
                score: Some(as_in_json(prediction.score)),
                onset: Some(0.0),
                offset: self.input.duration,
                event_at: self.at(0.0),
                ..input.clone()
            }
        });
        let events = self.events.iter().map({
            let input = input.clone();
            move |event| FlatRow {
                label: Some(&event.label),
                score: Some(as_in_json(event.score)),
                peak: Some(as_in_json(event.peak)),
                onset: Some(event.onset),
                offset: Some(event.offset),
                event_at: self.at(event.onset),
                ..input.clone()
            }
        });
        let bare = (self.predictions.is_empty() && self.events.is_empty()).then_some(input);
        bare.into_iter().chain(labels).chain(events)
    }

    /// What all rows of this input have.
    fn input(&self) -> FlatRow<'_> {
        FlatRow {
            path: Some(&self.input.path),
            status: Some(if self.error.is_some() { "error" } else { "ok" }),
            recorded_at: self.recorded_at.as_deref(),
            duration: self.input.duration,
            sample_rate: self.input.sample_rate.map(i64::from),
            channels: self.input.channels.and_then(|channels| i64::try_from(channels).ok()),
            warnings: (!self.warnings.is_empty()).then(|| self.warnings.join("; ")),
            error_kind: self.error.as_ref().map(|error| error.kind.as_str()),
            error_message: self.error.as_ref().map(|error| error.message.as_str()),
            task: Some(&self.model.task),
            model: Some(&self.model.name),
            model_sha256: Some(&self.model.sha256),
            settings: Some(&self.settings),
            tool: Some(&self.tool),
            ..FlatRow::default()
        }
    }

    fn at(&self, seconds: f64) -> Option<String> {
        later(self.recorded_at.as_deref()?, seconds)
    }
}

impl FlatRow<'_> {
    /// Names and values of all columns. The names and types are the same for every row.
    pub fn cells(&self) -> [(&'static str, Cell<'_>); 21] {
        [
            ("path", Cell::Text(self.path)),
            ("status", Cell::Text(self.status)),
            ("rank", Cell::Integer(self.rank)),
            ("label", Cell::Text(self.label)),
            ("score", Cell::Double(self.score)),
            ("peak", Cell::Double(self.peak)),
            ("onset", Cell::Double(self.onset)),
            ("offset", Cell::Double(self.offset)),
            ("event_at", Cell::Text(self.event_at.as_deref())),
            ("recorded_at", Cell::Text(self.recorded_at)),
            ("duration", Cell::Double(self.duration)),
            ("sample_rate", Cell::Integer(self.sample_rate)),
            ("channels", Cell::Integer(self.channels)),
            ("warnings", Cell::Text(self.warnings.as_deref())),
            ("error_kind", Cell::Text(self.error_kind)),
            ("error_message", Cell::Text(self.error_message)),
            ("task", Cell::Text(self.task)),
            ("model", Cell::Text(self.model)),
            ("model_sha256", Cell::Text(self.model_sha256)),
            ("settings", Cell::Text(self.settings)),
            ("tool", Cell::Text(self.tool)),
        ]
    }
}

/// The number that JSON's digits are to a program, which is not that of the score: 0.7, not 0.699999988. So that a threshold
/// means the same whichever format is read.
fn as_in_json(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_else(|_| f64::from(score))
}
