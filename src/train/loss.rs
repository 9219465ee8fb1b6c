//! How wrong the network is, and how often it is right.

use candle_core::{D, Device, Tensor};
use candle_nn::ops::log_softmax;

use super::batching::{Example, Target};
use crate::Result;
use crate::nn::OutputKind;

/// What the logits of a batch are measured with.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub output: OutputKind,
    /// Share of the target that is spread over all labels.
    pub smoothing: f64,
}

impl Loss {
    /// Summed over the clips, or over their frames: cross-entropy for softmax, binary cross-entropy for sigmoid, in nats.
    /// `logits` are `[B, K]` or `[B, T, K]`.
    pub fn sum(&self, logits: &Tensor, examples: &[&Example]) -> Result<Tensor> {
        let classes = logits.dim(D::Minus1)?;
        let off = (self.smoothing / classes as f64) as f32;
        let on = (1.0 - self.smoothing) as f32 + off;
        let rows = logits.elem_count() / examples.len();
        let mut target = vec![off; logits.elem_count()];
        let mut weights = vec![0f32; logits.elem_count() / classes];
        let each = target.chunks_exact_mut(rows).zip(weights.chunks_exact_mut(rows / classes));
        for ((target, weights), example) in each.zip(examples) {
            match &example.target {
                Target::Clip(label) => {
                    target[*label] = on;
                    weights[0] = 1.0;
                }
                Target::Frames(truth) => {
                    weights[..truth.weights.len()].copy_from_slice(&truth.weights);
                    for (target, value) in target.iter_mut().zip(&truth.values) {
                        *target += value * (on - off);
                    }
                }
            }
        }
        let target = Tensor::from_vec(target, logits.shape(), &Device::Cpu)?;
        let mut shape = logits.dims().to_vec();
        shape[logits.rank() - 1] = 1;
        let weights = Tensor::from_vec(weights, shape, &Device::Cpu)?;
        let each = match self.output {
            OutputKind::Softmax => (log_softmax(logits, D::Minus1)? * target)?.neg()?,
            // max(x, 0) - x·t + ln(1 + e^-|x|) never overflows.
            OutputKind::Sigmoid => {
                let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
                ((logits.relu()? - (logits * target)?)? + tail)?
            }
        };
        Ok(each.broadcast_mul(&weights)?.sum_all()?)
    }
}

/// Clips, or frames of which something is known.
pub(super) fn weight(examples: &[&Example]) -> f64 {
    examples.iter().map(|example| example.weight()).sum()
}

/// Clips that are right; or frames in which every label is.
pub(super) fn count_correct(logits: &Tensor, examples: &[&Example], output: OutputKind) -> Result<f64> {
    let classes = logits.dim(D::Minus1)?;
    let rows = logits.elem_count() / examples.len();
    let values = logits.flatten_all()?.to_vec1::<f32>()?;
    let best = |row: &[f32]| (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    let mut correct = 0.0;
    for (values, example) in values.chunks_exact(rows).zip(examples) {
        match &example.target {
            Target::Clip(label) => correct += f64::from(u8::from(best(values) == *label)),
            Target::Frames(truth) => {
                let frames = values.chunks_exact(classes).zip(truth.values.chunks_exact(classes));
                for ((logits, truth), &weight) in frames.zip(&truth.weights) {
                    let right = match output {
                        OutputKind::Softmax => truth[best(logits)] == 1.0,
                        OutputKind::Sigmoid => {
                            logits.iter().zip(truth).all(|(l, t)| (*l > 0.0) == (*t > 0.5))
                        }
                    };
                    correct += f64::from(weight) * f64::from(u8::from(right));
                }
            }
        }
    }
    Ok(correct)
}
