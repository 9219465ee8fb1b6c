//! Layers of image networks, for inference: convolutions with their batch normalisation folded in.

use candle_core::{Device, Result, Tensor};

/// A convolution over all channels.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    /// `[out, in, kernel, kernel]`
    pub weight: Tensor,
    /// `[1, out, 1, 1]`
    pub bias: Tensor,
    pub stride: usize,
}

impl Convolution {
    /// `[1, in, H, W]` -> `[1, out, H / stride, W / stride]`, rounded up: padded with zeros by half the kernel.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (out, inputs, kernel, _) = self.weight.dims4()?;
        let y = if kernel == 1 && self.stride == 1 {
            // A product of matrices, without the copy that a convolution makes.
            let (_, _, height, width) = x.dims4()?;
            let x = x.reshape((inputs, height * width))?;
            self.weight.reshape((out, inputs))?.matmul(&x)?.reshape((1, out, height, width))?
        } else {
            x.conv2d(&self.weight, kernel / 2, self.stride, 1, 1)?
        };
        y.broadcast_add(&self.bias)
    }
}

/// A convolution of each channel with a filter of its own, 3 x 3, followed by ReLU6. (candle's grouped convolution is many
/// small ones, and slow.)
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    /// `[channels, 3, 3]`
    pub weight: Vec<f32>,
    /// `[channels]`
    pub bias: Vec<f32>,
    pub stride: usize,
}

impl Depthwise {
    /// `[1, channels, H, W]` -> `[1, channels, H / stride, W / stride]`, rounded up: padded with one zero.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let (down, across) = (height.div_ceil(self.stride), width.div_ceil(self.stride));
        let x = x.flatten_all()?.to_vec1::<f32>()?;
        let mut out = vec![0.0; channels * down * across];
        let mut padded = vec![0.0; (height + 2) * (width + 2)];
        for (c, out) in out.chunks_exact_mut(down * across).enumerate() {
            for (row, from) in x[c * height * width..][..height * width].chunks_exact(width).enumerate() {
                padded[(row + 1) * (width + 2) + 1..][..width].copy_from_slice(from);
            }
            out.fill(self.bias[c]);
            for (row, out) in out.chunks_exact_mut(across).enumerate() {
                for (tap, weight) in self.weight[9 * c..9 * c + 9].iter().enumerate() {
                    let from = &padded[(row * self.stride + tap / 3) * (width + 2) + tap % 3..];
                    match self.stride {
                        // Neighbours, which the compiler turns into vector instructions.
                        1 => add(weight, from.iter(), out),
                        stride => add(weight, from.iter().step_by(stride), out),
                    }
                }
                out.iter_mut().for_each(|y| *y = y.clamp(0.0, 6.0));
            }
        }
        Tensor::from_vec(out, (1, channels, down, across), &Device::Cpu)
    }
}

fn add<'a>(weight: &f32, from: impl Iterator<Item = &'a f32>, out: &mut [f32]) {
    for (y, x) in out.iter_mut().zip(from) {
        *y += weight * x;
    }
}

/// The largest of each 3 x 3, every second one each way, padded by one: `x` must not be negative, so that a zero at the
/// border never wins.
pub(super) fn max_pool(x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?.max_pool2d_with_stride(3, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depthwise_equals_candles_grouped_convolution() {
        for (stride, height, width) in [(1, 7, 5), (2, 7, 5), (2, 6, 8), (1, 1, 1), (2, 1, 2)] {
            let x = Tensor::randn(0_f32, 1.0, (1, 4, height, width), &Device::Cpu).unwrap();
            let weight = Tensor::randn(0_f32, 1.0, (4, 1, 3, 3), &Device::Cpu).unwrap();
            let expected = x.conv2d(&weight, 1, stride, 1, 4).unwrap().clamp(0_f32, 6_f32).unwrap();
            let weight = weight.flatten_all().unwrap().to_vec1().unwrap();
            let y = Depthwise { weight, bias: vec![0.0; 4], stride }.forward(&x).unwrap();
            assert_eq!(y.dims(), expected.dims());
            let largest =
                (y - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(largest < 1e-5, "{largest}");
        }
    }
}
