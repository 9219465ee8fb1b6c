//! Labels of frames judged as stretches of equal labels, as action segmentation and the study of song do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Overlaps from which a stretch counts as found, for F1@10, 25 and 50.
const OVERLAPS: [f64; 3] = [0.1, 0.25, 0.5];

/// Figures as unrounded fractions; null where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segmentation {
    /// Frames with the right label, background too.
    pub frame_accuracy: Option<f64>,
    /// One less the edit distance of the labels' sequences over the length of the longer, the mean over recordings
    /// (Lea et al. 2016).
    pub edit_score: Option<f64>,
    /// F1 of stretches that overlap a true one of their label by at least 10, 25 and 50% of both together (Lea et al.
    /// 2017).
    pub f1_at_10: Option<f64>,
    pub f1_at_25: Option<f64>,
    pub f1_at_50: Option<f64>,
    /// Edit distance of the labels' sequences over the length of the true ones, of all recordings together: vak's segment
    /// error rate. May be over 1.
    pub segment_error_rate: Option<f64>,
}

/// Compares the true and the found label of each frame, of several recordings. `background` is no stretch.
///
/// # Panics
/// Where a recording's two lists differ in length.
pub fn segmentation<'a>(
    recordings: impl IntoIterator<Item = (&'a [usize], &'a [usize])>,
    background: Option<usize>,
) -> Segmentation {
    let (mut frames, mut right) = (0usize, 0usize);
    let mut sequences = Sequences::default();
    for (truth, found) in recordings {
        assert_eq!(truth.len(), found.len(), "a label for each frame on both sides");
        frames += truth.len();
        right += truth.iter().zip(found).filter(|(truth, found)| truth == found).count();
        sequences.add(&stretches(truth, background), &stretches(found, background));
    }
    let SequenceScores { edit_score, f1_at_10, f1_at_25, f1_at_50, error_rate } = sequences.scores();
    Segmentation {
        frame_accuracy: share(right as f64, frames),
        edit_score,
        f1_at_10,
        f1_at_25,
        f1_at_50,
        segment_error_rate: error_rate,
    }
}

/// One label from one time to another, in any unit.
pub(super) struct Stretch<L> {
    pub label: L,
    pub start: f64,
    pub end: f64,
}

/// Gathers what sequences of stretches are judged by, recording by recording.
#[derive(Default)]
pub(super) struct Sequences {
    edit_scores: Vec<f64>,
    distances: usize,
    length: usize,
    hits: [Hits; OVERLAPS.len()],
}

/// As [`Segmentation`] has them.
pub(super) struct SequenceScores {
    pub edit_score: Option<f64>,
    pub f1_at_10: Option<f64>,
    pub f1_at_25: Option<f64>,
    pub f1_at_50: Option<f64>,
    pub error_rate: Option<f64>,
}

impl Sequences {
    pub fn add<L: PartialEq>(&mut self, truth: &[Stretch<L>], found: &[Stretch<L>]) {
        let longer = truth.len().max(found.len());
        let truth_labels: Vec<&L> = truth.iter().map(|stretch| &stretch.label).collect();
        let found_labels: Vec<&L> = found.iter().map(|stretch| &stretch.label).collect();
        let distance = edit_distance(&truth_labels, &found_labels);
        if longer > 0 {
            self.edit_scores.push(1.0 - distance as f64 / longer as f64);
        }
        self.distances += distance;
        self.length += truth.len();
        for (hits, overlap) in self.hits.iter_mut().zip(OVERLAPS) {
            hits.add(truth, found, overlap);
        }
    }

    pub fn scores(self) -> SequenceScores {
        let [f1_at_10, f1_at_25, f1_at_50] = self.hits.map(Hits::f1);
        SequenceScores {
            edit_score: share(self.edit_scores.iter().sum(), self.edit_scores.len()),
            f1_at_10,
            f1_at_25,
            f1_at_50,
            error_rate: share(self.distances as f64, self.length),
        }
    }
}

fn share(part: f64, of: usize) -> Option<f64> {
    (of > 0).then(|| part / of as f64)
}

fn stretches(labels: &[usize], background: Option<usize>) -> Vec<Stretch<usize>> {
    let mut end = 0;
    let all = labels.chunk_by(|a, b| a == b).map(|chunk| {
        end += chunk.len();
        Stretch { label: chunk[0], start: (end - chunk.len()) as f64, end: end as f64 }
    });
    all.filter(|stretch| Some(stretch.label) != background).collect()
}

/// Of two sequences (Levenshtein 1966).
pub(super) fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, label) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(label != other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    right: usize,
    found: usize,
    truth: usize,
}

impl Hits {
    /// Each found stretch belongs to the true one of its label that it overlaps most; a true one is found once.
    fn add<L: PartialEq>(&mut self, truth: &[Stretch<L>], found: &[Stretch<L>], least: f64) {
        let mut taken = vec![false; truth.len()];
        for one in found {
            let mut best = (0, f64::NEG_INFINITY);
            for (i, other) in truth.iter().enumerate() {
                let both = one.end.min(other.end) - one.start.max(other.start);
                let either = one.end.max(other.end) - one.start.min(other.start);
                let overlap = if one.label == other.label { both / either } else { 0.0 };
                if overlap > best.1 {
                    best = (i, overlap);
                }
            }
            if best.1 >= least && !taken[best.0] {
                taken[best.0] = true;
                self.right += 1;
            }
        }
        self.found += found.len();
        self.truth += truth.len();
    }

    fn f1(self) -> Option<f64> {
        let all = self.found + self.truth;
        (all > 0).then(|| 2.0 * self.right as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_judged_by_their_order_and_their_overlap() {
        // Counted by hand; tests/events_golden.rs compares with MS-TCN's own script.
        let truth = [0, 1, 1, 1, 1, 2, 2, 2, 0, 0, 3, 3, 3, 3, 0];
        let found = [0, 0, 1, 1, 1, 1, 1, 2, 0, 0, 3, 1, 3, 3, 0];
        let result = segmentation([(&truth[..], &found[..])], Some(0));
        assert_eq!(result.frame_accuracy, Some(11.0 / 15.0));
        // 1 2 3 against 1 2 3 1 3
        assert_eq!(result.edit_score, Some(1.0 - 2.0 / 5.0));
        assert_eq!(result.segment_error_rate, Some(2.0 / 3.0));
        assert_eq!(result.f1_at_10, Some(6.0 / 8.0));
        assert_eq!(result.f1_at_25, Some(6.0 / 8.0));
        assert_eq!(result.f1_at_50, Some(4.0 / 8.0));
    }
}
