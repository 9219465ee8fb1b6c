//! The way back.

use super::pack::{PackedWeights, VECTORS};
use super::scan::{Backward, Columns, Rows, Sums, accumulate, by_rows, diagonal};
use super::simd::Simd;
use super::{Gates, MAX_SAVED};

/// # Safety
/// `args` is checked, and the caller is compiled for the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn backward<V: Simd, C: Gates>(args: Backward) {
    let (packing, hidden) = (args.packing, args.hidden);
    let (batch, gates) = (packing.batch(), C::GATES * hidden);
    let memory = if C::MEMORY.is_some() { batch } else { 0 };
    let width = V::LANES * VECTORS;
    let mut back = Back {
        dh: Rows::new(batch, hidden, width),
        dc: Rows::new(memory, hidden, width),
        dmid: Rows::new(if C::SECOND.is_some() { batch } else { 0 }, hidden, width),
        da: args.da.as_mut_ptr(),
        h_before: args.operands.h.as_mut_ptr(),
        c_before: pointer(&mut args.operands.c),
        mid: pointer(&mut args.operands.mid),
        args,
    };
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        back.dc.copy_from(&back.args.dout, packing.rows(), memory);
        for i in 0..packing.steps() {
            let t = if back.args.reverse { i } else { packing.steps() - 1 - i };
            let (running, row) = (packing.batch_size(t), packing.row(t, 0));
            let da = back.da.cast_const().add(row * gates);
            if let (Some(gate), Some(second)) = (C::SECOND, &back.args.weights.second) {
                for s in 0..running {
                    back.second::<V, C>(s, row + s);
                    back.dmid.clear(s);
                }
                product::<V>(second, da.add(gate * hidden), gates, hidden, hidden, &mut back.dmid, running);
            }
            for s in 0..running {
                back.first::<V, C>(t, s);
            }
            let weights: &PackedWeights = back.args.weights;
            product::<V>(&weights.first, da, gates, C::FIRST * hidden, hidden, &mut back.dh, running);
            if let (true, Some(from)) = (C::FROM_MEMORY > 0, &weights.memory) {
                product::<V>(from, da, gates, C::FROM_MEMORY * hidden, hidden, &mut back.dc, running);
            }
        }
        let dinitial: Columns = back.args.dinitial;
        back.dh.copy_to(0..batch, &dinitial, 0);
        back.dc.copy_to(0..memory, &dinitial, batch);
    }
}

fn pointer(matrix: &mut [f32]) -> Option<*mut f32> {
    (!matrix.is_empty()).then_some(matrix.as_mut_ptr())
}

/// Adds to the first `running` rows of `to` the products of as many rows of `operand` (`stride` values apart, of which
/// `depth` count) with `weights`.
///
/// # Safety
/// The sizes are those of the slices behind the pointers.
#[inline(always)]
unsafe fn product<V: Simd>(
    weights: &super::pack::Packed,
    operand: *const f32,
    stride: usize,
    depth: usize,
    hidden: usize,
    to: &mut Rows,
    running: usize,
) {
    let width = V::LANES * VECTORS;
    for tile in 0..hidden.div_ceil(width) {
        // SAFETY: the caller's sizes; rows are padded to whole tiles.
        unsafe {
            by_rows!(V, running, |s, ROWS| {
                let mut sums: Sums<V, ROWS> = [[V::splat(0.0); ROWS]; VECTORS];
                accumulate(&mut sums, VECTORS, weights.tile(tile), depth, operand.add(s * stride), stride);
                for m in 0..ROWS {
                    for (v, sum) in sums.iter().enumerate() {
                        let at = to.row(s + m).add(tile * width + v * V::LANES);
                        V::load(at).add(sum[m]).store(at);
                    }
                }
            });
        }
    }
}

/// A way back under way. `dh` and `dc` are gradients of the state after the step at hand.
struct Back<'a> {
    args: Backward<'a>,
    dh: Rows,
    dc: Rows,
    /// Gradient of what the second round multiplied.
    dmid: Rows,
    da: *mut f32,
    h_before: *mut f32,
    c_before: Option<*mut f32>,
    mid: Option<*mut f32>,
}

impl Back<'_> {
    /// What one row's step kept.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn saved<V: Simd, C: Gates>(&self, row: usize, j: usize) -> [V; MAX_SAVED] {
        let hidden = self.args.hidden;
        // SAFETY: as in `backward`.
        unsafe {
            let mut saved = [V::splat(0.0); MAX_SAVED];
            for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                let at = self.args.saved.as_ptr().add((row * C::SAVED + k) * hidden + j);
                *value = V::load_part(at, hidden - j);
            }
            saved
        }
    }

    /// Gradient of the second round's product.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn second<V: Simd, C: Gates>(&mut self, s: usize, row: usize) {
        let hidden = self.args.hidden;
        let Some(gate) = C::SECOND else { return };
        for j in (0..hidden).step_by(V::LANES) {
            // SAFETY: as in `backward`.
            unsafe {
                let dout = V::load_part(self.args.dout.at(row, j), hidden - j);
                let dh = V::load(self.dh.row(s).add(j)).add(dout);
                let da = C::second_backward(&self.saved::<V, C>(row, j), dh);
                da.store_part(self.da.add((row * C::GATES + gate) * hidden + j), hidden - j);
            }
        }
    }

    /// Gradients of one row's step, without what comes through the first round's products.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn first<V: Simd, C: Gates>(&mut self, t: usize, s: usize) {
        let (packing, hidden) = (self.args.packing, self.args.hidden);
        let row = packing.row(t, s);
        let before = packing.row_before(t, s, self.args.reverse);
        for j in (0..hidden).step_by(V::LANES) {
            let count = hidden - j;
            // SAFETY: as in `backward`.
            unsafe {
                let saved = self.saved::<V, C>(row, j);
                let h = match before {
                    Some(before) => self.args.out.at(before, j),
                    None => self.args.initial.at(s, j),
                };
                let h = V::load_part(h, count);
                h.store_part(self.h_before.add(row * hidden + j), count);
                let mut c = V::splat(0.0);
                let (mut dc, mut dmid) = (c, c);
                if let Some(memory) = C::MEMORY {
                    let at = match before {
                        Some(before) => {
                            self.args.saved.as_ptr().add((before * C::SAVED + memory) * hidden + j)
                        }
                        None => self.args.initial.at(packing.batch() + s, j).cast_const(),
                    };
                    c = V::load_part(at, count);
                    dc = V::load(self.dc.row(s).add(j));
                }
                if C::SECOND.is_some() {
                    dmid = V::load(self.dmid.row(s).add(j));
                }
                let dh = self.dh.row(s).add(j);
                let dh_after = V::load(dh).add(V::load_part(self.args.dout.at(row, j), count));
                let p = diagonal::<V, C>(self.args.weights, hidden, j);
                let gradient = C::backward(&saved, &p, (h, c), dh_after, dc, dmid);
                for gate in 0..C::GATES {
                    gradient.dx[gate].store_part(self.args.dgx.at(row, gate * hidden + j), count);
                    gradient.da[gate].store_part(self.da.add((row * C::GATES + gate) * hidden + j), count);
                }
                gradient.dh.store(dh);
                if C::MEMORY.is_some() {
                    gradient.dc.store(self.dc.row(s).add(j));
                }
                for (matrix, value) in [(self.c_before, c), (self.mid, gradient.mid)] {
                    if let Some(matrix) = matrix {
                        value.store_part(matrix.add(row * hidden + j), count);
                    }
                }
            }
        }
    }
}
