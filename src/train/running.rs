//! Running statistics of batch norms: what inference uses in place of a batch's own.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::Result;
use crate::nn::NormStatistics;

/// How much of a batch's statistics a step takes over: PyTorch's.
const MOMENTUM: f64 = 0.1;

/// Moves the running statistics towards those of a batch, whose shards give them in their order and by norm. As in PyTorch
/// the running variance is the unbiased one.
pub(super) fn follow(tensors: &BTreeMap<String, Var>, shards: &[Vec<NormStatistics>]) -> Result<()> {
    let norms = shards.iter().map(Vec::len).min().unwrap_or(0);
    for l in 0..norms {
        let of_norm: Vec<&NormStatistics> = shards.iter().map(|shard| &shard[l]).collect();
        let (mean, variance) = together(&of_norm);
        move_towards(&tensors[&format!("conv.{l}.norm.running_mean")], &mean)?;
        move_towards(&tensors[&format!("conv.{l}.norm.running_var")], &variance)?;
    }
    Ok(())
}

/// Mean and unbiased variance of all shards' pixels (Chan et al. 1983).
fn together(shards: &[&NormStatistics]) -> (Vec<f64>, Vec<f64>) {
    let count: f64 = shards.iter().map(|shard| shard.count as f64).sum();
    let channels = shards.first().map_or(0, |shard| shard.mean.len());
    let of_channel = |c: usize| {
        let means = shards.iter().map(|shard| shard.count as f64 * f64::from(shard.mean[c]));
        let mean = means.sum::<f64>() / count;
        let squares = shards.iter().map(|shard| {
            let off = f64::from(shard.mean[c]) - mean;
            shard.count as f64 * (f64::from(shard.variance[c]) + off * off)
        });
        (mean, squares.sum::<f64>() / (count - 1.0).max(1.0))
    };
    (0..channels).map(of_channel).unzip()
}

fn move_towards(running: &Var, batch: &[f64]) -> Result<()> {
    let now = running.to_vec1::<f32>()?;
    let moved = now
        .iter()
        .zip(batch)
        .map(|(&now, batch)| (f64::from(now) * (1.0 - MOMENTUM) + MOMENTUM * batch) as f32);
    let moved: Vec<f32> = moved.collect();
    Ok(running.set(&Tensor::from_vec(moved, running.shape(), running.device())?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// ```python
    /// norm = torch.nn.BatchNorm1d(1).train()
    /// norm(torch.tensor([[1.0], [3.0], [8.0]])); norm.running_mean, norm.running_var  # 0.4, 2.2
    /// ```
    #[test]
    fn shards_move_the_running_statistics_as_pytorch_moves_them_for_the_batch() {
        let var = |value: f32| Var::from_slice(&[value], 1, &Device::Cpu).unwrap();
        let tensors: BTreeMap<String, Var> = [("mean", 0.0), ("var", 1.0)]
            .map(|(name, value)| (format!("conv.0.norm.running_{name}"), var(value)))
            .into();
        // Of 1 and 3, and of 8.
        let shard = |mean, variance, count| {
            vec![NormStatistics { mean: vec![mean], variance: vec![variance], count }]
        };
        follow(&tensors, &[shard(2.0, 1.0, 2), shard(8.0, 0.0, 1)]).unwrap();
        for (name, expected) in [("mean", 0.4), ("var", 2.2)] {
            let value = tensors[&format!("conv.0.norm.running_{name}")].to_dtype(DType::F64).unwrap();
            assert!((value.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-6, "{name}: {value}");
        }
    }

    #[test]
    fn a_front_end_that_stays_as_it_is_moves_nothing() {
        follow(&BTreeMap::new(), &[Vec::new(), Vec::new()]).unwrap();
    }
}
