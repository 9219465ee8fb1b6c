//! How good a model is.

mod classification;

pub use classification::{ClassMetrics, Evaluation, Failure};
