//! Batch norm, max(0, ·) and max pooling over pixels with their channels side by side, forward and back.
//!
//! All of it is bound by memory, so what can be done in one reading is. A channel's sums run over lines and rows in
//! order.

use std::ops::Range;

use super::Isa;
use super::dense::{Places, Task, run};
use super::simd::Simd;

/// Adds up each channel, and its squares, over lines of pixels: `sums` and `squares` grow.
pub(crate) struct Moments<'a> {
    pub isa: Isa,
    /// `[lines, rows, channels]`
    pub pixels: &'a [f32],
    pub rows: usize,
    pub sums: &'a mut [f64],
    pub squares: &'a mut [f64],
}

impl Moments<'_> {
    pub fn run(self) {
        let (channels, line) = (self.sums.len(), self.rows * self.sums.len());
        assert_eq!(channels, self.squares.len());
        assert!(channels.is_multiple_of(self.isa.lanes()) && line > 0);
        assert!(self.pixels.len().is_multiple_of(line));
        run(self.isa, self);
    }
}

impl Task for Moments<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let channels = self.sums.len();
        let mut lanes = [[0f32; 16]; 2];
        for line in self.pixels.chunks_exact(self.rows * channels) {
            for column in (0..channels).step_by(V::LANES) {
                // SAFETY: `Moments::run` has checked that a line holds as many rows of whole vectors; the caller answers
                // for the instructions. No vector has more than 16 values.
                unsafe {
                    let (mut sum, mut square) = (V::splat(0.0), V::splat(0.0));
                    for row in 0..self.rows {
                        let value = V::load(line.as_ptr().add(row * channels + column));
                        sum = sum.add(value);
                        square = value.mul_add(value, square);
                    }
                    sum.store(lanes[0].as_mut_ptr());
                    square.store(lanes[1].as_mut_ptr());
                }
                let range = column..column + V::LANES;
                let to = self.sums[range.clone()].iter_mut().zip(&mut self.squares[range]);
                for ((sum, square), (s, q)) in to.zip(lanes[0].iter().zip(&lanes[1])) {
                    *sum += f64::from(*s);
                    *square += f64::from(*q);
                }
            }
        }
    }
}

/// What pooling reads: pixels of `[lines, rows, channels]`, `scale · value + shift` of each, in windows of
/// `window = [lines, rows]`; the last ones may be cut off.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub isa: Isa,
    pub pixels: &'a [f32],
    pub lines: usize,
    pub rows: usize,
    pub window: [usize; 2],
    pub scale: &'a [f32],
    pub shift: &'a [f32],
}

impl Windows<'_> {
    fn channels(&self) -> usize {
        self.scale.len()
    }

    /// Windows in each direction.
    fn counts(&self) -> [usize; 2] {
        [self.lines.div_ceil(self.window[0]), self.rows.div_ceil(self.window[1])]
    }

    fn check(&self) {
        assert!(self.channels().is_multiple_of(self.isa.lanes()) && self.channels() == self.shift.len());
        assert_eq!(self.pixels.len(), self.lines * self.rows * self.channels());
        assert!(self.window.iter().all(|&size| size > 0));
    }

    /// Lines and rows of a window.
    fn of(&self, line: usize, row: usize) -> [Range<usize>; 2] {
        let [lines, rows] = self.window;
        let (first_line, first_row) = (line * lines, row * rows);
        [first_line..(first_line + lines).min(self.lines), first_row..(first_row + rows).min(self.rows)]
    }

    /// # Safety
    /// As [`Simd`] asks, after [`Windows::check`].
    #[inline(always)]
    unsafe fn value<V: Simd>(&self, line: usize, row: usize, column: usize) -> V {
        // SAFETY: inside, as the caller has checked.
        unsafe {
            let value =
                V::load(self.pixels.as_ptr().add((line * self.rows + row) * self.channels() + column));
            let (scale, shift) = (self.scale.as_ptr().add(column), self.shift.as_ptr().add(column));
            value.mul_add(V::load(scale), V::load(shift))
        }
    }

    /// The largest value of a window.
    ///
    /// # Safety
    /// As [`Windows::value`].
    #[inline(always)]
    unsafe fn largest<V: Simd>(&self, [lines, rows]: &[Range<usize>; 2], column: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            let mut largest = self.value::<V>(lines.start, rows.start, column);
            for line in lines.clone() {
                for row in rows.clone() {
                    largest = largest.max(self.value(line, row, column));
                }
            }
            largest
        }
    }
}

/// The largest value of each window, or 0 where that is more, into a place each.
pub(crate) struct PoolForward<'a> {
    pub windows: Windows<'a>,
    pub to: &'a mut [f32],
    pub into: Places,
}

impl PoolForward<'_> {
    pub fn run(self) {
        self.windows.check();
        assert_eq!([self.into.lines, self.into.rows], self.windows.counts());
        if self.into.lines * self.into.rows == 0 {
            return;
        }
        assert!(self.into.span(self.windows.channels()) <= self.to.len());
        run(self.windows.isa, self);
    }
}

impl Task for PoolForward<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        for line in 0..self.into.lines {
            for row in 0..self.into.rows {
                let window = self.windows.of(line, row);
                let at = line * self.into.line + row * self.into.stride;
                for column in (0..self.windows.channels()).step_by(V::LANES) {
                    // SAFETY: `PoolForward::run` has checked that pixels and places are inside; the caller answers for
                    // the instructions.
                    unsafe {
                        let largest = self.windows.largest::<V>(&window, column);
                        // In this order NaN comes through.
                        V::splat(0.0).max(largest).store(self.to.as_mut_ptr().add(at + column));
                    }
                }
            }
        }
    }
}

/// The way back of [`PoolForward`], up to what was scaled and shifted: a window's gradient goes to the first of its largest
/// values, if that is above 0; all others get 0. `sums` and `products` grow by each channel's gradient, and by its product
/// with the normalised pixel, `inv_std · (pixel - mean)`.
pub(crate) struct PoolBackward<'a> {
    pub windows: Windows<'a>,
    pub mean: &'a [f32],
    pub inv_std: &'a [f32],
    /// Of each window, `[lines, rows, channels]`.
    pub gradient: &'a [f32],
    /// Of each pixel.
    pub to: &'a mut [f32],
    pub into: Places,
    pub sums: &'a mut [f32],
    pub products: &'a mut [f32],
}

impl PoolBackward<'_> {
    pub fn run(self) {
        self.windows.check();
        let (channels, [lines, rows]) = (self.windows.channels(), self.windows.counts());
        assert_eq!(self.gradient.len(), lines * rows * channels);
        assert_eq!([self.into.lines, self.into.rows], [self.windows.lines, self.windows.rows]);
        let each = [self.mean.len(), self.inv_std.len(), self.sums.len(), self.products.len()];
        assert_eq!(each, [channels; 4]);
        if lines * rows == 0 {
            return;
        }
        assert!(self.into.span(channels) <= self.to.len());
        run(self.windows.isa, self);
    }
}

impl Task for PoolBackward<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let (channels, [lines, rows]) = (self.windows.channels(), self.windows.counts());
        let to = self.to.as_mut_ptr();
        for line in 0..lines {
            for row in 0..rows {
                let window = self.windows.of(line, row);
                for column in (0..channels).step_by(V::LANES) {
                    // SAFETY: `PoolBackward::run` has checked that all is inside; the caller answers for the
                    // instructions.
                    unsafe {
                        let largest = self.windows.largest::<V>(&window, column);
                        let gradient = self.gradient.as_ptr().add((line * rows + row) * channels + column);
                        let mut left = largest.where_positive(V::load(gradient));
                        let mean = V::load(self.mean.as_ptr().add(column));
                        let inv_std = V::load(self.inv_std.as_ptr().add(column));
                        let mut products = V::load(self.products.as_ptr().add(column));
                        V::load(self.sums.as_ptr().add(column))
                            .add(left)
                            .store(self.sums.as_mut_ptr().add(column));
                        for line in window[0].clone() {
                            for row in window[1].clone() {
                                let below = largest.sub(self.windows.value(line, row, column));
                                let value = left.sub(below.where_positive(left));
                                left = left.sub(value);
                                let at = line * self.into.line + row * self.into.stride + column;
                                value.store(to.add(at));
                                let pixel = (line * self.windows.rows + row) * channels + column;
                                let pixel = V::load(self.windows.pixels.as_ptr().add(pixel));
                                products = pixel.sub(mean).mul(inv_std).mul_add(value, products);
                            }
                        }
                        products.store(self.products.as_mut_ptr().add(column));
                    }
                }
            }
        }
    }
}

/// The way back through a batch's mean and deviation: `gradient = a · gradient + b + c · pixel`, by channel.
pub(crate) struct NormBackward<'a> {
    pub isa: Isa,
    /// `[lines, rows, channels]`
    pub pixels: &'a [f32],
    pub gradient: &'a mut [f32],
    pub places: Places,
    pub factors: [&'a [f32]; 3],
}

impl NormBackward<'_> {
    pub fn run(self) {
        let channels = self.factors[0].len();
        assert!(channels.is_multiple_of(self.isa.lanes()));
        assert!(self.factors.iter().all(|factor| factor.len() == channels));
        assert_eq!(self.pixels.len(), self.places.lines * self.places.rows * channels);
        if self.pixels.is_empty() {
            return;
        }
        assert!(self.places.span(channels) <= self.gradient.len());
        run(self.isa, self);
    }
}

impl Task for NormBackward<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let (places, channels) = (self.places, self.factors[0].len());
        let gradient = self.gradient.as_mut_ptr();
        for line in 0..places.lines {
            for row in 0..places.rows {
                for column in (0..channels).step_by(V::LANES) {
                    // SAFETY: `NormBackward::run` has checked that all is inside; the caller answers for the
                    // instructions.
                    unsafe {
                        let a = V::load(self.factors[0].as_ptr().add(column));
                        let b = V::load(self.factors[1].as_ptr().add(column));
                        let c = V::load(self.factors[2].as_ptr().add(column));
                        let pixel = (line * places.rows + row) * channels + column;
                        let pixel = V::load(self.pixels.as_ptr().add(pixel));
                        let at = gradient.add(line * places.line + row * places.stride + column);
                        V::load(at).mul_add(a, pixel.mul_add(c, b)).store(at);
                    }
                }
            }
        }
    }
}
