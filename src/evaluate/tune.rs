//! Finds how a tagging model's scores best become events, on recordings that it has not learned from.

use std::path::Path;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::events::{Collar, EventScores, SHARE_OF_LENGTH, event_based, segment_based};
use super::segmentation::edit_distance;
use super::tagging::{frame_events, held, names};
use super::{Failure, Reference};
use crate::decide::calibration::{Reliability, Targets, temperature};
use crate::decide::{Decisions, Exclusive, Onsets, Rule, Thresholds, Transition, Tuned};
use crate::event::Event;
use crate::labels::EventLists;
use crate::media::MediaOptions;
use crate::model::Model;
use crate::output::percent::percent;
use crate::pipeline::Tagger;
use crate::{Error, ErrorKind, Result};

/// Rounds over all settings, each with the others as they are.
const ROUNDS: usize = 2;
/// What a threshold may cost of a label's F1 on these recordings to be nearer to the middle.
const NEARLY_AS_GOOD: f64 = 0.01;
/// Lengths in frames that are tried for a gap, an event, a median.
const LENGTHS: [usize; 11] = [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80];

/// What is to be as good as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// F1 of events, both ends within the collar
    EventF1,
    /// F1 of onsets within the collar
    OnsetF1,
    /// F1 of segments of 1 s
    SegmentF1,
    /// F1 of frames
    FrameF1,
    /// As few wrong labels in the sequence of events as possible (exclusive labels)
    LabelErrorRate,
}

impl Goal {
    /// What such models are usually for.
    pub fn usual(rule: &Rule) -> Self {
        match rule {
            Rule::Thresholds(_) => Self::EventF1,
            Rule::Onsets(_) => Self::OnsetF1,
            Rule::Exclusive(_) => Self::LabelErrorRate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EventF1 => "event_f1",
            Self::OnsetF1 => "onset_f1",
            Self::SegmentF1 => "segment_f1",
            Self::FrameF1 => "frame_f1",
            Self::LabelErrorRate => "label_error_rate",
        }
    }
}

/// What `percept tune` prints as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TuneReport {
    /// Version of this format: 1.
    #[schemars(extend("const" = crate::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub goal: Goal,
    /// Seconds that an onset or offset may be off.
    pub collar: f64,
    pub recordings: usize,
    /// What the goal was at before; null where it has no value.
    pub before: Option<f64>,
    /// And is at now.
    pub after: Option<f64>,
    /// What the model has now.
    pub decisions: Decisions,
    /// How often scores were right before.
    pub reliability_before: Reliability,
    /// Files that could not be read; they count nowhere else.
    pub failures: Vec<Failure>,
}

/// The model with the settings that are best on `recordings`, and how they were found.
///
/// # Errors
/// [`ErrorKind::Dataset`] where no recording can be read; [`ErrorKind::Config`] for a goal that the model cannot have.
pub fn tune(
    tagger: &Tagger,
    recordings: &[Reference],
    options: &MediaOptions,
    goal: Goal,
    collar: f64,
    on_file: &(dyn Fn(&Path) + Sync),
) -> Result<(Model, TuneReport)> {
    if goal == Goal::LabelErrorRate && !matches!(tagger.rule(), Rule::Exclusive(_)) {
        let message = "the label error rate is for labels that exclude each other; choose another --goal";
        return Err(Error::new(ErrorKind::Config, message));
    }
    let (known, failures) = Known::read(tagger, recordings, options, goal, collar, on_file)?;
    let old = tagger.decisions();
    let before = known.scored(old.temperature);
    let temperature = known.temperature() as f32;
    let after = known.scored(temperature);
    let rule = known.search(&after, tagger.rule());
    let value = |scores: &[Vec<f32>], rule: &Rule| known.figures(scores, rule).overall;
    let reached = value(&after, &rule);
    let tuned = Tuned {
        goal: goal.name().to_string(),
        value: reached.unwrap_or(0.0).abs(),
        collar,
        recordings: known.recordings.len(),
        reliability: known.reliability(&after),
    };
    let decisions = Decisions { temperature, rule, tuned: Some(tuned) };
    let report = TuneReport {
        schema_version: crate::SCHEMA_VERSION,
        tool: crate::TOOL.to_string(),
        goal,
        collar,
        recordings: known.recordings.len(),
        before: value(&before, &old.rule).map(f64::abs),
        after: reached.map(f64::abs),
        decisions: decisions.clone(),
        reliability_before: known.reliability(&before),
        failures,
    };
    let metrics = reached.map(|value| (format!("tuning_{}", goal.name()), value.abs()));
    Ok((tagger.model().with_decisions(decisions, metrics.into_iter().collect())?, report))
}

/// Recordings of which both the truth and the network's answer are known.
struct Known<'a> {
    tagger: &'a Tagger,
    goal: Goal,
    collar: f64,
    recordings: Vec<KnownRecording>,
    truth: EventLists,
}

struct KnownRecording {
    name: String,
    /// `[T, K]`
    logits: Vec<f32>,
    /// `[T, K]`
    holds: Vec<bool>,
    events: Vec<Event>,
}

/// The goal's value, higher is better; of each label too, where it has one.
struct Figures {
    overall: Option<f64>,
    labels: Vec<Option<f64>>,
}

impl<'a> Known<'a> {
    fn read(
        tagger: &'a Tagger,
        recordings: &[Reference],
        options: &MediaOptions,
        goal: Goal,
        collar: f64,
        on_file: &(dyn Fn(&Path) + Sync),
    ) -> Result<(Self, Vec<Failure>)> {
        let labels = &tagger.model().header().labels;
        let background = background_of(tagger.rule());
        let read = |reference: &Reference| {
            let (rows, _) = tagger.logits(&reference.path, options)?;
            let mut logits = Vec::new();
            rows.read(0, rows.len(), &mut logits)?;
            let frames = frame_events(&reference.events, labels, tagger.clock());
            Ok(KnownRecording {
                name: reference.path.display().to_string(),
                logits,
                holds: held(&frames, rows.len(), labels.len(), background),
                events: reference.events.clone(),
            })
        };
        let results: Vec<Result<KnownRecording>> = recordings
            .par_iter()
            .map(|reference| {
                let result = read(reference);
                on_file(&reference.path);
                result
            })
            .collect();
        let (mut known, mut failures) = (Vec::new(), Vec::new());
        for (reference, result) in recordings.iter().zip(results) {
            match result {
                Ok(recording) => known.push(recording),
                Err(error) => failures.push(Failure::new(&reference.path, &error)),
            }
        }
        if known.is_empty() {
            let first = failures.first().map_or("there are none".to_string(), ToString::to_string);
            let message =
                format!("none of {} recordings could be read; the first: {first}", recordings.len());
            return Err(Error::new(ErrorKind::Dataset, message));
        }
        let truth =
            known.iter().map(|recording| (recording.name.clone(), recording.events.clone())).collect();
        Ok((Self { tagger, goal, collar, recordings: known, truth }, failures))
    }

    fn num_labels(&self) -> usize {
        self.tagger.model().header().labels.len()
    }

    fn temperature(&self) -> f64 {
        let logits: Vec<f32> = self.recordings.iter().flat_map(|r| &r.logits).copied().collect();
        let holds: Vec<bool> = self.recordings.iter().flat_map(|r| &r.holds).copied().collect();
        match self.tagger.rule() {
            Rule::Exclusive(_) => {
                let first = |row: &[bool]| row.iter().position(|&holds| holds).unwrap_or(0);
                let labels: Vec<usize> = holds.chunks_exact(self.num_labels()).map(first).collect();
                temperature(&logits, self.num_labels(), Targets::Exclusive(&labels))
            }
            _ => temperature(&logits, self.num_labels(), Targets::Several(&holds)),
        }
    }

    /// Scores `[T, K]` of each recording.
    fn scored(&self, temperature: f32) -> Vec<Vec<f32>> {
        let each = self.recordings.par_iter();
        each.map(|recording| self.tagger.scores_at(&recording.logits, temperature)).collect()
    }

    fn reliability(&self, scores: &[Vec<f32>]) -> Reliability {
        let num_labels = self.num_labels();
        let pairs = self.recordings.iter().zip(scores);
        match self.tagger.rule() {
            Rule::Exclusive(_) => Reliability::new(pairs.flat_map(|(recording, scores)| {
                scores.chunks_exact(num_labels).zip(recording.holds.chunks_exact(num_labels)).map(
                    |(row, holds)| {
                        let best =
                            (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
                        (row[best], holds[best])
                    },
                )
            })),
            _ => {
                Reliability::new(pairs.flat_map(|(recording, scores)| {
                    scores.iter().copied().zip(recording.holds.iter().copied())
                }))
            }
        }
    }

    fn figures(&self, scores: &[Vec<f32>], rule: &Rule) -> Figures {
        let labels = &self.tagger.model().header().labels;
        let clock = self.tagger.clock();
        let found: Vec<_> = scores.par_iter().map(|scores| rule.events(scores, labels.len())).collect();
        if self.goal == Goal::FrameF1 {
            return self.frame_figures(&found, background_of(rule));
        }
        let event = |event: &crate::decide::FrameEvent| Event {
            onset: clock.seconds(event.start as u64),
            offset: clock.seconds(event.end as u64),
            label: labels[event.label].clone(),
        };
        let estimated: EventLists = self
            .recordings
            .iter()
            .zip(&found)
            .map(|(recording, found)| (recording.name.clone(), found.iter().map(event).collect()))
            .collect();
        let by_label = |scores: &EventScores| Figures {
            overall: scores.overall.f_measure,
            labels: labels
                .iter()
                .map(|label| scores.class_wise.get(label).and_then(|s| s.f_measure))
                .collect(),
        };
        let within = |share_of_length| {
            let collar = Collar { seconds: self.collar, share_of_length };
            by_label(&event_based(&self.truth, &estimated, collar))
        };
        match self.goal {
            Goal::EventF1 => within(Some(SHARE_OF_LENGTH)),
            Goal::OnsetF1 => within(None),
            Goal::SegmentF1 => by_label(&segment_based(&self.truth, &estimated, 1.0)),
            Goal::LabelErrorRate => {
                let pairs = self.truth.iter().map(|(name, truth)| (names(truth), names(&estimated[name])));
                let distance: usize = pairs.map(|(truth, found)| edit_distance(&truth, &found)).sum();
                let length: usize = self.truth.values().map(Vec::len).sum();
                let overall = (length > 0).then(|| -(distance as f64) / length as f64);
                Figures { overall, labels: vec![None; labels.len()] }
            }
            Goal::FrameF1 => Figures { overall: None, labels: vec![] },
        }
    }

    fn frame_figures(&self, found: &[Vec<crate::decide::FrameEvent>], background: Option<usize>) -> Figures {
        let num_labels = self.num_labels();
        // Both, found, true.
        let mut counts = vec![[0usize; 3]; num_labels];
        for (recording, events) in self.recordings.iter().zip(found) {
            let said = held(events, recording.holds.len() / num_labels, num_labels, background);
            for (i, (&truth, &said)) in recording.holds.iter().zip(&said).enumerate() {
                let count = &mut counts[i % num_labels];
                count[0] += usize::from(truth && said);
                count[1] += usize::from(said);
                count[2] += usize::from(truth);
            }
        }
        let f1 = |[both, said, truth]: [usize; 3]| {
            (said + truth > 0).then(|| 2.0 * both as f64 / (said + truth) as f64)
        };
        let counted = counts.iter().enumerate().filter(|(k, _)| Some(*k) != background);
        let sum = counted.fold([0; 3], |sum, (_, c)| std::array::from_fn(|i| sum[i] + c[i]));
        Figures { overall: f1(sum), labels: counts.into_iter().map(f1).collect() }
    }

    fn search(&self, scores: &[Vec<f32>], rule: &Rule) -> Rule {
        let mut best = Best { known: self, scores, rule: rule.clone(), value: f64::NEG_INFINITY };
        best.try_one(rule.clone());
        for _ in 0..ROUNDS {
            match rule {
                Rule::Thresholds(_) => best.thresholds(),
                Rule::Onsets(_) => best.onsets(),
                Rule::Exclusive(_) => best.exclusive(),
            }
        }
        best.rule
    }

    /// How the labels of frames follow each other.
    fn transition(&self) -> Transition {
        let num_labels = self.num_labels();
        let first = |row: &[bool]| row.iter().position(|&holds| holds).unwrap_or(0);
        let sequences: Vec<Vec<usize>> =
            self.recordings.iter().map(|r| r.holds.chunks_exact(num_labels).map(first).collect()).collect();
        Transition::learn(sequences.iter().map(Vec::as_slice), num_labels)
    }
}

/// The best rule so far; of equally good ones the first.
struct Best<'a> {
    known: &'a Known<'a>,
    scores: &'a [Vec<f32>],
    rule: Rule,
    value: f64,
}

impl Best<'_> {
    fn try_one(&mut self, rule: Rule) {
        let value = self.known.figures(self.scores, &rule).overall.unwrap_or(0.0);
        if value > self.value {
            (self.rule, self.value) = (rule, value);
        }
    }

    /// Each label's best threshold, the others' do not matter to it.
    fn best_thresholds(&mut self, with: impl Fn(&Rule, Vec<f32>) -> Option<Rule>) {
        let num_labels = self.known.num_labels();
        // From the middle outward: of those that are nearly as good as the best the most moderate, as few recordings say
        // little of which is the very best.
        let candidates: Vec<f32> = (0..19)
            .map(|i| 0.5 + 0.05 * ((i + 1) / 2) as f32 * if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let mut values = Vec::new();
        for &threshold in &candidates {
            let Some(rule) = with(&self.rule, vec![threshold; num_labels]) else { return };
            values.push(self.known.figures(self.scores, &rule).labels);
        }
        let best = |label: usize| {
            let at = |values: &Vec<Option<f64>>| values[label].unwrap_or(0.0);
            let highest = values.iter().map(at).fold(0.0, f64::max);
            let near = values.iter().position(|values| at(values) >= highest - NEARLY_AS_GOOD);
            near.map_or(0.5, |i| candidates[i])
        };
        if let Some(rule) = with(&self.rule, (0..num_labels).map(best).collect()) {
            self.try_one(rule);
        }
    }

    fn thresholds(&mut self) {
        self.best_thresholds(|rule, high| match rule {
            Rule::Thresholds(rule) => Some(Rule::Thresholds(Thresholds { high, ..rule.clone() })),
            _ => None,
        });
        let mut change = |change: &dyn Fn(&mut Thresholds)| {
            if let Rule::Thresholds(mut rule) = self.rule.clone() {
                change(&mut rule);
                self.try_one(Rule::Thresholds(rule));
            }
        };
        [1.0, 0.8, 0.6, 0.4].iter().for_each(|&low| change(&|rule| rule.low = low));
        LENGTHS[..9].iter().for_each(|&half| change(&|rule| rule.median = 2 * half + 1));
        LENGTHS.iter().for_each(|&length| change(&|rule| rule.max_gap = length));
        LENGTHS[1..].iter().for_each(|&length| change(&|rule| rule.min_length = length));
    }

    fn onsets(&mut self) {
        self.best_thresholds(|rule, threshold| match rule {
            Rule::Onsets(rule) => Some(Rule::Onsets(Onsets { threshold, ..rule.clone() })),
            _ => None,
        });
        for distance in [1, 2, 3, 4, 5, 6, 8, 10] {
            if let Rule::Onsets(rule) = self.rule.clone() {
                self.try_one(Rule::Onsets(Onsets { distance, ..rule }));
            }
        }
    }

    fn exclusive(&mut self) {
        let learned = self.known.transition();
        let mut change = |change: &dyn Fn(&mut Exclusive)| {
            if let Rule::Exclusive(mut rule) = self.rule.clone() {
                change(&mut rule);
                rule.majority &= rule.background.is_some();
                self.try_one(Rule::Exclusive(rule));
            }
        };
        for weight in [0.1, 0.25, 0.5, 1.0, 2.0] {
            change(&|rule| rule.transition = Some(learned.weighted(weight)));
        }
        change(&|rule| rule.transition = None);
        [false, true].iter().for_each(|&majority| change(&|rule| rule.majority = majority));
        LENGTHS[1..9].iter().for_each(|&length| change(&|rule| rule.min_length = length));
    }
}

fn background_of(rule: &Rule) -> Option<usize> {
    match rule {
        Rule::Exclusive(rule) => rule.background,
        _ => None,
    }
}

impl TuneReport {
    /// For people.
    pub fn table(&self) -> String {
        let reliability = self.decisions.tuned.as_ref().map(|tuned| tuned.reliability.table());
        format!(
            "{} on {} recordings: {} before, {} now; temperature {:.3}\n\n{}",
            self.goal.name(),
            self.recordings,
            percent(self.before),
            percent(self.after),
            self.decisions.temperature,
            reliability.unwrap_or_default()
        )
    }
}
