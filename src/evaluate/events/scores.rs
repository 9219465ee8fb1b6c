//! Counts of hits and errors, and the figures made of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was counted: events, or segments in which a label is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub reference: u64,
    pub estimated: u64,
    pub true_positives: u64,
    pub substitutions: u64,
    pub deletions: u64,
    pub insertions: u64,
}

/// Figures as unrounded fractions; null where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// How many there are in truth.
    pub reference: u64,
    /// How many were found.
    pub estimated: u64,
    pub true_positives: u64,
    /// F1, the harmonic mean of precision and recall.
    pub f_measure: Option<f64>,
    /// Right ones among those that were found.
    pub precision: Option<f64>,
    /// Found ones among those that there are.
    pub recall: Option<f64>,
    /// Substitutions, deletions and insertions together; may be over 1.
    pub error_rate: Option<f64>,
    /// Of these, a found one with the wrong label. Within one label there is none.
    pub substitution_rate: Option<f64>,
    /// One that was not found.
    pub deletion_rate: Option<f64>,
    /// One that is not there.
    pub insertion_rate: Option<f64>,
}

impl Counts {
    pub fn scores(self) -> Scores {
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        let (precision, recall) =
            (share(self.true_positives, self.estimated), share(self.true_positives, self.reference));
        let f_measure =
            precision.zip(recall).map(|(p, r)| if p + r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) });
        let errors = self.substitutions + self.deletions + self.insertions;
        Scores {
            reference: self.reference,
            estimated: self.estimated,
            true_positives: self.true_positives,
            f_measure,
            precision,
            recall,
            error_rate: share(errors, self.reference),
            substitution_rate: share(self.substitutions, self.reference),
            deletion_rate: share(self.deletions, self.reference),
            insertion_rate: share(self.insertions, self.reference),
        }
    }
}

/// Means over the labels that have the figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Averages {
    pub f_measure: Option<f64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub error_rate: Option<f64>,
    pub deletion_rate: Option<f64>,
    pub insertion_rate: Option<f64>,
}

/// One way of counting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventScores {
    /// All labels together: micro averages.
    pub overall: Scores,
    /// Each label counts the same: macro averages.
    pub class_wise_average: Averages,
    pub class_wise: BTreeMap<String, Scores>,
}

impl EventScores {
    pub(super) fn new(overall: Counts, class_wise: BTreeMap<String, Counts>) -> Self {
        let class_wise: BTreeMap<_, _> =
            class_wise.into_iter().map(|(label, counts)| (label, counts.scores())).collect();
        let mean = |figure: fn(&Scores) -> Option<f64>| {
            let values: Vec<f64> = class_wise.values().filter_map(figure).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let class_wise_average = Averages {
            f_measure: mean(|scores| scores.f_measure),
            precision: mean(|scores| scores.precision),
            recall: mean(|scores| scores.recall),
            error_rate: mean(|scores| scores.error_rate),
            deletion_rate: mean(|scores| scores.deletion_rate),
            insertion_rate: mean(|scores| scores.insertion_rate),
        };
        Self { overall: overall.scores(), class_wise_average, class_wise }
    }
}
