//! The way forward.

#![allow(
    clippy::needless_range_loop,
    reason = "gates and rows index several arrays at once, with constant bounds"
)]

use super::pack::{VECTORS, panels};
use super::scan::{Forward, MAX_ROWS, Rows, Sums, accumulate, by_rows, diagonal};
use super::simd::Simd;
use super::{Gates, MAX_GATES, MAX_SAVED};

/// # Safety
/// `args` is checked, and the caller is compiled for the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn forward<V: Simd, C: Gates>(mut args: Forward) {
    const { assert!(V::ROWS <= MAX_ROWS && V::LANES <= 16 && C::FIRST * panels(C::FIRST) <= VECTORS) };
    let (packing, hidden) = (args.packing, args.hidden);
    let batch = packing.batch();
    let memory = if C::MEMORY.is_some() { batch } else { 0 };
    let twice = if C::SECOND.is_some() { batch } else { 0 };
    // Padded to whole tiles.
    let width = V::LANES * VECTORS;
    let mut h = Rows::new(batch, hidden, width);
    let mut c = Rows::new(memory, hidden, width);
    // SAFETY: sizes are checked; every row and column below is inside them.
    unsafe {
        h.copy_from(&args.initial, 0, batch);
        c.copy_from(&args.initial, batch, memory);
        // A sequence of no frames ends as it began.
        c.copy_to(0..memory, &args.out, packing.rows());
        let saved = args.saved.as_mut().map(|saved| saved.as_mut_ptr());
        // A step reads all of the state before while it writes the state after. Sequences that wait or are done stay
        // as they are.
        let mut steps = Steps {
            h_after: h.clone(),
            c_after: c.clone(),
            h,
            c,
            mid: Rows::new(twice, hidden, width),
            kept: Rows::new(twice, C::SAVED * hidden.next_multiple_of(width), 1),
            saved,
            args,
        };
        for i in 0..packing.steps() {
            let t = if steps.args.reverse { packing.steps() - 1 - i } else { i };
            let (running, row) = (packing.batch_size(t), packing.row(t, 0));
            for tile in 0..hidden.div_ceil(V::LANES * panels(C::FIRST)) {
                by_rows!(V, running, |s, ROWS| steps.first::<V, C, ROWS>(tile, s, row + s));
            }
            if C::SECOND.is_some() {
                for tile in 0..hidden.div_ceil(width) {
                    by_rows!(V, running, |s, ROWS| steps.second::<V, C, ROWS>(tile, s, row + s));
                }
            }
            std::mem::swap(&mut steps.h, &mut steps.h_after);
            if C::MEMORY.is_some() {
                std::mem::swap(&mut steps.c, &mut steps.c_after);
                let ended = match steps.args.reverse {
                    true if t > 0 => running..running,
                    false if t + 1 < packing.steps() => packing.batch_size(t + 1)..running,
                    _ => 0..running,
                };
                steps.c.copy_to(ended, &steps.args.out, packing.rows());
            }
        }
    }
}

/// A way forward under way.
struct Steps<'a> {
    args: Forward<'a>,
    saved: Option<*mut f32>,
    h: Rows,
    h_after: Rows,
    c: Rows,
    c_after: Rows,
    /// What the second round multiplies.
    mid: Rows,
    /// What the first round leaves for the second, `[B, SAVED, H padded]`.
    kept: Rows,
}

impl Steps<'_> {
    /// The first round of one tile of units, for `ROWS` sequences from rank `s` on, whose packed rows start at `row`.
    ///
    /// # Safety
    /// As in `forward`.
    #[inline(always)]
    unsafe fn first<V: Simd, C: Gates, const ROWS: usize>(&mut self, tile: usize, s: usize, row: usize) {
        let (hidden, weights) = (self.args.hidden, self.args.weights);
        let panels = panels(C::FIRST);
        // SAFETY: as in `forward`.
        unsafe {
            let mut sums: Sums<V, ROWS> = [[V::splat(0.0); ROWS]; VECTORS];
            for panel in 0..panels {
                let j = (tile * panels + panel) * V::LANES;
                for gate in 0..C::FIRST {
                    if j < hidden {
                        let bias = weights.first_bias.as_ptr().add(gate * hidden + j);
                        sums[panel * C::FIRST + gate] = [V::load_part(bias, hidden - j); ROWS];
                    }
                }
            }
            let vectors = const { self::panels(C::FIRST) * C::FIRST };
            accumulate(&mut sums, vectors, weights.first.tile(tile), hidden, self.h.row(s), self.h.stride);
            if let (true, Some(memory)) = (C::FROM_MEMORY > 0, &weights.memory) {
                // One panel a tile here, so these gates' sums are the first ones.
                const { assert!(C::FROM_MEMORY == 0 || self::panels(C::FIRST) == 1) };
                accumulate(
                    &mut sums,
                    C::FROM_MEMORY,
                    memory.tile(tile),
                    hidden,
                    self.c.row(s),
                    self.c.stride,
                );
            }
            for panel in 0..panels {
                let j = (tile * panels + panel) * V::LANES;
                if j >= hidden {
                    break;
                }
                let count = hidden - j;
                let p = diagonal::<V, C>(weights, hidden, j);
                for m in 0..ROWS {
                    let (mut x, mut a) = ([V::splat(0.0); MAX_GATES], [V::splat(0.0); MAX_GATES]);
                    for gate in 0..C::GATES {
                        x[gate] = V::load_part(self.args.gx.at(row + m, gate * hidden + j), count);
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
                        self.finish::<V, C>(after.h, &after.saved, s + m, row + m, j);
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
    unsafe fn second<V: Simd, C: Gates, const ROWS: usize>(&mut self, tile: usize, s: usize, row: usize) {
        let (hidden, weights) = (self.args.hidden, self.args.weights);
        let Some(second) = &weights.second else { return };
        // SAFETY: as in `forward`.
        unsafe {
            let mut sums: Sums<V, ROWS> = [[V::splat(0.0); ROWS]; VECTORS];
            accumulate(&mut sums, VECTORS, second.tile(tile), hidden, self.mid.row(s), self.mid.stride);
            for panel in 0..VECTORS {
                let j = (tile * VECTORS + panel) * V::LANES;
                if j >= hidden {
                    break;
                }
                let bias = V::load_part(weights.second_bias.as_ptr().add(j), hidden - j);
                let padded = self.h.stride;
                for m in 0..ROWS {
                    let mut saved = [V::splat(0.0); MAX_SAVED];
                    for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                        *value = V::load(self.kept.row(s + m).add(k * padded + j));
                    }
                    let h = V::load(self.h.row(s + m).add(j));
                    let h = C::second(&mut saved, sums[panel][m].add(bias), h);
                    self.finish::<V, C>(h, &saved, s + m, row + m, j);
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
        s: usize,
        row: usize,
        j: usize,
    ) {
        let hidden = self.args.hidden;
        // SAFETY: as in `forward`.
        unsafe {
            h.store(self.h_after.row(s).add(j));
            h.store_part(self.args.out.at(row, j), hidden - j);
            if let Some(saved) = self.saved {
                for (k, value) in kept.iter().enumerate().take(C::SAVED) {
                    value.store_part(saved.add((row * C::SAVED + k) * hidden + j), hidden - j);
                }
            }
        }
    }
}
