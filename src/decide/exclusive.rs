//! Events of labels of which exactly one holds at a time.

use super::viterbi::Viterbi;
use super::{Exclusive, FrameEvent, Run};

/// Frame by frame: the label of each, then the clean-up, then events.
pub(super) struct ExclusiveStream {
    path: Option<Viterbi>,
    cleaner: Cleaner,
}

impl ExclusiveStream {
    pub fn new(rule: &Exclusive, num_labels: usize) -> Self {
        let path = rule.transition.as_ref().map(Viterbi::new);
        Self { path, cleaner: Cleaner::new(rule, num_labels) }
    }

    pub fn push(&mut self, scores: &[f32], events: &mut Vec<FrameEvent>) {
        match &mut self.path {
            None => self.cleaner.step(highest(scores), scores, events),
            Some(path) => path.push(scores, &mut |label, scores| self.cleaner.step(label, scores, events)),
        }
    }

    pub fn finish(mut self, events: &mut Vec<FrameEvent>) {
        if let Some(path) = self.path {
            path.finish(&mut |label, scores| self.cleaner.step(label, scores, events));
        }
        self.cleaner.finish(events);
    }
}

/// The label with the highest score, the first of several.
fn highest(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best })
}

/// A stretch of frames, with the scores of every label: it is not yet known which one it will have.
struct Stretch {
    /// Frames of each label.
    counts: Vec<usize>,
    /// Of each label's score.
    runs: Vec<Run>,
}

impl Stretch {
    fn at(start: usize, num_labels: usize) -> Self {
        Self { counts: vec![0; num_labels], runs: vec![Run::at(start); num_labels] }
    }

    fn add(&mut self, label: usize, scores: &[f32]) {
        self.counts[label] += 1;
        self.runs.iter_mut().zip(scores).for_each(|(run, &score)| run.add(score));
    }

    fn append(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.runs.iter_mut().zip(&other.runs).for_each(|(run, more)| run.append(more));
    }

    fn len(&self) -> usize {
        self.runs[0].len()
    }

    /// The event of the commonest label, the first of equally common ones.
    fn event(&self) -> FrameEvent {
        let top =
            (1..self.counts.len()).fold(0, |top, k| if self.counts[k] > self.counts[top] { k } else { top });
        self.runs[top].event(top)
    }
}

struct Cleaner {
    rule: Exclusive,
    num_labels: usize,
    frame: usize,
    /// The latest frames of one label.
    run: Option<(usize, Stretch)>,
    /// What the run may yet become part of: an event that is not over.
    open: Option<(usize, Stretch)>,
}

impl Cleaner {
    fn new(rule: &Exclusive, num_labels: usize) -> Self {
        Self { rule: rule.clone(), num_labels, frame: 0, run: None, open: None }
    }

    fn step(&mut self, label: usize, scores: &[f32], events: &mut Vec<FrameEvent>) {
        if self.run.as_ref().is_some_and(|(last, _)| *last != label) {
            self.end_run(events);
        }
        let (frame, num_labels) = (self.frame, self.num_labels);
        self.run.get_or_insert_with(|| (label, Stretch::at(frame, num_labels))).1.add(label, scores);
        self.frame += 1;
        // An event is over as soon as nothing can become part of it.
        let is_background = self.rule.background == Some(label);
        let is_long = self.run.as_ref().is_some_and(|(_, run)| run.len() >= self.rule.min_length);
        let is_other = self.open.as_ref().is_some_and(|(open, _)| *open != label);
        if is_background || (is_long && is_other && !self.rule.majority) {
            self.emit(events);
        }
    }

    fn end_run(&mut self, events: &mut Vec<FrameEvent>) {
        let Some((label, mut run)) = self.run.take() else { return };
        if self.rule.background == Some(label) {
            return self.emit(events);
        }
        if run.len() < self.rule.min_length {
            match (self.rule.background, &mut self.open) {
                (Some(_), _) => return self.emit(events),
                (None, Some((open, stretch))) => {
                    // These frames have the event's label now.
                    let len = run.len();
                    run.counts.fill(0);
                    run.counts[*open] = len;
                    return stretch.append(&run);
                }
                (None, None) => {}
            }
        }
        match &mut self.open {
            Some((open, stretch)) if self.rule.majority || *open == label => stretch.append(&run),
            _ => {
                self.emit(events);
                self.open = Some((label, run));
            }
        }
    }

    fn emit(&mut self, events: &mut Vec<FrameEvent>) {
        if let Some((_, stretch)) = self.open.take() {
            events.push(stretch.event());
        }
    }

    fn finish(mut self, events: &mut Vec<FrameEvent>) {
        self.end_run(events);
        self.emit(events);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    fn events(rule: &Exclusive, labels: &[usize]) -> Vec<(usize, usize, usize)> {
        let scores: Vec<f32> =
            labels.iter().flat_map(|&l| (0..3).map(move |k| if k == l { 0.8 } else { 0.1 })).collect();
        let events = Rule::Exclusive(rule.clone()).events(&scores, 3);
        assert!(events.iter().all(|event| event.peak == 0.8 && event.score <= 0.8));
        events.iter().map(|event| (event.label, event.start, event.end)).collect()
    }

    #[test]
    fn labels_that_exclude_each_other_are_cleaned_up() {
        let labels = [0, 1, 1, 2, 1, 0, 0, 2, 0];
        let plain = Exclusive { background: Some(0), majority: false, min_length: 1, transition: None };
        assert_eq!(events(&plain, &labels), [(1, 1, 3), (2, 3, 4), (1, 4, 5), (2, 7, 8)]);
        let majority = Exclusive { majority: true, ..plain.clone() };
        assert_eq!(events(&majority, &labels), [(1, 1, 5), (2, 7, 8)]);
        let long = Exclusive { min_length: 2, ..plain.clone() };
        assert_eq!(events(&long, &labels), [(1, 1, 3)]);
        let always = Exclusive { background: None, min_length: 2, ..plain.clone() };
        assert_eq!(events(&always, &labels), [(0, 0, 1), (1, 1, 5), (0, 5, 9)]);
        assert!(events(&plain, &[]).is_empty());
        assert_eq!(events(&majority, &[2, 1]), [(1, 0, 2)]);
    }

    #[test]
    fn the_score_is_that_of_the_label_over_the_whole_event() {
        let rule = Exclusive { background: Some(0), majority: true, min_length: 1, transition: None };
        let scores = [0.1, 0.9, 0.0, 0.1, 0.2, 0.7, 0.2, 0.7, 0.1, 1.0, 0.0, 0.0];
        let events = Rule::Exclusive(rule).events(&scores, 3);
        assert_eq!((events.len(), events[0].label, events[0].end), (1, 1, 3));
        assert!((events[0].score - 0.6).abs() < 1e-6 && events[0].peak == 0.9);
    }
}
