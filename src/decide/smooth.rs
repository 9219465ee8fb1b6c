//! Smoothing of frame scores.

use std::collections::VecDeque;

/// The median of `window` frames (an odd number) around each score; the first and the last score stand for those beyond
/// them, as in `scipy.ndimage.median_filter(scores, window, mode="nearest")`.
pub(super) struct MedianStream {
    half: usize,
    /// The scores from the first one in the next window on.
    scores: VecDeque<f32>,
    /// Those of the next window, sorted; one goes and one comes at each step.
    sorted: Vec<f32>,
    /// Scores that are still to be smoothed.
    left: usize,
}

impl MedianStream {
    pub fn new(window: usize) -> Self {
        Self { half: window / 2, scores: VecDeque::new(), sorted: Vec::new(), left: 0 }
    }

    /// Takes a score; gives the smoothed score of the frame half a window before it, and that frame's own.
    pub fn push(&mut self, score: f32) -> Option<(f32, f32)> {
        if self.half == 0 {
            return Some((score, score));
        }
        if self.scores.is_empty() {
            // The scores before the first.
            (0..self.half).for_each(|_| self.enter(score));
        }
        self.enter(score);
        self.left += 1;
        (self.left > self.half).then(|| self.leave())
    }

    /// The frames that are left at the end, one a call.
    pub fn finish(&mut self) -> Option<(f32, f32)> {
        let last = *self.scores.back()?;
        if self.left == 0 {
            return None;
        }
        while self.scores.len() < 2 * self.half + 1 {
            self.enter(last);
        }
        Some(self.leave())
    }

    fn enter(&mut self, score: f32) {
        self.scores.push_back(score);
        self.sorted.insert(self.place(score), score);
    }

    fn leave(&mut self) -> (f32, f32) {
        let answer = (self.sorted[self.half], self.scores[self.half]);
        self.left -= 1;
        if let Some(first) = self.scores.pop_front() {
            self.sorted.remove(self.place(first));
        }
        answer
    }

    fn place(&self, score: f32) -> usize {
        self.sorted.partition_point(|other| other.total_cmp(&score).is_lt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(scores: &[f32], window: usize) -> Vec<f32> {
        let mut stream = MedianStream::new(window);
        let mut out: Vec<(f32, f32)> = scores.iter().filter_map(|&score| stream.push(score)).collect();
        out.extend(std::iter::from_fn(|| stream.finish()));
        assert_eq!(out.iter().map(|&(_, score)| score).collect::<Vec<_>>(), scores);
        out.iter().map(|&(smooth, _)| smooth).collect()
    }

    #[test]
    fn the_median_is_that_of_scipy() {
        // scipy.ndimage.median_filter([3, 1, 4, 1, 5, 9, 2, 6], 3, mode="nearest"), and 5, and 11
        let scores = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        assert_eq!(median(&scores, 3), [3.0, 3.0, 1.0, 4.0, 5.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 5), [3.0, 3.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 11), [3.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 1), scores);
        assert!(median(&[], 3).is_empty());
    }
}
