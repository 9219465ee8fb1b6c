//! The sizes of the layers.

use super::super::grid::{Grid, KERNEL};
use crate::nn::kernels::{Isa, Places, Taps};

/// The bins of one frame with their channels side by side, `[bins, stride]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bins {
    pub channels: usize,
    pub bins: usize,
    /// Values from bin to bin: the channels, and zeros that fill them up.
    pub stride: usize,
}

impl Bins {
    /// So many frames with a border around them, as a convolution reads them.
    pub fn grid(&self, frames: usize) -> Grid {
        Grid { channels: self.channels, height: frames, width: self.bins, stride: self.stride }
    }

    /// Values of a frame without a border.
    pub fn len(&self) -> usize {
        self.bins * self.stride
    }

    /// So many frames one after the other, without a border.
    pub fn pixels(&self, frames: usize) -> Places {
        Places { lines: frames, line: self.len(), rows: self.bins, stride: self.stride }
    }

    /// So many frames as rows of a linear layer.
    pub fn rows(&self, frames: usize) -> Places {
        Places { lines: 1, line: 0, rows: frames, stride: self.len() }
    }
}

/// One convolution 3x3 with stride 1 and padding 1, and the pooling behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layer {
    pub input: Bins,
    /// Before pooling.
    pub output: Bins,
    /// Frames and bins of a window.
    pub pool: [usize; 2],
}

impl Layer {
    /// Where the rows of the operand are in so many frames with their border: each reads three lines of three pixels.
    pub fn patches(&self, frames: usize) -> (Places, Taps) {
        patches(self.input, frames)
    }

    /// The same of the way back, where the gradient of the output, with a border, is read.
    pub fn patches_back(&self, frames: usize) -> (Places, Taps) {
        patches(self.output, frames)
    }

    pub fn pooled_frames(&self, frames: usize) -> usize {
        frames.div_ceil(self.pool[0])
    }

    /// What pooling gives of a frame.
    pub fn pooled(&self) -> Bins {
        Bins { bins: self.output.bins.div_ceil(self.pool[1]), ..self.output }
    }

    /// Weights of the kernel, `Cout·Cin·3·3`.
    pub fn num_weights(&self) -> usize {
        self.output.channels * self.input.channels * KERNEL * KERNEL
    }
}

fn patches(bins: Bins, frames: usize) -> (Places, Taps) {
    let line = bins.grid(frames).line();
    let places = Places { lines: frames, line, rows: bins.bins, stride: bins.stride };
    (places, Taps { count: KERNEL, stride: line, depth: KERNEL * bins.stride })
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
    /// For frames of `channels` times `bins` numbers. There are as many pools as channels of layers.
    pub fn new(
        isa: Isa,
        (channels, bins): (usize, usize),
        layers: impl IntoIterator<Item = (usize, [usize; 2])>,
        outputs: usize,
    ) -> Self {
        let mut input = Bins { channels, bins, stride: channels };
        let layers = layers.into_iter().map(|(channels, pool)| {
            let output = Bins { channels, bins: input.bins, stride: channels.next_multiple_of(isa.lanes()) };
            let layer = Layer { input, output, pool };
            input = layer.pooled();
            layer
        });
        let layers = layers.collect();
        Self { isa, layers, outputs }
    }

    /// The same for other vectors.
    pub fn with(&self, isa: Isa) -> Self {
        let layers = self.layers.iter().map(|layer| (layer.output.channels, layer.pool));
        Self::new(isa, (self.input().channels, self.input().bins), layers, self.outputs)
    }

    pub fn input(&self) -> Bins {
        self.layers[0].input
    }

    /// Numbers of a frame as it comes in.
    pub fn width(&self) -> usize {
        self.input().channels * self.input().bins
    }

    /// What the linear layer reads.
    pub fn last(&self) -> Bins {
        self.layers[self.layers.len() - 1].pooled()
    }

    /// Units of the linear layer, filled up to whole vectors.
    pub fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(self.isa.lanes())
    }

    /// Frames that come out of so many.
    pub fn pooled_frames(&self, frames: usize) -> usize {
        self.layers.iter().fold(frames, |frames, layer| layer.pooled_frames(frames))
    }

    /// Frames that become one.
    pub fn time_pool(&self) -> usize {
        self.layers.iter().map(|layer| layer.pool[0]).product()
    }

    /// Frames before and behind a frame that change what comes out of it, in frames that come out.
    pub fn context(&self) -> usize {
        let mut reach = 0;
        let mut pool = 1;
        for layer in &self.layers {
            reach += pool;
            pool *= layer.pool[0];
        }
        reach.div_ceil(pool)
    }

    /// Trained weights, one after the other: of each layer kernel, norm weight and norm bias, then those of the linear
    /// layer.
    pub fn num_weights(&self) -> usize {
        let layers = self.layers.iter().map(|layer| layer.num_weights() + 2 * layer.output.channels);
        layers.sum::<usize>() + self.outputs * (self.last().bins * self.last().channels + 1)
    }

    /// Values of a frame in the widest layer.
    pub fn widest(&self) -> usize {
        self.layers.iter().map(|layer| layer.output.len()).max().unwrap_or(1).max(1)
    }

    /// Numbers an input frame that training keeps for the way back, and those of the largest layer, which it holds on the
    /// way.
    pub fn values_kept(&self) -> usize {
        let (mut kept, mut largest, mut pool) = (0, 0, 1);
        for layer in &self.layers {
            let output = layer.output.len().div_ceil(pool);
            kept += (layer.input.bins + 2) * layer.input.stride / pool + output;
            largest = largest.max(output);
            pool *= layer.pool[0];
        }
        kept + (self.last().len() + self.outputs) / pool + 2 * largest
    }
}
