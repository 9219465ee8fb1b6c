//! The plain form, in candle tensors that candle differentiates.

use candle_core::{IndexOp, Result, Tensor};

use super::super::grid::KERNEL;
use super::pass::EPSILON;

/// `x [B, C, T, F]` with `weight [Cout, C, 3, 3]` -> `[B, Cout, T, F]`: stride 1, padding 1, no bias. Not candle's `conv2d`,
/// whose way back fails for planes that are not square (0.11.1).
pub(super) fn convolve(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, channels, frames, bins) = x.dims4()?;
    let rows = batch * frames * bins;
    let x = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
    let mut sum: Option<Tensor> = None;
    for ky in 0..KERNEL {
        for kx in 0..KERNEL {
            let met = x.narrow(2, ky, frames)?.narrow(3, kx, bins)?;
            let met = met.permute((0, 2, 3, 1))?.reshape((rows, channels))?;
            let part = met.matmul(&weight.i((.., .., ky, kx))?.t()?.contiguous()?)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
    }
    let Some(sum) = sum else { candle_core::bail!("a kernel has rows") };
    sum.reshape((batch, frames, bins, weight.dim(0)?))?.permute((0, 3, 1, 2))?.contiguous()
}

/// Mean and biased variance by channel of `x [B, C, T, F]`.
pub(super) fn moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let all = x.permute((1, 0, 2, 3))?.flatten_from(1)?;
    let mean = all.mean(1)?;
    let variance = all.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(1)?;
    Ok((mean, variance))
}

/// `weight · (x - mean) / sqrt(variance + ε) + bias`, by channel.
pub(super) fn normalize(
    x: &Tensor,
    (mean, variance): (&Tensor, &Tensor),
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let by_channel = |values: &Tensor| values.reshape((1, values.elem_count(), 1, 1));
    let scale = (weight / (variance + EPSILON)?.sqrt()?)?;
    x.broadcast_sub(&by_channel(mean)?)?
        .broadcast_mul(&by_channel(&scale)?)?
        .broadcast_add(&by_channel(bias)?)
}

/// The largest of each window of `x [B, C, T, F]`, none of it below 0; the last windows may be cut off.
pub(super) fn pool(x: &Tensor, [lines, rows]: [usize; 2]) -> Result<Tensor> {
    let (batch, channels, frames, bins) = x.dims4()?;
    let (t, f) = (frames.div_ceil(lines), bins.div_ceil(rows));
    // Zeros change nothing behind max(0, ·).
    let x = x.relu()?.pad_with_zeros(2, 0, t * lines - frames)?.pad_with_zeros(3, 0, f * rows - bins)?;
    let windows = x.reshape((batch * channels, t, lines, f, rows))?.permute((0, 1, 3, 2, 4))?;
    windows.contiguous()?.flatten_from(3)?.max(3)?.reshape((batch, channels, t, f))
}
