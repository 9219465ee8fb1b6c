//! Frames through all layers over plain memory, forward and back.
//!
//! A frame's outputs are sums of its own numbers in one order, so they do not depend on the frames beside it. The
//! gradients of the weights are summed frame by frame within a part of the batch and then part by part, and the parts
//! depend on the number of frames only: they are the same for any number of threads.

use rayon::prelude::*;

use super::super::grid::Grid;
use super::pack::{Backward, Forward, Gradients, kernel_places};
use super::sizes::{Layer, STRIDE, Sizes};
use crate::nn::kernels::{Gradient, Matrix, Places, Product, Rectify, Taps};
use crate::nn::pool::Pool;

/// Frames of a part, at least; more where there would be more than [`MAX_PARTS`], each with gradients of all weights.
const FRAMES: usize = 16;
const MAX_PARTS: usize = 64;

/// Bytes of frames that are worked on at a time by one core, if that is more than one frame.
const BLOCK_BYTES: usize = 1 << 20;

/// Frames that lie anywhere in `[.., D]`, and how to work on them.
pub(super) struct Pass<'a> {
    pub sizes: &'a Sizes,
    /// Rows of the frames that count.
    pub rows: &'a [usize],
    /// Numbers of a frame, `D`: planes first.
    pub width: usize,
    pub pool: &'a Pool,
}

/// What the way back needs of the way forward: by part and layer, the outputs of its frames.
pub(super) type Kept = Vec<Vec<Vec<f32>>>;

impl Pass<'_> {
    fn part_size(&self) -> usize {
        self.rows.len().div_ceil(MAX_PARTS).max(1).next_multiple_of(FRAMES)
    }

    /// Frames that are worked on at a time; no number depends on it.
    fn block_size(&self) -> usize {
        let values = |layer: &Layer| layer.output.len();
        let bytes = 4 * (self.sizes.input().len() + self.sizes.layers.iter().map(values).sum::<usize>());
        (BLOCK_BYTES / bytes).clamp(1, FRAMES)
    }

    /// Frames `[.., D]` -> outputs of the linear layer `[.., out]`, zero for rows that do not count. What the way back
    /// needs goes into `kept`, if it is to be gone.
    pub fn forward(&self, x: &[f32], weights: &Forward, kept: Option<&mut Kept>) -> Vec<f32> {
        let parts = self.rows.par_chunks(self.part_size());
        let keep = kept.is_some();
        let done = parts.map(|rows| self.forward_part(x, rows, weights, keep));
        let done: Vec<(Vec<f32>, Vec<Vec<f32>>)> = done.collect();
        let mut out = vec![0.0; x.len() / self.width * self.sizes.outputs];
        let outputs = done.iter().flat_map(|(out, _)| out.chunks_exact(self.sizes.outputs));
        for (&row, values) in self.rows.iter().zip(outputs) {
            out[row * self.sizes.outputs..][..self.sizes.outputs].copy_from_slice(values);
        }
        let layers = done.into_iter().map(|(_, layers)| layers);
        match kept {
            Some(kept) => *kept = layers.collect(),
            None => self.pool.give(layers.flatten()),
        }
        out
    }

    /// The outputs of the linear layer, and of the convolutions: of all frames to keep them, else of a block.
    fn forward_part(
        &self,
        x: &[f32],
        rows: &[usize],
        weights: &Forward,
        keep: bool,
    ) -> (Vec<f32>, Vec<Vec<f32>>) {
        let block = self.block_size();
        let room = if keep { rows.len() } else { block };
        let grids = self.sizes.layers.iter().map(|layer| layer.output);
        let mut layers: Vec<Vec<f32>> = grids.map(|grid| self.pool.take(room * grid.len())).collect();
        let mut input = self.pool.take(self.sizes.input().len());
        let mut padded = vec![0.0; block * self.sizes.padded_outputs()];
        let mut out = Vec::with_capacity(rows.len() * self.sizes.outputs);
        for (i, rows) in rows.chunks(block).enumerate() {
            let first = if keep { i * block } else { 0 };
            for (frame, &row) in (first..).zip(rows) {
                self.read(x, row, &mut input);
                self.convolve(frame, &input, &mut layers, weights);
            }
            let last = self.sizes.last();
            let operand = &layers[layers.len() - 1][first * last.len()..];
            self.linear(rows.len(), operand, weights, &mut padded);
            let values = padded.chunks_exact(self.sizes.padded_outputs()).take(rows.len());
            values.for_each(|values| out.extend_from_slice(&values[..self.sizes.outputs]));
        }
        self.pool.give([input]);
        (out, layers)
    }

    fn read(&self, x: &[f32], row: usize, input: &mut [f32]) {
        let grid = self.sizes.input();
        grid.read(&x[row * self.width..][..grid.values()], input);
    }

    /// All convolutions of one frame, whose outputs are at `frame` in each of `outputs`.
    fn convolve(&self, frame: usize, input: &[f32], outputs: &mut [Vec<f32>], weights: &Forward) {
        for (l, layer) in self.sizes.layers.iter().enumerate() {
            let (below, above) = outputs.split_at_mut(l);
            let operand = match below.last() {
                None => input,
                Some(below) => &below[frame * layer.input.len()..][..layer.input.len()],
            };
            let output = &mut above[0][frame * layer.output.len()..][..layer.output.len()];
            layer.output.clear_border(output);
            let (from, taps) = layer.patches();
            Product {
                matrix: &weights.layers[l],
                operand,
                from,
                taps,
                to: &mut output[layer.output.at(0, 0)..],
                into: layer.output.pixels(),
                relu: true,
            }
            .run();
        }
    }

    /// The linear layer for frames that lie one after the other.
    fn linear(&self, frames: usize, operand: &[f32], weights: &Forward, out: &mut [f32]) {
        let (grid, width) = (self.sizes.last(), self.sizes.padded_outputs());
        Product {
            matrix: &weights.linear,
            operand: &operand[grid.at(0, 0)..],
            from: one_line(frames, grid.len()),
            taps: grid.inside(),
            to: out,
            into: one_line(frames, width),
            relu: true,
        }
        .run();
    }

    /// Gradients of the weights and, if wanted, of the frames `[.., D]`, from that of `out`, which `forward` gave.
    pub fn backward(
        &self,
        x: &[f32],
        weights: &Backward,
        kept: Kept,
        (out, dout): (&[f32], &[f32]),
        input_gradient: bool,
    ) -> (Gradients, Option<Vec<f32>>) {
        let parts = self.rows.par_chunks(self.part_size()).zip(&kept);
        let done = parts.map(|(rows, layers)| {
            let mut part = Part::new(self, input_gradient.then_some(rows.len()));
            part.backward(x, weights, rows, layers, (out, dout));
            part.finish()
        });
        let done: Vec<(Gradients, Vec<f32>)> = done.collect();
        self.pool.give(kept.into_iter().flatten());
        let mut sums = Gradients::new(self.sizes, self.pool);
        let mut dxs = Vec::with_capacity(done.len());
        for (part, dx) in done {
            sums.add(&part);
            part.give_back(self.pool);
            dxs.push(dx);
        }
        let planes = self.sizes.input().values();
        let dx = input_gradient.then(|| {
            let mut dx = vec![0.0; x.len()];
            let gradients = dxs.iter().flat_map(|dx| dx.chunks_exact(planes));
            for (&row, gradients) in self.rows.iter().zip(gradients) {
                dx[row * self.width..][..planes].copy_from_slice(gradients);
            }
            dx
        });
        (sums, dx)
    }
}

fn one_line(rows: usize, stride: usize) -> Places {
    Places { lines: 1, line: 0, rows, stride }
}

/// The way back of a part of the frames.
struct Part<'a> {
    pass: &'a Pass<'a>,
    sums: Gradients,
    /// Gradients of the planes, frame after frame; empty if they are not wanted.
    dx: Vec<f32>,
    wants_dx: bool,
    /// Of a block of frames: the planes, the gradient of them, of each layer's output, and of the linear layer's.
    input: Vec<f32>,
    dinput: Vec<f32>,
    doutputs: Vec<Vec<f32>>,
    dlinear: Vec<f32>,
}

impl<'a> Part<'a> {
    fn new(pass: &'a Pass, dx_of: Option<usize>) -> Self {
        let (sizes, block, pool) = (pass.sizes, pass.block_size(), pass.pool);
        let doutputs = sizes.layers.iter().map(|layer| {
            let grid = layer.output;
            let mut frames = pool.take(block * grid.len());
            frames.chunks_exact_mut(grid.len()).for_each(|frame| grid.clear_border(frame));
            frames
        });
        Self {
            pass,
            sums: Gradients::new(sizes, pool),
            dx: Vec::with_capacity(dx_of.unwrap_or(0) * sizes.input().values()),
            wants_dx: dx_of.is_some(),
            input: pool.take(block * sizes.input().len()),
            dinput: pool.take(if dx_of.is_some() { dinput_grid(sizes).len() } else { 0 }),
            doutputs: doutputs.collect(),
            dlinear: vec![0.0; block * sizes.padded_outputs()],
        }
    }

    /// The gradients of the weights and of the planes.
    fn finish(self) -> (Gradients, Vec<f32>) {
        self.pass.pool.give(self.doutputs.into_iter().chain([self.input, self.dinput]));
        (self.sums, self.dx)
    }

    fn backward(
        &mut self,
        x: &[f32],
        weights: &Backward,
        rows: &[usize],
        layers: &[Vec<f32>],
        of_output: (&[f32], &[f32]),
    ) {
        let block = self.pass.block_size();
        for (i, rows) in rows.chunks(block).enumerate() {
            for (&row, input) in rows.iter().zip(self.input.chunks_exact_mut(self.pass.sizes.input().len())) {
                self.pass.read(x, row, input);
            }
            self.linear(rows, i * block, layers, weights, of_output);
            for l in (0..self.pass.sizes.layers.len()).rev() {
                self.layer(l, rows.len(), i * block, layers, weights);
            }
        }
    }

    /// The linear layer: its weights' gradients, and those of the last convolution's outputs.
    fn linear(
        &mut self,
        rows: &[usize],
        first: usize,
        layers: &[Vec<f32>],
        weights: &Backward,
        (out, dout): (&[f32], &[f32]),
    ) {
        let sizes = self.pass.sizes;
        let (l, grid, width) = (sizes.layers.len(), sizes.last(), sizes.padded_outputs());
        for (&row, to) in rows.iter().zip(self.dlinear.chunks_exact_mut(width)) {
            let range = row * sizes.outputs..(row + 1) * sizes.outputs;
            let values = out[range.clone()].iter().zip(&dout[range]);
            to.iter_mut().zip(values).for_each(|(to, (&out, &d))| *to = if out > 0.0 { d } else { 0.0 });
            self.sums.biases[l].iter_mut().zip(&*to).for_each(|(sum, d)| *sum += d);
        }
        let outputs = one_line(rows.len(), width);
        Gradient {
            panels: self.sums.panels(l),
            frames: 1,
            operand: &layers[l - 1][first * grid.len() + grid.at(0, 0)..],
            frame: 0,
            from: one_line(rows.len(), grid.len()),
            taps: grid.inside(),
            gradient: &self.dlinear,
            gradient_frame: 0,
            gradient_from: outputs,
            to: &mut self.sums.matrices[l],
        }
        .run();
        for (y, matrix) in weights.linear.iter().enumerate() {
            Product {
                matrix,
                operand: &self.dlinear,
                from: outputs,
                taps: Taps { count: 1, stride: 0, depth: width },
                to: &mut self.doutputs[l - 1][grid.at(y, 0)..],
                into: one_line(rows.len(), grid.len()),
                relu: false,
            }
            .run();
        }
    }

    /// A convolution: its weights' gradients, and those of its input.
    fn layer(&mut self, l: usize, frames: usize, first: usize, layers: &[Vec<f32>], weights: &Backward) {
        let (sizes, layer) = (self.pass.sizes, self.pass.sizes.layers[l]);
        let (input, output) = (layer.input.len(), layer.output.len());
        let (below, above) = self.doutputs.split_at_mut(l);
        let dout = &mut above[0];
        for frame in 0..frames {
            Rectify {
                isa: sizes.isa,
                output: &layers[l][(first + frame) * output + layer.output.at(0, 0)..],
                gradient: &mut dout[frame * output + layer.output.at(0, 0)..],
                places: layer.output.pixels(),
                sums: &mut self.sums.biases[l],
            }
            .run();
        }
        let (from, taps) = layer.patches();
        Gradient {
            panels: self.sums.panels(l),
            frames,
            operand: match l.checked_sub(1) {
                None => &self.input,
                Some(below) => &layers[below][first * input..],
            },
            frame: input,
            from,
            taps,
            gradient: &dout[layer.output.at(0, 0)..],
            gradient_frame: output,
            gradient_from: layer.output.pixels(),
            to: &mut self.sums.matrices[l],
        }
        .run();
        for frame in 0..frames {
            let dout = &dout[frame * output..][..output];
            match below.last_mut() {
                Some(below) => {
                    transposed(&layer, &weights.layers[l], dout, &mut below[frame * input..][..input]);
                }
                None if self.wants_dx => {
                    let padded = Layer { input: dinput_grid(sizes), ..layer };
                    transposed(&padded, &weights.layers[l], dout, &mut self.dinput);
                    let start = self.dx.len();
                    self.dx.resize(start + layer.input.values(), 0.0);
                    padded.input.write(&self.dinput, &mut self.dx[start..]);
                }
                None => {}
            }
        }
    }
}

/// The planes' gradient is written in whole vectors.
fn dinput_grid(sizes: &Sizes) -> Grid {
    let grid = sizes.input();
    Grid { stride: grid.channels.next_multiple_of(sizes.isa.lanes()), ..grid }
}

/// The gradient of a convolution's input, from that of its output: even and odd rows and columns each for themselves.
fn transposed(layer: &Layer, matrices: &[Matrix], dout: &[f32], dinput: &mut [f32]) {
    let (input, output) = (layer.input, layer.output);
    for (matrix, (odd_y, odd_x)) in matrices.iter().zip([(0, 0), (0, 1), (1, 0), (1, 1)]) {
        let (lines, rows) = ((input.height + 1 - odd_y) / STRIDE, (input.width + 1 - odd_x) / STRIDE);
        if lines * rows == 0 {
            continue;
        }
        Product {
            matrix,
            operand: &dout[output.at(0, 0)..],
            from: Places { lines, rows, ..output.pixels() },
            taps: Taps {
                count: kernel_places(odd_y).len(),
                stride: output.line(),
                depth: kernel_places(odd_x).len() * output.stride,
            },
            to: &mut dinput[input.at(odd_y, odd_x)..],
            into: Places { lines, line: STRIDE * input.line(), rows, stride: STRIDE * input.stride },
            relu: false,
        }
        .run();
    }
}
