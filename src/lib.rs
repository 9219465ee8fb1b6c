//! # Percept
//!
//! Percept learns to classify and tag sound and video with recurrent networks, and then does it anywhere.
//!
//! The folders are the data flow; each knows nothing of what stands to its right:
//!
//! ```text
//! media file ──► media ──► signal ──► features ──► nn ──► decide ──► output
//!                                        ▲          ▲        ▲
//!                                        └── model ─┴────────┘     batch, train, evaluate beside; cli on top
//! ```
//!
//! * [`media`] opens a file and gives a mono [`signal::Signal`] at the rate that is asked for, or the frames of pictures in
//!   motion ([`media::video`]).
//! * [`features`] turns a signal into frames `[T, D]`: power or log-mel spectrogram, MFCC, deltas; and pictures
//!   ([`features::video`]): thumbnails, differences, histograms, motion, embeddings.
//! * [`nn`] turns frames `[B, T, D]` into logits, `[B, K]` with pooling or `[B, T, K]` without: convolutions over each frame
//!   or none, stacked, bidirectional LSTM or GRU, linear.
//! * [`decide`] turns logits into labels with scores; an [`event::Event`] is a label with a beginning and an end.
//! * [`output`] writes results as JSON, JSON lines, CSV or text.
//! * [`model`] is the one self-describing file; [`pipeline`] chains the stages for inference.
//! * [`labels`] reads files that say what happens when; [`time`] is the only arithmetic of frames and seconds.
//! * [`report`] makes a page of results that a browser shows.
//! * [`files`] writes a file whole or not at all.
//! * [`batch`] works on very many files, by worker processes and with a journal.
//! * [`train`] and [`evaluate`] make a model from a folder and say how good it is.
//!
//! ```
//! use std::path::Path;
//! use percept::{decide::top_k, media::MediaOptions, model::{Model, Task}, pipeline::Classifier};
//!
//! # fn main() -> percept::Result<()> {
//! let model = Model::builtin("sounds", Task::Classify).expect("a built-in model")?; // or Model::load(path)?
//! let classifier = Classifier::new(model)?;
//! let result = classifier.classify_file(Path::new("assets/dog.ogg"), &MediaOptions::default())?;
//! let best = top_k(&result.scores, &classifier.model().header().labels, 1);
//! assert_eq!(best[0].label, "dog_bark");
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod decide;
pub mod error;
pub mod evaluate;
pub mod event;
pub mod features;
pub mod files;
mod guard;
pub mod labels;
pub mod media;
pub mod model;
pub mod nn;
pub mod output;
pub mod pipeline;
pub mod report;
pub mod signal;
mod table;
pub mod time;
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};

/// Version of what the commands print as JSON. Fields may be added within a version; it grows when one changes its
/// meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// What made a file: name and version.
pub const TOOL: &str = concat!("percept ", env!("CARGO_PKG_VERSION"));
