//! Two event lists compared in every way.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Collar, EventScores, PsdsParameters, check_near_pairs, event_based, psds, segment_based};
use crate::evaluate::segmentation::{SequenceScores, Sequences, Stretch};
use crate::event::Event;
use crate::labels::EventLists;
use crate::output::percent::percent;
use crate::{Error, ErrorKind, Result, TOOL};

/// An offset may also be off by this share of an event's length.
pub const SHARE_OF_LENGTH: f64 = 0.2;

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
    /// Edit distance of the sequences of labels over the length of the true ones, of all recordings together; null, as the
    /// next four, where nothing is true or events of a recording overlap.
    pub label_error_rate: Option<f64>,
    /// One less the edit distance over the length of the longer sequence, the mean over recordings (Lea et al. 2016).
    pub edit_score: Option<f64>,
    /// F1 of events that overlap a true one of their label by at least 10, 25 and 50% of both together (Lea et al. 2017).
    pub f1_at_10: Option<f64>,
    pub f1_at_25: Option<f64>,
    pub f1_at_50: Option<f64>,
    /// Polyphonic sound detection scores: over 50 thresholds for a model, of the one list for lists. Null where the lengths
    /// of the recordings are not known, or labels are exclusive.
    pub psds: Option<Psds>,
}

/// Polyphonic sound detection scores (Bilen et al. 2020), 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Psds {
    /// DCASE's first scenario: events must be found where they are.
    pub scenario_1: f64,
    /// Its second: labels must not be mistaken for each other.
    pub scenario_2: f64,
}

impl Psds {
    /// Of what is found at several thresholds; `durations` are the recordings' lengths in seconds.
    ///
    /// # Errors
    /// Those of [`psds`].
    pub fn of(
        reference: &EventLists,
        durations: &BTreeMap<String, f64>,
        operating_points: &[EventLists],
    ) -> Result<Self> {
        let score = |parameters| psds(reference, durations, operating_points, parameters);
        Ok(Self {
            scenario_1: score(&PsdsParameters::SCENARIO_1)?,
            scenario_2: score(&PsdsParameters::SCENARIO_2)?,
        })
    }
}

/// Most pairs of a true and a found event, of all recordings together: sequences of labels are compared pair by pair.
pub const MAX_PAIRS: u64 = 10_000_000_000;

/// Compares two event lists: segments of 1 s, onsets within `collar` seconds, offsets within that or 20% of the length.
///
/// # Errors
/// [`ErrorKind::Limit`] for more than [`MAX_PAIRS`], and those of [`check_near_pairs`].
pub fn compare(reference: &EventLists, estimated: &EventLists, collar: f64) -> Result<Comparison> {
    const TIME_RESOLUTION: f64 = 1.0;
    for (truth, found) in super::pairs(reference, estimated) {
        check_near_pairs(truth, found, collar)?;
    }
    let by = |share_of_length| event_based(reference, estimated, Collar { seconds: collar, share_of_length });
    let sequences = sequence_scores(reference, estimated)?;
    let figure = |figure: fn(&SequenceScores) -> Option<f64>| sequences.as_ref().and_then(figure);
    Ok(Comparison {
        files: super::pairs(reference, estimated).count(),
        collar,
        percentage_of_length: SHARE_OF_LENGTH,
        time_resolution: TIME_RESOLUTION,
        segment_based: segment_based(reference, estimated, TIME_RESOLUTION),
        event_based: by(Some(SHARE_OF_LENGTH)),
        onset_based: by(None),
        label_error_rate: figure(|s| s.error_rate),
        edit_score: figure(|s| s.edit_score),
        f1_at_10: figure(|s| s.f1_at_10),
        f1_at_25: figure(|s| s.f1_at_25),
        f1_at_50: figure(|s| s.f1_at_50),
        psds: None,
    })
}

/// `None` where two events of a recording hold at once.
fn sequence_scores(reference: &EventLists, estimated: &EventLists) -> Result<Option<SequenceScores>> {
    let both =
        super::pairs(reference, estimated).map(|(truth, found)| Some((sequence(truth)?, sequence(found)?)));
    let Some(both) = both.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let pairs: u64 = both
        .iter()
        .map(|(truth, found)| truth.len() as u64 * found.len() as u64)
        .fold(0, u64::saturating_add);
    if pairs > MAX_PAIRS {
        let message = format!(
            "the lists have {pairs} pairs of a true and a found event of one recording; at most {MAX_PAIRS} are compared: cut \
             the recordings into parts"
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let mut sequences = Sequences::default();
    both.iter().for_each(|(truth, found)| sequences.add(truth, found));
    Ok(Some(sequences.scores()))
}

fn sequence(events: &[Event]) -> Option<Vec<Stretch<&str>>> {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    let overlap = events.windows(2).any(|p| p[1].onset < p[0].offset || p[1].onset == p[0].onset);
    let all = events.iter().map(|e| Stretch { label: e.label.as_str(), start: e.onset, end: e.offset });
    (!overlap).then(|| all.collect())
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
        let mut table = format!(
            "{:<18} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
            "", "F1", "precision", "recall", "error rate", "macro F1", "reference"
        );
        for (name, scores) in ways {
            let overall = &scores.overall;
            table += &format!(
                "{name:<18} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
                percent(overall.f_measure),
                percent(overall.precision),
                percent(overall.recall),
                overall.error_rate.map_or("-".into(), |rate| format!("{rate:.3}")),
                percent(scores.class_wise_average.f_measure),
                overall.reference
            );
        }
        if let Some(rate) = self.label_error_rate {
            table += &format!(
                "label error rate {}, edit score {}, F1@10/25/50 {} / {} / {}\n",
                percent(rate),
                percent(self.edit_score),
                percent(self.f1_at_10),
                percent(self.f1_at_25),
                percent(self.f1_at_50)
            );
        }
        if let Some(psds) = &self.psds {
            let Psds { scenario_1, scenario_2 } = psds;
            table += &format!("PSDS {scenario_1:.3} and {scenario_2:.3} (DCASE's scenarios 1 and 2)\n");
        }
        table
    }
}
