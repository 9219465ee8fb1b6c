//! The training loop: epochs, batches, their shards, validation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Var;
use candle_core::backprop::GradStore;
use rayon::prelude::*;

use super::batching::{self, Example};
use super::clip::{Clip, bytes_per_frame};
use super::examples::ExampleMaker;
use super::loss::{Loss, count_correct, weight};
use super::optimizer::Optimizer;
use super::random::{Use, stream};
use super::running;
use super::{Event, StopReason, TrainConfig};
use crate::model::frame_shape;
use crate::nn::conv::is_running_statistic;
use crate::nn::{Network, NormStatistics, Weights};
use crate::{Error, ErrorKind, Result};

/// Memory that one shard of a batch may take in training, in bytes; a longer clip goes alone.
const SHARD_BYTES: usize = 512 << 20;

/// What the loop ends with.
pub(super) struct Learned {
    pub weights: Weights,
    pub best_epoch: usize,
    pub epochs: usize,
    pub stop_reason: StopReason,
}

/// The network in training.
pub(super) struct Learner<'a> {
    config: &'a TrainConfig,
    pub examples: ExampleMaker<'a>,
    num_labels: usize,
    /// All that the model will hold, by name: weights that gradients move, and buffers (running statistics of batch norm)
    /// that they do not.
    tensors: BTreeMap<String, Var>,
    /// Shares its storage with `tensors`: as those learn, so does it.
    network: Network,
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

/// The epoch with the lowest validation loss so far.
struct Best {
    epoch: usize,
    loss: f64,
    weights: Weights,
}

impl<'a> Learner<'a> {
    pub fn new(config: &'a TrainConfig, examples: ExampleMaker<'a>, num_labels: usize) -> Result<Self> {
        let shape = frame_shape(&examples.input);
        let tensors = Network::init(&config.network, shape, num_labels, config.training.seed)?;
        let shared = tensors.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let network = Network::new(&config.network, shape, num_labels, &shared)?;
        Ok(Self { config, examples, num_labels, tensors, network })
    }

    /// All epochs, or as many as patience and the person allow.
    pub fn learn(
        &self,
        training: &[Clip],
        validation: &[Example],
        on_event: &mut dyn FnMut(Event),
        stop: &AtomicBool,
        start: Instant,
    ) -> Result<Learned> {
        let settings = &self.config.training;
        let batches = training.len().div_ceil(settings.batch_size);
        let mut optimizer = Optimizer::new(self.trainable(), settings, settings.epochs * batches);
        // Without changes a clip's frames are the same in every epoch.
        let unchanged = match self.config.augment.enabled {
            true => Vec::new(),
            false => self.examples.unchanged(training)?,
        };
        let learning_began = Instant::now();
        let mut best: Option<Best> = None;
        let mut mean = None;
        for epoch in 1..=settings.epochs {
            let mut rng = stream(settings.seed, Use::Order { epoch: epoch as u32 });
            let mut progress = Progress::default();
            for pool in batching::pools(training.len(), settings.batch_size, &mut rng) {
                let pool: Vec<Example> = match self.config.augment.enabled {
                    true => pool
                        .par_iter()
                        .map(|&i| self.examples.augmented(&training[i], epoch))
                        .collect::<Result<_>>()?,
                    false => pool.iter().map(|&i| unchanged[i].clone()).collect(),
                };
                for batch in batching::batches(&pool, settings.batch_size, &mut rng) {
                    let (loss, correct) = self.learn_batch(&batch, &mut optimizer)?;
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
            let weights = mean.clone().unwrap_or_else(|| self.weights());
            let validated = self.validate(validation, &weights)?;
            let loss = validated.as_ref().map(|(loss, _)| *loss);
            let better = match (loss, &best) {
                (Some(loss), Some(best)) => loss < best.loss,
                _ => true,
            };
            if better {
                best = Some(Best { epoch, loss: loss.unwrap_or(f64::INFINITY), weights: copied(&weights)? });
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
            if let Some(best) = &best
                && settings.patience > 0
                && epoch - best.epoch >= settings.patience
            {
                return Ok(Learned {
                    weights: best.weights.clone(),
                    best_epoch: best.epoch,
                    epochs: epoch,
                    stop_reason: StopReason::EarlyStopping,
                });
            }
        }
        let best = best.ok_or_else(stopped_too_early)?;
        Ok(Learned {
            weights: best.weights,
            best_epoch: best.epoch,
            epochs: settings.epochs,
            stop_reason: StopReason::Finished,
        })
    }

    /// What gradients move.
    fn trainable(&self) -> BTreeMap<String, Var> {
        let trainable = self.tensors.iter().filter(|(name, _)| !is_running_statistic(name));
        trainable.map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The tensors as they are now and as they become; they are no variables, so nothing is kept for a way back.
    fn weights(&self) -> Weights {
        self.tensors.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// One step; gives the mean loss of the batch, and the clips that were right.
    fn learn_batch(&self, batch: &[&Example], optimizer: &mut Optimizer) -> Result<(f64, f64)> {
        let shards = self.gradients(batch, optimizer.steps())?;
        let loss = shards.iter().map(|shard| shard.loss).sum();
        let correct = shards.iter().map(|shard| shard.correct).sum();
        let (gradients, statistics): (Vec<_>, Vec<_>) =
            shards.into_iter().map(|shard| (shard.gradients, shard.statistics)).unzip();
        optimizer.step(&gradients)?;
        running::follow(&self.tensors, &statistics)?;
        Ok((loss, correct))
    }

    /// Runs a batch's shards side by side; they come back in their order.
    fn gradients(&self, batch: &[&Example], step: usize) -> Result<Vec<Shard>> {
        let total = weight(batch);
        let output = self.config.network.output;
        let loss = Loss { output, smoothing: self.config.training.label_smoothing };
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
                let loss = (loss.sum(&logits, examples)? / total.max(1.0))?;
                let correct = count_correct(&logits, examples, output)?;
                let gradients = loss.backward()?;
                Ok(Shard { gradients, statistics, loss: f64::from(loss.to_scalar::<f32>()?), correct })
            })
            .collect()
    }

    /// Mean loss and accuracy on the validation part, if there is one.
    fn validate(&self, validation: &[Example], weights: &Weights) -> Result<Option<(f64, f64)>> {
        if validation.is_empty() {
            return Ok(None);
        }
        let output = self.config.network.output;
        let loss = Loss { output, smoothing: 0.0 };
        let shape = frame_shape(&self.examples.input);
        let network = Network::new(&self.config.network, shape, self.num_labels, weights)?;
        let order = batching::by_length(validation);
        let frames = order.iter().map(|&i| validation[i].features.frames);
        let shards: Vec<(f64, f64)> = batching::shards(frames, SHARD_BYTES / bytes_per_frame(self.config))
            .into_par_iter()
            .map(|shard| {
                let examples: Vec<&Example> = order[shard].iter().map(|&i| &validation[i]).collect();
                let (x, lengths) = batching::pad(&examples)?;
                let logits = network.forward(&x, &lengths, None)?;
                let loss = loss.sum(&logits, &examples)?.to_scalar::<f32>()?;
                Ok((f64::from(loss), count_correct(&logits, &examples, output)?))
            })
            .collect::<Result<_>>()?;
        let total = validation.iter().map(Example::weight).sum::<f64>();
        let loss = shards.iter().map(|(loss, _)| loss).sum::<f64>() / total;
        let correct: f64 = shards.iter().map(|(_, correct)| correct).sum();
        Ok(Some((loss, correct / total)))
    }

    /// The running mean of the tensors after `step` steps; young means forget faster.
    fn averaged(&self, mean: Option<Weights>, step: usize) -> Result<Weights> {
        let Some(mean) = mean else { return copied(&self.weights()) };
        let kept = self.config.training.weight_averaging.min((1.0 + step as f64) / (10.0 + step as f64));
        let each = self.weights().into_iter().zip(mean.into_values());
        each.map(|((name, now), mean)| Ok((name, ((mean * kept)? + (now * (1.0 - kept))?)?))).collect()
    }
}

/// Weights in storage of their own.
fn copied(weights: &Weights) -> Result<Weights> {
    weights.iter().map(|(name, weight)| Ok((name.clone(), weight.copy()?))).collect()
}

fn interrupted(best: Option<Best>, epochs: usize) -> Result<Learned> {
    let best = best.ok_or_else(stopped_too_early)?;
    Ok(Learned {
        weights: best.weights,
        best_epoch: best.epoch,
        epochs,
        stop_reason: StopReason::Interrupted,
    })
}

pub(super) fn stopped_too_early() -> Error {
    Error::new(ErrorKind::Interrupted, "stopped before the first epoch was over; there is no model to keep")
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
