//! Settings of training that are one of a closed set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate goes over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Up from a 25th of the highest along half a cosine, then down to nearly nothing along another (Smith & Topin 2018).
    #[default]
    OneCycle,
    /// Up in a straight line, then down to 0 along half a cosine (Loshchilov & Hutter 2017).
    Cosine,
    /// The highest in every step; there is no warm-up.
    Constant,
}

/// How much an example of each label counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All the same.
    #[default]
    None,
    /// The rarer, the more: the number of examples, by that of labels, by that of examples with this one.
    Balanced,
}

/// Which clips an epoch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each once.
    #[default]
    Shuffled,
    /// As many as there are, each label equally often: those of rare labels several times, some of common ones not.
    Balanced,
}

/// Which epoch's weights are the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those with the lowest validation loss.
    #[default]
    Best,
    /// Those of the last epoch, whatever validation says; `patience` stops nothing.
    Last,
}

/// What of the model that training begins from stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// Nothing.
    #[default]
    None,
    /// The convolutions.
    FrontEnd,
    /// Everything but the head, which makes logits.
    Body,
}
