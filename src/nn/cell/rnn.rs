//! The vanilla recurrent network, as `torch.nn.RNN` computes it (Elman 1990):
//!
//! ```text
//! h' = f(W_ih x + b_ih + W_hh h + b_hh)      f: tanh or max(0, ·)
//! ```

use candle_core::{Result, Tensor};

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Stepped, Unstepped};

/// `input` is the affine product of x, `[B, H]`.
pub(super) fn tanh_step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let h = (input + affine(&state.h, &weights.weight_hh, &weights.bias_hh)?)?.tanh()?;
    Ok(State { h, c: None })
}

/// As [`tanh_step`].
pub(super) fn relu_step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let h = (input + affine(&state.h, &weights.weight_hh, &weights.bias_hh)?)?.relu()?;
    Ok(State { h, c: None })
}

/// The same for the fused scan.
pub(crate) struct FusedTanh;

/// The same for the fused scan.
pub(crate) struct FusedRelu;

impl Gates for FusedTanh {
    const GATES: usize = 1;
    /// h'
    const SAVED: usize = 1;
    const MEMORY: Option<usize> = None;

    #[inline(always)]
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        _p: &[V; PEEPHOLE_GATES],
        _h: V,
        c: V,
    ) -> Stepped<V> {
        // SAFETY: no pointers; the caller answers for the instructions.
        let h = unsafe { kernels::tanh(x[0].add(a[0])) };
        Stepped { h, c, mid: c, saved: [h, c, c, c, c] }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (_, c): (V, V),
        dh: V,
        _dc: V,
        _dmid: V,
    ) -> Unstepped<V> {
        let h = saved[0];
        // SAFETY: as above.
        unsafe {
            let d = dh.mul(V::splat(1.0).sub(h.mul(h)));
            let zero = V::splat(0.0);
            Unstepped { dx: [d, c, c, c], da: [d, c, c, c], dh: zero, dc: zero, mid: zero }
        }
    }
}

impl Gates for FusedRelu {
    const GATES: usize = 1;
    /// h'
    const SAVED: usize = 1;
    const MEMORY: Option<usize> = None;

    #[inline(always)]
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        _p: &[V; PEEPHOLE_GATES],
        _h: V,
        c: V,
    ) -> Stepped<V> {
        // SAFETY: no pointers; the caller answers for the instructions.
        let h = unsafe { V::splat(0.0).max(x[0].add(a[0])) };
        Stepped { h, c, mid: c, saved: [h, c, c, c, c] }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (_, c): (V, V),
        dh: V,
        _dc: V,
        _dmid: V,
    ) -> Unstepped<V> {
        // SAFETY: as above.
        unsafe {
            let d = saved[0].where_positive(dh);
            let zero = V::splat(0.0);
            Unstepped { dx: [d, c, c, c], da: [d, c, c, c], dh: zero, dc: zero, mid: zero }
        }
    }
}
