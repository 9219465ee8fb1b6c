//! Whole events, with a tolerance at their ends.

use std::collections::BTreeMap;

use super::matching::matching;
use super::scores::{Counts, EventScores};
use crate::event::Event;
use crate::labels::EventLists;
use crate::{Error, ErrorKind, Result};

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

/// Most pairs of a true and a found event of a recording that begin within the collar of each other. Each takes memory while
/// they are matched.
pub const MAX_NEAR_PAIRS: usize = 20_000_000;

/// # Errors
/// [`ErrorKind::Limit`] for more than [`MAX_NEAR_PAIRS`].
pub fn check_near_pairs(truth: &[Event], found: &[Event], collar: f64) -> Result<()> {
    let found = ByOnset::new(found.iter().collect());
    let near = truth.iter().map(|truth| found.near(truth, collar).len());
    if near.sum::<usize>() <= MAX_NEAR_PAIRS {
        return Ok(());
    }
    let message = format!(
        "too much begins at the same time to be compared: more than {MAX_NEAR_PAIRS} pairs of a true and a found event of a \
         recording are within {collar} s of each other; choose a smaller collar, or correct the lists"
    );
    Err(Error::new(ErrorKind::Limit, message))
}

/// As `sed_eval.sound_event.EventBasedMetrics(labels, event_matching_type="optimal")`: of all ways to pair found and true
/// events of one label within the collar one with the most pairs.
pub fn event_based(reference: &EventLists, estimated: &EventLists, collar: Collar) -> EventScores {
    let mut overall = Counts::default();
    let labels = super::labels(reference, estimated);
    let mut class_wise: BTreeMap<String, Counts> =
        labels.into_iter().map(|label| (label, Counts::default())).collect();
    for (truth, found) in super::pairs(reference, estimated) {
        let (mut truth_left, mut found_left) = (vec![true; truth.len()], vec![true; found.len()]);
        let (true_ones, found_ones) = (by_label(truth), by_label(found));
        for (label, places) in &true_ones {
            class_wise.entry(label.to_string()).or_default().reference += places.len() as u64;
        }
        for (label, places) in &found_ones {
            class_wise.entry(label.to_string()).or_default().estimated += places.len() as u64;
        }
        for (t, f) in matched(truth, found, collar) {
            truth_left[t] = false;
            found_left[f] = false;
            class_wise.entry(truth[t].label.clone()).or_default().true_positives += 1;
            overall.true_positives += 1;
        }
        overall.reference += truth.len() as u64;
        overall.estimated += found.len() as u64;
        // What is left on both sides at the same time was found under another label.
        let by_onset = ByOnset::new(found.iter().collect());
        for truth in truth.iter().zip(&truth_left).filter(|(_, left)| **left).map(|(event, _)| event) {
            if let Some(f) = by_onset.allowed(truth, collar).into_iter().find(|&f| found_left[f]) {
                found_left[f] = false;
                overall.substitutions += 1;
            }
        }
    }
    for counts in class_wise.values_mut() {
        counts.deletions = counts.reference - counts.true_positives;
        counts.insertions = counts.estimated - counts.true_positives;
    }
    overall.deletions = overall.reference - overall.true_positives - overall.substitutions;
    overall.insertions = overall.estimated - overall.true_positives - overall.substitutions;
    EventScores::new(overall, class_wise)
}

/// The pairs of true and found events of one recording that [`event_based`] counts as right, `(truth, found)`.
pub fn matched(truth: &[Event], found: &[Event], collar: Collar) -> Vec<(usize, usize)> {
    let mut found_ones = by_label(found);
    let mut all = Vec::new();
    for (label, true_ones) in by_label(truth) {
        let found_ones = found_ones.remove(label).unwrap_or_default();
        let by_onset = ByOnset::new(found_ones.iter().map(|&f| &found[f]).collect());
        let fitting = |t: usize| by_onset.allowed(&truth[true_ones[t]], collar);
        let pairs = matching(true_ones.len(), found_ones.len(), fitting);
        all.extend(pairs.into_iter().map(|(t, f)| (true_ones[t], found_ones[f])));
    }
    all
}

/// Places of the events of each label.
fn by_label(events: &[Event]) -> BTreeMap<&str, Vec<usize>> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        places.entry(&event.label).or_default().push(place);
    }
    places
}

/// Found events, to be looked up by their onsets.
struct ByOnset<'a> {
    events: Vec<&'a Event>,
    /// Their places, in the order of their onsets.
    order: Vec<usize>,
}

impl<'a> ByOnset<'a> {
    fn new(events: Vec<&'a Event>) -> Self {
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by(|&a, &b| events[a].onset.total_cmp(&events[b].onset));
        Self { events, order }
    }

    /// Places of those that begin within `seconds` of another, and perhaps a rounding beyond.
    fn near(&self, truth: &Event, seconds: f64) -> &[usize] {
        let seconds = seconds + 1e-9 * (1.0 + truth.onset.abs());
        let onset = |place: &usize| self.events[*place].onset;
        let start = self.order.partition_point(|place| onset(place) < truth.onset - seconds);
        let length = self.order[start..].partition_point(|place| onset(place) <= truth.onset + seconds);
        &self.order[start..][..length]
    }

    /// Places of those that the collar allows, in their order.
    fn allowed(&self, truth: &Event, collar: Collar) -> Vec<usize> {
        let near = self.near(truth, collar.seconds).iter().copied();
        let mut places: Vec<usize> = near.filter(|&place| collar.allows(truth, self.events[place])).collect();
        places.sort_unstable();
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, label: impl Fn(usize) -> String, onset: impl Fn(usize) -> f64) -> Vec<Event> {
        (0..count).map(|i| Event { onset: onset(i), offset: onset(i) + 0.5, label: label(i) }).collect()
    }

    #[test]
    fn very_many_events_and_labels_take_no_time_where_few_are_near_each_other() {
        let count = 100_000;
        let list = events(count, |i| i.to_string(), |i| i as f64);
        let one_label = events(count, |_| "a".into(), |i| i as f64);
        let collar = Collar { seconds: 0.2, share_of_length: Some(0.2) };
        for (truth, found) in [(&list, &list), (&one_label, &one_label), (&one_label, &list)] {
            check_near_pairs(truth, found, 0.2).unwrap();
            let name = |events: &Vec<Event>| EventLists::from([(String::new(), events.clone())]);
            let overall = event_based(&name(truth), &name(found), collar).overall;
            assert_eq!(overall.reference, count as u64);
        }
    }

    #[test]
    fn too_many_at_the_same_time_are_refused() {
        let list = events(5000, |_| "a".into(), |_| 1.0);
        assert_eq!(check_near_pairs(&list, &list, 0.0).unwrap_err().kind, ErrorKind::Limit);
        assert!(check_near_pairs(&list[..4000], &list, 0.2).is_ok());
        assert!(check_near_pairs(&list, &events(5000, |_| "a".into(), |_| 1.3), 0.2).is_ok());
    }
}
