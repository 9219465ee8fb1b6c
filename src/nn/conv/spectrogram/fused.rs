//! The whole front end in training as one candle operation with its own way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::pass::{Clip, Kept, Training};
use super::sizes::Sizes;
use crate::nn::conv::NormStatistics;
use crate::nn::pool::Pool;
use crate::nn::values::{Values, contiguous};

/// `x [B, T, D]` and the flat weights `[P]` give what the linear layer makes of the frames, `[B, T', out]`, zero beyond a
/// clip's end.
///
/// A new value for each forward pass: it keeps what the way back needs, and hands out the batch's statistics.
pub(super) struct FusedSpectrogram {
    pub sizes: Sizes,
    pub clips: Vec<Clip>,
    pub pool: Arc<Pool>,
    pub kept: Mutex<Option<Kept>>,
    /// Of each layer, once it has run.
    pub statistics: Arc<Mutex<Vec<NormStatistics>>>,
}

impl FusedSpectrogram {
    fn training(&self) -> Training<'_> {
        Training { sizes: &self.sizes, clips: &self.clips, pool: &self.pool }
    }
}

impl CustomOp2 for FusedSpectrogram {
    fn name(&self) -> &'static str {
        "fused-spectrogram"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, frames, _) = x_layout.shape().dims3()?;
        let frames = self.sizes.pooled_frames(frames);
        let (x, weights) = (contiguous(x, x_layout)?, contiguous(weights, weights_layout)?);
        let (out, kept) = self.training().forward(x, batch * frames, weights);
        let statistics = kept.norms.iter().zip(&self.sizes.layers).map(|(norm, layer)| NormStatistics {
            mean: norm.mean[..layer.output.channels].to_vec(),
            variance: norm.variance[..layer.output.channels].to_vec(),
            count: norm.count,
        });
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = statistics.collect();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok((CpuStorage::F32(out), Shape::from((batch, frames, self.sizes.outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the way back through a front end can be gone once");
        };
        let dout = dout.contiguous()?;
        let (gradients, dx) = {
            let (weights, out, dout) = (Values::of(weights)?, Values::of(out)?, Values::of(&dout)?);
            let dx_len = x.track_op().then(|| x.elem_count());
            self.training().backward(kept, &weights, (&out, &dout), dx_len)
        };
        let dweights = gradients.flat(&self.sizes);
        gradients.give_back(&self.pool);
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?,
            Some(Tensor::from_vec(dweights, weights.shape(), weights.device())?),
        ))
    }
}
