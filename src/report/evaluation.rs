//! The page of an evaluation or a training: how good the model is, and each recording with what was right and wrong in it,
//! the worst first.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::curves::Curves;
use super::page::{rounded, shown};
use super::reference::Truth;
use super::rows::{Answer, ModelName, Row};
use crate::Result;
use crate::decide::calibration::Reliability;
use crate::decide::{Rule, top_k};
use crate::evaluate::events::{EventScores, Scores};
use crate::evaluate::{
    ClassMetrics, Counted, Evaluated, Found, LabelCurves, LabelFrames, Measured, Reference, Scored,
    ScoredClip, TagEvaluation, TaggedRecordings,
};
use crate::media::{Media, MediaOptions};
use crate::model::Model;
use crate::output::percent::{percent, percent_within};
use crate::output::record::{ErrorInfo, InputInfo};
use crate::pipeline::Tagger;
use crate::train::{Baselines, EpochMetrics, Part};

/// Most recordings that a page shows: the worst of more.
pub const MAX_EVALUATED_ROWS: usize = 1000;
/// Where a page cannot show all clips, so many of each pair of true and said label come before others.
const ROWS_OF_PAIR: usize = 20;
/// Most labels of a clip that are shown, beside the true one.
const SHOWN_LABELS: usize = 5;

/// What a page of an evaluation is made of.
pub struct EvaluationPage<'a> {
    /// What it is called.
    pub title: &'a str,
    pub model: &'a Model,
    /// The directory or manifest of the recordings.
    pub source: &'a str,
    /// What a model says of a part, or why it was not asked.
    pub answers: std::result::Result<EvaluatedPart<'a>, NotEvaluated>,
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
    /// `None` for all of the data.
    pub part: Option<Part>,
    pub evaluated: &'a Evaluated,
    pub measured: &'a Measured,
    /// Seconds by which the ends of a found event may be off.
    pub collar: f64,
}

/// Why a training has no answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotEvaluated {
    /// There is nothing beside what it learns from.
    NothingHeldOut,
    /// It was stopped, and whoever did that wants the model now.
    Interrupted,
    /// The part could not be read; a warning says more.
    Failed,
}

impl NotEvaluated {
    fn text(self) -> &'static str {
        match self {
            Self::NothingHeldOut => "No part was held out: nothing was evaluated",
            Self::Interrupted => "The training was stopped: nothing was evaluated",
            Self::Failed => "What was held out could not be evaluated",
        }
    }
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
    /// Of a tagger whose labels exclude each other: true label, said label, frames, for all pairs that there are.
    pub pairs: Vec<[usize; 3]>,
}

impl EvaluationPage<'_> {
    /// The recordings, the worst first; and how many were left out.
    pub(super) fn rows(&self) -> (Vec<EvaluatedRow>, usize) {
        let Ok(answers) = &self.answers else { return (Vec::new(), 0) };
        let ranked = match (answers.evaluated, answers.measured) {
            (Evaluated::Clips(scored), _) => rank_clips(scored),
            (Evaluated::Recordings(tagged), Measured::Frames(evaluation)) => {
                rank_recordings(tagged, evaluation)
            }
            (Evaluated::Recordings(tagged), Measured::Clips(_)) => (0..tagged.0.len()).collect(),
        };
        let row = |&place: &usize| match answers.evaluated {
            Evaluated::Clips(scored) => EvaluatedRow::of_clip(&scored.clips[place], &scored.labels),
            Evaluated::Recordings(TaggedRecordings(recordings)) => {
                let (reference, result) = &recordings[place];
                EvaluatedRow::of_recording(reference, result, self.model, answers.collar)
            }
        };
        let rows = ranked.iter().take(MAX_EVALUATED_ROWS).map(row).collect();
        (rows, ranked.len().saturating_sub(MAX_EVALUATED_ROWS))
    }

    /// The reference that stands beside the recordings: its name, and the collar in seconds.
    pub(super) fn reference(&self) -> Option<(String, f64)> {
        let answers = self.answers.as_ref().ok()?;
        Some((self.source.to_string(), answers.collar))
    }

    pub(super) fn model_name(&self) -> ModelName {
        let header = self.model.header();
        ModelName { name: header.name.clone(), sha256: self.model.sha256().to_string(), task: header.task }
    }

    /// What `page/evaluation.js` draws; `rows` are those of the page.
    pub(super) fn study(&self, rows: &[EvaluatedRow]) -> Result<Value> {
        let header = self.model.header();
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
        let part = match &self.answers {
            Ok(EvaluatedPart { part: None, .. }) => "On all of the data".to_string(),
            Ok(EvaluatedPart { part: Some(part), .. }) => format!("On the {} part", part.name()),
            Err(why) => why.text().to_string(),
        };
        let (confusion, unit) = self.confusion();
        let confusion = confusion.map(|counts| nonzero(counts));
        let table = self.table()?;
        Ok(json!({
            "part": part,
            "unit": unit,
            "labels": header.labels.iter().map(|label| shown(label)).collect::<Vec<_>>(),
            "figures": self.figures(),
            "said": self.said.iter().map(|text| shown(text)).collect::<Vec<_>>(),
            "history": training.filter(|t| !t.history.is_empty()).map(|t| t.history.iter().map(epoch).collect::<Vec<_>>()),
            "bestEpoch": training.map(|t| t.best_epoch),
            "confusion": confusion,
            "table": table,
            "reliability": self.reliability().map(|(title, all)| json!([title, bins(&all)])),
            "about": self.about(),
            "counts": training.map(|t| t.label_counts),
            "pairs": rows.iter().map(|row| &row.pairs).collect::<Vec<_>>(),
            "config": header.provenance.config.lines().map(shown).collect::<Vec<_>>().join("\n"),
        }))
    }

    /// Name and value of what counts most.
    fn figures(&self) -> Vec<[String; 2]> {
        let Ok(answers) = &self.answers else { return Vec::new() };
        let mut figures: Vec<(&str, String)> = match answers.measured {
            Measured::Clips(e) => vec![
                ("accuracy [95% interval]", percent_within(e.accuracy, Some(e.accuracy_interval_95))),
                ("right", format!("{} of {} clips", e.correct, e.clips)),
                ("macro F1", percent(e.macro_f1)),
                ("log loss", e.log_loss.map_or("-".into(), |loss| format!("{loss:.4} nats"))),
                ("always the commonest label", percent(e.majority_accuracy)),
            ],
            Measured::Frames(e) => vec![
                (
                    "frames right [95% interval]",
                    percent_within(e.frames.accuracy, e.frames.accuracy_interval_95),
                ),
                ("frame F1", percent_within(e.frames.f1, e.frames.f1_interval_95)),
                ("event F1", percent_within(e.events.event_based.overall.f_measure, e.event_f1_interval_95)),
                ("onset F1", percent(e.events.onset_based.overall.f_measure)),
                ("label error rate", percent(e.events.label_error_rate)),
                ("recordings", format!("{}, {:.1} s", e.recordings, e.seconds)),
            ],
        };
        let baselines = self.training.as_ref().and_then(|training| training.baselines);
        let baseline = baselines.and_then(|baselines| match answers.part == Some(Part::Test) {
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
            Ok(Measured::Clips(e)) => (Some(&e.confusion), "clips"),
            Ok(Measured::Frames(e)) => (e.confusion.as_ref(), "frames"),
            Err(_) => (None, "clips"),
        }
    }

    /// Columns of numbers, a row a label: how many there are, and shares; and for each label the curves of its scores, average
    /// precision, points `[recall, precision, threshold]` and ranges. Onsets have no such curves: one that is found a frame
    /// beside the true one is right.
    fn table(&self) -> Result<Option<Value>> {
        let Ok(answers) = &self.answers else { return Ok(None) };
        let (columns, rows): (Vec<&str>, Vec<Vec<Option<f64>>>) = match answers.measured {
            Measured::Clips(e) => {
                let row = |c: &ClassMetrics| vec![Some(c.support as f64), c.precision, c.recall, c.f1];
                (vec!["clips", "precision", "recall", "F1"], e.classes.iter().map(row).collect())
            }
            Measured::Frames(e) if self.has_only_onsets() => {
                let row = |l: &LabelFrames| {
                    let scores = e.events.onset_based.class_wise.get(&l.label);
                    let of = |figure: fn(&Scores) -> Option<f64>| scores.and_then(figure);
                    vec![
                        of(|s| Some(s.reference as f64)),
                        of(|s| s.precision),
                        of(|s| s.recall),
                        of(|s| s.f_measure),
                    ]
                };
                (vec!["onsets", "precision", "recall", "F1"], e.frames.labels.iter().map(row).collect())
            }
            Measured::Frames(e) => {
                let row = |l: &LabelFrames| {
                    let f1 = |scores: &EventScores| scores.class_wise.get(&l.label).and_then(|s| s.f_measure);
                    let events = [f1(&e.events.event_based), f1(&e.events.onset_based)];
                    let frames = [Some(l.support as f64), l.precision, l.recall, l.f1];
                    frames.into_iter().chain(events).collect()
                };
                let columns = vec!["frames", "precision", "recall", "F1", "event F1", "onset F1"];
                (columns, e.frames.labels.iter().map(row).collect())
            }
        };
        let curves = match answers.evaluated {
            Evaluated::Clips(scored) => Some(scored.curves()),
            Evaluated::Recordings(_) if self.has_only_onsets() => None,
            Evaluated::Recordings(tagged) => Some(tagged.curves(&Tagger::new(self.model.clone())?)),
        };
        let one = |curves: &LabelCurves| {
            let points = curves.points.iter();
            let points = points.map(|p| [p.recall, p.precision, f64::from(p.threshold)].map(rounded));
            let area = curves.average_precision.map(rounded);
            json!([area, points.collect::<Vec<[f64; 3]>>(), bins(&curves.reliability)])
        };
        let rows: Vec<Vec<Option<f64>>> =
            rows.into_iter().map(|row| row.into_iter().map(|value| value.map(rounded)).collect()).collect();
        let curves = curves.map(|curves| curves.iter().map(one).collect::<Vec<Value>>());
        Ok(Some(json!({"columns": columns, "rows": rows, "curves": curves})))
    }

    fn has_only_onsets(&self) -> bool {
        let decisions = self.model.header().decisions.as_ref();
        decisions.is_some_and(|decisions| matches!(decisions.rule, Rule::Onsets(_)))
    }

    /// Of all decisions together, and what they are.
    fn reliability(&self) -> Option<(&'static str, Reliability)> {
        let answers = self.answers.as_ref().ok()?;
        Some(match (answers.evaluated, answers.measured) {
            (Evaluated::Clips(scored), _) => ("The best label of each clip", top_reliability(scored)),
            (_, Measured::Frames(e)) if e.confusion.is_some() => {
                ("The best label of each frame", e.reliability.clone())
            }
            (_, Measured::Frames(_)) if self.has_only_onsets() => return None,
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
        Self {
            row: row(&clip.path, &answer.media, Answer::Labels(predictions)),
            truth: Some(Truth::Label(truth.clone())),
            path: clip.path.clone(),
            pairs: Vec::new(),
        }
    }

    fn of_recording(reference: &Reference, result: &Result<Found>, model: &Model, collar: f64) -> Self {
        let found = match result {
            Ok(found) => found,
            Err(error) => return Self::failed(&reference.path, error),
        };
        let header = model.header();
        let clock = header.input.clock();
        let rows = found.scores.chunks_exact(header.labels.len());
        let curves = Curves::steady(clock.seconds(0), clock.seconds(1), rows, &header.labels);
        let row = row(
            &reference.path,
            &found.media,
            Answer::Events { events: found.scored_events.clone(), curves },
        );
        let pairs = match header.decisions.as_ref().map(|decisions| &decisions.rule) {
            Some(Rule::Exclusive(rule)) => found.pairs(reference, &header.labels, clock, rule.background),
            _ => Vec::new(),
        };
        let truth = Some(Truth::of_events(reference.events.clone(), &row, collar));
        Self { truth, path: reference.path.clone(), pairs, row }
    }

    fn failed(path: &Path, error: &crate::Error) -> Self {
        let answer = Answer::Failed(ErrorInfo::new(error, path));
        let row =
            Row { input: InputInfo::named(path), recorded_at: None, model: 0, warnings: Vec::new(), answer };
        Self { row, truth: None, path: path.to_path_buf(), pairs: Vec::new() }
    }
}

/// Places of the clips, the worst first: wrong ones before right ones, then by the score of the true label; those that could
/// not be read, which are no mistakes of the model, come last. Some of each pair of true and said label are among the first.
fn rank_clips(scored: &Scored) -> Vec<usize> {
    let badness = |clip: &ScoredClip| match (&clip.result, clip.is_right()) {
        (Ok(answer), Some(right)) => f64::from(u8::from(!right)) + 1.0 - f64::from(answer.scores[clip.label]),
        _ => -1.0,
    };
    let mut ranked = ranked(scored.clips.iter().map(badness));
    if ranked.len() > MAX_EVALUATED_ROWS {
        let mut seen: HashMap<(usize, Option<usize>), usize> = HashMap::new();
        let is_many = |place: &usize| {
            let clip = &scored.clips[*place];
            let count = seen.entry((clip.label, clip.said())).or_default();
            *count += 1;
            *count > ROWS_OF_PAIR
        };
        let many: Vec<bool> = ranked.iter().map(is_many).collect();
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        order.sort_by_key(|&i| many[i]);
        order.truncate(MAX_EVALUATED_ROWS);
        order.sort_unstable();
        let kept: Vec<usize> = order.iter().map(|&i| ranked[i]).collect();
        let is_kept: HashSet<usize> = kept.iter().copied().collect();
        let rest: Vec<usize> = ranked.into_iter().filter(|place| !is_kept.contains(place)).collect();
        ranked = [kept, rest].concat();
    }
    ranked
}

/// Places of the recordings, the worst first: by wrong events, then by the share of wrong frames.
fn rank_recordings(tagged: &TaggedRecordings, evaluation: &TagEvaluation) -> Vec<usize> {
    let counted: HashMap<&Path, Counted> =
        evaluation.counted.iter().map(|(path, counted)| (path.as_path(), *counted)).collect();
    let badness = |(reference, result): &(Reference, Result<Found>)| {
        let (Some(counted), Ok(_)) = (counted.get(reference.path.as_path()), result) else { return -1.0 };
        let wrong = counted.events_found + counted.events_true - 2 * counted.events_right;
        let wrong_frames = (counted.frames - counted.frames_right) as f64 / counted.frames.max(1) as f64;
        wrong as f64 + wrong_frames
    };
    ranked(tagged.0.iter().map(badness))
}

/// Places by `badness`, the highest first; in their own order where it is the same.
fn ranked(badness: impl Iterator<Item = f64>) -> Vec<usize> {
    let badness: Vec<f64> = badness.collect();
    let mut places: Vec<usize> = (0..badness.len()).collect();
    places.sort_by(|&a, &b| badness[b].total_cmp(&badness[a]));
    places
}

/// `[true label, said label, count]` of all pairs that there are.
fn nonzero(confusion: &[Vec<usize>]) -> Vec<[usize; 3]> {
    let cells = confusion
        .iter()
        .enumerate()
        .flat_map(|(truth, said)| said.iter().enumerate().map(move |(said, &count)| [truth, said, count]));
    cells.filter(|cell| cell[2] > 0).collect()
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
