//! Events of labels that may hold at once, each while its score is high.

use super::smooth::MedianStream;
use super::{FrameEvent, Run, Thresholds};

/// One label after the other, frame by frame.
pub(super) struct ThresholdStream {
    labels: Vec<LabelStream>,
}

impl ThresholdStream {
    pub fn new(rule: &Thresholds) -> Self {
        let label = |(label, &high)| LabelStream {
            label,
            high,
            low: rule.low * high,
            max_gap: rule.max_gap,
            min_length: rule.min_length,
            median: MedianStream::new(rule.median),
            frame: 0,
            waiting: None,
            gap: Run::default(),
            current: None,
        };
        Self { labels: rule.high.iter().enumerate().map(label).collect() }
    }

    pub fn push(&mut self, scores: &[f32], events: &mut Vec<FrameEvent>) {
        for (label, &score) in self.labels.iter_mut().zip(scores) {
            if let Some((smooth, score)) = label.median.push(score) {
                label.step(smooth, score, events);
            }
        }
    }

    pub fn finish(self, events: &mut Vec<FrameEvent>) {
        for mut label in self.labels {
            while let Some((smooth, score)) = label.median.finish() {
                label.step(smooth, score, events);
            }
            label.end_run(events);
            label.emit(events);
        }
    }
}

struct LabelStream {
    label: usize,
    high: f32,
    low: f32,
    max_gap: usize,
    min_length: usize,
    median: MedianStream,
    /// The next one.
    frame: usize,
    /// An event that may go on, if the gap behind it stays short.
    waiting: Option<Run>,
    /// What came since.
    gap: Run,
    /// Frames that are high enough, and whether one of them makes an event of them.
    current: Option<(Run, bool)>,
}

impl LabelStream {
    /// `smooth` decides, `score` is what the event is given.
    fn step(&mut self, smooth: f32, score: f32, events: &mut Vec<FrameEvent>) {
        let t = self.frame;
        self.frame += 1;
        if smooth >= self.low {
            let (run, sure) = self.current.get_or_insert_with(|| (Run::at(t), false));
            run.add(score);
            *sure |= smooth >= self.high;
        } else {
            self.end_run(events);
            self.gap.add(score);
        }
        // What begins too late to be joined ends the wait.
        let next = self.current.as_ref().map_or(t + 1, |(run, _)| run.start);
        if self.waiting.as_ref().is_some_and(|run| next - run.end >= self.max_gap) {
            self.emit(events);
        }
    }

    fn end_run(&mut self, events: &mut Vec<FrameEvent>) {
        let Some((run, sure)) = self.current.take() else { return };
        if !sure {
            self.gap.append(&run);
            return;
        }
        match &mut self.waiting {
            Some(waiting) if run.start - waiting.end < self.max_gap => {
                waiting.append(&self.gap);
                waiting.append(&run);
                waiting.end = run.end;
            }
            _ => {
                self.emit(events);
                self.waiting = Some(run);
            }
        }
        self.gap = Run::default();
    }

    fn emit(&mut self, events: &mut Vec<FrameEvent>) {
        if let Some(run) = self.waiting.take()
            && run.len() >= self.min_length
        {
            events.push(run.event(self.label));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    fn new(high: &[f32]) -> Thresholds {
        Thresholds { high: high.to_vec(), low: 1.0, median: 1, max_gap: 0, min_length: 1 }
    }

    fn events(rule: &Thresholds, scores: &[f32]) -> Vec<FrameEvent> {
        Rule::Thresholds(rule.clone()).events(scores, rule.high.len())
    }

    fn found(events: &[FrameEvent]) -> Vec<(usize, usize, usize)> {
        events.iter().map(|event| (event.label, event.start, event.end)).collect()
    }

    #[test]
    fn an_event_lasts_while_its_score_is_high_enough() {
        // Two labels, six frames.
        let scores = [0.1, 0.9, 0.6, 0.9, 0.7, 0.2, 0.2, 0.1, 0.5, 0.5, 0.4, 0.8];
        let all = events(&new(&[0.5, 0.5]), &scores);
        assert_eq!(found(&all), [(1, 0, 2), (0, 1, 3), (0, 4, 5), (1, 4, 6)]);
        assert!((all[1].score - 0.65).abs() < 1e-6);
        assert_eq!(all[1].peak, 0.7);
        assert_eq!(found(&events(&new(&[0.65, 0.85]), &scores)), [(1, 0, 2), (0, 2, 3)]);
    }

    #[test]
    fn hysteresis_keeps_an_event_that_once_was_sure() {
        let scores = [0.3, 0.45, 0.6, 0.41, 0.2, 0.45, 0.3];
        let once = Thresholds { low: 0.8, ..new(&[0.5]) };
        assert_eq!(found(&events(&once, &scores)), [(0, 1, 4)]);
    }

    #[test]
    fn short_gaps_are_closed_before_short_events_are_dropped() {
        let scores = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let closed = Thresholds { max_gap: 2, ..new(&[0.5]) };
        let joined = events(&closed, &scores);
        assert_eq!(found(&joined), [(0, 0, 3), (0, 6, 7)]);
        assert!((joined[0].score - 2.0 / 3.0).abs() < 1e-6, "the gap counts");
        let both = Thresholds { min_length: 2, ..closed };
        assert_eq!(found(&events(&both, &scores)), [(0, 0, 3)]);
        assert!(events(&Thresholds { min_length: 2, ..new(&[0.5]) }, &scores).is_empty());
        assert_eq!(found(&events(&Thresholds { median: 3, ..new(&[0.5]) }, &scores)), [(0, 0, 2)]);
    }

    #[test]
    fn a_stretch_that_is_never_sure_does_not_hold_up_a_gap() {
        // Low all through, sure at both ends: one event or two, as the gap allows.
        let scores = [0.9, 0.1, 0.5, 0.1, 0.9];
        for (max_gap, wanted) in [(3, vec![(0, 0, 1), (0, 4, 5)]), (4, vec![(0, 0, 5)])] {
            let rule = Thresholds { low: 0.5, max_gap, ..new(&[0.8]) };
            assert_eq!(found(&events(&rule, &scores)), wanted);
        }
    }
}
