//! Where everything random in training comes from: one seed, and a stream of numbers for each use, so that
//! nothing depends on the order in which threads get to work.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// The order of the clips in an epoch.
    Order { epoch: u32 },
    /// The changes to one clip in an epoch.
    Augment { epoch: u32, clip: u32 },
    /// The same where the clip was drawn `again` times before; at most 2^17 epochs.
    AugmentAgain { epoch: u32, clip: u32, again: u32 },
    /// The activations dropped in one shard of a step.
    Dropout { step: u32, shard: u32 },
    /// What one clip is mixed with in an epoch.
    Mixup { epoch: u32, clip: u32 },
    /// The clips that are drawn for an epoch.
    Sampling { epoch: u32 },
}

/// The numbers of `seed` for one use.
pub(super) fn stream(seed: u64, purpose: Use) -> ChaCha8Rng {
    let (kind, a, b) = match purpose {
        Use::Order { epoch } => (1, epoch, 0),
        Use::Augment { epoch, clip } => (2, epoch, clip),
        Use::AugmentAgain { epoch, clip, again } => (6, epoch | again << 17, clip),
        Use::Dropout { step, shard } => (3, step, shard),
        Use::Mixup { epoch, clip } => (4, epoch, clip),
        Use::Sampling { epoch } => (5, epoch, 0),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (kind << 61));
    rng.set_stream(u64::from(a) << 32 | u64::from(b));
    rng
}

/// Uniform in -`range`..=`range`.
pub(super) fn plus_minus(rng: &mut impl Rng, range: f32) -> f32 {
    (2.0 * rng.random::<f32>() - 1.0) * range
}

/// Two independent values of the standard normal distribution (Box & Muller 1958).
pub(super) fn normal_pair(rng: &mut impl Rng) -> [f32; 2] {
    // 1 - u is in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    let (sin, cos) = (std::f32::consts::TAU * rng.random::<f32>()).sin_cos();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_has_its_own_numbers_and_always_the_same() {
        let first = |purpose| stream(5, purpose).random::<u64>();
        let uses = [
            Use::Order { epoch: 1 },
            Use::Augment { epoch: 1, clip: 0 },
            Use::Augment { epoch: 0, clip: 1 },
            Use::Dropout { step: 1, shard: 0 },
            Use::Mixup { epoch: 1, clip: 0 },
            Use::Sampling { epoch: 1 },
            Use::AugmentAgain { epoch: 1, clip: 0, again: 1 },
        ];
        for (i, &a) in uses.iter().enumerate() {
            assert_eq!(first(a), first(a));
            for &b in &uses[..i] {
                assert_ne!(first(a), first(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn normal_values_have_mean_0_and_variance_1() {
        let mut rng = stream(1, Use::Order { epoch: 0 });
        let values: Vec<f64> = (0..50_000).flat_map(|_| normal_pair(&mut rng)).map(f64::from).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
