//! Products of many rows with packed weights.

#![allow(
    clippy::needless_range_loop,
    reason = "vectors and rows index several arrays at once, with constant bounds"
)]

use std::ops::Range;

use super::pack::{Packed, VECTORS};
use super::scan::{Sums, accumulate, by_rows, start, terms};
use super::simd::Simd;

/// Rows of `operand` times `weights`, into rows of `to`.
pub(super) struct Product<'a> {
    pub weights: &'a Packed,
    /// Those of the weights' tiles that are wanted.
    pub tiles: Range<usize>,
    /// Adds to what is in `to`; otherwise sums start with the weights' bias.
    pub add: bool,
    /// Rows of `stride` values, of which the weights' `depth` count.
    pub operand: *const f32,
    pub stride: usize,
    /// Rows of `to_stride` values, at least as many as the tiles have.
    pub to: *mut f32,
    pub to_stride: usize,
    pub rows: usize,
}

/// # Safety
/// The pointers have `rows` rows, `operand` and `to` share nothing, and the caller is compiled for the instructions
/// of `V`.
#[inline(always)]
pub(super) unsafe fn product<V: Simd>(args: &Product) {
    let Product { weights, add, operand, stride, to, to_stride, rows, .. } = *args;
    let width = V::LANES * VECTORS;
    let terms = terms::<V>(VECTORS);
    for tile in args.tiles.clone() {
        for k in (0..weights.depth).step_by(terms) {
            let ks = k..(k + terms).min(weights.depth);
            // SAFETY: the caller's sizes.
            unsafe {
                by_rows!(V, VECTORS, rows, |first, ROWS| {
                    let to = to.add(first * to_stride + tile * width);
                    let mut sums: [Sums<V, ROWS>; 1] = match k == 0 && !add {
                        true => start(weights, tile, VECTORS),
                        false => [load(to, to_stride)],
                    };
                    let operand = operand.add(first * stride);
                    accumulate(&mut sums, (weights, tile, VECTORS), ks.clone(), operand, stride);
                    store(&sums[0], to, to_stride);
                });
            }
        }
    }
}

/// # Safety
/// `from` has `ROWS` rows of a tile's width.
#[inline(always)]
pub(super) unsafe fn load<V: Simd, const ROWS: usize>(from: *const f32, stride: usize) -> Sums<V, ROWS> {
    // SAFETY: the caller's sizes. Loops: closures would not be compiled for the instructions of V.
    unsafe {
        let mut sums: Sums<V, ROWS> = [[V::splat(0.0); ROWS]; VECTORS];
        for v in 0..VECTORS {
            for m in 0..ROWS {
                sums[v][m] = V::load(from.add(m * stride + v * V::LANES));
            }
        }
        sums
    }
}

/// # Safety
/// As [`load`].
#[inline(always)]
pub(super) unsafe fn store<V: Simd, const ROWS: usize>(sums: &Sums<V, ROWS>, to: *mut f32, stride: usize) {
    for (v, sums) in sums.iter().enumerate() {
        for (m, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's sizes.
            unsafe { sum.store(to.add(m * stride + v * V::LANES)) };
        }
    }
}
