//! How good a model is.

mod classification;
pub mod events;
mod files;
mod report;
mod segmentation;
mod table;

pub use classification::{ClassMetrics, Evaluation, Failure};
pub use files::evaluate_files;
pub use report::{EvaluatedModel, Report};
pub use segmentation::{Segmentation, segmentation};
