//! The way forward.

#![allow(
    clippy::needless_range_loop,
    reason = "gates and rows index several arrays at once, with constant bounds"
)]

use std::ops::Range;

use super::pack::{PackedWeights, Sizes, VECTORS, panels};
use super::product::{Product, load, store};
use super::scan::{Forward, Rows, Sums, accumulate, by_rows, diagonal, forward_rows, saved_at, start, terms};
use super::simd::Simd;
use super::team::{Leader, Team, Work};
use super::{Gates, Isa, MAX_GATES, MAX_SAVED};
use crate::nn::packing::in_order;

/// Tiles whose products one sequence alone takes at once: weights that come from afar come faster in several streams.
const TOGETHER: usize = 4;

/// A way forward under way. Its tiles may be shared between two cores: each writes what is of its own tiles only.
pub(super) struct Scan<'a> {
    args: Forward<'a>,
    saved: Option<*mut f32>,
    /// By rank, as `c` and `mid`. A step reads one and writes the other; sequences that wait or are done stay as they
    /// are.
    h: [Rows<'a>; 2],
    c: [Rows<'a>; 2],
    /// What the second round multiplies.
    mid: Rows<'a>,
    /// What the first round leaves for the second, `[B, SAVED, H padded]`.
    kept: Rows<'a>,
    /// A tile's sums before their last terms, for each core.
    partial: [Rows<'a>; 2],
    /// The inputs of a block of steps, and their products with their bias.
    x: Rows<'a>,
    gx: Rows<'a>,
}

// SAFETY: what the threads share of it they read only, or write in columns of their own (`Team`).
unsafe impl Sync for Scan<'_> {}

/// Where a step is: `t`, its first input products in the block, and which states are those before it.
#[derive(Clone, Copy)]
struct Step {
    t: usize,
    row: usize,
    from: usize,
}

/// A part of a scan whose tiles can be done in any order.
#[derive(Clone, Copy)]
enum Round {
    /// The input's products for so many rows of a block.
    Project { rows: usize },
    /// The first round of step `t`, whose input products start at `row`; `from` says which states are those before it.
    First { t: usize, row: usize, from: usize },
    /// Its second round.
    Second { t: usize, from: usize },
}

/// Items of a round, for the core `who`.
pub(super) struct Part {
    round: Round,
    items: Range<usize>,
    backwards: bool,
    who: usize,
}

impl Round {
    fn work(self) -> Work {
        match self {
            Self::Project { rows } => [0, rows, 0, 0],
            Self::First { t, row, from } => [1, t, row, from],
            Self::Second { t, from } => [2, t, from, 0],
        }
    }

    fn from_work(work: Work) -> Self {
        match work {
            [0, rows, ..] => Self::Project { rows },
            [1, t, row, from] => Self::First { t, row, from },
            [_, t, from, _] => Self::Second { t, from },
        }
    }
}

impl<'a> Scan<'a> {
    pub fn new<C: Gates>(mut args: Forward<'a>) -> Self {
        let (isa, _, sizes) = args.weights.made_for;
        let Sizes { input, hidden } = sizes;
        let (packing, pool) = (args.packing, args.pool);
        let batch = packing.batch();
        let memory = if C::MEMORY.is_some() { batch } else { 0 };
        let twice = if C::SECOND.is_some() { batch } else { 0 };
        let block = forward_rows(sizes, C::GATES).max(batch).min(packing.rows());
        let lanes = isa.lanes();
        // Padded to whole tiles.
        let width = lanes * VECTORS;
        // The last gate's last vector may reach beyond it.
        let products = (C::GATES - 1) * hidden + hidden.next_multiple_of(lanes);
        Self {
            // Taken out: a reference that moves on with the others would count as used, and the pointer as void.
            saved: args.saved.take().map(|saved| saved.as_mut_ptr()),
            h: std::array::from_fn(|_| Rows::zeros(pool, batch, hidden, width)),
            c: std::array::from_fn(|_| Rows::zeros(pool, memory, hidden, width)),
            mid: Rows::zeros(pool, twice, hidden, width),
            kept: Rows::new(pool, twice, C::SAVED * hidden.next_multiple_of(width), 1),
            partial: std::array::from_fn(|_| Rows::new(pool, batch, width, 1)),
            x: Rows::new(pool, block, input, 1),
            gx: Rows::new(pool, block, products, width),
            args,
        }
    }

    fn weights(&self) -> &'a PackedWeights {
        self.args.weights
    }

    fn hidden(&self) -> usize {
        self.weights().made_for.2.hidden
    }

    /// The whole way, alone or with a helper.
    ///
    /// # Safety
    /// The arguments are checked, and the machine has the instructions.
    pub unsafe fn lead<C: Gates>(&self, isa: Isa, team: Option<&Team>) {
        let (packing, weights, reverse) = (self.args.packing, self.weights(), self.args.reverse);
        let mut leader = Leader::new(team);
        let mut all = |round: Round, items| {
            // SAFETY: as here.
            leader.lead(round.work(), items, |items, backwards| unsafe {
                super::part::<C>(isa, self, Part { round, items, backwards, who: 0 });
            });
        };
        let mut from = 0;
        // SAFETY: sizes are checked; every row and column below is inside them.
        unsafe {
            self.start();
            for steps in packing.blocks(self.x.rows(), reverse) {
                self.x.gather(packing, &steps, &self.args.x, self.args.mask);
                all(Round::Project { rows: packing.rows_of(&steps).len() }, weights.input.tiles());
                for t in in_order(&steps, reverse) {
                    let row = packing.row(t, 0) - packing.row(steps.start, 0);
                    let tiles = weights.first.tiles();
                    let items = if packing.batch_size(t) == 1 { tiles.div_ceil(TOGETHER) } else { tiles };
                    all(Round::First { t, row, from }, items);
                    if let Some(second) = &weights.second {
                        all(Round::Second { t, from }, second.tiles());
                    }
                    from = 1 - from;
                    self.end_step(t, from);
                }
            }
        }
    }

    /// What the leader leaves to do.
    ///
    /// # Safety
    /// As [`Scan::lead`].
    pub unsafe fn help<C: Gates>(&self, isa: Isa, team: &Team) {
        // SAFETY: as here.
        team.help(|work, item| unsafe {
            let part =
                Part { round: Round::from_work(work), items: item..item + 1, backwards: false, who: 1 };
            super::part::<C>(isa, self, part);
        });
    }

    /// The states before the first step.
    ///
    /// # Safety
    /// As [`Scan::lead`].
    unsafe fn start(&self) {
        let packing = self.args.packing;
        for rank in 0..packing.batch() {
            let index = packing.index(rank);
            // SAFETY: as in `lead`.
            unsafe {
                self.h.iter().for_each(|h| h.copy_from(rank, &self.args.initial.h, index));
                if let Some(c) = &self.args.initial.c {
                    self.c.iter().for_each(|rows| rows.copy_from(rank, c, index));
                }
                // A sequence of no frames ends as it began.
                self.end(rank, 0);
            }
        }
    }

    /// Leaves the state of a sequence after its last step.
    ///
    /// # Safety
    /// As [`Scan::lead`].
    unsafe fn end(&self, rank: usize, from: usize) {
        let index = self.args.packing.index(rank);
        // SAFETY: as in `lead`.
        unsafe {
            self.h[from].copy_to(rank, &self.args.last.h, index);
            if let Some(c) = &self.args.last.c {
                self.c[from].copy_to(rank, c, index);
            }
        }
    }

    /// # Safety
    /// As [`Scan::lead`].
    unsafe fn end_step(&self, t: usize, from: usize) {
        let packing = self.args.packing;
        let running = packing.batch_size(t);
        let ended = match self.args.reverse {
            true if t > 0 => running..running,
            false if t + 1 < packing.steps() => packing.batch_size(t + 1)..running,
            _ => 0..running,
        };
        // SAFETY: as in `lead`.
        ended.for_each(|rank| unsafe { self.end(rank, from) });
    }

    /// # Safety
    /// As [`Scan::lead`], and the caller is compiled for the instructions of `V`.
    #[inline(always)]
    pub unsafe fn part<V: Simd, C: Gates>(&self, part: Part) {
        const { assert!(V::LANES <= 16 && C::FIRST * panels(C::FIRST) <= VECTORS) };
        let weights = self.weights();
        let Part { round, items, backwards, who } = part;
        let in_turn = items.clone().map(|item| match backwards {
            true => items.start + (items.end - 1 - item),
            false => item,
        });
        // SAFETY: as in `lead`.
        unsafe {
            match round {
                Round::Project { rows } => super::product(
                    V::ISA,
                    &Product {
                        weights: &weights.input,
                        tiles: items,
                        add: false,
                        operand: self.x.row(0),
                        stride: self.x.stride,
                        to: self.gx.row(0),
                        to_stride: self.gx.stride,
                        rows,
                    },
                ),
                Round::First { t, row, from } if self.args.packing.batch_size(t) == 1 => {
                    let of = Step { t, row, from };
                    let tiles = weights.first.tiles();
                    for tile in in_turn.map(|item| item * TOGETHER) {
                        if tile + TOGETHER <= tiles {
                            self.first::<V, C, 1, TOGETHER>(tile, 0, of, None);
                        } else {
                            (tile..tiles).for_each(|tile| self.first::<V, C, 1, 1>(tile, 0, of, None));
                        }
                    }
                }
                Round::First { t, row, from } => {
                    let running = self.args.packing.batch_size(t);
                    let of = Step { t, row, from };
                    for tile in in_turn {
                        let partial = self.all_but_last_terms::<V, C>(tile, running, of, &self.partial[who]);
                        by_rows!(V, panels(C::FIRST) * C::FIRST, running, |s, ROWS| {
                            self.first::<V, C, ROWS, 1>(tile, s, of, partial)
                        });
                    }
                }
                Round::Second { t, from } => {
                    let running = self.args.packing.batch_size(t);
                    for tile in in_turn {
                        by_rows!(V, VECTORS, running, |s, ROWS| self.second::<V, C, ROWS>(tile, s, t, from));
                    }
                }
            }
        }
    }

    /// The sums of a tile but for their last terms, for sequences that do not fit side by side: while all of them pass,
    /// the weights stay close. Gives the number of terms, if any, and where the sums are.
    ///
    /// # Safety
    /// As [`Scan::part`].
    #[inline(always)]
    unsafe fn all_but_last_terms<'b, V: Simd, C: Gates>(
        &self,
        tile: usize,
        running: usize,
        of: Step,
        partial: &'b Rows<'a>,
    ) -> Option<(usize, &'b Rows<'a>)> {
        let vectors = const { panels(C::FIRST) * C::FIRST };
        let (first, h) = (&self.weights().first, &self.h[of.from]);
        let (terms, stride) = (terms::<V>(vectors), partial.stride);
        let mut done = 0;
        if running > V::SUMS / vectors {
            while done + terms < first.depth {
                // SAFETY: as in `lead`.
                unsafe {
                    by_rows!(V, panels(C::FIRST) * C::FIRST, running, |s, ROWS| {
                        let mut sums: [Sums<V, ROWS>; 1] = match done {
                            0 => start(first, tile, vectors),
                            _ => [load(partial.row(s), stride)],
                        };
                        let ks = done..done + terms;
                        accumulate(&mut sums, (first, tile, vectors), ks, h.row(s), h.stride);
                        store(&sums[0], partial.row(s), stride);
                    });
                }
                done += terms;
            }
        }
        (done > 0).then_some((done, partial))
    }

    /// The first round of `TILES` tiles of units, for `ROWS` sequences from rank `s` on. `partial` are the first terms of
    /// the sums, if they are done.
    ///
    /// # Safety
    /// As [`Scan::part`].
    #[inline(always)]
    unsafe fn first<V: Simd, C: Gates, const ROWS: usize, const TILES: usize>(
        &self,
        tile: usize,
        s: usize,
        of: Step,
        partial: Option<(usize, &Rows)>,
    ) {
        let (weights, hidden) = (self.weights(), self.hidden());
        let vectors = const { panels(C::FIRST) * C::FIRST };
        let (h, c) = (&self.h[of.from], &self.c[of.from]);
        // SAFETY: as in `lead`.
        unsafe {
            let (done, mut sums): (usize, [Sums<V, ROWS>; TILES]) = match partial {
                None => (0, start(&weights.first, tile, vectors)),
                Some((done, partial)) => (done, [load(partial.row(s), partial.stride); TILES]),
            };
            accumulate(&mut sums, (&weights.first, tile, vectors), done..hidden, h.row(s), h.stride);
            if let (true, Some(memory)) = (C::FROM_MEMORY > 0, &weights.memory) {
                // One panel a tile here, so these gates' sums are the first ones.
                const { assert!(C::FROM_MEMORY == 0 || panels(C::FIRST) == 1) };
                accumulate(&mut sums, (memory, tile, C::FROM_MEMORY), 0..hidden, c.row(s), c.stride);
            }
            for (i, sums) in sums.iter().enumerate() {
                self.gates::<V, C, ROWS>(sums, tile + i, s, of);
            }
        }
    }

    /// What the cell makes of the sums of a tile.
    ///
    /// # Safety
    /// As [`Scan::part`].
    #[inline(always)]
    unsafe fn gates<V: Simd, C: Gates, const ROWS: usize>(
        &self,
        sums: &Sums<V, ROWS>,
        tile: usize,
        s: usize,
        of: Step,
    ) {
        let (weights, hidden) = (self.weights(), self.hidden());
        let panels = panels(C::FIRST);
        let (h, c) = (&self.h[of.from], &self.c[of.from]);
        let c_after = &self.c[1 - of.from];
        // SAFETY: as in `lead`.
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
                        x[gate] = V::load(self.gx.row(of.row + s + m).add(gate * hidden + j));
                    }
                    for gate in 0..C::FIRST {
                        a[gate] = sums[panel * C::FIRST + gate][m];
                    }
                    let c = match C::MEMORY {
                        Some(_) => V::load(c.row(s + m).add(j)),
                        None => V::splat(0.0),
                    };
                    let after = C::first(&x, &a, &p, V::load(h.row(s + m).add(j)), c);
                    if C::MEMORY.is_some() {
                        after.c.store(c_after.row(s + m).add(j));
                    }
                    if C::SECOND.is_some() {
                        after.mid.store(self.mid.row(s + m).add(j));
                        let padded = h.stride;
                        for (k, value) in after.saved.iter().enumerate().take(C::SAVED) {
                            value.store(self.kept.row(s + m).add(k * padded + j));
                        }
                    } else {
                        self.finish::<V, C>(after.h, &after.saved, s + m, j, of.t, of.from);
                    }
                }
            }
        }
    }

    /// The second round of step `t`, as the first.
    ///
    /// # Safety
    /// As [`Scan::part`].
    #[inline(always)]
    unsafe fn second<V: Simd, C: Gates, const ROWS: usize>(
        &self,
        tile: usize,
        s: usize,
        t: usize,
        from: usize,
    ) {
        let Some(second) = &self.weights().second else { return };
        let (hidden, h) = (self.hidden(), &self.h[from]);
        // SAFETY: as in `lead`.
        unsafe {
            let mut sums: [Sums<V, ROWS>; 1] = start(second, tile, VECTORS);
            let ks = 0..hidden;
            accumulate(&mut sums, (second, tile, VECTORS), ks, self.mid.row(s), self.mid.stride);
            for panel in 0..VECTORS {
                let j = (tile * VECTORS + panel) * V::LANES;
                if j >= hidden {
                    break;
                }
                let padded = h.stride;
                for m in 0..ROWS {
                    let mut saved = [V::splat(0.0); MAX_SAVED];
                    for (k, value) in saved.iter_mut().enumerate().take(C::SAVED) {
                        *value = V::load(self.kept.row(s + m).add(k * padded + j));
                    }
                    let before = V::load(h.row(s + m).add(j));
                    let after = C::second(&mut saved, sums[0][panel][m], before);
                    self.finish::<V, C>(after, &saved, s + m, j, t, from);
                }
            }
        }
    }

    /// Stores the new h and what is kept.
    ///
    /// # Safety
    /// As [`Scan::part`].
    #[inline(always)]
    unsafe fn finish<V: Simd, C: Gates>(
        &self,
        h: V,
        kept: &[V; MAX_SAVED],
        s: usize,
        j: usize,
        t: usize,
        from: usize,
    ) {
        let (packing, hidden) = (self.args.packing, self.hidden());
        // SAFETY: as in `lead`.
        unsafe {
            h.store(self.h[1 - from].row(s).add(j));
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
