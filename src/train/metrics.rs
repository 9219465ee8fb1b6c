//! What an epoch has come to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One epoch of training: a line of a file of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the training part as it was learned, in nats.
    pub train_loss: f64,
    /// Share of training clips, or of their frames, that were right as they were learned, 0 to 1.
    pub train_accuracy: f64,
    /// Mean cross-entropy over the validation part, in nats; `None` where there is no such part.
    pub validation_loss: Option<f64>,
    pub validation_accuracy: Option<f64>,
    /// That of the epoch's last step.
    pub learning_rate: f64,
    /// The lowest validation loss so far; where there is no validation part, every epoch is the best.
    pub best: bool,
    /// Since training began, in seconds; without the time between a stop and its resumption.
    pub seconds: f64,
}

impl EpochMetrics {
    /// Numbers that one epoch takes in a checkpoint.
    pub(super) const NUMBERS: usize = 8;

    /// As numbers, which a checkpoint keeps to the last bit; what there is none of is no number.
    pub(super) fn to_numbers(&self) -> [f64; Self::NUMBERS] {
        [
            self.epoch as f64,
            self.train_loss,
            self.train_accuracy,
            self.validation_loss.unwrap_or(f64::NAN),
            self.validation_accuracy.unwrap_or(f64::NAN),
            self.learning_rate,
            f64::from(u8::from(self.best)),
            self.seconds,
        ]
    }

    pub(super) fn from_numbers(numbers: [f64; Self::NUMBERS]) -> Self {
        let [epoch, train_loss, train_accuracy, loss, accuracy, learning_rate, best, seconds] = numbers;
        let known = |value: f64| (!value.is_nan()).then_some(value);
        Self {
            epoch: epoch as usize,
            train_loss,
            train_accuracy,
            validation_loss: known(loss),
            validation_accuracy: known(accuracy),
            learning_rate,
            best: best == 1.0,
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_survives_as_numbers() {
        let epoch = EpochMetrics {
            epoch: 3,
            train_loss: 0.1 + 0.2,
            train_accuracy: 1.0 / 3.0,
            validation_loss: Some(1e-300),
            validation_accuracy: None,
            learning_rate: 2e-3,
            best: true,
            seconds: 7.5,
        };
        assert_eq!(EpochMetrics::from_numbers(epoch.to_numbers()), epoch);
    }
}
