//! LSTM, as `torch.nn.LSTM` computes it (Hochreiter & Schmidhuber 1997; Gers et al. 2000):
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi)      f = σ(W_if x + b_if + W_hf h + b_hf)
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)   o = σ(W_io x + b_io + W_ho h + b_ho)
//! c' = f * c + i * g                        h' = o * tanh(c')
//! ```

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Stepped, Unstepped};

/// `input` is the affine product of x, `[B, 4H]`, gates in the order i, f, g, o.
pub(super) fn step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let recurrent = affine(&state.h, &weights.weight_hh, &weights.bias_hh)?;
    let gates = (input + recurrent)?.chunk(4, D::Minus1)?;
    let (i, f, g, o) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?, gates[2].tanh()?, sigmoid(&gates[3])?);
    let c = ((f * state.memory()?)? + (i * g)?)?;
    let h = (o * c.tanh()?)?;
    Ok(State { h, c: Some(c) })
}

/// The same for the fused scan.
pub(crate) struct Fused;

impl Gates for Fused {
    const GATES: usize = 4;
    /// i, f, g, o, c'
    const SAVED: usize = 5;
    const MEMORY: Option<usize> = Some(4);

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
            let i = kernels::sigmoid(x[0].add(a[0]));
            let f = kernels::sigmoid(x[1].add(a[1]));
            let g = kernels::tanh(x[2].add(a[2]));
            let o = kernels::sigmoid(x[3].add(a[3]));
            let c = f.mul_add(c, i.mul(g));
            Stepped { h: o.mul(kernels::tanh(c)), c, mid: c, saved: [i, f, g, o, c] }
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
        let [i, f, g, o, c_after] = *saved;
        // SAFETY: as above.
        unsafe {
            let one = V::splat(1.0);
            let t = kernels::tanh(c_after);
            let dc = dh.mul(o).mul_add(one.sub(t.mul(t)), dc);
            let di = dc.mul(g).mul(i.mul(one.sub(i)));
            let df = dc.mul(c).mul(f.mul(one.sub(f)));
            let dg = dc.mul(i).mul(one.sub(g.mul(g)));
            let d_o = dh.mul(t).mul(o.mul(one.sub(o)));
            let gates = [di, df, dg, d_o];
            Unstepped { dx: gates, da: gates, dh: V::splat(0.0), dc: dc.mul(f), mid: c_after }
        }
    }
}
