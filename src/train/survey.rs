//! What is looked at before training, outside of it: near-duplicates, and what a baseline reaches.

use std::sync::atomic::{AtomicBool, Ordering};

use super::baseline::{Baselines, Vectors};
use super::clip::load_embedding;
use super::fine_tune::{adopt, load_base};
use super::folds::FoldPlan;
use super::near_duplicates::Prints;
use super::split::split;
use super::{Dataset, Event, Part, Parts, TrainConfig};
use crate::Result;
use crate::media::known_kind_of;
use crate::signal::InputKind;

/// A data set that was gone through once, whatever is then made of it.
pub struct Survey {
    /// `None` where no baseline is asked for.
    vectors: Option<Vectors>,
    /// What was taken from the files.
    stream: Option<InputKind>,
}

impl Survey {
    /// Goes through the data that `config` names, and warns of near-duplicates on two sides of its split, or in two folds of
    /// `plan`. Both can be turned off in the configuration. Setting `stop` ends it early.
    ///
    /// # Errors
    /// Those of [`Dataset::of`] and [`split`]; those of the model that training begins from, or of a pretrained network.
    pub fn new(
        config: &TrainConfig,
        plan: Option<&FoldPlan>,
        on_event: &mut dyn FnMut(Event),
        stop: &AtomicBool,
    ) -> Result<Self> {
        let mut config = config.clone();
        let base = load_base(&config)?;
        if let Some(base) = &base {
            adopt(&mut config, base)?;
        }
        let config = &config;
        let dataset = Dataset::of(config)?;
        let first = || dataset.items.iter().find_map(|item| known_kind_of(&item.path));
        let is_sound = config.data.stream.or_else(first).is_none_or(|kind| kind == InputKind::Audio);
        if config.training.near_duplicates && is_sound {
            let (side_of, sides) = match plan {
                Some(plan) => {
                    (plan.fold_of.clone(), plan.names.iter().map(|name| format!("fold {name}")).collect())
                }
                None => by_part(&dataset, &split(&dataset, &config.data, config.training.seed)?),
            };
            let prints = Prints::of(&dataset, on_event, stop);
            prints.events(&dataset, &side_of, &sides).into_iter().for_each(&mut *on_event);
        }
        let vectors = match config.training.baseline && !stop.load(Ordering::Relaxed) {
            true => {
                // The model that training begins from brings its own.
                let embedding = match &base {
                    Some(base) => base.embedding().cloned(),
                    None => load_embedding(config)?,
                };
                Some(Vectors::read(config, &dataset, embedding.as_ref(), on_event, stop)?)
            }
            false => None,
        };
        Ok(Self { vectors, stream: config.data.stream })
    }

    /// What simple means reach on the parts that training with `config` makes of the same data; `None` where nobody asks, or
    /// where there is too little to learn from.
    ///
    /// # Errors
    /// Those of [`Dataset::of`] and [`split`], whether or not somebody asks.
    pub fn baselines(&self, config: &TrainConfig) -> Result<Option<Baselines>> {
        let mut config = config.clone();
        config.data.stream = self.stream;
        let parts = split(&Dataset::of(&config)?, &config.data, config.training.seed)?;
        Ok(self.vectors.as_ref().and_then(|vectors| vectors.baselines(&parts)))
    }
}

/// The part of each item, an index into the parts' names.
fn by_part(dataset: &Dataset, parts: &Parts) -> (Vec<Option<usize>>, Vec<String>) {
    let mut side_of = vec![None; dataset.items.len()];
    for (side, part) in Part::ALL.into_iter().enumerate() {
        parts.get(part).iter().for_each(|&item| side_of[item] = Some(side));
    }
    (side_of, Part::ALL.iter().map(|part| part.name().to_string()).collect())
}
