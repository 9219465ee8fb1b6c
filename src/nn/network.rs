//! The whole network: convolutions over each frame or none, recurrent layers, pooling (many-to-one) or none
//! (many-to-many), linear.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::conv::{self, FrontEnd, NormStatistics};
use super::dropout::dropout;
use super::kernels::Isa;
use super::rnn::{Rnn, RnnOutput, RnnState};
use super::{FrameShape, MAX_WIDTH, NetworkConfig, Pooling};
use crate::{Error, ErrorKind, Result};

/// Weights by name: `conv.0.weight`, `rnn.weight_ih_l0`, `attention.weight`, `head.weight`, ...
pub type Weights = BTreeMap<String, Tensor>;

/// Frames `[B, T, D]` in, logits out: `[B, K]` with pooling, `[B, T, K]` without.
#[derive(Debug, Clone)]
pub struct Network {
    config: NetworkConfig,
    shape: FrameShape,
    front_end: Option<FrontEnd>,
    rnn: Rnn,
    attention: Option<Tensor>,
    head_weight: Tensor,
    head_bias: Tensor,
}

impl Network {
    /// Names and shapes of all weights for frames of `shape` and `num_classes` labels.
    pub fn shapes(
        config: &NetworkConfig,
        shape: impl Into<FrameShape>,
        num_classes: usize,
    ) -> Vec<(String, Vec<usize>)> {
        let shape = shape.into();
        let width = config.num_directions() * config.hidden_size;
        let named = |prefix: &'static str| move |(name, shape)| (format!("{prefix}.{name}"), shape);
        let mut shapes: Vec<_> = FrontEnd::shapes(config, shape).into_iter().map(named("conv")).collect();
        shapes.extend(Rnn::shapes(config, conv::output_size(config, shape)).into_iter().map(named("rnn")));
        shapes.extend(config.pooling.shapes(width));
        shapes.push(("head.weight".to_string(), vec![num_classes, width]));
        shapes.push(("head.bias".to_string(), vec![num_classes]));
        shapes
    }

    /// Fresh weights as PyTorch initialises them, uniform in ±1/√fan, the same for the same seed. For convolutions and
    /// the linear layer behind them the fan is the number of values that a sum runs over. Norms begin as they leave a
    /// normalised value. Among them are running statistics, which are not trained ([`conv::is_running_statistic`]).
    pub fn init(
        config: &NetworkConfig,
        shape: impl Into<FrameShape>,
        num_classes: usize,
        seed: u64,
    ) -> Result<BTreeMap<String, Var>> {
        let shape = shape.into();
        check_sizes(config, shape, num_classes)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut vars = BTreeMap::new();
        let mut conv_fan = 1;
        for (name, shape) in Self::shapes(config, shape, num_classes) {
            if name.contains(".norm.") {
                let is_one = name.ends_with(".weight") || name.ends_with("_var");
                let values = vec![if is_one { 1f32 } else { 0.0 }; shape.iter().product()];
                vars.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
                continue;
            }
            let fan = if name.starts_with("conv.") {
                // A bias follows its weights.
                conv_fan = if shape.len() > 1 { shape[1..].iter().product() } else { conv_fan };
                conv_fan
            } else if name.starts_with("rnn.") {
                config.hidden_size
            } else {
                config.num_directions() * config.hidden_size
            };
            let bound = 1.0 / (fan as f32).sqrt();
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|_| rng.random_range(-bound..=bound)).collect();
            vars.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
        }
        Ok(vars)
    }

    /// Builds the network from named weights.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] names a tensor that is missing, superfluous or of the wrong shape; [`ErrorKind::Config`] for
    /// convolutions over frames that have no planes.
    pub fn new(
        config: &NetworkConfig,
        shape: impl Into<FrameShape>,
        num_classes: usize,
        weights: &Weights,
    ) -> Result<Self> {
        let shape = shape.into();
        check_sizes(config, shape, num_classes)?;
        let shapes: BTreeMap<_, _> = Self::shapes(config, shape, num_classes).into_iter().collect();
        for (name, shape) in &shapes {
            let tensor = weights
                .get(name)
                .ok_or_else(|| Error::new(ErrorKind::Model, format!("tensor `{name}` is missing")))?;
            if tensor.dims() != shape {
                let message = format!(
                    "tensor `{name}` has shape {:?} where the configuration asks for {shape:?}",
                    tensor.dims()
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        if let Some(name) = weights.keys().find(|name| !shapes.contains_key(*name)) {
            return Err(Error::new(
                ErrorKind::Model,
                format!("tensor `{name}` has no place in this network"),
            ));
        }
        Ok(Self {
            config: config.clone(),
            shape,
            front_end: FrontEnd::new(config, shape, |name| Ok(weights[&format!("conv.{name}")].clone()))?,
            rnn: Rnn::new(config, |name| Ok(weights[&format!("rnn.{name}")].clone()))?,
            attention: weights.get("attention.weight").cloned(),
            head_weight: weights["head.weight"].clone(),
            head_bias: weights["head.bias"].clone(),
        })
    }

    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Features a frame, `D`.
    pub fn input_size(&self) -> usize {
        self.shape.len()
    }

    /// What a frame holds.
    pub fn frame_shape(&self) -> FrameShape {
        self.shape
    }

    /// `x [B, T, D]` with `lengths[b]` valid frames in sequence `b` -> logits `[B, K]`; without pooling `[B, T, K]`, of
    /// which those beyond a sequence's length mean nothing. What a padded batch gives for a clip is what the clip gives
    /// alone.
    ///
    /// With `rng` (training) activations are dropped behind the convolutions, between layers and before the linear layer.
    ///
    /// # Errors
    /// [`ErrorKind::Dataset`] where shapes and lengths do not fit, or a length is 0.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<Tensor> {
        self.check_input(x, lengths)?;
        match (&self.front_end, rng) {
            (None, rng) => self.recurrent(x, lengths, rng),
            (Some(front_end), None) => {
                let x = front_end.forward(x, lengths, None)?;
                self.recurrent(&x, &pooled(front_end, lengths), None)
            }
            (Some(_), Some(rng)) => Ok(self.train(x, lengths, rng)?.0),
        }
    }

    /// As [`Network::forward`] of a network without convolutions, from the state that a sequence before has left (`None`:
    /// zeros); gives the state behind each sequence's last frame too. So a text is learned in pieces, and written a
    /// symbol at a time.
    ///
    /// # Errors
    /// As [`Network::forward`]; [`ErrorKind::Config`] where there are convolutions, two directions, or a state that does not
    /// fit.
    pub fn forward_from(
        &self,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<(Tensor, RnnState)> {
        self.check_input(x, lengths)?;
        if self.front_end.is_some() || self.config.bidirectional {
            let message = "a network with convolutions or two directions cannot go on from a state; take \
                           conv_channels = [] and bidirectional = false";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let rnn = self.rnn.forward_with(Isa::best(), x, lengths, initial, rng.as_deref_mut())?;
        Ok((self.logits(&rnn, lengths, rng)?, rnn.state))
    }

    /// As [`Network::forward`] in training; gives the statistics of each batch norm over this batch too, from which the
    /// running ones are made: see [`FrontEnd::train`].
    pub fn train(
        &self,
        x: &Tensor,
        lengths: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Vec<NormStatistics>)> {
        self.check_input(x, lengths)?;
        let Some(front_end) = &self.front_end else {
            return Ok((self.recurrent(x, lengths, Some(rng))?, Vec::new()));
        };
        let (x, statistics) = front_end.train(x, lengths, rng)?;
        Ok((self.recurrent(&x, &pooled(front_end, lengths), Some(rng))?, statistics))
    }

    /// As [`Network::forward`] at inference of a network that pools, each clip's logits `[K]` with the same bits as those
    /// of the clip alone.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_each(&self, x: &Tensor, lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        self.check_input(x, lengths)?;
        let (x, lengths) = match &self.front_end {
            None => (x.clone(), lengths.to_vec()),
            Some(front_end) => (front_end.forward(x, lengths, None)?, pooled(front_end, lengths)),
        };
        let rnn = self.rnn.forward(&x, &lengths, None)?;
        // Our own kernels give a row the same bits whatever is beside it; candle's sums depend on shapes.
        let clips = lengths.iter().enumerate();
        clips
            .map(|(b, &length)| {
                Ok(self.logits(&rnn.one(b, length)?, &[length], None)?.squeeze(0)?.to_vec1()?)
            })
            .collect()
    }

    /// What is behind the front end.
    fn recurrent(&self, x: &Tensor, lengths: &[usize], mut rng: Option<&mut ChaCha8Rng>) -> Result<Tensor> {
        let rnn = self.rnn.forward(x, lengths, rng.as_deref_mut())?;
        self.logits(&rnn, lengths, rng)
    }

    /// Pooling and the linear layer.
    fn logits(&self, rnn: &RnnOutput, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<Tensor> {
        let (batch, frames, _) = rnn.output.dims3()?;
        let (mut rows, shape) = match self.config.pooling {
            Pooling::None => (rnn.output.flatten(0, 1)?, vec![batch, frames, self.num_classes()]),
            pooling => {
                let pooled = pooling.forward(rnn, lengths, self.attention.as_ref())?;
                (pooled, vec![batch, self.num_classes()])
            }
        };
        if let Some(rng) = rng {
            rows = dropout(&rows, self.config.dropout, rng)?;
        }
        Ok(rows.matmul(&self.head_weight.t()?)?.broadcast_add(&self.head_bias)?.reshape(shape)?)
    }

    /// Labels, `K`.
    pub fn num_classes(&self) -> usize {
        self.head_bias.elem_count()
    }

    pub(super) fn front_end(&self) -> Option<&FrontEnd> {
        self.front_end.as_ref()
    }

    pub(super) fn rnn(&self) -> &Rnn {
        &self.rnn
    }

    /// The linear layer: weight `[K, D·H]` and bias `[K]`.
    pub(super) fn head(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((self.head_weight.flatten_all()?.to_vec1()?, self.head_bias.to_vec1()?))
    }

    fn check_input(&self, x: &Tensor, lengths: &[usize]) -> Result<()> {
        let problem = match *x.dims() {
            [batch, frames, dim] => {
                if dim != self.input_size() {
                    format!("frames have {dim} features where the network takes {}", self.input_size())
                } else if lengths.len() != batch {
                    format!("{} lengths are given for a batch of {batch}", lengths.len())
                } else if batch == 0 {
                    "the batch is empty".to_string()
                } else if let Some(length) = lengths.iter().find(|&&length| length == 0 || length > frames) {
                    format!("a length is {length}; it must be 1 to {frames}, the number of frames")
                } else {
                    return Ok(());
                }
            }
            ref other => format!("input has shape {other:?}; it must be [B, T, D]"),
        };
        Err(Error::new(ErrorKind::Dataset, problem))
    }
}

fn pooled(front_end: &FrontEnd, lengths: &[usize]) -> Vec<usize> {
    lengths.iter().map(|&length| front_end.pooled_frames(length)).collect()
}

fn check_sizes(config: &NetworkConfig, shape: FrameShape, num_classes: usize) -> Result<()> {
    config.validate()?;
    conv::check(config, shape)?;
    if (1..=MAX_WIDTH).contains(&num_classes) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, format!("{num_classes} labels: must be 1 to {MAX_WIDTH}")))
}
