//! All layers of a batch over plain memory: directions side by side, forward and back.

use super::cell::{CellKind, with_gates};
use super::kernels::{
    self, Backward, Columns, Forward, Gates, Isa, Mask, PackedWeights, Parameters, Sizes, States,
};
use super::packing::Packing;
use super::pool::Pool;

/// Bytes of recurrent weights that one core's cache does not hold. For few sequences reading them takes longer than
/// their arithmetic: then two cores share a scan, one direction after the other.
const LARGE: usize = 2 << 20;
const FEW: usize = 4;

/// Bytes from which on a core that is free helps.
const WORTH_SHARING: usize = 256 << 10;

/// Sequences that are worth a core of their own.
const MIN_GROUP: usize = 8;

/// A stack of layers and the batch that goes through it.
///
/// `weights` are the [`Parameters`] of all layers and directions, one after the other; states are `h` and, where the
/// cell has a memory, `c`, each `[L·D, B, H]`.
pub(super) struct Stack<'a> {
    pub cell: CellKind,
    pub isa: Isa,
    /// Of each layer.
    pub sizes: &'a [Sizes],
    pub directions: usize,
    pub packing: &'a Packing,
    /// What dropout leaves of the input of each layer but the first; empty without.
    pub masks: &'a [Vec<u8>],
    pub scale: f32,
    pub pool: &'a Pool,
}

/// Scans side by side.
struct Plan {
    /// Parts of the batch.
    groups: Vec<Packing>,
    /// Two cores share each scan.
    shared: bool,
    one_by_one: bool,
}

/// What a stack computes from, as [`Stack`] says.
pub(super) struct Inputs<'a> {
    pub x: &'a [f32],
    pub weights: &'a [f32],
    pub initial: &'a [f32],
}

/// What the way back needs of the way forward.
#[derive(Default)]
pub(super) struct Kept {
    /// Outputs of all layers but the last, `[B·T, D·H]`.
    outputs: Vec<Vec<f32>>,
    /// What the steps keep, by layer and direction.
    saved: Vec<Vec<f32>>,
}

/// Gradients, in the layout of what they belong to.
pub(super) struct Gradients {
    /// Only if wanted.
    pub x: Option<Vec<f32>>,
    pub weights: Vec<f32>,
    pub states: Vec<f32>,
}

impl Stack<'_> {
    /// The weights in the order in which the scans read them, by layer and direction.
    pub fn pack(
        cell: CellKind,
        isa: Isa,
        sizes: &[Sizes],
        directions: usize,
        weights: &[f32],
    ) -> Vec<PackedWeights> {
        with_gates!(cell, C => {
            let parts = parts::<C>(sizes, directions, weights);
            parts.map(|(sizes, values)| PackedWeights::forward::<C>(isa, &values, sizes)).collect()
        })
    }

    /// Values of all weights.
    pub fn num_weights(&self) -> usize {
        with_gates!(self.cell, C => {
            self.sizes.iter().map(|sizes| self.directions * sizes.parameters::<C>()).sum()
        })
    }

    /// `x [B·T·D]` -> the last layer's output `[B·T·D·H]` and the last states. Where the way back is to be gone, `kept` is
    /// filled; otherwise parts of the batch have a core each, where there are more cores than directions.
    pub fn forward(
        &self,
        x: &[f32],
        weights: &[PackedWeights],
        initial: &[f32],
        kept: Option<&mut Kept>,
    ) -> (Vec<f32>, Vec<f32>) {
        // All of it on the pool's threads: a hand-over for each layer takes time.
        rayon::scope(|_| with_gates!(self.cell, C => self.forward_gates::<C>(x, weights, initial, kept)))
    }

    fn forward_gates<C: Gates>(
        &self,
        x: &[f32],
        weights: &[PackedWeights],
        initial: &[f32],
        mut kept: Option<&mut Kept>,
    ) -> (Vec<f32>, Vec<f32>) {
        let hidden = self.sizes[0].hidden;
        let width = self.directions * hidden;
        let places = x.len() / self.sizes[0].input;
        let mut states = vec![0f32; initial.len()];
        let lasts = self.states::<C>(&mut Columns::split_rows(&mut states, hidden, self.parts::<C>()));
        let plan = match kept {
            Some(_) => Plan { groups: vec![], shared: false, one_by_one: false },
            None => self.plan::<C>(),
        };
        let mut below: Option<Vec<f32>> = None;
        for layer in 0..self.sizes.len() {
            let mut out = match layer + 1 == self.sizes.len() {
                true => vec![0f32; places * width],
                // Nobody reads it beyond a sequence's end.
                false => self.pool.take(places * width),
            };
            let columns = Columns::split(&mut out, width, self.directions);
            let input = self.input(layer, x, below.as_deref());
            let scan = |direction: usize, packing: &Packing, saved: Option<&mut [f32]>| {
                let at = layer * self.directions + direction;
                kernels::forward::<C>(
                    self.isa,
                    Forward {
                        packing,
                        reverse: direction == 1,
                        weights: &weights[at],
                        x: input,
                        mask: self.mask(layer),
                        initial: self.initial::<C>(initial, at),
                        out: columns[direction],
                        last: lasts[at],
                        saved,
                        pool: self.pool,
                    },
                    plan.shared,
                );
            };
            let mut saved: Vec<Vec<f32>> = vec![];
            if kept.is_some() {
                let len = self.packing.rows() * kernels::saved_per_row::<C>(self.isa, hidden);
                saved = (0..self.directions).map(|_| self.pool.take(len)).collect();
            }
            rayon::scope(|scope| {
                for (direction, saved) in saved.iter_mut().enumerate() {
                    let scan = &scan;
                    scope.spawn(move |_| scan(direction, self.packing, Some(saved)));
                }
                for packing in &plan.groups {
                    for direction in 0..self.directions {
                        let scan = &scan;
                        match plan.one_by_one {
                            true => scan(direction, packing, None),
                            false => scope.spawn(move |_| scan(direction, packing, None)),
                        }
                    }
                }
            });
            let done = below.replace(out);
            match &mut kept {
                Some(kept) => {
                    kept.outputs.extend(done);
                    kept.saved.extend(saved);
                }
                None => self.pool.give(done),
            }
        }
        (below.unwrap_or_default(), states)
    }

    /// How inference uses the cores that there are.
    fn plan<C: Gates>(&self) -> Plan {
        let cores = rayon::current_num_threads();
        let most = self.packing.batch().div_ceil(MIN_GROUP);
        let groups = self.packing.split((cores / self.directions).clamp(1, most));
        let bytes = 4 * C::GATES * self.sizes[0].hidden.pow(2);
        let free = cores >= 2 * self.directions * groups.len();
        let shared = match free {
            true => bytes >= WORTH_SHARING,
            false => bytes >= LARGE && self.packing.batch() <= FEW && cores > 1,
        };
        Plan { groups, shared, one_by_one: shared && !free }
    }

    /// Gradients from those of the output and, if any, of the last states. `out` is what `forward` gave.
    pub fn backward(
        &self,
        inputs: Inputs,
        kept: Kept,
        out: &[f32],
        given: (&[f32], Option<&[f32]>),
        input_gradient: bool,
    ) -> Gradients {
        rayon::scope(
            |_| with_gates!(self.cell, C => self.backward_gates::<C>(inputs, kept, out, given, input_gradient)),
        )
    }

    fn backward_gates<C: Gates>(
        &self,
        Inputs { x, weights, initial }: Inputs,
        kept: Kept,
        out: &[f32],
        (dout, dstates): (&[f32], Option<&[f32]>),
        input_gradient: bool,
    ) -> Gradients {
        let hidden = self.sizes[0].hidden;
        let width = self.directions * hidden;
        let mut dweights = vec![0f32; weights.len()];
        let mut dinitial = vec![0f32; initial.len()];
        let dinitials = self.states::<C>(&mut Columns::split_rows(&mut dinitial, hidden, self.parts::<C>()));
        let mut parameters: Vec<_> = parts::<C>(self.sizes, self.directions, weights).collect();
        let mut gradients: Vec<_> = parts_mut::<C>(self.sizes, self.directions, &mut dweights).collect();
        // Gradient of a layer's output: that of the layer above's input, by direction.
        let mut douts: Vec<Vec<f32>> = vec![];
        for layer in (0..self.sizes.len()).rev() {
            let top = layer + 1 == self.sizes.len();
            let input_size = self.sizes[layer].input;
            let wanted = layer > 0 || input_gradient;
            let mut dxs: Vec<Vec<f32>> = (0..if wanted { self.directions } else { 0 })
                .map(|_| match layer {
                    // Zero beyond a sequence's end.
                    0 => vec![0f32; x.len()],
                    _ => self.pool.take(x.len() / self.sizes[0].input * input_size),
                })
                .collect();
            let mut dx_columns =
                dxs.iter_mut().map(|dx| Columns::write(dx, input_size)).collect::<Vec<_>>().into_iter();
            let output = if top { out } else { &kept.outputs[layer] };
            let below = layer.checked_sub(1).map(|below| kept.outputs[below].as_slice());
            rayon::scope(|scope| {
                for direction in (0..self.directions).rev() {
                    let at = layer * self.directions + direction;
                    let Some(((sizes, values), dweights)) = parameters.pop().zip(gradients.pop()) else {
                        return;
                    };
                    let column = |matrix| Columns::read(matrix, width, direction * hidden, hidden);
                    let mut terms =
                        if top { vec![dout] } else { douts.iter().map(Vec::as_slice).collect() }.into_iter();
                    let dout = [terms.next().map(column), terms.next().map(column)];
                    let (out, dinitial, dx) = (column(output), dinitials[at], dx_columns.next());
                    let saved = &kept.saved[at];
                    scope.spawn(move |_| {
                        kernels::backward::<C>(
                            self.isa,
                            Backward {
                                packing: self.packing,
                                reverse: direction == 1,
                                weights: &PackedWeights::backward::<C>(self.isa, &values, sizes),
                                x: self.input(layer, x, below),
                                mask: self.mask(layer),
                                initial: self.initial::<C>(initial, at),
                                out,
                                saved,
                                dout,
                                dlast: dstates.map(|dstates| self.initial::<C>(dstates, at)),
                                dx,
                                dweights,
                                dinitial,
                                pool: self.pool,
                            },
                        )
                    });
                }
            });
            self.pool.give(std::mem::replace(&mut douts, dxs));
        }
        self.pool.give(kept.outputs.into_iter().chain(kept.saved));
        let sum = |mut all: std::vec::IntoIter<Vec<f32>>| {
            let mut sum = all.next()?;
            for other in all {
                sum.iter_mut().zip(&other).for_each(|(sum, other)| *sum += other);
            }
            Some(sum)
        };
        Gradients { x: sum(douts.into_iter()), weights: dweights, states: dinitial }
    }

    /// A layer's input: the first one's is the stack's, the others' is the output `below`.
    fn input<'b>(&self, layer: usize, x: &'b [f32], below: Option<&'b [f32]>) -> Columns<'b> {
        let width = self.sizes[layer].input;
        Columns::read(below.unwrap_or(x), width, 0, width)
    }

    fn mask(&self, layer: usize) -> Option<Mask<'_>> {
        let keep = self.masks.get(layer.checked_sub(1)?)?;
        Some(Mask { keep, scale: self.scale })
    }

    /// Matrices `[B, H]` of all states.
    fn parts<C: Gates>(&self) -> usize {
        self.sizes.len() * self.directions * (1 + usize::from(C::MEMORY.is_some()))
    }

    /// The states of each layer and direction, of such matrices.
    fn states<'b, C: Gates>(&self, matrices: &mut [Columns<'b>]) -> Vec<States<'b>> {
        let count = self.sizes.len() * self.directions;
        (0..count).map(|at| States { h: matrices[at], c: matrices.get(count + at).copied() }).collect()
    }

    fn initial<'b, C: Gates>(&self, states: &'b [f32], at: usize) -> States<'b> {
        let (count, hidden) = (self.sizes.len() * self.directions, self.sizes[0].hidden);
        let matrix = states.len() / self.parts::<C>();
        let read = |at: usize| Columns::read(&states[at * matrix..][..matrix], hidden, 0, hidden);
        States { h: read(at), c: C::MEMORY.map(|_| read(count + at)) }
    }
}

/// The parameters of each layer and direction.
fn parts<'a, C: Gates>(
    sizes: &'a [Sizes],
    directions: usize,
    mut weights: &'a [f32],
) -> impl Iterator<Item = (Sizes, Parameters<&'a [f32]>)> {
    sizes.iter().flat_map(move |&sizes| std::iter::repeat_n(sizes, directions)).map(move |sizes| {
        let (values, rest) = weights.split_at(sizes.parameters::<C>());
        weights = rest;
        (sizes, Parameters::new::<C>(values, sizes))
    })
}

fn parts_mut<'a, C: Gates>(
    sizes: &'a [Sizes],
    directions: usize,
    mut weights: &'a mut [f32],
) -> impl Iterator<Item = Parameters<&'a mut [f32]>> {
    sizes.iter().flat_map(move |&sizes| std::iter::repeat_n(sizes, directions)).map(move |sizes| {
        let (values, rest) = std::mem::take(&mut weights).split_at_mut(sizes.parameters::<C>());
        weights = rest;
        Parameters::new_mut::<C>(values, sizes)
    })
}
