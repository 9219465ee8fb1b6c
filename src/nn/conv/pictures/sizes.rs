//! The sizes of the layers.

use super::super::grid::{Grid, KERNEL};
use crate::nn::kernels::{Isa, Places, Taps};

/// One convolution: 3x3, padding 1, stride 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layer {
    pub input: Grid,
    pub output: Grid,
}

pub(super) const STRIDE: usize = 2;

impl Layer {
    /// Where the rows of the operand are: each reads three lines of three pixels.
    pub fn patches(&self) -> (Places, Taps) {
        let Grid { stride, .. } = self.input;
        let places = Places {
            lines: self.output.height,
            line: STRIDE * self.input.line(),
            rows: self.output.width,
            stride: STRIDE * stride,
        };
        (places, Taps { count: KERNEL, stride: self.input.line(), depth: KERNEL * stride })
    }

    /// Row of the packed matrix for a place of the kernel and a channel of the input.
    pub fn row(&self, (ky, kx): (usize, usize), channel: usize) -> usize {
        (ky * KERNEL + kx) * self.input.stride + channel
    }
}

/// The sizes of a front end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sizes {
    pub isa: Isa,
    pub layers: Vec<Layer>,
    /// Units of the linear layer.
    pub outputs: usize,
}

impl Sizes {
    pub fn new(isa: Isa, planes: (usize, usize, usize), channels: &[usize], outputs: usize) -> Self {
        let (input_channels, height, width) = planes;
        let mut input = Grid { channels: input_channels, height, width, stride: input_channels };
        let layers = channels.iter().map(|&channels| {
            let (height, width) = (input.height.div_ceil(STRIDE), input.width.div_ceil(STRIDE));
            let stride = channels.next_multiple_of(isa.lanes());
            let output = Grid { channels, height, width, stride };
            Layer { input: std::mem::replace(&mut input, output), output }
        });
        let layers = layers.collect();
        Self { isa, layers, outputs }
    }

    pub fn input(&self) -> Grid {
        self.layers[0].input
    }

    /// What the linear layer reads.
    pub fn last(&self) -> Grid {
        self.layers[self.layers.len() - 1].output
    }

    /// Units of the linear layer, filled up to whole vectors.
    pub fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(self.isa.lanes())
    }

    /// Weights, one after the other: of each layer weight and bias, then those of the linear layer.
    pub fn num_weights(&self) -> usize {
        let layers = self
            .layers
            .iter()
            .map(|layer| layer.output.channels * (layer.input.channels * KERNEL * KERNEL + 1));
        layers.sum::<usize>() + self.outputs * (self.last().values() + 1)
    }
}
