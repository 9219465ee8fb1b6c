//! The convolutional front end: the planes of each frame become a few numbers, frame for frame.
//!
//! Convolutions 3x3 with padding 1, stride 2, bias and max(0, ·), one after the other, then a linear layer over what is
//! left, with max(0, ·) too. All of it is one operation ([`pass`]); the plain form beside it is
//! [`FrontEnd::forward_reference`].

mod fused;
mod grid;
mod pack;
mod pass;
mod reference;

use std::sync::{Arc, Mutex, OnceLock};

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::dropout::dropout;
use super::kernels::Isa;
use super::pool::Pool;
use super::{FrameShape, MAX_WIDTH, NetworkConfig};
use crate::{Error, ErrorKind, Result};

use fused::FusedFrontEnd;
use grid::{KERNEL, Sizes};

/// Frames `[.., D]` -> `[.., W]`: what the linear layer makes of the planes, and the plain numbers behind it.
#[derive(Debug, Clone)]
pub struct FrontEnd {
    shape: FrameShape,
    sizes: Sizes,
    dropout: f32,
    /// In the order of [`FrontEnd::shapes`].
    weights: Vec<Tensor>,
    /// The weights as inference with [`Isa::best`] reads them; made when first asked for.
    packed: Arc<OnceLock<pack::Forward>>,
    pool: Arc<Pool>,
}

impl FrontEnd {
    /// Names and shapes of all weights, PyTorch's: `0.weight [Cout, Cin, 3, 3]`, `0.bias`, ..., `linear.weight
    /// [out, C·H·W]`, `linear.bias`. None without convolutions.
    pub fn shapes(config: &NetworkConfig, shape: FrameShape) -> Vec<(String, Vec<usize>)> {
        let Some(sizes) = sizes(Isa::Portable, config, shape) else { return Vec::new() };
        let mut shapes = Vec::new();
        for (l, layer) in sizes.layers.iter().enumerate() {
            let (output, input) = (layer.output.channels, layer.input.channels);
            shapes.push((format!("{l}.weight"), vec![output, input, KERNEL, KERNEL]));
            shapes.push((format!("{l}.bias"), vec![output]));
        }
        shapes.push(("linear.weight".to_string(), vec![sizes.outputs, sizes.last().values()]));
        shapes.push(("linear.bias".to_string(), vec![sizes.outputs]));
        shapes
    }

    /// Takes the weights by name; nothing for a configuration without convolutions.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for frames without planes, or with too much of them; [`ErrorKind::Model`] for a weight of the
    /// wrong shape.
    pub fn new(
        config: &NetworkConfig,
        shape: FrameShape,
        mut weight: impl FnMut(&str) -> Result<Tensor>,
    ) -> Result<Option<Self>> {
        config.validate()?;
        check(config, shape)?;
        let Some(sizes) = sizes(Isa::best(), config, shape) else { return Ok(None) };
        let mut weights = Vec::new();
        for (name, shape) in Self::shapes(config, shape) {
            let tensor = weight(&name)?;
            if tensor.dims() != shape {
                let message = format!("tensor `{name}` has shape {:?}, not {shape:?}", tensor.dims());
                return Err(Error::new(ErrorKind::Model, message));
            }
            weights.push(tensor);
        }
        Ok(Some(Self {
            shape,
            sizes,
            dropout: config.dropout,
            weights,
            packed: Arc::default(),
            pool: Arc::default(),
        }))
    }

    /// Numbers that a frame becomes, `W`.
    pub fn output_size(&self) -> usize {
        self.sizes.outputs + self.shape.rest
    }

    /// `x [B, T, D]`, of which sequence `b` has `lengths[b]` valid frames -> `[B, T, W]`. Frames beyond a sequence's
    /// length are not looked at, and what they become means nothing.
    ///
    /// With `rng` (training) what the linear layer gives is dropped in part; the plain numbers never are.
    ///
    /// Where no gradient is wanted the weights are read once, at the first call: to change them in place, build another
    /// network.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where shapes or lengths do not fit.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<Tensor> {
        self.forward_with(Isa::best(), x, lengths, rng)
    }

    /// As [`FrontEnd::forward`], with a given kernel.
    pub fn forward_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<Tensor> {
        let rows = self.valid_rows(x, lengths)?;
        let x = x.contiguous()?;
        let op = FusedFrontEnd {
            sizes: Sizes::new(isa, self.planes(), &self.channels(), self.sizes.outputs),
            rows,
            pool: self.pool.clone(),
            kept: Mutex::default(),
        };
        let mut out = if x.track_op() || self.weights.iter().any(Tensor::track_op) {
            x.apply_op2(&self.flat_weights()?, op)?
        } else if isa == Isa::best() {
            op.infer(&x, self.packed()?)?
        } else {
            op.infer(&x, &pack::Forward::new(&op.sizes, &self.flat_weights()?.to_vec1()?))?
        };
        if let Some(rng) = rng {
            out = dropout(&out, self.dropout, rng)?;
        }
        self.with_rest(out, &x)
    }

    /// The reference: what [`FrontEnd::forward`] computes of valid frames, layer by layer in candle tensors.
    pub fn forward_reference(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, frames, _) = x.dims3()?;
        let (channels, height, width) = self.planes();
        let planes = x.narrow(2, 0, self.shape.planes_len())?;
        let mut planes = planes.reshape((batch * frames, channels, height, width))?;
        let (layers, linear) = self.weights.split_at(2 * self.sizes.layers.len());
        for layer in layers.chunks_exact(2) {
            planes = reference::convolve(&planes, &layer[0], &layer[1])?;
        }
        let out = planes.flatten_from(1)?.matmul(&linear[0].t()?)?.broadcast_add(&linear[1])?.relu()?;
        self.with_rest(out.reshape((batch, frames, self.sizes.outputs))?, x)
    }

    /// Frames `[N, D]` -> `[N, W]`, for inference; the bits of a frame do not depend on the others.
    pub(super) fn infer(&self, frames: &[f32]) -> Result<Vec<f32>> {
        let (width, rest, outputs) = (self.shape.len(), self.shape.rest, self.sizes.outputs);
        let rows: Vec<usize> = (0..frames.len() / width).collect();
        let pass = pass::Pass { sizes: &self.sizes, rows: &rows, width, pool: &self.pool };
        let out = pass.forward(frames, self.packed()?, None);
        if rest == 0 {
            return Ok(out);
        }
        let both = out.chunks_exact(outputs).zip(frames.chunks_exact(width));
        Ok(both.flat_map(|(out, frame)| out.iter().chain(&frame[width - rest..])).copied().collect())
    }

    /// Appends the plain numbers of `x [B, T, D]`.
    fn with_rest(&self, out: Tensor, x: &Tensor) -> Result<Tensor> {
        match self.shape.rest {
            0 => Ok(out),
            rest => Ok(Tensor::cat(&[out, x.narrow(2, self.shape.planes_len(), rest)?], 2)?),
        }
    }

    fn planes(&self) -> (usize, usize, usize) {
        (self.shape.channels, self.shape.height, self.shape.width)
    }

    fn channels(&self) -> Vec<usize> {
        self.sizes.layers.iter().map(|layer| layer.output.channels).collect()
    }

    /// All weights, one after the other.
    fn flat_weights(&self) -> Result<Tensor> {
        let all = self.weights.iter().map(Tensor::flatten_all);
        Ok(Tensor::cat(&all.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    fn packed(&self) -> Result<&pack::Forward> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let packed = pack::Forward::new(&self.sizes, &self.flat_weights()?.to_vec1()?);
        Ok(self.packed.get_or_init(|| packed))
    }

    /// Rows of `[B·T, D]` that are frames of a sequence.
    fn valid_rows(&self, x: &Tensor, lengths: &[usize]) -> Result<Vec<usize>> {
        let (batch, frames, width) = x.dims3()?;
        if width != self.shape.len() || lengths.len() != batch || lengths.iter().any(|&l| l > frames) {
            let message = format!(
                "a front end for {} features a frame does not fit {:?} with {} lengths",
                self.shape.len(),
                x.dims(),
                lengths.len()
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let rows = lengths.iter().enumerate().flat_map(|(b, &length)| b * frames..b * frames + length);
        Ok(rows.collect())
    }
}

/// Numbers that the recurrent layers take a frame.
pub(super) fn output_size(config: &NetworkConfig, shape: FrameShape) -> usize {
    match config.conv_channels.is_empty() {
        true => shape.len(),
        false => config.conv_output_size + shape.rest,
    }
}

/// Numbers a frame that training keeps for the way back; 0 without convolutions.
pub(super) fn values_kept(config: &NetworkConfig, shape: FrameShape) -> usize {
    // Whatever the machine: how a batch is cut depends on it.
    let Some(sizes) = sizes(Isa::Portable, config, shape) else { return 0 };
    sizes.layers.iter().map(|layer| layer.output.len()).sum::<usize>() + sizes.outputs
}

/// Checks that a front end, if there is one, has planes, and that they and what it makes of them are not too much.
pub(super) fn check(config: &NetworkConfig, shape: FrameShape) -> Result<()> {
    shape.check()?;
    let Some(sizes) = sizes(Isa::Portable, config, shape) else { return Ok(()) };
    let problem = if shape.planes_len() == 0 {
        "conv_channels asks for convolutions, which need pictures, and these features have none: choose features that keep \
         the picture, or leave conv_channels out"
            .to_string()
    } else if sizes.last().values() > MAX_WIDTH {
        format!(
            "conv_channels leaves {} numbers a frame for the linear layer; at most {MAX_WIDTH} are allowed: add a layer, \
             or give the last one fewer channels",
            sizes.last().values()
        )
    } else if output_size(config, shape) > MAX_WIDTH {
        format!(
            "{} features a frame behind the convolutions: at most {MAX_WIDTH}",
            output_size(config, shape)
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Config, problem))
}

fn sizes(isa: Isa, config: &NetworkConfig, shape: FrameShape) -> Option<Sizes> {
    let planes = (shape.channels, shape.height, shape.width);
    let is_there = !config.conv_channels.is_empty();
    is_there.then(|| Sizes::new(isa, planes, &config.conv_channels, config.conv_output_size))
}
