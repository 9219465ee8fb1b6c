//! Random changes to training clips that leave their label as it is.
//!
//! Crop, shift, speed, gain, silence, noise and filters change the signal ([`signal`]); stretch, warp, equaliser and masks
//! change the frames ([`frames`]).

mod background;
mod filter;
mod frames;
mod signal;

use std::path::PathBuf;

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::is_default;
use crate::features::{FeatureConfig, FeatureKind};
use crate::{Error, ErrorKind, Result};

pub(super) use background::Background;

/// Most masks of one kind in a clip.
const MAX_MASKS: usize = 100;
/// Lowest and highest cut-off of a filter, in Hz.
const CUTOFF_RANGE: (f32, f32) = (10.0, 400_000.0);
/// Lowest and highest signal-to-noise ratio, in dB.
const SNR_RANGE: (f32, f32) = (-20.0, 100.0);

/// How far a training clip may be changed each time it is seen. A range of 0 turns one change off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Whether training clips are changed at all.
    pub enabled: bool,
    /// Probability that each of the changes below is applied to a clip, 0 to 1.
    pub probability: f32,
    /// A clip that is longer than so many seconds is cut to them, each time from another place; what it is measured by
    /// stays whole. 0 to 86400; 0 cuts nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub random_crop: f32,
    /// Rolls the signal around by up to this share of the clip, either way: what leaves at one end comes in at the other.
    /// Not where labels are in time. 0 to 0.5; 0.5 is anywhere.
    #[serde(skip_serializing_if = "is_default")]
    pub time_shift: f32,
    /// Resampling speed, 1 ± this: pitch and duration change together. 0 to 0.5.
    pub speed: f32,
    /// Silence before and after the clip, each up to this many seconds. 0 to 10.
    pub silence: f32,
    /// Time stretch of the frames, 1 ± this: duration changes, pitch stays. 0 to 0.5.
    pub stretch: f32,
    /// Level, ± this many dB. 0 to 60.
    pub gain_db: f32,
    /// Vectors: noise on each number, up to this share of its own standard deviation over the clip. Of the other settings
    /// vectors know `stretch` and `time_mask`. 0 to 2.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter: f32,
    /// White noise is added at a signal-to-noise ratio drawn from this range, [lowest, highest] in dB,
    /// -20 to 100. [] adds none.
    #[serde(with = "range_or_empty")]
    #[schemars(with = "Vec<f32>")]
    pub noise_snr_db: Option<[f32; 2]>,
    /// Directory with sounds of which a random stretch is added to a clip: rooms, streets, machines. None of them should be
    /// what is to be recognised, or lie in a test part. A relative path starts from this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_folder: Option<PathBuf>,
    /// Signal-to-noise ratio at which sounds of `noise_folder` are added, [lowest, highest] in dB, -20 to 100.
    #[serde(skip_serializing_if = "is_usual_background")]
    pub background_snr_db: [f32; 2],
    /// High-pass filter (Butterworth, 12 dB an octave) with a cut-off drawn from this range, [lowest, highest] in Hz, 10 to
    /// 400000: as a small microphone hears. [] filters nothing.
    #[serde(with = "range_or_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<f32>")]
    pub high_pass: Option<[f32; 2]>,
    /// Removes all above a cut-off drawn from this range, [lowest, highest] in Hz, 10 to 400000: as if the clip had been
    /// recorded at twice that rate. Keeps a network from telling labels by the rates of their recordings. [] removes nothing.
    #[serde(with = "range_or_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<f32>")]
    pub band_limit: Option<[f32; 2]>,
    /// Frequency warp, 1 ± this: the spectrum moves along the mel axis, as from a shorter or longer vocal
    /// tract (VTLP, Jaitly & Hinton 2013). 0 to 0.5.
    pub mel_warp: f32,
    /// Random smooth equaliser over the bands, ± this many dB. 0 to 40.
    pub eq_db: f32,
    /// Longest stretch of frames that is masked, as a fraction of the clip (SpecAugment). 0 to 1.
    pub time_mask: f32,
    /// Stretches of frames that are masked. 0 to 100.
    #[serde(skip_serializing_if = "is_one")]
    pub time_masks: usize,
    /// Widest range of bands that is masked, as a fraction of all (SpecAugment). 0 to 1.
    pub frequency_mask: f32,
    /// Ranges of bands that are masked. 0 to 100.
    #[serde(skip_serializing_if = "is_one")]
    pub frequency_masks: usize,
    /// Clips of a batch are added to each other in pairs, and so are their labels (mixup): the shares are drawn from
    /// Beta(this, this). 0 to 10; 0 adds none.
    #[serde(skip_serializing_if = "is_default")]
    pub mixup: f32,
}

/// Signal-to-noise ratio of sounds from a folder, in dB.
const USUAL_BACKGROUND: [f32; 2] = [5.0, 30.0];

fn is_usual_background(range: &[f32; 2]) -> bool {
    *range == USUAL_BACKGROUND
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            probability: 0.8,
            random_crop: 0.0,
            time_shift: 0.0,
            speed: 0.1,
            silence: 0.0,
            stretch: 0.2,
            gain_db: 6.0,
            jitter: 0.0,
            noise_snr_db: Some([10.0, 50.0]),
            noise_folder: None,
            background_snr_db: USUAL_BACKGROUND,
            high_pass: None,
            band_limit: None,
            mel_warp: 0.15,
            eq_db: 6.0,
            time_mask: 0.1,
            time_masks: 1,
            frequency_mask: 0.1,
            frequency_masks: 1,
            mixup: 0.0,
        }
    }
}

impl AugmentConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let ranges = [
            ("probability", self.probability, 1.0),
            ("random_crop", self.random_crop, 86_400.0),
            ("time_shift", self.time_shift, 0.5),
            ("speed", self.speed, 0.5),
            ("silence", self.silence, 10.0),
            ("stretch", self.stretch, 0.5),
            ("gain_db", self.gain_db, 60.0),
            ("jitter", self.jitter, 2.0),
            ("mel_warp", self.mel_warp, 0.5),
            ("eq_db", self.eq_db, 40.0),
            ("time_mask", self.time_mask, 1.0),
            ("frequency_mask", self.frequency_mask, 1.0),
            ("mixup", self.mixup, 10.0),
        ];
        for (name, value, highest) in ranges {
            if !(0.0..=highest).contains(&value) {
                return wrong(format!("{name} is {value}; it must be 0 to {highest}"));
            }
        }
        for (name, count) in [("time_masks", self.time_masks), ("frequency_masks", self.frequency_masks)] {
            if count > MAX_MASKS {
                return wrong(format!("{name} is {count}; it must be 0 to {MAX_MASKS}"));
            }
        }
        let pairs = [
            ("noise_snr_db", self.noise_snr_db, "dB", SNR_RANGE),
            ("background_snr_db", Some(self.background_snr_db), "dB", SNR_RANGE),
            ("high_pass", self.high_pass, "Hz", CUTOFF_RANGE),
            ("band_limit", self.band_limit, "Hz", CUTOFF_RANGE),
        ];
        for (name, pair, unit, (least, most)) in pairs {
            if let Some([lowest, highest]) = pair
                && !(least <= lowest && lowest <= highest && highest <= most)
            {
                return wrong(format!(
                    "{name} is [{lowest}, {highest}]; it must be [lowest, highest] in {unit}, {least} to {most}"
                ));
            }
        }
        Ok(())
    }

    /// Says which changes these features have no axis for, if any.
    pub fn skipped_for(&self, features: &FeatureConfig) -> Option<String> {
        let spectral = self.mel_warp > 0.0 || self.eq_db > 0.0 || self.frequency_mask > 0.0;
        let skipped = self.enabled && spectral && features.kind == FeatureKind::Mfcc;
        skipped.then(|| {
            "mel_warp, eq_db and frequency_mask move along frequency, which MFCCs do not have: not applied".into()
        })
    }

    /// The fewest and the most samples that a clip of `samples` may have after changes to its signal, or when it is left
    /// as it is.
    pub(super) fn length_range(&self, samples: usize, sample_rate: u32) -> (usize, usize) {
        if !self.enabled {
            return (samples, samples);
        }
        let shortest = self.cropped_length(samples, sample_rate) as f64;
        let (samples, speed) = (samples as f64, f64::from(self.speed));
        let silence = 2.0 * f64::from(self.silence) * f64::from(sample_rate);
        ((shortest / (1.0 + speed)).floor() as usize, (samples / (1.0 - speed) + silence).ceil() as usize)
    }

    /// Samples that `random_crop` leaves of `samples`.
    fn cropped_length(&self, samples: usize, sample_rate: u32) -> usize {
        match self.random_crop > 0.0 {
            true => samples.min((self.random_crop * sample_rate as f32).ceil() as usize),
            false => samples,
        }
    }

    /// How many times as many frames a clip may have after stretching.
    pub(super) fn longest_stretch(&self) -> f32 {
        if self.enabled { 1.0 + self.stretch } else { 1.0 }
    }

    /// Whether a change of this range is applied this time. A change that is off takes no number from `rng`, so that new
    /// ones leave the others as they were.
    fn draws(&self, range: f32, rng: &mut impl Rng) -> bool {
        range > 0.0 && rng.random::<f32>() < self.probability
    }
}

/// Uniform in `lowest..highest`.
fn between([lowest, highest]: [f32; 2], rng: &mut impl Rng) -> f32 {
    lowest + rng.random::<f32>() * (highest - lowest)
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
            _ => Err(D::Error::custom(
                "noise_snr_db, high_pass and band_limit must be [lowest, highest], or [] for none",
            )),
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
        let usual = AugmentConfig::default;
        for (config, name) in [
            (AugmentConfig { speed: 0.9, ..usual() }, "speed is 0.9"),
            (AugmentConfig { probability: f32::NAN, ..usual() }, "probability is NaN"),
            (AugmentConfig { noise_snr_db: Some([30.0, 10.0]), ..usual() }, "noise_snr_db is [30"),
            (AugmentConfig { noise_snr_db: Some([f32::NAN, 10.0]), ..usual() }, "noise_snr_db is [NaN"),
            (AugmentConfig { background_snr_db: [0.0, 101.0], ..usual() }, "background_snr_db is [0, 101]"),
            (AugmentConfig { band_limit: Some([0.0, 1e4]), ..usual() }, "band_limit is [0, 10000]"),
            (AugmentConfig { high_pass: Some([1e3, 1e2]), ..usual() }, "high_pass is [1000, 100]"),
            (AugmentConfig { time_shift: 0.6, ..usual() }, "time_shift is 0.6; it must be 0 to 0.5"),
            (AugmentConfig { random_crop: -1.0, ..usual() }, "random_crop is -1"),
            (AugmentConfig { time_masks: 101, ..usual() }, "time_masks is 101; it must be 0 to 100"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.message.starts_with(name), "{error}");
        }
    }

    #[test]
    fn settings_that_came_later_are_left_out_where_they_are_off() {
        let text = toml::to_string(&AugmentConfig::default()).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(|line| line.split(" = ").next()).collect();
        let before = [
            "enabled",
            "probability",
            "speed",
            "silence",
            "stretch",
            "gain_db",
            "noise_snr_db",
            "mel_warp",
            "eq_db",
            "time_mask",
            "frequency_mask",
        ];
        assert_eq!(keys, before);
        let all = AugmentConfig {
            random_crop: 2.0,
            time_shift: 0.5,
            noise_folder: Some("rooms".into()),
            background_snr_db: [0.0, 10.0],
            high_pass: Some([20.0, 300.0]),
            band_limit: Some([2000.0, 22050.0]),
            time_masks: 2,
            frequency_masks: 0,
            ..AugmentConfig::default()
        };
        assert_eq!(toml::from_str::<AugmentConfig>(&toml::to_string(&all).unwrap()).unwrap(), all);
    }
}
