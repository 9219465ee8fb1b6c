//! Filters of the signal: what lower sample rates and small microphones leave of it.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::Result;
use crate::media::resample;

/// Cut-offs are rounded so that the lower rate is a multiple of this, in Hz: resamplers between rates with a large common
/// divisor are small.
const RATE_STEP: f32 = 100.0;

/// Removes all above `cutoff` Hz as a recorder at a rate of `2 · cutoff` does: resampled to that rate and back. As many
/// samples as before. A cut-off at or beyond half of `sample_rate` leaves the signal as it is.
pub(super) fn band_limit(samples: Vec<f32>, cutoff: f32, sample_rate: u32) -> Result<Vec<f32>> {
    let rate = ((2.0 * cutoff / RATE_STEP).round().max(1.0) * RATE_STEP) as u32;
    if rate >= sample_rate {
        return Ok(samples);
    }
    let length = samples.len();
    let mut samples = resample(resample(samples, sample_rate, rate)?, rate, sample_rate)?;
    samples.truncate(length);
    Ok(samples)
}

/// Weakens what is below `cutoff` Hz by 12 dB an octave: a Butterworth filter of the second order, by the bilinear transform
/// (Bristow-Johnson, Audio EQ Cookbook, HPF with Q = 1/√2). A cut-off at or beyond half of `sample_rate` leaves the signal as
/// it is.
pub(super) fn high_pass(samples: &mut [f32], cutoff: f32, sample_rate: u32) {
    let w = 2.0 * PI * f64::from(cutoff) / f64::from(sample_rate);
    if w >= PI {
        return;
    }
    let (sin, cos) = w.sin_cos();
    let alpha = sin * FRAC_1_SQRT_2;
    let a0 = 1.0 + alpha;
    let b = [(1.0 + cos) / 2.0 / a0, -(1.0 + cos) / a0, (1.0 + cos) / 2.0 / a0];
    let a = [-2.0 * cos / a0, (1.0 - alpha) / a0];
    // Direct form II, transposed.
    let mut state = [0.0f64; 2];
    for sample in samples {
        let x = f64::from(*sample);
        let y = b[0] * x + state[0];
        state = [b[1] * x - a[0] * y + state[1], b[2] * x - a[1] * y];
        *sample = y as f32;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::features::{Extractor, FeatureConfig};

    fn tone(frequency: f64, sample_rate: u32) -> Vec<f32> {
        let step = 2.0 * PI * frequency / f64::from(sample_rate);
        (0..sample_rate).map(|n| (step * f64::from(n)).sin() as f32).collect()
    }

    /// Of the middle, where filters have settled, in dB of full scale.
    fn level_db(samples: &[f32]) -> f64 {
        let middle = &samples[samples.len() / 4..3 * samples.len() / 4];
        10.0 * (2.0 * middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64).log10()
    }

    #[test]
    fn a_band_limited_clip_has_the_frames_of_one_that_was_recorded_at_the_lower_rate() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let original: Vec<f32> = (0..44_100).map(|_| rng.random::<f32>() - 0.5).collect();
        let recorded = resample(resample(original.clone(), 44_100, 8_000).unwrap(), 8_000, 16_000).unwrap();
        let limited = band_limit(resample(original, 44_100, 16_000).unwrap(), 4_000.0, 16_000).unwrap();
        assert_eq!(limited.len(), recorded.len());
        let mut extractor = Extractor::new(&FeatureConfig::default()).unwrap();
        let [recorded, limited] = [recorded, limited].map(|samples| extractor.extract(&samples).unwrap());
        // librosa.mel_frequencies(66, fmin=0, fmax=8000): band 46 ends at 3546 Hz, band 53 begins at 4294 Hz.
        // The ends, where the sound begins and stops at once, have all frequencies.
        let ends = 5 * recorded.dim;
        let inner = ends..recorded.data.len() - ends;
        for i in inner {
            let (a, b) = (recorded.data[i], limited.data[i]);
            match i % recorded.dim {
                0..=46 => assert!((a - b).abs() < 0.05, "band {}: {a} {b}", i % recorded.dim),
                53.. => assert!(a < -90.0 && b < -90.0, "band {}: {a} {b}", i % recorded.dim),
                _ => {}
            }
        }
    }

    #[test]
    fn a_tone_above_the_cutoff_is_gone_and_one_below_stays() {
        let limited = |frequency| band_limit(tone(frequency, 16_000), 3_000.0, 16_000).unwrap();
        assert!(level_db(&limited(2_500.0)).abs() < 0.01);
        assert!(level_db(&limited(3_200.0)) < -90.0, "{}", level_db(&limited(3_200.0)));
        let high = tone(7_000.0, 16_000);
        assert_eq!(band_limit(high.clone(), 8_000.0, 16_000).unwrap(), high);
        for (length, cutoff) in [(1, 2_000.0), (999, 2_345.6), (12_347, 20.0)] {
            assert_eq!(band_limit(vec![0.1; length], cutoff, 22_050).unwrap().len(), length);
        }
    }

    #[test]
    fn a_high_pass_takes_3_db_at_its_cutoff_and_12_db_an_octave_below() {
        let passed = |frequency| {
            let mut samples = tone(frequency, 16_000);
            high_pass(&mut samples, 400.0, 16_000);
            level_db(&samples)
        };
        // Python: -10 * log10(1 + (tan(pi * 400 / 16000) / tan(pi * f / 16000)) ** 4), what a Butterworth filter of the
        // second order is after the bilinear transform.
        for (frequency, want) in [(400.0, -3.0103), (200.0, -12.3298), (100.0, -24.1327), (4_000.0, -0.0002)]
        {
            assert!((passed(frequency) - want).abs() < 0.02, "{frequency} Hz: {}", passed(frequency));
        }
    }
}
