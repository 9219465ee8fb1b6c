//! LSTM with coupled forget and input gates: what is forgotten makes room for what is new (Greff et al. 2017, "CIFG").
//!
//! ```text
//! f = σ(W_if x + b_if + W_hf h + b_hf)      g = tanh(W_ig x + b_ig + W_hg h + b_hg)
//! o = σ(W_io x + b_io + W_ho h + b_ho)
//! c' = f * c + (1 - f) * g                  h' = o * tanh(c')
//! ```

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Stepped, Unstepped};

/// `input` is the affine product of x, `[B, 3H]`, gates in the order f, g, o.
pub(super) fn step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let recurrent = affine(&state.h, &weights.weight_hh, &weights.bias_hh)?;
    let gates = (input + recurrent)?.chunk(3, D::Minus1)?;
    let (f, g, o) = (sigmoid(&gates[0])?, gates[1].tanh()?, sigmoid(&gates[2])?);
    let c = ((&f * state.memory()?)? + (f.affine(-1.0, 1.0)? * g)?)?;
    let h = (o * c.tanh()?)?;
    Ok(State { h, c: Some(c) })
}

/// The same for the fused scan.
pub(crate) struct Fused;

impl Gates for Fused {
    const GATES: usize = 3;
    /// f, g, o, c'
    const SAVED: usize = 4;
    const MEMORY: Option<usize> = Some(3);

    #[inline(always)]
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        _p: &[V; PEEPHOLE_GATES],
        _h: V,
        c: V,
    ) -> Stepped<V> {
        // SAFETY: no pointers; the caller answers for the instructions.
        unsafe {
            let f = kernels::sigmoid(x[0].add(a[0]));
            let g = kernels::tanh(x[1].add(a[1]));
            let o = kernels::sigmoid(x[2].add(a[2]));
            let c = f.mul_add(c.sub(g), g);
            Stepped { h: o.mul(kernels::tanh(c)), c, mid: c, saved: [f, g, o, c, c] }
        }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (_, c): (V, V),
        dh: V,
        dc: V,
        _dmid: V,
    ) -> Unstepped<V> {
        let [f, g, o, c_after, _] = *saved;
        // SAFETY: as above.
        unsafe {
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let t = kernels::tanh(c_after);
            let dc = dh.mul(o).mul_add(one.sub(t.mul(t)), dc);
            let df = dc.mul(c.sub(g)).mul(f.mul(one.sub(f)));
            let dg = dc.mul(one.sub(f)).mul(one.sub(g.mul(g)));
            let d_o = dh.mul(t).mul(o.mul(one.sub(o)));
            let gates = [df, dg, d_o, zero];
            Unstepped { dx: gates, da: gates, dh: zero, dc: dc.mul(f), mid: zero }
        }
    }
}
