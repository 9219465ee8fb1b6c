//! What happens when: the currency between label files, decisions, evaluation and output.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that lasts from `onset` to `offset`, as sed_eval names it: what a label file says, or what a model finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Seconds from the start of the recording.
    pub onset: f64,
    /// Seconds; at least `onset`.
    pub offset: f64,
    pub label: String,
}

impl Event {
    /// Seconds.
    pub fn duration(&self) -> f64 {
        self.offset - self.onset
    }
}
