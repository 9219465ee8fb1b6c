//! The page of an evaluation or a training: how good the model is, and each recording with what was right and wrong in it,
//! the worst first.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::curves::Curves;
use super::page::{rounded, shown};
use super::reference::Truth;
use super::rows::{Answer, MAX_EVENTS, ModelName, Row};
use crate::Result;
use crate::decide::calibration::Reliability;
use crate::decide::top_k;
use crate::evaluate::{
    Counted, Evaluated, Found, LabelCurves, Measured, Reference, Scored, ScoredClip, TaggedRecordings,
};
use crate::media::{Media, MediaOptions};
use crate::model::Model;
use crate::output::record::{ErrorInfo, InputInfo};
use crate::pipeline::Tagger;
use crate::train::{Baselines, EpochMetrics, Part};

/// Most recordings that a page shows: the worst of more.
pub const MAX_EVALUATED_ROWS: usize = 1000;
/// Most labels of a clip that are shown, beside the true one.
const SHOWN_LABELS: usize = 5;

/// What a page of an evaluation is made of.
pub struct EvaluationPage<'a> {
    /// What it is called.
    pub title: &'a str,
    pub model: &'a Model,
    /// The directory or manifest of the recordings.
    pub source: &'a str,
    /// What a model says of a part; `None` where a training has none beside what it learns from.
    pub answers: Option<EvaluatedPart<'a>>,
    pub training: Option<Training<'a>>,
    /// How the recordings were read.
    pub media: &'a MediaOptions,
    /// Sentences that belong to the figures: the comparison with another model, warnings.
    pub said: Vec<String>,
    /// Whether media stand in the page itself, as far as they are small.
    pub embed: bool,
}

/// What a model says of the recordings of a part.
pub struct EvaluatedPart<'a> {
    /// `train`, `validation`, `test` or `all`.
    pub part: &'a str,
    pub evaluated: &'a Evaluated,
    pub measured: &'a Measured,
    /// Seconds by which the ends of a found event may be off.
    pub collar: f64,
}

/// How the model came to be.
pub struct Training<'a> {
    pub history: &'a [EpochMetrics],
    /// Counted from 1.
    pub best_epoch: usize,
    /// Clips of the training, validation and test part that have each label.
    pub label_counts: &'a [Vec<usize>; 3],
    /// Seconds.
    pub seconds: f64,
    pub baselines: Option<&'a Baselines>,
}

/// A recording of the page.
pub(super) struct EvaluatedRow {
    pub row: Row,
    pub truth: Option<Truth>,
    pub path: PathBuf,
    /// The higher the worse.
    badness: f64,
}

impl EvaluationPage<'_> {
    /// The recordings, the worst first; and how many were left out.
    pub(super) fn rows(&self) -> (Vec<EvaluatedRow>, usize) {
        let Some(answers) = &self.answers else { return (Vec::new(), 0) };
        let mut rows: Vec<EvaluatedRow> = match (answers.evaluated, answers.measured) {
            (Evaluated::Clips(scored), _) => {
                scored.clips.iter().map(|clip| EvaluatedRow::of_clip(clip, &scored.labels)).collect()
            }
            (Evaluated::Recordings(TaggedRecordings(recordings)), measured) => {
                let counted = match measured {
                    Measured::Frames(evaluation) => evaluation.counted.as_slice(),
                    Measured::Clips(_) => &[],
                };
                let mut counted = counted.iter();
                let row = |(reference, result): &(Reference, Result<Found>)| match result {
                    Ok(found) => {
                        let counted = counted.next().map(|(_, counted)| *counted).unwrap_or_default();
                        EvaluatedRow::of_recording(reference, found, counted, self.model, answers.collar)
                    }
                    Err(error) => EvaluatedRow::failed(&reference.path, error),
                };
                recordings.iter().map(row).collect()
            }
        };
        // In the order of the data where two are as bad.
        rows.sort_by(|a, b| b.badness.total_cmp(&a.badness));
        let more = rows.len().saturating_sub(MAX_EVALUATED_ROWS);
        rows.truncate(MAX_EVALUATED_ROWS);
        (rows, more)
    }

    /// The reference that stands beside the recordings: its name, and the collar in seconds.
    pub(super) fn reference(&self) -> Option<(String, f64)> {
        let answers = self.answers.as_ref()?;
        Some((format!("{} ({})", self.source, answers.part), answers.collar))
    }

    pub(super) fn model_name(&self) -> ModelName {
        let header = self.model.header();
        ModelName { name: header.name.clone(), sha256: self.model.sha256().to_string(), task: header.task }
    }

    /// What `page/evaluation.js` draws.
    pub(super) fn study(&self) -> Result<Value> {
        let header = self.model.header();
        let (confusion, unit) = self.confusion();
        let training = self.training.as_ref();
        let epoch = |e: &EpochMetrics| {
            let known = |value: Option<f64>| value.map(rounded);
            json!([
                e.epoch,
                rounded(e.train_loss),
                known(e.validation_loss),
                rounded(e.train_accuracy),
                known(e.validation_accuracy)
            ])
        };
        Ok(json!({
            "part": self.answers.as_ref().map(|answers| answers.part),
            "unit": unit,
            "labels": header.labels.iter().map(|label| shown(label)).collect::<Vec<_>>(),
            "figures": self.figures(),
            "said": self.said.iter().map(|text| shown(text)).collect::<Vec<_>>(),
            "history": training.filter(|t| !t.history.is_empty()).map(|t| t.history.iter().map(epoch).collect::<Vec<_>>()),
            "bestEpoch": training.map(|t| t.best_epoch),
            "confusion": confusion,
            "curves": self.curves()?,
            "reliability": self.reliability().map(|(title, all)| json!([title, bins(&all)])),
            "about": self.about(),
            "counts": training.map(|t| t.label_counts),
            "config": header.provenance.config.lines().map(shown).collect::<Vec<_>>().join("\n"),
        }))
    }

    /// Name and value of what counts most.
    fn figures(&self) -> Vec<[String; 2]> {
        let Some(answers) = &self.answers else { return Vec::new() };
        let percent =
            |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{:.1} %", 100.0 * value));
        let within = |value: Option<f64>, interval: Option<[f64; 2]>| match interval {
            None => percent(value),
            Some([low, high]) => format!("{} [{:.1}, {:.1}]", percent(value), 100.0 * low, 100.0 * high),
        };
        let mut figures: Vec<(&str, String)> = match answers.measured {
            Measured::Clips(e) => vec![
                ("accuracy [95% interval]", within(Some(e.accuracy), Some(e.accuracy_interval_95))),
                ("right", format!("{} of {} clips", e.correct, e.clips)),
                ("macro F1", percent(Some(e.macro_f1))),
                ("log loss", e.log_loss.map_or("–".into(), |loss| format!("{loss:.4} nats"))),
                ("always the commonest label", percent(Some(e.majority_accuracy))),
            ],
            Measured::Frames(e) => vec![
                ("frames right [95% interval]", within(e.frames.accuracy, e.frames.accuracy_interval_95)),
                ("frame F1", within(e.frames.f1, e.frames.f1_interval_95)),
                ("event F1", within(e.events.event_based.overall.f_measure, e.event_f1_interval_95)),
                ("onset F1", percent(e.events.onset_based.overall.f_measure)),
                ("label error rate", percent(e.events.label_error_rate)),
                ("recordings", format!("{}, {:.1} s", e.recordings, e.seconds)),
            ],
        };
        let baselines = self.training.as_ref().and_then(|training| training.baselines);
        let baseline = baselines.and_then(|baselines| match answers.part == Part::Test.name() {
            true => baselines.test.as_ref(),
            false => baselines.validation.as_ref(),
        });
        if let Some(baseline) = baseline {
            figures.push(("without a network", baseline.line()));
        }
        let failures = answers.measured.failures().len();
        if failures > 0 {
            figures.push(("could not be read", failures.to_string()));
        }
        figures.into_iter().map(|(name, text)| [name.to_string(), text]).collect()
    }

    fn confusion(&self) -> (Option<&Vec<Vec<usize>>>, &'static str) {
        match self.answers.as_ref().map(|answers| answers.measured) {
            Some(Measured::Clips(e)) => (Some(&e.confusion), "clips"),
            Some(Measured::Frames(e)) => (e.confusion.as_ref(), "frames"),
            None => (None, "clips"),
        }
    }

    /// Of each label how many have it, precision, recall and F1 as decided, average precision, the points
    /// `[recall, precision, threshold]` and the ranges of its scores.
    fn curves(&self) -> Result<Vec<Value>> {
        let Some(answers) = &self.answers else { return Ok(Vec::new()) };
        let curves = match answers.evaluated {
            Evaluated::Clips(scored) => scored.curves(),
            Evaluated::Recordings(tagged) => tagged.curves(&Tagger::new(self.model.clone())?),
        };
        let decided: Vec<[Option<f64>; 3]> = match answers.measured {
            Measured::Clips(e) => e.classes.iter().map(|c| [c.precision, c.recall, c.f1]).collect(),
            Measured::Frames(e) => e.frames.labels.iter().map(|l| [l.precision, l.recall, l.f1]).collect(),
        };
        let one = |(curves, decided): (&LabelCurves, &[Option<f64>; 3])| {
            let [precision, recall, f1] = decided.map(|value| value.map(rounded));
            let points = curves.points.iter();
            let points = points.map(|p| [p.recall, p.precision, f64::from(p.threshold)].map(rounded));
            let area = curves.average_precision.map(rounded);
            let points: Vec<[f64; 3]> = points.collect();
            json!([curves.positives, precision, recall, f1, area, points, bins(&curves.reliability)])
        };
        Ok(curves.iter().zip(&decided).map(one).collect())
    }

    /// Of all decisions together, and what they are.
    fn reliability(&self) -> Option<(&'static str, Reliability)> {
        let answers = self.answers.as_ref()?;
        Some(match (answers.evaluated, answers.measured) {
            (Evaluated::Clips(scored), _) => ("The best label of each clip", top_reliability(scored)),
            (_, Measured::Frames(e)) if e.confusion.is_some() => {
                ("The best label of each frame", e.reliability.clone())
            }
            (_, Measured::Frames(e)) => ("Every label of every frame", e.reliability.clone()),
            (Evaluated::Recordings(_), Measured::Clips(_)) => return None,
        })
    }

    /// What the model is and was made of.
    fn about(&self) -> Vec<[String; 2]> {
        let header = self.model.header();
        let provenance = &header.provenance;
        let parts = provenance.split.iter().map(|(part, clips)| format!("{clips} {part}"));
        let mut about = vec![
            ("data", self.source.to_string()),
            ("clips when it was trained", parts.collect::<Vec<_>>().join(", ")),
            ("SHA-256 of its data", provenance.data_sha256.clone()),
            ("model", format!("{}, {} weights", header.name, self.model.num_parameters())),
            ("SHA-256 of the model", self.model.sha256().to_string()),
            ("seed", provenance.seed.to_string()),
            ("made by", provenance.tool.clone()),
            ("notes", provenance.notes.clone()),
        ];
        if let Some(training) = &self.training {
            about.push(("training took", format!("{:.0} s", training.seconds)));
        }
        about.retain(|(_, text)| !text.is_empty());
        about.into_iter().map(|(name, text)| [name.to_string(), shown(&text)]).collect()
    }
}

impl EvaluatedRow {
    fn of_clip(clip: &ScoredClip, labels: &[String]) -> Self {
        let answer = match &clip.result {
            Ok(answer) => answer,
            Err(error) => return Self::failed(&clip.path, error),
        };
        let mut predictions = top_k(&answer.scores, labels, labels.len());
        let truth = &labels[clip.label];
        let place = predictions.iter().position(|p| p.label == *truth).unwrap_or(0);
        if place >= SHOWN_LABELS {
            predictions.swap(place, SHOWN_LABELS);
            predictions.truncate(SHOWN_LABELS + 1);
        } else {
            predictions.truncate(SHOWN_LABELS);
        }
        let mistaken = f64::from(u8::from(clip.is_right() == Some(false)));
        Self {
            row: row(&clip.path, &answer.media, Answer::Labels(predictions)),
            truth: Some(Truth::Label(truth.clone())),
            path: clip.path.clone(),
            badness: mistaken + 1.0 - f64::from(answer.scores[clip.label]),
        }
    }

    fn of_recording(
        reference: &Reference,
        found: &Found,
        counted: Counted,
        model: &Model,
        collar: f64,
    ) -> Self {
        let clock = model.header().input.clock();
        let rows = found.scores.chunks_exact(model.header().labels.len());
        let curves = Curves::steady(clock.seconds(0), clock.seconds(1), rows, &model.header().labels);
        let (events, more) = match found.scored_events.split_at_checked(MAX_EVENTS) {
            Some((kept, more)) => (kept, more.len()),
            None => (found.scored_events.as_slice(), 0),
        };
        let row =
            row(&reference.path, &found.media, Answer::Events { events: events.to_vec(), more, curves });
        let wrong = counted.events_found + counted.events_true - 2 * counted.events_right;
        let wrong_frames = (counted.frames - counted.frames_right) as f64 / counted.frames.max(1) as f64;
        Self {
            truth: Some(Truth::of_events(reference.events.clone(), &row, collar)),
            path: reference.path.clone(),
            badness: wrong as f64 + wrong_frames,
            row,
        }
    }

    fn failed(path: &Path, error: &crate::Error) -> Self {
        let answer = Answer::Failed(ErrorInfo::new(error, path));
        let row =
            Row { input: InputInfo::named(path), recorded_at: None, model: 0, warnings: Vec::new(), answer };
        // Behind all others: it is no mistake of the model.
        Self { row, truth: None, path: path.to_path_buf(), badness: -1.0 }
    }
}

fn row(path: &Path, media: &Media, answer: Answer) -> Row {
    let warnings = media.warnings().to_vec();
    Row { input: InputInfo::read(path, media), recorded_at: None, model: 0, warnings, answer }
}

/// The highest score of each clip, and whether it was right.
fn top_reliability(scored: &Scored) -> Reliability {
    let best = |clip: &ScoredClip| {
        let scores = &clip.result.as_ref().ok()?.scores;
        Some((scores.iter().copied().fold(0.0, f32::max), clip.is_right()?))
    };
    Reliability::new(scored.clips.iter().filter_map(best))
}

/// `[mean score, share right, count]` of each range.
fn bins(reliability: &Reliability) -> Vec<Value> {
    let bin = |b: &crate::decide::calibration::ReliabilityBin| {
        json!([b.mean_score.map(rounded), b.share_right.map(rounded), b.count])
    };
    reliability.bins.iter().map(bin).collect()
}
