//! Frame scores -> events.

use super::smooth::{median, top};

/// What holds from one frame to another.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEvent {
    /// Index of the label.
    pub label: usize,
    /// The first frame.
    pub start: usize,
    /// The frame behind the last.
    pub end: usize,
    /// Mean score over its frames, 0 to 1.
    pub score: f32,
    /// Highest score of a frame, 0 to 1.
    pub peak: f32,
}

/// How scores become events where several labels may hold at once. Lengths are in frames.
#[derive(Debug, Clone, PartialEq)]
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

impl Thresholds {
    /// The same threshold for each of `num_labels` labels, and nothing else.
    pub fn new(threshold: f32, num_labels: usize) -> Self {
        Self { high: vec![threshold; num_labels], low: 1.0, median: 1, max_gap: 0, min_length: 1 }
    }

    /// Events of all labels in `scores [T, K]`, by start, then by label.
    pub fn events(&self, scores: &[f32]) -> Vec<FrameEvent> {
        let num_labels = self.high.len();
        let mut events: Vec<FrameEvent> = (0..num_labels)
            .flat_map(|label| {
                let column: Vec<f32> = scores.iter().skip(label).step_by(num_labels).copied().collect();
                let smooth = median(&column, self.median);
                let runs = close_gaps(above(&smooth, self.high[label], self.low), self.max_gap);
                runs.into_iter()
                    .filter(|run| run.len() >= self.min_length)
                    .map(|run| event(label, run, &column))
                    .collect::<Vec<_>>()
            })
            .collect();
        events.sort_by_key(|event| (event.start, event.label));
        events
    }
}

/// How labels of frames become events where exactly one holds at a time. Lengths are in frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusive {
    /// The label that stands for no event.
    pub background: Option<usize>,
    /// What lies between two stretches of background has one label, the commonest of its frames: the clean-up of vak
    /// (Cohen et al. 2022).
    pub majority: bool,
    /// Shorter events become background, or part of what is before them.
    pub min_length: usize,
}

impl Exclusive {
    /// The labels of frames, cleaned up.
    pub fn clean(&self, labels: &[usize]) -> Vec<usize> {
        let mut labels = labels.to_vec();
        if self.min_length > 1 {
            for (label, run) in runs(&labels) {
                if Some(label) != self.background && run.len() < self.min_length {
                    let before = run.start.checked_sub(1).map(|t| labels[t]);
                    if let Some(other) = self.background.or(before) {
                        labels[run].fill(other);
                    }
                }
            }
        }
        if let (true, Some(background)) = (self.majority, self.background) {
            let segments: Vec<bool> = labels.iter().map(|&label| label != background).collect();
            for (is_segment, run) in runs(&segments) {
                if is_segment {
                    let commonest = top(&labels[run.clone()]);
                    labels[run].fill(commonest);
                }
            }
        }
        labels
    }

    /// Events of the cleaned `labels`, scored with `scores [T, K]`.
    pub fn events(&self, labels: &[usize], scores: &[f32]) -> Vec<FrameEvent> {
        let num_labels = scores.len() / labels.len().max(1);
        runs(labels)
            .into_iter()
            .filter(|(label, _)| Some(*label) != self.background)
            .map(|(label, run)| {
                let column: Vec<f32> = run.clone().map(|t| scores[t * num_labels + label]).collect();
                FrameEvent { start: run.start, end: run.end, ..event(label, 0..column.len(), &column) }
            })
            .collect()
    }
}

type Run = std::ops::Range<usize>;

fn event(label: usize, run: Run, scores: &[f32]) -> FrameEvent {
    let values = &scores[run.clone()];
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    FrameEvent {
        label,
        start: run.start,
        end: run.end,
        score: (sum / values.len() as f64) as f32,
        peak: values.iter().copied().fold(0.0, f32::max),
    }
}

/// Stretches of equal values.
fn runs<T: PartialEq + Copy>(values: &[T]) -> Vec<(T, Run)> {
    let mut start = 0;
    values
        .chunk_by(|a, b| a == b)
        .map(|chunk| {
            start += chunk.len();
            (chunk[0], start - chunk.len()..start)
        })
        .collect()
}

/// Stretches of at least `low · high` in which a value reaches `high`.
fn above(scores: &[f32], high: f32, low: f32) -> Vec<Run> {
    let over: Vec<bool> = scores.iter().map(|&score| score >= low * high).collect();
    let is_event = |run: &Run| scores[run.clone()].iter().any(|&score| score >= high);
    runs(&over).into_iter().filter(|(over, run)| *over && is_event(run)).map(|(_, run)| run).collect()
}

fn close_gaps(runs: Vec<Run>, max_gap: usize) -> Vec<Run> {
    let mut closed: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match closed.last_mut() {
            Some(last) if run.start - last.end < max_gap => last.end = run.end,
            _ => closed.push(run),
        }
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(events: &[FrameEvent]) -> Vec<(usize, usize, usize)> {
        events.iter().map(|event| (event.label, event.start, event.end)).collect()
    }

    #[test]
    fn an_event_lasts_while_its_score_is_high_enough() {
        // Two labels, six frames.
        let scores = [0.1, 0.9, 0.6, 0.9, 0.7, 0.2, 0.2, 0.1, 0.5, 0.5, 0.4, 0.8];
        let events = Thresholds::new(0.5, 2).events(&scores);
        assert_eq!(found(&events), [(1, 0, 2), (0, 1, 3), (0, 4, 5), (1, 4, 6)]);
        assert!((events[1].score - 0.65).abs() < 1e-6);
        assert_eq!(events[1].peak, 0.7);
        let each = Thresholds { high: vec![0.65, 0.85], ..Thresholds::new(0.0, 2) };
        assert_eq!(found(&each.events(&scores)), [(1, 0, 2), (0, 2, 3)]);
    }

    #[test]
    fn hysteresis_keeps_an_event_that_once_was_sure() {
        let scores = [0.3, 0.45, 0.6, 0.41, 0.2, 0.45, 0.3];
        let once = Thresholds { low: 0.8, ..Thresholds::new(0.5, 1) };
        assert_eq!(found(&once.events(&scores)), [(0, 1, 4)]);
    }

    #[test]
    fn short_gaps_are_closed_before_short_events_are_dropped() {
        let scores = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let base = Thresholds::new(0.5, 1);
        let closed = Thresholds { max_gap: 2, ..base.clone() };
        assert_eq!(found(&closed.events(&scores)), [(0, 0, 3), (0, 6, 7)]);
        let both = Thresholds { min_length: 2, ..closed };
        assert_eq!(found(&both.events(&scores)), [(0, 0, 3)]);
        assert!(Thresholds { min_length: 2, ..base.clone() }.events(&scores).is_empty());
        let smooth = Thresholds { median: 3, ..base };
        assert_eq!(found(&smooth.events(&scores)), [(0, 0, 2)]);
    }

    #[test]
    fn labels_that_exclude_each_other_are_cleaned_up() {
        let labels = [0, 1, 1, 2, 1, 0, 0, 2, 0];
        let plain = Exclusive { background: Some(0), majority: false, min_length: 1 };
        assert_eq!(plain.clean(&labels), labels);
        let majority = Exclusive { majority: true, ..plain.clone() };
        assert_eq!(majority.clean(&labels), [0, 1, 1, 1, 1, 0, 0, 2, 0]);
        let long = Exclusive { min_length: 2, ..plain.clone() };
        assert_eq!(long.clean(&labels), [0, 1, 1, 0, 0, 0, 0, 0, 0]);
        let always = Exclusive { background: None, min_length: 2, majority: false };
        assert_eq!(always.clean(&labels), [0, 1, 1, 1, 1, 0, 0, 0, 0]);

        let scores: Vec<f32> =
            labels.iter().flat_map(|&l| (0..3).map(move |k| if k == l { 0.8 } else { 0.1 })).collect();
        let events = plain.events(&labels, &scores);
        assert_eq!(found(&events), [(1, 1, 3), (2, 3, 4), (1, 4, 5), (2, 7, 8)]);
        assert!(events.iter().all(|event| (event.score - 0.8).abs() < 1e-6 && event.peak == 0.8));
        assert!(plain.events(&[], &[]).is_empty());
    }
}
