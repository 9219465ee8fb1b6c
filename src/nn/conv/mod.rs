//! The convolutional front end: the planes of frames become a few numbers a frame.
//!
//! [`pictures`] looks at each frame for itself, [`spectrogram`] over time and frequency.

mod grid;
mod pictures;
mod spectrogram;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::dropout::dropout;
use super::kernels::Isa;
use super::{FrameShape, MAX_WIDTH, NetworkConfig};
use crate::{Error, ErrorKind, Result};

use pictures::PictureFrontEnd;
use spectrogram::SpectrogramFrontEnd;

/// Mean and variance of the channels of one batch norm over a batch in training.
#[derive(Debug, Clone, PartialEq)]
pub struct NormStatistics {
    /// `[C]`
    pub mean: Vec<f32>,
    /// `[C]`, divided by `count`.
    pub variance: Vec<f32>,
    /// Pixels of all clips together.
    pub count: usize,
}

/// Whether a weight is one that training follows rather than learns: a running mean or variance of a batch norm.
pub fn is_running_statistic(name: &str) -> bool {
    spectrogram::RUNNING.iter().any(|ending| name.ends_with(ending))
}

/// Frames `[B, T, D]` -> `[B, T', W]`.
#[derive(Debug, Clone)]
pub struct FrontEnd {
    kind: Kind,
    shape: FrameShape,
    dropout: f32,
}

#[derive(Debug, Clone)]
enum Kind {
    Pictures(PictureFrontEnd),
    Spectrogram(SpectrogramFrontEnd),
}

impl FrontEnd {
    /// Names and shapes of all weights, PyTorch's: `0.weight [Cout, Cin, 3, 3]`, ..., `linear.weight [out, W]`,
    /// `linear.bias`. Pictures have a bias each, `0.bias`, and `linear` reads `[C, H, W]`; spectrograms a norm, `0.norm.weight`,
    /// `0.norm.bias`, `0.norm.running_mean`, `0.norm.running_var`, kernels over time and frequency, and `linear` reads
    /// `[bins, C]`. None without convolutions.
    pub fn shapes(config: &NetworkConfig, shape: FrameShape) -> Vec<(String, Vec<usize>)> {
        match () {
            () if config.conv_channels.is_empty() => Vec::new(),
            () if config.conv_pool.is_empty() => PictureFrontEnd::shapes(config, shape),
            () => SpectrogramFrontEnd::shapes(config, shape),
        }
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
        if config.conv_channels.is_empty() {
            return Ok(None);
        }
        let mut weights = Vec::new();
        for (name, shape) in Self::shapes(config, shape) {
            let tensor = weight(&name)?;
            if tensor.dims() != shape {
                let message = format!("tensor `{name}` has shape {:?}, not {shape:?}", tensor.dims());
                return Err(Error::new(ErrorKind::Model, message));
            }
            weights.push(tensor);
        }
        let kind = match config.conv_pool.is_empty() {
            true => Kind::Pictures(PictureFrontEnd::new(config, shape, weights)),
            false => Kind::Spectrogram(SpectrogramFrontEnd::new(config, shape, weights)),
        };
        Ok(Some(Self { kind, shape, dropout: config.dropout }))
    }

    /// Numbers that a frame becomes, `W`.
    pub fn output_size(&self) -> usize {
        match &self.kind {
            Kind::Pictures(pictures) => pictures.output_size(),
            Kind::Spectrogram(spectrogram) => spectrogram.output_size(),
        }
    }

    /// Frames that come out of so many.
    pub fn pooled_frames(&self, frames: usize) -> usize {
        match &self.kind {
            Kind::Pictures(_) => frames,
            Kind::Spectrogram(spectrogram) => spectrogram.pooled_frames(frames),
        }
    }

    /// Frames that become one.
    pub fn time_pool(&self) -> usize {
        match &self.kind {
            Kind::Pictures(_) => 1,
            Kind::Spectrogram(spectrogram) => spectrogram.time_pool(),
        }
    }

    /// Frames before and behind a frame that change what comes out of it, in frames that come out.
    pub fn context(&self) -> usize {
        match &self.kind {
            Kind::Pictures(_) => 0,
            Kind::Spectrogram(spectrogram) => spectrogram.context(),
        }
    }

    /// `x [B, T, D]`, of which sequence `b` has `lengths[b]` valid frames -> `[B, T', W]`. Frames beyond a sequence's
    /// length are not looked at, and what they become means nothing.
    ///
    /// With `rng` (training) what the linear layer gives is dropped in part, and norms are those of the batch: see
    /// [`FrontEnd::train`]. Without it norms are those that were learned, and through a spectrogram's front end no gradient
    /// flows.
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
        self.check_input(x, lengths)?;
        match (&self.kind, rng) {
            (Kind::Pictures(pictures), rng) => pictures.forward_with(isa, x, lengths, rng),
            (Kind::Spectrogram(spectrogram), None) => spectrogram.infer_batch(isa, x, lengths),
            (Kind::Spectrogram(_), Some(rng)) => Ok(self.train_with(isa, x, lengths, rng)?.0),
        }
    }

    /// As [`FrontEnd::forward`] in training; gives the statistics of each norm over this batch too, from which running ones
    /// are made. None where nothing in it learns: then norms are those that were learned.
    pub fn train(
        &self,
        x: &Tensor,
        lengths: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Vec<NormStatistics>)> {
        self.check_input(x, lengths)?;
        self.train_with(Isa::best(), x, lengths, rng)
    }

    fn train_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Vec<NormStatistics>)> {
        match &self.kind {
            Kind::Pictures(pictures) => Ok((pictures.forward_with(isa, x, lengths, Some(rng))?, Vec::new())),
            Kind::Spectrogram(spectrogram) => {
                let (out, statistics) = spectrogram.train(isa, x, lengths)?;
                Ok((dropout(&out, self.dropout, rng)?, statistics))
            }
        }
    }

    /// The reference: what [`FrontEnd::forward`] computes of valid frames, layer by layer in candle tensors.
    pub fn forward_reference(&self, x: &Tensor) -> Result<Tensor> {
        match &self.kind {
            Kind::Pictures(pictures) => pictures.forward_reference(x),
            Kind::Spectrogram(spectrogram) => spectrogram.forward_reference(x, false),
        }
    }

    /// The same of [`FrontEnd::train`], for clips that are all as long as `x [B, T, D]`, without dropout.
    pub fn train_reference(&self, x: &Tensor) -> Result<Tensor> {
        match &self.kind {
            Kind::Pictures(pictures) => pictures.forward_reference(x),
            Kind::Spectrogram(spectrogram) => spectrogram.forward_reference(x, true),
        }
    }

    /// Frames `[N, D]` -> `[N', W]`, for inference, without what comes out of the first and the last `context` frames: those
    /// are there because what is between them depends on them, [`FrontEnd::context`] times [`FrontEnd::time_pool`] of them or
    /// as many as there are. The bits of a frame do not depend on how a sequence is cut.
    pub(super) fn infer(&self, frames: &[f32], context: [usize; 2]) -> Result<Vec<f32>> {
        match &self.kind {
            Kind::Pictures(pictures) => pictures.infer(frames),
            Kind::Spectrogram(spectrogram) => spectrogram.infer(frames, context),
        }
    }

    fn check_input(&self, x: &Tensor, lengths: &[usize]) -> Result<()> {
        let (batch, frames, width) = x.dims3()?;
        if width == self.shape.len() && lengths.len() == batch && lengths.iter().all(|&l| l <= frames) {
            return Ok(());
        }
        let message = format!(
            "a front end for {} features a frame does not fit {:?} with {} lengths",
            self.shape.len(),
            x.dims(),
            lengths.len()
        );
        Err(Error::new(ErrorKind::Config, message))
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
    match () {
        () if config.conv_channels.is_empty() => 0,
        () if config.conv_pool.is_empty() => pictures::values_kept(config, shape),
        () => spectrogram::values_kept(config, shape),
    }
}

/// Checks that a front end, if there is one, has planes, and that they and what it makes of them are not too much.
pub(super) fn check(config: &NetworkConfig, shape: FrameShape) -> Result<()> {
    shape.check()?;
    if config.conv_channels.is_empty() {
        return Ok(());
    }
    if !config.conv_pool.is_empty() {
        spectrogram::check(config, shape)?;
    }
    let linear_input = || match config.conv_pool.is_empty() {
        true => pictures::linear_input(config, shape),
        false => spectrogram::linear_input(config, shape),
    };
    let problem = if shape.planes_len() == 0 {
        "conv_channels asks for convolutions, which need pictures or a spectrogram, and these features are neither: choose \
         others, or leave conv_channels out"
            .to_string()
    } else if linear_input() > MAX_WIDTH {
        format!(
            "conv_channels leaves {} numbers a frame for the linear layer; at most {MAX_WIDTH} are allowed: add a layer, \
             or give the last one fewer channels",
            linear_input()
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
