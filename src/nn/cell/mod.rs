//! The recurrent cells, one file each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cells that can be chosen by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    Lstm,
    /// Reset after the recurrent product, as PyTorch and cuDNN have it.
    Gru,
}
