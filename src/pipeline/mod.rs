//! Chains the inference stages: file -> media -> features -> nn -> decide.

mod classifier;
mod live;
mod tagger;

pub use classifier::{Classification, Classifier};
pub use live::{LiveTagger, MAX_LOOKAHEAD_SECONDS};
pub use tagger::{TagOptions, Tagged, Tagger, Windows};
