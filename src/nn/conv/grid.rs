//! Planes in memory as the convolutions read them.

use crate::nn::kernels::{Places, Taps};

/// Planes of one frame with their channels side by side, `[height + 2, width + 2, stride]`: a border of zeros around
/// them is the convolutions' padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Values from pixel to pixel: the channels, and zeros that fill them up.
    pub stride: usize,
}

impl Grid {
    /// Values of a frame with its border.
    pub fn len(&self) -> usize {
        (self.height + 2) * self.line()
    }

    /// Values from line to line.
    pub fn line(&self) -> usize {
        (self.width + 2) * self.stride
    }

    /// Place of a pixel.
    pub fn at(&self, y: usize, x: usize) -> usize {
        (y + 1) * self.line() + (x + 1) * self.stride
    }

    /// All pixels, from `at(0, 0)` on.
    pub fn pixels(&self) -> Places {
        Places { lines: self.height, line: self.line(), rows: self.width, stride: self.stride }
    }

    /// Pixels without those of the border, as rows of a line each: what a linear layer reads, from `at(0, 0)` on.
    pub fn inside(&self) -> Taps {
        Taps { count: self.height, stride: self.line(), depth: self.width * self.stride }
    }

    /// Values of all planes.
    pub fn values(&self) -> usize {
        self.channels * self.height * self.width
    }

    pub fn clear_border(&self, frame: &mut [f32]) {
        let (line, stride) = (self.line(), self.stride);
        for (y, values) in frame.chunks_exact_mut(line).enumerate() {
            if y == 0 || y > self.height {
                values.fill(0.0);
            } else {
                values[..stride].fill(0.0);
                values[line - stride..].fill(0.0);
            }
        }
    }

    /// Takes planes `[channels, height, width]`, for a grid whose pixels have nothing else.
    pub fn read(&self, planes: &[f32], frame: &mut [f32]) {
        self.clear_border(frame);
        for (channel, plane) in planes.chunks_exact(self.height * self.width).enumerate() {
            for (y, row) in plane.chunks_exact(self.width).enumerate() {
                let pixels = frame[self.at(y, 0) + channel..].iter_mut().step_by(self.stride);
                pixels.zip(row).for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// Gives the planes.
    pub fn write(&self, frame: &[f32], planes: &mut [f32]) {
        for (channel, plane) in planes.chunks_exact_mut(self.height * self.width).enumerate() {
            for (y, row) in plane.chunks_exact_mut(self.width).enumerate() {
                let pixels = frame[self.at(y, 0) + channel..].iter().step_by(self.stride);
                row.iter_mut().zip(pixels).for_each(|(to, &value)| *to = value);
            }
        }
    }
}

/// Rows and columns of a kernel.
pub(super) const KERNEL: usize = 3;
