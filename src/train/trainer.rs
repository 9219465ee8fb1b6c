//! The training loop.

use std::sync::atomic::AtomicBool;

use super::{Event, Outcome, TrainConfig};
use crate::Result;

/// Trains the model that `config` describes and names it `name`.
///
/// `on_event` hears what happens as it happens. Setting `stop` ends training after the batch at hand; the best
/// epoch so far is kept.
pub fn train(
    _config: &TrainConfig,
    _name: &str,
    _on_event: &mut dyn FnMut(Event),
    _stop: &AtomicBool,
) -> Result<Outcome> {
    unimplemented!()
}
