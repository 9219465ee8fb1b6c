//! The end of a many-to-one network: pooling over time. A many-to-many network has none.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rnn::RnnOutput;

/// How the frames `[T, H]` of a clip become one vector `[H]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The state after the last step of each direction.
    Last,
    /// The mean over the valid frames.
    Mean,
    /// The maximum over the valid frames.
    Max,
    /// A mean weighted by `softmax_t(w · h_t)` with a learned `w` (Raffel & Ellis 2015).
    Attention,
    /// They do not: every frame has logits of its own (task `tag`).
    None,
}

impl Pooling {
    /// Names and shapes of the pooling's own weights; `width` is `num_directions·H`.
    pub fn shapes(self, width: usize) -> Vec<(String, Vec<usize>)> {
        match self {
            Self::Last | Self::Mean | Self::Max | Self::None => Vec::new(),
            Self::Attention => vec![("attention.weight".to_string(), vec![1, width])],
        }
    }

    /// `[B, T, H]` -> `[B, H]`; every length must be at least 1.
    pub fn forward(self, rnn: &RnnOutput, lengths: &[usize], attention: Option<&Tensor>) -> Result<Tensor> {
        let x = &rnn.output;
        match self {
            Self::Last => Ok(rnn.last.clone()),
            // Frames beyond a length are zero already.
            Self::Mean => {
                let inverse: Vec<f32> = lengths.iter().map(|&length| 1.0 / length as f32).collect();
                x.sum(1)?.broadcast_mul(&Tensor::from_vec(inverse, (lengths.len(), 1), x.device())?)
            }
            Self::Max => x.broadcast_add(&padding_penalty(lengths, x)?)?.max(1),
            Self::Attention => {
                let weight =
                    attention.ok_or_else(|| candle_core::Error::Msg("attention has no weight".into()))?;
                let scores = x.broadcast_matmul(&weight.t()?)?.add(&padding_penalty(lengths, x)?)?;
                let alpha = softmax(&scores.squeeze(D::Minus1)?, D::Minus1)?;
                // [B, 1, T] · [B, T, H]
                alpha.unsqueeze(1)?.matmul(x)?.squeeze(1)
            }
            Self::None => candle_core::bail!("a network without pooling gives no vector for a clip"),
        }
    }
}

/// `[B, T, 1]`: 0 on valid frames, a number so low beyond them that they are never the maximum
/// and get exactly no weight.
pub(super) fn padding_penalty(lengths: &[usize], x: &Tensor) -> Result<Tensor> {
    let (batch, frames, _) = x.dims3()?;
    let penalty: Vec<f32> = lengths
        .iter()
        .flat_map(|&length| (0..frames).map(move |t| if t < length { 0.0 } else { -1e30 }))
        .collect();
    Tensor::from_vec(penalty, (batch, frames, 1), x.device())
}
