//! The recurrent cells, one file each: one time step in plain candle tensors, and what the fused scan does with the
//! numbers of one unit.
//!
//! The plain step is the reference: it reads as the formulas do and candle differentiates it.

pub(crate) mod gru;
pub(crate) mod gru_reset_before;
pub(crate) mod lstm;
pub(crate) mod lstm_coupled;
pub(crate) mod lstm_peephole;
pub(crate) mod rnn;

use candle_core::{Result, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernels::{Gates, PEEPHOLE_GATES, Peepholes};

/// The cells that can be chosen by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// The vanilla recurrent network with tanh (Elman 1990).
    RnnTanh,
    /// The vanilla recurrent network with max(0, ·).
    RnnRelu,
    /// Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).
    Lstm,
    /// LSTM whose gates see the memory cell through full matrices.
    LstmPeephole,
    /// LSTM whose gates see the memory cell unit by unit (Gers & Schmidhuber 2000).
    LstmPeepholeDiagonal,
    /// LSTM that takes in as much as it forgets (Greff et al. 2017).
    LstmCoupled,
    /// Gated recurrent unit, reset after the recurrent product, as PyTorch and cuDNN have it
    /// (Cho et al. 2014, v1).
    Gru,
    /// Gated recurrent unit, reset before the recurrent product (Cho et al. 2014).
    GruResetBefore,
}

/// Evaluates an expression with the type that a cell's [`Gates`] are.
macro_rules! with_gates {
    ($kind:expr, $gates:ident => $body:expr) => {{
        use $crate::nn::cell::{CellKind, gru, gru_reset_before, lstm, lstm_coupled, lstm_peephole, rnn};
        match $kind {
            CellKind::RnnTanh => {
                type $gates = rnn::FusedTanh;
                $body
            }
            CellKind::RnnRelu => {
                type $gates = rnn::FusedRelu;
                $body
            }
            CellKind::Lstm => {
                type $gates = lstm::Fused;
                $body
            }
            CellKind::LstmPeephole => {
                type $gates = lstm_peephole::FusedFull;
                $body
            }
            CellKind::LstmPeepholeDiagonal => {
                type $gates = lstm_peephole::FusedDiagonal;
                $body
            }
            CellKind::LstmCoupled => {
                type $gates = lstm_coupled::Fused;
                $body
            }
            CellKind::Gru => {
                type $gates = gru::Fused;
                $body
            }
            CellKind::GruResetBefore => {
                type $gates = gru_reset_before::Fused;
                $body
            }
        }
    }};
}
pub(crate) use with_gates;

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
    /// Between the memory cell and the gates i, f, o: `[3·H, H]`, or `[3, H]` if diagonal; only with peepholes.
    pub weight_ch: Option<Tensor>,
}

impl CellWeights {
    /// Whether a gradient of any of them may be wanted.
    pub(super) fn track_op(&self) -> bool {
        self.all().any(Tensor::track_op)
    }

    /// In the order in which a layer takes them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Tensor> {
        let all = [Some(&self.weight_ih), Some(&self.bias_ih), Some(&self.weight_hh), Some(&self.bias_hh)];
        all.into_iter().chain([self.weight_ch.as_ref()]).flatten()
    }

    fn peepholes(&self) -> Result<&Tensor> {
        match &self.weight_ch {
            Some(weight) => Ok(weight),
            None => bail!("an LSTM with peepholes has no weight_ch"),
        }
    }
}

/// What a cell carries from one step to the next; each `[B, H]`.
#[derive(Debug, Clone)]
pub struct State {
    /// The hidden state, which is also the output.
    pub h: Tensor,
    /// The memory cell; in a GRU and a vanilla network there is none.
    pub c: Option<Tensor>,
}

impl State {
    fn memory(&self) -> Result<&Tensor> {
        match &self.c {
            Some(c) => Ok(c),
            None => bail!("an LSTM needs a memory cell in its state"),
        }
    }
}

impl CellKind {
    pub const ALL: [Self; 8] = [
        Self::RnnTanh,
        Self::RnnRelu,
        Self::Lstm,
        Self::LstmPeephole,
        Self::LstmPeepholeDiagonal,
        Self::LstmCoupled,
        Self::Gru,
        Self::GruResetBefore,
    ];

    /// Blocks of `H` rows in each weight: vanilla 1; LSTM i, f, g, o; coupled f, g, o; GRU r, z, n.
    pub fn num_gates(self) -> usize {
        with_gates!(self, C => C::GATES)
    }

    /// Values that a unit's step keeps for the way back.
    pub(super) fn values_kept(self) -> usize {
        with_gates!(self, C => C::SAVED)
    }

    /// Whether the state has a memory cell beside the hidden state.
    pub fn has_memory(self) -> bool {
        with_gates!(self, C => C::MEMORY.is_some())
    }

    /// Shape of `weight_ch`, for a cell with peepholes.
    pub fn peephole_shape(self, hidden_size: usize) -> Option<Vec<usize>> {
        match with_gates!(self, C => C::PEEPHOLES) {
            Peepholes::None => None,
            Peepholes::Diagonal => Some(vec![PEEPHOLE_GATES, hidden_size]),
            Peepholes::Full => Some(vec![PEEPHOLE_GATES * hidden_size, hidden_size]),
        }
    }

    /// One time step: `x [B, D]` and the state before it give the state after it.
    pub fn step(self, x: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
        let input = affine(x, &weights.weight_ih, &weights.bias_ih)?;
        let step = match self {
            Self::RnnTanh => rnn::tanh_step,
            Self::RnnRelu => rnn::relu_step,
            Self::Lstm => lstm::step,
            Self::LstmPeephole => lstm_peephole::full_step,
            Self::LstmPeepholeDiagonal => lstm_peephole::diagonal_step,
            Self::LstmCoupled => lstm_coupled::step,
            Self::Gru => gru::step,
            Self::GruResetBefore => gru_reset_before::step,
        };
        step(&input, state, weights)
    }
}

/// `x · Wᵀ + b`
fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}
