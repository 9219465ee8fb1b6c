//! A whole recurrent network, all layers and directions, as one candle operation with its own way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cell::CellKind;
use super::kernels::{Isa, PackedWeights, Sizes};
use super::packing::Packing;
use super::pool::Pool;
use super::stack::{Inputs, Kept, Stack};
use super::values::{Values, contiguous};

/// `x [B, T, D]`, `weights [P]` and `initial [S]`, as a [`Stack`] takes them, give the output `[B, T, D·H]`; or, flat, the
/// output with the last states behind it, if gradients are to flow through them too.
///
/// A new value for each forward pass that is to be gone back: it keeps what the way back needs.
pub(super) struct FusedRnn {
    pub cell: CellKind,
    pub isa: Isa,
    pub sizes: Vec<Sizes>,
    pub directions: usize,
    pub packing: Packing,
    pub masks: Vec<Vec<u8>>,
    /// Of what dropout leaves.
    pub scale: f32,
    pub pool: Arc<Pool>,
    /// Whether the last states follow the output.
    pub with_states: bool,
    pub kept: Mutex<Option<Kept>>,
    /// The last states, if they do not follow the output.
    pub states: Arc<Mutex<Vec<f32>>>,
}

impl FusedRnn {
    fn stack(&self) -> Stack<'_> {
        Stack {
            cell: self.cell,
            isa: self.isa,
            sizes: &self.sizes,
            directions: self.directions,
            packing: &self.packing,
            masks: &self.masks,
            scale: self.scale,
            pool: &self.pool,
        }
    }

    /// The way forward that is not to be gone back: the output `[B, T, D·H]` and the last states, flat.
    pub fn infer(
        &self,
        x: &Tensor,
        weights: &[PackedWeights],
        initial: &Tensor,
    ) -> Result<(Tensor, Vec<f32>)> {
        let (batch, frames, _) = x.dims3()?;
        let (out, states) = self.stack().forward(&Values::of(x)?, weights, &Values::of(initial)?, None);
        let width = self.directions * self.sizes[0].hidden;
        Ok((Tensor::from_vec(out, (batch, frames, width), x.device())?, states))
    }

    /// The weights as inference reads them.
    pub fn pack(&self, weights: &Tensor) -> Result<Vec<PackedWeights>> {
        let weights = Values::of(weights)?;
        if weights.len() != self.stack().num_weights() {
            bail!("the weights of a recurrent network do not fit its sizes");
        }
        Ok(Stack::pack(self.cell, self.isa, &self.sizes, self.directions, &weights))
    }
}

impl CustomOp3 for FusedRnn {
    fn name(&self) -> &'static str {
        "fused-rnn"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, frames, _) = x_layout.shape().dims3()?;
        let x = contiguous(x, x_layout)?;
        let weights = contiguous(weights, weights_layout)?;
        let initial = contiguous(initial, initial_layout)?;
        let stack = self.stack();
        let packed = Stack::pack(self.cell, self.isa, &self.sizes, self.directions, weights);
        let mut kept = Kept::default();
        let (mut out, states) = stack.forward(x, &packed, initial, Some(&mut kept));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        let shape = if self.with_states {
            out.extend(states);
            Shape::from(out.len())
        } else {
            *self.states.lock().unwrap_or_else(PoisonError::into_inner) = states;
            Shape::from((batch, frames, self.directions * self.sizes[0].hidden))
        };
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        initial: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the way back through a recurrent network can be gone once");
        };
        let dout = dout.contiguous()?;
        let gradients = {
            let (out, dout) = (Values::of(out)?, Values::of(&dout)?);
            let (x_values, weights, initial) = (Values::of(x)?, Values::of(weights)?, Values::of(initial)?);
            let len = if self.with_states { dout.len() - initial.len() } else { dout.len() };
            let (dout, dstates) = dout.split_at(len);
            let given = (dout, self.with_states.then_some(dstates));
            let inputs = Inputs { x: &x_values, weights: &weights, initial: &initial };
            self.stack().backward(inputs, kept, &out[..len], given, x.track_op())
        };
        let tensor = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device());
        Ok((
            gradients.x.map(|dx| tensor(dx, x)).transpose()?,
            Some(tensor(gradients.weights, weights)?),
            initial.track_op().then(|| tensor(gradients.states, initial)).transpose()?,
        ))
    }
}
