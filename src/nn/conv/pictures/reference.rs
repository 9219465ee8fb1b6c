//! The plain form of a convolution, in candle tensors that candle differentiates. Not its `conv2d`, whose way back fails for
//! planes that are not square (0.11.1).

use candle_core::{IndexOp, Result, Tensor};

use super::super::grid::KERNEL;
use super::sizes::STRIDE;

/// `x [N, C, H, W]` with `weight [Cout, C, 3, 3]` and `bias [Cout]` -> `[N, Cout, ⌈H/2⌉, ⌈W/2⌉]`, with max(0, ·).
pub(super) fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (frames, channels, height, width) = x.dims4()?;
    let (lines, rows) = (height.div_ceil(STRIDE), width.div_ceil(STRIDE));
    let padding = KERNEL / 2;
    let x = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let every_second = |first: usize, count: usize| {
        let indices = (0..count).map(|i| (first + STRIDE * i) as u32);
        Tensor::from_iter(indices, x.device())
    };
    let mut sum = bias.unsqueeze(0)?.repeat((frames * lines * rows, 1))?;
    for ky in 0..KERNEL {
        for kx in 0..KERNEL {
            // What this place of the kernel meets, [N, C, H', W'] -> [N·H'·W', C].
            let met = x.index_select(&every_second(ky, lines)?, 2)?;
            let met = met.index_select(&every_second(kx, rows)?, 3)?;
            let met = met.permute((0, 2, 3, 1))?.reshape((frames * lines * rows, channels))?;
            sum = (sum + met.matmul(&weight.i((.., .., ky, kx))?.t()?)?)?;
        }
    }
    let planes = sum.relu()?.reshape((frames, lines, rows, weight.dim(0)?))?;
    planes.permute((0, 3, 1, 2))?.contiguous()
}
