//! The recurrent cells, one file each: one time step in plain candle tensors.
//!
//! This is the reference: it reads as the formulas do and candle differentiates it.

pub(crate) mod gru;
pub(crate) mod lstm;

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cells that can be chosen by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).
    Lstm,
    /// Gated recurrent unit, reset after the recurrent product, as PyTorch and cuDNN have it
    /// (Cho et al. 2014, v1).
    Gru,
}

/// One layer's weights in one direction, in PyTorch's layout; `G` is [`CellKind::num_gates`].
#[derive(Debug, Clone)]
pub struct CellWeights {
    /// `[G·H, D]`
    pub weight_ih: Tensor,
    /// `[G·H, H]`
    pub weight_hh: Tensor,
    /// `[G·H]`
    pub bias_ih: Tensor,
    /// `[G·H]`
    pub bias_hh: Tensor,
}

/// What a cell carries from one step to the next; each `[B, H]`.
#[derive(Debug, Clone)]
pub struct State {
    /// The hidden state, which is also the output.
    pub h: Tensor,
    /// The memory cell; in a GRU it stays empty.
    pub c: Option<Tensor>,
}

impl CellKind {
    /// Blocks of `H` rows in each weight: LSTM i, f, g, o; GRU r, z, n.
    pub fn num_gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Whether the state has a memory cell beside the hidden state.
    pub fn has_memory(self) -> bool {
        match self {
            Self::Lstm => true,
            Self::Gru => false,
        }
    }

    /// A state of zeros for a batch of `batch`.
    pub fn zero_state(self, batch: usize, hidden_size: usize, like: &Tensor) -> Result<State> {
        let zeros = Tensor::zeros((batch, hidden_size), like.dtype(), like.device())?;
        Ok(match self {
            Self::Lstm => State { h: zeros.clone(), c: Some(zeros) },
            Self::Gru => State { h: zeros, c: None },
        })
    }

    /// One time step: `x [B, D]` and the state before it give the state after it.
    pub fn step(self, x: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
        let input = affine(x, &weights.weight_ih, &weights.bias_ih)?;
        let recurrent = affine(&state.h, &weights.weight_hh, &weights.bias_hh)?;
        match self {
            Self::Lstm => lstm::step(&input, &recurrent, state),
            Self::Gru => gru::step(&input, &recurrent, state),
        }
    }
}

/// `x · Wᵀ + b`
fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}
