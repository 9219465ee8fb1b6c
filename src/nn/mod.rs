//! Features `[B, T, D]` -> logits `[B, K]`. Knows nothing of sound or pictures.

pub mod cell;
mod dropout;
pub mod frames;
mod fused;
pub mod head;
pub mod kernels;
pub mod network;
mod packing;
mod pool;
pub mod reference;
pub mod rnn;
mod rows;
mod stack;
pub mod state_dict;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

pub use cell::CellKind;
pub use frames::{FrameStream, Rows};
pub use head::Pooling;
pub use network::{Network, Weights};

/// Upper limits on what a file may ask for, so that a header cannot exhaust memory.
pub const MAX_HIDDEN_SIZE: usize = 4096;
pub const MAX_NUM_LAYERS: usize = 16;
/// Largest number of features per frame and of labels.
pub const MAX_WIDTH: usize = 65_536;

/// The network's shape, in PyTorch's words. Input size and number of labels come from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Recurrent cell. `lstm`, `gru` and the vanilla ones are PyTorch's.
    pub cell: CellKind,
    /// Units per layer and direction.
    pub hidden_size: usize,
    /// Recurrent layers stacked on each other.
    pub num_layers: usize,
    /// Read the sequence in both directions and concatenate.
    pub bidirectional: bool,
    /// Probability of dropping an activation between layers and before the head, in training only.
    pub dropout: f32,
    /// How the frames of a clip become one vector.
    pub pooling: Pooling,
    /// `softmax`: exactly one label holds; `sigmoid`: each label is scored for itself.
    pub output: OutputKind,
}

/// What turns logits into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    #[default]
    Softmax,
    Sigmoid,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Gru,
            hidden_size: 128,
            num_layers: 2,
            bidirectional: true,
            dropout: 0.2,
            pooling: Pooling::Attention,
            output: OutputKind::Softmax,
        }
    }
}

impl NetworkConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        let check =
            |ok: bool, what: String| if ok { Ok(()) } else { Err(Error::new(ErrorKind::Config, what)) };
        check(
            (1..=MAX_HIDDEN_SIZE).contains(&self.hidden_size),
            format!("hidden_size is {}; it must be 1 to {MAX_HIDDEN_SIZE}", self.hidden_size),
        )?;
        check(
            (1..=MAX_NUM_LAYERS).contains(&self.num_layers),
            format!("num_layers is {}; it must be 1 to {MAX_NUM_LAYERS}", self.num_layers),
        )?;
        check(
            (0.0..1.0).contains(&self.dropout),
            format!("dropout is {}; it must be at least 0 and below 1", self.dropout),
        )
    }

    /// Memory that inference takes for a frame, in bytes: what goes in and comes out of a layer, and is pooled.
    pub fn bytes_per_frame(&self, input_size: usize) -> usize {
        let width = self.num_directions() * self.hidden_size;
        4 * (3 * width + 2 * input_size)
    }

    /// Memory that training takes for a frame, in bytes: each layer's output and what its steps keep, the gradients
    /// on their way through a layer, and those of input and output.
    pub fn training_bytes_per_frame(&self, input_size: usize) -> usize {
        let width = self.num_directions() * self.hidden_size;
        4 * (self.num_layers * (1 + self.cell.values_kept()) * width + 10 * width + 3 * input_size)
    }

    /// 2 if bidirectional, else 1.
    pub fn num_directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}
