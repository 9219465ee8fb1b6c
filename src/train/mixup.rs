//! Mixup (Zhang et al. 2018): clips of a batch are added to each other in pairs, and so is what is true of them.

use rand::{Rng, RngExt};
use rayon::prelude::*;

use super::batching::{Example, Target};
use super::random::{Use, normal_pair, stream};
use super::targets::FrameTargets;
use crate::features::Features;

/// Every clip of a batch as it is in `epoch`: its share of it is drawn from Beta(`alpha`, `alpha`), the rest is another
/// clip of the batch. The numbers are each clip's own, so that they do not depend on threads.
pub(super) fn mixed(batch: &[&Example], alpha: f32, seed: u64, epoch: usize) -> Vec<Example> {
    let mut mixed: Vec<Example> = batch
        .par_iter()
        .map(|&example| {
            let purpose = Use::Mixup { epoch: epoch as u32, clip: example.id as u32 };
            let mut rng = stream(seed, purpose);
            let share = beta(f64::from(alpha), &mut rng) as f32;
            mix(example, batch[rng.random_range(0..batch.len())], share)
        })
        .collect();
    // As batches are: little is padding.
    mixed.sort_by_key(|example| example.features.frames);
    mixed
}

/// `share` of `a` and the rest of `b`, as long as the longer of them; behind the shorter there is nothing of it.
fn mix(a: &Example, b: &Example, share: f32) -> Example {
    let (frames, dim) = (a.features.frames.max(b.features.frames), a.features.dim);
    let mut data = vec![0.0; frames * dim];
    for (example, share) in [(a, share), (b, 1.0 - share)] {
        data.iter_mut().zip(&example.features.data).for_each(|(sum, value)| *sum += share * value);
    }
    let target = match (&a.target, &b.target) {
        (Target::Clip(labels), Target::Clip(others)) => Target::Clip(mix_labels(labels, others, share)),
        (Target::Frames(truth), Target::Frames(other)) => Target::Frames(mix_frames(truth, other, share)),
        // A data set has labels of one kind.
        (target, _) => target.clone(),
    };
    Example { features: Features { data, frames, dim }, target, ..*a }
}

fn mix_labels(a: &[(usize, f32)], b: &[(usize, f32)], share: f32) -> Vec<(usize, f32)> {
    let mut mixed: Vec<(usize, f32)> = a.iter().map(|&(label, part)| (label, share * part)).collect();
    for &(label, part) in b {
        let part = (1.0 - share) * part;
        match mixed.iter_mut().find(|(other, _)| *other == label) {
            Some((_, sum)) => *sum += part,
            None => mixed.push((label, part)),
        }
    }
    mixed
}

/// Frame by frame. What is unknown of one of them stays unknown; behind the shorter the longer holds alone.
fn mix_frames(a: &FrameTargets, b: &FrameTargets, share: f32) -> FrameTargets {
    let (mut mixed, other, kept) = match a.weights.len() >= b.weights.len() {
        true => (a.clone(), b, share),
        false => (b.clone(), a, 1.0 - share),
    };
    for (value, other) in mixed.values.iter_mut().zip(&other.values) {
        *value = kept * *value + (1.0 - kept) * other;
    }
    for (weight, other) in mixed.weights.iter_mut().zip(&other.weights) {
        *weight = weight.min(*other);
    }
    mixed
}

/// From Beta(`alpha`, `alpha`): the share that the first of two gamma variates has of their sum.
fn beta(alpha: f64, rng: &mut impl Rng) -> f64 {
    let (a, b) = (ln_gamma_variate(alpha, rng), ln_gamma_variate(alpha, rng));
    1.0 / (1.0 + (b - a).exp())
}

/// Logarithm of a gamma variate (Marsaglia & Tsang 2000): those of a small `shape` are too small to be told from 0.
fn ln_gamma_variate(shape: f64, rng: &mut impl Rng) -> f64 {
    let mut ln_uniform = || (1.0 - rng.random::<f64>()).ln();
    // The method is for shapes of at least 1: it draws for one more, and a power of a uniform number takes that back.
    let boost = ln_uniform() / shape;
    let d = shape + 1.0 - 1.0 / 3.0;
    loop {
        let normal = f64::from(normal_pair(rng)[0]);
        let v = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
        let ln_uniform = (1.0 - rng.random::<f64>()).ln();
        if v > 0.0 && ln_uniform < 0.5 * normal * normal + d - d * v + d * v.ln() {
            return (d * v).ln() + boost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: usize, data: &[f32], target: Target) -> Example {
        Example {
            features: Features { data: data.to_vec(), frames: data.len(), dim: 1 },
            target,
            id,
            item: id,
        }
    }

    #[test]
    fn shares_are_distributed_as_beta() {
        // scipy.stats.beta(a, a).var() and .cdf(0.1)
        for (alpha, variance, below) in
            [(0.2, 0.178571, 0.336690), (1.0, 0.083333, 0.1), (4.0, 0.027778, 0.002728)]
        {
            let mut rng = stream(1, Use::Order { epoch: 0 });
            let values: Vec<f64> = (0..40_000).map(|_| beta(alpha, &mut rng)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let actual = values.iter().map(|v| (v - 0.5).powi(2)).sum::<f64>() / values.len() as f64;
            let share = values.iter().filter(|v| **v < 0.1).count() as f64 / values.len() as f64;
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: mean {mean}");
            assert!((actual - variance).abs() < 0.003, "{alpha}: variance {actual}");
            assert!((share - below).abs() < 0.01, "{alpha}: {share} below 0.1");
        }
        let mut rng = stream(1, Use::Order { epoch: 0 });
        assert!((0..1000).map(|_| beta(1e-3, &mut rng)).all(|share| (0.0..=1.0).contains(&share)));
    }

    #[test]
    fn clips_are_added_up_as_long_as_the_longer_and_so_are_their_labels() {
        let (a, b) =
            (example(0, &[1.0, 2.0], Target::hard(0)), example(1, &[4.0, 8.0, 16.0], Target::hard(2)));
        let mixed = mix(&a, &b, 0.75);
        assert_eq!((mixed.features.data, mixed.features.frames), (vec![1.75, 3.5, 4.0], 3));
        assert_eq!(mixed.target, Target::Clip(vec![(0, 0.75), (2, 0.25)]));
        assert_eq!(mix(&a, &a, 0.75).target, Target::hard(0));
        assert_eq!(mix(&a, &a, 0.25).features, a.features);
    }

    #[test]
    fn frames_are_mixed_one_by_one_and_what_is_unknown_stays_so() {
        let frames = |values: &[f32], weights: &[f32]| {
            Target::Frames(FrameTargets { values: values.to_vec(), weights: weights.to_vec() })
        };
        let a = example(0, &[0.0; 2], frames(&[1., 0., 0., 1.], &[1., 1.]));
        let b = example(1, &[0.0; 3], frames(&[0., 1., 0., 1., 1., 0.], &[1., 0., 1.]));
        let expected = frames(&[0.75, 0.25, 0., 1., 1., 0.], &[1., 0., 1.]);
        assert_eq!(mix(&a, &b, 0.75).target, expected);
        assert_eq!(mix(&b, &a, 0.25).target, expected);
    }

    #[test]
    fn a_clip_is_mixed_alike_each_time_and_otherwise_in_another_epoch() {
        let all: Vec<Example> = (0..8).map(|i| example(i, &[i as f32; 3], Target::hard(i))).collect();
        let batch: Vec<&Example> = all.iter().collect();
        let data = |epoch| -> Vec<Vec<f32>> {
            mixed(&batch, 0.5, 3, epoch).into_iter().map(|example| example.features.data).collect()
        };
        assert_eq!(data(1), data(1));
        assert_ne!(data(1), data(2));
    }
}
