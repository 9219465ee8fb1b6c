//! Two event lists compared in every way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Collar, EventScores, event_based, segment_based};
use crate::TOOL;
use crate::evaluate::segmentation::edit_distance;
use crate::event::Event;
use crate::labels::EventLists;

/// What `percept evaluate --reference --estimated` prints as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsReport {
    /// Version of this format: 1.
    #[schemars(extend("const" = crate::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// Found events beside true ones, in every way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Recordings that either list names.
    pub files: usize,
    /// Seconds that an onset or offset may be off.
    pub collar: f64,
    /// An offset may also be off by this share of the event's length.
    pub percentage_of_length: f64,
    /// Length of a segment, in seconds.
    pub time_resolution: f64,
    /// As sed_eval's `SegmentBasedMetrics`.
    pub segment_based: EventScores,
    /// As sed_eval's `EventBasedMetrics`, with optimal matching.
    pub event_based: EventScores,
    /// The same, where only onsets count.
    pub onset_based: EventScores,
    /// Edit distance of the sequences of labels over the length of the true ones, of all recordings together; null where
    /// nothing is true, or events of a recording overlap.
    pub label_error_rate: Option<f64>,
}

/// Compares two event lists: segments of 1 s, onsets within `collar` seconds, offsets within that or 20% of the length.
pub fn compare(reference: &EventLists, estimated: &EventLists, collar: f64) -> Comparison {
    const SHARE_OF_LENGTH: f64 = 0.2;
    const TIME_RESOLUTION: f64 = 1.0;
    let by = |share_of_length| event_based(reference, estimated, Collar { seconds: collar, share_of_length });
    Comparison {
        files: super::pairs(reference, estimated).count(),
        collar,
        percentage_of_length: SHARE_OF_LENGTH,
        time_resolution: TIME_RESOLUTION,
        segment_based: segment_based(reference, estimated, TIME_RESOLUTION),
        event_based: by(Some(SHARE_OF_LENGTH)),
        onset_based: by(None),
        label_error_rate: label_error_rate(reference, estimated),
    }
}

fn label_error_rate(reference: &EventLists, estimated: &EventLists) -> Option<f64> {
    let (mut distance, mut length) = (0, 0);
    for (truth, found) in super::pairs(reference, estimated) {
        let (truth, found) = (sequence(truth)?, sequence(found)?);
        distance += edit_distance(&truth, &found);
        length += truth.len();
    }
    (length > 0).then(|| distance as f64 / length as f64)
}

/// Labels by onset; `None` where two hold at once.
fn sequence(events: &[Event]) -> Option<Vec<&str>> {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    let overlap = events.windows(2).any(|p| p[1].onset < p[0].offset || p[1].onset == p[0].onset);
    (!overlap).then(|| events.iter().map(|event| event.label.as_str()).collect())
}

impl EventsReport {
    pub fn new(comparison: Comparison) -> Self {
        Self { schema_version: crate::SCHEMA_VERSION, tool: TOOL.to_string(), comparison }
    }
}

impl Comparison {
    /// For people.
    pub fn table(&self) -> String {
        let ways = [
            (format!("segments of {} s", self.time_resolution), &self.segment_based),
            (format!("events, {} s", self.collar), &self.event_based),
            (format!("onsets, {} s", self.collar), &self.onset_based),
        ];
        let figure = |value: Option<f64>| value.map_or("-".into(), |v| format!("{:.1} %", 100.0 * v));
        let mut table = format!(
            "{:<18} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
            "", "F1", "precision", "recall", "error rate", "macro F1", "reference"
        );
        for (name, scores) in ways {
            let overall = &scores.overall;
            table += &format!(
                "{name:<18} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
                figure(overall.f_measure),
                figure(overall.precision),
                figure(overall.recall),
                overall.error_rate.map_or("-".into(), |rate| format!("{rate:.3}")),
                figure(scores.class_wise_average.f_measure),
                overall.reference
            );
        }
        if let Some(rate) = self.label_error_rate {
            table += &format!("label error rate {}\n", figure(Some(rate)));
        }
        table
    }
}
