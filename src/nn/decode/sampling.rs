//! Drawing a symbol.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, ErrorKind, Result};

/// Draws symbols by their logits; the same seed draws the same.
///
/// ```text
/// p_k = exp(z_k / temperature) / Σ_j exp(z_j / temperature)      over the top_k largest z
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f32,
    top_k: Option<usize>,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// `temperature` 1 draws by the network's own probabilities, less makes the likely likelier, and 0 always takes the
    /// likeliest. `top_k` is how many of the likeliest symbols can be drawn, all without it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a temperature below 0 or not finite, and for a `top_k` of 0.
    pub fn new(temperature: f32, top_k: Option<usize>, seed: u64) -> Result<Self> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if !(temperature.is_finite() && temperature >= 0.0) {
            return wrong(format!("temperature is {temperature}; it must be a number from 0"));
        }
        if top_k == Some(0) {
            return wrong("top_k is 0; at least one symbol must be left to draw".into());
        }
        Ok(Self { temperature, top_k, rng: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The place of the symbol that is drawn; of several that are equally likely the first ones are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] for logits that are not numbers, or none.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            let message = "logits are missing or no numbers; the network has not learned, or unlearned it";
            return Err(Error::new(ErrorKind::Training, message));
        }
        let mut symbols: Vec<usize> = (0..logits.len()).collect();
        symbols.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        symbols.truncate(self.top_k.unwrap_or(logits.len()));
        let largest = logits[symbols[0]];
        if self.temperature == 0.0 || largest == f32::NEG_INFINITY {
            return Ok(symbols[0] as u32);
        }

        // What is drawn from is at most 1 each: nothing overflows, however low the temperature.
        let shares: Vec<f64> = symbols
            .iter()
            .map(|&k| (f64::from(logits[k] - largest) / f64::from(self.temperature)).exp())
            .collect();
        let mut left = self.rng.random::<f64>() * shares.iter().sum::<f64>();
        for (&symbol, share) in symbols.iter().zip(&shares) {
            left -= share;
            if left < 0.0 {
                return Ok(symbol as u32);
            }
        }
        Ok(symbols[0] as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.5, 2.0, -1.0, 1.0];

    /// How often each symbol is drawn.
    fn frequencies(temperature: f32, top_k: Option<usize>) -> [f64; 4] {
        const DRAWS: usize = 40_000;
        let mut sampler = Sampler::new(temperature, top_k, 7).unwrap();
        let mut counts = [0.0; 4];
        for _ in 0..DRAWS {
            counts[sampler.sample(&LOGITS).unwrap() as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    fn close(actual: [f64; 4], expected: [f64; 4]) {
        assert!(actual.iter().zip(expected).all(|(a, e)| (a - e).abs() < 0.01), "{actual:?} {expected:?}");
    }

    #[test]
    fn frequencies_are_the_probabilities() {
        // z = torch.tensor([0.5, 2.0, -1.0, 1.0])
        // z.softmax(0), (z / 0.5).softmax(0), (z / 2).softmax(0)
        close(frequencies(1.0, None), [0.1360, 0.6095, 0.0303, 0.2242]);
        close(frequencies(0.5, None), [0.0419, 0.8420, 0.0021, 0.1140]);
        close(frequencies(2.0, None), [0.2052, 0.4344, 0.0969, 0.2635]);
        // torch.where(z >= z.topk(2).values[-1], z, -torch.inf).softmax(0)
        close(frequencies(1.0, Some(2)), [0.0, 0.7311, 0.0, 0.2689]);
        close(frequencies(1.0, Some(9)), [0.1360, 0.6095, 0.0303, 0.2242]);
    }

    #[test]
    fn no_temperature_and_one_symbol_take_the_likeliest() {
        assert_eq!(frequencies(0.0, None), frequencies(1.0, Some(1)));
        assert_eq!(Sampler::new(1e-30, None, 0).unwrap().sample(&LOGITS).unwrap(), 1);
        let impossible = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        let mut sampler = Sampler::new(5.0, None, 0).unwrap();
        assert!((0..1000).all(|_| sampler.sample(&impossible).unwrap() == 1));
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_one_something_else() {
        let drawn = |seed| {
            let mut sampler = Sampler::new(1.0, None, seed).unwrap();
            (0..50).map(|_| sampler.sample(&LOGITS).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn settings_and_logits_that_mean_nothing_are_refused() {
        for temperature in [-1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(Sampler::new(temperature, None, 0).unwrap_err().kind, ErrorKind::Config);
        }
        assert_eq!(Sampler::new(1.0, Some(0), 0).unwrap_err().kind, ErrorKind::Config);
        let mut sampler = Sampler::new(1.0, None, 0).unwrap();
        for logits in [&[][..], &[0.0, f32::NAN], &[f32::INFINITY]] {
            assert_eq!(sampler.sample(logits).unwrap_err().kind, ErrorKind::Training);
        }
    }
}
