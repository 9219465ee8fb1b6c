//! Attention: what a decoder looks up in everything that an encoder has read.
//!
//! A query q (the decoder's state) is scored against every frame m_s of the memory (the encoder's outputs); the scores
//! become weights that sum to 1, and the context is the mean of the frames under these weights:
//!
//! ```text
//! α_s = exp(score(q, m_s)) / Σ_s' exp(score(q, m_s'))      context = Σ_s α_s m_s
//!
//! dot       score(q, m) = q · m                            (Luong et al. 2015, eq. 8)
//! general   score(q, m) = q · (W m)                        (Luong et al. 2015, eq. 8)
//! additive  score(q, m) = v · tanh(W_q q + W_m m)          (Bahdanau et al. 2015, A.1.2)
//! ```

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use serde::{Deserialize, Serialize};

use super::head::padding_penalty;
use crate::{Error, ErrorKind, Result};

/// How well a query fits a frame of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Nothing is learned; query and memory are equally wide.
    Dot,
    /// `weight [Q, M]`.
    General,
    /// `query.weight [Q, Q]`, `memory.weight [Q, M]` and `v [1, Q]`.
    Additive,
}

/// Attention with its weights.
#[derive(Debug, Clone)]
pub struct Attention {
    score: Score,
    /// Those of [`Score::shapes`], in their order.
    weights: Vec<Tensor>,
}

/// What attention gives for each query.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `[B, T, M]`
    pub context: Tensor,
    /// How much of each frame of the memory is in it, `[B, T, S]`: each row sums to 1, and what lies beyond a sequence's length
    /// has nothing.
    pub weights: Tensor,
}

impl Score {
    /// Names and shapes of the weights for queries of width `query` and a memory of width `memory`.
    pub fn shapes(self, query: usize, memory: usize) -> Vec<(String, Vec<usize>)> {
        let shapes = match self {
            Self::Dot => vec![],
            Self::General => vec![("weight", [query, memory])],
            Self::Additive => {
                vec![("query.weight", [query, query]), ("memory.weight", [query, memory]), ("v", [1, query])]
            }
        };
        shapes.into_iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect()
    }
}

impl Attention {
    /// Takes the weights under the names of [`Score::shapes`].
    pub fn new(score: Score, mut weight: impl FnMut(&str) -> Result<Tensor>) -> Result<Self> {
        // The names are the same for all widths.
        let weights = score.shapes(1, 1).iter().map(|(name, _)| weight(name)).collect::<Result<_>>()?;
        Ok(Self { score, weights })
    }

    /// `query [B, T, Q]` and `memory [B, S, M]`, of which sequence `b` has `lengths[b]` valid frames, 1 to S.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where shapes or lengths do not fit.
    pub fn forward(&self, query: &Tensor, memory: &Tensor, lengths: &[usize]) -> Result<Attended> {
        self.check(query, memory, lengths)?;
        let penalty = padding_penalty(lengths, memory)?.transpose(1, 2)?;
        let scores = self.scores(query, memory)?.broadcast_add(&penalty)?;
        let weights = softmax(&scores, D::Minus1)?;
        Ok(Attended { context: weights.matmul(&memory.contiguous()?)?, weights })
    }

    /// `[B, T, S]`
    fn scores(&self, query: &Tensor, memory: &Tensor) -> candle_core::Result<Tensor> {
        let query = query.contiguous()?;
        match (self.score, self.weights.as_slice()) {
            (Score::General, [weight]) => {
                let keys = memory.contiguous()?.broadcast_matmul(&weight.t()?)?;
                query.matmul(&keys.t()?)
            }
            (Score::Additive, [of_query, of_memory, v]) => {
                // [B, T, 1, Q] + [B, 1, S, Q]
                let query = query.broadcast_matmul(&of_query.t()?)?.unsqueeze(2)?;
                let memory = memory.contiguous()?.broadcast_matmul(&of_memory.t()?)?.unsqueeze(1)?;
                query.broadcast_add(&memory)?.tanh()?.broadcast_mul(v)?.sum(D::Minus1)
            }
            _ => query.matmul(&memory.t()?),
        }
    }

    fn check(&self, query: &Tensor, memory: &Tensor, lengths: &[usize]) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let (&[batch, _, q], &[memories, frames, m]) = (query.dims(), memory.dims()) else {
            return wrong(format!(
                "query {:?} and memory {:?}: they must be [B, T, Q] and [B, S, M]",
                query.dims(),
                memory.dims()
            ));
        };
        if batch != memories || batch != lengths.len() {
            let given = lengths.len();
            return wrong(format!("{batch} queries, {memories} memories, {given} lengths: one each is due"));
        }
        if let Some(length) = lengths.iter().find(|&&length| length == 0 || length > frames) {
            return wrong(format!("a length is {length}; it must be 1 to {frames}, the memory's frames"));
        }
        let expected = self.score.shapes(q, m);
        if self.score == Score::Dot && q != m {
            return wrong(format!("a query of {q} and a memory of {m}: dot takes the same of both"));
        }
        for (weight, (name, shape)) in self.weights.iter().zip(expected) {
            if weight.dims() != shape {
                return wrong(format!("{name} has shape {:?}; it must be {shape:?}", weight.dims()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// `torch.sin(step * torch.arange(n)).reshape(shape)`
    fn wave(shape: &[usize], step: f32) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (step * i as f32).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn close(actual: &Tensor, expected: &[f32]) {
        let actual = actual.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(actual.len(), expected.len());
        assert!(actual.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-5), "{actual:?} {expected:?}");
    }

    fn attention(score: Score, query: usize, memory: usize) -> Attention {
        let shapes = score.shapes(query, memory);
        Attention::new(score, |name| {
            let (_, shape) = shapes.iter().find(|(n, _)| n == name).unwrap();
            Ok(wave(shape, 1.5))
        })
        .unwrap()
    }

    // import torch
    // def wave(shape, step): return torch.sin(step * torch.arange(torch.Size(shape).numel())).reshape(shape)
    // lengths = torch.tensor([3, 2])
    // def attend(scores, m):
    //     mask = torch.arange(3)[None, None] >= lengths[:, None, None]
    //     w = scores.masked_fill(mask, -torch.inf).softmax(-1)
    //     print([round(v, 6) for v in w.flatten().tolist()], [round(v, 6) for v in (w @ m).flatten().tolist()])
    // q, m2, m = wave([2, 2, 2], 2), wave([2, 3, 2], 3), wave([2, 3, 4], 1)
    // attend(q @ m2.mT, m2)                                                             # dot
    // attend(torch.nn.functional.bilinear(                                              # general
    //     q[:, :, None].expand(2, 2, 3, 2).contiguous(), m[:, None].expand(2, 2, 3, 4).contiguous(),
    //     wave([2, 4], 1.5)[None]).squeeze(-1), m)
    // F = torch.nn.functional
    // attend(F.linear(torch.tanh(F.linear(q, wave([2, 2], 1.5))[:, :, None]              # additive
    //     + F.linear(m, wave([2, 4], 1.5))[:, None]), wave([1, 2], 1.5)).squeeze(-1), m)
    #[test]
    fn contexts_are_those_of_pytorch() {
        let (two, four) = (wave(&[2, 3, 2], 3.0), wave(&[2, 3, 4], 1.0));
        let cases = [
            (
                Score::Dot,
                &two,
                &[
                    0.258515, 0.330753, 0.410731, 0.290085, 0.332259, 0.377656, 0.554304, 0.445696, 0.0,
                    0.449784, 0.550216, 0.0,
                ],
                &[-0.312805, 0.439885, -0.295478, 0.423452, -0.819888, 0.890014, -0.836046, 0.902528][..],
            ),
            (
                Score::General,
                &four,
                &[
                    0.529126, 0.058546, 0.412328, 0.069049, 0.879192, 0.051759, 0.556964, 0.443036, 0.0,
                    0.734707, 0.265293, 0.0,
                ],
                &[
                    0.363633, 0.559031, 0.240459, -0.29919, -0.614166, -0.763645, -0.211032, 0.535603,
                    -0.426403, -0.191915, 0.219019, 0.428588, -0.470603, 0.053648, 0.528575, 0.517532,
                ][..],
            ),
            (
                Score::Additive,
                &four,
                &[
                    0.479313, 0.155464, 0.365224, 0.478522, 0.090129, 0.431349, 0.787508, 0.212492, 0.0,
                    0.598315, 0.401685, 0.0,
                ],
                &[
                    0.243682, 0.404765, 0.193709, -0.195442, 0.358549, 0.494002, 0.175272, -0.304602,
                    -0.483733, 0.126595, 0.620532, 0.543954, -0.436686, -0.134786, 0.291036, 0.449281,
                ][..],
            ),
        ];
        for (score, memory, weights, context) in cases {
            let attention = attention(score, 2, memory.dim(2).unwrap());
            let actual = attention.forward(&wave(&[2, 2, 2], 2.0), memory, &[3, 2]).unwrap();
            close(&actual.weights, weights);
            close(&actual.context, context);
        }
    }

    #[test]
    fn what_lies_beyond_a_length_changes_nothing() {
        for score in [Score::General, Score::Additive] {
            let attention = attention(score, 2, 4);
            let (query, memory) = (wave(&[1, 2, 2], 1.0), wave(&[1, 3, 4], 1.0));
            let padded =
                Tensor::cat(&[&memory, &Tensor::full(1e4f32, (1, 2, 4), &Device::Cpu).unwrap()], 1).unwrap();
            let alone = attention.forward(&query, &memory, &[3]).unwrap();
            let beside = attention.forward(&query, &padded, &[3]).unwrap();
            let context = alone.context.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            close(&beside.context, &context);
        }
    }

    #[test]
    fn gradients_flow_to_query_memory_and_weights() {
        for score in [Score::Dot, Score::General, Score::Additive] {
            let vars: Vec<Var> = score
                .shapes(2, 2)
                .iter()
                .map(|(_, shape)| Var::from_tensor(&wave(shape, 1.0)).unwrap())
                .collect();
            let mut weights = vars.iter();
            let attention =
                Attention::new(score, |_| Ok(weights.next().unwrap().as_tensor().clone())).unwrap();
            let query = Var::from_tensor(&wave(&[1, 2, 2], 1.0)).unwrap();
            let memory = Var::from_tensor(&wave(&[1, 3, 2], 0.7)).unwrap();
            let loss = |q: &Tensor, m: &Tensor| {
                let context = attention.forward(q, m, &[2]).unwrap().context;
                (context.sqr().unwrap()).sum_all().unwrap()
            };
            let gradients = loss(&query, &memory).backward().unwrap();
            for var in &vars {
                assert!(gradients.get(var).is_some(), "{score:?}");
            }
            // Against a difference of the loss itself, for one number of each.
            for (var, is_query) in [(&query, true), (&memory, false)] {
                let moved = |by: f32| {
                    let mut values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    values[1] += by;
                    let moved = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
                    let value = if is_query { loss(&moved, &memory) } else { loss(&query, &moved) };
                    value.to_scalar::<f32>().unwrap()
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let actual = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[1];
                assert!((actual - expected).abs() < 2e-3, "{score:?}: {actual} {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dot = attention(Score::Dot, 2, 2);
        let message = |q: &[usize], m: &[usize], lengths: &[usize]| {
            dot.forward(&wave(q, 1.0), &wave(m, 1.0), lengths).unwrap_err().message
        };
        assert!(message(&[1, 2, 2], &[1, 3, 4], &[3]).contains("dot takes the same"));
        assert!(message(&[1, 2, 2], &[1, 3, 2], &[4]).contains("1 to 3"));
        assert!(message(&[1, 2, 2], &[1, 3, 2], &[0]).contains("1 to 3"));
        assert!(message(&[2, 2, 2], &[1, 3, 2], &[3]).contains("one each"));
        assert!(message(&[2, 2], &[1, 3, 2], &[3]).contains("[B, T, Q]"));
    }
}
