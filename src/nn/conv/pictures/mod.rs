//! Convolutions over each frame for itself: its planes become a few numbers.
//!
//! Convolutions 3x3 with padding 1, stride 2, bias and max(0, ·), one after the other, then a linear layer over what is
//! left, with max(0, ·) too. All of it is one operation ([`pass`]); the plain form beside it is
//! [`PictureFrontEnd::forward_reference`].

mod fused;
mod pack;
mod pass;
mod reference;
mod sizes;

use std::sync::{Arc, Mutex, OnceLock};

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::grid::KERNEL;
use crate::Result;
use crate::nn::dropout::dropout;
use crate::nn::kernels::Isa;
use crate::nn::pool::Pool;
use crate::nn::{FrameShape, NetworkConfig};

use fused::FusedFrontEnd;
use sizes::Sizes;

/// Frames `[.., D]` -> `[.., W]`: what the linear layer makes of the planes, and the plain numbers behind it.
#[derive(Debug, Clone)]
pub struct PictureFrontEnd {
    shape: FrameShape,
    sizes: Sizes,
    dropout: f32,
    /// In the order of [`PictureFrontEnd::shapes`].
    weights: Vec<Tensor>,
    /// The weights as inference with [`Isa::best`] reads them; made when first asked for.
    packed: Arc<OnceLock<pack::Forward>>,
    pool: Arc<Pool>,
}

impl PictureFrontEnd {
    pub(super) fn shapes(config: &NetworkConfig, shape: FrameShape) -> Vec<(String, Vec<usize>)> {
        let sizes = sizes(Isa::Portable, config, shape);
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

    /// Takes the weights in the order of [`PictureFrontEnd::shapes`].
    pub(super) fn new(config: &NetworkConfig, shape: FrameShape, weights: Vec<Tensor>) -> Self {
        let sizes = sizes(Isa::best(), config, shape);
        Self { shape, sizes, dropout: config.dropout, weights, packed: Arc::default(), pool: Arc::default() }
    }

    /// Numbers that a frame becomes, `W`.
    pub(super) fn output_size(&self) -> usize {
        self.sizes.outputs + self.shape.rest
    }

    /// Frames that count among `x [B, T, D]` -> `[B, T, W]`. With `rng` (training) what the linear layer gives is dropped in
    /// part; the plain numbers never are.
    pub(super) fn forward_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<Tensor> {
        let (_, frames, _) = x.dims3()?;
        let rows =
            lengths.iter().enumerate().flat_map(|(b, &length)| b * frames..b * frames + length).collect();
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

    /// The reference: what [`PictureFrontEnd::forward`] computes of valid frames, layer by layer in candle tensors.
    pub(super) fn forward_reference(&self, x: &Tensor) -> Result<Tensor> {
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
}

pub(super) fn values_kept(config: &NetworkConfig, shape: FrameShape) -> usize {
    // Whatever the machine: how a batch is cut depends on it.
    let sizes = sizes(Isa::Portable, config, shape);
    sizes.layers.iter().map(|layer| layer.output.len()).sum::<usize>() + sizes.outputs
}

/// Numbers that the linear layer reads a frame.
pub(super) fn linear_input(config: &NetworkConfig, shape: FrameShape) -> usize {
    sizes(Isa::Portable, config, shape).last().values()
}

fn sizes(isa: Isa, config: &NetworkConfig, shape: FrameShape) -> Sizes {
    let planes = (shape.channels, shape.height, shape.width);
    Sizes::new(isa, planes, &config.conv_channels, config.conv_output_size)
}
