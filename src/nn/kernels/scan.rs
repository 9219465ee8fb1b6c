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
use super::{Gates, Isa, PEEPHOLE_GATES, Peepholes};
use crate::nn::packing::Packing;
use crate::nn::pool::Pool;

/// Rows for which a scan makes the input's products at a time: few, so that they stay in the cache, but enough where
/// the weights do not.
pub(super) fn forward_rows(sizes: Sizes, gates: usize) -> usize {
    if sizes.input * sizes.hidden * gates > 1 << 18 { 256 } else { 64 }
}

/// Rows of which the way back adds up the weights' gradient at a time.
pub(super) const BACKWARD_ROWS: usize = 256;

/// Some columns of a row-major matrix; several threads may write to it, each in columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pointer: *mut f32,
    pub(super) rows: usize,
    stride: usize,
    offset: usize,
    pub(super) width: usize,
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

    /// The rows of `matrix`, `width` values each, in equal parts.
    pub fn split_rows(matrix: &'a mut [f32], width: usize, parts: usize) -> Vec<Self> {
        let part = matrix.len() / parts;
        matrix.chunks_exact_mut(part).map(|part| Self::write(part, width)).collect()
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

/// States of one layer in one direction, a row for each sequence of the batch.
#[derive(Clone, Copy)]
pub(crate) struct States<'a> {
    pub h: Columns<'a>,
    /// Where the cell has a memory.
    pub c: Option<Columns<'a>>,
}

impl States<'_> {
    fn check<C: Gates>(&self, packing: &Packing, hidden: usize) {
        assert_eq!(self.c.is_some(), C::MEMORY.is_some());
        for columns in [Some(self.h), self.c].into_iter().flatten() {
            assert_eq!(columns.width, hidden);
            assert!(packing.is_inside_batch(columns.rows));
        }
    }
}

/// What a frame's step keeps for the way back: `[H / lanes, SAVED, lanes]`, so that what is written together lies
/// together.
pub(crate) fn saved_per_row<C: Gates>(isa: Isa, hidden: usize) -> usize {
    C::SAVED * hidden.next_multiple_of(isa.lanes())
}

/// Where in that the values of unit `j` and those beside it start.
#[inline(always)]
pub(super) fn saved_at<V: Simd, C: Gates>(row: usize, hidden: usize, j: usize) -> usize {
    (row * hidden.next_multiple_of(V::LANES) + j) * C::SAVED
}

/// What dropout leaves of a layer's input.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    /// `[B·T·D]`: 1 where a value stays, 0 where it is dropped.
    pub keep: &'a [u8],
    /// Of what stays.
    pub scale: f32,
}

impl Mask<'_> {
    /// Drops values of the row of this index, which starts at `row`.
    ///
    /// # Safety
    /// There are `width` values.
    unsafe fn apply(&self, row: *mut f32, index: usize, width: usize) {
        // SAFETY: the caller's.
        let values = unsafe { std::slice::from_raw_parts_mut(row, width) };
        for (value, &keep) in values.iter_mut().zip(&self.keep[index * width..][..width]) {
            *value *= self.scale * f32::from(keep);
        }
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
    pub mask: Option<Mask<'a>>,
    /// Before the first step; only read.
    pub initial: States<'a>,
    /// `[B·T, H]`, untouched beyond a sequence's end.
    pub out: Columns<'a>,
    /// After the last step.
    pub last: States<'a>,
    /// If the way back is to be gone, for each packed row [`saved_per_row`] values.
    pub saved: Option<&'a mut [f32]>,
    pub pool: &'a Pool,
}

impl Forward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let Sizes { input, hidden } = self.weights.made_for.2;
        let saved_len = self.packing.rows() * saved_per_row::<C>(self.weights.made_for.0, hidden);
        self.initial.check::<C>(self.packing, hidden);
        self.last.check::<C>(self.packing, hidden);
        for (columns, width) in [(&self.x, input), (&self.out, hidden)] {
            assert_eq!(columns.width, width);
            assert!(self.packing.is_inside(columns.rows));
        }
        assert!(self.saved.as_ref().is_none_or(|saved| saved.len() == saved_len));
    }
}

/// The way back of [`Forward`].
pub(crate) struct Backward<'a> {
    pub packing: &'a Packing,
    pub reverse: bool,
    /// Packed for the way back.
    pub weights: &'a PackedWeights,
    pub x: Columns<'a>,
    pub mask: Option<Mask<'a>>,
    pub initial: States<'a>,
    /// As the way forward left it; only read.
    pub out: Columns<'a>,
    pub saved: &'a [f32],
    /// Gradient of `out`, in one or two terms; only read.
    pub dout: [Option<Columns<'a>>; 2],
    /// Gradient of `last`, if any; only read.
    pub dlast: Option<States<'a>>,
    /// Gradient of `x`, if it is wanted; untouched beyond a sequence's end.
    pub dx: Option<Columns<'a>>,
    /// Gradient of the parameters, which is added.
    pub dweights: Parameters<&'a mut [f32]>,
    /// Gradient of `initial`.
    pub dinitial: States<'a>,
    pub pool: &'a Pool,
}

impl Backward<'_> {
    pub(super) fn check<C: Gates>(&self) {
        let Sizes { input, hidden } = self.weights.made_for.2;
        for states in [Some(self.initial), self.dlast, Some(self.dinitial)].into_iter().flatten() {
            states.check::<C>(self.packing, hidden);
        }
        let inputs = [Some(self.x), self.dx].into_iter().flatten().map(|columns| (columns, input));
        let [first, second] = self.dout;
        let outputs = [Some(self.out), first, second].into_iter().flatten().map(|columns| (columns, hidden));
        for (columns, width) in inputs.chain(outputs) {
            assert_eq!(columns.width, width);
            assert!(self.packing.is_inside(columns.rows));
        }
        let saved_len = self.packing.rows() * saved_per_row::<C>(self.weights.made_for.0, hidden);
        assert_eq!(self.saved.len(), saved_len);
    }
}

/// Rows of `width` values each, padded so that whole vectors may be read and written.
///
/// Two cores may write to it, each in columns of its own.
pub(super) struct Rows<'a> {
    pub data: Vec<f32>,
    pub stride: usize,
    /// To `data`.
    pointer: *mut f32,
    pool: &'a Pool,
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.pool.give([std::mem::take(&mut self.data)]);
    }
}

impl<'a> Rows<'a> {
    /// Whatever was in the memory.
    pub fn new(pool: &'a Pool, rows: usize, width: usize, multiple: usize) -> Self {
        let stride = width.next_multiple_of(multiple);
        let mut data = pool.take(rows * stride);
        let pointer = data.as_mut_ptr();
        Self { data, stride, pointer, pool }
    }

    pub fn zeros(pool: &'a Pool, rows: usize, width: usize, multiple: usize) -> Self {
        let new = Self::new(pool, rows, width, multiple);
        new.clear(0..rows);
        new
    }

    pub fn rows(&self) -> usize {
        self.data.len() / self.stride
    }

    /// May be the row behind the last.
    #[inline(always)]
    pub fn row(&self, row: usize) -> *mut f32 {
        debug_assert!(row * self.stride <= self.data.len());
        self.pointer.wrapping_add(row * self.stride)
    }

    pub fn clear(&self, rows: Range<usize>) {
        assert!(rows.start <= rows.end && rows.end * self.stride <= self.data.len());
        // SAFETY: the rows are inside, as checked.
        unsafe { self.row(rows.start).write_bytes(0, rows.len() * self.stride) }
    }

    /// # Safety
    /// `from` has the row `from_row`, and this the row `row`, wide enough for it.
    pub unsafe fn copy_from(&self, row: usize, from: &Columns, from_row: usize) {
        // SAFETY: the caller's rows; both sides hold `width` values.
        unsafe { std::ptr::copy_nonoverlapping(from.at(from_row, 0), self.row(row), from.width) }
    }

    /// # Safety
    /// `to` has the row `to_row`, and this the row `row`, as wide at least.
    pub unsafe fn copy_to(&self, row: usize, to: &Columns, to_row: usize) {
        // SAFETY: the caller's rows; both sides hold `width` values.
        unsafe { std::ptr::copy_nonoverlapping(self.row(row), to.at(to_row, 0), to.width) }
    }

    /// The frames of a block of steps, one after the other as they are packed, less what dropout takes.
    ///
    /// # Safety
    /// `from` has a row for each place in the batch, and this a row for each row of the block.
    pub unsafe fn gather(&self, packing: &Packing, steps: &Range<usize>, from: &Columns, mask: Option<Mask>) {
        let mut row = 0;
        for t in steps.clone() {
            for rank in 0..packing.batch_size(t) {
                let place = packing.place(t, rank);
                // SAFETY: the caller's rows.
                unsafe {
                    self.copy_from(row, from, place);
                    if let Some(mask) = mask {
                        mask.apply(self.row(row), place, from.width);
                    }
                }
                row += 1;
            }
        }
    }

    /// The way back of `gather`.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn scatter(&self, packing: &Packing, steps: &Range<usize>, to: &Columns, mask: Option<Mask>) {
        let mut row = 0;
        for t in steps.clone() {
            for rank in 0..packing.batch_size(t) {
                let place = packing.place(t, rank);
                // SAFETY: the caller's rows.
                unsafe {
                    if let Some(mask) = mask {
                        mask.apply(self.row(row), place, to.width);
                    }
                    self.copy_to(row, to, place);
                }
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
const L1_BYTES: usize = 32 << 10;

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
        let mut local = [[[V::splat(0.0); ROWS]; COUNT]; TILES];
        let mut tiles = [std::ptr::null(); TILES];
        for i in 0..TILES {
            tiles[i] = packed.tile(tile + i);
            for v in 0..COUNT {
                local[i][v] = sums[i][v];
            }
        }
        for k in ks {
            for i in 0..TILES {
                let weights = tiles[i].add(k * COUNT * V::LANES);
                let mut w = [V::splat(0.0); COUNT];
                for v in 0..COUNT {
                    w[v] = V::load(weights.add(v * V::LANES));
                }
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
