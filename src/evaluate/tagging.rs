//! Tags of recordings beside what is true of them: frames, events, stretches, and how far scores can be trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Counted, interval_95};
use super::events::{Collar, Comparison, Psds, SHARE_OF_LENGTH, check_near_pairs, compare, event_based};
use super::{Failure, LabelCurves, Segmentation, segmentation};
use crate::decide::calibration::Reliability;
use crate::decide::{FrameEvent, Rule, Thresholds};
use crate::event::{Event, ScoredEvent};
use crate::labels::EventLists;
use crate::media::{Media, MediaOptions};
use crate::output::percent::{percent, percent_within};
use crate::pipeline::{Tagged, Tagger};
use crate::time::FrameClock;
use crate::{Error, ErrorKind, Result};

/// Seconds by which the ends of events may be off, as sed_eval has it.
pub const DEFAULT_COLLAR: f64 = 0.2;

/// A recording and what happens in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub path: PathBuf,
    /// By onset; `offset` is `onset` where only that is known.
    pub events: Vec<Event>,
}

/// What a model got right and wrong on labelled recordings. Figures are unrounded fractions, null where there is nothing
/// to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TagEvaluation {
    pub recordings: usize,
    pub seconds: f64,
    pub frames: FrameScores,
    /// Labels of frames as stretches; only where labels exclude each other.
    pub segmentation: Option<Segmentation>,
    /// `confusion[truth][said]`: frames, in the model's order of labels; only where labels exclude each other.
    pub confusion: Option<Vec<Vec<usize>>>,
    pub events: Comparison,
    /// 95% interval of the F1 of events, by drawing recordings; null for fewer than two.
    pub event_f1_interval_95: Option<[f64; 2]>,
    /// Scores of frames beside how often they are right.
    pub reliability: Reliability,
    /// Files that could not be read; they count nowhere else.
    pub failures: Vec<Failure>,
    /// What was counted in each recording; not in the JSON.
    #[serde(skip)]
    pub counted: Vec<(PathBuf, Counted)>,
}

/// Frames and labels, each decision counted for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameScores {
    pub frames: usize,
    /// Frames in which every label is as it should be.
    pub accuracy: Option<f64>,
    /// 95% interval of it, [low, high], by drawing recordings (bootstrap), since the frames of one are alike; null for fewer
    /// than two.
    pub accuracy_interval_95: Option<[f64; 2]>,
    /// Of all labels' decisions together (micro average); the background's are no decisions.
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    /// 95% interval of `f1`, as that of `accuracy`.
    pub f1_interval_95: Option<[f64; 2]>,
    /// Mean F1 over the labels that occur, in truth or result.
    pub macro_f1: Option<f64>,
    pub labels: Vec<LabelFrames>,
}

/// One label's frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelFrames {
    pub label: String,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    /// Frames that have it.
    pub support: usize,
}

/// Recordings with what a tagger found in them.
pub struct TaggedRecordings(pub Vec<(Reference, Result<Found>)>);

/// What was found in one recording.
pub struct Found {
    /// `[T, K]`
    pub scores: Vec<f32>,
    /// Their times are the model's: labels of a video count from its first frame.
    pub scored_events: Vec<ScoredEvent>,
    pub num_frames: usize,
    pub media: Media,
    /// As `scored_events`.
    events: Vec<Event>,
}

/// Tags every recording on all cores; `on_file` hears of each that is done, in any order.
pub fn tag_recordings(
    tagger: &Tagger,
    recordings: &[Reference],
    options: &MediaOptions,
    on_file: &(dyn Fn(&Path) + Sync),
) -> TaggedRecordings {
    let tag = |reference: &Reference| {
        let mut scores = Vec::new();
        let mut keep = |piece: &[f32]| {
            scores.extend_from_slice(piece);
            Ok(())
        };
        let tagged = tagger.tag_file(&reference.path, options, &Default::default(), &mut keep);
        on_file(&reference.path);
        let Tagged { frame_events, num_frames, media, .. } = tagged?;
        let scored_events: Vec<ScoredEvent> = frame_events.iter().map(|event| tagger.scored(event)).collect();
        let events = scored_events.iter().map(ScoredEvent::event).collect();
        Ok(Found { scores, scored_events, num_frames, media, events })
    };
    TaggedRecordings(recordings.par_iter().map(|reference| (reference.clone(), tag(reference))).collect())
}

/// As [`tag_recordings`], and counts what was right. Files that cannot be read are listed and count nowhere else.
///
/// # Errors
/// Where none can be read.
pub fn evaluate_recordings(
    tagger: &Tagger,
    recordings: &[Reference],
    options: &MediaOptions,
    collar: f64,
    on_file: &(dyn Fn(&Path) + Sync),
) -> Result<TagEvaluation> {
    tag_recordings(tagger, recordings, options, on_file).evaluation(tagger, collar)
}

impl TaggedRecordings {
    /// What was right and wrong; `tagger` has found it, and `collar` are seconds by which the ends of an event may be off.
    ///
    /// # Errors
    /// Where none could be read.
    pub fn evaluation(&self, tagger: &Tagger, collar: f64) -> Result<TagEvaluation> {
        let failures: Vec<Failure> = self
            .0
            .iter()
            .filter_map(|(reference, result)| Some(Failure::new(&reference.path, result.as_ref().err()?)))
            .collect();
        let pairs: Vec<(&Reference, &Found)> = self.pairs().collect();
        if pairs.is_empty() {
            let first = failures.first().map_or("there are none".to_string(), ToString::to_string);
            let count = self.0.len();
            let message = format!("none of {count} recordings could be read; the first: {first}");
            return Err(Error::new(ErrorKind::Dataset, message));
        }
        Ok(TagEvaluation { failures, ..judge(tagger, &pairs, collar)? })
    }

    fn pairs(&self) -> impl Iterator<Item = (&Reference, &Found)> {
        self.0.iter().filter_map(|(reference, result)| Some((reference, result.as_ref().ok()?)))
    }

    /// Of the scores of frames, one for each label, in the model's order.
    pub fn curves(&self, tagger: &Tagger) -> Vec<LabelCurves> {
        let labels = &tagger.model().header().labels;
        let background = background_of(tagger);
        let truths: Vec<(&Found, Vec<bool>)> = self
            .pairs()
            .map(|(reference, found)| {
                let events = frame_events(&reference.events, labels, tagger.clock());
                (found, held(&events, found.num_frames, labels.len(), background))
            })
            .collect();
        // One label after the other: of all together, scores and truth would be in memory twice over.
        let of_label = |k: usize| {
            let each = truths.iter().flat_map(|(found, truth)| found.scores.iter().zip(truth));
            let of_label = each.skip(k).step_by(labels.len());
            LabelCurves::of(of_label.map(|(&score, &holds)| (score, holds)).collect())
        };
        (0..labels.len()).map(of_label).collect()
    }
}

impl Found {
    /// `[true label, said label, frames]` of all pairs that there are, where labels exclude each other.
    pub(crate) fn pairs(
        &self,
        reference: &Reference,
        labels: &[String],
        clock: FrameClock,
        background: Option<usize>,
    ) -> Vec<[usize; 3]> {
        let of = |events: &[Event]| {
            let holds = held(&frame_events(events, labels, clock), self.num_frames, labels.len(), background);
            first_labels(&holds, labels.len())
        };
        let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        for (truth, said) in of(&reference.events).into_iter().zip(of(&self.events)) {
            *counts.entry([truth, said]).or_default() += 1;
        }
        counts.into_iter().map(|([truth, said], frames)| [truth, said, frames]).collect()
    }
}

/// `[T, K]` -> the first label that holds in each frame.
fn first_labels(holds: &[bool], num_labels: usize) -> Vec<usize> {
    holds.chunks_exact(num_labels).map(|row| row.iter().position(|&holds| holds).unwrap_or(0)).collect()
}

/// The label of frames in which nothing else holds.
fn background_of(tagger: &Tagger) -> Option<usize> {
    match tagger.rule() {
        Rule::Exclusive(rule) => rule.background,
        Rule::Thresholds(_) | Rule::Onsets(_) => None,
    }
}

fn judge(tagger: &Tagger, pairs: &[(&Reference, &Found)], collar: f64) -> Result<TagEvaluation> {
    let labels = &tagger.model().header().labels;
    let is_exclusive = matches!(tagger.rule(), Rule::Exclusive(_));
    let background = background_of(tagger);
    let (mut truth_lists, mut found_lists) = (EventLists::new(), EventLists::new());
    let mut counts = vec![Counts::default(); labels.len()];
    let (mut frames, mut right) = (0, 0);
    let mut counted = Vec::with_capacity(pairs.len());
    let mut stretches = Vec::new();
    let mut reliability = Vec::new();
    for (reference, found) in pairs {
        check_near_pairs(&reference.events, &found.events, collar)
            .map_err(|error| error.with_path(&reference.path))?;
        let name = reference.path.display().to_string();
        let holds = |events: &[Event]| {
            let events: Vec<FrameEvent> = frame_events(events, labels, tagger.clock());
            held(&events, found.num_frames, labels.len(), background)
        };
        let (truth, said) = (holds(&reference.events), holds(&found.events));
        let one = count(&truth, &said, labels.len(), background, reference, found, collar);
        counted.push((reference.path.clone(), one));
        for (truth, said) in truth.chunks_exact(labels.len()).zip(said.chunks_exact(labels.len())) {
            frames += 1;
            right += usize::from(truth == said);
            counts.iter_mut().zip(truth.iter().zip(said)).for_each(|(c, (&truth, &said))| c.add(truth, said));
        }
        match is_exclusive {
            true => {
                let (truth, said) = (first_labels(&truth, labels.len()), first_labels(&said, labels.len()));
                reliability.extend(found.scores.chunks_exact(labels.len()).zip(&truth).map(
                    |(row, &truth)| {
                        let best =
                            (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
                        (row[best], best == truth)
                    },
                ));
                stretches.push((truth, said));
            }
            false => reliability.extend(found.scores.iter().copied().zip(truth.iter().copied())),
        }
        truth_lists.insert(name.clone(), reference.events.clone());
        found_lists.insert(name, found.events.clone());
    }
    let each = stretches.iter().map(|(truth, said)| (truth.as_slice(), said.as_slice()));
    let confusion = is_exclusive.then(|| confusion(&stretches, labels.len()));
    let each_counted: Vec<Counted> = counted.iter().map(|(_, counted)| *counted).collect();
    let interval = |figure| interval_95(&each_counted, figure);
    Ok(TagEvaluation {
        recordings: pairs.len(),
        seconds: pairs.iter().map(|(_, found)| found.media.duration()).sum(),
        frames: FrameScores {
            accuracy_interval_95: interval(Counted::accuracy),
            f1_interval_95: interval(Counted::frame_f1),
            ..FrameScores::new(frames, right, &counts, labels, background)
        },
        segmentation: is_exclusive.then(|| segmentation(each, background)),
        confusion,
        events: Comparison { psds: psds_of(tagger, pairs), ..compare(&truth_lists, &found_lists, collar)? },
        event_f1_interval_95: interval(Counted::event_f1),
        reliability: Reliability::new(reliability),
        failures: vec![],
        counted,
    })
}

/// Frames by true and said label.
fn confusion(stretches: &[(Vec<usize>, Vec<usize>)], num_labels: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; num_labels]; num_labels];
    for (truth, said) in stretches {
        truth.iter().zip(said).for_each(|(&truth, &said)| counts[truth][said] += 1);
    }
    counts
}

/// One recording, for what is drawn from many.
fn count(
    truth: &[bool],
    said: &[bool],
    num_labels: usize,
    background: Option<usize>,
    reference: &Reference,
    found: &Found,
    collar: f64,
) -> Counted {
    let list = |events: &[Event]| EventLists::from([(String::new(), events.to_vec())]);
    let collar = Collar { seconds: collar, share_of_length: Some(SHARE_OF_LENGTH) };
    let events = event_based(&list(&reference.events), &list(&found.events), collar).overall;
    let mut counted = Counted {
        events_right: events.true_positives as usize,
        events_found: events.estimated as usize,
        events_true: events.reference as usize,
        ..Counted::default()
    };
    for (truth, said) in truth.chunks_exact(num_labels).zip(said.chunks_exact(num_labels)) {
        counted.frames += 1;
        counted.frames_right += usize::from(truth == said);
        for (k, (&truth, &said)) in truth.iter().zip(said).enumerate() {
            if Some(k) == background {
                continue;
            }
            counted.labels_right += usize::from(truth && said);
            counted.labels_found += usize::from(said);
            counted.labels_true += usize::from(truth);
        }
    }
    counted
}

/// With one threshold for all labels, in the place of their own.
fn psds_of(tagger: &Tagger, pairs: &[(&Reference, &Found)]) -> Option<Psds> {
    const THRESHOLDS: usize = 50;
    let Rule::Thresholds(rule) = tagger.rule() else { return None };
    let labels = &tagger.model().header().labels;
    let name = |reference: &Reference| reference.path.display().to_string();
    let points: Vec<EventLists> = (0..THRESHOLDS)
        .into_par_iter()
        .map(|i| {
            let threshold = (2 * i + 1) as f32 / (2 * THRESHOLDS) as f32;
            let rule = Rule::Thresholds(Thresholds { high: vec![threshold; labels.len()], ..rule.clone() });
            let events = |scores: &[f32]| {
                let events = rule.events(scores, labels.len());
                events.iter().map(|event| tagger.scored(event).event()).collect()
            };
            pairs.iter().map(|(reference, found)| (name(reference), events(&found.scores))).collect()
        })
        .collect();
    let reference = pairs.iter().map(|(reference, _)| (name(reference), reference.events.clone())).collect();
    let durations =
        pairs.iter().map(|(reference, found)| (name(reference), found.media.duration())).collect();
    Psds::of(&reference, &durations, &points).ok()
}

pub(super) fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.label.as_str()).collect()
}

/// Events by frames: those whose middle they cover, and at least the one in which they begin.
pub(crate) fn frame_events(events: &[Event], labels: &[String], clock: FrameClock) -> Vec<FrameEvent> {
    let middle = |seconds: f64| (clock.position(seconds) - 0.5).ceil().max(0.0) as usize;
    let by_frames = |event: &Event| {
        let label = labels.iter().position(|label| *label == event.label)?;
        let (mut start, mut end) = (middle(event.onset), middle(event.offset));
        if start >= end {
            // A time that was made from a frame lies at its beginning, up to rounding.
            start = (clock.position(event.onset) + 1e-6).floor() as usize;
            end = start + 1;
        }
        Some(FrameEvent { label, start, end, score: 1.0, peak: 1.0 })
    };
    events.iter().filter_map(by_frames).collect()
}

/// `[T, K]`: which labels hold in each frame.
pub(crate) fn held(
    events: &[FrameEvent],
    frames: usize,
    num_labels: usize,
    background: Option<usize>,
) -> Vec<bool> {
    let mut held = vec![false; frames * num_labels];
    for event in events {
        for t in event.start.min(frames)..event.end.min(frames) {
            held[t * num_labels + event.label] = true;
        }
    }
    if let Some(background) = background {
        let empty = held.chunks_exact_mut(num_labels).filter(|row| !row.contains(&true));
        empty.for_each(|row| row[background] = true);
    }
    held
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: usize,
    said: usize,
    truth: usize,
}

impl Counts {
    fn add(&mut self, truth: bool, said: bool) {
        self.right += usize::from(truth && said);
        self.said += usize::from(said);
        self.truth += usize::from(truth);
    }

    fn precision(self) -> Option<f64> {
        (self.said > 0).then(|| self.right as f64 / self.said as f64)
    }

    fn recall(self) -> Option<f64> {
        (self.truth > 0).then(|| self.right as f64 / self.truth as f64)
    }

    fn f1(self) -> Option<f64> {
        let both = self.said + self.truth;
        (both > 0).then(|| 2.0 * self.right as f64 / both as f64)
    }
}

impl FrameScores {
    fn new(
        frames: usize,
        right: usize,
        counts: &[Counts],
        labels: &[String],
        background: Option<usize>,
    ) -> Self {
        let each = || counts.iter().enumerate().filter(|(k, _)| Some(*k) != background).map(|(_, c)| *c);
        let all = each().fold(Counts::default(), |all, c| Counts {
            right: all.right + c.right,
            said: all.said + c.said,
            truth: all.truth + c.truth,
        });
        let f1s: Vec<f64> = each().filter_map(Counts::f1).collect();
        let label = |(label, c): (&String, &Counts)| LabelFrames {
            label: label.clone(),
            precision: c.precision(),
            recall: c.recall(),
            f1: c.f1(),
            support: c.truth,
        };
        Self {
            frames,
            accuracy: (frames > 0).then(|| right as f64 / frames as f64),
            accuracy_interval_95: None,
            precision: all.precision(),
            recall: all.recall(),
            f1: all.f1(),
            f1_interval_95: None,
            macro_f1: (!f1s.is_empty()).then(|| f1s.iter().sum::<f64>() / f1s.len() as f64),
            labels: labels.iter().zip(counts).map(label).collect(),
        }
    }
}

impl TagEvaluation {
    /// What a model file and a report keep of it, by name.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let figures = [
            ("frame_accuracy", self.frames.accuracy),
            ("frame_f1", self.frames.f1),
            ("event_f1", self.events.event_based.overall.f_measure),
            ("onset_f1", self.events.onset_based.overall.f_measure),
            ("label_error_rate", self.events.label_error_rate),
        ];
        figures.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} recordings, {:.1} s; [95% intervals] by drawing recordings\nframes: {} right, F1 {}, macro F1 {}\n",
            self.recordings,
            self.seconds,
            percent_within(self.frames.accuracy, self.frames.accuracy_interval_95),
            percent_within(self.frames.f1, self.frames.f1_interval_95),
            percent(self.frames.macro_f1)
        );
        text += &format!(
            "events: F1 {}\n\n",
            percent_within(self.events.event_based.overall.f_measure, self.event_f1_interval_95)
        );
        let width =
            self.frames.labels.iter().map(|l| l.label.chars().count()).max().unwrap_or(0).clamp(5, 24);
        text += &format!(
            "{:width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
            "label", "precision", "recall", "F1", "frames", "event F1", "onset F1"
        );
        let class = |scores: &super::events::EventScores, label: &str| {
            percent(scores.class_wise.get(label).and_then(|s| s.f_measure))
        };
        for label in &self.frames.labels {
            text += &format!(
                "{:width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
                crate::error::one_line(&label.label),
                percent(label.precision),
                percent(label.recall),
                percent(label.f1),
                label.support,
                class(&self.events.event_based, &label.label),
                class(&self.events.onset_based, &label.label),
            );
        }
        text += "\n";
        if let Some(s) = &self.segmentation {
            text += &format!(
                "stretches: edit {}, F1@10/25/50 {} / {} / {}\n\n",
                percent(s.edit_score),
                percent(s.f1_at_10),
                percent(s.f1_at_25),
                percent(s.f1_at_50)
            );
        }
        text += &self.events.table();
        text += &format!("\n{}", self.reliability.table());
        for failure in &self.failures {
            text += &format!("could not be read: {}\n", crate::error::one_line(&failure.to_string()));
        }
        text
    }
}
