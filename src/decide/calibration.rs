//! Whether a score of 0.9 is right nine times in ten.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::output::percent::percent;

/// The temperatures that are looked at: scores cannot be flattened or sharpened any further.
pub const TEMPERATURE_RANGE: (f64, f64) = (0.05, 20.0);

const BINS: usize = 10;

/// What is true of frames.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// The label of each frame, `[N]`.
    Exclusive(&'a [usize]),
    /// Whether each label holds, `[N, K]`.
    Several(&'a [bool]),
}

/// The temperature `T` for which `softmax(logits / T)` or `sigmoid(logits / T)` gives the truth the highest likelihood (Guo
/// et al. 2017), within [`TEMPERATURE_RANGE`]; 1 where there are no frames. `logits [N, K]`.
///
/// The negative log likelihood is convex in `1 / T`: golden section search finds its minimum.
pub fn temperature(logits: &[f32], num_labels: usize, targets: Targets) -> f64 {
    if logits.is_empty() {
        return 1.0;
    }
    let loss = |ln_t: f64| negative_log_likelihood(logits, num_labels, targets, (-ln_t).exp());
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (TEMPERATURE_RANGE.0.ln(), TEMPERATURE_RANGE.1.ln());
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    while high - low > 1e-5 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = loss(b);
        }
    }
    (0.5 * (low + high)).exp()
}

/// Of logits that are multiplied by `scale`, in nats.
fn negative_log_likelihood(logits: &[f32], num_labels: usize, targets: Targets, scale: f64) -> f64 {
    match targets {
        Targets::Exclusive(labels) => {
            let each = logits.chunks_exact(num_labels).zip(labels).map(|(row, &label)| {
                let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = row.iter().map(|&x| (scale * f64::from(x - max)).exp()).sum();
                sum.ln() - scale * f64::from(row[label] - max)
            });
            each.sum()
        }
        Targets::Several(holds) => {
            let each = logits.iter().zip(holds).map(|(&x, &holds)| {
                let x = scale * f64::from(if holds { -x } else { x });
                // ln(1 + e^x) without overflow.
                x.max(0.0) + (-x.abs()).exp().ln_1p()
            });
            each.sum()
        }
    }
}

/// Scores beside how often they were right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reliability {
    /// Ten equal ranges of the score.
    pub bins: Vec<ReliabilityBin>,
    /// Mean distance of score and share, weighted by count (Naeini et al. 2015); null without scores.
    pub expected_calibration_error: Option<f64>,
}

/// The scores in one range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReliabilityBin {
    /// Scores from here
    pub lower: f64,
    /// to below here; the last range has its end.
    pub upper: f64,
    pub count: u64,
    /// Null where there is none.
    pub mean_score: Option<f64>,
    /// Of them the share that was right.
    pub share_right: Option<f64>,
}

impl Reliability {
    /// Of pairs of a score, 0 to 1, and whether what it is about was true.
    pub fn new(scores: impl IntoIterator<Item = (f32, bool)>) -> Self {
        let mut bins = [(0u64, 0f64, 0u64); BINS];
        for (score, right) in scores {
            let bin = &mut bins[((score * BINS as f32) as usize).min(BINS - 1)];
            bin.0 += 1;
            bin.1 += f64::from(score);
            bin.2 += u64::from(right);
        }
        let total: u64 = bins.iter().map(|bin| bin.0).sum();
        let distance: f64 = bins.iter().map(|&(_, sum, right)| (sum - right as f64).abs()).sum();
        let bin = |(i, &(count, sum, right)): (usize, &(u64, f64, u64))| ReliabilityBin {
            lower: i as f64 / BINS as f64,
            upper: (i + 1) as f64 / BINS as f64,
            count,
            mean_score: (count > 0).then(|| sum / count as f64),
            share_right: (count > 0).then(|| right as f64 / count as f64),
        };
        Self {
            bins: bins.iter().enumerate().map(bin).collect(),
            expected_calibration_error: (total > 0).then(|| distance / total as f64),
        }
    }

    /// For people, a line a range that has scores.
    pub fn table(&self) -> String {
        let mut table = format!("{:>11} {:>10} {:>10} {:>10}\n", "score", "mean", "right", "count");
        for bin in self.bins.iter().filter(|bin| bin.count > 0) {
            let range = format!("{:.1} to {:.1}", bin.lower, bin.upper);
            table += &format!(
                "{range:>11} {:>10} {:>10} {:>10}\n",
                percent(bin.mean_score),
                percent(bin.share_right),
                bin.count
            );
        }
        table + &format!("expected calibration error {}\n", percent(self.expected_calibration_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// import numpy as np; from scipy.optimize import minimize_scalar; from scipy.special import log_softmax
    /// x = np.array([((i * 37) % 101) / 10 - 5 for i in range(60)]).reshape(20, 3)
    /// y = np.where(np.arange(20) % 2 == 0, x.argmax(1), np.arange(20) * 7 % 3)
    /// h = (x.ravel() > 0) ^ (np.arange(60) % 5 == 0)
    /// f = lambda u: -log_softmax(x / np.exp(u), 1)[range(20), y].sum()
    /// g = lambda u: np.logaddexp(0, np.where(h, -1, 1) * x.ravel() / np.exp(u)).sum()
    /// for loss in (f, g):
    ///     print(np.exp(minimize_scalar(loss, bounds=np.log((.05, 20)), method="bounded", options={"xatol": 1e-9}).x))
    #[test]
    fn the_temperature_is_that_of_scipy() {
        let logits: Vec<f32> = (0..60).map(|i| ((i * 37) % 101) as f32 / 10.0 - 5.0).collect();
        let labels = [2, 1, 2, 0, 1, 2, 1, 1, 0, 0, 0, 2, 2, 1, 1, 0, 1, 2, 0, 1];
        let found = temperature(&logits, 3, Targets::Exclusive(&labels));
        assert!((found - 3.972_473_865_083).abs() < 1e-3, "{found}");
        let holds: Vec<bool> = logits.iter().enumerate().map(|(i, &x)| (x > 0.0) != (i % 5 == 0)).collect();
        let found = temperature(&logits, 3, Targets::Several(&holds));
        assert!((found - 2.320_072_186_636).abs() < 1e-3, "{found}");
        assert_eq!(temperature(&[], 3, Targets::Several(&[])), 1.0);
    }

    #[test]
    fn scores_are_compared_with_how_often_they_are_right() {
        let scores = [(0.95, true), (0.95, true), (0.95, false), (1.0, true), (0.0, false), (0.25, true)];
        let table = Reliability::new(scores);
        assert_eq!((table.bins[9].count, table.bins[9].share_right), (4, Some(0.75)));
        assert_eq!((table.bins[2].mean_score, table.bins[5].mean_score), (Some(0.25), None));
        // (|3.85 - 3| + |0.25 - 1| + 0) / 6
        assert!((table.expected_calibration_error.unwrap() - 1.6 / 6.0).abs() < 1e-7);
        assert!(table.table().contains("75.0 %          4\n"), "{}", table.table());
        assert_eq!(Reliability::new([]).expected_calibration_error, None);
    }
}
