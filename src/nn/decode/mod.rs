//! From logits to symbols, one after the other: [`sample`](Sampler::sample) draws the next one, [`BeamSearch`] looks for the
//! likeliest sequence.

mod beam;
mod sampling;

pub use beam::{BeamSearch, Hypothesis};
pub use sampling::Sampler;
