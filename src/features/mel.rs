//! Mel filter bank, equal to `librosa.filters.mel`, kept as bands: each filter sees a few neighbouring bins only.

use super::{FeatureConfig, MelNorm, MelScale};

/// Filters are padded with zeros to a multiple of this, so that their sums run in vector registers.
const LANES: usize = 4;

/// `n_mels` triangular filters over `n_fft / 2 + 1` bins.
#[derive(Clone)]
pub(super) struct MelBank {
    bands: Vec<Band>,
    /// The filters' weights, one after the other.
    weights: Vec<f32>,
}

#[derive(Clone)]
struct Band {
    /// First bin.
    start: usize,
    /// Number of weights, a multiple of `LANES`.
    len: usize,
}

impl MelBank {
    /// `config` must be valid.
    pub fn new(config: &FeatureConfig) -> Self {
        let mut bank = Self { bands: Vec::with_capacity(config.n_mels), weights: Vec::new() };
        for filter in filters(config) {
            let first = filter.iter().position(|&w| w != 0.0).unwrap_or(0);
            let last = filter.iter().rposition(|&w| w != 0.0).map_or(first, |last| last + 1);
            let len = (last - first).next_multiple_of(LANES);
            bank.weights.extend(&filter[first..last]);
            bank.weights.resize(bank.weights.len() + len - (last - first), 0.0);
            bank.bands.push(Band { start: first, len });
        }
        bank
    }

    /// Filters that fall between two bins and see nothing.
    pub fn num_empty(&self) -> usize {
        self.bands.iter().filter(|band| band.len == 0).count()
    }

    /// Bins that [`Self::apply`] may touch behind the spectrum's last, where the filters are padded with zeros.
    pub const OVERHANG: usize = LANES - 1;

    /// `spectrum[n_fft / 2 + 1 + OVERHANG]` (finite) -> `out[n_mels]`.
    pub fn apply(&self, spectrum: &[f32], out: &mut [f32]) {
        let mut weights = self.weights.as_slice();
        for (band, out) in self.bands.iter().zip(out) {
            let (filter, rest) = weights.split_at(band.len);
            weights = rest;
            let bins = &spectrum[band.start..band.start + band.len];
            let mut sums = [0.0; LANES];
            for (w, x) in filter.chunks_exact(LANES).zip(bins.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    sums[lane] += w[lane] * x[lane];
                }
            }
            *out = (sums[0] + sums[2]) + (sums[1] + sums[3]);
        }
    }
}

/// The dense filters, one at a time, `[n_fft / 2 + 1]` each, as `librosa.filters.mel` computes them.
pub(super) fn filters(config: &FeatureConfig) -> impl Iterator<Item = Vec<f32>> {
    let edges = mel_frequencies(config);
    let bin_width = f64::from(config.sample_rate) / config.n_fft as f64;
    let (num_bins, norm) = (config.num_bins(), config.mel_norm);
    (0..config.n_mels).map(move |m| {
        let (low, peak, high) = (edges[m], edges[m + 1], edges[m + 2]);
        let scale = match norm {
            MelNorm::Slaney => 2.0 / (high - low),
            MelNorm::None => 1.0,
        };
        (0..num_bins)
            .map(|k| {
                let f = k as f64 * bin_width;
                let rising = (f - low) / (peak - low);
                let falling = (high - f) / (high - peak);
                (rising.min(falling).max(0.0) * scale) as f32
            })
            .collect()
    })
}

/// `n_mels + 2` frequencies in Hz, evenly spaced on the mel scale from `fmin` to `fmax`: the filters' corners.
fn mel_frequencies(config: &FeatureConfig) -> Vec<f64> {
    let scale = config.mel_scale;
    let low = hz_to_mel(f64::from(config.fmin), scale);
    let high = hz_to_mel(config.fmax.map_or(f64::from(config.sample_rate) / 2.0, f64::from), scale);
    let steps = config.n_mels + 1;
    (0..=steps).map(|i| mel_to_hz(low + (high - low) * i as f64 / steps as f64, scale)).collect()
}

/// Slaney: below this the scale is linear, Hz.
const BREAK_HZ: f64 = 1_000.0;
/// Slaney: width of one mel in the linear part, Hz.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Slaney: the scale at `BREAK_HZ`.
const BREAK_MEL: f64 = BREAK_HZ / HZ_PER_MEL;

/// Slaney: natural logarithm of the frequency ratio of one mel in the logarithmic part.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

pub(super) fn hz_to_mel(hz: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk => 2595.0 * (1.0 + hz / 700.0).log10(),
        MelScale::Slaney if hz >= BREAK_HZ => BREAK_MEL + (hz / BREAK_HZ).ln() / log_step(),
        MelScale::Slaney => hz / HZ_PER_MEL,
    }
}

fn mel_to_hz(mel: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk => 700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0),
        MelScale::Slaney if mel >= BREAK_MEL => BREAK_HZ * (log_step() * (mel - BREAK_MEL)).exp(),
        MelScale::Slaney => mel * HZ_PER_MEL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mels_go_back_to_the_same_frequency() {
        for scale in [MelScale::Slaney, MelScale::Htk] {
            for hz in [0.0, 60.0, 999.9, 1000.0, 8000.0, 96_000.0] {
                assert!((mel_to_hz(hz_to_mel(hz, scale), scale) - hz).abs() < 1e-7 * (1.0 + hz));
            }
        }
        // librosa.hz_to_mel(440), librosa.hz_to_mel(440, htk=True), librosa.hz_to_mel(4400)
        assert!((hz_to_mel(440.0, MelScale::Slaney) - 6.6).abs() < 1e-9);
        assert!((hz_to_mel(440.0, MelScale::Htk) - 549.638_675_8).abs() < 1e-6);
        assert!((hz_to_mel(4400.0, MelScale::Slaney) - 36.550_6).abs() < 1e-3);
    }

    #[test]
    fn the_banded_bank_equals_the_dense_one() {
        for (n_mels, n_fft) in [(1, 16), (64, 512), (128, 64), (40, 501)] {
            let config = FeatureConfig { n_mels, n_fft, ..FeatureConfig::default() };
            let mut spectrum: Vec<f32> = (0..config.num_bins()).map(|k| (k * k % 31) as f32).collect();
            let dense: Vec<f32> =
                filters(&config).map(|f| f.iter().zip(&spectrum).map(|(w, x)| w * x).sum()).collect();
            spectrum.resize(spectrum.len() + MelBank::OVERHANG, 9e9);
            let mut banded = vec![f32::NAN; n_mels];
            MelBank::new(&config).apply(&spectrum, &mut banded);
            for (a, b) in banded.iter().zip(&dense) {
                assert!((a - b).abs() <= 1e-5 * b.abs(), "{a} {b}");
            }
        }
    }
}
