//! The weights, from PyTorch's order to that of the products, and their gradients on the way back.

use super::super::grid::KERNEL;
use super::sizes::{Layer, Sizes};
use crate::nn::kernels::{Matrix, Panels};
use crate::nn::pool::Pool;

/// Parts of the flat weights.
pub(super) struct Parts<'a> {
    pub layers: Vec<LayerParts<'a>>,
    /// `[out, bins·C]`, bin by bin.
    linear: &'a [f32],
    linear_bias: &'a [f32],
}

pub(super) struct LayerParts<'a> {
    /// `[Cout, Cin, 3, 3]`
    kernel: &'a [f32],
    pub norm_weight: &'a [f32],
    pub norm_bias: &'a [f32],
}

impl<'a> Parts<'a> {
    pub fn new(sizes: &Sizes, mut weights: &'a [f32]) -> Self {
        let mut take = |len| {
            let (part, rest) = weights.split_at(len);
            weights = rest;
            part
        };
        let layers = sizes.layers.iter().map(|layer| LayerParts {
            kernel: take(layer.num_weights()),
            norm_weight: take(layer.output.channels),
            norm_bias: take(layer.output.channels),
        });
        let layers = layers.collect();
        let last = sizes.last();
        let linear = take(sizes.outputs * last.bins * last.channels);
        Self { layers, linear, linear_bias: take(sizes.outputs) }
    }
}

/// The weights as the way forward reads them.
#[derive(Debug)]
pub(super) struct Forward {
    pub layers: Vec<Matrix>,
    pub linear: Matrix,
}

impl Forward {
    /// As they are: what comes out is to be normalised.
    pub fn new(sizes: &Sizes, parts: &Parts) -> Self {
        let all = sizes.layers.iter().zip(&parts.layers);
        let layers = all.map(|(layer, parts)| convolution(sizes, layer, parts.kernel, |_| 1.0)).collect();
        Self { layers, linear: linear(sizes, parts) }
    }

    /// With each layer's norm in it: `scale` and `shift` by channel.
    pub fn folded(sizes: &Sizes, parts: &Parts, norms: &[(Vec<f32>, Vec<f32>)]) -> Self {
        let all = sizes.layers.iter().zip(&parts.layers).zip(norms);
        let layers = all.map(|((layer, parts), (scale, shift))| {
            let mut matrix = convolution(sizes, layer, parts.kernel, |channel| scale[channel]);
            matrix.set_bias(shift);
            matrix
        });
        Self { layers: layers.collect(), linear: linear(sizes, parts) }
    }
}

fn convolution(sizes: &Sizes, layer: &Layer, kernel: &[f32], scale: impl Fn(usize) -> f32) -> Matrix {
    let mut matrix = Matrix::zeros(panels(sizes, layer));
    each_weight(layer, |i, row, output| matrix.set(row, output, kernel[i] * scale(output)));
    matrix
}

fn linear(sizes: &Sizes, parts: &Parts) -> Matrix {
    let mut matrix = Matrix::zeros(linear_panels(sizes));
    matrix.set_bias(parts.linear_bias);
    each_linear_weight(sizes, |i, row, output| matrix.set(row, output, parts.linear[i]));
    matrix
}

/// The weights as the way back reads them.
pub(super) struct Backward {
    /// Of each convolution; `None` where nobody wants the gradient of its input.
    pub layers: Vec<Option<Matrix>>,
    pub linear: Matrix,
}

impl Backward {
    /// With `input_gradient` that of the first layer's input is wanted.
    pub fn new(sizes: &Sizes, parts: &Parts, input_gradient: bool) -> Self {
        let all = sizes.layers.iter().zip(&parts.layers).enumerate();
        let layers = all.map(|(l, (layer, parts))| {
            (l > 0 || input_gradient).then(|| transposed(sizes, layer, parts.kernel))
        });
        let layers = layers.collect();
        let mut linear = Matrix::zeros(Panels::new(sizes.isa, sizes.padded_outputs(), sizes.last().len()));
        each_linear_weight(sizes, |i, row, output| linear.set(output, row, parts.linear[i]));
        Self { layers, linear }
    }
}

/// What turns the gradient of a convolution's output into that of its input: the kernel from its end to its beginning.
fn transposed(sizes: &Sizes, layer: &Layer, kernel: &[f32]) -> Matrix {
    let stride = layer.output.stride;
    let panels = Panels::new(sizes.isa, KERNEL * KERNEL * stride, layer.input.channels);
    let mut matrix = Matrix::zeros(panels);
    let mut weights = kernel.iter();
    for output in 0..layer.output.channels {
        for input in 0..layer.input.channels {
            for place in (0..KERNEL * KERNEL).rev() {
                if let Some(&weight) = weights.next() {
                    matrix.set(place * stride + output, input, weight);
                }
            }
        }
    }
    matrix
}

/// Calls `f` with the place of each weight `[Cout, Cin, 3, 3]` of a convolution, and its row and column in the matrix.
fn each_weight(layer: &Layer, mut f: impl FnMut(usize, usize, usize)) {
    let mut i = 0;
    for output in 0..layer.output.channels {
        for input in 0..layer.input.channels {
            for place in 0..KERNEL * KERNEL {
                f(i, place * layer.input.stride + input, output);
                i += 1;
            }
        }
    }
}

/// The same of the linear layer's weights `[out, bins·C]`.
fn each_linear_weight(sizes: &Sizes, mut f: impl FnMut(usize, usize, usize)) {
    let last = sizes.last();
    let mut i = 0;
    for output in 0..sizes.outputs {
        for bin in 0..last.bins {
            for channel in 0..last.channels {
                f(i, bin * last.stride + channel, output);
                i += 1;
            }
        }
    }
}

pub(super) fn panels(sizes: &Sizes, layer: &Layer) -> Panels {
    Panels::new(sizes.isa, KERNEL * KERNEL * layer.input.stride, layer.output.channels)
}

pub(super) fn linear_panels(sizes: &Sizes) -> Panels {
    Panels::new(sizes.isa, sizes.last().len(), sizes.outputs)
}

/// The gradient of a matrix, which lies as the way forward packs it.
pub(super) struct MatrixGradient {
    pub panels: Panels,
    pub values: Vec<f32>,
}

impl MatrixGradient {
    /// Zeros.
    pub fn new(panels: Panels, pool: &Pool) -> Self {
        let mut values = pool.take(panels.len());
        values.fill(0.0);
        Self { panels, values }
    }

    /// The sum of several, in their order.
    pub fn sum(parts: Vec<Self>, pool: &Pool) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut sum = parts.next()?;
        for part in parts {
            sum.values.iter_mut().zip(&part.values).for_each(|(sum, value)| *sum += value);
            pool.give([part.values]);
        }
        Some(sum)
    }
}

/// Gradients of all weights.
pub(super) struct Gradients {
    /// Of each layer: of the kernel, of the norm's weight and of its bias.
    pub layers: Vec<(MatrixGradient, Vec<f32>, Vec<f32>)>,
    pub linear: MatrixGradient,
    pub linear_bias: Vec<f32>,
}

impl Gradients {
    /// In the order of the flat weights.
    pub fn flat(&self, sizes: &Sizes) -> Vec<f32> {
        let mut flat = Vec::with_capacity(sizes.num_weights());
        for (layer, (kernel, weight, bias)) in sizes.layers.iter().zip(&self.layers) {
            each_weight(layer, |_, row, column| flat.push(kernel.values[kernel.panels.at(row, column)]));
            flat.extend_from_slice(&weight[..layer.output.channels]);
            flat.extend_from_slice(&bias[..layer.output.channels]);
        }
        let linear = &self.linear;
        each_linear_weight(sizes, |_, row, column| flat.push(linear.values[linear.panels.at(row, column)]));
        flat.extend_from_slice(&self.linear_bias[..sizes.outputs]);
        flat
    }

    pub fn give_back(self, pool: &Pool) {
        pool.give(self.layers.into_iter().map(|(kernel, ..)| kernel.values).chain([self.linear.values]));
    }
}
