//! Which features: every setting, its range, and what follows from it (frame count, feature count, frame times).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mel::{MelBank, hz_to_mel};
use crate::{Error, ErrorKind, Result};

/// Lowest and highest `sample_rate`, Hz.
pub const SAMPLE_RATE_RANGE: (u32, u32) = (1_000, 768_000);
/// Smallest and largest `n_fft`, samples.
pub const N_FFT_RANGE: (usize, usize) = (16, 65_536);
/// Largest `hop_length`, samples.
pub const MAX_HOP_LENGTH: usize = 65_536;
/// Largest `n_mels`.
pub const MAX_N_MELS: usize = 1_024;
/// Largest `delta_width`, frames.
pub const MAX_DELTA_WIDTH: usize = 255;
/// Lowest and highest `amin`.
pub const AMIN_RANGE: (f32, f32) = (1e-30, 1.0);

/// Which features, with librosa's parameter names. Stored whole in the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    /// What a frame holds: `power` (linear spectrogram), `log_mel` (mel spectrogram in dB) or `mfcc`.
    pub kind: FeatureKind,
    /// Rate the audio is resampled to before analysis, in Hz (1000 to 768000).
    pub sample_rate: u32,
    /// Length of the Fourier transform, in samples (16 to 65536). Powers of two are fastest.
    pub n_fft: usize,
    /// Length of the window, in samples, centred in `n_fft` (1 to `n_fft`); left out, it is `n_fft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_length: Option<usize>,
    /// Samples from one frame to the next (1 to 65536).
    pub hop_length: usize,
    /// Window function, periodic as in `scipy.signal.get_window`.
    pub window: Window,
    /// Whether frame `t` is centred on sample `t * hop_length` (the signal is padded on both sides);
    /// otherwise it starts there, and samples that fill no whole frame are left out.
    pub center: bool,
    /// What `center` pads with.
    pub pad_mode: PadMode,
    /// Exponent of the spectrogram's magnitude: 1 for magnitude, 2 for power.
    pub power: f32,
    /// Mel bands (1 to 1024); `log_mel` and `mfcc` only.
    pub n_mels: usize,
    /// Lowest frequency of the mel bank, Hz.
    pub fmin: f32,
    /// Highest frequency of the mel bank, Hz; left out, it is half the sample rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmax: Option<f32>,
    /// Formula of the mel scale.
    pub mel_scale: MelScale,
    /// How the mel filters are scaled.
    pub mel_norm: MelNorm,
    /// Smallest value before the logarithm (1e-30 to 1): `10 log10(max(amin, S))`, as `librosa.power_to_db` with
    /// `ref=1`. `log_mel` and `mfcc` only.
    pub amin: f32,
    /// Cut what lies more than this many dB below the recording's maximum; left out, nothing is cut. Looks at the
    /// whole recording, so it cannot stream. (`librosa.power_to_db` and `librosa.feature.mfcc` use 80.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_db: Option<f32>,
    /// Cepstral coefficients kept (1 to `n_mels`); `mfcc` only.
    pub n_mfcc: usize,
    /// Sine liftering of the cepstrum, 0 for none: coefficient `n` (from 1) is multiplied by
    /// `1 + lifter / 2 * sin(pi * n / lifter)`. `mfcc` only.
    pub lifter: f32,
    /// Differences over time that are appended to each frame: 0 none, 1 delta, 2 delta and delta-delta.
    pub delta: usize,
    /// Frames that a delta looks at, odd (3 to 255).
    pub delta_width: usize,
    /// Which mean and standard deviation each feature is scaled with.
    pub normalize: Normalize,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// `|STFT| ^ power`, linear: `n_fft / 2 + 1` values.
    Power,
    /// Mel spectrogram in dB: `n_mels` values.
    LogMel,
    /// Mel-frequency cepstral coefficients: `n_mfcc` values.
    Mfcc,
}

/// Window functions, under scipy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Raised cosine.
    Hann,
    /// Raised cosine on a pedestal (0.54, 0.46).
    Hamming,
    /// Three cosine terms (0.42, 0.5, 0.08).
    Blackman,
    /// Four cosine terms, side lobes below -92 dB.
    BlackmanHarris,
    /// Triangle that starts at zero.
    Bartlett,
    /// All ones.
    Boxcar,
}

/// What stands before the first and after the last sample, under numpy's names (`numpy.pad`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// Zeros.
    Constant,
    /// The signal mirrored about its end sample, which is not repeated; again and again where it is short.
    Reflect,
    /// The end sample, repeated.
    Edge,
    /// The signal mirrored, end sample included.
    Symmetric,
}

/// Formula of the mel scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MelScale {
    /// Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox; librosa's default).
    Slaney,
    /// `2595 log10(1 + f / 700)` (HTK; torchaudio's default).
    Htk,
}

/// How the mel filters are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MelNorm {
    /// Each filter divided by half its width in Hz, so that all have the same area (librosa's default).
    Slaney,
    /// Each filter's peak is 1 (torchaudio's default).
    None,
}

/// Which mean and standard deviation each feature is scaled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Those of the training set, stored in the model.
    Training,
    /// Those of the recording itself. They are known at its end only, so this cannot stream.
    PerFile,
    /// None: the features as they are.
    None,
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self {
            kind: FeatureKind::LogMel,
            sample_rate: 16_000,
            n_fft: 512,
            win_length: None,
            hop_length: 160,
            window: Window::Hann,
            center: true,
            pad_mode: PadMode::Constant,
            power: 2.0,
            n_mels: 64,
            fmin: 0.0,
            fmax: None,
            mel_scale: MelScale::Slaney,
            mel_norm: MelNorm::Slaney,
            amin: 1e-10,
            top_db: None,
            n_mfcc: 20,
            lifter: 0.0,
            delta: 0,
            delta_width: 9,
            normalize: Normalize::Training,
        }
    }
}

impl FeatureConfig {
    /// Checks ranges and contradictions.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the setting that is wrong and its range.
    pub fn validate(&self) -> Result<()> {
        in_range("sample_rate", self.sample_rate, SAMPLE_RATE_RANGE.0, SAMPLE_RATE_RANGE.1)?;
        in_range("n_fft", self.n_fft, N_FFT_RANGE.0, N_FFT_RANGE.1)?;
        in_range("hop_length", self.hop_length, 1, MAX_HOP_LENGTH)?;
        if let Some(win_length) = self.win_length
            && !(1..=self.n_fft).contains(&win_length)
        {
            return Err(wrong(format!(
                "win_length is {win_length}, but must be from 1 to n_fft, which is {}",
                self.n_fft
            )));
        }
        if self.power != 1.0 && self.power != 2.0 {
            return Err(wrong(format!("power is {}, but must be 1 (magnitude) or 2 (power)", self.power)));
        }
        in_range("n_mels", self.n_mels, 1, MAX_N_MELS)?;
        let nyquist = self.sample_rate as f32 / 2.0;
        let fmax = self.fmax.unwrap_or(nyquist);
        if !(fmax > 0.0 && fmax <= nyquist) {
            return Err(wrong(format!(
                "fmax is {fmax} Hz, but must be above 0 and at most {nyquist}, half the sample rate"
            )));
        }
        if !(self.fmin >= 0.0 && self.fmin < fmax) {
            return Err(wrong(format!(
                "fmin is {} Hz, but must be from 0 to below fmax, which is {fmax}",
                self.fmin
            )));
        }
        in_range("amin", self.amin, AMIN_RANGE.0, AMIN_RANGE.1)?;
        if let Some(top_db) = self.top_db
            && !(top_db > 0.0 && top_db.is_finite())
        {
            return Err(wrong(format!(
                "top_db is {top_db}, but must be above 0; leave it out to cut nothing"
            )));
        }
        in_range("n_mfcc", self.n_mfcc, 1, MAX_N_MELS)?;
        if self.kind == FeatureKind::Mfcc && self.n_mfcc > self.n_mels {
            return Err(wrong(format!(
                "n_mfcc is {}, but must be from 1 to n_mels, which is {}",
                self.n_mfcc, self.n_mels
            )));
        }
        in_range("lifter", self.lifter, 0.0, 1e6)?;
        in_range("delta", self.delta, 0, 2)?;
        in_range("delta_width", self.delta_width, 3, MAX_DELTA_WIDTH)?;
        if self.delta_width.is_multiple_of(2) {
            return Err(wrong(format!(
                "delta_width is {}, but must be odd, from 3 to {MAX_DELTA_WIDTH}",
                self.delta_width
            )));
        }
        Ok(())
    }

    /// Numbers per frame, `D`.
    pub fn num_features(&self) -> usize {
        self.num_static_features() * (1 + self.delta)
    }

    /// Numbers per frame without the deltas, which follow them.
    pub fn num_static_features(&self) -> usize {
        match self.kind {
            FeatureKind::Power => self.num_bins(),
            FeatureKind::LogMel => self.n_mels,
            FeatureKind::Mfcc => self.n_mfcc,
        }
    }

    /// Frequencies of the Fourier transform, `n_fft / 2 + 1`.
    pub fn num_bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Frames of a recording of `num_samples`, `T`; 0 where it is too short for one (empty, or shorter than `n_fft`
    /// with `center` off).
    pub fn num_frames(&self, num_samples: usize) -> usize {
        let padded = num_samples.saturating_add(2 * self.padding());
        if num_samples == 0 || padded < self.n_fft { 0 } else { 1 + (padded - self.n_fft) / self.hop_length }
    }

    /// Where a frequency lies among the values of a frame, 0 (the first) to 1 (the last); `None` where it is not in them, or
    /// they are no spectrum.
    pub fn place_of(&self, hz: f32) -> Option<f32> {
        let nyquist = self.sample_rate as f32 / 2.0;
        let mel = |hz: f32| hz_to_mel(f64::from(hz), self.mel_scale);
        let place = match self.kind {
            FeatureKind::Power => hz / nyquist,
            FeatureKind::LogMel => {
                let (low, high) = (mel(self.fmin), mel(self.fmax.unwrap_or(nyquist)));
                ((mel(hz) - low) / (high - low)) as f32
            }
            FeatureKind::Mfcc => return None,
        };
        (self.delta == 0 && (0.0..=1.0).contains(&place)).then_some(place)
    }

    /// Whether frames can be had while the sound is still coming in.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the setting that needs the whole recording.
    pub fn can_stream(&self) -> Result<()> {
        if self.normalize == Normalize::PerFile {
            return Err(wrong(
                "normalize is per_file, which needs the whole recording and cannot stream; \
                 train with normalize = \"training\""
                    .into(),
            ));
        }
        if self.top_db.is_some() && self.kind != FeatureKind::Power {
            return Err(wrong(
                "top_db looks at the maximum of the whole recording and cannot stream; train without it"
                    .into(),
            ));
        }
        Ok(())
    }

    /// What is allowed but seldom meant, one sentence each; `self` must be valid.
    pub fn warnings(&self) -> Vec<String> {
        let empty = match self.kind {
            FeatureKind::Power => 0,
            FeatureKind::LogMel | FeatureKind::Mfcc => MelBank::new(self).num_empty(),
        };
        let empty = (empty > 0).then(|| {
            format!(
                "{empty} of {} mel bands are narrower than a bin of the Fourier transform and stay empty; \
                 use fewer n_mels or a larger n_fft",
                self.n_mels
            )
        });
        empty.into_iter().chain(self.can_stream().err().map(|error| error.message)).collect()
    }

    /// Samples that `center` adds on each side.
    pub(super) fn padding(&self) -> usize {
        if self.center { self.n_fft / 2 } else { 0 }
    }
}

pub(super) fn in_range<N: PartialOrd + std::fmt::Display>(
    name: &str,
    value: N,
    low: N,
    high: N,
) -> Result<()> {
    // Written so that NaN is out of range.
    if value >= low && value <= high {
        return Ok(());
    }
    Err(wrong(format!("{name} is {value}, but must be from {low} to {high}")))
}

pub(super) fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut FeatureConfig)) -> String {
        let mut config = FeatureConfig::default();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn the_default_is_valid_and_streams() {
        FeatureConfig::default().validate().unwrap();
        FeatureConfig::default().can_stream().unwrap();
    }

    #[test]
    fn a_bad_setting_is_named_with_its_range() {
        assert_eq!(refused(|c| c.n_fft = 8), "n_fft is 8, but must be from 16 to 65536");
        for (name, message) in [
            ("sample_rate", refused(|c| c.sample_rate = 0)),
            ("n_fft", refused(|c| c.n_fft = 1 << 40)),
            ("win_length", refused(|c| c.win_length = Some(513))),
            ("win_length", refused(|c| c.win_length = Some(0))),
            ("hop_length", refused(|c| c.hop_length = 0)),
            ("power", refused(|c| c.power = 3.0)),
            ("n_mels", refused(|c| c.n_mels = 0)),
            ("fmax", refused(|c| c.fmax = Some(8_001.0))),
            ("fmin", refused(|c| c.fmin = 8_000.0)),
            ("fmin", refused(|c| c.fmin = f32::NAN)),
            ("amin", refused(|c| c.amin = 0.0)),
            ("top_db", refused(|c| c.top_db = Some(-1.0))),
            (
                "n_mfcc",
                refused(|c| {
                    c.kind = FeatureKind::Mfcc;
                    c.n_mfcc = 65;
                }),
            ),
            ("lifter", refused(|c| c.lifter = f32::INFINITY)),
            ("delta", refused(|c| c.delta = 3)),
            ("delta_width", refused(|c| c.delta_width = 4)),
        ] {
            assert!(message.starts_with(&format!("{name} is ")), "{message}");
        }
    }

    #[test]
    fn frames_are_counted_as_librosa_does() {
        let centred = FeatureConfig::default();
        assert_eq!([0, 1, 159, 160, 16_000].map(|n| centred.num_frames(n)), [0, 1, 1, 2, 101]);
        let left = FeatureConfig { center: false, ..FeatureConfig::default() };
        assert_eq!([511, 512, 671, 672].map(|n| left.num_frames(n)), [0, 1, 1, 2]);
        let odd = FeatureConfig { n_fft: 501, ..FeatureConfig::default() };
        assert_eq!([1, 160, 161].map(|n| odd.num_frames(n)), [1, 1, 2]);
    }

    #[test]
    fn what_needs_the_whole_recording_cannot_stream() {
        let per_file = FeatureConfig { normalize: Normalize::PerFile, ..FeatureConfig::default() };
        assert!(per_file.can_stream().unwrap_err().message.contains("per_file"));
        let cut = FeatureConfig { top_db: Some(80.0), ..FeatureConfig::default() };
        assert!(cut.can_stream().unwrap_err().message.contains("top_db"));
    }

    #[test]
    fn mel_bands_without_a_bin_are_warned_of() {
        assert!(FeatureConfig::default().warnings().is_empty());
        // librosa.filters.mel(sr=16000, n_fft=256, n_mels=128) has 13 rows of zeros.
        let narrow = FeatureConfig { n_fft: 256, n_mels: 128, ..FeatureConfig::default() };
        assert!(narrow.warnings()[0].starts_with("13 of 128 mel bands"), "{:?}", narrow.warnings());
    }

    #[test]
    fn an_unknown_key_is_refused_and_a_missing_one_is_the_default() {
        let config: FeatureConfig =
            toml::from_str("kind = \"mfcc\"\nn_mels = 40\nwindow = \"blackmanharris\"").unwrap();
        assert_eq!((config.kind, config.n_mels, config.hop_length), (FeatureKind::Mfcc, 40, 160));
        assert!(toml::from_str::<FeatureConfig>("n_mel = 40").unwrap_err().to_string().contains("n_mel"));
    }

    #[test]
    fn a_config_survives_toml_and_json() {
        let config = FeatureConfig {
            fmax: Some(7_600.5),
            top_db: Some(80.0),
            win_length: Some(400),
            ..FeatureConfig::default()
        };
        assert_eq!(toml::from_str::<FeatureConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(
            serde_json::from_str::<FeatureConfig>(&serde_json::to_string(&config).unwrap()).unwrap(),
            config
        );
    }
}
