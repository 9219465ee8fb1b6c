//! Clips of unequal length -> padded batches.

use std::ops::Range;

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::targets::FrameTargets;
use crate::Result;
use crate::features::Features;

/// Most clips that go through the network together; shards of a batch go side by side on several cores. Fixed, so that
/// the sums, and with them every bit of the result, do not depend on the number of cores.
pub(super) const SHARD: usize = 16;
/// Batches among which clips are sorted by length, so that little is padding while the order stays random.
const BATCHES_IN_A_POOL: usize = 16;

/// Normalised frames of a clip, and what is true of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    pub features: Features,
    pub target: Target,
    /// Names its random numbers.
    pub id: usize,
    /// Its place in the data set.
    pub item: usize,
}

/// What is to be learned of a clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// Labels by their numbers, each once, and how much of the clip has them: together 1.
    Clip(Vec<(usize, f32)>),
    Frames(FrameTargets),
}

impl Target {
    /// A clip of one label.
    pub fn hard(label: usize) -> Self {
        Self::Clip(vec![(label, 1.0)])
    }
}

impl Example {
    /// What it counts in a mean: a clip, or the frames of which something is known.
    pub fn weight(&self) -> f64 {
        match &self.target {
            Target::Clip(_) => 1.0,
            Target::Frames(targets) => targets.weights.iter().map(|&weight| f64::from(weight)).sum(),
        }
    }
}

/// `[B, T, D]` with zeros behind the shorter clips, and their lengths.
pub(super) fn pad(examples: &[&Example]) -> Result<(Tensor, Vec<usize>)> {
    let lengths: Vec<usize> = examples.iter().map(|e| e.features.frames).collect();
    let frames = lengths.iter().copied().max().unwrap_or(0);
    let dim = examples.first().map_or(0, |e| e.features.dim);
    let mut data = vec![0f32; examples.len() * frames * dim];
    for (row, example) in data.chunks_exact_mut((frames * dim).max(1)).zip(examples) {
        row[..example.features.data.len()].copy_from_slice(&example.features.data);
    }
    Ok((Tensor::from_vec(data, (examples.len(), frames, dim), &Device::Cpu)?, lengths))
}

/// Deals `count` clips into pools, each to be analysed at once and then cut into batches.
pub(super) fn pools(count: usize, batch_size: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(rng);
    order.chunks(batch_size * BATCHES_IN_A_POOL).map(<[usize]>::to_vec).collect()
}

/// Cuts a pool into batches of clips of similar length, in random order.
pub(super) fn batches<'a>(
    pool: &'a [Example],
    batch_size: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<&'a Example>> {
    let frames: Vec<usize> = pool.iter().map(|example| example.features.frames).collect();
    let mut batches: Vec<Vec<&Example>> = by_length(&frames)
        .chunks(batch_size)
        .map(|batch| batch.iter().map(|&i| &pool[i]).collect())
        .collect();
    batches.shuffle(rng);
    batches
}

/// Indices of examples of so many frames, from the shortest to the longest.
pub(super) fn by_length(frames: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..frames.len()).collect();
    order.sort_by_key(|&i| frames[i]);
    order
}

/// Parts of a batch that go through the network together: at most [`SHARD`] clips, and `max_frames` frames unless one
/// clip alone is longer.
pub(super) fn shards(frames: impl Iterator<Item = usize>, max_frames: usize) -> Vec<Range<usize>> {
    let mut shards: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (i, frames) in frames.enumerate() {
        match shards.last_mut() {
            Some(shard) if shard.len() < SHARD && sum + frames <= max_frames => {
                shard.end += 1;
                sum += frames;
            }
            _ => {
                shards.push(i..i + 1);
                sum = frames;
            }
        }
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::super::random::{Use, stream};
    use super::*;

    fn example(frames: usize) -> Example {
        let features = Features { data: vec![1.0; frames * 2], frames, dim: 2 };
        Example { features, target: Target::hard(frames), id: frames, item: frames }
    }

    #[test]
    fn every_clip_is_in_one_batch() {
        let mut rng = stream(1, Use::Order { epoch: 1 });
        let mut seen = Vec::new();
        for pool in pools(100, 3, &mut rng) {
            let examples: Vec<_> = pool.iter().map(|&i| example(i + 1)).collect();
            for batch in batches(&examples, 3, &mut rng) {
                assert!(batch.len() <= 3);
                seen.extend(batch.iter().map(|e| e.features.frames - 1));
            }
        }
        seen.sort();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn padding_is_zero_and_lengths_are_kept() {
        let (long, short) = (example(3), example(1));
        let (x, lengths) = pad(&[&short, &long]).unwrap();
        assert_eq!((x.dims(), lengths), (&[2, 3, 2][..], vec![1, 3]));
        let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values, [1., 1., 0., 0., 0., 0., 1., 1., 1., 1., 1., 1.]);
    }

    #[test]
    fn shards_cover_a_batch_and_long_clips_go_alone() {
        assert_eq!(shards([1; SHARD + 1].into_iter(), 100), [0..SHARD, SHARD..SHARD + 1]);
        assert_eq!(shards([3, 3, 3, 90, 2, 2].into_iter(), 8), [0..2, 2..3, 3..4, 4..6]);
        assert!(shards(std::iter::empty(), 8).is_empty());
    }
}
