//! Segments of fixed length in which each label is active or not.

use std::collections::BTreeMap;

use super::scores::{Counts, EventScores};
use super::{labels, pairs};
use crate::event::Event;
use crate::labels::EventLists;

/// As `sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution)`: a label is active in each segment of
/// `time_resolution` seconds that one of its events touches. Recordings last until the end of their last event.
///
/// It goes from change to change: time in which nothing changes costs nothing.
pub fn segment_based(reference: &EventLists, estimated: &EventLists, time_resolution: f64) -> EventScores {
    let mut overall = Counts::default();
    let labels = labels(reference, estimated);
    let mut class_wise: BTreeMap<String, Counts> =
        labels.into_iter().map(|label| (label, Counts::default())).collect();
    for (truth, found) in pairs(reference, estimated) {
        let mut changes = Vec::new();
        for (events, side) in [(truth, TRUTH), (found, FOUND)] {
            changes.extend(events.iter().flat_map(|event| Change::of(event, side, time_resolution)));
        }
        changes.sort_by_key(|change| change.segment);
        let mut labels: BTreeMap<&str, Label> = BTreeMap::new();
        // Labels that are active: true, found, both.
        let mut active = [0u64; 3];
        let mut segment = 0;
        for change in changes {
            let segments = change.segment - segment;
            segment = change.segment;
            let [truth, found, both] = active;
            overall.reference += segments * truth;
            overall.estimated += segments * found;
            overall.true_positives += segments * both;
            overall.substitutions += segments * (truth.min(found) - both);
            overall.deletions += segments * truth.saturating_sub(found);
            overall.insertions += segments * found.saturating_sub(truth);

            let label = labels.entry(change.label).or_default();
            let before = label.is_active();
            let counts = class_wise.entry(change.label.to_string()).or_default();
            let segments = segment - std::mem::replace(&mut label.since, segment);
            let [truth, found, both] = before.map(|is| if is { segments } else { 0 });
            counts.reference += truth;
            counts.estimated += found;
            counts.true_positives += both;
            counts.deletions += truth - both;
            counts.insertions += found - both;

            label.events[change.side] = label.events[change.side].wrapping_add_signed(change.by);
            for (active, (was, is)) in active.iter_mut().zip(before.into_iter().zip(label.is_active())) {
                *active = *active + u64::from(is) - u64::from(was);
            }
        }
    }
    EventScores::new(overall, class_wise)
}

const TRUTH: usize = 0;
const FOUND: usize = 1;

/// An event begins or ends.
struct Change<'a> {
    /// From here on.
    segment: u64,
    label: &'a str,
    /// [`TRUTH`] or [`FOUND`].
    side: usize,
    /// 1 or -1.
    by: isize,
}

impl<'a> Change<'a> {
    fn of(event: &'a Event, side: usize, time_resolution: f64) -> impl Iterator<Item = Self> {
        let start = (event.onset / time_resolution).floor() as u64;
        let end = (event.offset / time_resolution).ceil() as u64;
        let change = move |(segment, by)| Self { segment, label: &event.label, side, by };
        // An event without length at the border of two segments is in neither.
        [(start, 1), (end, -1)].into_iter().filter(move |_| start < end).map(change)
    }
}

/// A label on the way through a recording.
#[derive(Default)]
struct Label {
    /// Events at hand, true and found.
    events: [usize; 2],
    /// Segment of its last change.
    since: u64,
}

impl Label {
    /// True, found, both.
    fn is_active(&self) -> [bool; 3] {
        let [truth, found] = self.events.map(|events| events > 0);
        [truth, found, truth && found]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn it_is_what_counting_segment_by_segment_gives() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..300 {
            let mut lists = || -> EventLists {
                let mut event = || {
                    let onset = f64::from(rng.random_range(0..40u32)) / 8.0;
                    let offset = onset + f64::from(rng.random_range(0..24u32)) / 8.0;
                    let label = ["a", "b", "c"][rng.random_range(0..3)].to_string();
                    Event { onset, offset, label }
                };
                let mut events =
                    |name: &str, most| (name.to_string(), (0..most).map(|_| event()).collect::<Vec<_>>());
                EventLists::from([events("1", 6), events("2", 1), events("3", 0)])
            };
            let (reference, estimated) = (lists(), lists());
            for time_resolution in [1.0, 0.25, 0.3] {
                let found = segment_based(&reference, &estimated, time_resolution);
                assert_eq!(found, segment_by_segment(&reference, &estimated, time_resolution));
            }
        }
    }

    #[test]
    fn a_long_time_in_which_nothing_changes_costs_nothing() {
        let event = |k: usize| Event { onset: 0.0, offset: 1e6, label: k.to_string() };
        let lists = EventLists::from([(String::new(), (0..1000).map(event).collect())]);
        let overall = segment_based(&lists, &lists, 1e-6).overall;
        assert_eq!((overall.reference, overall.f_measure), (1_000_000_000_000_000, Some(1.0)));
    }

    /// The plain form.
    fn segment_by_segment(
        reference: &EventLists,
        estimated: &EventLists,
        time_resolution: f64,
    ) -> EventScores {
        let labels = labels(reference, estimated);
        let mut overall = Counts::default();
        let mut class_wise: BTreeMap<String, Counts> =
            labels.iter().map(|label| (label.clone(), Counts::default())).collect();
        for (truth, found) in pairs(reference, estimated) {
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
}
