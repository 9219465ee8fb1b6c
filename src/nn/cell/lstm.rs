//! LSTM, as `torch.nn.LSTM` computes it:
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi)      f = σ(W_if x + b_if + W_hf h + b_hf)
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)   o = σ(W_io x + b_io + W_ho h + b_ho)
//! c' = f * c + i * g                        h' = o * tanh(c')
//! ```

use candle_core::{D, Error, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::State;

/// `input` and `recurrent` are the two affine products `[B, 4H]`, gates in the order i, f, g, o.
pub(super) fn step(input: &Tensor, recurrent: &Tensor, state: &State) -> Result<State> {
    let c = state.c.as_ref().ok_or_else(|| Error::Msg("an LSTM needs a memory cell in its state".into()))?;
    let gates = (input + recurrent)?.chunk(4, D::Minus1)?;
    let (i, f, g, o) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?, gates[2].tanh()?, sigmoid(&gates[3])?);
    let c = ((f * c)? + (i * g)?)?;
    let h = (o * c.tanh()?)?;
    Ok(State { h, c: Some(c) })
}
