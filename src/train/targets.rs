//! What is to be learned of each frame.

use super::dataset::Span;
use super::{LabelsConfig, Unmarked};

/// Truth of the frames of a clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrameTargets {
    /// `[T, K]`: 1 where a label holds.
    pub values: Vec<f32>,
    /// `[T]`: 0 where nothing is known, else 1.
    pub weights: Vec<f32>,
}

impl FrameTargets {
    /// The last frame becomes the first.
    pub fn reverse(&mut self) {
        let num_labels = self.values.len() / self.weights.len().max(1);
        self.weights.reverse();
        self.values = self.values.chunks_exact(num_labels.max(1)).rev().flatten().copied().collect();
    }

    /// What held of label `k` holds of `becomes[k]`.
    pub fn rename(&mut self, becomes: &[usize]) {
        for row in self.values.chunks_exact_mut(becomes.len()) {
            let before = row.to_vec();
            becomes.iter().zip(before).for_each(|(&label, value)| row[label] = value);
        }
    }
}

/// Where a time of the recording lies in the frames of a clip, which may have been stretched and shifted:
/// `seconds · frames_per_second + shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimeMap {
    pub frames_per_second: f64,
    pub shift: f64,
}

impl TimeMap {
    fn frame(self, seconds: f64) -> f64 {
        seconds * self.frames_per_second + self.shift
    }
}

/// How labels in time become truths of frames.
#[derive(Debug, Clone)]
pub(super) struct Targeter {
    pub num_labels: usize,
    /// Index of the label that holds where no other does.
    pub background: Option<usize>,
    /// Whether nothing is known of frames without a label.
    unmarked_unknown: bool,
    onset_width: f64,
    separation: f64,
}

impl Targeter {
    pub fn new(config: &LabelsConfig, num_labels: usize, has_background: bool) -> Self {
        Self {
            num_labels,
            background: has_background.then_some(0),
            unmarked_unknown: config.gaps == Unmarked::LeaveOut,
            onset_width: config.onset_width,
            separation: config.separation,
        }
    }

    /// A label holds in the frames whose middle lies in it, and at least in the one in which it begins.
    pub fn targets(&self, spans: &[Span], frames: usize, map: TimeMap) -> FrameTargets {
        let mut values = vec![0f32; frames * self.num_labels];
        let mut marked = vec![false; frames];
        // First frame whose middle is not before this.
        let middle = |position: f64| (position - 0.5).ceil().clamp(0.0, frames as f64) as usize;
        for (i, span) in spans.iter().enumerate() {
            let is_onset = span.onset == span.offset;
            // A piece of a long recording has few of its labels.
            let reach = if is_onset { self.onset_width } else { 0.0 };
            if map.frame(span.offset + reach) < -1.0 || map.frame(span.onset - reach) > frames as f64 + 1.0 {
                continue;
            }
            let half = if is_onset { 0.5 * self.onset_width } else { 0.0 };
            let end = if is_onset { span.onset + half } else { self.shortened(span, &spans[i + 1..]) };
            let (mut first, mut last) = (middle(map.frame(span.onset - half)), middle(map.frame(end)));
            if first >= last {
                let at = map.frame(span.onset).floor();
                if !(0.0..frames as f64).contains(&at) {
                    continue;
                }
                (first, last) = (at as usize, at as usize + 1);
            }
            for t in first..last {
                values[t * self.num_labels + span.label] = 1.0;
                marked[t] = true;
            }
        }
        let weights = marked.iter().map(|&marked| f32::from(marked || !self.unmarked_unknown)).collect();
        if let Some(background) = self.background {
            for (row, marked) in values.chunks_exact_mut(self.num_labels).zip(&marked) {
                match marked {
                    false => row[background] = 1.0,
                    true => keep_first(row),
                }
            }
        }
        FrameTargets { values, weights }
    }

    /// The end of a segment, earlier where the next one of its label would follow at once.
    fn shortened(&self, span: &Span, later: &[Span]) -> f64 {
        let next =
            later.iter().find(|next| next.label == span.label).map_or(f64::INFINITY, |next| next.onset);
        span.offset.min(next - self.separation).max(span.onset)
    }
}

/// Exclusive labels may overlap by a rounding: one of them holds.
fn keep_first(row: &mut [f32]) {
    let first = row.iter().position(|&value| value > 0.0);
    row.iter_mut().enumerate().filter(|(k, _)| Some(*k) != first).for_each(|(_, value)| *value = 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(onset: f64, offset: f64, label: usize) -> Span {
        Span { onset, offset, label, line: 1 }
    }

    const PLAIN: TimeMap = TimeMap { frames_per_second: 100.0, shift: 0.0 };

    fn held(targets: &FrameTargets, label: usize, num_labels: usize) -> Vec<usize> {
        let column = targets.values.iter().skip(label).step_by(num_labels);
        column.enumerate().filter(|(_, value)| **value == 1.0).map(|(t, _)| t).collect()
    }

    #[test]
    fn a_label_holds_where_it_covers_the_middle_of_a_frame() {
        let targeter = Targeter::new(&LabelsConfig::default(), 2, false);
        let spans = [span(0.014, 0.036, 0), span(0.02, 0.021, 1), span(0.05, 9.0, 1)];
        let targets = targeter.targets(&spans, 8, PLAIN);
        assert_eq!(held(&targets, 0, 2), [1, 2, 3]);
        // Too short for a middle, and beyond the end.
        assert_eq!(held(&targets, 1, 2), [2, 5, 6, 7]);
        assert_eq!(targets.weights, [1.0; 8]);
    }

    #[test]
    fn targets_turn_about_in_time_and_change_their_names() {
        let mut targets =
            FrameTargets { values: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0], weights: vec![1.0, 0.0] };
        targets.reverse();
        assert_eq!(
            (&targets.values[..], &targets.weights[..]),
            (&[0., 1., 0., 1., 0., 0.][..], &[0., 1.][..])
        );
        targets.rename(&[1, 2, 0]);
        assert_eq!(targets.values, [0., 0., 1., 0., 1., 0.]);
    }

    #[test]
    fn onsets_hold_as_long_as_they_are_told_to() {
        let config = LabelsConfig { onset_width: 0.03, ..LabelsConfig::default() };
        let spans = [span(0.024, 0.024, 0), span(0.3, 0.3, 0)];
        assert_eq!(held(&Targeter::new(&config, 1, false).targets(&spans, 10, PLAIN), 0, 1), [1, 2, 3]);
        let one = Targeter::new(&LabelsConfig::default(), 1, false);
        assert_eq!(held(&one.targets(&spans, 10, PLAIN), 0, 1), [2]);
    }

    #[test]
    fn frames_without_a_label_are_background_or_unknown() {
        let exclusive = LabelsConfig { exclusive: true, ..LabelsConfig::default() };
        let targets =
            Targeter::new(&exclusive, 3, true).targets(&[span(0.0, 0.02, 1), span(0.019, 0.03, 2)], 5, PLAIN);
        assert_eq!(
            (held(&targets, 0, 3), held(&targets, 1, 3), held(&targets, 2, 3)),
            (vec![3, 4], vec![0, 1], vec![2])
        );
        let unknown = LabelsConfig { gaps: Unmarked::LeaveOut, ..LabelsConfig::default() };
        let targets = Targeter::new(&unknown, 1, false).targets(&[span(0.02, 0.04, 0)], 5, PLAIN);
        assert_eq!(targets.weights, [0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn segments_that_abut_are_separated() {
        let config = LabelsConfig { separation: 0.02, ..LabelsConfig::default() };
        let spans = [span(0.0, 0.05, 0), span(0.05, 0.1, 0), span(0.1, 0.12, 1)];
        let targets = Targeter::new(&config, 2, false).targets(&spans, 12, PLAIN);
        assert_eq!(held(&targets, 0, 2), [0, 1, 2, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn labels_move_with_a_recording_that_is_stretched_and_shifted() {
        let map = TimeMap { frames_per_second: 50.0, shift: 3.0 };
        let targets =
            Targeter::new(&LabelsConfig::default(), 1, false).targets(&[span(0.02, 0.06, 0)], 10, map);
        assert_eq!(held(&targets, 0, 1), [4, 5]);
    }
}
