//! Metrics of many-to-one classification: one true and one predicted label per clip.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What a model got right and wrong on a set of clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Clips that were scored.
    pub clips: usize,
    /// Clips whose highest score is at the true label.
    pub correct: usize,
    /// `correct / clips`
    pub accuracy: f64,
    /// 95% Wilson score interval of the accuracy, [low, high] (Wilson 1927).
    pub accuracy_interval_95: [f64; 2],
    /// Mean F1 over the labels that occur, in truth or prediction.
    pub macro_f1: f64,
    /// Mean of -ln(score of the true label), in nats; scores below f32's epsilon count as that.
    pub log_loss: Option<f64>,
    /// Accuracy of always saying the commonest label.
    pub majority_accuracy: f64,
    /// One per label, in the model's order.
    pub classes: Vec<ClassMetrics>,
    /// `confusion[truth][predicted]`: clips, in the model's order of labels.
    pub confusion: Vec<Vec<usize>>,
    /// Files that could not be read; they count nowhere else.
    pub failures: Vec<Failure>,
}

/// One label's metrics; `null` where the denominator is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassMetrics {
    pub label: String,
    /// Of the clips that were given this label, the share that has it.
    pub precision: Option<f64>,
    /// Of the clips that have this label, the share that was given it.
    pub recall: Option<f64>,
    /// Harmonic mean of both: `2 tp / (2 tp + fp + fn)`.
    pub f1: Option<f64>,
    /// Clips that have this label.
    pub support: usize,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub path: String,
    pub kind: ErrorKind,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Failure {
    pub fn new(path: &std::path::Path, error: &Error) -> Self {
        Self {
            path: path.display().to_string(),
            kind: error.kind,
            message: Error { path: None, ..error.clone() }.to_string(),
        }
    }
}

impl Evaluation {
    /// Compares `truth` with `predicted`, both indices into `labels`; `scores[clip][label]` are probabilities.
    ///
    /// # Errors
    /// No clips at all; lengths that differ; an index that is no label.
    pub fn new(
        labels: &[String],
        truth: &[usize],
        predicted: &[usize],
        scores: Option<&[Vec<f32>]>,
    ) -> Result<Self> {
        if truth.is_empty() {
            return Err(Error::new(ErrorKind::Dataset, "there is no clip to evaluate on"));
        }
        let fits = truth.len() == predicted.len()
            && truth.iter().chain(predicted).all(|&k| k < labels.len())
            && scores.is_none_or(|s| s.len() == truth.len() && s.iter().all(|s| s.len() == labels.len()));
        if !fits {
            return Err(Error::new(
                ErrorKind::Internal,
                "truth, predictions, scores and labels do not match",
            ));
        }
        let mut confusion = vec![vec![0; labels.len()]; labels.len()];
        for (&t, &p) in truth.iter().zip(predicted) {
            confusion[t][p] += 1;
        }
        let clips = truth.len();
        let correct = (0..labels.len()).map(|k| confusion[k][k]).sum();
        let classes: Vec<_> =
            labels.iter().enumerate().map(|(k, label)| class_metrics(label, k, &confusion)).collect();
        let f1s: Vec<f64> = classes.iter().filter_map(|c| c.f1).collect();
        let commonest = classes.iter().map(|c| c.support).max().unwrap_or(0);
        Ok(Self {
            clips,
            correct,
            accuracy: correct as f64 / clips as f64,
            accuracy_interval_95: wilson(correct as f64, clips),
            macro_f1: f1s.iter().sum::<f64>() / f1s.len() as f64,
            log_loss: scores.map(|scores| log_loss(truth, scores)),
            majority_accuracy: commonest as f64 / clips as f64,
            classes,
            confusion,
            failures: Vec::new(),
        })
    }
}

fn class_metrics(label: &str, k: usize, confusion: &[Vec<usize>]) -> ClassMetrics {
    let support: usize = confusion[k].iter().sum();
    let predicted: usize = confusion.iter().map(|row| row[k]).sum();
    let right = confusion[k][k];
    let ratio = |n: usize, d: usize| (d > 0).then(|| n as f64 / d as f64);
    ClassMetrics {
        label: label.to_string(),
        precision: ratio(right, predicted),
        recall: ratio(right, support),
        f1: ratio(2 * right, support + predicted),
        support,
    }
}

/// The 95% score interval of `k` successes in `n` trials (Wilson 1927), [low, high]. A mean number of successes need not be
/// whole.
pub fn wilson(k: f64, n: usize) -> [f64; 2] {
    /// The normal distribution's 0.975 quantile.
    const Z: f64 = 1.959_963_984_540_054;
    let n = n as f64;
    let p = k / n;
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)]
}

fn log_loss(truth: &[usize], scores: &[Vec<f32>]) -> f64 {
    let sum: f64 = truth.iter().zip(scores).map(|(&t, s)| -f64::from(s[t].max(f32::EPSILON)).ln()).sum();
    sum / truth.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["a", "b", "c", "d"].map(String::from).to_vec()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// ```python
    /// from sklearn.metrics import *  # 1.9.1
    /// t = [0, 0, 0, 1, 1, 2]; p = [0, 0, 1, 1, 2, 0]
    /// precision_recall_fscore_support(t, p); f1_score(t, p, average="macro")
    /// ```
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let result = Evaluation::new(&labels(), &[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 0], None).unwrap();
        assert_eq!((result.clips, result.correct), (6, 3));
        let [a, b, c, d] = &result.classes[..] else { panic!() };
        assert!(close(a.precision.unwrap(), 2.0 / 3.0) && close(a.recall.unwrap(), 2.0 / 3.0));
        assert!(close(b.precision.unwrap(), 0.5) && close(b.f1.unwrap(), 0.5));
        assert_eq!((c.precision, c.recall, c.f1, c.support), (Some(0.0), Some(0.0), Some(0.0), 1));
        assert_eq!((d.precision, d.recall, d.f1, d.support), (None, None, None, 0));
        // The label that occurs neither in truth nor in prediction does not count, as in scikit-learn.
        assert!(close(result.macro_f1, (2.0 / 3.0 + 0.5) / 3.0));
        assert!(close(result.majority_accuracy, 0.5));
        assert_eq!(result.confusion, [[2, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]);
    }

    /// ```python
    /// from scipy.stats import binomtest
    /// binomtest(247, 250).proportion_ci(method="wilson")
    /// ```
    #[test]
    fn the_interval_is_wilsons() {
        for (k, n, low, high) in [
            (247, 250, 0.9653192195729803, 0.9959106801194657),
            (0, 10, 0.0, 0.27753279986288926),
            (10, 10, 0.7224672001371109, 1.0),
            (3, 4, 0.30064184258240184, 0.9544127391902995),
            (1, 1, 0.20654931437723745, 1.0),
        ] {
            let [l, h]: [f64; 2] = wilson(f64::from(k), n);
            assert!(close(l, low) && close(h, high), "{k} of {n}: {l} {h}");
        }
    }

    #[test]
    fn log_loss_is_the_mean_of_minus_ln() {
        let scores = [vec![0.5, 0.25, 0.25, 0.0], vec![0.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 0.0, 1.0]];
        let result = Evaluation::new(&labels(), &[1, 1, 0], &[0, 1, 3], Some(&scores)).unwrap();
        let expected = (4f64.ln() + 0.0 - f64::from(f32::EPSILON).ln()) / 3.0;
        assert!(close(result.log_loss.unwrap(), expected));
    }

    #[test]
    fn what_does_not_fit_together_is_an_error_not_a_panic() {
        let of = |t: &[usize], p: &[usize], s: Option<&[Vec<f32>]>| Evaluation::new(&labels(), t, p, s);
        assert_eq!(of(&[], &[], None).unwrap_err().kind, ErrorKind::Dataset);
        assert!(of(&[0], &[0, 1], None).is_err());
        assert!(of(&[4], &[0], None).is_err());
        assert!(of(&[0], &[0], Some(&[vec![1.0]])).is_err());
        assert!(Evaluation::new(&[], &[0], &[0], None).is_err());
    }
}
