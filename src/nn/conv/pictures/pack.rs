//! The weights, from PyTorch's order to that of the products, and their gradients on the way back.

use super::super::grid::{Grid, KERNEL};
use super::sizes::{Layer, Sizes};
use crate::nn::kernels::{Matrix, Panels};
use crate::nn::pool::Pool;

/// The weights as the way forward reads them.
#[derive(Debug)]
pub(super) struct Forward {
    pub layers: Vec<Matrix>,
    pub linear: Matrix,
}

/// The weights as the way back reads them.
pub(super) struct Backward {
    /// Of each convolution, by row and column of a pixel of its input, even or odd: see [`kernel_places`]. None for one
    /// whose input's gradient nobody wants.
    pub layers: Vec<Vec<Matrix>>,
    /// A matrix a line of the linear layer's input.
    pub linear: Vec<Matrix>,
}

/// Where the kernel lies, by rows or by columns, when it meets a pixel of the input: at an even one with its middle; at
/// an odd one with its end, from the output before, and with its beginning, from the next one.
pub(super) fn kernel_places(odd: usize) -> &'static [usize] {
    if odd == 0 { &[1] } else { &[2, 0] }
}

/// Parts of the flat weights: of each layer weight and bias, then those of the linear layer.
fn parts<'a>(sizes: &Sizes, mut weights: &'a [f32]) -> Vec<(&'a [f32], &'a [f32])> {
    let mut take = |len| {
        let (part, rest) = weights.split_at(len);
        weights = rest;
        part
    };
    let layers =
        sizes.layers.iter().map(|layer| (layer.output.channels, layer.input.channels * KERNEL * KERNEL));
    let all = layers.chain([(sizes.outputs, sizes.last().values())]);
    all.map(|(rows, columns)| (take(rows * columns), take(rows))).collect()
}

/// Calls `f` with the place of each weight `[Cout, Cin, 3, 3]` of a convolution, the kernel's row and column, and the
/// channels of output and input.
fn each_weight(layer: &Layer, mut f: impl FnMut(usize, (usize, usize), usize, usize)) {
    let mut i = 0;
    for output in 0..layer.output.channels {
        for input in 0..layer.input.channels {
            for ky in 0..KERNEL {
                for kx in 0..KERNEL {
                    f(i, (ky, kx), output, input);
                    i += 1;
                }
            }
        }
    }
}

/// Calls `f` with the place of each weight `[out, C·H·W]` of the linear layer, its unit, and the line and the place in
/// it of what it reads.
fn each_linear_weight(grid: &Grid, outputs: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
    let mut i = 0;
    for output in 0..outputs {
        for channel in 0..grid.channels {
            for y in 0..grid.height {
                for x in 0..grid.width {
                    f(i, output, y, x * grid.stride + channel);
                    i += 1;
                }
            }
        }
    }
}

/// The packed matrices of the way forward: of each layer, then of the linear one.
pub(super) fn panels(sizes: &Sizes) -> Vec<Panels> {
    let layers = sizes
        .layers
        .iter()
        .map(|layer| Panels::new(sizes.isa, KERNEL * KERNEL * layer.input.stride, layer.output.channels));
    let inside = sizes.last().inside();
    layers.chain([Panels::new(sizes.isa, inside.count * inside.depth, sizes.outputs)]).collect()
}

impl Forward {
    pub fn new(sizes: &Sizes, weights: &[f32]) -> Self {
        let mut matrices: Vec<Matrix> = panels(sizes).into_iter().map(Matrix::zeros).collect();
        let parts = parts(sizes, weights);
        for (matrix, (_, bias)) in matrices.iter_mut().zip(&parts) {
            matrix.set_bias(bias);
        }
        for ((layer, matrix), (weights, _)) in sizes.layers.iter().zip(&mut matrices).zip(&parts) {
            each_weight(layer, |i, at, output, input| matrix.set(layer.row(at, input), output, weights[i]));
        }
        let mut linear = matrices.remove(sizes.layers.len());
        let (weights, depth) = (parts[sizes.layers.len()].0, sizes.last().inside().depth);
        each_linear_weight(&sizes.last(), sizes.outputs, |i, output, y, k| {
            linear.set(y * depth + k, output, weights[i]);
        });
        Self { layers: matrices, linear }
    }
}

impl Backward {
    /// With `input_gradient` that of the first layer's input is wanted.
    pub fn new(sizes: &Sizes, weights: &[f32], input_gradient: bool) -> Self {
        let parts = parts(sizes, weights);
        let layers = sizes.layers.iter().zip(&parts).enumerate().map(|(l, (layer, (weights, _)))| {
            if l == 0 && !input_gradient { Vec::new() } else { transposed(sizes, layer, weights) }
        });
        let layers = layers.collect();
        let inside = sizes.last().inside();
        let panels = Panels::new(sizes.isa, sizes.padded_outputs(), inside.depth);
        let mut linear: Vec<Matrix> = (0..inside.count).map(|_| Matrix::zeros(panels)).collect();
        let weights = parts[sizes.layers.len()].0;
        each_linear_weight(&sizes.last(), sizes.outputs, |i, output, y, k| {
            linear[y].set(output, k, weights[i]);
        });
        Self { layers, linear }
    }
}

/// For rows and columns even or odd: the outputs that a pixel of the input has gone into, times these, are its gradient.
fn transposed(sizes: &Sizes, layer: &Layer, weights: &[f32]) -> Vec<Matrix> {
    let stride = layer.output.stride;
    let kinds = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let matrices = kinds.iter().map(|&(odd_y, odd_x)| {
        let (rows, columns) = (kernel_places(odd_y), kernel_places(odd_x));
        let depth = rows.len() * columns.len() * stride;
        let mut matrix = Matrix::zeros(Panels::new(sizes.isa, depth, layer.input.channels));
        each_weight(layer, |i, (ky, kx), output, input| {
            let place = |places: &[usize], k| places.iter().position(|&place| place == k);
            if let (Some(row), Some(column)) = (place(rows, ky), place(columns, kx)) {
                matrix.set((row * columns.len() + column) * stride + output, input, weights[i]);
            }
        });
        matrix
    });
    matrices.collect()
}

/// Gradients of all weights: those of the matrices lie as the way forward packs them.
pub(super) struct Gradients {
    panels: Vec<Panels>,
    pub matrices: Vec<Vec<f32>>,
    pub biases: Vec<Vec<f32>>,
}

impl Gradients {
    /// Zeros.
    pub fn new(sizes: &Sizes, pool: &Pool) -> Self {
        let zeros = |len: usize| {
            let mut values = pool.take(len);
            values.fill(0.0);
            values
        };
        let panels = panels(sizes);
        let matrices = panels.iter().map(|panels| zeros(panels.len())).collect();
        let biases = panels.iter().map(|panels| zeros(panels.width())).collect();
        Self { panels, matrices, biases }
    }

    pub fn give_back(self, pool: &Pool) {
        pool.give(self.matrices.into_iter().chain(self.biases));
    }

    pub fn panels(&self, layer: usize) -> Panels {
        self.panels[layer]
    }

    pub fn add(&mut self, other: &Self) {
        let sums = self.matrices.iter_mut().chain(&mut self.biases);
        for (sums, values) in sums.zip(other.matrices.iter().chain(&other.biases)) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }

    /// In the order of the flat weights.
    pub fn flat(&self, sizes: &Sizes) -> Vec<f32> {
        let mut flat = Vec::with_capacity(sizes.num_weights());
        for (l, layer) in sizes.layers.iter().enumerate() {
            each_weight(layer, |_, at, output, input| {
                flat.push(self.matrices[l][self.panels[l].at(layer.row(at, input), output)]);
            });
            flat.extend_from_slice(&self.biases[l][..layer.output.channels]);
        }
        let (l, depth) = (sizes.layers.len(), sizes.last().inside().depth);
        each_linear_weight(&sizes.last(), sizes.outputs, |_, output, y, k| {
            flat.push(self.matrices[l][self.panels[l].at(y * depth + k, output)]);
        });
        flat.extend_from_slice(&self.biases[l][..sizes.outputs]);
        flat
    }
}
