//! LSTM with peepholes: the gates see the memory cell.
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi + P_i c)      f = σ(W_if x + b_if + W_hf h + b_hf + P_f c)
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)           c' = f * c + i * g
//! o = σ(W_io x + b_io + W_ho h + b_ho + P_o c')     h' = o * tanh(c')
//! ```
//!
//! P are full matrices (`weight_ch [3·H, H]`, blocks i, f, o), or diagonal ones (`weight_ch [3, H]`; Gers &
//! Schmidhuber 2000).

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{CellWeights, State, affine};
use crate::nn::kernels::simd::Simd;
use crate::nn::kernels::{
    self, Gates, MAX_GATES, MAX_SAVED, PEEPHOLE_GATES, Peepholes, SecondWeights, Stepped, Unstepped,
};

/// With full matrices. `input` is the affine product of x, `[B, 4H]`, gates in the order i, f, g, o.
pub(super) fn full_step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let p = weights.peepholes()?.chunk(3, 0)?;
    step(input, state, weights, |gate, c| c.matmul(&p[gate].t()?))
}

/// With diagonal matrices; as [`full_step`].
pub(super) fn diagonal_step(input: &Tensor, state: &State, weights: &CellWeights) -> Result<State> {
    let p = weights.peepholes()?.chunk(3, 0)?;
    step(input, state, weights, |gate, c| c.broadcast_mul(&p[gate]))
}

/// `peep(gate, c)` is what gate i, f or o (0, 1, 2) sees of the memory cell.
fn step(
    input: &Tensor,
    state: &State,
    weights: &CellWeights,
    peep: impl Fn(usize, &Tensor) -> Result<Tensor>,
) -> Result<State> {
    let c = state.memory()?;
    let recurrent = affine(&state.h, &weights.weight_hh, &weights.bias_hh)?;
    let gates = (input + recurrent)?.chunk(4, D::Minus1)?;
    let i = sigmoid(&(&gates[0] + peep(0, c)?)?)?;
    let f = sigmoid(&(&gates[1] + peep(1, c)?)?)?;
    let c = ((f * c)? + (i * gates[2].tanh()?)?)?;
    let o = sigmoid(&(&gates[3] + peep(2, &c)?)?)?;
    let h = (o * c.tanh()?)?;
    Ok(State { h, c: Some(c) })
}

/// Full matrices in the fused scan: i and f have a product with c, o one of the second round with c'.
pub(crate) struct FusedFull;

/// Diagonal peepholes in the fused scan.
pub(crate) struct FusedDiagonal;

impl Gates for FusedFull {
    const GATES: usize = 4;
    /// i, f, g, o (before the second round what o has so far), c'
    const SAVED: usize = 5;
    const MEMORY: Option<usize> = Some(4);
    const FROM_MEMORY: usize = 2;
    const SECOND: Option<usize> = Some(3);
    const SECOND_WEIGHTS: SecondWeights = SecondWeights::Peephole;
    const PEEPHOLES: Peepholes = Peepholes::Full;

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
            let i = kernels::sigmoid(x[0].add(a[0]));
            let f = kernels::sigmoid(x[1].add(a[1]));
            let g = kernels::tanh(x[2].add(a[2]));
            let c = f.mul_add(c, i.mul(g));
            Stepped { h, c, mid: c, saved: [i, f, g, x[3].add(a[3]), c] }
        }
    }

    #[inline(always)]
    unsafe fn second<V: Simd>(saved: &mut [V; MAX_SAVED], a: V, _h: V) -> V {
        // SAFETY: as above.
        unsafe {
            saved[3] = kernels::sigmoid(saved[3].add(a));
            saved[3].mul(kernels::tanh(saved[4]))
        }
    }

    #[inline(always)]
    unsafe fn second_backward<V: Simd>(saved: &[V; MAX_SAVED], dh: V) -> V {
        let (o, c_after) = (saved[3], saved[4]);
        // SAFETY: as above.
        unsafe { dh.mul(kernels::tanh(c_after)).mul(o.mul(V::splat(1.0).sub(o))) }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        _p: &[V; PEEPHOLE_GATES],
        (_, c): (V, V),
        dh: V,
        dc: V,
        dmid: V,
    ) -> Unstepped<V> {
        let [i, f, g, o, c_after] = *saved;
        // SAFETY: as above.
        unsafe {
            let one = V::splat(1.0);
            let t = kernels::tanh(c_after);
            let dc = dh.mul(o).mul_add(one.sub(t.mul(t)), dc.add(dmid));
            let di = dc.mul(g).mul(i.mul(one.sub(i)));
            let df = dc.mul(c).mul(f.mul(one.sub(f)));
            let dg = dc.mul(i).mul(one.sub(g.mul(g)));
            let gates = [di, df, dg, Self::second_backward(saved, dh)];
            Unstepped { dx: gates, da: gates, dh: V::splat(0.0), dc: dc.mul(f), mid: c_after }
        }
    }
}

impl Gates for FusedDiagonal {
    const GATES: usize = 4;
    /// i, f, g, o, c'
    const SAVED: usize = 5;
    const MEMORY: Option<usize> = Some(4);
    const PEEPHOLES: Peepholes = Peepholes::Diagonal;

    #[inline(always)]
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        p: &[V; PEEPHOLE_GATES],
        _h: V,
        c: V,
    ) -> Stepped<V> {
        // SAFETY: no pointers; the caller answers for the instructions.
        unsafe {
            let i = kernels::sigmoid(p[0].mul_add(c, x[0].add(a[0])));
            let f = kernels::sigmoid(p[1].mul_add(c, x[1].add(a[1])));
            let g = kernels::tanh(x[2].add(a[2]));
            let c = f.mul_add(c, i.mul(g));
            let o = kernels::sigmoid(p[2].mul_add(c, x[3].add(a[3])));
            Stepped { h: o.mul(kernels::tanh(c)), c, mid: c, saved: [i, f, g, o, c] }
        }
    }

    #[inline(always)]
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        p: &[V; PEEPHOLE_GATES],
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
            let d_o = dh.mul(t).mul(o.mul(one.sub(o)));
            let dc = d_o.mul_add(p[2], dh.mul(o).mul_add(one.sub(t.mul(t)), dc));
            let di = dc.mul(g).mul(i.mul(one.sub(i)));
            let df = dc.mul(c).mul(f.mul(one.sub(f)));
            let dg = dc.mul(i).mul(one.sub(g.mul(g)));
            let gates = [di, df, dg, d_o];
            let dc = di.mul_add(p[0], df.mul_add(p[1], dc.mul(f)));
            Unstepped { dx: gates, da: gates, dh: V::splat(0.0), dc, mid: c_after }
        }
    }
}
