//! Signal -> features `[T, D]`: power spectrogram, log-mel spectrogram or MFCC, with deltas, as librosa computes them;
//! [`video`] does it for pictures.
//!
//! ```
//! use percept::features::{Extractor, FeatureConfig};
//!
//! let config = FeatureConfig::default(); // log-mel, 16 kHz, 64 bands, a frame every 10 ms
//! let second: Vec<f32> = (0..16_000).map(|n| (n as f32 * 0.1).sin()).collect();
//! let features = Extractor::new(&config)?.extract(&second)?;
//! assert_eq!((features.frames, features.dim), (101, 64));
//! # Ok::<(), percept::Error>(())
//! ```

pub mod config;
mod delta;
mod input;
mod log;
mod mel;
mod mfcc;
mod normalize;
mod stft;
mod stream;
pub mod video;
mod window;

pub use config::{FeatureConfig, FeatureKind, MelNorm, MelScale, Normalize, PadMode, Window};
pub use input::{InputConfig, VectorConfig};
pub use normalize::{Normalization, Statistics};
pub use stream::StreamExtractor;

use crate::error::Position;
use crate::{Error, ErrorKind, Result};
use mel::MelBank;
use mfcc::Dct;
use stft::Stft;

/// Most numbers that one recording's features may hold, `T * D` (2 GiB of `f32`).
pub const MAX_VALUES: usize = 1 << 29;

/// Largest magnitude of a sample: full scale is 1, integers that were not scaled still pass. It keeps every power finite.
pub const MAX_AMPLITUDE: f32 = 1e10;

/// Frames of one recording: `data[t * dim + d]`, shape `[T, D]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pub data: Vec<f32>,
    /// T
    pub frames: usize,
    /// D
    pub dim: usize,
}

/// Turns samples into frames; holds the window, the FFT plan, the filter bank and scratch space.
///
/// Making one takes longer than a short recording: keep it, and clone it for another thread.
#[derive(Clone)]
pub struct Extractor {
    config: FeatureConfig,
    stft: Stft,
    mel: MelBank,
    dct: Dct,
    /// One frame's spectrum, `[n_fft / 2 + 1 + OVERHANG]`.
    spectrum: Vec<f32>,
    /// One frame's mel bands, `[n_mels]`, on their way to MFCCs.
    log_mel: Vec<f32>,
}

impl Extractor {
    /// # Errors
    /// [`ErrorKind::Config`] where `config` is not [valid](FeatureConfig::validate).
    pub fn new(config: &FeatureConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            stft: Stft::new(config),
            mel: MelBank::new(config),
            dct: Dct::new(config),
            spectrum: vec![0.0; config.num_bins() + MelBank::OVERHANG],
            log_mel: vec![0.0; config.n_mels],
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &FeatureConfig {
        &self.config
    }

    /// `samples` at the config's sample rate -> `[T, D]`, not normalised. The values are always finite.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] where there is no sample, or too few for one frame with `center` off;
    /// [`ErrorKind::Damaged`] where a sample is not a number or beyond [`MAX_AMPLITUDE`];
    /// [`ErrorKind::Limit`] where the result would pass [`MAX_VALUES`].
    pub fn extract(&mut self, samples: &[f32]) -> Result<Features> {
        if samples.is_empty() {
            return Err(too_short(0, self.config.n_fft));
        }
        check_samples(samples)?;
        let frames = self.num_frames(samples.len())?;
        let dim = self.config.num_static_features();
        let start = |t: usize| (t * self.config.hop_length) as isize - self.config.padding() as isize;
        let starts: Vec<isize> = (0..frames).map(start).collect();
        let mut data = match (self.config.kind, self.config.top_db) {
            // The loudest frame decides how much of all is cut.
            (FeatureKind::LogMel | FeatureKind::Mfcc, Some(top_db)) => {
                let mut log_mel = vec![0.0; frames * self.config.n_mels];
                for (start, out) in starts.iter().zip(log_mel.chunks_exact_mut(self.config.n_mels)) {
                    self.log_mel(samples, *start, out);
                }
                log::cut_below_top(&mut log_mel, top_db);
                match self.config.kind {
                    FeatureKind::Mfcc => self.mfcc(&log_mel),
                    _ => log_mel,
                }
            }
            _ => {
                let mut data = vec![0.0; frames * dim];
                for (start, out) in starts.iter().zip(data.chunks_exact_mut(dim)) {
                    self.frame(samples, *start, out);
                }
                data
            }
        };
        if self.config.delta > 0 {
            data = delta::append_deltas(&data, dim, self.config.delta, self.config.delta_width);
        }
        Ok(Features { data, frames, dim: self.config.num_features() })
    }

    fn num_frames(&self, num_samples: usize) -> Result<usize> {
        let frames = self.config.num_frames(num_samples);
        if frames == 0 {
            return Err(too_short(num_samples, self.config.n_fft));
        }
        let values = frames.checked_mul(self.config.num_features().max(self.config.n_mels));
        if values.is_none_or(|values| values > MAX_VALUES) {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{frames} frames of {} features pass the limit of {MAX_VALUES} values; cut the recording \
                     into parts or use a longer hop_length",
                    self.config.num_features()
                ),
            ));
        }
        Ok(frames)
    }

    /// One frame without its deltas, `[D]`. `start` is its first sample, which may lie before `samples`; where it reaches
    /// over an end of `samples` that is the recording's.
    fn frame(&mut self, samples: &[f32], start: isize, out: &mut [f32]) {
        match self.config.kind {
            FeatureKind::Power => self.stft.frame(samples, start, out),
            FeatureKind::LogMel => self.log_mel(samples, start, out),
            FeatureKind::Mfcc => {
                let mut log_mel = std::mem::take(&mut self.log_mel);
                self.log_mel(samples, start, &mut log_mel);
                self.dct.apply(&log_mel, out);
                self.log_mel = log_mel;
            }
        }
    }

    /// `[n_mels]`, dB
    fn log_mel(&mut self, samples: &[f32], start: isize, out: &mut [f32]) {
        let num_bins = self.config.num_bins();
        self.stft.frame(samples, start, &mut self.spectrum[..num_bins]);
        self.mel.apply(&self.spectrum, out);
        log::power_to_db(out, self.config.amin);
    }

    /// `[T, n_mels]` -> `[T, n_mfcc]`
    fn mfcc(&self, log_mel: &[f32]) -> Vec<f32> {
        let (frames, dim) = (log_mel.len() / self.config.n_mels, self.config.n_mfcc);
        let mut data = vec![0.0; frames * dim];
        for (log_mel, out) in log_mel.chunks_exact(self.config.n_mels).zip(data.chunks_exact_mut(dim)) {
            self.dct.apply(log_mel, out);
        }
        data
    }
}

fn too_short(num_samples: usize, n_fft: usize) -> Error {
    let message = match num_samples {
        0 => "the recording holds no samples".to_string(),
        _ => format!(
            "{num_samples} samples are too few for one frame of {n_fft}; use center = true or a smaller n_fft"
        ),
    };
    Error::new(ErrorKind::Empty, message)
}

fn check_samples(samples: &[f32]) -> Result<()> {
    // A chunk at a time without an early exit, which the compiler turns into vector instructions; NaN fails, too.
    let good = |x: &f32| x.abs() <= MAX_AMPLITUDE;
    let is_good = |chunk: &[f32]| chunk.iter().fold(true, |all, x| all & good(x));
    if samples.chunks(1024).all(is_good) {
        return Ok(());
    }
    let bad = samples.iter().position(|x| !good(x)).unwrap_or(0);
    let message = format!("a sample is {}, no amplitude; full scale is -1 to 1", samples[bad]);
    Err(Error::new(ErrorKind::Damaged, message).at(Position::Sample(bad as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn every_kind() -> [FeatureConfig; 3] {
        [FeatureKind::Power, FeatureKind::LogMel, FeatureKind::Mfcc].map(|kind| FeatureConfig {
            kind,
            delta: 2,
            ..FeatureConfig::default()
        })
    }

    #[test]
    fn the_same_samples_give_the_same_bits() {
        let samples = noise(5_000);
        for config in every_kind() {
            let mut extractor = Extractor::new(&config).unwrap();
            let first = extractor.extract(&samples).unwrap();
            extractor.extract(&noise(700)).unwrap();
            assert_eq!(extractor.extract(&samples).unwrap(), first);
            assert_eq!(extractor.clone().extract(&samples).unwrap(), first);
        }
    }

    #[test]
    fn the_shape_is_what_the_config_says() {
        for config in every_kind() {
            let mut extractor = Extractor::new(&config).unwrap();
            for n in [1, 2, 159, 160, 511, 1_600, 4_801] {
                let features = extractor.extract(&noise(n)).unwrap();
                assert_eq!(features.frames, config.num_frames(n));
                assert_eq!(features.dim, config.num_features());
                assert_eq!(features.data.len(), features.frames * features.dim);
                assert!(features.data.iter().all(|x| x.is_finite()));
            }
        }
    }

    #[test]
    fn a_delayed_sound_gives_delayed_frames() {
        let config = FeatureConfig::default();
        let samples = noise(8_000);
        let mut delayed = vec![0.0; 3 * config.hop_length];
        delayed.extend(&samples);
        let mut extractor = Extractor::new(&config).unwrap();
        let (a, b) = (extractor.extract(&samples).unwrap(), extractor.extract(&delayed).unwrap());
        assert_eq!(a.data, b.data[3 * 64..]);
    }

    #[test]
    fn double_amplitude_is_6_db_more() {
        let mut extractor = Extractor::new(&FeatureConfig::default()).unwrap();
        let samples = noise(2_000);
        let doubled: Vec<f32> = samples.iter().map(|x| 2.0 * x).collect();
        let (a, b) = (extractor.extract(&samples).unwrap(), extractor.extract(&doubled).unwrap());
        for (a, b) in a.data.iter().zip(&b.data) {
            assert!((b - a - 6.020_6).abs() < 1e-3);
        }
    }

    #[test]
    fn extreme_samples_give_finite_features_or_an_error() {
        for mut config in every_kind() {
            config.fmax = Some(1.0);
            let mut extractor = Extractor::new(&config).unwrap();
            for x in [0.0, f32::MIN_POSITIVE, 1e-30, MAX_AMPLITUDE] {
                let features = extractor.extract(&vec![x; 2_000]).unwrap();
                assert!(features.data.iter().all(|x| x.is_finite()), "{x}");
            }
            for x in [f32::NAN, f32::INFINITY, -1e11] {
                let mut samples = noise(3_000);
                samples[1_500] = x;
                let error = extractor.extract(&samples).unwrap_err();
                assert_eq!((error.kind, error.position), (ErrorKind::Damaged, Some(Position::Sample(1_500))));
            }
        }
    }

    #[test]
    fn no_samples_or_too_few_are_an_error() {
        let mut extractor = Extractor::new(&FeatureConfig::default()).unwrap();
        assert_eq!(extractor.extract(&[]).unwrap_err().kind, ErrorKind::Empty);
        let config = FeatureConfig { center: false, ..FeatureConfig::default() };
        let error = Extractor::new(&config).unwrap().extract(&noise(511)).unwrap_err();
        assert!(error.message.contains("center"), "{error}");
    }

    #[test]
    fn features_that_would_fill_the_memory_are_an_error() {
        let config =
            FeatureConfig { kind: FeatureKind::Power, n_fft: 65_536, hop_length: 1, ..Default::default() };
        let error = Extractor::new(&config).unwrap().extract(&noise(20_000)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Limit);
    }

    #[test]
    fn an_absurd_setting_that_the_kind_does_not_use_is_still_refused() {
        for kind in [FeatureKind::Power, FeatureKind::LogMel, FeatureKind::Mfcc] {
            for n_mfcc in [0, 1 << 40, usize::MAX] {
                let config = FeatureConfig { kind, n_mfcc, ..FeatureConfig::default() };
                assert_eq!(Extractor::new(&config).err().map(|e| e.kind), Some(ErrorKind::Config));
            }
        }
    }

    #[test]
    fn the_largest_config_that_is_valid_can_be_made() {
        let config = FeatureConfig {
            kind: FeatureKind::Mfcc,
            n_fft: 65_536,
            n_mels: 1_024,
            n_mfcc: 1_024,
            delta: 2,
            ..FeatureConfig::default()
        };
        assert_eq!(Extractor::new(&config).unwrap().extract(&noise(100)).unwrap().dim, 3 * 1_024);
    }
}
