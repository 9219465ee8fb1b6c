//! From a configuration to a measured model: the data is read, learned from, and the result measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use super::checkpoint::{Checkpoint, CheckpointHeader, Keeper, comparable};
use super::clip::{Clip, ClipMaker, Loaded, load_embedding, resolve};
use super::examples::ExampleMaker;
use super::feed::ExampleSet;
use super::fine_tune::{adopt, load_base, transplant};
use super::fingerprint::fingerprint;
use super::learner::{Learner, Watch, stopped_too_early};
use super::split::{Parts, split};
use super::{
    Answers, ClassWeights, DataConfig, Dataset, Event, Item, Outcome, Part, Sampling, StopReason,
    TrainConfig, TrainingConfig,
};
use crate::decide::{Decisions, Exclusive, Onsets, Rule, Thresholds};
use crate::error::some_of;
use crate::evaluate::{DEFAULT_COLLAR, Evaluated, Failure, Measured, score_files, tag_recordings};
use crate::features::InputConfig;
use crate::media::MediaOptions;
use crate::model::{FORMAT_VERSION, Model, ModelHeader, Provenance, Task, check_label, frame_shape};
use crate::nn::{Network, Weights};
use crate::pipeline::{Classifier, Tagger};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result, TOOL};

/// Files that are read between two reports of progress.
const FILES_AT_ONCE: usize = 64;

/// How a run is kept safe, and how strict it is.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// Where checkpoints go; `None` writes none. The last one stays there: whoever has stored the model removes it.
    pub checkpoint: Option<PathBuf>,
    /// Goes on from the checkpoint that is there.
    pub resume: bool,
    /// A training or validation clip that cannot be read is an error; otherwise it is left out.
    pub strict: bool,
    /// Keeps what the model says of each clip of the test part, or of the validation part where there is no other.
    pub keep_answers: bool,
}

/// Trains the model that `config` describes and names it `name`.
///
/// `on_event` hears what happens as it happens. Setting `stop` ends training after the batch at hand; what was kept so
/// far is the model. The kept epoch is that of the lowest validation loss, or the last, as the configuration says; without
/// a validation part, the last. The same data, settings and seed give the same model, bit for bit, on any number of
/// threads, in one run or in several that go on from each other's checkpoints.
///
/// # Errors
/// Settings out of range; data that cannot be split; no clip that can be read; a loss that is no number in the first
/// epoch; a checkpoint of another run; [`ErrorKind::Interrupted`] where `stop` was set before the first epoch was over.
pub fn train(
    config: &TrainConfig,
    name: &str,
    options: &TrainOptions,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let start = Instant::now();
    config.validate()?;
    check_label(name)?;
    let mut config = config.clone();
    let base = load_base(&config)?;
    if let Some(base) = &base {
        adopt(&mut config, base)?;
    }
    let mut dataset = match config.task() {
        Task::Classify => Dataset::load(&config.data)?,
        Task::Tag => Dataset::load_timed(&config.data, &config.labels)?,
    };
    dataset.messages.extend(resolve(&mut config, &dataset)?);
    config.network = config.resolved_network();
    config.network.check_frames(frame_shape(&config.input()))?;
    config.training.freeze.check(&config)?;
    let config = &config;
    let mut header = CheckpointHeader {
        tool: TOOL.to_string(),
        config: comparable(&without_folders(config))?,
        data_sha256: String::new(),
        from_sha256: base.as_ref().map_or(String::new(), |base| base.sha256().to_string()),
    };
    let resumed = load_checkpoint(options)?;
    if let Some(checkpoint) = &resumed {
        // What the data says is checked when it has been read.
        header.data_sha256.clone_from(&checkpoint.header.data_sha256);
        header.check(&checkpoint.header)?;
    }
    let mut parts = split(&dataset, &config.data, config.training.seed)?;
    for message in dataset.messages.iter().chain(&parts.messages) {
        on_event(Event::Message(message.clone()));
    }
    let input = config.input();
    warn_of_settings(config, &input, on_event);

    let embedding = match &base {
        Some(base) => base.embedding().cloned(),
        None => load_embedding(config)?,
    };
    let maker = ClipMaker::new(config, &dataset.labels, embedding.as_ref())?;
    maker.background_warnings().iter().for_each(|warning| on_event(Event::Warning(warning.clone())));
    let loader = Loader { config, dataset: &dataset, maker: &maker, strict: options.strict, stop };
    let (training, seconds) = loader.load(&mut parts.train, Part::Train, on_event)?;
    let (validation, more) = loader.load(&mut parts.validation, Part::Validation, on_event)?;
    check_training(config, &training, &dataset, &parts, on_event)?;
    let fingerprint = fingerprint(&dataset, &parts)?;
    fingerprint.warnings.into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    on_event(Event::Loaded { clips: parts.train.len() + parts.validation.len(), seconds: seconds + more });

    header.data_sha256.clone_from(&fingerprint.sha256);
    if let Some(checkpoint) = &resumed {
        header.check(&checkpoint.header)?;
        on_event(Event::Resumed(checkpoint.history.clone()));
    }
    let weights = first_weights(config, base.as_ref(), &dataset.labels, on_event)?;
    let normalization = base.as_ref().and_then(Model::normalization).cloned();
    let examples = ExampleMaker::new(config, &dataset, maker, &training, normalization)?;
    examples.cache_warnings().into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    let validation = ExampleSet::unchanging(&examples, validation)?;
    let training = match config.augment.enabled {
        true => ExampleSet::changing(&examples, training),
        false => ExampleSet::unchanging(&examples, training)?,
    };
    let learner = Learner::new(config, &dataset, &examples, weights)?;
    let mut keeper = Keeper::new(options.checkpoint.clone(), config.training.checkpoint_minutes);
    let mut watch = Watch { on_event, stop, start };
    let learned = learner.learn(&training, &validation, header, resumed, &mut keeper, &mut watch)?;
    let normalization = examples.normalization.clone();

    let mut header = ModelHeader {
        format_version: FORMAT_VERSION,
        name: name.to_string(),
        task: config.task(),
        labels: dataset.labels.clone(),
        input,
        network: config.network.clone(),
        decisions: usual_decisions(config, &dataset),
        provenance: Provenance {
            tool: TOOL.to_string(),
            data_sha256: fingerprint.sha256,
            seed: config.training.seed,
            split: part_sizes(&parts),
            metrics: BTreeMap::new(),
            config: without_folders(config).to_toml()?,
            notes: config.training.notes.clone(),
        },
    };
    // Measured on the model as it is stored, whose weights may be rounded.
    let precision = config.training.precision;
    let model = Model::with_embedding(
        header.clone(),
        normalization.clone(),
        embedding.clone(),
        learned.weights.clone(),
        precision,
    )?;
    let mut answers = None;
    let mut evaluate = |part: Part, indices: &[usize]| {
        // Whoever stopped it wants the model now.
        if indices.is_empty() || learned.stop_reason == StopReason::Interrupted {
            return None;
        }
        let name = part.name();
        on_event(Event::Message(format!("evaluating on the {name} part: {} clips", indices.len())));
        // What has been learned is not thrown away over files that cannot be read.
        match evaluate_items(&model, &dataset, indices, &config.data.media()) {
            Ok((measured, evaluated)) => {
                answers = options.keep_answers.then_some(Answers { part, evaluated });
                Some(measured)
            }
            Err(error) => {
                on_event(Event::Warning(format!("the {name} part was not evaluated: {error}")));
                None
            }
        }
    };
    let validation = evaluate(Part::Validation, &parts.validation);
    let test = evaluate(Part::Test, &parts.test);
    for (part, evaluation) in [("validation", &validation), ("test", &test)] {
        for (name, value) in evaluation.iter().flat_map(Measured::metrics) {
            header.provenance.metrics.insert(format!("{part}_{name}"), value);
        }
    }
    let model = Model::with_embedding(header, normalization, embedding, learned.weights, precision)?;
    Ok(Outcome {
        model,
        validation,
        test,
        best_epoch: learned.kept_epoch,
        history: learned.history,
        label_counts: label_counts(&dataset, &parts),
        answers,
        stop_reason: learned.stop_reason,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The checkpoint to go on from, if that is asked for.
fn load_checkpoint(options: &TrainOptions) -> Result<Option<Checkpoint>> {
    let place = match (&options.checkpoint, options.resume) {
        (_, false) => return Ok(None),
        (Some(place), true) => place,
        (None, true) => {
            let message = "no place is named for checkpoints, so there is none to go on from";
            return Err(Error::new(ErrorKind::Config, message));
        }
    };
    match Checkpoint::load(place) {
        Err(error) if error.kind == ErrorKind::NotFound => {
            let message =
                "there is no checkpoint to go on from; leave --resume out to start from the beginning";
            Err(Error::new(ErrorKind::NotFound, message).with_path(place))
        }
        result => result.map(Some),
    }
}

/// Says which settings do nothing, or less than they seem to.
fn warn_of_settings(config: &TrainConfig, input: &InputConfig, on_event: &mut dyn FnMut(Event)) {
    let skipped = match input {
        InputConfig::Audio(features) => config.augment.skipped_for(features),
        InputConfig::Video(_) if config.augment.enabled && input.embedding().is_some() => Some(
            "embeddings are those of the unchanged pictures: only the other features are augmented".into(),
        ),
        _ => None,
    };
    let TrainingConfig { class_weights, sampling, .. } = &config.training;
    let twice = (*class_weights, *sampling) == (ClassWeights::Balanced, Sampling::Balanced);
    let twice = twice.then(|| "sampling and class_weights are both balanced, so rare labels count twice over; one of them would do".to_string());
    input
        .warnings()
        .into_iter()
        .chain(skipped)
        .chain(twice)
        .for_each(|warning| on_event(Event::Warning(warning)));
}

/// Warns of what can hardly be learned.
///
/// # Errors
/// [`ErrorKind::Dataset`] for a label of which nothing could be read.
fn check_training(
    config: &TrainConfig,
    training: &[Clip],
    dataset: &Dataset,
    parts: &Parts,
    on_event: &mut dyn FnMut(Event),
) -> Result<()> {
    if config.input().kind() == InputKind::Video && training.iter().all(|clip| clip.len == 1) {
        let message = "every training clip is a single picture; the frames of a video go into a folder of their own, \
                       within that of their label";
        on_event(Event::Warning(message.into()));
    }
    if let Some(label) = dataset.unheard_label(parts.train.iter().copied()) {
        let message =
            format!("no clip of label `{label}` in the training part could be read; the warnings say why");
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let counts = dataset.count_labels(parts.train.iter().copied());
    let rare = dataset.labels.iter().zip(counts).filter(|(_, count)| *count == 1);
    let rare: Vec<&str> = rare.map(|(label, _)| label.as_str()).collect();
    if !rare.is_empty() {
        let message =
            format!("labels with only one training clip: {}; they are hardly learned", some_of(&rare));
        on_event(Event::Warning(message));
    }
    Ok(())
}

/// Fresh weights, or those of the model to start from with a head that fits the labels.
fn first_weights(
    config: &TrainConfig,
    base: Option<&Model>,
    labels: &[String],
    on_event: &mut dyn FnMut(Event),
) -> Result<Weights> {
    let shape = frame_shape(&config.input());
    let fresh = Network::init(&config.network, shape, labels.len(), config.training.seed)?;
    let mut weights = fresh.into_iter().map(|(name, var)| (name, var.into_inner())).collect();
    if let Some(base) = base {
        on_event(Event::Message(transplant(&mut weights, base, labels)));
    }
    Ok(weights)
}

fn evaluate_items(
    model: &Model,
    dataset: &Dataset,
    indices: &[usize],
    options: &MediaOptions,
) -> Result<(Measured, Evaluated)> {
    let items: Vec<&Item> = indices.iter().map(|&i| &dataset.items[i]).collect();
    match model.header().task {
        Task::Classify => {
            let clips: Vec<_> = items.iter().map(|item| (&*item.path, item.labels()[0])).collect();
            let scored = score_files(&Classifier::new(model.clone())?, &clips, options, &|_| {});
            Ok((Measured::Clips(scored.evaluation()?), Evaluated::Clips(scored)))
        }
        Task::Tag => {
            let recordings = items.iter().map(|item| item.reference(&dataset.labels)).collect::<Vec<_>>();
            let tagger = Tagger::new(model.clone())?;
            let tagged = tag_recordings(&tagger, &recordings, options, &|_| {});
            let evaluation = tagged.evaluation(&tagger, DEFAULT_COLLAR)?;
            Ok((Measured::Frames(Box::new(evaluation)), Evaluated::Recordings(tagged)))
        }
    }
}

/// Clips of each part that have each label.
fn label_counts(dataset: &Dataset, parts: &Parts) -> [Vec<usize>; 3] {
    [&parts.train, &parts.validation, &parts.test].map(|part| dataset.count_labels(part.iter().copied()))
}

/// How scores become events where nobody has tuned it.
fn usual_decisions(config: &TrainConfig, dataset: &Dataset) -> Option<Decisions> {
    let num_labels = dataset.labels.len();
    let mut spans = dataset.items.iter().flat_map(Item::spans).peekable();
    let only_onsets = spans.peek().is_some() && spans.all(|span| span.onset == span.offset);
    let rule = match config.task() {
        Task::Classify => return None,
        Task::Tag if config.labels.exclusive => Rule::Exclusive(Exclusive {
            background: dataset.has_background.then_some(0),
            majority: false,
            min_length: 1,
            transition: None,
        }),
        Task::Tag if only_onsets => Rule::Onsets(Onsets { threshold: vec![0.5; num_labels], distance: 2 }),
        Task::Tag => Rule::Thresholds(Thresholds {
            high: vec![0.5; num_labels],
            low: 1.0,
            median: 1,
            max_gap: 0,
            min_length: 1,
        }),
    };
    Some(Decisions { temperature: 1.0, rule, tuned: None })
}

/// Reads the clips of parts.
struct Loader<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    maker: &'a ClipMaker<'a>,
    strict: bool,
    stop: &'a AtomicBool,
}

impl Loader<'_> {
    /// Reads the clips of a part, and says how long they are together, in seconds. One that cannot be read is left out of
    /// `indices`, with a warning: a bad file does not cost the night; unless it is `strict`.
    fn load(
        &self,
        indices: &mut Vec<usize>,
        part: Part,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Clip>, f64)> {
        let Self { config, dataset, maker, strict, stop } = *self;
        let total = indices.len();
        let mut clips: Vec<Clip> = Vec::with_capacity(total);
        let mut read = Vec::with_capacity(total);
        let (mut from_cache, mut seconds, mut done) = (0, 0.0, 0);
        let changing = part == Part::Train && config.augment.enabled;
        for chunk in indices.chunks(FILES_AT_ONCE) {
            let load = |&index: &usize| (index, maker.load(&dataset.items[index], index, changing));
            let loaded: Vec<_> = chunk.par_iter().map(load).collect();
            for (index, result) in loaded {
                match result {
                    Ok(Loaded { clips: pieces, duration, warnings, cached }) => {
                        seconds += duration;
                        from_cache += usize::from(cached);
                        let path = dataset.items[index].path.display();
                        warnings
                            .into_iter()
                            .for_each(|warning| on_event(Event::Warning(format!("{path}: {warning}"))));
                        dataset.items[index].check_spans(duration)?;
                        read.push(index);
                        for mut clip in pieces {
                            clip.id = if config.task() == Task::Classify { index } else { clips.len() };
                            clips.push(clip);
                        }
                    }
                    Err(error) if strict => return Err(error),
                    Err(error) => {
                        on_event(Event::LeftOut(Failure::new(&dataset.items[index].path, &error)));
                    }
                }
            }
            if stop.load(Ordering::Relaxed) {
                return Err(stopped_too_early());
            }
            done += chunk.len();
            on_event(Event::Loading { done, total });
        }
        let part = if part == Part::Train { "training" } else { "validation" };
        if maker.has_cache() {
            let message = format!("{from_cache} of {} {part} files came from the cache", read.len());
            on_event(Event::Message(message));
        }
        let left = clips.iter().filter(|clip| !clip.is_held()).count();
        if left > 0 {
            on_event(Event::Message(format!(
                "{left} of {} {part} clips do not fit into memory ([data] memory_gb = {}): they are read again in \
                 each epoch{}",
                clips.len(),
                config.data.memory_gb,
                if maker.has_cache() { "" } else { ", which --cache makes faster" }
            )));
        }
        if clips.is_empty() && total > 0 {
            let message = format!("none of the {total} {part} clips could be read; the warnings say why");
            return Err(Error::new(ErrorKind::Dataset, message));
        }
        *indices = read;
        Ok((clips, seconds))
    }
}

/// Where the data lies on this machine is nobody's business, and the same training gives the same model anywhere.
fn without_folders(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    // Nor are how much memory it has, and what it keeps.
    let DataConfig { cache, cache_gb, memory_gb, .. } = DataConfig::default();
    config.data = DataConfig { cache, cache_gb, memory_gb, ..config.data };
    config.paths_mut().for_each(|path| *path = path.file_name().map(PathBuf::from).unwrap_or_default());
    let from = &mut config.training.from;
    *from = Path::new(from.as_str()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    config
}

fn part_sizes(parts: &Parts) -> BTreeMap<String, usize> {
    [("train", &parts.train), ("validation", &parts.validation), ("test", &parts.test)]
        .into_iter()
        .map(|(part, indices)| (part.to_string(), indices.len()))
        .collect()
}
