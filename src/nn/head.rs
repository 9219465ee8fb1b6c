//! The end of a many-to-one network: pooling over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the frames `[T, H]` of a clip become one vector `[H]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    Last,
    Mean,
    Max,
    Attention,
}
