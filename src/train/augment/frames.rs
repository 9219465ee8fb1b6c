//! Changes to frames: stretch, warp, equaliser, masks.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::super::random::{normal_pair, plus_minus};
use super::AugmentConfig;
use crate::features::{FeatureConfig, FeatureKind, Features};

impl AugmentConfig {
    /// Changes to the frames, before they are normalised.
    pub(in crate::train) fn features(
        &self,
        mut features: Features,
        config: &FeatureConfig,
        rng: &mut ChaCha8Rng,
    ) -> Features {
        // Deltas, where there are any, are further blocks of as many bands.
        let bands = config.num_static_features();
        if self.draws(self.stretch, rng) {
            features = stretch_time(&features, bands, 1.0 + plus_minus(rng, self.stretch));
        }
        if config.kind != FeatureKind::Mfcc {
            if self.draws(self.mel_warp, rng) {
                warp_frequency(&mut features, bands, 1.0 + plus_minus(rng, self.mel_warp));
            }
            if self.draws(self.eq_db, rng) {
                equalise(&mut features, bands, config, &self.equaliser_curve(bands, rng));
            }
            if self.frequency_masks > 0 && self.draws(self.frequency_mask, rng) {
                let mean = mean_frame(&features);
                for _ in 0..self.frequency_masks {
                    let (start, end) = random_range(bands, self.frequency_mask, rng);
                    for frame in features.data.chunks_exact_mut(features.dim) {
                        for block in (0..features.dim).step_by(bands) {
                            let range = block + start..block + end;
                            frame[range.clone()].copy_from_slice(&mean[range]);
                        }
                    }
                }
            }
        }
        self.mask_time(&mut features, rng);
        features
    }

    /// Changes to vectors of any meaning, before they are normalised: stretch, jitter, and a mask in time.
    pub(in crate::train) fn vectors(&self, mut vectors: Features, rng: &mut ChaCha8Rng) -> Features {
        if self.draws(self.stretch, rng) {
            vectors = stretch_time(&vectors, vectors.dim, 1.0 + plus_minus(rng, self.stretch));
        }
        if self.draws(self.jitter, rng) {
            let level = rng.random::<f32>() * self.jitter;
            let deviations = deviations(&vectors);
            for frame in vectors.data.chunks_exact_mut(vectors.dim) {
                for (value, deviation) in frame.iter_mut().zip(&deviations) {
                    *value += level * deviation * normal_pair(rng)[0];
                }
            }
        }
        self.mask_time(&mut vectors, rng);
        vectors
    }

    fn mask_time(&self, features: &mut Features, rng: &mut ChaCha8Rng) {
        if self.time_masks == 0 || !self.draws(self.time_mask, rng) {
            return;
        }
        let mean = mean_frame(features);
        for _ in 0..self.time_masks {
            let (start, end) = random_range(features.frames, self.time_mask, rng);
            for frame in features.data.chunks_exact_mut(features.dim).take(end).skip(start) {
                frame.copy_from_slice(&mean);
            }
        }
    }

    /// dB per band: straight lines between a few random points.
    fn equaliser_curve(&self, bands: usize, rng: &mut impl Rng) -> Vec<f32> {
        const POINTS: usize = 5;
        let points: [f32; POINTS] = std::array::from_fn(|_| plus_minus(rng, self.eq_db));
        let step = (POINTS - 1) as f32 / bands.max(2).saturating_sub(1) as f32;
        (0..bands).map(|band| interpolate(&points, 1, 0, band as f32 * step)).collect()
    }
}

/// Linear interpolation between frames; `factor` above 1 makes the clip longer, and the deltas behind the first `bands`
/// features smaller.
fn stretch_time(features: &Features, bands: usize, factor: f32) -> Features {
    let frames = ((features.frames as f32 * factor).round() as usize).max(1);
    let step = features.frames as f32 / frames as f32;
    let mut data = Vec::with_capacity(frames * features.dim);
    for t in 0..frames {
        data.extend((0..features.dim).map(|d| {
            let slope = step.powi((d / bands) as i32);
            slope * interpolate(&features.data, features.dim, d, t as f32 * step)
        }));
    }
    Features { data, frames, dim: features.dim }
}

/// Moves every block of `bands` along its axis: what was at `band · factor` comes to `band`.
fn warp_frequency(features: &mut Features, bands: usize, factor: f32) {
    let mut old = vec![0.0; bands];
    for block in features.data.chunks_exact_mut(bands) {
        old.copy_from_slice(block);
        for (band, value) in block.iter_mut().enumerate() {
            *value = interpolate(&old, 1, 0, band as f32 * factor);
        }
    }
}

/// Adds `curve` in dB to the first block; a constant has no deltas.
fn equalise(features: &mut Features, bands: usize, config: &FeatureConfig, curve: &[f32]) {
    for frame in features.data.chunks_exact_mut(features.dim) {
        for (value, db) in frame[..bands].iter_mut().zip(curve) {
            match config.kind {
                // `power` is the exponent of the magnitude: 20 dB are a factor of 10 in magnitude, of 100 in power.
                FeatureKind::Power => *value *= 10f32.powf(db / 20.0 * config.power),
                FeatureKind::LogMel | FeatureKind::Mfcc => *value += db,
            }
        }
    }
}

/// The value at `position` among `data[offset]`, `data[offset + stride]`, ...; the last one beyond the end.
fn interpolate(data: &[f32], stride: usize, offset: usize, position: f32) -> f32 {
    let last = data.len() / stride - 1;
    let left = (position as usize).min(last);
    let right = (left + 1).min(last);
    let (a, b) = (data[left * stride + offset], data[right * stride + offset]);
    a + (b - a) * (position - left as f32).clamp(0.0, 1.0)
}

/// A random part of `0..length`, of at most `fraction` of it.
fn random_range(length: usize, fraction: f32, rng: &mut impl Rng) -> (usize, usize) {
    let width = (rng.random::<f32>() * fraction * length as f32) as usize;
    let start = rng.random_range(0..=length - width.min(length));
    (start, start + width.min(length))
}

/// The mean over time, `[D]`: what a mask puts in place of what was there.
fn mean_frame(features: &Features) -> Vec<f32> {
    let mut sum = vec![0f64; features.dim];
    for frame in features.data.chunks_exact(features.dim) {
        sum.iter_mut().zip(frame).for_each(|(s, &v)| *s += f64::from(v));
    }
    sum.iter().map(|s| (s / features.frames as f64) as f32).collect()
}

/// The standard deviation of each number over time, `[D]`.
fn deviations(features: &Features) -> Vec<f32> {
    let mut squares = vec![0f64; features.dim];
    let mean = mean_frame(features);
    for frame in features.data.chunks_exact(features.dim) {
        let each = squares.iter_mut().zip(frame.iter().zip(&mean));
        each.for_each(|(square, (&value, &mean))| *square += f64::from(value - mean).powi(2));
    }
    squares.iter().map(|square| (square / features.frames as f64).sqrt() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::random::{Use, stream};
    use super::*;

    fn rng() -> ChaCha8Rng {
        stream(3, Use::Augment { epoch: 1, clip: 2 })
    }

    #[test]
    fn vectors_are_stretched_and_shaken_as_far_as_they_move_themselves() {
        let config = AugmentConfig {
            probability: 1.0,
            jitter: 0.5,
            stretch: 0.5,
            time_mask: 0.0,
            ..AugmentConfig::default()
        };
        let still = Features {
            data: (0..80).map(|i| if i % 2 == 0 { 3.0 } else { i as f32 }).collect(),
            frames: 40,
            dim: 2,
        };
        let changed = config.vectors(still.clone(), &mut rng());
        assert_ne!(changed.frames, 40);
        assert!(changed.data.iter().step_by(2).all(|&value| value == 3.0));
        assert!(changed.data.iter().skip(1).step_by(2).any(|&value| value.fract() != 0.0));
        let off = AugmentConfig { jitter: 0.0, stretch: 0.0, ..config };
        assert_eq!(off.vectors(still.clone(), &mut rng()), still);
    }

    fn ramp(frames: usize, dim: usize) -> Features {
        Features { data: (0..frames * dim).map(|i| (i / dim) as f32).collect(), frames, dim }
    }

    /// Nothing changes.
    fn still() -> AugmentConfig {
        AugmentConfig {
            enabled: true,
            probability: 1.0,
            stretch: 0.0,
            mel_warp: 0.0,
            eq_db: 0.0,
            time_mask: 0.0,
            frequency_mask: 0.0,
            ..AugmentConfig::default()
        }
    }

    #[test]
    fn nothing_changes_where_every_range_is_0() {
        let mut rng = rng();
        let features = ramp(5, 64);
        assert_eq!(still().features(features.clone(), &FeatureConfig::default(), &mut rng), features);
        assert_eq!(rng, self::rng());
    }

    #[test]
    fn the_same_stream_makes_the_same_changes() {
        let config = AugmentConfig { enabled: true, probability: 1.0, ..AugmentConfig::default() };
        let changed = || config.features(ramp(40, 64), &FeatureConfig::default(), &mut rng());
        let features = changed();
        assert_eq!(features, changed());
        assert_ne!(features, ramp(40, 64));
        assert_eq!(features.data.len(), features.frames * features.dim);
        assert!(features.data.iter().all(|v| v.is_finite()));
    }

    /// Models are trained again from their recipes: what these settings did, they do.
    #[test]
    fn the_numbers_are_drawn_in_the_order_of_the_first_release() {
        let config = AugmentConfig { enabled: true, ..AugmentConfig::default() };
        let mut rng = rng();
        let features = config.features(ramp(40, 64), &FeatureConfig::default(), &mut rng);
        assert_eq!((features.frames, rng.get_word_pos()), (40, 15));
    }

    #[test]
    fn stretch_keeps_the_first_and_the_last_of_a_clip() {
        let longer = stretch_time(&ramp(10, 2), 2, 1.5);
        assert_eq!((longer.frames, longer.data[0]), (15, 0.0));
        assert!((longer.data[28] - 9.0).abs() < 0.7);
        assert_eq!(stretch_time(&ramp(1, 2), 2, 0.5).frames, 1);
    }

    #[test]
    fn a_mask_puts_the_mean_in_place() {
        let config = AugmentConfig { time_mask: 1.0, ..still() };
        let masked = config.features(ramp(11, 64), &FeatureConfig::default(), &mut rng());
        let changed = (0..11).filter(|&t| masked.data[t * 64] != t as f32);
        assert!(changed.clone().count() > 0);
        assert!(changed.into_iter().all(|t| masked.data[t * 64] == 5.0));
    }

    #[test]
    fn there_are_as_many_masks_as_are_asked_for() {
        // No place has the mean of its band.
        let frames = 1000;
        let data = (0..frames * 64).map(|i| (i / 64) as f32).collect();
        let features = Features { data, frames, dim: 64 };
        // Masks in time and in frequency, at most: they may meet, or have no width.
        let most = |time_masks: usize, frequency_masks: usize| {
            let config = AugmentConfig {
                time_mask: 0.02,
                time_masks,
                frequency_mask: 0.1,
                frequency_masks,
                ..still()
            };
            (0..20).fold((0, 0), |most, epoch| {
                let mut rng = stream(1, Use::Augment { epoch, clip: 0 });
                let masked = config.features(features.clone(), &FeatureConfig::default(), &mut rng);
                let changed = |t: usize, d: usize| masked.data[t * 64 + d] != features.data[t * 64 + d];
                let in_time = (0..frames).map(|t| (0..64).all(|d| changed(t, d))).collect::<Vec<_>>();
                let in_bands = (0..64).map(|d| (0..frames).all(|t| changed(t, d))).collect::<Vec<_>>();
                let runs =
                    |line: &[bool]| line.windows(2).filter(|w| !w[0] && w[1]).count() + usize::from(line[0]);
                (most.0.max(runs(&in_time)), most.1.max(runs(&in_bands)))
            })
        };
        for count in [(0, 0), (1, 0), (0, 1), (3, 2), (8, 3)] {
            assert_eq!(most(count.0, count.1), count);
        }
    }
}
