//! Mean and standard deviation of each feature: gathered over recordings, then taken out of them.

use std::ops::Range;

use super::{Features, Normalize};
use crate::{Error, ErrorKind, Result};

/// A feature whose standard deviation is below this share of its mean's magnitude is constant but for rounding.
const CONSTANT: f64 = 1e-6;

/// Mean and standard deviation of each feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// `[D]`
    pub mean: Vec<f32>,
    /// `[D]`, above 0. A feature that never changes has 1, so that it becomes 0 and does not explode.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Those of one recording (`normalize = "per_file"`); without frames, means of 0 and deviations of 1.
    pub fn of(features: &Features) -> Self {
        let statistics = Statistics::of(features);
        if statistics.count == 0 {
            return Self { mean: vec![0.0; features.dim], std: vec![1.0; features.dim] };
        }
        statistics.normalization()
    }

    /// Checks what comes from a file: `dim` finite means, `dim` finite positive standard deviations.
    ///
    /// # Errors
    /// [`ErrorKind::Model`]
    pub fn check(&self, dim: usize) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Model, message));
        if self.mean.len() != dim || self.std.len() != dim {
            return wrong(format!(
                "normalisation has {} means and {} standard deviations for {dim} features",
                self.mean.len(),
                self.std.len()
            ));
        }
        if !self.mean.iter().all(|x| x.is_finite()) {
            return wrong("normalisation holds a mean that is not a finite number".into());
        }
        if !self.std.iter().all(|x| x.is_normal() && *x > 0.0) {
            return wrong("normalisation holds a standard deviation that is not a positive number".into());
        }
        Ok(())
    }

    /// All features of a group get its mean and deviation, over its features and frames together, so that their values keep
    /// their relations (the pixels of a picture, for one). Features in no group keep their own.
    ///
    /// # Panics
    /// Where a group reaches beyond the features.
    pub fn pooled(&self, groups: &[Range<usize>]) -> Self {
        let mut pooled = self.clone();
        for group in groups.iter().filter(|group| !group.is_empty()) {
            let (mean, std) = pool(&self.mean[group.clone()], &self.std[group.clone()]);
            pooled.mean[group.clone()].fill(mean as f32);
            pooled.std[group.clone()].fill(deviation(std, mean));
        }
        pooled
    }

    /// `(x - mean) / std`, in place.
    ///
    /// # Panics
    /// Where `features.dim` is not the number of means; [`Self::check`] asks that of a model.
    pub fn apply(&self, features: &mut Features) {
        assert_eq!(self.mean.len(), features.dim, "features and statistics must be of one width");
        for frame in features.data.chunks_exact_mut(features.dim.max(1)) {
            for ((x, mean), std) in frame.iter_mut().zip(&self.mean).zip(&self.std) {
                *x = (*x - mean) / std;
            }
        }
    }
}

impl Normalize {
    /// Scales the features of one recording; `training` are the statistics of the training set, where they are used.
    pub fn apply(self, training: Option<&Normalization>, features: &mut Features) {
        match (self, training) {
            (Self::Training, Some(training)) => training.apply(features),
            (Self::PerFile, _) => Normalization::of(features).apply(features),
            (Self::Training, None) | (Self::None, _) => {}
        }
    }
}

/// Gathers a [`Normalization`] over many recordings, in double precision.
///
/// Two halves are joined by Chan, Golub and LeVeque's formula (1979). Sums depend on their order in the last bits: count
/// each recording by itself (on any thread) with [`Statistics::of`], then [`merge`](Statistics::merge) them in the
/// data set's order, and the result is the same for any number of threads. [`add`](Statistics::add) does just that.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// Frames seen.
    count: u64,
    /// `[D]`; empty before the first frame.
    mean: Vec<f64>,
    /// `[D]`, sum of squared distances from the mean.
    squares: Vec<f64>,
}

impl Statistics {
    /// Those of one recording.
    pub fn of(features: &Features) -> Self {
        if features.frames == 0 || features.dim == 0 {
            return Self::default();
        }
        let count = features.frames as f64;
        let mut mean = vec![0.0; features.dim];
        for frame in features.data.chunks_exact(features.dim) {
            for (mean, x) in mean.iter_mut().zip(frame) {
                *mean += f64::from(*x);
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        let mut squares = vec![0.0; features.dim];
        for frame in features.data.chunks_exact(features.dim) {
            for ((square, x), mean) in squares.iter_mut().zip(frame).zip(&mean) {
                let distance = f64::from(*x) - mean;
                *square += distance * distance;
            }
        }
        Self { count: features.frames as u64, mean, squares }
    }

    /// Takes in one recording.
    ///
    /// # Panics
    /// Where recordings differ in their number of features.
    pub fn add(&mut self, features: &Features) {
        self.merge(&Self::of(features));
    }

    /// Takes in what another has gathered.
    ///
    /// # Panics
    /// Where they differ in their number of features.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        assert_eq!(self.mean.len(), other.mean.len(), "recordings must have features of one width");
        let (a, b) = (self.count as f64, other.count as f64);
        let share = b / (a + b);
        for d in 0..self.mean.len() {
            let distance = other.mean[d] - self.mean[d];
            self.mean[d] += distance * share;
            self.squares[d] += other.squares[d] + distance * distance * a * share;
        }
        self.count += other.count;
    }

    /// Frames seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean and (population) standard deviation.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] where there were no frames.
    pub fn finish(&self) -> Result<Normalization> {
        if self.count == 0 {
            return Err(Error::new(ErrorKind::Empty, "no frames to take the mean and standard deviation of"));
        }
        Ok(self.normalization())
    }

    /// `count` must not be 0.
    fn normalization(&self) -> Normalization {
        let std = self
            .mean
            .iter()
            .zip(&self.squares)
            .map(|(mean, squares)| deviation((squares / self.count as f64).sqrt(), *mean));
        Normalization { std: std.collect(), mean: self.mean.iter().map(|&x| x as f32).collect() }
    }
}

/// What to divide by: `std`, or 1 where it is no more than rounding.
fn deviation(std: f64, mean: f64) -> f32 {
    let changes = std > CONSTANT * mean.abs() && (std as f32).is_normal();
    if changes { std as f32 } else { 1.0 }
}

/// Mean and standard deviation over features with these, which were seen equally often: the mean of the means; the mean of
/// the variances plus the variance of the means (that is `E[var + mean²] - E[mean]²`, but without its cancellation).
fn pool(means: &[f32], deviations: &[f32]) -> (f64, f64) {
    let count = means.len() as f64;
    let mean = means.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    // A deviation of exactly 1 stands for a feature that never changes, as the black border of a video.
    let variance = |std: f32| if std == 1.0 { 0.0 } else { f64::from(std).powi(2) };
    let squares =
        means.iter().zip(deviations).map(|(&x, &std)| variance(std) + (f64::from(x) - mean).powi(2));
    (mean, (squares.sum::<f64>() / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(seed: usize, frames: usize) -> Features {
        let data = (0..frames * 3).map(|i| match i % 3 {
            0 => ((i * 37 + seed * 11) % 101) as f32,
            1 => -80.0,
            _ => 1e3 + ((i * i + seed) % 7) as f32 * 0.25,
        });
        Features { data: data.collect(), frames, dim: 3 }
    }

    #[test]
    fn normalised_features_have_mean_0_and_deviation_1() {
        let mut features = recording(1, 500);
        let normalization = Normalization::of(&features);
        normalization.check(3).unwrap();
        normalization.apply(&mut features);
        let after = Normalization::of(&features);
        for d in [0, 2] {
            assert!(after.mean[d].abs() < 1e-3 && (after.std[d] - 1.0).abs() < 1e-3, "{after:?}");
        }
    }

    #[test]
    fn a_constant_feature_becomes_0() {
        let mut features = recording(1, 50);
        Normalization::of(&features).apply(&mut features);
        assert!(features.data.iter().skip(1).step_by(3).all(|&x| x == 0.0));
    }

    #[test]
    fn a_group_has_the_mean_and_deviation_of_all_its_values() {
        let features = recording(1, 60);
        let column = |d: usize| features.data.iter().skip(d).step_by(3).copied();
        let two: Vec<f32> = column(0).chain(column(1)).collect();
        let expected = Normalization::of(&Features { frames: two.len(), data: two, dim: 1 });
        let own = Normalization::of(&features);
        let pooled = own.pooled(&[0..2, 2..2]);
        pooled.check(3).unwrap();
        for d in 0..2 {
            assert!((pooled.mean[d] - expected.mean[0]).abs() < 1e-4, "{pooled:?} {expected:?}");
            assert!((pooled.std[d] - expected.std[0]).abs() < 1e-4, "{pooled:?} {expected:?}");
        }
        assert_eq!((pooled.mean[2], pooled.std[2]), (own.mean[2], own.std[2]));
    }

    #[test]
    fn a_group_that_never_changes_becomes_0() {
        let constant = Normalization { mean: vec![0.25; 3], std: vec![1.0; 3] };
        assert_eq!(constant.pooled(std::slice::from_ref(&(0..3))), constant);
        let tiny = Normalization { mean: vec![1e3, 1e3 + 1e-4], std: vec![1.0; 2] };
        assert_eq!(tiny.pooled(std::slice::from_ref(&(0..2))).std, [1.0; 2]);
    }

    #[test]
    fn parts_merged_are_the_whole() {
        let recordings: Vec<Features> = (0..20).map(|i| recording(i, 1 + i * 13)).collect();
        let mut one_by_one = Statistics::default();
        recordings.iter().for_each(|r| one_by_one.add(r));
        let data: Vec<f32> = recordings.iter().flat_map(|r| r.data.clone()).collect();
        let whole = Normalization::of(&Features { frames: data.len() / 3, data, dim: 3 });
        let parts = one_by_one.finish().unwrap();
        for d in 0..3 {
            assert!((parts.mean[d] - whole.mean[d]).abs() <= 1e-6 * whole.mean[d].abs());
            assert!((parts.std[d] - whole.std[d]).abs() <= 1e-6 * whole.std[d]);
        }
        let counted: Vec<Statistics> = recordings.iter().map(Statistics::of).collect();
        let mut merged = Statistics::default();
        counted.iter().for_each(|s| merged.merge(s));
        assert_eq!(merged, one_by_one);
    }

    #[test]
    fn no_frames_are_an_error() {
        assert_eq!(Statistics::default().finish().unwrap_err().kind, ErrorKind::Empty);
    }

    #[test]
    fn damaged_statistics_are_an_error() {
        let good = Normalization { mean: vec![0.0, 1.0], std: vec![1.0, 2.0] };
        assert!(good.check(3).is_err());
        assert!(Normalization { mean: vec![f32::NAN, 1.0], ..good.clone() }.check(2).is_err());
        assert!(Normalization { std: vec![0.0, 1.0], ..good.clone() }.check(2).is_err());
    }
}
