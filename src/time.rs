//! The only arithmetic between frames and seconds.

/// The frames of a recording: frame `t` stands for the time from `t · hop_length / sample_rate` to
/// `(t + 1) · hop_length / sample_rate` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameClock {
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// In Hz.
    pub sample_rate: u32,
}

impl FrameClock {
    /// Seconds at which `frame` begins: the nearest `f64` to the exact fraction, so that nothing adds up to a drift.
    pub fn seconds(self, frame: u64) -> f64 {
        (frame as u128 * self.hop_length as u128) as f64 / f64::from(self.sample_rate)
    }

    /// Where `seconds` lies, in frames.
    pub fn position(self, seconds: f64) -> f64 {
        seconds * f64::from(self.sample_rate) / self.hop_length as f64
    }

    /// Frames that last about so many seconds: the nearest whole number.
    pub fn frames(self, seconds: f64) -> usize {
        self.position(seconds).round().max(0.0) as usize
    }
}

/// What a tick of a video lasts: `numerator / denominator` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    pub numerator: u32,
    /// Not 0.
    pub denominator: u32,
}

impl TimeBase {
    /// What a frame lasts at so many frames a second (positive): the simplest fraction that is right to a millionth, so
    /// that whole rates, NTSC's, and whole periods are exact.
    pub fn of_rate(fps: f64) -> Self {
        for numerator in [1, 1001, 1000] {
            let denominator = fps * f64::from(numerator);
            let whole = denominator.round();
            let fits = (1.0..=f64::from(u32::MAX)).contains(&whole);
            if fits && (denominator - whole).abs() < 1e-6 * denominator {
                return Self { numerator, denominator: whole as u32 };
            }
        }
        // Continued fraction of the period: each convergent is the best of its size.
        let period = 1.0 / fps;
        let (mut before, mut best) = ([1.0, 0.0], [period.floor(), 1.0]);
        let mut rest = period.fract();
        while rest > 1e-12 && (best[0] / best[1] / period - 1.0).abs() > 1e-7 {
            let step = (1.0 / rest).floor();
            rest = (1.0 / rest).fract();
            let next = [step * best[0] + before[0], step * best[1] + before[1]];
            if next.iter().any(|&part| part > f64::from(u32::MAX)) {
                break;
            }
            (before, best) = (best, next);
        }
        let part = |value: f64| value.clamp(1.0, f64::from(u32::MAX)) as u32;
        Self { numerator: part(best[0]), denominator: part(best[1]) }
    }

    /// Ticks a second.
    pub fn rate(self) -> f64 {
        f64::from(self.denominator) / f64::from(self.numerator)
    }

    /// Seconds of so many ticks: the nearest `f64` to the exact fraction.
    pub fn seconds(self, ticks: i64) -> f64 {
        (i128::from(ticks) * i128::from(self.numerator)) as f64 / f64::from(self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_a_second_become_an_exact_time_base() {
        for (fps, numerator, denominator) in [
            (25.0, 1, 25),
            (29.97, 1000, 29_970),
            (30_000.0 / 1001.0, 1001, 30_000),
            (0.5, 1000, 500),
            (1.0 / 60.0, 60, 1),
            (0.016_666_667, 60, 1),
            (1.0 / 86_400.0, 86_400, 1),
            (1e-6, 1_000_000, 1),
            (12.5, 1000, 12_500),
        ] {
            assert_eq!(TimeBase::of_rate(fps), TimeBase { numerator, denominator }, "{fps}");
        }
    }

    #[test]
    fn ticks_of_a_video_do_not_drift_either() {
        let ntsc = TimeBase { numerator: 1001, denominator: 30_000 };
        assert_eq!(ntsc.seconds(30_000), 1001.0);
        assert_eq!(ntsc.seconds(-30), -1.001);
    }

    #[test]
    fn seconds_do_not_drift() {
        let clock = FrameClock { hop_length: 160, sample_rate: 16_000 };
        assert_eq!(clock.seconds(60_670).to_string(), "606.7");
        assert_eq!(clock.seconds(3_600_000), 36_000.0);
        let odd = FrameClock { hop_length: 441, sample_rate: 44_100 };
        assert!((0..100_000).all(|t| odd.seconds(t) == clock.seconds(t)));
        assert_eq!(clock.frames(0.25), 25);
        assert_eq!(clock.frames(clock.seconds(777)), 777);
    }
}
