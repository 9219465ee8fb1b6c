//! The likeliest sequence of labels (Viterbi 1967), given as soon as it is certain.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scores below this count as this: its logarithm is finite.
const MIN_SCORE: f32 = 1e-10;

/// Frames after which it is first asked what is certain.
const FIRST_LOOK: usize = 8;

/// How labels follow each other from frame to frame, as `ln p`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Of the first frame's label, `[K]`.
    pub initial: Vec<f32>,
    /// From label to label, `[K, K]` by rows.
    pub transition: Vec<f32>,
}

impl Transition {
    pub(super) fn fits(&self, num_labels: usize) -> bool {
        self.initial.len() == num_labels
            && self.transition.len() == num_labels * num_labels
            && self.initial.iter().chain(&self.transition).all(|p| p.is_finite())
    }

    /// With the logarithms multiplied by `weight`: 0 leaves each frame its likeliest label.
    pub fn weighted(&self, weight: f32) -> Self {
        let times = |values: &[f32]| values.iter().map(|value| weight * value).collect();
        Self { initial: times(&self.initial), transition: times(&self.transition) }
    }

    /// Of the labels of frames, one sequence after the other, each count one higher than it is so that nothing is
    /// impossible (Laplace).
    pub fn learn<'a>(sequences: impl IntoIterator<Item = &'a [usize]>, num_labels: usize) -> Self {
        let mut initial = vec![1f64; num_labels];
        let mut transition = vec![1f64; num_labels * num_labels];
        for labels in sequences {
            if let Some(&first) = labels.first() {
                initial[first] += 1.0;
            }
            labels.windows(2).for_each(|pair| transition[pair[0] * num_labels + pair[1]] += 1.0);
        }
        let ln = |counts: &[f64]| {
            let sum: f64 = counts.iter().sum();
            counts.iter().map(move |count| (count / sum).ln() as f32).collect::<Vec<_>>()
        };
        Self { initial: ln(&initial), transition: transition.chunks_exact(num_labels).flat_map(ln).collect() }
    }
}

/// Of equally likely sequences the one with the smallest labels at the end.
pub(super) struct Viterbi {
    transition: Transition,
    /// `ln p` of the likeliest sequence that ends in each label.
    best: Vec<f64>,
    next: Vec<f64>,
    /// Scores of the frames that are not yet certain, `[.., K]`.
    scores: VecDeque<f32>,
    /// And for each but the first of all where its labels come from, `[.., K]`.
    from: VecDeque<u32>,
    /// Frames that are not certain when it is asked again.
    look: usize,
}

impl Viterbi {
    pub fn new(transition: &Transition) -> Self {
        let num_labels = transition.initial.len();
        Self {
            transition: transition.clone(),
            best: vec![],
            next: vec![0.0; num_labels],
            scores: VecDeque::new(),
            from: VecDeque::new(),
            look: FIRST_LOOK,
        }
    }

    fn num_labels(&self) -> usize {
        self.next.len()
    }

    /// Takes the scores `[K]` of a frame; `decided` hears of the frames whose label is now certain, in order.
    pub fn push(&mut self, scores: &[f32], decided: &mut dyn FnMut(usize, &[f32])) {
        let num_labels = self.num_labels();
        let ln = |score: f32| f64::from(score.max(MIN_SCORE)).ln();
        if self.best.is_empty() {
            let initial = self.transition.initial.iter();
            self.best =
                initial.zip(scores).map(|(&initial, &score)| f64::from(initial) + ln(score)).collect();
            self.from.extend(std::iter::repeat_n(0, num_labels));
        } else {
            for (to, next) in self.next.iter_mut().enumerate() {
                let mut highest = (0, f64::NEG_INFINITY);
                for (label, &best) in self.best.iter().enumerate() {
                    let score = best + f64::from(self.transition.transition[label * num_labels + to]);
                    if score > highest.1 {
                        highest = (label, score);
                    }
                }
                self.from.push_back(highest.0 as u32);
                *next = highest.1 + ln(scores[to]);
            }
            std::mem::swap(&mut self.best, &mut self.next);
        }
        self.scores.extend(scores);
        let frames = self.scores.len() / num_labels;
        if frames >= self.look {
            self.decide_certain(decided);
            // What took long may take longer: all looks together stay cheap.
            let left = self.scores.len() / num_labels;
            self.look = FIRST_LOOK.max(2 * left);
        }
    }

    /// All sequences that may yet be the likeliest share their beginning.
    fn decide_certain(&mut self, decided: &mut dyn FnMut(usize, &[f32])) {
        let num_labels = self.num_labels();
        let mut labels: Vec<u32> = (0..num_labels as u32).collect();
        for t in (1..self.scores.len() / num_labels).rev() {
            for label in &mut labels {
                *label = self.from[t * num_labels + *label as usize];
            }
            labels.sort_unstable();
            labels.dedup();
            if let [label] = labels[..] {
                return self.decide(t, label as usize, decided);
            }
        }
    }

    /// Frames before `end`, of which the last has `label`.
    fn decide(&mut self, end: usize, label: usize, decided: &mut dyn FnMut(usize, &[f32])) {
        let num_labels = self.num_labels();
        let mut path = vec![label; end];
        for t in (1..end).rev() {
            path[t - 1] = self.from[t * num_labels + path[t]] as usize;
        }
        self.from.drain(..end * num_labels);
        let scores: Vec<f32> = self.scores.drain(..end * num_labels).collect();
        for (label, scores) in path.into_iter().zip(scores.chunks_exact(num_labels)) {
            decided(label, scores);
        }
    }

    pub fn finish(mut self, decided: &mut dyn FnMut(usize, &[f32])) {
        let best = &self.best;
        let last = (0..best.len()).fold(0, |top, label| if best[label] > best[top] { label } else { top });
        let frames = self.scores.len() / self.num_labels();
        if frames > 0 {
            self.decide(frames, last, decided);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn path(transition: &Transition, scores: &[f32]) -> Vec<usize> {
        let mut viterbi = Viterbi::new(transition);
        let (mut path, mut seen) = (Vec::new(), Vec::new());
        let mut decided = |label: usize, scores: &[f32]| {
            path.push(label);
            seen.extend_from_slice(scores);
        };
        for frame in scores.chunks_exact(transition.initial.len()) {
            viterbi.push(frame, &mut decided);
        }
        viterbi.finish(&mut decided);
        assert_eq!(seen, scores);
        path
    }

    #[test]
    fn it_is_the_likeliest_of_all_sequences() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let mut random = |count, low: f32, high: f32| -> Vec<f32> {
                (0..count).map(|_| rng.random_range(low..high)).collect()
            };
            let scores = random(3 * 7, 0.01, 1.0);
            let transition = Transition { initial: random(3, -3.0, 0.0), transition: random(9, -3.0, 0.0) };
            let value = |path: &[usize]| {
                let first = f64::from(transition.initial[path[0]]);
                let scored: f64 =
                    path.iter().enumerate().map(|(t, &s)| f64::from(scores[t * 3 + s]).ln()).sum();
                let moved = path.windows(2).map(|p| f64::from(transition.transition[p[0] * 3 + p[1]]));
                first + scored + moved.sum::<f64>()
            };
            let paths = (0..3usize.pow(7)).map(|i| (0..7).map(|t| i / 3usize.pow(t) % 3).collect::<Vec<_>>());
            let best = paths.map(|path| value(&path)).fold(f64::NEG_INFINITY, f64::max);
            assert!((value(&path(&transition, &scores)) - best).abs() < 1e-9);
        }
        assert!(path(&Transition { initial: vec![0.0], transition: vec![0.0] }, &[]).is_empty());
    }

    #[test]
    fn what_is_certain_early_equals_what_is_found_at_the_end() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let transition = Transition::learn([&[0, 0, 0, 1, 1, 0, 0, 2, 2, 2, 2, 2][..]], 3);
        let scores: Vec<f32> = (0..3 * 2_000).map(|_| rng.random_range(0.0..1.0)).collect();
        // With a first look behind the end there is only the end.
        let mut late = Viterbi { look: usize::MAX, ..Viterbi::new(&transition) };
        let mut whole = Vec::new();
        scores.chunks_exact(3).for_each(|frame| late.push(frame, &mut |_, _| panic!("too early")));
        late.finish(&mut |label, _| whole.push(label));
        assert_eq!(path(&transition, &scores), whole);
        let mut early = Viterbi::new(&transition);
        let mut most = 0;
        for frame in scores.chunks_exact(3) {
            early.push(frame, &mut |_, _| {});
            most = most.max(early.scores.len() / 3);
        }
        assert!(most < 200, "{most}");
    }

    #[test]
    fn a_label_that_seldom_changes_is_not_left_for_one_frame() {
        let transition = Transition::learn([&[[0; 50], [1; 50]].concat()[..]], 2);
        let mut scores = [0.9, 0.1].repeat(20);
        scores[20..22].copy_from_slice(&[0.3, 0.7]);
        scores.extend([0.1, 0.9].repeat(20));
        let labels = path(&transition, &scores);
        assert_eq!(labels, [[0; 20], [1; 20]].concat());
    }
}
