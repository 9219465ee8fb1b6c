//! Onsets of labels: the peaks of their scores.

use std::collections::VecDeque;

use super::{FrameEvent, Onsets};

/// Frame by frame; a peak is known when `distance` frames have followed it.
pub(super) struct OnsetStream {
    thresholds: Vec<f32>,
    distance: usize,
    /// For each label the frames that may be the highest of a neighbourhood, falling.
    highest: Vec<VecDeque<(usize, f32)>>,
    /// The next frame.
    frame: usize,
}

impl OnsetStream {
    pub fn new(rule: &Onsets) -> Self {
        Self {
            thresholds: rule.threshold.clone(),
            distance: rule.distance,
            highest: vec![VecDeque::new(); rule.threshold.len()],
            frame: 0,
        }
    }

    pub fn push(&mut self, scores: &[f32], events: &mut Vec<FrameEvent>) {
        for (highest, &score) in self.highest.iter_mut().zip(scores) {
            // An equal one before stays: the first of equals is the peak.
            while highest.back().is_some_and(|&(_, last)| last < score) {
                highest.pop_back();
            }
            highest.push_back((self.frame, score));
        }
        self.frame += 1;
        if self.frame > self.distance {
            self.decide(self.frame - 1 - self.distance, events);
        }
    }

    pub fn finish(mut self, events: &mut Vec<FrameEvent>) {
        for t in self.frame.saturating_sub(self.distance)..self.frame {
            self.decide(t, events);
        }
    }

    /// Whether `t`, whose neighbours are all known, is a peak.
    fn decide(&mut self, t: usize, events: &mut Vec<FrameEvent>) {
        for (label, (highest, &threshold)) in self.highest.iter_mut().zip(&self.thresholds).enumerate() {
            while highest.front().is_some_and(|&(first, _)| first + self.distance < t) {
                highest.pop_front();
            }
            if let Some(&(first, score)) = highest.front()
                && first == t
                && score >= threshold
            {
                events.push(FrameEvent { label, start: t, end: t, score, peak: score });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    fn peaks(scores: &[f32], threshold: f32, distance: usize) -> Vec<usize> {
        let rule = Rule::Onsets(Onsets { threshold: vec![threshold], distance });
        rule.events(scores, 1).iter().map(|event| event.start).collect()
    }

    #[test]
    fn peaks_are_the_highest_in_their_neighbourhood() {
        let scores = [0.2, 0.9, 0.3, 0.8, 0.8, 0.1, 0.4];
        assert_eq!(peaks(&scores, 0.5, 1), [1, 3]);
        assert_eq!(peaks(&scores, 0.5, 3), [1]);
        assert_eq!(peaks(&scores, 0.3, 1), [1, 3, 6]);
        assert_eq!(peaks(&scores, 0.3, 0), [1, 2, 3, 4, 6]);
        assert!(peaks(&[], 0.0, 1).is_empty());
    }

    #[test]
    fn peaks_equal_a_search_of_each_neighbourhood() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as f32 / 16.0
        };
        let scores: Vec<f32> = (0..300).map(|_| next()).collect();
        for distance in 0..8 {
            let is_peak = |&t: &usize| {
                let before = &scores[t.saturating_sub(distance)..t];
                let after = &scores[t..scores.len().min(t + distance + 1)];
                scores[t] >= 0.3
                    && before.iter().all(|&s| s < scores[t])
                    && after.iter().all(|&s| s <= scores[t])
            };
            let slow: Vec<usize> = (0..scores.len()).filter(is_peak).collect();
            assert_eq!(peaks(&scores, 0.3, distance), slow, "{distance}");
        }
    }
}
