//! One answer for a whole recording.

use std::path::Path;

use super::{Source, Watched};
use crate::decide::{sigmoid, softmax};
use crate::features::Features;
use crate::media::{Media, MediaOptions};
use crate::model::{Model, Task};
use crate::nn::OutputKind;
use crate::signal::Signal;
use crate::{Error, ErrorKind, Result};

/// Classifies recordings with one model; any number of threads may share it.
pub struct Classifier {
    model: Model,
    source: Source,
}

/// Scores of one recording, and what was read.
#[derive(Debug, Clone)]
pub struct Classification {
    /// One per label of the model, in its order.
    pub scores: Vec<f32>,
    /// What the file was, with warnings.
    pub media: Media,
}

impl Classifier {
    /// # Errors
    /// [`ErrorKind::Model`] for a model of another task.
    pub fn new(model: Model) -> Result<Self> {
        match model.header().task {
            Task::Classify => {}
            Task::Tag => {
                let message = format!(
                    "`{}` tags frames and gives no label for a whole recording; use a model of task `classify`",
                    model.header().name
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        let source = Source::new(&model.header().input, model.embedding())?;
        Ok(Self { model, source })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Reads and classifies a whole file. Sound has the model's sample rate, whatever `options` says.
    ///
    /// # Errors
    /// Those of the file; [`ErrorKind::Limit`] where it is too long to be classified at once; [`ErrorKind::Model`] where a
    /// score is no number.
    pub fn classify_file(&self, path: &Path, options: &MediaOptions) -> Result<Classification> {
        self.read_and_classify(path, options).map_err(|error| error.with_path(path))
    }

    fn read_and_classify(&self, path: &Path, options: &MediaOptions) -> Result<Classification> {
        let (features, media) = self.read(path, options)?;
        let scores = self.scores(&self.model.logits(features)?)?;
        Ok(Classification { scores, media })
    }

    /// Reads a file for [`Classifier::classify_each`].
    ///
    /// # Errors
    /// As [`Classifier::classify_file`], without the path.
    pub fn read(&self, path: &Path, options: &MediaOptions) -> Result<(Features, Media)> {
        let dim = self.model.header().input.num_features();
        let mut data: Vec<f32> = Vec::new();
        let mut take = |frames: Vec<f32>| {
            self.model.check_length((data.len() + frames.len()) / dim)?;
            match data.is_empty() {
                true => data = frames,
                false => data.extend_from_slice(&frames),
            }
            Ok(())
        };
        let media = self.source.read(path, options, &mut |_: Watched| {}, &mut take)?;
        Ok((Features { frames: data.len() / dim, data, dim }, media))
    }

    /// Scores of several recordings at once, which is faster for short ones; those of each are the same as alone.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where they are too long together. Within: [`ErrorKind::Model`] where a score is no number.
    pub fn classify_each(&self, clips: Vec<Features>) -> Result<Vec<Result<Vec<f32>>>> {
        Ok(self.model.logits_each(clips)?.iter().map(|logits| self.scores(logits)).collect())
    }

    /// Scores of a signal, one per label.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the model takes no sound, or the signal's sample rate is not the model's;
    /// [`ErrorKind::Limit`] where it is too long to be kept in memory; [`ErrorKind::Model`] where a score is no number.
    pub fn classify(&self, signal: &Signal) -> Result<Vec<f32>> {
        let Source::Audio(extractor) = &self.source else {
            let message = format!("the model takes {}, not sound", self.model.header().input.kind().name());
            return Err(Error::new(ErrorKind::Config, message));
        };
        let wanted = extractor.config().sample_rate;
        if signal.sample_rate != wanted {
            let message = format!(
                "the signal has {} Hz where the model takes {wanted} Hz; resample it",
                signal.sample_rate
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.scores(&self.model.logits((**extractor).clone().extract(&signal.samples)?)?)
    }

    fn scores(&self, logits: &[f32]) -> Result<Vec<f32>> {
        let scores = match self.model.header().network.output {
            OutputKind::Softmax => softmax(logits),
            OutputKind::Sigmoid => sigmoid(logits),
        };
        if let Some(k) = scores.iter().position(|score| !score.is_finite()) {
            let message = format!(
                "the model gave no number as the score of `{}`; its weights are damaged or it was trained on other data",
                self.model.header().labels[k]
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(scores)
    }
}
