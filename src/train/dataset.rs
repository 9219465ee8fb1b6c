//! Finds the clips and their labels: a directory with one folder a label, or a manifest.

use std::path::PathBuf;

use super::DataConfig;
use crate::Result;

/// Which part of the data a clip belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Train,
    Validation,
    Test,
}

/// One labelled clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub path: PathBuf,
    /// Index into [`Dataset::labels`].
    pub label: usize,
    /// What the data itself says; `None` where it has no split.
    pub part: Option<Part>,
    /// What must stay in one part, where the data says so.
    pub group: Option<String>,
    /// Line of the manifest, counted from 1.
    pub line: Option<u64>,
}

/// Labelled clips, in a fixed order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Sorted by their bytes.
    pub labels: Vec<String>,
    pub items: Vec<Item>,
    /// What was ignored or understood, for the person to read.
    pub messages: Vec<String>,
}

impl Dataset {
    /// Reads the directory or the manifest that `config` names. Sound files are looked for, not opened.
    pub fn load(_config: &DataConfig) -> Result<Self> {
        unimplemented!()
    }
}
