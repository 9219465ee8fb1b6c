//! Logits -> decisions: scores, the labels with the highest ones, and events.

pub mod calibration;
mod exclusive;
mod onsets;
mod rule;
mod run;
mod smooth;
mod thresholds;
mod viterbi;

pub use rule::{Decisions, EventStream, Exclusive, Onsets, Rule, Thresholds, Tuned};
pub use run::FrameEvent;
use run::Run;
pub use viterbi::Transition;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One label and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    pub label: String,
    /// 0 to 1. With softmax the scores of all labels add up to 1; with sigmoid each stands for itself.
    pub score: f32,
}

/// Logits `[K]` -> probabilities `[K]` that add up to 1, `exp(x_k) / Σ_j exp(x_j)`. The largest logit is
/// subtracted first, so that no logit is too large for `exp`.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = logits.iter().map(|&x| f64::from(x - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| (e / sum) as f32).collect()
}

/// Logits `[K]` -> independent probabilities `[K]`, `1 / (1 + exp(-x_k))`.
pub fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|&x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32).collect()
}

/// The `k` highest of `scores [K]` with their `labels`, best first; equal scores stay in the order of the
/// labels. Fewer than `k` labels give them all.
pub fn top_k(scores: &[f32], labels: &[String], k: usize) -> Vec<Prediction> {
    let mut ranked: Vec<(f32, &String)> = scores.iter().copied().zip(labels).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().take(k).map(|(score, label)| Prediction { label: label.clone(), score }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    // from scipy.special import softmax, expit   (scipy 1.17.1)
    // print(softmax([1., 2., -0.5, 0.5]).tolist(), expit([-800., -1.25, 0., 3.5, 800.]).tolist())
    #[test]
    fn softmax_and_sigmoid_equal_scipy() {
        let expected = [0.21987964, 0.597_694_8, 0.04906178, 0.13336374];
        for (got, want) in softmax(&[1.0, 2.0, -0.5, 0.5]).iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        let expected = [0.0, 0.22270014, 0.5, 0.97068775, 1.0];
        for (got, want) in sigmoid(&[-800.0, -1.25, 0.0, 3.5, 800.0]).iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        assert_eq!(softmax(&[1e30, -1e30, 0.0]), [1.0, 0.0, 0.0]);
        assert_eq!(softmax(&[f32::MAX, f32::MAX]), [0.5, 0.5]);
    }

    #[test]
    fn the_best_label_comes_first_and_equal_scores_keep_the_order_of_the_labels() {
        let ranked = top_k(&[0.1, 0.4, 0.1, 0.4], &labels(&["a", "b", "c", "d"]), 3);
        let names: Vec<_> = ranked.iter().map(|p| p.label.as_str()).collect();
        assert_eq!(names, ["b", "d", "a"]);
    }

    #[test]
    fn asking_for_more_than_there_is_gives_all() {
        assert_eq!(top_k(&[0.25, 0.75], &labels(&["a", "b"]), 99).len(), 2);
    }
}
