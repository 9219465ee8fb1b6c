//! Names the training data by its content, and finds the same recording in two places.

use super::{Dataset, Parts};
use crate::Result;

/// What the files' contents say.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    /// SHA-256 over the contents and labels of the training and validation parts, in hexadecimal.
    pub sha256: String,
    /// The same content in two parts, or under two labels.
    pub warnings: Vec<String>,
}

/// Reads every file of `parts` once.
pub fn fingerprint(_dataset: &Dataset, _parts: &Parts) -> Result<Fingerprint> {
    unimplemented!()
}
