//! Stretches of frames, and what they become.

/// What holds from one frame to another.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEvent {
    /// Index of the label.
    pub label: usize,
    /// The first frame.
    pub start: usize,
    /// The frame behind the last; `start` itself where only the onset is known.
    pub end: usize,
    /// Mean score over its frames, 0 to 1.
    pub score: f32,
    /// Highest score of a frame, 0 to 1.
    pub peak: f32,
}

/// Consecutive frames and one label's scores of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub start: usize,
    /// Behind the last.
    pub end: usize,
    sum: f64,
    peak: f32,
}

impl Run {
    /// No frame yet, the first will be `start`.
    pub fn at(start: usize) -> Self {
        Self { start, end: start, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn add(&mut self, score: f32) {
        self.end += 1;
        self.sum += f64::from(score);
        self.peak = self.peak.max(score);
    }

    /// The frames of `next` follow.
    pub fn append(&mut self, next: &Self) {
        self.end += next.len();
        self.sum += next.sum;
        self.peak = self.peak.max(next.peak);
    }

    pub fn event(&self, label: usize) -> FrameEvent {
        let score = (self.sum / self.len() as f64) as f32;
        FrameEvent { label, start: self.start, end: self.end, score, peak: self.peak }
    }
}
