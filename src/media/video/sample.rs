//! A video at another rate: for each instant of a steady clock the frame that is nearest to it.

use super::super::limits::MAX_VIDEO_GAP_SECONDS;
use crate::time::TimeBase;

/// Says of each frame of a video how many times it is looked at.
///
/// Instant `k` is `k` periods behind the first frame. It sees the frame whose time is nearest, the earlier of two; the last
/// instant lies less than half a period behind the last frame. Where nothing is shown for more than
/// [`MAX_VIDEO_GAP_SECONDS`] the clock begins anew at the next frame.
pub struct Sampler {
    /// The video's.
    tick: TimeBase,
    /// A period of the clock.
    period: TimeBase,
    /// When the clock began, in ticks.
    first: i64,
    /// The frame before this one.
    last: Option<i64>,
    /// The next instant.
    next: i64,
    gaps: usize,
}

impl Sampler {
    /// `period` is what a frame of the model lasts, `tick` a tick of the video.
    pub fn new(period: TimeBase, tick: TimeBase) -> Self {
        Self { tick, period, first: 0, last: None, next: 0, gaps: 0 }
    }

    /// Takes the time of the next frame, not before the last one's; says how often the frame before it is looked at (0
    /// before the first).
    pub fn push(&mut self, ticks: i64) -> usize {
        let Some(last) = self.last.replace(ticks) else {
            self.first = ticks;
            return 0;
        };
        let gap = i128::from(ticks) - i128::from(last);
        if gap.saturating_mul(self.ticks_in_time()) > self.seconds(MAX_VIDEO_GAP_SECONDS) {
            self.gaps += 1;
            let count = self.rest(last);
            (self.first, self.next) = (ticks, 0);
            return count;
        }
        // Instants up to the middle between the two.
        self.count(i128::from(last) + i128::from(ticks), true)
    }

    /// There are no more frames: how often the last one is looked at, and how many gaps were too long.
    pub fn finish(mut self) -> (usize, usize) {
        let count = self.last.map_or(0, |last| self.rest(last));
        (count, self.gaps)
    }

    /// Instants less than half a period behind `last`.
    fn rest(&mut self, last: i64) -> usize {
        let twice_behind = self.period_in_time();
        let twice_last = 2 * (i128::from(last) - i128::from(self.first)) * self.ticks_in_time();
        self.count_to(twice_last + twice_behind, false)
    }

    /// Instants before, or up to, half of `twice_ticks`.
    fn count(&mut self, twice_ticks: i128, inclusive: bool) -> usize {
        self.count_to((twice_ticks - 2 * i128::from(self.first)) * self.ticks_in_time(), inclusive)
    }

    /// The same in the common unit of ticks and periods, from the first frame.
    fn count_to(&mut self, twice_end: i128, inclusive: bool) -> usize {
        let twice_period = 2 * self.period_in_time();
        let whole = twice_end.div_euclid(twice_period);
        let on_it = twice_end.rem_euclid(twice_period) == 0;
        let last = if on_it && !inclusive { whole - 1 } else { whole };
        let end = i64::try_from(last + 1).unwrap_or(i64::MAX).max(self.next);
        let count = end - self.next;
        self.next = end;
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// A tick and a period in units of `1 / (tick.denominator · period.denominator)` seconds.
    fn ticks_in_time(&self) -> i128 {
        i128::from(self.tick.numerator) * i128::from(self.period.denominator)
    }

    fn period_in_time(&self) -> i128 {
        i128::from(self.period.numerator) * i128::from(self.tick.denominator)
    }

    fn seconds(&self, seconds: u64) -> i128 {
        i128::from(seconds) * i128::from(self.tick.denominator) * i128::from(self.period.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: TimeBase = TimeBase { numerator: 1, denominator: 1000 };

    /// How often each frame is looked at.
    fn sampled(rate: f64, ticks: &[i64], tick: TimeBase) -> Vec<usize> {
        let mut sampler = Sampler::new(TimeBase::of_rate(rate), tick);
        let mut counts: Vec<usize> = ticks.iter().map(|&ticks| sampler.push(ticks)).skip(1).collect();
        counts.push(sampler.finish().0);
        counts
    }

    fn steady(count: i64, step: i64) -> Vec<i64> {
        (0..count).map(|i| 7 + i * step).collect()
    }

    #[test]
    fn a_video_at_the_models_rate_is_taken_frame_by_frame() {
        assert_eq!(sampled(25.0, &steady(100, 40), MS), [1; 100]);
        // Times that were rounded to milliseconds do not matter, nor do NTSC's rates.
        let rounded: Vec<i64> = (0..1000).map(|i| (i * 1001 + 15) / 30).collect();
        assert_eq!(sampled(30_000.0 / 1001.0, &rounded, MS), [1; 1000]);
        let ntsc = TimeBase { numerator: 1001, denominator: 30_000 };
        assert_eq!(sampled(30_000.0 / 1001.0, &steady(5000, 1), ntsc), [1; 5000]);
    }

    #[test]
    fn twice_and_half_the_rate_skip_and_repeat_frames() {
        assert_eq!(sampled(25.0, &steady(6, 20), MS), [1, 0, 1, 0, 1, 0]);
        assert_eq!(sampled(25.0, &steady(3, 80), MS), [2, 2, 1]);
        assert_eq!(sampled(25.0, &[5], MS), [1]);
        assert_eq!(sampled(25.0, &[], MS), [0]);
    }

    #[test]
    fn a_variable_rate_is_seen_at_its_times() {
        // Frames at 0, 40, 200, 240 ms: instants at 80 and 120 see the second, 160 and 200 the third.
        assert_eq!(sampled(25.0, &[0, 40, 200, 240], MS), [1, 3, 2, 1]);
        // Two frames at one time: the earlier is nearest.
        assert_eq!(sampled(25.0, &[0, 0, 40], MS), [1, 0, 1]);
    }

    #[test]
    fn a_gap_without_end_fills_no_memory() {
        assert_eq!(sampled(25.0, &[0, 40, i64::MAX - 40, i64::MAX], MS), [1, 1, 1, 1]);
        assert_eq!(sampled(25.0, &[i64::MIN, i64::MAX], MS), [1, 1]);
    }
}
