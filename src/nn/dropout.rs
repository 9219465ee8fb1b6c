//! Dropout with a random state of our own, so that one seed gives one training run.

use candle_core::{Result, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// For `count` elements 0 with probability `p`, where one is dropped, else 1.
pub(super) fn keep(count: usize, p: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
    (0..count).map(|_| u8::from(rng.random::<f32>() >= p)).collect()
}

/// Zeroes each element with probability `p` and scales the rest by `1 / (1 - p)` (Srivastava et al. 2014).
pub(super) fn dropout(x: &Tensor, p: f32, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    if p == 0.0 {
        return Ok(x.clone());
    }
    let scale = 1.0 / (1.0 - p);
    let mask: Vec<f32> =
        keep(x.elem_count(), p, rng).into_iter().map(|keep| scale * f32::from(keep)).collect();
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?)
}
