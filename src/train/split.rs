//! Deals the clips into train, validation and test.

use super::{DataConfig, Dataset};
use crate::Result;

/// Indices into [`Dataset::items`], each part in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
    /// How the split was made, for the person to read.
    pub messages: Vec<String>,
}

/// Splits `dataset`; the same data, settings and seed give the same parts.
pub fn split(_dataset: &Dataset, _config: &DataConfig, _seed: u64) -> Result<Parts> {
    unimplemented!()
}
