//! Changes to the samples: crop, shift, speed, gain, silence, noise, filters.

use audioadapter_buffers::direct::InterleavedSlice;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rubato::{Async, FixedAsync, PolynomialDegree, Resampler};

use super::super::random::{normal_pair, plus_minus};
use super::{AugmentConfig, Background, between, filter};
use crate::{Error, ErrorKind, Result};

/// A signal that has been changed, and where its sound has gone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Changed {
    pub samples: Vec<f32>,
    /// Samples that were cut off before it, counted before its speed changed.
    pub cropped: usize,
    /// Times as fast as it was.
    pub speed: f64,
    /// Samples of silence before it.
    pub silence: usize,
}

impl AugmentConfig {
    /// Changes to the samples; `background` is what sounds of the folder are taken from.
    pub(in crate::train) fn signal(
        &self,
        samples: &[f32],
        sample_rate: u32,
        background: Option<&Background>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Changed> {
        let length = self.cropped_length(samples.len(), sample_rate);
        let cropped = match samples.len() - length {
            0 => 0,
            spare => rng.random_range(0..=spare),
        };
        let mut samples = samples[cropped..cropped + length].to_vec();
        let (mut speed, mut silence) = (1.0, 0);
        if self.draws(self.time_shift, rng) {
            roll(&mut samples, plus_minus(rng, self.time_shift));
        }
        if self.draws(self.speed, rng) {
            speed = 1.0 + f64::from(plus_minus(rng, self.speed));
            samples = change_speed(&samples, speed)?;
        }
        if self.draws(self.gain_db, rng) {
            let gain = 10f32.powf(plus_minus(rng, self.gain_db) / 20.0);
            samples.iter_mut().for_each(|s| *s *= gain);
        }
        // The noise is as loud beside the clip's own sound whatever silence is put around it.
        let power = mean_square(&samples);
        let noise_level = |snr_db: f32| power.sqrt() as f32 * 10f32.powf(-snr_db / 20.0);
        if self.draws(self.silence, rng) {
            let mut count = || (rng.random::<f32>() * self.silence * sample_rate as f32) as usize;
            let (before, after) = (count(), count());
            silence = before;
            samples.splice(0..0, std::iter::repeat_n(0.0, before));
            samples.resize(samples.len() + after, 0.0);
        }
        if let Some(background) = background
            && self.draws(1.0, rng)
        {
            let level = noise_level(between(self.background_snr_db, rng));
            let noise = background.stretch(samples.len(), rng);
            let own = mean_square(&noise).sqrt() as f32;
            if own > 0.0 {
                samples.iter_mut().zip(noise).for_each(|(sample, noise)| *sample += level / own * noise);
            }
        }
        if let Some(range) = self.noise_snr_db
            && self.draws(1.0, rng)
        {
            let level = noise_level(between(range, rng));
            for pair in samples.chunks_mut(2) {
                for (sample, noise) in pair.iter_mut().zip(normal_pair(rng)) {
                    *sample += level * noise;
                }
            }
        }
        if let Some(range) = self.high_pass
            && self.draws(1.0, rng)
        {
            filter::high_pass(&mut samples, between(range, rng), sample_rate);
        }
        // Last: a recorder at a lower rate would have taken the noise through the same band.
        if let Some(range) = self.band_limit
            && self.draws(1.0, rng)
        {
            samples = filter::band_limit(samples, between(range, rng), sample_rate)?;
        }
        Ok(Changed { samples, cropped, speed, silence })
    }
}

fn mean_square(samples: &[f32]) -> f64 {
    samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

/// Moves all to the right by `share` of the length, to the left where it is below 0; what leaves at one end comes in at the
/// other.
fn roll(samples: &mut [f32], share: f32) {
    let by = (share.abs() * samples.len() as f32) as usize;
    let by = by.min(samples.len());
    match share < 0.0 {
        true => samples.rotate_left(by),
        false => samples.rotate_right(by),
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

#[cfg(test)]
mod tests {
    use super::super::super::random::{Use, stream};
    use super::*;

    /// Nothing changes.
    fn still() -> AugmentConfig {
        AugmentConfig {
            enabled: true,
            probability: 1.0,
            speed: 0.0,
            stretch: 0.0,
            gain_db: 0.0,
            noise_snr_db: None,
            mel_warp: 0.0,
            eq_db: 0.0,
            time_mask: 0.0,
            frequency_mask: 0.0,
            ..AugmentConfig::default()
        }
    }

    fn rng() -> ChaCha8Rng {
        stream(3, Use::Augment { epoch: 1, clip: 2 })
    }

    fn tone(length: usize) -> Vec<f32> {
        (0..length).map(|i| (i as f32 * 0.1).sin()).collect()
    }

    #[test]
    fn nothing_changes_where_every_range_is_0_and_no_number_is_drawn() {
        let mut rng = rng();
        let samples = vec![0.1, -0.2, 0.3];
        let same = Changed { samples: samples.clone(), cropped: 0, speed: 1.0, silence: 0 };
        assert_eq!(still().signal(&samples, 8000, None, &mut rng).unwrap(), same);
        assert_eq!(rng, self::rng());
    }

    #[test]
    fn the_same_stream_makes_the_same_changes() {
        let config = AugmentConfig {
            enabled: true,
            probability: 1.0,
            silence: 0.1,
            random_crop: 0.4,
            time_shift: 0.5,
            high_pass: Some([50.0, 300.0]),
            band_limit: Some([2000.0, 4000.0]),
            ..AugmentConfig::default()
        };
        let samples = tone(4000);
        let background = Background::of(vec![tone(300)]);
        let signal = |seed| {
            config.signal(&samples, 8000, Some(&background), &mut stream(seed, Use::Order { epoch: 1 }))
        };
        assert_eq!(signal(1).unwrap(), signal(1).unwrap());
        assert_ne!(signal(1).unwrap().samples, signal(2).unwrap().samples);
    }

    /// Models are trained again from their recipes: what these settings did, they do.
    #[test]
    fn the_numbers_are_drawn_in_the_order_of_the_first_release() {
        let config =
            AugmentConfig { enabled: true, probability: 0.8, silence: 0.2, ..AugmentConfig::default() };
        let mut rng = rng();
        let changed = config.signal(&tone(4000), 8000, None, &mut rng).unwrap();
        assert_eq!((changed.samples.len(), changed.silence, rng.get_word_pos()), (6005, 1129, 6014));
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
    fn a_crop_keeps_a_part_and_says_where_it_was() {
        let config = AugmentConfig { random_crop: 0.05, ..still() };
        let ramp: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let mut rng = rng();
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let changed = config.signal(&ramp, 8000, None, &mut rng).unwrap();
            assert_eq!(changed.samples, ramp[changed.cropped..changed.cropped + 400]);
            places.insert(changed.cropped);
        }
        assert!(places.len() > 30 && *places.last().unwrap() > 400);
        // A clip that is short enough stays.
        assert_eq!(config.signal(&ramp[..400], 8000, None, &mut rng).unwrap().samples, ramp[..400]);
        assert_eq!(config.length_range(1000, 8000).0, 400);
    }

    #[test]
    fn a_shift_rolls_the_clip_around() {
        let mut samples: Vec<f32> = (0..10).map(|i| i as f32).collect();
        roll(&mut samples, 0.2);
        assert_eq!(samples, [8., 9., 0., 1., 2., 3., 4., 5., 6., 7.]);
        roll(&mut samples, -0.5);
        assert_eq!(samples, [3., 4., 5., 6., 7., 8., 9., 0., 1., 2.]);
        roll(&mut [], 0.5);
    }

    #[test]
    fn noise_is_as_loud_as_it_is_told_beside_the_sound_without_the_silence_around_it() {
        let samples = tone(20_000);
        let mut rng = rng();
        let square: Vec<f32> = (0..777).map(|i| if i % 100 < 50 { 0.01 } else { -0.01 }).collect();
        let background = Background::of(vec![square, vec![3.0; 5]]);
        let white = AugmentConfig { noise_snr_db: Some([12.0, 12.0]), ..still() };
        let folder = AugmentConfig { background_snr_db: [12.0, 12.0], silence: 0.5, ..still() };
        for (config, background) in [(white, None), (folder, Some(&background))] {
            for _ in 0..5 {
                let changed = config.signal(&samples, 8000, background, &mut rng).unwrap();
                let clean =
                    |i: usize| i.checked_sub(changed.silence).and_then(|i| samples.get(i)).unwrap_or(&0.0);
                let noise: Vec<f32> = changed.samples.iter().enumerate().map(|(i, s)| s - clean(i)).collect();
                let snr_db = 10.0 * (mean_square(&samples) / mean_square(&noise)).log10();
                assert!((snr_db - 12.0).abs() < 0.2, "{snr_db}");
            }
        }
        // Beside silence there is no level, and silent sounds have none.
        let silent = Background::of(vec![vec![0.0; 9]]);
        let config = AugmentConfig { background_snr_db: [0.0, 0.0], ..still() };
        assert_eq!(config.signal(&samples, 8000, Some(&silent), &mut rng).unwrap().samples, samples);
        assert_eq!(config.signal(&[0.0; 8], 8000, Some(&background), &mut rng).unwrap().samples, [0.0; 8]);
    }

    #[test]
    fn a_band_limit_comes_after_the_noise() {
        let config =
            AugmentConfig { noise_snr_db: Some([0.0, 0.0]), band_limit: Some([1000.0, 1000.0]), ..still() };
        let changed = config.signal(&tone(16_000), 16_000, None, &mut rng()).unwrap();
        // What a filter that passes all above 2 kHz leaves of it.
        let mut high = changed.samples.clone();
        for _ in 0..4 {
            super::filter::high_pass(&mut high, 4000.0, 16_000);
        }
        let inner = 1000..15_000;
        assert!(mean_square(&high[inner.clone()]) < 1e-4 * mean_square(&changed.samples[inner]));
    }
}
