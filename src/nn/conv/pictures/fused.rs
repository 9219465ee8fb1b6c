//! The whole front end as one candle operation with its own way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::pack::{Backward, Forward};
use super::pass::{Kept, Pass};
use super::sizes::Sizes;
use crate::nn::pool::Pool;
use crate::nn::values::{Values, contiguous};

/// `x [B, T, D]` and the flat weights `[P]` give what the linear layer makes of the planes, `[B, T, out]`, zero for rows
/// that do not count.
///
/// A new value for each forward pass that is to be gone back: it keeps what the way back needs.
pub(super) struct FusedFrontEnd {
    pub sizes: Sizes,
    /// Rows of `[B·T, D]` that are frames of a sequence.
    pub rows: Vec<usize>,
    pub pool: Arc<Pool>,
    pub kept: Mutex<Option<Kept>>,
}

impl FusedFrontEnd {
    fn pass(&self, width: usize) -> Pass<'_> {
        Pass { sizes: &self.sizes, rows: &self.rows, width, pool: &self.pool }
    }

    /// The way forward that is not to be gone back.
    pub fn infer(&self, x: &Tensor, weights: &Forward) -> Result<Tensor> {
        let (batch, frames, width) = x.dims3()?;
        let out = self.pass(width).forward(&Values::of(x)?, weights, None);
        Tensor::from_vec(out, (batch, frames, self.sizes.outputs), x.device())
    }
}

impl CustomOp2 for FusedFrontEnd {
    fn name(&self) -> &'static str {
        "fused-front-end"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, frames, width) = x_layout.shape().dims3()?;
        let x = contiguous(x, x_layout)?;
        let weights = Forward::new(&self.sizes, contiguous(weights, weights_layout)?);
        let mut kept = Kept::default();
        let out = self.pass(width).forward(x, &weights, Some(&mut kept));
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
            let (x_values, out, dout) = (Values::of(x)?, Values::of(out)?, Values::of(&dout)?);
            let packed = Backward::new(&self.sizes, &Values::of(weights)?, x.track_op());
            let pass = self.pass(x.dim(2)?);
            pass.backward(&x_values, &packed, kept, (&out, &dout), x.track_op())
        };
        let dweights = gradients.flat(&self.sizes);
        gradients.give_back(&self.pool);
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?,
            Some(Tensor::from_vec(dweights, weights.shape(), weights.device())?),
        ))
    }
}
