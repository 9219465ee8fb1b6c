//! Mel-frequency cepstral coefficients: orthonormal DCT-II of the log-mel frame, liftered, as `librosa.feature.mfcc`.

use std::f64::consts::PI;

use super::FeatureConfig;

/// The cosine transform of one configuration as a matrix, liftering included.
#[derive(Clone)]
pub(super) struct Dct {
    /// `[n_mels][n_mfcc]`, so that the inner loop runs over the outputs.
    matrix: Vec<f32>,
    n_mfcc: usize,
}

impl Dct {
    /// `config` must be valid.
    pub fn new(config: &FeatureConfig) -> Self {
        let (n_mels, n_mfcc) = (config.n_mels, config.n_mfcc);
        let lifter = f64::from(config.lifter);
        let mut matrix = Vec::with_capacity(n_mels * n_mfcc);
        for m in 0..n_mels {
            for n in 0..n_mfcc {
                let scale = (if n == 0 { 1.0 } else { 2.0 } / n_mels as f64).sqrt();
                let cosine = (PI * n as f64 * (2 * m + 1) as f64 / (2 * n_mels) as f64).cos();
                let lift = if lifter > 0.0 {
                    1.0 + lifter / 2.0 * (PI * (n + 1) as f64 / lifter).sin()
                } else {
                    1.0
                };
                matrix.push((scale * cosine * lift) as f32);
            }
        }
        Self { matrix, n_mfcc }
    }

    /// `log_mel[n_mels]` -> `out[n_mfcc]`.
    pub fn apply(&self, log_mel: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (x, row) in log_mel.iter().zip(self.matrix.chunks_exact(self.n_mfcc)) {
            for (out, w) in out.iter_mut().zip(row) {
                *out += x * w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_keeps_lengths_when_no_coefficient_is_dropped() {
        let config = FeatureConfig { n_mels: 24, n_mfcc: 24, ..FeatureConfig::default() };
        let x: Vec<f32> = (0..24).map(|i| (i * 7 % 11) as f32 - 3.0).collect();
        let mut y = vec![0.0; 24];
        Dct::new(&config).apply(&x, &mut y);
        let energy = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        assert!((energy(&x) - energy(&y)).abs() < 1e-4 * energy(&x));
    }
}
