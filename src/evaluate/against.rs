//! Two models on the same recordings.

use std::collections::HashMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Counted, Difference, RESAMPLES};
use super::report::EvaluatedModel;
use super::{Measured, TagEvaluation};
use crate::model::Model;

/// Another model on the same recordings, and how sure the difference is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Against {
    pub model: EvaluatedModel,
    pub evaluation: Measured,
    pub comparison: PairedComparison,
}

/// Two models, recording by recording. The first is the one that is evaluated, the other the one of `--against`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PairedComparison {
    /// Of task `classify`.
    Clips(McNemar),
    /// Of task `tag`.
    Frames(PairedBootstrap),
}

/// McNemar's test (1947) in its exact form: of the clips that only one model has right, as many should be the one's as the
/// other's if they were equally good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct McNemar {
    /// That both models could read.
    pub clips: usize,
    pub both_right: usize,
    /// The model is right and the other is not.
    pub only_model_right: usize,
    /// The other is right and the model is not.
    pub only_against_right: usize,
    pub both_wrong: usize,
    /// How often equally good models would differ as much, two-sided.
    pub p_value: f64,
}

/// Differences of figures with what they are on recordings drawn again and again; null where a figure has no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairedBootstrap {
    /// That both models could read.
    pub recordings: usize,
    /// Times that recordings were drawn.
    pub resamples: usize,
    pub frame_accuracy: Option<Difference>,
    pub frame_f1: Option<Difference>,
    pub event_f1: Option<Difference>,
}

impl McNemar {
    /// Of whether each model is right on each clip, in one order.
    pub fn of(right: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = [[0; 2]; 2];
        for (model, against) in right {
            counts[usize::from(model)][usize::from(against)] += 1;
        }
        let [[both_wrong, only_against_right], [only_model_right, both_right]] = counts;
        Self {
            clips: both_wrong + only_against_right + only_model_right + both_right,
            both_right,
            only_model_right,
            only_against_right,
            both_wrong,
            p_value: sign_test(only_model_right, only_against_right),
        }
    }
}

/// Two-sided p-value of `a` heads and `b` tails of a fair coin.
fn sign_test(a: usize, b: usize) -> f64 {
    let (n, fewer) = (a + b, a.min(b));
    // ln of the binomial coefficient over 2^n, from one to the next.
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=fewer {
        tail += log.exp();
        log += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

impl PairedBootstrap {
    /// Of the recordings that both have read.
    pub fn of(model: &TagEvaluation, against: &TagEvaluation) -> Self {
        let other: HashMap<&PathBuf, Counted> = against.counted.iter().map(|(path, c)| (path, *c)).collect();
        let pairs = model.counted.iter().filter_map(|(path, counted)| Some((*counted, *other.get(path)?)));
        let (a, b): (Vec<Counted>, Vec<Counted>) = pairs.unzip();
        let difference = |figure| Difference::of(&a, &b, figure);
        Self {
            recordings: a.len(),
            resamples: RESAMPLES,
            frame_accuracy: difference(Counted::accuracy),
            frame_f1: difference(Counted::frame_f1),
            event_f1: difference(Counted::event_f1),
        }
    }
}

impl Against {
    pub fn new(model: &Model, evaluation: Measured, comparison: PairedComparison) -> Self {
        Self { model: EvaluatedModel::of(model), evaluation, comparison }
    }

    /// What it comes to, a sentence or a few; `name` is the model that this one is compared with.
    pub fn sentence(&self, name: &str) -> String {
        let (a, b) = match name == self.model.name {
            true => ("the model", "the other one"),
            false => (name, self.model.name.as_str()),
        };
        match &self.comparison {
            PairedComparison::Clips(test) => format!(
                "{a} is right where {b} is wrong {} times, {b} where {a} is wrong {}: p = {} (McNemar's exact test, {} \
                 clips)\n",
                test.only_model_right,
                test.only_against_right,
                p_value(test.p_value),
                test.clips
            ),
            PairedComparison::Frames(test) => {
                let figures = [
                    ("frames right", &test.frame_accuracy),
                    ("frame F1", &test.frame_f1),
                    ("event F1", &test.event_f1),
                ];
                let mut text =
                    format!("{a} beside {b}, paired bootstrap over {} recordings:\n", test.recordings);
                for (name, difference) in figures {
                    let Some(d) = difference else { continue };
                    text += &format!(
                        "{name:<12} {:.1} % beside {:.1} %, {:+.1} points",
                        100.0 * d.model,
                        100.0 * d.against,
                        100.0 * d.difference
                    );
                    if let Some(([low, high], p)) = d.interval_95.zip(d.p_value) {
                        text += &format!(" [{:+.1}, {:+.1}]: p = {}", 100.0 * low, 100.0 * high, p_value(p));
                    }
                    text.push('\n');
                }
                text
            }
        }
    }
}

/// With as many places as say something.
fn p_value(p: f64) -> String {
    match p {
        p if p < 0.0005 => format!("{p:.1e}"),
        p => format!("{p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// scipy.stats.binomtest(a, a + b).pvalue  # 1.17.1
    /// ```
    #[test]
    fn the_p_value_is_that_of_an_exact_binomial_test() {
        for (a, b, p) in [
            (12, 3, 0.035_156_25),
            (5, 5, 1.0),
            (0, 7, 0.015_625),
            (400, 330, 0.010_605_994_778_707_762),
            (1, 0, 1.0),
            (3, 4, 1.0),
            (0, 0, 1.0),
        ] {
            assert!((sign_test(a, b) - p).abs() < 1e-12, "{a} {b} {}", sign_test(a, b));
        }
        assert!(sign_test(500_000, 400_000) < 1e-300);
    }

    #[test]
    fn clips_are_counted_by_who_is_right() {
        let right = [(true, true), (true, false), (true, false), (false, true), (false, false)];
        let test = McNemar::of(right);
        assert_eq!((test.clips, test.both_right, test.both_wrong), (5, 1, 1));
        assert_eq!((test.only_model_right, test.only_against_right, test.p_value), (2, 1, 1.0));
    }
}
