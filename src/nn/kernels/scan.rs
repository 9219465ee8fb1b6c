//! The scans themselves, for any vector and any cell.
//!
//! Sequences are packed (see [`Packing`]): at step `t` the first `batch_sizes[t]` of them are still running, and
//! their rows lie side by side. Each sum runs over `k` in one order, whatever the batch: a sequence's numbers do not
//! depend on its neighbours.

#![allow(
    clippy::needless_range_loop,
    reason = "gates and rows index several arrays at once, with constant bounds"
)]

use std::marker::PhantomData;

use super::pack::{BACKWARD_VECTORS, PackedBackward, PackedForward};
use super::simd::Simd;
use super::{Gates, MAX_GATES, MAX_SAVED};
use crate::nn::packing::Packing;

/// Most rows side by side that any vector asks for.
const MAX_ROWS: usize = 6;

/// Some columns of a row-major matrix; several threads may write to it, each in columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pointer: *mut f32,
    rows: usize,
    stride: usize,
    offset: usize,
    width: usize,
    lifetime: PhantomData<&'a [f32]>,
}

// SAFETY: those that are written to share no column (`Columns::split`).
unsafe impl Send for Columns<'_> {}
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Columns `offset..offset + width` of `matrix`, which has rows of `stride` values, to be read only: nothing in
    /// this module writes through what is called read-only.
    pub fn read(matrix: &'a [f32], stride: usize, offset: usize, width: usize) -> Self {
        assert!(offset + width <= stride && matrix.len().is_multiple_of(stride));
        let pointer = matrix.as_ptr().cast_mut();
        Self { pointer, rows: matrix.len() / stride, stride, offset, width, lifetime: PhantomData }
    }

    /// The columns of `matrix`, which has rows of `stride` values, in equal parts.
    pub fn split(matrix: &'a mut [f32], stride: usize, parts: usize) -> Vec<Self> {
        assert!(matrix.len().is_multiple_of(stride) && stride.is_multiple_of(parts));
        let (pointer, rows, width) = (matrix.as_mut_ptr(), matrix.len() / stride, stride / parts);
        let part = |p| Self { pointer, rows, stride, offset: p * width, width, lifetime: PhantomData };
        (0..parts).map(part).collect()
    }

    /// # Safety
    /// `row` and `column` must be inside.
    #[inline(always)]
    unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
        debug_assert!(row < self.rows && column < self.width);
        // SAFETY: inside the matrix, says the caller.
        unsafe { self.pointer.add(row * self.stride + self.offset + column) }
    }
}

/// One layer in one direction on its way forward. `N` rows are all frames of the batch, `B` its sequences.
pub(crate) struct Forward<'a> {
    pub packing: &'a Packing,
    pub hidden: usize,
    /// From the last frame of each sequence to its first.
    pub reverse: bool,
    pub weights: &'a PackedForward,
    /// `[gates·H]`
    pub bias: &'a [f32],
    /// The input's products with their bias, `[N, gates·H]`; only read.
    pub gx: Columns<'a>,
    /// States before the first step: `B` rows of h, then, where the cell has a memory, `B` of c; only read.
    pub initial: Columns<'a>,
    /// `N` rows of h; then, where the cell has a memory, `B` rows: c after the last step.
    pub out: Columns<'a>,
    /// `[N, SAVED·H]`, if the way back is to be gone.
    pub saved: Option<&'a mut [f32]>,
}

impl Forward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let (rows, batch, hidden) = (self.packing.rows(), self.packing.batch(), self.hidden);
        let memory = if C::MEMORY.is_some() { batch } else { 0 };
        assert_eq!(self.bias.len(), C::GATES * hidden);
        assert_eq!((self.gx.rows, self.gx.width), (rows, C::GATES * hidden));
        assert_eq!((self.initial.rows, self.initial.width), (batch + memory, hidden));
        assert_eq!((self.out.rows, self.out.width), (rows + memory, hidden));
        assert!(self.saved.as_ref().is_none_or(|saved| saved.len() == rows * C::SAVED * hidden));
    }
}

/// The way back of [`Forward`].
pub(crate) struct Backward<'a> {
    pub packing: &'a Packing,
    pub hidden: usize,
    pub reverse: bool,
    pub weights: &'a PackedBackward,
    pub initial: Columns<'a>,
    /// As the way forward left it; only read.
    pub out: Columns<'a>,
    pub saved: &'a [f32],
    /// Gradient of `out`, of its shape; only read.
    pub dout: Columns<'a>,
    /// Gradient of the input's products, `[N, gates·H]`.
    pub dgx: Columns<'a>,
    /// Gradient of the recurrent products, `[N, gates·H]`.
    pub da: &'a mut [f32],
    /// The state before each row's step, `[N, H]`: the other factor of the weights' gradient.
    pub h_before: &'a mut [f32],
    /// Gradient of `initial`, of its shape.
    pub dinitial: Columns<'a>,
}

impl Backward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let (rows, batch, hidden) = (self.packing.rows(), self.packing.batch(), self.hidden);
        let memory = if C::MEMORY.is_some() { batch } else { 0 };
        for columns in [&self.initial, &self.dinitial] {
            assert_eq!((columns.rows, columns.width), (batch + memory, hidden));
        }
        for columns in [&self.out, &self.dout] {
            assert_eq!((columns.rows, columns.width), (rows + memory, hidden));
        }
        assert_eq!((self.dgx.rows, self.dgx.width), (rows, C::GATES * hidden));
        assert_eq!(self.da.len(), rows * C::GATES * hidden);
        assert_eq!(self.saved.len(), rows * C::SAVED * hidden);
        assert_eq!(self.h_before.len(), rows * hidden);
    }
}

/// Rows of `width` values each, padded so that whole vectors may be read and written.
struct Rows {
    data: Vec<f32>,
    stride: usize,
}

impl Rows {
    fn new(rows: usize, width: usize, lanes: usize) -> Self {
        let stride = width.next_multiple_of(lanes);
        Self { data: vec![0.0; rows * stride], stride }
    }

    /// # Safety
    /// `from` has `rows` rows from `first` on.
    unsafe fn copy_from(&mut self, from: &Columns, first: usize, rows: usize) {
        for row in 0..rows {
            // SAFETY: the caller's rows; both sides hold `width` values.
            unsafe {
                let to = self.data.as_mut_ptr().add(row * self.stride);
                std::ptr::copy_nonoverlapping(from.at(first + row, 0), to, from.width);
            }
        }
    }

    /// # Safety
    /// As in `copy_from`.
    unsafe fn copy_to(&self, to: &Columns, first: usize, rows: usize) {
        for row in 0..rows {
            // SAFETY: as in `copy_from`.
            unsafe {
                let from = self.data.as_ptr().add(row * self.stride);
                std::ptr::copy_nonoverlapping(from, to.at(first + row, 0), to.width);
            }
        }
    }
}

/// Calls `$f::<..., R>($($args)*)` for groups of `R` rows until all `$count` are done: as many side by side as the
/// vector has registers for.
macro_rules! by_rows {
    ($vector:ty, $count:expr, |$first:ident, $rows:ident| $call:expr) => {{
        let mut $first = 0;
        while $first < $count {
            let left = $count - $first;
            let take = if left >= <$vector>::ROWS { <$vector>::ROWS } else { left };
            match take {
                6.. => {
                    const $rows: usize = 6;
                    $call;
                    $first += 6;
                }
                4 | 5 => {
                    const $rows: usize = 4;
                    $call;
                    $first += 4;
                }
                2 | 3 => {
                    const $rows: usize = 2;
                    $call;
                    $first += 2;
                }
                _ => {
                    const $rows: usize = 1;
                    $call;
                    $first += 1;
                }
            }
        }
    }};
}

/// # Safety
/// `args` is checked, and the caller is compiled for the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn forward<V: Simd, C: Gates>(mut args: Forward) {
    const { assert!(V::ROWS <= MAX_ROWS && V::LANES <= 16) };
    let (packing, hidden, lanes) = (args.packing, args.hidden, V::LANES);
    let batch = packing.batch();
    let saved = args.saved.as_mut().map(|saved| saved.as_mut_ptr());
    let mut h = Rows::new(batch, hidden, lanes);
    let mut c = Rows::new(if C::MEMORY.is_some() { batch } else { 0 }, hidden, lanes);
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        h.copy_from(&args.initial, 0, batch);
        if C::MEMORY.is_some() {
            c.copy_from(&args.initial, batch, batch);
        }
        // A step reads all of h before while it writes h after. Sequences that wait or are done stay as they are.
        let mut h_after = Rows { data: h.data.clone(), stride: h.stride };
        let panel_length = hidden * C::GATES * lanes;
        for i in 0..packing.steps() {
            let t = if args.reverse { packing.steps() - 1 - i } else { i };
            let (running, row) = (packing.batch_size(t), packing.row(t, 0));
            for (panel, j) in (0..hidden).step_by(lanes).enumerate() {
                let weights = args.weights.0.as_ptr().add(panel * panel_length);
                by_rows!(V, running, |first, ROWS| {
                    let step = Step {
                        args: &args,
                        saved,
                        row: row + first,
                        j,
                        h: h.data.as_ptr().add(first * h.stride),
                        h_after: h_after.data.as_mut_ptr().add(first * h.stride),
                        c: if C::MEMORY.is_some() {
                            c.data.as_mut_ptr().add(first * c.stride)
                        } else {
                            std::ptr::null_mut()
                        },
                        stride: h.stride,
                    };
                    step.go::<V, C, ROWS>(weights)
                });
            }
            std::mem::swap(&mut h, &mut h_after);
        }
        if C::MEMORY.is_some() {
            c.copy_to(&args.out, packing.rows(), batch);
        }
    }
}

/// `ROWS` sequences at one step, the units of one vector.
struct Step<'a, 'b> {
    args: &'a Forward<'b>,
    saved: Option<*mut f32>,
    /// Packed row of the first of them.
    row: usize,
    /// First unit.
    j: usize,
    h: *const f32,
    h_after: *mut f32,
    c: *mut f32,
    stride: usize,
}

impl Step<'_, '_> {
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn go<V: Simd, C: Gates, const ROWS: usize>(&self, weights: *const f32) {
        let (hidden, j) = (self.args.hidden, self.j);
        let count = V::LANES.min(hidden - j);
        // SAFETY: as in `forward`.
        unsafe {
            let mut sums = [[V::splat(0.0); ROWS]; MAX_GATES];
            for gate in 0..C::GATES {
                sums[gate] = [V::load_part(self.args.bias.as_ptr().add(gate * hidden + j), count); ROWS];
            }
            let mut weights = weights;
            for k in 0..hidden {
                let mut w = [V::splat(0.0); MAX_GATES];
                for gate in 0..C::GATES {
                    w[gate] = V::load(weights.add(gate * V::LANES));
                }
                for m in 0..ROWS {
                    let h = V::splat(*self.h.add(m * self.stride + k));
                    for gate in 0..C::GATES {
                        sums[gate][m] = w[gate].mul_add(h, sums[gate][m]);
                    }
                }
                weights = weights.add(C::GATES * V::LANES);
            }
            for m in 0..ROWS {
                let (mut x, mut a) = ([V::splat(0.0); MAX_GATES], [V::splat(0.0); MAX_GATES]);
                for gate in 0..C::GATES {
                    x[gate] = V::load_part(self.args.gx.at(self.row + m, gate * hidden + j), count);
                    a[gate] = sums[gate][m];
                }
                let at = m * self.stride + j;
                let c = if C::MEMORY.is_some() { V::load(self.c.add(at)) } else { V::splat(0.0) };
                let after = C::forward(&x, &a, V::load(self.h.add(at)), c);
                after.h.store(self.h_after.add(at));
                after.h.store_part(self.args.out.at(self.row + m, j), count);
                if C::MEMORY.is_some() {
                    after.c.store(self.c.add(at));
                }
                if let Some(saved) = self.saved {
                    let saved = saved.add((self.row + m) * C::SAVED * hidden + j);
                    for (k, value) in after.saved.iter().enumerate().take(C::SAVED) {
                        value.store_part(saved.add(k * hidden), count);
                    }
                }
            }
        }
    }
}

/// # Safety
/// As for `forward`.
#[inline(always)]
pub(super) unsafe fn backward<V: Simd, C: Gates>(args: Backward) {
    let (packing, hidden, lanes) = (args.packing, args.hidden, V::LANES);
    let (batch, rows, gates) = (packing.batch(), packing.rows(), C::GATES * hidden);
    let width = lanes * BACKWARD_VECTORS;
    // Gradients of the state after the step at hand; `dh` is padded for whole panels.
    let mut dh = Rows::new(batch, hidden, width);
    let mut dc = Rows::new(if C::MEMORY.is_some() { batch } else { 0 }, hidden, lanes);
    let (da, h_before) = (args.da.as_mut_ptr(), args.h_before.as_mut_ptr());
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        if C::MEMORY.is_some() {
            dc.copy_from(&args.dout, rows, batch);
        }
        for i in 0..packing.steps() {
            let t = if args.reverse { i } else { packing.steps() - 1 - i };
            let (running, row) = (packing.batch_size(t), packing.row(t, 0));
            for s in 0..running {
                let before = packing.row_before(t, s, args.reverse);
                for j in (0..hidden).step_by(lanes) {
                    let count = lanes.min(hidden - j);
                    let mut saved = [V::splat(0.0); MAX_SAVED];
                    for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                        *value = V::load_part(
                            args.saved.as_ptr().add(((row + s) * C::SAVED + k) * hidden + j),
                            count,
                        );
                    }
                    let h = match before {
                        Some(before) => args.out.at(before, j),
                        None => args.initial.at(s, j),
                    };
                    let h = V::load_part(h, count);
                    h.store_part(h_before.add((row + s) * hidden + j), count);
                    let c = match C::MEMORY {
                        None => V::splat(0.0),
                        Some(memory) => {
                            let c = match before {
                                Some(before) => {
                                    args.saved.as_ptr().add((before * C::SAVED + memory) * hidden + j)
                                }
                                None => args.initial.at(batch + s, j).cast_const(),
                            };
                            V::load_part(c, count)
                        }
                    };
                    let dh_at = dh.data.as_mut_ptr().add(s * dh.stride + j);
                    let dh_after = V::load(dh_at).add(V::load_part(args.dout.at(row + s, j), count));
                    let dc_after = match C::MEMORY {
                        Some(_) => V::load(dc.data.as_ptr().add(s * dc.stride + j)),
                        None => V::splat(0.0),
                    };
                    let gradient = C::backward(&saved, h, c, dh_after, dc_after);
                    for gate in 0..C::GATES {
                        gradient.dx[gate].store_part(args.dgx.at(row + s, gate * hidden + j), count);
                        gradient.da[gate].store_part(da.add((row + s) * gates + gate * hidden + j), count);
                    }
                    gradient.dh.store(dh_at);
                    if C::MEMORY.is_some() {
                        gradient.dc.store(dc.data.as_mut_ptr().add(s * dc.stride + j));
                    }
                }
            }
            // dh += da · W
            for (panel, j) in (0..hidden).step_by(width).enumerate() {
                let weights = args.weights.0.as_ptr().add(panel * gates * width);
                by_rows!(V, running, |first, ROWS| {
                    let dh = dh.data.as_mut_ptr().add(first * dh.stride + j);
                    let da = da.cast_const().add((row + first) * gates);
                    add_product::<V, ROWS>(weights, gates, da, dh, hidden.next_multiple_of(width))
                });
            }
        }
        dh.copy_to(&args.dinitial, 0, batch);
        if C::MEMORY.is_some() {
            dc.copy_to(&args.dinitial, batch, batch);
        }
    }
}

/// Adds `da · W` to one panel's columns of `dh`, for `ROWS` sequences.
///
/// # Safety
/// `weights` is a panel of `depth` rows, `da` has `ROWS` rows of `depth`, `dh` as many of `stride`.
#[inline(always)]
unsafe fn add_product<V: Simd, const ROWS: usize>(
    weights: *const f32,
    depth: usize,
    da: *const f32,
    dh: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's sizes.
    unsafe {
        let mut sums = [[V::splat(0.0); ROWS]; BACKWARD_VECTORS];
        for k in 0..depth {
            let mut w = [V::splat(0.0); BACKWARD_VECTORS];
            for (v, w) in w.iter_mut().enumerate() {
                *w = V::load(weights.add((k * BACKWARD_VECTORS + v) * V::LANES));
            }
            for m in 0..ROWS {
                let a = V::splat(*da.add(m * depth + k));
                for v in 0..BACKWARD_VECTORS {
                    sums[v][m] = w[v].mul_add(a, sums[v][m]);
                }
            }
        }
        for m in 0..ROWS {
            for (v, sum) in sums.iter().enumerate() {
                let at = dh.add(m * stride + v * V::LANES);
                V::load(at).add(sum[m]).store(at);
            }
        }
    }
}
