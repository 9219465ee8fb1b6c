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
use std::ops::Range;

use super::pack::{Packed, PackedWeights, Parameters, Sizes, VECTORS};
use super::simd::Simd;
use super::{Gates, PEEPHOLE_GATES, Peepholes};
use crate::nn::packing::Packing;

/// Values of a block's input products: a scan makes them for so many rows at a time that they stay in the cache.
const BLOCK: usize = 262_144;

/// Most rows of a block; more gain nothing.
const MAX_BLOCK_ROWS: usize = 512;

/// Rows in a block of products of which each has `width` values.
pub(super) fn block_rows(width: usize) -> usize {
    (BLOCK / width).clamp(1, MAX_BLOCK_ROWS)
}

/// Some columns of a row-major matrix; several threads may write to it, each in columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pointer: *mut f32,
    pub(super) rows: usize,
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

    /// All of `matrix`, which has rows of `width` values.
    pub fn write(matrix: &'a mut [f32], width: usize) -> Self {
        assert!(matrix.len().is_multiple_of(width));
        let (pointer, rows) = (matrix.as_mut_ptr(), matrix.len() / width);
        Self { pointer, rows, stride: width, offset: 0, width, lifetime: PhantomData }
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

/// One layer in one direction on its way forward. `B` is the whole batch and `T` its padded length; `packing` tells
/// which sequences of it are meant.
pub(crate) struct Forward<'a> {
    pub packing: &'a Packing,
    /// From the last frame of each sequence to its first.
    pub reverse: bool,
    /// Packed for the way forward.
    pub weights: &'a PackedWeights,
    /// `[B·T, D]`; only read.
    pub x: Columns<'a>,
    /// States before the first step: `B` rows of h, then, where the cell has a memory, `B` of c; only read.
    pub initial: Columns<'a>,
    /// `B·T` rows of h, untouched beyond a sequence's end; then, where the cell has a memory, `B` rows: c after the
    /// last step.
    pub out: Columns<'a>,
    /// `[N, SAVED·H]` for the `N` packed rows, if the way back is to be gone.
    pub saved: Option<&'a mut [f32]>,
}

impl Forward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let Sizes { input, hidden } = self.weights.made_for.2;
        let rows = self.packing.rows();
        check_states::<C>(&self.x, &self.initial, &self.out, hidden);
        assert_eq!(self.x.width, input);
        assert!(self.packing.is_inside(self.x.rows));
        assert!(self.saved.as_ref().is_none_or(|saved| saved.len() == rows * C::SAVED * hidden));
    }
}

/// The rows of `x [B·T]`, `initial [S·B]` and `out [B·T + (S - 1)·B]` fit each other.
fn check_states<C: Gates>(x: &Columns, initial: &Columns, out: &Columns, hidden: usize) {
    let parts = 1 + usize::from(C::MEMORY.is_some());
    let batch = initial.rows / parts;
    assert_eq!((initial.rows, initial.width), (batch * parts, hidden));
    assert_eq!((out.rows, out.width), (x.rows + batch * (parts - 1), hidden));
}

/// The way back of [`Forward`].
pub(crate) struct Backward<'a> {
    pub packing: &'a Packing,
    pub reverse: bool,
    /// Packed for the way back.
    pub weights: &'a PackedWeights,
    pub x: Columns<'a>,
    pub initial: Columns<'a>,
    /// As the way forward left it; only read.
    pub out: Columns<'a>,
    pub saved: &'a [f32],
    /// Gradient of `out`, of its shape; only read.
    pub dout: Columns<'a>,
    /// Gradient of `x`, if it is wanted.
    pub dx: Option<Columns<'a>>,
    /// Gradient of the parameters, which is added.
    pub dweights: Parameters<&'a mut [f32]>,
    /// Gradient of `initial`, of its shape.
    pub dinitial: Columns<'a>,
}

impl Backward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let Sizes { input, hidden } = self.weights.made_for.2;
        check_states::<C>(&self.x, &self.initial, &self.out, hidden);
        check_states::<C>(&self.x, &self.dinitial, &self.dout, hidden);
        assert_eq!(self.x.width, input);
        assert!(self.packing.is_inside(self.x.rows));
        assert!(self.dx.is_none_or(|dx| (dx.rows, dx.width) == (self.x.rows, input)));
        assert_eq!(self.saved.len(), self.packing.rows() * C::SAVED * hidden);
    }
}

/// Rows of `width` values each, padded so that whole vectors may be read and written.
#[derive(Clone)]
pub(super) struct Rows {
    pub data: Vec<f32>,
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

    pub fn clear(&mut self, rows: Range<usize>) {
        self.data[rows.start * self.stride..rows.end * self.stride].fill(0.0);
    }

    /// # Safety
    /// `from` has the row `from_row`, and this the row `row`, wide enough for it.
    pub unsafe fn copy_from(&mut self, row: usize, from: &Columns, from_row: usize) {
        // SAFETY: the caller's rows; both sides hold `width` values.
        unsafe { std::ptr::copy_nonoverlapping(from.at(from_row, 0), self.row(row), from.width) }
    }

    /// # Safety
    /// `to` has the row `to_row`, and this the row `row`, as wide at least.
    pub unsafe fn copy_to(&mut self, row: usize, to: &Columns, to_row: usize) {
        // SAFETY: the caller's rows; both sides hold `width` values.
        unsafe { std::ptr::copy_nonoverlapping(self.row(row), to.at(to_row, 0), to.width) }
    }

    /// The frames of a block of steps, one after the other as they are packed.
    ///
    /// # Safety
    /// `from` has a row for each place in the batch, and this a row for each row of the block.
    pub unsafe fn gather(&mut self, packing: &Packing, steps: &Range<usize>, from: &Columns) {
        let mut row = 0;
        for t in steps.clone() {
            for rank in 0..packing.batch_size(t) {
                // SAFETY: the caller's rows.
                unsafe { self.copy_from(row, from, packing.place(t, rank)) };
                row += 1;
            }
        }
    }
}

/// Evaluates `$call` for groups of `$rows` sequences until all `$count` are done: as many side by side as the sums of
/// `$vectors` vectors each leave registers for. `$rows` is a constant in it.
macro_rules! by_rows {
    ($vector:ty, $vectors:expr, $count:expr, |$first:ident, $rows:ident| $call:expr) => {{
        let most = const { <$vector>::SUMS / $vectors };
        let mut $first = 0;
        while $first < $count {
            let left = $count - $first;
            match if left < most { left } else { most } {
                8.. => {
                    const $rows: usize = 8;
                    $call;
                    $first += $rows;
                }
                6 | 7 => {
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

/// Bytes of a tile's weights that stay in the first cache while several groups of rows use them.
const L1_BYTES: usize = 24 << 10;

/// Terms of a tile's sums that are added before the next rows are.
pub(super) fn terms<V: Simd>(vectors: usize) -> usize {
    L1_BYTES / (4 * vectors * V::LANES)
}

/// The sums of `TILES` neighbouring tiles and `ROWS` rows before their first term: the bias.
///
/// # Safety
/// The tiles are those of `vectors` vectors.
#[inline(always)]
pub(super) unsafe fn start<V: Simd, const ROWS: usize, const TILES: usize>(
    packed: &Packed,
    tile: usize,
    vectors: usize,
) -> [Sums<V, ROWS>; TILES] {
    let mut sums = [[[unsafe { V::splat(0.0) }; ROWS]; VECTORS]; TILES];
    for (i, sums) in sums.iter_mut().enumerate() {
        for v in 0..vectors {
            // SAFETY: a tile has as many biases.
            sums[v] = [unsafe { V::load(packed.bias((tile + i) * vectors * V::LANES + v * V::LANES)) }; ROWS];
        }
    }
    sums
}

/// Adds to the sums of `TILES` neighbouring tiles of `vectors` vectors and `ROWS` rows their terms `ks`: rows of
/// `operand`, `stride` values apart, times the weights. A sum runs over `k` in order, whatever the number of rows.
///
/// # Safety
/// The tiles have as many vectors; `operand` has `ROWS` rows and as many values in each.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Simd, const ROWS: usize, const TILES: usize>(
    sums: &mut [Sums<V, ROWS>; TILES],
    (packed, tile, vectors): (&Packed, usize, usize),
    ks: Range<usize>,
    operand: *const f32,
    stride: usize,
) {
    // SAFETY: the caller's sizes.
    unsafe {
        match vectors {
            1 => accumulate_vectors::<V, ROWS, TILES, 1>(sums, packed, tile, ks, operand, stride),
            2 => accumulate_vectors::<V, ROWS, TILES, 2>(sums, packed, tile, ks, operand, stride),
            3 => accumulate_vectors::<V, ROWS, TILES, 3>(sums, packed, tile, ks, operand, stride),
            _ => accumulate_vectors::<V, ROWS, TILES, VECTORS>(sums, packed, tile, ks, operand, stride),
        }
    }
}

/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn accumulate_vectors<V: Simd, const ROWS: usize, const TILES: usize, const COUNT: usize>(
    sums: &mut [Sums<V, ROWS>; TILES],
    packed: &Packed,
    tile: usize,
    ks: Range<usize>,
    operand: *const f32,
    stride: usize,
) {
    // SAFETY: the caller's sizes.
    unsafe {
        // A copy of their own keeps the sums in registers.
        let mut local: [[[V; ROWS]; COUNT]; TILES] =
            std::array::from_fn(|i| std::array::from_fn(|v| sums[i][v]));
        let tiles: [*const f32; TILES] = std::array::from_fn(|i| packed.tile(tile + i));
        for k in ks {
            for i in 0..TILES {
                let weights = tiles[i].add(k * COUNT * V::LANES);
                let w: [V; COUNT] = std::array::from_fn(|v| V::load(weights.add(v * V::LANES)));
                for m in 0..ROWS {
                    let value = V::splat(*operand.add(m * stride + k));
                    for v in 0..COUNT {
                        local[i][v][m] = w[v].mul_add(value, local[i][v][m]);
                    }
                }
            }
        }
        for i in 0..TILES {
            for v in 0..COUNT {
                sums[i][v] = local[i][v];
            }
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
