//! Features `[B, T, D]` -> logits `[B, K]`. Knows nothing of sound or pictures.
//!
//! [`Network`] is what models are made of. For sequences of symbols there are [`seq2seq`], which reads one and writes another,
//! [`attention`] between them, and [`decode`], which draws symbols or looks for the likeliest.

pub mod attention;
pub mod cell;
pub mod conv;
pub mod decode;
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
pub mod seq2seq;
mod shape;
mod stack;
pub mod state_dict;
mod values;

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Error, ErrorKind, Result};

pub use cell::CellKind;
pub use conv::NormStatistics;
pub use frames::{FrameStream, Rows};
pub use head::Pooling;
pub use network::{Network, Weights};
pub use shape::FrameShape;

/// Upper limits on what a file may ask for, so that a header cannot exhaust memory.
pub const MAX_HIDDEN_SIZE: usize = 4096;
pub const MAX_NUM_LAYERS: usize = 16;
pub const MAX_CONV_LAYERS: usize = 8;
pub const MAX_CONV_CHANNELS: usize = 1024;
pub const MAX_CONV_POOL: usize = 16;
/// Largest number of features per frame and of labels.
pub const MAX_WIDTH: usize = 65_536;

/// The network's shape, in PyTorch's words. Input size and number of labels come from the data.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Convolutions in front of the recurrent layers, and how many channels each of them has, such as [16, 32, 64]. For
    /// features that keep the picture: 3x3, stride 2, ReLU over each frame. For spectrograms: 3x3 over time and frequency,
    /// batch norm, ReLU, max pooling; a norm is that of up to 16 clips, of fewer where they are long: cut them (random_crop,
    /// window). Empty: none.
    pub conv_channels: Vec<usize>,
    /// For spectrograms: [frames, bands] that the pooling behind each convolution makes one, such as [[1, 2], [1, 2], [1, 2]];
    /// 1 to 16 each. A model that tags frames keeps them all: the first number is 1.
    pub conv_pool: Vec<[usize; 2]>,
    /// Numbers that a linear layer (with ReLU) behind the convolutions makes of each frame.
    pub conv_output_size: usize,
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
            conv_channels: Vec::new(),
            conv_pool: Vec::new(),
            conv_output_size: 64,
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
            self.conv_channels.len() <= MAX_CONV_LAYERS,
            format!(
                "conv_channels has {} layers; at most {MAX_CONV_LAYERS} are allowed",
                self.conv_channels.len()
            ),
        )?;
        for &channels in &self.conv_channels {
            check(
                (1..=MAX_CONV_CHANNELS).contains(&channels),
                format!("conv_channels has a layer of {channels}; it must be 1 to {MAX_CONV_CHANNELS}"),
            )?;
        }
        let is_one_each = self.conv_pool.is_empty() || self.conv_pool.len() == self.conv_channels.len();
        check(
            is_one_each,
            format!(
                "conv_pool has {} layers and conv_channels {}; one pair is due for each",
                self.conv_pool.len(),
                self.conv_channels.len()
            ),
        )?;
        for pool in &self.conv_pool {
            check(
                pool.iter().all(|size| (1..=MAX_CONV_POOL).contains(size)),
                format!("conv_pool has a pair of {pool:?}; both must be 1 to {MAX_CONV_POOL}"),
            )?;
            check(
                pool[0] == 1 || self.pooling != Pooling::None,
                format!(
                    "conv_pool has a pair of {pool:?}; where every frame is tagged its first number is 1"
                ),
            )?;
        }
        check(
            (1..=MAX_HIDDEN_SIZE).contains(&self.conv_output_size),
            format!("conv_output_size is {}; it must be 1 to {MAX_HIDDEN_SIZE}", self.conv_output_size),
        )?;
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

    /// Checks that the network can take frames of `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings out of range, and for convolutions over frames that have nothing for them.
    pub fn check_frames(&self, shape: impl Into<FrameShape>) -> Result<()> {
        self.validate()?;
        conv::check(self, shape.into())
    }

    /// Memory that inference takes for a frame, in bytes: what goes in and comes out of a layer, and is pooled.
    pub fn bytes_per_frame(&self, shape: impl Into<FrameShape>) -> usize {
        let shape = shape.into();
        let width = self.num_directions() * self.hidden_size;
        let before = if self.conv_channels.is_empty() { 0 } else { shape.len() };
        4 * (3 * width + 2 * conv::output_size(self, shape) + before)
    }

    /// Memory that training takes for a frame, in bytes: each layer's output and what its steps keep, the gradients
    /// on their way through a layer, and those of input and output.
    pub fn training_bytes_per_frame(&self, shape: impl Into<FrameShape>) -> usize {
        let shape = shape.into();
        let width = self.num_directions() * self.hidden_size;
        let before = if self.conv_channels.is_empty() { 0 } else { 3 * shape.len() };
        let kept = self.num_layers * (1 + self.cell.values_kept()) * width + conv::values_kept(self, shape);
        4 * (kept + 10 * width + 3 * conv::output_size(self, shape) + before)
    }

    /// 2 if bidirectional, else 1.
    pub fn num_directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

/// By hand because settings of convolutions that are not there are left out.
impl Serialize for NetworkConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self {
            conv_channels,
            conv_pool,
            conv_output_size,
            cell,
            hidden_size,
            num_layers,
            bidirectional,
            dropout,
            pooling,
            output,
        } = self;
        let has_convolutions = !conv_channels.is_empty();
        let more = if has_convolutions { 2 + usize::from(!conv_pool.is_empty()) } else { 0 };
        let mut fields = serializer.serialize_struct("NetworkConfig", 7 + more)?;
        if has_convolutions {
            fields.serialize_field("conv_channels", conv_channels)?;
            if !conv_pool.is_empty() {
                fields.serialize_field("conv_pool", conv_pool)?;
            }
            fields.serialize_field("conv_output_size", conv_output_size)?;
        }
        fields.serialize_field("cell", cell)?;
        fields.serialize_field("hidden_size", hidden_size)?;
        fields.serialize_field("num_layers", num_layers)?;
        fields.serialize_field("bidirectional", bidirectional)?;
        fields.serialize_field("dropout", dropout)?;
        fields.serialize_field("pooling", pooling)?;
        fields.serialize_field("output", output)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_convolutions_are_written_where_there_are_some() {
        let plain = NetworkConfig::default();
        let front = NetworkConfig { conv_channels: vec![16, 32], conv_output_size: 48, ..plain.clone() };
        for config in [&plain, &front] {
            let json = serde_json::to_value(config).unwrap();
            let is_front = *config == front;
            assert_eq!(json.get("conv_channels").is_some(), is_front);
            assert_eq!(json.get("conv_output_size").is_some(), is_front);
            assert_eq!(serde_json::from_value::<NetworkConfig>(json).unwrap(), *config);
        }
    }

    #[test]
    fn memory_counts_the_convolutions() {
        let plain = NetworkConfig::default();
        assert_eq!(plain.bytes_per_frame(10), 4 * (3 * 256 + 2 * 10));
        assert_eq!(plain.training_bytes_per_frame(10), 4 * (2 * 5 * 256 + 10 * 256 + 3 * 10));
        let front = NetworkConfig { conv_channels: vec![4], conv_output_size: 6, ..plain };
        let shape = FrameShape { channels: 1, height: 8, width: 8, rest: 2 };
        assert_eq!(front.bytes_per_frame(shape), 4 * (3 * 256 + 2 * 8 + 66));
        // The planes that training keeps have a border: 6 x 6.
        let kept = 2 * 5 * 256 + 4 * 6 * 6 + 6;
        assert_eq!(front.training_bytes_per_frame(shape), 4 * (kept + 10 * 256 + 3 * 8 + 3 * 66));
    }
}
