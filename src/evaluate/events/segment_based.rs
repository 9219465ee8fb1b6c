//! Segments of fixed length in which each label is active or not.

use std::collections::BTreeMap;

use super::scores::{Counts, EventScores};
use crate::event::Event;
use crate::labels::EventLists;

/// As `sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution)`: a label is active in each segment of
/// `time_resolution` seconds that one of its events touches. Recordings last until the end of their last event.
pub fn segment_based(reference: &EventLists, estimated: &EventLists, time_resolution: f64) -> EventScores {
    let labels = super::labels(reference, estimated);
    let mut overall = Counts::default();
    let mut class_wise: BTreeMap<String, Counts> =
        labels.iter().map(|label| (label.clone(), Counts::default())).collect();
    for (truth, found) in super::pairs(reference, estimated) {
        let last = truth.iter().chain(found).map(|event| event.offset).fold(0.0, f64::max);
        let segments = (last / time_resolution).ceil() as usize;
        // Labels active in each segment: true, found, both.
        let mut active = vec![[0u64; 3]; segments];
        for (label, counts) in &mut class_wise {
            let truth = roll(truth, label, segments, time_resolution);
            let found = roll(found, label, segments, time_resolution);
            for ((truth, found), active) in truth.into_iter().zip(found).zip(&mut active) {
                let both = truth && found;
                for (count, is) in active.iter_mut().zip([truth, found, both]) {
                    *count += u64::from(is);
                }
                counts.reference += u64::from(truth);
                counts.estimated += u64::from(found);
                counts.true_positives += u64::from(both);
                counts.deletions += u64::from(truth && !found);
                counts.insertions += u64::from(found && !truth);
            }
        }
        for [truth, found, both] in active {
            overall.reference += truth;
            overall.estimated += found;
            overall.true_positives += both;
            overall.substitutions += truth.min(found) - both;
            overall.deletions += truth.saturating_sub(found);
            overall.insertions += found.saturating_sub(truth);
        }
    }
    EventScores::new(overall, class_wise)
}

/// In which segments a label is active.
fn roll(events: &[Event], label: &str, segments: usize, time_resolution: f64) -> Vec<bool> {
    let mut roll = vec![false; segments];
    for event in events.iter().filter(|event| event.label == label) {
        let first = (event.onset / time_resolution).floor() as usize;
        let end = (event.offset / time_resolution).ceil() as usize;
        // An event without length at the border of two segments is in neither.
        if first < end {
            roll[first..end.min(segments)].fill(true);
        }
    }
    roll
}
