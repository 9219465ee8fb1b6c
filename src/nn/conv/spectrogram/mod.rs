//! Convolutions over time and frequency: a recording's spectrogram becomes a few numbers a frame.
//!
//! Each layer is a convolution 3x3 with padding 1, batch norm (Ioffe & Szegedy 2015), max(0, ·) and max pooling; behind the
//! last one a linear layer with max(0, ·) reads all channels of all bins that are left. In training all of it is one
//! operation ([`pass::Training`]) and a norm is that of the clips at hand; at inference it is part of the kernel
//! ([`pass::infer`]). The plain form beside both is [`SpectrogramFrontEnd::forward_reference`].

mod fused;
mod pack;
mod pass;
mod reference;
mod sizes;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::Tensor;
use rayon::prelude::*;

use super::NormStatistics;
use crate::nn::kernels::Isa;
use crate::nn::pool::Pool;
use crate::nn::{FrameShape, NetworkConfig};
use crate::{Error, ErrorKind, Result};

use fused::FusedSpectrogram;
use pass::Clip;
use sizes::Sizes;

/// Frames that come out of a stretch that is worked on at a time at inference, at most, without the context around it.
const STRETCH: usize = 128;
/// Values of the widest layer in a stretch, if that is more than one frame that comes out.
const STRETCH_VALUES: usize = 16 << 20;
/// Most frames that may become one: a stretch holds at least as many.
const MAX_TIME_POOL: usize = 256;

/// Frames `[B, T, C·bins]` -> `[B, T', W]`.
#[derive(Debug, Clone)]
pub struct SpectrogramFrontEnd {
    sizes: Sizes,
    /// In the order of [`SpectrogramFrontEnd::shapes`].
    weights: Vec<Tensor>,
    /// The weights as inference with [`Isa::best`] reads them; made when first asked for.
    packed: Arc<OnceLock<pack::Forward>>,
    pool: Arc<Pool>,
}

/// Weights of a layer: kernel, and the norm's weight, bias, running mean and running variance.
const LAYER_WEIGHTS: usize = 5;

/// What a name of a running statistic ends in.
pub(super) const RUNNING: [&str; 2] = ["norm.running_mean", "norm.running_var"];

impl SpectrogramFrontEnd {
    pub(super) fn shapes(config: &NetworkConfig, shape: FrameShape) -> Vec<(String, Vec<usize>)> {
        let sizes = sizes(Isa::Portable, config, shape);
        let mut shapes = Vec::new();
        for (l, layer) in sizes.layers.iter().enumerate() {
            let (output, input) = (layer.output.channels, layer.input.channels);
            shapes.push((format!("{l}.weight"), vec![output, input, 3, 3]));
            for name in ["norm.weight", "norm.bias"].into_iter().chain(RUNNING) {
                shapes.push((format!("{l}.{name}"), vec![output]));
            }
        }
        let last = sizes.last();
        shapes.push(("linear.weight".to_string(), vec![sizes.outputs, last.bins * last.channels]));
        shapes.push(("linear.bias".to_string(), vec![sizes.outputs]));
        shapes
    }

    /// Takes the weights in the order of [`SpectrogramFrontEnd::shapes`].
    pub(super) fn new(config: &NetworkConfig, shape: FrameShape, weights: Vec<Tensor>) -> Self {
        let sizes = sizes(Isa::best(), config, shape);
        Self { sizes, weights, packed: Arc::default(), pool: Arc::default() }
    }

    pub(super) fn output_size(&self) -> usize {
        self.sizes.outputs
    }

    /// Frames that come out of so many.
    pub(super) fn pooled_frames(&self, frames: usize) -> usize {
        self.sizes.pooled_frames(frames)
    }

    /// Frames that become one.
    pub(super) fn time_pool(&self) -> usize {
        self.sizes.time_pool()
    }

    /// Frames before and behind a frame that change what comes out of it, in frames that come out.
    pub(super) fn context(&self) -> usize {
        self.sizes.context()
    }

    fn layers(&self) -> impl Iterator<Item = &[Tensor]> {
        self.weights[..LAYER_WEIGHTS * self.sizes.layers.len()].chunks_exact(LAYER_WEIGHTS)
    }

    fn linear(&self) -> &[Tensor] {
        &self.weights[LAYER_WEIGHTS * self.sizes.layers.len()..]
    }

    fn is_learning(&self) -> bool {
        self.weights.iter().any(Tensor::track_op)
    }

    /// In training: norms are those of this batch, which are given too. A front end none of whose weights learns stays as it
    /// is and gives none.
    pub(super) fn train(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
    ) -> Result<(Tensor, Vec<NormStatistics>)> {
        if !self.is_learning() {
            return Ok((self.infer_batch(isa, x, lengths)?, Vec::new()));
        }
        let (_, frames, _) = x.dims3()?;
        let out_frames = self.pooled_frames(frames);
        let clips = lengths.iter().enumerate().filter(|(_, length)| **length > 0);
        let clips = clips.map(|(b, &length)| Clip {
            first_row: b * frames,
            frames: length,
            first_output: b * out_frames,
        });
        let op = FusedSpectrogram {
            sizes: self.sizes.with(isa),
            clips: clips.collect(),
            pool: self.pool.clone(),
            kept: Mutex::default(),
            statistics: Arc::default(),
        };
        let statistics = op.statistics.clone();
        let out = x.contiguous()?.apply_op2(&self.flat_weights()?, op)?;
        let statistics = std::mem::take(&mut *statistics.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((out, statistics))
    }

    /// With the norms that were learned; no gradient flows.
    pub(super) fn infer_batch(&self, isa: Isa, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, frames, width) = x.dims3()?;
        let x = x.contiguous()?;
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        let (out_frames, outputs) = (self.pooled_frames(frames), self.sizes.outputs);
        let mut out = vec![0.0; batch * out_frames * outputs];
        let clips = values.par_chunks_exact((frames * width).max(1)).zip(lengths);
        let done: Vec<Vec<f32>> = clips
            .map(|(clip, &length)| self.infer_with(isa, &clip[..length * width]))
            .collect::<Result<_>>()?;
        for (to, from) in out.chunks_exact_mut((out_frames * outputs).max(1)).zip(done) {
            to[..from.len()].copy_from_slice(&from);
        }
        Ok(Tensor::from_vec(out, (batch, out_frames, outputs), x.device())?)
    }

    /// A whole sequence `[T, D]` -> `[T', W]`, in stretches side by side.
    fn infer_with(&self, isa: Isa, frames: &[f32]) -> Result<Vec<f32>> {
        let width = self.sizes.width();
        let pools = STRETCH_VALUES / (self.sizes.widest() * self.time_pool());
        let (total, step) = (frames.len() / width, pools.clamp(1, STRETCH) * self.time_pool());
        let context = self.context() * self.time_pool();
        let starts: Vec<usize> = (0..total).step_by(step).collect();
        let stretches = starts.par_iter().map(|&start| {
            let (before, end) = (start.saturating_sub(context), (start + step).min(total));
            let behind = (end + context).min(total);
            let stretch = &frames[before * width..behind * width];
            self.infer_stretch(isa, stretch, [start - before, behind - end])
        });
        Ok(stretches.collect::<Result<Vec<_>>>()?.concat())
    }

    /// A stretch of a sequence without what comes out of its first and last frames, which are there as context: as many as
    /// [`SpectrogramFrontEnd::context`] says, times those that become one, or up to where the sequence begins or ends.
    pub(super) fn infer(&self, frames: &[f32], context: [usize; 2]) -> Result<Vec<f32>> {
        self.infer_stretch(Isa::best(), frames, context)
    }

    fn infer_stretch(&self, isa: Isa, frames: &[f32], [before, behind]: [usize; 2]) -> Result<Vec<f32>> {
        let mut out = if isa == Isa::best() {
            pass::infer(&self.sizes, frames, self.packed()?, &self.pool)
        } else {
            let sizes = self.sizes.with(isa);
            pass::infer(&sizes, frames, &self.fold(&sizes)?, &self.pool)
        };
        let outputs = self.sizes.outputs;
        out.truncate(out.len() - behind.div_ceil(self.time_pool()) * outputs);
        out.drain(..before / self.time_pool() * outputs);
        Ok(out)
    }

    /// The reference: layer by layer in candle tensors, with the norms of the batch or with those that were learned. All
    /// clips are as long as `x [B, T, D]`.
    pub(super) fn forward_reference(&self, x: &Tensor, of_batch: bool) -> Result<Tensor> {
        let (batch, frames, _) = x.dims3()?;
        let input = self.sizes.input();
        let mut planes =
            x.reshape((batch, frames, input.channels, input.bins))?.permute((0, 2, 1, 3))?.contiguous()?;
        for (weights, layer) in self.layers().zip(&self.sizes.layers) {
            planes = reference::convolve(&planes, &weights[0])?;
            let moments = match of_batch {
                true => reference::moments(&planes)?,
                false => (weights[3].clone(), weights[4].clone()),
            };
            planes = reference::normalize(&planes, (&moments.0, &moments.1), &weights[1], &weights[2])?;
            planes = reference::pool(&planes, layer.pool)?;
        }
        let frames = planes.dim(2)?;
        let rows = planes.permute((0, 2, 3, 1))?.contiguous()?.reshape((batch * frames, ()))?;
        let out = rows.matmul(&self.linear()[0].t()?)?.broadcast_add(&self.linear()[1])?.relu()?;
        Ok(out.reshape((batch, frames, self.sizes.outputs))?)
    }

    /// Weights that are trained, one after the other.
    fn flat_weights(&self) -> Result<Tensor> {
        let all = self.layers().flat_map(|layer| &layer[..3]).chain(self.linear());
        let all = all.map(Tensor::flatten_all);
        Ok(Tensor::cat(&all.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    fn packed(&self) -> Result<&pack::Forward> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let packed = self.fold(&self.sizes)?;
        Ok(self.packed.get_or_init(|| packed))
    }

    /// The weights for inference: `weight / sqrt(running_var + ε)` goes into the kernel, the rest is its bias.
    fn fold(&self, sizes: &Sizes) -> Result<pack::Forward> {
        let mut norms = Vec::new();
        for layer in self.layers() {
            let values = |i: usize| layer[i].to_vec1::<f32>();
            let (weight, bias, mean, variance) = (values(1)?, values(2)?, values(3)?, values(4)?);
            let scale: Vec<f64> = weight
                .iter()
                .zip(&variance)
                .map(|(&weight, &variance)| f64::from(weight) / (f64::from(variance) + pass::EPSILON).sqrt())
                .collect();
            let shifts = scale.iter().zip(&mean).zip(&bias);
            let shift =
                shifts.map(|((scale, &mean), &bias)| (f64::from(bias) - scale * f64::from(mean)) as f32);
            let shift = shift.collect();
            norms.push((scale.into_iter().map(|scale| scale as f32).collect(), shift));
        }
        let flat = self.flat_weights()?.to_vec1()?;
        Ok(pack::Forward::folded(sizes, &pack::Parts::new(sizes, &flat), &norms))
    }
}

/// Checks that the frames are a spectrogram, and that not too many become one.
pub(super) fn check(config: &NetworkConfig, shape: FrameShape) -> Result<()> {
    let time_pool: usize = config.conv_pool.iter().map(|pool| pool[0]).product();
    if time_pool > MAX_TIME_POOL {
        let message =
            format!("conv_pool makes one of {time_pool} frames; at most {MAX_TIME_POOL} may become one");
        return Err(Error::new(ErrorKind::Config, message));
    }
    if shape.planes_len() > 0 && shape.width == 1 && shape.rest == 0 {
        return Ok(());
    }
    let message = "conv_channels and conv_pool ask for convolutions over time and frequency, which need a spectrogram \
                   (features of kind log_mel or power): choose those, or leave both settings out";
    Err(Error::new(ErrorKind::Config, message))
}

pub(super) fn values_kept(config: &NetworkConfig, shape: FrameShape) -> usize {
    // Whatever the machine: how a batch is cut depends on it.
    sizes(Isa::Portable, config, shape).values_kept()
}

/// Numbers that the linear layer reads a frame.
pub(super) fn linear_input(config: &NetworkConfig, shape: FrameShape) -> usize {
    let last = sizes(Isa::Portable, config, shape).last();
    last.bins * last.channels
}

fn sizes(isa: Isa, config: &NetworkConfig, shape: FrameShape) -> Sizes {
    let layers = config.conv_channels.iter().copied().zip(config.conv_pool.iter().copied());
    Sizes::new(isa, (shape.channels, shape.height), layers, config.conv_output_size)
}
