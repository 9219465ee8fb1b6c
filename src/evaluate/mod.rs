//! How good a model is.

mod classification;
mod files;

pub use classification::{ClassMetrics, Evaluation, Failure};
pub use files::evaluate_files;
