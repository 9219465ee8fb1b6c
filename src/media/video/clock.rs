//! Time stamps that ffmpeg gives, in rising order.

use std::collections::VecDeque;

use super::super::limits::MAX_STEP_SECONDS;
use crate::time::TimeBase;

/// Steps between frames of which the middle one is the usual one.
const STEPS: usize = 15;

/// Where time stamps jump, the clock goes on: the next frame stands one usual step behind the last.
pub(super) struct Clock {
    /// A longer step forward is a jump too, in ticks.
    longest: i64,
    /// What the last frame's time stamp was, and what became of it.
    last: Option<(i64, i64)>,
    /// What is added to time stamps since the last jump.
    offset: i64,
    /// The last steps that were no jumps.
    steps: VecDeque<i64>,
    /// A second, in ticks.
    second: i64,
    frames: usize,
    jumps: usize,
    first_jump: usize,
}

impl Clock {
    /// `starts_anew`: whether long steps forward are jumps, as in broadcasts, and no still pictures.
    pub fn new(time_base: TimeBase, starts_anew: bool) -> Self {
        let ticks = |seconds: f64| {
            (seconds * f64::from(time_base.denominator) / f64::from(time_base.numerator.max(1))) as i64
        };
        let longest = if starts_anew { ticks(MAX_STEP_SECONDS) } else { i64::MAX };
        let (steps, second) = (VecDeque::with_capacity(STEPS), ticks(1.0));
        Self { longest, last: None, offset: 0, steps, second, frames: 0, jumps: 0, first_jump: 0 }
    }

    /// The time of the next frame, later than that of the last, from its time stamp, if it has one.
    pub fn next(&mut self, stamp: Option<i64>) -> i64 {
        self.frames += 1;
        let Some((last_stamp, last)) = self.last else {
            let first = stamp.unwrap_or(0);
            self.last = Some((first, first));
            return first;
        };
        let stamp = stamp.unwrap_or_else(|| last_stamp.saturating_add(self.usual()));
        let step = stamp.saturating_sub(last_stamp);
        if step < 0 || step > self.longest {
            self.jumps += 1;
            if self.jumps == 1 {
                self.first_jump = self.frames;
            }
            self.offset = last.saturating_add(self.usual()).saturating_sub(stamp);
        } else {
            if self.steps.len() == STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(step);
        }
        let time = stamp.saturating_add(self.offset).max(last.saturating_add(1));
        self.last = Some((stamp, time));
        time
    }

    /// The middle of the last steps; a 25th of a second before there are any.
    fn usual(&self) -> i64 {
        let mut steps: Vec<i64> = self.steps.iter().copied().collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(self.second / 25).max(1)
    }

    pub fn warning(&self) -> Option<String> {
        let frame = self.first_jump;
        match self.jumps {
            0 => None,
            1 => {
                Some(format!("the clock of the video jumps at frame {frame}: its time goes on without a gap"))
            }
            n => Some(format!(
                "the clock of the video jumps {n} times, first at frame {frame}: its time goes on without gaps"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(stamps: &[Option<i64>], starts_anew: bool) -> (Vec<i64>, Option<String>) {
        let mut clock = Clock::new(TimeBase { numerator: 1, denominator: 100 }, starts_anew);
        let times = stamps.iter().map(|&stamp| clock.next(stamp)).collect();
        (times, clock.warning())
    }

    #[test]
    fn time_goes_on_where_time_stamps_jump() {
        let stamps = [500, 504, 508, 20, 24, 5000, 5004, 5904, 9].map(Some);
        let (broadcast, warning) = times(&stamps, true);
        assert_eq!(broadcast, [500, 504, 508, 512, 516, 520, 524, 1424, 1428]);
        assert!(warning.unwrap().contains("3 times, first at frame 4"));
        let (file, warning) = times(&stamps, false);
        assert_eq!(file, [500, 504, 508, 512, 516, 5492, 5496, 6396, 6400]);
        assert!(warning.unwrap().contains("2 times"));
    }

    #[test]
    fn every_frame_is_later_than_the_one_before() {
        let (found, warning) = times(&[Some(-4), Some(0), None, Some(8), Some(8), Some(12)], true);
        assert_eq!((found, warning), (vec![-4, 0, 4, 8, 9, 12], None));
        let (found, _) = times(&[None, Some(i64::MAX), Some(i64::MIN), None], true);
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
    }
}
