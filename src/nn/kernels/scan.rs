//! What the scans of both ways share: their arguments, and the product.
//!
//! Sequences are packed (see [`Packing`]): at step `t` the first `batch_sizes[t]` of them are still running, and
//! their rows lie side by side. Each sum runs over `k` in one order, whatever the batch: a sequence's numbers do not
//! depend on its neighbours.

#![allow(
    clippy::needless_range_loop,
    reason = "gates and rows index several arrays at once, with constant bounds"
)]

use std::marker::PhantomData;

use super::pack::{PackedWeights, VECTORS};
use super::simd::Simd;
use super::{Gates, PEEPHOLE_GATES, Peepholes};
use crate::nn::packing::Packing;

/// Most rows side by side that any vector asks for.
pub(super) const MAX_ROWS: usize = 6;

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
    pub(super) unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
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
    /// Packed for the way forward.
    pub weights: &'a PackedWeights,
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
    /// Packed for the way back.
    pub weights: &'a PackedWeights,
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
    /// What the products multiplied, for the weights' gradient.
    pub operands: &'a mut Operands,
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
        assert_eq!(self.operands.h.len(), rows * hidden);
        for matrix in [&self.operands.c, &self.operands.mid] {
            assert!(matrix.is_empty() || matrix.len() == rows * hidden);
        }
    }
}

/// The other factor of each weight's gradient, for every row: `[N, H]`, or nothing where the cell has no such product.
pub(crate) struct Operands {
    /// h before the step.
    pub h: Vec<f32>,
    /// c before the step.
    pub c: Vec<f32>,
    /// What the second round multiplied; with peepholes c after the step.
    pub mid: Vec<f32>,
}

impl Operands {
    pub fn new<C: Gates>(rows: usize, hidden: usize) -> Self {
        let peepholes = C::PEEPHOLES != Peepholes::None;
        let matrix = |wanted: bool| vec![0f32; if wanted { rows * hidden } else { 0 }];
        Self { h: matrix(true), c: matrix(peepholes), mid: matrix(peepholes || C::SECOND.is_some()) }
    }
}

/// Rows of `width` values each, padded so that whole vectors may be read and written.
#[derive(Clone)]
pub(super) struct Rows {
    data: Vec<f32>,
    pub stride: usize,
}

impl Rows {
    pub fn new(rows: usize, width: usize, multiple: usize) -> Self {
        let stride = width.next_multiple_of(multiple);
        Self { data: vec![0.0; rows * stride], stride }
    }

    #[inline(always)]
    pub fn row(&mut self, row: usize) -> *mut f32 {
        self.data[row * self.stride..].as_mut_ptr()
    }

    pub fn clear(&mut self, row: usize) {
        self.data[row * self.stride..][..self.stride].fill(0.0);
    }

    /// # Safety
    /// `from` has `rows` rows from `first` on.
    pub unsafe fn copy_from(&mut self, from: &Columns, first: usize, rows: usize) {
        for row in 0..rows {
            // SAFETY: the caller's rows; both sides hold `width` values.
            unsafe { std::ptr::copy_nonoverlapping(from.at(first + row, 0), self.row(row), from.width) }
        }
    }

    /// # Safety
    /// `to` has the rows `first + rows`.
    pub unsafe fn copy_to(&mut self, rows: std::ops::Range<usize>, to: &Columns, first: usize) {
        for row in rows {
            // SAFETY: the caller's rows; both sides hold `width` values.
            unsafe { std::ptr::copy_nonoverlapping(self.row(row), to.at(first + row, 0), to.width) }
        }
    }
}

/// Evaluates `$call` for groups of `$rows` sequences until all `$count` are done: as many side by side as the vector
/// has registers for. `$rows` is a constant in it.
macro_rules! by_rows {
    ($vector:ty, $count:expr, |$first:ident, $rows:ident| $call:expr) => {{
        let mut $first = 0;
        while $first < $count {
            let left = $count - $first;
            match if left < <$vector>::ROWS { left } else { <$vector>::ROWS } {
                6.. => {
                    const $rows: usize = 6;
                    $call;
                    $first += $rows;
                }
                4 | 5 => {
                    const $rows: usize = 4;
                    $call;
                    $first += $rows;
                }
                2 | 3 => {
                    const $rows: usize = 2;
                    $call;
                    $first += $rows;
                }
                _ => {
                    const $rows: usize = 1;
                    $call;
                    $first += $rows;
                }
            }
        }
    }};
}

/// Sums of a tile: `[panel · gates + gate][sequence]`.
pub(super) type Sums<V, const ROWS: usize> = [[V; ROWS]; VECTORS];

/// Adds to the first `vectors` sums of `ROWS` sequences the products of `operand` (rows of `stride` values, of which
/// `depth` count) with a tile's weights. A sum runs over `k` in order, whatever the number of rows.
///
/// # Safety
/// The tile has `depth` rows of `vectors` vectors; `operand` has `ROWS` rows.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Simd, const ROWS: usize>(
    sums: &mut Sums<V, ROWS>,
    vectors: usize,
    mut weights: *const f32,
    depth: usize,
    operand: *const f32,
    stride: usize,
) {
    // SAFETY: the caller's sizes.
    unsafe {
        for k in 0..depth {
            let mut w = [V::splat(0.0); VECTORS];
            for v in 0..vectors {
                w[v] = V::load(weights.add(v * V::LANES));
            }
            for m in 0..ROWS {
                let value = V::splat(*operand.add(m * stride + k));
                for v in 0..vectors {
                    sums[v][m] = w[v].mul_add(value, sums[v][m]);
                }
            }
            weights = weights.add(vectors * V::LANES);
        }
    }
}

/// The diagonal peepholes of a vector's units; zeros where the cell has none.
///
/// # Safety
/// `j < hidden`, and as [`Simd`] asks.
#[inline(always)]
pub(super) unsafe fn diagonal<V: Simd, C: Gates>(
    weights: &PackedWeights,
    hidden: usize,
    j: usize,
) -> [V; PEEPHOLE_GATES] {
    // SAFETY: `diagonal` has PEEPHOLE_GATES rows of `hidden` values.
    unsafe {
        let mut p = [V::splat(0.0); PEEPHOLE_GATES];
        if C::PEEPHOLES == Peepholes::Diagonal {
            for (gate, p) in p.iter_mut().enumerate() {
                *p = V::load_part(weights.diagonal.as_ptr().add(gate * hidden + j), hidden - j);
            }
        }
        p
    }
}

pub(super) use by_rows;
