//! Random changes to training clips that leave their label as it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Time stretch of the frames, 1 ± this: duration changes, pitch stays. 0 to 0.5.
    pub stretch: f32,
    /// Level, ± this many dB. 0 to 60.
    pub gain_db: f32,
    /// White noise is added at a signal-to-noise ratio drawn from this range, [lowest, highest] in dB,
    /// -20 to 100. Left out: no noise.
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
}
