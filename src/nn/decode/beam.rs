//! Looking for the likeliest sequence.

use crate::{Error, ErrorKind, Result};

/// Beam search: at every step the `width` likeliest beginnings are kept (Graves 2012; Sutskever et al. 2014).
///
/// A finished sequence of n symbols, its end among them, is compared by its log-probability over a length that is
/// tempered (Wu et al. 2016, eq. 14), as sums of more logarithms are lower:
///
/// ```text
/// score = log p(sequence) / ((5 + n) / 6) ^ length_penalty
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamSearch {
    /// Beginnings that are kept; 1 is the greedy search.
    pub width: usize,
    /// Symbols after which a sequence ends anyway.
    pub max_length: usize,
    /// 0 compares plain log-probabilities; the larger, the longer the sequences. Usually 0.6 to 1.
    pub length_penalty: f32,
    /// The symbol that ends a sequence.
    pub end: u32,
}

/// A sequence that a search has found.
#[derive(Debug, Clone)]
pub struct Hypothesis<S> {
    /// Without the end.
    pub symbols: Vec<u32>,
    /// Natural logarithm of the probability of all symbols, of the end too.
    pub log_probability: f32,
    /// What hypotheses are compared by.
    pub score: f32,
    /// That of the decoder behind the last symbol.
    pub state: S,
}

impl BeamSearch {
    /// The hypotheses that were finished, the best first; at most `width`, at least one.
    ///
    /// `step` takes the last symbol of each beginning with the decoder's state before it, and gives the
    /// log-probabilities of all symbols after it with the state behind it. First it sees `start` and `state` alone.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a width or a length of 0, or a length penalty below 0; [`ErrorKind::Training`] where `step`
    /// gives no numbers; what `step` fails with.
    pub fn search<S: Clone>(
        &self,
        start: u32,
        state: S,
        mut step: impl FnMut(&[u32], &[S]) -> Result<Vec<(Vec<f32>, S)>>,
    ) -> Result<Vec<Hypothesis<S>>> {
        self.check()?;
        let mut beginnings = vec![Hypothesis { symbols: vec![], log_probability: 0.0, score: 0.0, state }];
        let mut finished: Vec<Hypothesis<S>> = Vec::new();
        for length in 1..=self.max_length {
            let last: Vec<u32> = beginnings.iter().map(|b| *b.symbols.last().unwrap_or(&start)).collect();
            let states: Vec<S> = beginnings.iter().map(|b| b.state.clone()).collect();
            let next = step(&last, &states)?;
            let mut left = Vec::with_capacity(self.width);
            for (log_probability, from, symbol) in self.likeliest(&beginnings, &next)? {
                let mut symbols = beginnings[from].symbols.clone();
                let ends = symbol == self.end;
                if !ends {
                    symbols.push(symbol);
                }
                let score = log_probability / self.tempered(length);
                let state = next[from].1.clone();
                let hypothesis = Hypothesis { symbols, log_probability, score, state };
                match ends || length == self.max_length {
                    true => finished.push(hypothesis),
                    false => left.push(hypothesis),
                }
            }
            // In the order in which they came where scores are equal.
            finished.sort_by(|a, b| b.score.total_cmp(&a.score));
            finished.truncate(self.width);
            beginnings = left;
            if beginnings.is_empty() || self.is_settled(&beginnings, &finished) {
                break;
            }
        }
        Ok(finished)
    }

    /// The `width` likeliest continuations: log-probability, whose, and with which symbol.
    fn likeliest<S>(
        &self,
        beginnings: &[Hypothesis<S>],
        next: &[(Vec<f32>, S)],
    ) -> Result<Vec<(f32, usize, u32)>> {
        let mut all = Vec::new();
        for (from, (beginning, (log_probabilities, _))) in beginnings.iter().zip(next).enumerate() {
            for (symbol, log_probability) in log_probabilities.iter().enumerate() {
                let sum = beginning.log_probability + log_probability;
                if sum.is_nan() {
                    let message =
                        "log-probabilities are no numbers; the network has not learned, or unlearned it";
                    return Err(Error::new(ErrorKind::Training, message));
                }
                all.push((sum, from, symbol as u32));
            }
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(self.width);
        Ok(all)
    }

    /// Whether nothing that is not finished can still get among the best: its log-probability only falls, over the
    /// longest length at best.
    fn is_settled<S>(&self, beginnings: &[Hypothesis<S>], finished: &[Hypothesis<S>]) -> bool {
        let Some(worst) = finished.get(self.width - 1) else { return false };
        let best_left = beginnings.iter().map(|b| b.log_probability).fold(f32::NEG_INFINITY, f32::max);
        best_left / self.tempered(self.max_length) <= worst.score
    }

    fn tempered(&self, length: usize) -> f32 {
        ((5.0 + length as f32) / 6.0).powf(self.length_penalty)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.width == 0 || self.max_length == 0 {
            return wrong(format!(
                "a beam of {} over at most {} symbols; both must be at least 1",
                self.width, self.max_length
            ));
        }
        if !(self.length_penalty.is_finite() && self.length_penalty >= 0.0) {
            return wrong(format!("length_penalty is {}; it must be a number from 0", self.length_penalty));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SYMBOLS: usize = 4;
    const END: u32 = 3;
    const MAX_LENGTH: usize = 4;

    /// Log-probabilities after each prefix, of some language that a seed makes.
    fn language(seed: u64, prefix: &[u32]) -> Vec<f32> {
        let place = prefix.iter().fold(1u64, |place, &symbol| place * 7 + u64::from(symbol) + 1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 1_000_003 + place);
        let shares: Vec<f32> = (0..SYMBOLS).map(|_| rng.random_range(0.05..1.0)).collect();
        let sum: f32 = shares.iter().sum();
        shares.iter().map(|share| (share / sum).ln()).collect()
    }

    /// The state is all that was read, the start before it.
    fn search(beam: BeamSearch, seed: u64) -> Vec<Hypothesis<Vec<u32>>> {
        let step = |last: &[u32], states: &[Vec<u32>]| {
            let each = last.iter().zip(states).map(|(&symbol, before)| {
                let read = [before.as_slice(), &[symbol]].concat();
                (language(seed, &read[1..]), read)
            });
            Ok(each.collect())
        };
        beam.search(9, Vec::new(), step).unwrap()
    }

    /// Every sequence there is, with its score.
    fn all(seed: u64, length_penalty: f32) -> Vec<(Vec<u32>, f32)> {
        let (mut open, mut done) = (vec![(Vec::new(), 0f32)], Vec::new());
        for length in 1..=MAX_LENGTH {
            let tempered = ((5.0 + length as f32) / 6.0).powf(length_penalty);
            let mut next = Vec::new();
            for (prefix, sum) in open {
                for (symbol, log_probability) in language(seed, &prefix).into_iter().enumerate() {
                    let (mut longer, sum): (Vec<u32>, f32) = (prefix.clone(), sum + log_probability);
                    if symbol as u32 != END {
                        longer.push(symbol as u32);
                    }
                    match symbol as u32 == END || length == MAX_LENGTH {
                        true => done.push((longer, sum / tempered)),
                        false => next.push((longer, sum)),
                    }
                }
            }
            open = next;
        }
        done.sort_by(|a, b| b.1.total_cmp(&a.1));
        done
    }

    fn beam(width: usize, length_penalty: f32) -> BeamSearch {
        BeamSearch { width, max_length: MAX_LENGTH, length_penalty, end: END }
    }

    #[test]
    fn a_beam_that_holds_everything_finds_what_an_exhaustive_search_finds() {
        for seed in 0..20 {
            for length_penalty in [0.0, 0.6, 2.0] {
                let expected = all(seed, length_penalty);
                let found = search(beam(256, length_penalty), seed);
                // A sequence of the greatest length may end or be cut: both are found.
                assert_eq!(found.len(), expected.len());
                for (found, (symbols, score)) in found.iter().zip(&expected).take(10) {
                    assert_eq!(&found.symbols, symbols, "seed {seed}, {length_penalty}");
                    assert!((found.score - score).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_wider_beam_finds_what_a_greedy_search_misses() {
        let best = |seed| all(seed, 0.0)[0].0.clone();
        let finds =
            |width| (0..50).filter(|&seed| search(beam(width, 0.0), seed)[0].symbols == best(seed)).count();
        let (greedy, wide) = (finds(1), finds(8));
        assert!(greedy < 40 && wide >= 48, "{greedy} {wide}");
    }

    #[test]
    fn a_length_penalty_makes_sequences_longer() {
        let length =
            |penalty| (0..50).map(|seed| search(beam(64, penalty), seed)[0].symbols.len()).sum::<usize>();
        assert!(length(0.0) < length(0.8) && length(0.8) < length(3.0));
    }

    #[test]
    fn a_width_of_1_takes_the_likeliest_symbol_each_time_and_keeps_the_state() {
        let found = search(beam(1, 0.0), 5);
        let mut symbols = Vec::new();
        let mut read = vec![9];
        loop {
            let next = language(5, &symbols);
            let symbol = (0..SYMBOLS).max_by(|&a, &b| next[a].total_cmp(&next[b])).unwrap() as u32;
            if symbol == END {
                break;
            }
            symbols.push(symbol);
            if symbols.len() == MAX_LENGTH {
                break;
            }
            read.push(symbol);
        }
        assert_eq!((found.len(), &found[0].symbols, &found[0].state), (1, &symbols, &read));
    }

    #[test]
    fn settings_and_steps_that_mean_nothing_are_refused() {
        let step = |_: &[u32], _: &[()]| Ok(vec![(vec![f32::NAN; 2], ())]);
        for (bad, kind) in [
            (BeamSearch { width: 0, ..beam(1, 0.0) }, ErrorKind::Config),
            (BeamSearch { max_length: 0, ..beam(1, 0.0) }, ErrorKind::Config),
            (BeamSearch { length_penalty: -1.0, ..beam(1, 0.0) }, ErrorKind::Config),
            (beam(1, 0.0), ErrorKind::Training),
        ] {
            assert_eq!(bad.search(0, (), step).unwrap_err().kind, kind, "{bad:?}");
        }
    }
}
