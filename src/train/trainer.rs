//! The training loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Tensor, Var};
use candle_nn::ops::log_softmax;
use rayon::prelude::*;

use super::batching::{self, Example, Target};
use super::clip::{Clip, ClipMaker, Frames, Loaded, Material, bytes_per_frame, load_embedding, resolve};
use super::fingerprint::fingerprint;
use super::optimizer::Optimizer;
use super::random::{Use, stream};
use super::split::{Parts, split};
use super::targets::{Targeter, TimeMap};
use super::{Dataset, Event, Item, Outcome, StopReason, TrainConfig, Truth};
use crate::decide::{Decisions, Exclusive, Onsets, Rule, Thresholds};
use crate::evaluate::{DEFAULT_COLLAR, Failure, Measured, evaluate_files, evaluate_recordings};
use crate::features::{InputConfig, Normalization, Normalize, Statistics};
use crate::media::MediaOptions;
use crate::model::{FORMAT_VERSION, Model, ModelHeader, Provenance, Task, check_label, frame_shape};
use crate::nn::{Network, OutputKind, Weights};
use crate::pipeline::{Classifier, Tagger};
use crate::{Error, ErrorKind, Result, TOOL};

/// Most samples, or as much in pictures or vectors, that are held in memory at once, all clips together: 8 GiB.
const MAX_NUMBERS_IN_MEMORY: usize = 2 << 30;
/// Files that are read between two looks at the limit and two reports of progress.
const FILES_AT_ONCE: usize = 64;

/// Memory that one shard of a batch may take in training, in bytes; a longer clip goes alone.
const SHARD_BYTES: usize = 512 << 20;

/// Trains the model that `config` describes and names it `name`.
///
/// `on_event` hears what happens as it happens. Setting `stop` ends training after the batch at hand; the best
/// epoch so far is kept. The best epoch is the one of the lowest validation loss; without a validation part, the
/// last. The same data, settings and seed give the same model, bit for bit, on any number of threads.
///
/// # Errors
/// Settings out of range; data that cannot be split; no clip that can be read; a loss that is no number;
/// [`ErrorKind::Interrupted`] where `stop` was set before the first epoch was over.
pub fn train(
    config: &TrainConfig,
    name: &str,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let start = Instant::now();
    config.validate()?;
    check_label(name)?;
    let mut config = config.clone();
    config.network = config.resolved_network();
    let mut dataset = match config.task() {
        Task::Classify => Dataset::load(&config.data)?,
        Task::Tag => Dataset::load_timed(&config.data, &config.labels)?,
    };
    dataset.messages.extend(resolve(&mut config, &dataset)?);
    let config = &config;
    let mut parts = split(&dataset, &config.data, config.training.seed)?;
    for message in dataset.messages.iter().chain(&parts.messages) {
        on_event(Event::Message(message.clone()));
    }
    let input = config.input();
    let skipped = match &input {
        InputConfig::Audio(features) => config.augment.skipped_for(features),
        InputConfig::Vectors(_) if config.augment.enabled => Some("vectors are not augmented".to_string()),
        InputConfig::Video(_) if config.augment.enabled && input.embedding().is_some() => Some(
            "embeddings are those of the unchanged pictures: only the other features are augmented".into(),
        ),
        _ => None,
    };
    input.warnings().into_iter().chain(skipped).for_each(|warning| on_event(Event::Warning(warning)));

    let embedding = load_embedding(config)?;
    let maker = ClipMaker::new(config, &dataset.labels, embedding.as_ref())?;
    let (training, seconds) =
        load_part(&dataset, &mut parts.train, "training", &maker, config, on_event, stop)?;
    if training
        .iter()
        .all(|clip| matches!(&clip.material, Material::Pictures(pictures) if pictures.len() == 1))
    {
        let message = "every training clip is a single picture; the frames of a video go into a folder of their own, \
                       within that of their label";
        on_event(Event::Warning(message.into()));
    }
    let (validation, more) =
        load_part(&dataset, &mut parts.validation, "validation", &maker, config, on_event, stop)?;
    if let Some(label) = dataset.unheard_label(parts.train.iter().copied()) {
        let message =
            format!("no clip of label `{label}` in the training part could be read; the warnings say why");
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let fingerprint = fingerprint(&dataset, &parts)?;
    fingerprint.warnings.into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    on_event(Event::Loaded { clips: parts.train.len() + parts.validation.len(), seconds: seconds + more });

    let learner = Learner::new(config, &dataset, maker, &training)?;
    let learned = learner.learn(&training, &learner.examples(&validation)?, on_event, stop, start)?;

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
        learner.normalization.clone(),
        embedding.clone(),
        learned.weights.clone(),
        precision,
    )?;
    let mut evaluate = |part: &str, indices: &[usize]| {
        // Whoever stopped it wants the model now.
        if indices.is_empty() || learned.stop_reason == StopReason::Interrupted {
            return None;
        }
        on_event(Event::Message(format!("evaluating on the {part} part: {} clips", indices.len())));
        // What has been learned is not thrown away over files that cannot be read.
        evaluate_items(&model, &dataset, indices, &config.data.media())
            .map_err(|error| on_event(Event::Warning(format!("the {part} part was not evaluated: {error}"))))
            .ok()
    };
    let validation = evaluate("validation", &parts.validation);
    let test = evaluate("test", &parts.test);
    for (part, evaluation) in [("validation", &validation), ("test", &test)] {
        for (name, value) in evaluation.iter().flat_map(Measured::metrics) {
            header.provenance.metrics.insert(format!("{part}_{name}"), value);
        }
    }
    let model = Model::with_embedding(header, learner.normalization, embedding, learned.weights, precision)?;
    Ok(Outcome {
        model,
        validation,
        test,
        best_epoch: learned.best_epoch,
        epochs: learned.epochs,
        stop_reason: learned.stop_reason,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn evaluate_items(
    model: &Model,
    dataset: &Dataset,
    indices: &[usize],
    options: &MediaOptions,
) -> Result<Measured> {
    let items: Vec<&Item> = indices.iter().map(|&i| &dataset.items[i]).collect();
    match model.header().task {
        Task::Classify => {
            let clips: Vec<_> = items.iter().map(|item| (&*item.path, item.labels()[0])).collect();
            let classifier = Classifier::new(model.clone())?;
            evaluate_files(&classifier, &clips, options, &|_| {}).map(Measured::Clips)
        }
        Task::Tag => {
            let recordings = items.iter().map(|item| item.reference(&dataset.labels)).collect::<Vec<_>>();
            let tagger = Tagger::new(model.clone())?;
            evaluate_recordings(&tagger, &recordings, options, DEFAULT_COLLAR, &|_| {})
                .map(|evaluation| Measured::Frames(Box::new(evaluation)))
        }
    }
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

/// What the loop ends with.
struct Learned {
    weights: Weights,
    best_epoch: usize,
    epochs: usize,
    stop_reason: StopReason,
}

/// Reads the clips of a part, and says how long they are together, in seconds. One that cannot be read is left out of
/// `indices`, with a warning: a bad file does not cost the night.
fn load_part(
    dataset: &Dataset,
    indices: &mut Vec<usize>,
    part: &str,
    maker: &ClipMaker,
    config: &TrainConfig,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(Vec<Clip>, f64)> {
    let total = indices.len();
    let mut clips: Vec<Clip> = Vec::with_capacity(total);
    let mut read = Vec::with_capacity(total);
    let (mut numbers, mut seconds, mut done) = (0, 0.0, 0);
    for chunk in indices.chunks(FILES_AT_ONCE) {
        let loaded: Vec<_> =
            chunk.par_iter().map(|&index| (index, maker.load(&dataset.items[index]))).collect();
        for (index, result) in loaded {
            match result {
                Ok(Loaded { material, duration, warnings }) => {
                    numbers += material.size();
                    seconds += duration;
                    let path = dataset.items[index].path.display();
                    warnings
                        .into_iter()
                        .for_each(|warning| on_event(Event::Warning(format!("{path}: {warning}"))));
                    dataset.items[index].check_spans(duration)?;
                    read.push(index);
                    match config.task() {
                        Task::Classify => clips.push(Clip { material, index, start: 0, id: index }),
                        Task::Tag => maker.cut(&material, index, &mut clips),
                    }
                }
                Err(error) => {
                    on_event(Event::LeftOut(Failure::new(&dataset.items[index].path, &error)));
                }
            }
        }
        if numbers > MAX_NUMBERS_IN_MEMORY {
            let message = format!(
                "the {part} clips take more than {} GB of memory together; use fewer clips, a lower sample_rate or \
                 frame_rate, or smaller pictures",
                (4 * MAX_NUMBERS_IN_MEMORY) >> 30
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(stopped_too_early());
        }
        done += chunk.len();
        on_event(Event::Loading { done, total });
    }
    if clips.is_empty() && total > 0 {
        let message = format!("none of the {total} {part} clips could be read; the warnings say why");
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    *indices = read;
    Ok((clips, seconds))
}

/// Where the data lies on this machine is nobody's business, and the same training gives the same model anywhere.
fn without_folders(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    let data = &mut config.data;
    let data = [&mut data.directory, &mut data.manifest, &mut data.embedding_weights];
    for path in data.into_iter().chain([&mut config.labels.source]).flatten() {
        *path = path.file_name().map(PathBuf::from).unwrap_or_default();
    }
    config
}

fn part_sizes(parts: &Parts) -> BTreeMap<String, usize> {
    [("train", &parts.train), ("validation", &parts.validation), ("test", &parts.test)]
        .into_iter()
        .map(|(part, indices)| (part.to_string(), indices.len()))
        .collect()
}

fn stopped_too_early() -> Error {
    Error::new(ErrorKind::Interrupted, "stopped before the first epoch was over; there is no model to keep")
}

/// The network in training and all that turns clips into what it learns from.
struct Learner<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    targeter: Targeter,
    maker: ClipMaker<'a>,
    input: InputConfig,
    normalization: Option<Normalization>,
    vars: BTreeMap<String, Var>,
    network: Network,
}

impl<'a> Learner<'a> {
    fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        maker: ClipMaker<'a>,
        training: &[Clip],
    ) -> Result<Self> {
        let (input, classes) = (config.input(), dataset.labels.len());
        let shape = frame_shape(&input);
        let targeter = Targeter::new(&config.labels, classes, dataset.has_background);
        let vars = Network::init(&config.network, shape, classes, config.training.seed)?;
        // They share their storage with `vars`: as those learn, so does the network.
        let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let network = Network::new(&config.network, shape, classes, &weights)?;
        let normalize = input.normalize();
        let mut learner =
            Self { config, dataset, targeter, maker, input, normalization: None, vars, network };
        if normalize == Normalize::Training {
            learner.normalization = Some(learner.statistics(training)?);
        }
        Ok(learner)
    }

    /// Mean and deviation over the training clips, merged in their order whatever the number of threads.
    fn statistics(&self, clips: &[Clip]) -> Result<Normalization> {
        let each: Vec<Statistics> = clips
            .par_iter()
            .map(|clip| Ok(Statistics::of(&self.maker.features(&clip.material)?)))
            .collect::<Result<_>>()?;
        let mut all = Statistics::default();
        each.iter().for_each(|statistics| all.merge(statistics));
        Ok(self.input.pooled(all.finish()?))
    }

    /// Clips as they are, analysed and normalised.
    fn examples(&self, clips: &[Clip]) -> Result<Vec<Example>> {
        let unchanged = |clip: &Clip| {
            let features = self.maker.features(&clip.material)?;
            self.example(Frames::unchanged(features), clip)
        };
        clips.par_iter().map(unchanged).collect()
    }

    fn example(&self, frames: Frames, clip: &Clip) -> Result<Example> {
        let Frames { mut features, stretch, delay, reversed, becomes } = frames;
        self.input.normalize().apply(self.normalization.as_ref(), &mut features);
        let target = match &self.dataset.items[clip.index].truth {
            Truth::Label(label) => Target::Clip(becomes.map_or(*label, |becomes| becomes[*label])),
            Truth::Spans(spans) => {
                let clock = self.input.clock();
                let map = TimeMap {
                    frames_per_second: f64::from(clock.sample_rate) * stretch / clock.hop_length as f64,
                    shift: (delay - clip.start as f64 * stretch) / self.maker.hop(),
                };
                let mut targets = self.targeter.targets(spans, features.frames, map);
                if reversed {
                    targets.reverse();
                }
                if let Some(becomes) = becomes {
                    targets.rename(&becomes);
                }
                Target::Frames(targets)
            }
        };
        Ok(Example { features, target })
    }

    /// A training clip, changed as it is in `epoch`.
    fn augmented(&self, clip: &Clip, epoch: usize) -> Result<Example> {
        let purpose = Use::Augment { epoch: epoch as u32, clip: clip.id as u32 };
        let mut rng = stream(self.config.training.seed, purpose);
        self.example(self.maker.augmented(&clip.material, &mut rng)?, clip)
    }

    /// All epochs, or as many as patience and the person allow.
    fn learn(
        &self,
        training: &[Clip],
        validation: &[Example],
        on_event: &mut dyn FnMut(Event),
        stop: &AtomicBool,
        start: Instant,
    ) -> Result<Learned> {
        let settings = &self.config.training;
        let batches = training.len().div_ceil(settings.batch_size);
        let mut optimizer =
            Optimizer::new(self.vars.values().cloned().collect(), settings, settings.epochs * batches)?;
        // Without changes a clip's frames are the same in every epoch.
        let unchanged = match self.config.augment.enabled {
            true => Vec::new(),
            false => self.examples(training)?,
        };
        let learning_began = Instant::now();
        let mut best: Option<(usize, f64, Weights)> = None;
        let mut mean = None;
        for epoch in 1..=settings.epochs {
            let mut rng = stream(settings.seed, Use::Order { epoch: epoch as u32 });
            let mut progress = Progress::default();
            for pool in batching::pools(training.len(), settings.batch_size, &mut rng) {
                let pool: Vec<Example> = match self.config.augment.enabled {
                    true => pool
                        .par_iter()
                        .map(|&i| self.augmented(&training[i], epoch))
                        .collect::<Result<_>>()?,
                    false => pool.iter().map(|&i| unchanged[i].clone()).collect(),
                };
                for batch in batching::batches(&pool, settings.batch_size, &mut rng) {
                    let (gradients, loss, correct) = self.gradients(&batch, optimizer.steps())?;
                    optimizer.step(gradients)?;
                    if settings.weight_averaging > 0.0 {
                        mean = Some(self.averaged(mean.take(), optimizer.steps())?);
                    }
                    progress.add(loss, correct, weight(&batch));
                    if !loss.is_finite() {
                        let message = format!("the loss is {loss} in epoch {epoch}; lower the learning rate");
                        return Err(Error::new(ErrorKind::Training, message));
                    }
                    on_event(Event::Batch {
                        epoch,
                        done: progress.batches,
                        total: batches,
                        loss: progress.loss(),
                    });
                    if stop.load(Ordering::Relaxed) {
                        return interrupted(best, epoch - 1);
                    }
                }
            }
            // Weights that are no variables: nothing is kept for a way back.
            let weights = match &mean {
                Some(mean) => mean.clone(),
                None => {
                    self.vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
                }
            };
            let validated = self.validate(validation, &weights)?;
            let loss = validated.as_ref().map(|(loss, _)| *loss);
            let better = match (loss, &best) {
                (Some(loss), Some((_, lowest, _))) => loss < *lowest,
                _ => true,
            };
            if better {
                best = Some((epoch, loss.unwrap_or(f64::INFINITY), copied(&weights)?));
            }
            let elapsed = learning_began.elapsed().as_secs_f64();
            on_event(Event::Epoch {
                epoch,
                epochs: settings.epochs,
                train_loss: progress.loss(),
                train_accuracy: progress.correct / progress.weight,
                validation_loss: loss,
                validation_accuracy: validated.map(|(_, accuracy)| accuracy),
                best: better,
                elapsed_seconds: start.elapsed().as_secs_f64(),
                eta_seconds: elapsed / epoch as f64 * (settings.epochs - epoch) as f64,
            });
            if let Some((best_epoch, _, weights)) = &best
                && settings.patience > 0
                && epoch - best_epoch >= settings.patience
            {
                return Ok(Learned {
                    weights: weights.clone(),
                    best_epoch: *best_epoch,
                    epochs: epoch,
                    stop_reason: StopReason::EarlyStopping,
                });
            }
        }
        let (best_epoch, _, weights) = best.ok_or_else(stopped_too_early)?;
        Ok(Learned { weights, best_epoch, epochs: settings.epochs, stop_reason: StopReason::Finished })
    }

    /// Gradients of each shard, the mean loss of the batch, and the clips that were right.
    fn gradients(&self, batch: &[&Example], step: usize) -> Result<(Vec<GradStore>, f64, f64)> {
        let total = weight(batch);
        let frames = batch.iter().map(|example| example.features.frames);
        let shards: Vec<(GradStore, f64, f64)> =
            batching::shards(frames, SHARD_BYTES / bytes_per_frame(self.config))
                .into_par_iter()
                .enumerate()
                .map(|(shard, range)| {
                    let examples = &batch[range];
                    let purpose = Use::Dropout { step: step as u32, shard: shard as u32 };
                    let mut rng = stream(self.config.training.seed, purpose);
                    let (x, lengths) = batching::pad(examples)?;
                    let logits = self.network.forward(&x, &lengths, Some(&mut rng))?;
                    let loss = (self.loss(&logits, examples, self.config.training.label_smoothing)?
                        / total.max(1.0))?;
                    let correct = count_correct(&logits, examples, self.config.network.output)?;
                    Ok((loss.backward()?, f64::from(loss.to_scalar::<f32>()?), correct))
                })
                .collect::<Result<_>>()?;
        let loss = shards.iter().map(|(_, loss, _)| loss).sum();
        let correct = shards.iter().map(|(_, _, correct)| correct).sum();
        Ok((shards.into_iter().map(|(gradients, _, _)| gradients).collect(), loss, correct))
    }

    /// Summed over the clips, or over their frames: cross-entropy for softmax, binary cross-entropy for sigmoid, in nats.
    fn loss(&self, logits: &Tensor, examples: &[&Example], smoothing: f64) -> Result<Tensor> {
        let classes = self.dataset.labels.len();
        let off = (smoothing / classes as f64) as f32;
        let on = (1.0 - smoothing) as f32 + off;
        let rows = logits.elem_count() / examples.len();
        let mut target = vec![off; logits.elem_count()];
        let mut weights = vec![0f32; logits.elem_count() / classes];
        let each = target.chunks_exact_mut(rows).zip(weights.chunks_exact_mut(rows / classes));
        for ((target, weights), example) in each.zip(examples) {
            match &example.target {
                Target::Clip(label) => {
                    target[*label] = on;
                    weights[0] = 1.0;
                }
                Target::Frames(truth) => {
                    weights[..truth.weights.len()].copy_from_slice(&truth.weights);
                    for (target, value) in target.iter_mut().zip(&truth.values) {
                        *target += value * (on - off);
                    }
                }
            }
        }
        let target = Tensor::from_vec(target, logits.shape(), &Device::Cpu)?;
        let mut shape = logits.dims().to_vec();
        shape[logits.rank() - 1] = 1;
        let weights = Tensor::from_vec(weights, shape, &Device::Cpu)?;
        let each = match self.config.network.output {
            OutputKind::Softmax => (log_softmax(logits, D::Minus1)? * target)?.neg()?,
            // max(x, 0) - x·t + ln(1 + e^-|x|) never overflows.
            OutputKind::Sigmoid => {
                let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
                ((logits.relu()? - (logits * target)?)? + tail)?
            }
        };
        Ok(each.broadcast_mul(&weights)?.sum_all()?)
    }

    /// Mean loss and accuracy on the validation part, if there is one.
    fn validate(&self, validation: &[Example], weights: &Weights) -> Result<Option<(f64, f64)>> {
        if validation.is_empty() {
            return Ok(None);
        }
        let classes = self.dataset.labels.len();
        let network = Network::new(&self.config.network, frame_shape(&self.input), classes, weights)?;
        let order = batching::by_length(validation);
        let frames = order.iter().map(|&i| validation[i].features.frames);
        let shards: Vec<(f64, f64)> = batching::shards(frames, SHARD_BYTES / bytes_per_frame(self.config))
            .into_par_iter()
            .map(|shard| {
                let examples: Vec<&Example> = order[shard].iter().map(|&i| &validation[i]).collect();
                let (x, lengths) = batching::pad(&examples)?;
                let logits = network.forward(&x, &lengths, None)?;
                let loss = self.loss(&logits, &examples, 0.0)?.to_scalar::<f32>()?;
                Ok((f64::from(loss), count_correct(&logits, &examples, self.config.network.output)?))
            })
            .collect::<Result<_>>()?;
        let total = validation.iter().map(Example::weight).sum::<f64>();
        let loss = shards.iter().map(|(loss, _)| loss).sum::<f64>() / total;
        let correct: f64 = shards.iter().map(|(_, correct)| correct).sum();
        Ok(Some((loss, correct / total)))
    }

    /// The running mean of the weights after `step` steps; young means forget faster.
    fn averaged(&self, mean: Option<Weights>, step: usize) -> Result<Weights> {
        let now = |var: &Var| var.as_detached_tensor();
        let Some(mean) = mean else {
            return self.vars.iter().map(|(name, var)| Ok((name.clone(), now(var).copy()?))).collect();
        };
        let kept = self.config.training.weight_averaging.min((1.0 + step as f64) / (10.0 + step as f64));
        let each = self.vars.iter().zip(mean.into_values());
        each.map(|((name, var), mean)| Ok((name.clone(), ((mean * kept)? + (now(var) * (1.0 - kept))?)?)))
            .collect()
    }
}

/// Weights in storage of their own.
fn copied(weights: &Weights) -> Result<Weights> {
    weights.iter().map(|(name, weight)| Ok((name.clone(), weight.copy()?))).collect()
}

fn interrupted(best: Option<(usize, f64, Weights)>, epochs: usize) -> Result<Learned> {
    let (best_epoch, _, weights) = best.ok_or_else(stopped_too_early)?;
    Ok(Learned { weights, best_epoch, epochs, stop_reason: StopReason::Interrupted })
}

/// What an epoch has come to so far.
#[derive(Default)]
struct Progress {
    loss_sum: f64,
    correct: f64,
    weight: f64,
    batches: usize,
}

impl Progress {
    fn add(&mut self, mean_loss: f64, correct: f64, weight: f64) {
        self.loss_sum += mean_loss * weight;
        self.correct += correct;
        self.weight += weight;
        self.batches += 1;
    }

    fn loss(&self) -> f64 {
        self.loss_sum / self.weight
    }
}

/// Clips, or frames of which something is known.
fn weight(examples: &[&Example]) -> f64 {
    examples.iter().map(|example| example.weight()).sum()
}

/// Clips that are right; or frames in which every label is.
fn count_correct(logits: &Tensor, examples: &[&Example], output: OutputKind) -> Result<f64> {
    let classes = logits.dim(D::Minus1)?;
    let rows = logits.elem_count() / examples.len();
    let values = logits.flatten_all()?.to_vec1::<f32>()?;
    let best = |row: &[f32]| (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    let mut correct = 0.0;
    for (values, example) in values.chunks_exact(rows).zip(examples) {
        match &example.target {
            Target::Clip(label) => correct += f64::from(u8::from(best(values) == *label)),
            Target::Frames(truth) => {
                let frames = values.chunks_exact(classes).zip(truth.values.chunks_exact(classes));
                for ((logits, truth), &weight) in frames.zip(&truth.weights) {
                    let right = match output {
                        OutputKind::Softmax => truth[best(logits)] == 1.0,
                        OutputKind::Sigmoid => {
                            logits.iter().zip(truth).all(|(l, t)| (*l > 0.0) == (*t > 0.5))
                        }
                    };
                    correct += f64::from(weight) * f64::from(u8::from(right));
                }
            }
        }
    }
    Ok(correct)
}
