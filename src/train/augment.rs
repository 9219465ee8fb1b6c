//! Random changes to training clips that leave their label as it is.
//!
//! Speed, gain, noise and silence change the signal; stretch, warp, equaliser and masks change the frames.

use audioadapter_buffers::direct::InterleavedSlice;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rubato::{Async, FixedAsync, PolynomialDegree, Resampler};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::random::{normal_pair, plus_minus};
use crate::features::{FeatureConfig, FeatureKind, Features};
use crate::{Error, ErrorKind, Result};

/// How far a training clip may be changed each time it is seen. A range of 0 turns one change off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Whether training clips are changed at all.
    pub enabled: bool,
    /// Probability that each of the changes below is applied to a clip, 0 to 1.
    pub probability: f32,
    /// Resampling speed, 1 ± this: pitch and duration change together. 0 to 0.5.
    pub speed: f32,
    /// Silence before and after the clip, each up to this many seconds. 0 to 10.
    pub silence: f32,
    /// Time stretch of the frames, 1 ± this: duration changes, pitch stays. 0 to 0.5.
    pub stretch: f32,
    /// Level, ± this many dB. 0 to 60.
    pub gain_db: f32,
    /// White noise is added at a signal-to-noise ratio drawn from this range, [lowest, highest] in dB,
    /// -20 to 100. [] adds none.
    #[serde(with = "range_or_empty")]
    #[schemars(with = "Vec<f32>")]
    pub noise_snr_db: Option<[f32; 2]>,
    /// Frequency warp, 1 ± this: the spectrum moves along the mel axis, as from a shorter or longer vocal
    /// tract. 0 to 0.5.
    pub mel_warp: f32,
    /// Random smooth equaliser over the bands, ± this many dB. 0 to 40.
    pub eq_db: f32,
    /// Longest stretch of frames that is masked, as a fraction of the clip (SpecAugment). 0 to 1.
    pub time_mask: f32,
    /// Widest range of bands that is masked, as a fraction of all (SpecAugment). 0 to 1.
    pub frequency_mask: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            probability: 0.8,
            speed: 0.1,
            silence: 0.0,
            stretch: 0.2,
            gain_db: 6.0,
            noise_snr_db: Some([10.0, 50.0]),
            mel_warp: 0.15,
            eq_db: 6.0,
            time_mask: 0.1,
            frequency_mask: 0.1,
        }
    }
}

impl AugmentConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("probability", self.probability, 1.0),
            ("speed", self.speed, 0.5),
            ("silence", self.silence, 10.0),
            ("stretch", self.stretch, 0.5),
            ("gain_db", self.gain_db, 60.0),
            ("mel_warp", self.mel_warp, 0.5),
            ("eq_db", self.eq_db, 40.0),
            ("time_mask", self.time_mask, 1.0),
            ("frequency_mask", self.frequency_mask, 1.0),
        ];
        for (name, value, highest) in ranges {
            if !(0.0..=highest).contains(&value) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("{name} is {value}; it must be 0 to {highest}"),
                ));
            }
        }
        if let Some([lowest, highest]) = self.noise_snr_db
            && !(-20.0 <= lowest && lowest <= highest && highest <= 100.0)
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "noise_snr_db is [{lowest}, {highest}]; it must be [lowest, highest] in dB, -20 to 100"
                ),
            ));
        }
        Ok(())
    }
}

/// A signal that has been changed, and where its sound has gone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Changed {
    pub samples: Vec<f32>,
    /// Times as fast as it was.
    pub speed: f64,
    /// Samples of silence before it.
    pub silence: usize,
}

impl AugmentConfig {
    /// Says which changes these features have no axis for, if any.
    pub fn skipped_for(&self, features: &FeatureConfig) -> Option<String> {
        let spectral = self.mel_warp > 0.0 || self.eq_db > 0.0 || self.frequency_mask > 0.0;
        let skipped = self.enabled && spectral && features.kind == FeatureKind::Mfcc;
        skipped.then(|| {
            "mel_warp, eq_db and frequency_mask move along frequency, which MFCCs do not have: not applied".into()
        })
    }

    /// The fewest and the most samples that a clip of `samples` may have after changes to its signal.
    pub(super) fn length_range(&self, samples: usize, sample_rate: u32) -> (usize, usize) {
        if !self.enabled {
            return (samples, samples);
        }
        let (samples, speed) = (samples as f64, f64::from(self.speed));
        let silence = 2.0 * f64::from(self.silence) * f64::from(sample_rate);
        ((samples / (1.0 + speed)).floor() as usize, (samples / (1.0 - speed) + silence).ceil() as usize)
    }

    /// How many times as many frames a clip may have after stretching.
    pub(super) fn longest_stretch(&self) -> f32 {
        if self.enabled { 1.0 + self.stretch } else { 1.0 }
    }

    /// Changes to the samples: speed, gain, silence, noise.
    pub(super) fn signal(&self, samples: &[f32], sample_rate: u32, rng: &mut ChaCha8Rng) -> Result<Changed> {
        let mut samples = samples.to_vec();
        let (mut speed, mut silence) = (1.0, 0);
        if self.draws(self.speed, rng) {
            speed = 1.0 + f64::from(plus_minus(rng, self.speed));
            samples = change_speed(&samples, speed)?;
        }
        if self.draws(self.gain_db, rng) {
            let gain = 10f32.powf(plus_minus(rng, self.gain_db) / 20.0);
            samples.iter_mut().for_each(|s| *s *= gain);
        }
        // The noise is as loud beside the clip's own sound whatever silence is put around it.
        let power = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
        if self.draws(self.silence, rng) {
            let mut count = || (rng.random::<f32>() * self.silence * sample_rate as f32) as usize;
            let (before, after) = (count(), count());
            silence = before;
            samples.splice(0..0, std::iter::repeat_n(0.0, before));
            samples.resize(samples.len() + after, 0.0);
        }
        if let Some([lowest, highest]) = self.noise_snr_db
            && self.draws(1.0, rng)
        {
            let snr_db = lowest + rng.random::<f32>() * (highest - lowest);
            let level = power.sqrt() as f32 * 10f32.powf(-snr_db / 20.0);
            for pair in samples.chunks_mut(2) {
                for (sample, noise) in pair.iter_mut().zip(normal_pair(rng)) {
                    *sample += level * noise;
                }
            }
        }
        Ok(Changed { samples, speed, silence })
    }

    /// Changes to the frames, before they are normalised: stretch, warp, equaliser, masks.
    pub(super) fn features(
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
            if self.draws(self.frequency_mask, rng) {
                let (start, end) = random_range(bands, self.frequency_mask, rng);
                let mean = mean_frame(&features);
                for frame in features.data.chunks_exact_mut(features.dim) {
                    for block in (0..features.dim).step_by(bands) {
                        let range = block + start..block + end;
                        frame[range.clone()].copy_from_slice(&mean[range]);
                    }
                }
            }
        }
        if self.draws(self.time_mask, rng) {
            let (start, end) = random_range(features.frames, self.time_mask, rng);
            let mean = mean_frame(&features);
            for frame in features.data.chunks_exact_mut(features.dim).take(end).skip(start) {
                frame.copy_from_slice(&mean);
            }
        }
        features
    }

    /// Whether a change of this range is applied this time.
    fn draws(&self, range: f32, rng: &mut impl Rng) -> bool {
        range > 0.0 && rng.random::<f32>() < self.probability
    }

    /// dB per band: straight lines between a few random points.
    fn equaliser_curve(&self, bands: usize, rng: &mut impl Rng) -> Vec<f32> {
        const POINTS: usize = 5;
        let points: [f32; POINTS] = std::array::from_fn(|_| plus_minus(rng, self.eq_db));
        let step = (POINTS - 1) as f32 / bands.max(2).saturating_sub(1) as f32;
        (0..bands).map(|band| interpolate(&points, 1, 0, band as f32 * step)).collect()
    }
}

/// Plays `samples` `speed` times as fast: pitch and duration change together.
fn change_speed(samples: &[f32], speed: f64) -> Result<Vec<f32>> {
    let failed =
        |e: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("cannot change the speed: {e}"));
    const CHUNK: usize = 1024;
    let mut resampler =
        Async::new_poly(1.0 / speed, 1.0, PolynomialDegree::Septic, CHUNK, 1, FixedAsync::Input)
            .map_err(|e| failed(&e))?;
    let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| failed(&e))?;
    let output = resampler.process_all(&input, samples.len(), None).map_err(|e| failed(&e))?;
    Ok(output.take_data())
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

/// TOML has no null: an empty array stands for "none".
mod range_or_empty {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(range: &Option<[f32; 2]>, serializer: S) -> Result<S::Ok, S::Error> {
        range.as_ref().map_or(&[][..], |r| &r[..]).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f32; 2]>, D::Error> {
        match Vec::deserialize(deserializer)?[..] {
            [] => Ok(None),
            [lowest, highest] => Ok(Some([lowest, highest])),
            _ => Err(D::Error::custom("noise_snr_db must be [lowest, highest], or [] for none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        AugmentConfig::default().validate().unwrap();
    }

    #[test]
    fn a_range_that_is_too_wide_or_upside_down_is_named() {
        for (config, name) in [
            (AugmentConfig { speed: 0.9, ..Default::default() }, "speed is 0.9"),
            (AugmentConfig { probability: f32::NAN, ..Default::default() }, "probability is NaN"),
            (AugmentConfig { noise_snr_db: Some([30.0, 10.0]), ..Default::default() }, "noise_snr_db is [30"),
            (
                AugmentConfig { noise_snr_db: Some([f32::NAN, 10.0]), ..Default::default() },
                "noise_snr_db is [NaN",
            ),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.message.starts_with(name), "{error}");
        }
    }

    fn rng() -> ChaCha8Rng {
        super::super::random::stream(3, super::super::random::Use::Augment { epoch: 1, clip: 2 })
    }

    fn ramp(frames: usize, dim: usize) -> Features {
        Features { data: (0..frames * dim).map(|i| (i / dim) as f32).collect(), frames, dim }
    }

    #[test]
    fn nothing_changes_where_every_range_is_0() {
        let still = AugmentConfig {
            enabled: true,
            probability: 1.0,
            speed: 0.0,
            silence: 0.0,
            stretch: 0.0,
            gain_db: 0.0,
            noise_snr_db: None,
            mel_warp: 0.0,
            eq_db: 0.0,
            time_mask: 0.0,
            frequency_mask: 0.0,
        };
        let samples = [0.1, -0.2, 0.3];
        let same = Changed { samples: samples.to_vec(), speed: 1.0, silence: 0 };
        assert_eq!(still.signal(&samples, 8000, &mut rng()).unwrap(), same);
        let features = ramp(5, 64);
        assert_eq!(still.features(features.clone(), &FeatureConfig::default(), &mut rng()), features);
    }

    #[test]
    fn the_same_stream_makes_the_same_changes() {
        let config = AugmentConfig { enabled: true, probability: 1.0, silence: 0.1, ..Default::default() };
        let samples: Vec<f32> = (0..4000).map(|i| (i as f32 * 0.1).sin()).collect();
        let once = config.signal(&samples, 8000, &mut rng()).unwrap();
        assert_eq!(once, config.signal(&samples, 8000, &mut rng()).unwrap());
        assert_ne!(once.samples, samples);
        let features = config.features(ramp(40, 64), &FeatureConfig::default(), &mut rng());
        assert_eq!(features.data.len(), features.frames * features.dim);
        assert!(features.data.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn speed_moves_the_pitch_and_the_length() {
        let samples: Vec<f32> = (0..8000).map(|i| (i as f32 * 0.05).sin()).collect();
        let fast = change_speed(&samples, 1.25).unwrap();
        assert_eq!(fast.len(), 6400);
        let crossings = |samples: &[f32]| samples.windows(2).filter(|w| w[0] * w[1] < 0.0).count();
        // 127 half waves of the 8000 samples come in 6400.
        assert!(crossings(&fast).abs_diff(crossings(&samples)) <= 1);
        let peak = fast[100..6000].iter().fold(0f32, |peak, s| peak.max(s.abs()));
        assert!((peak - 1.0).abs() < 5e-3, "{peak}");
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
        let config = AugmentConfig { enabled: true, probability: 1.0, ..Default::default() };
        let config = AugmentConfig { stretch: 0.0, mel_warp: 0.0, eq_db: 0.0, frequency_mask: 0.0, ..config };
        let config = AugmentConfig { time_mask: 1.0, ..config };
        let masked = config.features(ramp(11, 64), &FeatureConfig::default(), &mut rng());
        let changed = (0..11).filter(|&t| masked.data[t * 64] != t as f32);
        assert!(changed.clone().count() > 0);
        assert!(changed.into_iter().all(|t| masked.data[t * 64] == 5.0));
    }
}
