//! GRU with the reset gate after the recurrent product, as `torch.nn.GRU` computes it:
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
//! h' = (1 - z) * n + z * h
//! ```

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::State;

/// `input` and `recurrent` are the two affine products `[B, 3H]`, gates in the order r, z, n.
pub(super) fn step(input: &Tensor, recurrent: &Tensor, state: &State) -> Result<State> {
    let (x, a) = (input.chunk(3, D::Minus1)?, recurrent.chunk(3, D::Minus1)?);
    let r = sigmoid(&(&x[0] + &a[0])?)?;
    let z = sigmoid(&(&x[1] + &a[1])?)?;
    let n = (&x[2] + (r * &a[2])?)?.tanh()?;
    // (1 - z) * n + z * h, with one product less.
    let h = (&n + (z * (&state.h - &n)?)?)?;
    Ok(State { h, c: None })
}
