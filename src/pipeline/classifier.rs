//! One answer for a whole recording.

use std::path::Path;

use crate::decide::{sigmoid, softmax};
use crate::features::Extractor;
use crate::media::{self, Audio, AudioOptions};
use crate::model::{Model, Task};
use crate::nn::OutputKind;
use crate::signal::Signal;
use crate::{Error, ErrorKind, Result};

/// Classifies recordings with one model; any number of threads may share it.
pub struct Classifier {
    model: Model,
    /// Copied for each recording: it holds scratch space.
    extractor: Extractor,
}

/// Scores of one recording, and what was read.
#[derive(Debug, Clone)]
pub struct Classification {
    /// One per label of the model, in its order.
    pub scores: Vec<f32>,
    /// What the file was (its `signal` is left empty), with warnings.
    pub audio: Audio,
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
        let extractor = Extractor::new(&model.header().features)?;
        Ok(Self { model, extractor })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Decodes, resamples and classifies a whole file. The sample rate is the model's, whatever `options` says.
    pub fn classify_file(&self, path: &Path, options: &AudioOptions) -> Result<Classification> {
        let options =
            AudioOptions { sample_rate: Some(self.model.header().features.sample_rate), ..options.clone() };
        let mut audio = media::load_audio(path, &options)?;
        let signal = std::mem::replace(
            &mut audio.signal,
            Signal { samples: Vec::new(), sample_rate: audio.sample_rate },
        );
        let scores = self.classify(&signal).map_err(|e| e.with_path(path))?;
        Ok(Classification { scores, audio })
    }

    /// Scores of a signal, one per label.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the signal's sample rate is not the model's; [`ErrorKind::Limit`] where it is too
    /// long to be kept in memory; [`ErrorKind::Model`] where a score is no number.
    pub fn classify(&self, signal: &Signal) -> Result<Vec<f32>> {
        let wanted = self.model.header().features.sample_rate;
        if signal.sample_rate != wanted {
            let message = format!(
                "the signal has {} Hz where the model takes {wanted} Hz; resample it",
                signal.sample_rate
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let features = self.extractor.clone().extract(&signal.samples)?;
        let logits = self.model.logits(features)?;
        let scores = match self.model.header().network.output {
            OutputKind::Softmax => softmax(&logits),
            OutputKind::Sigmoid => sigmoid(&logits),
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
