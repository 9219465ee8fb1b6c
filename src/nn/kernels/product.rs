//! Products of many rows with packed weights.

use super::pack::{Packed, VECTORS};
use super::scan::{Sums, accumulate, by_rows};
use super::simd::Simd;

/// Rows of `operand` times `weights`, into rows of `to`.
pub(super) struct Product<'a> {
    pub weights: &'a Packed,
    /// What each sum starts with, `[units]` padded to whole tiles; without it the product is added to what is there.
    pub bias: Option<&'a [f32]>,
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
    let Product { weights, bias, operand, stride, to, to_stride, rows } = *args;
    let width = V::LANES * VECTORS;
    for tile in 0..weights.tiles() {
        let mut start = [None; VECTORS];
        if let Some(bias) = bias {
            for (v, start) in start.iter_mut().enumerate() {
                // SAFETY: the bias is padded to whole tiles.
                *start = Some(unsafe { V::load(bias[tile * width + v * V::LANES..].as_ptr()) });
            }
        }
        // SAFETY: the caller's sizes.
        unsafe {
            by_rows!(V, VECTORS, rows, |first, ROWS| {
                let mut sums: Sums<V, ROWS> = [[V::splat(0.0); ROWS]; VECTORS];
                for (v, sums) in sums.iter_mut().enumerate() {
                    for (m, sum) in sums.iter_mut().enumerate() {
                        *sum = match start[v] {
                            Some(start) => start,
                            None => V::load(to.add((first + m) * to_stride + tile * width + v * V::LANES)),
                        };
                    }
                }
                let operand = operand.add(first * stride);
                accumulate(&mut sums, VECTORS, weights.tile(tile), weights.depth, operand, stride);
                for (v, sums) in sums.iter().enumerate() {
                    for (m, sum) in sums.iter().enumerate() {
                        sum.store(to.add((first + m) * to_stride + tile * width + v * V::LANES));
                    }
                }
            });
        }
    }
}
