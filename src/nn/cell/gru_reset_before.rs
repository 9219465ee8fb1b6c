//! GRU with the reset gate before the recurrent product (Cho et al. 2014, the published version):
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)
//! h' = (1 - z) * h + z * n
//! ```
//!
//! Here z lets the new in, in [`gru`](super::gru) it keeps the old: weights of one are wrong in the other.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Stepped, Unstepped};

/// `input` is the affine product of x, `[B, 3H]`, gates in the order r, z, n.
pub(super) fn step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let x = input.chunk(3, D::Minus1)?;
    let (w, b) = (weights.weight_hh.chunk(3, 0)?, weights.bias_hh.chunk(3, 0)?);
    let r = sigmoid(&(&x[0] + affine(&state.h, &w[0], &b[0])?)?)?;
    let z = sigmoid(&(&x[1] + affine(&state.h, &w[1], &b[1])?)?)?;
    let n = (&x[2] + affine(&(r * &state.h)?, &w[2], &b[2])?)?.tanh()?;
    // (1 - z) * h + z * n, with one product less.
    let h = (&state.h + (z * (n - &state.h)?)?)?;
    Ok(State { h, c: None })
}

/// The same for the fused scan: n has its product in the second round.
pub(crate) struct Fused;

impl Gates for Fused {
    const GATES: usize = 3;
    /// r, z, n (before the second round its input product)
    const SAVED: usize = 3;
    const MEMORY: Option<usize> = None;
    const FIRST: usize = 2;
    const SECOND: Option<usize> = Some(2);

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
            Stepped { h, c, mid: r.mul(h), saved: [r, z, x[2], c, c] }
        }
    }

    #[inline(always)]
    unsafe fn second<V: Simd>(saved: &mut [V; MAX_SAVED], a: V, h: V) -> V {
        // SAFETY: as above.
        unsafe {
            saved[2] = kernels::tanh(saved[2].add(a));
            saved[1].mul_add(saved[2].sub(h), h)
        }
    }

    #[inline(always)]
    unsafe fn second_backward<V: Simd>(saved: &[V; MAX_SAVED], dh: V) -> V {
        let [_, z, n, ..] = *saved;
        // SAFETY: as above.
        unsafe { dh.mul(z).mul(V::splat(1.0).sub(n.mul(n))) }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (h, _): (V, V),
        dh: V,
        _dc: V,
        dmid: V,
    ) -> Unstepped<V> {
        let [r, z, n, ..] = *saved;
        // SAFETY: as above.
        unsafe {
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let dn = Self::second_backward(saved, dh);
            let dz = dh.mul(n.sub(h)).mul(z.mul(one.sub(z)));
            let dr = dmid.mul(h).mul(r.mul(one.sub(r)));
            let gates = [dr, dz, dn, zero];
            let dh = dmid.mul_add(r, dh.mul(one.sub(z)));
            Unstepped { dx: gates, da: gates, dh, dc: zero, mid: r.mul(h) }
        }
    }
}
