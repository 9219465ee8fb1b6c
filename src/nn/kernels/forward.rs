//! The way forward.

#![allow(
    clippy::needless_range_loop,
    reason = "gates and rows index several arrays at once, with constant bounds"
)]

use std::ops::Range;

use super::pack::{Sizes, VECTORS, panels};
use super::product::{Product, load, store};
use super::scan::{Forward, Rows, Sums, accumulate, by_rows, diagonal, forward_rows, saved_at, start, terms};
use super::simd::Simd;
use super::{Gates, MAX_GATES, MAX_SAVED};
use crate::nn::packing::in_order;

/// Tiles whose products one sequence alone takes at once.
const TOGETHER: usize = 4;

/// # Safety
/// `args` is checked, and the caller is compiled for the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn forward<V: Simd, C: Gates>(mut args: Forward) {
    const { assert!(V::LANES <= 16 && C::FIRST * panels(C::FIRST) <= VECTORS) };
    let Sizes { input, hidden } = args.weights.made_for.2;
    let (packing, reverse) = (args.packing, args.reverse);
    let batch = packing.batch();
    let memory = if C::MEMORY.is_some() { batch } else { 0 };
    let twice = if C::SECOND.is_some() { batch } else { 0 };
    // Padded to whole tiles.
    let width = V::LANES * VECTORS;
    let block = forward_rows(args.weights.made_for.2, C::GATES).max(batch).min(packing.rows());
    let saved = args.saved.as_mut().map(|saved| saved.as_mut_ptr());
    let pool = args.pool;
    // A step reads all of the state before while it writes the state after. Sequences that wait or are done stay as
    // they are.
    let mut scan = Scan {
        h: Rows::zeros(pool, batch, hidden, width),
        h_after: Rows::zeros(pool, batch, hidden, width),
        c: Rows::zeros(pool, memory, hidden, width),
        c_after: Rows::zeros(pool, memory, hidden, width),
        mid: Rows::zeros(pool, twice, hidden, width),
        partial: Rows::new(pool, batch, width, 1),
        kept: Rows::new(pool, twice, C::SAVED * hidden.next_multiple_of(width), 1),
        x: Rows::new(pool, block, input, 1),
        // The last gate's last vector may reach beyond it.
        gx: Rows::new(pool, block, (C::GATES - 1) * hidden + hidden.next_multiple_of(V::LANES), width),
        saved,
        args,
    };
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        scan.start();
        for steps in packing.blocks(block, reverse) {
            scan.project::<V>(&steps);
            for t in in_order(&steps, reverse) {
                scan.step::<V, C>(t, packing.row(t, 0) - packing.row(steps.start, 0));
            }
        }
    }
}

/// A way forward under way.
struct Scan<'a> {
    args: Forward<'a>,
    saved: Option<*mut f32>,
    /// By rank, as `c` and `mid`.
    h: Rows<'a>,
    h_after: Rows<'a>,
    c: Rows<'a>,
    c_after: Rows<'a>,
    /// What the second round multiplies.
    mid: Rows<'a>,
    /// A tile's sums before their last terms.
    partial: Rows<'a>,
    /// What the first round leaves for the second, `[B, SAVED, H padded]`.
    kept: Rows<'a>,
    /// The inputs of a block of steps, and their products with their bias.
    x: Rows<'a>,
    gx: Rows<'a>,
}

impl Scan<'_> {
    /// The states before the first step.
    ///
    /// # Safety
    /// As in `forward`.
    unsafe fn start(&mut self) {
        let packing = self.args.packing;
        for rank in 0..packing.batch() {
            let index = packing.index(rank);
            // SAFETY: as in `forward`.
            unsafe {
                self.h.copy_from(rank, &self.args.initial.h, index);
                self.h_after.copy_from(rank, &self.args.initial.h, index);
                if let Some(c) = &self.args.initial.c {
                    self.c.copy_from(rank, c, index);
                    self.c_after.copy_from(rank, c, index);
                }
                // A sequence of no frames ends as it began.
                self.end(rank);
            }
        }
    }

    /// The state of a sequence after its last step.
    ///
    /// # Safety
    /// As in `forward`.
    unsafe fn end(&mut self, rank: usize) {
        let index = self.args.packing.index(rank);
        // SAFETY: as in `forward`.
        unsafe {
            self.h.copy_to(rank, &self.args.last.h, index);
            if let Some(c) = &self.args.last.c {
                self.c.copy_to(rank, c, index);
            }
        }
    }

    /// The input's products for a block of steps.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn project<V: Simd>(&mut self, steps: &Range<usize>) {
        let (packing, weights) = (self.args.packing, self.args.weights);
        // SAFETY: as in `forward`.
        unsafe {
            self.x.gather(packing, steps, &self.args.x, self.args.mask);
            super::product(
                V::ISA,
                &Product {
                    weights: &weights.input,
                    add: false,
                    operand: self.x.row(0),
                    stride: self.x.stride,
                    to: self.gx.row(0),
                    to_stride: self.gx.stride,
                    rows: packing.rows_of(steps).len(),
                },
            );
        }
    }

    /// Step `t` of all sequences that run, whose input products start at `row` of the block.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn step<V: Simd, C: Gates>(&mut self, t: usize, row: usize) {
        let packing = self.args.packing;
        let running = packing.batch_size(t);
        // There and back: what the last step read last is still in the cache.
        let turn = |tiles: usize, tile: usize| if t.is_multiple_of(2) { tile } else { tiles - 1 - tile };
        // SAFETY: as in `forward`.
        unsafe {
            let tiles = self.args.weights.first.tiles();
            if running == 1 {
                // Several at once: weights that come from afar come faster in several streams.
                let whole = tiles - tiles % TOGETHER;
                for tile in (0..whole).step_by(TOGETHER).map(|tile| turn(whole + 1 - TOGETHER, tile)) {
                    self.first::<V, C, 1, TOGETHER>(tile, t, 0, row, 0);
                }
                for tile in whole..tiles {
                    self.first::<V, C, 1, 1>(tile, t, 0, row, 0);
                }
            } else {
                for tile in (0..tiles).map(|tile| turn(tiles, tile)) {
                    let done = self.all_but_last_terms::<V, C>(tile, running);
                    by_rows!(V, panels(C::FIRST) * C::FIRST, running, |s, ROWS| {
                        self.first::<V, C, ROWS, 1>(tile, t, s, row + s, done)
                    });
                }
            }
            if let Some(second) = &self.args.weights.second {
                let tiles = second.tiles();
                for tile in (0..tiles).map(|tile| turn(tiles, tile)) {
                    by_rows!(V, VECTORS, running, |s, ROWS| self.second::<V, C, ROWS>(tile, t, s));
                }
            }
            std::mem::swap(&mut self.h, &mut self.h_after);
            std::mem::swap(&mut self.c, &mut self.c_after);
            let ended = match self.args.reverse {
                true if t > 0 => running..running,
                false if t + 1 < packing.steps() => packing.batch_size(t + 1)..running,
                _ => 0..running,
            };
            for rank in ended {
                self.end(rank);
            }
        }
    }

    /// The sums of a tile but for their last terms, for sequences that do not fit side by side: while all of them pass,
    /// the weights stay close. Gives the number of terms.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn all_but_last_terms<V: Simd, C: Gates>(&mut self, tile: usize, running: usize) -> usize {
        let vectors = const { panels(C::FIRST) * C::FIRST };
        let first = &self.args.weights.first;
        let (terms, stride) = (terms::<V>(vectors), self.partial.stride);
        let mut done = 0;
        if running > V::SUMS / vectors {
            while done + terms < first.depth {
                // SAFETY: as in `forward`.
                unsafe {
                    by_rows!(V, panels(C::FIRST) * C::FIRST, running, |s, ROWS| {
                        let mut sums: [Sums<V, ROWS>; 1] = match done {
                            0 => start(first, tile, vectors),
                            _ => [load(self.partial.row(s), stride)],
                        };
                        let of = (first, tile, vectors);
                        accumulate(&mut sums, of, done..done + terms, self.h.row(s), self.h.stride);
                        store(&sums[0], self.partial.row(s), stride);
                    });
                }
                done += terms;
            }
        }
        done
    }

    /// The first round of `TILES` tiles of units, for `ROWS` sequences from rank `s` on, whose input products start at
    /// `row`. The first `done` terms of the sums are in `partial`.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn first<V: Simd, C: Gates, const ROWS: usize, const TILES: usize>(
        &mut self,
        tile: usize,
        t: usize,
        s: usize,
        row: usize,
        done: usize,
    ) {
        let weights = self.args.weights;
        let hidden = weights.made_for.2.hidden;
        let vectors = const { self::panels(C::FIRST) * C::FIRST };
        // SAFETY: as in `forward`.
        unsafe {
            let mut sums: [Sums<V, ROWS>; TILES] = match done {
                0 => start(&weights.first, tile, vectors),
                _ => [load(self.partial.row(s), self.partial.stride); TILES],
            };
            let of = (&weights.first, tile, vectors);
            accumulate(&mut sums, of, done..hidden, self.h.row(s), self.h.stride);
            if let (true, Some(memory)) = (C::FROM_MEMORY > 0, &weights.memory) {
                // One panel a tile here, so these gates' sums are the first ones.
                const { assert!(C::FROM_MEMORY == 0 || self::panels(C::FIRST) == 1) };
                let of = (memory, tile, C::FROM_MEMORY);
                accumulate(&mut sums, of, 0..hidden, self.c.row(s), self.c.stride);
            }
            for (i, sums) in sums.iter().enumerate() {
                self.gates::<V, C, ROWS>(sums, tile + i, t, s, row);
            }
        }
    }

    /// What the cell makes of the sums of a tile.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn gates<V: Simd, C: Gates, const ROWS: usize>(
        &mut self,
        sums: &Sums<V, ROWS>,
        tile: usize,
        t: usize,
        s: usize,
        row: usize,
    ) {
        let weights = self.args.weights;
        let hidden = weights.made_for.2.hidden;
        let panels = panels(C::FIRST);
        // SAFETY: as in `forward`.
        unsafe {
            for panel in 0..panels {
                let j = (tile * panels + panel) * V::LANES;
                if j >= hidden {
                    break;
                }
                let p = diagonal::<V, C>(weights, hidden, j);
                for m in 0..ROWS {
                    let (mut x, mut a) = ([V::splat(0.0); MAX_GATES], [V::splat(0.0); MAX_GATES]);
                    for gate in 0..C::GATES {
                        x[gate] = V::load(self.gx.row(row + m).add(gate * hidden + j));
                    }
                    for gate in 0..C::FIRST {
                        a[gate] = sums[panel * C::FIRST + gate][m];
                    }
                    let c = match C::MEMORY {
                        Some(_) => V::load(self.c.row(s + m).add(j)),
                        None => V::splat(0.0),
                    };
                    let after = C::first(&x, &a, &p, V::load(self.h.row(s + m).add(j)), c);
                    if C::MEMORY.is_some() {
                        after.c.store(self.c_after.row(s + m).add(j));
                    }
                    if C::SECOND.is_some() {
                        after.mid.store(self.mid.row(s + m).add(j));
                        let padded = self.h.stride;
                        for (k, value) in after.saved.iter().enumerate().take(C::SAVED) {
                            value.store(self.kept.row(s + m).add(k * padded + j));
                        }
                    } else {
                        self.finish::<V, C>(after.h, &after.saved, t, s + m, j);
                    }
                }
            }
        }
    }

    /// The second round, as the first.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn second<V: Simd, C: Gates, const ROWS: usize>(&mut self, tile: usize, t: usize, s: usize) {
        let weights = self.args.weights;
        let hidden = weights.made_for.2.hidden;
        let Some(second) = &weights.second else { return };
        // SAFETY: as in `forward`.
        unsafe {
            let mut sums: [Sums<V, ROWS>; 1] = start(second, tile, VECTORS);
            accumulate(&mut sums, (second, tile, VECTORS), 0..hidden, self.mid.row(s), self.mid.stride);
            for panel in 0..VECTORS {
                let j = (tile * VECTORS + panel) * V::LANES;
                if j >= hidden {
                    break;
                }
                let padded = self.h.stride;
                for m in 0..ROWS {
                    let mut saved = [V::splat(0.0); MAX_SAVED];
                    for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                        *value = V::load(self.kept.row(s + m).add(k * padded + j));
                    }
                    let h = V::load(self.h.row(s + m).add(j));
                    let h = C::second(&mut saved, sums[0][panel][m], h);
                    self.finish::<V, C>(h, &saved, t, s + m, j);
                }
            }
        }
    }

    /// Stores the new h and what is kept.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn finish<V: Simd, C: Gates>(
        &mut self,
        h: V,
        kept: &[V; MAX_SAVED],
        t: usize,
        s: usize,
        j: usize,
    ) {
        let (packing, hidden) = (self.args.packing, self.args.weights.made_for.2.hidden);
        // SAFETY: as in `forward`.
        unsafe {
            h.store(self.h_after.row(s).add(j));
            h.store_part(self.args.out.at(packing.place(t, s), j), hidden - j);
            if let Some(saved) = self.saved {
                let row = packing.row(t, s);
                let to = saved.add(saved_at::<V, C>(row, hidden, j));
                for (k, value) in kept.iter().enumerate().take(C::SAVED) {
                    value.store(to.add(k * V::LANES));
                }
            }
        }
    }
}
