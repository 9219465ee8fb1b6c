//! How far a figure of frames or events can be trusted: what it is on recordings drawn again and again (Efron 1979). The
//! frames of one recording are alike, so that it is recordings that are drawn.

use std::ops::AddAssign;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times that recordings are drawn.
pub const RESAMPLES: usize = 1000;
/// The same recordings give the same interval.
const SEED: u64 = 95;

/// What was counted in one recording, or in several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub frames: usize,
    /// Frames in which every label is as it should be.
    pub frames_right: usize,
    /// Labels of frames that hold and were found; that were found; that hold.
    pub labels_right: usize,
    pub labels_found: usize,
    pub labels_true: usize,
    /// The same of events, both ends within the collar.
    pub events_right: usize,
    pub events_found: usize,
    pub events_true: usize,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.frames_right += other.frames_right;
        self.labels_right += other.labels_right;
        self.labels_found += other.labels_found;
        self.labels_true += other.labels_true;
        self.events_right += other.events_right;
        self.events_found += other.events_found;
        self.events_true += other.events_true;
    }
}

impl Counted {
    /// Share of frames that are right.
    pub fn accuracy(&self) -> Option<f64> {
        (self.frames > 0).then(|| self.frames_right as f64 / self.frames as f64)
    }

    /// Of labels of frames, all together.
    pub fn frame_f1(&self) -> Option<f64> {
        f1(self.labels_right, self.labels_found, self.labels_true)
    }

    pub fn event_f1(&self) -> Option<f64> {
        f1(self.events_right, self.events_found, self.events_true)
    }
}

fn f1(right: usize, found: usize, truth: usize) -> Option<f64> {
    (found + truth > 0).then(|| 2.0 * right as f64 / (found + truth) as f64)
}

/// A figure made of counts.
pub type Figure = fn(&Counted) -> Option<f64>;

/// The 95% interval of a figure, [low, high], by drawing recordings; `None` for fewer than two.
pub fn interval_95(recordings: &[Counted], figure: Figure) -> Option<[f64; 2]> {
    let values: Vec<f64> = draws(recordings.len())
        .filter_map(|drawn| figure(&sum(drawn.iter().map(|&i| recordings[i]))))
        .collect();
    interval_of(values)
}

/// One figure of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Of the model, and of the one that it is compared with.
    pub model: f64,
    pub against: f64,
    /// `model - against`
    pub difference: f64,
    /// 95% interval of the difference, [low, high]; null for fewer than two recordings.
    pub interval_95: Option<[f64; 2]>,
    /// How often drawn recordings would show such a difference, or its opposite, where there is none: twice the share of
    /// draws on the other side of 0.
    pub p_value: Option<f64>,
}

impl Difference {
    /// By drawing the same recordings for both. `None` where the figure has no value.
    pub fn of(model: &[Counted], against: &[Counted], figure: Figure) -> Option<Self> {
        let total = |counted: &[Counted]| figure(&sum(counted.iter().copied()));
        let (a, b) = (total(model)?, total(against)?);
        let values: Vec<f64> = draws(model.len())
            .filter_map(|drawn| {
                let of = |counted: &[Counted]| figure(&sum(drawn.iter().map(|&i| counted[i])));
                Some(of(model)? - of(against)?)
            })
            .collect();
        let side = |count: usize| 2.0 * (count + 1) as f64 / (values.len() + 1) as f64;
        let below = side(values.iter().filter(|value| **value <= 0.0).count());
        let above = side(values.iter().filter(|value| **value >= 0.0).count());
        let p_value = (!values.is_empty()).then(|| below.min(above).min(1.0));
        Some(Self { model: a, against: b, difference: a - b, interval_95: interval_of(values), p_value })
    }
}

fn sum(counted: impl Iterator<Item = Counted>) -> Counted {
    counted.fold(Counted::default(), |mut all, one| {
        all += one;
        all
    })
}

/// Indices drawn with replacement, `count` each time; none where there are fewer than two.
fn draws(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let times = if count < 2 { 0 } else { RESAMPLES };
    (0..times).map(move |_| (0..count).map(|_| rng.random_range(0..count)).collect())
}

/// The 2.5th and the 97.5th percentile.
fn interval_of(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let percentile = |share: f64| {
        let position = share * (values.len() - 1) as f64;
        let (low, high) = (values[position.floor() as usize], values[position.ceil() as usize]);
        low + (high - low) * position.fract()
    };
    (!values.is_empty()).then(|| [percentile(0.025), percentile(0.975)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings(right: impl Fn(usize) -> usize) -> Vec<Counted> {
        let one = |i| Counted { frames: 100 + i, frames_right: right(i), ..Counted::default() };
        (0..40).map(one).collect()
    }

    /// ```python
    /// i = np.arange(40)
    /// frames, right = 100 + i, 60 + i * 7 % 37
    /// share = lambda f, r: r.sum(-1) / f.sum(-1)
    /// scipy.stats.bootstrap((frames, right), share, paired=True, method="percentile", n_resamples=100000)  # 1.17.1
    /// ```
    #[test]
    fn the_interval_is_scipys_but_for_the_draws() {
        let recordings = recordings(|i| 60 + i * 7 % 37);
        let [low, high] = interval_95(&recordings, Counted::accuracy).unwrap();
        assert!((low - 0.611_902_8).abs() < 0.004 && (high - 0.680_468_8).abs() < 0.004, "{low} {high}");
        assert_eq!(interval_95(&recordings, Counted::accuracy), Some([low, high]));
    }

    #[test]
    fn what_cannot_be_drawn_from_has_no_interval() {
        let recordings = recordings(|_| 50);
        assert_eq!(interval_95(&recordings[..1], Counted::accuracy), None);
        assert_eq!(interval_95(&[], Counted::accuracy), None);
        assert_eq!(interval_95(&recordings, Counted::event_f1), None);
    }

    #[test]
    fn a_difference_that_all_recordings_show_is_sure_and_none_is_not() {
        let (better, worse) = (recordings(|i| 70 + i % 5), recordings(|i| 60 + i % 7));
        let sure = Difference::of(&better, &worse, Counted::accuracy).unwrap();
        assert!(sure.difference > 0.05 && sure.p_value.unwrap() < 0.01, "{sure:?}");
        let [low, high] = sure.interval_95.unwrap();
        assert!(low > 0.0 && low < sure.difference && sure.difference < high);
        let none = Difference::of(&better, &better, Counted::accuracy).unwrap();
        assert_eq!((none.difference, none.p_value), (0.0, Some(1.0)));
    }
}
