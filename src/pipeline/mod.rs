//! Chains the inference stages: file -> media -> features -> nn -> decide.

mod classifier;
mod live;
mod source;
mod tagger;

pub use classifier::{Classification, Classifier};
pub use live::{LiveTagger, MAX_LOOKAHEAD_SECONDS};
pub use source::Watched;
pub(crate) use source::{Source, look_at, read_vector_file};
pub use tagger::{TagOptions, Tagged, Tagger, Windows};
