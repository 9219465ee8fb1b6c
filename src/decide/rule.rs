//! How frame scores become events: the part of a tagging model that comes behind its network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibration::Reliability;
use super::exclusive::ExclusiveStream;
use super::onsets::OnsetStream;
use super::thresholds::ThresholdStream;
use super::{FrameEvent, Transition};
use crate::{Error, ErrorKind, Result};

/// Longest stretch of frames that a rule may look at, so that a file cannot exhaust memory.
pub const MAX_LENGTH: usize = 1_000_000;

/// How the logits of frames become scores, and scores events. Lengths are in frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// Logits are divided by it before they become scores, so that 0.9 is right nine times in ten (Guo et al. 2017).
    pub temperature: f32,
    pub rule: Rule,
    /// How both were found, if `percept tune` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
}

/// What the settings reach on the recordings that they were chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// What was to be as good as possible.
    pub goal: String,
    /// What it reached there.
    pub value: f64,
    /// Seconds that an onset or offset might be off.
    pub collar: f64,
    pub recordings: usize,
    /// How often scores were right there.
    pub reliability: Reliability,
}

/// One way to make events of scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Rule {
    /// Several labels may hold at once, each as long as its score is high.
    Thresholds(Thresholds),
    /// Labels of which only the onset counts: the peaks of their scores.
    Onsets(Onsets),
    /// Exactly one label holds at a time.
    Exclusive(Exclusive),
}

/// How scores become events where several labels may hold at once. Lengths are in frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// For each label: an event has a frame of at least this score, 0 to 1.
    pub high: Vec<f32>,
    /// And goes on, to either side, while the score is at least this share of the threshold, 0 to 1 (1: no hysteresis).
    pub low: f32,
    /// Scores are smoothed by the median of so many frames, an odd number; 1 leaves them.
    pub median: usize,
    /// Events with fewer frames between them are one.
    pub max_gap: usize,
    /// Shorter events are dropped, after gaps are closed.
    pub min_length: usize,
}

/// How scores become onsets: peak picking (Böck et al. 2012).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Onsets {
    /// For each label: a peak has at least this score, 0 to 1.
    pub threshold: Vec<f32>,
    /// A peak is the highest score among so many frames to either side.
    pub distance: usize,
}

/// How labels of frames become events where exactly one holds at a time. Lengths are in frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusive {
    /// Index of the label that stands for no event.
    pub background: Option<usize>,
    /// What lies between two stretches of background has one label, the commonest of its frames: the clean-up of vak
    /// (Cohen et al. 2022).
    pub majority: bool,
    /// Shorter events become background, or part of what is before them. Before `majority`.
    pub min_length: usize,
    /// The labels are those of the likeliest sequence (Viterbi 1967); without, each frame's likeliest.
    pub transition: Option<Transition>,
}

impl Rule {
    /// Checks what comes from a file against the labels of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Model`], naming what is wrong.
    pub fn check(&self, num_labels: usize) -> Result<()> {
        let check = |ok: bool, what: &str| match ok {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Model, format!("its rule for events is damaged: {what}"))),
        };
        let scores = |scores: &[f32]| scores.len() == num_labels && scores.iter().all(|s| s.is_finite());
        match self {
            Self::Thresholds(rule) => {
                check(scores(&rule.high), "a finite threshold is due for each label")?;
                check((0.0..=1.0).contains(&rule.low), "`low` must be 0 to 1")?;
                check(rule.median % 2 == 1 && rule.median <= MAX_LENGTH, "`median` must be odd")?;
                check(rule.max_gap.max(rule.min_length) <= MAX_LENGTH, "a length is too large")
            }
            Self::Onsets(rule) => {
                check(scores(&rule.threshold), "a finite threshold is due for each label")?;
                check(rule.distance <= MAX_LENGTH, "`distance` is too large")
            }
            Self::Exclusive(rule) => {
                check(rule.background.is_none_or(|b| b < num_labels), "`background` is no label")?;
                check(rule.min_length <= MAX_LENGTH, "`min_length` is too large")?;
                check(!rule.majority || rule.background.is_some(), "`majority` needs a background")?;
                check(
                    rule.transition.as_ref().is_none_or(|t| t.fits(num_labels)),
                    "`transition` does not fit",
                )
            }
        }
    }

    /// Events of `scores [T, K]`, by start, then by label.
    pub fn events(&self, scores: &[f32], num_labels: usize) -> Vec<FrameEvent> {
        let mut events = Vec::new();
        let mut stream = EventStream::new(self, num_labels);
        stream.push(scores, &mut events);
        stream.finish(&mut events);
        events.sort_by_key(|event| (event.start, event.label));
        events
    }
}

/// Makes events of scores as they come; whatever the pieces, they are those of the whole.
pub struct EventStream {
    num_labels: usize,
    kind: Kind,
}

enum Kind {
    Thresholds(ThresholdStream),
    Onsets(OnsetStream),
    Exclusive(Box<ExclusiveStream>),
}

impl EventStream {
    pub fn new(rule: &Rule, num_labels: usize) -> Self {
        let kind = match rule {
            Rule::Thresholds(rule) => Kind::Thresholds(ThresholdStream::new(rule)),
            Rule::Onsets(rule) => Kind::Onsets(OnsetStream::new(rule)),
            Rule::Exclusive(rule) => Kind::Exclusive(Box::new(ExclusiveStream::new(rule, num_labels))),
        };
        Self { num_labels, kind }
    }

    /// Takes the scores `[T, K]` of the next frames and appends the events that are now over.
    pub fn push(&mut self, scores: &[f32], events: &mut Vec<FrameEvent>) {
        for frame in scores.chunks_exact(self.num_labels) {
            match &mut self.kind {
                Kind::Thresholds(stream) => stream.push(frame, events),
                Kind::Onsets(stream) => stream.push(frame, events),
                Kind::Exclusive(stream) => stream.push(frame, events),
            }
        }
    }

    /// There are no more frames: appends the events that were still going on.
    pub fn finish(self, events: &mut Vec<FrameEvent>) {
        match self.kind {
            Kind::Thresholds(stream) => stream.finish(events),
            Kind::Onsets(stream) => stream.finish(events),
            Kind::Exclusive(stream) => stream.finish(events),
        }
    }
}
