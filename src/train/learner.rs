//! The training loop: epochs, batches, their shards, validation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Var;
use candle_core::backprop::GradStore;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::batching::{self, Example};
use super::checkpoint::{Checkpoint, CheckpointHeader, Keeper};
use super::clip::{Clip, LastRead, bytes_per_frame};
use super::examples::ExampleMaker;
use super::feed::{Draw, ExampleSet, NextPool, with_pools};
use super::loss::{LabelWeights, Loss, count_correct, weight};
use super::mixup;
use super::optimizer::Optimizer;
use super::random::{Use, stream};
use super::running;
use super::sampling;
use super::{ClassWeights, Dataset, EpochMetrics, Event, Keep, Sampling, StopReason, TrainConfig};
use crate::error::some_of;
use crate::model::frame_shape;
use crate::nn::conv::is_running_statistic;
use crate::nn::{Network, NormStatistics, Weights};
use crate::{Error, ErrorKind, Result};

/// Memory that one shard of a batch may take in training, in bytes; a longer clip goes alone.
const SHARD_BYTES: usize = 512 << 20;

/// What may help where training diverges.
const ADVICE: &str = "lower the learning rate, or look at these clips";

/// What the loop ends with.
pub(super) struct Learned {
    pub weights: Weights,
    /// Epoch that the weights are of, from 1.
    pub kept_epoch: usize,
    pub history: Vec<EpochMetrics>,
    pub stop_reason: StopReason,
}

/// Whoever is told what happens, and may stop it.
pub(super) struct Watch<'a> {
    pub on_event: &'a mut dyn FnMut(Event),
    pub stop: &'a AtomicBool,
    /// When training began.
    pub start: Instant,
}

/// The network in training.
pub(super) struct Learner<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    examples: &'a ExampleMaker<'a>,
    /// All that the model will hold, by name: weights that gradients move, those that are frozen, and buffers (running
    /// statistics of batch norm).
    tensors: BTreeMap<String, Var>,
    /// Shares its storage with `tensors`: as those learn, so does it.
    network: Network,
}

/// Where a run stands between two batches.
struct Run {
    optimizer: Optimizer,
    loss: Loss,
    /// The running mean of what is not frozen, where weights are averaged.
    mean: Option<Weights>,
    /// What would be the model; `None` before the first epoch is over.
    kept: Option<Weights>,
    history: Vec<EpochMetrics>,
    keep: Keep,
}

/// What one shard of a batch gives.
struct Shard {
    gradients: GradStore,
    /// Of each batch norm, over its clips.
    statistics: Vec<NormStatistics>,
    /// Its part of the batch's mean loss.
    loss: f64,
    /// Clips, or frames, that were right.
    correct: f64,
}

/// How an epoch of learning ends.
enum Passed {
    Whole(Progress),
    Interrupted,
    /// Something was not finite: where, and what to do.
    Diverged(String),
}

impl<'a> Learner<'a> {
    /// `weights` are what it begins with, each under its name.
    pub fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        examples: &'a ExampleMaker<'a>,
        weights: Weights,
    ) -> Result<Self> {
        let freeze = config.training.freeze;
        let mut tensors = BTreeMap::new();
        let mut shared = Weights::new();
        for (name, weight) in weights {
            let var = Var::from_tensor(&weight)?;
            // No gradient is computed for what is no variable.
            let tensor = if freeze.holds(&name) { var.as_detached_tensor() } else { var.as_tensor().clone() };
            shared.insert(name.clone(), tensor);
            tensors.insert(name, var);
        }
        let shape = frame_shape(&examples.input);
        let network = Network::new(&config.network, shape, dataset.labels.len(), &shared)?;
        Ok(Self { config, dataset, examples, tensors, network })
    }

    /// All epochs, or as many as patience and the person allow; `resumed` are not run again.
    pub fn learn(
        &self,
        training: &ExampleSet,
        validation: &ExampleSet,
        header: CheckpointHeader,
        resumed: Option<Checkpoint>,
        keeper: &mut Keeper,
        watch: &mut Watch,
    ) -> Result<Learned> {
        let clips = training.clips();
        let mut run = self.begin(clips)?;
        let first = match resumed {
            Some(checkpoint) => self.restore(&mut run, checkpoint)?,
            None => 1,
        };
        let pools = (first..=self.config.training.epochs)
            .flat_map(|epoch| self.plan(epoch, clips).0.into_iter().map(move |pool| (epoch, pool)));
        with_pools(training, pools, |next_pool| {
            self.learn_from(first, clips, next_pool, validation, run, header, keeper, watch)
        })
    }

    /// The pools of an epoch, and the random numbers that go on behind them.
    fn plan(&self, epoch: usize, clips: &[Clip]) -> (Vec<Vec<Draw>>, ChaCha8Rng) {
        let settings = &self.config.training;
        let draws = self.draws(epoch, clips);
        let mut rng = stream(settings.seed, Use::Order { epoch: epoch as u32 });
        let pools = batching::pools(draws.len(), settings.batch_size, &mut rng);
        (pools.into_iter().map(|pool| pool.into_iter().map(|i| draws[i]).collect()).collect(), rng)
    }

    /// The epochs from `first` on; `next_pool` gives the clips in the order of [`Self::plan`].
    #[expect(clippy::too_many_arguments, reason = "all that a run is made of")]
    fn learn_from(
        &self,
        first: usize,
        clips: &[Clip],
        next_pool: &mut NextPool,
        validation: &ExampleSet,
        mut run: Run,
        header: CheckpointHeader,
        keeper: &mut Keeper,
        watch: &mut Watch,
    ) -> Result<Learned> {
        let settings = &self.config.training;
        let seconds_before = run.history.last().map_or(0.0, |epoch| epoch.seconds);
        let learning_began = Instant::now();
        for epoch in first..=settings.epochs {
            if self.is_patience_over(&run.history) {
                break;
            }
            let progress = match self.pass(epoch, clips, next_pool, &mut run, watch)? {
                Passed::Whole(progress) => progress,
                Passed::Interrupted => {
                    keeper.write(watch.on_event);
                    return run.end(StopReason::Interrupted);
                }
                Passed::Diverged(message) => return run.diverged(message, watch),
            };
            let weights = self.averaged(&run);
            let validated = self.validate(validation, &weights)?;
            if let Some((loss, _)) = validated.filter(|(loss, _)| !loss.is_finite()) {
                let message = format!("the validation loss is {loss} after epoch {epoch}; {ADVICE}");
                return run.diverged(message, watch);
            }
            let loss = validated.map(|(loss, _)| loss);
            let lowest = best(&run.history).and_then(|epoch| epoch.validation_loss);
            let is_best = match (loss, lowest) {
                (Some(loss), Some(lowest)) => loss < lowest,
                _ => true,
            };
            if is_best || settings.keep == Keep::Last {
                run.kept = Some(copied(&weights)?);
            }
            let elapsed = learning_began.elapsed().as_secs_f64();
            let metrics = EpochMetrics {
                epoch,
                train_loss: progress.loss(),
                train_accuracy: progress.correct / progress.weight,
                validation_loss: loss,
                validation_accuracy: validated.map(|(_, accuracy)| accuracy),
                learning_rate: run.optimizer.last_learning_rate(),
                best: is_best,
                seconds: seconds_before + watch.start.elapsed().as_secs_f64(),
            };
            run.history.push(metrics.clone());
            if keeper.is_on() {
                keeper.keep(self.checkpoint(&run, &header)?, watch.on_event);
            }
            let left = (settings.epochs - epoch) as f64;
            let eta_seconds = elapsed / (epoch + 1 - first) as f64 * left;
            (watch.on_event)(Event::Epoch { metrics, epochs: settings.epochs, eta_seconds });
        }
        let reason = match self.is_patience_over(&run.history) {
            true => StopReason::EarlyStopping,
            false => StopReason::Finished,
        };
        run.end(reason)
    }

    fn begin(&self, training: &[Clip]) -> Result<Run> {
        let settings = &self.config.training;
        let batches = training.len().div_ceil(settings.batch_size);
        let output = self.config.network.output;
        let weights = match settings.class_weights {
            ClassWeights::None => None,
            ClassWeights::Balanced => {
                Some(LabelWeights::balanced(&self.examples.label_counts(training), output))
            }
        };
        let loss =
            Loss { output, smoothing: settings.label_smoothing, weights, focal_gamma: settings.focal_gamma };
        let optimizer = Optimizer::new(self.trainable(), settings, settings.epochs * batches);
        Ok(Run { optimizer, loss, mean: None, kept: None, history: Vec::new(), keep: settings.keep })
    }

    /// Puts everything back as it was; gives the epoch that comes next.
    fn restore(&self, run: &mut Run, checkpoint: Checkpoint) -> Result<usize> {
        let Checkpoint { now, optimizer, mean, kept, history, .. } = checkpoint;
        let unfit = |name: &str| {
            let message = format!("the checkpoint does not fit: `{name}`; leave --resume out to start anew");
            Error::new(ErrorKind::Training, message)
        };
        for (name, var) in &self.tensors {
            let fits = |weights: &Weights| weights.get(name).is_some_and(|w| w.dims() == var.dims());
            let averaged = is_averaging(self.config) && !self.is_frozen(name);
            if !fits(&now) || !fits(&kept) || averaged != mean.as_ref().is_some_and(fits) {
                return Err(unfit(name));
            }
            var.set(&now[name])?;
        }
        run.optimizer.restore(optimizer)?;
        (run.mean, run.kept, run.history) = (mean, Some(kept), history);
        Ok(run.history.last().map_or(0, |epoch| epoch.epoch) + 1)
    }

    fn checkpoint(&self, run: &Run, header: &CheckpointHeader) -> Result<Checkpoint> {
        Ok(Checkpoint {
            header: header.clone(),
            now: copied(&self.weights())?,
            optimizer: run.optimizer.state(),
            mean: run.mean.clone(),
            kept: run.kept.clone().unwrap_or_default(),
            history: run.history.clone(),
        })
    }

    fn is_patience_over(&self, history: &[EpochMetrics]) -> bool {
        let settings = &self.config.training;
        let since = history.len() - best(history).map_or(0, |epoch| epoch.epoch);
        settings.keep == Keep::Best && settings.patience > 0 && since >= settings.patience
    }

    /// Learns from every clip of an epoch.
    fn pass(
        &self,
        epoch: usize,
        clips: &[Clip],
        next_pool: &mut NextPool,
        run: &mut Run,
        watch: &mut Watch,
    ) -> Result<Passed> {
        let settings = &self.config.training;
        let augment = &self.config.augment;
        let batches = clips.len().div_ceil(settings.batch_size);
        let (pools, mut rng) = self.plan(epoch, clips);
        let mut progress = Progress::default();
        for _ in pools {
            let pool = next_pool()?;
            for batch in batching::batches(&pool, settings.batch_size, &mut rng) {
                let mixed = match augment.enabled && augment.mixup > 0.0 {
                    true => mixup::mixed(&batch, augment.mixup, settings.seed, epoch),
                    false => Vec::new(),
                };
                let learned = if mixed.is_empty() { batch.clone() } else { mixed.iter().collect() };
                let done = match self.step(&learned, run)? {
                    Ok(done) => done,
                    Err(what) => {
                        let (number, files) = (progress.batches + 1, self.files_of(&batch));
                        let place = format!("in epoch {epoch}, batch {number} of {batches} ({files})");
                        return Ok(Passed::Diverged(format!("{what} {place}; {ADVICE}")));
                    }
                };
                progress.add(done, weight(&learned));
                (watch.on_event)(Event::Batch {
                    epoch,
                    epochs: settings.epochs,
                    done: progress.batches,
                    total: batches,
                    loss: progress.loss(),
                });
                if watch.stop.load(Ordering::Relaxed) {
                    return Ok(Passed::Interrupted);
                }
            }
        }
        Ok(Passed::Whole(progress))
    }

    /// The clips of an epoch, and how often each was drawn before.
    fn draws(&self, epoch: usize, training: &[Clip]) -> Vec<Draw> {
        let clips: Vec<usize> = match self.config.training.sampling {
            Sampling::Shuffled => (0..training.len()).collect(),
            Sampling::Balanced => {
                let labels: Vec<_> = training.iter().map(|clip| self.examples.labels_in(clip)).collect();
                let mut rng = stream(self.config.training.seed, Use::Sampling { epoch: epoch as u32 });
                sampling::balanced(&labels, self.dataset.labels.len(), &mut rng)
            }
        };
        let mut times = vec![0; training.len()];
        clips
            .into_iter()
            .map(|clip| {
                times[clip] += 1;
                Draw { clip, again: times[clip] - 1 }
            })
            .collect()
    }

    /// One step. What is not finite is no error but the inner one, in words: nothing was learned then.
    fn step(&self, batch: &[&Example], run: &mut Run) -> Result<std::result::Result<Done, String>> {
        let shards = self.gradients(batch, run)?;
        let loss: f64 = shards.iter().map(|shard| shard.loss).sum();
        if !loss.is_finite() {
            return Ok(Err(format!("the loss is {loss}")));
        }
        let correct = shards.iter().map(|shard| shard.correct).sum();
        let (gradients, statistics): (Vec<_>, Vec<_>) =
            shards.into_iter().map(|shard| (shard.gradients, shard.statistics)).unzip();
        if !run.optimizer.step(&gradients)? {
            return Ok(Err("the gradient is not finite".into()));
        }
        running::follow(&self.tensors, &statistics)?;
        if is_averaging(self.config) {
            run.mean = Some(self.next_mean(run.mean.take(), run.optimizer.steps())?);
        }
        Ok(Ok(Done { loss, correct }))
    }

    /// Runs a batch's shards side by side; they come back in their order.
    fn gradients(&self, batch: &[&Example], run: &Run) -> Result<Vec<Shard>> {
        let total = weight(batch);
        let step = run.optimizer.steps();
        let frames = batch.iter().map(|example| example.features.frames);
        batching::shards(frames, SHARD_BYTES / bytes_per_frame(self.config))
            .into_par_iter()
            .enumerate()
            .map(|(shard, range)| {
                let examples = &batch[range];
                let purpose = Use::Dropout { step: step as u32, shard: shard as u32 };
                let mut rng = stream(self.config.training.seed, purpose);
                let (x, lengths) = batching::pad(examples)?;
                let (logits, statistics) = self.network.train(&x, &lengths, &mut rng)?;
                let loss = (run.loss.sum(&logits, examples)? / total.max(1.0))?;
                let correct = count_correct(&logits, examples, run.loss.output)?;
                let gradients = loss.backward()?;
                Ok(Shard { gradients, statistics, loss: f64::from(loss.to_scalar::<f32>()?), correct })
            })
            .collect()
    }

    /// Mean loss and accuracy on the validation part, if there is one.
    fn validate(&self, validation: &ExampleSet, weights: &Weights) -> Result<Option<(f64, f64)>> {
        if validation.is_empty() {
            return Ok(None);
        }
        let output = self.config.network.output;
        let loss = Loss::plain(output);
        let shape = frame_shape(&self.examples.input);
        let network = Network::new(&self.config.network, shape, self.dataset.labels.len(), weights)?;
        let frames = validation.frames();
        let order = batching::by_length(&frames);
        let frames = order.iter().map(|&i| frames[i]);
        let shards: Vec<(f64, f64)> = batching::shards(frames, SHARD_BYTES / bytes_per_frame(self.config))
            .into_par_iter()
            .map(|shard| {
                let mut last = LastRead::default();
                let examples = order[shard].iter().map(|&i| validation.unchanged(i, &mut last));
                let examples = examples.collect::<Result<Vec<_>>>()?;
                let examples: Vec<&Example> = examples.iter().map(|example| &**example).collect();
                let (x, lengths) = batching::pad(&examples)?;
                let logits = network.forward(&x, &lengths, None)?;
                let loss = loss.sum(&logits, &examples)?.to_scalar::<f32>()?;
                Ok((f64::from(loss), count_correct(&logits, &examples, output)?))
            })
            .collect::<Result<_>>()?;
        let total = validation.weight();
        let loss = shards.iter().map(|(loss, _)| loss).sum::<f64>() / total;
        let correct: f64 = shards.iter().map(|(_, correct)| correct).sum();
        Ok(Some((loss, correct / total)))
    }

    fn is_frozen(&self, name: &str) -> bool {
        self.config.training.freeze.holds(name)
    }

    /// What gradients move.
    fn trainable(&self) -> BTreeMap<String, Var> {
        let trainable =
            self.tensors.iter().filter(|(name, _)| !self.is_frozen(name) && !is_running_statistic(name));
        trainable.map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The tensors as they are now and as they become; they are no variables, so nothing is kept for a way back.
    fn weights(&self) -> Weights {
        self.tensors.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// What is validated and stored: the mean of what was averaged, the rest as it is.
    fn averaged(&self, run: &Run) -> Weights {
        let mut weights = self.weights();
        weights.extend(run.mean.clone().into_iter().flatten());
        weights
    }

    /// The running mean after `step` steps; young means forget faster. What is frozen is left out, as rounding would move it.
    fn next_mean(&self, mean: Option<Weights>, step: usize) -> Result<Weights> {
        let now = self.weights().into_iter().filter(|(name, _)| !self.is_frozen(name));
        let Some(mean) = mean else { return copied(&now.collect()) };
        let kept = self.config.training.weight_averaging.min((1.0 + step as f64) / (10.0 + step as f64));
        now.zip(mean.into_values())
            .map(|((name, now), mean)| Ok((name, ((mean * kept)? + (now * (1.0 - kept))?)?)))
            .collect()
    }

    /// The files of a batch, by name.
    fn files_of(&self, batch: &[&Example]) -> String {
        let mut items: Vec<usize> = batch.iter().map(|example| example.item).collect();
        items.sort_unstable();
        items.dedup();
        let paths = items.iter().map(|&item| self.dataset.items[item].path.display().to_string());
        some_of(&paths.collect::<Vec<_>>())
    }
}

impl Run {
    /// # Errors
    /// [`ErrorKind::Interrupted`] where no epoch is over.
    fn end(self, stop_reason: StopReason) -> Result<Learned> {
        let weights = self.kept.ok_or_else(stopped_too_early)?;
        let last = self.history.last().map_or(0, |epoch| epoch.epoch);
        let kept_epoch = match self.keep {
            Keep::Best => best(&self.history).map_or(last, |epoch| epoch.epoch),
            Keep::Last => last,
        };
        Ok(Learned { weights, kept_epoch, history: self.history, stop_reason })
    }

    /// What was learned before is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] where no epoch is over.
    fn diverged(self, message: String, watch: &mut Watch) -> Result<Learned> {
        if self.kept.is_none() {
            return Err(Error::new(ErrorKind::Training, message));
        }
        (watch.on_event)(Event::Warning(format!("training stopped, as {message}")));
        self.end(StopReason::Diverged)
    }
}

/// The epoch with the lowest validation loss; without a validation part, the last.
fn best(history: &[EpochMetrics]) -> Option<&EpochMetrics> {
    history.iter().rev().find(|epoch| epoch.best)
}

fn is_averaging(config: &TrainConfig) -> bool {
    config.training.weight_averaging > 0.0
}

/// Weights in storage of their own.
fn copied(weights: &Weights) -> Result<Weights> {
    weights.iter().map(|(name, weight)| Ok((name.clone(), weight.copy()?))).collect()
}

pub(super) fn stopped_too_early() -> Error {
    Error::new(ErrorKind::Interrupted, "stopped before the first epoch was over; there is no model to keep")
}

/// What a step has come to.
struct Done {
    /// Mean over the batch.
    loss: f64,
    /// Clips, or frames, that were right.
    correct: f64,
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
    fn add(&mut self, done: Done, weight: f64) {
        self.loss_sum += done.loss * weight;
        self.correct += done.correct;
        self.weight += weight;
        self.batches += 1;
    }

    fn loss(&self) -> f64 {
        self.loss_sum / self.weight
    }
}
