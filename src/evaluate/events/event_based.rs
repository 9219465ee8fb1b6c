//! Whole events, with a tolerance at their ends.

use std::collections::{BTreeMap, BTreeSet};

use super::matching::matching;
use super::scores::{Counts, EventScores};
use crate::event::Event;
use crate::labels::EventLists;

/// How far a found event may be from a true one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Collar {
    /// Seconds between the onsets, and between the offsets.
    pub seconds: f64,
    /// Between the offsets also this share of the true event's length; `None`: offsets do not count.
    pub share_of_length: Option<f64>,
}

impl Collar {
    fn allows(&self, truth: &Event, found: &Event) -> bool {
        let onset = (truth.onset - found.onset).abs() <= self.seconds;
        let offset = self.share_of_length.is_none_or(|share| {
            (truth.offset - found.offset).abs() <= self.seconds.max(share * truth.duration())
        });
        onset && offset
    }
}

/// As `sed_eval.sound_event.EventBasedMetrics(labels, event_matching_type="optimal")`: of all ways to pair found and true
/// events of one label within the collar one with the most pairs.
pub fn event_based(reference: &EventLists, estimated: &EventLists, collar: Collar) -> EventScores {
    let labels = super::labels(reference, estimated);
    let mut overall = Counts::default();
    let mut class_wise: BTreeMap<String, Counts> = BTreeMap::new();
    for (truth, found) in super::pairs(reference, estimated) {
        let (mut truth_left, mut found_left) = (vec![true; truth.len()], vec![true; found.len()]);
        for label in &labels {
            let (true_ones, found_ones) = (of_label(truth, label), of_label(found, label));
            let pairs = pairs_of(truth, &true_ones, found, &found_ones, collar);
            for &(t, f) in &pairs {
                truth_left[t] = false;
                found_left[f] = false;
            }
            let counts = class_wise.entry(label.clone()).or_default();
            counts.reference += true_ones.len() as u64;
            counts.estimated += found_ones.len() as u64;
            counts.true_positives += pairs.len() as u64;
            counts.deletions += (true_ones.len() - pairs.len()) as u64;
            counts.insertions += (found_ones.len() - pairs.len()) as u64;
            overall.true_positives += pairs.len() as u64;
        }
        overall.reference += truth.len() as u64;
        overall.estimated += found.len() as u64;
        // What is left on both sides at the same time was found under another label.
        for truth in truth.iter().zip(&truth_left).filter(|(_, left)| **left).map(|(event, _)| event) {
            let other = (0..found.len()).find(|&f| found_left[f] && collar.allows(truth, &found[f]));
            if let Some(f) = other {
                found_left[f] = false;
                overall.substitutions += 1;
            }
        }
    }
    overall.deletions = overall.reference - overall.true_positives - overall.substitutions;
    overall.insertions = overall.estimated - overall.true_positives - overall.substitutions;
    EventScores::new(overall, class_wise)
}

/// The pairs of true and found events of one recording that [`event_based`] counts as right, `(truth, found)`.
pub fn matched(truth: &[Event], found: &[Event], collar: Collar) -> Vec<(usize, usize)> {
    let labels: BTreeSet<&str> = truth.iter().map(|event| event.label.as_str()).collect();
    let pairs = |label| pairs_of(truth, &of_label(truth, label), found, &of_label(found, label), collar);
    labels.into_iter().flat_map(pairs).collect()
}

/// Places of the events of a label.
fn of_label(events: &[Event], label: &str) -> Vec<usize> {
    (0..events.len()).filter(|&i| events[i].label == label).collect()
}

/// Of the events at these places, which all have one label.
fn pairs_of(
    truth: &[Event],
    true_ones: &[usize],
    found: &[Event],
    found_ones: &[usize],
    collar: Collar,
) -> Vec<(usize, usize)> {
    let fits = |t: usize, f: usize| collar.allows(&truth[true_ones[t]], &found[found_ones[f]]);
    let pairs = matching(true_ones.len(), found_ones.len(), fits);
    pairs.into_iter().map(|(t, f)| (true_ones[t], found_ones[f])).collect()
}
