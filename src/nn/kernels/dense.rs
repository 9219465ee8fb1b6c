//! Products of rows that lie anywhere in a grid with a packed matrix, their gradients, and max(0, ·): what convolutions and
//! linear layers are made of.
//!
//! A row of a convolution's operand is a few stretches of memory (taps), each a fixed distance behind the one before; so
//! a grid with a border is read where it lies, and no patch is copied. Each sum runs over taps and their values in
//! order, whatever rows are beside it.

#![allow(
    clippy::needless_range_loop,
    reason = "vectors and rows index several arrays at once, with constant bounds"
)]

use super::Isa;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::scan::by_rows;
use super::simd::{Portable, Simd};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Vectors of columns side by side in a tile; the last tile may have fewer.
const VECTORS: usize = 4;

/// Where the numbers of a matrix `[depth, columns]` lie when it is packed: tile for tile, in each row for row. Columns
/// are filled up with zeros to whole vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Panels {
    isa: Isa,
    depth: usize,
    /// Vectors of columns.
    vectors: usize,
}

impl Panels {
    pub fn new(isa: Isa, depth: usize, columns: usize) -> Self {
        Self { isa, depth, vectors: columns.div_ceil(isa.lanes()) }
    }

    /// Columns with those that fill up the last vector.
    pub fn width(&self) -> usize {
        self.vectors * self.isa.lanes()
    }

    /// Values of the packed matrix.
    pub fn len(&self) -> usize {
        self.depth * self.width()
    }

    /// Place of a value.
    pub fn at(&self, k: usize, column: usize) -> usize {
        let width = VECTORS * self.isa.lanes();
        let tile = column / width;
        tile * width * self.depth + k * self.tile_width(tile) + column % width
    }

    fn tile_width(&self, tile: usize) -> usize {
        (self.vectors - tile * VECTORS).min(VECTORS) * self.isa.lanes()
    }
}

/// A packed matrix, and a bias for each column.
#[derive(Debug)]
pub(crate) struct Matrix {
    panels: Panels,
    values: Vec<f32>,
    bias: Vec<f32>,
}

impl Matrix {
    /// All zeros.
    pub fn zeros(panels: Panels) -> Self {
        Self { panels, values: vec![0.0; panels.len()], bias: vec![0.0; panels.width()] }
    }

    pub fn set(&mut self, k: usize, column: usize, value: f32) {
        self.values[self.panels.at(k, column)] = value;
    }

    pub fn set_bias(&mut self, bias: &[f32]) {
        self.bias[..bias.len()].copy_from_slice(bias);
    }
}

/// Rows in a grid: `lines` lines of `rows` rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub lines: usize,
    /// Values from line to line.
    pub line: usize,
    pub rows: usize,
    /// Values from row to row.
    pub stride: usize,
}

impl Places {
    /// Values from the first row to behind the last one, if each has `width`.
    pub(super) fn span(&self, width: usize) -> usize {
        (self.lines - 1) * self.line + (self.rows - 1) * self.stride + width
    }
}

/// What a row is made of: `count` stretches of `depth` values, `stride` values from one to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    pub count: usize,
    pub stride: usize,
    pub depth: usize,
}

impl Taps {
    fn span(&self) -> usize {
        (self.count - 1) * self.stride + self.depth
    }
}

/// Work that is written for any vector.
pub(super) trait Task {
    /// # Safety
    /// As [`Simd`] asks.
    unsafe fn run<V: Simd>(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn run_avx512(task: impl Task) {
    // SAFETY: this function is compiled for the instructions of the vector.
    unsafe { task.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(task: impl Task) {
    // SAFETY: as above.
    unsafe { task.run::<Avx2>() }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon(task: impl Task) {
    // SAFETY: as above.
    unsafe { task.run::<Neon>() }
}

pub(super) fn run(isa: Isa, task: impl Task) {
    assert!(isa.is_available());
    // SAFETY: the machine has the instructions.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => run_avx512(task),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => run_avx2(task),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => run_neon(task),
            _ => task.run::<Portable>(),
        }
    }
}

/// Evaluates `$call` for each tile of columns; `$vectors`, how many it has, is a constant in it.
macro_rules! by_tiles {
    ($panels:expr, |$tile:ident, $vectors:ident| $call:expr) => {
        for $tile in 0..$panels.vectors.div_ceil(VECTORS) {
            match $panels.vectors - $tile * VECTORS {
                1 => {
                    const $vectors: usize = 1;
                    $call;
                }
                2 => {
                    const $vectors: usize = 2;
                    $call;
                }
                3 => {
                    const $vectors: usize = 3;
                    $call;
                }
                _ => {
                    const $vectors: usize = VECTORS;
                    $call;
                }
            }
        }
    };
}

/// Rows of `operand` times `matrix` and its bias, into rows of `to`; with `relu` max(0, ·) of them.
pub(crate) struct Product<'a> {
    pub matrix: &'a Matrix,
    pub operand: &'a [f32],
    pub from: Places,
    pub taps: Taps,
    pub to: &'a mut [f32],
    /// As many lines and rows as `from`.
    pub into: Places,
    pub relu: bool,
}

impl Product<'_> {
    pub fn run(self) {
        let panels = self.matrix.panels;
        assert_eq!(panels.depth, self.taps.count * self.taps.depth);
        assert_eq!((self.from.lines, self.from.rows), (self.into.lines, self.into.rows));
        if self.from.lines * self.from.rows == 0 {
            return;
        }
        assert!(self.from.span(self.taps.span()) <= self.operand.len());
        assert!(self.into.span(panels.width()) <= self.to.len());
        run(panels.isa, self);
    }

    /// `ROWS` rows from the given places on, of one tile.
    ///
    /// # Safety
    /// As [`Simd`] asks; `operand` has the rows' taps, `to` their columns.
    #[inline(always)]
    unsafe fn block<V: Simd, const COUNT: usize, const ROWS: usize>(
        &self,
        (weights, bias): (*const f32, *const f32),
        operand: *const f32,
        to: *mut f32,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[V::splat(0.0); ROWS]; COUNT];
            for v in 0..COUNT {
                sums[v] = [V::load(bias.add(v * V::LANES)); ROWS];
            }
            let mut weights = weights;
            for tap in 0..self.taps.count {
                let operand = operand.add(tap * self.taps.stride);
                for k in 0..self.taps.depth {
                    let mut w = [V::splat(0.0); COUNT];
                    for v in 0..COUNT {
                        w[v] = V::load(weights.add(v * V::LANES));
                    }
                    for m in 0..ROWS {
                        let value = V::splat(*operand.add(m * self.from.stride + k));
                        for v in 0..COUNT {
                            sums[v][m] = w[v].mul_add(value, sums[v][m]);
                        }
                    }
                    weights = weights.add(COUNT * V::LANES);
                }
            }
            for v in 0..COUNT {
                for m in 0..ROWS {
                    // In this order NaN comes through.
                    let sum = if self.relu { V::splat(0.0).max(sums[v][m]) } else { sums[v][m] };
                    sum.store(to.add(m * self.into.stride + v * V::LANES));
                }
            }
        }
    }
}

impl Task for Product<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let (panels, from, into) = (self.matrix.panels, self.from, self.into);
        let to = self.to.as_mut_ptr();
        // SAFETY: `Product::run` has checked that all rows are inside the slices; the caller answers for the
        // instructions.
        unsafe {
            by_tiles!(panels, |tile, COUNT| {
                let column = tile * VECTORS * V::LANES;
                let weights = self.matrix.values.as_ptr().add(column * panels.depth);
                let packed = (weights, self.matrix.bias.as_ptr().add(column));
                for line in 0..from.lines {
                    by_rows!(V, COUNT, from.rows, |first, ROWS| {
                        let operand = self.operand.as_ptr().add(line * from.line + first * from.stride);
                        let to = to.add(line * into.line + first * into.stride + column);
                        self.block::<V, COUNT, ROWS>(packed, operand, to)
                    });
                }
            });
        }
    }
}

/// Adds the gradient of a product's matrix to `to`, which lies as the matrix does: the sum over all rows of the
/// operand's values times the gradient of the product's.
pub(crate) struct Gradient<'a> {
    pub panels: Panels,
    pub frames: usize,
    pub operand: &'a [f32],
    /// Values from frame to frame.
    pub frame: usize,
    pub from: Places,
    pub taps: Taps,
    pub gradient: &'a [f32],
    pub gradient_frame: usize,
    /// As many lines and rows as `from`.
    pub gradient_from: Places,
    pub to: &'a mut [f32],
}

impl Gradient<'_> {
    pub fn run(self) {
        assert_eq!(self.panels.depth, self.taps.count * self.taps.depth);
        assert_eq!(self.panels.len(), self.to.len());
        assert_eq!((self.from.lines, self.from.rows), (self.gradient_from.lines, self.gradient_from.rows));
        if self.frames * self.from.lines * self.from.rows == 0 {
            return;
        }
        let before = self.frames - 1;
        assert!(before * self.frame + self.from.span(self.taps.span()) <= self.operand.len());
        let span = self.gradient_from.span(self.panels.width());
        assert!(before * self.gradient_frame + span <= self.gradient.len());
        run(self.panels.isa, self);
    }

    /// `ROWS` rows of the matrix, in one tile.
    ///
    /// # Safety
    /// As [`Simd`] asks; all frames are inside `operand` and `gradient`, and `to` holds the rows.
    #[inline(always)]
    unsafe fn block<V: Simd, const COUNT: usize, const ROWS: usize>(
        &self,
        operand: *const f32,
        gradient: *const f32,
        to: *mut f32,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[V::splat(0.0); ROWS]; COUNT];
            for v in 0..COUNT {
                for m in 0..ROWS {
                    sums[v][m] = V::load(to.add((m * COUNT + v) * V::LANES));
                }
            }
            for frame in 0..self.frames {
                let operand = operand.add(frame * self.frame);
                let gradient = gradient.add(frame * self.gradient_frame);
                for line in 0..self.from.lines {
                    let operand = operand.add(line * self.from.line);
                    let gradient = gradient.add(line * self.gradient_from.line);
                    for row in 0..self.from.rows {
                        let operand = operand.add(row * self.from.stride);
                        let gradient = gradient.add(row * self.gradient_from.stride);
                        let mut d = [V::splat(0.0); COUNT];
                        for v in 0..COUNT {
                            d[v] = V::load(gradient.add(v * V::LANES));
                        }
                        for m in 0..ROWS {
                            let value = V::splat(*operand.add(m));
                            for v in 0..COUNT {
                                sums[v][m] = d[v].mul_add(value, sums[v][m]);
                            }
                        }
                    }
                }
            }
            for v in 0..COUNT {
                for m in 0..ROWS {
                    sums[v][m].store(to.add((m * COUNT + v) * V::LANES));
                }
            }
        }
    }
}

impl Task for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let (panels, taps) = (self.panels, self.taps);
        let to = self.to.as_mut_ptr();
        // SAFETY: `Gradient::run` has checked that all rows are inside the slices; the caller answers for the
        // instructions.
        unsafe {
            by_tiles!(panels, |tile, COUNT| {
                let column = tile * VECTORS * V::LANES;
                let to = to.add(column * panels.depth);
                let gradient = self.gradient.as_ptr().add(column);
                for tap in 0..taps.count {
                    let operand = self.operand.as_ptr().add(tap * taps.stride);
                    let to = to.add(tap * taps.depth * COUNT * V::LANES);
                    by_rows!(V, COUNT, taps.depth, |k, ROWS| {
                        let to = to.add(k * COUNT * V::LANES);
                        self.block::<V, COUNT, ROWS>(operand.add(k), gradient, to)
                    });
                }
            });
        }
    }
}

/// The way back through max(0, ·): of `gradient` stays what belongs to outputs above 0. `sums` grows by what stays, summed
/// over all rows: the gradient of a bias.
pub(crate) struct Rectify<'a> {
    pub isa: Isa,
    /// Rows of whole vectors, as many values as `sums` has.
    pub output: &'a [f32],
    pub gradient: &'a mut [f32],
    /// Of both.
    pub places: Places,
    pub sums: &'a mut [f32],
}

impl Rectify<'_> {
    pub fn run(self) {
        assert!(self.sums.len().is_multiple_of(self.isa.lanes()));
        if self.places.lines * self.places.rows == 0 {
            return;
        }
        let span = self.places.span(self.sums.len());
        assert!(span <= self.output.len() && span <= self.gradient.len());
        run(self.isa, self);
    }
}

impl Task for Rectify<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let gradient = self.gradient.as_mut_ptr();
        for column in (0..self.sums.len()).step_by(V::LANES) {
            // SAFETY: `Rectify::run` has checked that all rows are inside the slices; the caller answers for the
            // instructions.
            unsafe {
                let mut sum = V::load(self.sums.as_ptr().add(column));
                for line in 0..self.places.lines {
                    for row in 0..self.places.rows {
                        let at = line * self.places.line + row * self.places.stride + column;
                        let output = V::load(self.output.as_ptr().add(at));
                        let value = output.where_positive(V::load(gradient.add(at)));
                        value.store(gradient.add(at));
                        sum = sum.add(value);
                    }
                }
                sum.store(self.sums.as_mut_ptr().add(column));
            }
        }
    }
}
