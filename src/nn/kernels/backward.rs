//! The way back.

use std::ops::Range;

use super::gradient::Block;
use super::pack::{Packed, Sizes, VECTORS};
use super::product::Product;
use super::scan::{BACKWARD_ROWS, Backward, Columns, Rows, diagonal, saved_at};
use super::simd::Simd;
use super::{Gates, MAX_SAVED};
use crate::nn::packing::in_order;

/// # Safety
/// `args` is checked, and the caller is compiled for the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn backward<V: Simd, C: Gates>(args: Backward) {
    let sizes = args.weights.made_for.2;
    let Sizes { input, hidden } = sizes;
    let (packing, reverse) = (args.packing, args.reverse);
    let batch = packing.batch();
    let memory = if C::MEMORY.is_some() { batch } else { 0 };
    let width = V::LANES * VECTORS;
    let rows = BACKWARD_ROWS.max(batch).min(packing.rows());
    let pool = args.pool;
    let mut back = Back {
        dh: Rows::zeros(pool, batch, hidden, width),
        dc: Rows::zeros(pool, memory, hidden, width),
        dmid: Rows::new(pool, if C::SECOND.is_some() { batch } else { 0 }, hidden, width),
        dx: Rows::new(pool, if args.dx.is_some() { rows } else { 0 }, input, width),
        block: Block::new::<C>(pool, rows, sizes),
        args,
    };
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        back.start();
        for steps in packing.blocks(rows, !reverse) {
            back.block.x.gather(packing, &steps, &back.args.x, back.args.mask);
            for t in in_order(&steps, !reverse) {
                back.step::<V, C>(t, packing.row(t, 0) - packing.row(steps.start, 0));
            }
            back.block.add_to::<C>(packing.rows_of(&steps).len(), hidden, &mut back.args.dweights);
            back.input_gradient::<V>(&steps);
        }
        back.end();
    }
}

/// A way back under way. `dh` and `dc` are gradients of the state after the step at hand, by rank.
struct Back<'a> {
    args: Backward<'a>,
    dh: Rows<'a>,
    dc: Rows<'a>,
    /// Gradient of what the second round multiplied.
    dmid: Rows<'a>,
    /// Gradient of the inputs of a block of steps.
    dx: Rows<'a>,
    block: Block<'a>,
}

impl Back<'_> {
    /// The gradient of the last states.
    ///
    /// # Safety
    /// As in `backward`.
    unsafe fn start(&mut self) {
        let Some(dlast) = self.args.dlast else { return };
        for rank in 0..self.args.packing.batch() {
            let index = self.args.packing.index(rank);
            // SAFETY: as in `backward`.
            unsafe {
                self.dh.copy_from(rank, &dlast.h, index);
                if let Some(dc) = &dlast.c {
                    self.dc.copy_from(rank, dc, index);
                }
            }
        }
    }

    /// Leaves the gradient of the first states.
    ///
    /// # Safety
    /// As in `backward`.
    unsafe fn end(&mut self) {
        for rank in 0..self.args.packing.batch() {
            let index = self.args.packing.index(rank);
            // SAFETY: as in `backward`.
            unsafe {
                self.dh.copy_to(rank, &self.args.dinitial.h, index);
                if let Some(dc) = &self.args.dinitial.c {
                    self.dc.copy_to(rank, dc, index);
                }
            }
        }
    }

    /// Step `t`, whose rows in the block start at `row`.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn step<V: Simd, C: Gates>(&mut self, t: usize, row: usize) {
        let hidden = self.args.weights.made_for.2.hidden;
        let running = self.args.packing.batch_size(t);
        let stride = self.block.da.stride;
        let weights = self.args.weights;
        // SAFETY: as in `backward`.
        unsafe {
            let da = self.block.da.row(row).cast_const();
            if let (Some(gate), Some(second)) = (C::SECOND, &weights.second) {
                for s in 0..running {
                    self.second::<V, C>(t, s, row + s);
                }
                self.dmid.clear(0..running);
                add_product::<V>(second, da.add(gate * hidden), stride, &mut self.dmid, running);
            }
            for s in 0..running {
                self.first::<V, C>(t, s, row + s);
            }
            add_product::<V>(&weights.first, da, stride, &mut self.dh, running);
            if let (true, Some(memory)) = (C::FROM_MEMORY > 0, &weights.memory) {
                add_product::<V>(memory, da, stride, &mut self.dc, running);
            }
        }
    }

    /// Gradient of the inputs of a block of steps, if it is wanted.
    ///
    /// # Safety
    /// As in `backward`.
    unsafe fn input_gradient<V: Simd>(&mut self, steps: &Range<usize>) {
        let Some(dx) = self.args.dx else { return };
        let packing = self.args.packing;
        let rows = packing.rows_of(steps).len();
        self.dx.clear(0..rows);
        // SAFETY: as in `backward`.
        unsafe {
            let dgx = self.block.input();
            add_product::<V>(&self.args.weights.input, dgx.row(0), dgx.stride, &mut self.dx, rows);
            self.dx.scatter(packing, steps, &dx, self.args.mask);
        }
    }

    /// Gradient of h after a step, without what comes from the step after.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn dout<V: Simd>(&self, place: usize, j: usize) -> V {
        // SAFETY: as in `backward`.
        unsafe {
            let [first, second] = &self.args.dout;
            let load = |columns: &Columns| V::load_part(columns.at(place, j), columns.width - j);
            match (first, second) {
                (Some(first), Some(second)) => load(first).add(load(second)),
                (Some(only), None) | (None, Some(only)) => load(only),
                (None, None) => V::splat(0.0),
            }
        }
    }

    /// What one row's step kept.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn saved<V: Simd, C: Gates>(&self, t: usize, s: usize, j: usize) -> [V; MAX_SAVED] {
        let hidden = self.args.weights.made_for.2.hidden;
        let row = self.args.packing.row(t, s);
        // SAFETY: as in `backward`.
        unsafe {
            let mut saved = [V::splat(0.0); MAX_SAVED];
            let from = self.args.saved[saved_at::<V, C>(row, hidden, j)..].as_ptr();
            for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                *value = V::load(from.add(k * V::LANES));
            }
            saved
        }
    }

    /// Gradient of the second round's product.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn second<V: Simd, C: Gates>(&mut self, t: usize, s: usize, row: usize) {
        let hidden = self.args.weights.made_for.2.hidden;
        let Some(gate) = C::SECOND else { return };
        let place = self.args.packing.place(t, s);
        for j in (0..hidden).step_by(V::LANES) {
            // SAFETY: as in `backward`.
            unsafe {
                let dh = V::load(self.dh.row(s).add(j)).add(self.dout(place, j));
                let da = C::second_backward(&self.saved::<V, C>(t, s, j), dh);
                da.store_part(self.block.da.row(row).add(gate * hidden + j), hidden - j);
            }
        }
    }

    /// Gradients of one row's step, without what comes through the first round's products.
    ///
    /// # Safety
    /// As in `backward`.
    #[inline(always)]
    unsafe fn first<V: Simd, C: Gates>(&mut self, t: usize, s: usize, row: usize) {
        let (packing, hidden) = (self.args.packing, self.args.weights.made_for.2.hidden);
        let place = packing.place(t, s);
        let before = packing.step_before(t, s, self.args.reverse);
        let h_before = match before {
            Some(t) => (&self.args.out, packing.place(t, s)),
            None => (&self.args.initial.h, packing.index(s)),
        };
        for j in (0..hidden).step_by(V::LANES) {
            let count = hidden - j;
            // SAFETY: as in `backward`.
            unsafe {
                let saved = self.saved::<V, C>(t, s, j);
                let h = V::load_part(h_before.0.at(h_before.1, j), count);
                h.store_part(self.block.h.row(row).add(j), count);
                let mut c = V::splat(0.0);
                let (mut dc, mut dmid) = (c, c);
                if let Some(memory) = C::MEMORY {
                    c = match (before, &self.args.initial.c) {
                        (Some(t), _) => self.saved::<V, C>(t, s, j)[memory],
                        (None, Some(initial)) => V::load_part(initial.at(packing.index(s), j), count),
                        (None, None) => c,
                    };
                    dc = V::load(self.dc.row(s).add(j));
                }
                if C::SECOND.is_some() {
                    dmid = V::load(self.dmid.row(s).add(j));
                }
                let dh = self.dh.row(s).add(j);
                let dh_after = V::load(dh).add(self.dout(place, j));
                let p = diagonal::<V, C>(self.args.weights, hidden, j);
                let gradient = C::backward(&saved, &p, (h, c), dh_after, dc, dmid);
                for gate in 0..C::GATES {
                    let column = gate * hidden + j;
                    if let Some(dgx) = &self.block.dgx {
                        gradient.dx[gate].store_part(dgx.row(row).add(column), count);
                    }
                    gradient.da[gate].store_part(self.block.da.row(row).add(column), count);
                }
                gradient.dh.store(dh);
                if C::MEMORY.is_some() {
                    gradient.dc.store(self.dc.row(s).add(j));
                }
                for (matrix, value) in [(&mut self.block.c, c), (&mut self.block.mid, gradient.mid)] {
                    if !matrix.data.is_empty() {
                        value.store_part(matrix.row(row).add(j), count);
                    }
                }
            }
        }
    }
}

/// Adds to the first `rows` rows of `to` the products of as many rows of `operand`, `stride` values apart.
///
/// # Safety
/// The sizes are those of the slices behind the pointers.
#[inline(always)]
unsafe fn add_product<V: Simd>(
    weights: &Packed,
    operand: *const f32,
    stride: usize,
    to: &mut Rows,
    rows: usize,
) {
    let (to_stride, to) = (to.stride, to.row(0));
    // SAFETY: the caller's sizes; rows are padded to whole tiles.
    unsafe {
        super::product(
            V::ISA,
            &Product { weights, tiles: 0..weights.tiles(), add: true, operand, stride, to, to_stride, rows },
        )
    }
}
