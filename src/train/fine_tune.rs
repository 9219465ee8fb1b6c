//! Training that begins from a model: it keeps how that hears and sees, and all of its network but the head.

use std::path::Path;

use serde::Serialize;

use super::{Freeze, TrainConfig};
use crate::error::some_of;
use crate::features::InputConfig;
use crate::model::{Model, Task};
use crate::nn::{Network, NetworkConfig, Weights};
use crate::{Error, ErrorKind, Result};

/// The model that `config` says training begins from (`[training] from`), if it says so: a built-in by its name, or a file.
///
/// # Errors
/// Those of the file; [`ErrorKind::Config`] where the model is of another task.
pub fn load_base(config: &TrainConfig) -> Result<Option<Model>> {
    let from = &config.training.from;
    if from.is_empty() {
        return Ok(None);
    }
    let model = match Model::builtin(from, config.task()) {
        Some(model) => model?,
        None => Model::load(Path::new(from))?,
    };
    if model.header().task != config.task() {
        let message = match model.header().task {
            Task::Classify => {
                "the model to start from (--from) classifies clips; labels in time need one that tags"
            }
            Task::Tag => "the model to start from (--from) tags frames; name labels in time (--labels)",
        };
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(Some(model))
}

/// Takes the settings of features and network over from `model`. What `config` says of them otherwise than by default must
/// be the same there.
///
/// # Errors
/// [`ErrorKind::Config`] names the settings that contradict the model.
pub fn adopt(config: &mut TrainConfig, model: &Model) -> Result<()> {
    let header = model.header();
    let kind = header.input.kind();
    if config.data.stream.is_some_and(|stream| stream != kind) {
        let message =
            format!("[data] stream: the model to start from takes {} and nothing else", kind.name());
        return Err(Error::new(ErrorKind::Config, message));
    }
    config.data.stream = Some(kind);
    let network = NetworkConfig { dropout: header.network.dropout, ..header.network.clone() };
    let mut wrong =
        contradictions("network", &config.network, &network, &NetworkConfig::default(), &["dropout"])?;
    wrong.extend(match &header.input {
        InputConfig::Audio(features) => {
            contradictions("features", &config.features, features, &Default::default(), &[])?
        }
        InputConfig::Video(video) => contradictions("video", &config.video, video, &Default::default(), &[])?,
        InputConfig::Vectors(vectors) => {
            contradictions("vectors", &config.vectors, vectors, &Default::default(), &[])?
        }
    });
    if !wrong.is_empty() {
        let message = format!(
            "the model to start from (--from) has other settings, which stay as they are there: {}; leave them out",
            some_of(&wrong)
        );
        return Err(Error::new(ErrorKind::Config, message));
    }
    // Dropping activations leaves no trace in the weights: it may be chosen anew. A network that is the model's already has
    // been adopted before, and whatever its dropout is now was chosen since.
    let dropout = config.network.dropout;
    let is_adopted = NetworkConfig { dropout: network.dropout, ..config.network.clone() } == network;
    let is_left_out = dropout == NetworkConfig::default().dropout && !is_adopted;
    let dropout = if is_left_out { network.dropout } else { dropout };
    config.network = NetworkConfig { dropout, ..network };
    match &header.input {
        InputConfig::Audio(features) => config.features = features.clone(),
        InputConfig::Video(video) => config.video = video.clone(),
        InputConfig::Vectors(vectors) => config.vectors = vectors.clone(),
    }
    Ok(())
}

/// Settings that are neither the model's nor left at their defaults.
fn contradictions<T: Serialize>(
    section: &str,
    ours: &T,
    models: &T,
    defaults: &T,
    free: &[&str],
) -> Result<Vec<String>> {
    let json = |value: &T| {
        serde_json::to_value(value).map_err(|e| Error::new(ErrorKind::Internal, format!("settings: {e}")))
    };
    let (ours, models, defaults) = (json(ours)?, json(models)?, json(defaults)?);
    let keys = ours.as_object().into_iter().flat_map(|settings| settings.keys());
    Ok(keys
        .filter(|key| !free.contains(&key.as_str()))
        .filter(|key| ours.get(key) != models.get(key) && ours.get(key) != defaults.get(key))
        .map(|key| {
            let theirs = models.get(key).map_or("left out".into(), ToString::to_string);
            format!("[{section}] {key} is {}, in the model {theirs}", ours[key])
        })
        .collect())
}

/// Puts the model's weights in place of the fresh `weights`: all but the head, and that too where the labels are the same.
/// Says which.
pub(super) fn transplant(weights: &mut Weights, model: &Model, labels: &[String]) -> String {
    let same_labels = model.header().labels == labels;
    for (name, tensor) in model.weights() {
        if same_labels || !is_head(name) {
            weights.insert(name.clone(), tensor.clone());
        }
    }
    let name = &model.header().name;
    match same_labels {
        true => format!("starting from the model `{name}` with its head, as the labels are the same"),
        false => format!("starting from the model `{name}` with a new head for {} labels", labels.len()),
    }
}

/// What gives the body's output its meaning in labels.
fn is_head(name: &str) -> bool {
    name.starts_with("head.")
}

impl Freeze {
    /// Whether the tensor of this name stays as it is.
    pub(super) fn holds(self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::FrontEnd => name.starts_with("conv."),
            Self::Body => !is_head(name),
        }
    }

    /// # Errors
    /// [`ErrorKind::Config`] where there is nothing of that in the network.
    pub(super) fn check(self, config: &TrainConfig) -> Result<()> {
        let frame = crate::model::frame_shape(&config.input());
        let mut names = Network::shapes(&config.network, frame, 1).into_iter().map(|(name, _)| name);
        if self == Self::None || names.any(|name| self.holds(&name)) {
            return Ok(());
        }
        let message = "freeze is front_end, and the model to start from has no convolutions; freeze its body, or nothing";
        Err(Error::new(ErrorKind::Config, message))
    }
}
