//! GRU with the reset gate after the recurrent product, as `torch.nn.GRU` and cuDNN compute it (Cho et al. 2014, v1):
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
//! h' = (1 - z) * n + z * h
//! ```

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Stepped, Unstepped};

/// `input` is the affine product of x, `[B, 3H]`, gates in the order r, z, n.
pub(super) fn step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let recurrent = affine(&state.h, &weights.weight_hh, &weights.bias_hh)?;
    let (x, a) = (input.chunk(3, D::Minus1)?, recurrent.chunk(3, D::Minus1)?);
    let r = sigmoid(&(&x[0] + &a[0])?)?;
    let z = sigmoid(&(&x[1] + &a[1])?)?;
    let n = (&x[2] + (r * &a[2])?)?.tanh()?;
    // (1 - z) * n + z * h, with one product less.
    let h = (&n + (z * (&state.h - &n)?)?)?;
    Ok(State { h, c: None })
}

/// The same for the fused scan.
pub(crate) struct Fused;

impl Gates for Fused {
    const GATES: usize = 3;
    /// r, z, n, and the recurrent product of n
    const SAVED: usize = 4;
    const MEMORY: Option<usize> = None;
    const SAME_GRADIENTS: bool = false;

    #[inline(always)]
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        _p: &[V; PEEPHOLE_GATES],
        h: V,
        c: V,
    ) -> Stepped<V> {
        // SAFETY: no pointers; the caller answers for the instructions.
        unsafe {
            let r = kernels::sigmoid(x[0].add(a[0]));
            let z = kernels::sigmoid(x[1].add(a[1]));
            let n = kernels::tanh(r.mul_add(a[2], x[2]));
            Stepped { h: z.mul_add(h.sub(n), n), c, mid: c, saved: [r, z, n, a[2], c] }
        }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (h, _): (V, V),
        dh: V,
        _dc: V,
        _dmid: V,
    ) -> Unstepped<V> {
        let [r, z, n, a, _] = *saved;
        // SAFETY: as above.
        unsafe {
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let dn = dh.mul(one.sub(z)).mul(one.sub(n.mul(n)));
            let dz = dh.mul(h.sub(n)).mul(z.mul(one.sub(z)));
            let dr = dn.mul(a).mul(r.mul(one.sub(r)));
            let (dx, da) = ([dr, dz, dn, zero], [dr, dz, dn.mul(r), zero]);
            Unstepped { dx, da, dh: dh.mul(z), dc: zero, mid: zero }
        }
    }
}
